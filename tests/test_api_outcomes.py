"""What each answer means: the table that decides whether money may be spent again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.calls import (
    Accepted,
    Call,
    Failure,
    FailureKind,
    Generate,
    GetContent,
    GetStatus,
    GetTemplate,
    ListContent,
    ListVerticals,
    PutContent,
    RegenerateSection,
    Reply,
    SaveContent,
)
from contentops.api.outcomes import Damage, HttpAnswer, judge, unanswered
from contentops.sanitize import MESSAGE_LIMIT as LIMIT
from contentops.sanitize import message as plain
from tests.test_api_reading import CALLS, json_values

SUBMIT = Generate({"template": "blog", "style": "general_blog", "mode": "standard", "inputs": {}}, "ours")
STATUS = GetStatus("job")
NEW = SaveContent("T", "B")
OVER = SaveContent("T", "B", "c1")
SECTION = RegenerateSection("c1", "Intro", "quick", "ours")
JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html"}
PAGE = b"<!doctype html><title>Oops</title>"


def answered(call: Call, status: int, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """What a JSON (or raw) body with this status means."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(call, HttpAnswer(status, JSON if headers is None else headers, data), wall=0)


def failed(call: Call, status: int, body: Any = None, headers: dict[str, str] | None = None) -> Failure:
    """The same, where it must be a failure."""
    failure: Failure = answered(call, status, body, headers)
    assert (failure.call, failure.status) == (call.name, status)
    return failure


DETAIL = {"detail": "words"}

TABLE: list[tuple[Call, int, Any, str]] = [
    (SUBMIT, 400, DETAIL, "rejected"), (SUBMIT, 401, DETAIL, "unauthorized"), (SUBMIT, 402, DETAIL, "quota"),
    (SUBMIT, 403, DETAIL, "forbidden"), (SUBMIT, 404, {"detail": "Template 'blog' not found."}, "rejected"),
    (SUBMIT, 404, {"detail": "Not Found"}, "unusable"), (SUBMIT, 404, {}, "unusable"),
    (SUBMIT, 405, {"detail": "Method Not Allowed"}, "unusable"), (SUBMIT, 408, DETAIL, "ambiguous"),
    (SUBMIT, 409, DETAIL, "ambiguous"), (SUBMIT, 413, DETAIL, "rejected"), (SUBMIT, 415, DETAIL, "rejected"),
    (SUBMIT, 418, DETAIL, "rejected"), (SUBMIT, 422, DETAIL, "rejected"),
    (SUBMIT, 422, {"detail": "request_id already exists"}, "ambiguous"),
    (SUBMIT, 422, {"detail": "Idempotency-Key was reused"}, "ambiguous"),
    (SUBMIT, 422, {"detail": "duplicate request id"}, "ambiguous"),
    (SUBMIT, 422, {"detail": "request_id must be a string"}, "rejected"), (SUBMIT, 429, DETAIL, "throttled"),
    (SUBMIT, 500, DETAIL, "ambiguous"),
    (SUBMIT, 500, {"detail": "Internal server error: Template 'blog' not found."}, "rejected"),
    (SUBMIT, 500, {"detail": "Style general_blog does not exist"}, "rejected"),
    (SUBMIT, 500, {"detail": "Template 'other' not found."}, "ambiguous"),
    (SUBMIT, 500, {"detail": "Template 'blog2' not found."}, "ambiguous"),
    (SUBMIT, 500, {"detail": "blog: worker not found"}, "ambiguous"), (SUBMIT, 502, DETAIL, "ambiguous"),
    (SUBMIT, 503, DETAIL, "ambiguous"), (SUBMIT, 504, DETAIL, "ambiguous"), (SUBMIT, 520, DETAIL, "ambiguous"),
    (SUBMIT, 200, {}, "ambiguous"), (SUBMIT, 204, b"", "ambiguous"),
    (SUBMIT, 202, {"success": False, "error": "no", "request_id": "ours"}, "ambiguous"),
    (SUBMIT, 202, {"success": False}, "ambiguous"), (SUBMIT, 202, {"request_id": "../x"}, "ambiguous"),
    (SUBMIT, 202, b'{"request_id": "ou', "ambiguous"), (SUBMIT, 301, DETAIL, "unusable"),
    (SUBMIT, 303, DETAIL, "ambiguous"), (SUBMIT, 407, DETAIL, "unusable"), (SUBMIT, 511, DETAIL, "unusable"),
    (SUBMIT, 199, DETAIL, "ambiguous"), (SUBMIT, 999, DETAIL, "ambiguous"), (SECTION, 500, DETAIL, "ambiguous"),
    (SECTION, 404, {"detail": "Not Found"}, "not-found"), (STATUS, 401, DETAIL, "unauthorized"),
    (STATUS, 403, DETAIL, "forbidden"), (STATUS, 404, {"detail": "Generation request not found."}, "not-found"),
    (STATUS, 410, DETAIL, "not-found"), (STATUS, 408, DETAIL, "unavailable"), (STATUS, 400, DETAIL, "rejected"),
    (STATUS, 429, DETAIL, "throttled"), (STATUS, 500, DETAIL, "unavailable"), (STATUS, 503, DETAIL, "unavailable"),
    (STATUS, 200, {"success": True, "data": None}, "unusable"),
    (STATUS, 200, {"success": False, "error": "gone"}, "rejected"), (STATUS, 200, b'{"status": "compl', "unavailable"),
    (STATUS, 303, DETAIL, "unusable"), (STATUS, 100, DETAIL, "unusable"), (NEW, 500, DETAIL, "ambiguous"),
    (NEW, 422, DETAIL, "rejected"), (NEW, 200, {"success": True}, "ambiguous"),
    (NEW, 200, {"success": False, "contentId": "c1", "error": "disk"}, "ambiguous"), (OVER, 500, DETAIL, "unavailable"),
    (OVER, 404, DETAIL, "not-found"), (OVER, 200, {"success": False, "contentId": "c1", "error": "disk"}, "rejected"),
    (PutContent("c1", "T", "B"), 405, {"detail": "Method Not Allowed"}, "rejected"),
    (PutContent("c1", "T", "B"), 501, DETAIL, "rejected"),
    (PutContent("c1", "T", "B"), 404, {"detail": "Not Found"}, "not-found"),
    (PutContent("c1", "T", "B"), 503, DETAIL, "unavailable"),
    (GetContent("c1"), 404, {"detail": "Content not found"}, "not-found"),
    (GetTemplate("blog"), 500, {"detail": "Template 'blog' not found."}, "not-found"),
    (GetTemplate("blog"), 500, {"detail": "Template store not found"}, "unavailable"),
    (ListContent(), 500, {"detail": "Template 'blog' not found."}, "unavailable"),
    (ListVerticals(), 404, {"detail": "Not Found"}, "not-found"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "status", "body", "kind"),
    TABLE,
    ids=[f"{call.name} {status} {number}" for number, (call, status, *_) in enumerate(TABLE)],
)
def test_classification(call: Call, status: int, body: Any, kind: str) -> None:
    """Each status and body means exactly this for each call."""
    failure = failed(call, status, body)
    assert failure.kind == kind
    assert failure.message


