"""The embedded server's endpoints: shapes, replays, hostile bodies, keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.server.accounts import KeyRing
from contentops.server.app import create_app
from contentops.server.engines import named
from contentops.server.store import Clock, open_store
from tests.fakes.asgi import Ticks, call, settled
from tests.stores import stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from contentops.server.database import Store

pytestmark = pytest.mark.usefixtures("over_each_store")

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "AI adoption", "audience": "marketing directors", "key_points": ["ROI", "workflows"]},
}


@contextlib.asynccontextmanager
async def serving(store: Store | None = None, *, keys: KeyRing | None = None) -> AsyncIterator[Any]:
    """The app over a store in memory, on a clock of its own."""
    ticks = Ticks()
    app = create_app(
        store or stores.empty(), engine=named("outline"), keys=keys, clock=Clock(now=ticks.now, sleep=ticks.sleep)
    )
    try:
        yield app
    finally:
        await app.state.close()


def run(scenario: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    """Run a scenario against a fresh app."""

    async def main() -> None:
        async with serving(**options) as app:
            await scenario(app)

    asyncio.run(main())


def test_submit_poll_and_content_in_the_documented_shapes() -> None:
    """A submit is pending, then processing with a stage, then completed with a stored content."""

    async def scenario(app: Any) -> None:
        reply = await call(app, "POST", "/v1/generate", BODY)
        assert reply.status == 202
        taken = reply.json
        assert taken == {"request_id": taken["request_id"], "status": "pending", "created_at": taken["created_at"]}
        assert taken["request_id"].startswith("req_")
        first = (await call(app, "GET", f"/v1/generate/status/{taken['request_id']}")).json
        assert first == {"request_id": taken["request_id"], "status": "pending", "progress": 0}
        await asyncio.sleep(0)
        second = (await call(app, "GET", f"/v1/generate/status/{taken['request_id']}")).json
        assert second == {
            "request_id": taken["request_id"],
            "status": "processing",
            "stage": "planner",
            "progress": 6,
        }
        done = await settled(app, taken["request_id"])
        assert set(done) == {"request_id", "status", "content", "metadata"}
        assert done["metadata"] == {"engine": "outline"}
        content = done["content"]
        assert set(content) == {"id", "title", "body", "word_count", "created_at"}
        assert content["title"] == "AI adoption"
        assert content["word_count"] == len(content["body"].split())
        stored = (await call(app, "GET", f"/v1/content/{content['id']}")).json
        assert stored == {
            "id": content["id"],
            "title": content["title"],
            "content": content["body"],
            "contentHtml": None,
            "status": "completed",
            "type": "blog_article",
            "createdAt": content["created_at"],
            "updatedAt": content["created_at"],
            "version": 1,
            "metadata": {
                "request_id": taken["request_id"],
                "template": "blog_article_generator",
                "style_profile": "general_blog",
                "generation_mode": "standard",
                "engine": "outline",
                "word_count": content["word_count"],
            },
        }

    run(scenario)


def test_the_server_shapes_under_api() -> None:
    """Under `/api` the SDK's body is taken, status is enveloped, progress a fraction, the text a string."""

    async def scenario(app: Any) -> None:
        body = {
            "template": "blog_article_generator",
            "style_profile": "general_blog",
            "generation_mode": "quick",
            "dynamic_parameters": {"topic": "T", "target_audience": "A"},
            "vertical_id": "saas_tech",
            "brand_voice_id": "bv_1",
        }
        taken = (await call(app, "POST", "/api/generate", body)).json
        assert taken["links"] == {"status": f"/api/generate/status/{taken['request_id']}"}
        assert set(taken) == {"request_id", "status", "created_at", "message", "links"}
        await asyncio.sleep(0)
        running = (await call(app, "GET", f"/api/generate/status/{taken['request_id']}")).json
        assert running == {
            "success": True,
            "data": {
                "request_id": taken["request_id"],
                "status": "running",
                "progress": 0.17,
                "current_agent": "planner",
                "content": None,
                "title": None,
                "error": None,
                "metadata": {},
            },
        }
        data = (await settled(app, taken["request_id"], "/api"))["data"]
        assert (data["status"], data["progress"], data["current_agent"], data["error"]) == (
            "completed",
            1.0,
            None,
            None,
        )
        assert data["content"].startswith("> Draft outline")
        assert data["metadata"]["title"] == data["title"] == "T"
        assert data["metadata"]["engine"] == "outline"
        assert data["metadata"]["preview"] == " ".join(data["content"].split())[:200]

    run(scenario)


