"""Tests of the embedded server over each kind of store.

A module with `pytestmark = pytest.mark.usefixtures("over_each_store")` runs over memory and files, and then over
PostgreSQL; a test that is about a file alone takes the fixture `files_only`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contentops.server.store import open_store
from tests import postgres

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.server.database import Store


class Stores:
    """Where the tests of a module keep their stores: in databases of the server at that address, None for files."""

    def __init__(self) -> None:
        self.server: str | None = None
        self._known: dict[Path, str] = {}
        self._template = ""
        self._open = contextlib.ExitStack()

    def empty(self) -> Store:
        """A new, empty store: in memory, or in a database of its own."""
        return self._open.enter_context(open_store(self._database()))

    def at(self, path: Path) -> Path | str:
        """Where the store at that path is: there, or in a database that stands for it."""
        if path not in self._known:
            found = self._database()
            if found is None:
                return path
            self._known[path] = found
        return self._known[path]

    def _database(self) -> str | None:
        if self.server is None:
            return None
        if not self._template:
            made = postgres.prepared(self.server, lambda url: open_store(url).close())
            self._template = self._open.enter_context(made)
        return self._open.enter_context(postgres.database(self.server, self._template))

    def close(self) -> None:
        """Close and drop all of them, and go back to files."""
        self._open.close()
        self._known.clear()
        self.server, self._template = None, ""


stores = Stores()
