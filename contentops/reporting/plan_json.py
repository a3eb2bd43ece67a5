"""Writes a plan as JSON, in the format of `schemas/plan.schema.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct, convert, to_builtins

from contentops.digest import canonical
from contentops.model import AnyChange, AnyPlan, Json, MonthSpend, Note
from contentops.model.plan import change_json
from contentops.model.plan_file import CHECKSUM, FORMAT_VERSION, Cause, PlanSummary
from contentops.reporting.summary import plan_counts, shared_causes
from contentops.sanitize import json_text
from contentops.tokens import exact_money


def plan_pieces(plan: AnyPlan, *, inputs: Mapping[str, Json] | None = None) -> Iterator[str]:
    """Yield the plan file as JSON text, one change at a time to save memory.

    The same plan always gives the same text. `inputs` are the options that a later apply needs: variables, selection
    and flags.
    """
    document = _without_changes(plan, inputs)
    above, below = (canonical({key: document[key] for key in document if wanted(key)}) for wanted in _AROUND)
    digest = hashlib.sha256(f'{above[:-1]},"changes":['.encode())
    head, _, tail = json_text(document).partition('\n  "changes": []')
    yield f'{head}\n  "changes": ['
    changes: Sequence[AnyChange] = plan.changes
    for number, change in enumerate(changes):
        found, comma = change_json(change), "," if number else ""
        digest.update(f"{comma}{canonical(found)}".encode())
        yield f"{comma}\n    " + json_text(found).replace("\n", "\n    ")
    digest.update(f"],{below[1:]}".encode())
    end = ("\n  ]" if plan.changes else "]") + tail.removesuffix("\n}")
    yield f'{end},\n  "{CHECKSUM}": "sha256:{digest.hexdigest()}"\n}}'


_AROUND: Final[tuple[Callable[[str], bool], ...]] = (lambda key: key < "changes", lambda key: key > "changes")
"""Whether a key comes before or after `changes` in the canonical JSON that the checksum covers."""


def _without_changes(plan: AnyPlan, inputs: Mapping[str, Json] | None) -> dict[str, Json]:
    return {
        "format_version": FORMAT_VERSION,
        "id": plan.id,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        **({"writer": plain(plan.writer)} if plan.writer is not None else {}),
        "budget": written(plan.budget),
        "lineage": plan.lineage,
        "inputs": plain(inputs or {}),
        **({"approves": plain(plan.approves)} if plan.approves else {}),
        **({"spent": month_json(plan.spent)} if plan.spent is not None else {}),
        "summary": written(summary_of(plan)),
        "changes": [],
        "causes": [
            written(
                Cause(cause=one.title, items=len(one.changes), credits=one.credits, exact_money=exact_money(one.money))
            )
            for one in shared_causes(plan)
        ],
        "notes": [_note_json(note) for note in plan.notes],
        "refusals": plain(plan.refusals),
        "diagnostics": plain(plan.findings),
    }


def _note_json(note: Note) -> dict[str, Json]:
    hidden = () if note.items or note.credits else ("items", "credits")
    return {key: each for key, each in plain(note).items() if key not in hidden}


def summary_of(plan: AnyPlan) -> PlanSummary:
    """Return the number of changes, the price and the other sums of a plan."""
    return PlanSummary(
        has_changes=not plan.empty,
        credits=plan.credits,
        credits_worst=plan.credits_worst,
        credits_at_most=plan.credits_at_most,
        exact_money=exact_money(plan.money),
        exact_money_worst=exact_money(plan.money_worst),
        submits=plan.submits,
        unchanged=plan.unchanged,
        approvals=plan.approvals,
        not_promoted=plan.not_promoted,
        refused=bool(plan.refusals),
        actions=plan_counts(plan),
    )


def month_json(spent: MonthSpend) -> dict[str, Json]:
    """Return a month's spending as JSON."""
    return written(convert(spent, MonthSpend, from_attributes=True))


def written(part: Struct) -> dict[str, Json]:
    """Return a struct as JSON, with the keys of the schema. Values that the struct omits are left out."""
    found: dict[str, Json] = plain(to_builtins(part))
    return found


def plain(value: Json) -> Json:
    """Convert structs, enumerations, mappings and tuples to plain JSON values."""
    if isinstance(value, Struct):
        # The lines of a lock name some fields otherwise, and leave some out.
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
