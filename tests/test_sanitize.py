"""Text that no one vouches for, made harmless."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.sanitize import bounded, json_text, short, short_pair, visible

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_OBEYED = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202e\u2066\u2028\u200f\ufeff"}


@pytest.mark.parametrize(("text", "shown"), [
    pytest.param("plain words, ünïcode 漢字 👩‍💻", "plain words, ünïcode 漢字 👩‍💻", id="harmless"),
    pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="escape"),
    pytest.param("a\nb\r\tc", "a\\nb\\r\\tc", id="named"),
    pytest.param("\x9b2J", "\\x9b2J", id="c1"),
    pytest.param("abc\u202ecba", "abc\\u202ecba", id="bidi"),
    pytest.param("\U000e0041", "\\U000e0041", id="tag"),
    pytest.param("\ud800", "\\ud800", id="surrogate"),
])  # fmt: skip
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    """Each kind of unsafe character has its escape; the rest stays."""
    assert visible(text) == shown


@given(_JSON, st.text(), st.integers(6, 80))
def test_whatever_is_shown_is_harmless(value: object, text: str, width: int) -> None:
    """A text on one line; any value as a line of at most the width; a document that reads back as the same value."""
    shown, line, document = visible(text), short(value, width), json_text(value)
    assert not _OBEYED & {*shown, *line}
    assert not (_OBEYED - {"\n"}) & set(document)
    assert (visible(shown), len(line) <= width, json.loads(document)) == (shown, True, value)
    shown.encode()


def test_what_is_no_json_is_no_crash_and_no_json() -> None:
    """A value too deep for the encoder ends in an ellipsis, not in an exception; NaN is refused."""
    deep: object = "x"
    for _ in range(20_000):
        deep = [deep]
    assert short(deep, 100_000).endswith("…")
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_a_pair_shows_where_two_long_values_differ() -> None:
    """Texts, lists and maps; what is short or of two kinds is shown from its start."""
    begun = "a roof terrace, a kitchen for all, five minutes to the river"
    old, new = short_pair([begun, "189 euros"], [begun, "195 euros"], 40)
    assert (old[0], "189 euros" in old, "195 euros" in new, len(old) <= 40) == ("…", True, True, True)
    old, new = short_pair({"a": begun, "b": 1}, {"a": begun, "b": 2}, 40)
    assert (old[-7:], new[-7:]) == ('"b": 1}', '"b": 2}')
    assert short_pair(begun, f"{begun}, at last", 40)[1].endswith('river, at last"')
    assert short_pair(["a"], ["b"]) == ('["a"]', '["b"]')
    assert short_pair(begun * 2, [1], 20)[0] == short(begun * 2, 20)


def test_bounded_values_are_cut_with_a_count_and_have_no_secret() -> None:
    """In lists, texts and keys, at any depth; line ends and tabs stay."""
    value = {"a\u202e": ["x" * 30, list(range(10_000)), "\ta\r\nb\x1b", "my-long-secret"], "n": None, "f": 0.5}
    assert bounded(value, ["my-long-secret"], most=4, longest=20) == {
        "a\\u202e": [f"{'x' * 19}… (cut: 30 characters)", [0, 1, 2, 3, "... and 9,996 more"], "\ta\r\nb\\x1b", "[key]"],
        "n": None,
        "f": 0.5,
    }
