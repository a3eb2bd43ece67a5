"""What was spent is a sum over jobs: each order once, never less than is sure, never more than at most, in any clone."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, structs

from contentops.digest import digest_text
from contentops.execution.primitives import iso
from contentops.model import Desired, ItemId, Job, JobState, MonthSpend, RequestId
from contentops.model.jobs import assigned, count_month, fold_jobs
from contentops.operations.plan import spent_this_month
from contentops.reporting.spend import add_spends, count_spend
from contentops.tokens import PaidTokens, TokenPrice
from tests.clones import NOBODY, WHO, git
from tests.fakes.api import FakeApi, on
from tests.fakes.clock import EPOCH
from tests.fakes.harness import Harness, blog, results
from tests.plans import make_job
from tests.repositories import cloned
from tests.test_promote import Room

# --- any jobs --------------------------------------------------------------------------------------------------

MONTHS = [datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (1, 2, 3, 4)]
TIMEOUT = 900.0
ENVIRONMENTS = ("", "prod", "staging")
PRICE = 4
_LOST = (JobState.SUBMITTING, JobState.UNKNOWN, JobState.GIVEN_UP)
_PAID = (JobState.RUNNING, JobState.PAID, JobState.SETTLED)


class Order(Struct, frozen=True):
    """An order: the lines that clones have of it, the furthest last, and what the server charged, and when."""

    lines: tuple[tuple[str, Job], ...]
    """Each with the environment whose file has it."""
    charged: int
    accepted: float
    job: str
    """The server's name of the job that was charged; empty: of none that anyone knows."""


@st.composite
def orders(draw: st.DrawFn) -> list[Order]:
    """Orders around the ends of months, whose lines are in the files of several environments and clones."""
    found: list[Order] = []
    known: dict[tuple[str, str], Order] = {}
    for number in range(draw(st.integers(0, 8))):
        # Every order has a time of its own.
        sent = draw(st.sampled_from(MONTHS)) + draw(st.integers(-1200, 1200)) + number / 100
        state = draw(st.sampled_from([*JobState]))
        server = draw(st.sampled_from(("local", "https://honours.test:443", "https://ignores.test:443")))
        name = f"request {draw(st.integers(0, 3))}, a name that is long enough"
        lost = draw(st.booleans())
        is_charged = state in _PAID or (state is JobState.FAILED and lost) or (state in _LOST and draw(st.booleans()))
        at = sent + draw(st.integers(-300, int(TIMEOUT))) if is_charged else sent
        job = (
            "" if state in (*_LOST, JobState.NEVER) else name if server != "https://ignores.test:443" else f"j{number}"
        )
        first = known.get((server, name))
        if job and first is not None and server == "https://honours.test:443" and first.job:
            # It answers a second order of the id with the job of the first one.
            at, is_charged = first.accepted, False
            state, lost = (first.lines[-1][1].state, first.lines[-1][1].lost)
        line = Job(
            request_id=RequestId(name), item=ItemId("a"), digest=digest_text(name), attempt=1, state=state,
            server=server, dialect="v1", credits=PRICE, job_id=job, submitted_at=iso(sent)[:-1] + f".{number:02}Z",
            accepted=iso(at) if job else "", lost=lost and state is JobState.FAILED,
        )  # fmt: skip
        earlier = [structs.replace(line, state=JobState.SUBMITTING, job_id="", accepted="", lost=False)]
        if line.job_id:
            earlier.append(structs.replace(line, state=JobState.RUNNING, lost=False))
        kept = draw(st.lists(st.sampled_from(earlier), max_size=2))
        # Of two orders that one job answers, an environment keeps one: its other line is open in any other environment.
        owners = ENVIRONMENTS if server != "https://honours.test:443" else [draw(st.sampled_from(ENVIRONMENTS))]
        lines = tuple((draw(st.sampled_from(owners)), each) for each in (*kept, line))
        found.append(Order(lines=lines, charged=PRICE if is_charged else 0, accepted=at, job=job))
        if job:
            known.setdefault((server, name), found[-1])
    return found


def files(found: list[Order], draw: st.DataObject) -> dict[str, list[Job]]:
    """The lines of each environment, in any order, some of them twice: as git's union merge leaves them."""
    lines = draw.draw(st.permutations([line for order in found for line in order.lines]))
    return {name: [line for owner, line in lines for _ in range(2) if owner == name] for name in ENVIRONMENTS}


