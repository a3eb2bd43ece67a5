"""Several checkouts, one ledger: what one paid for the other finishes, one apply at a time, and what a ledger remembers."""

import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import structs

from contentops.errors import LockHeld, Refused, UsageError
from contentops.execution.primitives import Stop
from contentops.ledger.jobs import LedgerScope, Runner
from contentops.ledger.project import JobWriter
from contentops.ledger.session import LedgerSession
from contentops.model import Action, Change, Event, ItemId, Job, JobState, Plan, RequestId, Spec, request_id
from contentops.operations import plan as plan_operation
from contentops.operations import state
from contentops.operations import state as records
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.opening import read_state
from contentops.operations.plan import spent_this_month
from contentops.operations.spend import history
from contentops.operations.state import resolve
from contentops.operations.workspace import shared_state
from contentops.planning.plan import make_plan
from contentops.planning.sides import Choice
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.state.lock import lineage_of
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, know_server, results
from tests.fakes.ledger import HarnessLedger
from tests.fakes.sides import a_file, a_job, a_record, a_situation, a_spec
from tests.ledger_rows import write
from tests.processes import KEY, PROJECT, Served, freezing
from tests.processes import blog as served_blog
from tests.repositories import cloned, in_git
from tests.running import Build, Run
from tests.test_promote import Room
from tests.test_references import GUIDE, NEWS, items


def _harness(root: Path, api: FakeApi, database: str, *ids: str, year: int = 2026) -> Harness:
    return Harness(root, api, extra=f"ledger: '{database}'").declared(*ids, year=year)


def _two(tmp_path: Path, database: str, *ids: str, api: FakeApi | None = None) -> list[Harness]:
    """Two checkouts that declare the same."""
    api = api or FakeApi(duration=9)
    return [_harness(tmp_path / name, api, database, *ids) for name in ("one", "two")]


def _rows(database: str, columns: str = "item, state") -> list[tuple[Any, ...]]:
    rows = "SELECT line::jsonb->>'item' AS item, state::text, server, request_id FROM contentops.job"
    with psycopg.connect(database) as connection:
        return connection.execute(f"SELECT {columns} FROM ({rows}) j ORDER BY item, request_id").fetchall()


def _stopping(stop: Stop, kind: str, step: str) -> Callable[[Event], None]:
    def emit(event: Event) -> None:
        if (event.kind, event.step) == (kind, step):
            stop.request()

    return emit


def _stopped_after(harness: Harness, step: str) -> None:
    """An apply that a person stops once a step is done."""
    stop = Stop()
    harness.apply(stop=stop, emit=_stopping(stop, "step-done", step))


def _proven(tmp_path: Path, database: str, **habits: Any) -> FakeApi:
    """A server whose account is known, so that items go out together."""
    api = FakeApi(**habits)
    _harness(tmp_path / "first", api, database, "first").apply()
    return api


@pytest.mark.parametrize("state", ["running", "paid"])
def test_what_another_machine_began_is_finished_here(tmp_path: Path, database: str, state: str) -> None:
    """Running or paid there, and its checkout never heard of again: written, saved and recorded here for nothing."""
    api = _proven(tmp_path, database, duration=90)
    gone = _harness(tmp_path / "gone", api, database, "a")
    if state == "running":
        _stopped_after(gone, "submit")
    else:
        # Someone put a file there meanwhile, so the text is not written.
        gone.apply(emit=lambda event: _write_at(event, gone))
    assert ("a", state) in _rows(database)
    here = _harness(tmp_path / "here", api, database, "a")
    assert (here.actions(), here.plan().credits) == ({"a": "finish"}, 0)
    shown, _ = plan_operation.show(here.project, "a", here.runtime())
    assert [job["state"] for job in shown["open"]] == [state]
    outcome = {"running": "running", "paid": "unwritten"}[state]
    assert [one.outcome for one in history(here.project, "a").generations] == [outcome]
    assert results(here.apply()) == {"a": "done"}
    assert (api.charged("All about a in 2026"), api.count("submit")) == (1, 2)
    assert ("a", "settled") in _rows(database)
    assert here.plan().empty


