"""What others work on: such an item is pending, costs nothing and is not touched; all else goes on."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from msgspec import structs

from contentops.documents.clean import body_digest
from contentops.ledger.entries import EntryOwner, claim
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import (
    Action,
    Budget,
    Checks,
    ItemId,
    JobState,
    OnEdit,
    OpenEntry,
    PendingSubmit,
    RequestId,
    WordLimits,
    request_id,
)
from contentops.operations.apply import ApplyOptions, apply
from contentops.planning.existing_texts import FinishedText
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.schema_files import load_schema
from contentops.state.lock import lineage_of
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import a_file, a_record, a_situation, a_spec, an_entry
from tests.plans import plan_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.model import Plan, Spec

SINCE = "2026-02-25T08:00:00Z"


def _held(request: str, item: str, **fields: Any) -> PendingSubmit:
    given = {"state": "running", "kind": "worker", "who": "ops@build-3", "depositor": "anna@laptop", "since": SINCE}
    return PendingSubmit(request_id=RequestId(request), item=ItemId(item), **{**given, **fields})


def _plan(specs: list[Spec], *held: PendingSubmit, **sides: Any) -> Plan:
    found = a_situation(specs, **sides)
    state = structs.replace(found.state, lineage=lineage_of("acme"))
    return make_plan(structs.replace(found, state=state, claimed={one.request_id: one for one in held}))


def _submit_id(spec: Spec) -> str:
    return request_id(lineage_of("acme"), "", spec.id, spec.digest, 1)


# --- the decision ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.RUNNING, JobState.UNKNOWN])
def test_an_entry_that_a_live_process_holds_makes_its_item_pending(state: JobState) -> None:
    """No step, no credit, whatever the entry came to; the other item goes on."""
    spec, other = a_spec(), a_spec("b", topic="y")
    entry = an_entry(spec, state)
    plan = _plan([spec, other], _held(entry.request_id, "a", state=state.value), entries=[entry])
    pending, created = plan.changes
    assert (pending.action, pending.holder, pending.steps) == (Action.PENDING, "worker on build-3", ())
    assert (created.action, plan.credits, plan.submits) == (Action.CREATE, created.credits, 1)


def test_a_queued_submit_is_pending_once_it_is_claimed() -> None:
    """Before that it is generated here, and the plan says since when it waited and who deposited it."""
    spec = a_spec()
    (change,) = _plan([spec], _held(_submit_id(spec), "a", state="queued")).changes
    assert (change.action, change.credits_worst, change.names) == (Action.PENDING, 0, ())
    assert [reason.kind for reason in change.reasons] == ["new", "held"]
    (change,) = _plan([spec], _held(_submit_id(spec), "a", state="queued", kind="", who="")).changes
    assert (change.action, change.credits, change.queued_credits) == (Action.CREATE, 0, 4)
    assert change.reasons[-1].detail == f"since {SINCE}, queued by anna@laptop"


def test_the_job_of_an_earlier_request_is_left_to_its_holder() -> None:
    """Its drain goes, the rest is carried out; where nothing is left, the item is pending."""
    old, new = a_spec(topic="old"), a_spec(topic="new")
    entry = an_entry(old)
    held = _held(entry.request_id, "a")
    (change,) = _plan([new], held, entries=[entry]).changes
    assert (change.action, change.names) == (Action.CREATE, ("submit", "poll", "write", "save"))
    (left,) = _plan([new], held, entries=[entry], records=[a_record(new)], files=[a_file(new.output)]).changes
    assert (left.action, left.names) == (Action.PENDING, ())


def test_a_blocked_item_stays_blocked() -> None:
    """What a person has to decide does not wait for the process that brings its text."""
    spec = a_spec()
    entry = an_entry(spec)
    (change,) = _plan(
        [spec], _held(entry.request_id, "a"), entries=[entry], files=[a_file(spec.output, body="Someone else's.\n")]
    ).changes
    assert (change.action, change.steps) == (Action.BLOCKED, ())


def test_a_pending_item_is_told_in_every_form() -> None:
    """Text, Markdown, JSON and back."""
    spec = a_spec()
    plan = _plan([spec], _held(_submit_id(spec), "a", state="queued"))
    assert "pending (worker on build-3)" in plan_text(plan, verbose=False)
    assert "1 pending, 0 unchanged. 0 credits." in plan_text(plan, verbose=False)
    assert "pending (`worker on build-3`)" in plan_markdown(plan)
    document = plan_document(plan)
    jsonschema.validate(document | {"checksum": ""}, load_schema("plan"))
    assert plan_of(json.loads(json.dumps(document))).changes[0].holder == "worker on build-3"


def test_what_is_queued_is_counted_once() -> None:
    """Not in the price, the generations or the budget: those counted it when it was queued; every form says so."""
    queued, new = a_spec(), a_spec("b", topic="y")
    found = a_situation([queued, new])
    state, name = structs.replace(found.state, lineage=lineage_of("acme")), _submit_id(queued)
    held = {name: _held(name, "a", state="queued", kind="", who="")}
    for about, budget in (("credits", Budget(credits_per_apply=4)), ("items", Budget(items_per_apply=1))):
        project = structs.replace(found.project, budget=budget)
        plan = make_plan(structs.replace(found, project=project, state=state, claimed=held))
        assert (plan.credits, plan.credits_worst, plan.submits, plan.queued_credits, plan.refusals) == (4, 4, 1, 4, ())
        again = make_plan(structs.replace(found, project=project, state=state))
        assert [refusal.guard for refusal in again.refusals] == [f"budget-{about}"]
    plan = make_plan(structs.replace(found, state=state, claimed=held))
    assert "2 to create, 0 unchanged. 4 credits; 1 submit is queued already, for 4 credits." in plan_text(
        plan, verbose=False
    )
    assert "| `a` | create | queued |" in plan_markdown(plan)
    document = plan_document(plan)
    jsonschema.validate(document | {"checksum": ""}, load_schema("plan"))
    assert [(one["credits"], one["submits"], one.get("queued_credits")) for one in document["changes"]] == [
        (0, 0, 4),
        (4, 1, None),
    ]
    assert document["summary"]["queued_credits"] == 4
    read = plan_of(json.loads(json.dumps(document)))
    assert (read.credits, read.queued_credits) == (4, 4)


def test_further_texts_of_what_is_queued_are_counted() -> None:
    """An apply pays for them, also where it is a worker that pays for the first one."""
    spec = structs.replace(a_spec(), checks=Checks(words=WordLimits(min=1000), retries=2))
    found = a_situation([spec])
    state, name = structs.replace(found.state, lineage=lineage_of("acme")), _submit_id(spec)
    project = structs.replace(found.project, budget=Budget(credits_per_apply=7))
    held = {name: _held(name, "a", state="queued", kind="", who="")}
    plan = make_plan(structs.replace(found, project=project, state=state, claimed=held))
    assert (plan.credits, plan.credits_worst, plan.queued_credits) == (0, 8, 4)
    assert [refusal.guard for refusal in plan.refusals] == ["budget-credits"]
    assert "queued, up to 8 more with retries" in plan_text(plan, verbose=False)


def test_a_holder_cannot_break_out_of_a_page() -> None:
    """A row is input like any other."""
    spec = a_spec()
    plan = _plan([spec], _held(_submit_id(spec), "a", kind="work|er\x1b[2J", who="x@`<b>|evil\nhost"))
    assert "\x1b[2J" not in plan_text(plan, verbose=True)
    row = next(line for line in plan_markdown(plan).split("\n") if "pending (" in line)
    assert row.replace("\\|", "").count("|") == 6


# --- with a ledger -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _worker(database: str) -> Iterator[Runner]:
    """A worker of another machine, alive as long as the block runs."""
    with LedgerSession(database) as session:
        yield Runner(session, kind="worker", who="ops@build-3")


def _harness(root: Path, api: FakeApi, database: str, *ids: str) -> Harness:
    harness = Harness(root, api, extra=f"ledger: '{database}'")
    harness.write("content/blog.yaml", blog(*ids))
    return harness


def _entry_of(harness: Harness, item: str, state: JobState = JobState.RUNNING) -> tuple[EntryOwner, OpenEntry]:
    """The entry that a worker has for what an item asks for."""
    plan = harness.plan()
    step = next(change for change in plan.changes if change.id == item).submit
    assert step is not None
    name = request_id(plan.lineage, plan.environment, ItemId(item), step.digest, step.attempt)
    entry = OpenEntry(
        request_id=RequestId(name),
        item=ItemId(item),
        digest=step.digest,
        attempt=1,
        state=state,
        server=plan.server,
        dialect="v1",
        credits=4,
        job_id=name,
    )
    return EntryOwner(lineage=plan.lineage, environment=plan.environment, project=plan.project), entry


def test_apply_leaves_alone_what_a_worker_holds_and_does_the_rest(tmp_path: Path, database: str) -> None:
    """It ends pending with the exit code of such items; once the worker is gone, its job is finished here."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b", "c")
    with _worker(database) as worker:
        owner, entry = _entry_of(harness, "b")
        assert claim(worker, owner, [entry], {}).lost == {}
        assert harness.actions() == {"a": "create", "b": "pending", "c": "create"}
        run = harness.apply()
        assert results(run) == {"a": "done", "b": "pending", "c": "done"}
        assert harness.actions() == {"b": "pending"}
        assert len(api.charges) == 2
    assert harness.actions() == {"b": "finish"}


