"""A run, and what happens in one, as JSON: `schemas/report.schema.json` and `schemas/event.schema.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import Result
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.exit import exit_code_of, exit_code_without_run
from contentops.reporting.plan_json import plain, summary_json

if TYPE_CHECKING:
    from contentops.model import Event, Json, Outcome, Plan, Run


def run_json(run: Run | None, plan: Plan) -> dict[str, Json]:
    """What an apply did with its plan; `run` is null where nothing was done."""
    return {
        "format_version": FORMAT_VERSION,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        "plan": {"id": plan.id, "summary": summary_json(plan)},
        "exit_code": int(exit_code_without_run(plan) if run is None else exit_code_of(run)),
        "run": None if run is None else _run(run),
    }


def event_json(event: Event) -> dict[str, Json]:
    """One line of `--events`."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": event.kind,
        "at": event.at,
        "item": event.item,
        "step": event.step,
        "data": plain(event.data),
    }


def _run(run: Run) -> dict[str, Json]:
    return {
        "id": run.id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "requests": run.requests,
        "credits": run.credits,
        "counts": {result.value: run.count(result) for result in Result},
        "stopped": run.stopped,
        "message": run.message,
        "hint": run.hint,
        "outcomes": [_outcome(outcome) for outcome in run.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, Json]:
    return {
        "id": outcome.id,
        "action": outcome.action.value,
        "result": outcome.result.value,
        "steps": list(outcome.steps),
        "credits": outcome.credits,
        "output": outcome.output,
        "error": outcome.error,
        "hint": outcome.hint,
    }
