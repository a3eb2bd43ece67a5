"""Random sequences of faults, kills, edits and repeated applies in any order; nothing is paid twice, no word is lost."""

import contextlib
import functools
import itertools
import shutil
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contentops.errors import Refused
from contentops.execution.primitives import Stop
from contentops.model import Event, JobState
from contentops.operations.workspace import shared_state
from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, blog, quick_folder
from tests.fakes.kills import Death
from tests.fakes.ledger import HarnessLedger
from tests.running import examples

ITEMS = ("one", "two", "three")
FAULTS = ("refuse", "drop", "reset", "504", "500-after", "html", "truncated", "slow", 400, 404, 408, 409, 429, 500, 503)
LOST = ("reset", "504", "500-after", "truncated", "slow")
"""The request is carried out and its answer lost: what double payment is made of."""
CALLS = st.tuples(
    st.sampled_from(["status", "save", "list content", "get content", "put content"]),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(FAULTS),
)
SUBMITS = st.tuples(st.just("submit"), st.integers(1, 3), st.integers(1, 2), st.sampled_from(LOST + FAULTS))
"""What is called, which of the next such calls goes wrong first, how many do, and how."""
YEARS = st.tuples(*[st.sampled_from([2026, 2027])] * 3)
BY_HAND = "Words of a person."


class Faults(RuleBasedStateMachine):
    """One project, one server, and whatever can happen to both."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.harness: Harness
        self.years = dict.fromkeys(ITEMS, 2026)
        self.edited: dict[str, str] = {}
        self.killed = False
        self.most = 1
        """How often one request may be paid for."""
        self.ledger: HarnessLedger | None = None

    @initialize(
        request_ids=st.sampled_from(["replay", "overwrite", "reject", "ignore"]),
        auto_save=st.booleans(),
        names_request=st.booleans(),
        names_content=st.booleans(),
        create_only=st.booleans(),
        put=st.booleans(),
        early_404=st.sampled_from([0.0, 20.0]),
        status_body=st.sampled_from(["text", "text", "absent"]),
        checked=st.booleans(),
    )
    def build(self, *, auto_save: bool, names_content: bool, status_body: str, checked: bool, **habits: Any) -> None:
        """A server of some kind; where texts are `checked`, the first one about anything fails, and may be retried."""
        self.most = 2 if checked else 1
        if not (auto_save and names_content):
            status_body = "text"
        api = FakeApi(duration=40, auto_save=auto_save, names_content=names_content, status_body=status_body, **habits)
        self.harness = Harness(self.stack.enter_context(quick_folder()) / "project", api, ledger=self.ledger)
        self._declare()

    def _declare(self) -> None:
        checks = "defaults: {checks: {excludes: [Take 1.], retries: 1}}\n" if self.most > 1 else ""
        text = f"{checks}items:\n" + "".join(
            blog(item, year=year).removeprefix("items:\n") for item, year in self.years.items()
        )
        self.harness.write("content/blog.yaml", text)

    def teardown(self) -> None:
        """The folder goes."""
        with self.stack:
            if hasattr(self, "harness"):
                self._settles()

    # --- what happens -----------------------------------------------------------------------------------------

    def _fault(self, call: str, after: int, count: int, fault: Any) -> None:
        first = self.harness.api._counts.get(call, 0) + after  # refused connections count as well
        self.harness.api.fault(lambda name, n: name == call and first <= n < first + count, fault)

    @rule(years=YEARS, faults=st.lists(st.one_of(SUBMITS, CALLS), max_size=3))
    def apply(self, years: tuple[int, ...], faults: list[tuple[str, int, int, Any]]) -> None:
        """Specs change or not, and an apply meets faults or not."""
        self._rewrite(years)
        for fault in faults:
            self._fault(*fault)
        self.harness.apply()

    @rule(years=YEARS, fault=st.none() | SUBMITS, at=st.integers(1, 70))
    def die(self, years: tuple[int, ...], fault: tuple[str, int, int, Any] | None, at: int) -> None:
        """An apply that is killed at some step."""
        self._rewrite(years)
        if fault:
            self._fault(*fault)
        self.harness.death = Death(at)
        try:
            self.harness.apply()
        except Killed:
            self.killed = True
        self.harness.death = None

    @rule(turn=st.integers(1, 40))
    def interrupt(self, turn: int) -> None:
        """An apply that is interrupted at some event."""
        stop, seen = Stop(), 0

        def emit(_: Event) -> None:
            nonlocal seen
            seen += 1
            if seen == turn:
                stop.request()

        self.harness.apply(stop=stop, emit=emit)

    @rule(deadline=st.integers(1, 200))
    def hurry(self, deadline: int) -> None:
        """An apply with a deadline."""
        self.harness.apply(deadline=deadline)

    @rule(seconds=st.sampled_from([1, 60, 2000, 100_000]))
    def wait(self, seconds: int) -> None:
        """Nothing happens for a while."""
        self.harness.timeline.now += seconds

    def _rewrite(self, years: tuple[int, ...]) -> None:
        """Specs change, change back, or stay."""
        self.years = dict(zip(ITEMS, years, strict=True))
        self._declare()

    @rule(item=st.sampled_from(ITEMS), step=st.sampled_from(["submit", "poll", "write", "save", "fetch"]))
    def edit_meanwhile(self, item: str, step: str) -> None:
        """A spec changes, and a person edits the file just before some step of the apply."""
        self.years[item] = 4053 - self.years[item]
        self._declare()

        def emit(event: Event) -> None:
            if (event.kind, event.item, event.step) == ("step-started", item, step):
                self.edit(item)

        self.harness.apply(emit=emit)

    def edit(self, item: str) -> None:
        """A person edits a file."""
        path = self.harness.root / f"out/{item}.md"
        if path.is_file():
            text = path.read_text()
            if BY_HAND not in text:
                text += f"\n{BY_HAND}\n"
                path.write_text(text)
            self.edited[item] = text.split("---\n", 2)[2]

    @rule(item=st.sampled_from(ITEMS))
    def edit_now(self, item: str) -> None:
        """A person edits a file between applies."""
        self.edit(item)

    @precondition(lambda self: not self.edited)
    @rule()
    def lose_the_lock(self) -> None:
        """The machine is gone but for what git has; what no record names is asked for by our ids alone."""
        if self.harness.api.habits.request_ids in ("replay", "reject") and not self.harness.api.habits.early_404:
            self.harness.apply()
            shutil.rmtree(self.harness.root / ".contentops", ignore_errors=True)

    # --- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        """Every item and spec is paid for at most once, and once more where that was planned; no job fails."""
        if not hasattr(self, "harness"):
            return
        paid: dict[str, int] = {}
        for job in self.harness.api.charges:
            paid[job.topic] = paid.get(job.topic, 0) + 1
        assert all(times <= self.most for times in paid.values()), paid

    @invariant()
    def no_word_of_a_person_is_lost(self) -> None:
        """What a person wrote stands in the file."""
        for item, body in self.edited.items():
            assert body == Path(self.harness.root / f"out/{item}.md").read_text().split("---\n", 2)[2]

    def _settles(self) -> None:
        """Once the faults are over, a few applies end in a tree that needs nothing but a person's choices."""
        self.harness.api.heal()
        for _ in range(4):
            self.harness.apply()
            self.harness.timeline.now += 1000
        left = self.harness.plan()
        for change in left.changes:
            assert change.submits == 0 or change.action == "resolve", left
            assert change.blocked or change.action in ("resolve", "finish", "drain", "save"), left
        state, _ = shared_state(self.harness.project, self.harness.runtime())
        jobs = state.open_jobs.values()
        open_ = {job.item for job in jobs if job.state is not JobState.FAILED}
        open_ |= {change.id for change in left.changes if change.blocked == "checks-failed"}
        for item, year in self.years.items():
            if item in self.edited or item in open_:
                continue
            # A file written for another spec just before a kill counts as a person's, since no record knows it.
            wanted = f"All about {item} in {year}" if not self.killed else f"All about {item} in "
            assert wanted in self.harness.read(f"out/{item}.md"), left
        self.nothing_is_paid_twice()
        self.no_word_of_a_person_is_lost()


