"""The dialect `auto`: where the API is, under which names it takes a submit, and what is never sent twice."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.calls import CreditsUsage, Generate, GetStatus, GetTemplate, ListTemplates
from contentops.api.client import Client
from contentops.api.dialects import dialect_named
from contentops.api.finding import PREFIXES, Place, candidates, is_about_form, spellings
from contentops.api.replies import Accepted, CatalogReply, Failure, FailureKind, JobStatus, Stats
from contentops.model import ApiSettings
from contentops.server.serve import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentops.api.calls import Call
    from contentops.api.replies import Reply

KEY = "k-123456"
HOST = "https://api.example.test"
REQUEST = {"template": "blog", "style": "general", "mode": "standard", "inputs": {"topic": "Tea"}, "vertical": "legal"}
SUBMIT = Generate(REQUEST, "ours")
TEMPLATES = {"templates": [{"id": "blog"}]}
PAGE = httpx.Response(200, html="<!doctype html><title>Welcome</title>")
NAMES = {
    "v1": {"template_id", "style_profile_id", "inputs", "vertical"},
    "v1-2026-04": {"template_id", "style_profile_id", "user_input", "vertical_id"},
    "sdk": {"template", "style_profile", "dynamic_parameters", "vertical_id"},
}


def refusal(status: int, words: str) -> httpx.Response:
    """An error as the documents show it."""
    return httpx.Response(status, json={"error": {"code": "e", "message": words}})


class Server(httpx.AsyncBaseTransport):
    """Answers lists with `lists(path)` and submits with `submits(body)`; `log` holds what came."""

    def __init__(
        self,
        lists: Callable[[str], httpx.Response] = lambda _: httpx.Response(200, json=TEMPLATES),
        submits: Callable[[dict[str, Any]], httpx.Response] | None = None,
    ) -> None:
        self.lists = lists
        self.submits = submits or (lambda _: httpx.Response(202, json={"request_id": "ours"}))
        self.log: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Log and answer one request."""
        await asyncio.sleep(0)
        self.log.append(f"{request.method} {request.url.raw_path.decode()}")
        if request.method == "POST":
            self.bodies.append(json.loads(request.content))
            return self.submits(self.bodies[-1])
        if request.url.path.endswith("/templates"):
            return self.lists(request.url.path)
        return httpx.Response(200, json={"request_id": "ours", "status": "processing"})


def strict(*allowed: str) -> Callable[[dict[str, Any]], httpx.Response]:
    """A server that takes only these names beside those of every dialect."""
    names = {*allowed, "brand_voice_id", "generation_mode", "request_id"}

    def answer(body: dict[str, Any]) -> httpx.Response:
        extra = sorted(set(body) - names)
        if extra:
            detail = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in extra]
            return httpx.Response(422, json={"detail": detail})
        return httpx.Response(202, json={"request_id": body["request_id"]})

    return answer


def talk(server: Server, *calls: Call, base: str = HOST) -> tuple[list[Reply | Failure], Client]:
    """Send calls one after the other with the dialect `auto`."""
    client = Client(ApiSettings(base_url=base, dialect="auto"), key=KEY, transport=server)

    async def story() -> list[Reply | Failure]:
        return [await client.send(call) for call in calls]

    return asyncio.run(story()), client


# --- the address -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (HOST, [HOST, f"{HOST}/v1", f"{HOST}/api"]),
        (f"{HOST}/v1", [f"{HOST}/v1", f"{HOST}/api"]),
        (f"{HOST}/api", [f"{HOST}/api", f"{HOST}/v1"]),
        (f"{HOST}/x", [f"{HOST}/x", f"{HOST}/x/v1", f"{HOST}/x/api"]),
    ],
)
def test_the_addresses_that_are_tried(base: str, expected: list[str]) -> None:
    """The address as given comes first, each other one only once, and never another host."""
    assert list(candidates(base)) == expected


