"""Files with front matter: taken apart, composed, edited without touching anything else, and cleaned."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from contentops.digest import canonical
from contentops.documents.clean import clean_body, clean_title
from contentops.documents.front_matter import (
    MAX_FRONT_MATTER,
    MarkdownFile,
    carry,
    compose,
    provenance,
    replace_body,
    split,
    update,
    written_entries,
)
from contentops.errors import OutputError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n-+:#' \t\x1b"), max_size=30)
KEYS = st.text(st.sampled_from("abcXYZ-_ 0:#é"), max_size=6).filter(lambda key: key not in {"title", "contentops"})
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)
BODIES = TEXTS | st.sampled_from(
    ["---\n", "---\nx: y\n---\nz", "+++\na\n+++\n", "...\n", "\n---\n", "\ufeff---\n", "```\n"]
)
NEWLINES = st.sampled_from(["\n", "\r\n"])

HAND_MADE = """\
---
# head
title: Old # keep me
tags: # why
  - a
  - b

# about the date
date: 2026-01-01   # launch
description: |
  many
  lines

empty:
flow: [a,
  b] # tail
? odd
: value
# where from
contentops:
  item: x
# end
---

body
"""


@given(TEXTS, st.dictionaries(KEYS, VALUES, max_size=4), BODIES)
def test_compose_then_split(title: str, metadata: dict[str, Any], body: str) -> None:
    """Whatever is composed comes back: from our reader, and from a YAML 1.1 reader."""
    block = provenance(item="i", digest="sha256:00", job="1:30", generated_at="2026-01-01T00:00:00Z")
    text = compose(title, metadata, block, body)
    parsed = split(text)
    assert (parsed.problem, parsed.title, parsed.body) == ("", clean_title(title), clean_body(body))
    assert (canonical(parsed.front), list(parsed.front)) == (canonical(metadata), list(metadata))
    assert (parsed.provenance, parsed.owner) == (block, "i")
    front = yaml.safe_load(text.split("---\n")[1])
    assert canonical(front) == canonical(
        ({"title": parsed.title} if parsed.title else {}) | metadata | {"contentops": block}
    )


def test_compose_bytes() -> None:
    """The order of keys and the form of the file are part of the contract."""
    metadata = {"date": "2026-03-01", "tags": ["ai", "no"], "gone": None, "title": "other", "contentops": {"item": "x"}}
    block = provenance(item="ai-guide", digest="sha256:ab", generated_at="2026-03-01T10:00:00Z")
    assert compose(" AI:\x1b a guide ", metadata, block, "\n# AI\r\n") == (
        '---\ntitle: "AI: a guide"\ndate: 2026-03-01\ntags:\n  - ai\n  - "no"\ncontentops:\n  item: ai-guide\n'
        '  digest: "sha256:ab"\n  generated_at: "2026-03-01T10:00:00Z"\n---\n\n# AI\n'
    )
    assert compose("", {}, None, "Body") == "Body\n"
    assert compose("", {}, None, "---\na: b\n---\n") == "---\n---\n\n---\na: b\n---\n"


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("", MarkdownFile(), id="empty"),
    pytest.param("just\r\ntext", MarkdownFile(body="just\ntext\n"), id="no front matter"),
    pytest.param("\n---\na: b\n---\n", MarkdownFile(front={"a": "b"}), id="below a blank line"),
    pytest.param("\ufeff \r\n\r\n---\r\na: b\r\n---\r\nx", MarkdownFile(front={"a": "b"}, body="x\n"), id="two"),
    pytest.param("\n---\na\n---\n", MarkdownFile(body="---\na\n---\n"), id="words below a blank line"),
    pytest.param("\n---\n---\nx", MarkdownFile(body="---\n---\nx\n"), id="rules below a blank line"),
    pytest.param("\n---\na: b\n", MarkdownFile(body="---\na: b\n"), id="a rule below a blank line"),
    pytest.param("x\n---\na: b\n---\n", MarkdownFile(body="x\n---\na: b\n---\n"), id="not at the start"),
    pytest.param("{{< figure >}}\n", MarkdownFile(body="{{< figure >}}\n"), id="braces that are no JSON"),
    pytest.param("----\na\n---\n", MarkdownFile(body="----\na\n---\n"), id="four dashes"),
    pytest.param("---\n---", MarkdownFile(), id="empty block"),
    pytest.param("---\n---\n---\nx", MarkdownFile(body="---\nx\n"), id="empty block, body with a rule"),
    pytest.param("--- \t\na: yes\n...\nx", MarkdownFile(front={"a": "yes"}, body="x\n"), id="closed by dots"),
    pytest.param("\ufeff---\r\ntitle: T\r\n---\r\n\r\nx\r\n", MarkdownFile(title="T", body="x\n"), id="byte order mark and CRLF"),
    pytest.param("---\ntitle: 1.10\n---\n", MarkdownFile(title="1.10"), id="title like a number"),
    pytest.param("---\ntitle:\n---\n", MarkdownFile(), id="title without value"),
    pytest.param("---\ntitle: |\n  a\n  b\n---\n", MarkdownFile(title="a b"), id="title of two lines"),
    pytest.param("---\ncontentops: x\n---\n", MarkdownFile(), id="provenance that is no mapping"),
    pytest.param("---\ncontentops: {item: [x]}\n---\n", MarkdownFile(provenance={"item": ["x"]}), id="owner that is no text"),
    pytest.param("---\rtitle: x\r---\r", MarkdownFile(body="---\ntitle: x\n---\n"), id="lone carriage returns"),
])  # fmt: skip
def test_split(text: str, expected: MarkdownFile) -> None:
    """Files of every shape are taken apart."""
    assert (split(text), split(text).owner) == (expected, "")


@pytest.mark.parametrize(("text", "words"), [
    pytest.param("---\na: b\n", "never ends", id="not closed"),
    pytest.param("+++\na = 1\n+++\n", "TOML", id="toml"),
    pytest.param("---\na: b: c\n---\nx\n", "on line 2: a second `: ` in one line", id="syntax"),
    pytest.param("---\na: 1\na: 2\n---\n", "on line 3: the key `a` appears twice in the same map: first at line 2, column 1", id="twice"),
    pytest.param("---\ntitle: [a]\n---\n", "`title` is not text", id="title is a list"),
    pytest.param("---\n" + "# x\n" * (MAX_FRONT_MATTER // 4 + 1) + "---\n", "longer than", id="huge"),
    pytest.param("---\na: \ud800\n---\n", "on line 2: the invisible character U+D800", id="lone surrogate"),
])  # fmt: skip
def test_split_problem(text: str, words: str) -> None:
    """What cannot be understood is a finding, and such a file is never edited."""
    parsed = split(text)
    assert words in parsed.problem
    assert (parsed.front, parsed.title, parsed.provenance) == ({}, "", {})
    with pytest.raises(OutputError, match="cannot be edited"):
        update(text, {"a": 1})
    with pytest.raises(OutputError, match="cannot be edited"):
        replace_body(text, "x")


@given(st.text(st.characters(codec=None) | st.sampled_from("-+.\n\r:#[]{}&*!|> \ufeff"), max_size=60))
@example("---\n\x00\n---\n")
@example("---\n%YAML 1.1\n---\n")
@example("---\n!!set {a}\n---\n")
@example("---\n" + "? " * 3000 + "\n---\n")
def test_split_never_raises(text: str) -> None:
    """Any text at all can be taken apart."""
    split(text)
    split(f"---\n{text}\n---\n")


def test_update_in_place() -> None:
    """Changed keys change; comments, order, other keys and the body do not."""
    changed = update(
        HAND_MADE,
        {
            "title": "New", "tags": ["x"], "date": ["a", "b"], "description": "short", "empty": 5, "flow": {"k": 1},
            "new": 1,
        },
    )  # fmt: skip
    assert changed == (
        "---\n# head\ntitle: New # keep me\ntags: # why\n  - x\n\n# about the date\ndate:   # launch\n  - a\n  - b\n"
        "description: short\n\nempty: 5\nflow: # tail\n  k: 1\n? odd\n: value\nnew: 1\n# where from\ncontentops:\n"
        "  item: x\n# end\n---\n\nbody\n"
    )


@pytest.mark.parametrize(("text", "changes", "expected"), [
    pytest.param("", {"a": 1}, "---\na: 1\n---\n", id="empty file"),
    pytest.param("x\n", {"title": "T", "a": [1]}, "---\ntitle: T\na:\n  - 1\n---\n\nx\n", id="no front matter"),
    pytest.param("\n\nx", {"a": 1}, "---\na: 1\n---\n\n\nx", id="no front matter, blank lines"),
    pytest.param("\ufeffx\r\n", {"a": 1}, "\ufeff---\r\na: 1\r\n---\r\n\r\nx\r\n", id="byte order mark and CRLF"),
    pytest.param("---\n---\nx", {"a": 1, "b": 2}, "---\na: 1\nb: 2\n---\nx", id="empty block"),
    pytest.param("---\na: 1\n---", {"a": None}, "---\n---", id="last key removed"),
    pytest.param("---\r\na: 1\r\n---\r\n", {"b": [1]}, "---\r\na: 1\r\nb:\r\n  - 1\r\n---\r\n", id="CRLF"),
    pytest.param("---\r\na: 1 # c\r\n---\r\n", {"a": [1]}, "---\r\na: # c\r\n  - 1\r\n---\r\n", id="CRLF, comment"),
    pytest.param("---\r\na:\r\n- 1\r\n---\r\n", {"a": 2}, "---\r\na: 2\r\n---\r\n", id="CRLF, list"),
    pytest.param("---\n  a: 1\n  b: 2\n---\n", {"b": [3], "c": 4}, "---\n  a: 1\n  b:\n    - 3\n  c: 4\n---\n", id="indented"),
    pytest.param("---\n{a: 1, b: , c: 3}\n---\nx", {"a": None, "c": 4}, "---\nb: null\nc: 4\n---\nx", id="in braces"),
    pytest.param("---\n'a b': &x 1\n---\n", {"a b": "c"}, "---\n'a b': c\n---\n", id="quoted key, anchor"),
    pytest.param("---\na: 1\n---\n", {"title": " T\n", "contentops": {"i": 1}, "b": 2}, "---\ntitle: T\na: 1\nb: 2\ncontentops:\n  i: 1\n---\n", id="order"),
    pytest.param(
        "---\n  a: 1\n  # from\n  contentops:\n    i: 1\n---\n",
        {"b": 2},
        "---\n  a: 1\n  b: 2\n  # from\n  contentops:\n    i: 1\n---\n",
        id="before an indented block and its comment",
    ),
    pytest.param("---\na: |+\n  x\n\n\nb: 1\n---\n", {"a": "z"}, "---\na: z\n\n\nb: 1\n---\n", id="block scalar"),
    pytest.param("---\na:\n\n  b: 1\n---\n", {"a": 1}, "---\na: 1\n---\n", id="blank line before a mapping"),
    pytest.param("---\na: 1\n---\n", {"a": "---\n"}, '---\na: "---\\n"\n---\n', id="fence as value"),
])  # fmt: skip
def test_update(text: str, changes: dict[str, Any], expected: str) -> None:
    """Each shape of file is edited in its own style."""
    assert update(text, changes) == expected


@pytest.mark.parametrize("text", [
    pytest.param("---\na: &x 1\nb: *x\n---\n", id="anchor that is still used"),
    pytest.param("---\n? a # c: d\n: 1\n---\n", id="comment with a colon"),
    pytest.param("---\n!!map\n? a\nb: 1\n---\n", id="key without a value"),
])  # fmt: skip
def test_update_refuses_what_it_can_not_do_alone(text: str) -> None:
    """Where a key cannot be changed without touching another, nothing is changed."""
    with pytest.raises(OutputError, match="edited separately"):
        update(text, {"a": "z"})


FRAGMENTS = st.sampled_from(
    [
        "{}: 1\n", "{}: 'a'   # c\n", "{}: # c\n", "{}:\n- a\n- b: [c]\n  d: e\n",
        "{}: |\n  text\n\n  # no comment\n", "{}: >-\n  folded\n  text\n", '{}: "a\n  b" # c\n',
        "{}: [a,\n  b]\n", "{}:\n  k: v\n\n  l:\n", "{}: &anchor {{a: b}}\n", "'{}': !!str 12\n",
        "{}: plain\n  goes on\n", "{}: 日本 😀\n",
    ]
)  # fmt: skip
GAPS = st.sampled_from(["", "", "# comment\n", "\n", "\n# one\n\n# two: x\n"])


@given(st.data(), st.lists(st.tuples(FRAGMENTS, GAPS), min_size=1, max_size=5), VALUES | st.none(), NEWLINES)
def test_update_touches_one_key_alone(
    data: st.DataObject, shape: list[tuple[str, str]], value: Any, newline: str
) -> None:
    """Whatever stands before and behind the changed key keeps its bytes."""
    index = data.draw(st.integers(0, len(shape) - 1))
    pieces = [(piece.format(f"k{number}"), gap) for number, (piece, gap) in enumerate(shape)]
    before = "---\n" + "".join(map("".join, pieces[:index]))
    behind = pieces[index][1] + "".join(map("".join, pieces[index + 1 :])) + "---\n\nbody: # x\n"
    before, own, behind = (text.replace("\n", newline) for text in (before, pieces[index][0], behind))
    old = split(before + own + behind)
    assert old.problem == ""
    changed = update(before + own + behind, {f"k{index}": value})
    assert changed.startswith(before)
    rest = changed[len(before) :]
    # A block text may have blank lines behind it that belong to no one.
    assert rest.endswith(behind)
    assert changed.count("\n") == changed.count(newline)
    new = split(changed)
    expected = {**old.front, f"k{index}": value}
    assert canonical(new.front) == canonical(
        {key: item for key, item in expected.items() if item is not None or key != f"k{index}"}
    )
    assert new.body == old.body


@given(
    BODIES,
    BODIES,
    st.sampled_from(["", "\ufeff", "---\n---\n", "---\r\na: 1 # c\r\n---\r\n\r\n\r\n", "---\na: b\n---"]),
)
def test_replace_body(old: str, new: str, head: str) -> None:
    """The body is another one afterwards; the front matter, its bytes and the gap are not."""
    text = f"{head}{old}" if not head.endswith("---") else head
    if split(text).problem:
        return
    replaced = replace_body(text, new)
    before, after = split(text), split(replaced)
    assert (after.problem, after.body) == ("", clean_body(new))
    assert (after.front, after.title) == (before.front, before.title)
    assert replaced.startswith(head.rstrip("\r\n"))


@pytest.mark.parametrize(("text", "body", "expected"), [
    pytest.param("---\r\na: b\r\n---\r\n\r\n\r\nx\r\n", "y\nz", "---\r\na: b\r\n---\r\n\r\n\r\ny\r\nz\r\n", id="CRLF"),
    pytest.param("---\na: b\n---", "y", "---\na: b\n---\n\ny\n", id="nothing behind the fence"),
    pytest.param("---\na: b\n---\nx\n", "", "---\na: b\n---\n", id="emptied"),
    pytest.param("\ufeffx\n", "y\n", "\ufeffy\n", id="no front matter"),
    pytest.param("x\n", "---\na: b\n---\n", "---\n---\n---\na: b\n---\n", id="body like front matter"),
    pytest.param("x\n", "+++\n", "---\n---\n+++\n", id="body like TOML"),
])  # fmt: skip
def test_replace_body_bytes(text: str, body: str, expected: str) -> None:
    """A body is written in the file's own line endings, and never read as front matter."""
    assert replace_body(text, body) == expected


