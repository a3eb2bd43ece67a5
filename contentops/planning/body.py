"""The first question: which body. The first row of `_TABLE` that applies to an item answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.documents.paths import collision_key
from contentops.model import (
    Acknowledge,
    Action,
    Fetch,
    JobState,
    LookUp,
    MergeEdit,
    Poll,
    Reason,
    Restore,
    Submit,
)
from contentops.planning.checked import FAILED, failed_checks, failed_hint, fails_checks, retry_of
from contentops.planning.edits import BodyAnswer, block, occupied_hint, why_changed
from contentops.planning.finished import finished_job, next_attempt, ordered_elsewhere
from contentops.planning.model_price import beyond_context, tokens_at_most
from contentops.planning.plan_inputs import TRIES, failed_attempts, is_ours, price_of, recorded_request
from contentops.planning.promote import generation_refused, promoted, replacement_refused
from contentops.planning.remote_edits import edited_on_server, merge_trouble, overwriting, protect_edits
from contentops.planning.section import section_answer, section_edits, section_reason
from contentops.planning.sources import first_request, source_changed, stale_reasons, troubled

if TYPE_CHECKING:
    from contentops.model import OpenEntry, Record, Step
    from contentops.planning.plan_inputs import ItemSides


def which_body(item: ItemSides) -> BodyAnswer:
    """The answer of the first row of the table that applies."""
    for row in _TABLE:
        if (answer := row(item)) is not None:
            return answer
    raise AssertionError("the table covers every case")


# --- blocked, or asked for ---------------------------------------------------------------------------------


def _other_environments(item: ItemSides) -> BodyAnswer | None:
    claimed = item.inputs.claimed_paths
    owner = claimed.get(collision_key(item.spec.output)) if claimed else None
    if owner is None:
        return None
    hint = f"`{item.spec.output}` belongs to `{owner}`; give this environment another `output`"
    return block("owned-elsewhere", hint)


def _unreadable(item: ItemSides) -> BodyAnswer | None:
    return block("unreadable-file", item.file.problem) if item.file.problem else None


def _without_template(item: ItemSides) -> BodyAnswer | None:
    """An item without a template is a file that was adopted; it is never generated."""
    if item.spec.request.template or item.own is not None or item.source_text is not None:
        return None
    path = item.spec.output
    if item.file.exists:
        return block("foreign-file", occupied_hint(item, path))
    return block("no-template", f"`{path}` does not exist, and without a `template` it cannot be generated")


def _section(item: ItemSides) -> BodyAnswer | None:
    """Generates one section again; the text on the server must be the one in the file."""
    heading = item.inputs.choice.sections.get(item.spec.id)
    if heading is None or item.under_way:
        return None  # one under way is finished, not paid for again
    record = item.record
    if record is None or not record.digest or not item.is_same or not item.file.exists:
        hint = "a section can be generated again only if the item is up to date; apply first"
        return block("no-text", hint)
    if item.is_protected:
        return block("protected", "it is protected; apply `protected: false` first")
    is_other = item.is_edited_on_server or (item.remote is not None and item.remote.recorded)
    is_saved = item.inputs.saved_body(record) == item.file.body and not is_other
    if not record.content_id or not is_saved:
        return block("not-saved", f"the text of `{item.file.path}` is not saved on the server; apply first")
    words = section_edits(item, heading) or BodyAnswer()
    if words.is_final:
        return words
    words = structs.replace(words, reasons=(section_reason(item, heading), *words.reasons))
    return _again(item, record, words, heading)


def _replace(item: ItemSides) -> BodyAnswer | None:
    own, inputs = item.own, item.inputs
    if item.spec.id not in inputs.choice.replace or item.is_protected:
        return None
    reason = Reason(kind="replace", detail="requested with `--replace`")
    if fails_checks(item):
        return _again(item, own, overwriting(item, (*why_changed(item), reason)))
    if own is None or any(entry.attempt > item.attempt for entry in item.under_way):
        return None  # the replacement is under way already: it is finished, not paid for again
    unsaved = inputs.saves(item.spec) and item.file.body == own.generated != inputs.saved_body(own)
    if inputs.interrupted and item.is_same and unsaved:
        # Its text came just before the stop: the same command again finishes it and does not pay for another one.
        return BodyAnswer(hint=f"the text that arrived before the stop; `--replace {item.spec.id}` makes another one")
    return _again(item, own, overwriting(item, (reason,)))


def _again(item: ItemSides, own: Record | None, words: BodyAnswer, section: str = "") -> BodyAnswer:
    action = Action.REGENERATE if own else Action.CREATE
    return structs.replace(words, action=action, steps=_generation(item, next_attempt(item), section))


def _protected(item: ItemSides) -> BodyAnswer | None:
    """A protected item keeps its text, whatever its spec is now."""
    if not item.is_protected or item.is_same:
        return None
    return BodyAnswer() if item.file.exists else _missing(item)


# --- under way ---------------------------------------------------------------------------------------------


def _open(item: ItemSides) -> BodyAnswer | None:
    """Finish an open job of the same request instead of submitting again."""
    if not item.entries or not (under_way := item.under_way):
        return None
    entry = under_way[-1]
    unclear = entry.state in (JobState.SUBMITTING, JobState.UNKNOWN)
    if item.is_same and item.source_text is not None:
        return None  # the text of another environment was taken instead
    words = _check_edits(item, entry)
    if words.is_final:
        return words
    if blocked := merge_trouble(item, words, entry.body, entry):
        return blocked
    return structs.replace(_brought(item, entry, words, unclear=unclear), mode=words.mode)


def _brought(item: ItemSides, entry: OpenEntry, words: BodyAnswer, *, unclear: bool) -> BodyAnswer:
    """The answer that fetches the text of an open entry, or says why a paid text is not written."""
    why = words.reasons
    lost = item.inputs.server == "local" and not (entry.body and item.inputs.text(entry.body) is not None)
    if unclear or lost:
        return _look_up(item, entry, why, has_job=not unclear)
    paid = entry.state is JobState.PAID
    bring = Fetch(digest=entry.digest, entry=entry) if paid else Poll(entry=entry)
    retry = retry_of(item, entry.retry, entry.section)
    failed = failed_checks(item, entry, words) if paid else ()
    # Where only what a person wrote fails, no other text would help.
    certain = bool(retry and failed and (not isinstance(words.mode, MergeEdit) or failed_checks(item, entry)))
    if failed and not certain:
        return block(FAILED, failed_hint(item.spec, entry, is_same=item.is_same), reasons=(*why, *failed), entry=entry)
    # A person may have named the content of a submit whose job no one knows.
    source = f"job `{entry.job_id}`" if entry.job_id or not entry.content_id else f"content `{entry.content_id}`"
    reason = Reason(kind="open-job", detail=f"{source} is {'paid for' if paid else 'running'}")
    # What the last apply found: a plan compares no texts, and runs no command.
    found = (Reason(kind=FAILED, detail=entry.error),) if paid and entry.error and not failed else ()
    hint = (
        f"apply checks it again; {failed_hint(item.spec, entry, is_same=item.is_same)}" if found and not retry else ""
    )
    if certain:
        retry = tuple(structs.replace(step, certain=True) for step in retry)
    steps, reasons = (bring, *retry), (*why, reason, *failed, *found)
    return BodyAnswer(action=Action.FINISH, steps=steps, reasons=reasons, entry=entry, hint=hint)


def _check_edits(item: ItemSides, entry: OpenEntry) -> BodyAnswer:
    """The answer that blocks the text of an open entry over edits, or says why it is written and what it replaces."""
    why = why_changed(item)
    if entry.section and item.own is not None:
        answer = section_answer(item, entry)
        return structs.replace(answer, reasons=(*why, *answer.reasons))
    if not item.is_edited_on_server and (not item.file.exists or _is_text_of(item, entry)):
        return BodyAnswer(reasons=why)
    if not _is_asked_for(item, entry) and (words := protect_edits(item, why, entry)) is not None:
        return words
    return overwriting(item, why)


def _is_asked_for(item: ItemSides, entry: OpenEntry) -> bool:
    """Whether the entry is what `--replace` asks for in this command, even over an edited file."""
    return item.own is not None and entry.attempt > item.attempt and item.spec.id in item.inputs.choice.replace


def _is_text_of(item: ItemSides, entry: OpenEntry) -> bool:
    """Whether the file already has the text of the entry, as after a write whose record was lost.

    The provenance block decides only where that text is not known any more, since a person may have edited the body.
    """
    body = item.inputs.body_of(entry)
    if body:
        return item.file.body == body
    is_of_job = entry.job_id == item.file.provenance.get("job") if entry.job_id else item.own is None
    return is_of_job and is_ours(item.inputs, item.spec, item.file)


def _look_up(item: ItemSides, entry: OpenEntry, why: tuple[Reason, ...], *, has_job: bool) -> BodyAnswer:
    detail = f"job `{entry.job_id}` is open" if has_job else entry.error or "the answer to its submit was lost"
    reason = Reason(kind="open-job" if has_job else "unknown-outcome", detail=detail)
    is_asked = bool(entry.section) or entry.digest == item.spec.digest
    attempt = entry.attempt if is_asked else next_attempt(item)
    steps = _generation(item, attempt, entry.section, entry.retry)
    hint = "submitted again only if the server proves that it never arrived"
    if item.inputs.honours_ids is False:
        steps = (Poll(), *retry_of(item, entry.retry, entry.section))
        hint = f"if it cannot be found: `contentops state resolve {item.spec.id}`"
    return BodyAnswer(
        action=Action.FINISH if has_job else Action.RESOLVE,
        steps=(LookUp(entry=entry), *steps),
        reasons=(*why, reason),
        entry=entry,
        hint="" if has_job else hint,
    )


# --- as recorded -------------------------------------------------------------------------------------------


def _edited_on_server(item: ItemSides) -> BodyAnswer | None:
    """The answer to an edit in WriterzRoom where the request is unchanged."""
    return edited_on_server(item, _new_id(item)) if item.is_same else None


def _recorded(item: ItemSides) -> BodyAnswer | None:
    if not item.is_same or item.record is None:
        return None
    return BodyAnswer() if item.file.exists else _missing(item)


def _missing(item: ItemSides) -> BodyAnswer:
    """Restores a file that is gone."""
    record, inputs = item.own, item.inputs
    assert record is not None
    if item.spec.output != record.output and inputs.observe(item.spec.output).exists:
        return block("foreign-file", occupied_hint(item, item.spec.output))
    ours = record.server == inputs.server
    wanted = record.restorable

    def is_here() -> bool:
        return any(inputs.text(digest) is not None for digest in wanted)

    generated_only = wanted == (record.generated,) and not record.is_promoted
    if inputs.server == "local" and generated_only and record.outline and item.is_same and not is_here():
        # Each clone has its own bundled server; an outline that it does not have is generated again, free.
        reason = Reason(kind="missing", detail=f"`{record.output}` is gone, and this clone's server never had it")
        return _generate(item, Action.REGENERATE, BodyAnswer(reasons=(reason,)))
    made_by = inputs.state.made_by(record)
    on_server = ours and bool(record.content_id or (made_by is not None and made_by.job_id and not record.is_promoted))
    if wanted and (on_server or is_here()):
        reason = Reason(kind="missing", detail=f"`{record.output}` is gone")
        fetch = Fetch(digest=record.digest, recorded=True)
        return BodyAnswer(action=Action.RESTORE, steps=(fetch,), reasons=(reason,), mode=Restore())
    hint = text_lost_hint(record, is_protected=item.is_protected)
    return block("text-lost", f"its text is not in the cache, in git or on the server; {hint}")


def text_lost_hint(record: Record, *, is_protected: bool) -> str:
    """What to do about an item whose file and text are gone."""
    if is_protected:
        return "restore the file from git"
    if record.is_promoted:
        hint = "it was promoted: restore the file from git, or run `contentops promote` again"
        return f"{hint}, or `--replace {record.id}` generates another text"
    return f"`--replace {record.id}` generates it again"


def _renamed(item: ItemSides) -> BodyAnswer | None:
    """Takes over the record of a removed item with the same request: the file moves, nothing is generated."""
    if item.orphan is None or not item.is_same:
        return None
    if item.file.exists:
        return BodyAnswer(action=Action.RENAME, steps=(Acknowledge(),), reasons=_new_id(item))
    answer = _missing(item)
    return structs.replace(answer, reasons=(*_new_id(item), *answer.reasons))


def _new_id(item: ItemSides) -> tuple[Reason, ...]:
    """The reason that names the removed item whose record is taken over, if one is."""
    if item.orphan is None or item.record is not None:
        return ()
    return (Reason(kind="renamed", before=item.orphan.id, after=item.spec.id, detail="same request, new id"),)


# --- another text ------------------------------------------------------------------------------------------


def _stored(item: ItemSides) -> BodyAnswer | None:
    """Writes the text that a job made for this request, without paying again."""
    job = finished_job(item)
    if job is None:
        return None
    why = why_changed(item)
    if generation_refused(item, why) is not None:
        return None  # no one has reviewed it
    words = BodyAnswer(reasons=why)
    if item.is_edited_on_server or (item.file.exists and item.file.body != job.body):
        words = protect_edits(item, why) or overwriting(item, why)
        if words.is_final:
            return words
    if blocked := merge_trouble(item, words, job.body):
        return blocked
    if failed := failed_checks(item, job, words):
        if any(entry.retry for entry in failed_attempts(item.entries, item.spec.digest)):
            return None  # it is paid for again already, and that job failed
        return block(FAILED, failed_hint(item.spec, None, is_same=False), reasons=(*words.reasons, *failed))
    reason = Reason(kind="stored", detail="a finished text for this request is paid for already")
    fetch = Fetch(digest=item.spec.digest, entry=job)
    return structs.replace(words, action=Action.FINISH, steps=(fetch,), reasons=(*words.reasons, reason))


def _elsewhere(item: ItemSides) -> BodyAnswer | None:
    """Waits for the job of another environment for this request, and never submits beside it."""
    job = ordered_elsewhere(item)
    if job is None or generation_refused(item, why_changed(item)) is not None:
        return None
    if job.state is not JobState.RUNNING:
        hint = f"another environment has ordered this text as `{job.item}`, and its answer was lost: apply there first"
        return block("ordered-elsewhere", hint, reasons=why_changed(item))
    words = _check_edits(item, job)
    return words if words.is_final else structs.replace(_brought(item, job, words, unclear=False), mode=words.mode)


def _failed(item: ItemSides) -> BodyAnswer | None:
    failed = failed_attempts(item.entries, item.spec.digest)
    if len(failed) < TRIES or item.spec.id in item.inputs.choice.replace:
        return None
    error = failed[-1].error
    hint = f"the server answered: {error}; change its request, raise `revision`, or `--replace {item.spec.id}`"
    return block("failed-twice", hint, reasons=(Reason(kind="failed", detail=error),))


def _new(item: ItemSides) -> BodyAnswer | None:
    if item.own is not None:
        return None
    why = why_changed(item)
    if not item.file.exists:
        return _generate(item, Action.CREATE, BodyAnswer(reasons=why))
    return protect_edits(item, why) or _generate(item, Action.OVERWRITE, BodyAnswer(reasons=why))


def _changed(item: ItemSides) -> BodyAnswer | None:
    record, why = item.own, (*why_changed(item), *stale_reasons(item))
    assert record is not None
    has_text = item.file.exists or (record.generated and item.inputs.saved_body(record) == record.generated)
    if has_text and not item.is_edited and not item.is_edited_on_server:
        return _generate(item, Action.REGENERATE, BodyAnswer(reasons=why))
    words = protect_edits(item, why)
    if words is None:
        return _generate(item, Action.OVERWRITE, overwriting(item, why))
    return words if words.is_final else _generate(item, Action.MERGE, words)


def _generate(item: ItemSides, action: Action, words: BodyAnswer) -> BodyAnswer:
    if (blocked := generation_refused(item, words.reasons)) is not None:
        return blocked
    if too_long := beyond_context(item.spec, item.inputs.project):
        return block("context", too_long, reasons=words.reasons)
    failed = failed_attempts(item.entries, item.spec.digest)
    reasons = words.reasons + tuple(Reason(kind="failed-before", detail=entry.error) for entry in failed)
    retry = max((entry.retry for entry in failed), default=0)
    steps = _generation(item, next_attempt(item), retry=retry)
    return structs.replace(words, action=action, steps=steps, reasons=reasons)


def _generation(item: ItemSides, attempt: int, section: str = "", retry: int = 0) -> tuple[Step, ...]:
    """The steps that pay for a text and fetch it; `retry`: texts before it that failed their checks.

    A section is made for the request that the rest of the text answers.
    """
    spec, record = item.spec, item.record
    if section and record is not None and (request := recorded_request(record)) is not None:
        spec = structs.replace(spec, request=request, digest=record.digest)
    price = price_of(spec, item.inputs.server, section)
    submit = Submit(
        request=spec.request,
        digest=spec.digest,
        attempt=attempt,
        credits=price.credits,
        at_most=price.at_most,
        section=section,
        retry=retry,
        tokens=tokens_at_most(spec, item.inputs.project, section),
    )
    return submit, Poll(), *retry_of(item, retry, section)


_TABLE = (
    _other_environments,
    troubled,
    _unreadable,
    replacement_refused,
    source_changed,
    _without_template,
    _renamed,
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
