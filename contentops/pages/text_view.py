"""The text of an item on its page: as it is, or compared with another one, with the findings of its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup
from msgspec import Struct

from contentops.digest import NOTHING
from contentops.documents.checks import refused_words
from contentops.documents.word_diff import Side, TextDiff, word_diff
from contentops.errors import ContentopsError, Severity
from contentops.operations.texts.diff_and_restore import from_remote
from contentops.operations.texts.item_texts import TextVersion
from contentops.pages.words import coded
from contentops.reporting.prose import ProsePart, changed_words, prose
from contentops.reporting.times import on_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.documents.blocks import TextBlock
    from contentops.errors import Diagnostic
    from contentops.operations.review import ReviewItem
    from contentops.operations.texts.item_texts import ItemTexts
    from contentops.pages.site import Site

_NOTE: Final = Markup(
    '<p class="finding{}"><svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">'
    '<path d="M8 2 14.6 13.6H1.4zM8 6.4v3.4M8 11.6v.2"/></svg> <strong>Line {}:</strong> {}. {}</p>'
)


class TextView(Struct, frozen=True, kw_only=True):
    """The text as it is, or compared with another one."""

    parts: Sequence[ProsePart]
    top: Sequence[Diagnostic] = ()
    """Findings that are about no line of the text."""
    diff: TextDiff | None = None
    gone: int = 0
    new: int = 0
    title: Markup | None = None
    """The title, if it is another one."""
    problem: str = ""
    """Why there is no comparison."""


def sides_of(one: ReviewItem, texts: ItemTexts, now: float) -> list[tuple[str, str]]:
    """Return what the text can be compared with, each with its name in addresses: the first one is the default."""
    sides: list[tuple[str, str]] = []
    if texts.approved is not None and (before := one.approved_before) is not None:
        sides.append(("approved", f"approved {on_day(before.at, now)}"))
    if one.record is not None and any(text.digest == one.record.generated for text in texts.earlier):
        sides.append(("generated", "as generated"))
    if one.record is not None and one.record.content_id:
        sides.append(("server", "on the server"))
    return sides


def text_view(one: ReviewItem, texts: ItemTexts) -> TextView:
    """Return the text as it is, with what its checks refuse marked."""
    if texts.now is None:
        return TextView(parts=())
    notes = _Notes(one, texts.now.first_line)
    marks = refused_words(one.spec.checks) if one.spec is not None and one.findings else ()
    parts = prose(word_diff(texts.now.body, texts.now.body), notes=notes.under, marks=marks)
    return TextView(parts=parts, top=notes.rest)


def changes_view(site: Site, one: ReviewItem, texts: ItemTexts, against: str, *, unfold: bool) -> TextView:
    """Return the text compared with another one; `against`: a name of `sides_of`, or the start of a digest."""
    if texts.now is None:
        return TextView(parts=())
    try:
        old = _other(site, one, texts, against)
    except ContentopsError as error:
        return TextView(parts=(), problem=f"{error.message}; {error.hint}" if error.hint else error.message)
    notes = _Notes(one, texts.now.first_line)
    diff = word_diff(old.body, texts.now.body)
    title = changed_words(old.title, texts.now.title) if old.title and old.title != texts.now.title else None
    return TextView(
        parts=prose(diff, notes=notes.under, fold=not unfold),
        top=notes.rest,
        diff=diff,
        gone=diff.count(Side.GONE),
        new=diff.count(Side.NEW),
        title=title,
    )


def _other(site: Site, one: ReviewItem, texts: ItemTexts, against: str) -> TextVersion:
    """The text that this one is compared with. Raises ContentopsError where it is not to be had."""
    if against == "approved" and texts.approved is not None:
        return texts.approved
    if against == "server":
        stored = from_remote(site.project(), one.id, runtime=site.runtime)
        title = str(stored.front.get("title", ("", ""))[0] or "")
        return TextVersion(title=title, body=stored.before or "", digest=NOTHING)
    return texts.named(one.record.generated if against == "generated" and one.record is not None else against)


class _Notes:
    """The findings of checks: under the block with their line, the rest above the text."""

    def __init__(self, one: ReviewItem, first_line: int) -> None:
        self.rest = list(one.findings)
        self._subject, self._first = f"item `{one.id}`: ", first_line

    def under(self, block: TextBlock) -> Iterator[Markup]:
        start, end = block.line + self._first, block.end + self._first
        mine = [each for each in self.rest if each.location is not None and start <= each.location.line < end]
        for each in mine:
            self.rest.remove(each)
            is_error = each.severity is Severity.ERROR
            stops = "It stops the text from being written and saved." if is_error else "A warning: it stops nothing."
            message = coded(each.message.removeprefix(self._subject))
            yield _NOTE.format(" stop" if is_error else "", each.location.line if each.location else 0, message, stops)