TestFaults = Faults.TestCase
TestFaults.settings = settings(
    max_examples=examples(15, 300),
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class SharedFaults(Faults):
    """The same over a ledger, with other checkouts that come, apply, and are gone with all they did not push."""

    def __init__(self, ledger: HarnessLedger) -> None:
        super().__init__()
        self.ledger = ledger
        ledger.put_back({})
        self._places = itertools.count()

    @rule(faults=st.lists(SUBMITS, max_size=2), at=st.none() | st.integers(1, 60))
    def elsewhere(self, faults: list[tuple[str, int, int, Any]], at: int | None) -> None:
        """Another checkout, which no one has pushed to and which may die, applies what stands in the manifests."""
        harness = self.harness
        place = harness.root.with_name(f"other {next(self._places)}")
        other = Harness(place, harness.api, timeline=harness.timeline, ledger=harness.ledger)
        other.write("content/blog.yaml", harness.read("content/blog.yaml"))
        for fault in faults:
            self._fault(*fault)
        other.death = None if at is None else Death(at)
        # What is recorded in a checkout and was not pushed from there is not made again.
        with contextlib.suppress(Killed, Refused):
            other.apply()


def test_faults_over_a_ledger(database: str) -> None:
    """Nothing is paid twice and no word is lost, whichever checkout does what."""
    with contextlib.closing(HarnessLedger(database)) as ledger:
        machine = cast("type[SharedFaults]", functools.partial(SharedFaults, ledger))
        run_state_machine_as_test(machine, settings=settings(TestFaults.settings, max_examples=examples(3, 50)))
