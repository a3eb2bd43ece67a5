"""What each answer means: every known shape of a reply, and the table that decides whether money may be spent again."""

import base64
import json
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.calls import (
    Accepted,
    Call,
    CatalogReply,
    Content,
    ContentEntry,
    ContentList,
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
    Reply,
    SaveContent,
    SavedReply,
    Stats,
)
from contentops.api.outcomes import LONGEST, Damage, HttpAnswer, judge, retry_after, unanswered
from contentops.api.reading import Garbled, Unreadable, decode, error_text, read, safe_id
from contentops.digest import digest_json
from contentops.json_reader import MAX_DEPTH
from contentops.sanitize import MESSAGE_LIMIT as LIMIT
from contentops.sanitize import message as plain

SUBMIT = Generate({"template": "blog", "style": "general_blog", "mode": "standard", "inputs": {}}, "ours")
STATUS = GetStatus("job")

CALLS: list[Call] = [
    SUBMIT, STATUS, ListContent(), GetContent("c1"), SaveContent("T", "B"), SaveContent("T", "B", "c1"),
    PutContent("c1", "T", "B"), RegenerateSection("c1", "Intro", "quick", "ours"), ListTemplates(),
    GetTemplate("blog"), ListStyles(), ListVerticals(), DashboardStats(),
]  # fmt: skip

FRONT = '---\ntitle: "AI: adoption"\ndescription: d\n---\n\n## Intro\n\nText.\n'
RULES = "---\n# Only a heading\n---\nText.\n"
TITLED = {"metadata": {"title": "Blog Article Generator"}}
"""The name that a server puts there is the template's: whatever the text says of itself comes first."""


LISTED = [
    {"id": "c1", "title": "T", "status": "draft", "createdAt": "a", "updatedAt": "b"},
    {"id": "c2", "created_at": "c", "updated_at": "d", "title": None},
    {"id": "bad id"},
    "rubbish",
]


def at_once(job: str = "", **fields: Any) -> Accepted:
    """A submit that was answered with its text."""
    return Accepted(job, False, JobStatus("completed", body="B", **fields))


