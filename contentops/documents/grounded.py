"""Finds what a text states and its brief does not: numbers and addresses.

Only words are compared. Whether a number of the brief is used for the same thing, or is true, cannot be known here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.documents.claims import (
    Claim,
    Lines,
    Segment,
    addresses,
    host_of,
    hosts,
    parents,
    prose_of,
    segments,
    without_addresses,
    without_marks,
)
from contentops.documents.numbers import Known, blank, figures, plain_digits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Grounded


class Unsourced(NamedTuple):
    """What a text states and its brief does not, where it is first."""

    line: int
    """The line of the body (from 1), or 0 for the title."""
    kind: str
    words: str
    times: int = 1


def claims_without_source(check: Grounded, title: str, body: str) -> list[Unsourced]:
    """What a text states and its brief does not, by line; the same words once. Never raises."""
    brief = _Brief(check)
    prose = prose_of([Segment(-1, title, is_heading=True), *segments(body)])
    claims: list[Claim] = []
    if check.urls:
        claims += (claim for claim in prose.addresses if not brief.has_address(claim))
    if check.numbers:
        claims += _numbers(prose.text, brief.known)
    found: dict[tuple[str, str], Unsourced] = {}
    for claim in claims:
        key = (claim.kind, claim.words)
        line = prose.lines[claim.line] + 1
        found[key] = found[key]._replace(times=found[key].times + 1) if key in found else Unsourced(line, *key)
    return sorted(found.values(), key=lambda each: each.line)


class _Brief:
    """What a brief and the list of what is allowed hold."""

    def __init__(self, check: Grounded) -> None:
        allowed = "\n".join(check.allow)
        brief = plain_digits(f"{check.brief}\n{allowed}")
        stated = [claim.normal for claim in addresses(brief)]
        self._addresses = {*stated, *map(host_of, stated), *hosts(brief)}
        self._above = {*(claim.normal for claim in addresses(allowed)), *hosts(allowed)}
        self.known = Known(figures(without_addresses(brief).replace("_", " ")))

    def has_address(self, claim: Claim) -> bool:
        """Whether an address is known, or below an allowed one."""
        return claim.normal in self._addresses or not self._above.isdisjoint(parents(claim.normal))


# --- numbers that state nothing --------------------------------------------------------------------------------------

_NUMBERING: Final = re.compile(r"^[\s>|#+-]*\(?\d{1,3}(?:\.\d{1,3})*[.):](?=\s|$)", re.MULTILINE)


def _numbers(text: str, known: Known) -> Iterator[Claim]:
    text = _NUMBERING.sub(blank, without_marks(text))
    lines = Lines(text)
    for figure in sorted(figures(text), key=lambda one: one.start):
        if not known.has(figure):
            yield Claim(lines.of(figure.start), "number", " ".join(figure.words.split()))