def test_a_submit_that_never_left_is_looked_up_and_sent_once(tmp_path: Path, database: str) -> None:
    """Recorded by a process that died before the bytes left."""
    api = _proven(tmp_path, database, duration=9)
    gone = _harness(tmp_path / "gone", api, database, "a")
    with LedgerSession(database) as session:
        work_on(Runner(session, who="anna@gone"), gone, job_of(gone, "a", JobState.SUBMITTING))
        assert gone.actions() == {"a": "pending"}
    assert (gone.actions(), results(gone.apply())) == ({"a": "resolve"}, {"a": "done"})
    assert api.charged("All about a in 2026") == 1


def test_a_failed_attempt_counts_everywhere(tmp_path: Path, database: str) -> None:
    """Two checkouts that each try once have tried twice; once it is requested again, the attempts leave everywhere."""
    api = _proven(tmp_path, database, duration=9, fails=lambda inputs: "no" if "about a" in inputs["topic"] else "")
    one, two = _two(tmp_path, database, "a", api=api)
    assert (results(one.apply()), results(two.apply())) == ({"a": "failed"}, {"a": "failed"})
    assert one.actions() == two.actions() == {"a": "blocked"}
    api.habits.fails = lambda _: ""
    assert (results(two.apply(replace=("a",))), one.actions()) == ({"a": "done"}, {"a": "finish"})
    assert (results(one.apply()), one.plan().empty) == ({"a": "done"}, True)
    assert not one.state.open_jobs
    assert len(api.charges) == 2
    assert [state for item, state in _rows(database) if item == "a"].count("settled") == 1


def test_an_unknown_outcome_is_known_to_all_and_settled_by_one_word(tmp_path: Path, database: str) -> None:
    """`state resolve` at any checkout: the others hear of it."""
    api = _proven(tmp_path, database, duration=9, request_ids="ignore")
    one, two = _two(tmp_path, database, "a", api=api)
    api.fault(on("submit", 2), "drop")
    assert results(one.apply()) == {"a": "unknown"}
    assert one.actions() == two.actions() == {"a": "resolve"}
    assert [submit.job.item for submit in records.open_submits(two.project)] == ["a"]
    records.resolve(two.project, "a", forget=True)
    assert one.actions() == two.actions() == {"a": "create"}
    assert one.state.open_jobs
    assert results(one.apply()) == {"a": "done"}
    assert not one.state.open_jobs
    assert api.charged("All about a in 2026") == 1


def test_what_a_person_chose_to_pay_again_is_paid_by_no_other_checkout(tmp_path: Path, database: str) -> None:
    """Its process is gone: another checkout that declares the same goes on with that job, and sends nothing."""
    api = _proven(tmp_path, database, duration=9, request_ids="ignore")
    one, two = _two(tmp_path, database, "a", api=api)
    api.fault(on("submit", 2), "reset")
    assert results(one.apply()) == {"a": "unknown"}
    api.fault(lambda name, _: name == "status" and len(api.generations) == 3, "kill")
    records.resolve(one.project, "a", forget=True)
    one.killed()
    (change,) = two.plan().changes
    assert (change.action, change.submits, change.job and change.job.attempt) == ("finish", 0, 2)
    assert [submit.job.attempt for submit in records.open_submits(two.project, "a")] == [2]
    assert (results(two.apply()), api.count("submit"), two.plan().empty) == ({"a": "done"}, 3, True)


def _write_at(event: Event, harness: Harness) -> None:
    if event.step == "submit":
        harness.write("out/a.md", "Mine.\n")


