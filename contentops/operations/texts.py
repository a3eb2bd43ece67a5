"""Compares, restores, edits and lists the current and the earlier texts of an item."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from contentops.api.calls import Content, GetContent, GetStatus, JobStatus
from contentops.atomic_io import Disk
from contentops.ci.history import no_history, versions
from contentops.ci.results import digest_of_body
from contentops.digest import NOTHING, PREFIX, Digest, digest_json, short
from contentops.documents.blocks import Unusable, take_section
from contentops.documents.clean import TITLE_LIMIT, body_digest, clean_body, clean_title, conflict_line
from contentops.documents.files import REPLACED, Outputs
from contentops.documents.front_matter import (
    PROVENANCE_KEY,
    TITLE_KEY,
    compose,
    line_numbers,
    replace_body,
    split,
    update,
)
from contentops.documents.word_diff import take_new
from contentops.errors import (
    ContentopsError,
    FileChanged,
    OutputError,
    Refused,
    StateError,
    UsageError,
    did_you_mean,
    plural,
)
from contentops.execution.primitives import iso
from contentops.json_reader import decode_json
from contentops.model import (
    Approval,
    Change,
    Fetch,
    ItemId,
    Job,
    Json,
    MergeEdit,
    Observed,
    Project,
    Promote,
    Record,
    State,
    Write,
    text_digest,
)
from contentops.model.jobs import made_texts
from contentops.model.records import seconds_of
from contentops.model.run import History, PaidText
from contentops.operations.connection import Caller, content, converse
from contentops.operations.opening import HERE, Runtime, first_lineage, open_cache, open_outputs, read_state
from contentops.operations.plan import recorded
from contentops.operations.spend import KnownHistory, history, texts_of
from contentops.operations.workspace import PastTexts, hold_lock, no_item, open_workspace
from contentops.planning.front_matter import drifted, provenance_of
from contentops.planning.plan import make_plan
from contentops.planning.promote import known_texts
from contentops.planning.sides import Choice, PlanInputs, is_edited
from contentops.sanitize import Policy, hidden_runs, sanitize
from contentops.sections import nests_too_deep
from contentops.state.cache import Cache
from contentops.state.state_dir import kept_folder, make_kept

if TYPE_CHECKING:
    from contentops.operations.review import ReviewItem
# ---- The text that an apply would write for an item, as far as it is here.


def _planned_body(inputs: PlanInputs, change: Change, before: str | None) -> str | None:
    """Return the body that a planned change would write in place of `before`, or None if this machine lacks it."""
    text = _new_body(inputs, change)
    if text is None or before is None:
        return text
    if change.section:
        own_texts = known_texts(change.record, body_digest(text), inputs.text)
        taken = take_section(before, text, change.section, own_texts)
        return before if isinstance(taken, Unusable) else taken[0]
    mode = next((step.mode for step in change.steps if isinstance(step, Write)), None)
    merged = take_new(inputs.text(mode.base) or "", before, text) if isinstance(mode, MergeEdit) else None
    return text if merged is None else merged.body


def _new_body(inputs: PlanInputs, change: Change) -> str | None:
    """Return the text that a planned change will write, or None if this machine lacks the text."""
    digest = change.job.body if change.job is not None else NOTHING
    for step in change.steps:
        if isinstance(step, Promote):
            return split(Outputs(inputs.project.root).read(step.path)).body
        if isinstance(step, Fetch) and step.job is not None:
            digest = step.job.body
        elif isinstance(step, Fetch) and change.record is not None:
            digest = next(iter(change.record.restorable), NOTHING)
    return inputs.text(digest) if digest else None


# ---- Compare an item's file with its generated, stored or planned text, and restore an earlier text.


class Difference(Struct, frozen=True, kw_only=True):
    """Two versions of an item, with their texts and their differences.

    `before` and `after` are the texts; a version without a text has None. `front` and `request` have the keys that
    differ, each with the values before and after. A missing value is None.
    """

    old: str
    new: str
    before: str | None = None
    after: str | None = None
    front: Mapping[str, tuple[Json, Json]] = {}
    request: Mapping[str, tuple[Json, Json]] = {}
    note: str = ""

    @property
    def same(self) -> bool:
        """Return whether both versions have the same body, front matter and request."""
        return self.before == self.after and not self.front and not self.request


def from_generated(project: Project, item: str) -> Difference:
    """Compare the file of an item with the text and front matter that contentops last recorded for it.

    The text was generated, promoted or adopted. Raises UsageError if there is none, OutputError if the file cannot be
    read, StateError if the text is missing.
    """
    state, record = recorded(project, item)
    observed, file = _file(project, record)
    side = "adopted" if record.adopted and not (record.generated or record.promoted) else "generated"
    with open_cache(project, write=False) as cache:
        past = PastTexts(project, state, cache)
        made = record.generated or record.promoted or record.adopted
        text = file if observed.body == made else past.text(made)
    if text is None:
        message = f"the text {side} for `{item}` is neither in the cache nor in git's history of `{record.output}`"
        hint = no_history(project.root) or "`contentops report --runs` lists the texts and where each is"
        if not made:
            message, hint = f"`{item}` was adopted; no text was generated for it", "see `git diff`"
        raise StateError(message, code="no-generated-text", hint=hint)
    jobs = [job for job in state.open_jobs.values() if job.item == item]
    front = {
        one.key: (one.before, one.after) for one in drifted(project, record, observed, state.made_by(record), jobs)
    }
    note = f"its text was promoted from `{record.promoted_from}`" if record.promoted_from else ""
    return Difference(old=side, new="file", before=text, after=file, front=front, note=note)


def from_remote(project: Project, item: str, *, runtime: Runtime = HERE) -> Difference:
    """Compare the item's text on the server with the item's file.

    Raises UsageError if nothing was saved there, OutputError if the file cannot be read, ApiError.
    """
    _, record = recorded(project, item)
    if not record.content_id or record.server != project.api.server:
        message = f"nothing was saved for `{item}` on `{project.api.server}`"
        raise UsageError(message, code="not-saved", hint="`contentops apply` saves it, if `save` is on")
    observed, file = _file(project, record)
    stored, _ = content(project, record.content_id, runtime=runtime)
    title = clean_title(stored.title)
    front = {} if title in ("", observed.title) else {TITLE_KEY: (title, observed.title or None)}
    return Difference(old="remote", new="file", before=clean_body(stored.body), after=file, front=front)


def to_planned(project: Project, item: str) -> Difference:
    """Compare an item's file with the text, front matter and request that the item will have after the plan.

    The text is compared only if it is known. Raises UsageError if the id is unknown, InputError if manifests have
    errors, OutputError if the file cannot be read.
    """
    with open_workspace(project, keep_stamps=False) as workspace:
        inputs = workspace.plan_inputs(Choice())
        change = next((one for one in make_plan(inputs).changes if one.id == item), None)
        if change is None:
            if ItemId(item) not in inputs.specs:
                raise no_item(item, [*inputs.specs, *inputs.records])
            return Difference(old="file", new="planned", note="nothing is planned for it")
        return _planned(inputs, change)


def _planned(inputs: PlanInputs, change: Change) -> Difference:
    file = _usable(change.file)
    before = split(Outputs(inputs.project.root).read(file.path)).body if file.exists else None
    planned = _planned_body(inputs, change, before)
    front = {key: (file.front.get(key), value) for key, value in change.front.items() if key != PROVENANCE_KEY}
    if (promotion := change.promotion) is not None:
        source = inputs.observe(promotion.path).front
        front |= {key: (None, source[key]) for key in promotion.carries}
    if change.title not in (None, file.title):
        front[TITLE_KEY] = (file.title or None, change.title)
    note = change.hint if change.blocked else ""
    if planned is None and change.submit is not None:
        note = "its text is not written yet"
    named = (one for one in change.reasons if one.field and one.kind in ("added", "removed", "changed"))
    return Difference(
        old="file",
        new="planned",
        before=before,
        after=before if planned is None else planned,
        front=front,
        request={one.field: (one.before, one.after) for one in named},
        note=note,
    )


# --- the sides ---------------------------------------------------------------------------------------------


def _usable(file: Observed) -> Observed:
    """Return `file`, or raise OutputError if the file cannot be read or has no usable text."""
    if file.problem:
        raise OutputError(file.problem, code="unreadable-file")
    return file


def _file(project: Project, record: Record) -> tuple[Observed, str]:
    """Return an item's file and the body in it. Raises OutputError."""
    outputs = Outputs(project.root)
    try:
        body = split(outputs.read(record.output)).body
    except OutputError as error:
        message = f"`{record.id}` has no readable file: {error.message}"
        raise OutputError(message, hint="`contentops plan` says whether an apply restores it") from error
    return outputs.observe(record.output), body


