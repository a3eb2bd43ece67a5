"""Compare an item's file with its generated, stored or planned text, and restore an earlier text."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.api.calls import Content, GetContent, GetStatus, JobStatus
from contentops.ci.history import earlier_bodies, no_history
from contentops.digest import NOTHING, PREFIX
from contentops.documents.blocks import Unusable, take_section
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.documents.files import Outputs
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, compose, replace_body, split
from contentops.documents.word_diff import take_new
from contentops.errors import ContentopsError, OutputError, Refused, StateError, UsageError, did_you_mean, plural
from contentops.execution.job import with_body
from contentops.model import Fetch, ItemId, MergeEdit, Promote, Write
from contentops.model.jobs import made_texts
from contentops.operations.contents import content, converse
from contentops.operations.opening import HERE, Runtime, kept_copies, open_cache
from contentops.operations.plan import no_item, recorded
from contentops.operations.spend import texts_of
from contentops.operations.texts import item_texts
from contentops.operations.workspace import PastTexts, hold_lock, open_workspace
from contentops.planning.front_matter import drifted, provenance_of
from contentops.planning.plan import make_plan
from contentops.planning.promote import known_texts
from contentops.planning.sides import Choice, is_edited
from contentops.sections import bare, cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import Change, Job, Json, Observed, Project, Record, State
    from contentops.model.run import PaidText
    from contentops.operations.contents import Caller
    from contentops.operations.texts import ItemTexts, TextVersion
    from contentops.planning.sides import PlanInputs
    from contentops.state.cache import Cache


# ---- The text that an apply would write for an item, as far as it is here.


class PlannedText(NamedTuple):
    """A text that a change writes."""

    title: str
    body: str


def planned_text(inputs: PlanInputs, change: Change, before: str | None) -> PlannedText | None:
    """Return the text that the change writes over the body `before`, if this machine has it."""
    text = _text(inputs, change)
    return None if text is None else text._replace(body=_merged(inputs, change, before, text.body))


def _merged(inputs: PlanInputs, change: Change, before: str | None, text: str) -> str:
    """Return the text as it is written: with a new section, or with the sections that a person edited."""
    if change.section and before is not None:
        own_texts = known_texts(change.record, body_digest(text), inputs.text)
        taken = take_section(before, text, change.section, own_texts)
        return before if isinstance(taken, Unusable) else taken[0]
    mode = next((step.mode for step in change.steps if isinstance(step, Write)), None)
    if not isinstance(mode, MergeEdit) or before is None:
        return text
    merged = take_new(inputs.text(mode.base) or "", before, text)
    return text if merged is None else merged.body


def _text(inputs: PlanInputs, change: Change) -> PlannedText | None:
    job, digest, text = change.job, NOTHING, PlannedText("", "")
    if job is not None:
        digest, text = job.body, PlannedText(job.title, "")
    for step in change.steps:
        if isinstance(step, Promote):
            document = split(Outputs(inputs.project.root).read(step.path))
            return PlannedText(document.title, document.body)
        if isinstance(step, Fetch) and step.job is not None:
            digest, text = step.job.body, PlannedText(step.job.title, "")
        elif isinstance(step, Fetch) and change.record is not None and step.recorded:
            digest, text = next(iter(change.record.restorable), NOTHING), PlannedText(change.record.title, "")
    body = inputs.text(digest) if digest else None
    return None if body is None else text._replace(body=body)


# ---- Compare an item's file with its generated, stored or planned text, and restore an earlier text.


class Difference(Struct, frozen=True, kw_only=True):
    """Two sides of an item with their texts; None for a text that is not there.

    `front` and `request`: the keys that differ, each with the values before and after; None for no value.
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
        """Whether both sides are equal."""
        return self.before == self.after and not self.front and not self.request


def from_generated(project: Project, item: str) -> Difference:
    """Compare the text last generated, promoted or adopted with the file, and the front matter last written with it.

    Raises UsageError where there is none, OutputError for a file that cannot be read, StateError where the text is
    missing.
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
        hint = past.why_missing() or "`contentops report --runs` lists the texts and where each is"
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
    """Compare what the server has stored with the file.

    Raises UsageError where nothing was saved there, OutputError for a file that cannot be read, ApiError.
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
    """Compare the file with what the plan makes of it: the text, if this machine has it, front matter and request.

    Raises UsageError for an unknown id, InputError for manifests with errors, OutputError for a file that cannot be
    read.
    """
    with open_workspace(project, keep_stamps=False) as workspace:
        inputs = workspace.plan_inputs(Choice())
        change = next((one for one in make_plan(inputs).changes if one.id == item), None)
        if change is None:
            if ItemId(item) not in inputs.specs:
                raise no_item(item, [*inputs.specs, *inputs.state.records])
            return Difference(old="file", new="planned", note="nothing is planned for it")
        return _planned(inputs, change)


