"""The embedded server's accounts: what each key sees, and its limits, credits and plan; what grows costs no more."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.exceptions import HTTPException

from contentops.server import accounts, contents
from contentops.server.accounts import WINDOW, AccountLimits, ApiKey, KeyRefusedError, KeyRing, RequestWindow
from contentops.server.sqlite import SqliteFile
from contentops.server.store import Clock, open_store
from tests.fakes.asgi import holding
from tests.running import unmeasured
from tests.stores import stores

if TYPE_CHECKING:
    from contentops.server.database import Values
    from tests.fakes.asgi import Bundled, InProcess, Reply
    from tests.running import Build, Run

pytestmark = pytest.mark.usefixtures("over_each_store")

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
}


NAMED = {**BODY, "request_id": "r-1"}
OPEN = AccountLimits(requests_per_minute=0, max_active=100)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_780_000_000.0

    def now(self) -> float:
        """The time it shows."""
        return self.at


# --- requests in a minute --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files_only")
def test_the_eleventh_request_in_a_minute_is_refused_in_both_shapes(bundled: Bundled) -> None:
    """Where keys are asked for the documented limit holds, with the time to wait; a minute later it goes on."""
    hand = Hand()
    server = bundled(keys=True, clock=Clock(now=hand.now))
    headers = server.bearer()
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
    other = server.bearer("enterprise")
    assert server.get("/v1/content", other).status == 200
    hand.at += 51
    assert server.get("/v1/content", headers).status == 200
    assert server.get("/v1/content", headers).status == 429


def test_without_keys_everyone_is_one_account_and_nothing_is_limited_unless_asked(bundled: Bundled) -> None:
    """In process and on loopback no limit is in the way; one that is asked for counts all requests together."""
    for server in (bundled(), bundled(keys=True)):
        assert {server.get("/v1/content").status for _ in range(50)} == {200}
    tight = bundled(limits=AccountLimits(requests_per_minute=2))
    assert [tight.get("/v1/content", {"X-User-ID": user}).status for user in ("a", "b", "c")] == [200, 200, 429]


@pytest.mark.parametrize("free", [True, False])
def test_polls_count_unless_they_are_free(bundled: Bundled, free: bool) -> None:
    """Whether asking for a job's status uses up requests is a choice."""
    server = bundled(limits=AccountLimits(requests_per_minute=1, free_polls=free))
    statuses = [server.get("/v1/generate/status/x").status for _ in range(3)]
    assert statuses == ([404] * 3 if free else [404, 429, 429])
    assert server.get("/v1/content").status == (200 if free else 429)


@pytest.mark.usefixtures("files_only")
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
            window.take("a", most)
        except HTTPException as refusal:
            hand.at += float((refusal.headers or {})["Retry-After"])
            window.take("a", most)
        taken.append(hand.at)
    for first, last in zip(taken, taken[most:], strict=False):
        assert last - first >= WINDOW


@pytest.mark.usefixtures("files_only")
def test_a_clock_that_is_set_back_locks_no_one_out() -> None:
    """What seems to lie in the future no longer counts."""
    hand = Hand()
    window = RequestWindow(hand.now)
    window.take("a", 1)
    hand.at -= 86_400
    window.take("a", 1)
    with pytest.raises(HTTPException):
        window.take("a", 1)


# --- jobs under way --------------------------------------------------------------------------------------------


def test_a_cap_on_jobs_under_way(bundled: Bundled) -> None:
    """One more than the cap is turned away for now; a repeated submit is none, and other accounts have their own."""
    server = bundled(keys=True, clock=holding(asyncio.Event()), limits=AccountLimits(max_active=2))
    headers = server.bearer()
    for name in ("r-1", "r-2", "r-1"):
        taken = server.submit({**BODY, "request_id": name}, headers)
        assert taken.status == 202
    refused = server.submit(BODY, headers)
    assert (refused.status, refused.headers["retry-after"]) == (429, "5")
    assert refused.json["error"]["message"] == "Too many active generations: 2 at a time"
    other = server.bearer()
    assert server.submit(BODY, other).status == 202


# --- credits and plans -----------------------------------------------------------------------------------------


