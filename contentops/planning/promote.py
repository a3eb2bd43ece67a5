"""Decides whether a paid text, a new section or another environment's text may be written to the item's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import structs, to_builtins

from contentops.digest import NOTHING, Digest, digest_json
from contentops.documents.blocks import NewSection, Unusable, deeper, is_touched, take_section
from contentops.documents.checks import CheckedText, check_text
from contentops.documents.clean import body_digest
from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.model import (
    BASE,
    NO_CHECKS,
    Acknowledge,
    Action,
    Change,
    Fetch,
    Finding,
    ItemId,
    Job,
    JobState,
    Json,
    Level,
    MergeEdit,
    Observed,
    OnEdit,
    Promote,
    Reason,
    Record,
    Replace,
    Spec,
)
from contentops.planning.approval import Brought, is_promotable, written_title
from contentops.planning.edits import (
    Answer,
    block,
    edit,
    heading_of,
    listed,
    overwriting,
    protect_edits,
    renewed,
    why_changed,
)
from contentops.planning.front_matter import dated, wanted_front, which_front_matter
from contentops.planning.guards import retries_left
from contentops.planning.sides import ItemSides, SourceText, is_edited
from contentops.planning.sources import finished_job

# ---- A section that is generated again: what blocks it before it is paid for, and before it is written.

UNUSABLE = "unusable-section"
"""The kind of block if a paid section cannot be taken from the server's reply."""


def section_reason(item: ItemSides, heading: str) -> Reason:
    """Return the reason of a change that generates a section again. It also names the subsections that are replaced."""
    under = listed([heading_of(key) for key in deeper(item.inputs.read(item.file.path), heading)])
    detail = f"`{heading}` is generated again, as requested"
    return Reason(kind="section", detail=f"{detail}, including {under}" if under else detail)


def section_edits(item: ItemSides, heading: str, job: Job | None = None) -> Answer | None:
    """Decide what to do with edits in a section, by the item's `on_edit` rule. Return None if there are no edits.

    If the generated text is missing, an edit anywhere in the file counts. If the edits may be overwritten, the answer
    has only a reason.
    """
    own, path = item.record, item.file.path
    base = item.inputs.text(own.generated) if own is not None and own.generated else None
    if not item.is_edited or (base is not None and not is_touched(base, item.inputs.read(path), heading)):
        return None
    where = f"`{heading}` of `{path}`"
    # Unlike for the rest of the text, the command line counts here: it is about this section.
    if (item.inputs.choice.on_edit or item.spec.on_edit) is OnEdit.OVERWRITE:
        detail = f"{where} was edited by hand, and that text is replaced"
        return Answer(reasons=(Reason(kind="edited", detail=detail),), mode=Replace(over_edit=True))
    reasons = edit(item)
    hint = f"{where} was edited by hand; `--on-edit overwrite` generates it again anyway"
    if job is not None:
        give_up = f"`contentops state resolve {item.spec.id} --forget --request {job.short}` keeps the file"
        hint = f"{where} was edited by hand; `--on-edit overwrite` writes the paid section instead, {give_up}"
    return block("edited", hint, reasons=reasons, job=job)


def section_answer(item: ItemSides, job: Job) -> Answer:
    """Decide whether a paid section can be written into the item's file. If it cannot, the decision blocks the item.

    The reasons name the edits that are replaced.
    """
    path, job_id = item.file.path, job.job_id
    give_up = f"`contentops state resolve {item.spec.id} --forget --request {job.short}` gives the section up"
    if not item.file.exists:
        hint = f"`{path}` is gone, and only its section `{job.section}` is on its way: restore the file, or {give_up}"
        return block("missing", hint, job=job)
    if item.is_edited_on_server:
        hint = f"the text was edited in WriterzRoom while `{job.section}` was generated again; {give_up}"
        return block("edited-on-server", hint, job=job)
    new_text = taken_section(item, job)
    if isinstance(new_text, Unusable):
        return block(UNUSABLE, unusable_hint(item.spec.id, job, new_text), job=job)
    # It may be written already, although the record is lost. Then the text is the same, or the file names the job.
    is_written = bool(job_id) and item.file.provenance.get("job") == job_id
    if new_text is not None:
        is_written = body_digest(new_text[0]) == item.file.body
    if is_written:
        return Answer()
    return section_edits(item, job.section, job) or Answer()


