"""Every key of the embedded server has its own jobs and contents, and nothing costs more for what was made before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentops.server import contents
from contentops.server.accounts import AccountLimits
from contentops.server.sqlite import SqliteFile
from contentops.server.store import open_store
from tests.running import unmeasured
from tests.stores import stores

if TYPE_CHECKING:
    from contentops.server.database import Values
    from tests.fakes.asgi import Bundled
    from tests.running import Build, Run

pytestmark = pytest.mark.usefixtures("over_each_store")

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
    "request_id": "r-1",
}
OPEN = AccountLimits(requests_per_minute=0, max_active=100)


def test_another_key_reaches_nothing_of_the_first(bundled: Bundled) -> None:
    """It can neither list, read, poll, change, remove nor regenerate it, and is not told that it exists."""
    server = bundled(keys=True, limits=OPEN)
    ann, bob = server.bearer(), server.bearer()
    server.submit(BODY, ann)
    content = server.settled("r-1", headers=ann)["content"]
    saved = server.post("/v1/content/save", {"content": "a"}, ann).json["contentId"]
    for prefix in ("/v1", "/api"):
        for user in ({}, {"X-User-ID": "ann"}):
            asks = {**bob, **user}
            listed = server.get(f"{prefix}/content", asks).json
            assert (listed["content"], listed["stats"]["total"]) == ([], 0)
            assert server.get(f"{prefix}/generate/status/r-1", asks).status == 404
            for content_id in (content["id"], saved):
                path = f"{prefix}/content/{content_id}"
                again = {"content_id": content_id, "section": content["body"].partition("## ")[2].split("\n")[0]}
                replies = [
                    server.get(path, asks),
                    server("PUT", path, {"title": "mine"}, headers=asks),
                    server("DELETE", path, headers=asks),
                    server.post(f"{prefix}/content/save", {"id": content_id}, asks),
                    server.post(f"{prefix}/content/regenerate-section", again, asks),
                ]
                assert [reply.status for reply in replies] == [404] * 5
    stats = server.get("/v1/dashboard/stats", bob).json
    assert (stats["total_content"], stats["recent_content"], stats["generations"]["total"]) == (0, [], 0)
    listed = server.get("/v1/content", ann).json
    assert [entry["id"] for entry in listed["content"]] == [saved, content["id"]]


def test_two_keys_may_use_the_same_ids(bundled: Bundled) -> None:
    """A request id or idempotency key of one account says nothing about that of another: both are done and charged."""
    server = bundled(keys=True, limits=OPEN)
    ann, bob = server.bearer(), server.bearer()
    other = {**BODY, "inputs": {"topic": "Winds", "audience": "pilots"}}
    for headers, body in ((ann, BODY), (bob, other)):
        sent = {**headers, "Idempotency-Key": "k"}
        assert server.submit(body, sent).status == 202
    assert server.settled("r-1", headers=ann)["content"]["title"] == "Tides"
    assert server.settled("r-1", headers=bob)["content"]["title"] == "Winds"
    for headers in (ann, bob):
        assert server.get("/v1/credits/usage", headers).json["used"] == 4


def test_what_was_made_without_a_key_is_no_keys(bundled: Bundled) -> None:
    """The account of everyone without keys is one of its own."""
    server = bundled(keys=True)
    assert server.post("/v1/content/save", {"content": "a"}).status == 200
    assert server.get("/v1/content", server.bearer()).json["content"] == []


def test_a_user_narrows_inside_a_key(bundled: Bundled) -> None:
    """The same user under another key is another one."""
    server = bundled(keys=True, limits=OPEN)
    key, other = server.bearer(), server.bearer()
    for headers in (key, other):
        for user in ("ann", "bob"):
            server.post("/v1/content/save", {"title": user}, {**headers, "X-User-ID": user})
    listed = server.get("/v1/content", {**key, "X-User-ID": "ann"}).json
    assert ([entry["title"] for entry in listed["content"]], listed["stats"]["total"]) == (["ann"], 1)
    assert server.get("/v1/content", key).json["stats"]["total"] == 2


def test_contents_and_charges_come_in_pages(bundled: Bundled) -> None:
    """`page` and `limit` give a part, newest first; without them a thousand contents, a hundred charges."""
    server = bundled(keys=True, limits=OPEN)
    key = server.bearer()
    for number in range(5):
        server.post("/v1/content/save", {"title": f"T{number}"}, key)
    found = server.get("/v1/content?page=2&limit=2", key).json
    assert [entry["title"] for entry in found["content"]] == ["T2", "T1"]
    assert (found["page"], found["limit"], found["stats"]["total"]) == (2, 2, 5)
    first = server.get("/v1/content", key).json
    assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
    for name in ("r-1", "r-2", "r-3"):
        server.submit({**BODY, "request_id": name}, key)
        server.settled(name, headers=key)
    newest = server.get("/v1/credits/history?limit=1", key).json["transactions"]
    assert [entry["request_id"] for entry in newest] == ["r-3"]
    wrong = server.get("/api/content?page=x", key).json
    assert wrong["detail"][0]["loc"] == ["query", "page"]


@pytest.mark.usefixtures("files_only")
def test_the_benchmark_of_growth_runs(tmp_path: Path) -> None:
    """At a small size, each side gives its line with a ratio."""
    script = Path(__file__).parents[1] / "benchmarks" / "growth.py"
    command = [sys.executable, str(script), "--items", "2", "--before", "3"]
    done = subprocess.run(command, cwd=tmp_path, env=unmeasured(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == ["server", "serve", "client"]
    assert all(float(number) > 0 for line in lines for number in line[1:])


@pytest.mark.usefixtures("files_only")
def test_every_content_is_listed_however_many_there_are(project: Build, invoke: Run) -> None:
    """`content list` goes on from page to page of a server that gives a thousand at a time."""
    root = project({"contentops.yaml": "version: 1\nproject: p\napi: {base_url: local}\n"})
    (root / ".contentops").mkdir(mode=0o700)
    with open_store(root / ".contentops" / "local.db") as store, store.write():
        for number in range(2003):
            contents.save(store, contents.ContentChange(title=f"T{number}"), owner="", at=float(number))
    listed = invoke("content", "list", "--json").json
    assert len({entry["id"] for entry in listed["contents"]}) == 2003


class Watched(SqliteFile):
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


@pytest.mark.usefixtures("files_only")
def test_no_statement_reads_all_that_was_ever_made(bundled: Bundled) -> None:
    """Each goes through an index to what it is about: its plan neither scans a table that grows nor sorts it."""
    store = Watched()
    store.seen.clear()
    server = bundled(store, keys=True, limits=OPEN)
    key = server.bearer(allowance=100)
    server.submit(BODY, key)
    made = server.settled("r-1", headers=key)["content"]
    heading = made["body"].partition("## ")[2].split("\n")[0]
    again = {"content_id": made["id"], "section": heading, "request_id": "r-2"}
    server.post("/v1/content/regenerate-section", again, key)
    server.settled("r-2", headers=key)
    server.submit({**BODY, "inputs": {}, "request_id": "r-3"}, key)
    assert server.settled("r-3", headers=key)["status"] == "failed"
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
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("DELETE", path, None),
    ):
        assert server(method, where, body, headers={**key, "X-User-ID": "ann"}).status == 200, where
    seen = {text: values for text, values in store.seen.items() if text.split()[0] in {"SELECT", "UPDATE", "DELETE"}}
    assert len(seen) > 20
    fresh = stores.empty()
    for text, values in seen.items():
        plan = [str(row["detail"]) for row in fresh.rows(f"EXPLAIN QUERY PLAN {text}", values)]
        for line in plan:
            scans = re.match(r"SCAN (?:jobs|contents|versions|charges|tallies)\b(?!.*jobs_under_way)", line)
            # Whether there is any at all is one step, however many there are.
            assert not scans or text.endswith(" LIMIT 1"), (text, plan)
            assert "ORDER BY" not in line or "jobs_under_way" in str(plan), (text, plan)
    under_way = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND key_id = ?"
    plan = [str(row["detail"]) for row in fresh.rows(f"EXPLAIN QUERY PLAN {under_way}", ("k",))]
    assert "jobs_under_way (key_id=?)" in plan[0]
