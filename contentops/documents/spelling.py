"""Names that a file system takes for the same: another case (macOS, Windows), another Unicode form (macOS)."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, Final

from contentops.documents.faults import shown
from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.documents.folders import Folder

_KEPT: Final = 64


class Spelling:
    """Tells whether a file that answers to a name is really spelled like that. `names` lists a folder."""

    def __init__(self, names: Callable[[Folder], list[str]]) -> None:
        self._names = names
        self._listings: dict[tuple[int, int], tuple[int, frozenset[str]]] = {}

    def check(self, folder: Folder, name: str, path: str, found: os.stat_result) -> None:
        """Raise OutputError if `name` in `folder` (`found` there) only answers because spellings are not told apart.

        Two Unicode forms of one spelling count as the same.
        """
        # One look at another spelling tells whether the file system folds names; only then the folder is listed.
        if not any((other := folder.stat(form)) and os.path.samestat(other, found) for form in _others(name)):
            return
        names = self._listing(folder)
        wanted = unicodedata.normalize("NFC", name)
        if wanted in names:
            return
        spelled = next((entry for entry in sorted(names) if entry.casefold() == wanted.casefold()), "of another name")
        message = f"{shown(path)} is the file {shown(spelled)} here: this file system does not tell the two names apart"
        raise OutputError(message, code="same-name", hint="spell `output` as the file is spelled, or rename the file")

    def _listing(self, folder: Folder) -> frozenset[str]:
        """The names in a folder, NFC; kept until the folder changes, since it is asked for every file in it."""
        found = os.stat(folder.path if folder.fd is None else folder.fd)  # noqa: PTH116 - takes a handle
        place = (found.st_dev, found.st_ino)
        kept = self._listings.get(place)
        if kept and kept[0] == found.st_mtime_ns:
            return kept[1]
        names = frozenset(unicodedata.normalize("NFC", name) for name in self._names(folder))
        if len(self._listings) >= _KEPT:
            self._listings.clear()
        self._listings[place] = (found.st_mtime_ns, names)
        return names


def _others(name: str) -> list[str]:
    forms = {name.swapcase()}
    if not name.isascii():
        forms |= {unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}
    return sorted(forms - {name})
