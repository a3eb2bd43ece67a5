"""Dialects: what goes over the wire in each, and how the one that a server speaks is found with free requests."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.calls import (
    Accepted,
    Call,
    DashboardStats,
    Failure,
    FailureKind,
    Generate,
    GetContent,
    GetStatus,
    GetTemplate,
    JobStatus,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
    PutContent,
    RegenerateSection,
    SaveContent,
)
from contentops.api.dialects import DIALECTS, Unsendable, detected_dialect, dialect_named, spell
from contentops.api.session import ApiEndpoint, Client
from contentops.errors import ApiError
from contentops.model import ApiSettings
from contentops.operations import doctor
from tests.fakes.api import FakeApi, on
from tests.fakes.backend import PublicBackend
from tests.fakes.harness import Harness, blog, results

REQUEST: dict[str, Any] = {
    "template": "blog_article_generator", "style": "general_blog", "mode": "premium", "inputs": {"topic": "Café"},
    "vertical": "saas_tech", "brand_voice": "bv_1", "revision": 3,
}  # fmt: skip
SUBMIT = Generate(REQUEST, "req-1")

_MAIN = '"brand_voice_id":"bv_1","generation_mode":"premium","request_id":"req-1"}'
BODIES = {
    "v1": '{"template_id":"blog_article_generator","style_profile_id":"general_blog","inputs":{"topic":"Café"},'
    f'"vertical":"saas_tech",{_MAIN}',
    "v1-2026-04": '{"template_id":"blog_article_generator","style_profile_id":"general_blog","user_input":{"topic":"Café"},'
    f'"vertical_id":"saas_tech",{_MAIN}',
    "sdk": '{"template":"blog_article_generator","style_profile":"general_blog","dynamic_parameters":{"topic":"Café"},'
    f'"user_input":{{"topic":"Café"}},"vertical_id":"saas_tech",{_MAIN}',
    "auto, bare": '{"template_id":"blog_article_generator","style_profile_id":"general_blog","inputs":{"topic":"Café"},'
    f'"user_input":{{"topic":"Café"}},"vertical":"saas_tech","vertical_id":"saas_tech",{_MAIN}',
    "auto, enveloped": '{"template":"blog_article_generator","template_id":"blog_article_generator","style_profile":"general_blog",'
    '"style_profile_id":"general_blog","dynamic_parameters":{"topic":"Café"},"user_input":{"topic":"Café"},'
    f'"vertical_id":"saas_tech",{_MAIN}',
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_submit_bodies_are_golden(name: str) -> None:
    """Each dialect spells a full submit exactly so, byte for byte, and sends no revision."""
    stated, _, lists = name.partition(", ")
    wire = spell(SUBMIT, detected_dialect(dialect_named(stated), enveloped=lists == "enveloped"))
    assert (wire.method, wire.path) == ("POST", "/generate")
    assert wire.body is not None
    assert wire.body.decode() == BODIES[name]
    assert wire.headers == {"Content-Type": "application/json", "Idempotency-Key": "req-1"}


def test_what_is_absent_is_left_out() -> None:
    """A minimal request names its mode alone, and with `send_mode` off not even that; another mode is refused then."""
    dialect, inputs = dialect_named("v1"), MappingProxyType({"topic": "x"})  # a mapping that is no dict
    request = {"template": "t", "style": "s", "mode": "standard", "inputs": inputs}
    sent = {"template_id": "t", "style_profile_id": "s", "inputs": {"topic": "x"}, "request_id": "r"}
    wire = spell(Generate(request, "r"), dialect)
    assert json.loads(wire.body or b"") == {**sent, "generation_mode": "standard"}
    assert json.loads(spell(Generate(request, "r"), dialect, send_mode=False).body or b"") == sent
    with pytest.raises(Unsendable, match="mode `premium` cannot be asked for"):
        spell(SUBMIT, dialect, send_mode=False)


PLAIN: list[tuple[Call, str, str, Any]] = [
    (GetStatus("req_1"), "GET", "/generate/status/req_1", None),
    (ListContent(), "GET", "/content", None),
    (ListContent(3, 1000), "GET", "/content?page=3&limit=1000", None),
    (GetContent("cnt_1"), "GET", "/content/cnt_1", None),
    (SaveContent("T", "B"), "POST", "/content/save", {"title": "T", "content": "B"}),
    (SaveContent("T", "B", "c1", {"k": 1}), "POST", "/content/save", {"title": "T", "content": "B", "metadata": {"k": 1}, "id": "c1", "content_id": "c1", "contentId": "c1"}),
    (PutContent("c1", "T", "B"), "PUT", "/content/c1", {"title": "T", "content": "B"}),
    (RegenerateSection("c1", "Intro", "quick", "r"), "POST", "/content/regenerate-section", {"content_id": "c1", "section": "Intro", "generation_mode": "quick", "request_id": "r"}),
    (ListTemplates(), "GET", "/templates", None),
    (ListTemplates(2, 100), "GET", "/templates?page=2&limit=100", None),
    (GetTemplate("blog"), "GET", "/templates/blog", None),
    (ListStyles(), "GET", "/style-profiles", None),
    (ListStyles(3, 100), "GET", "/style-profiles?page=3&limit=100", None),
    (ListVerticals(), "GET", "/verticals", None),
    (DashboardStats(), "GET", "/dashboard/stats", None),
]  # fmt: skip


@pytest.mark.parametrize(("call", "method", "path", "body"), PLAIN, ids=lambda each: getattr(each, "name", None))
def test_other_calls(call: Call, method: str, path: str, body: Any) -> None:
    """Every other call has the documented method and path in every dialect."""
    for dialect in DIALECTS.values():
        wire = spell(call, dialect)
        assert (wire.method, wire.path) == (method, path)
        assert (json.loads(wire.body) if wire.body else None) == body


def test_only_overwriting_calls_are_repeatable() -> None:
    """Submits, section rewrites and creating saves pay or create; everything else may be sent twice."""
    once = {call.name for call, *_ in [*PLAIN, (SUBMIT, "", "", None)] if not call.repeatable}
    assert once == {"submit", "regenerate section", "save"}
    assert SaveContent("T", "B", "c1").repeatable


@given(st.text(min_size=1))
def test_no_id_leaves_its_path_segment(name: str) -> None:
    """Whatever a state file holds as an id, the path keeps its shape."""
    path = spell(GetContent(name), dialect_named("v1")).path
    rest = path.removeprefix("/content/")
    assert path.startswith("/content/")
    assert "/" not in rest
    assert "?" not in rest
    assert rest not in {"", ".", ".."}
    assert unquote(rest) == name


@pytest.mark.parametrize(("name", "hint"), [("sdkk", "did you mean `sdk`?"), ("zzz", "contentops.yaml"), ("", "")])
def test_unknown_dialects_are_told(name: str, hint: str) -> None:
    """An unknown dialect is named, with the ones there are."""
    with pytest.raises(ApiError, match="`v1`, `v1-2026-04`, `sdk`") as raised:
        dialect_named(name)
    assert (raised.value.code, hint in raised.value.hint) == ("unknown-dialect", True)


KEY = "k-123456"
HOST = "https://api.example.test"
TEA = Generate(
    {"template": "blog", "style": "general", "mode": "standard", "inputs": {"topic": "Tea"}, "vertical": "legal"},
    "ours",
)
BARE = {"templates": [{"id": "blog"}]}
ENVELOPED = {"success": True, "data": {"items": [{"id": "blog"}], "count": 1}}
PAGE = httpx.Response(200, html="<!doctype html><title>Welcome</title>")
TOPICS = ("tea", "coffee", "cocoa")


def refusal(status: int, words: str) -> httpx.Response:
    """An error as the documents show it."""
    return httpx.Response(status, json={"error": {"code": "e", "message": words}})


class Server(httpx.AsyncBaseTransport):
    """Answers lists with `lists(path)` and submits with `submits()`; `log` and `bodies` hold what came."""

    def __init__(
        self,
        lists: Callable[[str], httpx.Response] = lambda _: httpx.Response(200, json=BARE),
        submits: Callable[[], httpx.Response] = lambda: httpx.Response(202, json={"request_id": "ours"}),
    ) -> None:
        self.lists = lists
        self.submits = submits
        self.log: list[str] = []
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Log and answer one request."""
        await asyncio.sleep(0)
        self.log.append(f"{request.method} {request.url.raw_path.decode()}")
        if request.method == "POST":
            self.bodies.append(request.content)
            return self.submits()
        if request.url.path.endswith("/templates"):
            return self.lists(request.url.path)
        return httpx.Response(200, json={"request_id": "ours", "status": "processing"})

    @property
    def searches(self) -> int:
        """How often a list was asked for."""
        return sum(line.endswith("/templates") for line in self.log)