def taken_section(item: ItemSides, job: Job) -> tuple[str, NewSection] | Unusable | None:
    """Put a paid section into the text of the item's file. Return None if the section is not on this machine."""
    body = job.body
    answer = item.inputs.text(body) if body else None
    if answer is None or not item.file.exists:
        return None
    earlier_texts = known_texts(item.record, body, item.inputs.text)
    return take_section(item.inputs.read(item.file.path), answer, job.section, earlier_texts)


def known_texts(record: Record | None, answer: Digest, text: Callable[[Digest], str | None]) -> tuple[str, ...]:
    """Return the texts that the server had earlier for the item, if this machine has copies of them.

    The server may have put the new section into one of them. `answer` is the digest of the server's reply, which is
    left out.
    """
    saved = record.saved if record is not None else None
    bodies: frozenset[Digest] = saved.bodies if saved is not None else frozenset()
    return tuple(body for digest in sorted(bodies - {answer, NOTHING}) if (body := text(digest)) is not None)


_WHY_UNUSABLE: Mapping[str, str] = {
    "others": "the server changed other sections than {}: ",
    "beside": "the server's answer is neither the section {} alone nor the whole text",
    "absent": "the server's answer has no heading {}",
    "empty": "the server's answer has no text under {}",
    "gone": "the file no longer has exactly one section {}",
    "open": "the new text of {} would swallow the text after it: a code block or comment is not closed",
}


def unusable_words(heading: str, why: Unusable) -> str:
    """Return in words why a newly generated section cannot be put into the item's text."""
    return _WHY_UNUSABLE[why.why].format(f"`{heading}`") + listed([heading_of(key) for key in why.others])


def unusable_hint(id_: ItemId, job: Job, why: Unusable) -> str:
    """Return a hint about a newly generated section that cannot be put into the item's text."""
    given = f"`contentops state resolve {id_} --forget --request {job.short}` gives it up"
    return f"{unusable_words(job.section, why)}; it is kept and not written; {given}"


# ---- What `checks` find in a text before it is written: the same for a plan and for an apply.

FAILED = "checks-failed"
"""The kind of block if a text fails its checks."""


def to_check(
    title: str, body: str, seen: Observed, front: Mapping[str, Json], output: str, open_: frozenset[str] = frozenset()
) -> CheckedText:
    """Return what the checks read: the title, body and front matter that the item's file will have.

    `front` has the keys to write; a key with the value None is removed. `open_` has the keys that are written later.
    """
    merged = {key: value for key, value in {**seen.front, **front}.items() if value is not None}
    merged.pop(PROVENANCE_KEY, None)
    return CheckedText(title=title, body=body, front=merged, output=output, open=open_)


# --- at plan time ----------------------------------------------------------------------------------------------


_AS_IT_IS = Answer()


def failed_checks(item: ItemSides, job: Job | None = None, edits: Answer = _AS_IT_IS) -> tuple[Reason, ...]:
    """Return the checks that a paid text fails, or nothing if it passes all of them.

    The text is that of `job`, otherwise that of the finished job for the request. If it is not on this machine, what
    the job records about these checks counts. `edits` says how the text comes into the file: a merge is checked with
    the edits that stay. Texts are not compared and commands are not run here; an apply does that.
    """
    if job is None or not job.body:
        job = finished_job(item.inputs, item.spec.digest) or job
    if job is None:
        return ()
    body = item.inputs.text(job.body) if job.body else None
    if body is None:
        has_failed = job.checks == digest_json(to_builtins(item.spec.checks))
        detail = "its text failed these checks on the machine that has it"
        return (Reason(kind=FAILED, detail=detail),) if has_failed else ()
    if job.section:
        new_text = taken_section(item, job)
        body = new_text[0] if isinstance(new_text, tuple) else body
    elif isinstance(edits.mode, MergeEdit):
        merged = renewed(item, edits.mode, body)
        body = merged.body if merged is not None else body
    answer = Answer(steps=(Fetch(),))
    return reasons_of(_findings(item, answer, Brought(job.title, body, bool(job.section))))


def failed_promotion(item: ItemSides, answer: Answer, file: Observed) -> tuple[Reason, ...]:
    """Return the checks that another environment's text fails. The text is in `file`."""
    carried = {key: file.front[key] for step in answer.steps if isinstance(step, Promote) for key in step.carries}
    text = Brought(file.title, item.inputs.read(file.path), of_section=False, is_known=True, front=carried)
    return reasons_of(_findings(item, answer, text))