@pytest.mark.parametrize("inputs_key", ["inputs", "user_input", "dynamic_parameters"])
@pytest.mark.parametrize("vertical_key", ["vertical", "vertical_id"])
@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_every_name_of_a_field_is_read(inputs_key: str, vertical_key: str, prefix: str) -> None:
    """Whatever dialect a submit speaks, the inputs and the vertical reach the text."""

    async def scenario(app: Any) -> None:
        body = {
            "template": "blog_article_generator",
            "style_profile": "general_blog",
            inputs_key: {"topic": "Tides", "target_audience": "sailors"},
            vertical_key: "legal",
        }
        taken = (await call(app, "POST", f"{prefix}/generate", body)).json
        text = (await settled(app, taken["request_id"]))["content"]["body"]
        assert "sailors" in text
        assert "The field is legal." in text

    run(scenario)


@pytest.mark.parametrize("given", [{}, {"inputs": None}, {"topic": "Tides"}])
def test_a_submit_without_inputs_is_refused(given: dict[str, Any]) -> None:
    """Under none of its names: 422 on both surfaces, in the shape of each, and no job. An empty map is one."""

    async def scenario(app: Any) -> None:
        body = {"template_id": "blog_article_generator", "style_profile_id": "general_blog"}
        documented = await call(app, "POST", "/v1/generate", {**body, **given})
        assert documented.status == 422
        assert documented.json == {"error": {"code": "invalid_request", "message": "`inputs` is required"}}
        server = await call(app, "POST", "/api/generate", {**body, **given})
        assert (server.status, server.json) == (
            422,
            {"detail": [{"type": "missing", "loc": ["body", "inputs"], "msg": "`inputs` is required"}]},
        )
        assert (await call(app, "GET", "/v1/dashboard/stats")).json["generations"]["total"] == 0
        for name in ("inputs", "user_input", "dynamic_parameters"):
            assert (await call(app, "POST", "/v1/generate", {**body, name: {}})).status == 202

    run(scenario)


@pytest.mark.parametrize("template", ["blog_article_generator", "market_analysis_template"])
def test_a_topic_alone_is_enough_under_api(template: str) -> None:
    """The service's own server asks for no more; under `/v1` the documented required inputs must all be there."""

    async def scenario(app: Any) -> None:
        body = {"template": template, "style_profile": "fintech", "dynamic_parameters": {"topic": "DeFi risk"}}
        for prefix, status in (("/api", "completed"), ("/v1", "failed")):
            taken = (await call(app, "POST", f"{prefix}/generate", body)).json["request_id"]
            found = await settled(app, taken)
            assert found["status"] == status
            if status == "completed":
                assert "DeFi risk" in (found["content"]["title"], found["content"]["body"])

    run(scenario)


def test_a_missing_required_input_fails_the_job_later() -> None:
    """As on the service the submit is accepted; the failed job names every missing input and costs nothing."""

    async def scenario(app: Any) -> None:
        one = (await call(app, "POST", "/v1/generate", {**BODY, "inputs": {"topic": "T", "audience": " "}})).json
        assert await settled(app, one["request_id"]) == {
            "request_id": one["request_id"],
            "status": "failed",
            "error": "Missing required input field: audience",
        }
        two = (await call(app, "POST", "/v1/generate", {**BODY, "inputs": {}})).json
        assert (await settled(app, two["request_id"]))["error"] == "Missing required input fields: topic, audience"
        under_api = (await call(app, "GET", f"/api/generate/status/{one['request_id']}")).json["data"]
        assert (under_api["status"], under_api["progress"]) == ("failed", 0.0)
        assert (await call(app, "GET", "/v1/credits/usage")).json == {"used": 0, "generations": 0, "by_mode": {}}
        assert (await call(app, "GET", "/v1/content")).json["content"] == []

    run(scenario)


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_unknown_ids_and_paths(prefix: str) -> None:
    """What does not exist is 404 in the shape of its surface, hostile ids included."""

    async def scenario(app: Any) -> None:
        paths = ["/generate/status/nope", "/content/nope", "/content/%00", "/nothing", "/verticals/x", "/content/"]
        for path in paths:
            reply = await call(app, "GET", prefix + path)
            assert reply.status == 404, path
            assert set(reply.json) == ({"error"} if prefix == "/v1" else {"detail"})
        assert (await call(app, "GET", f"{prefix}/generate/status/{'a' * 300}")).status == 404
        wrong = await call(app, "DELETE", f"{prefix}/generate")
        assert (wrong.status, wrong.headers["allow"]) == (405, "POST")

    run(scenario)