def test_no_person_changes_what_a_live_process_works_on(tmp_path: Path, database: str) -> None:
    """Refused by name, and nothing was changed; reading commands show it."""
    harness = _harness(tmp_path / "one", _proven(tmp_path, database, duration=90), database, "a")
    job = job_of(harness, "a", JobState.UNKNOWN)
    with LedgerSession(database) as session:
        work_on(Runner(session, who="ops@build-3"), harness, job)
        state, findings = shared_state(harness.project)
        assert (list(state.open_jobs), findings) == ([job.request_id], ())
        with pytest.raises(Refused, match="another process works on `a`"):
            records.resolve(harness.project, "a", forget=True)
        with pytest.raises(Refused):
            records.move_record(harness.project, "a", "b")
        assert [one.state for one in read_state(harness.project).open_jobs.values()] == [JobState.UNKNOWN]
        assert ("a", "unknown") in _rows(database)
    records.resolve(harness.project, "a", job="job-7")
    assert ("a", "running") in _rows(database)
    with pytest.raises(UsageError):
        records.resolve(harness.project, "b", forget=True)


def test_a_persons_word_waits_for_an_apply_elsewhere(tmp_path: Path, database: str) -> None:
    """The right to apply is everyone's: exit 4, with who."""
    one, two = _two(tmp_path, database, "a", api=FakeApi(duration=9))
    caught: list[LockHeld] = []

    def meanwhile(event: Event) -> None:
        if event.kind == "run-started":
            with pytest.raises(LockHeld) as found:
                records.forget_record(two.project, "a")
            caught.append(found.value)

    one.apply(emit=meanwhile)
    assert "on another machine or in another folder" in caught[0].message


def test_a_second_apply_ends_with_who_where_and_when(project: Build, run: Run, tmp_path: Path, database: str) -> None:
    """Two real processes of two checkouts: the second one ends with 4 while the first works, and not after it."""
    with Served(tmp_path / "store.db", stage_seconds=0.1) as server:
        files = {
            "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
            "content/a.yaml": served_blog("a"),
        }
        one, two = (project(files, at=at) for at in ("one", "two"))
        env = {"CONTENTOPS_LEDGER": database, "WRITERZROOM_API_KEY": KEY}
        # While it waits for its job: PostgreSQL ends the session of who stands still within a transaction.
        with freezing(one, 1, words=('"step-started"', '"poll"'), moment=0.1, env=env) as first:
            assert first.froze()
            second = run("apply", "--yes", cwd=two, env=env)
            assert (second.code, "on another machine or in another folder: " in second.stderr) == (4, True)
            host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
            assert (f"@{host}" in second.stderr, ", since 20" in second.stderr) == (True, True)
            listed = run("status", "--json", cwd=two, env=env).json["items"]
            assert [(one["state"], one["holder"]) for one in listed] == [("pending", f"apply on {host}")]
            first.signal(signal.SIGCONT)
            ended = first.end()
            assert ended.code == 0, ended.stderr
            assert run("apply", "--yes", cwd=two, env=env).code == 0
        assert server.charges() == ["All about a"]


def test_shards_are_applied_at_once_and_leave_each_others_jobs_alone(tmp_path: Path, database: str) -> None:
    """Two that overlap are refused, as is an apply of all items; what a shard had begun is finished by its own."""
    api = _proven(tmp_path, database, duration=90)
    ids = ("a", "b", "c", "d")
    one, two = _two(tmp_path, database, *ids, api=api)
    first, second = (("shard:1/2",), ("shard:2/2",))
    theirs = {change.id for change in two.plan(select=second).changes}
    assert {*one.actions()} > theirs > set()
    stop = Stop()
    two.apply(stop=stop, emit=_stopping(stop, "step-done", "submit"), select=second)

    def meanwhile(event: Event) -> None:
        if event.kind != "run-started":
            return
        assert two.actions(select=second) == dict.fromkeys(sorted(theirs), "finish")
        with pytest.raises(LockHeld):
            _harness(tmp_path / "three", api, database, *ids).apply(select=first)
        with pytest.raises(LockHeld):
            two.apply()
        two.timeline = one.timeline

    assert set(results(one.apply(emit=meanwhile, select=first)).values()) == {"done"}
    assert sorted(one.tree()) == [f"out/{item}.md" for item in sorted({*ids} - theirs)]
    assert set(results(two.apply(select=second)).values()) == {"done"}
    assert (set(results(one.apply()).values()), len(api.charges)) == ({"done"}, 1 + len(ids))
    assert one.plan().empty


