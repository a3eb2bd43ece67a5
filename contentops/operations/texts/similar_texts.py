"""Compare the files of each group, and remember what was found while no text of the group has changed.

What was found is one row of the cache: to compare 10,000 texts again takes seconds.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import to_builtins

from contentops import __version__
from contentops.digest import Digest, digest_json
from contentops.errors import OutputError
from contentops.model import Finding, ItemId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.model import Observed, Record, Spec
    from contentops.planning.groups import GroupKey
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.state.cache import Cache

FORMAT: Final = 1
"""Raised when the comparison changes; the version of contentops counts too."""
_ROW: Final = "similar-texts"
_Found = dict[ItemId, tuple[Finding, ...]]


def reader(read: Callable[[str], str], record: Callable[[ItemId], Record | None]) -> Callable[[Spec], str | None]:
    """Return what reads the body of an item's file as it is now; None: there is none, or it cannot be read."""

    def body(spec: Spec) -> str | None:
        try:
            return read(_path(spec, record(spec.id)))
        except OutputError:
            return None

    return body


def _path(spec: Spec, record: Record | None) -> str:
    return record.output if record is not None else spec.output


def similar_texts(cache: Cache, inputs: PlanInputs, specs: Iterable[Spec]) -> Mapping[ItemId, tuple[Finding, ...]]:
    """Return what `checks.similar` finds in the files of some items, each compared with its whole group."""
    compared = [spec for spec in specs if spec.checks.similar is not None]
    if not compared:
        return {}
    from contentops.planning.groups import group_of, is_member

    chosen: defaultdict[GroupKey | None, list[Spec]] = defaultdict(list)
    for spec in compared:
        chosen[group_of(spec)].append(spec)
    records, before = inputs.state.records, _remembered(cache)
    now: dict[Digest, _Found] = {}
    for key, asked in chosen.items():
        members = [spec for spec in inputs.desired.specs if key is not None and is_member(spec, key)]
        files = [inputs.observe(_path(spec, records.get(spec.id))) for spec in members]
        texts = [(spec, file) for spec, file in zip(members, files, strict=True) if file.exists and not file.problem]
        name = _name(texts, asked)
        now[name] = before[name] if name in before else _compare(inputs, texts, asked)
    if now != before:
        cache.put(_ROW, msgspec.json.encode(now).decode())
    return {id_: findings for found in now.values() for id_, findings in found.items()}


def _name(texts: Sequence[tuple[Spec, Observed]], asked: Sequence[Spec]) -> Digest:
    """Return a name for texts and the checks that compare them."""
    stated = [[spec.id, to_builtins(spec.checks.similar)] for spec in asked]
    return digest_json([FORMAT, __version__, [[spec.id, spec.names, file.body] for spec, file in texts], stated])


def _compare(inputs: PlanInputs, texts: Sequence[tuple[Spec, Observed]], asked: Sequence[Spec]) -> _Found:
    from contentops.planning.groups import GroupTexts

    group, read = GroupTexts(), reader(inputs.read, inputs.state.records.get)
    added = set()
    for spec, _ in texts:
        if (body := read(spec)) is not None:
            group.add(spec, body)
            added.add(spec.id)
    return {spec.id: found for spec in asked if spec.id in added and (found := group.findings(spec))}


def _remembered(cache: Cache) -> dict[Digest, _Found]:
    try:
        return msgspec.json.decode(cache.get(_ROW) or "{}", type=dict[Digest, _Found])
    except msgspec.MsgspecError:
        return {}
