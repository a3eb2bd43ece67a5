"""Items that declare the same request, and notes on requests that differ in names alone."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Fetch, Note
from contentops.model.cost import cost_words
from contentops.planning.decide import block_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.digest import Digest
    from contentops.model import Change, ItemId, Json, Spec
    from contentops.planning.groups import GroupKey
    from contentops.planning.plan_inputs import PlanInputs

KIND = "same-request"
ONE_BRIEF = "one-brief"
_GROUPS = 20
"""The most requests that have a note of their own."""
_ITEMS = 20
"""The most items that a note lists."""
_NAMED = 3
"""The most items that its sentence names."""


def block_same_requests(inputs: PlanInputs, changes: Sequence[Change]) -> list[Change]:
    """The changes; those are blocked that would pay for one request of several items.

    Equal manifests are an error before; these turned out equal when the texts that they are made from were there.
    """
    asking = {change.id: change.spec.digest for change in changes if change.spec and takes_text(inputs, change)}
    wanted = {*asking.values()}
    items: defaultdict[Digest, list[ItemId]] = defaultdict(list)
    for spec in inputs.desired.specs:
        if spec.digest in wanted and spec.request.template:
            items[spec.digest].append(spec.id)
    same = {id_: ids for ids in items.values() if len(ids) > 1 for id_ in ids if id_ in asking}
    return [block_same(change, same[change.id]) if change.id in same else change for change in changes]


def takes_text(inputs: PlanInputs, change: Change) -> bool:
    """Whether a change pays for a whole text, or takes the one that another declared item paid for."""
    if change.submit is not None:
        return not change.submit.section
    jobs = (change.entry, *(step.entry for step in change.steps if isinstance(step, Fetch)))
    others = (job for job in jobs if job is not None and not job.section and job.item != change.id)
    return any(job.item in inputs.specs for job in others)


def block_same(change: Change, ids: Sequence[ItemId]) -> Change:
    """A change that is blocked, as these items request one text."""
    return block_change(change, KIND, f"{_names(ids)} request exactly the same text: {_HINT}")


def _ordered(groups: Iterable[tuple[list[ItemId], list[Change]]]) -> list[tuple[list[ItemId], list[Change]]]:
    """Items with one request and the changes that pay for some of them, the most expensive first."""
    return sorted(groups, key=lambda each: (-_credits(each[1]), -len(each[1]), each[0]))


_HINT = "give one of them `revision: 2`, change their `inputs`, or declare one item"


def _names(ids: Sequence[ItemId]) -> str:
    shown = [f"`{id_}`" for id_ in ids[:_NAMED]]
    if len(ids) > _NAMED:
        shown[-1:] = [f"{len(ids) - _NAMED + 1:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _costs(changes: Sequence[Change]) -> bool:
    return any(change.credits or change.money or change.has_no_price for change in changes)


def _credits(changes: Sequence[Change]) -> int:
    return sum(change.credits for change in changes)


def _payments(changes: Sequence[Change]) -> str:
    return f"{plural(len(changes), 'generation')}, {cost_words(changes) if _costs(changes) else 'free'}"


# --- requests that differ in names alone -------------------------------------------------------------------------

DIFFERENT = 25
"""Words of its row that make a request another brief than those of the other rows."""


def same_briefs(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Note]:
    """A note for the items of each group of `checks.similar` whose requests are the same but for values of their rows.

    They are known before anything is paid for; the check itself compares the texts.
    """
    paying = {
        change.id: change
        for change in changes
        if change.submit is not None and not change.submit.section and _row(change.spec)
    }
    if not paying:
        return
    from contentops.planning.groups import group_of

    keys = {group_of(change.spec) for change in paying.values() if change.spec is not None}
    briefs: defaultdict[tuple[GroupKey | None, bytes], list[Spec]] = defaultdict(list)
    for spec in inputs.desired.specs:
        if _row(spec) and (key := group_of(spec)) in keys and (brief := _brief(spec)):
            briefs[key, brief].append(spec)
    alike = [specs for specs in briefs.values() if len({spec.digest for spec in specs}) > 1]
    places = {spec.id: spec.location for specs in alike for spec in specs}
    groups = _ordered(
        (ids, payments)
        for ids in ([spec.id for spec in specs] for specs in alike)
        if (payments := [paying[id_] for id_ in ids if id_ in paying])
    )
    for ids, group in groups[:_GROUPS]:
        place = places[ids[0]]
        at = f" ({place.file}:{place.line})" if place is not None else ""
        message = f"{_names(ids)} have one brief, and differ only in values of their rows{at}: {_payments(group)}"
        yield Note(kind=ONE_BRIEF, message=message, hint=_ADD, items=tuple(ids[:_ITEMS]), credits=_credits(group))
    if rest := groups[_GROUPS:]:
        others = [change for _, group in rest for change in group]
        message = f"{plural(len(rest), 'more brief')} of several rows each: {_payments(others)}"
        yield Note(kind=ONE_BRIEF, message=message, hint=_ADD, credits=_credits(others))


_ADD = "add what is different about each, such as a column of facts that `inputs` use"


def _row(spec: Spec | None) -> bool:
    return spec is not None and spec.checks.similar is not None and bool(spec.names)


def _brief(spec: Spec) -> bytes:
    """The words of a request without values of its row; empty where those say much about it."""
    from contentops.documents.similar import masked, words_in

    words = words_in("\n".join(_texts(spec.request.as_json())))
    brief = masked(words, spec.names)
    return b"" if len(set(words) - set(brief)) > DIFFERENT else b" ".join(brief)


def _texts(value: Json) -> Iterator[str]:
    """Every text of a request, keys included, in an order that is the same for equal requests."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield key
            yield from _texts(value[key])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)
