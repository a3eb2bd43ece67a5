"""Stale items: the texts that theirs were made from have changed, and nothing else of their requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from contentops.digest import NOTHING
from contentops.model import (
    Acknowledge,
    ItemId,
    Note,
    OnSourceChange,
    Reason,
    Reference,
    Request,
    StaleItem,
    WaitReason,
)
from contentops.planning.differences import changed_sources
from contentops.planning.edits import BodyAnswer, block
from contentops.planning.model_price import generation_words
from contentops.planning.plan_inputs import is_draft, is_edited, is_protected, pending, price_of
from contentops.planning.sources import NAMED, named, way, words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from contentops.digest import Digest
    from contentops.model import Desired, Record, Spec, State, Step
    from contentops.planning.plan_inputs import Choice, ItemSides, PlanInputs
    from contentops.planning.select import Candidate

_LISTED: Final = 20
"""The most items that a note lists."""


def hold_stale(
    desired: Desired, state: State, choice: Choice, server: str, promoted: State | None = None
) -> tuple[Desired, dict[ItemId, StaleItem]]:
    """The declared items, stale ones with the request of their text, and the stale ones by id.

    Those that `on_source_change` generates again keep their new request, and are in the result too. An item that would
    only wait for texts, and has one, is held like a stale one; the plan says so unless the source has no text at all.
    `promoted`: the state of the environment whose texts are promoted; one that answers the new request is used.
    """
    stale = {}
    answered = {(entry.item, entry.digest) for entry in pending(state.entries.values())}
    if promoted is not None:
        answered |= {(record.id, record.digest) for record in promoted.records.values()}
    for spec in desired.specs:
        record = state.records.get(spec.id) if spec.references else None
        if record is not None and (item := _stale_item(spec, record, choice, server, answered)) is not None:
            stale[spec.id] = item
    kept = {spec.id: _with_recorded(spec, state.records.get(spec.id)) for spec in desired.specs if spec.open_metadata}
    held = kept | {
        id_: _held(kept.get(id_, item.spec), state.records[id_])
        for id_, item in stale.items()
        if not _is_made_again(item)
    }
    if not held:
        return desired, stale
    shown = {id_: item for id_, item in stale.items() if not item.spec.waits or _is_told(item)}
    return structs.replace(desired, specs=tuple(held.get(spec.id, spec) for spec in desired.specs)), shown


def with_first_texts(desired: Desired, state: State) -> State:
    """The state, where texts that were adopted before those of their sources answer the request of today."""
    specs = {spec.id: spec for spec in desired.specs if spec.references and not spec.waits}
    adopted = {
        id_: structs.replace(record, digest=spec.digest, request=spec.request.as_json(), frame=NOTHING)
        for id_, spec in specs.items()
        if (record := state.records.get(id_)) is not None and _has_placeholders(record) and record.frame == spec.frame
    }
    return structs.replace(state, records={**state.records, **adopted}) if adopted else state


def _has_placeholders(record: Record) -> bool:
    """Whether the request of a record was never known, as it was adopted before its sources had texts."""
    return record.digest == record.frame and not all(record.sources.values())


def _is_told(item: StaleItem) -> bool:
    """Whether the plan of the sources does not say anyhow what an item would wait for."""
    return any(one.wait is not WaitReason.NO_TEXT for one in item.spec.waits)


def _is_made_again(item: StaleItem) -> bool:
    return item.rule is OnSourceChange.REGENERATE


def _stale_item(
    spec: Spec, record: Record, choice: Choice, server: str, answered: Container[tuple[ItemId, Digest]]
) -> StaleItem | None:
    is_same = record.digest == spec.digest or is_draft(record, server)
    if is_same or not spec.frame or record.frame != spec.frame or is_protected(spec, record):
        return None
    if (spec.id, spec.digest) in answered or spec.id in choice.replace or _recorded_request(record) is None:
        return None
    rule = choice.on_source_change or spec.on_source_change
    if not spec.waits:
        return StaleItem(spec=spec, rule=rule, sources=changed_sources(spec, record))
    if rule is OnSourceChange.REGENERATE or _has_placeholders(record):
        return None
    return StaleItem(spec=spec, rule=OnSourceChange.NOTE, sources=tuple(one.id for one in spec.waits))


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
    by_cause: dict[tuple[tuple[ItemId, ...], str], list[StaleItem]] = {}
    for item in chosen:
        stale = inputs.stale.get(item.id)
        if stale is not None and stale.rule is OnSourceChange.NOTE:
            by_cause.setdefault((stale.sources, _why(inputs, stale)), []).append(stale)
    for (_, why), items in sorted(by_cause.items()):
        ids = [item.spec.id for item in items]
        if items[0].spec.waits:
            keeps = "keeps its text" if len(ids) == 1 else "keep their texts"
            hint = " ".join(dict.fromkeys(way(inputs, one) for one in items[0].spec.waits))
            message = f"{named(ids)} {keeps}: {why}"
            yield Note(kind="stale-source", message=message, hint=hint, items=tuple(ids[:_LISTED]))
            continue
        verb = "is" if len(ids) == 1 else "are"
        cost = sum(price_of(item.spec, inputs.server).credits for item in items)
        price = generation_words((item.spec for item in items), inputs.project)
        select = " ".join(f"--select {id_}" for id_ in ids[:NAMED]) if len(ids) <= NAMED else "--select state:stale"
        yield Note(
            kind="stale-source",
            message=f"{named(ids)} {verb} stale: {why}",
            hint=f"`contentops apply {select} --on-source-change regenerate` generates {_them(ids)} again ({price})",
            items=tuple(ids[:_LISTED]),
            credits=cost,
        )


def _them(ids: Sequence[ItemId]) -> str:
    return "it" if len(ids) == 1 else "them"


def _why(inputs: PlanInputs, stale: StaleItem) -> str:
    """What has happened to the texts that an item uses, in words."""
    if waits := stale.spec.waits:
        return " and ".join(f"`{one.id}` {words(one)}" for one in waits[:NAMED])
    sources = stale.sources
    if not sources:
        return "the front matter or the address of a text that it uses has changed"
    return " and ".join(_what_happened(inputs, id_) for id_ in sources[:NAMED])


def _what_happened(inputs: PlanInputs, id_: ItemId) -> str:
    record = inputs.state.records.get(id_)
    if record is None:
        return f"the text of `{id_}` has changed"
    file = inputs.observe(record.output)
    if is_edited(file, record, inputs.made) or (file.exists and file.title != record.title):
        return f"`{id_}` was edited by hand"
    made_by = inputs.state.made_by(record)
    day = made_by.generated_at.partition("T")[0] if made_by is not None else ""
    return f"`{id_}` was generated on {day}" if day else f"the text of `{id_}` has changed"


def source_words(inputs: PlanInputs, item: Candidate) -> str:
    """What the texts that an item uses mean for it, in words; empty: nothing."""
    if item.change is not None and item.change.waits:
        return "; ".join(reason.detail for reason in item.change.reasons if reason.kind == "waits")
    stale = inputs.stale.get(item.id)
    return "" if stale is None else _why(inputs, stale)


def stale_reasons(inputs: PlanInputs, id_: ItemId) -> tuple[Reason, ...]:
    """Why a stale item is generated again or blocked."""
    stale = inputs.stale.get(id_)
    return () if stale is None else (Reason(kind="stale-source", detail=_why(inputs, stale)),)


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
