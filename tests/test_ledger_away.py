"""A ledger that is away: who reads goes on and says so, who pays does not begin, and a run ends well."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import structs

from contentops.errors import NotShared
from contentops.execution.primitives import Stop
from contentops.model import Event, JobState
from contentops.operations.opening import Runtime
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.ledgers import Checkout
from tests.postgres import Cluster, settled
from tests.processes import KEY, PROJECT, Served, applying, freezing
from tests.processes import blog as served_blog
from tests.running import Build, Run

STAGE_SECONDS = 0.03
AWAY = "http://127.0.0.1:9/v1"
READERS = (["plan", "--json"], ["status", "--json"], ["state", "list", "--json"], ["show", "a", "--json"])
_FINDINGS = {"diagnostics", "warnings", "errors", "notes", "checksum"}


class Impatient(Harness):
    """A harness whose runs do not wait long for a ledger."""

    def runtime(self) -> Runtime:
        return structs.replace(super().runtime(), patience=0.3)


@pytest.fixture
def nowhere() -> str:
    """An address where no one listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"postgresql://me@127.0.0.1:{probe.getsockname()[1]}/ledger"


def _harness(root: Path, api: FakeApi, url: str, *ids: str, kind: type[Harness] = Impatient) -> Harness:
    harness = kind(root, api, extra=f"ledger: '{url}'")
    harness.write("content/blog.yaml", blog(*ids))
    return harness


def _start(cluster: Cluster) -> None:
    """Start it, and wait until those that had work there count as gone."""
    cluster.start()
    until = time.monotonic() + 30
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        while connection.execute("SELECT pg_postmaster_start_time() > now() - interval '5.1 s'").fetchone() == (True,):
            assert time.monotonic() < until
            time.sleep(0.1)


def _once_submitted(act: Callable[[], object]) -> Callable[[Event], None]:
    """Does something after the first submit."""
    acts = iter([act])

    def emit(event: Event) -> None:
        if (event.kind, event.step) == ("step-done", "submit"):
            next(acts, lambda: None)()

    return emit


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_who_only_reads_goes_on_with_the_lock_and_says_so(
    project: Build, invoke: Run, nowhere: str, command: list[str]
) -> None:
    """The same plan as without a ledger, with a warning that has a code."""
    root = project({"contentops.yaml": PROJECT.format(base_url=AWAY, extra=""), "content/a.yaml": served_blog("a")})
    alone = invoke(*command, cwd=root)
    away = invoke(*command, cwd=root, env={"CONTENTOPS_LEDGER": nowhere})
    assert (alone.code, away.code) == (0, 0)
    (warning,) = [one for one in away.json["diagnostics"] if one["code"] == "ledger-away"]
    assert warning["severity"] == "warning"
    rest = [{key: value for key, value in one.json.items() if key not in _FINDINGS} for one in (alone, away)]
    assert rest[0] == rest[1]
    told = invoke(*command[:-1], cwd=root, env={"CONTENTOPS_LEDGER": nowhere})
    assert "warning[ledger-away]" in told.stderr


def test_a_plan_without_the_ledger_is_not_said_again(project: Build, invoke: Run, nowhere: str, database: str) -> None:
    """A plan without changes is remembered; not one that no one could say for sure."""
    settings = PROJECT.format(base_url=AWAY, extra=f"ledger: '{nowhere}'")
    root = project({"contentops.yaml": settings, "content/a.yaml": "items: []\n"})
    for _ in range(2):
        said = invoke("plan", cwd=root)
        assert ("No changes" in said.stdout, "warning[ledger-away]" in said.stderr) == (True, True)
    assert "ledger-away" not in invoke("plan", cwd=root, env={"CONTENTOPS_LEDGER": database}).stderr


def test_an_apply_does_not_begin(tmp_path: Path, nowhere: str) -> None:
    """Exit code 3, before anything is paid for."""
    api = FakeApi(duration=9)
    with pytest.raises(NotShared) as caught:
        _harness(tmp_path, api, nowhere, "a").apply()
    assert (caught.value.code, int(caught.value.exit_code), api.requests) == ("ledger-away", 3, [])


def test_it_goes_away_and_comes_back(tmp_path: Path, cluster: Cluster) -> None:
    """Nothing leaves meanwhile, and everything is done once."""
    api = FakeApi(duration=9)
    harness = _harness(tmp_path, api, cluster.url(), "a", "b", "c", "d", kind=Harness)
    harness.apply(select=("a",))
    back = threading.Timer(0.5, cluster.start)

    def away() -> None:
        cluster.kill()
        back.start()

    run = harness.apply(emit=_once_submitted(away))
    back.join()
    assert (set(results(run).values()), len(api.charges), harness.plan().empty) == ({"done"}, 4, True)


