"""Faults injected into a ledger: worker processes that are killed and frozen, and a PostgreSQL that dies, on a rough road.

The workflow `examples` blows harder ones every week, as `python -m tests.ledger_fault_injection --minutes 10` does by hand.
"""

from __future__ import annotations

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

from contentops.errors import ExitCode
from tests.fakes.rough import Rough
from tests.postgres import Cluster, until
from tests.processes import KEY, PATIENCE, Served, blog
from tests.running import unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = """\
version: 1
project: {name}
api: {{base_url: "{base_url}", requests_per_minute: {rpm}, max_in_flight: {most}}}
defaults: {{template: blog_article_generator, style: general_blog}}
"""


@dataclass(kw_only=True)
class FaultPlan:
    """How hard it blows, and for what."""

    seed: int = 1
    items: int = 16
    """In each of two projects."""
    workers: int = 4
    rpm: int = 600
    most: int = 8
    """Jobs at a time in each worker."""
    kills: int = 6
    freezes: int = 3
    frozen: float = 1.0
    """Seconds that one stands still."""
    outages: int = 2
    away: float = 0.5
    """Seconds without a database."""
    pause: float = 0.3
    """Seconds between two blows, on average."""
    stage_seconds: float = 0.02
    patience: float = 120.0


@dataclass(kw_only=True)
class Damage:
    """What it did."""

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
    """Of workers that ended by themselves, or showed a traceback."""


_DRAINED = {0, ExitCode.INTERRUPTED, -signal.SIGTERM}
"""How a worker ends that was asked to; the last, where it had hardly begun."""


class Workers:
    """Processes of `contentops work`. Use it as a context manager."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, {**unmeasured(), **env}
        self.running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """One more."""
        log = self._folder / f"worker-{len(self._logs)}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "contentops", "work", *arguments],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.running.append(child)
        self._logs[child.pid] = log
        return child

    def said(self, child: subprocess.Popen[bytes]) -> str:
        """What one of them has said."""
        return self._logs[child.pid].read_text(errors="replace")

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """End it as a power cut would."""
        self.running.remove(child)
        child.kill()
        child.wait(PATIENCE)

    def ended(self) -> list[str]:
        """What those said that ended by themselves."""
        over = [child for child in self.running if child.poll() is not None]
        for child in over:
            self.running.remove(child)
        # One that began while there was no database says so and ends.
        return [f"a worker ended with {child.returncode}" for child in over if child.returncode != ExitCode.INCOMPLETE]

    def keep(self, number: int) -> list[str]:
        """Start others in place of those that ended, as an orchestrator does; returns as `ended`."""
        words = self.ended()
        while len(self.running) < number:
            self.start()
        return words

    def drain(self) -> list[int]:
        """Ask all to end; their exit codes."""
        for child in self.running:
            child.send_signal(signal.SIGTERM)
        codes = [child.wait(PATIENCE) for child in self.running]
        self.running.clear()
        return codes

    def tracebacks(self) -> list[str]:
        """What no one should ever see."""
        texts = (log.read_text(errors="replace") for log in self._logs.values())
        return [text[-2000:] for text in texts if "Traceback" in text or "Error:" in text]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in list(self.running):
            child.send_signal(signal.SIGCONT)
            self.kill(child)


@contextlib.contextmanager
def look(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A look into a database, while there is one."""
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        yield connection


def states(url: str) -> Counter[str]:
    """How many entries are in each state; empty while there is no database."""
    with contextlib.suppress(psycopg.Error), look(url) as connection:
        rows = connection.execute("SELECT state, count(*)::int FROM contentops.entry GROUP BY 1").fetchall()
        return Counter({str(state): int(str(count)) for state, count in rows})
    return Counter()


def projects(folder: Path, fault_plan: FaultPlan, base_url: str) -> dict[Path, list[str]]:
    """Two projects of one account, and the topics they ask for."""
    found: dict[Path, list[str]] = {}
    for name in ("red", "blue"):
        root = folder / name
        (root / "content").mkdir(parents=True)
        text = PROJECT.format(name=name, base_url=base_url, rpm=fault_plan.rpm, most=fault_plan.most)
        (root / "contentops.yaml").write_text(text)
        ids = [f"i{number:03}" for number in range(fault_plan.items)]
        topic = f"About {{}} of {name}"
        (root / "content/blog.yaml").write_text(blog(*ids, topic=topic))
        found[root] = [topic.format(each) for each in ids]
    return found


