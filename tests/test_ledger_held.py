"""What others work on: such an item is pending, costs nothing and is not touched; all else goes on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.ledger.jobs import LedgerScope, Runner
from contentops.ledger.project import JobWriter
from contentops.ledger.session import LedgerSession
from contentops.model import Action, Event, ItemId, Job, JobState, Plan, RequestId, Spec, request_id
from contentops.operations.apply import ApplyOptions, apply
from contentops.planning.plan import make_plan
from contentops.planning.sides import Choice
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.state.lock import lineage_of
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import a_file, a_job, a_record, a_situation, a_spec
from tests.ledger_rows import write
from tests.test_references import GUIDE, NEWS, items


def _held(request: str, holder: str = "apply on build-3") -> dict[RequestId, str]:
    return {RequestId(request): holder}


def _plan(specs: list[Spec], held: dict[RequestId, str], **sides: Any) -> Plan:
    found = a_situation(specs, **sides)
    state = structs.replace(found.state, lineage=lineage_of("acme"))
    return make_plan(structs.replace(found, state=state, claimed=held))


def _submit_id(spec: Spec) -> str:
    return request_id(lineage_of("acme"), spec.digest, 1)


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.RUNNING, JobState.UNKNOWN])
def test_an_entry_that_a_live_process_holds_makes_its_item_pending(state: JobState) -> None:
    """No step, no credit, whatever the entry came to; the other item goes on."""
    spec, other = a_spec(), a_spec("b", topic="y")
    job = a_job(spec, state)
    plan = _plan([spec, other], _held(job.request_id), open_jobs=[job])
    pending, created = plan.changes
    assert (pending.action, pending.claimed_by, pending.steps) == (Action.PENDING, "apply on build-3", ())
    assert (created.action, plan.credits, plan.submits) == (Action.CREATE, created.credits, 1)


def test_the_job_of_an_earlier_request_is_left_to_its_holder() -> None:
    """Its drain goes, the rest is carried out; where nothing is left, the item is pending."""
    old, new = a_spec(topic="old"), a_spec(topic="new")
    job = a_job(old)
    held = _held(job.request_id)
    (change,) = _plan([new], held, open_jobs=[job]).changes
    assert (change.action, change.names) == (Action.CREATE, ("submit", "poll", "write", "save"))
    (left,) = _plan([new], held, open_jobs=[job], records=[a_record(new)], files=[a_file(new.output)]).changes
    assert (left.action, left.names) == (Action.PENDING, ())


def test_a_holder_cannot_break_out_of_a_page() -> None:
    """A row is input like any other."""
    spec = a_spec()
    plan = _plan([spec], _held(_submit_id(spec), holder="work|er\x1b[2J on `<b>|evil\nhost"))
    assert "\x1b[2J" not in plan_text(plan, verbose=True)
    row = next(line for line in plan_markdown(plan).split("\n") if "pending (" in line)
    assert row.replace("\\|", "").count("|") == 6


@contextlib.contextmanager
def _other(database: str) -> Iterator[Runner]:
    """A process of another machine, alive as long as the block runs."""
    with LedgerSession(database) as session:
        yield Runner(session, who="ops@build-3")


def _harness(root: Path, api: FakeApi, database: str, *ids: str) -> Harness:
    return Harness(root, api, extra=f"ledger: '{database}'").declared(*ids)


def job_of(harness: Harness, item: str, state: JobState = JobState.RUNNING) -> Job:
    """The job that another process has for what an item asks for."""
    plan = harness.plan()
    step = next(change for change in plan.changes if change.id == item).submit
    assert step is not None
    name = request_id(plan.lineage, step.digest, step.attempt)
    return Job(
        request_id=RequestId(name), item=ItemId(item), digest=step.digest, attempt=1, state=state, server=plan.server,
        dialect="v1", credits=4, job_id="" if state in {JobState.SUBMITTING, JobState.UNKNOWN} else name,
        plan_id=plan.id, submitted_at="2026-02-25T05:00:00Z",
    )  # fmt: skip


def work_on(runner: Runner, harness: Harness, job: Job) -> None:
    """Another process claims a job and records it."""
    state = harness.state
    scope = LedgerScope(lineage=state.lineage, environment="", server=job.server)
    writer = JobWriter(runner, scope)
    assert writer.claim([(job.server, job.request_id)]) == frozenset()
    write(writer, job)


def test_apply_leaves_alone_what_another_process_holds_and_does_the_rest(tmp_path: Path, database: str) -> None:
    """It ends pending with the exit code of such items; once that process is gone, its job is finished here."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b", "c")
    with _other(database) as other:
        work_on(other, harness, job_of(harness, "b"))
        assert harness.actions() == {"a": "create", "b": "pending", "c": "create"}
        run = harness.apply()
        assert results(run) == {"a": "done", "b": "pending", "c": "done"}
        assert (harness.actions(), len(api.charges)) == ({"b": "pending"}, 2)
    assert harness.actions() == {"b": "finish"}


def test_a_text_that_waited_for_its_source_is_left_to_who_began_it(tmp_path: Path, database: str) -> None:
    """Its request is known, and claimed, only once the source has its text."""
    alone, harness = Harness(tmp_path / "alone"), Harness(tmp_path / "shared", extra=f"ledger: '{database}'")
    for each in (alone, harness):
        each.write("content/a.yaml", items({"guide": GUIDE, "news": NEWS}))
    alone.apply(select=("guide",))
    job = job_of(alone, "news")
    with _other(database) as other:
        writer = JobWriter(other, LedgerScope(lineage=alone.state.lineage, environment="", server=job.server))

        def meanwhile(event: Event) -> None:
            if event.kind == "run-started":
                assert writer.claim([(job.server, job.request_id)]) == frozenset()

        run = harness.ran(emit=meanwhile)
        assert (results(run), run.stopped) == ({"guide": "done", "news": "pending"}, "")
    assert (results(harness.apply()), len(harness.api.charges)) == ({"news": "done"}, 2)


def test_what_others_begin_while_a_person_is_asked_is_left_to_them(tmp_path: Path, database: str) -> None:
    """The rest is done; so is what waits for an item that was renamed since, once another process has begun it."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b", "c")
    with _other(database) as other:
        job = job_of(harness, "b")

        def confirm(_: Plan) -> bool:
            work_on(other, harness, job)
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


def test_a_held_entry_keeps_its_id_through_a_rename(tmp_path: Path, database: str) -> None:
    """Its item is pending under its new id, and what others hold is not written by this run."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b")
    with _other(database) as other:
        work_on(other, harness, job_of(harness, "a"))
        renamed = blog("a", "b").replace("id: a", "id: a2")
        harness.write("content/blog.yaml", "moved: [{from: a, to: a2}]\n" + renamed)
        assert (results(harness.apply()), len(api.charges)) == ({"a2": "pending", "b": "done"}, 1)
