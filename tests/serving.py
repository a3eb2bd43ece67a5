"""`contentops serve` as a process of its own on a free loopback port, for tests that speak HTTP to it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextlib.contextmanager
def served(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its address, such as `http://127.0.0.1:40123`, for as long as the block runs; the store is `folder/room.db`."""
    command = [sys.executable, "-m", "contentops", "serve", "--port", "0", "--store", str(folder / "room.db"), *options]
    process = subprocess.Popen(
        command, cwd=folder, env=None if env is None else dict(env), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process, contextlib.closing(process.stderr):
        try:
            line = process.stderr.readline()
            assert line.startswith("listening on "), line + process.stderr.read()
            yield line.removeprefix("listening on ").partition("/v1")[0]
        finally:
            process.terminate()


def key(folder: Path, *options: str) -> str:
    """A new key of the store of `served`."""
    command = [sys.executable, "-m", "contentops", "serve", "keys", "create", "--store", str(folder / "room.db")]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
