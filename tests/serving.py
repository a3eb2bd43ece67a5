"""`contentops serve` as a process of its own on a free loopback port, for tests that speak HTTP to it."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from contentops.server.serve import KEY_VARIABLE
from tests.running import unmeasured


@contextlib.contextmanager
def served(folder: Path, *options: str, key: str = "", env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its address, such as `http://127.0.0.1:40123`, for as long as the block runs; the store is `folder/room.db`.

    With a key every request needs it.
    """
    command = [
        sys.executable, "-m", "contentops", "serve", "--port", "0", "--store", str(folder / "room.db"),
    ]  # fmt: skip
    process = subprocess.Popen(
        [*command, *options], cwd=folder, env={**(unmeasured() if env is None else env), KEY_VARIABLE: key},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    with process:
        try:
            line = process.stderr.readline()
            assert line.startswith("listening on "), line + process.stderr.read()
            # Unread lines about requests would block the server.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield line.removeprefix("listening on ").partition("/v1")[0]
        finally:
            process.terminate()
