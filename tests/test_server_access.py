"""The embedded server's limit of requests; and what grows costs no more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from contentops.server import contents
from contentops.server.access import WINDOW, RequestWindow
from contentops.server.store import Clock, Store
from tests.running import unmeasured

if TYPE_CHECKING:
    from contentops.server.store import Values
    from tests.fakes.asgi import Bundled
    from tests.running import Build, Run

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
}


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


def test_nothing_is_limited_unless_asked(bundled: Bundled) -> None:
    """In process and on loopback no limit is in the way; one that is asked for counts all requests together."""
    server = bundled()
    assert {server.get("/v1/content").status for _ in range(50)} == {200}
    tight = bundled(requests_per_minute=2)
    assert [tight.get("/v1/content", {"X-User-ID": user}).status for user in ("a", "b", "c")] == [200, 200, 429]


@given(
    steps=st.lists(st.floats(0, 40, allow_nan=False), max_size=60),
    most=st.integers(1, 5),
)
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


def test_a_clock_that_is_set_back_locks_no_one_out() -> None:
    """What seems to lie in the future no longer counts."""
    hand = Hand()
    window = RequestWindow(hand.now)
    window.take(1)
    hand.at -= 86_400
    window.take(1)
    with pytest.raises(HTTPException):
        window.take(1)


def test_contents_and_charges_come_in_pages(bundled: Bundled) -> None:
    """`page` and `limit` give a part, newest first; without them a thousand contents, a hundred charges."""
    server = bundled()
    for number in range(5):
        server.post("/v1/content/save", {"title": f"T{number}"})
    listed = server.get("/v1/content?page=2&limit=2").json
    assert [entry["title"] for entry in listed["content"]] == ["T2", "T1"]
    assert (listed["page"], listed["limit"], listed["stats"]["total"]) == (2, 2, 5)
    first = server.get("/v1/content").json
    assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
    for name in ("r-1", "r-2", "r-3"):
        server.submit({**BODY, "request_id": name})
        server.finished(name)
    newest = server.get("/v1/credits/history?limit=1").json["transactions"]
    assert [entry["request_id"] for entry in newest] == ["r-3"]
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


class Watched(Store):
    """A store that keeps every statement it was given, with its values."""

    def __init__(self) -> None:
        self.seen: dict[str, Values] = {}
        super().__init__(None)

    def run(self, statement: str, values: Values = ()) -> int:
        self.seen[statement] = values
        return super().run(statement, values)

    def rows(self, statement: str, values: Values = ()) -> Any:
        self.seen[statement] = values
        return super().rows(statement, values)


def test_no_statement_reads_all_that_was_ever_made(bundled: Bundled) -> None:
    """Each goes through an index to what it is about; only numbers of all rows are counted, in an index, without texts."""
    store = Watched()
    store.seen.clear()
    server = bundled(store)
    server.submit({**BODY, "request_id": "r-1"})
    made = server.finished("r-1")["content"]
    heading = made["body"].partition("## ")[2].split("\n")[0]
    again = {"content_id": made["id"], "section": heading, "request_id": "r-2"}
    server.post("/v1/content/regenerate-section", again)
    server.finished("r-2")
    server.submit({**BODY, "inputs": {}, "request_id": "r-3"})
    assert server.finished("r-3")["status"] == "failed"
    path = f"/v1/content/{made['id']}"
    for method, where, body in (
        ("GET", "/v1/content?page=1&limit=2", None),
        ("GET", "/v1/content", None),
        ("GET", "/v1/dashboard/stats", None),
        ("GET", "/v1/credits/usage", None),
        ("GET", "/v1/credits/history", None),
        ("POST", "/v1/content/save", {"content": "a"}),
        ("PUT", path, {"title": "New"}),
        ("GET", path, None),
        ("DELETE", path, None),
    ):
        assert server(method, where, body).status == 200, where
    seen = {text: values for text, values in store.seen.items() if text.split()[0] in {"SELECT", "UPDATE", "DELETE"}}
    assert len(seen) > 15
    fresh = Store()
    for text, values in seen.items():
        plan = [str(row["detail"]) for row in fresh.rows(f"EXPLAIN QUERY PLAN {text}", values)]
        if "count(*)" in text:
            assert all("USING COVERING INDEX" in line for line in plan), (text, plan)
        for line in plan:
            scans = re.match(r"SCAN (?:jobs|contents)(?! USING)", line)
            # Whether there is any at all is one step, however many there are.
            assert not scans or text.endswith(" LIMIT 1"), (text, plan)
            assert "TEMP B-TREE" not in line, (text, plan)


def test_the_model_engine_on_the_command_line(invoke: Run) -> None:
    """Settings that cannot work end the command before anything listens."""
    result = invoke("serve", "--engine", "openai", "--port", "0")
    assert (result.code, "needs a model; name it with `--model`" in result.stderr) == (1, True)
    env = {"OPENAI_BASE_URL": "http://10.0.0.1/v1", "OPENAI_API_KEY": "sk-hidden-123456"}
    result = invoke("serve", "--engine", "openai", "--model", "m", "--port", "0", env=env)
    assert (result.code, "plain http" in result.stderr, "sk-hidden" in result.stderr) == (1, True, False)
