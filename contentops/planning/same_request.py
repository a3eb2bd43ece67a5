"""Notes on items that declare the same request, each of which is paid for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Note
from contentops.model.cost import cost_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.digest import Digest
    from contentops.model import Change, ItemId
    from contentops.planning.plan_inputs import PlanInputs

KIND = "same-request"
_GROUPS = 20
"""The most requests that have a note of their own."""
_ITEMS = 20
"""The most items that a note lists."""
_NAMED = 3
"""The most items that its sentence names."""


def same_requests(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Note]:
    """A note for each request that several items declare and that `changes` pay for, the most expensive first."""
    paying: defaultdict[Digest, list[Change]] = defaultdict(list)
    for change in changes:
        if change.submit is not None and not change.submit.section:
            paying[change.submit.digest].append(change)
    if not paying:
        return
    items: defaultdict[Digest, list[ItemId]] = defaultdict(list)
    for spec in inputs.desired.specs:
        if spec.digest in paying:
            items[spec.digest].append(spec.id)
    groups = [(ids, paying[digest]) for digest, ids in items.items() if len(ids) > 1]
    groups.sort(key=lambda each: (-_credits(each[1]), -len(each[1]), each[0]))
    for ids, group in groups[:_GROUPS]:
        message = f"{_names(ids)} request exactly the same text: {_payments(group)}"
        yield Note(kind=KIND, message=message, hint=_HINT, items=tuple(ids[:_ITEMS]), credits=_credits(group))
    if rest := groups[_GROUPS:]:
        others = [change for _, group in rest for change in group]
        message = f"{plural(len(rest), 'more request')} of several items each: {_payments(others)}"
        yield Note(kind=KIND, message=message, hint=_HINT, credits=_credits(others))


_HINT = "change their `inputs`, or declare one item; if you want several texts, give each a different `revision`"


def _names(ids: Sequence[ItemId]) -> str:
    shown = [f"`{id_}`" for id_ in ids[:_NAMED]]
    if len(ids) > _NAMED:
        shown[-1:] = [f"{len(ids) - _NAMED + 1:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _credits(changes: Sequence[Change]) -> int:
    return sum(change.credits for change in changes)


def _payments(changes: Sequence[Change]) -> str:
    return f"{plural(len(changes), 'generation')}, {cost_words(changes) if _credits(changes) else 'free'}"
