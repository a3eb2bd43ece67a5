"""Decides which body, path and front matter a declared item's file gets, and whether it is saved to the server.

These are four questions. The change has the steps of all four answers. `plan` handles the items that no manifest
declares any more.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from contentops.digest import NOTHING, short
from contentops.documents.clean import title_digest
from contentops.documents.paths import collision_key
from contentops.model import (
    Acknowledge,
    Action,
    ApprovalState,
    Change,
    Collect,
    Fetch,
    Job,
    JobState,
    LookUp,
    MergeEdit,
    Move,
    Note,
    Observed,
    OnEdit,
    OnSourceChange,
    Poll,
    Publish,
    Reason,
    Record,
    Restore,
    RetryText,
    Save,
    Spec,
    Step,
    Submit,
    Update,
    Write,
)
from contentops.model.records import UNDECIDED
from contentops.planning.approval import waiting_notes, which_status
from contentops.planning.edits import (
    EDITED,
    Answer,
    block,
    edit_notes,
    edited_on_server,
    is_emptied,
    is_open_edit,
    known_on_server,
    merge_trouble,
    occupied_hint,
    on_edit,
    overwriting,
    protect_edits,
    remote_notes,
    save_over,
    server_edit_hint,
    why_changed,
)
from contentops.planning.front_matter import FrontAnswer, dated, differs, is_block_of, marked, which_front_matter
from contentops.planning.guards import beyond_context, collecting, order_of, retries_left
from contentops.planning.promote import (
    FAILED,
    failed_checks,
    failed_hint,
    fails_checks,
    generation_refused,
    promoted,
    replacement_refused,
    section_answer,
    section_edits,
    section_reason,
)
from contentops.planning.sides import (
    TRIES,
    ItemSides,
    PlanInputs,
    explain,
    failed_attempts,
    is_ours,
    is_protected,
    recorded_request,
    resting_place,
)
from contentops.planning.sources import (
    DRAFT_OUTLINE,
    finished_job,
    first_request,
    next_attempt,
    not_saved_elsewhere,
    ordered_elsewhere,
    outline_notes,
    reference_reason,
    refers_differently,
    source_changed,
    stale_reasons,
    troubled,
    waiting_change,
)

# ---- The change of one item, by four questions in order: which body, which path, which front matter, which save.


def decide(item: ItemSides) -> tuple[Change | None, tuple[Note, ...]]:
    """Return the change of a declared item, and the notes about it. The change is None if there is nothing to do."""
    # `replacement_refused` says that a text that waits cannot be replaced.
    is_replaced = item.spec.id in item.inputs.choice.replace
    if item.waits and not (item.keeps_text or item.is_protected or item.under_way or is_replaced):
        return waiting_change(item), ()
    body = which_body(item)
    if item.waits and body.action is Action.PROMOTE:
        return waiting_change(item), ()
    # The server may still have the texts of these jobs, so that no person has to decide.
    running = [job for job in item.open_jobs if job.state in (JobState.SUBMITTING, JobState.RUNNING)]
    collected = [job for job in running if job is not body.job]
    notes = (*_unknown_notes(item, body), *_protection_notes(item), *remote_notes(item))
    notes += (*outline_notes(item), *waiting_notes(item, body))
    if body.blocked:
        return _blocked(item, body, collected), notes
    item = dated(item, body)
    path = which_path(item)
    front = which_front_matter(item, body)
    notes += front.notes
    save = which_save(item, body, front.title)
    if save.blocked:
        # The block already says what this note says.
        other_notes = tuple(note for note in notes if note.kind != save.blocked)
        return _blocked(item, structs.replace(save, job=body.job), collected), other_notes
    notes += () if save.steps else tuple(edit_notes(item, body))
    status = which_status(item, front.approval, is_saved=bool(save.steps))
    steps = _on_disk(item, body, path, front)
    # Words that no one approved are saved once their content is a draft.
    steps += save.steps + status.steps if front.approval is ApprovalState.APPROVED else status.steps + save.steps
    if not steps and not collected:
        return None, notes
    if hint := _why_unwritable(item, steps):
        return _blocked(item, structs.replace(body, blocked="unwritable-file", hint=hint), collected), notes
    change = Change(
        id=item.spec.id,
        action=body.action if body.action is not Action.NONE else _action(item, steps),
        file=item.file,
        reasons=(
            *body.reasons,
            *path.reasons,
            *front.reasons,
            *save.reasons,
            *status.reasons,
            *_id_reason(item),
            *reference_reason(item, steps),
        ),
        steps=(*collecting(item.inputs.project, collected), *steps),
        spec=item.spec,
        record=item.record,
        remote=item.remote,
        renamed_from=item.taken_from,
        addresses=front.addresses,
        open_metadata=item.open_metadata,
        hint=body.hint,
    )
    return change, notes


def _why_unwritable(item: ItemSides, steps: Iterable[Step]) -> str:
    """Return why the item's file cannot be written and what to do, or an empty text if it can be written."""
    if not any(isinstance(step, Write | Update | Move) for step in steps):
        return ""
    # Nothing is paid for that could not be written afterwards. Protection keeps a file, but does not create one.
    keep = ", or set `protected: true` to keep the item as it is" if item.file.exists else ""
    why = item.inputs.denied(item.spec.output)
    return why and f"{why}; change that{keep}"


