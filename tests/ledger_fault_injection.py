"""Faults injected into a ledger: applies that are killed and frozen, and a PostgreSQL that dies, on a rough road.

The workflow `examples` injects harder ones every week, as `python -m tests.ledger_fault_injection --minutes 10` does by
hand.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg

from contentops.errors import ExitCode
from tests.fakes.rough import Rough
from tests.postgres import Cluster, settled, until
from tests.processes import KEY, PATIENCE, Served, blog
from tests.running import unmeasured

PROJECT = """\
version: 1
project: {name}
api: {{base_url: "{base_url}", requests_per_minute: {rpm}, max_in_flight: {most}}}
defaults: {{template: blog_article_generator, style: general_blog}}
"""
PROJECTS = ("red", "blue")


@dataclass(kw_only=True)
class FaultPlan:
    """How many faults, and during what."""

    seed: int = 1
    items: int = 16
    """In each of two projects."""
    shards: int = 2
    """Checkouts of each project, each with its shard."""
    rpm: int = 600
    most: int = 8
    """Jobs at a time in each apply."""
    kills: int = 6
    freezes: int = 3
    frozen: float = 1.0
    """Seconds that one is stopped."""
    outages: int = 2
    away: float = 0.5
    """Seconds without a database."""
    pause: float = 0.3
    """Seconds between two faults, on average."""
    stage_seconds: float = 0.02
    patience: float = 120.0


@dataclass(kw_only=True)
class Damage:
    """What the faults did."""

    kills: int = 0
    freezes: int = 0
    outages: int = 0
    seconds: float = 0.0
    requests: int = 0
    most_in_a_minute: int = 0
    most_in_a_second: int = 0
    while_away: int = 0
    """Requests that pay and arrived while there was no database."""
    charges: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Of applies that ended in another way than with an exit code to run them again, or showed a traceback."""


_AGAIN = {ExitCode.INCOMPLETE, ExitCode.REFUSED, ExitCode.PAUSED, -signal.SIGKILL}
"""How an apply ends that is to be run again."""


class Applies:
    """A process of `contentops apply` for each checkout, with its options. Use it as a context manager."""

    def __init__(self, folder: Path, env: Mapping[str, str], checkouts: Mapping[Path, tuple[str, ...]]) -> None:
        self._folder, self._env = folder, {**unmeasured(), **env}
        self._left = dict(checkouts)
        """What is not done yet."""
        self.running: dict[Path, subprocess.Popen[bytes]] = {}
        self._logs: list[Path] = []

    def start(self, root: Path) -> subprocess.Popen[bytes]:
        """The apply of one checkout."""
        log = self._folder / f"apply-{len(self._logs)}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "contentops", "apply", "--yes", *self._left[root]], cwd=root, env=self._env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.running[root] = child
        self._logs.append(log)
        return child

    def keep(self) -> list[str]:
        """Start again what ended before it was done, as an orchestrator does; returns what ended in another way."""
        words: list[str] = []
        for root in list(self._left):
            child = self.running.get(root)
            code = None if child is None else child.poll()
            if child is not None and code is None:
                continue
            if code == ExitCode.DONE:
                del self._left[root], self.running[root]
                continue
            if code is not None and code not in _AGAIN:
                words.append(f"an apply ended with {code}: {self.said()}")
            self.start(root)
        return words

    @property
    def done(self) -> bool:
        """Whether every checkout is done."""
        return not self._left

    def said(self) -> list[str]:
        """The end of what each of them said."""
        return [log.read_text(errors="replace")[-1000:] for log in self._logs]

    def tracebacks(self) -> list[str]:
        """What no one should ever see."""
        texts = (log.read_text(errors="replace") for log in self._logs)
        return [text[-2000:] for text in texts if "Traceback" in text]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.running.values():
            child.send_signal(signal.SIGCONT)
            child.kill()
            child.wait(PATIENCE)


