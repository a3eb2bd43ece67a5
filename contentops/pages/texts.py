"""Texts on pages: as they are, compared with another one, and in the form that edits them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup
from msgspec import Struct, structs

from contentops.digest import NOTHING, Digest
from contentops.documents.blocks import TextBlock
from contentops.documents.checks import refused_words
from contentops.documents.word_diff import TextDiff, word_diff
from contentops.errors import ContentopsError, Diagnostic, FileChanged, Refused
from contentops.operations.review import ReviewItem
from contentops.operations.texts.diff_and_restore import from_remote
from contentops.operations.texts.editing import TextEdit, protected
from contentops.operations.texts.item_texts import ItemTexts, TextVersion, text_of_file
from contentops.pages.site import PageContent, Site, explained, macro
from contentops.reporting.prose import Notes, ProsePart, changed_words, prose
from contentops.reporting.times import on_day

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
    elif one.approved_before is None and not one.edited and texts.before is not None:
        sides.append((texts.before.short, "the text before it"))
    if one.record is not None and any(text.digest == one.record.generated for text in texts.earlier):
        sides.append(("generated", "as generated"))
    if one.record is not None and one.record.content_id:
        sides.append(("server", "on the server"))
    return sides


def text_view(one: ReviewItem, now: TextVersion) -> TextView:
    """Return the text as it is, with what its checks refuse marked."""
    notes = _Notes(one, now.first_line)
    marks = refused_words(one.spec.checks, now.title, now.body) if one.spec is not None and one.findings else ()
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


# --- the form of an edit -----------------------------------------------------------------------------------


class EditView(Struct, frozen=True, kw_only=True):
    """A form with a text."""

    item: ReviewItem
    typed: TextEdit
    was: tuple[str, str]
    """The title and the body as they were when the page was opened."""
    problem: Sequence[Diagnostic] = ()
    """Why it was not saved."""
    mine: TextView | None = None
    """Where the file changed meanwhile: what the person changed, and what changed in the file."""
    theirs: TextView | None = None
    now: TextVersion | None = None


def edit(site: Site, query: Mapping[str, str]) -> PageContent:
    """The form that edits a text. Raises Refused for a protected item and for one without a text."""
    one = site.review.snapshot().item(query.get("id", ""))
    if one.protected:
        raise protected(one.id)
    text = text_of_file(site.project(), one.file.path)
    if text is None or one.record is None:
        message = one.file.problem or f"`{one.id}` has no text that can be edited"
        raise Refused(message, code="not-edited", hint="see `contentops plan`")
    typed = TextEdit(title=text.title, body=text.body, expect=one.file.file)
    return _page(EditView(item=one, typed=typed, was=(text.title, text.body)))


def edit_of(form: Mapping[str, str]) -> TextEdit:
    """Return what a person typed."""
    return TextEdit(
        title=form.get("title", ""),
        body=form.get("body", ""),
        expect=Digest(form.get("file", "")),
        sets_aside=form.get("aside") == "yes",
    )


def not_saved(site: Site, form: Mapping[str, str], error: ContentopsError) -> PageContent:
    """The form again with all that was typed: beside the file as it is now, where that changed meanwhile."""
    one, typed = site.review.snapshot().item(form.get("id", "")), edit_of(form)
    was = form.get("was_title", ""), form.get("was", "")
    view = EditView(item=one, typed=typed, was=was, problem=explained(error))
    now = text_of_file(site.project(), one.file.path) if isinstance(error, FileChanged) else None
    if now is not None:
        view = structs.replace(
            view,
            typed=structs.replace(typed, expect=one.file.file),
            mine=compared(was, (typed.title, typed.body)),
            theirs=compared(was, (now.title, now.body)),
            now=now,
        )
    return _page(view, status=409)


def _page(view: EditView, status: int = 200) -> PageContent:
    return PageContent(template="edit.html", title=f"Edit: {view.item.title}", tab="items", model=view, status=status)
