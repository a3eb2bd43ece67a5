"""Merges a new generation with a hand edit, section by section (see `sections`), without losing a person's words."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.documents.alignment import rising
from contentops.documents.clean import clean_body
from contentops.sections import Key, cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
    """Return `frame` with the sections of `persons` that it lacks, each after the section that it follows in `now`."""
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