@pytest.mark.parametrize(
    ("prefix", "given"),
    # An address shorter than the one that was given is not asked for.
    [("", ""), ("/v1", ""), ("/api", ""), ("/v1", "/v1"), ("/v1", "/api"), ("/api", "/v1"), ("/api", "/api")],
)
@pytest.mark.parametrize(
    "elsewhere",
    [
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(404, html="<html>gone"),
        PAGE,
        httpx.Response(302, headers={"Location": "https://www.example.test/login"}),
        httpx.Response(403, json={"message": "Missing Authentication Token"}),
        httpx.Response(401, json={"detail": "Not authenticated"}),
        httpx.Response(502, html="<html>Bad Gateway"),
    ],
    ids=["404", "404 page", "page", "redirect", "gateway 403", "gateway 401", "502"],
)
def test_the_prefix_is_found(prefix: str, given: str, elsewhere: httpx.Response) -> None:
    """Whatever the other addresses answer, the one that lists templates is found and used from then on."""
    server = Server(lambda path: httpx.Response(200, json=TEMPLATES) if path == f"{prefix}/templates" else elsewhere)
    (accepted, status), client = talk(server, SUBMIT, GetStatus("ours"), base=HOST + given)
    assert isinstance(accepted, Accepted)
    assert isinstance(status, JobStatus)
    assert server.log[-2:] == [f"POST {prefix}/generate", f"GET {prefix}/generate/status/ours"]
    assert len([line for line in server.log if line.endswith("/templates")]) <= 3
    assert asyncio.run(client.find()) == Place(base=HOST + prefix)


@pytest.mark.parametrize(
    ("payload", "enveloped"),
    [(TEMPLATES, False), ({"success": True, "data": {"items": [{"id": "blog"}], "count": 1}}, True), ([], False)],
)
def test_the_envelope_is_seen(payload: Any, enveloped: bool) -> None:
    """What wraps the lists is told; both are read alike."""
    _, client = talk(Server(lambda _: httpx.Response(200, json=payload)), ListTemplates(), base=f"{HOST}/api")
    place = asyncio.run(client.find())
    assert place == Place(base=f"{HOST}/api", enveloped=enveloped)
    assert isinstance(place, Place)
    assert place.prefix == "/api"


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ({}, "unusable", ["no WriterzRoom API was found at `api.example.test`", "`/templates`", "`/v1/templates`"]),
        ({"": PAGE, "/v1": PAGE}, "unusable", ["HTML page", "check `api.base_url`"]),
        ({"/v1": refusal(401, "Invalid API key")}, "unauthorized", ["Invalid API key"]),
        ({"/api": refusal(403, "no API access")}, "forbidden", ["no API access"]),
        ({"": refusal(403, "x"), "/v1": refusal(401, "expired key")}, "unauthorized", ["expired key"]),
        ({"/v1": httpx.Response(503)}, "not-sent", ["503"]),
        ({"": refusal(429, "slow down")}, "throttled", ["slow down"]),
    ],
    ids=["404", "pages", "wrong key", "no access", "key over access", "down", "throttled"],
)
def test_what_is_said_where_nothing_is_found(answers: dict[str, httpx.Response], kind: str, words: list[str]) -> None:
    """A wrong key, a wrong address and a server that is down are told apart, and no submit goes out."""
    server = Server(
        lambda path: answers.get(path.removesuffix("/templates"), httpx.Response(404, json={"detail": "Not Found"}))
    )
    (found,), _ = talk(server, SUBMIT)
    assert isinstance(found, Failure)
    assert (found.kind, found.call) == (kind, "submit")
    assert [word for word in words if word not in found.message] == []
    assert server.bodies == []
    assert found.endpoint.startswith("GET https://api.example.test/")


def test_a_free_call_keeps_the_kind_of_a_passing_failure() -> None:
    """Only what pays is told that it was not sent."""
    (found,), _ = talk(Server(lambda _: httpx.Response(503)), GetTemplate("blog"))
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.UNAVAILABLE


