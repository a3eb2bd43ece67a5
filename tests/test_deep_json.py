"""JSON of others that is nested without end is refused by name wherever it is read, and nothing is paid."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs, to_builtins

from contentops.api.reading import Garbled, decode
from contentops.digest import canonical, digest_text
from contentops.json_reader import MAX_DEPTH, DeepJson, decode_json, load_json
from contentops.model import Approval, ItemId, Verdict
from contentops.state.codec import Header, line_of, parse_line
from contentops.state.lock import lineage_of
from tests import state_facts as facts
from tests.running import Build, Run

DEPTHS = (MAX_DEPTH + 1, 990, 3_000, 100_000)
"""Past the bound; what Python may still read but not write again; what only some versions read; what none reads."""
PARTS = st.text('[]{}"\\ü', max_size=8) | st.integers(0, 9) | st.sampled_from([[], {}, [[]], {"[": [{}]}])


def _lists(depth: int) -> str:
    return "[" * depth + "]" * depth


def _maps(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def _depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


@given(inner=st.lists(PARTS, max_size=5), layers=st.integers(MAX_DEPTH - 4, MAX_DEPTH + 2), maps=st.booleans())
def test_the_bound_counts_what_is_nested(inner: list[Any], layers: int, *, maps: bool) -> None:
    """Brackets in texts do not count, nor do those beside each other; both readers agree."""
    value: Any = {"parts": inner, "beside": [{}] * MAX_DEPTH}
    for _ in range(layers - 1):
        value = {"[{": value} if maps else ["]}", value]
    text = json.dumps(value)
    for data in (text, text.encode()):
        for read in (load_json, lambda data: decode_json(data, object)):
            if _depth(value) <= MAX_DEPTH:
                assert read(data) == value
            else:
                with pytest.raises(DeepJson, match="is nested too deeply"):
                    read(data)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("deep", [_lists, _maps])
def test_answers_and_rows(deep: Any, depth: int) -> None:
    """Of a server and of a ledger, in a known key or in one that no one asks for."""
    for text in (deep(depth), f'{{"id":"x","more":{deep(depth)}}}'):
        with pytest.raises(Garbled, match="nested too deeply"):
            decode(text.encode())
    with pytest.raises(DeepJson):
        decode_json(f'{{"more":{deep(depth)}}}', dict[str, object])


def _record(deep: str) -> str:
    line = json.loads(line_of(facts.record()))
    return json.dumps(line | {"request": {"inputs": "DEEP"}}).replace('"DEEP"', deep)


APPROVAL = Approval(
    item=ItemId("a"), text=digest_text("x"), verdict=Verdict.APPROVED, by="Ann <a@example.com>",
    at="2026-03-01T10:00:00Z",
)  # fmt: skip
HEADER = line_of(Header(lineage=lineage_of("acme")))
FILES = {
    "lock": ("contentops.lock", lambda deep: f"{HEADER}\n{_record(deep)}\n"),
    "an unknown key of the lock": ("contentops.lock", lambda deep: f'{HEADER}\n{{"new":{deep}}}\n'),
    "journal": (".contentops/journal.jsonl", lambda deep: f'{HEADER}\n{_record(deep)[:-1]},"base":"","step":"s"}}\n'),
    "approvals": ("contentops.approvals", lambda deep: f'{canonical(to_builtins(APPROVAL))[:-1]},"more":{deep}}}\n'),
    "catalog": ("catalog.lock.json", lambda deep: f'{{"servers":{deep}}}'),
    "schema": ("post.json", lambda deep: f'{{"properties":{deep}}}'),
    "data file": ("rows.json", lambda deep: f'[{{"x":{deep}}}]'),
    "data lines": ("rows.jsonl", lambda deep: f'{{"x":{deep}}}\n'),
}  # fmt: skip
"""The files that every apply reads, and a text of each that has `deep` in it."""
ITEM = "{id: one, template: blog_article_generator, style: general_blog, inputs: {topic: T, target_audience: r}"


def _site(project: Build, *, manifest: str = f"items: [{ITEM}}}]\n", server: str = "local", **files: str) -> Path:
    settings = f"version: 1\nproject: acme\napi: {{base_url: '{server}'}}\n"
    return project({"contentops.yaml": settings, "content/a.yaml": manifest, **files})


@pytest.mark.parametrize("depth", DEPTHS[::3])
@pytest.mark.parametrize(("path", "text"), FILES.values(), ids=FILES)
def test_files(project: Build, invoke: Run, path: str, text: Any, depth: int) -> None:
    """`plan` and `apply` end with the name of the file; nothing is written, and no text is made."""
    more = {
        "post.json": ", checks: {front_matter: {schema: post.json}}",
        "rows.json": ", for_each: rows.json",
        "rows.jsonl": ", for_each: rows.jsonl",
    }
    server = "https://a.example/v1" if path == "catalog.lock.json" else "local"  # which has a catalog of its own
    manifest = f"items: [{ITEM}{more.get(path, '')}}}]\n"
    root = _site(project, manifest=manifest, server=server, **{path: text(_maps(depth))})
    for command in (("plan",), ("apply", "--yes")):
        ended = invoke(*command, cwd=root)
        assert ended.code == 1, ended.stderr
        assert path.rpartition("/")[2] in ended.stderr
        assert "nested" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (root / "out").exists()
    assert (root / path).read_text() == text(_maps(depth))


@pytest.mark.parametrize("depth", DEPTHS[::3])
def test_a_plan_file(project: Build, invoke: Run, depth: int) -> None:
    """It is refused as any file that is no plan, by whatever reads it."""
    root = _site(project, **{"plan.json": f'{{"format_version":"1.0","changes":{_lists(depth)}}}'})
    for command in (("apply", "plan.json"), ("show", "plan.json"), ("plan", "--check", "plan.json")):
        ended = invoke(*command, cwd=root)
        assert (ended.code, "`plan.json` is nested too deeply" in ended.stderr) == (1, True), ended.stderr
    assert not (root / "out").exists()


def test_what_a_manifest_may_nest_is_read_again(project: Build, invoke: Run) -> None:
    """Lists as deep as YAML may be, with a value in them that is as deep as a template may give."""
    deep = "[" * 95 + "'{{ rows }}'" + "]" * 95
    item = ITEM.replace("topic: T", f"topic: T, key_points: {deep}")
    root = _site(project, manifest=f"vars: {{rows: {_lists(97)}}}\nitems: [{item}}}]\n")
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    for command in (("show", "plan.json"), ("plan", "--check", "plan.json"), ("show", "one", "--json")):
        assert invoke(*command, cwd=root).code == 0
    record = facts.record()
    inputs = json.loads(f'{{"key_points":{_lists(196)}}}')
    line = line_of(structs.replace(record, request={"inputs": inputs}))
    assert line_of(parse_line(line)) == line
