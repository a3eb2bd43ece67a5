"""Front matter that is plainly written is read without the parser, and as the parser reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from contentops.yaml.mapping import Block, YamlProblem, parse_mapping, read_mapping
from contentops.yaml.write import write_pair

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = ("title", "a", "a-b", "a_1", "contentops", "true", "Null", "1", "é", '"quoted"', "? a", "- a", "x y")
VALUES = (
    *('"text"', '""', '"a\\"b"', '"a: b # c"', '"é \U0001f600"', '"  "', '"\t"', "'a'", '"open', '"a" b', '"a" # b'),
    *(
        "text",
        "some more text",
        "a: b",
        "a #b",
        "a # b",
        "a-",
        "a/b.c",
        "text ",
        "[a]",
        "{a: b}",
        "|",
        ">-",
        "&a b",
        "*a",
    ),
    *("0", "12", "-1", "+1", "012", "1_000", "1.5", "1e3", "0x1f", "123456789012345678", ".inf", "2026-03-01", "12:30"),
    *("true", "True", "yes", "no", "null", "NULL", "~", "", " ", "!!str a", "@a", "`a`", "%a", "é", "a\u2028b", "e1"),
)
LINE = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "  ", "  ", "  - ", "  - ", "- ", "    ", " ", "\t"]),
    st.sampled_from(KEYS),
    st.sampled_from([": ", ": ", ": ", ":", ":  ", " : ", ""]),
    st.sampled_from(VALUES),
)
NEAR = st.lists(
    st.one_of(
        LINE,
        st.sampled_from(
            ["", "# a", "---", "...", "a:", "b:", "b:", "  - x", "  - 1", "  - ", "  -", "- x", "  x: y", "  x:"]
        ),
    ),
    max_size=5,
)
ENDS = st.sampled_from(["\n", "\n", "\n", "", "\r\n", "\n\n", " \n"])


def _read(read: Callable[..., Block], text: str) -> Block | str:
    try:
        return read(text, first_line=2)
    except YamlProblem as problem:
        return f"line {problem.line}: {problem.message}"


@given(lines=NEAR, end=ENDS)
def test_what_is_nearly_plain_is_read_as_the_parser_reads_it(lines: list[str], end: str) -> None:
    """Keys, values, what they are, and where they stand; or that there is a problem."""
    text = end.join([*lines, ""])
    assert _read(read_mapping, text) == _read(parse_mapping, text)


JSON = st.one_of(st.booleans(), st.integers(), st.text(max_size=12), st.sampled_from(["true", "Null", "a b", "x"]))


@given(
    front=st.dictionaries(
        st.text("abcT-_1 ", min_size=1, max_size=6),
        st.one_of(JSON, st.lists(JSON, max_size=3), st.dictionaries(st.text("ab", min_size=1), JSON)),
    )
)
def test_what_we_write_is_read_as_the_parser_reads_it(front: dict[str, object]) -> None:
    """Whatever front matter is written: it is the same, with either way to read it."""
    text = "".join(f"{line}\n" for key, value in front.items() for line in write_pair(key, value))
    assert _read(read_mapping, text) == _read(parse_mapping, text)
