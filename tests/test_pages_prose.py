"""Texts as HTML, with what changed in them."""

import re
from html.parser import HTMLParser
from itertools import groupby, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from contentops.documents.blocks import TextBlock, parse_blocks
from contentops.documents.clean import clean_body
from contentops.documents.word_diff import Side, TextDiff, word_diff
from contentops.reporting.prose import prose
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
    "eight", "seven", " ", " ", ".", "\u0e01\u0e02", "e\u0301", "👩‍👧",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60)
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
        pytest.fail(f"a comment, a declaration or an instruction: {data}")

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    handle_pi = unknown_decl = handle_comment


def html(old: str, new: str) -> str:
    """A difference as HTML, checked."""
    parts = prose(word_diff(clean_body(old), clean_body(new)))
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


@pytest.mark.parametrize(("text", "shown"), [
    ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
    ("[a](JAVASCRIPT:alert(1))", "[a](JAVASCRIPT:alert(1))"),
    ("[a](file:///etc/passwd)", "[a](file:///etc/passwd)"),
    ("[a](ftp://b.example)", '<span class="link" title="ftp://b.example">a</span>'),
    ("[a](../b.md)", '<span class="link" title="../b.md">a</span>'),
    ("[a](mailto:b@c.example)", '<a href="mailto:b@c.example" rel="noopener noreferrer">a</a>'),
    ("![a](https://b.example/c.png)", '<span class="mute">[image: a <code>https://b.example/c.png</code>]</span>'),
    ("a\u200bb\u200e", "a\\u200bb\\u200e"),
])  # fmt: skip
def test_nothing_leads_astray(text: str, shown: str) -> None:
    """Links lead to the web alone, pictures are not loaded, and hidden characters can be seen."""
    assert html(text, text) == f'<p dir="auto">{shown}</p>\n'


def test_blocks_as_before_are_folded_and_words_are_marked() -> None:
    """Blocks that are as before are folded and named, but for those with a finding; without a change, none are."""
    old = "# Start\n\nOne.\n\n## What people look for\n\nTwo.\n\nThree is here.\n\n- x\n\nFour.\n"
    new = old.replace("is here", "was here")
    parts = prose(word_diff(old, new))
    folded = "4 paragraphs as before, with \u201cStart\u201d"
    assert [part.fold for part in parts] == [folded, "", "2 paragraphs as before"]
    assert [part.fold for part in prose(word_diff(old, new), fold=False)] == [""]
    assert [part.fold for part in prose(word_diff(new, new))] == [""]

    def notes(block: TextBlock) -> list[Markup]:
        return [Markup("<p>note</p>")] if block.line == 10 else []

    parts = prose(word_diff(old, new), notes=notes)
    assert [part.fold for part in parts] == [folded, "", "1 paragraph as before"]
    assert parts[1].html.endswith('<p dir="auto">x</p>\n<p>note</p></li></ul>')
    # What a check refuses is marked, whatever its style; what is gone is not.
    marks = [re.compile(r"click\s++here")]
    [part] = prose(word_diff("Never click here.\n", "Do *click* here. Never.\n"), marks=marks)
    assert part.html.count("<mark>") == 1
    assert "<mark><em>click</em> here</mark>" in prose(word_diff("*click* here", "*click* here"), marks=marks)[0].html


def test_a_long_line_is_cut_into_boxes(takes_seconds: None) -> None:
    """A megabyte without a break is shown in pieces that a browser lays out at once; nothing of it is missing."""
    body = "word " * 200_000
    [part] = prose(word_diff(body, body))
    assert (part.html.count("<pre"), checked(part.html).count("word")) == (72, 200_000)