# --- restore -----------------------------------------------------------------------------------------------


class Restored(Struct, frozen=True, kw_only=True):
    """A restored text, and the path of the file that contains it now."""

    text: PaidText | TextVersion
    output: str
    source: str = ""
    """`cache`, `git`, `server` or `copy` (of a file that was replaced); empty: the file had it already."""
    copy: str = ""
    """The copy of a file that a person had edited, or empty."""


def restore(
    project: Project,
    item: str,
    to: str,
    *,
    overwrite: bool = False,
    expect: Digest | None = None,
    runtime: Runtime = HERE,
) -> Restored:
    """Write an earlier text into an item's file. Front matter stays, and nothing is recorded.

    The text's digest begins with `to`. A text that no job made is restored with its title. `overwrite`: replace a file
    that was edited by hand, after a copy of it was made. `expect`: the digest of the file that the person saw; that
    file is replaced, and a copy is kept.

    Raises UsageError if `to` matches no text or several, FileChanged if the file is not the expected one, and Refused
    for an edited file or a protected item. Raises StateError if the text cannot be found, ApiError if the server cannot
    be asked for it.
    """
    with hold_lock(project, runtime), open_cache(project, write=True) as cache:
        state, record = recorded(project, item)
        texts = texts_of(project, state, item)
        text = _named(project, texts, item, to, record.output)
        outputs = open_outputs(project, state.lineage, runtime, [one.job.body for one in texts])
        file = _usable(outputs.observe(record.output))
        if expect not in (None, file.file):
            raise FileChanged(f"`{record.output}` changed meanwhile", hint="look at its present text first")
        if isinstance(text, PaidText) and text.stands:
            return Restored(text=text, output=record.output)
        if record.protected:
            raise protected(item)
        edited = is_edited(file, record, made_texts(state)) and not any(one.stands and one.is_local for one in texts)
        if edited and not overwrite and expect is None:
            hint = "`--on-edit overwrite` restores the earlier text and keeps a copy of the file"
            raise Refused(f"`{record.output}` was edited by hand", code="not-restored", hint=hint)
        title = record.title
        if isinstance(text, TextVersion):
            title, body, source = text.title, text.body, "git" if text.commit else "copy"
        else:
            source = "git" if cache.body(text.job.body) is None else "cache"
            if (found := PastTexts(project, state, cache).text(text.job.body)) is None:
                found, source = _from_server(project, cache, record, text, runtime), "server"
            body = found
            cache.keep_body(text.job.body, body)
        if file.exists:
            before = outputs.read(record.output)
            copy = outputs.set_aside(record.output, before) if edited or expect is not None else ""
            made = replace_body(before, body)
            if isinstance(text, TextVersion) and title != file.title:
                made = update(made, {TITLE_KEY: title})
        else:
            block = provenance_of(record, state.made_by(record), project.editor) if project.provenance else None
            copy, made = "", compose(title, record.metadata, block, body)
        outputs.write(record.output, made, expect=file.file)
    return Restored(text=text, output=record.output, source=source, copy=copy)


