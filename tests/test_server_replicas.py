"""Several real servers over one PostgreSQL, killed, frozen and cut off while clients submit and poll."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
import psycopg

from contentops.server.store import open_store
from tests.postgres import Cluster, until
from tests.running import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
    "generation_mode": "quick",
}
PATIENCE = 60.0
SEED = int(os.environ.get("CONTENTOPS_TEST_SEED", "7"))


class Replica:
    """`contentops serve` over a database, in a process of its own; use it as a context manager."""

    def __init__(self, address: str, log: Path, *options: str) -> None:
        self.name = log.stem
        self._address = f"{address}?application_name={self.name}"
        self._log = log
        with log.open("wb") as output:
            command = [sys.executable, "-m", "contentops", "serve", "--port", "0", "--quiet", *options]
            self._process = subprocess.Popen([*command, "--store", self._address], stderr=output, env=unmeasured())
        self.url = ""

    def __enter__(self) -> Self:
        until(lambda: "/v1" in self.text())
        self.url = self.text().removeprefix("listening on ").partition(" ")[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self._process.wait()

    def text(self) -> str:
        """What it logged."""
        return self._log.read_text()

    def settled(self) -> bool:
        """Whether it has a session again after it was cut off, or is gone."""
        return "answers again" in self.text() or self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def cut_off(self) -> None:
        """End its session, as the database does once it has been silent for long enough."""
        with psycopg.connect(self._address.partition("?")[0], autocommit=True) as connection:
            statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            connection.execute(statement, [self.name])


class Clients:
    """Threads that have texts made under ids of their own, asking one server after the other."""

    def __init__(self, replicas: list[Replica], count: int, jobs: int) -> None:
        self.replicas = replicas
        self.statuses: list[int] = []
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=([f"c{client}-{number}" for number in range(jobs)], client))
            for client in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()
        assert not self._failed

    @property
    def busy(self) -> bool:
        """Whether there is still something to be made."""
        return any(thread.is_alive() for thread in self._threads)

    def _work(self, ids: list[str], at: int) -> None:
        try:
            with httpx.Client(timeout=0.5) as http:
                for job in ids:
                    self._asked(http, at, "POST", "/generate", json={**BODY, "request_id": job})
                for number, job in enumerate(ids):
                    while self._asked(http, at + number, "GET", f"/generate/status/{job}")["status"] != "completed":
                        at += 1
        except BaseException as error:  # noqa: BLE001 - told at the end
            self._failed.append(error)

    def _asked(self, http: httpx.Client, at: int, method: str, path: str, **options: Any) -> Any:
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            at += 1
            replica = self.replicas[at % len(self.replicas)]
            with contextlib.suppress(httpx.TransportError):
                reply = http.request(method, f"{replica.url}{path}", **options)
                self.statuses.append(reply.status_code)
                if reply.status_code < 300:
                    return reply.json()
                assert (reply.status_code, reply.headers.get("retry-after")) == (503, "1"), reply.text
        message = f"{method} {path} is not answered"
        raise AssertionError(message)


def books(address: str) -> dict[str, int]:
    """What the store holds, counted in ways that agree where everything happened once."""
    with open_store(address) as store:
        jobs_by_id = {
            "jobs": "SELECT count(*) FROM jobs WHERE status = 'completed'",
            "open": "SELECT count(*) FROM jobs WHERE finished_at IS NULL",
            "charges": "SELECT count(*) FROM charges",
            "charged": "SELECT count(DISTINCT job_id) FROM charges",
            "contents": "SELECT count(*) FROM contents",
            "made": "SELECT count(*) FROM jobs JOIN contents ON contents.id = content_id AND contents.version = 1",
            "tallied": "SELECT sum(number) FROM tallies WHERE kind = 'content'",
            "credits": "SELECT sum(number) FROM tallies WHERE kind = 'credits'",
            "done": "SELECT sum(number) FROM tallies WHERE kind = 'job' AND name = 'completed'",
        }
        return {name: store.number(statement) for name, statement in jobs_by_id.items()}


def once(jobs: int) -> dict[str, int]:
    """The books where so many jobs were done once each."""
    return {
        **dict.fromkeys(("charges", "charged", "contents", "made", "tallied", "credits", "done"), jobs),
        "jobs": jobs,
        "open": 0,
    }


def test_servers_that_are_killed_and_frozen_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    """Every job ends once, with one charge and one content, whoever began it; one that wakes up changes nothing."""
    chance, numbers = random.Random(SEED), iter(range(99))
    with contextlib.ExitStack() as running:

        def started() -> Replica:
            return running.enter_context(
                Replica(database, tmp_path / f"r{next(numbers)}.log", "--stage-seconds", "0.05")
            )

        replicas = [started() for _ in range(3)]
        frozen: list[Replica] = []
        with Clients(replicas, 4, 10) as clients:
            for turn in range(4):
                time.sleep(chance.uniform(0.05, 0.25))
                number = chance.randrange(len(replicas))
                if turn % 2:
                    replicas[number].signal(signal.SIGKILL)
                else:
                    replicas[number].signal(signal.SIGSTOP)
                    time.sleep(chance.uniform(0.0, 0.1))
                    replicas[number].cut_off()
                    frozen.append(replicas[number])
                replicas[number] = started()
                if len(frozen) > 1:
                    frozen[0].signal(signal.SIGCONT)
            until(lambda: not clients.busy)
        assert books(database) == once(40)
        for replica in frozen:
            replica.signal(signal.SIGCONT)
            until(replica.settled)
        assert books(database) == once(40)
        assert not any("Traceback" in replica.text() for replica in [*replicas, *frozen])


def test_a_killed_servers_job_is_taken_up_at_once(database: str, tmp_path: Path) -> None:
    """No one has to ask for it: the other server finds it, and goes on where it was."""
    with (
        Replica(database, tmp_path / "slow.log", "--stage-seconds", "600") as slow,
        Replica(database, tmp_path / "quick.log") as _,
    ):
        assert httpx.post(f"{slow.url}/generate", json={**BODY, "request_id": "r"}).status_code == 202
        with open_store(database) as store:
            until(lambda: store.number("SELECT count(*) FROM jobs WHERE runner <> '' AND stage <> ''"))
            slow.signal(signal.SIGKILL)
            until(lambda: store.number("SELECT count(*) FROM jobs WHERE status = 'completed'"))
    assert books(database) == once(1)


def test_a_database_that_is_killed_comes_back_to_the_same_jobs(tmp_path: Path) -> None:
    """While it is gone requests get 503 and when to ask again; then everything goes on."""
    with Cluster() as cluster, contextlib.ExitStack() as running:
        names = ("first", "second")
        options = ("--stage-seconds", "0.1")
        replicas = [running.enter_context(Replica(cluster.url(), tmp_path / f"{name}.log", *options)) for name in names]
        with Clients(replicas, 2, 10) as clients:
            until(lambda: clients.statuses.count(202) >= 12)
            cluster.kill()
            until(lambda: clients.statuses.count(503) >= 10)
            cluster.start()
        assert books(cluster.url()) == once(20)
        logs = [replica.text() for replica in replicas]
        assert all("the database at 127.0.0.1" in log and "answers again" in log for log in logs)
        assert not any("Traceback" in log for log in logs)