@pytest.mark.parametrize(
    ("prefix", "change", "status", "reply"),
    [
        pytest.param(
            "/v1",
            {"template_id": "x"},
            404,
            {"error": {"code": "not_found", "message": "Template 'x' not found."}},
            id="template-v1",
        ),
        pytest.param(
            "/api",
            {"template_id": "x"},
            500,
            {"detail": "Internal server error: Template 'x' not found."},
            id="template-api",
        ),
        pytest.param(
            "/v1",
            {"style_profile_id": "x"},
            404,
            {"error": {"code": "not_found", "message": "Style profile 'x' not found."}},
            id="style-v1",
        ),
        pytest.param(
            "/api",
            {"template_id": None},
            500,
            {"detail": "Internal server error: Template 'None' not found."},
            id="no-template-api",
        ),
        pytest.param(
            "/v1",
            {"template_id": None, "style_profile_id": None},
            422,
            {
                "error": {
                    "code": "invalid_request",
                    "message": "`template_id` is required; `style_profile_id` is required",
                }
            },
            id="nothing-v1",
        ),
        pytest.param(
            "/v1",
            {"generation_mode": "turbo"},
            400,
            {
                "error": {
                    "code": "invalid_request",
                    "message": "`generation_mode` must be one of quick, standard, premium",
                }
            },
            id="mode-v1",
        ),
        pytest.param(
            "/api",
            {"generation_mode": "turbo"},
            400,
            {"detail": "`generation_mode` must be one of quick, standard, premium"},
            id="mode-api",
        ),
        pytest.param(
            "/api",
            {"inputs": [1], "template_id": 3},
            422,
            {
                "detail": [
                    {"type": "string_type", "loc": ["body", "template_id"], "msg": "`template_id` must be a string"},
                    {"type": "dict_type", "loc": ["body", "inputs"], "msg": "`inputs` must be an object"},
                ]
            },
            id="types-api",
        ),
        pytest.param(
            "/v1",
            {"template": "press_release"},
            400,
            {
                "error": {
                    "code": "invalid_request",
                    "message": "`template_id` and `template` differ: send one of them",
                }
            },
            id="contradiction",
        ),
        pytest.param(
            "/v1",
            {"request_id": "../etc"},
            400,
            {
                "error": {
                    "code": "invalid_request",
                    "message": "`request_id` must be 1 to 200 letters, digits and `._:-`, the first a letter or digit",
                }
            },
            id="request-id",
        ),
    ],
)
def test_refused_submits(prefix: str, change: dict[str, Any], status: int, reply: Any) -> None:
    """A submit that cannot be understood is refused with everything wrong with it, and starts no job."""

    async def scenario(app: Any) -> None:
        answer = await call(app, "POST", f"{prefix}/generate", {**BODY, **change})
        assert (answer.status, answer.json) == (status, reply)
        assert (await call(app, "GET", "/v1/dashboard/stats")).json["generations"]["total"] == 0

    run(scenario)


