"""What goes over the wire, per dialect."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.calls import (
    Call,
    DashboardStats,
    Generate,
    GetContent,
    GetStatus,
    GetTemplate,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
    PutContent,
    RegenerateSection,
    SaveContent,
)
from contentops.api.dialects import DIALECTS, Unsendable, dialect_named, spell, spoken
from contentops.errors import ApiError

REQUEST: dict[str, Any] = {
    "template": "blog_article_generator",
    "style": "general_blog",
    "mode": "premium",
    "inputs": {"topic": "Café"},
    "vertical": "saas_tech",
    "brand_voice": "bv_1",
    "revision": 3,
}
SUBMIT = Generate(REQUEST, "req-1")

_MAIN = '"brand_voice_id":"bv_1","generation_mode":"premium","request_id":"req-1"}'
BODIES = {
    "v1": (
        '{"template_id":"blog_article_generator","style_profile_id":"general_blog","inputs":{"topic":"Café"},'
        f'"vertical":"saas_tech",{_MAIN}'
    ),
    "v1-2026-04": (
        '{"template_id":"blog_article_generator","style_profile_id":"general_blog","user_input":{"topic":"Café"},'
        f'"vertical_id":"saas_tech",{_MAIN}'
    ),
    "sdk": (
        '{"template":"blog_article_generator","style_profile":"general_blog","dynamic_parameters":{"topic":"Café"},'
        f'"user_input":{{"topic":"Café"}},"vertical_id":"saas_tech",{_MAIN}'
    ),
    "auto, bare": (
        '{"template_id":"blog_article_generator","style_profile_id":"general_blog","inputs":{"topic":"Café"},'
        f'"user_input":{{"topic":"Café"}},"vertical":"saas_tech","vertical_id":"saas_tech",{_MAIN}'
    ),
    "auto, enveloped": (
        '{"template":"blog_article_generator","template_id":"blog_article_generator","style_profile":"general_blog",'
        '"style_profile_id":"general_blog","dynamic_parameters":{"topic":"Café"},"user_input":{"topic":"Café"},'
        f'"vertical_id":"saas_tech",{_MAIN}'
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_submit_bodies_are_golden(name: str) -> None:
    """Each dialect spells a full submit exactly so, byte for byte, and sends no revision."""
    stated, _, lists = name.partition(", ")
    wire = spell(SUBMIT, spoken(dialect_named(stated), enveloped=lists == "enveloped"))
    assert (wire.method, wire.path) == ("POST", "/generate")
    assert wire.body is not None
    assert wire.body.decode() == BODIES[name]
    assert wire.headers == {"Content-Type": "application/json", "Idempotency-Key": "req-1"}


def test_absent_optionals_are_left_out() -> None:
    """A minimal request names neither vertical nor brand voice, but always its mode."""
    request = {"template": "t", "style": "s", "mode": "standard", "inputs": {}}
    wire = spell(Generate(request, "r"), dialect_named("v1"))
    assert json.loads(wire.body or b"") == {
        "template_id": "t",
        "style_profile_id": "s",
        "inputs": {},
        "generation_mode": "standard",
        "request_id": "r",
    }


def test_the_mode_can_be_left_out() -> None:
    """With `send_mode` off a standard submit goes without its mode, and any other mode is refused before it costs."""
    dialect = dialect_named("v1")
    wire = spell(Generate({**REQUEST, "mode": "standard"}, "r"), dialect, send_mode=False)
    assert b"generation_mode" not in (wire.body or b"")
    with pytest.raises(Unsendable, match="mode `premium` cannot be asked for"):
        spell(SUBMIT, dialect, send_mode=False)


PLAIN: list[tuple[Call, str, str, Any]] = [
    (GetStatus("req_1"), "GET", "/generate/status/req_1", None),
    (ListContent(), "GET", "/content", None),
    (ListContent(3, 1000), "GET", "/content?page=3&limit=1000", None),
    (GetContent("cnt_1"), "GET", "/content/cnt_1", None),
    (SaveContent("T", "B"), "POST", "/content/save", {"title": "T", "content": "B"}),
    (
        SaveContent("T", "B", "c1", {"k": 1}),
        "POST",
        "/content/save",
        {"title": "T", "content": "B", "metadata": {"k": 1}, "id": "c1", "content_id": "c1", "contentId": "c1"},
    ),
    (PutContent("c1", "T", "B"), "PUT", "/content/c1", {"title": "T", "content": "B"}),
    (
        RegenerateSection("c1", "Intro", "quick", "r"),
        "POST",
        "/content/regenerate-section",
        {"content_id": "c1", "section": "Intro", "generation_mode": "quick", "request_id": "r"},
    ),
    (ListTemplates(), "GET", "/templates", None),
    (ListTemplates(2, 100), "GET", "/templates?page=2&limit=100", None),
    (GetTemplate("blog"), "GET", "/templates/blog", None),
    (ListStyles(), "GET", "/style-profiles", None),
    (ListStyles(3, 100), "GET", "/style-profiles?page=3&limit=100", None),
    (ListVerticals(), "GET", "/verticals", None),
    (DashboardStats(), "GET", "/dashboard/stats", None),
]


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


@pytest.mark.parametrize(
    "call",
    [
        GetStatus(""),
        GetContent(""),
        Generate({**REQUEST, "inputs": {"x": float("nan")}}, "r"),
        Generate({**REQUEST, "inputs": {"x": {1, 2}}}, "r"),
        Generate({**REQUEST, "inputs": {"x": "\ud800"}}, "r"),
    ],
    ids=["no job", "no content", "nan", "set", "surrogate"],
)
def test_what_can_not_be_said_is_refused(call: Call) -> None:
    """An empty id or a value that is not JSON is told before anything is sent."""
    with pytest.raises(Unsendable):
        spell(call, dialect_named("v1"))


def test_read_only_maps_are_sent() -> None:
    """Requests may hold mappings that are not dicts."""
    wire = spell(Generate({**REQUEST, "inputs": MappingProxyType({"topic": "x"})}, "r"), dialect_named("v1"))
    assert json.loads(wire.body or b"")["inputs"] == {"topic": "x"}


@pytest.mark.parametrize(("name", "hint"), [("sdkk", "did you mean `sdk`?"), ("zzz", "contentops.yaml"), ("", "")])
def test_unknown_dialects_are_told(name: str, hint: str) -> None:
    """An unknown dialect is named, with the ones there are."""
    with pytest.raises(ApiError, match="`v1`, `v1-2026-04`, `sdk`") as raised:
        dialect_named(name)
    assert raised.value.code == "unknown-dialect"
    assert hint in raised.value.hint