def _findings(item: ItemSides, answer: Answer, text: Brought) -> tuple[Finding, ...]:
    spec, preset = item.spec, item.inputs.project.preset
    item = dated(item, answer)
    front = which_front_matter(item, answer)
    title = written_title(front.title, item.file, item.record, text, item=spec.id, preset=preset)
    about = to_check(title, text.body, item.file, {**text.front, **front.front}, spec.output, item.open_metadata)
    return check_text(spec.checks, about, item.inputs.exists)


def reasons_of(findings: Iterable[Finding]) -> tuple[Reason, ...]:
    """Return a reason for each finding that blocks the item."""
    return tuple(
        Reason(kind=FAILED, field=each.check, detail=each.words) for each in findings if each.level is Level.BLOCK
    )


def failed_hint(spec: Spec, job: Job | None, *, keeps_text: bool) -> str:
    """Return a hint about a text that fails its checks.

    `keeps_text` says whether the file has another text of the same request.
    """
    id_ = spec.id
    loosen = "" if spec.checks == NO_CHECKS else "loosen `checks`, or "
    hint = f"the text is kept and not paid for again: {loosen}pay for another text with `--replace {id_}`"
    if job is not None and keeps_text:
        give_up = f"`contentops state resolve {id_} --forget --request {job.short}`"
        hint += f", or {give_up} gives up this text and leaves the file unchanged"
    return hint


def failed_promotion_hint(path: str, environment: str) -> str:
    """Return a hint about a text at `path` that fails the checks of `environment`."""
    return f"it is not promoted: correct `{path}`, or loosen the `checks` of `{environment or BASE}`"


def fails_checks(item: ItemSides) -> bool:
    """Return whether a paid text of the declared request fails its checks and has no retry left."""
    under_way = item.under_way
    job = under_way[-1] if under_way else None
    if job is not None and job.state is not JobState.PAID:
        return False
    if job is not None and retries_left(item.spec.checks, job.retry):
        return False
    return bool(failed_checks(item, job)) or (job is not None and bool(job.error))


# ---- When the text of another environment is promoted, and what blocks it.

PROMOTED = "promoted"
"""The kind of the reason that a text comes from another environment, and of the block of `--replace` for it."""
NOT_PROMOTED = "not-promoted"
"""The kind of block if the other environment has no text for the item."""

_EDITED = ("", "edited", "no-merge-base")
"""Blocks of an edited file that get the hint of a promotion. The empty one is a merge, which only texts of jobs get."""


def promoted(item: ItemSides) -> Answer | None:
    """Promote another environment's text. Return None if that environment has no new text."""
    theirs = item.source_text
    if theirs is None or item.is_protected or (item.keeps_text and not _is_new(item, theirs)):
        return None
    if not is_promotable(item, theirs):
        return Answer(waits=True)
    why = () if item.keeps_text else why_changed(item)
    detail = f"from `{theirs.file.path}` of `{theirs.name}`"
    if theirs.file.body != theirs.record.generated:
        detail += ", edited by hand there"
    if theirs.is_outline:
        detail += ", a draft outline"
    why = (*why, Reason(kind=PROMOTED, detail=detail))
    edits = Answer(reasons=why)
    if _has_other_words(item, theirs):
        protected = protect_edits(item, why)
        if protected is not None:
            kept = _as_promotion(protected, item, theirs, why)
            declined = theirs.file.body  # so that it is not asked about again
            steps = (
                structs.replace(one, declined=declined) if isinstance(one, Acknowledge) else one for one in kept.steps
            )
            return structs.replace(kept, steps=tuple(steps))
        edits = overwriting(item, why)
    step = Promote(
        environment=theirs.environment,
        path=theirs.file.path,
        expects=theirs.file.file,
        body=theirs.file.body,
        generated=theirs.record.generated,
        generated_at=theirs.made_by.generated_at if theirs.made_by is not None else "",
        carries=_carried(item, theirs),
        outline=theirs.is_outline,
        model=theirs.made_by.model if theirs.made_by is not None else "",
    )
    answer = structs.replace(edits, action=Action.PROMOTE, steps=(step,))
    if failed := failed_promotion(item, answer, theirs.file):
        hint = failed_promotion_hint(theirs.file.path, item.inputs.project.environment)
        return block(FAILED, hint, reasons=(*answer.reasons, *failed))
    return answer