@given(orders(), st.data())
def test_each_order_counts_once(found: list[Order], data: st.DataObject) -> None:
    """However many files and lines have it, and in one environment alone: the first by name that has it."""
    known = {name: fold_jobs(lines) for name, lines in files(found, data).items()}
    jobs = assigned(known)
    every = [job for each in jobs.values() for job in each]
    having = {(job.request_id, job.submitted_at): name for name in sorted(known)[::-1] for job in known[name]}
    assert all(having[job.request_id, job.submitted_at] == name for name, each in jobs.items() for job in each)
    # A server that honours ids has one job for all orders of one id that it answered.
    merged = {order.lines[-1][1].job_id for order in found if order.lines[-1][1].server == "https://honours.test:443"}
    answered = [order for order in found if order.lines[-1][1].server == "https://honours.test:443" and order.job]
    assert len(every) == len(found) - len(answered) + len(merged - {""})
    assert len({(job.request_id, job.submitted_at) for job in every}) == len(every)
    bill = sum(order.charged for order in found)
    spend = add_spends({name: count_spend(each, Desired()) for name, each in jobs.items()})
    assert spend.credits_sure <= bill <= spend.credits_at_most
    if all(job.is_sure or job.state is JobState.NEVER for job in every):
        assert spend.credits_sure == bill == spend.credits_at_most
    groups = {name: sum(row.credits for row in rows) for name, rows in spend.groups.items() if name != "tag"}
    assert set(groups.values()) == {spend.credits}


@given(orders(), st.data())
def test_the_bill_of_a_month_is_between_its_sums(found: list[Order], data: st.DataObject) -> None:
    """At the end of each month, from what is ordered by then."""
    for begin, end in zip(MONTHS, [*MONTHS[1:], MONTHS[-1] + 30 * 86400], strict=True):
        known = [order for order in found if max(_sent(order), order.accepted) < end]
        jobs = [
            job
            for each in assigned({name: fold_jobs(lines) for name, lines in files(known, data).items()}).values()
            for job in each
        ]
        spent = count_month(jobs, datetime.fromtimestamp(end - 1, UTC), TIMEOUT, None)
        bill = sum(order.charged for order in known if begin <= order.accepted < end)
        assert spent.credits - spent.credits_unsure <= bill <= spent.credits


def _sent(order: Order) -> float:
    return datetime.fromisoformat(order.lines[-1][1].submitted_at).timestamp()


# --- any clone -------------------------------------------------------------------------------------------------

MONTH = "budget: {credits_per_month: 100}\n"


def _commit(harness: Harness) -> None:
    git(harness.root, "add", "--all")
    git(harness.root, "commit", "--quiet", "--allow-empty", "--message", "Work")


def _text(harness: Harness, *items: str, year: int = 2026) -> None:
    harness.write("content/blog.yaml", blog(*items, year=year))
    assert set(results(harness.apply()).values()) == {"done"}


def _site(root: Path, **server: Any) -> Harness:
    """A project in a repository, with a budget of the month."""
    harness = Harness(root, FakeApi(duration=30, **server), extra=MONTH)
    git(root, "init", "--quiet", "--initial-branch", "main")
    return harness


def _spent(harness: Harness) -> MonthSpend:
    found = spent_this_month(harness.project, harness.runtime())
    assert found is not None
    return found


def _on_a_branch(harness: Harness) -> None:
    git(harness.root, "switch", "--quiet", "--create", "other")
    for year in (2027, 2028):
        _text(harness, "a", year=year)
        _commit(harness)
    git(harness.root, "switch", "--quiet", "main")


def _squashed(harness: Harness) -> None:
    _on_a_branch(harness)
    git(harness.root, "merge", "--quiet", "--squash", "other")
    _commit(harness)
    git(harness.root, "branch", "--quiet", "-D", "other")


def _rebased(harness: Harness) -> None:
    """On a commit of the main branch, with committer dates of another month."""
    _on_a_branch(harness)
    harness.write("README", "main")
    _commit(harness)
    env = {**os.environ, **WHO, "GIT_COMMITTER_DATE": "2025-12-01T00:00:00Z"}
    subprocess.run(["git", *NOBODY, "rebase", "--quiet", "main", "other"], cwd=harness.root, env=env, check=True)
    git(harness.root, "branch", "--quiet", "--force", "main", "other")
    git(harness.root, "switch", "--quiet", "main")


def _reverted(harness: Harness) -> None:
    """The commit of the results is reverted, and that of the jobs stays."""
    harness.applied("a", year=2027)
    git(harness.root, "add", "contentops.jobs")
    git(harness.root, "commit", "--quiet", "--message", "Jobs")
    _commit(harness)
    git(harness.root, "revert", "--no-edit", "HEAD")


@pytest.mark.parametrize("flags", [(), ("--depth", "1")], ids=["whole", "shallow"])
@pytest.mark.parametrize("story", [_squashed, _rebased, _reverted], ids=lambda story: story.__name__.strip("_"))
def test_every_clone_has_the_same_month(
    tmp_path: Path, story: Callable[[Harness], None], flags: tuple[str, ...], processes: None
) -> None:
    """It is what the server has charged, whatever git's history says."""
    harness = _site(tmp_path / "site")
    _text(harness, "a")
    _commit(harness)
    story(harness)
    clone = cloned(harness, tmp_path / "clone", *flags)
    for one in (harness, clone):
        spent = _spent(one)
        assert (spent.credits, spent.credits_unsure, spent.gaps) == (harness.api.credits, 0, ())
    # No journal, no cache and no git: the file says it all.
    for folder in (".git", ".contentops"):
        shutil.rmtree(clone.root / folder, ignore_errors=True)
    assert _spent(clone).credits == harness.api.credits


