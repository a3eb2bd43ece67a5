"""Plans items that use the texts of other items: when they wait, and when they are out of date.

It also finds the job for a request, and stops draft outlines of the bundled server from being saved elsewhere. A text
is a draft outline while it has the label line of draft outlines. A person who writes the text removes that line.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.digest import Digest
from contentops.errors import plural
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Fetch,
    ItemId,
    Job,
    JobState,
    LookUp,
    Note,
    Observed,
    OnSourceChange,
    Poll,
    Promote,
    Reason,
    Reference,
    RetryText,
    Spec,
    Step,
    Submit,
    Update,
    WaitReason,
    Write,
)
from contentops.model.desired import Stage, stage_of
from contentops.planning.edits import Answer, block
from contentops.planning.guards import generation_words, order_of, retries_left
from contentops.planning.select import Candidate, in_order
from contentops.planning.sides import ItemSides, PlanInputs, changed_sources, is_edited, is_outline, price_of

# ---- Find the finished text for a request among all jobs of its server.


def finished_job(inputs: PlanInputs, digest: Digest) -> Job | None:
    """Return the finished job for a request from any environment, or None if there is none.

    Of several jobs it is the one with the highest attempt. If the settings have a model, draft outlines do not count.
    """
    texts = [job for job in inputs.jobs_of(digest) if job.has_text and not (job.section or job.lost)]
    if inputs.project.api.has_model:
        texts = [job for job in texts if not job.outline]
    return max(texts, key=lambda job: job.attempt, default=None)


def ordered_elsewhere(item: ItemSides) -> Job | None:
    """Return another environment's open job for the declared request, if there is one."""
    own = item.inputs.state.open_jobs
    jobs = [
        job
        for job in item.inputs.jobs_of(item.spec.digest)
        if job.state in _OPEN and not job.section and job.request_id not in own
    ]
    return max(jobs, key=lambda job: job.attempt, default=None)


_OPEN = frozenset({JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING})


def next_attempt(item: ItemSides) -> int:
    """Return the attempt number for the next job of the declared request.

    Submits that never arrived are not counted.
    """
    own = item.attempt if item.record is not None and item.record.digest == item.spec.digest else 0
    known = (job.attempt for job in item.inputs.jobs_of(item.spec.digest) if job.state is not JobState.NEVER)
    return 1 + max((own, *known), default=0)


# ---- Items made from other items: which texts an item waits for, when its own is stale, and how a plan shows both.

if TYPE_CHECKING:
    Coming = Mapping[ItemId, Stage]
    """By item, the first stage that its change may still reach."""

NAMED: Final = 3
"""The most items that a sentence names."""
LISTED: Final = 20
"""The most items that a note lists."""
_ADDRESS: Final = frozenset({"slug", "url", "permalink"})
_METADATA: Final = "metadata."


# --- what is final ---------------------------------------------------------------------------------------------


def stage_coming(change: Change | None) -> Stage | None:
    """Return the earliest stage (text, title or front matter) of an item that a change may replace.

    Return None if all of them stay unchanged. A file that only moves keeps its words.
    """
    if change is None:
        return None
    unsure = change.blocked or change.claimed_by or change.action is Action.RESOLVE or change.waits
    # A text without a record has no words for others until it is recorded.
    is_found = change.record is None and change.has(Acknowledge)
    brings = change.has(Submit, LookUp, Poll, Fetch, Promote, RetryText, Write)
    if unsure or change.pays_later or is_found or brings:
        return Stage.TEXT
    updates = [step for step in change.steps if isinstance(step, Update)]
    stages = [stage_of(name) for name in change.updates_later]
    if any(step.title is not None or not _ADDRESS.isdisjoint(step.front) for step in updates):
        stages.append(Stage.HEAD)
    stages += [Stage.FRONT for step in updates if step.front]
    return min(stages, default=None)


