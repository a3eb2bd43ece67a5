"""Every key of the embedded server has its own jobs and contents, and nothing costs more for what was made before."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentops.server import contents
from contentops.server.accounts import AccountLimits, KeyRing
from contentops.server.app import create_app
from contentops.server.engines import named
from contentops.server.sqlite import SqliteFile
from contentops.server.store import Clock, open_store
from tests.fakes.asgi import Ticks, call
from tests.running import unmeasured
from tests.stores import stores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from contentops.server.database import Store, Values
    from tests.running import Build, Run

pytestmark = pytest.mark.usefixtures("over_each_store")

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
    "request_id": "r-1",
}


def run(scenario: Callable[[Any, KeyRing], Awaitable[None]], store: Store | None = None) -> None:
    """Run a scenario against a fresh app that asks for keys."""

    async def main() -> None:
        opened, ticks = store or stores.empty(), Ticks()
        ring = KeyRing(opened, required=True)
        app = create_app(
            opened,
            engine=named("outline"),
            keys=ring,
            clock=Clock(now=ticks.now, sleep=ticks.sleep),
            limits=AccountLimits(requests_per_minute=0, max_active=100),
        )
        await scenario(app, ring)
        await app.state.close()

    asyncio.run(main())


def bearer(ring: KeyRing, **more: Any) -> dict[str, str]:
    """The header that carries a new key."""
    return {"Authorization": f"Bearer {ring.create_key('professional', **more)}"}


async def completed(app: Any, job_id: str, headers: dict[str, str]) -> Any:
    """The content of a job once it is done."""
    while True:
        found = (await call(app, "GET", f"/v1/generate/status/{job_id}", headers=headers)).json
        if found["status"] == "completed":
            return found["content"]
        await asyncio.sleep(0)


def test_another_key_reaches_nothing_of_the_first() -> None:
    """It can neither list, read, poll, change, remove nor regenerate it, and is not told that it exists."""

    async def scenario(app: Any, ring: KeyRing) -> None:
        ann, bob = bearer(ring), bearer(ring)
        await call(app, "POST", "/v1/generate", BODY, headers=ann)
        content = await completed(app, "r-1", ann)
        saved = (await call(app, "POST", "/v1/content/save", {"content": "a"}, headers=ann)).json["contentId"]
        for prefix in ("/v1", "/api"):
            for user in ({}, {"X-User-ID": "ann"}):
                asks = {**bob, **user}
                listed = (await call(app, "GET", f"{prefix}/content", headers=asks)).json
                assert (listed["content"], listed["stats"]["total"]) == ([], 0)
                assert (await call(app, "GET", f"{prefix}/generate/status/r-1", headers=asks)).status == 404
                for content_id in (content["id"], saved):
                    path = f"{prefix}/content/{content_id}"
                    again = {"content_id": content_id, "section": content["body"].partition("## ")[2].split("\n")[0]}
                    replies = [
                        await call(app, "GET", path, headers=asks),
                        await call(app, "PUT", path, {"title": "mine"}, headers=asks),
                        await call(app, "DELETE", path, headers=asks),
                        await call(app, "POST", f"{prefix}/content/save", {"id": content_id}, headers=asks),
                        await call(app, "POST", f"{prefix}/content/regenerate-section", again, headers=asks),
                    ]
                    assert [reply.status for reply in replies] == [404] * 5
        stats = (await call(app, "GET", "/v1/dashboard/stats", headers=bob)).json
        assert (stats["total_content"], stats["recent_content"], stats["generations"]["total"]) == (0, [], 0)
        listed = (await call(app, "GET", "/v1/content", headers=ann)).json
        assert [entry["id"] for entry in listed["content"]] == [saved, content["id"]]

    run(scenario)


def test_two_keys_may_use_the_same_ids() -> None:
    """A request id or idempotency key of one account says nothing about that of another: both are done and charged."""

    async def scenario(app: Any, ring: KeyRing) -> None:
        ann, bob = bearer(ring), bearer(ring)
        other = {**BODY, "inputs": {"topic": "Winds", "audience": "pilots"}}
        for headers, body in ((ann, BODY), (bob, other)):
            sent = {**headers, "Idempotency-Key": "k"}
            assert (await call(app, "POST", "/v1/generate", body, headers=sent)).status == 202
        assert (await completed(app, "r-1", ann))["title"] == "Tides"
        assert (await completed(app, "r-1", bob))["title"] == "Winds"
        for headers in (ann, bob):
            assert (await call(app, "GET", "/v1/credits/usage", headers=headers)).json["used"] == 4

    run(scenario)


def test_what_was_made_without_a_key_is_no_keys() -> None:
    """The account of everyone without keys is one of its own."""
    store = stores.empty()

    async def before() -> None:
        app = create_app(store, engine=named("outline"))
        assert (await call(app, "POST", "/v1/content/save", {"content": "a"})).status == 200

    async def after(app: Any, ring: KeyRing) -> None:
        assert (await call(app, "GET", "/v1/content", headers=bearer(ring))).json["content"] == []

    asyncio.run(before())
    run(after, store)


def test_a_user_narrows_inside_a_key() -> None:
    """The same user under another key is another one."""

    async def scenario(app: Any, ring: KeyRing) -> None:
        key, other = bearer(ring), bearer(ring)
        for headers in (key, other):
            for user in ("ann", "bob"):
                await call(app, "POST", "/v1/content/save", {"title": user}, headers={**headers, "X-User-ID": user})
        listed = (await call(app, "GET", "/v1/content", headers={**key, "X-User-ID": "ann"})).json
        assert ([entry["title"] for entry in listed["content"]], listed["stats"]["total"]) == (["ann"], 1)
        assert (await call(app, "GET", "/v1/content", headers=key)).json["stats"]["total"] == 2

    run(scenario)


def test_contents_and_charges_come_in_pages() -> None:
    """`page` and `limit` give a part, newest first; without them a thousand contents, a hundred charges."""

    async def scenario(app: Any, ring: KeyRing) -> None:
        key = bearer(ring)
        for number in range(5):
            await call(app, "POST", "/v1/content/save", {"title": f"T{number}"}, headers=key)
        found = (await call(app, "GET", "/v1/content?page=2&limit=2", headers=key)).json
        assert [entry["title"] for entry in found["content"]] == ["T2", "T1"]
        assert (found["page"], found["limit"], found["stats"]["total"]) == (2, 2, 5)
        first = (await call(app, "GET", "/v1/content", headers=key)).json
        assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
        for name in ("r-1", "r-2", "r-3"):
            await call(app, "POST", "/v1/generate", {**BODY, "request_id": name}, headers=key)
            await completed(app, name, key)
        newest = (await call(app, "GET", "/v1/credits/history?limit=1", headers=key)).json["transactions"]
        assert [entry["request_id"] for entry in newest] == ["r-3"]
        wrong = (await call(app, "GET", "/api/content?page=x", headers=key)).json
        assert wrong["detail"][0]["loc"] == ["query", "page"]

    run(scenario)


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
def test_no_statement_reads_all_that_was_ever_made() -> None:
    """Each goes through an index to what it is about: its plan neither scans a table that grows nor sorts it."""
    store = Watched()
    store.seen.clear()

    async def scenario(app: Any, ring: KeyRing) -> None:
        key = bearer(ring, allowance=100)
        await call(app, "POST", "/v1/generate", BODY, headers=key)
        made = await completed(app, "r-1", key)
        heading = made["body"].partition("## ")[2].split("\n")[0]
        again = {"content_id": made["id"], "section": heading, "request_id": "r-2"}
        await call(app, "POST", "/v1/content/regenerate-section", again, headers=key)
        await completed(app, "r-2", key)
        await call(app, "POST", "/v1/generate", {**BODY, "inputs": {}, "request_id": "r-3"}, headers=key)
        while (await call(app, "GET", "/v1/generate/status/r-3", headers=key)).json["status"] != "failed":  # noqa: ASYNC110 - polled, as the API is
            await asyncio.sleep(0)
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
            assert (await call(app, method, where, body, headers={**key, "X-User-ID": "ann"})).status == 200, where

    run(scenario, store)
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
