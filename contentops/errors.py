"""Defines locations, findings and the tree of exceptions. Imports nothing of contentops.

Findings are values (`Diagnostic`), collected so that a person sees every problem at once.
Exceptions stop the work; the command line has the one place that catches them:

    ContentopsError
    |- InputError      manifests, data files or project settings are wrong; carries every diagnostic
    |- UsageError      the command line itself is wrong
    |- StateError      lock, journal or cache cannot be used
    |  `- LockHeld     another apply of this environment is running
    |- Refused         a guard, a stale plan or a missing confirmation
    |- ApiError        the server cannot be used at all (wrong key, wrong address, not JSON)
    `- OutputError     a file cannot be read or written, or is outside the project
       `- FileChanged  the file is not the one the plan saw
"""

from __future__ import annotations

import bisect
import enum
import functools
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

_BESIDE = 10
"""Of many sorted names, this many before a word and after it are compared with the word in full."""
_LONGEST = 300
"""The most letters of a word that is compared."""


class ExitCode(enum.IntEnum):
    """The exit codes of contentops. `worst` chooses one of several."""

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
    """Return the most serious of several exit codes; the order is 130, 1, 4, 5, 3, 2, 0."""
    applicable = set(codes)
    return next((code for code in _RANK if code in applicable), ExitCode.DONE)


class Location(Struct, frozen=True, order=True, gc=False):
    """A location in a file: its path (relative to the project root), line and column (from 1)."""

    file: Annotated[str, Meta(description="Relative to the project root.")]
    line: Annotated[int, Meta(ge=1, description="The line, counted from 1.")] = 1
    column: Annotated[int, Meta(ge=1, description="The column, in characters.")] = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(enum.StrEnum):
    """How serious a finding is. Only an error stops a command."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One finding with its location and a hint for the next step.

    `code` is kebab-case and stable. `excerpt` is the source line at `location` without its newline; it is empty if
    there is no line, or if the line is very long. `width` is the number of characters to underline.
    """

    severity: Annotated[Severity, Meta(description="Only an error stops a command.")] = Severity.ERROR
    code: Annotated[str, Meta(examples=["unknown-input"], description="Stable, in kebab case.")]
    message: Annotated[str, Meta(description="What is wrong, and where.")]
    location: Annotated[Location | None, Meta(description="The location; null if the finding has no file.")] = None
    excerpt: Annotated[str, Meta(description="The source line, or empty.")] = ""
    width: Annotated[int, Meta(ge=0, description="How many characters of the line to underline.")] = 1
    hint: Annotated[str, Meta(description="What to do next, or empty.")] = ""


def plural(number: int, word: str) -> str:
    """Return a number and its noun, with a plural `s` if needed: `1 item`, `2 items`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def first_of(names: Sequence[str]) -> str:
    """Return the first name, and how many more names there are, such as `a` and 2 more."""
    return f"`{names[0]}`{f' and {len(names) - 1:,} more' if names[1:] else ''}"


def price(least: int, most: int, retries: int = 0, *, at_most: bool = False) -> str:
    """Return a price in words: `4 credits`, or `4 credits, up to 12 with 2 retries` if retries may pay again.

    `at_most`: both numbers are upper bounds, because the price depends on the length of the text: `at most 12 credits`.
    """
    with_ = plural(retries, "retry").replace("retrys", "retries") if retries else "every retry"
    words = plural(least, "credit") + (f", up to {most:,} with {with_}" if most > least else "")
    return f"at most {words}" if at_most else words


class ContentopsError(Exception):
    """A failure with a message, a stable code, a hint for the next step, and an exit code."""

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
    """The project's files have errors. `findings` lists all problems of these files."""

    code = "invalid-input"

    def __init__(self, findings: Iterable[Diagnostic], looked_at: Iterable[str] = ()) -> None:
        """Create the error. `looked_at` has the paths of the files that were read or searched, relative to the root."""
        self.findings = tuple(findings)
        self.looked_at = tuple(looked_at)
        errors = sum(finding.severity is Severity.ERROR for finding in self.findings)
        super().__init__(f"{plural(errors, 'error')} in the project's files")

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return every finding, in order."""
        return self.findings


class UsageError(ContentopsError):
    """The arguments of the command line are wrong or do not fit together."""

    code = "usage"
    exit_code = ExitCode.USAGE


class StateError(ContentopsError):
    """The lock, journal or cache cannot be read, is damaged, or was written by a newer version."""

    code = "state"


class NotShared(StateError):
    """This process cannot share its records with other machines now, so it must not send requests that cost money."""

    exit_code = ExitCode.INCOMPLETE


class LockHeld(StateError):
    """Another apply of the same environment is running."""

    code = "lock-held"
    exit_code = ExitCode.REFUSED


class Refused(ContentopsError):
    """A guard, a stale plan or a missing confirmation stopped the command. Nothing was done."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class ApiError(ContentopsError):
    """The server cannot be used, for example because the key or the address is wrong."""

    code = "api"


class OutputError(ContentopsError):
    """A file cannot be read or written, or its path is not allowed."""

    code = "output"


class FileChanged(OutputError):
    """The file has changed since the plan was made."""

    code = "file-changed"


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to `word`, or None if none is similar."""
    return next(iter(near(word, names, 1)), None)


def near(word: str, names: Iterable[str], count: int) -> list[str]:
    """Return at most `count` names that are similar to `word`, the most similar first."""
    names = tuple(names)
    if len(word) > _LONGEST:
        return []
    import difflib

    alike = _alike(word, names) if len(names) > 4 * _BESIDE else names
    return difflib.get_close_matches(word, alike, n=count, cutoff=0.6)


def _alike(word: str, names: tuple[str, ...]) -> set[str]:
    """Return the names that may be similar to a word: those with nearly the same beginning or end.

    These names are next to the word in the sorted list of names, or in a list sorted from the last letters.
    Comparing all names in full takes too long.
    """
    forward, backward = _sorted(names)
    begin, end = bisect.bisect(forward, word), bisect.bisect(backward, word[::-1])
    same_end = backward[max(end - _BESIDE, 0) : end + _BESIDE]
    return {*forward[max(begin - _BESIDE, 0) : begin + _BESIDE], *(name[::-1] for name in same_end)}


@functools.lru_cache(maxsize=4)
def _sorted(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the sorted names, and the sorted names with their letters in reverse order."""
    return sorted(names), sorted(name[::-1] for name in names)


def did_you_mean(word: str, names: Iterable[str], otherwise: str = "") -> str:
    """Return a hint with the name most similar to `word`, or `otherwise` if none is similar."""
    close = nearest(word, names)
    return f"did you mean `{close}`?" if close else otherwise


@functools.lru_cache(maxsize=1_000)
def suggest(name: str, valid: tuple[str, ...]) -> str:
    """Return a hint with the most similar valid name, or with a list of valid names if none is similar."""
    shown = ", ".join(f"`{entry}`" for entry in valid[:12])
    more = f" and {len(valid) - 12} more" if len(valid) > 12 else ""
    return did_you_mean(name, valid, f"there are {shown}{more}" if shown else "")


class Check(Struct, frozen=True, kw_only=True):
    """One finding of `contentops doctor`. If `ok` is None, the finding is only information."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""