def _planned(inputs: PlanInputs, change: Change) -> Difference:
    file = change.file
    if file.problem:
        raise OutputError(file.problem, code="unreadable-file")
    before = split(Outputs(inputs.project.root).read(file.path)).body if file.exists else None
    planned = planned_text(inputs, change, before)
    front = {key: (file.front.get(key), value) for key, value in change.front.items() if key != PROVENANCE_KEY}
    if (promotion := change.promotion) is not None:
        source = inputs.observe(promotion.path).front
        front |= {key: (None, source[key]) for key in promotion.carries}
    if change.title not in (None, file.title):
        front[TITLE_KEY] = (file.title or None, change.title)
    note = change.hint if change.blocked else ""
    if planned is None and change.submit is not None:
        note = "its text is not written yet"
    after = before if planned is None else planned.body
    return Difference(
        old="file", new="planned", before=before, after=after, front=front, request=_request(change), note=note
    )


def _request(change: Change) -> dict[str, tuple[Json, Json]]:
    named = (one for one in change.reasons if one.field and one.kind in ("added", "removed", "changed"))
    return {one.field: (one.before, one.after) for one in named}


def of_section(difference: Difference, heading: str) -> Difference:
    """Return the difference of the sections with this heading. Raises UsageError where neither text has one."""
    wanted = bare(heading)
    sides = [cut(text or "") for text in (difference.before, difference.after)]
    headings = dict.fromkeys(one.key.heading for side in sides for one in side if one.key.heading)
    if not any(bare(name) == wanted for name in headings):
        names = ", ".join(f"`{name}`" for name in headings) or "none"
        hint = did_you_mean(heading, headings, f"their headings: {names}")
        message = f"neither text has a section `{heading}`"
        raise UsageError(message, code="unknown-section", hint=hint)
    before, after = ("".join(one.text for one in side if bare(one.key.heading) == wanted) for side in sides)
    return Difference(old=difference.old, new=difference.new, before=before, after=after, note=difference.note)


# --- the sides ---------------------------------------------------------------------------------------------


def _file(project: Project, record: Record) -> tuple[Observed, str]:
    """Return the file of an item and its body. Raises OutputError."""
    outputs = Outputs(project.root)
    try:
        body = split(outputs.read(record.output)).body
    except OutputError as error:
        message = f"`{record.id}` has no readable file: {error.message}"
        raise OutputError(message, hint="`contentops plan` says whether an apply restores it") from error
    return outputs.observe(record.output), body


# --- restore -----------------------------------------------------------------------------------------------


class Restored(Struct, frozen=True, kw_only=True):
    """A restored text, and the file that has it now."""

    text: PaidText
    output: str
    source: str = ""
    """`cache`, `git` or `server`; empty: the file had it already."""
    copy: str = ""
    """The copy of a file that a person had edited, or empty."""


def restorable(project: Project, item: str) -> tuple[PaidText, ...]:
    """Return the texts paid for an item, newest first. Raises UsageError where nothing was generated for it."""
    return texts_of(project, recorded(project, item)[0], item)


def restore(
    project: Project,
    item: str,
    to: str,
    *,
    overwrite: bool = False,
    runtime: Runtime = HERE,
) -> Restored:
    """Put the text whose digest begins with `to` into the file of an item; its front matter stays. Records nothing.

    `overwrite`: replace a file that was edited by hand, after a copy of it was made. Raises UsageError where `to`
    matches no text or several, Refused for an edited file or a protected item, StateError where no one has the text,
    ApiError where the server cannot be asked for it.
    """
    with hold_lock(project, runtime), open_cache(project, write=True) as cache:
        state, record = recorded(project, item)
        texts = texts_of(project, state, item)
        text = _named(project, texts, item, to)
        copies = kept_copies(project, state.lineage, runtime)
        outputs = Outputs(project.root, whole=[one.body for one in texts], copies=copies, system=runtime.system)
        file = outputs.observe(record.output)
        if file.problem:
            raise OutputError(file.problem, code="unreadable-file")
        if text.stands:
            return Restored(text=text, output=record.output)
        if record.protected:
            hint = "apply `protected: false` first to lift it"
            raise Refused(f"`{item}` is protected, so its text is not changed", code="not-restored", hint=hint)
        edited = is_edited(file, record, made_texts(state)) and not any(one.stands and one.is_local for one in texts)
        if edited and not overwrite:
            hint = "`--on-edit overwrite` restores the earlier text and keeps a copy of the file"
            raise Refused(f"`{record.output}` was edited by hand", code="not-restored", hint=hint)
        body, source = _words(project, cache, record, text, runtime)
        cache.keep_body(text.body, body)
        copy = outputs.set_aside(record.output, outputs.read(record.output)) if edited else ""
        made = (
            replace_body(outputs.read(record.output), body) if file.exists else _composed(project, state, record, body)
        )
        outputs.write(record.output, made, expect=file.file)
    return Restored(text=text, output=record.output, source=source, copy=copy)


