"""The embedded server's endpoints: shapes, replays, hostile bodies, keys."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contentops.server.store import Store
from tests.fakes.asgi import Bundled, InProcess, Reply, call, holding

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "AI adoption", "audience": "marketing directors", "key_points": ["ROI", "workflows"]},
}


def test_submit_poll_and_content_in_the_documented_shapes(bundled: Bundled) -> None:
    """A submit is pending, then processing with a stage, then completed with a stored content."""
    opened = asyncio.Event()
    server = bundled(clock=holding(opened), stage_seconds=1.0)

    async def submitted() -> tuple[Reply, Reply]:
        reply = await call(server.app, "POST", "/v1/generate", BODY)
        return reply, await call(server.app, "GET", f"/v1/generate/status/{reply.json['request_id']}")

    reply, first = server.run(submitted())
    taken = reply.json
    job = taken["request_id"]
    assert (reply.status, job[:4]) == (202, "req_")
    assert taken == {"request_id": job, "status": "pending", "created_at": taken["created_at"]}
    assert first.json == {"request_id": job, "status": "pending", "progress": 0}
    second = server.get(f"/v1/generate/status/{job}").json
    assert second == {"request_id": job, "status": "processing", "stage": "planner", "progress": 6}
    opened.set()
    done = server.finished(job)
    assert set(done) == {"request_id", "status", "content", "metadata"}
    assert done["metadata"] == {"engine": "outline"}
    content = done["content"]
    assert set(content) == {"id", "title", "body", "word_count", "created_at"}
    assert (content["title"], content["word_count"]) == ("AI adoption", len(content["body"].split()))
    assert server.get(f"/v1/content/{content['id']}").json == {
        "id": content["id"], "title": content["title"], "content": content["body"], "contentHtml": None,
        "status": "completed", "type": "blog_article", "version": 1,
        "createdAt": content["created_at"], "updatedAt": content["created_at"],
        "metadata": {
            "request_id": job, "template": "blog_article_generator", "style_profile": "general_blog",
            "generation_mode": "standard", "engine": "outline", "word_count": content["word_count"],
        },
    }  # fmt: skip


@pytest.mark.parametrize("inputs_key", ["inputs", "user_input", "dynamic_parameters"])
@pytest.mark.parametrize("vertical_key", ["vertical", "vertical_id"])
@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_every_name_of_a_field_is_read(server: InProcess, inputs_key: str, vertical_key: str, prefix: str) -> None:
    """Whatever dialect a submit speaks, the inputs and the vertical reach the text; no inputs are inputs too."""
    body = {"template": "blog_article_generator", "style_profile": "general_blog", vertical_key: "legal"}
    inputs = {"topic": "Tides", "target_audience": "sailors"}
    taken = server.post(f"{prefix}/generate", {**body, inputs_key: inputs}).json
    text = server.finished(taken["request_id"])["content"]["body"]
    assert "sailors" in text
    assert "The field is legal." in text
    assert server.post(f"{prefix}/generate", {**body, inputs_key: {}}).status == 202


@pytest.mark.parametrize("template", ["blog_article_generator", "market_analysis_template"])
def test_a_topic_alone_is_enough_under_api(server: InProcess, template: str) -> None:
    """The service's own server asks for no more; under `/v1` the documented required inputs must all be there."""
    body = {"template": template, "style_profile": "fintech", "dynamic_parameters": {"topic": "DeFi risk"}}
    for prefix, status in (("/api", "completed"), ("/v1", "failed")):
        taken = server.post(f"{prefix}/generate", body).json["request_id"]
        job = server.finished(taken)
        assert job["status"] == status
        if status == "completed":
            assert "DeFi risk" in (job["content"]["title"], job["content"]["body"])


