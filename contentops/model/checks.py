"""What a text must be like before it is written and saved, and what was found where it is not."""

from __future__ import annotations

import enum

from msgspec import Struct


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

    path: str
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