def _named(project: Project, texts: Sequence[PaidText], item: str, to: str, path: str) -> PaidText | TextVersion:
    """Return the item's text whose digest begins with `to`.

    `path` is the item's file. Raises UsageError if no text or several match.
    """
    matches = [one for one in texts if _begins(one.job.body, to.strip().lower())]
    if len(matches) == 1:
        return matches[0]
    if not matches and (version := item_texts(project, item, path, None).find(to.strip().lower())) is not None:
        return version
    names = ", ".join(f"`{one.short}`" for one in matches or texts) or "none"
    if matches:
        message = f"{plural(len(matches), 'text')} of `{item}` begin with `{to}`"
        raise UsageError(message, code="unknown-text", hint=f"write more of it: {names}")
    hint = did_you_mean(to, [one.short for one in texts], f"its texts: {names}")
    hint = "; ".join(filter(None, (hint, no_history(project.root))))
    raise UsageError(f"`{item}` has no text `{to}`", code="unknown-text", hint=hint)


def _begins(digest: Digest, start: str) -> bool:
    """Return whether a digest begins with the characters that a person typed."""
    start = start.removeprefix(PREFIX)
    return bool(start) and digest.removeprefix(PREFIX).startswith(start)


def _from_server(project: Project, cache: Cache, record: Record, text: PaidText, runtime: Runtime) -> str:
    """Read from the server a text that is neither in the cache nor in git. Raises StateError."""
    message = f"the text `{text.short}` of `{text.item}` any more: not the cache, not git's history of"
    message += f" `{record.output}`"
    found, why = "", no_history(project.root)
    if "server" in text.where:
        try:
            found = converse(project, runtime, lambda caller: _text_on_server(caller, text.job), cache)
            message += f", not the server `{text.job.server}`"
        except ContentopsError as error:
            why = why or error.hint
            message += f", and the server cannot be asked: {error.message}"
    elif text.job.server != project.api.server:
        message += f"; it was made by the server `{text.job.server}`"
    if not found:
        raise StateError(message, code="text-not-found", hint=why or _ELSEWHERE)
    return found


