"""Text that no one vouches for, made harmless."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.reporting.layout import paint, unpainted
from contentops.sanitize import bounded, clip, columns, json_text, short, short_pair, visible

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_OBEYED = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202e\u2066\u2028\u200f\ufeff"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain words, ünïcode 漢字 👩‍💻", "plain words, ünïcode 漢字 👩‍💻", id="harmless"),
        pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="escape"),
        pytest.param("a\nb\r\tc", "a\\nb\\r\\tc", id="named"),
        pytest.param("\x9b2J", "\\x9b2J", id="c1"),
        pytest.param("abc\u202ecba", "abc\\u202ecba", id="bidi"),
        pytest.param("\U000e0041", "\\U000e0041", id="tag"),
        pytest.param("\ud800", "\\ud800", id="surrogate"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    """Each kind of unsafe character has its escape; the rest stays."""
    assert visible(text) == shown


@given(st.text())
def test_visible_text_is_one_harmless_line(text: str) -> None:
    """Nothing that is obeyed gets through, and a second pass changes nothing."""
    shown = visible(text)
    assert not _OBEYED & set(shown)
    assert visible(shown) == shown
    shown.encode()


@given(st.text(), st.integers(1, 40))
def test_clip_never_exceeds_its_width(text: str, width: int) -> None:
    """A short text stays, a long one ends in an ellipsis."""
    cut = clip(text, width)
    assert len(cut) <= width
    assert cut == text if len(text) <= width else cut.endswith("…")


@given(_JSON, st.integers(6, 80))
def test_short_is_short_and_harmless(value: object, width: int) -> None:
    """Any value becomes a line of at most the width."""
    line = short(value, width)
    assert len(line) <= width
    assert not _OBEYED & set(line)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        pytest.param(None, "(none)", id="none"),
        pytest.param("a", '"a"', id="text"),
        pytest.param(3, "3", id="number"),
        pytest.param(["a", {"b": True}], '["a", {"b": true}]', id="nested"),
        pytest.param("x" * 100, '"xxxxxxxxxxxxxxxxxx…', id="long text"),
        pytest.param(list(range(100)), "[0, 1, 2, 3, 4, 5, …", id="long list"),
        pytest.param({"a": "x" * 100}, '{"a": "xxxxxxxxxxxx…', id="long inner text"),
    ],
)
def test_short_values(value: object, line: str) -> None:
    """Values are written as JSON and cut."""
    assert short(value, 20) == line


def test_short_stops_at_nesting_no_one_can_follow() -> None:
    """A value too deep for the encoder ends in an ellipsis, not in an exception."""
    deep: object = "x"
    for _ in range(20_000):
        deep = [deep]
    assert short(deep, 100_000).endswith("…")


def test_long_texts_are_cut_where_they_differ() -> None:
    """Two long texts that begin alike show their first difference."""
    before, after = short_pair("a" * 200 + " in 2025", "a" * 200 + " in 2026", 40)
    assert (before, after) == ('"…aaaaaa in 2025"', '"…aaaaaa in 2026"')


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("a", "b", ('"a"', '"b"'), id="short"),
        pytest.param("a", None, ('"a"', "(none)"), id="gone"),
        pytest.param("b" + "a" * 60, "c", ('"baaaaaaaaaaaaaaaaa…', '"c"'), id="differ at once"),
        pytest.param("a" * 40, "a" * 41, ('"…aaaaaa"', '"…aaaaaaa"'), id="longer"),
    ],
)
def test_pairs_of_values(before: object, after: object, expected: tuple[str, str]) -> None:
    """Pairs that need no window are shown from their start."""
    assert short_pair(before, after, 20) == expected


@given(_JSON)
def test_json_text_reads_back_and_is_harmless(value: object) -> None:
    """The document is the same value, and no terminal obeys anything in it."""
    text = json_text(value)
    assert json.loads(text) == value
    assert not (_OBEYED - {"\n"}) & set(text)


def test_json_text_refuses_what_json_has_not() -> None:
    """NaN is no JSON."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("abc", 3, id="ascii"),
        pytest.param("漢字", 4, id="wide"),
        pytest.param("e\u0301", 1, id="combining"),
        pytest.param("é", 1, id="accent"),
    ],
)
def test_columns(text: str, width: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert columns(text) == width


def test_paint_without_color_changes_nothing() -> None:
    """Colour is added only when asked for, and never around nothing."""
    assert unpainted(paint("a", "add")) == "a"
    assert paint("a", "add") == "\x1b[32ma\x1b[0m"
    assert paint("", "add") == ""
    assert paint("a", "plain") == "a"


def test_bounded_values_are_cut_with_a_count_and_have_no_secret() -> None:
    """In lists, texts and keys, at any depth; line ends and tabs stay."""
    value = {"a\u202e": ["x" * 30, list(range(10_000)), "\ta\r\nb\x1b", "my-long-secret"], "n": None, "f": 0.5}
    assert bounded(value, ["my-long-secret"], most=4, longest=20) == {
        "a\\u202e": [f"{'x' * 19}… (cut: 30 characters)", [0, 1, 2, 3, "... and 9,996 more"], "\ta\r\nb\\x1b", "[key]"],
        "n": None,
        "f": 0.5,
    }