def waits_of(spec: Spec, coming: Coming) -> tuple[Reference, ...]:
    """Return the sources that the item must wait for, sorted by id. Their texts cannot be used yet, or will change."""
    known = {one.id: one for one in spec.references}
    waits: dict[ItemId, Reference] = {}
    for name, readings in spec.readings.items():
        for one in readings if not name.startswith(_METADATA) else ():
            if known[one.id].wait is not None:
                waits[one.id] = known[one.id]
            elif one.stage is not None and coming.get(one.id, Stage.FRONT + 1) <= one.stage:
                waits.setdefault(one.id, Reference(id=one.id, wait=WaitReason.CHANGES))
    return tuple(waits[id_] for id_ in sorted(waits))


def followers(specs: Iterable[Spec], coming: Coming) -> dict[ItemId, Stage]:
    """Return the items whose front matter changes because it uses texts that change.

    Each has the first stage that changes. Items are omitted if `coming` already has this or an earlier stage for them.
    """
    found: dict[ItemId, Stage] = {}
    for spec in specs:
        if any(one.id in coming for one in spec.mentions):
            names = [name for name in spec.readings if name.startswith(_METADATA) and _comes(spec, name, coming)]
            stage = min(map(stage_of, names), default=None)
            if stage is not None and stage < coming.get(spec.id, Stage.FRONT + 1):
                found[spec.id] = stage
    return found


def open_keys(spec: Spec, coming: Coming) -> frozenset[str]:
    """Return the metadata keys that keep their recorded values until the texts that the keys use are final."""
    affected = (name for name in spec.readings if name.startswith(_METADATA) and _comes(spec, name, coming))
    return frozenset((*spec.open_metadata, *(name.split(".")[1] for name in affected)))


def _comes(spec: Spec, name: str, coming: Coming) -> list[ItemId]:
    """Return the sources that a value of the item uses and that this plan changes.

    If a source has a text already, a new text does not change its address.
    """
    without = {one.id for one in spec.mentions if one.wait is not None}
    found = []
    for one in spec.readings[name]:
        read, comes = Stage.TEXT if one.id in without else one.stage, coming.get(one.id)
        keeps_address = one.part == "url" and one.id not in without and comes is Stage.TEXT
        if read is not None and comes is not None and comes <= read and not keeps_address:
            found.append(one.id)
    return found


# --- one item --------------------------------------------------------------------------------------------------


def waiting_change(item: ItemSides) -> Change:
    """Return the change of an item that waits for other texts. It has no steps: its request is not known yet."""
    inputs = item.inputs
    return Change(
        id=item.spec.id,
        action=Action.WAIT,
        file=item.file,
        reasons=tuple(Reason(kind="waits", detail=f"`{one.id}` {words(one)}") for one in item.waits),
        spec=item.spec,
        record=item.record,
        remote=item.remote,
        waits=item.waits,
        pays_later=_later(inputs, item.spec),
        hint="; ".join(filter(None, dict.fromkeys(way(inputs, one).rstrip(".") for one in item.waits))),
    )


def _later(inputs: PlanInputs, spec: Spec) -> tuple[Submit | RetryText, ...]:
    """Return the steps that may cost money as soon as the texts of the item's sources are known.

    In an environment that promotes texts, they cost nothing.
    """
    submit = order_of(spec, inputs.project, waits=True)
    if inputs.source is not None:
        submit = structs.replace(submit, credits=0, at_most=False, tokens=None)
    times = retries_left(spec.checks)
    return (submit, RetryText(again=submit, times=times)) if times else (submit,)


def troubled(item: ItemSides) -> Answer | None:
    """Block the item if its request is invalid because of the texts that it uses. Otherwise return None."""
    if not item.spec.trouble:
        return None
    first, *others = item.spec.trouble
    more = f" (and {len(others)} more)" if others else ""
    return block("wrong-reference", f"{first.message}{more}" + (f"; {first.hint}" if first.hint else ""))


def first_request(item: ItemSides) -> Answer | None:
    """Record an adopted text's request once the texts that the request uses are known. Return None for other items."""
    record = item.record
    if record is None or record.digest or item.waits or record.frame not in item.spec.frames:
        return None
    return Answer(action=Action.UPDATE, steps=(Acknowledge(accepts=True),)) if item.file.exists else None


