"""Files the command line is asked to write."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from contentops.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all; raises OutputError where the disk refuses."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        message = f"`{path}` can not be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file or make its folder writable") from error