def test_an_allowance_is_never_overdrawn(bundled: Bundled) -> None:
    """Jobs under way are set aside, a failed one gives its credits back, a repetition is never refused; all can be spent."""
    opened = asyncio.Event()
    server = bundled(keys=True, clock=holding(opened), limits=AccountLimits(requests_per_minute=0))
    headers = server.bearer(allowance=8)

    def submit(name: str, **change: Any) -> Reply:
        return server.submit({**BODY, "request_id": name, **change}, headers)

    assert submit("r-1").status == submit("r-2", inputs={}).status == 202
    expected = {"plan": "professional", "allowance": 8, "reserved": 8, "balance": 0, "used": 0, "generations": 0}
    assert server.get("/v1/credits/usage", headers).json == {**expected, "by_mode": {}}
    message = "Insufficient credits: 4 required, 0 available"
    refused = submit("r-3")
    assert (refused.status, refused.json) == (402, {"error": {"code": "insufficient_credits", "message": message}})
    assert server.post("/api/generate", BODY, headers).json == {"detail": message}
    assert submit("r-1").status == 202
    opened.set()
    accounts_of = rested(server, headers)
    by_mode = {"standard": {"generations": 1, "credits": 4}}
    assert (accounts_of["used"], accounts_of["balance"], accounts_of["by_mode"]) == (4, 4, by_mode)
    assert submit("r-3").status == 202


def rested(server: InProcess, headers: dict[str, str]) -> Any:
    """The usage of a key once none of its jobs is under way."""
    for _ in range(500):
        usage = server.get("/v1/credits/usage", headers).json
        if not usage["reserved"]:
            return usage
    message = "jobs do not end"
    raise AssertionError(message)


def test_each_key_sees_its_own_numbers(bundled: Bundled) -> None:
    """Usage, history and dashboard of a key hold what it was charged, without a limit as null."""
    server = bundled(keys=True, limits=AccountLimits(requests_per_minute=0))
    one, two = server.bearer(), server.bearer("enterprise", allowance=50)
    server.submit({**BODY, "request_id": "r-1"}, one)
    assert rested(server, one)["used"] == 4
    history = server.get("/api/credits/history", one).json["transactions"]
    assert [entry["request_id"] for entry in history] == ["r-1"]
    assert server.get("/api/credits/history", two).json == {"transactions": []}
    usage = server.get("/v1/dashboard/stats", one).json["credits"]
    assert (usage["plan"], usage["allowance"], usage["balance"]) == ("professional", None, None)
    assert server.get("/v1/credits/usage", two).json["balance"] == 50


def test_plans_gate_access_and_modes(bundled: Bundled) -> None:
    """A key is refused with 403 for a mode it may not ask for, and altogether once its plan has no API access."""
    server = bundled(keys=True)
    headers = server.bearer(modes=["standard", "quick"])
    wanted = {**BODY, "generation_mode": "premium"}
    gated = server.submit(wanted, headers)
    assert (gated.status, gated.json["error"]["message"]) == (
        403,
        "Your plan does not include the premium pipeline",
    )
    assert server.submit(BODY, headers).status == 202
    (key,) = server.keys.issued()
    assert key.modes == ("quick", "standard")
    server.keys.change(replace(key, plan="starter"))
    closed = server.get("/api/content", headers)
    assert (closed.status, closed.json) == (403, {"detail": "The plan `starter` does not include API access"})
    server.keys.change(replace(key, plan="enterprise", modes=()))
    assert server.submit(wanted, headers).status == 202


def test_a_lowered_allowance_leaves_nothing_and_owes_nothing() -> None:
    """The balance is what may still be spent, so it is never negative."""
    assert accounts.CreditAccount(allowance=3, used=5, reserved=0).balance == 0
    assert accounts.CreditAccount(allowance=None, used=5, reserved=1).balance is None


@pytest.mark.parametrize(
    ("plan", "modes", "message"),
    [
        ("starter", (), "has no API access"),
        ("gold", (), "unknown plan `gold`; known: `starter`, `professional`, `enterprise`"),
        ("professional", ("turbo",), "unknown mode `turbo`; known: `quick`, `standard`, `premium`"),
    ],
)
def test_keys_that_cannot_be_made(plan: str, modes: tuple[str, ...], message: str) -> None:
    """The message says which plans and modes there are; no key is left behind."""
    with stores.empty() as store:
        ring = KeyRing(store)
        with pytest.raises(KeyRefusedError, match=message):
            ring.create_key(plan, modes=modes)
        assert ring.issued() == []


def test_a_key_that_is_not_there_cannot_be_changed() -> None:
    """The message says where the ids are to be seen."""
    with stores.empty() as store, pytest.raises(KeyRefusedError, match="`contentops serve keys list` shows them"):
        KeyRing(store).change(ApiKey(id="key_x", plan="professional", created_at=0.0, revoked_at=None))


# --- what each key has ------------------------------------------------------------------------------------------