@contextlib.contextmanager
def look(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A look into a database, while there is one."""
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        yield connection


def states(url: str) -> Counter[str]:
    """How many entries are in each state; empty while there is no database."""
    with contextlib.suppress(psycopg.Error), look(url) as connection:
        rows = connection.execute("SELECT state::text, count(*)::int FROM contentops.job GROUP BY 1").fetchall()
        return Counter({str(state): int(str(count)) for state, count in rows})
    return Counter()


def checkout(root: Path, name: str, fault_plan: FaultPlan, base_url: str) -> Path:
    """A checkout of a project."""
    (root / "content").mkdir(parents=True)
    text = PROJECT.format(name=name, base_url=base_url, rpm=fault_plan.rpm, most=fault_plan.most)
    (root / "contentops.yaml").write_text(text)
    ids = [f"i{number:03}" for number in range(fault_plan.items)]
    (root / "content/blog.yaml").write_text(blog(*ids, topic=f"About {{}} of {name}"))
    return root


def contentops(root: Path, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a project."""
    return subprocess.run(
        [sys.executable, "-m", "contentops", *arguments], cwd=root, env={**unmeasured(), **env}, capture_output=True,
        text=True, timeout=3 * PATIENCE, check=False,
    )  # fmt: skip


def inject_faults(folder: Path, fault_plan: FaultPlan) -> Damage:
    """Apply the shards of two projects at once while faults happen, and see what was paid for."""
    chance, damage = random.Random(fault_plan.seed), Damage()
    with (
        Cluster() as cluster,
        Served(folder / "store.db", stage_seconds=fault_plan.stage_seconds) as served,
        Rough(served.port, fault_plan.seed) as road,
    ):
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": cluster.url()}
        shards = [(name, shard) for name in PROJECTS for shard in range(1, fault_plan.shards + 1)]
        roots = {
            checkout(folder / f"{name}-{shard}", name, fault_plan, road.base_url): (
                "--select",
                f"shard:{shard}/{fault_plan.shards}",
            )
            for name, shard in shards
        }
        began = time.monotonic()
        # Where the first answer of a server is lost, a person has to say what became of it.
        road.smooth = True
        first = contentops(next(iter(roots)), env, "apply", "--yes", "--select", "i000")
        assert first.returncode == 0, first.stdout + first.stderr
        road.smooth = False
        with Applies(folder, env, roots) as applies:
            _inject_all(fault_plan, chance, damage, cluster, applies, road)
            road.smooth = True
            _until_done(fault_plan, damage, cluster.url(), applies)
            damage.words += applies.tracebacks()
        damage.seconds = time.monotonic() - began
        damage.requests = len(road.seen)
        damage.most_in_a_minute, damage.most_in_a_second = road.most_within(60.0), road.most_within(0.95)
        for root in roots:
            # The other shards come from the ledger, for nothing.
            ended = contentops(root, env, "apply", "--yes")
            assert ended.returncode == 0, ended.stdout + ended.stderr
            assert len(list((root / "out").rglob("*.md"))) == fault_plan.items
        damage.charges = served.charges()
        return damage


def _until_done(fault_plan: FaultPlan, damage: Damage, url: str, applies: Applies) -> None:
    """Wait until every apply is done; says what is left where they do not end."""

    def done() -> bool:
        damage.words += applies.keep()
        return applies.done

    try:
        until(done, seconds=fault_plan.patience, every=0.1)
    except AssertionError:
        with look(url) as connection:
            rows = connection.execute(
                "SELECT state, now() - changed_at, line FROM contentops.job WHERE state < 'paid'"
            ).fetchall()
        raise AssertionError(f"not done: {rows}; the applies said: {applies.said()}; {damage}") from None


def _inject_all(
    fault_plan: FaultPlan, chance: random.Random, damage: Damage, cluster: Cluster, applies: Applies, road: Rough
) -> None:
    left = ["kill"] * fault_plan.kills + ["freeze"] * fault_plan.freezes + ["outage"] * fault_plan.outages
    chance.shuffle(left)
    thaw: list[tuple[float, subprocess.Popen[bytes]]] = []
    for what in left:
        damage.words += applies.keep()
        time.sleep(chance.uniform(0, 2 * fault_plan.pause))
        still = [child for _, child in thaw]
        moving = [child for child in applies.running.values() if child not in still and child.poll() is None]
        if what == "outage":
            _outage(fault_plan, chance, damage, cluster, road)
        elif moving:
            child = chance.choice(moving)
            if what == "kill":
                child.kill()
                child.wait(PATIENCE)
                damage.kills += 1
            else:
                child.send_signal(signal.SIGSTOP)
                damage.freezes += 1
                thaw.append((time.monotonic() + chance.uniform(0, 2 * fault_plan.frozen), child))
        thaw = _thawed(thaw)
    while thaw:
        thaw = _thawed(thaw)
        time.sleep(0.02)


def _thawed(thaw: list[tuple[float, subprocess.Popen[bytes]]]) -> list[tuple[float, subprocess.Popen[bytes]]]:
    now = time.monotonic()
    for at, child in thaw:
        if at <= now and child.poll() is None:
            child.send_signal(signal.SIGCONT)
    return [(at, child) for at, child in thaw if at > now]


def _outage(fault_plan: FaultPlan, chance: random.Random, damage: Damage, cluster: Cluster, road: Rough) -> None:
    def submits() -> int:
        return sum(each.line.startswith("POST /v1/generate") for each in road.seen)

    cluster.kill()
    # What was recorded before may still leave.
    before = settled(submits)
    time.sleep(chance.uniform(0, 2 * fault_plan.away))
    damage.while_away += submits() - before
    cluster.start()
    damage.outages += 1


def check(fault_plan: FaultPlan, damage: Damage, folder: Path) -> None:
    """What always holds."""
    wanted = sorted(f"About i{number:03} of {name}" for number in range(fault_plan.items) for name in PROJECTS)
    twice = [topic for topic, times in Counter(damage.charges).items() if times > 1]
    assert not twice, (fault_plan, folder, twice)
    assert damage.charges == wanted, (fault_plan, folder)
    assert damage.while_away == 0, (fault_plan, folder)
    assert damage.most_in_a_minute <= fault_plan.rpm, (fault_plan, folder)
    assert not damage.words, damage.words


def main() -> None:
    """Inject faults again and again, with other seeds, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    for name in ("items", "shards", "rpm", "kills", "freezes", "outages"):
        parser.add_argument(f"--{name}", type=int, default=getattr(FaultPlan, name))
    for name in ("frozen", "away", "pause", "stage-seconds", "patience"):
        parser.add_argument(f"--{name}", type=float, default=getattr(FaultPlan, name.replace("-", "_")))
    options = vars(parser.parse_args())
    until_ = time.monotonic() + 60 * options.pop("minutes")
    seed, total = options.pop("seed"), Counter[str]()
    while time.monotonic() < until_:
        fault_plan = FaultPlan(seed=seed, **options)
        folder = Path(tempfile.mkdtemp(prefix="faults-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        damage = inject_faults(folder, fault_plan)
        total.update(runs=1, charges=len(damage.charges), twice=len(damage.charges) - len(set(damage.charges)))
        for name in ("kills", "freezes", "outages", "requests", "while_away"):
            total[name] += getattr(damage, name)
        print(seed, damage.seconds, damage.most_in_a_minute, damage.most_in_a_second, dict(total), flush=True)  # noqa: T201
        check(fault_plan, damage, folder)
        seed += 1


if __name__ == "__main__":
    main()
