"""The text of an item on its page: as it is, or compared with another one, with the findings of its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.digest import NOTHING
from contentops.documents.checks import refused_words
from contentops.documents.word_diff import TextDiff, word_diff
from contentops.errors import ContentopsError
from contentops.operations.texts.diff_and_restore import from_remote
from contentops.operations.texts.item_texts import TextVersion
from contentops.pages.site import macro
from contentops.reporting.prose import ProsePart, changed_words, prose
from contentops.reporting.times import on_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from contentops.documents.blocks import TextBlock
    from contentops.errors import Diagnostic
    from contentops.operations.review import ReviewItem
    from contentops.operations.texts.item_texts import ItemTexts
    from contentops.pages.site import Site
    from contentops.reporting.prose import Notes

    TitleAndBody = tuple[str, str]


class TextView(Struct, frozen=True, kw_only=True):
    """A text as it is, or compared with another one."""

    parts: Sequence[ProsePart] = ()
    top: Sequence[Diagnostic] = ()
    """Findings that are about no line of the text."""
    diff: TextDiff | None = None
    title: Markup | None = None
    """The title, if it is another one."""
    problem: str = ""
    """Why there is no comparison."""

    @property
    def edits(self) -> int:
        """How many edits a reader sees, the title's among them."""
        return (self.diff.edits if self.diff is not None else 0) + (self.title is not None)


def compared(old: TitleAndBody, new: TitleAndBody, notes: Notes = lambda _: (), *, fold: bool = True) -> TextView:
    """Return what changed between two texts."""
    diff = word_diff(old[1], new[1])
    title = changed_words(old[0], new[0]) if old[0] != new[0] else None
    return TextView(diff=diff, parts=prose(diff, notes=notes, fold=fold), title=title)


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


def text_view(one: ReviewItem, now: TextVersion) -> TextView:
    """Return the text as it is, with what its checks refuse marked."""
    notes = _Notes(one, now.first_line)
    marks = refused_words(one.spec.checks) if one.spec is not None and one.findings else ()
    return TextView(parts=prose(word_diff(now.body, now.body), notes=notes.under, marks=marks), top=notes.rest)


def changes_view(site: Site, one: ReviewItem, texts: ItemTexts, against: str, *, unfold: bool) -> TextView:
    """Return the text compared with another one; `against`: a name of `sides_of`, or the start of a digest."""
    assert texts.now is not None
    try:
        old = _other(site, one, texts, against)
    except ContentopsError as error:
        return TextView(problem=f"{error.message}; {error.hint}" if error.hint else error.message)
    notes = _Notes(one, texts.now.first_line)
    # A text without a title is compared by its body alone.
    new = (texts.now.title, texts.now.body)
    return structs.replace(compared((old.title or new[0], old.body), new, notes.under, fold=not unfold), top=notes.rest)


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
    """The findings of checks: under the block with their line; the rest is shown above the text."""

    def __init__(self, one: ReviewItem, first_line: int) -> None:
        self.rest = list(one.findings)
        self._item, self._first = one.id, first_line

    def under(self, block: TextBlock) -> Iterator[Markup]:
        start, end = block.line + self._first, block.end + self._first
        for each in [one for one in self.rest if one.location is not None and start <= one.location.line < end]:
            self.rest.remove(each)
            yield macro("note", each, self._item)
