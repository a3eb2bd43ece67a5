"""Random histories of three clones over one server: what was ordered is known, counted once, and never paid for again.

Merges are those of git without git: lines of the tables as a union, files by three sides. A step draws its details from
a seed of its own. `CONTENTOPS_TEST_HISTORIES` says how many histories are played (default: about a hundred), and
`CONTENTOPS_TEST_HISTORY_STEPS` how many steps each has.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from contentops.errors import ContentopsError, InputError
from contentops.model import Job, JobState, OnEdit, Project
from contentops.model.jobs import count_month, fold_jobs
from contentops.model.records import UNDECIDED
from contentops.operations import opening, state
from contentops.state import jobs as files
from tests.fakes.api import FakeApi, Generation, Killed, Stored
from tests.fakes.clock import EPOCH, Timeline
from tests.fakes.harness import Harness, quick_folder
from tests.fakes.kills import Death
from tests.running import examples

HISTORIES = int(os.environ.get("CONTENTOPS_TEST_HISTORIES", "0")) or examples(100)
STEPS = int(os.environ.get("CONTENTOPS_TEST_HISTORY_STEPS", "12"))
IDS, TOPICS = "abcd", "123456"
ENVIRONMENTS = ("staging", "prod")
LOST = ("reset", "504", "500-after", "truncated", "refuse", "drop", 429, 500, 503)
WORD = re.compile(r"zq\d+q")
JOB_TIMEOUT = 900.0
SEEDS = st.integers(0, 10**6)
CLONES = st.integers(0, 2)


class Commit(NamedTuple):
    """What a commit has: the manifest as a value, and every other file."""

    number: int
    items: Mapping[str, str]
    moved: Mapping[str, str]
    tree: Mapping[str, bytes]
    parents: tuple[Commit, ...] = ()

    def ancestors(self) -> dict[int, Commit]:
        """It and all before it."""
        found, rest = dict[int, Commit](), [self]
        while rest:
            commit = rest.pop()
            if commit.number not in found:
                found[commit.number] = commit
                rest += commit.parents
        return found


class Tagging(FakeApi):
    """A server that makes ids of its own, and writes ours into the metadata of what it stores."""

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        job = next((each for each in self.generations if each.job_id == metadata.get("request_id")), None)
        return super()._create(title, body, metadata | ({"request_id": job.request_id} if job else {}), at=at)


class Clone(Harness):
    """One clone of the project: its files, its manifest, its newest commit, and commands in an environment."""

    environment = "staging"

    def __init__(self, root: Path, api: FakeApi, timeline: Timeline, settings_: str, head: Commit) -> None:
        super().__init__(root, api, timeline=timeline)
        self.write("contentops.yaml", settings_)
        self.head = head
        self.check_out(head)

    @property
    def project(self) -> Project:
        return opening.open_project(str(self.root), self.environment, ())

    def check_out(self, commit: Commit) -> None:
        """The files of a commit, and no others; what git ignores stays."""
        self.head, self.items, self.moved = commit, dict(commit.items), dict(commit.moved)
        for path in self.tracked().keys() - commit.tree.keys():
            (self.root / path).unlink()
        for path, data in commit.tree.items():
            (self.root / path).parent.mkdir(exist_ok=True)
            (self.root / path).write_bytes(data)
        self.declare()

    def tracked(self) -> dict[str, bytes]:
        """Every file of git but the manifest and the settings."""
        found: dict[str, bytes] = {}
        for name in ("contentops*.lock", "contentops*.jobs", ".gitattributes", "staging/*", "prod/*"):
            found |= {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.glob(name)}
        return found

    def declare(self) -> None:
        """Write the manifest."""
        items = [
            {"id": id_, "inputs": {"topic": f"q{topic}", "target_audience": "all"}} for id_, topic in self.items.items()
        ]
        moved = [{"from": old, "to": new} for new, old in self.moved.items()]
        manifest = {"items": items} | ({"moved": moved} if moved else {})
        self.write("content/a.yaml", json.dumps(manifest))

    def lines(self) -> list[Job]:
        """Every line of jobs that this clone has, of all environments."""
        lines: list[Job] = []
        for path in (*self.root.glob("contentops*.jobs"), *self.root.glob(".contentops/**/jobs*.jsonl")):
            lines += files.read(path.read_bytes(), path.name, torn=path.suffix == ".jsonl")[1].values()
        return lines

    def known(self) -> list[Job]:
        """Every order that this clone knows."""
        return fold_jobs(self.lines())

    def words(self) -> set[str]:
        """The words of people in its files, and in the copies that were kept."""
        kept = (path for path in self.root.glob(".contentops/**/*") if path.is_file() and path.suffix == ".md")
        texts = [path.read_bytes() for path in kept] + list(self.tracked().values())
        return {word for text in texts for word in WORD.findall(text.decode())}


def _three(base: Any, ours: Any, theirs: Any) -> Any:
    """What git makes of three sides; of a conflict, a person takes the greater one."""
    if theirs in (ours, base):
        return ours
    return theirs if ours == base else max(ours, theirs, key=lambda one: (one is not None, one))


def _three_of(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    keys = sorted({*base, *ours, *theirs})
    made = {key: _three(base.get(key), ours.get(key), theirs.get(key)) for key in keys}
    return {key: value for key, value in made.items() if value is not None}


def _union(rng: random.Random, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """`merge=union`: the lines of both; of a line that one side replaced, the old one stays where hunks touch."""
    before, one, other = (dict.fromkeys(each.splitlines()) for each in (base, ours, theirs))
    gone = {line for line in before if line not in one or line not in other}
    gone = {line for line in gone if rng.random() < 0.5 or (line not in one and line not in other)}
    lines = [line for line in (one | other) if line not in gone]
    header, rest = [line for line in lines if b"lineage" in line], [line for line in lines if b"lineage" not in line]
    rng.shuffle(rest)
    return b"".join(line + b"\n" for line in header + rest)


class Histories(RuleBasedStateMachine):
    """Three clones, two environments, one server, and people."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.clones: list[Clone] = []
        self.gone: list[Job] = []
        """Lines of clones that were deleted."""
        self.spoken = 0
        self.stated: Counter[str] = Counter()
        """How often a person said that a request may be paid for again."""

    @initialize(
        kind=st.sampled_from(["replay", "replay", "tags", "ignore", "reject"]),
        auto_save=st.booleans(),
        promotes=st.booleans(),
        fails=st.sampled_from(["", "", "q3"]),
    )
    def build(self, *, kind: str, auto_save: bool, promotes: bool, fails: str) -> None:
        """A server of some kind, and three clones of one first commit."""
        habits: dict[str, Any] = {
            "duration": 40,
            "auto_save": auto_save or kind == "tags",
            "fails": lambda inputs: "boom" if inputs["topic"] == fails else "",
        }
        self.api = Tagging(request_ids="ignore", **habits) if kind == "tags" else FakeApi(request_ids=kind, **habits)
        self.folder, self.honest = self.stack.enter_context(quick_folder()), kind in ("replay", "reject")
        self.promotes = promotes
        promote = ", promote_from: staging" if promotes else ""
        self.settings = (
            'version: 1\nproject: acme\napi: {base_url: "https://api.example.test/v1", requests_per_minute: 0}\n'
            "defaults: {template: blog_article_generator, style: general_blog}\nguards: {max_changed_ratio: 1}\n"
            "budget: {credits_per_month: 1000000}\n"
            f'output: "staging/{{{{ item.id }}}}.md"\nenvironments:\n  staging: {{}}\n'
            f'  prod: {{output: "prod/{{{{ item.id }}}}.md"{promote}}}\n'
        )
        root = Commit(0, {"a": "1", "b": "2"}, {}, {})
        founder = Clone(self.folder / "0", self.api, Harness(self.folder / "clock").timeline, self.settings, root)
        self.clones, self.commits = [founder], [root]
        self._run(founder, "staging")
        self._commit(founder)
        self.clones += [self._clone(str(number), founder.head) for number in (1, 2)]

    def _clone(self, name: str, head: Commit) -> Clone:
        return Clone(self.folder / name, self.api, self.clones[0].timeline, self.settings, head)

    def teardown(self) -> None:
        """In the end everyone merges and applies; then all is settled, and the folder goes."""
        with self.stack:
            if self.clones:
                self._end()

    # --- manifests and files ----------------------------------------------------------------------------------

    def _declare(self, clone: Clone, items: Mapping[str, str], moved: Mapping[str, str] | None = None) -> None:
        """People keep no edit that `validate` refuses."""
        if items and len(set(items.values())) == len(items):
            clone.items = dict(items)
            clone.moved = {
                new: old
                for new, old in (clone.moved if moved is None else moved).items()
                if new in items and old not in items
            }
            clone.declare()

    @rule(who=CLONES, id_=st.sampled_from(IDS), topic=st.sampled_from(TOPICS))
    def ask(self, who: int, id_: str, topic: str) -> None:
        """An item is new, or asks for another text."""
        clone = self.clones[who]
        self._declare(clone, clone.items | {id_: topic})

    @rule(who=CLONES, seed=SEEDS)
    def swap(self, who: int, seed: int) -> None:
        """Two items ask for what the other one asked for."""
        clone = self.clones[who]
        if len(clone.items) > 1:
            one, other = random.Random(seed).sample(sorted(clone.items), 2)
            self._declare(clone, clone.items | {one: clone.items[other], other: clone.items[one]})

    @rule(who=CLONES, seed=SEEDS)
    def remove(self, who: int, seed: int) -> None:
        """An item goes."""
        clone = self.clones[who]
        gone = random.Random(seed).choice(sorted(clone.items))
        self._declare(clone, {id_: topic for id_, topic in clone.items.items() if id_ != gone})

    @rule(who=CLONES, seed=SEEDS, new=st.sampled_from(IDS), said=st.booleans())
    def rename(self, who: int, seed: int, new: str, *, said: bool) -> None:
        """An item gets another id, with `moved` or without it."""
        clone = self.clones[who]
        old = random.Random(seed).choice(sorted(clone.items))
        if new not in clone.items:
            items = {new if id_ == old else id_: topic for id_, topic in clone.items.items()}
            kept = {one: other for one, other in clone.moved.items() if new not in (one, other) and other != old}
            self._declare(clone, items, kept | ({new: old} if said else {}))

    @rule(who=CLONES, seed=SEEDS)
    def edit(self, who: int, seed: int) -> None:
        """A person writes into a file."""
        clone = self.clones[who]
        if paths := sorted(path for path in clone.tracked() if path.endswith(".md")):
            path = clone.root / random.Random(seed).choice(paths)
            self.spoken += 1
            path.write_text(f"{path.read_text()}\nzq{self.spoken}q\n")

    @rule(who=CLONES, seed=SEEDS)
    def delete(self, who: int, seed: int) -> None:
        """A person deletes a file that git has."""
        clone = self.clones[who]
        if paths := sorted(path for path in clone.head.tree if path.endswith(".md") and (clone.root / path).exists()):
            path = clone.root / random.Random(seed).choice(paths)
            if path.read_bytes() == clone.head.tree[str(path.relative_to(clone.root))]:
                path.unlink()

    # --- git ----------------------------------------------------------------------------------------------------

    def _commit(self, clone: Clone, *parents: Commit) -> None:
        made = Commit(len(self.commits), dict(clone.items), dict(clone.moved), clone.tracked(), (clone.head, *parents))
        self.commits.append(made)
        clone.head = made

    @rule(who=CLONES, other=CLONES, seed=SEEDS)
    def merge(self, who: int, other: int, seed: int) -> None:
        """What another clone has committed comes in."""
        self._merge(self.clones[who], self.clones[other].head, seed)

    def _merge(self, clone: Clone, theirs: Commit, seed: int) -> None:
        rng, ours = random.Random(seed), clone.head
        self._commit(clone)
        ours = clone.head
        mine, others = ours.ancestors(), theirs.ancestors()
        if theirs.number in mine:
            return
        base = max((commit for number, commit in mine.items() if number in others), key=lambda commit: commit.number)
        moved = _three_of(base.moved, ours.moved, theirs.moved)
        items = _three_of(base.items, ours.items, theirs.items)
        tree: dict[str, bytes] = {}
        for path in {*ours.tree, *theirs.tree}:
            sides = [commit.tree.get(path) for commit in (base, ours, theirs)]
            if path.endswith((".jobs", ".lock", ".gitattributes")):
                tree[path] = _union(rng, *(side or b"" for side in sides))
            elif (made := _three(*sides)) is not None:
                tree[path] = made
        clone.check_out(Commit(len(self.commits), *_mended(items, moved), tree, (ours, theirs)))
        self.commits.append(clone.head)

    @rule(who=CLONES)
    def reset(self, who: int) -> None:
        """A person goes back to the commit before; what was committed stays in git."""
        clone = self.clones[who]
        self._commit(clone)
        before = clone.head.parents[0]
        if before.parents:
            clone.check_out(before)

    @rule(who=CLONES, source=CLONES)
    def fresh(self, who: int, source: int) -> None:
        """A clone is deleted, and made again from what another one has committed."""
        old, head = self.clones[who], self.clones[source].head
        self._commit(old)
        self.gone += old.lines()
        shutil.rmtree(old.root)
        self.clones[who] = self._clone(old.root.name, head)

    # --- contentops ---------------------------------------------------------------------------------------------

    @rule(who=CLONES, where=st.sampled_from(ENVIRONMENTS), seed=SEEDS)
    def apply(self, who: int, where: str, seed: int) -> None:
        """An apply."""
        choice: dict[str, Any] = random.Random(seed).choice(
            [{}, {}, {"on_edit": OnEdit.OVERWRITE}, {"on_edit": OnEdit.KEEP}, {"prune": True}]
        )
        self._run(self.clones[who], where, **choice)

    @rule(
        who=CLONES,
        where=st.sampled_from(ENVIRONMENTS),
        at=st.none() | st.integers(1, 60),
        fault=st.none() | st.tuples(st.integers(1, 3), st.sampled_from(LOST)),
        seed=SEEDS,
    )
    def stumble(self, who: int, where: str, at: int | None, fault: tuple[int, Any] | None, seed: int) -> None:
        """An apply that is killed at some step, or loses an answer, or both."""
        self._run(self.clones[who], where, at=at, fault=fault, replace=self._replaced(self.clones[who], seed))

    def _replaced(self, clone: Clone, seed: int) -> tuple[str, ...]:
        rng = random.Random(seed)
        return (rng.choice(sorted(clone.items)),) if rng.random() < 0.2 else ()

    @rule(who=CLONES, seed=SEEDS)
    def both(self, who: int, seed: int) -> None:
        """An apply of each environment in one checkout, both killed."""
        rng = random.Random(seed)
        for where in rng.sample(ENVIRONMENTS, 2):
            self._run(self.clones[who], where, at=rng.randint(1, 60))

    @rule(who=CLONES, where=st.sampled_from(ENVIRONMENTS), seed=SEEDS)
    def resolve(self, who: int, where: str, seed: int) -> None:
        """A person says what became of a submit whose answer was lost."""
        clone = self.clones[who]
        clone.environment = where
        self._resolve(clone, random.Random(seed))

    def _resolve(self, clone: Clone, rng: random.Random) -> bool:
        """Answer every question of a clone; returns whether there were any."""
        submits = state.open_submits(clone.project)
        for submit in submits:
            job = submit.job
            made = [each for each in self.api.generations if each.request_id == job.request_id]
            named = {line.job_id for line in clone.lines()}
            if made and made[0].job_id not in named and rng.random() < 0.5:
                how: dict[str, Any] = {"job": made[0].job_id}
            else:
                how = {"forget": True}
                self.stated[job.digest] += 1
            with contextlib.suppress(ContentopsError):
                state.resolve(clone.project, job.item, request=job.request_id, **how)
        return bool(submits)

    @rule(days=st.sampled_from([0.1, 20]))
    def wait(self, days: float) -> None:
        """Time goes by."""
        self.clones[0].timeline.now += days * 86400

    def _run(
        self, clone: Clone, where: str, *, at: int | None = None, fault: tuple[int, Any] | None = None, **choice: Any
    ) -> None:
        """An apply: it pays for nothing that its clone knew, and loses no word."""
        clone.environment = where
        clone.timeline.now += 2  # two orders of one request are told apart by their second
        before, words, made = clone.known(), clone.words(), len(self.api.generations)
        if fault is not None:
            first = self.api._counts.get("submit", 0) + fault[0]
            self.api.fault(lambda name, n: name == "submit" and n == first, fault[1])
        clone.death = Death(at) if at is not None else None
        with contextlib.suppress(Killed, InputError):
            clone.apply(**choice)
        clone.death = None
        self.api.heal()
        lost = words - clone.words() - self._in_git()
        assert not lost, f"words {lost} are nowhere"
        self._check_orders(clone, before, self.api.generations[made:], choice.get("replace", ()))

    def _in_git(self) -> set[str]:
        return {
            word
            for commit in self.commits
            for path, data in commit.tree.items()
            if path.endswith(".md")
            for word in WORD.findall(data.decode())
        }

    def _check_orders(
        self, clone: Clone, before: Iterable[Job], made: Iterable[Generation], replaced: tuple[str, ...]
    ) -> None:
        """Nothing is ordered that a line of this clone said is running, has a text, or has lost its answer."""
        now = clone.known()
        lines: defaultdict[str, list[Job]] = defaultdict(list)
        for line in now:
            lines[line.request_id].append(line)
        undecided = {line.order for line in before if line.state in UNDECIDED}
        arrived_never = {line.order for line in now if line.state is JobState.NEVER} & undecided
        again = {clone.items.get(id_) for id_ in replaced}
        for job in made:
            assert lines[job.request_id], f"{job.topic} was paid for, and {clone.root.name} has no line of it"
            line = lines[job.request_id][-1]
            if job.topic[1:] in again or any(line.order in arrived_never for line in lines[job.request_id]):
                continue  # a person asked for it, or it goes out again as it never arrived
            if self.stated[line.digest]:
                self.stated[line.digest] -= 1
                continue
            for old in before:
                if old.digest == line.digest:
                    end = next(each for each in now if each.order == old.order or each.job_id == old.job_id != "")
                    good = {JobState.RUNNING, JobState.PAID, JobState.SETTLED}
                    assert old.state not in good or old.lost or end.lost or end.state is JobState.FAILED, (
                        f"{job.topic} was ordered although a job was {old.state}"
                    )
                    assert end.state not in (JobState.SUBMITTING, JobState.UNKNOWN), (
                        f"{job.topic} was ordered although an order is {end.state}"
                    )

    # --- the end ------------------------------------------------------------------------------------------------

    def _exchange(self) -> None:
        first = self.clones[0]
        for clone in self.clones[1:]:
            self._commit(clone)
            self._merge(first, clone.head, 1)
        for clone in self.clones[1:]:
            self._merge(clone, first.head, 2)

    def _end(self) -> None:
        """Everyone gives and takes what there is, answers every question, and applies."""
        self._exchange()
        self.clones[0].timeline.now += 3600
        # Once is enough: what one of them orders, the others know after the exchange. Long histories do it again.
        for _ in range(1 + (STEPS > 12)):
            for clone in self.clones:
                for where in ENVIRONMENTS:
                    self._run(clone, where)
                    if self._resolve(clone, random.Random(1)):
                        self._run(clone, where)
            self._exchange()
        lines = [line for clone in self.clones for line in clone.lines()]
        self._check_bill([*lines, *self.gone])
        jobs = fold_jobs(lines)
        # Of two orders of one id, one lost and one with a text, both stay: the lost one counts as perhaps paid.
        answered = {job.request_id for job in jobs if job.job_id}
        open_ = [job for job in jobs if job.state is JobState.RUNNING]
        open_ += [job for job in jobs if job.state in UNDECIDED and job.request_id not in answered]
        assert not open_, f"{open_[0].request_id} is {open_[0].state} for ever"
        # One of them is enough for a short history: they have the same files.
        for clone in self.clones if STEPS > 12 else [self.clones[len(self.commits) % 3]]:
            for _ in range(2):
                was = clone.tracked(), len(self.api.generations)
                for where in ENVIRONMENTS:
                    self._run(clone, where)
                if was == (clone.tracked(), len(self.api.generations)):
                    break
            else:
                message = "an apply after the last merge changed something"
                raise AssertionError(message)
            shared = fold_jobs(line for each in self.clones for line in each.lines())
            assert {*map(_name, clone.known())} == {*map(_name, shared)}, f"{clone.root.name} does not know every order"

    def _check_lines(self, jobs: Sequence[Job]) -> None:
        """Every charge is on exactly one line: that of its job, or an order whose job no one can name."""
        named = [job.job_id for job in jobs if job.job_id]
        assert len(named) == len(set(named)), "one charge is on two lines"
        loose = [job for job in jobs if not job.job_id and job.state is not JobState.NEVER]
        for charge in self.api.generations:
            if charge.job_id not in named:
                line = next((job for job in loose if job.request_id == charge.request_id), None)
                assert line is not None, f"the charge for {charge.topic} is on no line"
                loose.remove(line)

    def _check_bill(self, lines: Iterable[Job]) -> None:
        """Every charge is on exactly one line, and each month is within what the jobs say."""
        jobs = fold_jobs(lines)
        self._check_lines(jobs)
        first = datetime.fromtimestamp(EPOCH, UTC)
        months = (divmod(first.month - 1 + number, 12) for number in range(13))
        starts = (datetime(first.year + years, month + 1, 1, tzinfo=UTC) for years, month in months)
        for start, end in pairwise(starts):
            bill = sum(4 for job in self.api.charges if start.timestamp() <= EPOCH + job.started < end.timestamp())
            within = [job for job in jobs if datetime.fromisoformat(job.since) < end]
            now = start.replace(day=15)
            most = count_month(within, now, JOB_TIMEOUT, None).credits
            sure = count_month([job for job in within if not job.may_be_paid], now, JOB_TIMEOUT, None).credits
            # A month counts what seems to come later, too: no clock of another machine frees a budget.
            assert sure <= bill <= most, f"{now:%Y-%m}: {sure} to {most} by the jobs, {bill} by the bill"


def _name(job: Job) -> tuple[str, ...]:
    return job.request_id, job.submitted_at, job.job_id


def _mended(items: dict[str, str], moved: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What people make of a merge that `validate` refuses: one item for each request, one pair for each id."""
    kept: dict[str, str] = {}
    for id_, topic in items.items():
        kept[id_] = topic if topic not in kept.values() else f"{id_}{topic}"
    pairs: dict[str, str] = {}
    for new, old in moved.items():
        if new in kept and old not in kept and old not in pairs.values():
            pairs[new] = old
    return kept or {"a": "1"}, pairs


TestHistories = pytest.mark.timeout(max(300, 10 * HISTORIES))(Histories.TestCase)
TestHistories.settings = settings(
    max_examples=HISTORIES, stateful_step_count=STEPS, phases=[Phase.generate] if HISTORIES <= 1_000 else list(Phase),
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