HOSTILE = {
    "empty": b"",
    "not-json": b"{",
    "not-utf8": b'{"a": "\xff"}',
    "bom": b"\xef\xbb\xbf{}",
    "nan": b'{"inputs": NaN}',
    "infinity": b'{"inputs": {"a": 1e999}}',
    "half-pair": b'{"inputs": {"a": "\\ud800"}}',
    "half-pair-key": b'{"inputs": {"\\udfff": 1}}',
    "huge-int": b'{"inputs": ' + b"9" * 5000 + b"}",
    "list": b"[]",
    "text": b'"x"',
    "null": b"null",
    "deep": b'{"inputs": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}",
    "very-deep": b"[" * 200_000,
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("path", ["/generate", "/content/save", "/content/regenerate-section"])
def test_hostile_bodies(raw: bytes, path: str) -> None:
    """A body that is no usable JSON object is refused in the documented shape, and nothing is stored."""

    async def scenario(app: Any) -> None:
        sent: dict[str, Any] = {"headers": {"content-type": "application/json"}, "chunks": [raw[:3], raw[3:]]}
        first = await call(app, "POST", f"/v1{path}", **sent)
        assert (first.status, first.json["error"]["code"]) == (400, "invalid_request")
        second = await call(app, "POST", f"/api{path}", **sent)
        assert (second.status, second.json["detail"][0]["type"][-4:]) in {(422, "alid"), (422, "type")}
        assert (await call(app, "GET", "/v1/content")).json["content"] == []

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "chunks", "status"),
    [
        pytest.param({"content-type": "text/plain"}, [b"{}"], 415, id="text"),
        pytest.param({}, [b"{}"], 415, id="no-type"),
        pytest.param({"content-type": "application/json", "content-encoding": "gzip"}, [b"{}"], 415, id="gzip"),
        pytest.param({"content-type": "application/json", "content-length": "10485761"}, [b"{}"], 413, id="declared"),
        pytest.param({"content-type": "application/json", "content-length": "9" * 40}, [b"{}"], 413, id="absurd"),
        pytest.param({"content-type": "application/json"}, [b" " * 6_000_000] * 2, 413, id="streamed"),
    ],
)
def test_bodies_that_are_not_read(headers: dict[str, str], chunks: list[bytes], status: int) -> None:
    """A wrong content type is 415 and more than 10 MiB is 413, on both surfaces."""

    async def scenario(app: Any) -> None:
        for prefix, key in (("/v1", "error"), ("/api", "detail")):
            reply = await call(app, "POST", f"{prefix}/content/save", headers=headers, chunks=chunks)
            assert (reply.status, set(reply.json)) == (status, {key})

    run(scenario)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    [
        "template_id",
        "template",
        "style_profile_id",
        "inputs",
        "user_input",
        "generation_mode",
        "request_id",
        "id",
        "contentId",
        "title",
        "content",
        "metadata",
        "status",
        "type",
        "section",
        "instructions",
    ]
)


@settings(max_examples=30, deadline=None)
@given(body=st.dictionaries(field_names, json_values, max_size=6), path=st.sampled_from(["generate", "content/save"]))
def test_any_body_gets_a_proper_answer(body: dict[str, Any], path: str) -> None:
    """No JSON body of any form makes the server fail: it is taken, or refused as the client's mistake."""

    async def scenario(app: Any) -> None:
        raw = json.dumps(body).encode()
        for prefix in ("/v1", "/api"):
            reply = await call(
                app, "POST", f"{prefix}/{path}", headers={"content-type": "application/json"}, chunks=[raw]
            )
            assert reply.status in {200, 202, 400, 404, 422} or reply.json["detail"].endswith("not found.")

    run(scenario)


def test_a_repeated_request_id_is_one_job_and_one_charge() -> None:
    """The same id with an equal body, key order and dialect aside, gets the first answer again, also when done."""

    async def scenario(app: Any) -> None:
        first = await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r-1"})
        assert first.json["request_id"] == "r-1"
        again = await call(app, "POST", "/v1/generate", {"request_id": "r-1", **BODY})
        assert (again.status, again.json) == (202, first.json)
        await settled(app, "r-1")
        inputs = dict(reversed(list(BODY["inputs"].items())))  # type: ignore[attr-defined]
        other_words = {"template": BODY["template_id"], "style_profile": BODY["style_profile_id"], "user_input": inputs}
        late = await call(app, "POST", "/v1/generate", {**other_words, "request_id": "r-1"})
        assert (late.status, late.json) == (202, first.json)
        stats = (await call(app, "GET", "/v1/dashboard/stats")).json
        assert stats["generations"] == {"total": 1, "completed": 1, "failed": 0, "in_progress": 0}
        assert stats["credits"] == {
            "used": 4,
            "generations": 1,
            "by_mode": {"standard": {"generations": 1, "credits": 4}},
        }

    run(scenario)


