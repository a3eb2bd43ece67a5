"""The texts that an item has and had, what happened to them, and edits that a page saves."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from contentops.ci.git import try_git
from contentops.ci.history import no_history, versions
from contentops.ci.results import body_of
from contentops.digest import NOTHING, PREFIX, Digest, short
from contentops.documents.clean import TITLE_LIMIT, body_digest, clean_title
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, line_numbers, replace_body, split, update
from contentops.errors import FileChanged, OutputError, Refused, UsageError
from contentops.model import Verdict, text_digest
from contentops.operations.opening import HERE, Runtime, kept_copies, open_cache
from contentops.operations.plan import recorded
from contentops.operations.spend import history
from contentops.operations.workspace import hold_lock
from contentops.sanitize import Policy, hidden_runs, sanitize
from contentops.sections import nests_too_deep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.model import Approval, Project
    from contentops.model.run import Generation, History
    from contentops.operations.review import ReviewItem
    from contentops.operations.spend import KnownHistory


# ---- Edit the text of an item in its file, as any editor would: nothing is recorded.

LONGEST: Final = 1_000_000
"""Characters of the longest text that is written."""


class TextEdit(Struct, frozen=True, kw_only=True):
    """A title and a body that a person typed. The ends of lines are LF."""

    title: str
    body: str
    expect: Digest
    """The digest of the file that the person saw."""
    sets_aside: bool = False
    """The file has another person's words: they are copied first."""


class EditedText(Struct, frozen=True, kw_only=True):
    """The file that was written, and the path of the copy of what it was, or empty."""

    output: str
    copy: str = ""


def edit_text(project: Project, item: str, edit: TextEdit, *, runtime: Runtime = HERE) -> EditedText:
    """Put a title and a body into the file of an item; its other front matter keeps its bytes.

    Raises FileChanged where the file is another one than expected, Refused for a protected item, UsageError for words
    that no text may have, OutputError for a file that cannot be read or written, LockHeld while an apply runs.
    """
    _check(edit)
    with hold_lock(project, runtime):
        state, record = recorded(project, item)
        if record.protected:
            raise protected(item)
        copies = kept_copies(project, state.lineage, runtime)
        outputs = Outputs(project.root, copies=copies, system=runtime.system)
        file = outputs.observe(record.output)
        if file.problem:
            raise OutputError(file.problem, code="unreadable-file")
        if file.file != edit.expect:
            hint = "copy what you want from the other text, then save"
            raise FileChanged(f"`{record.output}` changed while you were writing", hint=hint)
        before = outputs.read(record.output)
        title, now = clean_title(edit.title), split(before)
        if not title and now.title:
            raise UsageError("the title is empty", code="bad-text", hint="write one")
        text = update(before, {TITLE_KEY: title}) if title != now.title else before
        if split(text).body != edit.body:
            text = replace_body(text, edit.body)
        copy = outputs.set_aside(record.output, before) if edit.sets_aside and text != before else ""
        outputs.write(record.output, text, expect=file.file)
    return EditedText(output=record.output, copy=copy)


def protected(item: str) -> Refused:
    """Return the error for a text that may not be edited."""
    hint = "apply `protected: false` first to lift it"
    return Refused(f"`{item}` is protected, so its text is not changed", code="not-edited", hint=hint)


def _check(edit: TextEdit) -> None:
    if len(edit.body) > LONGEST:
        message = f"the text has {len(edit.body):,} characters, more than {LONGEST:,}"
        raise UsageError(message, code="bad-text", hint="shorten it, or edit the file itself")
    if len(edit.title) > TITLE_LIMIT or "\n" in edit.title:
        hint = "shorten it"
        raise UsageError(f"the title is longer than a line of {TITLE_LIMIT} characters", code="bad-text", hint=hint)
    for name, text in (("title", edit.title), ("text", edit.body)):
        kept = sanitize(text, Policy.BODY)
        if kept != text:
            pairs = enumerate(zip(text, kept, strict=False))
            at = next((at for at, (one, other) in pairs if one != other), len(kept))
            where = f"line {text.count(chr(10), 0, at) + 1} of the {name}"
            message = f"{where} has the character U+{ord(text[at]):04X}, which no text may have"
            raise UsageError(message, code="bad-text", hint="remove it: it is invisible and can mislead readers")
        for at, count in hidden_runs(text):
            message = f"line {text.count(chr(10), 0, at) + 1} of the {name} has {count:,} characters that no one sees"
            raise UsageError(message, code="bad-text", hint="delete that line, and write it again")
    if nests_too_deep(edit.body):
        message = "the text has lists or quotations that are nested too deeply"
        raise UsageError(message, code="bad-text", hint="flatten them")
    if not edit.body.strip():
        raise UsageError("the text is empty", code="bad-text", hint="write some text, or do not save")


