"""The embedded server's limits: requests in a minute, jobs under way, credits, plans; and the keys that carry them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.exceptions import HTTPException

from contentops.server import accounts, contents, jobs
from contentops.server.accounts import WINDOW, AccountLimits, ApiKey, KeyRefusedError, KeyRing, RequestWindow
from contentops.server.store import Clock, open_store
from contentops.server.tables import VERSION
from tests.fakes.asgi import holding
from tests.stores import stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.asgi import Bundled, InProcess, Reply
    from tests.running import Run

pytestmark = pytest.mark.usefixtures("over_each_store")

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
    """Jobs under way are set aside; a failed one gives its credits back; a repetition is never refused."""
    opened = asyncio.Event()
    server = bundled(keys=True, clock=holding(opened), limits=AccountLimits(requests_per_minute=0))
    headers = server.bearer(allowance=9)

    def submit(name: str, **change: Any) -> Reply:
        return server.submit({**BODY, "request_id": name, **change}, headers)

    assert submit("r-1").status == submit("r-2", inputs={}).status == 202
    found = {"plan": "professional", "allowance": 9, "reserved": 8, "balance": 1, "used": 0, "generations": 0}
    assert server.get("/v1/credits/usage", headers).json == {**found, "by_mode": {}}
    message = "Insufficient credits: 4 required, 1 available"
    refused = submit("r-3")
    assert (refused.status, refused.json) == (402, {"error": {"code": "insufficient_credits", "message": message}})
    assert server.post("/api/generate", BODY, headers).json == {"detail": message}
    assert submit("r-1").status == 202
    opened.set()
    left = rested(server, headers)
    by_mode = {"standard": {"generations": 1, "credits": 4}}
    assert (left["used"], left["balance"], left["by_mode"]) == (4, 5, by_mode)
    assert submit("r-3").status == 202


def rested(server: InProcess, headers: dict[str, str]) -> Any:
    """The usage of a key once none of its jobs is under way."""
    for _ in range(500):
        found = server.get("/v1/credits/usage", headers).json
        if not found["reserved"]:
            return found
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
        ("starter", (), "does not include API access"),
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


# --- what earlier releases left --------------------------------------------------------------------------------

_FIRST = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, key_id TEXT NOT NULL,
    request TEXT NOT NULL, fingerprint TEXT NOT NULL, idempotency_key TEXT,
    status TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '', progress INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '', content_id TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL, finished_at REAL, UNIQUE (key_id, owner, idempotency_key)
);
CREATE TABLE charges (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE, key_id TEXT NOT NULL,
    mode TEXT NOT NULL, credits INTEGER NOT NULL, charged_at REAL NOT NULL
);
CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE finished_at IS NULL;
CREATE TABLE contents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    title TEXT NOT NULL, body TEXT NOT NULL, html TEXT, status TEXT NOT NULL, type TEXT NOT NULL,
    metadata TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE INDEX contents_newest ON contents (created_at DESC, number DESC);
CREATE TABLE versions (
    content_id TEXT NOT NULL, version INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, html TEXT,
    status TEXT NOT NULL, metadata TEXT NOT NULL, replaced_at REAL NOT NULL,
    PRIMARY KEY (content_id, version)
);
CREATE TABLE keys (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, created_at REAL NOT NULL, revoked_at REAL
);
INSERT INTO keys VALUES ('key_old', 'x', 'professional', 1.0, NULL);
PRAGMA application_id = 0x636F7073;
PRAGMA user_version = 1;
"""


