"""The pages around an edit: the form, two texts that differ, and a decision about a text that is another one now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.digest import Digest
from contentops.documents.word_diff import TextDiff, word_diff
from contentops.errors import ContentopsError, FileChanged, Refused
from contentops.operations.plan import no_item
from contentops.operations.texts.editing import TextEdit
from contentops.operations.texts.item_texts import text_of_file
from contentops.pages.site import PageContent
from contentops.reporting.prose import ProsePart, changed_words, prose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from contentops.errors import Diagnostic
    from contentops.operations.review import ReviewItem
    from contentops.operations.texts.item_texts import TextVersion
    from contentops.pages.site import Site


class TextChange(Struct, frozen=True, kw_only=True):
    """What changed between two texts."""

    diff: TextDiff
    parts: Sequence[ProsePart]
    title: Markup | None = None
    """The title, if it is another one."""

    @property
    def edits(self) -> int:
        """How many edits a reader sees, the title's among them."""
        return self.diff.edits + (self.title is not None)


class EditView(Struct, frozen=True, kw_only=True):
    """A form with a text."""

    item: ReviewItem
    title: str
    body: str
    was_title: str
    """The title and the body as they were when the page was opened."""
    was: str
    file: Digest
    """Of the file that is expected when the text is saved."""
    problem: Sequence[Diagnostic] = ()
    """Why it was not saved."""
    mine: TextChange | None = None
    """Where the file changed meanwhile: what the person changed, and what changed in the file."""
    theirs: TextChange | None = None
    now: TextVersion | None = None


class StaleView(Struct, frozen=True, kw_only=True):
    """A text that changed while a person read it."""

    item: str
    change: TextChange | None
    """None: the words that the person saw are not known any more."""
    words: int = 0


def edit(site: Site, query: Mapping[str, str]) -> PageContent:
    """The form that edits a text. Raises Refused for a protected item and UsageError for one without a text."""
    one = _item(site, query.get("id", ""))
    if one.protected:
        hint = "apply `protected: false` first to lift it"
        raise Refused(f"`{one.id}` is protected, so its text stays", code="not-edited", hint=hint)
    text = text_of_file(site.project(), one.file.path)
    if text is None or one.record is None:
        message = one.file.problem or f"`{one.id}` has no text that can be edited"
        raise Refused(message, code="not-edited", hint="see `contentops plan`")
    return _page(
        EditView(item=one, title=text.title, body=text.body, was_title=text.title, was=text.body, file=one.file.file)
    )


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
    one, typed = _item(site, form.get("id", "")), edit_of(form)
    was_title, was = form.get("was_title", ""), form.get("was", "")
    view = EditView(
        item=one,
        title=typed.title,
        body=typed.body,
        was_title=was_title,
        was=was,
        file=typed.expect,
        problem=tuple(error.diagnostics()),
    )
    now = text_of_file(site.project(), one.file.path) if isinstance(error, FileChanged) else None
    if now is None:
        return _page(view, status=409)
    mine, theirs = _change(was_title, was, typed.title, typed.body), _change(was_title, was, now.title, now.body)
    return _page(structs.replace(view, file=one.file.file, mine=mine, theirs=theirs, now=now), status=409)


def stale(site: Site, item: str, seen: str, title: str) -> PageContent:
    """The page that says that a decision was not recorded, since the text is another one now; `seen`: its digest."""
    one = site.review.snapshot().by_id.get(item)
    now = text_of_file(site.project(), one.file.path) if one is not None else None
    before = site.seen.get(seen)
    change = _change(*before, now.title, now.body) if before is not None and now is not None else None
    return PageContent(
        template="stale.html", title=title, tab="items", model=StaleView(item=item, change=change), status=409
    )


def _change(old_title: str, old: str, new_title: str, new: str) -> TextChange:
    diff = word_diff(old, new)
    title = changed_words(old_title, new_title) if old_title != new_title else None
    return TextChange(diff=diff, parts=prose(diff), title=title)


def _page(view: EditView, status: int = 200) -> PageContent:
    return PageContent(template="edit.html", title=f"Edit: {view.item.title}", tab="items", model=view, status=status)


def _item(site: Site, name: str) -> ReviewItem:
    items = site.review.snapshot().by_id
    if name not in items:
        raise no_item(name, items)
    return items[name]