@pytest.mark.parametrize(("call", "status", "kind"), [
    (SUBMIT, 200, "ambiguous"), (SUBMIT, 400, "unusable"), (SUBMIT, 401, "unauthorized"), (SUBMIT, 403, "forbidden"),
    (SUBMIT, 404, "unusable"), (SUBMIT, 413, "rejected"), (SUBMIT, 429, "throttled"), (SUBMIT, 502, "ambiguous"),
    (NEW, 200, "ambiguous"), (STATUS, 200, "unusable"), (STATUS, 404, "unusable"), (STATUS, 502, "unavailable"),
    (ListContent(), 403, "forbidden"),
])  # fmt: skip
@pytest.mark.parametrize("headers", [HTML, {}], ids=["typed", "untyped"])
def test_pages_are_not_the_api(call: Call, status: int, kind: str, headers: dict[str, str]) -> None:
    """An HTML page, labelled or not, is a wrong address, a gateway, or says by its status alone what it means."""
    failure = failed(call, status, PAGE, headers)
    assert (failure.kind, "HTML page" in failure.message) == (kind, True)
    if kind == "unusable":
        assert "`api.base_url`" in failure.message


@pytest.mark.parametrize(("headers", "body", "works"), [
    ({}, b'{"request_id": "a"}', True),
    ({"content-type": "text/plain"}, b'{"request_id": "a"}', True),
    ({"content-type": "application/hal+json"}, b'{"request_id": "a"}', True),
    ({"content-type": "application/octet-stream"}, b'{"request_id": "a"}', False),
    ({"content-type": "text/csv"}, b"a,b", False),
])  # fmt: skip
def test_media_types(headers: dict[str, str], body: bytes, works: bool) -> None:
    """JSON under its own or no name is read; anything else leaves a submit's outcome open."""
    failure = answered(SUBMIT, 202, body, headers)
    assert isinstance(failure, Accepted) is works
    if isinstance(failure, Failure):
        assert failure.kind is FailureKind.AMBIGUOUS
        assert headers["content-type"] in failure.message