# --- what others work on ------------------------------------------------------------------------------------------


HOLDER = "apply on build-3"


def _plan(specs: list[Spec], held: dict[RequestId, str], **sides: Any) -> Plan:
    found = a_situation(specs, **sides)
    state = structs.replace(found.state, lineage=lineage_of("acme"))
    return make_plan(structs.replace(found, state=state, claimed=held))


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.RUNNING, JobState.UNKNOWN])
def test_an_entry_that_a_live_process_holds_makes_its_item_pending(state: JobState) -> None:
    """No step, no credit, whatever the entry came to; the other item goes on."""
    spec, other = a_spec(), a_spec("b", topic="y")
    job = a_job(spec, state)
    plan = _plan([spec, other], {job.request_id: HOLDER}, open_jobs=[job])
    pending, created = plan.changes
    assert (pending.action, pending.claimed_by, pending.steps) == (Action.PENDING, HOLDER, ())
    assert (created.action, plan.credits, plan.submits) == (Action.CREATE, created.credits, 1)


def test_the_job_of_an_earlier_request_is_left_to_its_holder() -> None:
    """Its drain goes, the rest is carried out; where nothing is left, the item is pending."""
    old, new = a_spec(topic="old"), a_spec(topic="new")
    job = a_job(old)
    held = {job.request_id: HOLDER}
    (change,) = _plan([new], held, open_jobs=[job]).changes
    assert (change.action, change.names) == (Action.CREATE, ("submit", "poll", "write", "save"))
    (left,) = _plan([new], held, open_jobs=[job], records=[a_record(new)], files=[a_file(new.output)]).changes
    assert (left.action, left.names) == (Action.PENDING, ())


def test_a_holder_cannot_break_out_of_a_page() -> None:
    """A row is input like any other."""
    spec = a_spec()
    job = RequestId(request_id(lineage_of("acme"), spec.digest, 1))
    plan = _plan([spec], {job: "work|er\x1b[2J on `<b>|evil\nhost"})
    assert "\x1b[2J" not in plan_text(plan, verbose=True)
    row = next(line for line in plan_markdown(plan).split("\n") if "pending (" in line)
    assert row.replace("\\|", "").count("|") == 6


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
    writer = JobWriter(runner, LedgerScope(lineage=state.lineage, environment="", server=job.server))
    assert writer.claim([(job.server, job.request_id)]) == frozenset()
    write(writer, job)