def test_a_missing_required_input_fails_the_job_later(server: InProcess) -> None:
    """As on the service the submit is accepted; the failed job names every missing input and costs nothing."""
    one = server.submit({**BODY, "inputs": {"topic": "T", "audience": " "}}).json
    assert server.finished(one["request_id"]) == {
        "request_id": one["request_id"],
        "status": "failed",
        "error": "Missing required input field: audience",
    }
    two = server.submit({**BODY, "inputs": {}}).json
    assert server.finished(two["request_id"])["error"] == "Missing required input fields: topic, audience"
    under_api = server.get(f"/api/generate/status/{one['request_id']}").json["data"]
    assert (under_api["status"], under_api["progress"]) == ("failed", 0.0)
    assert server.get("/v1/credits/usage").json == {"used": 0, "generations": 0, "by_mode": {}}
    assert server.get("/v1/content").json["content"] == []


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_unknown_ids_and_paths(server: InProcess, prefix: str) -> None:
    """What does not exist is 404 in the shape of its surface, hostile ids included."""
    paths = ["/generate/status/nope", "/content/nope", "/content/%00", "/nothing", "/verticals/x", "/content/"]
    for path in paths:
        reply = server.get(prefix + path)
        assert reply.status == 404, path
        assert set(reply.json) == ({"error"} if prefix == "/v1" else {"detail"})
    assert server.get(f"{prefix}/generate/status/{'a' * 300}").status == 404
    wrong = server("DELETE", f"{prefix}/generate")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


REQUIRED = "`template_id` is required; `style_profile_id` is required"
MODES = "`generation_mode` must be one of quick, standard, premium"
ID = "`request_id` must be 1 to 200 letters, digits and `._:-`, the first a letter or digit"
WRONG_TYPES = [
    {"type": "string_type", "loc": ["body", "template_id"], "msg": "`template_id` must be a string"},
    {"type": "dict_type", "loc": ["body", "inputs"], "msg": "`inputs` must be an object"},
]


def refused(code: str, message: str) -> dict[str, Any]:
    """A refusal as the documents show it."""
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(("prefix", "change", "status", "reply"), [
    ("/v1", {"template_id": "x"}, 404, refused("not_found", "Template 'x' not found.")),
    ("/api", {"template_id": "x"}, 500, {"detail": "Internal server error: Template 'x' not found."}),
    ("/v1", {"style_profile_id": "x"}, 404, refused("not_found", "Style profile 'x' not found.")),
    ("/api", {"template_id": None}, 500, {"detail": "Internal server error: Template 'None' not found."}),
    ("/v1", {"template_id": None, "style_profile_id": None}, 422, refused("invalid_request", REQUIRED)),
    ("/v1", {"generation_mode": "turbo"}, 400, refused("invalid_request", MODES)),
    ("/api", {"generation_mode": "turbo"}, 400, {"detail": MODES}),
    ("/api", {"inputs": [1], "template_id": 3}, 422, {"detail": WRONG_TYPES}),
    (*("/v1", {"template": "press_release"}, 400), refused("invalid_request", "`template_id` and `template` differ: send one of them")),
    ("/v1", {"request_id": "../etc"}, 400, refused("invalid_request", ID)),
    ("/v1", {"inputs": None}, 422, refused("invalid_request", "`inputs` is required")),
    (*("/api", {"inputs": None, "topic": "Tides"}, 422), {"detail": [{"type": "missing", "loc": ["body", "inputs"], "msg": "`inputs` is required"}]}),
])  # fmt: skip
def test_refused_submits(server: InProcess, prefix: str, change: dict[str, Any], status: int, reply: Any) -> None:
    """A submit that cannot be understood is refused with everything wrong with it, and starts no job."""
    answer = server.post(f"{prefix}/generate", {**BODY, **change})
    assert (answer.status, answer.json) == (status, reply)
    assert server.get("/v1/dashboard/stats").json["generations"]["total"] == 0