def source_changed(item: ItemSides) -> Answer | None:
    """Block the item if its sources changed and its `on_source_change` rule is `block`. Otherwise return None."""
    if item.stale_rule is not OnSourceChange.BLOCK:
        return None
    id_ = item.spec.id
    hint = f"`contentops apply --select {id_} --on-source-change regenerate` generates it again"
    return block("stale-source", f"{hint}; `--on-source-change keep` keeps it", reasons=stale_reasons(item))


def stale_reasons(item: ItemSides) -> tuple[Reason, ...]:
    """Return the reason why a text is stale: which of its sources changed, and how."""
    if item.stale_rule is None or item.record is None:
        return ()
    return (Reason(kind="stale-source", detail=_why(item.inputs, changed_sources(item.spec, item.record))),)


def refers_differently(item: ItemSides) -> bool:
    """Return whether the recorded and the declared request differ only in their templates or source ids.

    Such a record is updated. Otherwise a later change of a source's text would look like a change of the manifest.
    """
    record, spec = item.record, item.spec
    if record is None:
        return False
    has_earlier_ids = not item.waits and record.frame == spec.earlier_frame and spec.earlier_frame != spec.frame
    is_another_way = item.is_up_to_date and record.frame not in (spec.frame, spec.earlier_frame)
    return has_earlier_ids or is_another_way


def reference_reason(item: ItemSides, steps: Iterable[Step]) -> tuple[Reason, ...]:
    """Return the reason to update a record's list of used texts, or nothing if no step updates that list."""
    if not any(isinstance(step, Acknowledge) for step in steps) or not refers_differently(item):
        return ()
    ids = ", ".join(f"`{one.id}`" for one in item.spec.references) or "none"
    return (Reason(kind="references", detail=f"the record names the texts that it uses: {ids}"),)


# --- the selected items ----------------------------------------------------------------------------------------


def settle_waits(chosen: Sequence[Candidate], changes: Sequence[Change]) -> list[Change]:
    """Decide which items wait for texts of this plan, and return all changes.

    Paths and front matter can wait too. An item that waits for a text which this plan does not make gets no price. Only
    selected sources can make a text.
    """
    by_id = {change.id: change for change in changes}
    restored = {change.id for change in changes if change.action is Action.RESTORE}
    order = {id_: number for number, id_ in enumerate(in_order({id_: _waited(by_id[id_]) for id_ in by_id}))}
    items = [item for item in chosen if item.id in by_id or (item.spec is not None and item.spec.readings)]
    items.sort(key=lambda item: order.get(item.id, len(order)))
    # A text comes only if all texts come that it waits for, so this is repeated until it finds no more.
    bringing: dict[ItemId, Stage] = {}
    before: Coming | None = None
    while bringing != before:
        before = {**bringing}
        for item in items:
            change = _following(item, by_id.get(item.id), bringing, restored)
            if change is None:
                continue
            by_id[item.id] = change
            is_stuck = change.blocked or change.claimed_by or not bringing.keys() >= {*_waited(change)}
            stage = None if is_stuck or (change.waits and not change.pays_later) else stage_coming(change)
            if stage is not None:
                bringing[item.id] = min(stage, bringing.get(item.id, stage))
    for change in [change for change in by_id.values() if change.action is Action.WAIT and change.waits]:
        comes = bringing.keys() >= {*_waited(change)}
        by_id[change.id] = structs.replace(change, hint="") if comes else structs.replace(change, pays_later=())
    return list(by_id.values())


def _waited(change: Change) -> list[ItemId]:
    return [one.id for one in change.waits]