def contentops(root: Path, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a project."""
    return subprocess.run(
        [sys.executable, "-m", "contentops", *arguments],
        cwd=root,
        env={**unmeasured(), **env},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )


def inject_faults(folder: Path, fault_plan: FaultPlan) -> Damage:
    """Deposit, let workers work while it blows, apply at the checkouts, and see what was paid for."""
    chance, damage = random.Random(fault_plan.seed), Damage()
    with (
        Cluster() as cluster,
        Served(folder / "store.db", stage_seconds=fault_plan.stage_seconds) as served,
        Rough(served.port, fault_plan.seed) as road,
    ):
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": cluster.url()}
        roots = projects(folder, fault_plan, road.base_url)
        for root in roots:
            ended = contentops(root, env, "apply", "--detach", "--yes")
            assert ended.returncode == 0, ended.stdout + ended.stderr
        began, wanted = time.monotonic(), sum(map(len, roots.values()))
        with Workers(folder, env) as workers:
            # Where the first answer of a server is lost, a person has to say what became of it.
            road.smooth = True
            _until_paid(1, fault_plan, damage, cluster.url(), workers)
            road.smooth = False
            _inject_all(fault_plan, chance, damage, cluster, workers, road)
            road.smooth = True
            _until_paid(wanted, fault_plan, damage, cluster.url(), workers)
            codes = workers.drain()
            damage.words += [f"drained with {code}" for code in codes if code not in _DRAINED]
            damage.words += workers.tracebacks()
        damage.seconds = time.monotonic() - began
        damage.requests = len(road.seen)
        damage.most_in_a_minute, damage.most_in_a_second = road.most_within(60.0), road.most_within(0.95)
        _finish(roots, env)
        damage.charges = served.charges()
        return damage


def _until_paid(number: int, fault_plan: FaultPlan, damage: Damage, url: str, workers: Workers) -> None:
    """Wait for so many texts; tells what is left where they do not come."""

    def paid() -> bool:
        damage.words += workers.keep(fault_plan.workers)
        return states(url)["paid"] >= number

    try:
        until(paid, seconds=fault_plan.patience, every=0.1)
    except AssertionError:
        with look(url) as connection:
            rows = connection.execute(
                "SELECT item, state, runner, error, now() - changed_at, line FROM contentops.entry WHERE state <> 'paid'"
            ).fetchall()
        said = [workers.said(child)[-1000:] for child in workers.running]
        raise AssertionError(f"not paid: {rows}; the workers said: {said}; {damage}") from None


def _inject_all(
    fault_plan: FaultPlan, chance: random.Random, damage: Damage, cluster: Cluster, workers: Workers, road: Rough
) -> None:
    left = ["kill"] * fault_plan.kills + ["freeze"] * fault_plan.freezes + ["outage"] * fault_plan.outages
    chance.shuffle(left)
    thaw: list[tuple[float, subprocess.Popen[bytes]]] = []
    for what in left:
        time.sleep(chance.uniform(0, 2 * fault_plan.pause))
        damage.words += workers.keep(fault_plan.workers)
        still = [child for _, child in thaw]
        moving = [child for child in workers.running if child not in still]
        if what == "outage":
            _outage(fault_plan, chance, damage, cluster, road)
        elif moving:
            child = chance.choice(moving)
            if what == "kill":
                workers.kill(child)
                damage.kills += 1
            else:
                child.send_signal(signal.SIGSTOP)
                damage.freezes += 1
                thaw.append((time.monotonic() + chance.uniform(0, 2 * fault_plan.frozen), child))
        thaw = _thawed(thaw)
    while thaw:
        thaw = _thawed(thaw)
        time.sleep(0.02)


def _thawed(
    thaw: list[tuple[float, subprocess.Popen[bytes]]],
) -> list[tuple[float, subprocess.Popen[bytes]]]:
    now = time.monotonic()
    for at, child in thaw:
        if at <= now and child.poll() is None:
            child.send_signal(signal.SIGCONT)
    return [(at, child) for at, child in thaw if at > now]


def _outage(fault_plan: FaultPlan, chance: random.Random, damage: Damage, cluster: Cluster, road: Rough) -> None:
    cluster.kill()
    # What had left before may still be on its way.
    time.sleep(0.2)
    before = len(road.seen)
    time.sleep(chance.uniform(0, 2 * fault_plan.away))
    damage.while_away += sum(each.line.startswith("POST /v1/generate") for each in road.seen[before:])
    cluster.start()
    damage.outages += 1


def _finish(roots: Mapping[Path, list[str]], env: Mapping[str, str]) -> None:
    for root, topics in roots.items():
        ended = contentops(root, env, "apply", "--yes")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert len(list((root / "out").rglob("*.md"))) == len(topics)


def check(fault_plan: FaultPlan, damage: Damage, folder: Path) -> None:
    """What always holds."""
    wanted = sorted(f"About i{number:03} of {name}" for number in range(fault_plan.items) for name in ("red", "blue"))
    twice = [topic for topic, times in Counter(damage.charges).items() if times > 1]
    assert not twice, (fault_plan, folder, twice)
    assert damage.charges == wanted, (fault_plan, folder)
    assert damage.while_away == 0, (fault_plan, folder)
    assert damage.most_in_a_minute <= fault_plan.rpm, (fault_plan, folder)
    assert not damage.words, damage.words


def main() -> None:
    """Blow again and again, with other seeds, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    for name in ("items", "workers", "rpm", "kills", "freezes", "outages"):
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