TYPED = {"content-type": "application/json"}
HOSTILE = {
    "empty": b"", "not-json": b"{", "not-utf8": b'{"a": "\xff"}', "bom": b"\xef\xbb\xbf{}", "nan": b'{"inputs": NaN}',
    "infinity": b'{"inputs": {"a": 1e999}}', "half-pair": b'{"inputs": {"a": "\\ud800"}}',
    "half-pair-key": b'{"inputs": {"\\udfff": 1}}', "huge-int": b'{"inputs": ' + b"9" * 5000 + b"}", "list": b"[]",
    "text": b'"x"', "null": b"null", "deep": b'{"inputs": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}",
    "very-deep": b"[" * 200_000,
}  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("path", ["/generate", "/content/save", "/content/regenerate-section"])
def test_hostile_bodies(server: InProcess, raw: bytes, path: str) -> None:
    """A body that is not usable JSON object is refused in the documented shape, and nothing is stored."""
    sent: dict[str, Any] = {"headers": TYPED, "chunks": [raw[:3], raw[3:]]}
    first = server("POST", f"/v1{path}", **sent)
    assert (first.status, first.json["error"]["code"]) == (400, "invalid_request")
    second = server("POST", f"/api{path}", **sent)
    assert (second.status, second.json["detail"][0]["type"][-4:]) in {(422, "alid"), (422, "type")}
    assert server.get("/v1/content").json["content"] == []


@pytest.mark.parametrize(("headers", "chunks", "status"), [
    pytest.param({"content-type": "text/plain"}, [b"{}"], 415, id="text"),
    pytest.param({}, [b"{}"], 415, id="no-type"),
    pytest.param({**TYPED, "content-encoding": "gzip"}, [b"{}"], 415, id="gzip"),
    pytest.param({**TYPED, "content-length": "10485761"}, [b"{}"], 413, id="declared"),
    pytest.param({**TYPED, "content-length": "9" * 40}, [b"{}"], 413, id="absurd"),
    pytest.param(TYPED, [b" " * 6_000_000] * 2, 413, id="streamed"),
])  # fmt: skip
def test_bodies_that_are_not_read(server: InProcess, headers: dict[str, str], chunks: list[bytes], status: int) -> None:
    """A wrong content type is 415 and more than 10 MiB is 413, on both surfaces."""
    for prefix, key in (("/v1", "error"), ("/api", "detail")):
        reply = server("POST", f"{prefix}/content/save", headers=headers, chunks=chunks)
        assert (reply.status, set(reply.json)) == (status, {key})


def test_a_repeated_request_id_is_one_job_and_one_charge(server: InProcess) -> None:
    """The same id with an equal body, key order and dialect aside, gets the first answer again; with another, 409."""
    first = server.submit({**BODY, "request_id": "r-1"})
    assert first.json["request_id"] == "r-1"
    again = server.submit({"request_id": "r-1", **BODY})
    assert (again.status, again.json) == (202, first.json)
    server.finished("r-1")
    inputs = dict(reversed(list(BODY["inputs"].items())))  # type: ignore[attr-defined]
    other_words = {"template": BODY["template_id"], "style_profile": BODY["style_profile_id"], "user_input": inputs}
    late = server.submit({**other_words, "request_id": "r-1"})
    assert (late.status, late.json) == (202, first.json)
    other = server.submit({**BODY, "request_id": "r-1", "generation_mode": "quick"})
    assert (other.status, other.json["error"]["code"]) == (409, "conflict")
    stats = server.get("/v1/dashboard/stats").json
    assert stats["generations"] == {"total": 1, "completed": 1, "failed": 0, "in_progress": 0}
    by_mode = {"standard": {"generations": 1, "credits": 4}}
    assert stats["credits"] == {"used": 4, "generations": 1, "by_mode": by_mode}


def test_save_creates_and_updates(server: InProcess) -> None:
    """A save without id creates, with any of the three id names updates; each change has a stamp of its own."""
    reply = server.post("/v1/content/save", {"title": "One", "content": "first"}).json
    content_id, stamp = reply["contentId"], {"updatedAt": reply["updatedAt"], "version": 1}
    assert reply == {"success": True, "contentId": content_id, **stamp}
    for name, text in (("id", "second"), ("content_id", "third"), ("contentId", "fourth")):
        body = {name: content_id, "content": text}
        reply = server.post("/v1/content/save", body).json
        assert (reply["contentId"], reply["version"]) == (content_id, stamp["version"] + 1)
        stamp = {name: reply[name] for name in stamp}
        [entry] = server.get("/v1/content").json["content"]
        one = server.get(f"/v1/content/{content_id}").json
        assert stamp == {name: entry[name] for name in stamp} == {name: one[name] for name in stamp}
    same = {"id": content_id, "title": "One", "content": "fourth"}
    before = server.get(f"/v1/content/{content_id}").json
    server.post("/api/content/save", same)
    after = server.get(f"/v1/content/{content_id}").json
    assert before == after
    assert (after["title"], after["content"], after["status"]) == ("One", "fourth", "draft")
    assert after["updatedAt"] > after["createdAt"]
    for unknown in ("cnt_none", "../x"):
        lost = server.post("/v1/content/save", {"id": unknown, "content": "x"})
        assert lost.status == 404