SHAPES: list[tuple[str, Call, Any, Reply]] = [
    ("submit documented", SUBMIT, {"request_id": "req_1", "status": "pending"}, Accepted("req_1", False)),
    ("submit echo", SUBMIT, {"request_id": "ours", "message": "m", "links": {}}, Accepted("ours", True)),
    ("submit enveloped", SUBMIT, {"success": True, "data": {"request_id": "ours"}}, Accepted("ours", True)),
    ("submit job_id", SUBMIT, {"job_id": "j:1"}, Accepted("j:1", False)),
    ("submit number", SUBMIT, {"id": 42}, Accepted("42", False)),
    ("submit proxy", SUBMIT, {"success": True, "request_id": "a", "generation_id": "b"}, Accepted("a", False)),
    ("submit with its text", SUBMIT, {"request_id": "r", "status": "completed", "content": {"id": "c1", "title": "T", "body": "B"}}, at_once("r", content_id="c1", title="T")),
    ("submit without a name", SUBMIT, {"success": True, "data": {"status": "completed", "content": "B"}}, at_once()),
    ("submit known", SUBMIT, {"request_id": "ours", "status": "completed"}, Accepted("ours", True)),
    ("submit failed", SUBMIT, {"request_id": "ours", "status": "failed"}, Accepted("ours", True)),
    ("submit failed with its reason", SUBMIT, {"status": "failed", "error": "no topic"}, Accepted("", False, JobStatus("failed", error="no topic"))),
    ("status documented", STATUS, {"request_id": "job", "status": "processing", "stage": "writer", "progress": 60}, JobStatus("running", 0.6, "writer")),
    ("status server", STATUS, {"success": True, "data": {"status": "running", "progress": 0.1, "current_agent": None, "content": None}}, JobStatus("running", 0.1)),
    ("status one percent", STATUS, {"status": "processing", "progress": 1}, JobStatus("running", 0.01)),
    ("status whole", STATUS, {"status": "processing", "progress": 1.0}, JobStatus("running", 1.0)),
    ("status below", STATUS, {"status": "queued", "progress": -3}, JobStatus("running", 0.0)),
    ("status beyond", STATUS, {"status": "queued", "progress": 10**400}, JobStatus("running", 1.0)),
    ("status yes", STATUS, {"status": "queued", "progress": True, "stage": 3}, JobStatus("running")),
    ("status step", STATUS, {"status": "anything", "current_step": "seo"}, JobStatus("running", None, "seo")),
    ("completed documented", STATUS, {"request_id": "job", "status": "completed", "content": {"id": "cnt_1", "title": "T", "body": "B", "word_count": 1, "created_at": "t"}}, JobStatus("completed", None, "", "T", "B", "cnt_1")),
    ("completed server", STATUS, {"success": True, "data": {"status": "completed", "progress": 1.0, "content": FRONT, "metadata": {"title": "Blog Article"}}}, JobStatus("completed", 1.0, "", "AI: adoption", "## Intro\n\nText.\n", front={"description": "d"})),
    ("completed vendor", STATUS, {"success": True, "data": {"status": "completed", "content": "B", "title": "T", "content_id": "c9"}}, JobStatus("completed", None, "", "T", "B", "c9")),
    ("completed metadata title", STATUS, {"status": "COMPLETED", "content": "B", "metadata": {"title": "M", "content_id": "c8"}}, JobStatus("completed", None, "", "M", "B", "c8")),
    ("completed rules", STATUS, {"status": "completed", "content": RULES}, JobStatus("completed", title="Only a heading", body=RULES)),
    ("completed broken front matter", STATUS, {"status": "completed", "content": "---\n: : [\n---\nText.\n"}, JobStatus("completed", body="---\n: : [\n---\nText.\n")),
    ("completed empty", STATUS, {"status": "completed", "content": None}, JobStatus("completed")),
    ("completed number", STATUS, {"status": "completed", "content": {"body": 3}}, JobStatus("completed")),
    ("completed hostile id", STATUS, {"status": "completed", "content": {"id": "../../etc", "body": "B"}, "request_id": "a b"}, JobStatus("completed", body="B")),
    ("jsend", STATUS, {"status": "success", "data": {"status": "completed", "content": "B"}}, JobStatus("completed", body="B")),
    ("title in the text", STATUS, {"status": "completed", "content": "# Mine\n\nText.\n", **TITLED}, JobStatus("completed", title="Mine", body="# Mine\n\nText.\n")),
    ("title below the text", STATUS, {"status": "completed", "content": "Text.\r\n\r\n# Mine\r\n", **TITLED}, JobStatus("completed", title="Mine", body="Text.\r\n\r\n# Mine\r\n")),
    ("section that is no title", STATUS, {"status": "completed", "content": "## Section\n", **TITLED}, JobStatus("completed", title="Blog Article Generator", body="## Section\n")),
    ("title beside the text", STATUS, {"status": "completed", "content": "# Mine\n", "title": "Theirs", **TITLED}, JobStatus("completed", title="Theirs", body="# Mine\n")),
    ("title with the text", STATUS, {"status": "completed", "content": {"title": "Theirs", "body": "# Mine\n"}, **TITLED}, JobStatus("completed", title="Theirs", body="# Mine\n")),
    ("no text, no title", STATUS, {"status": "completed", "content": None, **TITLED}, JobStatus("completed")),
    ("completed TOML", STATUS, {"status": "completed", "content": '+++\ntitle = "AI = new"\ntags = ["a"]\n+++\n\nText.\n'}, JobStatus("completed", title="AI = new", body="Text.\n", front={"tags": '["a"]'})),
    ("completed TOML with a table", STATUS, {"status": "completed", "content": '+++\ntitle = "a"\n[params]\n+++\n\nText.\n'}, JobStatus("completed", body='+++\ntitle = "a"\n[params]\n+++\n\nText.\n')),
    ("failed", STATUS, {"status": "failed", "error": "no input"}, JobStatus("failed", error="no input")),
    ("error", STATUS, {"success": True, "data": {"status": "error", "progress": 0, "error": {"message": "boom"}}}, JobStatus("failed", 0.0, error="boom")),
    ("cancelled", STATUS, {"status": "cancelled"}, JobStatus("failed", error="the job finished as `cancelled`")),
    ("content list", ListContent(), {"content": LISTED, "stats": {}}, ContentList((ContentEntry("c1", "T", "draft", "a", "b"), ContentEntry("c2", "", "", "c", "d")), (ContentEntry(""),))),
    ("content list bare", ListContent(), [{"id": "c1"}], ContentList((ContentEntry("c1"),))),
    ("content list data", ListContent(), {"success": True, "data": [{"id": "c1"}]}, ContentList((ContentEntry("c1"),))),
    ("content list page", ListContent(), {"content": [{"id": "c1"}], "page": 1, "limit": 1}, ContentList((ContentEntry("c1"),), limit=1)),
    ("content list limit alone", ListContent(), {"content": [], "limit": 1}, ContentList()),
    ("content list bad page", ListContent(), {"content": [], "page": 1, "limit": "x"}, ContentList()),
    ("content list items", ListContent(), {"data": {"items": []}}, ContentList()),
    ("content", GetContent("c1"), {"id": "c1", "title": "T", "content": "B", "createdAt": "a", "updatedAt": "b", "metadata": {"k": 1}}, Content("c1", "T", "B", "a", "b", {"k": 1})),
    ("content data", GetContent("c1"), {"data": {"id": "C1", "body": "B", "metadata": []}}, Content("c1", "", "B")),
    ("content inner", GetContent("c1"), {"success": True, "content": {"id": "c1", "body": ""}}, Content("c1")),
    *(("content that begins with a rule", GetContent("c"), {"title": "T", "content": body}, Content("c", "T", body)) for body in ("---\n\nAfter a rule.\n", RULES, "---\n: : [\n---\nText.\n", "--- \nText.\n")),
    ("saved", SaveContent("T", "B"), {"success": True, "contentId": "c1"}, SavedReply("c1")),
    ("saved data", SaveContent("T", "B"), {"data": {"id": "c1"}}, SavedReply("c1")),
    ("put", PutContent("c1", "T", "B"), {"success": True, "content": {"id": "c1"}}, SavedReply("c1")),
    ("put silent", PutContent("c1", "T", "B"), {"success": True}, SavedReply("c1")),
    ("section job", CALLS[7], {"request_id": "ours", "status": "pending"}, Accepted("ours", True)),
    ("section text", CALLS[7], {"id": "c1", "content": "B", "status": "draft"}, at_once(content_id="c1")),
    ("section content", CALLS[7], {"success": True, "content": {"id": "c1", "content": "B"}}, at_once(content_id="c1")),
    ("section documented", CALLS[7], {"request_id": "r", "status": "completed", "content": {"id": "c1", "title": "T", "body": "B"}}, at_once("r", content_id="c1", title="T")),
    ("section of another", CALLS[7], {"request_id": "ours", "status": "pending", "content": "B"}, Accepted("ours", True)),
    ("templates", ListTemplates(), {"templates": [{"id": "a"}]}, CatalogReply(({"id": "a"},))),
    ("templates server", ListTemplates(), {"success": True, "data": {"items": [{"id": "a"}, 3], "count": 120, "page": 1, "limit": 100}}, CatalogReply(({"id": "a"},), 120, 100)),
    ("templates proxy", ListTemplates(), {"templates": [], "pagination": {"total": 7}, "count": True}, CatalogReply((), 7)),
    ("styles", ListStyles(), {"style_profiles": [{"id": "a"}]}, CatalogReply(({"id": "a"},))),
    ("styles proxy", ListStyles(), {"profiles": [{"id": "a"}], "total": 1}, CatalogReply(({"id": "a"},), 1)),
    ("verticals", ListVerticals(), {"verticals": ["legal", {"id": "b"}]}, CatalogReply(({"id": "legal"}, {"id": "b"}))),
    ("template", GetTemplate("a"), {"success": True, "data": {"id": "a"}}, CatalogReply(({"id": "a"},), 1)),
    ("template inner", GetTemplate("a"), {"template": {"slug": "a"}}, CatalogReply(({"slug": "a"},), 1)),
    ("stats", DashboardStats(), {"total_content": 3}, Stats({"total_content": 3})),
    ("stats data", DashboardStats(), {"success": True, "data": {"drafts": 1}}, Stats({"drafts": 1})),
]  # fmt: skip