def _following(item: Candidate, change: Change | None, bringing: Coming, restored: Container[ItemId]) -> Change | None:
    """Add to an item's change the path and front matter that depend on new texts of this plan."""
    spec = item.spec
    if spec is None or (change is not None and (change.waits or change.blocked)):
        return change
    keys = [name for name in spec.readings if name.startswith((_METADATA, "output"))]
    # A text that is restored has the words that front matter was written with.
    same = restored if item.record is not None else ()
    coming = {name: [id_ for id_ in _comes(spec, name, bringing) if id_ == item.id or id_ not in same] for name in keys}
    names = {name: found for name, found in coming.items() if found}
    if not names:
        return change
    if change is not None:
        return structs.replace(change, updates_later=tuple(sorted(names)))
    sources = list(dict.fromkeys(id_ for found in names.values() for id_ in found))
    comes = "text comes" if len(sources) == 1 else "texts come"
    what = "path" if [*names] == ["output"] else "front matter"
    detail = f"its {what} uses {named(sorted(sources))}, whose {comes} first"
    return Change(
        id=item.id,
        action=Action.WAIT,
        file=item.file or Observed(path=spec.output),
        reasons=(Reason(kind="waits", detail=detail),),
        spec=spec,
        record=item.record,
        updates_later=tuple(sorted(names)),
    )


# --- in words --------------------------------------------------------------------------------------------------


def named(ids: Sequence[ItemId]) -> str:
    """Join the first ids with commas, and add how many more there are."""
    shown = [f"`{id_}`" for id_ in ids[:NAMED]]
    if len(ids) > NAMED:
        return f"{', '.join(shown[:-1])} and {len(ids) - NAMED + 1:,} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def words(one: Reference) -> str:
    """Return in words why another item's text cannot be used yet, such as `has no text yet`."""
    return "" if one.wait is None else one.wait.words


def way(inputs: PlanInputs, one: Reference) -> str:
    """Return a hint about what to do with a source that gets no text in this plan."""
    spec, record = inputs.specs.get(one.id), inputs.records.get(one.id)
    path = record.output if record is not None else spec.output if spec is not None else ""
    match one.wait:
        case WaitReason.NOT_APPROVED:
            return f"read it, then `contentops approve {one.id}`."
        case WaitReason.EMPTY:
            return f"write a text into `{path}`, or generate it again: `contentops apply --replace {one.id}`."
        case WaitReason.NO_PART:
            return f"write it into `{path}`, or use another part of `{one.id}`."
        case WaitReason.UNREADABLE:
            return f"correct `{path}`."
        case _:
            if spec is not None and spec.protected:
                return f"`{one.id}` is protected, so it is not generated: write its text, or `contentops adopt` it."
            return f"generate it first: `contentops plan --select {one.id}` says what it needs."


def stale_notes(inputs: PlanInputs, chosen: Iterable[Candidate]) -> Iterator[Note]:
    """Yield a note for each source whose text changed. It names the items that keep their text in spite of that."""
    by_cause: dict[tuple[bool, tuple[ItemId, ...], str], list[Candidate]] = {}
    for item in chosen:
        if item.keeps and item.spec is not None and item.record is not None:
            # The plan of a source that has no text yet, or gets another one, says that anyhow.
            waiting = [one for one in item.waits if one.wait not in (WaitReason.NO_TEXT, WaitReason.CHANGES)]
            if item.waits and not waiting:
                continue
            sources = tuple(one.id for one in waiting) or changed_sources(item.spec, item.record)
            why = " and ".join(f"`{one.id}` {words(one)}" for one in waiting[:NAMED])
            key = bool(waiting), sources, why or _why(inputs, sources)
            by_cause.setdefault(key, []).append(item)
    for (waits, _, why), items in sorted(by_cause.items()):
        ids, specs = [item.id for item in items], [item.spec for item in items if item.spec is not None]
        if waits:
            keeps = "keeps its text" if len(ids) == 1 else "keep their texts"
            hint = " ".join(dict.fromkeys(way(inputs, one) for one in items[0].waits))
            yield Note(
                kind="stale-source", message=f"{named(ids)} {keeps}: {why}", hint=hint, items=tuple(ids[:LISTED])
            )
            continue
        verb = "is" if len(ids) == 1 else "are"
        # A text that was made from these words before costs nothing.
        paid = [spec for spec in specs if finished_job(inputs, spec.digest) is None]
        cost = sum(price_of(spec, inputs.server).credits for spec in paid)
        price = generation_words(paid, inputs.project) if paid else "free"
        select = " ".join(f"--select {id_}" for id_ in ids[:NAMED]) if len(ids) <= NAMED else "--select state:stale"
        them = "it" if len(ids) == 1 else "them"
        yield Note(
            kind="stale-source",
            message=f"{named(ids)} {verb} stale: {why}",
            hint=f"`contentops apply {select} --on-source-change regenerate` generates {them} again ({price}); "
            f"`keep` keeps {them}, for free",
            items=tuple(ids[:LISTED]),
            credits=cost,
        )


