"""Checks a reviewed plan against today's, which must have the same change for each item that the file names.

Changes that this plan has begun (its id is in records and open jobs) may have made progress. Items that are up to
date count as done, and texts that are paid for meanwhile are fetched instead of submitted. Anything else makes the file
stale.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.digest import NOTHING, is_same_json
from contentops.documents.clean import clean_title, title_digest
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY
from contentops.errors import Refused, plural
from contentops.model import Action, Update, Write
from contentops.model.jobs import cost_words, money_words
from contentops.model.plan_file import plan_file, record_digest
from contentops.model.settings import as_counted
from contentops.planning.guards import refusals
from contentops.planning.plan import free_targets, ignoring_existing, make_plan
from contentops.planning.sides import TRIES, failed_attempts, is_protected, pending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Change, Guards, ItemId, Job, Json, Observed, Plan, Record, Spec
    from contentops.model.plan import Writer
    from contentops.model.plan_file import PlanFile, ReviewedChange
    from contentops.planning.sides import PlanInputs

_SHOWN = 20
"""The most items that one message names."""
_FETCHING = frozenset({"drain", "look up", "poll", "fetch"})
"""Names of the steps that fetch what was paid for: they need no review."""
_PAYING = frozenset({"submit", "retry"})
_NEW_TEXT = frozenset({"submit", "write"})
"""Names of steps after which the record has the reviewed request."""
_ANOTHER_REQUEST = "its request has changed"
_ANOTHER_FILE = "it would write a file that is not in the plan"


def compare_file(inputs: PlanInputs, document: Mapping[str, Json]) -> Plan:
    """Today's plan with the changes that a reviewed plan names, to carry out.

    `inputs` have the options of the reviewed plan without its selection. Raises Refused, naming every change that is
    not as reviewed, or if nothing is left; InputError for a document that is no plan.
    """
    file = plan_file(document)
    today, changes, others = _compare(inputs, file)
    if not changes and any(one.action is not Action.PENDING for one in file.changes):
        raise Refused("the plan is already applied", code="already-applied")
    notes = (*today.notes, *ignoring_existing(len(others), "the plan file does not name them"))
    return structs.replace(today, id=file.id, changes=tuple(changes), notes=notes, refusals=refusals(inputs, changes))


def check_file(inputs: PlanInputs, document: Mapping[str, Json]) -> Plan:
    """Today's plan of the whole tree, checked against a reviewed plan.

    `inputs` are as for `compare_file`. Raises Refused, naming every change that is not as reviewed or, unless the
    project allows that, was not reviewed; InputError for a document that is no plan.
    """
    today, named_changes, others = _compare(inputs, plan_file(document))
    _refuse_unreviewed(inputs.project.guards, others, {})
    changes = sorted((*named_changes, *others), key=lambda change: change.id)
    return structs.replace(today, changes=tuple(changes), refusals=refusals(inputs, changes))


def check_ceiling(plan: Plan, guards: Guards, document: Mapping[str, Json]) -> None:
    """Check that a plan pays for no more than a reviewed one names; an empty document names nothing.

    Raises Refused, naming every change that goes beyond it, unless the project allows that; InputError for a document
    that is no plan.
    """
    named: dict[ItemId, ReviewedChange] = {}
    if document:
        file = plan_file(document)
        _check_project(plan, file)
        named = {reviewed.id: reviewed for reviewed in file.changes}
    _refuse_unreviewed(guards, plan.changes, named)


def _refuse_unreviewed(guards: Guards, changes: Sequence[Change], named: Mapping[ItemId, ReviewedChange]) -> None:
    beyond = {change.id: words for change in changes if (words := _beyond(change, named.get(change.id)))}
    if not beyond or guards.unreviewed == "allow":
        return
    verb = "are" if len(beyond) > 1 else "is"
    cost = cost_words(change for change in changes if change.id in beyond)
    raise Refused(
        f"{plural(len(beyond), 'change')} {verb} not in the reviewed plan, for {cost}: {_listed(beyond)}",
        code="unreviewed",
        hint="review a new plan, or allow such changes with `guards: {unreviewed: allow}`",
    )


def _beyond(change: Change, reviewed: ReviewedChange | None) -> str:
    """How a change does more than was reviewed; empty: it does not."""
    is_free = not (change.submits_worst or change.money_worst)
    if not (change.steps or change.later) or (is_free and not _FETCHING.isdisjoint(change.names)):
        return ""
    if reviewed is not None and reviewed.waits:
        is_same = change.spec is not None and change.spec.frame == reviewed.frame != NOTHING
        return _dearer(change, reviewed) or ("" if is_same or not change.submits_worst else _ANOTHER_REQUEST)
    if reviewed is None:
        if _is_approved(change):
            return ""
        cost = f" for {cost_words([change])}" if change.credits_worst or change.money_worst else ""
        return f"{change.action}{cost}, which is not in it"
    if more := {"submit", "retry", "remove"} & set(change.names) - set(reviewed.steps):
        return f"it would {', '.join(sorted(more))}, which is not in it"
    another = change.submits_worst and change.spec is not None and change.spec.digest != reviewed.digest
    failed = sum(reason.kind == "failed-before" for reason in change.reasons)
    again = "" if is_free else _again(change, reviewed, failed)
    return _dearer(change, reviewed) or (_ANOTHER_REQUEST if another else again)


def _again(change: Change, reviewed: ReviewedChange, failed: int) -> str:
    """How a change submits a request once more than was reviewed, `failed` jobs apart; empty: it does not."""
    tries = reviewed.attempt + reviewed.retries + min(failed, TRIES - 1)
    is_again = change.submits and change.attempt > tries
    return f"it would be submitted again; see `contentops state show {change.id}`" if is_again else ""


def _is_approved(change: Change) -> bool:
    """Whether a change takes a text over for nothing that people approved: they read its words, not only its plan."""
    is_required = change.spec is not None and change.spec.approval.required
    return change.action is Action.PROMOTE and is_required and not change.submits_worst


def dearer(change: Change, planned: Change) -> str:
    """How a change costs more than the one that was confirmed; empty: it does not."""
    return _beyond_price(change, planned.credits_worst, planned.money_worst, planned.retries)


def _dearer(change: Change, reviewed: ReviewedChange) -> str:
    known = {currency: as_counted(Decimal(amount)) for currency, amount in reviewed.money_worst.items()}
    return _beyond_price(change, reviewed.credits_worst, known, reviewed.retries)


def _beyond_price(change: Change, most: int, known: Mapping[str, int], retries: int) -> str:
    if change.credits_worst > most:
        return f"it costs {cost_words([change])} now, not {most}"
    if known and any(amount > known.get(currency, 0) for currency, amount in change.money_worst.items()):
        return f"it costs {cost_words([change])} now, not {money_words(known, is_bound=True)}"
    # Without credits and a price, only the number of texts says what they cost.
    if change.retries > retries:
        return f"it may be generated again {plural(change.retries, 'time')} now, not {retries}"
    return ""


def _check_project(today: Plan, file: PlanFile) -> None:
    for name in ("project", "environment", "server", "lineage"):
        if (theirs := getattr(file, name)) != (ours := getattr(today, name)):
            message = f"the plan was made for another {name}: `{theirs}`, and this is `{ours}`"
            raise Refused(message, code="other-plan", hint="use `--env`, or make a new plan here")
    if today.writer is not None and (problem := _other_writer(today.writer, file.writer)):
        message = f"the plan was made for {problem}"
        raise Refused(message, code="other-plan", hint="make and review a new plan with `contentops plan --out FILE`")


def _other_writer(today: Writer, planned: Writer | None) -> str:
    """What the model of the settings would do that was not planned; empty: nothing."""
    if planned is None:
        return f"texts without a model, and `api.model` is `{today.model}` now"
    if today.model != planned.model:
        return f"the model `{planned.model}`, and `api.model` is `{today.model}` now"
    if today.passes != planned.passes:
        return f"`api.passes: {planned.passes}`, and it is `{today.passes}` now"
    if planned.max_tokens and not 0 < today.max_tokens <= planned.max_tokens:
        return f"`api.max_tokens: {planned.max_tokens}`, and it is {today.max_tokens or 'not limited'} now"
    return ""


def _listed(wrong: Mapping[ItemId, str]) -> str:
    shown = [f"`{id_}`: {problem}" for id_, problem in sorted(wrong.items())]
    rest = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return "; ".join([*shown[:_SHOWN], *rest])


# --- item by item ------------------------------------------------------------------------------------------


class ReviewedItem(Struct, frozen=True, kw_only=True):
    """An item of a plan file, as it was reviewed and as it is today."""

    reviewed: ReviewedChange
    change: Change | None
    """Today's change; None: there is nothing to do."""
    spec: Spec | None
    record: Record | None
    made_by: Job | None
    """The job that made its text, if that is known."""
    is_recorded: bool
    """This plan wrote the record."""
    has_text: bool
    """The record has a text of the reviewed request; of a `--replace`, not an earlier one."""
    failed: int
    """The number of failed jobs of the reviewed request."""
    waiting: Sequence[Job]
    """Open jobs of the plan's submits, and the one it was to finish."""
    texts: frozenset[Digest]
    """Body digests of their texts, which are in the cache before the job is durable."""


