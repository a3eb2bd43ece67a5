"""The queue of a ledger: what is deposited, claimed in turn, listed and cancelled."""

from __future__ import annotations

import shlex
import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from contentops.operations.worker.claims import QUIET
from tests.processes import KEY, PROJECT, Served, applying, blog, started, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db", stage_seconds=0.1) as served:
        yield served


def _env(database: str) -> Mapping[str, str]:
    return {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}


def _checkout(build: Build, server: Served, at: str, topic: str, *items: str) -> Path:
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog(*items, topic=topic),
    }
    return build(files, at=at)


def _files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".contentops" not in path.parts
    }


def test_what_is_deposited_is_worked_off_and_written_for_nothing(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """A deposit writes no more here than whose it is, and pays for nothing; a worker pays once; an apply writes the files for nothing."""
    root, env = _checkout(project, server, "one", "{} (first)", "a", "b", "c"), _env(database)
    before = _files(root)
    done = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert done.code == 0, done.stderr
    assert "Queued 3 submits for 12 credits" in done.stdout
    assert _files(root).keys() - before.keys() <= {"contentops.lock", ".gitattributes"}
    assert _files(root).items() >= before.items()
    assert not server.jobs("(first)")
    listed = invoke("queue", "--json", env=env).json
    assert [(one["item"], one["state"]) for one in listed["submits"]] == [
        ("a", "queued"),
        ("b", "queued"),
        ("c", "queued"),
    ]
    again = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert "Queued nothing." in again.stdout
    worked = invoke("work", "--once", env=env)
    assert worked.code == 0, worked.stderr
    assert server.charges("(first)") == ["a (first)", "b (first)", "c (first)"]
    assert invoke("queue", "--json", env=env).json["size"] == 0
    applied = invoke("apply", "--yes", cwd=root, env=env)
    assert applied.code == 0, applied.stderr
    assert list(tree(root)) == ["out/a.md", "out/b.md", "out/c.md"]
    assert len(server.charges("(first)")) == 3


def test_a_project_that_is_renamed_while_it_waits_is_paid_once(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """The lock of the first deposit says whose it is, whatever the project is called by then."""
    root, env = _checkout(project, server, "one", "{} (another name)", "a", "b"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    settings = (root / "contentops.yaml").read_text()
    (root / "contentops.yaml").write_text(settings.replace("acme-blog", "renamed"))
    for command in (("apply", "--detach", "--yes"), ("work", "--once"), ("apply", "--yes")):
        assert invoke(*command, cwd=root, env=env).code == 0
    assert server.charges("(another name)") == ["a (another name)", "b (another name)"]


def test_a_plan_file_is_applied_beside_a_worker(project: Build, invoke: Run, server: Served, database: str) -> None:
    """What the worker has paid for is within what was reviewed: it is fetched for nothing."""
    root, env = _checkout(project, server, "one", "{} (reviewed)", "a", "b"), _env(database)
    assert invoke("plan", "--out", "plan.json", cwd=root, env=env).code == 0
    for command in (
        ("apply", "--detach", "--select", "a", "--yes"),
        ("work", "--once"),
        ("apply", "plan.json", "--yes"),
    ):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    assert server.charges("(reviewed)") == ["a (reviewed)", "b (reviewed)"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_texts_of_workers_move_with_their_server(project: Build, invoke: Run, server: Served, database: str) -> None:
    """`state mv --server`: what was paid for at the old address is written, and not paid for again."""
    root, env = _checkout(project, server, "one", "{} (moved)", "a"), _env(database)
    for command in (("apply", "--detach", "--yes"), ("work", "--once")):
        assert invoke(*command, cwd=root, env=env).code == 0
    settings = (root / "contentops.yaml").read_text()
    (root / "contentops.yaml").write_text(settings.replace("127.0.0.1", "localhost"))
    old, new = (f"http://{host}:{server.port}" for host in ("127.0.0.1", "localhost"))
    moved = invoke("state", "mv", "--server", old, new, cwd=root, env=env)
    assert moved.code == 0, moved.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT server FROM contentops.text").fetchall() == [(new,)]
    applied = invoke("apply", "--yes", "--json", cwd=root, env=env)
    assert (applied.code, applied.json["run"]["credits"]) == (0, 0), applied.stderr
    assert server.charges("(moved)") == ["a (moved)"]


def test_a_killed_worker_s_work_is_taken_over(project: Build, invoke: Run, server: Served, database: str) -> None:
    """The job that it had begun is polled by another worker, which had waited for the first job; nothing is paid twice."""
    root, env = _checkout(project, server, "one", "{} (killed)", "a", "b", "c"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    with started(root, "work", env=env) as first:
        first.until("step-done", "submit")
        with started(root, "work", "--once", env=env) as second:
            second.until("note")
            first.kill()
            ended = second.end()
    assert ended.code == 0, ended.stderr
    assert server.charges("(killed)") == ["a (killed)", "b (killed)", "c (killed)"]
    applied = invoke("apply", "--yes", "--json", cwd=root, env=env)
    assert (applied.code, applied.json["run"]["credits"]) == (0, 0), applied.stderr


def test_a_killed_apply_s_job_is_polled_by_a_worker(project: Build, invoke: Run, server: Served, database: str) -> None:
    """A worker keeps the text that an apply paid for, and submits nothing in its place."""
    root, env = _checkout(project, server, "one", "{} (begun)", "a"), _env(database)
    with applying(root, env=env) as begun:
        begun.until("step-done", "submit")
        begun.kill()
    worked = invoke("work", "--once", "--json", env=env)
    assert (worked.code, worked.json["accounts"][0]["results"]) == (0, {"done": 1}), worked.stderr
    applied = invoke("apply", "--yes", "--json", cwd=root, env=env)
    assert (applied.code, applied.json["run"]["credits"]) == (0, 0), applied.stderr
    assert server.charges("(begun)") == ["a (begun)"]


def test_a_worker_drains_at_the_first_signal(project: Build, invoke: Run, server: Served, database: str) -> None:
    """SIGTERM ends it once what runs is done; what it did not submit stays queued and free."""
    root, env = _checkout(project, server, "one", "{} (drained)", "a", "b"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    with started(root, "work", env=env) as worker:
        worker.until("step-done", "submit")
        worker.signal(signal.SIGTERM)
        ended = worker.end()
    assert ended.code == 0, ended.stderr
    assert "->" not in ended.stderr, "it writes no file"
    assert server.charges("(drained)") == ["a (drained)"]
    left = invoke("queue", "--json", env=env).json
    assert [(one["item"], one["state"], one["runner"]) for one in left["submits"]] == [("b", "queued", "")]
    assert left["paid"] == 1


def test_all_is_cancelled_only_after_a_yes(project: Build, invoke: Run, server: Served, database: str) -> None:
    """It is shown first whose submits these are, and how many."""
    root, env = _checkout(project, server, "one", "{} (all)", "a", "b"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    asked = invoke("queue", "cancel", "--all", env=env)
    assert (asked.code, "error[not-confirmed]" in asked.stderr) == (4, True)
    assert "acme-blog" in asked.stderr
    assert "@" in asked.stderr
    assert invoke("queue", "--json", env=env).json["size"] == 2
    done = invoke("queue", "cancel", "--all", "--yes", "--json", env=env)
    assert (done.code, done.json["removed"]) == (0, ["a", "b"])


def test_a_queue_has_a_depth(project: Build, invoke: Run, server: Served, database: str) -> None:
    """More than an account may have waiting is refused as a whole, and what waits already is not counted twice."""
    root, env = _checkout(project, server, "one", "{} (deep)", "a", "b"), _env(database)
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace("api: {", "api: {max_queued: 1, "))
    full = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert (full.code, "error[queue-full]" in full.stderr, "`api.max_queued`, 1" in full.stderr) == (4, True, True)
    assert invoke("queue", "--json", env=env).json["size"] == 0
    for _ in range(2):
        assert invoke("apply", "--detach", "--yes", "--select", "a", cwd=root, env=env).code == 0


def test_a_full_queue_keeps_no_one_from_a_deposit_of_nothing_new(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """Such as one that was done before, or only withdraws what no item needs any more."""
    root, env = _checkout(project, server, "one", "{} (full)", "a", "b", "c"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace("api: {", "api: {max_queued: 1, "))
    again = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert again.code == 0, again.stderr
    assert invoke("queue", "--json", env=env).json["size"] == 3


def test_an_idle_worker_is_woken_by_a_deposit(project: Build, invoke: Run, server: Served, database: str) -> None:
    """It looks by itself only now and then."""
    root, env = _checkout(project, server, "one", "{} (woken)", "a", "b"), _env(database)
    assert invoke("apply", "--detach", "--yes", "--select", "a", cwd=root, env=env).code == 0
    with started(root, "work", env=env) as worker:
        worker.until("item-done")
        time.sleep(1.0)  # until it has nothing to do, and rests
        assert invoke("apply", "--detach", "--yes", "--priority", "5", cwd=root, env=env).code == 0
        begin = time.monotonic()
        worker.until("item-started")
        assert time.monotonic() - begin < QUIET / 2
        worker.kill()


def test_cancelled_items_are_not_submitted(project: Build, invoke: Run, server: Served, database: str) -> None:
    """What is cancelled is out of the queue, and may be asked for again."""
    root, env = _checkout(project, server, "one", "{} (cancelled)", "a", "b"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    done = invoke("queue", "cancel", "a", env=env)
    assert (done.code, done.stdout.splitlines()[0]) == (0, "1 submit removed from the queue.")
    assert invoke("queue", "cancel", env=env).code == 64
    unknown = invoke("queue", "cancel", "nosuch", env=env)
    assert (unknown.code, "`nosuch`" in unknown.stderr, "not-queued" in unknown.stderr) == (64, True, True)
    assert invoke("work", "--once", "--quiet", env=env).code == 0
    assert server.charges("(cancelled)") == ["b (cancelled)"]
    assert "Queued 1 submit" in invoke("apply", "--detach", "--yes", cwd=root, env=env).stdout


def test_a_deposit_waits_for_no_apply(project: Build, invoke: Run, server: Served, database: str) -> None:
    """While an apply of the project runs, nothing is queued beside it; the exit code says so."""
    root, env = _checkout(project, server, "one", "{} (held)", "a"), _env(database)
    with applying(root, env=env) as running:
        running.until("step-done", "submit")
        found = invoke("apply", "--detach", "--yes", cwd=_checkout(project, server, "two", "{} (held)", "b"), env=env)
        assert running.end().code == 0
    assert found.code == 4
    assert "another `contentops` command works on this project" in found.stderr
    assert invoke("queue", "--json", env=env).json["size"] == 0


def test_what_needs_a_checkout_is_left_to_an_apply(project: Build, invoke: Run, server: Served, database: str) -> None:
    """Only submits are queued: what moves, saves or writes is counted, and stays to be done."""
    root, env = _checkout(project, server, "one", "{} (moving)", "a"), _env(database)
    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    (root / "out/a.md").unlink()
    (root / "content/blog.yaml").write_text(blog("a", "b", topic="{} (moving)"))
    done = invoke("apply", "--detach", "--yes", "--json", cwd=root, env=env)
    assert done.code == 0, done.stderr
    found = done.json["detached"]
    assert (found["queued"], found["credits"], found["known"], found["waiting"]) == (["b"], 4, [], 1)
    assert not (root / "out/a.md").exists()
    nothing = invoke("apply", "--detach", "--yes", "--select", "a", cwd=root, env=env)
    assert nothing.code == 0
    assert "1 change left to `contentops apply` at a checkout" in nothing.stdout


def test_where_there_is_no_ledger(project: Build, invoke: Run, server: Served) -> None:
    """It is said so, and what to do."""
    root = _checkout(project, server, "one", "{} (nowhere)", "a")
    env = {"WRITERZROOM_API_KEY": KEY}
    found = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert found.code == 1
    assert "CONTENTOPS_LEDGER" in found.stderr
    for command in ("work", "queue"):
        found = invoke(command, cwd=root, env=env)
        assert found.code == 64
        assert "CONTENTOPS_LEDGER" in found.stderr
        wrong = invoke(command, "--ledger", "postgresql://localhost:1/none", "--env", "nosuch", cwd=root, env=env)
        assert (wrong.code, "declares no environment `nosuch`" in wrong.stderr) == (64, True)


def test_what_an_edited_item_asked_for_is_taken_out_alone(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """The hint of the plan leaves in the queue what the item asks for now."""
    root, env = _checkout(project, server, "one", "{} (earlier)", "a"), _env(database)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    (root / "content/blog.yaml").write_text(blog("a", topic="{} (later)"))
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    (note,) = (one for one in invoke("plan", "--json", cwd=root, env=env).json["notes"] if one["kind"] == "queued")
    _, command, _ = note["hint"].split("`")
    assert invoke(*shlex.split(command)[1:], cwd=root, env=env).code == 0
    assert invoke("work", "--once", env=env).code == 0
    assert (server.charges("(earlier)"), server.charges("(later)")) == ([], ["a (later)"])
