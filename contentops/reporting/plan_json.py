"""A plan as JSON and back, in the format of `schemas/plan.schema.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs, to_builtins

from contentops.digest import NOTHING, canonical
from contentops.model import (
    Acknowledge,
    ApprovalState,
    Change,
    Collect,
    Fetch,
    Job,
    LookUp,
    Move,
    Note,
    Observed,
    Plan,
    Poll,
    Promote,
    Publish,
    Remove,
    Request,
    RetryText,
    Save,
    Spec,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.model.plan_file import CHECKSUM, FORMAT_VERSION, ReviewedJob, plan_file, record_digest
from contentops.model.settings import as_decimal
from contentops.reporting.diagnostics import diagnostic_json
from contentops.reporting.summary import plan_counts, shared_causes
from contentops.sanitize import json_text
from contentops.tokens import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentops.model import Json, MonthSpend, Outcome, Run, Step
    from contentops.model.plan_file import PlanFile, ReviewedChange
    from contentops.tokens import PaidTokens


def plan_pieces(plan: Plan, *, inputs: Mapping[str, Json] | None = None) -> Iterator[str]:
    """The sealed plan as JSON text, change by change, so that no second copy of all is in memory.

    The same plan always gives the same text. `inputs` are the options that a later apply needs: variables, selection,
    flags.
    """
    document = _without_changes(plan, inputs)
    above, below = (canonical({key: document[key] for key in document if wanted(key)}) for wanted in _AROUND)
    digest = hashlib.sha256(f'{above[:-1]},"changes":['.encode())
    head, _, tail = json_text(document).partition('\n  "changes": []')
    yield f'{head}\n  "changes": ['
    for number, change in enumerate(plan.changes):
        change_json, comma = _change_json(change), "," if number else ""
        digest.update(f"{comma}{canonical(change_json)}".encode())
        yield f"{comma}\n    " + json_text(change_json).replace("\n", "\n    ")
    digest.update(f"],{below[1:]}".encode())
    end = ("\n  ]" if plan.changes else "]") + tail.removesuffix("\n}")
    yield f'{end},\n  "{CHECKSUM}": "sha256:{digest.hexdigest()}"\n}}'


_AROUND: Final[tuple[Callable[[str], bool], ...]] = (lambda key: key < "changes", lambda key: key > "changes")
"""Whether a key comes before or after `changes` in the canonical JSON that the checksum covers."""


def _without_changes(plan: Plan, inputs: Mapping[str, Json] | None) -> dict[str, Json]:
    return {
        "format_version": FORMAT_VERSION,
        "id": plan.id,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        **({"writer": plain(plan.writer)} if plan.writer is not None else {}),
        "budget": plan.budget.as_json(),
        "lineage": plan.lineage,
        "inputs": plain(inputs or {}),
        **({"approves": plain(plan.approves)} if plan.approves else {}),
        **({"spent": month_json(plan.spent)} if plan.spent is not None else {}),
        "summary": summary_json(plan),
        "changes": [],
        "causes": [
            {"cause": one.cause, "items": one.items, "credits": one.credits, **_money_json("money_at_most", one.money)}
            for one in shared_causes(plan)
        ],
        "notes": [_note_json(note) for note in plan.notes],
        "refusals": plain(plan.refusals),
        "diagnostics": [diagnostic_json(finding) for finding in plan.findings],
    }


def _note_json(note: Note) -> dict[str, Json]:
    note_json: dict[str, Json] = {"kind": note.kind, "id": note.id, "message": note.message, "hint": note.hint}
    return (
        {**note_json, "items": list(note.items), "credits": note.credits} if note.items or note.credits else note_json
    )


def summary_json(plan: Plan) -> dict[str, Json]:
    """Counts and price of a plan, and whether it has changes at all."""
    return {
        "changes": not plan.empty,
        "credits": plan.credits,
        "credits_worst": plan.credits_worst,
        **at_most_json(plan),
        **_bounds_json(plan),
        "submits": plan.submits,
        "unchanged": plan.unchanged,
        **_approvals_json(plan),
        "refused": bool(plan.refusals),
        "actions": {action.value: number for action, number in plan_counts(plan).items()},
    }


def month_json(spent: MonthSpend) -> dict[str, Json]:
    """What was spent in a month."""
    money = {name: as_decimal(amount) for name, amount in sorted(spent.money.items())}
    unsure = {name: as_decimal(amount) for name, amount in sorted(spent.money_unsure.items())}
    return {
        "month": spent.month,
        "credits": spent.credits,
        **({"credits_unsure": spent.credits_unsure} if spent.credits_unsure else {}),
        **({"money": money} if money else {}),
        **({"money_unsure": unsure} if unsure else {}),
        "ahead": spent.ahead,
        "gaps": list(spent.gaps),
    }


def _approvals_json(plan: Plan) -> dict[str, Json]:
    """`approvals` and `not_promoted`, where there is anything to say."""
    counts = {"approvals": {state.value: number for state, number in plan.approvals.items()}} if plan.approvals else {}
    return {**counts, **({"not_promoted": plan.not_promoted} if plan.not_promoted else {})}


def at_most_json(priced: Plan | Change | Outcome | Run) -> dict[str, Json]:
    """`credits_at_most`, where the `credits` are an upper bound; otherwise nothing."""
    return {"credits_at_most": True} if priced.credits_at_most else {}


def _bounds_json(priced: Plan | Change) -> dict[str, Json]:
    """`money_at_most` and `money_worst`, where a model with a price writes the texts; otherwise nothing."""
    return _money_json("money_at_most", priced.money) | _money_json("money_worst", priced.money_worst)


def _money_json(key: str, money: Mapping[str, int]) -> dict[str, Json]:
    """Money by currency as exact decimals, under a key; nothing where there is none."""
    return {key: {currency: exact(amount) for currency, amount in money.items()}} if money else {}


def _tokens_json(tokens: PaidTokens) -> dict[str, Json]:
    return {name: value for name, value in to_builtins(tokens).items() if value is not None}


def _change_json(change: Change) -> dict[str, Json]:
    return {
        "id": change.id,
        "action": change.action.value,
        "steps": list(change.names),
        "credits": change.credits,
        "credits_worst": change.credits_worst,
        **at_most_json(change),
        **_bounds_json(change),
        **({"tokens_at_most": _tokens_json(change.tokens)} if change.tokens is not None else {}),
        "submits": change.submits,
        "retries": change.retries,
        "attempt": change.attempt,
        "reasons": plain(change.reasons),
        "target": change.target,
        "source": change.source,
        "renamed_from": change.renamed_from,
        "digest": NOTHING if change.spec is None else change.spec.digest,
        **({"publish_on": change.spec.publish_on} if change.spec is not None and change.spec.publish_on else {}),
        "record": record_digest(change.record),
        "file": change.file.file,
        "body": change.file.body,
        "remote": change.remote.body if change.remote is not None else NOTHING,
        "front": plain(change.front),
        "title": change.title,
        "entry": None if change.job is None else _job_json(change.job),
        "promotes": plain(change.promotion),
        "drains": [_job_json(job) for job in change.collected_jobs],
        "blocked": change.blocked,
        "holder": change.holder,
        "hint": change.hint,
        **({"approval": change.approval.value} if change.approval is not ApprovalState.NONE else {}),
        **_waits_json(change),
    }


def _waits_json(change: Change) -> dict[str, Json]:
    """`waits` and `frame`, where the item waits for texts; otherwise nothing."""
    if not change.waits or change.spec is None:
        return {}
    waits = [{"id": one.id, "wait": one.wait.value if one.wait is not None else ""} for one in change.waits]
    return {"waits": waits, "frame": change.spec.frame}


def _job_json(job: Job) -> dict[str, Json]:
    return {name: plain(getattr(job, name)) for name in ReviewedJob.__struct_fields__}


def plain(value: Json) -> Json:
    """Structs by the names of their fields, enumerations, mappings and tuples as JSON values."""
    if isinstance(value, Struct):
        # The lines of a lock name some fields otherwise, and leave some out.
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


# --- read back ---------------------------------------------------------------------------------------------


def plan_of(document: Mapping[str, Json]) -> Plan:
    """The plan that `plan_pieces` wrote, of a document that fits the schema.

    It has no records; its specs, steps and open jobs have only what a plan file contains.
    """
    file = plan_file(document)
    return Plan(
        project=file.project,
        environment=file.environment,
        server=file.server,
        writer=file.writer,
        budget=file.budget,
        spent=file.spent,
        lineage=file.lineage,
        id=file.id,
        changes=tuple(_change(change, file) for change in file.changes),
        notes=file.notes,
        refusals=file.refusals,
        unchanged=file.summary.unchanged,
        approvals=file.summary.approvals,
        approves=file.approves,
        findings=file.diagnostics,
    )


def _open_job(job: ReviewedJob, change: ReviewedChange, file: PlanFile) -> Job:
    return Job(
        request_id=job.request_id,
        item=change.id,
        digest=job.digest,
        attempt=change.attempt,
        state=job.state,
        server=file.server,
        dialect="",
        credits=0,
        job_id=job.job_id,
        error=job.error,
    )


def _paying(change: ReviewedChange, request: Request) -> tuple[RetryText, Submit]:
    """The steps that pay, whether the change has them or not."""
    is_paid = change.credits > 0 or bool(change.money_at_most)
    # What an item that waits pays for later is not among its steps.
    certain = not change.waits and "submit" not in change.steps and (is_paid or not change.retries)
    each = (change.credits_worst - change.credits) // change.retries if change.retries else change.credits
    retry = RetryText(
        request=request,
        digest=change.digest,
        credits=each,
        at_most=change.credits_at_most,
        times=change.retries + certain,
        certain=certain,
        tokens=change.tokens_at_most,
    )
    submit = Submit(
        request=request,
        digest=change.digest,
        attempt=change.attempt,
        credits=change.credits,
        at_most=change.credits_at_most,
        tokens=change.tokens_at_most,
    )
    return retry, submit


def _change(change: ReviewedChange, file: PlanFile) -> Change:
    # A plan file has the digest of a request, not the request.
    request = Request(template="", style="", inputs={})
    spec = Spec(id=change.id, request=request, digest=change.digest, output=change.target) if change.digest else None
    open_job = _open_job(change.job, change, file) if change.job is not None else None
    retry, submit = _paying(change, request)
    later: tuple[Submit | RetryText, ...] = ()
    if change.waits and (submit.credits or change.money_at_most):
        later = (submit, retry) if change.retries else (submit,)
    steps: tuple[Step, ...] = (
        retry,
        submit,
        LookUp(job=open_job) if open_job is not None else Poll(),
        Poll(job=open_job),
        Fetch(digest=change.digest, job=open_job),
        *([Promote(**structs.asdict(change.promotes))] if change.promotes is not None else []),
        Move(source=change.source, target=change.target, expects=change.file),
        Write(target=change.target, front=change.front, title=change.title),
        Update(target=change.target, expects=change.file, front=change.front, title=change.title),
        Acknowledge(front=change.front, title=change.title),
        Save(path=change.target),
        Publish(path=change.target),
        Remove(target=change.target),
    )
    by_name = {name_of(step): step for step in steps}
    return Change(
        id=change.id,
        action=change.action,
        file=Observed(path=change.source or ("" if spec else change.target), file=change.file, body=change.body),
        reasons=change.reasons,
        steps=(
            *(Collect(job=_open_job(one, change, file)) for one in change.drains),
            *(by_name[name] for name in change.steps if name in by_name),
        ),
        spec=spec,
        renamed_from=change.renamed_from,
        blocked_job=open_job,
        blocked=change.blocked,
        holder=change.holder,
        approval=change.approval,
        waits=change.waits,
        later=later,
        hint=change.hint,
    )