def _as_promotion(answer: Answer, item: ItemSides, theirs: SourceText, why: tuple[Reason, ...]) -> Answer:
    """Return a decision about a person's edits, with its hint reworded for a promotion."""
    ours, path = item.file.path, theirs.file.path
    if answer.blocked == "missing":
        hint = f"`{ours}` is gone, and its saved text differs from the one promoted from `{theirs.name}`; "
        return block(answer.blocked, hint + f"`--on-edit overwrite` uses `{path}` instead", reasons=why)
    if answer.steps or answer.blocked not in _EDITED:
        return answer
    hint = f"but `{path}` would replace it; use `--on-edit keep` or `overwrite`, or combine both texts in each of "
    if item.remote is not None and item.is_edited_on_server and not item.is_edited:
        edited = f"content `{item.remote.content_id}` was edited in WriterzRoom"
        return block("edited-on-server", f"{edited}, {hint}them; they cannot be merged", reasons=answer.reasons)
    edited = f"`{ours}` was edited in this environment"
    return block("edited", f"{edited}, {hint}them; they cannot be merged", reasons=(*why, *edit(item)))


def _carried(item: ItemSides, theirs: SourceText) -> tuple[str, ...]:
    """Return the front matter keys to copy from the promoted text's file.

    No manifest states them, and the item's file lacks them.
    """
    wanted, _ = wanted_front(item.inputs, item.spec)
    keys = {*theirs.record.metadata, *wanted, *(item.file.front if item.file.exists else ())}
    return tuple(key for key in theirs.file.front if key not in keys)


def _is_new(item: ItemSides, theirs: SourceText) -> bool:
    """Return whether nobody has yet promoted or declined the other environment's text.

    Both texts are for the same request.
    """
    own, body = item.record, theirs.file.body
    assert own is not None
    if item.is_edited_on_server:
        return False  # a person decides about the edit first
    if body == own.declined and item.file.exists:
        return False
    if item.file.exists:
        return body != (own.promoted or own.generated)
    # An edit that only the server has is restored from there.
    return item.inputs.saved_body(own) in (NOTHING, own.generated, own.promoted, body)


def _has_other_words(item: ItemSides, theirs: SourceText) -> bool:
    """Return whether the file or the server has an edit that the promoted text does not contain."""
    own, file = item.record, item.file
    if item.is_edited_on_server:
        return True
    if own is None:
        return file.exists and file.body != theirs.file.body
    ours = (own.promoted, theirs.file.body)
    if file.exists:
        return is_edited(file, own, item.inputs.made, *ours)
    return not item.keeps_text and item.inputs.saved_body(own) not in (NOTHING, own.generated, *ours)


def replacement_refused(item: ItemSides) -> Answer | None:
    """Refuse to generate a text or section again if the item waits or its text is promoted. Return None if allowed."""
    choice, theirs = item.inputs.choice, item.source_text
    if not (item.spec.id in choice.replace or item.spec.id in choice.sections):
        return None
    if item.waits and not item.is_protected:
        return block("waits", "it waits for the texts that it is made from: apply first, then make it again")
    if theirs is None:
        return None
    return block(PROMOTED, f"its text comes from `{theirs.name}`: use `--replace` there")


def generation_refused(item: ItemSides, why: tuple[Reason, ...]) -> Answer | None:
    """Block the generation of a text in an environment that gets its texts by promotion. Return None in others."""
    source, spec = item.inputs.source, item.spec
    if source is None:
        return None
    command = f"`contentops apply --env {source.environment}`" if source.environment else "without `--env`"
    outline = source.text(spec, item.inputs.observe)
    if outline is not None and outline.is_outline:
        draft = f"`{outline.file.path}` of `{outline.name}` is a draft outline of the bundled server"
        ways = "write the text and remove the line `> Draft outline ...`, or `--drafts` promotes the outline"
        return block(NOT_PROMOTED, f"{draft}: {ways}", reasons=why)
    lack = source.why_none(spec, item.inputs.observe)
    return block(NOT_PROMOTED, f"{lack}; apply there first ({command})", reasons=why)


def is_about_promotion(change: Change) -> bool:
    """Return whether a change promotes a text, declines a promotion, or is blocked because of a promotion."""
    kinds = {reason.kind for reason in change.reasons}
    return change.promotion is not None or PROMOTED in kinds or change.blocked == NOT_PROMOTED