_NOT_OURS = ("owned-elsewhere", "unwritable-file")
"""The kinds of blocks for an item whose file must not be written at all."""


def _blocked(item: ItemSides, body: Answer, collected: Iterable[Job]) -> Change:
    """Return a change that says why the item is blocked.

    It still collects open jobs, so that no paid text is lost, and updates the draft mark and disclosure.
    """
    running = body.job is not None and body.job.state is JobState.RUNNING
    own = (body.job,) if body.job is not None and running else ()
    mark = marked(item) if body.blocked not in _NOT_OURS else Answer()
    return Change(
        id=item.spec.id,
        action=Action.BLOCKED,
        file=item.file,
        reasons=(*body.reasons, *mark.reasons),
        steps=(
            *collecting(item.inputs.project, (*own, *collected)),
            *mark.steps,
        ),
        spec=item.spec,
        record=item.record,
        remote=item.remote,
        renamed_from=item.taken_from,
        addresses=item.record.addresses if item.record is not None else (),
        blocked_job=body.job,
        blocked=body.blocked,
        hint=body.hint,
    )


def block_change(change: Change, kind: str, hint: str, *why: Reason) -> Change:
    """Block the change, and keep only its steps that collect open jobs."""
    return structs.replace(
        change,
        action=Action.BLOCKED,
        reasons=(*change.reasons, *why),
        steps=tuple(step for step in change.steps if isinstance(step, Collect)),
        blocked_job=change.job,
        blocked=kind,
        hint=hint,
    )


# --- 2: which path -----------------------------------------------------------------------------------------


def which_path(item: ItemSides) -> Answer:
    """Return the step that moves the item's file, if the file's path changes."""
    record, file, target = item.record, item.file, item.spec.output
    before = record.output if record is not None else file.path
    if not file.exists or before == file.path == target:
        return Answer()
    via = resting_place(file.path, target, item.spec.id) if file.path != target else ""
    reason = Reason(kind="moved", field="output", before=before, after=target)
    return Answer(steps=(Move(source=file.path, target=target, expects=file.file, via=via),), reasons=(reason,))


def find_file(inputs: PlanInputs, spec: Spec, record: Record | None) -> Observed:
    """Return an item's file, from the recorded path or from where an interrupted run wrote or moved it."""
    if record is None:
        file = inputs.observe(spec.output)
        return file if file.exists else _written(inputs, spec) or file
    file = inputs.observe(record.output)
    if file.exists or record.output == spec.output:
        return file
    made = {record.generated, record.promoted} - {NOTHING}
    for path in (resting_place(record.output, spec.output, spec.id), spec.output):
        other = inputs.observe(path)
        is_named = other.owner in (spec.id, inputs.earlier_id(spec.id)) or other.body in made
        if other.exists and (is_named or is_block_of(record, inputs.state.made_by(record), other)):
            return other
    return file


def _written(inputs: PlanInputs, spec: Spec) -> Observed | None:
    """Return the file that an interrupted run wrote under another path for the item's request, if there is one."""
    for job in inputs.written.get(spec.digest, ()):
        file = inputs.observe(job.output)
        has_its_text = bool(job.body) and file.body == job.body
        may_be_its = has_its_text or bool(file.problem) or is_ours(inputs, spec, file)
        if file.exists and may_be_its and (job.item == spec.id or job.item not in inputs.specs):
            return file
    return None