_ELSEWHERE = "the `.contentops/cache` of the machine that applied it may have it, or a branch of git that is not here"


async def _text_on_server(caller: Caller, job: Job) -> str:
    """Read the text of a job from its stored content, or from the job on the server.

    It is empty if both have another text now.
    """
    content = await caller.optional(GetContent(job.content_id), Content) if job.content_id else None
    from contentops.execution.job import with_body

    reply = with_body([content] if content else [], job.body)
    if reply is None and job.job_id:
        status = await caller.optional(GetStatus(job.job_id, ours=job.request_id), JobStatus)
        reply = with_body([status] if status else [], job.body)
    return reply.body if reply else ""


# ---- Edit the text of an item in its file, as any editor would: nothing is recorded.

LONGEST: Final = 1_000_000
"""Characters of the longest text that is written."""


class TextEdit(Struct, frozen=True, kw_only=True):
    """A new title and body for a text, as a person typed them. The line ends are LF."""

    title: str
    body: str
    expect: Digest
    """The digest of the file that the person saw."""


def edit_text(project: Project, item: str, edit: TextEdit, *, runtime: Runtime = HERE) -> str:
    """Write a title and a body into an item's file, and return its path.

    Other front matter stays exactly the same. A copy of the file before and after the edit is kept, so that both can be
    restored later. Raises FileChanged if the file is not the expected one, Refused for a protected item, UsageError for
    words that no text may have, OutputError if the file cannot be read or written, LockHeld while an apply runs.
    """
    _check(edit)
    with hold_lock(project, runtime):
        state, record = recorded(project, item)
        if record.protected:
            raise protected(item)
        outputs = open_outputs(project, state.lineage, runtime)
        file = _usable(outputs.observe(record.output))
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
        for each in (before, text) if text != before else ():
            outputs.set_aside(record.output, each)
        outputs.write(record.output, text, expect=file.file)
    return record.output


def protected(item: str) -> Refused:
    """Return the error for an attempt to change a protected text."""
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
    if line := conflict_line(edit.body):
        message = f"line {line} of the text is a git conflict marker"
        raise UsageError(message, code="bad-text", hint="write the text as it is to be, without the marks of the merge")
    if nests_too_deep(edit.body):
        message = "the text has lists or quotations that are nested too deeply"
        raise UsageError(message, code="bad-text", hint="flatten them")
    if not edit.body.strip():
        raise UsageError("the text is empty", code="bad-text", hint="write some text, or do not save")


# ---- The versions of the text of an item: who wrote, read and committed each.


