"""The checks of an item, and what they find in its text."""

from __future__ import annotations

import enum

from msgspec import Struct, field

from contentops.errors import Diagnostic
from contentops.model.records import ItemId


class Level(enum.StrEnum):
    """What a failed check does: only warn, or block the text from being written and saved."""

    WARN = "warn"
    BLOCK = "block"


class WordLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fewest and most words of a body; None: no limit."""

    min: int | None = None
    max: int | None = None
    level: Level = Level.BLOCK


class Listed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The texts, expressions, headings or commands of one check, as a person listed them."""

    values: tuple[str, ...]
    level: Level = Level.BLOCK


class FrontMatterSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON Schema that front matter must fit: its path, and its text as canonical JSON."""

    path: str = field(name="schema")
    text: str
    level: Level = Level.BLOCK


class Similar(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much the text of an item may have in common with another one of its group."""

    within: str = "for_each"
    """The group: the items of the same declaration (`for_each`), those with a tag (`tag:NAME`), or `all`."""
    at_most: float = 0.8
    """The share of the runs of words of both texts, from 0 to 1."""
    level: Level = Level.BLOCK


class Grounded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a text may state only if its brief does, and the texts that are allowed beside."""

    numbers: bool = True
    urls: bool = True
    allow: tuple[str, ...] = ()
    level: Level = Level.BLOCK
    brief: str = ""
    """The texts and numbers of the item's inputs, metadata and data row, each on a line."""


def level_of(check: object) -> Level | None:
    """The level of the value of one check: the value itself, or its `level`; None for what is no check."""
    level = getattr(check, "level", check)
    return level if isinstance(level, Level) else None


class Checks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The checks of one item; None for those it does not have. Changing them costs nothing."""

    words: WordLimits | None = None
    contains: Listed | None = None
    excludes: Listed | None = None
    matches: Listed | None = None
    not_matches: Listed | None = None
    headings: Listed | None = None
    leftovers: Level | None = None
    links: Level | None = None
    front_matter: FrontMatterSchema | None = None
    similar: Similar | None = None
    """Compares the text with others, in `check` alone; `documents.checks` looks at one text alone."""
    grounded: Grounded | None = None
    commands: Listed | None = None
    """Programs to run, from the project's settings alone; `documents.checks` does not run them."""
    retries: int = 0
    """How often a blocked text may be paid for again."""

    @property
    def can_block(self) -> bool:
        """Return whether one of these checks can block a new text."""
        names = (name for name in self.__struct_fields__ if name != "similar")
        return any(level_of(getattr(self, name)) is Level.BLOCK for name in names)


NO_CHECKS = Checks()


class Finding(Struct, frozen=True, kw_only=True):
    """One finding of a check in one text."""

    check: str
    """The key of the check in `checks`: `words`, `contains`, ..."""
    level: Level
    message: str
    line: int = 0
    """The line of the file (1-based), or 0 where it is about the text as a whole."""
    hint: str = ""

    @property
    def words(self) -> str:
        """The message, with the line in a text that has no file yet."""
        return f"{self.message} (line {self.line} of the text)" if self.line else self.message


class CheckedFile(Struct, frozen=True, kw_only=True):
    """The file of one item, and the findings of its checks."""

    item: ItemId
    output: str
    findings: tuple[Diagnostic, ...] = ()
    """Errors for findings that block, warnings for the others."""


class Checked(Struct, frozen=True, kw_only=True):
    """The result of `check`. `missing` items have no file yet, `unchecked` ones have no checks."""

    files: tuple[CheckedFile, ...] = ()
    missing: int = 0
    unchecked: int = 0

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Those of all files, in their order."""
        return tuple(finding for file in self.files for finding in file.findings)