# --- 4: which save -----------------------------------------------------------------------------------------


def which_save(item: ItemSides, body: Answer, title: str | None) -> Answer:
    """Return the steps that save the file to the server, or the reason why the item is blocked.

    The answer has no steps if there is nothing to save.
    """
    why = _why_saved(item, body, title)
    if why is None:
        return Answer()
    if hint := not_saved_elsewhere(item, body):
        return block(DRAFT_OUTLINE, hint, reasons=body.reasons)
    answer = save_over(item, body)
    return answer if answer.blocked else structs.replace(answer, reasons=(*why, *answer.reasons))


def _why_saved(item: ItemSides, body: Answer, title: str | None) -> tuple[Reason, ...] | None:
    """Return the reasons to save the file's title and body to the server, or None if nothing is saved."""
    record, file, remote = item.record, item.file, item.remote
    if not item.inputs.saves(item.spec):
        return None
    is_edited_there, choice = is_open_edit(item, body), item.inputs.choice.on_edit
    # The file is saved even if it has the text that was last saved: the server has another text now, or none.
    must_save = (is_edited_there and choice is OnEdit.OVERWRITE) or (remote is not None and remote.is_lost)
    if isinstance(body.mode, Restore) and record is not None:
        saved = record.saved
        retitled = saved is not None and saved.title != title_digest(record.title if title is None else title)
        return () if must_save or retitled or not item.inputs.saved_body(record) else None
    if body.writes:
        return ()
    keeps_both = is_edited_there and not item.keeps_text and on_edit(item) is OnEdit.KEEP and not is_emptied(item)
    if not file.exists or keeps_both:
        return None
    on_server = known_on_server(item, body)
    title_now = item.title if title is None else title
    if on_server is not None and (on_server.title, on_server.body) == (title_digest(title_now), file.body):
        return () if must_save else None
    why = "edited by hand" if item.is_edited else "not what was last saved"
    if on_server is None:
        why = "never saved to this server"
    return (Reason(kind="save", detail=why),)


# --- putting it together -----------------------------------------------------------------------------------


def _on_disk(item: ItemSides, body: Answer, path: Answer, front: FrontAnswer) -> tuple[Step, ...]:
    """Return the steps that change the item's file and record."""
    expects, target = item.file.file, item.spec.output
    steps = [*path.steps]
    if body.writes:
        write = Write(
            target=target,
            expects=expects,
            front=front.front,
            title=front.title,
            mode=body.mode,
        )
        # Without a record, the open job says where the file is.
        fetches = [_with_output(step, target) for step in body.steps] if item.record is None else body.steps
        steps += [*fetches, write]
    else:
        acknowledge = next((step for step in body.steps if isinstance(step, Acknowledge)), None)
        if acknowledge is None and item.is_up_to_date and refers_differently(item):
            acknowledge = Acknowledge(accepts=True)
        if front.reasons and differs(item.file, front):
            update = Update(target=target, expects=expects, front=front.front, title=front.title)
            steps += [update] if acknowledge is None else [acknowledge, update]
        elif front.reasons or acknowledge is not None or (not steps and _record_lags(item)):
            steps.append(structs.replace(acknowledge or Acknowledge(), front=front.front, title=front.title))
    return tuple(steps)


def _with_output(step: Step, target: str) -> Step:
    """Return the step, with `target` as the output path of the step's open job, if there is one."""
    if isinstance(step, LookUp | Poll | Fetch) and step.job is not None:
        return structs.replace(step, job=structs.replace(step.job, output=target))
    return step


def _record_lags(item: ItemSides) -> bool:
    """Return whether the record's id, protection or list of used texts is out of date."""
    record = item.record
    if record is None:
        return False
    is_renamed = item.inputs.earlier_id(item.spec.id) is not None
    return is_renamed or is_protected(item.spec, record) != record.protected or refers_differently(item)


def _action(item: ItemSides, steps: Sequence[Step]) -> Action:
    """Return the action of a change that writes no new text."""
    if item.taken_from is not None:
        return Action.RENAME
    kinds = (
        (Move, Action.MOVE),
        (Update, Action.UPDATE),
        (Acknowledge, Action.UPDATE),
        (Save, Action.SAVE),
        (Publish, Action.SAVE),
    )
    return next((action for kind, action in kinds if any(isinstance(step, kind) for step in steps)), Action.DRAIN)