@pytest.mark.parametrize(("before", "value", "after"), [
    ("k:\n- 2024-10-20\n- 'x'", ["x", "2024-10-20", "w"], "k:\n  - x\n  - 2024-10-20\n  - w"),
    ("k:\n  - a:  1\n    b: {c: d}\n  - x", [{"a": 1}], "k:\n  - a: 1"),
    ("k: [2024-10-20, 'x']", ["2024-10-20", "x", "w"], "k: [2024-10-20, x, w]"),
    ("k: [ a,  b ]  # c", ["b"], "k: [b]  # c"),
    ("k: [{a: 1}, x]", [{"a": 1}, "w"], "k:\n  - a: 1\n  - w"),
    ("k: [\n    2024-10-20,\n    b,\n  ]", ["2024-10-20", "c"], "k: [2024-10-20, c]"),
    ("k: [a, b]", ["b, c"], "k:\n  - b, c"),
])  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_list_is_written_again(before: str, value: list[object], after: str, newline: str) -> None:
    """In brackets where it was, else a line for each element."""
    text, wanted = (f"---\na: 'b'\n{entry}\nz: 0x1F\n---\n\nText\n".replace("\n", newline) for entry in (before, after))
    edited = update(text, {"k": value})
    assert (split(edited).front["k"], edited) == (value, wanted)