def marked(diff: TextDiff) -> list[str]:
    """The changed blocks, with `[-gone-]` and `{+new+}`."""
    form = {Side.BOTH: "{}", Side.GONE: "[-{}-]", Side.NEW: "{{+{}+}}"}
    return [
        "".join(form[part.side].format("".join(word.text for word in part.words)) for part in each.parts)
        for each in diff.blocks
        if not each.is_same
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("It takes eight days.", "It takes seven days.", ["It takes [-eight-]{+seven+} days."]),
        ("Only in part. That is why.", "That is why.", ["[-Only in part. -]That is why."]),
        # One equal word between two changes joins them ...
        ("We use a plain rule: more.", "Our rule is plain: more.", ["[-We use a plain rule-]{+Our rule is plain+}: more."]),
        # ... but never across a sentence's end, and two words keep them apart.
        ("Rooms are red. Go on then now.", "Rooms are blue. Run on then now.", ["Rooms are [-red-]{+blue+}. [-Go-]{+Run+} on then now."]),
        ("a red big room b c", "a blue big room d c", ["a [-red-]{+blue+} big room [-b-]{+d+} c"]),
        # A mark or an address is part of a word: who adds one sees it.
        ("a b c d e", "a **b** c d e", ["a [-b-]{+b+} c d e"]),
        ("see [here](x) for more", "see [here](y) for more", ["see [-here-]{+here+} for more"]),
        # Items of lists and rows of tables come and go by themselves.
        ("- one\n- two and a half\n", "- two and a bit\n", ["[-one-]", "two and a [-half-]{+bit+}"]),
        ("|a|b|\n|-|-|\n|x|yes|\n", "|a|b|\n|-|-|\n|x|no|\n", ["x\t[-yes-]{+no+}"]),
        ("|a|b|\n|-|-|\n|x y|z|\n", "|a|b|\n|-|-|\n|x|y z|\n", ["[-x y\tz-]", "{+x\ty z+}"]),
        ("Same words here.", "## Same words here.", ["[-Same words here.-]", "{+Same words here.+}"]),
        ("Something else altogether.", "No word of it.", ["[-Something else altogether.-]", "{+No word of it.+}"]),
        ("```\na = 1\nb = 2\n```", "```\na = 1\nb = 3\n```", ["a = 1\nb = [-2-]{+3+}"]),
        ("\u56db\u4e2a\u623f\u95f4\u5f88\u5c0f", "\u4e94\u4e2a\u623f\u95f4\u5f88\u5c0f", ["[-\u56db-]{+\u4e94+}\u4e2a\u623f\u95f4\u5f88\u5c0f"]),
    ],
)  # fmt: skip
def test_edits_are_phrases_in_their_blocks(old: str, new: str, expected: list[str]) -> None:
    """What is gone and new is marked in phrases; blocks that have little in common are replaced."""
    assert marked(word_diff(clean_body(old), clean_body(new))) == expected


def test_words_and_edits_are_counted() -> None:
    """Words are counted, not white space and signs; words that are gone and those in their place are one edit."""
    diff = word_diff("One, two, three four five.\n\nGone here.\n", "One, too, three four - six!\n\n- New\n")
    assert (diff.edits, diff.count(Side.GONE), diff.count(Side.NEW)) == (4, 4, 3)
    hidden = word_diff("3. a\n", "4. a\n")
    assert (hidden.edits, hidden.is_same) == (0, False), "what Markdown does not show is no edit, and is not hidden"


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_from_a_difference(old: str, new: str) -> None:
    """Equal and new words make the blocks of the new text, equal and gone ones those of the old."""
    old, new = clean_body(old), clean_body(new)
    diff = word_diff(old, new)
    for text, side in ((old, Side.GONE), (new, Side.NEW)):
        sides = [(each, each.old if side is Side.GONE else each.new) for each in diff.blocks]
        ours = [(each, block) for each, block in sides if block is not None]
        assert tuple(block for _, block in ours) == parse_blocks(text)
        for each, block in ours:
            words = [word for part in each.parts if part.side in (Side.BOTH, side) for word in part.words]
            assert tuple(words) == block.words
    for each in diff.blocks:
        assert all(part.words or not each.block.words for part in each.parts)
        assert all(len([*run]) == 1 for _, run in groupby(part.side for part in each.parts))


HOSTILE = {
    "one word": ("a " * 10_000, "a b " * 5_000), "one letter": ("a" * 20_000, "b" * 20_000),
    "paragraphs": ("a b\n\n" * 4_000, "b a\n\n" * 4_000), "lists": ("- a\n" * 5_000, "- a\n- b\n" * 2_500),
    "brackets": ("[" * 20_000, "![ " * 6_500), "accents": ("a" + "\u0301" * 19_999, "b\u0301" * 10_000),
    "turned around": (" ".join(map(str, range(3_500))), " ".join(map(str, range(3_500, 0, -1)))),
}  # fmt: skip


SHOWN = ("*a ", "[", "![", "- a\n", "a b\n\n", "|a|b|\n|-|-|\n|c|d|\n", "> ", "`a", "**a *b ", "\u200b")


@pytest.mark.parametrize(("old", "new"), [
    *(pytest.param(*texts, id=name) for name, texts in HOSTILE.items()),
    *(pytest.param(*[clean_body(text * (20_000 // len(text)))] * 2, id=repr(text)) for text in SHOWN),
])  # fmt: skip
def test_long_hostile_texts_are_compared_and_shown(old: str, new: str, processor_time: Clock) -> None:
    """No text makes a page take long: a step whose time grows with the square of a length would take minutes."""
    began = processor_time()
    diff = word_diff(old, new)
    parts = prose(diff) if old == new else []
    assert processor_time() - began < 3
    assert bool(diff.edits) == (old != new)
    assert all(one.html for one in parts)
    assert not [pair for pair in pairwise(part.fold for part in parts) if all(pair)]