def _id_reason(item: ItemSides) -> tuple[Reason, ...]:
    """Return why the item takes over the record of another id."""
    old = item.inputs.earlier_id(item.spec.id)
    if old is None:
        return ()
    detail = "by `moved`" if item.taken_from is None else "same request, new id"
    return (Reason(kind="renamed", before=old, after=item.spec.id, detail=detail),)


def _unknown_notes(item: ItemSides, body: Answer) -> tuple[Note, ...]:
    return tuple(
        Note(
            kind="unknown-outcome",
            id=item.spec.id,
            message=f"`{item.spec.id}`: the outcome of an earlier submit is unknown",
            hint=f"`contentops state resolve {item.spec.id} --forget --request {job.short}` drops it",
        )
        for job in item.open_jobs
        if job.state is JobState.UNKNOWN and job is not body.job
    )


def _protection_notes(item: ItemSides) -> Iterator[Note]:
    if item.record is not None and item.is_protected and not item.keeps_text:
        fields = ", ".join(f"`{reason.field}`" for reason in explain(item.spec, item.record)) or "its server"
        message = f"`{item.spec.id}` is protected: changes of {fields} are ignored"
        yield Note(kind="protected", id=item.spec.id, message=message, hint="apply `protected: false` first")


# ---- The first question: which body. The first row of `_TABLE` that applies to an item answers it.


def which_body(item: ItemSides) -> Answer:
    """Decide which body the item's file gets. The first row of the decision table that returns a decision wins."""
    for row in _TABLE:
        if (answer := row(item)) is not None:
            return answer
    raise AssertionError("the table covers every case")


# --- blocked, or asked for ---------------------------------------------------------------------------------


def _other_environments(item: ItemSides) -> Answer | None:
    claimed = item.inputs.claimed_paths
    owner = claimed.get(collision_key(item.spec.output)) if claimed else None
    if owner is None:
        return None
    hint = f"`{item.spec.output}` belongs to `{owner}`; give this environment another `output`"
    return block("owned-elsewhere", hint)


def _unreadable(item: ItemSides) -> Answer | None:
    return block("unreadable-file", item.file.problem) if item.file.problem else None


def _without_template(item: ItemSides) -> Answer | None:
    """Block a new item without a template, because nothing can generate it. Return None for other items."""
    if item.spec.request.template or item.record is not None or item.source_text is not None:
        return None
    path = item.spec.output
    if item.file.exists:
        return block("foreign-file", occupied_hint(item, path))
    return block("no-template", f"`{path}` does not exist, and without a `template` it cannot be generated")


def _section(item: ItemSides) -> Answer | None:
    """Decide how to generate one section again. The item is blocked if the server and the file have different texts."""
    heading = item.inputs.choice.sections.get(item.spec.id)
    if heading is None or item.under_way:
        return None  # one under way is finished, not paid for again
    record = item.record
    if record is None or not record.digest or not item.keeps_text or not item.file.exists:
        hint = "a section can be generated again only if the item is up to date; apply first"
        return block("no-text", hint)
    if item.is_protected:
        return block("protected", "it is protected; apply `protected: false` first")
    if item.is_edited_on_server:
        return block(EDITED, server_edit_hint(item))
    is_other = item.remote is not None and item.remote.recorded
    is_saved = item.inputs.saved_body(record) == item.file.body and not is_other
    if not record.content_id or not is_saved:
        return block("not-saved", f"the text of `{item.file.path}` is not saved on the server; apply first")
    edits = section_edits(item, heading) or Answer()
    if edits.is_final:
        return edits
    edits = structs.replace(edits, reasons=(section_reason(item, heading), *edits.reasons))
    return _generate(item, Action.REGENERATE, edits, heading)


def _replace(item: ItemSides) -> Answer | None:
    own, inputs = item.record, item.inputs
    if item.spec.id not in inputs.choice.replace or item.is_protected:
        return None
    reason = Reason(kind="replace", detail="requested with `--replace`")
    action = Action.REGENERATE if own is not None else Action.CREATE
    if fails_checks(item):
        return _generate(item, action, overwriting(item, (*why_changed(item), reason)))
    if own is None or any(job.attempt > item.answered for job in item.under_way):
        return None  # the replacement is under way already: it is finished, not paid for again
    is_as_generated = item.file.body == own.generated
    is_unsaved = inputs.saves(item.spec) and inputs.saved_body(own) != own.generated
    if inputs.interrupted and item.keeps_text and is_as_generated and is_unsaved:
        # Its text came just before the stop: the same command again finishes it and does not pay for another one.
        return Answer(hint=f"the text that arrived before the stop; `--replace {item.spec.id}` makes another one")
    return _generate(item, action, overwriting(item, (reason,)))