@pytest.mark.parametrize(("call", "value", "reply"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_known_shapes(call: Call, value: Any, reply: Reply) -> None:
    """Each documented or observed shape is read, through bytes and back."""
    assert read(call, decode(json.dumps(value).encode())) == reply


@pytest.mark.parametrize(("call", "value", "words"), [
    (SUBMIT, {}, "has no job id"), (SUBMIT, [], "not a JSON object"),
    (SUBMIT, {"request_id": "../x"}, "an id with invalid characters"),
    (SUBMIT, {"request_id": "a" * 201}, "an id with invalid characters"),
    (SUBMIT, {"request_id": True}, "an id with invalid characters"),
    (SUBMIT, {"request_id": {"id": 1}}, "an id with invalid characters"),
    (SUBMIT, {"request_id": None, "data": None}, "has no job id"),
    (STATUS, {"success": True, "data": None}, "not a JSON object"), (STATUS, {"status": 3}, "has no `status`"),
    (STATUS, "completed", "not a JSON object"), (ListContent(), {"content": {}}, "no list `content`"),
    (ListContent(), {"data": 3}, "no list `content`"), (ListContent(), 3, "not a JSON object"),
    (GetContent("c1"), {"id": "c2", "content": "B"}, "about content `c2`"),
    (GetContent("c1"), {"id": "c1", "content": None}, "no text"),
    (SaveContent("T", "B"), {"success": True}, "has no content id"),
    (SaveContent("T", "B"), {"contentId": "a/b"}, "an id with invalid characters"),
    (GetTemplate("a"), {"success": True}, "has no description"),
    (ListVerticals(), {"verticals": None}, "no list `verticals`"), (DashboardStats(), [1], "not a JSON object"),
])  # fmt: skip
def test_unknown_shapes_are_told(call: Call, value: Any, words: str) -> None:
    """A reply that is JSON but not an answer is refused with what is missing."""
    with pytest.raises(Unreadable, match=words):
        read(call, value)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "the answer is empty"), (b'{"status": "comp', "incomplete or invalid JSON"),
    (b'{"a": 1} trailing', "incomplete or invalid JSON"), (b'{"a": NaN}', "NaN is not a JSON number"),
    (b'{"a": -Infinity}', "not a JSON number"), (b'{"a": 1e999}', "too large"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"), (b'{"a": 1, "a": 2}', "`a` appears twice"),
    (b'{"a": "\xff"}', "not UTF-8"), ("{}".encode("utf-16"), "not UTF-8"),
    (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
], ids=[
    "empty", "cut", "trailing", "nan", "infinity", "huge float", "huge int", "twice", "latin", "utf-16", "very deep",
    "deep", "deep object",
])  # fmt: skip
def test_what_is_not_json_is_garbled(data: bytes, words: str) -> None:
    """Bytes that are not strict, whole, shallow JSON are refused and say why."""
    with pytest.raises(Garbled, match=words):
        decode(data)


def test_decode_is_lenient_where_nothing_is_lost() -> None:
    """A byte order mark, an equal duplicate key, many brackets and lone surrogates do no harm."""
    assert decode(b'\xef\xbb\xbf{"a": 1, "a": 1}') == {"a": 1}
    assert decode(json.dumps([[]] * 500).encode()) == [[]] * 500
    assert decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    healed = decode(b'{"\\ud800": ["a\\uDC00b", "\\ud83d\\ude00"]}')
    assert next(iter(healed.values()))[1] == "😀"
    assert digest_json(healed)


@pytest.mark.parametrize(
    "value", ["", ".", "..", "...", "a/b", "a b", "é", "a\n", "x" * 201, -1, 1.0, True, None, 10**18]
)
def test_unsafe_ids(value: Any) -> None:
    """What could leave a path, a line or a file name is no id."""
    assert safe_id(value) == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["success", "data", "status", "content", "id", "request_id", "contentId", "templates", "items",
                 "progress", "title", "body", "metadata", "error", "detail", "message", "total", "content_id"],
            ) | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)  # fmt: skip


