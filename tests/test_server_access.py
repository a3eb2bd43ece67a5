"""The embedded server's limit of requests, and lists that come in pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from contentops.server import contents
from contentops.server.app import WINDOW, RequestWindow
from contentops.server.store import Clock, Store
from tests.running import unmeasured

if TYPE_CHECKING:
    from tests.fakes.asgi import Bundled
    from tests.running import Build, Run


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_780_000_000.0

    def now(self) -> float:
        """The time it shows."""
        return self.at


def test_the_eleventh_request_in_a_minute_is_refused_in_both_shapes(bundled: Bundled) -> None:
    """A limit says how long to wait; a minute later it goes on. Health is not counted, nor is a wrong key."""
    hand = Hand()
    server = bundled(key="k-1", requests_per_minute=10, clock=Clock(now=hand.now))
    headers = {"Authorization": "Bearer k-1"}
    for number in range(10):
        hand.at += 1
        assert server.get("/v1/content", headers).status == 200, number
    refused = server.get("/v1/content", headers)
    assert (refused.status, refused.headers["retry-after"]) == (429, "51")
    message = "Rate limit exceeded: 10 per 1 minute"
    assert refused.json == {"error": {"code": "rate_limit_exceeded", "message": message}}
    assert server.get("/api/content", headers).json == {"error": message}
    assert server.get("/v1/health", headers).status == 200
    assert server.get("/v1/content", {"Authorization": "Bearer wrong"}).status == 401
    hand.at += 51
    assert server.get("/v1/content", headers).status == 200
    assert server.get("/v1/content", headers).status == 429


@given(steps=st.lists(st.floats(0, 40, allow_nan=False), max_size=60), most=st.integers(1, 5))
def test_no_minute_holds_more_than_the_limit(steps: list[float], most: int) -> None:
    """Whatever the times of requests, any 60 s hold at most N; who waits as told is let in."""
    hand = Hand()
    window = RequestWindow(hand.now)
    taken: list[float] = []
    for step in steps:
        hand.at += step
        try:
            window.take(most)
        except HTTPException as refusal:
            hand.at += float((refusal.headers or {})["Retry-After"])
            window.take(most)
        taken.append(hand.at)
    for first, last in zip(taken, taken[most:], strict=False):
        assert last - first >= WINDOW


def test_contents_come_in_pages(bundled: Bundled) -> None:
    """`page` and `limit` give a part, newest first; without them a thousand contents."""
    server = bundled()
    for number in range(5):
        server.post("/v1/content/save", {"title": f"T{number}"})
    listed = server.get("/v1/content?page=2&limit=2").json
    assert [entry["title"] for entry in listed["content"]] == ["T2", "T1"]
    assert (listed["page"], listed["limit"], listed["stats"]["total"]) == (2, 2, 5)
    first = server.get("/v1/content").json
    assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
    wrong = server.get("/api/content?page=x").json
    assert wrong["detail"][0]["loc"] == ["query", "page"]


def test_the_benchmark_of_growth_runs(tmp_path: Path, processes: None) -> None:
    """At a small size, each side gives its line with a ratio."""
    script = Path(__file__).parents[1] / "benchmarks" / "growth.py"
    command = [sys.executable, str(script), "--items", "2", "--before", "3"]
    done = subprocess.run(command, cwd=tmp_path, env=unmeasured(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == ["server", "serve", "client"]
    assert all(float(number) > 0 for line in lines for number in line[1:])


def test_every_content_is_listed_however_many_there_are(project: Build, invoke: Run) -> None:
    """`content list` goes on from page to page of a server that gives a thousand at a time."""
    root = project({"contentops.yaml": "version: 1\nproject: p\napi: {base_url: local}\n"})
    (root / ".contentops").mkdir(mode=0o700)
    with Store(root / ".contentops" / "local.db") as store, store.write():
        for number in range(2003):
            contents.save(store, contents.ContentChange(title=f"T{number}"), at=float(number))
    listed = invoke("content", "list", "--json").json
    assert len({entry["id"] for entry in listed["contents"]}) == 2003
