"""A plan as a program reads it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import jsonschema
import pytest

from contentops.errors import Diagnostic, Location, Severity
from contentops.model import Action, ItemId, Note, Plan, Reason, Refusal, Saved
from contentops.model.plan_file import record_digest
from contentops.reporting.plan_json import plan_pieces
from contentops.sanitize import json_text
from contentops.schema_files import load_schema
from tests.plans import a_digest, make_change, make_entry, make_plan, make_record, make_spec, plan_document, sealed


def strict(schema: Any) -> Any:
    """The schema, but with no room for keys it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(each) for key, each in schema.items()}
    if "required" in schema:
        found["additionalProperties"] = False
    return found


FULL = make_plan(
    make_change("guide"),
    make_change(
        "old",
        Action.UPDATE,
        steps=("look up", "update"),
        record=make_record("old", saved=Saved(title=a_digest("a"))),
        entry=make_entry(),
        drains=(make_entry(job_id="j"),),
        reasons=(
            Reason(kind="changed", field="inputs.a", before=MappingProxyType({"x": (1,)}), after=None, cause="c"),
            Reason(kind="changed", field="inputs.b", before=1, after=2, cause="c"),
        ),
        front=MappingProxyType({"tags": ["a"], "date": None}),
        title="A title",
        file=a_digest("b"),
        source="out/was.md",
        renamed_from=ItemId("older"),
        hint="h",
    ),
    make_change("other", Action.BLOCKED, blocked="edited", reasons=(Reason(kind="k", cause="c"),)),
    environment="staging",
    unchanged=3,
    notes=(Note(kind="orphan", message="m", id=ItemId("x")), Note(kind="n", message="m")),
    refusals=(Refusal(guard="g", message="m", flag="--f"),),
    findings=(Diagnostic(code="c", message="m", severity=Severity.WARNING, location=Location("a.yaml", 1, 2)),),
)


def test_the_summary_answers_without_exit_codes() -> None:
    """Whether there are changes, how many of each, and what they cost."""
    assert plan_document(FULL)["summary"] == {
        "changes": True,
        "credits": 4,
        "credits_worst": 4,
        "submits": 1,
        "unchanged": 3,
        "refused": True,
        "actions": {"create": 1, "update": 1, "blocked": 1},
    }
    assert plan_document(make_plan())["summary"]["changes"] is False


def test_a_change_is_told_in_full() -> None:
    """Digests of request, record and file are there, so that a later apply can compare."""
    change = FULL.changes[1]
    assert change.record is not None
    found = plan_document(FULL)["changes"][1]
    assert found["record"] == record_digest(change.record)
    assert found["file"] == a_digest("b")
    assert found["digest"] == make_spec("old").digest
    assert found["steps"] == ["drain", "look up", "update"]
    assert found["front"] == {"tags": ["a"], "date": None}
    assert found["reasons"][0]["before"] == {"x": [1]}
    assert found["drains"][0]["job_id"] == "j"
    assert plan_document(FULL)["changes"][0]["digest"] == FULL.changes[0].spec.digest  # type: ignore[union-attr]


@pytest.mark.parametrize("plan", [FULL, make_plan()], ids=["full", "empty"])
def test_the_plan_in_pieces_is_the_sealed_plan(plan: Plan) -> None:
    """Written change by change, it is the same text every time, and fits its schema: each key is described."""
    inputs = {"variables": ["changes=[]"], "select": ['"changes": []\n  "changes": []']}
    pieces = list(plan_pieces(plan, inputs=inputs))
    document = sealed(plan_document(plan, inputs=inputs))
    assert "".join(pieces) == "".join(plan_pieces(plan, inputs=inputs)) == json_text(document)
    jsonschema.validate(document, strict(load_schema("plan")))
    assert len(pieces) == 2 + len(plan.changes)
