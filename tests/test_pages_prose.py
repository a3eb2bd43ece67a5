"""Texts as HTML, with what changed in them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from contentops.documents.clean import clean_body
from contentops.documents.word_diff import word_diff
from contentops.reporting.layout import prose

if TYPE_CHECKING:
    from contentops.documents.blocks import TextBlock
    from tests.running import Clock

TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "ins", "li", "mark", "ol", "p",
    "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"href", "rel", "dir", "class", "title", "start", "scope", "role", "aria-label", "tabindex"}
PIECES = (
    "word", "<script>alert(1)</script>", "<b onclick=x>", "</p>", "</del>", "<!--", "-->", "]]>", "&lt;", "&#60;b&#62;", "\n", "\n\n",
    "\n- ", "\n1. ", "\n7) ", "\n# ", "\n## ", "\n> ", "**", "*", "`", "\n```\n", "|", "\n|-|-|\n", "~~", "\\", "  \n", "---\n", "    ",
    "[a](javascript:alert(1))", '[a](https://x.example/?a=1&b="2)', '[a](<../b c> "t"t")', "![alt](data:text/html,x)", "<http://a.b>",
    '![a"b](http://x.example/i.png)', "[x]: javascript:alert(1)\n", "[x]", "\u202eabc", "\u200b", "\u2028", "\U000e0041", '"', "'", "\x07",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=60)
VOID = {"br", "hr"}


class Strict(HTMLParser):
    """Refuses tags and attributes that are not ours, tags that are not closed in order, and hidden characters."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        values = dict(attrs)
        assert re.match("https?:|mailto:", values.get("href") or "http:")
        assert ("rel", "noopener noreferrer") in attrs or tag != "a"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]", data)
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        pytest.fail(f"a declaration: {decl}")

    def handle_pi(self, data: str) -> None:
        pytest.fail(f"an instruction: {data}")

    def unknown_decl(self, data: str) -> None:
        pytest.fail(f"a declaration: {data}")


def html(old: str, new: str, *, fold: bool = True) -> str:
    """A difference as HTML, checked."""
    parts = prose(word_diff(clean_body(old), clean_body(new)), fold=fold)
    for part in parts:
        checked(part.html)
    return "".join(part.html for part in parts)


def checked(text: str) -> str:
    """The text of some HTML that has only what we write."""
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return "".join(parser.text)


@given(TEXTS, TEXTS)
@example("", "*a " * 2000 + "b* " * 2000)
@example("", "> " * 3000 + "a")
def test_no_text_makes_a_tag(old: str, new: str) -> None:
    """Whatever two texts say, the page has our tags alone, in order, and nothing that is hidden."""
    html(old, new)
    html(new, new)


def test_markdown_is_shown_as_html() -> None:
    """Headings begin below those of the page; lists, tables, code and links are what they are."""
    body = "# One\n\n## Two\n\nA **b *c*** `d` ~~e~~ [f](https://g.example) h  \ni\n\n3. x\n4. y\n\n> q\n\n```sh\n<z>\n\nw\n```\n\n---\n"
    assert html(body, body) == (
        '<h3 dir="auto">One</h3>\n<h4 dir="auto">Two</h4>\n<p dir="auto">A <strong>b <em>c</em></strong> <code>d</code> <s>e</s> '
        '<a href="https://g.example" rel="noopener noreferrer">f</a> h<br>i</p>\n<ol start="3"><li><p dir="auto">x</p>\n</li><li>'
        '<p dir="auto">y</p>\n</li></ol><blockquote><p dir="auto">q</p>\n</blockquote>'
        '<pre dir="auto"><code><span class="mute">sh\n</span>&lt;z&gt;\n\nw</code></pre>\n<hr>'
    )
    assert html("", "## Two\n\n#### Four\n").startswith('<h3 dir="auto"><ins>'), (
        "the highest heading is below the page's"
    )
    table = html("|a|b|\n|-|-|\n|c|d|\n", "|a|b|\n|-|-|\n|c|d|\n")
    assert '<thead><tr><th scope="col" dir="auto">a</th>' in table
    assert '<tbody><tr><td dir="auto">c</td><td dir="auto">d</td></tr>\n</tbody></table></div>' in table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        ("[a](JAVASCRIPT:alert(1))", "[a](JAVASCRIPT:alert(1))"),
        ("[a](file:///etc/passwd)", "[a](file:///etc/passwd)"),
        ("[a](ftp://b.example)", '<span class="link" title="ftp://b.example">a</span>'),
        ("[a](../b.md)", '<span class="link" title="../b.md">a</span>'),
        ("[a](mailto:b@c.example)", '<a href="mailto:b@c.example" rel="noopener noreferrer">a</a>'),
        ("![a](https://b.example/c.png)", '<span class="mute">[image: a <code>https://b.example/c.png</code>]</span>'),
        ("a\u200bb\u200e", "a\\u200bb\\u200e"),
    ],
)  # fmt: skip
def test_nothing_leads_astray(text: str, shown: str) -> None:
    """Links lead to the web alone, pictures are not loaded, and hidden characters can be seen."""
    assert html(text, text) == f'<p dir="auto">{shown}</p>\n'


