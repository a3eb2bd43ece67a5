"""Every known shape of a reply, and what is made of the rest."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from contentops.api.calls import (
    Accepted,
    Call,
    CatalogReply,
    Content,
    ContentEntry,
    ContentList,
    DashboardStats,
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
from contentops.api.reading import Garbled, Unreadable, decode, read, safe_id
from contentops.digest import digest_json
from contentops.json_reader import MAX_DEPTH

SUBMIT = Generate({"template": "t", "style": "s", "mode": "standard", "inputs": {}}, "ours")
STATUS = GetStatus("job")

CALLS: list[Call] = [
    SUBMIT, STATUS, ListContent(), GetContent("c1"), SaveContent("T", "B"), SaveContent("T", "B", "c1"),
    PutContent("c1", "T", "B"), RegenerateSection("c1", "Intro", "quick", "ours"), ListTemplates(),
    GetTemplate("blog"), ListStyles(), ListVerticals(), DashboardStats(),
]  # fmt: skip

FRONT = '---\ntitle: "AI: adoption"\ndescription: d\n---\n\n## Intro\n\nText.\n'
RULES = "---\n# Only a heading\n---\nText.\n"


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
    (
        "completed documented",
        STATUS,
        {
            "request_id": "job",
            "status": "completed",
            "content": {"id": "cnt_1", "title": "T", "body": "B", "word_count": 1, "created_at": "t"},
        },
        JobStatus("completed", None, "", "T", "B", "cnt_1"),
    ),
    (
        "completed server",
        STATUS,
        {
            "success": True,
            "data": {"status": "completed", "progress": 1.0, "content": FRONT, "metadata": {"title": "Blog Article"}},
        },
        JobStatus("completed", 1.0, "", "AI: adoption", "## Intro\n\nText.\n", front={"description": "d"}),
    ),
    ("completed vendor", STATUS, {"success": True, "data": {"status": "completed", "content": "B", "title": "T", "content_id": "c9"}}, JobStatus("completed", None, "", "T", "B", "c9")),
    ("completed metadata title", STATUS, {"status": "COMPLETED", "content": "B", "metadata": {"title": "M", "content_id": "c8"}}, JobStatus("completed", None, "", "M", "B", "c8")),
    ("completed rules", STATUS, {"status": "completed", "content": RULES}, JobStatus("completed", title="Only a heading", body=RULES)),
    ("completed broken front matter", STATUS, {"status": "completed", "content": "---\n: : [\n---\nText.\n"}, JobStatus("completed", body="---\n: : [\n---\nText.\n")),
    ("completed empty", STATUS, {"status": "completed", "content": None}, JobStatus("completed")),
    ("completed number", STATUS, {"status": "completed", "content": {"body": 3}}, JobStatus("completed")),
    ("completed hostile id", STATUS, {"status": "completed", "content": {"id": "../../etc", "body": "B"}, "request_id": "a b"}, JobStatus("completed", body="B")),
    ("jsend", STATUS, {"status": "success", "data": {"status": "completed", "content": "B"}}, JobStatus("completed", body="B")),
    ("failed", STATUS, {"status": "failed", "error": "no input"}, JobStatus("failed", error="no input")),
    ("error", STATUS, {"success": True, "data": {"status": "error", "progress": 0, "error": {"message": "boom"}}}, JobStatus("failed", 0.0, error="boom")),
    ("cancelled", STATUS, {"status": "cancelled"}, JobStatus("failed", error="the job finished as `cancelled`")),
    (
        "content list",
        ListContent(),
        {
            "content": [
                {"id": "c1", "title": "T", "status": "draft", "createdAt": "a", "updatedAt": "b"},
                {"id": "c2", "created_at": "c", "updated_at": "d", "title": None},
                {"id": "bad id"},
                "rubbish",
            ],
            "stats": {},
        },
        ContentList(
            (ContentEntry("c1", "T", "draft", "a", "b"), ContentEntry("c2", "", "", "c", "d")), (ContentEntry(""),)
        ),
    ),
    ("content list bare", ListContent(), [{"id": "c1"}], ContentList((ContentEntry("c1"),))),
    ("content list data", ListContent(), {"success": True, "data": [{"id": "c1"}]}, ContentList((ContentEntry("c1"),))),
    ("content list page", ListContent(), {"content": [{"id": "c1"}], "page": 1, "limit": 1}, ContentList((ContentEntry("c1"),), limit=1)),
    ("content list limit alone", ListContent(), {"content": [], "limit": 1}, ContentList()),
    ("content list bad page", ListContent(), {"content": [], "page": 1, "limit": "x"}, ContentList()),
    ("content list items", ListContent(), {"data": {"items": []}}, ContentList()),
    ("content", GetContent("c1"), {"id": "c1", "title": "T", "content": "B", "createdAt": "a", "updatedAt": "b", "metadata": {"k": 1}}, Content("c1", "T", "B", "a", "b", {"k": 1})),
    ("content data", GetContent("c1"), {"data": {"id": "C1", "body": "B", "metadata": []}}, Content("c1", "", "B")),
    ("content inner", GetContent("c1"), {"success": True, "content": {"id": "c1", "body": ""}}, Content("c1")),
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
    (b"", "incomplete or invalid JSON"), (b'{"status": "comp', "incomplete or invalid JSON"),
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
    status = read(GetStatus("job-1", ours="ours-1"), reply)
    assert isinstance(status, JobStatus)
    assert status.body == "Text.\n"
    for call in (GetStatus("job-1", ours="ours-2"), GetStatus("job-1")):
        with pytest.raises(Garbled, match="about job `ours-1`"):
            read(call, reply)


@pytest.mark.parametrize("key", ["request_id", "job_id", "generation_id", "requestId"])
@pytest.mark.parametrize("other", ["job-2", 7])
def test_a_status_of_another_job_is_refused(key: str, other: Any) -> None:
    """By any key that names a job alone; an absent name is no contradiction."""
    reply: Any = {key: other, "status": "completed", "content": {"id": "c-1", "title": "T", "body": "Text.\n"}}
    for value in (reply, {"success": True, "data": reply}):
        with pytest.raises(Garbled, match="not `job-1`"):
            read(GetStatus("job-1", ours="ours-1"), value)
    for empty in (None, ""):
        assert isinstance(read(GetStatus("job-1"), {**reply, key: empty}), JobStatus)