def _compare(inputs: PlanInputs, file: PlanFile) -> tuple[Plan, list[Change], list[Change]]:
    """Today's plan, its changes of items that the file names, and its other changes. Raises Refused."""
    # A change that another process had claimed was not to be done.
    named = {one.id: one for one in file.changes if one.action is not Action.PENDING}
    own = [record for record in inputs.state.records.values() if record.plan_id == file.id and record.id in named]
    made = {record.id: inputs.state.made_by(record) for record in own}
    fetched = {id_ for id_, job in made.items() if job is not None and job.attempt >= named[id_].attempt}
    # Removed items are named as stale below, and texts that the plan has made are not replaced again.
    replace = tuple(id_ for id_ in inputs.choice.replace if id_ in inputs.specs and id_ not in fetched)
    inputs = structs.replace(inputs, choice=structs.replace(inputs.choice, replace=replace))
    today = make_plan(inputs)
    _check_project(today, file)
    changes = {change.id: change for change in today.changes if change.id in named}
    # A target stays occupied if only an item that is not named would free it.
    changes = {change.id: change for change in free_targets(inputs, [*changes.values()])}
    items = [_item(inputs, file, reviewed, changes.get(id_)) for id_, reviewed in named.items()]
    if wrong := {item.reviewed.id: problem for item in items if (problem := _difference(item))}:
        hint = "make and review a new plan with `contentops plan --out FILE`"
        raise Refused(f"the plan is stale: {_listed(wrong)}", code="stale-plan", hint=hint)
    named_changes = sorted(changes.values(), key=lambda change: change.id)
    return today, named_changes, [change for change in today.changes if change.id not in named]