def _protected(item: ItemSides) -> Answer | None:
    """Keep the text of a protected item, even if its declaration changed."""
    if not item.is_protected or item.keeps_text:
        return None
    return Answer() if item.file.exists else _missing(item)


# --- under way ---------------------------------------------------------------------------------------------


def _open(item: ItemSides) -> Answer | None:
    """Finish an open job of the item's request instead of submitting the request again."""
    if not item.open_jobs or not (under_way := item.under_way):
        return None
    if item.keeps_text and item.source_text is not None:
        return None  # the text of another environment was taken instead
    return _finish(item, under_way[-1])


def _finish(item: ItemSides, job: Job) -> Answer:
    """Return the steps that write the text of an open job, or the reason why the text cannot be written."""
    edits = _check_edits(item, job)
    if edits.is_final:
        return edits
    why, has_job = edits.reasons, job.state not in UNDECIDED
    # Each clone has its own bundled server, so that this one may never have had the job.
    may_be_gone = item.inputs.server == "local" and not (job.body and item.inputs.text(job.body) is not None)
    if not has_job or may_be_gone:
        return _look_up(item, job, edits, has_job=has_job)
    paid = job.state is JobState.PAID
    bring = Fetch(job=job) if paid else Poll(job=job)
    retry = _retry(item, job.retry, job.section)
    if failed := failed_checks(item, job, edits) if paid else ():
        # If only the words of a person fail the checks, another text does not help.
        fails_alone = not isinstance(edits.mode, MergeEdit) or failed_checks(item, job)
        if not retry or not fails_alone:
            hint = failed_hint(item.spec, job, keeps_text=item.keeps_text)
            return block(FAILED, hint, reasons=(*why, *failed), job=job)
        retry = tuple(structs.replace(step, certain=True) for step in retry)
    # A person may have named the content of a submit whose job no one knows.
    source = f"job `{job.job_id}`" if job.job_id or not job.content_id else f"content `{job.content_id}`"
    reason = Reason(kind="open-job", detail=f"{source} is {'paid for' if paid else 'running'}")
    # The findings of the last apply, because a plan compares no texts and runs no commands.
    found = (Reason(kind=FAILED, detail=job.error),) if paid and job.error and not failed else ()
    hint = (
        f"apply checks it again; {failed_hint(item.spec, job, keeps_text=item.keeps_text)}"
        if found and not retry
        else ""
    )
    steps, reasons = (bring, *retry), (*why, reason, *failed, *found)
    return structs.replace(edits, action=Action.FINISH, steps=steps, reasons=reasons, job=job, hint=hint)


def _check_edits(item: ItemSides, job: Job) -> Answer:
    """Decide whether a job's text can be written to the item's file, which a person may have edited.

    If it can, the decision has the reasons to write it, and says which edits it replaces.
    """
    why = why_changed(item)
    if job.section and item.record is not None:
        answer = section_answer(item, job)
        return structs.replace(answer, reasons=(*why, *answer.reasons))
    if not item.is_edited_on_server and (not item.file.exists or _is_text_of(item, job)):
        return Answer(reasons=why)
    # What `--replace` asks for in this command is written even over an edited file.
    is_replacement = item.record is not None and job.attempt > item.answered
    is_asked_for = is_replacement and item.spec.id in item.inputs.choice.replace
    if not is_asked_for and (edits := protect_edits(item, why, job)) is not None:
        return merge_trouble(item, edits, job) or edits
    return overwriting(item, why)


def _is_text_of(item: ItemSides, job: Job) -> bool:
    """Return whether the item's file already has the text of the job, because a run ended before it wrote the record.

    The provenance block decides only if that text is no longer known, since a person may have edited the body.
    """
    body = job.body
    if body:
        return item.file.body == body
    is_of_job = job.job_id == item.file.provenance.get("job") if job.job_id else item.record is None
    return is_of_job and is_ours(item.inputs, item.spec, item.file)


