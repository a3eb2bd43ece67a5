"""The queue of a ledger: what is deposited, claimed in turn, listed and cancelled."""

from __future__ import annotations

import shlex
import signal
import time
from typing import TYPE_CHECKING

import psycopg

from contentops.operations.worker.claims import QUIET
from tests.processes import KEY, Served, applying, blog, started, tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ledgers import Checkout, Go
    from tests.running import Run

STAGE_SECONDS = 0.1
DEPOSIT = ("apply", "--detach", "--yes")


def _files(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".contentops" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _limit(root: Path, most: int) -> None:
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace("api: {", f"api: {{max_queued: {most}, "))


def test_a_second_checkout_pays_for_nothing(checkout: Checkout, go: Go, served: Served) -> None:
    """What one paid for and did not push, the other one writes for nothing."""
    one, two = (checkout("{} (second)", "a", "b", at=at) for at in ("one", "two"))
    for root in (one, two):
        go("apply", "--yes", cwd=root)
    assert tree(one) == tree(two)
    assert served.charges("(second)") == ["a (second)", "b (second)"]


def test_what_is_deposited_is_worked_off_and_written_for_nothing(checkout: Checkout, go: Go, served: Served) -> None:
    """A deposit writes no more here than whose it is, and pays for nothing; a worker pays once; an apply writes the files for nothing."""
    root = checkout("{} (first)", "a", "b", "c")
    before = _files(root)
    assert "Queued 3 submits for 12 credits" in go(*DEPOSIT, cwd=root).stdout
    assert _files(root).keys() - before.keys() <= {"contentops.lock", ".gitattributes"}
    assert _files(root).items() >= before.items()
    assert not served.jobs("(first)")
    listed = go("queue", "--json").json
    assert [(one["item"], one["state"]) for one in listed["submits"]] == [(item, "queued") for item in "abc"]
    assert "Queued nothing." in go(*DEPOSIT, cwd=root).stdout
    go("work", "--once")
    assert served.charges("(first)") == ["a (first)", "b (first)", "c (first)"]
    assert go("queue", "--json").json["size"] == 0
    go("apply", "--yes", cwd=root)
    assert list(tree(root)) == ["out/a.md", "out/b.md", "out/c.md"]
    assert len(served.charges("(first)")) == 3


def test_a_project_that_is_renamed_while_it_waits_is_paid_once(checkout: Checkout, go: Go, served: Served) -> None:
    """The lock of the first deposit says whose it is, whatever the project is called by then."""
    root = checkout("{} (another name)", "a", "b")
    go(*DEPOSIT, cwd=root)
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace("acme-blog", "renamed"))
    for command in (DEPOSIT, ("work", "--once"), ("apply", "--yes")):
        go(*command, cwd=root)
    assert served.charges("(another name)") == ["a (another name)", "b (another name)"]


def test_a_plan_file_is_applied_beside_a_worker(checkout: Checkout, go: Go, served: Served) -> None:
    """What the worker has paid for is within what was reviewed: it is fetched for nothing."""
    root = checkout("{} (reviewed)", "a", "b")
    go("plan", "--out", "plan.json", cwd=root)
    for command in ((*DEPOSIT, "--select", "a"), ("work", "--once"), ("apply", "plan.json", "--yes")):
        go(*command, cwd=root)
    assert served.charges("(reviewed)") == ["a (reviewed)", "b (reviewed)"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_texts_of_workers_move_with_their_server(checkout: Checkout, go: Go, served: Served, database: str) -> None:
    """`state mv --server`: what was paid for at the old address is written, and not paid for again."""
    root = checkout("{} (moved)", "a")
    for command in (DEPOSIT, ("work", "--once")):
        go(*command, cwd=root)
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace("127.0.0.1", "localhost"))
    old, new = (f"http://{host}:{served.port}" for host in ("127.0.0.1", "localhost"))
    go("state", "mv", "--server", old, new, cwd=root)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT server FROM contentops.text").fetchall() == [(new,)]
    assert go("apply", "--yes", "--json", cwd=root).json["run"]["credits"] == 0
    assert served.charges("(moved)") == ["a (moved)"]