def test_apply_leaves_alone_what_another_process_holds_and_does_the_rest(tmp_path: Path, database: str) -> None:
    """It ends pending with the exit code of such items; once that process is gone, its job is finished here."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, database, "a", "b", "c")
    with LedgerSession(database) as session:
        work_on(Runner(session, who="ops@build-3"), harness, job_of(harness, "b"))
        assert harness.actions() == {"a": "create", "b": "pending", "c": "create"}
        assert results(harness.apply()) == {"a": "done", "b": "pending", "c": "done"}
        assert (harness.actions(), len(api.charges)) == ({"b": "pending"}, 2)
    assert harness.actions() == {"b": "finish"}


def test_a_text_that_waited_for_its_source_is_left_to_who_began_it(tmp_path: Path, database: str) -> None:
    """Its request is known, and claimed, only once the source has its text."""
    alone, harness = Harness(tmp_path / "alone"), Harness(tmp_path / "shared", extra=f"ledger: '{database}'")
    for each in (alone, harness):
        each.write("content/a.yaml", items({"guide": GUIDE, "news": NEWS}))
    alone.apply(select=("guide",))
    job = job_of(alone, "news")
    with LedgerSession(database) as session:
        scope = LedgerScope(lineage=alone.state.lineage, environment="", server=job.server)
        writer = JobWriter(Runner(session, who="ops@build-3"), scope)

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
    with LedgerSession(database) as session:
        other, job = Runner(session, who="ops@build-3"), job_of(harness, "b")

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
    with LedgerSession(database) as session:
        work_on(Runner(session, who="ops@build-3"), harness, job_of(harness, "a"))
        renamed = blog("a", "b").replace("id: a", "id: a2")
        harness.write("content/blog.yaml", "moved: [{from: a, to: a2}]\n" + renamed)
        assert (results(harness.apply()), len(api.charges)) == ({"a2": "pending", "b": "done"}, 1)


# --- a ledger and the jobs in git ---------------------------------------------------------------------------------

NEW = "http://127.0.0.1:8787/v1"
BUDGET = "budget: {credits_per_month: 20}"


def _spent(harness: Harness) -> int:
    found = spent_this_month(harness.project, harness.runtime())
    assert found is not None
    assert found.gaps == ()
    return found.credits


def _count_jobs(database: str) -> int:
    with psycopg.connect(database) as connection:
        (found,) = connection.execute("SELECT count(*) FROM contentops.job").fetchone() or (0,)
    return int(found)


def test_a_ledger_of_mid_month_counts_what_a_shallow_clone_knows(tmp_path: Path, database: str) -> None:
    """What was paid for before is in git: it counts in the month, in that clone and then in one without any history."""
    first = Harness(tmp_path / "first", FakeApi(duration=9), extra=BUDGET).declared("a", "b")
    in_git(first, "Declare")
    early = cloned(first, tmp_path / "early")
    first.apply()
    in_git(first, "Results")
    shallow = cloned(first, tmp_path / "shallow", "--depth=1")
    for harness in (shallow, early):
        harness.write("contentops.yaml", f"{harness.read('contentops.yaml')}\nledger: '{database}'\n")
    assert _spent(shallow) == 8
    assert shallow.apply() is None
    assert (_count_jobs(database), _spent(early)) == (2, 8)
    assert results(early.apply()) == {"a": "done", "b": "done"}
    assert (len(first.api.charges), _spent(early)) == (2, 8)
    assert early.read("contentops.jobs") == first.read("contentops.jobs")


def _emptied(one: Harness, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE contentops.job, contentops.claim")


def _behind(one: Harness, database: str) -> None:
    """As restored from a backup: a row that is behind is put forward."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE contentops.job SET state = 'submitting', stage = 0, job = '', line = '{}'")


def _without(one: Harness, database: str) -> None:
    """Another text is made without the ledger, or before there was one."""
    settings = one.read("contentops.yaml")
    one.write("contentops.yaml", settings.replace(f"ledger: '{database}'", ""))
    one.applied("a", "b")
    one.write("contentops.yaml", settings)
    shutil.rmtree(one.root / ".contentops")


@pytest.mark.parametrize("lose", [_emptied, _behind, _without], ids=lambda lose: lose.__name__.strip("_"))
def test_a_ledger_is_filled_again_from_git(tmp_path: Path, database: str, lose: Callable[[Harness, str], None]) -> None:
    """By the first apply of any checkout, though it has nothing else to do; no one pays again.

    The committed file of the other one gets every line that only the ledger knows, also those of items that it does
    not declare.
    """
    one, two = _two(tmp_path, database, "a", "b")
    one.apply(select=("a",) if lose is _without else ())
    lose(one, database)
    before = one.tree()
    assert one.apply() is None
    assert (_count_jobs(database), two.actions(), one.tree()) == (2, {"a": "finish", "b": "finish"}, before)
    assert (results(two.declared("a").apply()), len(one.api.charges)) == ({"a": "done"}, 2)
    assert two.read("contentops.jobs") == one.read("contentops.jobs")