def test_put_and_delete_content(server: InProcess) -> None:
    """The undocumented calls: PUT changes all but the type and drops stale HTML, DELETE removes."""
    made = {"title": "T", "content": "a", "contentHtml": "<p>a</p>", "type": "post", "metadata": {"k": 1}}
    reply = server.post("/api/content/save", made)
    content_id = reply.json["contentId"]
    path = f"/api/content/{content_id}"
    put = server("PUT", path, {"title": "New", "status": "published", "type": "other"}).json
    assert put["success"] is True
    assert set(put["content"]) == {"id", "title", "status", "updatedAt", "version"}
    listed = server.get(path).json
    assert (listed["title"], listed["type"], listed["contentHtml"]) == ("New", "post", "<p>a</p>")
    server("PUT", path, {"content": "b"})
    listed = server.get(path).json
    assert (listed["content"], listed["contentHtml"], listed["metadata"]) == ("b", None, {"k": 1})
    assert server("PUT", path, {"content": 3}).status == 422
    stats = server.get("/v1/content").json["stats"]
    assert stats == {"total": 1, "published": 1, "drafts": 0}
    assert server("DELETE", path).json == {"success": True, "message": "Content deleted"}
    assert (server.get(path).json, server("DELETE", path).status) == ({"detail": "Content not found"}, 404)


def test_one_section_is_written_again(server: InProcess) -> None:
    """Regenerating a section is a job whose text is the whole body with only that section changed, at the mode's price."""
    text = "intro\n\n## Why\n\nold words\n\n### Deeper\n\nold too\n\n## How\n\nstays\n"
    saved = server.post("/v1/content/save", {"title": "T", "content": text}).json["contentId"]
    ask = {"content_id": saved, "section": "why", "instructions": "shorter\nfriendlier", "generation_mode": "premium"}
    reply = server.post("/v1/content/regenerate-section", {**ask, "request_id": "s-1"})
    assert (reply.status, reply.json["request_id"], reply.json["status"]) == (202, "s-1", "pending")
    done = server.finished("s-1")["content"]
    assert (done["id"], done["title"]) == (saved, "T")
    assert done["body"].startswith("intro\n\n## Why\n\n> Draft outline")
    assert done["body"].endswith("\n\n## How\n\nstays\n")
    assert "- shorter\n- friendlier" in done["body"]
    assert "old too" not in done["body"].replace("It began: old words ### Deeper old too", "")
    assert server.get(f"/v1/content/{saved}").json["content"] == done["body"]
    assert server.get("/api/credits/usage").json["used"] == 5
    again = server.post("/v1/content/regenerate-section", {**ask, "request_id": "s-1"})
    assert again.json == reply.json
    missing = server.post("/v1/content/regenerate-section", {**ask, "section": "Who"})
    assert (missing.status, missing.json["error"]["message"]) == (404, "Section 'Who' not found")
    lost = server.post("/api/content/regenerate-section", {**ask, "content_id": "none"})
    assert lost.status == 404
    empty = server.post("/api/content/regenerate-section", {"section": 5})
    assert [entry["type"] for entry in empty.json["detail"]] == ["missing", "string_type"]