def test_a_killed_worker_s_work_is_taken_over(checkout: Checkout, go: Go, served: Served, env: dict[str, str]) -> None:
    """The job that it had begun is polled by another worker, which had waited for the first job; nothing is paid twice."""
    root = checkout("{} (killed)", "a", "b", "c")
    go(*DEPOSIT, cwd=root)
    with started(root, "work", env=env) as first:
        first.until("step-done", "submit")
        with started(root, "work", "--once", env=env) as second:
            second.until("note")
            first.kill()
            ended = second.end()
    assert ended.code == 0, ended.stderr
    assert served.charges("(killed)") == ["a (killed)", "b (killed)", "c (killed)"]
    assert go("apply", "--yes", "--json", cwd=root).json["run"]["credits"] == 0


def test_a_killed_apply_s_job_is_polled_by_a_worker(
    checkout: Checkout, go: Go, served: Served, env: dict[str, str]
) -> None:
    """A worker keeps the text that an apply paid for, and submits nothing in its place."""
    root = checkout("{} (begun)", "a")
    with applying(root, env=env) as begun:
        begun.until("step-done", "submit")
        begun.kill()
    assert go("work", "--once", "--json").json["accounts"][0]["results"] == {"done": 1}
    assert go("apply", "--yes", "--json", cwd=root).json["run"]["credits"] == 0
    assert served.charges("(begun)") == ["a (begun)"]


def test_a_worker_drains_at_the_first_signal(checkout: Checkout, go: Go, served: Served, env: dict[str, str]) -> None:
    """SIGTERM ends it once what runs is done; what it did not submit stays queued and free."""
    root = checkout("{} (drained)", "a", "b")
    go(*DEPOSIT, cwd=root)
    with started(root, "work", env=env) as worker:
        worker.until("step-done", "submit")
        worker.signal(signal.SIGTERM)
        ended = worker.end()
    assert ended.code == 0, ended.stderr
    assert "->" not in ended.stderr, "it writes no file"
    assert served.charges("(drained)") == ["a (drained)"]
    left = go("queue", "--json").json
    assert [(one["item"], one["state"], one["runner"]) for one in left["submits"]] == [("b", "queued", "")]
    assert left["paid"] == 1


def test_all_is_cancelled_only_after_a_yes(checkout: Checkout, go: Go) -> None:
    """It is shown first whose submits these are, and how many."""
    root = checkout("{} (all)", "a", "b")
    go(*DEPOSIT, cwd=root)
    asked = go("queue", "cancel", "--all", code=4).stderr
    assert all(words in asked for words in ("error[not-confirmed]", "acme-blog", "@"))
    assert go("queue", "--json").json["size"] == 2
    assert go("queue", "cancel", "--all", "--yes", "--json").json["removed"] == ["a", "b"]


def test_a_queue_has_a_depth(checkout: Checkout, go: Go) -> None:
    """More than an account may have waiting is refused as a whole; what waits already, or is withdrawn, is not counted."""
    root = checkout("{} (deep)", "a", "b")
    _limit(root, 1)
    full = go(*DEPOSIT, cwd=root, code=4).stderr
    assert ("error[queue-full]" in full, "`api.max_queued`, 1" in full) == (True, True)
    assert go("queue", "--json").json["size"] == 0
    for _ in range(2):
        go(*DEPOSIT, "--select", "a", cwd=root)
    other = checkout("{} (full)", "a", "b", "c", at="two")
    go(*DEPOSIT, cwd=other)
    _limit(other, 1)
    go(*DEPOSIT, cwd=other)


def test_an_idle_worker_is_woken_by_a_deposit(checkout: Checkout, go: Go, env: dict[str, str]) -> None:
    """It looks by itself only now and then."""
    root = checkout("{} (woken)", "a", "b")
    go(*DEPOSIT, "--select", "a", cwd=root)
    with started(root, "work", env=env) as worker:
        worker.until("item-done")
        time.sleep(1.0)  # until it has nothing to do, and rests
        go(*DEPOSIT, "--priority", "5", cwd=root)
        begin = time.monotonic()
        worker.until("item-started")
        assert time.monotonic() - begin < QUIET / 2
        worker.kill()