GONE, NEW, END = (
    '<del><span class="hidden">[gone: </span>',
    '<ins><span class="hidden">[new: </span>',
    '<span class="hidden">]</span>',
)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("It *takes **eight** days* now", "It *takes **seven** days* now", f"It <em>takes </em>{GONE}<em><strong>eight</strong></em>{END}</del>{NEW}<em><strong>seven</strong></em>{END}</ins><em> days</em> now"),
        ("see `a b` for more", "see `a c` for more", f"see <code>a </code>{GONE}<code>b</code>{END}</del>{NEW}<code>c</code>{END}</ins> for more"),
        ("see [it](/b) for more", "see [it](/c) for more", f'see {GONE}<span class="link" title="/b">it <code>(/b)</code></span>{END}</del>{NEW}<span class="link" title="/c">it <code>(/c)</code></span>{END}</ins> for more'),
    ],
)  # fmt: skip
def test_changes_are_marked_inside_of_styles(old: str, new: str, shown: str) -> None:
    """What is gone and new keeps its emphasis, code and links; an address that changed is shown."""
    assert html(old, new) == f'<p dir="auto">{shown}</p>\n'


def test_blocks_as_before_are_folded() -> None:
    """Blocks that are as before are folded and named, but for those with a finding; without a change, none are."""
    old = "# Start\n\nOne.\n\n## What people look for\n\nTwo.\n\nThree is here.\n\n- x\n\nFour.\n"
    new = old.replace("is here", "was here")
    parts = prose(word_diff(old, new))
    assert [part.fold for part in parts] == [
        "4 paragraphs as before, with \u201cStart\u201d",
        "",
        "2 paragraphs as before",
    ]
    assert [part.fold for part in prose(word_diff(old, new), fold=False)] == [""]
    assert [part.fold for part in prose(word_diff(new, new))] == [""]

    def notes(block: TextBlock) -> list[Markup]:
        return [Markup("<p>note</p>")] if block.line == 10 else []

    parts = prose(word_diff(old, new), notes=notes)
    assert [part.fold for part in parts] == [
        "4 paragraphs as before, with \u201cStart\u201d",
        "",
        "1 paragraph as before",
    ]
    assert parts[1].html.endswith('<p dir="auto">x</p>\n<p>note</p></li></ul>')


def test_words_are_marked() -> None:
    """What a check refuses is marked, whatever its style; what is gone is not."""
    pattern = re.compile(r"click\s++here")
    diff = word_diff("Never click here.\n", "Do *click* here. Never.\n")
    [part] = prose(diff, marks=[pattern])
    assert part.html.count("<mark>") == 1
    assert (
        "<mark><em>click</em> here</mark>" in prose(word_diff("*click* here", "*click* here"), marks=[pattern])[0].html
    )


def test_a_long_line_is_cut_into_boxes(takes_seconds: None) -> None:
    """A megabyte without a break is shown in pieces that a browser lays out at once; nothing of it is missing."""
    body = "word " * 200_000
    [part] = prose(word_diff(body, body))
    assert part.html.count("<pre") == 72
    assert checked(part.html).count("word") == 200_000


@pytest.mark.parametrize(
    "text", ["*a ", "[", "![", "- a\n", "a b\n\n", "|a|b|\n|-|-|\n|c|d|\n", "> ", "`a", "**a *b ", "\u200b"]
)
def test_long_hostile_texts_are_shown(text: str, processor_time: Clock) -> None:
    """No text makes a page take long: a step whose time grows with the square of a length would take minutes."""
    body = clean_body(text * (120_000 // len(text)))
    began = processor_time()
    parts = prose(word_diff(body, body))
    assert processor_time() - began < 20
    assert all(one.html for one in parts)
    assert not [pair for pair in pairwise(part.fold for part in parts) if all(pair)]