def _look_up(item: ItemSides, job: Job, edits: Answer, *, has_job: bool) -> Answer:
    detail = f"job `{job.job_id}` is open" if has_job else job.why_unknown
    reason = Reason(kind="open-job" if has_job else "unknown-outcome", detail=detail)
    is_asked = bool(job.section) or job.digest == item.spec.digest
    attempt = job.attempt if is_asked else next_attempt(item)
    steps = _generation(item, attempt, job.section, job.retry)
    hint = "submitted again only if the server proves that it never arrived"
    if item.inputs.honours_ids is False:
        steps = (Poll(), *_retry(item, job.retry, job.section))
        hint = f"if it cannot be found: `contentops state resolve {item.spec.id}`"
    return structs.replace(
        edits,
        action=Action.FINISH if has_job else Action.RESOLVE,
        steps=(LookUp(job=job), *steps),
        reasons=(*edits.reasons, reason),
        job=job,
        hint="" if has_job else hint,
    )


# --- as recorded -------------------------------------------------------------------------------------------


def _edited_on_server(item: ItemSides) -> Answer | None:
    """Decide what to do about an edit in WriterzRoom. Return None if the item does not keep its text."""
    return edited_on_server(item, ()) if item.keeps_text else None


def _recorded(item: ItemSides) -> Answer | None:
    if not item.keeps_text or item.record is None:
        return None
    if not item.file.exists:
        return _missing(item)
    if item.stale_rule is OnSourceChange.KEEP:
        return Answer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=stale_reasons(item))
    return Answer()


def _missing(item: ItemSides) -> Answer:
    """Decide how to restore the item's missing file. The item is blocked if its text cannot be found."""
    record, inputs = item.record, item.inputs
    assert record is not None
    if item.spec.output != record.output and inputs.observe(item.spec.output).exists:
        return block("foreign-file", occupied_hint(item, item.spec.output))
    if (committed := inputs.committed(record.output)) not in {NOTHING, *record.bodies, *inputs.made}:
        again = f"contentops restore {shlex.quote(record.id)} --to {short(committed)}"
        return block("text-in-git", f"`{record.output}` is gone, and git has it with words of a person: `{again}`")
    ours = record.server == inputs.server
    wanted = record.restorable

    def is_here() -> bool:
        return any(inputs.text(digest) is not None for digest in wanted)

    generated_only = wanted == (record.generated,) and not record.is_promoted
    if inputs.server == "local" and generated_only and record.outline and item.keeps_text and not is_here():
        # Each clone has its own bundled server; an outline that it does not have is generated again, free.
        reason = Reason(kind="missing", detail=f"`{record.output}` is gone, and this clone's server never had it")
        return _generate(item, Action.REGENERATE, Answer(reasons=(reason,)))
    made_by = inputs.state.made_by(record)
    on_server = ours and bool(record.content_id or (made_by is not None and made_by.job_id and not record.is_promoted))
    if wanted and (on_server or is_here()):
        reason = Reason(kind="missing", detail=f"`{record.output}` is gone")
        return Answer(action=Action.RESTORE, steps=(Fetch(),), reasons=(reason,), mode=Restore())
    hint = text_lost_hint(record, is_protected=item.is_protected)
    return block("text-lost", f"its text is not in the cache, in git or on the server; {hint}")


def text_lost_hint(record: Record, *, is_protected: bool) -> str:
    """Return a hint about an item whose file and text are lost."""
    if is_protected:
        return "restore the file from git"
    if record.is_promoted:
        hint = "it was promoted: restore the file from git, or run `contentops promote` again"
        return f"{hint}, or `--replace {record.id}` generates another text"
    return f"`--replace {record.id}` generates it again"


# --- another text ------------------------------------------------------------------------------------------


def _stored(item: ItemSides) -> Answer | None:
    """Write a text that a job already made for the item's request, without paying again."""
    job = finished_job(item.inputs, item.spec.digest)
    if job is None:
        return None
    if generation_refused(item, why_changed(item)) is not None:
        return None  # no one has reviewed it
    edits = structs.replace(_check_edits(item, job), job=None)
    if edits.is_final:
        return edits
    if failed := failed_checks(item, job, edits):
        if any(order.retry for order in failed_attempts(item.open_jobs, item.spec.digest)):
            return None  # it is paid for again already, and that job failed
        return block(FAILED, failed_hint(item.spec, None, keeps_text=False), reasons=(*edits.reasons, *failed))
    reason = Reason(kind="stored", detail="a finished text for this request is paid for already")
    reasons = (*edits.reasons, reason)
    return structs.replace(edits, action=Action.FINISH, steps=(Fetch(job=job),), reasons=reasons)


