"""An item that is found up to date before the four questions is one of which they find nothing to do or to say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import NOTHING, digest_text
from contentops.documents.clean import body_digest
from contentops.model import (
    ApiSettings,
    Approval,
    ApprovalRule,
    Approvals,
    Desired,
    Disclosure,
    ItemId,
    JobState,
    Observed,
    OnEdit,
    Saved,
    Spec,
    State,
    Verdict,
    text_digest,
)
from contentops.planning.approval import GENERATED, computed_front
from contentops.planning.decide import answers
from contentops.planning.plan_inputs import Choice, ItemSides, PlanInputs
from contentops.planning.up_to_date import is_up_to_date
from tests.fakes.sides import PROJECT, TEXT, a_record, a_spec, an_entry

HOW = {"ai_disclosure": "ai-autonomous", "digital_source_type": GENERATED}
METADATA = st.sampled_from(
    [
        *({}, {"tags": ["a"]}, {"tags": ["b"]}, {"order": 1}, {"order": True}, {"title": "T"}),
        *({"draft": True}, {"published": False}, HOW, {"draft": True, **HOW}, {**HOW, "ai_disclosure": "ai-assisted"}),
    ]
)
RULES = st.sampled_from([ApprovalRule(required=True), ApprovalRule(required=True, count=2, by_author=False)])
VERDICTS = st.lists(
    st.builds(
        Approval,
        item=st.just(ItemId("a")),
        text=st.sampled_from([text_digest("T", body_digest(TEXT)), text_digest("T", digest_text("other"))]),
        verdict=st.sampled_from(Verdict),
        by=st.sampled_from(["Ann <a@example.com>", "Ben <b@example.com>"]),
        at=st.just("2026-03-01T10:00:00Z"),
        author=st.booleans(),
    ),
    max_size=2,
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": METADATA,
        "protected": st.booleans(),
        "approval": RULES,
        "save": st.booleans(),
        "on_edit": st.sampled_from(OnEdit),
        "output": st.just("out/elsewhere.md"),
        "topic": st.just("other"),
    },
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": METADATA,
        "protected": st.booleans(),
        "server": st.sampled_from(["local", "https://other.test:443"]),
        "generated": st.sampled_from([NOTHING, digest_text("other")]),
        "promoted": st.just(body_digest(TEXT)),
        "title": st.just("Another"),
        "addresses": st.just(("/old/",)),
        "moved_from": st.just("b"),
        "saved": st.sampled_from([None, Saved(), Saved(body=body_digest(TEXT)), Saved(body=digest_text("other"))]),
        "generated_at": st.just("2026-01-01T00:00:00Z"),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.just("out/there.md"),
        "file": st.just(NOTHING),
        "body": st.sampled_from([NOTHING, digest_text("other")]),
        "title": st.sampled_from(["", "Another"]),
        "front": METADATA,
        "owner": st.sampled_from(["a", "b"]),
        "provenance": st.sampled_from([{"job": "job_1"}, {"job": "job_2"}, {"generated_at": "2026-01-01T00:00:00Z"}]),
        "problem": st.just("it cannot be read"),
    },
)
PROJECTS = st.fixed_dictionaries(
    {},
    optional={
        "api": st.just(structs.replace(PROJECT.api, save="off")) | st.just(ApiSettings(base_url="local")),
        "preset": st.sampled_from(["hugo", "jekyll"]),
        "provenance": st.just(False),
        "disclosure": st.just(Disclosure()),
    },
)
ASKED: list[dict[str, Any]] = [{"replace": ("a",)}, {"sections": {"a": "H"}}]
CHOICES = st.fixed_dictionaries({}, optional={"on_edit": st.sampled_from(OnEdit), "prune": st.just(True)})


def _item(
    spec: dict[str, Any],
    record: dict[str, Any] | None,
    file: dict[str, Any],
    project: dict[str, Any],
    choice: dict[str, Any],
    entries: list[JobState],
    verdicts: list[Approval],
) -> ItemSides:
    before = a_spec(metadata=spec.get("metadata", {}))
    declared: Spec = a_spec(**spec)
    known = None if record is None else structs.replace(a_record(before), **record)
    there = {
        "path": before.output,
        "file": digest_text("file"),
        "title": "T",
        "body": body_digest(TEXT),
        "front": {} if known is None else known.metadata,
        "provenance": {"job": "job_1"},
    }
    observed = Observed(**{**there, **file})
    opened = tuple(an_entry(declared, state) for state in entries)
    inputs = PlanInputs(
        project=structs.replace(PROJECT, **project),
        desired=Desired(specs=(declared,)),
        state=State(
            lineage="x",
            records={} if known is None else {known.id: known},
            entries={entry.request_id: entry for entry in opened},
        ),
        observed={observed.path: observed},
        choice=Choice(**choice),
        approvals=Approvals(lines=tuple(verdicts)),
    )
    return ItemSides(inputs=inputs, spec=declared, record=known, file=observed, entries=opened)


@given(
    spec=SPECS,
    record=st.none() | RECORDS,
    file=FILES,
    project=PROJECTS,
    choice=CHOICES,
    entries=st.just([]) | st.lists(st.sampled_from(JobState), max_size=1),
    verdicts=VERDICTS,
)
def test_what_is_up_to_date_is_what_the_questions_find_nothing_for(**sides: Any) -> None:
    """Whatever differs, and in which way: where nothing does, nothing is done."""
    item = _item(**sides)
    if is_up_to_date(item):
        assert answers(item) == (None, ())


def test_the_usual_item_is_up_to_date() -> None:
    """One that was made, saved, and left alone; any other side, or wish, is for the questions."""
    tags = {"metadata": {"tags": ["a"]}}
    item = _item(tags, {}, {}, {}, {}, [], [])
    assert is_up_to_date(item)
    assert not is_up_to_date(_item(tags, {"metadata": {"tags": ["b"]}}, {}, {}, {}, [], []))
    others: list[dict[str, Any]] = [{"remote": {}}, *({"choice": Choice(**one)} for one in ASKED)]
    for more in others:
        assert not is_up_to_date(structs.replace(item, inputs=structs.replace(item.inputs, **more)))


@given(approval=st.just(ApprovalRule()) | RULES, disclosed=st.booleans(), before=VERDICTS, after=VERDICTS)
def test_a_text_with_the_front_matter_of_its_approval_is_up_to_date(
    approval: ApprovalRule, *, disclosed: bool, before: list[Approval], after: list[Approval]
) -> None:
    """Until another verdict asks for other keys: then the questions find those, and nothing else."""
    project = {"disclosure": Disclosure()} if disclosed else {}
    first = _item({"approval": approval}, {}, {}, project, {}, [], before)
    assert first.record is not None
    keys = computed_front(first.inputs, first.spec, first.record, first.file)
    written, there = {"metadata": keys}, {"front": keys}
    assert is_up_to_date(_item({"approval": approval}, written, there, project, {}, [], before))
    second = _item({"approval": approval}, written, there, project, {}, [], after)
    wanted = computed_front(second.inputs, second.spec, first.record, second.file)
    assert is_up_to_date(second) == (wanted == keys)
    change, notes = answers(second)
    assert notes == ()
    assert ({} if change is None else change.front) == {
        key: wanted.get(key) for key in keys.keys() | wanted.keys() if keys.get(key) != wanted.get(key)
    }