def test_a_status_may_name_the_job_by_our_request() -> None:
    """Some servers have ids of their own for jobs, and give our id back in the status."""
    reply: Any = {"request_id": "ours-1", "status": "completed", "content": {"title": "T", "body": "Text.\n"}}
    assert read(GetStatus("job-1", ours="ours-1"), reply) == JobStatus("completed", title="T", body="Text.\n")


@pytest.mark.parametrize("key", ["request_id", "job_id", "generation_id", "requestId"])
@pytest.mark.parametrize("other", ["job-2", 7, "ours-2"])
def test_a_status_of_another_job_is_refused(key: str, other: Any) -> None:
    """By any key that names a job alone; an absent name is no contradiction."""
    reply: Any = {key: other, "status": "completed", "content": {"id": "c-1", "title": "T", "body": "Text.\n"}}
    for value in (reply, {"success": True, "data": reply}):
        with pytest.raises(Garbled, match="not `job-1`"):
            read(GetStatus("job-1", ours="ours-1"), value)
    for empty in (None, ""):
        assert isinstance(read(GetStatus("job-1"), {**reply, key: empty}), JobStatus)


@pytest.mark.parametrize(("front", "title", "said"), [
    ("title: AI: what next\ndescription: A: b", "AI: what next", {"description": "A: b"}),
    ('title: "The "new" tea"\ntags:\n  - a\n- b', 'The "new" tea', {"tags": "  - a\n- b"}),
    ("# written by a model\ntitle: 'x\n", "'x", {}),
    ("title: [x\n# why\nslug: @x\nempty:", "[x", {"slug": "@x", "empty": ""}),
    ("title: x\u0000\ud800: y", "x\ufffd: y", {}),
    ("A remark: this: is\nno front matter", "", None),
    ("\ttitle: x: y", "", None),
])  # fmt: skip
def test_front_matter_of_a_job_that_is_no_yaml(front: str, title: str, said: dict[str, str] | None) -> None:
    """Where each line could be front matter it is read by its lines; else it is a text between rules, and stays."""
    for before in ("", "\n\n", "\ufeff"):
        whole = f"{before}---\n{front}\n---\n\nText.\n"
        answer = read(GetStatus("j"), {"status": "completed", "content": whole})
        assert isinstance(answer, JobStatus)
        if said is None:
            assert answer.body == whole
        else:
            assert (answer.title, answer.front, answer.body) == (title, said, "Text.\n")