def test_the_same_request_id_for_something_else_is_a_conflict() -> None:
    """An id never changes what it stands for."""

    async def scenario(app: Any) -> None:
        await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r-1"})
        other = await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r-1", "generation_mode": "quick"})
        assert other.status == 409
        assert other.json["error"]["code"] == "conflict"

    run(scenario)


def test_an_idempotency_key_alone_replays() -> None:
    """Without a request id the header finds the first job; with another body or id it is a conflict."""

    async def scenario(app: Any) -> None:
        headers = {"Idempotency-Key": "k 1".replace(" ", "-")}
        first = await call(app, "POST", "/v1/generate", BODY, headers=headers)
        again = await call(app, "POST", "/v1/generate", BODY, headers=headers)
        assert again.json == first.json
        changed = await call(app, "POST", "/v1/generate", {**BODY, "brand_voice_id": "bv"}, headers=headers)
        assert changed.status == 409
        await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r-2"})
        crossed = await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r-2"}, headers=headers)
        assert crossed.status == 409
        bad = await call(app, "POST", "/v1/generate", BODY, headers={"Idempotency-Key": "two words"})
        assert bad.status == 400
        assert (await call(app, "GET", "/v1/dashboard/stats")).json["generations"]["total"] == 2

    run(scenario)


def test_save_creates_updates_and_keeps_versions() -> None:
    """A save without id creates, with any of the three id names updates; every version can be read, by who may."""
    store = stores.empty()

    async def scenario(app: Any) -> None:
        reply = (await call(app, "POST", "/v1/content/save", {"title": "One", "content": "first"})).json
        content_id, stamp = reply["contentId"], {"updatedAt": reply["updatedAt"], "version": 1}
        assert reply == {"success": True, "contentId": content_id, **stamp}
        for name, text in (("id", "second"), ("content_id", "third"), ("contentId", "fourth")):
            body = {name: content_id, "content": text}
            reply = (await call(app, "POST", "/v1/content/save", body)).json
            assert (reply["contentId"], reply["version"]) == (content_id, stamp["version"] + 1)
            stamp = {name: reply[name] for name in stamp}
            [entry] = (await call(app, "GET", "/v1/content")).json["content"]
            one = (await call(app, "GET", f"/v1/content/{content_id}")).json
            assert stamp == {name: entry[name] for name in stamp} == {name: one[name] for name in stamp}
        same = {"id": content_id, "title": "One", "content": "fourth"}
        before = (await call(app, "GET", f"/v1/content/{content_id}")).json
        await call(app, "POST", "/api/content/save", same)
        after = (await call(app, "GET", f"/v1/content/{content_id}")).json
        assert before == after
        assert (after["title"], after["content"], after["status"]) == ("One", "fourth", "draft")
        assert after["updatedAt"] > after["createdAt"]
        path = f"/v1/content/{content_id}/versions"
        listed = (await call(app, "GET", path)).json["versions"]
        assert [one["version"] for one in listed] == [4, 3, 2, 1]
        assert [one["replacedAt"] is None for one in listed] == [True, False, False, False]
        texts = [(await call(app, "GET", f"{path}/{number}")).json["content"] for number in range(1, 5)]
        assert texts == ["first", "second", "third", "fourth"]
        assert (await call(app, "GET", f"{path}/4")).json == after
        for wrong in ("5", "0", "-1", "x", "9" * 30, "٣"):
            assert (await call(app, "GET", f"{path}/{wrong}")).status == 404
        stranger = {"X-User-ID": "someone"}
        mine = (await call(app, "POST", "/api/content", {"content": "x"}, headers={"X-User-ID": "me"})).json[
            "contentId"
        ]
        for where in (f"/api/content/{mine}/versions", f"/api/content/{mine}/versions/1"):
            assert (await call(app, "GET", where, headers=stranger)).status == 403
        assert (await call(app, "GET", "/v1/content/cnt_none/versions")).status == 404
        for unknown in ("cnt_none", "../x"):
            lost = await call(app, "POST", "/v1/content/save", {"id": unknown, "content": "x"})
            assert lost.status == 404

    run(scenario, store=store)