def _elsewhere(item: ItemSides) -> Answer | None:
    """Use the job that another environment has ordered for the item's request, so that no one pays twice."""
    job = ordered_elsewhere(item)
    if job is None or generation_refused(item, why_changed(item)) is not None:
        return None
    if job.state is not JobState.RUNNING:
        hint = f"another environment has ordered this text as `{job.item}`, and its answer was lost: apply there first"
        return block("ordered-elsewhere", hint, reasons=why_changed(item))
    return _finish(item, job)


def _failed(item: ItemSides) -> Answer | None:
    failed = failed_attempts(item.open_jobs, item.spec.digest)
    if len(failed) < TRIES or item.spec.id in item.inputs.choice.replace:
        return None
    error = failed[-1].error
    hint = f"the server answered: {error}; change its request, raise `revision`, or `--replace {item.spec.id}`"
    return block("failed-twice", hint, reasons=(Reason(kind="failed", detail=error),))


def _new(item: ItemSides) -> Answer | None:
    if item.record is not None:
        return None
    why = why_changed(item)
    if not item.file.exists:
        return _generate(item, Action.CREATE, Answer(reasons=why))
    return protect_edits(item, why) or _generate(item, Action.OVERWRITE, Answer(reasons=why))


def _changed(item: ItemSides) -> Answer | None:
    record, why = item.record, (*why_changed(item), *stale_reasons(item))
    assert record is not None
    has_text = item.file.exists or (record.generated and item.inputs.saved_body(record) == record.generated)
    if has_text and not item.is_edited and not item.is_edited_on_server:
        return _generate(item, Action.REGENERATE, Answer(reasons=why))
    edits = protect_edits(item, why)
    if edits is None:
        return _generate(item, Action.OVERWRITE, overwriting(item, why))
    return edits if edits.is_final else _generate(item, Action.MERGE, edits)


def _generate(item: ItemSides, action: Action, edits: Answer, section: str = "") -> Answer:
    """Return the steps that generate a text or one section, or the reason why the item is blocked.

    `edits` is the decision about a person's edits.
    """
    is_asked_for = bool(section) or item.spec.id in item.inputs.choice.replace
    if not is_asked_for and (blocked := generation_refused(item, edits.reasons)) is not None:
        return blocked
    if too_long := beyond_context(item.spec, item.inputs.project):
        return block("context", too_long, reasons=edits.reasons)
    failed = failed_attempts(item.open_jobs, item.spec.digest)
    retry = 0 if is_asked_for else max((job.retry for job in failed), default=0)
    steps = _generation(item, next_attempt(item), section, retry)
    reasons = (*edits.reasons, *(Reason(kind="failed-before", detail=job.error) for job in failed))
    return structs.replace(edits, action=action, steps=steps, reasons=reasons)


def _generation(item: ItemSides, attempt: int, section: str, retry: int) -> tuple[Step, ...]:
    """Return the steps that pay for a text and fetch it. `retry` is the number of earlier texts that failed checks."""
    submit = structs.replace(_order(item, section), attempt=attempt, retry=retry)
    return submit, Poll(), *_retry(item, retry, section)


def _retry(item: ItemSides, done: int, section: str) -> tuple[RetryText, ...]:
    """Return the step that may pay again if the text fails its checks. `done` is the number of retries so far."""
    times = retries_left(item.spec.checks, done)
    return (RetryText(again=_order(item, section), times=times),) if times else ()


def _order(item: ItemSides, section: str) -> Submit:
    """Return the step that submits the item or one section of it.

    A section is generated for the same request as the rest of the text.
    """
    spec, record = item.spec, item.record
    if section and record is not None and (request := recorded_request(record)) is not None:
        spec = structs.replace(spec, request=request, digest=record.digest)
    return order_of(spec, item.inputs.project, section)


_TABLE = (
    _other_environments,
    troubled,
    _unreadable,
    replacement_refused,
    source_changed,
    _without_template,
    _section,
    _replace,
    _protected,
    promoted,
    _open,
    _edited_on_server,
    first_request,
    _recorded,
    _stored,
    _elsewhere,
    _failed,
    _new,
    _changed,
)
