"""Items that ask for the very same text: each of them is paid for, though one brief was meant."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.digest import Digest
    from contentops.model import Change, ItemId
    from contentops.planning.inputs import PlanInputs

KIND = "same-request"
_GROUPS = 20
"""Requests that have a note of their own, the most expensive ones."""
_ITEMS = 20
"""Items that a note lists."""
_NAMED = 3
"""Items that its sentence names."""


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
    found = [(ids, paying[digest]) for digest, ids in items.items() if len(ids) > 1]
    found.sort(key=lambda each: (-sum(change.credits for change in each[1]), -len(each[1]), each[0]))
    for ids, group in found[:_GROUPS]:
        credits_ = sum(change.credits for change in group)
        message = f"{_names(ids)} ask for the very same text: {_payments(len(group), credits_)}"
        yield Note(kind=KIND, message=message, hint=_HINT, items=tuple(ids[:_ITEMS]), credits=credits_)
    if rest := found[_GROUPS:]:
        credits_ = sum(change.credits for _, group in rest for change in group)
        number = sum(len(group) for _, group in rest)
        message = f"{plural(len(rest), 'more request')} of several items each: {_payments(number, credits_)}"
        yield Note(kind=KIND, message=message, hint=_HINT, credits=credits_)


_HINT = "let their `inputs` differ, or declare it once; different `revision`s say that several texts are meant"


def _names(ids: Sequence[ItemId]) -> str:
    shown = [f"`{id_}`" for id_ in ids[:_NAMED]]
    if len(ids) > _NAMED:
        shown[-1:] = [f"{len(ids) - _NAMED + 1:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _payments(number: int, credits_: int) -> str:
    return f"{plural(number, 'generation')}, {plural(credits_, 'credit') if credits_ else 'free'}"
