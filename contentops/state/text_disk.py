"""Opens the cache with the library diskcache, in a way that never loads a pickle.

The import is slow, so it happens late.

diskcache loads a pickle if a row's `mode` and `raw` say so, no matter which `Disk` wrote the row (CVE-2025-69872). It
also reads and deletes the files that rows name.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import diskcache
from diskcache.core import DEFAULT_SETTINGS, MODE_RAW

from contentops.errors import StateError
from contentops.state import state_dir

_DAMAGED = (ValueError, TypeError, AttributeError, LookupError, AssertionError)
ERRORS = (sqlite3.Error, sqlite3.Warning, OSError, StateError, diskcache.Timeout, *_DAMAGED)
"""The errors that the library may raise.

The last ones come from damaged or planted settings, which it uses without a check.
"""
_IN_ROWS = 1 << 62
"""A size that no value reaches, so that no value gets a file.

A row is durable with its transaction, and a file is not.
"""
_SETTINGS = {"eviction_policy": "none", "disk_min_file_size": _IN_ROWS, "sqlite_mmap_size": 0}


class _PlainText:
    """A part of the cache library's `Disk` class that returns only text.

    Rows with other values may be an attack, and count as missing.
    """

    def get(self, key: object, raw: object) -> str:
        """Return the key of a row of the cache. It is empty if the key is not text."""
        return key if raw and isinstance(key, str) else ""

    def fetch(self, mode: object, filename: object, value: object, read: object) -> str:
        """Return the value of a row of the cache if the value is text.

        Otherwise raise OSError, which the library treats as a missing row.
        """
        if read or mode != MODE_RAW or filename is not None or not isinstance(value, str):
            raise OSError
        return value

    def remove(self, file_path: object) -> None:
        """Do nothing, because contentops never stores a row in a file."""


TextDisk = type("TextDisk", (_PlainText, diskcache.Disk), {})


def open_library(folder: Path, *, make: bool) -> diskcache.Cache | None:
    """Open the cache in a folder. If `make` is true, create a missing cache; otherwise return None.

    Raises one of ERRORS.
    """
    (state_dir.make_folder if make else state_dir.inspect_folder)(folder)
    database = folder / "cache.db"
    if not make and not database.is_file():
        return None
    if os.path.expandvars(folder) != str(folder):
        message = f"the folder {folder} contains a `$`, which would be read as a variable"
        raise StateError(message)
    # Made here to be owner-only; SQLite gives its side files the same mode.
    os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))
    library = diskcache.Cache(str(folder), timeout=30, disk=TextDisk, **{**DEFAULT_SETTINGS, **_SETTINGS})
    # Only now, as the library stores its settings one by one: from here on, a commit is on the disk.
    library.reset("sqlite_synchronous", 2, update=False)
    return library
