"""The most tokens that a model may use for one text: the engine keeps to it, and a plan prices it.

Imports only `tokens` of contentops, so that both count the same. The limit is generous for any real text, and true by
construction: the engine sends no prompt that could go beyond it. For that it counts what the model's server reports,
and a prompt under way at one token for each byte. Where a server reports nothing, it counts an estimate.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from contentops.tokens import MOST, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET = {"quick": 8_000, "standard": 16_000, "premium": 24_000}
"""Completion tokens of one text by mode, shared by its calls."""
EDITS = {"quick": 0, "standard": 1, "premium": 2}
"""Calls that edit a section, by mode."""
WORDS = {"quick": 80, "standard": 150, "premium": 220}
"""Words of a section by mode, where no input sets a length."""
SHORTEST = 20
"""The fewest words to ask for."""
SECTIONS = 8
"""The most sections of a template of the bundled catalog."""
OVERHEAD = 100
"""The most tokens that a model's server adds to a prompt: roles, separators, a date."""
CONTEXT = 1_500
"""The most tokens of the text before a section in its prompt, as estimated."""
SECTION = 16_000
"""The most tokens of a section that is written again, and of its answer unless the settings say another number."""

WHOLE_TRIES = 2
"""The most prompts for a text that is written in one call."""

_TOKENS_PER_WORD = 1.3
_HEADROOM = 2.0
_ROLE = 500
"""Tokens of the role of the model, without the fields of the request."""
_LABEL = 20
"""Tokens of the name of an input."""
_INSTRUCTIONS = 4_000
"""Tokens of what is to change in a section."""
_ORDER = 700
"""Tokens of what is asked for, without inputs and texts."""


def section_words(mode: str, inputs: Mapping[str, Any], sections: int) -> int:
    """Return the words of each of so many sections."""
    target = inputs.get("word_count_target")
    if isinstance(target, str) and target.strip().isdecimal() and len(target.strip()) < 8:
        target = int(target)
    if isinstance(target, int | float) and not isinstance(target, bool) and 0 < target < 1_000_000:
        return max(SHORTEST, round(target / sections))
    return WORDS[mode]


def calls_of(mode: str, sections: int) -> int:
    """Return the calls of a text that needs no second try: the plan, each section, and its edits."""
    return 1 + sections * (1 + EDITS[mode])


def answer_tokens(mode: str, calls: int, words: int, max_tokens: int = 0) -> int:
    """The tokens of one answer: those of the settings, else a part of the mode's, at least enough for `words`."""
    return max_tokens or max(BUDGET[mode] // calls, math.ceil(words * _TOKENS_PER_WORD * _HEADROOM))


def whole_answer(mode: str, words: int, max_tokens: int = 0) -> int:
    """Return the tokens of the answer that is a whole text of so many words."""
    return answer_tokens(mode, 4, words, max_tokens)


def section_answer(mode: str, words: int, max_tokens: int = 0) -> int:
    """Return the tokens of one answer for a section that is written again."""
    return max_tokens or min(answer_tokens(mode, 2 + EDITS[mode], words), SECTION)


def text_limit(
    mode: str,
    fields: Mapping[str, Any],
    inputs: Mapping[str, Any],
    max_tokens: int = 0,
    *,
    passes: str = "staged",
    sections: int = SECTIONS,
) -> Tokens:
    """Return the most tokens of a text, in all calls and second tries.

    `fields`: those of the request that the model gets, such as the vertical. `max_tokens`: of one answer, by the
    settings; 0: they say none. `passes`: `one` call for the whole text, or `staged`.
    """
    prompt, length = _prompt(fields, inputs) + CONTEXT, section_words(mode, inputs, sections)
    if passes == "one":
        most = WHOLE_TRIES + 2
        return _limit(most * prompt, most * whole_answer(mode, sections * length, max_tokens))
    calls = calls_of(mode, sections)
    answer = answer_tokens(mode, calls, length, max_tokens)
    most = calls + 2 + sections // 2
    edited = sections * EDITS[mode] * answer
    return _limit(most * prompt + 2 * edited, most * answer)


def section_limit(mode: str, fields: Mapping[str, Any], inputs: Mapping[str, Any], max_tokens: int = 0) -> Tokens:
    """Return the most tokens of one section that is written again; parameters as in `text_limit`."""
    answer, most = max_tokens or SECTION, 1 + EDITS[mode] + 2
    prompt = _prompt(fields, inputs) + _INSTRUCTIONS + 2 * CONTEXT + SECTION
    return _limit(most * prompt + 2 * EDITS[mode] * answer, most * answer)


def largest_call(
    mode: str, fields: Mapping[str, Any], inputs: Mapping[str, Any], max_tokens: int = 0, *, passes: str = "staged"
) -> Tokens:
    """Return the most tokens of one call for a whole text, rather too many; parameters as in `text_limit`."""
    prompt, length = _prompt(fields, inputs), section_words(mode, inputs, SECTIONS)
    if passes == "one":
        return _limit(prompt, whole_answer(mode, SECTIONS * length, max_tokens))
    answer = answer_tokens(mode, calls_of(mode, SECTIONS), length, max_tokens)
    return _limit(prompt + max(CONTEXT, answer if EDITS[mode] else 0), answer)


def estimate(text: str) -> int:
    """The tokens of a text, rather too many: half a token for a byte of ASCII, two thirds for one of other scripts."""
    ascii_bytes = sum(char < "\x80" for char in text)
    return ascii_bytes // 2 + 2 * (len(text.encode("utf-8", "replace")) - ascii_bytes) // 3


def ending(text: str, tokens: int) -> str:
    """Return the end of a text, of at most so many tokens, as estimated."""
    return _fitting(text[: -2 * tokens - 1 : -1], tokens)[::-1]


def beginning(text: str, tokens: int) -> str:
    """Return the beginning of a text, of at most so many tokens, as estimated."""
    return _fitting(text[: 2 * tokens], tokens)


def _fitting(text: str, tokens: int) -> str:
    room = 6 * tokens
    for at, char in enumerate(text):
        room -= 3 if char < "\x80" else 4 * len(char.encode("utf-8", "replace"))
        if room < 0:
            return text[:at]
    return text


def _limit(read: int, wrote: int) -> Tokens:
    return Tokens(input=min(read, MOST), output=min(wrote, MOST))


def _prompt(fields: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """Return the tokens that every prompt has: the role of the model, the brief, the order, and what a server adds."""
    told = (*fields.values(), inputs.get("article_tone", ""))
    role = _ROLE + sum(estimate(_text(value)) for value in told)
    brief = sum(estimate(_text(value)) + _LABEL + len(name) for name, value in inputs.items())
    return OVERHEAD + role + brief + _ORDER


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