def test_what_others_begin_while_a_person_is_asked_is_left_to_them(tmp_path: Path, database: str) -> None:
    """The rest is done; so is what waits for an item that was renamed since, once a worker has begun it."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b", "c")
    with _worker(database) as worker:
        owner, entry = _entry_of(harness, "b")

        def confirm(_: Plan) -> bool:
            assert claim(worker, owner, [entry], {}).lost == {}
            return True

        options = ApplyOptions()
        _, run = apply(
            harness.project, Choice(), options, confirm=confirm, emit=harness.events.append, runtime=harness.runtime()
        )
        assert results(run) == {"a": "done", "b": "pending", "c": "done"}
        assert run is not None
        assert [outcome.hint for outcome in run.outcomes if outcome.id == "b"] == [
            "another process is working on it; the next apply finishes it"
        ]
        assert len(api.charges) == 2


def test_a_queued_row_is_claimed_by_apply_or_by_a_worker_and_by_one_alone(tmp_path: Path, database: str) -> None:
    """Deposited and waiting, apply generates it itself; claimed by a worker, it is pending."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b")
    with _worker(database) as worker:
        owner, entry = _entry_of(harness, "a")
        for item in ("a", "b"):
            _, entry = _entry_of(harness, item)
            worker.session.run(
                "INSERT INTO contentops.entry (request_id, account, lineage, environment, item, digest, state, who)"
                " VALUES (%s, '', %s, %s, %s, %s, 'queued', 'anna@laptop')",
                (entry.request_id, owner.lineage, owner.environment, item, entry.digest),
            )
        assert harness.actions() == {"a": "create", "b": "create"}
        assert claim(worker, owner, [], {entry.request_id: "b"}).lost == {}
        plan = harness.plan()
        assert [(change.action, change.holder) for change in plan.changes] == [
            ("create", ""),
            ("pending", "worker on build-3"),
        ]
        assert "queued: since" in plan_text(plan, verbose=False)
        assert "queued by anna@laptop" in plan_text(plan, verbose=False)
        assert results(harness.apply()) == {"a": "done", "b": "pending"}
        assert [charge.topic for charge in api.charges] == ["All about a in 2026"]
        assert worker.session.run("SELECT item, taken FROM contentops.entry ORDER BY item") == [
            ("a", True),
            ("b", False),
        ]