def source_words(inputs: PlanInputs, item: Candidate) -> str:
    """Return in words why an item waits for its sources or is stale, or an empty text if neither is true."""
    if item.change is not None and item.change.action is Action.WAIT:
        return "; ".join(reason.detail for reason in item.change.reasons if reason.kind == "waits")
    if not item.stale or item.spec is None or item.record is None:
        return ""
    if item.waits:
        return " and ".join(f"`{one.id}` {words(one)}" for one in item.waits[:NAMED])
    return _why(inputs, changed_sources(item.spec, item.record))


def _why(inputs: PlanInputs, sources: Collection[ItemId]) -> str:
    """Return in words how the texts that an item uses have changed."""
    if not sources:
        return "the rows that it uses, or the front matter or address of a text, have changed"
    return " and ".join(_what_happened(inputs, id_) for id_ in list(sources)[:NAMED])


def _what_happened(inputs: PlanInputs, id_: ItemId) -> str:
    record = inputs.records.get(id_)
    if record is None:
        return f"the text of `{id_}` has changed"
    file = inputs.observe(record.output)
    if is_edited(file, record, inputs.made) or (file.exists and file.title != record.title):
        return f"`{id_}` was edited by hand"
    made_by = inputs.state.made_by(record)
    day = made_by.generated_at.partition("T")[0] if made_by is not None else ""
    return f"`{id_}` was generated on {day}" if day else f"the text of `{id_}` has changed"


# ---- Draft outlines of the bundled server are neither saved to another server nor promoted.

DRAFT_OUTLINE = "draft-outline"
"""The kind of block if an outline would be saved to another server, and of the note on an outline not promoted."""


def not_saved_elsewhere(item: ItemSides, body: Answer) -> str:
    """Return a hint if a draft outline would be saved outside the bundled server, or an empty text."""
    own, inputs = item.record, item.inputs
    if own is None or body.writes or inputs.choice.drafts or own.server == inputs.server:
        return ""
    if not is_outline(own, item.file):
        return ""
    path, write = item.file.path, "`--on-edit overwrite` pays for a text, " * bool(own.generated)
    return (
        f"`{path}` is a draft outline of the bundled server, which is not saved to other servers: "
        f"write the text and remove the line `> Draft outline ...`, {write}or save the outline with `--drafts`"
    )


def draft_notes(inputs: PlanInputs) -> Iterator[Note]:
    """Yield a note if the settings have a model and some texts are still draft outlines.

    A new model in the settings generates nothing by itself.
    """
    drafts = [
        record.id
        for record in (inputs.records.values() if inputs.project.api.has_model else ())
        if record.outline and record.server == "local" and is_outline(record, inputs.observe(record.output))
    ]
    if drafts:
        number = plural(len(drafts), "text")
        message = f"{number} of the bundled server {'is a draft outline' if len(drafts) == 1 else 'are draft outlines'}"
        ids = " ".join(f"--replace {id_}" for id_ in drafts[:NAMED]) + " ..." * (len(drafts) > NAMED)
        hint = f"they stay until the model is asked for others: `contentops apply {ids}`"
        yield Note(kind="draft-outlines", message=message, hint=hint)


def outline_notes(item: ItemSides) -> Iterator[Note]:
    """Yield a note if the other environment has a new draft outline, because draft outlines are not promoted."""
    source, own, spec = item.inputs.source, item.record, item.spec
    if source is None or own is None or not own.is_promoted or item.inputs.choice.drafts:
        return
    outline = source.text(spec, item.inputs.observe)
    if outline is not None and outline.is_outline and outline.file.body not in (own.promoted, own.declined):
        message = f"`{spec.id}`: `{outline.file.path}` is a draft outline and is not promoted"
        yield Note(kind=DRAFT_OUTLINE, id=spec.id, message=message, hint="`--drafts` promotes it anyway")