def _item(inputs: PlanInputs, file: PlanFile, reviewed: ReviewedChange, change: Change | None) -> ReviewedItem:
    # A record that is renamed still has its old id.
    record = change.record if change is not None else inputs.state.records.get(reviewed.id)
    jobs = inputs.open_jobs.get(reviewed.id, ())
    reviewed_request = reviewed.job.request_id if reviewed.job is not None else None
    waiting = [one for one in pending(jobs) if one.plan_id == file.id or one.request_id == reviewed_request]
    # What is still to be replaced here has an earlier attempt than the reviewed one.
    is_earlier = reviewed.id in inputs.choice.replace
    return ReviewedItem(
        reviewed=reviewed,
        change=change,
        spec=inputs.specs.get(reviewed.id),
        record=record,
        made_by=inputs.state.made_by(record) if record is not None else None,
        is_recorded=record is not None and record.plan_id == file.id,
        has_text=record is not None and record.digest == reviewed.digest and not is_earlier,
        failed=len(failed_attempts(jobs, reviewed.digest)),
        waiting=waiting,
        texts=frozenset({inputs.body_of(one) for one in waiting} - {NOTHING}),
    )


def _difference(item: ReviewedItem) -> str:
    """How an item differs from the review; empty: it does not."""
    change, reviewed = item.change, item.reviewed
    if reviewed.action is Action.WAIT:
        return "" if change is None else _beyond(change, reviewed)
    if reviewed.blocked:  # nothing was to be done but to mark its text
        if change is None or change.blocked:
            return "" if change is None else _other_mark(reviewed, change)
        return _other_steps(item, change)
    if (item.spec.digest if item.spec else NOTHING) != reviewed.digest:
        gone = "not declared in any manifest any more"
        return gone if item.spec is None else _ANOTHER_REQUEST if reviewed.digest else "declared in a manifest again"
    if change is None:
        return _not_done(item)
    if change.action is Action.PENDING:
        return ""  # another process does it
    if (problem := _other_sides(item, change)) or change.blocked:
        return problem
    stated, today = _front(reviewed), _front(change)
    if item.is_recorded:  # the rest is written already
        stated = {key: value for key, value in stated.items() if key in today}
    return _other_source(item) or _other_front(stated, today) or _other_steps(item, change)


def _not_done(item: ReviewedItem) -> str:
    """How an item that has nothing to do today differs from the review; empty: it does not."""
    record, reviewed, stated = item.record, item.reviewed, _front(item.reviewed)
    if record is None or (item.spec is None and "remove" not in reviewed.steps):
        return ""
    brings_text = reviewed.action is not Action.RESTORE and not _NEW_TEXT.isdisjoint(reviewed.steps)
    if item.spec is None or not (item.has_text or (item.is_recorded and not brings_text)):
        return "it is protected now" if record.protected else "it would not change"
    if record.output != reviewed.target:
        return _ANOTHER_FILE
    title = stated.get(TITLE_KEY)
    # The title of a text that was taken from the server is not recorded as ours.
    title = title if record.saved is not None and title_digest(str(title)) in record.saved.titles else record.title
    written = {**record.metadata, TITLE_KEY: title, PROVENANCE_KEY: stated.get(PROVENANCE_KEY)}
    return _other_source(item) or _other_front(stated, {key: written.get(key) for key in stated})


