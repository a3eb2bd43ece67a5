"""Takes one regenerated section from a server's answer, and puts it into a text that keeps every other section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from contentops.sections import Span, cut, spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.sections import Key


class NewSection(Struct, frozen=True):
    """The text under one heading, as a server wrote it again."""

    heading: str
    words: str
    with_deeper: bool
    """It replaces the deeper sections under its heading too; else those stay."""


class Unusable(Struct, frozen=True):
    """Why no section is taken from an answer."""

    why: Literal["absent", "empty", "beside", "others", "gone", "open"]
    """The answer has no such heading; no text under it; words beside the section alone; another text in other sections.
    Or the text that it is for has not one such section; or could not hold it beside the others."""
    others: tuple[Key, ...] = ()
    """The sections that are not as they were, in their order."""


def new_section(answer: str, heading: str, texts: Iterable[str]) -> NewSection | Unusable:
    """The section `heading` of a server's answer: a whole text, or that section alone.

    `texts`: those that the server may have written it into. The rest of the answer has to be as in one of them. A
    section alone without deeper ones keeps those of the text.
    """
    spans_of_it = spans(answer, heading)
    if not spans_of_it:
        return Unusable("absent")
    if not answer[: spans_of_it[0].start].strip() and spans_of_it[0].end == len(answer):
        return _section(answer, spans_of_it[0], with_deeper=spans_of_it[0].below < spans_of_it[0].end)
    unlike = Unusable("beside")
    for before in texts:
        if (was := _only(before, heading)) is None:
            continue
        for now in spans_of_it:
            if _around(before, was) == _around(answer, now):
                return _section(answer, now, with_deeper=True)
        unlike = unlike if unlike.others else _unlike(before, was, answer, spans_of_it[0])
    return unlike


def take_section(text: str, answer: str, heading: str, texts: Iterable[str]) -> tuple[str, NewSection] | Unusable:
    """`text` with the section of a server's answer in it, and that section; `texts` as in `new_section`."""
    if _only(text, heading) is None:
        return Unusable("gone")
    new = new_section(answer, heading, (text, *texts))
    if isinstance(new, Unusable):
        return new
    body = put_section(text, new)
    return Unusable("open") if body is None else (body, new)


def put_section(text: str, new: NewSection) -> str | None:
    """`text` with the section instead of its own; None without exactly one such section, or where it cannot have it."""
    span = _only(text, new.heading)
    if span is None:
        return None
    head, tail = text[: span.text], text[span.end if new.with_deeper else span.below :]
    head = head if head.endswith("\n") else f"{head}\n"
    body = f"{head}{new.words.rstrip()}\n" + (f"\n{tail}" if tail else "")
    # Nothing left open in it may take in the text after it, and none of its headings be another section.
    after, rest = _only(body, new.heading), [section.text for section in cut(tail)]
    texts = [section.text for section in cut(body)]
    if after is None or after.start != span.start or texts[len(texts) - len(rest) :] != rest:
        return None
    return body if len(body) - after.end == len(text) - span.end else None


def is_touched(base: str, edited: str, heading: str) -> bool:
    """Whether a person wrote in a section of `edited`, which was `base`, or in a deeper one under it."""
    was, now = _only(base, heading), _only(edited, heading)
    if was is None or now is None:
        return True
    return base[was.start : was.end].strip() != edited[now.start : now.end].strip()


def deeper(text: str, heading: str) -> tuple[Key, ...]:
    """The deeper sections under a heading, in order."""
    span = _only(text, heading)
    return tuple(section.key for section in cut(text[span.below : span.end])) if span is not None else ()


def _only(text: str, heading: str) -> Span | None:
    matches = spans(text, heading)
    return matches[0] if len(matches) == 1 else None


def _section(answer: str, span: Span, *, with_deeper: bool) -> NewSection | Unusable:
    words = answer[span.text : span.end]
    return NewSection(span.heading, words, with_deeper) if words.strip() else Unusable("empty")


def _around(text: str, span: Span) -> tuple[list[str], list[str]]:
    """The sections before and after one, without the blank lines around them, which say nothing."""
    return _words(text[: span.start]), _words(text[span.end :])


def _words(text: str) -> list[str]:
    return [section.text.strip() for section in cut(text) if section.text.strip()]


def _unlike(before: str, was: Span, answer: str, now: Span) -> Unusable:
    """The sections that differ between two texts, without the given one."""
    ours, theirs = (_texts(text[: span.start] + text[span.end :]) for text, span in ((before, was), (answer, now)))
    headed = {key for key in ours if key.level}
    if headed and not headed & theirs.keys():
        return Unusable("beside")
    both = dict.fromkeys((*ours, *theirs))
    return Unusable("others", tuple(key for key in both if ours.get(key) != theirs.get(key)) or tuple(both))


def _texts(text: str) -> dict[Key, str]:
    return {section.key: section.text.strip() for section in cut(text) if section.text.strip()}
