"""The message of a commit of results."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from contentops.model import JobState, OpenEntry, Record, State
from contentops.model.jobs import open_jobs
from contentops.reporting.commit_message import commit_message, summarize
from tests.plans import make_entry, make_record


def _state(records: dict[Any, Record], *jobs: OpenEntry) -> State:
    return State(lineage="l", records=records, entries=open_jobs(jobs), jobs=jobs)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"a": {}}, {"created": ("a",)}),
        ({"a": {}}, {}, {"removed": ("a",)}),
        ({"a": {}}, {"a": {"request_id": "r2"}}, {"rewritten": ("a",)}),
        ({"a": {}}, {"a": {"output": "b.md"}}, {"moved": ("a",)}),
        ({"a": {}}, {"b": {"output": "out/a.md"}}, {"moved": ("b",)}),
        ({"a": {}}, {"a": {"content_id": "c"}}, {"saved": ("a",)}),
        ({"a": {}}, {"a": {"metadata": {"x": 1}}}, {"updated": ("a",)}),
        ({"a": {}}, {"a": {}}, {}),
    ],
    ids=["created", "removed", "rewritten", "moved", "renamed", "saved", "updated", "same"],
)
def test_what_was_made(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], expected: dict[str, tuple[str, ...]]
) -> None:
    """Each record is counted once, as what happened to it."""

    def records(stated: dict[str, dict[str, Any]]) -> dict[Any, Record]:
        return {name: make_record(name, **fields) for name, fields in stated.items()}

    assert summarize(_state(records(before)), _state(records(after))).items == expected


def test_credits_count_once() -> None:
    """A job that was committed while it ran is not paid again when its text comes."""
    entry = make_entry(credits=4)
    running = _state({}, entry)
    settled = structs.replace(entry, state=JobState.SETTLED)
    done = _state({"guide": make_record(request_id=entry.request_id)}, settled)
    assert summarize(_state({}), running).credits == 4
    assert summarize(running, done).credits == 0
    assert summarize(_state({}), done).credits == 4


def test_a_long_message_is_cut() -> None:
    """Fifty ids, then how many more; a hostile id stays on its line and starts or stops no workflow."""
    names = ("a\n[skip ci] @all", *(f"item-{number:03}" for number in range(60)))
    jobs = [make_entry(request_id=f"r{number}", credits=number * 244) for number in range(2)]
    after = _state(dict.fromkeys(names, make_record()), *jobs)
    text = commit_message(_state({}), after, environment="", run="", skip=False)
    assert text.startswith("content: 61 created, 2 open (244 credits)\n\n+ a\\n(skip ci] @all\n")
    assert text.endswith("and 11 more\n")
    assert len(text.splitlines()) == 53
