"""Finds what a text states and its brief does not: numbers, addresses, commands and names.

Only words are compared. Whether a number of the brief is used for the same thing, or is true, cannot be known here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.documents.claims import (
    Claim,
    Lines,
    Prose,
    Segment,
    addresses,
    command_words,
    commands_in_code,
    commands_in_prose,
    has_case,
    host_of,
    name_words,
    names,
    parents,
    prose_of,
    segments,
    without_addresses,
    without_marks,
    writes_nouns_large,
)
from contentops.documents.dates import months
from contentops.documents.figures import Known, figures, plain_digits
from contentops.documents.number_words import listed
from contentops.documents.numbers import Figure, blank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Grounded


class Unsourced(NamedTuple):
    """What a text states and its brief does not, where it is first."""

    line: int
    """The line of the body (from 1), or 0 for the title."""
    kind: str
    words: str
    times: int = 1


class Unfounded(NamedTuple):
    """All of it in one text."""

    claims: list[Unsourced]
    has_case: bool
    """Whether names were looked for, if they were to be."""


def claims_without_source(check: Grounded, title: str, body: str) -> Unfounded:
    """What a text states and its brief does not, by line; the same words once. Never raises."""
    brief = _Brief(check)
    cut = [Segment(-1, title, "heading"), *segments(body)]
    running = prose_of(one for one in cut if one.kind == "prose") if check.names else None
    cased = running is None or has_case(running.text)
    found: dict[tuple[str, str], Unsourced] = {}
    for line, claim in _claims(check, brief, cut, running if cased else None):
        key = (claim.kind, claim.words)
        first = found.get(key)
        # Code comes after prose, wherever it stands.
        at = min(line + 1, first.line) if first is not None else line + 1
        found[key] = Unsourced(at, *key, times=first.times + 1 if first is not None else 1)
    return Unfounded(sorted(found.values(), key=lambda each: each.line), cased)


def _claims(
    check: Grounded, brief: _Brief, cut: Sequence[Segment], running: Prose | None
) -> Iterator[tuple[int, Claim]]:
    """What a text states and the brief does not, each with its line of the body (from 0).

    `running`: the prose without headings, in which names are looked for.
    """
    prose = prose_of(cut)
    found: list[Claim] = []
    if check.commands:
        found += (claim for claim in commands_in_prose(prose) if not brief.has_command(claim))
    if check.urls:
        found += (claim for claim in prose.addresses if not brief.has_address(claim))
    if check.numbers:
        found += _numbers(prose.text, brief)
    yield from ((prose.lines[claim.line], claim) for claim in found)
    for code in (one for one in cut if one.kind == "code" and check.commands):
        yield from ((code.line + one.line, one) for one in commands_in_code(code) if not brief.has_command(one))
    if running is not None:
        fewest = 2 if writes_nouns_large(running.text) else 1
        for claim in names(running.text, fewest):
            if not brief.has_name(claim):
                yield running.lines[claim.line], claim


_MOST_COMMANDS: Final = 500
"""So many different commands of a text are looked for in its brief; further ones are taken as known."""


class _Brief:
    """What a brief and the list of what is allowed hold."""

    def __init__(self, check: Grounded) -> None:
        allowed = "\n".join(check.allow)
        brief = plain_digits(f"{check.brief}\n{allowed}")
        self._addresses = {claim.normal for claim in addresses(brief)}
        self._addresses |= {host_of(address) for address in self._addresses}
        self._above = {claim.normal for claim in addresses(allowed)}
        rest = without_addresses(brief).replace("_", " ")
        self._figures = Known(figures(rest, han=True), months(rest))
        self._commands = f" {command_words(check.brief)} "
        self._programs = tuple(f"{command_words(each)} " for each in check.allow)
        self._looked_for: set[str] = set()
        self._words = name_words(brief) if check.names else set()

    def has_figure(self, figure: Figure) -> bool:
        """Whether a number, date or time states nothing, or nothing new."""
        return not figure.is_claim or self._figures.has(figure)

    def has_address(self, claim: Claim) -> bool:
        """Whether an address is known, or below an allowed one."""
        return claim.normal in self._addresses or not self._above.isdisjoint(parents(claim.normal))

    def has_command(self, claim: Claim) -> bool:
        """Whether a command is part of the brief, or starts like an allowed one."""
        if len(self._looked_for) >= _MOST_COMMANDS:
            return claim.normal not in self._looked_for
        self._looked_for.add(claim.normal)
        return f" {claim.normal} " in self._commands or f"{claim.normal} ".startswith(self._programs)

    def has_name(self, claim: Claim) -> bool:
        """Whether all words of a name are known."""
        return all(word in self._words or word.removesuffix("s") in self._words for word in claim.normal.split(" "))


# --- numbers that state nothing --------------------------------------------------------------------------------------

_NUMBERING: Final = re.compile(r"^[\s>|#+-]*\(?\d{1,3}(?:\.\d{1,3})*[.):](?=\s|$)", re.MULTILINE)
_LABELLED: Final = re.compile(r"\b([^\W\d_]{3,11})\.?\s?#?\d{1,3}\b|(?:手順|ステップ|図|表|第)\s?\d{1,3}")
_LABELS: Final = frozenset(
    listed(
        "step question tip part chapter section figure fig table phase level lesson rule example option reason schritt "
        "frage teil kapitel abschnitt abbildung tabelle tipp punkt regel beispiel paso pregunta parte capítulo sección "
        "figura tabla consejo siglo étape partie chapitre tableau conseil"
    )
)
_CENTURY: Final = re.compile(
    r"\b\d{1,2}(?:st|nd|rd|th|\.|e|ème)?[\s-](?:century|centuries|jahrhunderts?|siècle)\b|\b\d{1,2}世紀", re.IGNORECASE
)


def _numbers(text: str, brief: _Brief) -> Iterator[Claim]:
    text = _NUMBERING.sub(blank, without_marks(text))
    text = _LABELLED.sub(_without_label, _CENTURY.sub(blank, text))
    lines = Lines(text)
    for figure in sorted(figures(text), key=lambda one: one.start):
        if not brief.has_figure(figure):
            yield Claim(lines.of(figure.start), "number", " ".join(figure.words.split()))


def _without_label(match: re.Match[str]) -> str:
    return blank(match) if match[1] is None or match[1].lower() in _LABELS else match[0]