# --- words from outside, and waits that servers ask for ---

KEY = 'wr+live/"4f9c\\81=='
NOW = 1_772_000_000.0


@pytest.mark.parametrize("form", [
    KEY, KEY.upper(), quote(KEY, safe=""), quote(KEY, safe="").lower(), '"wr+live/\\"4f9c\\\\81=="',
    base64.b64encode(KEY.encode()).decode(), base64.urlsafe_b64encode(KEY.encode()).decode(),
    base64.b64encode(f"user:{KEY}".encode()).decode(), base64.b64encode(f"a:{KEY}@host".encode()).decode(),
    f"{KEY[:4]}\u200b{KEY[4:]}",
], ids=["plain", "upper", "url", "url lower", "json", "base64", "urlsafe", "basic", "inside", "split"])  # fmt: skip
def test_no_form_of_the_key_is_text(form: str) -> None:
    """The key is hidden in every spelling a server could echo."""
    text = plain(f"invalid token {form} was given", KEY)
    assert "[key]" in text
    assert "4f9c" not in text
    assert "was given" in text
    assert KEY[2:8] not in text


def test_cutting_never_halves_a_key() -> None:
    """A key at the place where a text is cut leaves no beginning behind, at either cut."""
    assert "secret" not in plain(" " * (LIMIT * 40 - 6) + "secretsecretsecret", "secretsecretsecret")
    assert "secret" not in plain("x" * (LIMIT - 6) + " secretsecretsecret", "secretsecretsecret")
    assert plain("word " * 1000, "secret").endswith("...")