@pytest.mark.parametrize("entry", ["k:\n- a # c", "k:\n  # first\n  - a", "k: [\n  a, # c\n]", "k:\n  a: 1 # c"])
def test_a_comment_within_a_value_is_never_lost(entry: str) -> None:
    """A person changes such a value."""
    with pytest.raises(OutputError, match="there is a comment within the value of `k`"):
        update(f"---\n{entry}\n---\nText\n", {"k": ["b"]})


def test_entries_of_another_file_are_carried_as_they_are_written() -> None:
    """With nulls, comments beside them and quotes; what already exists stays."""
    source = (
        "---\ntitle: T\nparams: {a: null, b: }\ntags:\n- 2024-10-20 # c\n- 'x'\nlayout:\ndraft: yes\nz: 1\n---\nText\n"
    )
    entries = written_entries(source, {"params", "tags", "layout", "draft", "z"})
    target = "---\ntitle: U\nz: 2\ncontentops:\n  item: i\n---\n\nOther\n"
    carried = carry(target, entries)
    lines = "params: {a: null, b: }\ntags:\n- 2024-10-20 # c\n- 'x'\nlayout:\ndraft: yes\n"
    assert carried == target.replace("contentops:", f"{lines}contentops:")
    assert split(carry("Other\n", entries)).front == split(source).front
    assert carry(target.replace("\n", "\r\n"), entries) == carried.replace("\n", "\r\n")


