"""The texts that an item has and had, with their words: of its file, of git's history of it, and of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.ci.file_history import no_history, versions
from contentops.ci.git import try_git
from contentops.ci.results import body_of
from contentops.digest import PREFIX, Digest, short
from contentops.documents.clean import body_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import line_numbers, split
from contentops.errors import OutputError, UsageError
from contentops.model import text_digest
from contentops.operations.history import history
from contentops.operations.opening import open_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.model import Approval, Project
    from contentops.model.run import History
    from contentops.operations.history import KnownHistory


class TextVersion(Struct, frozen=True, kw_only=True):
    """A text with its words; `commit` is the one that brought them, or empty."""

    title: str
    body: str
    digest: Digest
    """Of the body."""
    commit: str = ""
    at: str = ""
    """When it was committed, ISO time."""
    author: str = ""
    """Who committed it."""
    first_line: int = 1
    """The line of the file on which the body begins."""

    @property
    def text(self) -> Digest:
        """The digest that approvals are bound to."""
        return text_digest(self.title, self.digest)

    @property
    def short(self) -> str:
        """The start of the body's digest, by which a person names it."""
        return short(self.digest)


class ItemTexts(Struct, frozen=True, kw_only=True):
    """The text of an item's file, the earlier ones whose words this machine has, and what happened to the item."""

    now: TextVersion | None
    """None: there is no file, or it cannot be read."""
    earlier: tuple[TextVersion, ...]
    """The newest first: of git's history, then of the cache."""
    approved: TextVersion | None
    """The text that was approved last, if it is another one and its words are here."""
    history: History
    why_missing: str
    """Why this clone may lack texts, and what to do; empty where it has the whole history."""

    @property
    def before(self) -> TextVersion | None:
        """The newest text that the file had before this one, if its words are here."""
        return next((one for one in self.earlier if self.now is not None and one.digest != self.now.digest), None)

    def named(self, digest: str) -> TextVersion:
        """Return the text whose body's digest begins so. Raises UsageError where no one or several have it."""
        start = digest.removeprefix(PREFIX)
        found = {one.digest: one for one in self.earlier if start and one.digest.removeprefix(PREFIX).startswith(start)}
        if len(found) != 1:
            hint = "; ".join(filter(None, ("choose one of its history", self.why_missing)))
            raise UsageError(f"no text `{digest[:20]}` can be shown", code="unknown-text", hint=hint)
        return next(iter(found.values()))


def item_texts(
    project: Project, item: str, path: str, approval: Approval | None, known: KnownHistory | None = None
) -> ItemTexts:
    """Read the texts of an item. `path`: its file; `approval`: the last one of another text; `known`: see `history`.

    Raises StateError for invalid state files.
    """
    now = text_of_file(project, path) if path else None
    committed = tuple(_committed(project.root, path)) if path else ()
    in_git = {one.digest for one in committed}
    past = history(project, item, known, in_git)
    with open_cache(project, write=False) as cache:
        titles = dict.fromkeys(one.title for one in (*filter(None, [now]), *committed))
        cached = (
            TextVersion(title=next(iter(titles), ""), body=body, digest=text.body)
            for text in past.texts
            if text.body not in in_git and (body := cache.body(text.body)) is not None
        )
        decided = (
            TextVersion(title=kept[0], body=kept[1], digest=body_digest(kept[1]))
            for line in past.verdicts
            if (kept := cache.decided(line.text)) is not None
        )
        earlier = (*committed, *cached, *decided)
    return ItemTexts(
        now=now,
        earlier=earlier,
        approved=_approved(approval, earlier, titles) if approval is not None else None,
        history=past,
        why_missing=no_history(project.root),
    )


def text_of_file(project: Project, path: str) -> TextVersion | None:
    """Return the text of a file as it is now; None where it cannot be read."""
    try:
        text = Outputs(project.root).read(path)
    except OutputError:
        return None
    document = split(text)
    if document.problem:
        return None
    digest = body_digest(document.body)
    return TextVersion(title=document.title, body=document.body, digest=digest, first_line=line_numbers(text)[0])


def _committed(root: str, path: str) -> Iterator[TextVersion]:
    """Yield the texts that a file has had in git, the newest first."""
    read: dict[Digest, TextVersion] = {}
    for version in versions(root, path):
        if digest := body_of(version.data):
            document = split(version.data.decode())
            made = TextVersion(title=document.title, body=document.body, digest=digest, commit=version.commit)
            # The older commit brought the words; the newer ones changed front matter, as an approval does.
            read[made.text] = made
    about = dict(_about(root, [one.commit for one in read.values() if not one.commit.endswith("^")]))
    for one in read.values():
        at, author = about.get(one.commit, ("", ""))
        yield structs.replace(one, at=at, author=author)


def _about(root: str, commits: list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield commits with their times and authors."""
    if commits:
        form = "--format=%H%x00%aI%x00%an"
        for line in try_git(root, "log", "--no-walk", "--no-show-signature", form, *commits).text.splitlines():
            commit, at, author = line.split("\0")
            yield commit, (at, author)


def _approved(approval: Approval, earlier: Iterable[TextVersion], titles: Iterable[str]) -> TextVersion | None:
    for one in earlier:
        for title in (one.title, *titles):
            if text_digest(title, one.digest) == approval.text:
                return structs.replace(one, title=title)
    return None
