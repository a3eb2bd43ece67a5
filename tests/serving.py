"""`contentops serve` as a process of its own on a free loopback port, for tests that speak HTTP to it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

from contentops.server.accounts import KeyRing
from contentops.server.store import open_store
from tests.running import unmeasured
from tests.stores import stores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@contextlib.contextmanager
def served(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its address, such as `http://127.0.0.1:40123`, for as long as the block runs; the store is `folder/room.db`."""
    command = [
        sys.executable,
        "-m",
        "contentops",
        "serve",
        "--port",
        "0",
        "--quiet",
        "--store",
        str(stores.at(folder / "room.db")),
    ]
    process = subprocess.Popen(
        [*command, *options],
        cwd=folder,
        env=unmeasured() if env is None else dict(env),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, contextlib.closing(process.stderr):
        try:
            line = process.stderr.readline()
            assert line.startswith("listening on "), line + process.stderr.read()
            yield line.removeprefix("listening on ").partition("/v1")[0]
        finally:
            process.terminate()


def key(folder: Path, *, allowance: int | None = None, modes: Sequence[str] = ()) -> str:
    """A new key of the store of `served`."""
    with open_store(stores.at(folder / "room.db")) as store:
        return KeyRing(store).create_key("professional", allowance=allowance, modes=modes)
