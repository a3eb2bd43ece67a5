"""Compare the files of each group of `checks.similar`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from contentops.errors import OutputError, plural
from contentops.model import Finding, ItemId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.model import Spec
    from contentops.planning.groups import GroupKey
    from contentops.planning.plan_inputs import PlanInputs

_HINT = "write what is true of this one alone; the values of its row are masked before texts are compared"


def similar_texts(inputs: PlanInputs, specs: Iterable[Spec]) -> Mapping[ItemId, Finding]:
    """Return what `checks.similar` finds in the files of some items, each compared with its whole group."""
    from contentops.planning.groups import group_of

    asked: defaultdict[GroupKey, list[Spec]] = defaultdict(list)
    for spec in specs:
        if (key := group_of(spec)) is not None:
            asked[key].append(spec)
    return {id_: finding for key, group in asked.items() for id_, finding in _compare(inputs, key, group)}


def _compare(inputs: PlanInputs, key: GroupKey, asked: Sequence[Spec]) -> Iterable[tuple[ItemId, Finding]]:
    from contentops.documents.similar import masked, runs_of, similar_pairs, words_in
    from contentops.planning.groups import is_member

    members = [spec for spec in inputs.desired.specs if is_member(spec, key)]
    bodies = ((spec, _body(inputs, spec)) for spec in members)
    texts = {str(spec.id): runs_of(masked(words_in(body), spec.names)) for spec, body in bodies if body is not None}
    limits = {spec.id: spec.checks.similar for spec in asked if spec.checks.similar is not None}
    others: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for one, other, share in similar_pairs(texts, min(limit.at_most for limit in limits.values())):
        others[one].append((share, other))
        others[other].append((share, one))
    for id_, limit in limits.items():
        above = [(share, other) for share, other in others[id_] if share > limit.at_most]
        if above:
            share, nearest = min(above, key=lambda each: (-each[0], each[1]))
            more = f" and {plural(len(above) - 1, 'more text')}" if len(above) > 1 else ""
            # Rounded down, so that what is not the same is never shown as 1.
            message = f"is too similar to `{nearest}`{more}: {int(share * 100) / 100:.2f}, at most {limit.at_most:g}"
            yield id_, Finding(check="similar", level=limit.level, message=message, hint=_HINT)


def _body(inputs: PlanInputs, spec: Spec) -> str | None:
    """Return the body of an item's file as it is now; None: there is none, or it cannot be read."""
    record = inputs.state.records.get(spec.id)
    path = record.output if record is not None else spec.output
    file = inputs.observe(path)
    if not file.exists or file.problem:
        return None
    try:
        return inputs.read(path)
    except OutputError:
        return None