@pytest.mark.parametrize(("request_ids", "charges"), [("replay", 1), ("ignore", 2)])
def test_two_clones_make_the_same_and_merge(tmp_path: Path, request_ids: str, charges: int, processes: None) -> None:
    """A server that ignores our ids charges twice, and both count; one that honours them has one job for both."""
    harness = _site(tmp_path / "site", request_ids=request_ids)
    harness.applied("other")
    _commit(harness)
    clone = cloned(harness, tmp_path / "clone")
    for one in (harness, clone):
        _text(one, "a", "other")
        one.timeline.now += 60
        _commit(one)
    pull = ("pull", "--quiet", "--no-rebase", "--no-edit", "--strategy-option=ours", str(clone.root))
    git(harness.root, *pull)
    assert len(harness.api.generations) == 1 + charges
    assert (_spent(harness).credits, _spent(harness).credits_unsure) == (4 + 4 * charges, 0)
    harness.apply()
    assert (harness.plan().empty, len(harness.api.generations)) == (True, 1 + charges)


def test_a_lost_answer_that_another_clone_found_counts_once(tmp_path: Path, processes: None) -> None:
    """At most both orders, until the merge shows that one job answers both."""
    harness = _site(tmp_path / "site")
    harness.applied("other")
    _commit(harness)
    clone = cloned(harness, tmp_path / "clone")
    harness.write("content/blog.yaml", blog("a", "other"))
    harness.api.fault(on("submit", 2), "504")
    harness.api.fault(lambda name, _: name == "status", 503)
    harness.apply()
    harness.api.heal()
    _commit(harness)
    harness.timeline.now += 60
    _text(clone, "a", "other")
    _commit(clone)
    git(clone.root, "pull", "--quiet", "--no-rebase", "--no-edit", "--strategy-option=ours", str(harness.root))
    spent = _spent(clone)
    assert spent.credits - spent.credits_unsure <= harness.api.credits <= spent.credits


def test_an_environment_that_is_declared_no_more_still_counts(tmp_path: Path) -> None:
    """Its jobs are in its file: they answer requests, and are in the month."""
    harness = Harness(tmp_path, FakeApi(duration=30), extra=MONTH)
    settings = harness.read("contentops.yaml")
    harness.write("content/blog.yaml", blog("a"))
    Room(tmp_path, "staging", harness.api).apply()
    harness.write("contentops.yaml", settings)
    shutil.rmtree(tmp_path / ".contentops")
    assert _spent(harness).credits == harness.api.credits == 4
    assert not harness.plan().submits


def test_times_are_those_of_the_server(tmp_path: Path) -> None:
    """Its clock is a little behind: the order is of the month that its bill says."""
    march = datetime(2026, 3, 1, tzinfo=UTC).timestamp() - EPOCH
    harness = Harness(tmp_path, FakeApi(duration=30), extra=MONTH)
    harness.timeline.now = march + 60
    _text(harness, "a")
    jobs = harness.read("contentops.jobs")
    assert '"accepted":"2026-03-01T00:0' in jobs
    harness.write("contentops.jobs", jobs.replace('"accepted":"2026-03-01T00:0', '"accepted":"2026-02-28T23:5'))
    shutil.rmtree(tmp_path / ".contentops")
    assert (_spent(harness).month, _spent(harness).credits) == ("2026-03", 0)


# --- models of one's own ---------------------------------------------------------------------------------------

_USD = TokenPrice(input=1_000_000, output=2_000_000, currency="USD")
_MOST = PaidTokens(input=1_000_000, output=500_000, price=_USD)
_USED = PaidTokens(input=300_000, output=100_000, price=_USD)


def _local(at: str, state: JobState, **fields: Any) -> Job:
    stated = {"request_id": RequestId("one"), "job_id": "one", "model": "small", "credits": 0, "submitted_at": at}
    return make_job(**stated | {"state": state} | fields)


@pytest.mark.parametrize("price", [_USD, None], ids=["a price", "no engine and no price any more"])
def test_a_job_whose_tokens_no_one_knows_costs_what_it_may_cost(price: TokenPrice | None) -> None:
    """Open, lost, or done without a count: at the price of its day; a part of the sum that is not sure."""
    jobs = [
        _local("2026-03-02T00:00:00Z", JobState.SETTLED, tokens=_USED),
        _local("2026-03-03T00:00:00Z", JobState.SETTLED, bound=_MOST),
        _local("2026-03-04T00:00:00Z", JobState.RUNNING, bound=_MOST),
        _local("2026-03-05T00:00:00Z", JobState.FAILED, bound=_MOST, lost=True),
        _local("2026-03-06T00:00:00Z", JobState.NEVER, bound=_MOST, job_id=""),
    ]
    # Each clone has a bundled server of its own, which names its jobs by our id.
    assert len(fold_jobs(jobs)) == 5
    spent = count_month(fold_jobs(jobs), datetime(2026, 3, 9, tzinfo=UTC), TIMEOUT, price)
    assert (spent.money, spent.money_unsure) == ({"USD": "6.5"}, {"USD": "6"})
    report = count_spend(fold_jobs(jobs), Desired())
    assert (report.tokens.money, report.tokens.unknown) == (_USED.money, 2)
