"""Compares the current plan with a reviewed plan, and a change with the version that a person confirmed.

A person confirms a plan by a plan file, by a reviewed pull request, by a button, or by a yes in the terminal. Only
`beyond` decides what goes further than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from contentops.digest import NOTHING, Digest, is_same_json
from contentops.documents.clean import clean_title, title_digest
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY
from contentops.errors import Refused, plural
from contentops.model import (
    Action,
    AnyChange,
    Change,
    Guards,
    ItemId,
    Json,
    Plan,
    Record,
    Remote,
    Spec,
    text_digest,
)
from contentops.model.jobs import cost_words, money_words
from contentops.model.plan import ReviewedChange, Writer
from contentops.model.plan_file import PlanFile
from contentops.planning.guards import refusals
from contentops.planning.plan import free_targets, ignoring_existing, make_plan
from contentops.planning.sides import TRIES, PlanInputs, is_edited_on_server

_SHOWN = 20
"""The most items that one message names."""
_FETCHING = frozenset({"drain", "look up", "poll", "fetch"})
"""Names of the steps that fetch what was paid for: they need no review."""
_BOUND = frozenset({"submit", "retry", "remove"})
"""Names of the steps that pay or remove: only an item for which they were confirmed may have them."""
_ANOTHER_REQUEST = "its request has changed"


# --- what goes beyond a confirmation ---------------------------------------------------------------------------


def beyond(change: Change, confirmed: AnyChange | None) -> str:
    """Return in words what a change does that a person has not confirmed, or an empty text.

    `confirmed` is the change that a person confirmed, if any. A change may do less than that. A free fetch of a paid
    text needs no confirmation. A free change of a confirmed item needs none either, except its removal.
    """
    is_free = not (change.submits_worst or change.money_worst)
    does_nothing = not (change.steps or change.pays_later)
    if does_nothing or (is_free and _FETCHING.intersection(change.names)):
        return ""
    if confirmed is None:
        # People approved the words of a text that is taken over for nothing, not only its plan.
        is_required = change.spec is not None and change.spec.approval.required
        if change.action is Action.PROMOTE and is_required and not change.submits_worst:
            return ""
        cost = f" for {cost_words([change])}" if change.credits_worst or change.money_worst else ""
        return f"{change.action}{cost}, which is not in it"
    if confirmed.action is Action.WAIT:
        frame = change.spec.frame if change.spec is not None else NOTHING
        is_same = frame == confirmed.frame if confirmed.frame else change.digest == confirmed.digest
        return _dearer(change, confirmed) or ("" if is_same or not change.submits_worst else _ANOTHER_REQUEST)
    if more := _BOUND & set(change.names) - set(confirmed.names):
        return _more(more)
    again = "" if is_free else _again(change, confirmed)
    another = _ANOTHER_REQUEST if change.submits_worst and change.digest != confirmed.digest else ""
    return _dearer(change, confirmed) or again or another


def _more(steps: Iterable[str]) -> str:
    return f"it would {', '.join(sorted(steps))}, which is not in the plan"


def _again(change: Change, confirmed: AnyChange) -> str:
    """Return a sentence if a change submits more often than a person confirmed, or an empty text.

    One failed job does not count.
    """
    failed = sum(reason.kind == "failed-before" for reason in change.reasons)
    tries = confirmed.attempt + confirmed.retries + min(failed, TRIES - 1)
    is_again = change.submits and change.attempt + change.retries > tries
    return f"it would be submitted again; see `contentops report --runs --select {change.id}`" if is_again else ""


def _dearer(change: Change, confirmed: AnyChange) -> str:
    """Return a sentence if a change costs more than a person confirmed, or an empty text."""
    known = confirmed.money_worst
    if change.credits_worst > confirmed.credits_worst:
        return f"it costs {cost_words([change])} now, not {confirmed.credits_worst}"
    if known and any(amount > known.get(currency, 0) for currency, amount in change.money_worst.items()):
        return f"it costs {cost_words([change])} now, not {money_words(known, is_bound=True)}"
    # Without credits and a price, only the number of texts says what they cost.
    if change.retries > confirmed.retries:
        return f"it may be generated again {plural(change.retries, 'time')} now, not {confirmed.retries}"
    return ""


# --- whole plans -------------------------------------------------------------------------------------------------


def check_ceiling(plan: Plan, guards: Guards, reviewed: PlanFile | None) -> None:
    """Check that a plan does nothing beyond a reviewed plan. If there is none, nothing counts as reviewed.

    Raises Refused, naming every change that goes beyond it, unless the project allows that.
    """
    if reviewed is not None:
        _check_project(plan, reviewed)
    _refuse_unreviewed(guards, plan.changes, reviewed.changes if reviewed is not None else ())


def compare_file(inputs: PlanInputs, reviewed: PlanFile) -> Plan:
    """Return the current plan, limited to the changes that the plan file names.

    `inputs` have the options of the reviewed plan without its selection. Raises Refused, naming every change that is
    not as reviewed, or if nothing is left to do.
    """
    today, changes, others = _compare(inputs, reviewed)
    if not changes and any(one.action is not Action.PENDING for one in reviewed.changes):
        raise Refused("nothing of the plan is left to do: it is already applied", code="already-applied")
    notes = (*today.notes, *ignoring_existing(len(others), "the plan file does not name them"))
    return structs.replace(
        today, id=reviewed.id, changes=tuple(changes), notes=notes, refusals=refusals(inputs, changes)
    )


def check_file(inputs: PlanInputs, reviewed: PlanFile) -> Plan:
    """Check the current plan of all items against a reviewed plan, and return the current plan.

    `inputs` are as for `compare_file`. Raises Refused, naming every change that is not as reviewed. A change that was
    not reviewed is refused too, unless the project allows it.
    """
    today, named_changes, others = _compare(inputs, reviewed)
    _refuse_unreviewed(inputs.project.guards, others, ())
    changes = sorted((*named_changes, *others), key=lambda change: change.id)
    return structs.replace(today, changes=tuple(changes), refusals=refusals(inputs, changes))


def _refuse_unreviewed(guards: Guards, changes: Sequence[Change], reviewed: Sequence[ReviewedChange]) -> None:
    named = {one.id: one for one in reviewed}
    unreviewed = {change.id: words for change in changes if (words := beyond(change, named.get(change.id)))}
    if not unreviewed or guards.unreviewed == "allow":
        return
    verb = "are" if len(unreviewed) > 1 else "is"
    cost = cost_words(change for change in changes if change.id in unreviewed)
    raise Refused(
        f"{plural(len(unreviewed), 'change')} {verb} not in the reviewed plan, for {cost}: {_listed(unreviewed)}",
        code="unreviewed",
        hint="review a new plan, or allow such changes with `guards: {unreviewed: allow}`",
    )


def _check_project(today: Plan, file: PlanFile) -> None:
    for name in ("project", "environment", "server", "lineage"):
        if (theirs := getattr(file, name)) != (ours := getattr(today, name)):
            message = f"the plan was made for another {name}: `{theirs}`, and this is `{ours}`"
            raise Refused(message, code="other-plan", hint="use `--env`, or make a new plan here")
    if today.writer is not None and (problem := _other_writer(today.writer, file.writer)):
        message = f"the plan was made for {problem}"
        raise Refused(message, code="other-plan", hint="make and review a new plan with `contentops plan --out FILE`")


def _other_writer(today: Writer, planned: Writer | None) -> str:
    """Return in words how the model settings differ from those of the plan file, or an empty text."""
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


# --- a plan file that is applied -------------------------------------------------------------------------------


def _compare(inputs: PlanInputs, reviewed: PlanFile) -> tuple[Plan, list[Change], list[Change]]:
    """Return the current plan, its changes of items that the plan file names, and its other changes.

    Raises Refused if the plan file is stale, or if it is of another project.
    """
    # A change that another process had claimed was not to be done.
    named = {one.id: one for one in reviewed.changes if one.action is not Action.PENDING}
    # Removed items are named as stale below, and texts that the plan has made are not replaced again.
    made = {id_ for id_, one in named.items() if _is_made(inputs, one)}
    replace = tuple(id_ for id_ in inputs.choice.replace if id_ in inputs.specs and id_ not in made)
    inputs = structs.replace(inputs, choice=structs.replace(inputs.choice, replace=replace))
    today = make_plan(inputs)
    _check_project(today, reviewed)
    # A target stays occupied if only an item that is not named would free it.
    named_changes = free_targets(inputs, [change for change in today.changes if change.id in named])
    changes = {change.id: change for change in named_changes}
    problems = {id_: _difference(inputs, one, changes.get(id_)) for id_, one in named.items()}
    if wrong := {id_: problem for id_, problem in problems.items() if problem}:
        hint = "make and review a new plan with `contentops plan --out FILE`"
        raise Refused(f"the plan is stale: {_listed(wrong)}", code="stale-plan", hint=hint)
    named_changes.sort(key=lambda change: change.id)
    return today, named_changes, [change for change in today.changes if change.id not in named]


def _is_made(inputs: PlanInputs, reviewed: ReviewedChange) -> bool:
    """Return whether the record has the text that a reviewed change orders, or a later text for that request.

    A text of which only a section was generated again is neither: a section takes the next number too.
    """
    record = inputs.records.get(reviewed.id)
    job = inputs.state.made_by(record) if record is not None else None
    if job is None or job.section:
        return False
    return job.digest == reviewed.digest and job.attempt >= reviewed.attempt


def _difference(inputs: PlanInputs, reviewed: ReviewedChange, change: Change | None) -> str:
    """Return in words how an item differs from its reviewed change.

    The text is empty if nothing differs, or if less is left to do. An item that is blocked now has less left to do: the
    apply reports it.
    """
    waits = reviewed.action is Action.WAIT  # its request was not known yet
    if not reviewed.blocked and not waits and (problem := _other_request(inputs.specs.get(reviewed.id), reviewed)):
        return problem
    if change is None or change.action is Action.PENDING:
        return ""  # it is done, or another process does it
    if not reviewed.blocked and (problem := _other_sides(inputs, change, reviewed)):
        return problem
    other = "" if waits else _other_work(change, reviewed)
    return other or beyond(change, reviewed)


def _other_work(change: Change, reviewed: ReviewedChange) -> str:
    """Return in words which work of a change was not reviewed, or an empty text."""
    # A new text comes with all of its front matter; an update writes what is left.
    if other := _other_front(change, reviewed, is_whole="write" in change.names):
        return other
    before = set(reviewed.names)
    # Steps that fetch paid texts need no review. If the file is written already, only the record is updated.
    if more := set(change.names) - _FETCHING - before - ({"record"} if before & {"update", "write"} else set()):
        return _more(more)
    return "it would write a file that is not in the plan" if change.target != reviewed.target else ""


def _other_front(change: Change, reviewed: ReviewedChange, *, is_whole: bool) -> str:
    """Return in words which front matter changes were not reviewed, or an empty text.

    With `is_whole`, a reviewed key that is no longer written counts too.
    """
    stated, today = _front(reviewed), _front(change)
    # Front matter that is made from other texts follows these.
    readings = change.spec.readings if change.spec is not None else ()
    follows = {name.split(".")[1] for name in readings if name.startswith("metadata.")}
    keys = sorted(today.keys() | (stated.keys() - {PROVENANCE_KEY} if is_whole else set()))
    same = {key for key in stated.keys() & today.keys() if is_same_json(stated[key], today[key])}
    other = [key for key in keys if key not in same | follows]
    return f"its front matter has changed: {', '.join(f'`{key}`' for key in other)}" if other else ""


def _front(change: AnyChange) -> dict[str, Json]:
    return {**change.front, **({} if change.title is None else {TITLE_KEY: clean_title(change.title)})}


def _other_request(spec: Spec | None, reviewed: ReviewedChange) -> str:
    """Return in words how the item's declaration changed since the review, or an empty text."""
    if (spec.digest if spec is not None else NOTHING) == reviewed.digest:
        return ""
    if spec is None:
        return "not declared in any manifest any more"
    return _ANOTHER_REQUEST if reviewed.digest else "declared in a manifest again"


