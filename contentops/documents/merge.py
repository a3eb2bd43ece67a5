"""Texts brought together so that no words of a person get lost: a new generation under a hand edit, two people's edits.

Sections (see `sections`) are what is taken whole; where two people touched the same one, its paragraphs are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from contentops.conflict_markers import between_markers
from contentops.documents.alignment import chunks, rising
from contentops.documents.clean import clean_body, conflict_line
from contentops.sections import Key, cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


T = TypeVar("T")
S = TypeVar("S")


# --- a new generation against a hand edit ----------------------------------------------------------------------


class KeptSection(Struct, frozen=True, kw_only=True):
    """A section that stays as a person left it, beside the new text that is not taken for it."""

    key: Key
    base: str = ""
    """As it was generated; empty: a person added it."""
    new: str = ""
    """As the new text has it; empty: it has no such section."""


class Renewed(Struct, frozen=True, kw_only=True):
    """A body made of a new text and what a person had made of the one before."""

    body: str
    kept: tuple[KeptSection, ...] = ()
    """The sections of the person: as they stand in the file, then those that are not in it any more."""

    @property
    def overruled(self) -> tuple[KeptSection, ...]:
        """The kept sections for which the new text says something else than the one before did."""
        return tuple(kept for kept in self.kept if _words(kept.new) != _words(kept.base))


def take_new(base: str, edited: str, new: str) -> Renewed | None:
    """The new text, with the sections a person made of `base` what they are in `edited` as they left them.

    What a person touched, added, removed, renamed or moved stays; every other section comes from the new text, in its
    order where the person did not move things. A kept section that the new text does not have stays behind the one it
    followed. None: the sections cannot stand side by side, as a code block or comment in one of them is left open.
    """
    if clean_body(edited) == clean_body(base):
        return Renewed(body=new)
    was, here, there = _sections(base), _sections(edited), _sections(new)
    persons, put, removed = _of_a_person(was, here)
    kept = [KeptSection(key=key, base=was.get(key, ""), new=there.get(key, "")) for key in here if key in persons]
    kept += [KeptSection(key=key, base=was[key], new=there[key]) for key in removed if key in there]
    if clean_body(new) == clean_body(base):
        return Renewed(body=edited, kept=tuple(kept))
    before, after = _counted(was), _counted(here)
    free = {key for key in there if key not in persons and before[key[:2]] == after[key[:2]]}
    frame = [key for key in there if key in free or (key in persons and key not in put)]
    order = _placed(frame, here, [key for key in here if key in persons])
    body = _joined((here[key] if key in persons else there[key] for key in order), here, there)
    if [section.key[:2] for section in cut(body)] != [key[:2] for key in order]:
        return None
    return Renewed(body=body, kept=tuple(kept))


def touched(base: str, edited: str) -> tuple[Key, ...]:
    """The sections a person touched, added or moved, in their order, then those they removed."""
    here = _sections(edited)
    persons, _, removed = _of_a_person(_sections(base), here)
    return (*(key for key in here if key in persons), *removed)


def _of_a_person(was: Mapping[Key, str], here: Mapping[Key, str]) -> tuple[set[Key], set[Key], list[Key]]:
    """The sections of an edited text that are a person's, those that the person put where they are, and those gone."""
    before, after = _counted(was), _counted(here)
    place = {key: number for number, key in enumerate(was)}
    common = [key for key in here if key in place]
    put = set(here) - {common[number] for number in rising([place[key] for key in common])}
    # Of several sections with one heading, one that is gone or new leaves open which: then all of them are a person's.
    persons = {key for key in here if before[key[:2]] != after[key[:2]] or _words(was[key]) != _words(here[key])}
    removed = [key for key in was if before[key[:2]] != after[key[:2]] and key not in here]
    return persons | put, put, removed


def _counted(sections: Iterable[Key]) -> Counter[tuple[int, str]]:
    return Counter(key[:2] for key in sections)