class ItemVersion(Struct, frozen=True, kw_only=True):
    """One line of an item's history: a text of the item, or a job that brought no text."""

    at: str
    """When it was made, ISO time; empty where it is not known."""
    number: int = 0
    """1 for the oldest text; 0 if the job brought no text."""
    job: Job | None = None
    """The job that made it; None: a person wrote it, or no one knows."""
    text: TextVersion | None = None
    """The text, or None if it is not on this machine."""
    verdicts: tuple[Approval, ...] = ()
    """The verdicts on it, the newest first."""
    named: Digest = NOTHING
    """The digest by which it can be compared and restored; empty: it is the present text, or its words are not here."""
    is_now: bool = False
    is_saved: bool = False
    """Whether it is the text that was last saved on the server."""


def item_versions(one: ReviewItem, texts: ItemTexts) -> tuple[ItemVersion, ...]:
    """Return the versions of an item's text, the newest first."""
    now, saved = texts.current, one.record.saved if one.record else None
    said: dict[Digest, list[Approval]] = {}
    for line in (*reversed(one.verdicts), *reversed(one.earlier)):
        said.setdefault(line.text, []).append(line)
    paid = {each.job.request_id: each.job.body for each in texts.history.texts}
    # The oldest text with the body of a job is what it made; a person may have changed the title since.
    made = {paid.get(job.request_id, job.body): job for job in texts.history.generations if job.outcome == "generated"}
    versions: list[ItemVersion] = []
    known = {each.text: each for each in reversed((*filter(None, [texts.now]), *texts.earlier))}
    for text in known.values():
        job = made.pop(text.digest, None)
        version = ItemVersion(
            at=job.time if job is not None else text.at or (one.since if text.text == now else ""),
            job=job,
            text=next((each for each in texts.earlier if each.text == text.text and each.commit), text),
            verdicts=tuple(said.pop(text.text, ())),
            named=NOTHING if text.text == now else text.digest if job is not None else text.text,
            is_now=text.text == now,
            is_saved=saved is not None and saved.body == text.digest,
        )
        versions.append(version)
    versions += (ItemVersion(at=job.time, job=job) for job in made.values())
    versions += (ItemVersion(at=lines[-1].at, verdicts=tuple(lines)) for lines in said.values())
    # Of several things in one second, a text was made first, then edited and committed, and then edited again.
    versions.sort(key=lambda each: (seconds_of(each.at) or 0.0, each.is_now, each.job is None))
    numbered = [structs.replace(each, number=number) for number, each in enumerate(versions, 1)]
    lost = (ItemVersion(at=job.time, job=job) for job in texts.history.generations if job.outcome != "generated")
    return tuple(sorted((*reversed(numbered), *lost), key=lambda each: seconds_of(each.at) or 0.0, reverse=True))


# ---- The texts that an item has and had, with their words: of its file, of git's history of it, and of the cache.


class TextVersion(Struct, frozen=True, kw_only=True):
    """A text with its title and body. `commit` is the git commit that added it, or empty."""

    title: str
    body: str
    digest: Digest
    """The digest of the body."""
    commit: str = ""
    at: str = ""
    """When it was committed, or a copy of it was made, ISO time."""
    is_copy: bool = False
    """Whether it is a copy that was kept when a text was saved on a page, or replaced."""
    author: str = ""
    """Who committed it."""
    first_line: int = 1
    """The line of the file on which the body begins."""

    @property
    def text(self) -> Digest:
        """Return the digest of title and body, by which approvals refer to the text."""
        return text_digest(self.title, self.digest)

    @property
    def short(self) -> str:
        """Return the first characters of the body's digest, by which people refer to the text."""
        return short(self.digest)


