"""Locations, findings and the exception tree; imports nothing of contentops.

Findings are values (`Diagnostic`), collected so that a person sees every problem at once.
Exceptions stop the work; the command line has the one place that catches them:

    ContentopsError
    |- InputError      manifests, data files or project settings are wrong; carries every diagnostic
    |- UsageError      the command line itself is wrong
    |- StateError      lock, journal or cache cannot be used
    |  `- LockHeld     another apply of this environment is running
    |- Refused         a guard, a stale plan or a missing confirmation
    |- ApiError        the server cannot be used at all (wrong key, wrong address, not JSON)
    `- OutputError     a file cannot be read or written, or lies outside the project
       `- FileChanged  the file is not the one the plan saw
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

_COMPARED = 30
"""The most names that `near` compares with a word in full."""
_CANDIDATES = 500
"""The most names from which these are chosen."""
_LONGEST = 300
"""The most letters of a word that is compared."""


class ExitCode(enum.IntEnum):
    """The exit codes of the process; if several apply, the order is 130 > 1 > 4 > 5 > 3."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    INCOMPLETE = 3
    REFUSED = 4
    PAUSED = 5
    USAGE = 64
    INTERRUPTED = 130


_RANK = (
    ExitCode.INTERRUPTED,
    ExitCode.ERROR,
    ExitCode.REFUSED,
    ExitCode.PAUSED,
    ExitCode.INCOMPLETE,
    ExitCode.CHANGES,
)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the exit code of a process to which all of `codes` apply."""
    applicable = set(codes)
    return next((code for code in _RANK if code in applicable), ExitCode.DONE)


class Location(Struct, frozen=True, order=True, gc=False):
    """A location in a file: path relative to the project root, 1-based line and column."""

    file: Annotated[str, Meta(description="Relative to the project root.")]
    line: Annotated[int, Meta(ge=1, description="The line, counted from 1.")] = 1
    column: Annotated[int, Meta(ge=1, description="The column, in characters.")] = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(enum.StrEnum):
    """How bad a finding is; only an error stops a command."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One finding with its location and a hint what to do.

    `code` is kebab-case and stable. `excerpt` is the source line at `location` without its newline
    (empty if there is none, or a very long one) and `width` how many characters the caret line underlines.
    """

    severity: Annotated[Severity, Meta(description="Only an error stops a command.")] = Severity.ERROR
    code: Annotated[str, Meta(examples=["unknown-input"], description="Stable, in kebab case.")]
    message: Annotated[str, Meta(description="What is wrong, and where.")]
    location: Annotated[Location | None, Meta(description="The location; null if the finding has no file.")] = None
    excerpt: Annotated[str, Meta(description="The source line, or empty.")] = ""
    width: Annotated[int, Meta(ge=0, description="How many characters of the line to underline.")] = 1
    hint: Annotated[str, Meta(description="What to do next, or empty.")] = ""


def plural(number: int, word: str) -> str:
    """Return a count and its word: `1 item`, `2 items`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def first_of(names: Sequence[str]) -> str:
    """Return the first of at least one name, and the number of the others."""
    return f"`{names[0]}`{f' and {len(names) - 1:,} more' if names[1:] else ''}"


def price(least: int, most: int, retries: int = 0, *, at_most: bool = False) -> str:
    """Return a price in words: `4 credits`, or with retries that pay again `4 credits, up to 12 with 2 retries`.

    `at_most`: both are upper bounds, as the price of a text depends on its length: `at most 12 credits`.
    """
    with_ = plural(retries, "retry").replace("retrys", "retries") if retries else "every retry"
    words = plural(least, "credit") + (f", up to {most:,} with {with_}" if most > least else "")
    return f"at most {words}" if at_most else words


class ContentopsError(Exception):
    """A failure that people can act on: a sentence, a stable code, a hint and an exit code."""

    code = "error"
    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, code: str = "", hint: str = "", location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint
        self.location = location

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the findings to print for this failure."""
        return (Diagnostic(code=self.code, message=self.message, hint=self.hint, location=self.location),)


class InputError(ContentopsError):
    """Project files cannot be used; `findings` has all their problems."""

    code = "invalid-input"

    def __init__(self, findings: Iterable[Diagnostic], looked_at: Iterable[str] = ()) -> None:
        """`looked_at`: the files that were read or looked for, relative to the root, as far as they are known."""
        self.findings = tuple(findings)
        self.looked_at = tuple(looked_at)
        errors = sum(finding.severity is Severity.ERROR for finding in self.findings)
        super().__init__(f"{plural(errors, 'error')} in the project's files")

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return every finding, in order."""
        return self.findings