def _named(project: Project, texts: Sequence[PaidText], item: str, to: str) -> PaidText:
    """Return the one text whose digest begins with `to`. Raises UsageError."""
    start = to.strip().lower().removeprefix(PREFIX)
    matches = [one for one in texts if start and one.body.removeprefix(PREFIX).startswith(start)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(f"`{one.short}`" for one in matches or texts) or "none"
    if matches:
        message = f"{plural(len(matches), 'text')} of `{item}` begin with `{to}`"
        raise UsageError(message, code="unknown-text", hint=f"write more of it: {names}")
    hint = did_you_mean(start, [one.short for one in texts], f"its texts: {names}")
    hint = "; ".join(filter(None, (hint, no_history(project.root))))
    raise UsageError(f"`{item}` has no text `{to}`", code="unknown-text", hint=hint)


def _composed(project: Project, state: State, record: Record, body: str) -> str:
    """Return the file as it was last written, with that body."""
    block = provenance_of(record, state.made_by(record)) if project.provenance else None
    return compose(record.title, record.metadata, block, body)


def _words(project: Project, cache: Cache, record: Record, text: PaidText, runtime: Runtime) -> tuple[str, str]:
    """Find the words of a text; return them and where they were found. Raises StateError, ApiError."""
    if (body := cache.body(text.body)) is not None:
        return body, "cache"
    for digest, earlier in earlier_bodies(project.root, record.output):
        if digest == text.body:
            return earlier, "git"
    message = f"the text `{text.short}` of `{text.item}` any more: not the cache, not git's history of"
    message += f" `{record.output}`"
    why = no_history(project.root)
    if "server" not in text.where:
        made = f"; it was made by the server `{text.server}`" if text.server != project.api.server else ""
        raise StateError(message + made, code="text-not-found", hint=why or _ELSEWHERE)
    try:
        text_there = converse(project, runtime, lambda caller: _text_on_server(caller, text), cache)
    except ContentopsError as error:
        text_there, why = "", why or error.hint
        message += f", and the server cannot be asked: {error.message}"
    else:
        message += f", not the server `{text.server}`"
    if not text_there:
        raise StateError(message, code="text-not-found", hint=why or _ELSEWHERE)
    return text_there, "server"


_ELSEWHERE = "the `.contentops/cache` of the machine that applied it may have it, or a branch of git that is not here"


async def _text_on_server(caller: Caller, text: PaidText) -> str:
    """Read the text from the server, by its content or its job; empty where it has another one by now."""
    content = await caller.optional(GetContent(text.content_id), Content) if text.content_id else None
    reply = with_body([content] if content else [], text.body)
    if reply is None and text.job_id:
        status = await caller.optional(GetStatus(text.job_id, ours=text.request_id), JobStatus)
        reply = with_body([status] if status else [], text.body)
    return reply.body if reply else ""


# ---- Find the text that an item had before the last apply, and compare it with the file.


def from_previous(project: Project, item: str) -> Difference:
    """Compare the text before the last one that was generated, promoted or adopted with the file.

    Raises UsageError where nothing was generated, OutputError for a file that cannot be read, StateError where there is
    no earlier text, or where its words are missing.
    """
    state, record = recorded(project, item)
    texts = item_texts(project, item, record.output, None)
    if texts.now is None:
        message = f"`{item}` has no readable file `{record.output}`"
        raise OutputError(message, hint="`contentops plan` says whether an apply restores it")
    previous = _previous(record, state.made_by(record), texts)
    if previous is None:
        listed = f"`contentops report --runs --select {item}` lists its texts and where each is"
        message = f"no earlier text of `{item}` is in the cache or in git"
        raise StateError(message, code="no-previous-text", hint="; ".join(filter(None, (listed, texts.why_missing))))
    # The cache keeps no titles.
    titles = (previous.title, texts.now.title) if previous.commit else ("", "")
    front = {} if titles[0] == titles[1] else {TITLE_KEY: (titles[0] or None, titles[1] or None)}
    where = f"git, commit {previous.commit[:12]}" if previous.commit else "the cache"
    return Difference(
        old="previous",
        new="file",
        before=previous.body,
        after=texts.now.body,
        front=front,
        note=f"the text before the last apply is `{previous.short}`, from {where}",
    )


def _previous(record: Record, made_by: Job | None, texts: ItemTexts) -> TextVersion | None:
    """Return the newest text that is older than the one the last apply brought; of git or of the cache."""
    latest = record.promoted if record.is_promoted else record.generated or record.promoted or record.adopted
    until = _time(made_by.generated_at) if made_by is not None else 0.0

    committed = [one for one in texts.earlier if one.commit]
    at = next((place for place, one in enumerate(committed) if one.digest == latest), None)
    if at is not None:
        committed = committed[at + 1 :]
    elif until and not record.is_promoted:
        committed = [one for one in committed if _time(one.at) <= until]
    paid = {one.body: _time(one.at) for one in texts.history.texts}
    cached = [one for one in texts.earlier if one.digest in paid and one.digest != latest]
    candidates = [(_time(one.at), one) for one in committed[:1]]
    candidates += [(paid[one.digest], one) for one in cached if not until or paid[one.digest] <= until]
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None


def _time(at: str) -> float:
    """Return an ISO time as seconds since 1970; 0 where it is not known."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