class ItemTexts(Struct, frozen=True, kw_only=True):
    """An item's current text, the earlier texts that this machine has, and the item's history."""

    now: TextVersion | None
    """The current text; None if there is no file, or it cannot be read."""
    earlier: tuple[TextVersion, ...]
    """The earlier texts, the newest first: those in git's history, then those in the cache."""
    approved: TextVersion | None
    """The text that was approved last, if it is another one and its words are here."""
    history: History
    why_missing: str
    """Why this clone may lack texts, and what to do; empty where it has the whole history."""

    @property
    def before(self) -> TextVersion | None:
        """Return the text that the file had before its current text, or None if this machine lacks it."""
        return next((one for one in self.earlier if self.now is not None and one.digest != self.now.digest), None)

    @property
    def current(self) -> Digest:
        """Return the digest of the current text in the file, or an empty text if there is none.

        It is the digest that `TextVersion.text` returns.
        """
        return self.now.text if self.now is not None else NOTHING

    def find(self, digest: str) -> TextVersion | None:
        """Return the earlier text whose digest begins with `digest`, or None if no text or several match.

        It may be the digest of the whole text, or that of its body.
        """
        exact = {one.text: one for one in self.earlier if _begins(one.text, digest)}
        found = {one.digest: one for one in self.earlier if _begins(one.digest, digest)}
        return next((next(iter(each.values())) for each in (exact, found) if len(each) == 1), None)

    def named(self, digest: str) -> TextVersion:
        """Return the earlier text whose digest begins with `digest`. Raises UsageError if there is none."""
        if (found := self.find(digest)) is None:
            hint = "; ".join(filter(None, ("choose one of its history", self.why_missing)))
            raise UsageError(f"no text `{digest[:20]}` can be shown", code="unknown-text", hint=hint)
        return found


def item_texts(
    project: Project, item: str, path: str, approval: Approval | None, known: KnownHistory | None = None
) -> ItemTexts:
    """Read the current and earlier texts of an item.

    `path` is its file, `approval` the last approval of another text, and `known` is as in `history`. Raises StateError
    if state files are invalid.
    """
    now = text_of_file(project, path) if path else None
    committed = tuple(_committed(project.root, path)) if path else ()
    in_git = {one.digest for one in committed}
    past = history(project, item, known, in_git)
    with open_cache(project, write=False) as cache:
        titles = dict.fromkeys(one.title for one in (*filter(None, [now]), *committed))
        cached = (
            TextVersion(title=next(iter(titles), ""), body=body, digest=text.job.body)
            for text in past.texts
            if text.job.body not in in_git and (body := cache.body(text.job.body)) is not None
        )
        decided = (
            TextVersion(title=kept[0], body=kept[1], digest=body_digest(kept[1]))
            for line in past.verdicts
            if (kept := cache.decided(line.text)) is not None
        )
        copies = _copies(project, path, past.generations, known.state if known is not None else read_state(project))
        earlier = (*committed, *cached, *decided, *copies)
    return ItemTexts(
        now=now,
        earlier=earlier,
        approved=_approved(approval, earlier, titles) if approval is not None else None,
        history=past,
        why_missing=no_history(project.root),
    )


def unpaid_texts(project: Project, record: Record, paid: Iterable[PaidText]) -> tuple[TextVersion, ...]:
    """Return the earlier texts that no job made, the newest first.

    People wrote them, or a write replaced them.
    """
    texts, made = item_texts(project, record.id, record.output, None), {one.job.body for one in paid}
    known = {one.text: one for one in reversed(texts.earlier) if one.digest not in made and one.text != texts.current}
    return tuple(sorted(known.values(), key=lambda one: one.at, reverse=True))


def text_of_file(project: Project, path: str) -> TextVersion | None:
    """Return the current text of a file, or None if it cannot be read."""
    try:
        text = Outputs(project.root).read(path)
    except OutputError:
        return None
    document = split(text)
    if document.problem:
        return None
    digest = body_digest(document.body)
    return TextVersion(title=document.title, body=document.body, digest=digest, first_line=line_numbers(text)[0])


def _copies(project: Project, path: str, jobs: Iterable[Job], state: State) -> Iterator[TextVersion]:
    """Yield the texts of an item's replaced files from the kept copies, including copies under earlier paths."""
    folder = kept_folder(Path(project.root), state.lineage, Disk())
    paths, outputs = sorted({path, *(job.output for job in jobs)} - {""}), Outputs(folder)
    for each in sorted((folder / REPLACED).glob("*")):
        for copy in (f"{REPLACED}/{each.name}/{one}" for one in paths if (each / one).is_file()):
            with contextlib.suppress(OutputError):
                document, at = split(outputs.read(copy)), iso((folder / copy).stat().st_mtime)
                digest = body_digest(document.body)
                yield TextVersion(title=document.title, body=document.body, digest=digest, at=at, is_copy=True)


