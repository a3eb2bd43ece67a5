"""Builders for plans, changes and runs: every field has a plain default, a test states what it is about."""

from __future__ import annotations

from typing import Any

from contentops.digest import NOTHING, Digest
from contentops.model import (
    Action,
    Change,
    Event,
    ItemId,
    JobState,
    OpenEntry,
    Outcome,
    Plan,
    Reason,
    Record,
    Request,
    RequestId,
    Result,
    Run,
    Spec,
    Step,
)

GENERATE = (Step.SUBMIT, Step.POLL, Step.WRITE, Step.SAVE)
NEW = (Reason(kind="new"),)


def make_spec(name: str = "guide", **fields: Any) -> Spec:
    """A spec of one input."""
    request = Request(template="blog_article_generator", style="general_blog", inputs={"topic": name})
    stated: dict[str, Any] = {
        "id": ItemId(name),
        "request": request,
        "digest": request.digest,
        "output": f"out/{name}.md",
    }
    return Spec(**stated | fields)


def make_record(name: str = "guide", **fields: Any) -> Record:
    """The record of `make_spec`."""
    spec = make_spec(name)
    stated: dict[str, Any] = {
        "id": spec.id,
        "digest": spec.digest,
        "request": spec.request.as_json(),
        "server": "local",
        "dialect": "v1",
        "output": spec.output,
    }
    return Record(**stated | fields)


def make_entry(**fields: Any) -> OpenEntry:
    """A running job."""
    stated: dict[str, Any] = {
        "request_id": RequestId("request-1"),
        "item": ItemId("guide"),
        "digest": make_spec().digest,
        "attempt": 1,
        "state": JobState.RUNNING,
        "server": "local",
        "dialect": "v1",
        "credits": 4,
    }
    return OpenEntry(**stated | fields)


def make_change(name: str = "guide", action: Action = Action.CREATE, **fields: Any) -> Change:
    """A change; a create of four credits unless stated."""
    stated: dict[str, Any] = {"id": ItemId(name), "action": action, "target": f"out/{name}.md"}
    if action is Action.CREATE:
        stated |= {"steps": GENERATE, "reasons": NEW, "credits": 4, "spec": make_spec(name)}
    return Change(**stated | fields)


def make_plan(*changes: Change, **fields: Any) -> Plan:
    """A plan of these changes."""
    stated: dict[str, Any] = {
        "project": "acme-blog",
        "environment": "",
        "server": "local",
        "lineage": "l-1",
        "id": "p-1",
    }
    return Plan(changes=changes, **stated | fields)


def make_outcome(name: str = "guide", result: Result = Result.DONE, **fields: Any) -> Outcome:
    """The end of a create."""
    stated: dict[str, Any] = {"id": ItemId(name), "action": Action.CREATE, "result": result}
    return Outcome(**stated | fields)


def make_run(*outcomes: Outcome, **fields: Any) -> Run:
    """A run of 63 seconds."""
    stated: dict[str, Any] = {
        "id": "r-1",
        "plan_id": "p-1",
        "environment": "",
        "server": "local",
        "started_at": "2026-03-01T10:00:00+00:00",
        "ended_at": "2026-03-01T10:01:03+00:00",
        "requests": 12,
    }
    return Run(outcomes=outcomes, **stated | fields)


def make_event(kind: str, item: str = "", step: str = "", second: int = 0, **data: Any) -> Event:
    """An event, `second` seconds into the run."""
    minutes, seconds = divmod(second, 60)
    return Event(kind=kind, at=f"2026-03-01T10:{minutes:02}:{seconds:02}+00:00", item=item, step=step, data=data)


def a_digest(letter: str) -> Digest:
    """A digest of one repeated digit."""
    return Digest(f"sha256:{letter * 64}") if letter else NOTHING