def test_entries_that_cannot_stand_as_they_are_written_are_written_anew() -> None:
    """One whose anchor is elsewhere, and those of front matter in braces."""
    source = "---\na: &x [1]\nb: *x\n---\n"
    assert split(carry("---\nt: 1\n---\n", written_entries(source, {"b"}))).front == {"t": 1, "b": [1]}
    braces = "---\n{a: null, b: [1]}\n---\n"
    assert split(carry("---\nt: 1\n---\n", written_entries(braces, {"a", "b"}))).front == {"t": 1, "a": None, "b": [1]}
    assert split(carry("---\n{t: 1}\n---\n", written_entries(source, {"a"}))).front == {"t": 1, "a": [1]}


def test_a_date_in_quotes_stays_until_its_key_changes() -> None:
    """It is the same text with and without them."""
    text = '---\ndate: "2026-01-02"\n---\nText\n'
    assert update(text, {"date": "2026-01-02"}) == text
    assert update(text, {"title": "2026-01-02"}).startswith('---\ntitle: "2026-01-02"\n')
    assert update(text, {"date": "2026-01-03"}) == text.replace('"2026-01-02"', "2026-01-03")


# --- texts and titles, cleaned ---


@pytest.mark.parametrize(("text", "clean"), [
    pytest.param("", "", id="empty"),
    pytest.param(" \n\t\r\n", "", id="only white space"),
    pytest.param("\x00\x1b\ufeff", "", id="only controls"),
    pytest.param("\u200b \u2060\n\u3164\ufe0f\u2800", "", id="only characters that no one sees"),
    pytest.param("\u200b!\n", "\u200b!\n", id="a sign is text"),
    pytest.param("a", "a\n", id="final newline added"),
    pytest.param("a\n\n \t\n", "a\n", id="blank lines behind dropped"),
    pytest.param("\n \n    code\n", "    code\n", id="blank lines before dropped, indent kept"),
    pytest.param("a  \nb  \n\n", "a  \nb  \n", id="trailing spaces kept"),
    pytest.param("a\r\nb\rc\n", "a\nb\nc\n", id="line endings"),
    pytest.param("\ufeffa\n", "a\n", id="byte order mark"),
    pytest.param("a\x1b[31mred\x07\x9b0m\x7f\x00\tb", "a[31mred0m\tb\n", id="terminal escapes"),
    pytest.param("a\u202eb\u2066c\u2069", "abc\n", id="direction marks"),
    pytest.param("a\u202eb\x85é", "abé\n", id="not only ASCII"),
    pytest.param("\ud83dx", "\ufffdx\n", id="lone surrogate"),
    pytest.param("👩\u200d💻 \u200f", "👩\u200d💻 \u200f\n", id="joiners and plain direction marks kept"),
    pytest.param("a\u2028b\u00a0c", "a\u2028b\u00a0c\n", id="other Unicode spaces kept"),
    pytest.param("---\na: b\n---\n", "---\na: b\n---\n", id="fences are text"),
])  # fmt: skip
def test_clean_body(text: str, clean: str) -> None:
    """A body keeps its words and Markdown's spaces, and loses what could deceive."""
    assert clean_body(text) == clean


@pytest.mark.parametrize(("text", "clean"), [
    pytest.param("", "", id="empty"),
    pytest.param("  Part 1:\n\tintro\u2028 end ", "Part 1: intro end", id="one line"),
    pytest.param("a\x00b\x1b[0mc\u202ed\ufeff", "ab[0mcd", id="controls"),
    pytest.param("a\x85b\x0bc", "a b c", id="control line breaks part words"),
    pytest.param("Qui\u202f? Moi\u00a0!\u00a0", "Qui\u202f? Moi\u00a0!", id="no-break spaces"),
    pytest.param("\u3000お茶\u3000\u3000の\u2003 時間", "お茶\u3000\u3000の 時間", id="ideographic spaces"),
    pytest.param("\udc00", "\ufffd", id="lone surrogate"),
    pytest.param("x" * 300, "x" * 300, id="as long as allowed"),
    pytest.param("x" * 301, "x" * 299 + "…", id="too long"),
    pytest.param("x" * 298 + " yy", "x" * 298 + "…", id="no space before the ellipsis"),
])  # fmt: skip
def test_clean_title(text: str, clean: str) -> None:
    """A title is one line of limited length."""
    assert clean_title(text) == clean