def test_put_delete_and_post_content() -> None:
    """The undocumented calls: PUT changes all but the type and drops stale HTML, DELETE removes, POST creates."""
    store = stores.empty()

    async def scenario(app: Any) -> None:
        made = {
            "title": "T",
            "content": "a",
            "contentHtml": "<p>a</p>",
            "type": "post",
            "metadata": {"k": 1},
            "id": "x",
        }
        reply = await call(app, "POST", "/api/content", made)
        content_id = reply.json["contentId"]
        path = f"/api/content/{content_id}"
        put = (await call(app, "PUT", path, {"title": "New", "status": "published", "type": "other"})).json
        assert put["success"] is True
        assert set(put["content"]) == {"id", "title", "status", "updatedAt", "version"}
        found = (await call(app, "GET", path)).json
        assert (found["title"], found["type"], found["contentHtml"]) == ("New", "post", "<p>a</p>")
        await call(app, "PUT", path, {"content": "b"})
        found = (await call(app, "GET", path)).json
        assert (found["content"], found["contentHtml"], found["metadata"]) == ("b", None, {"k": 1})
        assert (await call(app, "PUT", path, {"content": 3})).status == 422
        stats = (await call(app, "GET", "/v1/content")).json["stats"]
        assert stats == {"total": 1, "published": 1, "drafts": 0}
        assert (await call(app, "DELETE", path)).json == {"success": True, "message": "Content deleted"}
        assert [row["body"] for row in store.rows("SELECT body FROM versions ORDER BY version")][-1] == "b"
        assert (await call(app, "GET", path)).json == {"detail": "Content not found"}
        assert (await call(app, "DELETE", path)).status == 404

    run(scenario, store=store)


def test_content_is_listed_newest_first() -> None:
    """The list holds no texts and starts with what was created last; the dashboard with what was changed last."""

    async def scenario(app: Any) -> None:
        ids = [
            (await call(app, "POST", "/v1/content/save", {"title": f"T{n}", "content": "x"})).json["contentId"]
            for n in range(7)
        ]
        await call(app, "POST", "/v1/content/save", {"id": ids[0], "status": "published"})
        listed = (await call(app, "GET", "/v1/content")).json
        assert [entry["id"] for entry in listed["content"]] == ids[::-1]
        assert set(listed["content"][0]) == {"id", "title", "status", "type", "version", "createdAt", "updatedAt"}
        stats = (await call(app, "GET", "/v1/dashboard/stats")).json
        assert (stats["total_content"], stats["drafts"], stats["published"], stats["views"]) == (7, 6, 1, 0)
        assert [entry["id"] for entry in stats["recent_content"]] == [ids[0], *ids[:2:-1]]
        assert stats["recent_activity"][0]["type"] == "published"
        assert stats["recent_activity"][0]["description"] == "Published T0"

    run(scenario)