def _placed(frame: list[Key], here: Iterable[Key], persons: Iterable[Key]) -> list[Key]:
    """`frame` and the `persons` it lacks; each of these comes after the section that it follows in `here`."""
    standing, wanted, known = set(frame), set(persons), set(here)
    behind: dict[Key | None, list[Key]] = defaultdict(list)
    # What stands before the first heading can stand nowhere else.
    anchor = frame[0] if frame and frame[0].level == 0 else None
    for key in here:
        if key in standing:
            anchor = key
        elif key in wanted:
            behind[anchor].append(key)
    order, waiting = [*behind[None]], list[Key]()
    for key in frame:
        # New sections below the one before it belong to that one.
        if waiting and (key in known or key.level <= waiting[0].level):
            order += waiting
            waiting = []
        order.append(key)
        waiting = behind[key] or waiting
    return order + waiting


# --- a person here against a person there ----------------------------------------------------------------------


class Conflict(Struct, frozen=True, kw_only=True):
    """Words of two people in one place. Empty: that one removed what was there."""

    ours: str
    theirs: str

    def marked(self) -> str:
        """Both between the markers of a conflict."""
        return between_markers(self.ours, self.theirs)


class Merged(Struct, frozen=True, kw_only=True):
    """What became of two edits of one text: pieces that are settled, and conflicts."""

    parts: tuple[str | Conflict, ...]

    @property
    def body(self) -> str | None:
        """The text where nothing is in conflict, else None."""
        return None if self.conflicts else "".join(part for part in self.parts if isinstance(part, str))

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The places that a person has to settle."""
        return tuple(part for part in self.parts if isinstance(part, Conflict))

    def marked(self) -> str:
        """The text with git's markers around each conflict, so that it is found and settled like one of git's."""
        text = clean_body("".join(part if isinstance(part, str) else part.marked() for part in self.parts))
        if not self.conflicts or conflict_line(text):
            return text
        # In a code block markers are words like others: then all of the text stands between them.
        ours = "".join(part if isinstance(part, str) else part.ours for part in self.parts)
        theirs = "".join(part if isinstance(part, str) else part.theirs for part in self.parts)
        return between_markers(ours, theirs)


def merge_edits(base: str, ours: str, theirs: str) -> Merged:
    """Both edits of `base` in one text.

    A section that one side touched is taken whole, one that both touched is merged by paragraph; equal changes are one.
    """
    for one, other in ((ours, theirs), (theirs, ours)):
        if other in (base, one):
            return Merged(parts=(one,))
    was, here, there = _sections(base), _sections(ours), _sections(theirs)
    order = _merged_order(was, here, there)
    if order is None:
        parts = _by_paragraph(_padded(base), _padded(ours), _padded(theirs))
    else:
        parts = [part for key in order for part in _by_paragraph(*(each.get(key, "") for each in (was, here, there)))]
    if _is_miscounted(parts, ours, theirs):
        return Merged(parts=(Conflict(ours=ours, theirs=theirs),))
    settled = [part for part in parts if isinstance(part, str)]
    if len(settled) < len(parts):
        return Merged(parts=tuple(parts))
    body = _joined(settled, here, there)
    names = [section.key[:2] for section in cut(body)]
    most = _counted(here) | _counted(there)
    if Counter(names) - most or (order is not None and names != [key[:2] for key in order]):
        # Moved twice, or a code block or comment that one side left open takes in what follows.
        return Merged(parts=(Conflict(ours=ours, theirs=theirs),))
    return Merged(parts=(body,))


def _is_miscounted(parts: Sequence[str | Conflict], ours: str, theirs: str) -> bool:
    """Whether a merge has some paragraph more often than each of the edits has it, or less often.

    Then both added it in two locations, or each removed another copy: only a person knows how many there are to be.
    """
    settled = _counted_words(part for part in parts if isinstance(part, str))
    disputed = _counted_words(side for part in parts if isinstance(part, Conflict) for side in (part.ours, part.theirs))
    here, there = _counted_words([ours]), _counted_words([theirs])
    return bool(settled - (here | there) or (here & there) - (settled + disputed))


def _counted_words(texts: Iterable[str]) -> Counter[str]:
    """How often some texts have each paragraph; those without words, such as rules, are left out."""
    sections = (section.text for text in texts for section in cut(text))
    paragraphs = (paragraph.strip() for section in sections for paragraph in _paragraphs(section))
    return Counter(paragraph for paragraph in paragraphs if _WORD.search(paragraph))


_WORD = re.compile(r"\w")


def _merged_order(was: Mapping[Key, str], here: Mapping[Key, str], there: Mapping[Key, str]) -> list[Key] | None:
    """The sections of both edits in order; None where they differ in a way that sections cannot tell."""
    counts = [_counted(each) for each in (was, here, there)]
    for name in {key[:2] for key in (*was, *here, *there)}:
        numbers = {count[name] for count in counts}
        if len(numbers) > 1 and max(numbers) > 1:
            return None  # which of several with one heading is gone or new, no one can tell
    for key, text in was.items():
        if {here.get(key), there.get(key)} - {text, None} and None in (here.get(key), there.get(key)):
            return None  # touched on one side, removed or renamed on the other
    order: list[Key] = []
    for chunk in chunks(tuple(was), tuple(here), tuple(there)):
        settled = _settled_run(*chunk)
        if settled is None and not chunk[0] and not set(chunk[1]) & set(chunk[2]):
            # Each added some: whose come first does not hang on who asks.
            one, other = sorted(chunk[1:])
            settled = one + other
        if settled is None:
            return None
        order += settled
    return order if len(set(order)) == len(order) else None


def _by_paragraph(base: str, ours: str, theirs: str) -> list[str | Conflict]:
    """A text merged by paragraph; one that is whole on one side comes back whole."""
    if (whole := merge_one(base, ours, theirs)) is not None:
        return [whole]
    parts: list[str | Conflict] = []
    for chunk in chunks(*map(_paragraphs, (base, ours, theirs))):
        settled = _settled_run(*chunk)
        ours, theirs = ("".join(side) for side in chunk[1:])
        parts.append(Conflict(ours=ours, theirs=theirs) if settled is None else "".join(settled))
    return parts


def _paragraphs(text: str) -> tuple[str, ...]:
    """Lines up to the next blank one, with the blank ones that follow."""
    found: list[list[str]] = []
    blank = True
    for line in _LINE.findall(text):
        if not found or (blank and line.strip()):
            found.append([])
        found[-1].append(line)
        blank = not line.strip()
    return tuple("".join(lines) for lines in found)


_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def _settled_run(base: tuple[T, ...], ours: tuple[T, ...], theirs: tuple[T, ...]) -> tuple[T, ...] | None:
    """As `merge_one`, for pieces in a row: of two that were added in one place, one may have all of the other."""
    settled = merge_one(base, ours, theirs)
    if settled is None and not base:
        return next((one for one, other in ((ours, theirs), (theirs, ours)) if _is_within(other, one)), None)
    return settled


def _is_within(few: tuple[T, ...], many: tuple[T, ...]) -> bool:
    """Whether all of `few` stand in `many`, in their order."""
    left = iter(many)
    return all(each in left for each in few)


def merge_one(base: S, ours: S, theirs: S) -> S | None:
    """What becomes of a piece that at most one side changed, or both alike; None: both changed it otherwise."""
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


def _words(text: str) -> str:
    """A section without the blank lines around it, which say nothing."""
    return text.strip()


def _joined(texts: Iterable[str], *sources: Mapping[Key, str]) -> str:
    """Sections side by side. A heading that is underlined would take in the line before it but for a blank one.

    `sources`: where they come from; what stands side by side there does so here.
    """
    joined: list[str] = []
    beside = {pair for source in sources for pair in pairwise(source.values())}
    for text in filter(None, texts):
        if joined and not joined[-1].endswith("\n\n") and not text.startswith("#") and (joined[-1], text) not in beside:
            joined.append("\n")
        joined.append(text)
    return clean_body("".join(joined))