def test_catalog_in_the_documented_shapes(server: InProcess) -> None:
    """Lists and details of templates, styles and verticals under `/v1`."""
    templates = server.get("/v1/templates").json["templates"]
    assert (len(templates), set(templates[0])) == (13, {"id", "name", "category", "description"})
    blog = server.get("/v1/templates/blog_article_generator").json
    assert blog["required_fields"] == ["topic", "target_audience"]
    assert blog["parameters"]["key_points"]["type"] == "string"
    assert blog["parameters"]["target_audience"]["aliases"] == ["audience"]
    styles = server.get("/v1/style-profiles").json["style_profiles"]
    assert len(styles) == 72
    general = next(style for style in styles if style["id"] == "general_blog")
    assert (general["category"], general["tone"], general["formality"]) == ("marketing", "conversational", "moderate")
    assert server.get("/v1/style-profiles/phd_academic").json["formality"] == "high"
    verticals = server.get("/v1/verticals").json["verticals"]
    assert "saas_tech" in {entry["id"] for entry in verticals}
    assert (len(verticals), server.get("/v1/verticals/legal").json["name"]) == (8, "Legal")
    assert server.get("/v1/templates/none").status == 404
    assert server.get("/v1/health").json["status"] == "healthy"


def test_catalog_in_the_server_shapes(server: InProcess) -> None:
    """The same under `/api`: enveloped pages, details under `data`, 500 for an unknown slug."""
    listed = server.get("/api/templates").json
    assert (listed["success"], listed["data"]["count"], listed["data"]["limit"]) == (True, 13, 100)
    assert set(listed["data"]["items"][0]) == {"id", "name", "template_type", "description"}
    paged = server.get("/api/style-profiles?page=8&limit=10").json["data"]
    assert (len(paged["items"]), paged["count"], paged["page"]) == (2, 72, 8)
    assert set(paged["items"][0]) == {"id", "name", "tone", "voice", "audience", "platform"}
    bad = server.get("/api/templates?page=0&limit=x")
    assert (bad.status, [problem["loc"] for problem in bad.json["detail"]]) == (
        422,
        [["query", "page"], ["query", "limit"]],
    )
    detail = server.get("/api/templates/press_release").json["data"]
    assert detail["parameters"]["urgency_level"]["default"] == "standard"
    assert detail["metadata"] == {"category": "communications"}
    assert "system_prompt" in server.get("/api/style-profiles/general_blog").json["data"]
    unknown = server.get("/api/templates/x")
    assert (unknown.status, unknown.json) == (500, {"detail": "Template 'x' not found."})
    assert "verticals" in server.get("/api/verticals").json


def test_a_damaged_store_is_named(bundled: Bundled, tmp_path: Path) -> None:
    """The reply says what to do; a store that only fails is a passing failure, and health says so."""
    store = Store(tmp_path / "local.db")
    store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (tmp_path / "local.db").read_bytes()
    (tmp_path / "local.db").write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    store.rows("PRAGMA shrink_memory")
    server = bundled(store)
    reply = server.get("/v1/content")
    assert reply.status == 500
    assert "`local.db` is damaged" in reply.json["error"]["message"]
    assert "move the file away" in reply.json["error"]["message"]
    store.close()
    reply, health = server.get("/v1/content"), server.get("/health")
    assert (reply.status, reply.json["error"]["code"]) == (503, "unavailable")
    assert (health.status, health.json["status"]) == (503, "unhealthy")


def test_a_key_guards_every_endpoint_but_health(bundled: Bundled) -> None:
    """Only the right key opens the door, in the shape of each surface."""
    server = bundled(key="k-1")
    denied = server.get("/v1/content")
    assert (denied.status, denied.json) == (401, refused("unauthorized", "Invalid or missing API key"))
    assert denied.headers["www-authenticate"] == "Bearer"
    assert server.post("/api/generate", BODY).json == {"detail": "Invalid or missing API key"}
    for wrong in ("Bearer", "Bearer x", "Basic k-1", "Bearer k-1x", "Bearer \xff"):
        assert server.get("/v1/content", {"Authorization": wrong}).status == 401
    assert server.submit({**BODY, "request_id": "r"}, {"Authorization": "Bearer k-1"}).status == 202
    assert server.get("/health").status == 200
