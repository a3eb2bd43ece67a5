"""A plan as JSON: the format of `schemas/plan.schema.json`, for programs, pull requests and plan files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING
from contentops.model.planfile import record_digest
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.diagnostics import diagnostic_json
from contentops.reporting.summary import plan_counts, shared_causes

if TYPE_CHECKING:
    from contentops.model import Change, Json, OpenEntry, Plan


def plan_json(plan: Plan, *, inputs: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """The whole plan; the same plan always gives the same document.

    `inputs` is what the command line chose (variables, selection, flags), where it matters for a later apply.
    """
    return {
        "format_version": FORMAT_VERSION,
        "id": plan.id,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        "lineage": plan.lineage,
        "inputs": plain(inputs or {}),
        "summary": summary_json(plan),
        "changes": [_change(change) for change in plan.changes],
        "causes": plain(shared_causes(plan)),
        "notes": [
            {"kind": note.kind, "id": note.id, "message": note.message, "hint": note.hint} for note in plan.notes
        ],
        "refusals": plain(plan.refusals),
        "diagnostics": [diagnostic_json(finding) for finding in plan.findings],
    }


def summary_json(plan: Plan) -> dict[str, Json]:
    """Counts and price of a plan, and whether it has changes at all."""
    return {
        "changes": not plan.empty,
        "credits": plan.credits,
        "submits": plan.submits,
        "unchanged": plan.unchanged,
        "refused": bool(plan.refusals),
        "actions": {action.value: number for action, number in plan_counts(plan).items()},
    }


def _change(change: Change) -> dict[str, Json]:
    return {
        "id": change.id,
        "action": change.action.value,
        "steps": list(change.names),
        "credits": change.credits,
        "submits": change.submits,
        "attempt": change.attempt,
        "reasons": plain(change.reasons),
        "target": change.target,
        "source": change.source,
        "renamed_from": change.renamed_from,
        "digest": NOTHING if change.spec is None else change.spec.digest,
        "record": record_digest(change.record),
        "file": change.file.file,
        "body": change.file.body,
        "front": plain(change.front),
        "title": change.title,
        "entry": None if change.entry is None else _entry(change.entry),
        "drains": [_entry(entry) for entry in change.drains],
        "blocked": change.blocked,
        "hint": change.hint,
    }


def _entry(entry: OpenEntry) -> dict[str, Json]:
    return {
        "request_id": entry.request_id,
        "job_id": entry.job_id,
        "state": entry.state.value,
        "digest": entry.digest,
        "error": entry.error,
    }


def plain(value: Json) -> Json:
    """Types of ours, read-only maps and tuples as what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return value
