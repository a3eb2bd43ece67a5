"""Workers that are killed: how soon others have their work, and what they send under a limit."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import psycopg
import throughput
import timing
from ledger_parts.ground import CLAIMED, SETTINGS, deposited, ledger, paid

from tests.processes import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledger_parts.ground import Bench

    from tests.processes import Answer

LIMIT, WINDOW = 60, 60.0
"""Requests in so many seconds."""
LAG = 1.0
"""Seconds by which a request may arrive late on a busy machine: servers count arrivals, the limiter what leaves."""
PATIENCE = 60.0
"""Seconds until what should come soon counts as missing."""


class Counting:
    """The script of a server that counts what comes; jobs take about `took` seconds, log-normal with sigma 0.35."""

    def __init__(self) -> None:
        self.took = 0.2
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self.at: list[float] = []
        """When each request came."""
        self.submits: Counter[str] = Counter()
        """How often each id was submitted."""
        self._ends: dict[str, float] = {}

    def __call__(self, _method: str, path: str, body: bytes) -> Answer:
        """One answer."""
        now = time.monotonic()
        self.at.append(now)
        name = path.rsplit("/", 1)[1]
        found: dict[str, object] = {"templates": [], "content": []}
        if name == "generate":
            name = json.loads(body)["request_id"]
            self.submits[name] += 1
            self._ends.setdefault(name, now + self.took * self._chance.lognormvariate(0, 0.35))
            found = {"request_id": name, "status": "pending"}
        elif "/status/" in path:
            if name not in self._ends:
                return 404, {}, b'{"detail": "not found"}'
            found = {"request_id": name, "status": "processing"}
            if now >= self._ends[name]:
                content = {"title": f"T {name}", "body": throughput.TEXT}
                found = {"request_id": name, "status": "completed", "content": content}
        return 200, {}, json.dumps(found).encode()

    def most_within(self, window: float) -> int:
        """The most requests that came in so many seconds."""
        return max(sum(start <= each < start + window for each in self.at) for start in self.at)


class Crew:
    """Workers of one ledger, which can be killed; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._working: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._working:
            self.kill(0)

    def start(self) -> None:
        """One more."""
        command, silent = [*timing.CONTENTOPS, "work"], subprocess.DEVNULL
        child = subprocess.Popen(command, cwd=self._folder, stdout=silent, stderr=silent, env=timing.environment())
        self._working.append(child)

    def kill(self, which: int) -> None:
        """End one as a power cut would."""
        child = self._working.pop(which)
        child.kill()
        child.wait()


def known(folder: Path, address: str) -> None:
    """Some items of before, from which workers know the server and how long its jobs take."""
    deposited(folder / "first", SETTINGS.format(address=address, limit=0), throughput.FIRST)
    timing.spent([*timing.CONTENTOPS, "work", "--once"], folder)


def takeovers(bench: Bench) -> None:
    """How long after a SIGKILL another worker has all that the dead one held."""
    script, times = Counting(), []
    with ledger(bench.cluster) as url, Scripted(script) as server, timing.scratch() as folder:
        known(folder, server.base_url)
        script.took = 3600.0
        settings = SETTINGS.format(address=server.base_url, limit=0)
        deposited(folder / "more", settings, throughput.FIRST + CLAIMED)
        with Crew(folder) as crew, psycopg.connect(url, autocommit=True) as look:
            crew.start()
            until(lambda: alive(look) == [CLAIMED])
            for _ in range(2 * bench.runs):
                crew.start()
                until(lambda: alive(look) == [0, CLAIMED])
                crew.kill(0)
                begin = time.perf_counter()
                until(lambda: alive(look) == [CLAIMED])
                times.append(time.perf_counter() - begin)
    shown = f"{timing.seconds(statistics.median(times))}, worst of {len(times)}: {timing.seconds(max(times))}"
    timing.row(f"{CLAIMED} jobs taken over after SIGKILL, wall, in seconds", shown, "", max(times), 1)


def alive(look: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    """How many unfinished submits each worker that lives holds."""
    rows = look.execute("SELECT entries FROM contentops.runner_alive WHERE kind = 'worker'").fetchall()
    return sorted(int(str(held)) for (held,) in rows)


def limits(bench: Bench) -> None:
    """Requests and time of workers that are killed at random moments, against what the limit leaves possible."""
    script, chance = Counting(), random.Random(1)  # noqa: S311 - no secret
    least, most = 2 * bench.limited, LIMIT
    floor = (math.ceil(least / most) - 1) * WINDOW
    kills = sorted(chance.uniform(0.5, max(1.0, floor * 0.95)) for _ in range(bench.kills))
    with ledger(bench.cluster) as url, Scripted(script) as server, timing.scratch() as folder:
        script.took = bench.took
        known(folder, server.base_url)
        settings = SETTINGS.format(address=server.base_url, limit=most)
        deposited(folder / "more", settings, throughput.FIRST + bench.limited)
        with Crew(folder) as crew, psycopg.connect(url, autocommit=True) as look:
            script.at, begin = [], time.monotonic()
            for _ in range(3):
                crew.start()
            while paid(look) < throughput.FIRST + bench.limited:
                if kills and time.monotonic() - begin > kills[0]:
                    kills.pop(0)
                    crew.kill(chance.randrange(3))
                    crew.start()
                time.sleep(0.02)
            wall = time.monotonic() - begin
    twice, within = sum(each - 1 for each in script.submits.values()), script.most_within(WINDOW - LAG)
    counted = f"{within}; {script.most_within(WINDOW)} within {WINDOW:.0f} s"
    case = f"{bench.limited} items, {most} requests a minute, 3 workers, {bench.kills - len(kills)} kills"
    timing.row(f"{case}: requests", f"{len(script.at)}", f"{least}", len(script.at) / least, 1.05)
    timing.row("the same, wall", timing.seconds(wall), timing.seconds(floor), *((wall / floor, 1.05) if floor else ()))
    timing.row(f"most that arrive within {WINDOW - LAG:.0f} s", counted, f"{most}", within / most, 1)
    timing.row("submits sent twice", str(twice), "0", twice, 0)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that comes soon. Raises SystemExit where it does not."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit("what should have come did not")
        time.sleep(0.005)
