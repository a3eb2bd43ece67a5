"""Merges texts without losing a person's words: a new generation with a hand edit, or the edits of two people.

Sections (see `sections`) are taken whole; where two people touched the same one, its paragraphs are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from contentops.documents.alignment import chunks, rising
from contentops.documents.clean import clean_body
from contentops.sections import Key, cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


T = TypeVar("T")
S = TypeVar("S")


# --- a new generation and a hand edit --------------------------------------------------------------------------


class KeptSection(Struct, frozen=True, kw_only=True):
    """A section that stays as a person left it, and the new text that is not used."""

    key: Key
    base: str = ""
    """As it was generated; empty: a person added it."""
    new: str = ""
    """As the new text has it; empty: it has no such section."""


class Renewed(Struct, frozen=True, kw_only=True):
    """A new text with a person's edits of the one before."""

    body: str
    kept: tuple[KeptSection, ...] = ()
    """The sections of the person, in the order of the file, then those that the person removed."""

    @property
    def overruled(self) -> tuple[KeptSection, ...]:
        """The kept sections for which the new text says something else than the one before did."""
        return tuple(section for section in self.kept if section.new.strip() != section.base.strip())


def take_new(base: str, edited: str, new: str) -> Renewed | None:
    """The new text with the edits that make `edited` of `base`.

    What a person touched, added, removed, renamed or moved stays; every other section comes from the new text, in its
    order where the person did not move things. A kept section that the new text lacks stays behind the one it followed.
    None: a code block or comment that one section leaves open would take in the next one.
    """
    if clean_body(edited) == clean_body(base):
        return Renewed(body=new)
    was, now, generated = _sections(base), _sections(edited), _sections(new)
    persons, put, removed = _of_a_person(was, now)
    kept = [KeptSection(key=key, base=was.get(key, ""), new=generated.get(key, "")) for key in now if key in persons]
    kept += [KeptSection(key=key, base=was[key], new=generated[key]) for key in removed if key in generated]
    if clean_body(new) == clean_body(base):
        return Renewed(body=edited, kept=tuple(kept))
    before, after = _counted(was), _counted(now)
    free = {key for key in generated if key not in persons and before[key[:2]] == after[key[:2]]}
    frame = [key for key in generated if key in free or (key in persons and key not in put)]
    order = _placed(frame, now, [key for key in now if key in persons])
    body = _joined((now[key] if key in persons else generated[key] for key in order), now, generated)
    if [section.key[:2] for section in cut(body)] != [key[:2] for key in order]:
        return None
    return Renewed(body=body, kept=tuple(kept))


def touched(base: str, edited: str) -> tuple[Key, ...]:
    """The sections a person touched, added or moved, in their order, then those they removed."""
    now = _sections(edited)
    persons, _, removed = _of_a_person(_sections(base), now)
    return (*(key for key in now if key in persons), *removed)


def _of_a_person(was: Mapping[Key, str], now: Mapping[Key, str]) -> tuple[set[Key], set[Key], list[Key]]:
    """The sections of an edited text that are a person's, those of them moved or added, and the removed ones."""
    before, after = _counted(was), _counted(now)
    positions = {key: number for number, key in enumerate(was)}
    common = [key for key in now if key in positions]
    put = set(now) - {common[number] for number in rising([positions[key] for key in common])}
    # If one of several sections with one heading was removed or added, no one knows which: all of them are a person's.
    persons = {key for key in now if before[key[:2]] != after[key[:2]] or was[key].strip() != now[key].strip()}
    removed = [key for key in was if before[key[:2]] != after[key[:2]] and key not in now]
    return persons | put, put, removed


def _counted(sections: Iterable[Key]) -> Counter[tuple[int, str]]:
    return Counter(key[:2] for key in sections)


def _placed(frame: list[Key], now: Iterable[Key], persons: Iterable[Key]) -> list[Key]:
    """`frame` and the `persons` it lacks; each of these comes after the section that it follows in `now`."""
    placed, wanted, edited = set(frame), set(persons), set(now)
    behind: dict[Key | None, list[Key]] = defaultdict(list)
    # The text before the first heading stays first.
    anchor = frame[0] if frame and frame[0].level == 0 else None
    for key in now:
        if key in placed:
            anchor = key
        elif key in wanted:
            behind[anchor].append(key)
    order, waiting = [*behind[None]], list[Key]()
    for key in frame:
        # New sections below the one before it belong to that one.
        if waiting and (key in edited or key.level <= waiting[0].level):
            order += waiting
            waiting = []
        order.append(key)
        waiting = behind[key] or waiting
    return order + waiting


# --- the edits of two people -----------------------------------------------------------------------------------


class Conflict(Struct, frozen=True, kw_only=True):
    """Two different edits of one piece. Empty: that side removed it."""

    ours: str
    theirs: str