class UsageError(ContentopsError):
    """The command line asks for something that does not exist or does not fit together."""

    code = "usage"
    exit_code = ExitCode.USAGE


class StateError(ContentopsError):
    """Lock, journal or cache is unreadable, damaged, or made by a newer version."""

    code = "state"


class NotShared(StateError):
    """This process can no longer share its records, so it may not send calls that pay."""

    exit_code = ExitCode.INCOMPLETE


class LockHeld(StateError):
    """Another apply of the same environment is running."""

    code = "lock-held"
    exit_code = ExitCode.REFUSED


class Refused(ContentopsError):
    """A guard, a stale plan or a missing confirmation stopped the command; nothing was done."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class ApiError(ContentopsError):
    """The server cannot be used at all."""

    code = "api"


class OutputError(ContentopsError):
    """A file cannot be read or written, or its path is not allowed."""

    code = "output"


class FileChanged(OutputError):
    """The file is no longer the one the plan saw."""

    code = "file-changed"


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to `word`, or None if none is similar."""
    return next(iter(near(word, names, 1)), None)


def near(word: str, names: Iterable[str], count: int) -> list[str]:
    """Return the names most similar to `word`, at most `count` of them, the nearest first."""
    names = tuple(names)
    if len(word) > _LONGEST:
        return []
    if len(names) > _COMPARED:
        names = _likely(word, names)
    import difflib

    return difflib.get_close_matches(word, names, n=count, cutoff=0.6)


def _likely(word: str, names: tuple[str, ...]) -> list[str]:
    """Return the names that share most pairs of letters with a word, as comparing all names in full takes too long."""
    import heapq

    pairs, by_pair = _paired(names)
    wanted = frozenset(_pairs(word))
    shared: dict[str, int] = {}
    for candidates in sorted((by_pair[pair] for pair in _pairs(word) if pair in by_pair), key=len):
        # Rare pairs first, as they distinguish best.
        for name in candidates[:_CANDIDATES]:
            shared[name] = len(wanted & pairs[name])
        if len(shared) >= _CANDIDATES:
            break
    return heapq.nlargest(_COMPARED, shared, key=lambda name: (shared[name], -abs(len(name) - len(word))))


@functools.lru_cache(maxsize=4)
def _paired(names: tuple[str, ...]) -> tuple[dict[str, frozenset[str]], dict[str, list[str]]]:
    """Return the pairs of letters of each name, and the names with each pair."""
    pairs = {name: frozenset(_pairs(name)) for name in names if len(name) <= _LONGEST}
    by_pair: dict[str, list[str]] = {}
    for name, pairs_of_name in pairs.items():
        for pair in pairs_of_name:
            by_pair.setdefault(pair, []).append(name)
    return pairs, by_pair


def _pairs(word: str) -> tuple[str, ...]:
    """Return the distinct pairs of adjacent letters."""
    return tuple(dict.fromkeys(word[at : at + 2] for at in range(len(word) - 1)))


def did_you_mean(word: str, names: Iterable[str], otherwise: str = "") -> str:
    """Return a hint with the name most similar to `word`, or `otherwise` if none is similar."""
    close = nearest(word, names)
    return f"did you mean `{close}`?" if close else otherwise


@functools.lru_cache(maxsize=1_000)
def suggest(name: str, valid: tuple[str, ...]) -> str:
    """Return a hint with the nearest valid name, or with all valid names."""
    shown = ", ".join(f"`{entry}`" for entry in valid[:12])
    more = f" and {len(valid) - 12} more" if len(valid) > 12 else ""
    return did_you_mean(name, valid, f"there are {shown}{more}" if shown else "")


class Check(Struct, frozen=True, kw_only=True):
    """One finding of `doctor`. `ok` is None for information."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""