# ---- What happened to the text of an item: generated, edited, approved and sent back.


class ItemEventKind(enum.StrEnum):
    """What happened."""

    GENERATED = "generated"
    OPEN = "open"
    """A job whose text did not come into the file: `outcome` says why."""
    EDITED = "edited"
    APPROVED = "approved"
    SENT_BACK = "sent-back"


class ItemEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened to the text of an item."""

    kind: ItemEventKind
    at: str
    """ISO time; empty where it is not known."""
    by: str = ""
    """A person, or the server that made the text."""
    credits: int = 0
    job: str = ""
    commit: str = ""
    """Empty: of an edit, it is in the working tree alone."""
    note: str = ""
    outcome: str = ""
    """As of a `Generation`."""
    body: Digest = NOTHING
    """The digest of the text after it, if its words are here; empty where they are not, or it is the present one."""
    is_paid_text: bool = False
    """It can be restored."""


def item_events(one: ReviewItem, texts: ItemTexts) -> tuple[ItemEvent, ...]:
    """Return what happened to an item's text, the newest first."""
    now = texts.now.digest if texts.now is not None else NOTHING
    events = [
        *(_generation(each, texts, now) for each in texts.history.generations),
        *_edits(one, texts, now),
        *_verdicts(one, texts, now),
    ]
    return tuple(sorted(events, key=lambda event: (_instant(event.at), _rank(event)), reverse=True))


def _generation(one: Generation, texts: ItemTexts, now: Digest) -> ItemEvent:
    text = next((each for each in texts.history.texts if each.request_id == one.request_id), None)
    body = text.body if text is not None and text.body != now else NOTHING
    return ItemEvent(
        kind=ItemEventKind.GENERATED if one.outcome in ("generated", "elsewhere") else ItemEventKind.OPEN,
        at=one.at,
        by=one.server,
        credits=one.credits,
        job=one.job_id,
        outcome=one.outcome,
        note=one.error,
        body=body if any(each.digest == body for each in texts.earlier) else NOTHING,
        is_paid_text=body != NOTHING and text is not None and bool(text.where),
    )


def _edits(one: ReviewItem, texts: ItemTexts, now: Digest) -> Iterator[ItemEvent]:
    """Yield the texts of the file that no job made: the present one if it is not committed, and those of commits."""
    made = {each.body for each in texts.history.texts}
    committed = [each for each in texts.earlier if each.commit]
    if texts.now is not None and now not in made and texts.now.text not in {each.text for each in committed}:
        yield ItemEvent(kind=ItemEventKind.EDITED, at=one.since)
    for each in committed:
        if each.digest not in made:
            yield ItemEvent(
                kind=ItemEventKind.EDITED,
                at=each.at,
                by=each.author,
                commit=each.commit,
                body=NOTHING if each.digest == now else each.digest,
            )


def _verdicts(one: ReviewItem, texts: ItemTexts, now: Digest) -> Iterator[ItemEvent]:
    by_text = {each.text: each.digest for each in texts.earlier}
    for line in (*one.verdicts, *one.earlier):
        body = by_text.get(line.text, NOTHING)
        yield ItemEvent(
            kind=ItemEventKind.APPROVED if line.verdict is Verdict.APPROVED else ItemEventKind.SENT_BACK,
            at=line.at,
            by=line.name,
            note=line.note,
            body=NOTHING if body == now else body,
        )


def _rank(event: ItemEvent) -> int:
    """Return which of several things in one second came later: a text is made, edited, committed and then read."""
    is_uncommitted = event.kind is ItemEventKind.EDITED and not event.commit
    return len(ItemEventKind) if is_uncommitted else list(ItemEventKind).index(event.kind)


def _instant(at: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return 0


# ---- The texts that an item has and had, with their words: of its file, of git's history of it, and of the cache.


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