def talk(
    server: Server, *calls: Call, base: str = HOST, dialect: str = "auto", endpoint: ApiEndpoint | None = None
) -> tuple[list[Any], Client, list[ApiEndpoint | None]]:
    """Send calls one after the other; the replies, the client, and what it learned."""
    learned: list[ApiEndpoint | None] = []
    settings = ApiSettings(base_url=base, dialect=dialect)
    client = Client(settings, key=KEY, user="u", transport=server, endpoint=endpoint, learned=learned.append)

    async def story() -> list[Any]:
        return [await client.send(call) for call in calls]

    return asyncio.run(story()), client, learned


@pytest.mark.parametrize(
    ("prefix", "given"),
    # An address shorter than the one that was given is not asked for.
    [("", ""), ("/v1", ""), ("/api", ""), ("/v1", "/v1"), ("/v1", "/api"), ("/api", "/v1"), ("/api", "/api")],
)
@pytest.mark.parametrize("elsewhere", [
    httpx.Response(404, json={"detail": "Not Found"}), httpx.Response(404, html="<html>gone"), PAGE,
    httpx.Response(302, headers={"Location": "https://www.example.test/login"}),
    httpx.Response(403, json={"message": "Missing Authentication Token"}),
    httpx.Response(401, json={"detail": "Not authenticated"}), httpx.Response(502, html="<html>Bad Gateway"),
], ids=["404", "404 page", "page", "redirect", "gateway 403", "gateway 401", "502"])  # fmt: skip
def test_the_prefix_is_found(prefix: str, given: str, elsewhere: httpx.Response) -> None:
    """Whatever the other addresses answer, the one that lists templates is found, used and told."""
    server = Server(lambda path: httpx.Response(200, json=BARE) if path == f"{prefix}/templates" else elsewhere)
    (accepted, status), _, learned = talk(server, TEA, GetStatus("ours"), base=HOST + given)
    assert isinstance(accepted, Accepted)
    assert isinstance(status, JobStatus)
    assert server.log[-2:] == [f"POST {prefix}/generate", f"GET {prefix}/generate/status/ours"]
    assert server.searches <= 3
    assert learned == [ApiEndpoint(base=HOST + prefix, enveloped=False)]