def test_users_see_their_own_and_unowned_content() -> None:
    """A user id narrows contents and jobs; another user's content is 403, as on the service."""

    async def scenario(app: Any) -> None:
        ann, bob = {"X-User-ID": "ann"}, {"X-User-ID": "bob"}
        hers = (await call(app, "POST", "/api/content/save", {"content": "a"}, headers=ann)).json["contentId"]
        unowned = (await call(app, "POST", "/api/content/save", {"content": "b"})).json["contentId"]
        listed = (await call(app, "GET", "/api/content", headers=bob)).json
        assert [entry["id"] for entry in listed["content"]] == [unowned]
        assert listed["stats"]["total"] == 1
        for method in ("GET", "DELETE"):
            denied = await call(app, method, f"/api/content/{hers}", headers=bob)
            assert (denied.status, denied.json) == (403, {"detail": "Access denied"})
        saved = await call(app, "POST", "/api/content/save", {"id": hers, "content": "mine"}, headers=bob)
        assert saved.status == 403
        await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r"}, headers=ann)
        assert (await call(app, "GET", "/v1/generate/status/r", headers=bob)).status == 404
        assert (await call(app, "GET", "/v1/generate/status/r", headers=ann)).status == 200
        assert (await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r"}, headers=bob)).status == 409
        assert (await call(app, "GET", "/v1/content", headers={"X-User-ID": "a\x07"})).status == 400

    run(scenario)


def test_one_section_is_written_again() -> None:
    """Regenerating a section is a job whose text is the whole body with only that section changed, at the mode's price."""
    store = stores.empty()
    text = "intro\n\n## Why\n\nold words\n\n### Deeper\n\nold too\n\n## How\n\nstays\n"

    async def scenario(app: Any) -> None:
        saved = (await call(app, "POST", "/v1/content/save", {"title": "T", "content": text})).json["contentId"]
        ask = {
            "content_id": saved,
            "section": "why",
            "instructions": "shorter\nfriendlier",
            "generation_mode": "premium",
        }
        reply = await call(app, "POST", "/v1/content/regenerate-section", {**ask, "request_id": "s-1"})
        assert (reply.status, reply.json["request_id"], reply.json["status"]) == (202, "s-1", "pending")
        done = (await settled(app, "s-1"))["content"]
        assert done["id"] == saved
        assert done["title"] == "T"
        assert done["body"].startswith("intro\n\n## Why\n\n> Draft outline")
        assert done["body"].endswith("\n\n## How\n\nstays\n")
        assert "- shorter\n- friendlier" in done["body"]
        assert "old too" not in done["body"].replace("It began: old words ### Deeper old too", "")
        assert (await call(app, "GET", f"/v1/content/{saved}")).json["content"] == done["body"]
        assert (await call(app, "GET", "/api/credits/usage")).json["used"] == 5
        history = (await call(app, "GET", "/api/credits/history")).json["transactions"]
        assert [(entry["request_id"], entry["mode"], entry["credits"]) for entry in history] == [("s-1", "premium", 5)]
        assert [row["body"] for row in store.rows("SELECT body FROM versions")] == [text]
        again = await call(app, "POST", "/v1/content/regenerate-section", {**ask, "request_id": "s-1"})
        assert again.json == reply.json
        missing = await call(app, "POST", "/v1/content/regenerate-section", {**ask, "section": "Who"})
        assert (missing.status, missing.json["error"]["message"]) == (404, "Section 'Who' not found")
        lost = await call(app, "POST", "/api/content/regenerate-section", {**ask, "content_id": "none"})
        assert lost.status == 404
        empty = await call(app, "POST", "/api/content/regenerate-section", {"section": 5})
        assert [entry["type"] for entry in empty.json["detail"]] == ["missing", "string_type"]

    run(scenario, store=store)


def test_catalog_in_the_documented_shapes() -> None:
    """Lists and details of templates, styles and verticals under `/v1`."""

    async def scenario(app: Any) -> None:
        templates = (await call(app, "GET", "/v1/templates")).json["templates"]
        assert len(templates) == 13
        assert set(templates[0]) == {"id", "name", "category", "description"}
        blog = (await call(app, "GET", "/v1/templates/blog_article_generator")).json
        assert blog["required_fields"] == ["topic", "target_audience"]
        assert blog["parameters"]["key_points"]["type"] == "string"
        assert blog["parameters"]["target_audience"]["aliases"] == ["audience"]
        styles = (await call(app, "GET", "/v1/style-profiles")).json["style_profiles"]
        assert len(styles) == 72
        general = next(style for style in styles if style["id"] == "general_blog")
        assert (general["category"], general["tone"], general["formality"]) == (
            "marketing",
            "conversational",
            "moderate",
        )
        assert (await call(app, "GET", "/v1/style-profiles/phd_academic")).json["formality"] == "high"
        verticals = (await call(app, "GET", "/v1/verticals")).json["verticals"]
        assert "saas_tech" in {entry["id"] for entry in verticals}
        assert len(verticals) == 8
        assert (await call(app, "GET", "/v1/verticals/legal")).json["name"] == "Legal"
        assert (await call(app, "GET", "/v1/templates/none")).status == 404
        assert (await call(app, "GET", "/v1/health")).json["status"] == "healthy"

    run(scenario)


def test_catalog_in_the_server_shapes() -> None:
    """The same under `/api`: enveloped pages, details under `data`, 500 for an unknown slug."""

    async def scenario(app: Any) -> None:
        listed = (await call(app, "GET", "/api/templates")).json
        assert (listed["success"], listed["data"]["count"], listed["data"]["limit"]) == (True, 13, 100)
        assert set(listed["data"]["items"][0]) == {"id", "name", "template_type", "description"}
        paged = (await call(app, "GET", "/api/style-profiles?page=8&limit=10")).json["data"]
        assert (len(paged["items"]), paged["count"], paged["page"]) == (2, 72, 8)
        assert set(paged["items"][0]) == {"id", "name", "tone", "voice", "audience", "platform"}
        bad = await call(app, "GET", "/api/templates?page=0&limit=x")
        assert (bad.status, [found["loc"] for found in bad.json["detail"]]) == (
            422,
            [["query", "page"], ["query", "limit"]],
        )
        unseen = await call(app, "GET", "/api/templates", headers={"X-User-ID": "\x07"})
        assert unseen.json["detail"][0]["loc"] == ["header", "X-User-ID"]
        detail = (await call(app, "GET", "/api/templates/press_release")).json["data"]
        assert detail["parameters"]["urgency_level"]["default"] == "standard"
        assert detail["metadata"] == {"category": "communications"}
        assert "system_prompt" in (await call(app, "GET", "/api/style-profiles/general_blog")).json["data"]
        unknown = await call(app, "GET", "/api/templates/x")
        assert (unknown.status, unknown.json) == (500, {"detail": "Template 'x' not found."})
        assert "verticals" in (await call(app, "GET", "/api/verticals")).json

    run(scenario)


def test_keys_guard_every_endpoint_but_health() -> None:
    """Once a key exists, only a working one opens the door; revoking the last key does not."""
    store = stores.empty()
    ring = KeyRing(store, clock=Clock(now=Ticks().now))

    async def scenario(app: Any) -> None:
        assert (await call(app, "GET", "/v1/content")).status == 200
        key = ring.create_key("professional")
        denied = await call(app, "GET", "/v1/content")
        assert denied.status == 401
        assert denied.json == {"error": {"code": "unauthorized", "message": "Invalid or missing API key"}}
        assert denied.headers["www-authenticate"] == "Bearer"
        assert (await call(app, "POST", "/api/generate", BODY)).json == {"detail": "Invalid or missing API key"}
        for wrong in ("Bearer", "Bearer x", f"Basic {key}", f"Bearer {key}x", "Bearer \xff"):
            assert (await call(app, "GET", "/v1/content", headers={"Authorization": wrong})).status == 401
        with_key = {"Authorization": f"Bearer {key}"}
        taken = await call(app, "POST", "/v1/generate", {**BODY, "request_id": "r"}, headers=with_key)
        assert taken.status == 202
        assert (await call(app, "GET", "/health")).status == 200
        assert ring.revoke(ring.issued()[0].id)
        assert (await call(app, "GET", "/v1/content", headers=with_key)).status == 401
        assert (await call(app, "GET", "/v1/content")).status == 401

    run(scenario, store=store, keys=ring)


def test_an_unusable_store_is_a_passing_failure() -> None:
    """When the store fails, a request is answered 503 and health says so, without a traceback."""
    store = stores.empty()

    async def scenario(app: Any) -> None:
        store.close()
        reply = await call(app, "GET", "/v1/content")
        assert (reply.status, reply.json["error"]["code"]) == (503, "unavailable")
        health = await call(app, "GET", "/health")
        assert (health.status, health.json["status"]) == (503, "unhealthy")

    run(scenario, store=store)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    """A file whose pages are no longer those of a database is no passing failure: the reply says what to do."""
    store = open_store(tmp_path / "local.db")
    store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (tmp_path / "local.db").read_bytes()
    (tmp_path / "local.db").write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    store.rows("PRAGMA shrink_memory")

    async def scenario(app: Any) -> None:
        reply = await call(app, "GET", "/v1/content")
        assert reply.status == 500
        assert "`local.db` is damaged" in reply.json["error"]["message"]
        assert "move the file away" in reply.json["error"]["message"]

    run(scenario, store=store)
