"""Items that use the texts of others: which wait for a text, and which are stale because one has changed."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from contentops.digest import NOTHING
from contentops.errors import plural
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Collect,
    ItemId,
    JobState,
    Move,
    Note,
    OnSourceChange,
    Reason,
    Reference,
    Request,
    RetryText,
    StaleItem,
    Submit,
    Update,
    WaitReason,
    Write,
)
from contentops.planning.differences import changed_sources
from contentops.planning.edits import BodyAnswer, block
from contentops.planning.model_price import tokens_at_most
from contentops.planning.plan_inputs import is_draft, is_edited, is_protected, pending, price_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Desired, Record, Spec, State, Step
    from contentops.planning.plan_inputs import Choice, ItemSides, PlanInputs
    from contentops.planning.select import Candidate

_NAMED: Final = 3
"""The most items that a sentence names."""
_SECOND: Final = 2
"""The wave after the first one: what waits for it needs no number."""
_LISTED: Final = 20
"""The most items that a note lists."""


# --- stale items -----------------------------------------------------------------------------------------------


def hold_stale(desired: Desired, state: State, choice: Choice, server: str) -> tuple[Desired, dict[ItemId, StaleItem]]:
    """The declared items, stale ones with the request of their text, and the stale ones by id.

    Those that `on_source_change` generates again keep their new request, and are in the result too.
    """
    stale = {}
    under_way = {(entry.item, entry.digest) for entry in pending(state.entries.values())}
    for spec in desired.specs:
        record = state.records.get(spec.id) if spec.references else None
        if record is not None and (item := _stale_item(spec, record, choice, server, under_way)) is not None:
            stale[spec.id] = item
    kept = {spec.id: _with_recorded(spec, state.records.get(spec.id)) for spec in desired.specs if spec.open_metadata}
    held = kept | {
        id_: _held(kept.get(id_, item.spec), state.records[id_])
        for id_, item in stale.items()
        if not _is_made_again(item)
    }
    if not held:
        return desired, stale
    return structs.replace(desired, specs=tuple(held.get(spec.id, spec) for spec in desired.specs)), stale


def _is_made_again(item: StaleItem) -> bool:
    return item.rule is OnSourceChange.REGENERATE


def _stale_item(
    spec: Spec, record: Record, choice: Choice, server: str, under_way: Container[tuple[ItemId, Digest]]
) -> StaleItem | None:
    is_same = record.digest == spec.digest or is_draft(record, server)
    if is_same or spec.waits or not spec.frame or record.frame != spec.frame or is_protected(spec, record):
        return None
    if (spec.id, spec.digest) in under_way or spec.id in choice.replace or _recorded_request(record) is None:
        return None
    rule = choice.on_source_change or spec.on_source_change
    return StaleItem(spec=spec, rule=rule, sources=changed_sources(spec, record))


def _held(spec: Spec, record: Record) -> Spec:
    """The spec with the request of the record."""
    references = tuple(Reference(id=ItemId(id_), text=text) for id_, text in sorted(record.sources.items()))
    request = _recorded_request(record) or spec.request
    return structs.replace(spec, request=request, digest=record.digest, used=record.used, references=references)


def _with_recorded(spec: Spec, record: Record | None) -> Spec:
    """The spec with the recorded values of the keys of metadata that are not known now."""
    written = record.metadata if record is not None else {}
    kept = {key: written[key] for key in spec.open_metadata if key in written}
    return structs.replace(spec, metadata={**spec.metadata, **kept}) if kept else spec


def _recorded_request(record: Record) -> Request | None:
    try:
        return msgspec.convert(dict(record.request.items()), Request)
    except msgspec.ValidationError:
        return None  # of a version that knows other fields


def stale_notes(inputs: PlanInputs, chosen: Iterable[Candidate]) -> Iterator[Note]:
    """A note for each cause that has made items stale which keep their text."""
    by_cause: dict[tuple[ItemId, ...], list[StaleItem]] = {}
    for item in chosen:
        stale = inputs.stale.get(item.id)
        if stale is not None and stale.rule is OnSourceChange.NOTE:
            by_cause.setdefault(stale.sources, []).append(stale)
    for sources, items in sorted(by_cause.items()):
        ids = [item.spec.id for item in items]
        verb = "is" if len(ids) == 1 else "are"
        cost = sum(price_of(item.spec, inputs.server).credits for item in items)
        price = plural(cost, "credit") if cost else "free"
        select = " ".join(f"--select {id_}" for id_ in ids[:_NAMED]) if len(ids) <= _NAMED else "--select state:stale"
        yield Note(
            kind="stale-source",
            message=f"{_names(ids)} {verb} stale: {_why(inputs, sources)}",
            hint=f"`contentops apply {select} --on-source-change regenerate` generates {_them(ids)} again ({price})",
            items=tuple(ids[:_LISTED]),
            credits=cost,
        )


def _them(ids: Sequence[ItemId]) -> str:
    return "it" if len(ids) == 1 else "them"


def _names(ids: Sequence[ItemId]) -> str:
    shown = [f"`{id_}`" for id_ in ids[:_NAMED]]
    if len(ids) > _NAMED:
        return f"{', '.join(shown[:-1])} and {len(ids) - _NAMED + 1:,} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def _why(inputs: PlanInputs, sources: tuple[ItemId, ...]) -> str:
    """What has happened to the texts of some items, in words."""
    if not sources:
        return "the front matter or the address of a text that it uses has changed"
    return " and ".join(_what_happened(inputs, id_) for id_ in sources[:_NAMED])


def _what_happened(inputs: PlanInputs, id_: ItemId) -> str:
    record = inputs.state.records.get(id_)
    if record is None:
        return f"the text of `{id_}` has changed"
    file = inputs.observe(record.output)
    if is_edited(file, record) or (file.exists and file.title != record.title):
        return f"`{id_}` was edited by hand"
    day = record.generated_at.partition("T")[0]
    return f"`{id_}` was generated on {day}" if day else f"the text of `{id_}` has changed"


def source_words(inputs: PlanInputs, item: Candidate) -> str:
    """What the texts that an item uses mean for it, in words; empty: nothing."""
    if item.change is not None and item.change.waits:
        return "; ".join(reason.detail for reason in item.change.reasons if reason.kind == "waits")
    stale = inputs.stale.get(item.id)
    return "" if stale is None else _why(inputs, stale.sources)


def stale_reasons(inputs: PlanInputs, id_: ItemId) -> tuple[Reason, ...]:
    """Why a stale item is generated again or blocked."""
    stale = inputs.stale.get(id_)
    return () if stale is None else (Reason(kind="stale-source", detail=_why(inputs, stale.sources)),)


def refers_differently(item: ItemSides) -> bool:
    """Whether the recorded request is the declared one, made from texts that have other ids by now.

    Such a record is brought up to date, or a later change of a text would look like one of the manifest.
    """
    return item.record is not None and item.is_same and item.record.frame != item.spec.frame


def reference_reason(item: ItemSides, steps: Iterable[Step]) -> tuple[Reason, ...]:
    """Why a record is brought up to date, where one of the steps does that."""
    if not any(isinstance(step, Acknowledge) and step.accepts for step in steps) or not refers_differently(item):
        return ()
    ids = ", ".join(f"`{one.id}`" for one in item.spec.references) or "none"
    return (Reason(kind="references", detail=f"the record names the texts that it uses: {ids}"),)


def source_changed(item: ItemSides) -> BodyAnswer | None:
    """The answer that blocks a stale item, where the manifest says so."""
    stale = item.inputs.stale.get(item.spec.id)
    if stale is None or stale.rule is not OnSourceChange.BLOCK:
        return None
    id_ = item.spec.id
    hint = f"`contentops apply --select {id_} --on-source-change regenerate` generates it again"
    return block("stale-source", f"{hint}; `--on-source-change note` keeps it", reasons=stale_reasons(item.inputs, id_))


# --- waiting items ---------------------------------------------------------------------------------------------


def waiting_change(item: ItemSides) -> Change:
    """The change of an item whose request is not known yet: open jobs are collected, and nothing else is done."""
    spec, under_way = item.spec, pending(item.entries)
    return Change(
        id=spec.id,
        action=Action.WAIT,
        file=item.file,
        steps=tuple(Collect(entry=one, keep=True) for one in under_way if one.state is not JobState.UNKNOWN),
        spec=spec,
        record=item.own,
        waits=spec.waits,
    )


def with_waits(inputs: PlanInputs, chosen: Sequence[Candidate], changes: Sequence[Change]) -> list[Change]:
    """The changes, with those that wait for texts of the same plan, and what each will cost at most.

    An item waits if its text is to be made from a text that this plan replaces first.
    """
    referring = {spec.id: spec for spec in inputs.desired.specs if spec.references}
    if not referring:
        return list(changes)
    by_id = {change.id: change for change in changes}
    selected = {item.id: item for item in chosen if item.id in referring}
    # A stale item that keeps its text has the references of its record, which may be in a ring with those of today.
    declared = {**referring, **{id_: stale.spec for id_, stale in inputs.stale.items()}}
    graph = {id_: [one.id for one in spec.references] for id_, spec in declared.items()}
    # By id, the wave in which an item gets another text; the first one has those that wait for nothing.
    waves = {change.id: 1 for change in changes if change.has(Write)}
    # Another path or front matter may be another request.
    moving = {change.id for change in changes if change.has(Move, Update)}
    for id_ in graphlib.TopologicalSorter(graph).static_order():
        if id_ not in selected:
            continue
        spec, change = referring[id_], by_id.get(id_)
        if change is not None and change.blocked:
            continue
        coming = waves.keys() & graph[id_]
        if change is not None and change.action is Action.WAIT:
            known = [one for one in spec.waits if one.id not in coming]
        else:
            known = []
            is_paid = change is not None and change.submit is not None and not change.section
            again = not is_paid and _is_made_again_later(inputs, spec, selected[id_])
            coming |= moving.intersection(graph[id_]) if is_paid else set()
            if not coming or not (is_paid or again):
                continue
        by_id[id_], wave = _waiting(inputs, selected[id_], change, coming, known, waves)
        if wave:
            waves[id_] = wave
        else:
            waves.pop(id_, None)
    return list(by_id.values())


def with_open_front(inputs: PlanInputs, chosen: Sequence[Candidate], changes: Sequence[Change]) -> list[Change]:
    """The changes, and one for each item whose front matter may change once this plan has made other texts."""
    if inputs.choice.only_promoted or inputs.choice.only_front:
        return list(changes)
    changing, coming = {change.id for change in changes}, ComingTexts.of(changes)
    more = []
    for item in chosen:
        spec, sources = item.spec, coming.mentioned_by(item.spec)
        if spec is not None and sources and item.id not in changing:
            text = "text comes" if len(sources) == 1 else "texts come"
            detail = f"its front matter uses {_names(sources)}, whose {text} first"
            waits = tuple(Reference(id=id_, wait=WaitReason.CHANGES) for id_ in sources)
            file, reasons = item.file or inputs.observe(spec.output), (Reason(kind="waits", detail=detail),)
            more.append(
                Change(
                    id=item.id,
                    action=Action.WAIT,
                    file=file,
                    reasons=reasons,
                    spec=spec,
                    record=item.record,
                    waits=waits,
                )
            )
    return [*changes, *more]


class ComingTexts(Struct, frozen=True):
    """The items that get another text, now or in a later wave of a plan, and those that get another path."""

    texts: frozenset[ItemId]
    moves: frozenset[ItemId]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> ComingTexts:
        """Those of some changes."""
        texts = frozenset(change.id for change in changes if change.has(Write) or change.later)
        return cls(texts, frozenset(change.id for change in changes if change.has(Move)))

    def mentioned_by(self, spec: Spec | None) -> list[ItemId]:
        """Those that may change the front matter of an item; a new text does not change the address of an old one."""
        mentions = spec.mentions if spec is not None else ()
        return [
            one.id
            for one in mentions
            if one.id in self.moves or (one.id in self.texts and (one.wait is not None or one.text != NOTHING))
        ]


def _is_made_again_later(inputs: PlanInputs, spec: Spec, item: Candidate) -> bool:
    """Whether an item that keeps its text now is generated again once a text that it uses has changed."""
    rule = inputs.choice.on_source_change or spec.on_source_change
    return rule is OnSourceChange.REGENERATE and item.record is not None and not is_protected(spec, item.record)


def _waiting(
    inputs: PlanInputs,
    item: Candidate,
    change: Change | None,
    coming: set[ItemId],
    known: Sequence[Reference],
    waves: Mapping[ItemId, int],
) -> tuple[Change, int]:
    """The change of an item that waits, and the wave in which it goes on; 0: not in this apply.

    `coming`: the items whose texts come with this plan; `known`: the references that nothing of this plan resolves.
    """
    spec = item.spec
    assert spec is not None
    comes = [Reference(id=one.id, wait=one.wait or WaitReason.CHANGES) for one in spec.references if one.id in coming]
    waits = (*comes, *known)
    wave = 0 if known else 1 + max((waves.get(id_, 1) for id_ in coming), default=1)
    order = f" (wave {wave})" if wave > _SECOND else ""
    reasons = [Reason(kind="waits", detail=f"`{one.id}` {_words(one)}{order}") for one in waits]
    hint = " ".join(filter(None, dict.fromkeys(_way(inputs, one) for one in known)))
    later = _later(inputs, spec) if wave else ()
    if change is None or change.submit is not None:
        base = change or Change(
            id=item.id, action=Action.WAIT, file=item.file or inputs.observe(spec.output), spec=spec, record=item.record
        )
        collected = tuple(step for step in base.steps if isinstance(step, Collect))
        base = structs.replace(base, action=Action.WAIT, steps=collected, hint="")
    else:
        base = change
    reasons = [*base.reasons, *reasons]
    return structs.replace(base, reasons=tuple(reasons), waits=waits, later=later, hint=base.hint or hint), wave


def _words(one: Reference) -> str:
    return "" if one.wait is None else one.wait.words


def _later(inputs: PlanInputs, spec: Spec) -> tuple[Submit | RetryText, ...]:
    """What an item will pay for once its texts are known."""
    price, checks = price_of(spec, inputs.server), spec.checks
    tokens = tokens_at_most(spec, inputs.project)
    submit = Submit(
        request=spec.request,
        digest=spec.digest,
        attempt=1,
        credits=price.credits,
        at_most=price.at_most,
        tokens=tokens,
    )
    if not (checks.retries and checks.can_block):
        return (submit,)
    retry = RetryText(
        request=spec.request,
        digest=spec.digest,
        credits=price.credits,
        at_most=price.at_most,
        times=checks.retries,
        tokens=tokens,
    )
    return submit, retry


def _way(inputs: PlanInputs, one: Reference) -> str:
    """What to do about a text that no step of the plan brings."""
    spec, record = inputs.specs.get(one.id), inputs.state.records.get(one.id)
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