@pytest.mark.parametrize(
    ("payload", "enveloped", "name"),
    [(BARE, False, "v1"), ([], False, "v1"), (ENVELOPED, True, "sdk"), ({"data": [{"id": "blog"}]}, True, "sdk")],
)
def test_the_envelope_decides_the_names(payload: Any, enveloped: bool, name: str) -> None:
    """Inputs go under every name that a server with such lists is known to read, with one submit."""
    server = Server(lambda _: httpx.Response(200, json=payload))
    replies, client, _ = talk(server, TEA, base=f"{HOST}/api")
    assert (replies, client.dialect) == ([Accepted("ours", True)], name)
    dialect = detected_dialect(dialect_named("auto"), enveloped=enveloped)
    assert server.bodies == [spell(TEA, dialect).body]


@pytest.mark.parametrize(("answers", "kind", "words"), [
    ({}, "unusable", ["no WriterzRoom API was found at `api.example.test`", "`/templates`", "`/v1/templates`"]),
    ({"": PAGE, "/v1": PAGE}, "unusable", ["HTML page", "check `api.base_url`"]),
    ({"/v1": refusal(401, "Invalid API key")}, "unauthorized", ["Invalid API key"]),
    ({"/api": refusal(403, "no API access")}, "forbidden", ["no API access"]),
    ({"": refusal(403, "x"), "/v1": refusal(401, "expired key")}, "unauthorized", ["expired key"]),
    ({"/v1": httpx.Response(503)}, "not-sent", ["503"]),
    ({"": refusal(429, "slow down")}, "throttled", ["slow down"]),
], ids=["404", "pages", "wrong key", "no access", "key over access", "down", "throttled"])  # fmt: skip
def test_what_is_answered_where_nothing_is_found(
    answers: dict[str, httpx.Response], kind: str, words: list[str]
) -> None:
    """A wrong key, a wrong address and a server that is down are told apart, and no submit goes out."""
    server = Server(
        lambda path: answers.get(path.removesuffix("/templates"), httpx.Response(404, json={"detail": "Not Found"}))
    )
    (failure,), _, learned = talk(server, TEA)
    assert (failure.kind, failure.call) == (kind, "submit")
    assert ([word for word in words if word not in failure.message], server.bodies, learned) == ([], [], [])
    assert failure.endpoint.startswith("GET https://api.example.test/")


