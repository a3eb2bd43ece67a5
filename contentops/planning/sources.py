"""Items that use the texts of others: which wait for a text, in which order."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from contentops.digest import NOTHING
from contentops.model import (
    Action,
    Change,
    Collect,
    ItemId,
    JobState,
    Move,
    OnSourceChange,
    Reason,
    Reference,
    RetryText,
    Submit,
    Update,
    WaitReason,
    Write,
)
from contentops.planning.model_price import collecting, tokens_at_most
from contentops.planning.plan_inputs import is_protected, pending, price_of
from contentops.pricing import FREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import Spec
    from contentops.planning.plan_inputs import ItemSides, PlanInputs
    from contentops.planning.select import Candidate

NAMED: Final = 3
"""The most items that a sentence names."""
_SECOND: Final = 2
"""The wave after the first one: what waits for it needs no number."""


def waiting_change(item: ItemSides) -> Change:
    """The change of an item whose request is not known yet: open jobs are collected, and nothing else is done."""
    spec, under_way = item.spec, pending(item.entries)
    return Change(
        id=spec.id,
        action=Action.WAIT,
        file=item.file,
        steps=collecting(item.inputs.project, (one for one in under_way if one.state is not JobState.UNKNOWN)),
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
            detail = f"its front matter uses {named(sources)}, whose {text} first"
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
    reasons = [Reason(kind="waits", detail=f"`{one.id}` {words(one)}{order}") for one in waits]
    hint = " ".join(filter(None, dict.fromkeys(way(inputs, one) for one in known)))
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


def named(ids: Sequence[ItemId]) -> str:
    """The first of some ids, and how many more there are."""
    shown = [f"`{id_}`" for id_ in ids[:NAMED]]
    if len(ids) > NAMED:
        return f"{', '.join(shown[:-1])} and {len(ids) - NAMED + 1:,} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def words(one: Reference) -> str:
    """Why a text cannot be used yet, as the end of a sentence."""
    return "" if one.wait is None else one.wait.words


def _later(inputs: PlanInputs, spec: Spec) -> tuple[Submit | RetryText, ...]:
    """What an item will pay for once its texts are known."""
    price, checks = price_of(spec, inputs.server), spec.checks
    tokens = tokens_at_most(spec, inputs.project)
    if inputs.source is not None:
        price, tokens = FREE, None  # a text is promoted here, or its generation is blocked
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


def way(inputs: PlanInputs, one: Reference) -> str:
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
