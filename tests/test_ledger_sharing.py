"""Several checkouts, one ledger: what one paid for the other finishes, one apply at a time, and what a ledger remembers."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from contentops.errors import LockHeld, Refused, UsageError
from contentops.execution.primitives import Stop
from contentops.ledger.jobs import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import Event, JobState
from contentops.operations import plan as plan_operation
from contentops.operations import state as records
from contentops.operations.opening import read_state
from contentops.operations.spend import history
from contentops.operations.workspace import shared_state
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, results
from tests.processes import KEY, PROJECT, Served, freezing
from tests.processes import blog as served_blog
from tests.running import Build, Run
from tests.test_ledger_held import job_of, work_on


def _harness(root: Path, api: FakeApi, database: str, *ids: str, year: int = 2026) -> Harness:
    return Harness(root, api, extra=f"ledger: '{database}'").declared(*ids, year=year)


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
    one, two = (_harness(tmp_path / name, api, database, "a") for name in ("one", "two"))
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
    one, two = (_harness(tmp_path / name, api, database, "a") for name in ("one", "two"))
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
    one, two = (_harness(tmp_path / name, api, database, "a") for name in ("one", "two"))
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
    api = _proven(tmp_path, database, duration=90)
    harness = _harness(tmp_path / "one", api, database, "a")
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
    api = FakeApi(duration=9)
    one, two = (_harness(tmp_path / name, api, database, "a") for name in ("one", "two"))
    caught: list[LockHeld] = []

    def meanwhile(event: Event) -> None:
        if event.kind == "run-started":
            with pytest.raises(LockHeld) as found:
                records.forget_record(two.project, "a")
            caught.append(found.value)

    one.apply(emit=meanwhile)
    assert "on another machine or in another folder" in caught[0].message


def test_a_second_apply_elsewhere_ends_with_who_where_and_since_when(
    project: Build, run: Run, tmp_path: Path, database: str
) -> None:
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
            assert second.code == 4
            assert "on another machine or in another folder: " in second.stderr
            host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
            assert f"@{host}" in second.stderr
            assert ", since 20" in second.stderr
            listed = run("status", "--json", cwd=two, env=env).json["items"]
            assert [(one["state"], one["holder"]) for one in listed] == [("pending", f"apply on {host}")]
            first.signal(signal.SIGCONT)
            ended = first.end()
            assert ended.code == 0, ended.stderr
            assert run("apply", "--yes", cwd=two, env=env).code == 0
        assert server.charges() == ["All about a"]


def test_a_text_of_another_checkout_comes_from_the_server(tmp_path: Path, database: str) -> None:
    """The ledger says which job has it: nothing is paid for again."""
    api = _proven(tmp_path, database, duration=9)
    one, two = _harness(tmp_path / "one", api, database, "a"), _harness(tmp_path / "two", api, database, "a", "b")
    one.apply()
    assert results(two.apply()) == {"a": "done", "b": "done"}
    assert "out/a.md" in two.tree()
    assert len(api.charges) == 3


def test_shards_are_applied_at_once_and_leave_each_others_jobs_alone(tmp_path: Path, database: str) -> None:
    """Two that overlap are refused, as is an apply of all items; what a shard had begun is finished by its own."""
    api = _proven(tmp_path, database, duration=90)
    ids = ("a", "b", "c", "d")
    one, two = (_harness(tmp_path / name, api, database, *ids) for name in ("one", "two"))
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