class Merged(Struct, frozen=True, kw_only=True):
    """Two edits of one text: merged pieces, and conflicts."""

    parts: tuple[str | Conflict, ...]

    @property
    def body(self) -> str | None:
        """The text where nothing is in conflict, else None."""
        return None if self.conflicts else "".join(part for part in self.parts if isinstance(part, str))

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The pieces that a person has to decide."""
        return tuple(part for part in self.parts if isinstance(part, Conflict))


def merge_edits(base: str, ours: str, theirs: str) -> Merged:
    """Both edits of `base` in one text.

    A section that one side touched is taken whole, one that both touched is merged by paragraph; equal changes are one.
    """
    for one, other in ((ours, theirs), (theirs, ours)):
        if other in (base, one):
            return Merged(parts=(one,))
    sides = (_, our_sections, their_sections) = _sections(base), _sections(ours), _sections(theirs)
    order = _merged_order(*sides)
    if order is None:
        parts = _by_paragraph(_padded(base), _padded(ours), _padded(theirs))
    else:
        parts = [part for key in order for part in _by_paragraph(*(side.get(key, "") for side in sides))]
    if _is_miscounted(parts, ours, theirs):
        return Merged(parts=(Conflict(ours=ours, theirs=theirs),))
    merged = [part for part in parts if isinstance(part, str)]
    if len(merged) < len(parts):
        return Merged(parts=tuple(parts))
    body = _joined(merged, our_sections, their_sections)
    names = [section.key[:2] for section in cut(body)]
    most = _counted(our_sections) | _counted(their_sections)
    if Counter(names) - most or (order is not None and names != [key[:2] for key in order]):
        # Moved twice, or a code block or comment that one side left open takes in what follows.
        return Merged(parts=(Conflict(ours=ours, theirs=theirs),))
    return Merged(parts=(body,))


def _is_miscounted(parts: Sequence[str | Conflict], ours: str, theirs: str) -> bool:
    """Whether a merge has some paragraph more often than each of the edits has it, or less often.

    Then both added it in two locations, or each removed another copy: only a person knows how many there are to be.
    """
    merged = _counted_words(part for part in parts if isinstance(part, str))
    disputed = _counted_words(side for part in parts if isinstance(part, Conflict) for side in (part.ours, part.theirs))
    our_count, their_count = _counted_words([ours]), _counted_words([theirs])
    return bool(merged - (our_count | their_count) or (our_count & their_count) - (merged + disputed))


def _counted_words(texts: Iterable[str]) -> Counter[str]:
    """How often some texts have each paragraph; those without words, such as rules, are left out."""
    sections = (section.text for text in texts for section in cut(text))
    paragraphs = (paragraph.strip() for section in sections for paragraph in _paragraphs(section))
    return Counter(paragraph for paragraph in paragraphs if _WORD.search(paragraph))


_WORD = re.compile(r"\w")


def _merged_order(was: Mapping[Key, str], ours: Mapping[Key, str], theirs: Mapping[Key, str]) -> list[Key] | None:
    """The sections of both edits in order; None where sections cannot be matched."""
    counts = [_counted(each) for each in (was, ours, theirs)]
    for name in {key[:2] for key in (*was, *ours, *theirs)}:
        numbers = {count[name] for count in counts}
        if len(numbers) > 1 and max(numbers) > 1:
            return None  # several have one heading: no one can tell which was removed or added
    for key, text in was.items():
        if {ours.get(key), theirs.get(key)} - {text, None} and None in (ours.get(key), theirs.get(key)):
            return None  # touched on one side, removed or renamed on the other
    order: list[Key] = []
    for chunk in chunks(tuple(was), tuple(ours), tuple(theirs)):
        merged = _merged_run(*chunk)
        if merged is None and not chunk[0] and not set(chunk[1]) & set(chunk[2]):
            # Each added some: the order is the same whoever merges.
            one, other = sorted(chunk[1:])
            merged = one + other
        if merged is None:
            return None
        order += merged
    return order if len(set(order)) == len(order) else None


def _by_paragraph(base: str, ours: str, theirs: str) -> list[str | Conflict]:
    """A text merged by paragraph; one that is whole on one side comes back whole."""
    if (whole := merge_one(base, ours, theirs)) is not None:
        return [whole]
    parts: list[str | Conflict] = []
    for chunk in chunks(*map(_paragraphs, (base, ours, theirs))):
        merged = _merged_run(*chunk)
        ours, theirs = ("".join(side) for side in chunk[1:])
        parts.append(Conflict(ours=ours, theirs=theirs) if merged is None else "".join(merged))
    return parts


def _paragraphs(text: str) -> tuple[str, ...]:
    """Lines up to the next blank one, with the blank ones that follow."""
    paragraphs: list[list[str]] = []
    blank = True
    for line in _LINE.findall(text):
        if not paragraphs or (blank and line.strip()):
            paragraphs.append([])
        paragraphs[-1].append(line)
        blank = not line.strip()
    return tuple("".join(lines) for lines in paragraphs)


_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def _merged_run(base: tuple[T, ...], ours: tuple[T, ...], theirs: tuple[T, ...]) -> tuple[T, ...] | None:
    """As `merge_one`, for pieces in a row: of two additions at one point, one may contain the other."""
    merged = merge_one(base, ours, theirs)
    if merged is None and not base:
        return next((one for one, other in ((ours, theirs), (theirs, ours)) if _is_within(other, one)), None)
    return merged


def _is_within(short: tuple[T, ...], long: tuple[T, ...]) -> bool:
    """Whether `long` contains all of `short`, in their order."""
    rest = iter(long)
    return all(each in rest for each in short)


def merge_one(base: S, ours: S, theirs: S) -> S | None:
    """The result where at most one side changed a piece, or both alike; None: both changed it differently."""
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else None


# --- sections as pieces ----------------------------------------------------------------------------------------


def _sections(body: str) -> dict[Key, str]:
    """The sections of a body, the last one with a blank line after it like the others."""
    return {section.key: section.text for section in cut(_padded(body))}


def _padded(body: str) -> str:
    text = body.rstrip("\n")
    return f"{text}\n\n" if text else ""


def _joined(texts: Iterable[str], *sources: Mapping[Key, str]) -> str:
    """Joins sections with a blank line where one is needed: an underlined heading would take in the line before it.

    Sections that are neighbours in one of the `sources` get none.
    """
    joined: list[str] = []
    beside = {pair for source in sources for pair in pairwise(source.values())}
    for text in filter(None, texts):
        if joined and not joined[-1].endswith("\n\n") and not text.startswith("#") and (joined[-1], text) not in beside:
            joined.append("\n")
        joined.append(text)
    return clean_body("".join(joined))