@pytest.mark.parametrize(("value", "text"), [
    ({"error": {"code": "unauthorized", "message": "Invalid API key"}}, "Invalid API key"),
    ({"error": {"code": "unauthorized"}}, "unauthorized"),
    ({"error": "Rate limit exceeded: 10 per 1 minute"}, "Rate limit exceeded: 10 per 1 minute"),
    ({"detail": "Template 'x' not found."}, "Template 'x' not found."), ({"detail": {"message": "no"}}, "no"),
    ({"detail": [{"loc": ["body", "inputs", "topic"], "msg": "field required"}, {"msg": "bad"}, "also", 3]}, "inputs.topic: field required; bad; also"),
    ({"detail": [{"loc": "topic", "msg": "missing"}, {"loc": [], "msg": 3}]}, "topic: missing"),
    ({"success": False, "error": "nope"}, "nope"), ({"success": False, "data": {"error": "inner"}}, "inner"),
    ({"message": "m"}, "m"), ({"title": "Bad Request", "type": "about:blank"}, "Bad Request"),
    ({"error": None, "detail": ""}, ""), ({"error": {"error": {"error": "deep"}}}, ""), ("text", "text"), ([], ""),
    (None, ""), (3, ""),
])  # fmt: skip
def test_error_text(value: Any, text: str) -> None:
    """Every known shape of an error gives its text."""
    assert error_text(value) == text


@pytest.mark.parametrize(("headers", "seconds"), [
    ({}, None), ({"retry-after": "30"}, 30), ({"retry-after": " 1.5 "}, 1.5), ({"retry-after": "-5"}, 0),
    ({"retry-after": "9" * 400}, LONGEST), ({"retry-after": "-" + "9" * 400}, 0), ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None), ({"retry-after": "1e9"}, None), ({"retry-after": "soon"}, None),
    ({"retry-after": "٣٠"}, None), ({"retry-after": "30, 60"}, None), ({"retry-after": ""}, None),
    ({"retry-after": "x" * 200}, None), ({"retry-after": formatdate(NOW + 45, usegmt=True)}, 45),
    ({"retry-after": formatdate(NOW - 45, usegmt=True)}, 0), ({"retry-after": "Sun, 06 Nov 1994 08:49:37"}, 0),
    ({"retry-after": "Fri, 31 Feb 2026 99:99:99 GMT"}, None),
    ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
    ({"retry-after": formatdate(NOW + 3600 + 20, usegmt=True), "date": formatdate(NOW + 3600, usegmt=True)}, 20),
    ({"retry-after": formatdate(NOW + 45, usegmt=True), "date": "rubbish"}, 45),
])  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds and dates are read; rubbish is ignored; nothing is negative or endless."""
    assert retry_after(headers, wall=NOW) == seconds


# --- what an answer means ---

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
    (SUBMIT, 302, DETAIL, "ambiguous"), (SUBMIT, 303, DETAIL, "ambiguous"),
    (SUBMIT, 407, DETAIL, "unusable"), (SUBMIT, 511, DETAIL, "unusable"),
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
    failure = failed(SUBMIT, 301, b"", {"location": location})
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