def test_cancelled_items_are_not_submitted(checkout: Checkout, go: Go, served: Served) -> None:
    """What is cancelled is out of the queue, and may be requested again."""
    root = checkout("{} (cancelled)", "a", "b")
    go(*DEPOSIT, cwd=root)
    assert go("queue", "cancel", "a").stdout.splitlines()[0] == "1 submit removed from the queue."
    go("queue", "cancel", code=64)
    unknown = go("queue", "cancel", "nosuch", code=64).stderr
    assert ("`nosuch`" in unknown, "not-queued" in unknown) == (True, True)
    go("work", "--once", "--quiet")
    assert served.charges("(cancelled)") == ["b (cancelled)"]
    assert "Queued 1 submit" in go(*DEPOSIT, cwd=root).stdout


def test_a_deposit_waits_for_no_apply(checkout: Checkout, go: Go, env: dict[str, str]) -> None:
    """While an apply of the project runs, nothing is queued beside it; the exit code says so."""
    with applying(checkout("{} (held)", "a"), env=env) as running:
        running.until("step-done", "submit")
        said = go(*DEPOSIT, cwd=checkout("{} (held)", "b", at="two"), code=4).stderr
        assert running.end().code == 0
    assert "another `contentops` command works on this project" in said
    assert go("queue", "--json").json["size"] == 0


def test_what_needs_a_checkout_is_left_to_an_apply(checkout: Checkout, go: Go) -> None:
    """Only submits are queued: what moves, saves or writes is counted, and stays to be done."""
    root = checkout("{} (moving)", "a")
    go("apply", "--yes", cwd=root)
    (root / "out/a.md").unlink()
    (root / "content/blog.yaml").write_text(blog("a", "b", topic="{} (moving)"))
    found = go(*DEPOSIT, "--json", cwd=root).json["detached"]
    assert (found["queued"], found["credits"], found["known"], found["waiting"]) == (["b"], 4, [], 1)
    assert not (root / "out/a.md").exists()
    nothing = go(*DEPOSIT, "--select", "a", cwd=root).stdout
    assert "1 change left to `contentops apply` in a checkout" in nothing


def test_where_there_is_no_ledger(checkout: Checkout, invoke: Run) -> None:
    """It is said so, and what to do."""
    root = checkout("{} (nowhere)", "a")
    for command, code in ((DEPOSIT, 1), (("work",), 64), (("queue",), 64)):
        missing = invoke(*command, cwd=root, env={"WRITERZROOM_API_KEY": KEY})
        assert (missing.code, "CONTENTOPS_LEDGER" in missing.stderr) == (code, True)
    for name in ("work", "queue"):
        wrong = invoke(name, "--ledger", "postgresql://localhost:1/none", "--env", "nosuch", cwd=root)
        assert (wrong.code, "declares no environment `nosuch`" in wrong.stderr) == (64, True)


def test_what_an_edited_item_asked_for_is_taken_out_alone(checkout: Checkout, go: Go, served: Served) -> None:
    """The hint of the plan leaves in the queue what the item asks for now."""
    root = checkout("{} (earlier)", "a")
    go(*DEPOSIT, cwd=root)
    (root / "content/blog.yaml").write_text(blog("a", topic="{} (later)"))
    go(*DEPOSIT, cwd=root)
    (note,) = (one for one in go("plan", "--json", cwd=root).json["notes"] if one["kind"] == "queued")
    _, command, _ = note["hint"].split("`")
    go(*shlex.split(command)[1:], cwd=root)
    go("work", "--once")
    assert (served.charges("(earlier)"), served.charges("(later)")) == ([], ["a (later)"])


def test_an_item_that_waits_for_a_text_is_not_queued(checkout: Checkout, go: Go, served: Served) -> None:
    """A deposit queues what is known; whoever applies first goes on in waves, and the other checkout pays for nothing."""
    one, two = (checkout("{} (source)", "guide", at=at) for at in ("one", "two"))
    topic = "news (source) of {{ ref('guide').title }}"
    for root in (one, two):
        (root / "content/news.yaml").write_text(
            f'items: [{{id: news, inputs: {{topic: "{topic}", target_audience: all}}}}]\n'
        )
    assert "Queued 1 submit for 4 credits" in go(*DEPOSIT, cwd=one).stdout
    go("work", "--once")
    assert served.charges("(source)") == ["guide (source)"]
    assert "Queued nothing." in go(*DEPOSIT, cwd=two).stdout
    for root in (two, one):
        go("apply", "--yes", cwd=root)
    assert tree(one) == tree(two)
    assert len(tree(one)) == 2
    assert served.charges("(source)") == ["guide (source)", "news (source) of guide (source)"]