def test_a_held_entry_keeps_its_id_through_a_rename(tmp_path: Path, database: str) -> None:
    """Its item is pending under its new id, and what others hold is not written by this run."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b")
    with _worker(database) as worker:
        owner, entry = _entry_of(harness, "a")
        claim(worker, owner, [entry], {})
        renamed = blog("a", "b").replace("id: a", "id: a2")
        harness.write("content/blog.yaml", "moved: [{from: a, to: a2}]\n" + renamed)
        assert results(harness.apply()) == {"a2": "pending", "b": "done"}
        assert len(api.charges) == 1


# --- what is queued under another name ---------------------------------------------------------------------


def _queued(spec: Spec, item: str, **fields: Any) -> PendingSubmit:
    given = {"state": "queued", "kind": "", "who": "", "digest": spec.digest}
    return _held(request_id(lineage_of("acme"), "", ItemId(item), spec.digest, 1), item, **{**given, **fields})


def test_a_renamed_item_takes_its_queued_submit_along() -> None:
    """Under its old name it would be paid for beside the new one."""
    spec = a_spec("new")
    waiting = _queued(spec, "old")
    (change,) = _plan([spec], waiting).changes
    assert (change.action, change.withdraws) == (Action.CREATE, (waiting.request_id,))
    assert change.reasons[-1].detail == f"since {SINCE}, queued by anna@laptop"
    (left,) = _plan([spec], _queued(spec, "old", kind="worker", who="ops@build-3")).changes
    assert (left.action, left.withdraws, left.credits) == (Action.PENDING, (), 0)
    # A database gives its rows in any order.
    several = [_queued(spec, name, depositor=f"{name}@laptop") for name in ("one", "two", "three")]
    assert _plan([spec], *several).changes == _plan([spec], *reversed(several)).changes


def test_a_text_makes_the_queued_submit_of_its_item_needless() -> None:
    """One that is paid for, or a file that a person chose to keep; what a worker holds by then goes on."""
    spec = a_spec()
    waiting = _queued(spec, "a")
    text = FinishedText(item="a", body=body_digest("B.\n"))
    (change,) = _plan([spec], waiting, stored={spec.digest: text}).changes
    assert (change.action, change.withdraws) == (Action.FINISH, (waiting.request_id,))
    file = a_file("out/a.md", body="Edited.\n")
    sides: dict[str, Any] = {"records": [a_record(a_spec(topic="old"))], "files": [file], "on_edit": OnEdit.KEEP}
    for held, withdrawn in ((waiting, (waiting.request_id,)), (structs.replace(waiting, kind="worker"), ())):
        (change,) = _plan([spec], held, **sides).changes
        assert (change.action, change.withdraws) == (Action.KEEP, withdrawn)


def test_the_queued_submit_of_another_item_is_not_touched() -> None:
    """Two items may ask for the same; and an extra attempt that someone asked for is no first submit."""
    spec, other = a_spec(), a_spec("b")
    again = _held(request_id(lineage_of("acme"), "", ItemId("gone"), spec.digest, 2), "gone", state="queued", kind="")
    plan = _plan([spec, other], _queued(spec, "b"), structs.replace(again, digest=spec.digest))
    assert [change.withdraws for change in plan.changes] == [(), ()]


def test_what_is_queued_for_an_earlier_request_is_told() -> None:
    """A worker pays for it all the same, and another checkout may want it."""
    spec = a_spec()
    plan = _plan([spec], _queued(a_spec(topic="old"), "a"), _queued(spec, "a"))
    assert [(note.kind, "1 submit in the queue is" in note.message) for note in plan.notes] == [("queued", True)]
    assert f"queue cancel {_submit_id(a_spec(topic='old'))} " in plan.notes[0].hint
    assert not _plan([spec], _queued(spec, "a")).notes
    further = request_id(lineage_of("acme"), "", ItemId("a"), a_spec(topic="old").digest, 2)
    old = structs.replace(_queued(a_spec(topic="old"), "a"), request_id=RequestId(further))
    assert [note.kind for note in _plan([spec], old).notes] == ["queued"]
    there = {"records": [a_record(spec)], "files": [a_file("out/a.md")]}
    assert [note.kind for note in _plan([spec], _queued(spec, "a"), **there).notes] == ["queued"], "it has its text"