def test_two_clones_share_one_text_for_one_request(tmp_path: Path, database: str) -> None:
    """Whatever the item is called, and in whatever environment of the server it was ordered."""
    one, two = _two(tmp_path, database, "a")
    one.apply()
    two.write("content/blog.yaml", blog("a").replace("id: a", "id: other"))
    assert results(two.apply()) == {"other": "done"}
    environments = f"environments: {{staging: {{output: 'staging/{{{{ item.id }}}}.md'}}}}\nledger: '{database}'"
    staging = Room(tmp_path / "three", "staging", one.api, extra=environments)
    staging.write("content/blog.yaml", blog("a"))
    assert (results(staging.apply()), len(one.api.charges)) == ({"a": "done"}, 1)


ENVIRONMENTS = "environments: {staging: {output: 'staging/{{ item.id }}.md'}, prod: {output: 'prod/{{ item.id }}.md'}}"


def _rooms(tmp_path: Path, database: str) -> tuple[Room, Room]:
    """Two environments of one server, each on a machine of its own."""
    api = FakeApi(duration=9)
    extra = f"{ENVIRONMENTS}\nledger: '{database}'"
    staging, prod = (Room(tmp_path / name, name, api, extra=extra) for name in ("staging", "prod"))
    for room in (staging, prod):
        room.write("content/blog.yaml", blog("a", "b"))
    return staging, prod


def test_what_another_environment_is_about_to_order_is_left_to_it(tmp_path: Path, database: str) -> None:
    """Both apply at once on two machines: one orders, the other takes its texts then, for nothing."""
    staging, prod = _rooms(tmp_path, database)
    found: list[dict[str, str]] = []

    def meanwhile(event: Event) -> None:
        if event.kind == "run-started" and not found:
            found.append(prod.actions())
            other = threading.Thread(target=lambda: found.append(results(prod.apply())))
            other.start()
            other.join()

    assert set(results(staging.apply(emit=meanwhile)).values()) == {"done"}
    assert (found, prod.actions()) == ([{"a": "pending", "b": "pending"}] * 2, {"a": "finish", "b": "finish"})
    assert (results(prod.apply()), len(prod.api.charges)) == ({"a": "done", "b": "done"}, 2)


def test_what_was_ordered_while_a_person_was_asked_is_not_ordered_again(tmp_path: Path, database: str) -> None:
    """The plan is older than the rows: what went on since is left alone, and brought by the next apply."""
    staging, prod = _rooms(tmp_path, database)

    def confirm(_: Plan) -> bool:
        assert set(results(staging.apply()).values()) == {"done"}
        return True

    _, run = apply(
        prod.project, Choice(), ApplyOptions(), confirm=confirm, emit=prod.events.append, runtime=prod.runtime()
    )
    assert results(run) == {"a": "pending", "b": "pending"}
    assert (results(prod.apply()), len(prod.api.charges)) == ({"a": "done", "b": "done"}, 2)


