"""What a text must be like before it is written and saved, and what was found where it is not."""

from __future__ import annotations

import enum

from msgspec import Struct, field

from contentops.errors import Diagnostic
from contentops.model.records import ItemId


class Level(enum.StrEnum):
    """What a failed check does: it is only told, or the text is neither written nor saved."""

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
    """The JSON Schema that front matter must fit: where it stands, and its text as canonical JSON."""

    path: str = field(name="schema")
    text: str
    level: Level = Level.BLOCK


class Checks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The checks of one item; None for those it does not have. They shape no request: a change costs nothing."""

    words: WordLimits | None = None
    contains: Listed | None = None
    excludes: Listed | None = None
    matches: Listed | None = None
    not_matches: Listed | None = None
    headings: Listed | None = None
    leftovers: Level | None = None
    links: Level | None = None
    front_matter: FrontMatterSchema | None = None
    commands: Listed | None = None
    """Programs to run, from the project's settings alone; `documents.checks` does not run them."""
    retries: int = 0
    """How often a blocked text may be paid for again."""

    @property
    def can_block(self) -> bool:
        """Whether any of them holds a text back."""
        each = (self.words, self.contains, self.excludes, self.matches, self.not_matches, self.headings)
        levels = [check.level for check in (*each, self.front_matter, self.commands) if check is not None]
        return Level.BLOCK in (*levels, self.leftovers, self.links)


NO_CHECKS = Checks()


class Finding(Struct, frozen=True, kw_only=True):
    """What one check found in one text."""

    check: str
    """The key of the check in `checks`: `words`, `contains`, ..."""
    level: Level
    message: str
    line: int = 0
    """The line of the file (1-based), or 0 where it is about the text as a whole."""
    hint: str = ""

    @property
    def words(self) -> str:
        """It in one line, of a text that has no file yet: with its line in the text."""
        return f"{self.message} (line {self.line} of the text)" if self.line else self.message


class CheckedFile(Struct, frozen=True, kw_only=True):
    """The file of one item, and what its checks found there."""

    item: ItemId
    output: str
    findings: tuple[Diagnostic, ...] = ()
    """Errors for what blocks, warnings for what is only told."""


class Checked(Struct, frozen=True, kw_only=True):
    """What `check` looked at. `missing` items have no file yet, `unchecked` ones have no checks."""

    files: tuple[CheckedFile, ...] = ()
    missing: int = 0
    unchecked: int = 0

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Those of all files, in their order."""
        return tuple(found for file in self.files for found in file.findings)