@pytest.mark.parametrize(("answer", "again"), [
    (httpx.Response(503), True), (PAGE, True), (refusal(401, "no"), False), (refusal(404, "Not Found"), False),
    (httpx.Response(302, headers={"location": "/login"}), False),
], ids=["down", "page", "wrong key", "wrong address", "login"])  # fmt: skip
def test_only_a_search_that_may_end_otherwise_is_made_again(answer: httpx.Response, again: bool) -> None:
    """A server that was down, or showed a page, for a moment is found by the next call; a refused key is final."""
    answers = [answer] * 3
    server = Server(lambda _: answers.pop() if answers else httpx.Response(200, json=BARE))
    (first, second), *_ = talk(server, TEA, TEA)
    assert isinstance(first, Failure)
    assert isinstance(second, Accepted) is again


@pytest.mark.parametrize("dialect", ["auto", "v1"])
def test_what_is_known_costs_nothing(dialect: str) -> None:
    """With a place from an earlier run nothing is asked for."""
    endpoint = ApiEndpoint(base=f"{HOST}/v1", enveloped=False)
    server = Server()
    (accepted,), client, learned = talk(server, TEA, base=f"{HOST}/v1", dialect=dialect, endpoint=endpoint)
    assert isinstance(accepted, Accepted)
    assert (server.searches, learned, client.dialect, client.requests) == (0, [], "v1", 1)


def test_an_address_where_something_else_answers_is_forgotten() -> None:
    """The next run looks again."""
    endpoint = ApiEndpoint(base=f"{HOST}/v1", enveloped=False)
    server = Server(submits=lambda: httpx.Response(404, json={"detail": "Not Found"}))
    (failure,), _, learned = talk(server, TEA, base=f"{HOST}/v1", endpoint=endpoint)
    assert failure.kind is FailureKind.UNUSABLE
    assert learned == [None]


@pytest.mark.parametrize("base", ["https://other.test/v1", f"{HOST}/v2"])
def test_a_place_of_another_address_is_not_used(base: str) -> None:
    """A cache from before `api.base_url` changed, or that someone wrote, leads nowhere else."""
    server = Server()
    talk(server, TEA, base=f"{HOST}/v1", endpoint=ApiEndpoint(base=base, enveloped=True))
    assert server.log == ["GET /v1/templates", "POST /v1/generate"]


@pytest.mark.parametrize(("dialect", "payload", "refused"), [
    ("v1", BARE, False), ("v1", ENVELOPED, True), ("v1-2026-04", BARE, False), ("v1-2026-04", ENVELOPED, False),
    ("sdk", BARE, True), ("sdk", ENVELOPED, False),
])  # fmt: skip
@pytest.mark.parametrize("call", [TEA, RegenerateSection("c1", "Intro", "quick", "ours")], ids=["submit", "section"])
def test_a_stated_dialect_that_the_lists_contradict_is_refused(
    dialect: str, payload: Any, refused: bool, call: Call
) -> None:
    """One free list is asked for before the first call that pays, and nothing is paid where it says otherwise."""
    server = Server(lambda _: httpx.Response(200, json=payload))
    (first, second), _, learned = talk(server, call, call, base=f"{HOST}/api", dialect=dialect)
    assert server.searches == len(learned) == 1
    if not refused:
        assert isinstance(first, Accepted)
        assert len(server.bodies) == 2
        return
    for failure in (first, second):
        assert failure.kind is FailureKind.UNUSABLE
        assert f"does not use the dialect `{dialect}`" in failure.message
        assert failure.message.endswith("set `api.dialect: auto`")
    assert server.bodies == []


@pytest.mark.parametrize(("answer", "sent"), [
    (httpx.Response(404, json={"detail": "Not Found"}), True), (refusal(403, "no lists for you"), True), (PAGE, True),
    (httpx.Response(503), False), (refusal(401, "Invalid API key"), False), (refusal(429, "slow down"), False),
], ids=["404", "403", "page", "down", "wrong key", "throttled"])  # fmt: skip
def test_an_answer_that_is_no_list_contradicts_nothing(answer: httpx.Response, sent: bool) -> None:
    """Where there is no list to read, a person's word counts; where it may come yet, nothing is paid before."""
    server = Server(lambda _: answer)
    (failure,), *_ = talk(server, TEA, dialect="v1", base=f"{HOST}/v1")
    assert isinstance(failure, Accepted) is sent
    assert len(server.bodies) == sent


