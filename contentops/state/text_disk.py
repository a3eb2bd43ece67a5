"""The writer of the cache: a diskcache that accepts only text. Imported late, as diskcache is slow to load.

diskcache unpickles where a row's `mode` and `raw` say so, whichever `Disk` wrote it (CVE-2025-69872), and JSONDisk
does not change that. `TextRows` overrides every way in and out, so nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import diskcache
from diskcache.core import DEFAULT_SETTINGS, METADATA

from contentops.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

RAW = diskcache.core.MODE_RAW
_HUGE = 1 << 62
_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": _HUGE,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_synchronous": 2,
    "sqlite_cache_size": 256,
    "sqlite_mmap_size": 0,
    "disk_min_file_size": _HUGE,
}

ERRORS = (sqlite3.Error, OSError, StateError, ValueError, TypeError, AttributeError, diskcache.Timeout)
"""What a write may raise: errors of the database and the file system, a long wait, damaged settings."""


class TextRows:
    """Rows of text under text keys, in the database alone. Raises StateError for anything else."""

    def put(self, key: object) -> tuple[str, bool]:
        """A key as the database stores it."""
        return self.get(key, True), True

    def get(self, key: object, raw: object) -> str:
        """The key of a row."""
        if type(key) is not str or not raw:
            raise _not_text("a key that is not text")
        return key

    def store(self, value: object, read: object, key: object = None) -> tuple[int, int, None, str]:
        """A value as the database stores it: size, mode, file name, value."""
        del key
        return 0, RAW, None, self.fetch(RAW, None, value, read)

    def fetch(self, mode: object, filename: object, value: object, read: object) -> str:
        """The value of a row."""
        if mode != RAW or filename is not None or type(value) is not str or read:
            raise _not_text("a value that is not text")
        return value

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        """Always raises StateError: values have no files of their own."""
        del key, value
        raise _not_text("a value in a file of its own")

    def remove(self, file_path: object) -> None:
        """Do nothing: rows have no files."""


TextDisk = type("TextDisk", (TextRows, diskcache.Disk), {})
"""diskcache's `Disk` with every way in and out replaced by those of `TextRows`."""


def open_writer(folder: Path, database: Path, timeout: float) -> diskcache.Cache:
    """The diskcache in `folder`, which exists; `timeout` seconds to wait for another writer.

    Raises one of ERRORS.
    """
    if os.path.expandvars(folder) != str(folder):
        message = f"the folder {folder} contains a `$`, which would be read as a variable"
        raise StateError(message)
    _check_settings(database, timeout)
    return diskcache.Cache(str(folder), timeout=timeout, disk=TextDisk, **_SETTINGS)


def _check_settings(database: Path, timeout: float) -> None:
    """Raise for settings that diskcache never wrote, as it puts their names into SQL and into calls."""
    with contextlib.closing(sqlite3.connect(database, timeout=timeout)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone():
            return
        settings = dict(connection.execute("SELECT key, value FROM Settings"))
    names = DEFAULT_SETTINGS.keys() | METADATA.keys()
    pragmas = [value for key, value in settings.items() if str(key).startswith("sqlite_")]
    if not settings.keys() <= names or not all(str(value).isalnum() for value in pragmas):
        message = "its settings are not the ones contentops wrote"
        raise StateError(message)


def _not_text(thing: str) -> StateError:
    return StateError(f"the cache contains {thing}, which contentops never writes")