def test_every_checkout_knows_a_moved_server(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jobs and texts count under the new address, also in a checkout that has the rows of the old one."""
    one, two = _two(tmp_path, database, "a", "b")
    two.write("content/blog.yaml", blog("a"))
    one.apply(select=("a",))
    two.apply()
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    assert state.move_server(one.project, "https://api.example.test:443", NEW) == "http://127.0.0.1:8787"
    for harness in (one, two):
        harness.write("contentops.yaml", harness.read("contentops.yaml").replace("https://api.example.test/v1", NEW))
    know_server(one.root, NEW)
    know_server(two.root, NEW)
    assert results(one.apply()) == {"b": "done"}
    fresh = Harness(tmp_path / "fresh", one.api, base_url=NEW, extra=f"ledger: '{database}'").declared("a", "b")
    assert (results(fresh.apply()), len(one.api.charges)) == ({"a": "done", "b": "done"}, 2)


# --- checks and extra attempts ------------------------------------------------------------------------------------


def _checkouts(tmp_path: Path, ledger: HarnessLedger, retries: int = 0, ids: str = "replay") -> tuple[Harness, Harness]:
    """Two checkouts that share nothing but the ledger."""
    api = FakeApi(duration=30, request_ids=ids)
    one, two = (Harness(tmp_path / name, api, ledger=ledger) for name in ("one", "two"))
    for harness in (one, two):
        _declare_a(harness, 2026, retries=retries)
    return one, two


def _declare_a(harness: Harness, year: int, unwanted: str = "Take 1.", retries: int = 0) -> None:
    """One item; its first text says `Take 1.`, the second `Take 2.`."""
    checks = f"{{excludes: ['{unwanted}'], retries: {retries}}}"
    harness.write("content/blog.yaml", f"defaults: {{checks: {checks}}}\n{blog('a', year=year)}")


def _change_its_manifest(harness: Harness) -> None:
    """Another text is written there; the one before stays paid for."""
    _declare_a(harness, 2027, "Take 9.")
    assert results(harness.apply()) == {"a": "done"}


def _change_of_a(harness: Harness, *replaced: str) -> Change:
    (change,) = harness.plan(replace=replaced).changes
    return change


@pytest.mark.parametrize("closed", [False, True])
def test_a_failing_text_of_another_checkout_is_blocked(tmp_path: Path, ledger: HarnessLedger, *, closed: bool) -> None:
    """The plan says so before an apply and after, and nothing is paid for unasked.

    `closed`: its manifest changed since where it was paid for, so that no item there asks for its text.
    """
    one, two = _checkouts(tmp_path, ledger)
    assert results(one.apply()) == {"a": "blocked"}
    if closed:
        _change_its_manifest(one)
    paid = one.api.count("submit")
    for _ in range(2):
        change = _change_of_a(two)
        assert (change.action, change.blocked, change.steps) == (Action.BLOCKED, "checks-failed", ())
        assert [each.kind for each in change.reasons].count("checks-failed") == 1
        assert "pay for another text with `--replace a`" in change.hint
        assert results(two.apply()) == {"a": "blocked"}
    assert two.api.count("submit") == paid


@pytest.mark.parametrize("ids", ["replay", "ignore"])
def test_another_text_than_the_ledgers_is_a_further_attempt(tmp_path: Path, ledger: HarnessLedger, ids: str) -> None:
    """Under the request of the one that failed, a server would give the same text again, or be paid twice for it."""
    one, two = _checkouts(tmp_path, ledger, ids=ids)
    one.apply()
    _change_its_manifest(one)
    assert (results(two.apply(replace=("a",))), "Take 2." in two.read("out/a.md")) == ({"a": "done"}, True)
    assert [each.take for each in two.api.charges if "in 2026" in each.topic] == [1, 2]
    assert (len({each.request_id for each in two.api.charges}), two.plan().empty) == (3, True)


def test_an_attempt_of_another_checkout_is_not_ordered_again(tmp_path: Path, ledger: HarnessLedger) -> None:
    """Whose own text is older learns of it from the ledger: another text is the attempt after it."""
    one, two = _checkouts(tmp_path, ledger, ids="ignore")
    for harness in (two, one):
        _declare_a(harness, 2026, "Take 2.")
        assert results(harness.apply()) == {"a": "done"}
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    _change_its_manifest(one)
    paid = two.api.count("submit")
    assert (_change_of_a(two).blocked, results(two.apply(replace=("a",)))) == ("checks-failed", {"a": "done"})
    assert ("Take 3." in two.read("out/a.md"), two.api.count("submit"), two.plan().empty) == (True, paid + 1, True)


def test_a_retry_whose_process_is_gone_is_finished_in_another_checkout(tmp_path: Path, ledger: HarnessLedger) -> None:
    """Its job is the one that is waited for, though the first one is closed by then; nothing more is paid for."""
    one, two = _checkouts(tmp_path, ledger, retries=1)
    one.api.fault(lambda name, _: name == "status" and len(one.api.generations) == 2, "kill")
    one.killed()
    change = _change_of_a(two)
    assert (change.action, change.submits, change.job and change.job.attempt) == (Action.FINISH, 0, 2)
    assert results(two.apply()) == {"a": "done"}
    assert (two.api.charged("All about a in 2026"), two.api.count("submit"), two.plan().empty) == (2, 2, True)


def _paid_by_one(tmp_path: Path, ledger: HarnessLedger) -> tuple[Harness, Harness]:
    """Two checkouts of one item without checks; the first has paid for its text."""
    one, two = _checkouts(tmp_path, ledger)
    for harness in (one, two):
        harness.write("content/blog.yaml", blog("a"))
    one.apply()
    return one, two


def _killed_when(harness: Harness, when: str, **choice: Any) -> None:
    """An apply whose process ends when it polls the second job, or before the request leaves."""
    harness.api.fault(lambda name, _: name == when and (when != "status" or len(harness.api.generations) == 2), "kill")
    harness.killed(**choice)


@pytest.mark.parametrize("declared", ["a", "b"])
def test_no_extra_attempt_goes_to_another_request(tmp_path: Path, ledger: HarnessLedger, declared: str) -> None:
    """Also where the text before is on record: whoever asked for another one would never get it."""
    one, two = _paid_by_one(tmp_path, ledger)
    two.apply()
    two.write("content/blog.yaml", blog(declared, year=2027))
    _killed_when(one, "status", replace=("a",))
    # The job that no item here asks for is polled, and its text written nowhere.
    others = {} if declared == "a" else {"a": "drain"}
    assert two.actions() == {**others, declared: "regenerate" if declared == "a" else "create"}
    assert (set(results(two.apply()).values()), two.api.count("submit")) == ({"done"}, 3)
    assert (one.actions(), results(one.apply())) == ({"a": "finish"}, {"a": "done"})
    assert ("Take 2." in one.read("out/a.md"), one.api.charged("All about a in 2026")) == (True, 2)


def test_a_given_up_attempt_stays_away(
    tmp_path: Path, ledger: HarnessLedger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever puts the manifest back gets the text before, for nothing."""
    one, _ = _paid_by_one(tmp_path, ledger)
    one.write("content/blog.yaml", f"defaults: {{checks: {{excludes: ['Take 2.']}}}}\n{blog('a')}")
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    resolve(one.project, "a", forget=True, request=one.open_job("a").short)
    three = Harness(tmp_path / "three", one.api, ledger=ledger).applied("a", year=2027)
    assert (results(three.declared("a").apply()), "Take 1." in three.read("out/a.md")) == ({"a": "done"}, True)
    assert one.api.count("submit") == 3


@pytest.mark.parametrize("when", ["section", "status"])
def test_a_section_is_no_text_for_who_has_none(tmp_path: Path, ledger: HarnessLedger, when: str) -> None:
    """It takes the text that is paid for; a section that was never sent would be sent as a whole text."""
    one, two = _paid_by_one(tmp_path, ledger)
    _killed_when(one, when, select=("a",), sections={"a": "Closing"})
    (change,) = two.plan().changes
    assert (change.action, change.submits, results(two.apply())) == (Action.FINISH, 0, {"a": "done"})
    assert "All about a in 2026." in two.read("out/a.md")
    assert (one.api.count("submit"), results(one.apply())) == (1, {"a": "done"})
    assert (one.api.count("submit"), len(one.api.generations)) == (1, 2)
