"""A plan as JSON, in the format of `schemas/plan.schema.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from contentops.digest import canonical
from contentops.model import AnyChange, AnyPlan, Change, Json, MonthSpend, Note, Outcome, Run
from contentops.model.plan import change_json
from contentops.model.plan_file import CHECKSUM, FORMAT_VERSION
from contentops.model.settings import as_decimal
from contentops.reporting.diagnostics import diagnostic_json
from contentops.reporting.summary import plan_counts, shared_causes
from contentops.sanitize import json_text
from contentops.tokens import exact_money


def plan_pieces(plan: AnyPlan, *, inputs: Mapping[str, Json] | None = None) -> Iterator[str]:
    """Yield the sealed plan as JSON text, change by change, so that no second copy of all is in memory.

    The same plan always gives the same text. `inputs` are the options that a later apply needs: variables, selection,
    flags.
    """
    document = _without_changes(plan, inputs)
    above, below = (canonical({key: document[key] for key in document if wanted(key)}) for wanted in _AROUND)
    digest = hashlib.sha256(f'{above[:-1]},"changes":['.encode())
    head, _, tail = json_text(document).partition('\n  "changes": []')
    yield f'{head}\n  "changes": ['
    changes: Sequence[AnyChange] = plan.changes
    for number, change in enumerate(changes):
        written, comma = change_json(change), "," if number else ""
        digest.update(f"{comma}{canonical(written)}".encode())
        yield f"{comma}\n    " + json_text(written).replace("\n", "\n    ")
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
        "budget": plan.budget.as_json(),
        "lineage": plan.lineage,
        "inputs": plain(inputs or {}),
        **({"approves": plain(plan.approves)} if plan.approves else {}),
        **({"spent": month_json(plan.spent)} if plan.spent is not None else {}),
        "summary": summary_json(plan),
        "changes": [],
        "causes": [
            {
                "cause": one.title,
                "items": len(one.changes),
                "credits": one.credits,
                **({"money_at_most": exact_money(one.money)} if one.money else {}),
            }
            for one in shared_causes(plan)
        ],
        "notes": [_note_json(note) for note in plan.notes],
        "refusals": plain(plan.refusals),
        "diagnostics": [diagnostic_json(finding) for finding in plan.findings],
    }


def _note_json(note: Note) -> dict[str, Json]:
    price = {"items": list(note.items), "credits": note.credits} if note.items or note.credits else {}
    return {"kind": note.kind, "id": note.id, "message": note.message, "hint": note.hint, **price}


def summary_json(plan: AnyPlan) -> dict[str, Json]:
    """Return counts and price of a plan as JSON, and whether it has changes at all."""
    return {
        "changes": not plan.empty,
        "credits": plan.credits,
        "credits_worst": plan.credits_worst,
        **at_most_json(plan),
        **({"money_at_most": exact_money(plan.money)} if plan.money else {}),
        **({"money_worst": exact_money(plan.money_worst)} if plan.money_worst else {}),
        "submits": plan.submits,
        "unchanged": plan.unchanged,
        **({"approvals": {each.value: number for each, number in plan.approvals.items()}} if plan.approvals else {}),
        **({"not_promoted": plan.not_promoted} if plan.not_promoted else {}),
        "refused": bool(plan.refusals),
        "actions": {action.value: number for action, number in plan_counts(plan).items()},
    }


def month_json(spent: MonthSpend) -> dict[str, Json]:
    """Return a month's spending as JSON."""
    money = {name: as_decimal(amount) for name, amount in sorted(spent.money.items())}
    unsure = {name: as_decimal(amount) for name, amount in sorted(spent.money_unsure.items())}
    return {
        "month": spent.month,
        "credits": spent.credits,
        **({"credits_unsure": spent.credits_unsure} if spent.credits_unsure else {}),
        **({"money": money} if money else {}),
        **({"money_unsure": unsure} if unsure else {}),
        "ahead": spent.ahead,
        "gaps": list(spent.gaps),
    }


def at_most_json(priced: AnyPlan | Change | Outcome | Run) -> dict[str, Json]:
    """Return `credits_at_most` if the `credits` are an upper bound; otherwise nothing."""
    return {"credits_at_most": True} if priced.credits_at_most else {}


def plain(value: Json) -> Json:
    """Return structs (by their field names), enumerations, mappings and tuples as JSON values."""
    if isinstance(value, Struct):
        # The lines of a lock name some fields otherwise, and leave some out.
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