def _other_source(item: ReviewedItem) -> str:
    text, now = item.reviewed.promotes, item.change.promotion if item.change is not None else None
    is_promoted = item.record is not None and text is not None and item.record.promoted == text.body
    if text is None or (now.expects == text.expects if now is not None else is_promoted):
        return ""
    return f"`{text.path}`, whose text it uses, has changed since"


def _other_sides(item: ReviewedItem, change: Change) -> str:
    """Which side of the item (record, file or stored content) changed since, but not by this plan; empty: none."""
    if not item.is_recorded and record_digest(item.record) != item.reviewed.record:
        return "its record has changed since"
    if not _is_known(item, change):
        return f"`{change.source or change.target}` has changed since"
    remote = change.remote
    if remote is not None and remote.body not in (item.reviewed.remote, NOTHING) and not item.is_recorded:
        return f"content `{remote.content_id}` has changed since"
    if change.blocked and not item.waiting and not item.failed:
        return f"it is blocked now: {change.hint or change.blocked}"
    return ""


def _is_known(item: ReviewedItem, change: Change) -> bool:
    """Whether the file is the reviewed one, or what the plan made of that."""
    file, reviewed, record = change.file, item.reviewed, item.record
    if file.file == reviewed.file:
        return True
    if not file.body:
        return "remove" in reviewed.steps and not file.exists
    if item.is_recorded and _is_retitled(item, file):
        return False
    bodies = item.texts | ({reviewed.promotes.body} if reviewed.promotes is not None else set())
    if record is not None and (item.is_recorded or reviewed.action is Action.RESTORE):
        bodies |= {*record.bodies}
    written = "update" in reviewed.steps and not change.has(Update, Write)
    if item.is_recorded or item.waiting or written:
        bodies |= {reviewed.body}  # with the front matter that the plan has written
    # A merge of the text of the plan's job and a person's edits.
    jobs = {job.job_id for job in item.waiting}
    jobs |= {item.made_by.job_id} if item.made_by is not None and item.is_recorded else set()
    merged = reviewed.action is Action.MERGE and file.provenance.get("job") in jobs - {""}
    return file.body in bodies or merged


def _is_retitled(item: ReviewedItem, file: Observed) -> bool:
    """Return whether a file with a saved text has a new title: not the saved, recorded or reviewed one."""
    record = item.record
    if record is None or record.saved is None or file.body not in (record.saved.body, record.saved.server_body):
        return False
    known = {title_digest(record.title), title_digest(item.reviewed.title or ""), *record.saved.titles}
    return title_digest(file.title) not in known


def _front(change: Change | ReviewedChange) -> dict[str, Json]:
    return {**change.front, **({} if change.title is None else {TITLE_KEY: clean_title(change.title)})}


def _other_front(stated: Mapping[str, Json], today: Mapping[str, Json]) -> str:
    same = {key for key in stated.keys() & today.keys() if is_same_json(stated[key], today[key])}
    other = ", ".join(f"`{key}`" for key in sorted((stated.keys() | today.keys()) - same))
    return f"its front matter has changed: {other}" if other else ""


def _other_mark(reviewed: ReviewedChange, change: Change) -> str:
    """How the mark of a blocked text would change in another way than reviewed; empty: it would not."""
    if more := {"update", "publish"} & ({*change.names} - {*reviewed.steps}):
        return f"it would {', '.join(sorted(more))}, which is not in the plan"
    return _other_front(_front(reviewed), _front(change)) if "update" in change.names else ""


def _other_steps(item: ReviewedItem, change: Change) -> str:
    """How the steps differ from the reviewed ones, or cost more, without those that fetch what was paid for."""
    reviewed, today = {*item.reviewed.steps} - _FETCHING, {*change.names} - _FETCHING
    # If the file is written already, only the record is updated.
    if writes := [name for name in ("update", "write") if name in reviewed]:
        reviewed, today = ({writes[0] if name == "record" else name for name in names} for names in (reviewed, today))
    missing = reviewed - today - _PAYING
    if item.is_recorded:  # the plan has done some of it
        missing &= set() if item.has_text else {"write"}
    if missing and item.spec is not None and is_protected(item.spec, item.record):
        return "it is protected now"
    if more := today - reviewed:
        return f"it would {', '.join(sorted(more))}, which is not in the plan"
    if missing:
        return f"it would no longer {', '.join(sorted(missing))}"
    if change.target != item.reviewed.target:
        return _ANOTHER_FILE
    return _again(change, item.reviewed, item.failed) or _dearer(change, item.reviewed)