def test_a_search_that_failed_is_made_again() -> None:
    """A server that was down for a moment is found by the next call."""
    answers = [httpx.Response(503)] * 3
    server = Server(lambda _: answers.pop() if answers else httpx.Response(200, json=TEMPLATES))
    (first, second), _ = talk(server, SUBMIT, SUBMIT)
    assert isinstance(first, Failure)
    assert isinstance(second, Accepted)


@pytest.mark.parametrize("healthy", [True, False])
def test_calls_at_once_share_a_search(healthy: bool) -> None:
    """Fifty calls make one search, whether it finds anything or not."""
    server = Server(lambda _: httpx.Response(200, json=TEMPLATES) if healthy else PAGE)
    client = Client(ApiSettings(base_url=HOST, dialect="auto"), key=KEY, transport=server)

    async def story() -> list[Reply | Failure]:
        return await asyncio.gather(*(client.send(GetStatus("ours")) for _ in range(50)))

    found = asyncio.run(story())
    assert {isinstance(each, JobStatus) for each in found} == {healthy}
    assert len([line for line in server.log if line.endswith("/templates")]) == (1 if healthy else 3)


# --- the names of a submit ---------------------------------------------------------------------------------


def test_a_lax_server_gets_every_name_at_once() -> None:
    """One submit carries the inputs under all three names, and nothing is sent twice."""
    server = Server()
    (accepted,), client = talk(server, SUBMIT)
    assert accepted == Accepted("ours", True)
    (body,) = server.bodies
    assert body["inputs"] == body["user_input"] == body["dynamic_parameters"] == {"topic": "Tea"}
    assert body["template_id"] == body["template"] == "blog"
    assert body["vertical"] == body["vertical_id"] == "legal"
    assert client.spelling == "auto"


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
@pytest.mark.parametrize("name", NAMES)
def test_a_strict_server_gets_the_names_it_takes(name: str, prefix: str) -> None:
    """A server that refuses names it does not know is asked under one dialect's at a time, and that one is kept."""
    server = Server(submits=strict(*NAMES[name]))
    found, client = talk(server, SUBMIT, SUBMIT, base=HOST + prefix)
    assert found == [Accepted("ours", True)] * 2
    assert client.spelling == name
    assert len(server.bodies) <= 5
    assert set(server.bodies[-1]) >= NAMES[name]
    assert "user_input" not in server.bodies[-1] or "inputs" not in server.bodies[-1]
    assert {body["request_id"] for body in server.bodies} == {"ours"}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (422, "inputs: Field required"),
        (400, "unknown field `dynamic_parameters`"),
        (400, "Additional properties are not allowed ('user_input' was unexpected)"),
        (400, "`inputs` and `user_input` differ: send one of them"),
        (400, ""),
        (400, "Bad Request"),
        (422, "template_id: field is required"),
    ],
)
def test_refusals_of_the_form(status: int, words: str) -> None:
    """Words about names, and no words at all, let the next spelling be tried."""
    failure = Failure(FailureKind.REJECTED, words, status)
    assert is_about_form(failure, REQUEST)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("rejected", 400, "Missing required input field: audience"),
        ("rejected", 400, "template_id `blog` is not known"),
        ("rejected", 422, "inputs.topic: must be longer"),
        ("rejected", 422, "unknown input field topic"),
        ("rejected", 400, "topic is too long"),
        ("rejected", 413, "too large"),
        ("rejected", 404, "template not found"),
        ("ambiguous", 500, "user_input"),
        ("throttled", 429, "user_input"),
        ("quota", 402, ""),
    ],
)
def test_refusals_of_the_item(kind: str, status: int, words: str) -> None:
    """Words about what the item asks for, and everything but 400 and 422, end the search: a lax server might be paid."""
    assert not is_about_form(Failure(FailureKind(kind), words, status), REQUEST)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(400, "Missing required input field: audience"), "rejected"),
        (httpx.Response(500, json={"detail": "Internal server error"}), "ambiguous"),
        (httpx.Response(504, html="<html>"), "ambiguous"),
        (refusal(429, "slow down"), "throttled"),
        (refusal(402, "no credits"), "quota"),
        (refusal(409, "request_id was used before"), "ambiguous"),
        (httpx.Response(200, json={}), "ambiguous"),
    ],
    ids=["item", "500", "504", "429", "402", "409", "nonsense"],
)
def test_nothing_else_is_sent_again(answer: httpx.Response, kind: str) -> None:
    """One request, whatever comes back, unless it is a refusal of the form."""
    server = Server(submits=lambda _: answer)
    (found,), client = talk(server, SUBMIT)
    assert isinstance(found, Failure)
    assert found.kind == kind
    assert len(server.bodies) == 1
    assert client.spelling == ""


