"""The pages around an edit: the form, two texts that differ, and a decision about a text that is another one now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.digest import Digest
from contentops.errors import ContentopsError, FileChanged, Refused
from contentops.operations.texts.editing import TextEdit, protected
from contentops.operations.texts.item_texts import text_of_file
from contentops.pages.site import PageContent
from contentops.pages.text_view import TextView, compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.errors import Diagnostic
    from contentops.operations.review import ReviewItem
    from contentops.operations.texts.item_texts import TextVersion
    from contentops.pages.site import Site


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


class StaleView(Struct, frozen=True):
    """A text that changed while a person read it: how, if the words that the person saw are known."""

    item: str
    change: TextView | None


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
    view = EditView(item=one, typed=typed, was=was, problem=error.diagnostics())
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


def stale(site: Site, item: str, seen: str, title: str) -> PageContent:
    """The page that says that a decision was not recorded, since the text is another one now; `seen`: its digest."""
    now = text_of_file(site.project(), site.review.snapshot().item(item).file.path)
    before = site.seen.get(seen)
    change = compared(before, (now.title, now.body)) if before is not None and now is not None else None
    return PageContent(template="stale.html", title=title, tab="items", model=StaleView(item, change), status=409)


def _page(view: EditView, status: int = 200) -> PageContent:
    return PageContent(template="edit.html", title=f"Edit: {view.item.title}", tab="items", model=view, status=status)
