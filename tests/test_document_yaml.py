"""Front matter YAML: written so that every reader reads the same, read with positions and without surprises."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from contentops.yaml.mapping import YamlProblem, read_mapping
from contentops.yaml.read import MAX_DEPTH
from contentops.yaml.write import write_pair, write_scalar

PLAIN_CHARACTERS = st.characters(exclude_categories=["Cs"])
TRICKY = st.sampled_from(
    [
        *("yes", "No", "on", "OFF", "y", "N", "true", "null", "~", "", "nan", ".inf", "Infinity", "none"),
        *("2026-03-01", "1:30", "12:30:45", "012", "0o17", "0x1f", "1e3", "1_000", "1.10", "+1", "-", "--", "---"),
        *("...", "a: b", "a #b", "#a", " a", "a ", "a\n", "a\nb", "- a", "? a", "@a", "`a`", "%a", "!a", "&a", "*a"),
        *("{a}", "[a]", "{{ a }}", '"a"', "'a'", "a\\n", "\t", "\x1b[0m", "\x85", "\u2028", "\ufeff", "\ufffe"),
        *("é", "日本", "👩\u200d💻", "\u202ea", "<<", "=", "a:", ":a", "a,b", "title", "\u3000a", "it's", "C:\\x"),
    ]
)
TEXTS = TRICKY | st.text(PLAIN_CHARACTERS, max_size=20)
SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


def read(text: str) -> dict[str, Any]:
    """The entries of a block as a dict."""
    return {entry.key: entry.value for entry in read_mapping(text).entries}


def same(one: Any, other: Any) -> bool:
    """Equal, types included (True is not 1, and 1 is not 1.0)."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(TEXTS, VALUES)
@example("k", 1e16)
@example("k", 1e-7)
@example("k", -0.0)
@example("k" * 2000, {"a" * 1500: ["b", {}]})
@example("k", [[[]], [{}], [["a"], {"b": [{"c": None}]}]])
def test_every_reader_reads_what_was_written(key: str, value: Any) -> None:
    """A pair comes back the same from our reader and from a YAML 1.1 reader."""
    text = "".join(f"{line}\n" for line in write_pair(key, value))
    assert same(read(text), {key: value})
    assert same(yaml.safe_load(text), {key: value})


@given(TEXTS)
def test_a_text_is_one_printable_line(text: str) -> None:
    """A text is written on one line that holds nothing a terminal could obey, and never looks like a fence."""
    written = write_scalar(text)
    assert len(written.splitlines()) == 1
    assert not any(char < " " or "\x7f" <= char <= "\x9f" or char in "\u202e\u2028\ufeff" for char in written)
    assert not written.startswith(("---", "..."))


@pytest.mark.parametrize(("value", "written"), [
    pytest.param("Plain words, it's (fine) & so on!", "Plain words, it's (fine) & so on!", id="plain"),
    pytest.param("Über uns", "Über uns", id="letters"), pytest.param("2026-03-01", '"2026-03-01"', id="date"),
    pytest.param("E10", '"E10"', id="exponent alone"), pytest.param("NO", '"NO"', id="yaml 1.1 bool"),
    pytest.param("a: b", '"a: b"', id="colon"),
    pytest.param('a "b" \\ \n\t\r', '"a \\"b\\" \\\\ \\n\\t\\r"', id="escapes"),
    pytest.param("\x1b\u202e\ufffe", '"\\u001b\\u202e\\ufffe"', id="unprintable"),
    pytest.param("\ud800", '"\ufffd"', id="lone surrogate"), pytest.param(None, "null", id="null"),
    pytest.param(True, "true", id="true"), pytest.param(False, "false", id="false"), pytest.param(12, "12", id="int"),
    pytest.param(1.5, "1.5", id="float"), pytest.param(1e16, "1.0e+16", id="float with exponent"),
])  # fmt: skip
def test_write_scalar(value: Any, written: str) -> None:
    """Each kind of value has one way to be written; these bytes are part of the contract."""
    assert write_scalar(value) == written


@pytest.mark.parametrize(("value", "error"), [
    pytest.param(float("nan"), ValueError, id="nan"), pytest.param([float("inf")], ValueError, id="infinity"),
    pytest.param({1: "a"}, TypeError, id="key that is no text"), pytest.param(b"a", TypeError, id="bytes"),
    pytest.param({"a": object()}, TypeError, id="object"),
])  # fmt: skip
def test_what_is_not_json_is_refused(value: Any, error: type[Exception]) -> None:
    """Only JSON values can be written."""
    with pytest.raises(error, match="cannot be written in front matter"):
        write_pair("k", value)


def test_what_a_manifest_refuses_stays_as_it_is() -> None:
    """The text is someone else's: what JSON cannot hold stays text, and `<<` is a key like any other."""
    long = "9" * 5000
    text = f'a: .inf\nb: 1e999\nc: {long}\nd: &d {{x: 1}}\n<<: *d\ne: "\\u0007"\nf: 012\ng: 0o17\nh: "\\L"\n?\n: i\n'
    value = read(text)
    assert same(
        value,
        {"a": ".inf", "b": "1e999", "c": long, "d": {"x": 1}, "<<": {"x": 1}, "e": "\x07", "f": "012", "g": 15}
        | {"h": "\u2028", "": "i"},
    )


BOMB = "a: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
"""Nine levels of nine aliases."""
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, MAX_DEPTH + 2))
"""Aliases nested deeper than may be written out."""


@pytest.mark.parametrize(("text", "words", "line"), [
    pytest.param("a: 1\nb: 2\na: 3\n", "the key `a` appears twice in the same map: first at line 2", 4, id="duplicate"),
    pytest.param("- a\n", "not a list of `key: value` lines", 2, id="list"),
    pytest.param("# c\njust text\n", "not a list of `key: value` lines", 3, id="text"),
    pytest.param("a: 1\n--- b\n", "a second YAML document", 3, id="two documents"),
    pytest.param("!x\na: b\n", "the tag `!x`", 2, id="tag on the whole"),
    pytest.param("a: [\n", "closing bracket is missing", 2, id="syntax"),
    pytest.param("api_key: b: c1234\n", "this line cannot be read|a second `: `", 2, id="secret"),
    pytest.param("a: 1\nb: \x01\n", "the invisible character U\\+0001", 3, id="control character"),
    pytest.param("a: " + "[" * (MAX_DEPTH + 1) + "\n", "nested more than", 2, id="deep"),
    pytest.param("a: \ud800\n", "the invisible character U\\+D800", 2, id="lone surrogate"),
    pytest.param(BOMB, "repeat more than 100,000 values", 7, id="alias bomb"),
    pytest.param(CHAIN, "nested more than", 101, id="deep aliases"),
])  # fmt: skip
def test_problems_have_their_line(text: str, words: str, line: int) -> None:
    """Whatever cannot be read safely ends in a problem at its line of the file."""
    with pytest.raises(YamlProblem, match=words) as caught:
        read_mapping(text, first_line=2)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-13-01", "2026-1-2", "2026", "10:30", "2026-01-02T25:00:00", "1e5"]
)
def test_what_is_no_date_stays_in_quotes(text: str) -> None:
    """Some reader could take it for a number or a time, or fail over it."""
    assert write_pair("key", text, dates=True) == [f'key: "{text}"']