def test_it_stays_away(tmp_path: Path, cluster: Cluster) -> None:
    """The run ends with 3 and a report; every job is known here, none is paid for twice, and the next run tells others."""
    api = FakeApi(duration=90)
    harness = _harness(tmp_path, api, cluster.url(), "first", "a", "b", "c")
    harness.apply(select=("first",))
    run = harness.ran(emit=_once_submitted(cluster.kill))
    assert (run.stopped, int(exit_code_of(run)), set(results(run).values())) == ("ledger", 3, {"pending"})
    assert "cannot be reached" in run.message
    assert len(list((tmp_path / ".contentops/runs").glob("*.json"))) == 2
    jobs = {job.job_id for job in harness.state.open_jobs.values() if job.state is JobState.RUNNING}
    assert jobs == {each.job_id for each in api.charges[1:]} != set()
    _start(cluster)
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        running = "SELECT count(*) FROM contentops.job WHERE state = 'running'"
        assert connection.execute(running).fetchone() == (0,)
        stop = Stop()
        stop.request()
        harness.apply(stop=stop)
        assert connection.execute(running).fetchone() == (len(jobs),)
    again = harness.apply()
    assert set(results(again).values()) == {"done"}, again
    assert len(api.charges) == 4
    other = _harness(tmp_path / "other", api, cluster.url(), "first", "a", "b", "c")
    assert (set(results(other.apply()).values()), len(api.charges)) == ({"done"}, 4)


def test_work_that_another_one_took(tmp_path: Path, cluster: Cluster) -> None:
    """The same end: what came in is here, and the other one goes on."""
    harness = _harness(tmp_path, FakeApi(duration=90), cluster.url(), "first", "a", "b")
    harness.apply(select=("first",))

    def take() -> None:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute("UPDATE contentops.claim SET runner = 0")

    run = harness.ran(emit=_once_submitted(take))
    assert (run.stopped, int(exit_code_of(run))) == ("ledger", 3)
    assert {job.state for job in harness.state.open_jobs.values()} == {JobState.RUNNING}


def test_an_interrupt_ends_the_waiting(project: Build, tmp_path: Path, cluster: Cluster) -> None:
    """A real process: 130 at once, no traceback, its jobs on disk and its report too."""
    with Served(tmp_path / "store.db", stage_seconds=30) as server:
        settings = PROJECT.format(base_url=server.base_url, extra="")
        root = project({"contentops.yaml": settings, "content/a.yaml": served_blog("a")}, at="site")
        env: dict[str, Any] = {"CONTENTOPS_LEDGER": cluster.url(), "WRITERZROOM_API_KEY": KEY}
        with applying(root, env=env) as run:
            run.until("step-done", "submit")
            cluster.kill()
            run.until("note")
            assert "the ledger cannot be reached" in run.seen[-1]["data"]["message"]
            run.signal(signal.SIGINT)
            ended = run.end()
        assert (ended.code, "Traceback" in ended.stderr) == (130, False), ended.stderr
        (report,) = (root / ".contentops/runs").glob("*.json")
        assert json.loads(report.read_text())["run"]["stopped"] == "interrupted"
        assert '"state":"running"' in (root / "contentops.jobs").read_text().replace('": "', '":"')


def test_postgres_dies_and_comes_back(checkout: Checkout, invoke: Run, served: Served, cluster: Cluster) -> None:
    """In the middle of an apply, twice: nothing that pays leaves meanwhile, and the apply goes on as if nothing were."""
    topic, items = "All about {} (comes back)", ("one", "two", "three", "four", "five", "six")
    root, expected = checkout(topic, *items), sorted(topic.format(item) for item in items)
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": cluster.url()}
    with freezing(root, 4, 10, env=env) as apply:
        for _ in range(2):
            assert apply.froze()
            cluster.kill()
            apply.signal(signal.SIGCONT)
            jobs = settled(lambda: served.jobs("(comes back)"))
            assert apply.runs_for(0.5)
            assert served.jobs("(comes back)") == jobs
            cluster.start()
        ended = apply.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert (served.charges("(comes back)"), served.contents("(comes back)")) == (expected, expected)
    assert invoke("plan", "--detailed-exitcode", cwd=root, env=env).code == 0