def test_another_key_reaches_nothing_of_the_first(bundled: Bundled) -> None:
    """It can neither list, read, poll, change, remove nor regenerate it, and is not told that it exists."""
    server = bundled(keys=True, limits=OPEN)
    ann, bob = server.bearer(), server.bearer()
    server.submit(NAMED, ann)
    content = server.finished("r-1", headers=ann)["content"]
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
    other = {**NAMED, "inputs": {"topic": "Winds", "audience": "pilots"}}
    for headers, body in ((ann, NAMED), (bob, other)):
        sent = {**headers, "Idempotency-Key": "k"}
        assert server.submit(body, sent).status == 202
    assert server.finished("r-1", headers=ann)["content"]["title"] == "Tides"
    assert server.finished("r-1", headers=bob)["content"]["title"] == "Winds"
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
    listed = server.get("/v1/content?page=2&limit=2", key).json
    assert [entry["title"] for entry in listed["content"]] == ["T2", "T1"]
    assert (listed["page"], listed["limit"], listed["stats"]["total"]) == (2, 2, 5)
    first = server.get("/v1/content", key).json
    assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
    for name in ("r-1", "r-2", "r-3"):
        server.submit({**BODY, "request_id": name}, key)
        server.finished(name, headers=key)
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
    server.submit(NAMED, key)
    made = server.finished("r-1", headers=key)["content"]
    heading = made["body"].partition("## ")[2].split("\n")[0]
    again = {"content_id": made["id"], "section": heading, "request_id": "r-2"}
    server.post("/v1/content/regenerate-section", again, key)
    server.finished("r-2", headers=key)
    server.submit({**BODY, "inputs": {}, "request_id": "r-3"}, key)
    assert server.finished("r-3", headers=key)["status"] == "failed"
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


# --- the command line ------------------------------------------------------------------------------------------


def test_keys_on_the_command_line(invoke: Run) -> None:
    """Made, listed with what is left, changed, revoked; what does not exist is a usage error that says where to look."""
    here = ("--store", "room.db")
    assert invoke("serve", "keys", "list", *here).stdout == "no keys yet\n"
    made = invoke("serve", "keys", "create", "--credits", "100", "--mode", "quick", "--json", *here).json
    assert (made["plan"], made["credits"], made["modes"]) == ("professional", 100, ["quick"])
    listed = invoke("serve", "keys", "list", *here)
    assert listed.stdout.splitlines()[0].split() == ["KEY", "PLAN", "LEFT", "USED", "MODES", "MADE", "STATE"]
    assert made["key"] not in listed.stdout
    row = listed.stdout.splitlines()[1].split()
    assert (row[:7], row[-1]) == ([made["id"], "professional", "100", "of", "100", "0", "quick"], "works")
    assert (
        invoke("serve", "keys", "change", made["id"], "--credits", "unlimited", "--plan", "enterprise", *here).code == 0
    )
    (shown,) = invoke("serve", "keys", "list", "--json", *here).json["keys"]
    assert (shown["plan"], shown["credits"], shown["balance"], shown["modes"]) == ("enterprise", None, None, ["quick"])
    assert invoke("serve", "keys", "change", made["id"], "--credits", "7", "--mode", "premium", *here).code == 0
    assert invoke("serve", "keys", "revoke", made["id"], *here).stdout == f"key `{made['id']}` is revoked\n"
    (shown,) = invoke("serve", "keys", "list", "--json", *here).json["keys"]
    assert (shown["credits"], shown["modes"], shown["revoked_at"] is None) == (7, ["premium"], False)
    assert invoke("serve", "keys", "list", *here).stdout.splitlines()[1].endswith("revoked")
    for command in ("revoke", "change"):
        result = invoke("serve", "keys", command, "key_x", *here)
        assert (result.code, "`contentops serve keys list` shows them" in result.stderr) == (64, True)
    assert invoke("serve", "keys", "create", "--credits", "-3", *here).code == 64
    assert "write 0 or more, or `unlimited`" in invoke("serve", "keys", "create", "--credits", "many", *here).stderr
    assert invoke("serve", "keys", "change", made["id"], "--plan", "gold", *here).code == 1


def test_the_model_engine_on_the_command_line(invoke: Run) -> None:
    """Settings that cannot work end the command before anything listens."""
    result = invoke("serve", "--engine", "openai", "--port", "0")
    assert (result.code, "needs a model; name it with `--model`" in result.stderr) == (1, True)
    env = {"OPENAI_BASE_URL": "http://10.0.0.1/v1", "OPENAI_API_KEY": "sk-hidden-123456"}
    result = invoke("serve", "--engine", "openai", "--model", "m", "--port", "0", env=env)
    assert (result.code, "plain http" in result.stderr, "sk-hidden" in result.stderr) == (1, True, False)