def test_a_plain_404_is_no_proof_that_a_job_is_unknown() -> None:
    """Only the API's own JSON says that something does not exist."""
    assert failed(STATUS, 404, b"404 page not found", {"content-type": "text/plain"}).kind == "unusable"
    assert failed(STATUS, 404, b"", {}).kind == "unusable"


@pytest.mark.parametrize(("location", "shown"), [
    ("https://login.example.com:8443/in?token=abc", "`https://login.example.com:8443`"),
    ("/relative", "the server redirects; redirects"), ("http://[bad", "the server redirects; redirects"),
    ("https://host:99999999/", "the server redirects; redirects"), ("", "the server redirects; redirects"),
])  # fmt: skip
def test_redirects_name_their_target(location: str, shown: str) -> None:
    """A redirect is not followed; its host is told, its path and query are not."""
    failure = failed(SUBMIT, 302, b"", {"location": location})
    assert (failure.kind, shown in failure.message) == ("unusable", True)
    assert "abc" not in failure.message


LOST: list[tuple[Damage, int, Call, str]] = [
    (damage, 200, SUBMIT, "ambiguous") for damage in (Damage.CUT, Damage.LATE, Damage.LARGE, Damage.CODING)
]
LOST += [(damage, 200, STATUS, "unavailable") for damage in (Damage.CUT, Damage.LATE, Damage.CODING)]


@pytest.mark.parametrize(("damage", "status", "call", "kind"), [
    *LOST, (Damage.LARGE, 200, STATUS, "unusable"), (Damage.CUT, 401, SUBMIT, "unauthorized"),
    (Damage.CUT, 422, SUBMIT, "rejected"), (Damage.CUT, 404, SUBMIT, "ambiguous"),
    (Damage.CUT, 404, STATUS, "unavailable"), (Damage.CUT, 500, SUBMIT, "ambiguous"),
])  # fmt: skip
def test_damaged_answers(damage: Damage, status: int, call: Call, kind: str) -> None:
    """A success whose body is not whole is lost, and says how; an error keeps its status, but a torn 404 proves nothing."""
    failure = judge(call, HttpAnswer(status, JSON, b"", damage), wall=0)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert str(damage) in failure.message if status == 200 else failure.message


def test_the_key_is_never_said() -> None:
    """Whatever repeats the key - error, job, redirect, media type, cut text - no message holds it."""
    key = "sk-live-0123456789"

    def clean(text: str) -> str:
        return plain(text, key)

    answers = [
        HttpAnswer(400, JSON, json.dumps({"detail": f"bad {key}"}).encode()),
        HttpAnswer(400, JSON, json.dumps({"detail": "x" * (LIMIT - 5) + key}).encode()),
        HttpAnswer(200, JSON, json.dumps({"error": "x " * 145 + key}).encode()),
        HttpAnswer(200, JSON, json.dumps({"status": "failed", "error": key, "stage": key}).encode()),
        HttpAnswer(200, JSON, f'{{"{key}": 1, "{key}": 2}}'.encode()),
        HttpAnswer(302, {"location": f"https://{key}.example.com/{key}"}),
        HttpAnswer(400, {"content-type": f"x/{key}"}, b"?"),
    ]
    for call in (SUBMIT, STATUS):
        for answer in answers:
            reply = judge(call, answer, wall=0, clean=clean)
            assert "sk-live" not in repr(reply)
    assert "sk-live" not in repr(unanswered(SUBMIT, FailureKind.AMBIGUOUS, f"KeyError: {key}", clean=clean))


@given(st.sampled_from(CALLS), st.integers(100, 999), json_values, st.sampled_from([JSON, HTML, {}]))
def test_any_answer_has_a_meaning(call: Call, status: int, value: Any, headers: dict[str, str]) -> None:
    """Any JSON with any status is a reply or a failure with a short message; a paid call is never called repeatable."""
    reply = judge(call, HttpAnswer(status, headers, json.dumps(value).encode()), wall=0)
    if not isinstance(reply, Failure):
        assert 200 <= status < 300
        return
    assert 0 < len(reply.message) <= LIMIT
    assert reply.kind is not FailureKind.NOT_SENT
    assert reply.kind is not (FailureKind.AMBIGUOUS if call.repeatable else FailureKind.UNAVAILABLE)


@given(st.sampled_from(CALLS), st.integers(200, 599), st.binary(max_size=100), st.text(max_size=30))
def test_any_bytes_have_a_meaning(call: Call, status: int, body: bytes, media: str) -> None:
    """So have any bytes with any media type."""
    assert isinstance(judge(call, HttpAnswer(status, {"content-type": media}, body), wall=0), Reply | Failure)
