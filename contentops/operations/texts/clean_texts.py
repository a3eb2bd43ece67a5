"""Remember texts in which their checks found nothing, so that `check` skips them while text and checks are the same.

They are one row of the cache. Links depend on other files, and commands on anything, so neither is remembered;
`similar_texts` remembers what depends on other texts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from msgspec import structs, to_builtins

from contentops import __version__
from contentops.digest import PREFIX, digest_json, digest_text

if TYPE_CHECKING:
    from contentops.model import Checks, Observed
    from contentops.state.cache import Cache

FORMAT: Final = 1
"""Raised when checks change; the version of contentops counts too."""
_ROW: Final = "clean-texts"
_LENGTH: Final = 20
"""Hexadecimal digits kept of each name: 2 MB for 100,000 texts."""


class CleanTexts:
    """Which texts were clean before, and which are now."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._before = frozenset((cache.get(_ROW) or "").split())
        self._now: set[str] = set()
        self._name_of = functools.cache(_name_of)

    def is_clean(self, checks: Checks, file: Observed) -> bool:
        """Tell whether an earlier check, commands aside, found nothing in this file."""
        name = self._name(checks, file)
        if name not in self._before:
            return False
        self._now.add(name)
        return True

    def add(self, checks: Checks, file: Observed) -> None:
        """Remember that nothing was found in the file."""
        if name := self._name(checks, file):
            self._now.add(name)

    def keep(self, *, whole: bool) -> None:
        """Write them to the cache; `whole`: every item was checked, so that older names are dropped."""
        names = self._now if whole else self._now | self._before
        if names != self._before:
            self._cache.put(_ROW, " ".join(sorted(names)))

    def _name(self, checks: Checks, file: Observed) -> str:
        """Return a name for the text and its checks; empty where other files matter too."""
        if checks.links is not None or not file.file or file.problem:
            return ""
        return digest_text(f"{self._name_of(checks)} {file.file}").removeprefix(PREFIX)[:_LENGTH]


def _name_of(checks: Checks) -> str:
    stated = structs.replace(checks, commands=None, similar=None, retries=0)
    return digest_json([FORMAT, __version__, to_builtins(stated)])