def _committed(root: str, path: str) -> Iterable[TextVersion]:
    """Return the texts that a file has had in git, the newest first."""
    read: dict[Digest, TextVersion] = {}
    for data, commit, at, author in versions(root, path):
        if digest := digest_of_body(data):
            document = split(data.decode())
            made = TextVersion(
                title=document.title, body=document.body, digest=digest, commit=commit, at=at, author=author
            )
            # The older commit brought the words; the newer ones changed front matter, as an approval does.
            read[made.text] = made
    return read.values()


def _approved(approval: Approval, earlier: Iterable[TextVersion], titles: Iterable[str]) -> TextVersion | None:
    for one in earlier:
        for title in (one.title, *titles):
            if text_digest(title, one.digest) == approval.text:
                return structs.replace(one, title=title)
    return None


# ---- Drafts: what a person typed on a page and has not saved, one file each beside the kept copies of texts.


class DraftKind(enum.StrEnum):
    """The kinds of forms whose unfinished input is stored as a draft."""

    EDIT = "edit"
    NOTE = "note"
    COMMENT = "comment"


_FIELDS: Final = {
    DraftKind.EDIT: ("title", "body", "file", "was_title", "was"),
    DraftKind.NOTE: ("note",),
    DraftKind.COMMENT: ("quote", "note"),
}
"""The fields that are kept of each form."""


class TypedDraft(Struct, frozen=True, kw_only=True):
    """The words that a person typed into a form, by field, and when they were stored."""

    words: Mapping[str, str]
    at: str = ""
    """ISO time; empty: there is no draft."""


def draft_kind(name: str) -> DraftKind:
    """Return the kind of draft with this name. Raises UsageError if there is none."""
    try:
        return DraftKind(name)
    except ValueError:
        raise UsageError(f"there is no draft `{name}`", code="bad-form", hint="go back, and try again") from None


def keep_draft(
    project: Project, ids: Sequence[str], kind: DraftKind, words: Mapping[str, str], *, runtime: Runtime = HERE
) -> None:
    """Store what a person typed into a form about an item, in place of the earlier draft.

    If all fields are empty, the draft is deleted. `ids`: the item's id, then its earlier ids, so that a draft is found
    after a rename. Raises StateError or OutputError if it cannot be written.
    """
    kept = {name: words.get(name, "") for name in _FIELDS[kind]}
    if not any(kept.values()):
        drop_draft(project, ids, kind)
        return
    path, draft = _path(project, ids[0], kind), TypedDraft(words=kept, at=iso(runtime.wall()))
    make_kept(Path(project.root), path.parent.parent)
    Outputs(path.parent.parent, system=runtime.system).keep_at(
        msgspec.json.encode(draft).decode(), path.parent.name, path.name
    )


def draft_of(project: Project, ids: Sequence[str], kind: DraftKind) -> TypedDraft:
    """Return the newest draft of this kind. Its fields are empty if there is no readable draft."""
    draft = max((_read(_path(project, each, kind)) for each in ids), key=lambda each: each.at)
    return TypedDraft(words={name: draft.words.get(name, "") for name in _FIELDS[kind]}, at=draft.at)


def drop_draft(project: Project, ids: Sequence[str], kind: DraftKind) -> None:
    """Delete the drafts of this kind for an item."""
    for each in ids:
        _path(project, each, kind).unlink(missing_ok=True)


def _read(path: Path) -> TypedDraft:
    try:
        return decode_json(Disk().read(path) or b"", TypedDraft)
    except (msgspec.MsgspecError, ValueError):
        return TypedDraft(words={})


def _path(project: Project, item: str, kind: DraftKind) -> Path:
    name = short(digest_json([project.environment, item, kind.value]))
    return kept_folder(Path(project.root), first_lineage(project), Disk()) / "drafts" / f"{name}.json"