def test_a_refusal_of_one_of_several_names_says_what_to_do() -> None:
    """A server that takes no name it does not know costs nothing, and the message leads on."""
    server = Server(submits=lambda: refusal(400, "unknown field `user_input`"))
    (failure,), *_ = talk(server, TEA)
    assert failure.message == (
        "unknown field `user_input`; if it accepts only one name, set `api.dialect` to its dialect"
    )
    assert len(server.bodies) == 1


def harness_of(root: Path, api: FakeApi, *, dialect: str = "", path: str = "/v1", rpm: int = 0) -> Harness:
    """A project of three items; without `dialect`, none is stated."""
    harness = Harness(root, api, rpm=rpm, base_url=f"{HOST}{path}")
    if dialect:
        harness.edit("contentops.yaml", "requests_per_minute", f"dialect: {dialect}, requests_per_minute")
    harness.write("content/blog.yaml", blog(*TOPICS))
    return harness


def charges(api: FakeApi) -> list[str]:
    """What was paid for, in order of the topics."""
    return sorted(each.topic for each in api.charges)


WANTED = sorted(f"All about {topic} in 2026" for topic in TOPICS)


@pytest.mark.parametrize("path", ["/v1", "/api", ""])
def test_the_public_backend_gets_its_inputs_where_it_reads_them(path: str, tmp_path: Path) -> None:
    """Nothing stated: every text is about its topic, the record names the dialect, and later runs ask nothing first."""
    api = PublicBackend(duration=90)
    harness = harness_of(tmp_path, api, path=path)
    assert (set(results(harness.apply()).values()), charges(api)) == ({"done"}, WANTED)
    assert ({harness.record(topic).dialect for topic in TOPICS}, harness.plan().empty) == ({"sdk"}, True)
    requests = api.count("list templates")
    assert requests <= 5  # the search, and the pages of the list for what no record has
    harness.edit("content/blog.yaml", "tea in 2026", "tea in 2027")
    harness.apply()
    assert (api.count("list templates"), len(api.charges)) == (requests, 4)


def test_a_wrong_dialect_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    """`v1` against the public backend: an error that says what to set; no submit, no record, one free request in all."""
    api = PublicBackend(duration=90)
    harness = harness_of(tmp_path, api, dialect="v1", path="/api")
    for _ in range(2):
        with pytest.raises(ApiError, match="does not use the dialect `v1`") as refused:
            harness.apply()
        assert refused.value.code == "wrong-dialect"
        assert "set `api.dialect: auto`" in refused.value.message
    assert [seen.name for seen in api.requests] == ["list templates"]
    assert not harness.state.records
    assert not harness.state.open_jobs
    harness.edit("contentops.yaml", "dialect: v1", "dialect: auto")
    harness.apply()
    assert charges(api) == WANTED


@pytest.mark.parametrize("name", ["list templates", "submit"])
@pytest.mark.parametrize("when", ["kill", "kill-after"])
def test_a_death_around_the_search_pays_nothing_twice(name: str, when: Any, tmp_path: Path) -> None:
    """Killed before or after the list or the first submit, a second apply ends with one charge per item."""
    api = PublicBackend(duration=90)
    harness = harness_of(tmp_path, api, path="/api")
    api.fault(on(name, 1), when)
    harness.killed()
    harness.apply()
    assert (charges(api), harness.plan().empty) == (WANTED, True)


def test_doctor_shows_what_was_found_and_what_is_refused(tmp_path: Path) -> None:
    """The address, the shape of the lists, the dialect and the names of the inputs; a wrong one fails."""
    api = PublicBackend()
    harness = harness_of(tmp_path, api)
    check = {one.name: one for one in doctor.doctor(harness.project, harness.runtime())}["server"]
    assert check.ok
    assert check.message == (
        f"`{HOST}/v1` (auto) answers with 1 template at `{HOST}/api`, lists inside `{{success, data}}`:"
        " dialect `sdk`, which sends the inputs as `dynamic_parameters` and `user_input`"
    )
    other = harness_of(tmp_path, api, dialect="v1", path="/api")
    check = {one.name: one for one in doctor.doctor(other.project, other.runtime())}["server"]
    assert check.ok is False
    assert "does not use the dialect `v1`" in check.message