_SECOND = """
ALTER TABLE jobs ADD COLUMN credits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN credits INTEGER;
ALTER TABLE keys ADD COLUMN modes TEXT NOT NULL DEFAULT '';
CREATE INDEX charges_by_key ON charges (key_id);
PRAGMA user_version = 2;
"""
_ROWS = """
INSERT INTO jobs VALUES ('r-done', 'content', 'ann', 'key_old', '{}', 'f', 'i', 'completed', '', 100, '', '', 'T', 'b',
    'cnt_made', 1.0, 2.0, 4);
INSERT INTO jobs VALUES ('r-open', 'content', '', 'key_old', '{}', 'f', NULL, 'pending', '', 0, '', '', '', '',
    '', 3.0, NULL, 4);
INSERT INTO jobs VALUES ('r-bare', 'content', '', '', '{}', 'f', NULL, 'failed', '', 0, '', 'why', '', '',
    '', 3.0, 4.0, 4);
INSERT INTO charges VALUES (7, 'r-done', 'key_old', 'standard', 4, 2.0);
INSERT INTO contents VALUES (1, 'cnt_made', 'ann', 'T', 'b', NULL, 'completed', 'article', '{}', 1, 2.0, 2.0);
INSERT INTO contents VALUES (2, 'cnt_saved', '', 'T', 'b', NULL, 'draft', 'article', '{"request_id": "r-done"}', 1,
    2.0, 2.0);
INSERT INTO contents VALUES (3, 'cnt_own', '', 'Hand-made', 'b', NULL, 'draft', 'article', '{}', 1, 3.0, 3.0);
"""
_ANOTHER_KEY = "INSERT INTO keys VALUES ('key_new', 'y', 'professional', 2.0, NULL, NULL, '');"


def written(path: Path, *scripts: str) -> None:
    """A store that an earlier release left."""
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript("".join(scripts))


@pytest.mark.usefixtures("files_only")
def test_a_store_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its keys have no allowance and may ask for every mode; a second opening changes nothing."""
    path = tmp_path / "db"
    written(path, _FIRST)
    for _ in range(2):
        with open_store(stores.at(path)) as store:
            (key,) = KeyRing(store).issued()
            assert (key.id, key.credits, key.modes) == ("key_old", None, ())
            assert accounts.account(store, key) == accounts.CreditAccount(None, 0, 0)
            row = store.row("PRAGMA user_version")
            assert row is not None
            assert row[0] == VERSION


@pytest.mark.usefixtures("files_only")
@pytest.mark.parametrize("single", [True, False])
def test_what_an_earlier_release_stored_goes_to_its_key(tmp_path: Path, single: bool) -> None:
    """A content belongs to the key of its job; a single key has all of it; else what no job tells stays with none."""
    path = tmp_path / "db"
    written(path, _FIRST, _SECOND, _ROWS, "" if single else _ANOTHER_KEY)
    for _ in range(2):
        with open_store(stores.at(path)) as store:
            listed = {row["id"] for row in contents.entries(store, "key_old", "")}
            assert listed == {"cnt_made", "cnt_saved", *(["cnt_own"] if single else [])}
            assert contents.entries(store, "key_new", "") == []
            assert [row["id"] for row in contents.entries(store, "", "")] == ([] if single else ["cnt_own"])
            kept = jobs.find(store, "r-done", "key_old")
            assert kept is not None
            assert (kept.owner, kept.idempotency_key, kept.content_id) == ("ann", "i", "cnt_made")
            assert jobs.counts(store, "key_old", "") == {
                "total": 3 if single else 2,
                "completed": 1,
                "failed": 1 if single else 0,
                "in_progress": 1,
            }
            assert len(jobs.unfinished(store)) == 1
            assert contents.counts(store, "key_old", "ann")["total"] == len(listed)
            key = KeyRing(store).issued()[0]
            assert accounts.account(store, key) == accounts.CreditAccount(None, 4, 4)
            assert [entry["request_id"] for entry in accounts.history(store, "key_old")] == ["r-done"]


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
        ended = invoke("serve", "keys", command, "key_x", *here)
        assert (ended.code, "`contentops serve keys list` shows them" in ended.stderr) == (64, True)
    assert invoke("serve", "keys", "create", "--credits", "-3", *here).code == 64
    assert "write one from 0, or `unlimited`" in invoke("serve", "keys", "create", "--credits", "many", *here).stderr
    assert invoke("serve", "keys", "change", made["id"], "--plan", "gold", *here).code == 1


def test_the_model_engine_on_the_command_line(invoke: Run) -> None:
    """Settings that cannot work end the command before anything listens."""
    ended = invoke("serve", "--engine", "openai", "--port", "0")
    assert (ended.code, "needs a model; name it with `--model`" in ended.stderr) == (1, True)
    env = {"OPENAI_BASE_URL": "http://10.0.0.1/v1", "OPENAI_API_KEY": "sk-hidden-123456"}
    ended = invoke("serve", "--engine", "openai", "--model", "m", "--port", "0", env=env)
    assert (ended.code, "plain http" in ended.stderr, "sk-hidden" in ended.stderr) == (1, True, False)