def _other_sides(inputs: PlanInputs, change: Change, reviewed: ReviewedChange) -> str:
    """Return a sentence if the item's file, stored content or text to promote has changed since the review."""
    remote, promotion, text = change.remote, change.promotion, reviewed.promotion
    if not _is_known(inputs, change, reviewed):
        return f"`{change.source or change.target}` has changed since"
    if remote is not None and not change.blocked and not _is_known_there(change, remote, reviewed):
        return f"content `{remote.content_id}` has changed since"
    if text is not None and promotion is not None and promotion.expects != text.expects:
        return f"`{text.path}`, whose text it uses, has changed since"
    return ""


def _is_known_there(change: Change, remote: Remote, reviewed: ReviewedChange) -> bool:
    """Return whether nobody has edited the stored content since the review."""
    record, file = change.record, change.file
    if record is None or remote.body == reviewed.remote_body or not is_edited_on_server(remote, record):
        return True
    # A run that was stopped saved the file, and did not record that.
    return text_digest(remote.title, remote.body) == text_digest(file.title, file.body)


def _is_known(inputs: PlanInputs, change: Change, reviewed: ReviewedChange) -> bool:
    """Return whether nobody has edited the item's file since the review."""
    file, record, waits = change.file, change.record, reviewed.action is Action.WAIT
    if file.file == reviewed.file_digest:
        return True
    if not file.body:
        return "remove" in reviewed.names and not file.exists
    if _replaces_front(change):
        return False
    # A merge of the text that the plan ordered and a person's edits.
    jobs = {job.job_id for job in inputs.jobs_of(reviewed.digest)} - {""}
    if reviewed.action is Action.MERGE and file.provenance.get("job") in jobs:
        return True
    is_title_known = title_digest(file.title) in _known_titles(reviewed, record)
    promoted = reviewed.promotion.body if reviewed.promotion is not None else reviewed.body
    if file.body in (reviewed.body, promoted) and not waits:
        return is_title_known
    if not waits and "write" not in reviewed.names:
        return False
    own = () if record is None else record.bodies if reviewed.action is Action.RESTORE else (record.generated,)
    if file.body not in own and file.body not in inputs.made:
        return False
    # A new text keeps the title that a person gave before the review. After its save, another title is a new one.
    saved = record.saved if record is not None else None
    is_saved = saved is not None and file.body in (saved.body, saved.server_body)
    return is_title_known or (change.title is None and not is_saved)


def _replaces_front(change: Change) -> bool:
    """Return whether a change overwrites a front matter value that exists only in the item's file."""
    file, written = change.file, change.record.metadata if change.record is not None else {}
    return any(
        not (is_same_json(file.front.get(key), value) or is_same_json(file.front.get(key), written.get(key)))
        for key, value in change.front.items()
    )


def _known_titles(reviewed: ReviewedChange, record: Record | None) -> set[Digest]:
    """Return the digests of an item's reviewed, recorded and saved titles."""
    titles = {reviewed.title or "", record.title if record is not None else ""}
    saved = record.saved.titles if record is not None and record.saved is not None else ()
    return {*map(title_digest, titles), *saved}
