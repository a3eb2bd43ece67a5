"""Regular expressions that a person wrote: each search has a time limit."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import regex

MAX_PATTERN: Final = 1_000
"""Characters of the longest regular expression."""


@functools.lru_cache(maxsize=1_000)
def compiled(pattern: str) -> regex.Pattern[str] | str:
    """A regular expression whose search takes a `timeout`; or, as a text, why there is none."""
    import regex  # start-up: few projects have patterns

    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN:,} characters"
    try:
        return regex.compile(pattern, regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError, IndexError, TypeError) as error:
        return f"is not a regular expression: {getattr(error, 'msg', None) or error}"


def search(pattern: str, within: str, seconds: float) -> int | str:
    """The offset of the first match; -1: none; or, as a text, why the search failed."""
    expression = compiled(pattern)
    if isinstance(expression, str):
        return expression
    try:
        match = expression.search(within, timeout=seconds)
    except TimeoutError:
        return f"takes more than {seconds:g} s for this text"
    except (MemoryError, RecursionError):
        return "needs more memory than available"
    return -1 if match is None else match.start()