def test_a_lost_answer_in_the_middle_ends_the_search() -> None:
    """Where the second spelling may have been accepted, no third is tried."""
    answers = [refusal(400, "unknown field `user_input`"), httpx.Response(504)]
    server = Server(submits=lambda _: answers.pop(0))
    (found,), _ = talk(server, SUBMIT)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.AMBIGUOUS
    assert len(server.bodies) == 2


def test_what_a_server_says_to_each_spelling_is_told() -> None:
    """Refused under every name: the words are told once each, with the spellings they answered."""
    server = Server(submits=lambda body: refusal(400, "unknown field " + ("a" if "inputs" in body else "b")))
    (found,), _ = talk(server, SUBMIT)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.REJECTED
    assert "`auto, v1`: unknown field a" in found.message
    assert "`v1-2026-04, sdk`: unknown field b" in found.message
    assert found.message.endswith("set `api.dialect`")
    assert len(server.bodies) == 4


def test_the_same_words_to_each_spelling_are_told_plainly() -> None:
    """One sentence of the server is its sentence."""
    (found,), _ = talk(Server(submits=lambda _: refusal(400, "Bad Request")), SUBMIT)
    assert isinstance(found, Failure)
    assert found.message == "Bad Request"


@given(st.text(max_size=80), st.sampled_from([400, 422]))
def test_any_words_are_judged(words: str, status: int) -> None:
    """Whatever a server says, the judgement is a plain yes or no."""
    assert is_about_form(Failure(FailureKind.REJECTED, words, status), REQUEST) in {True, False}


def test_the_likeliest_spelling_comes_first() -> None:
    """Under `/api` the vendor's own server answers, elsewhere the documented one."""
    auto = dialect_named("auto")
    assert [each.name for each in spellings(Place(base=f"{HOST}/api"), auto)] == ["auto", "sdk", "v1-2026-04", "v1"]
    assert [each.name for each in spellings(Place(base=HOST), auto)] == ["auto", "v1", "v1-2026-04", "sdk"]


# --- every dialect against the embedded server -------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["v1", "v1-2026-04", "sdk", "auto"])
def test_the_embedded_server_takes_every_dialect(dialect: str, tmp_path: Path) -> None:
    """A job, the catalog and the credits, in process, in each dialect."""
    request = {
        "template": "blog_article_generator",
        "style": "general_blog",
        "mode": "quick",
        "inputs": {"topic": "Tea", "target_audience": "readers"},
        "vertical": "legal",
    }

    async def story() -> list[Any]:
        async with running(tmp_path / "room.db") as app:
            client = Client(ApiSettings(base_url="local", dialect=dialect), key="", app=app)
            found: list[Any] = [await client.send(Generate(request, "ours"))]
            for _ in range(200):
                found[1:] = [await client.send(GetStatus("ours"))]
                if found[1].state != "running":
                    break
                await asyncio.sleep(0.01)
            found += [await client.send(each) for each in (ListTemplates(), GetTemplate("blog_article_generator"))]
            found.append(await client.send(CreditsUsage()))
            await client.aclose()
        return found

    accepted, status, templates, template, credit = asyncio.run(story())
    assert accepted == Accepted("ours", True)
    assert status.state == "completed"
    assert "Tea" in status.title + status.body
    assert isinstance(templates, CatalogReply)
    assert len(templates.entries) >= 13
    assert isinstance(template, CatalogReply)
    assert isinstance(credit, Stats)
    assert credit.data
