"""The catalog and the outline engine: every template, hostile inputs, same bytes every time."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contentops.sections import bare, cut, spans
from contentops.server import catalog, contents
from contentops.server.engines import named
from contentops.server.engines.outline import LABEL, inline, points
from contentops.server.engines.protocol import TextRequest, WritingTask, WrittenText
from tests.fakes.chat import unreported

KNOWN = catalog.load()
TEMPLATES: dict[str, dict[str, Any]] = {entry["slug"]: entry for entry in KNOWN["templates"]}
STYLES: dict[str, dict[str, Any]] = {entry["slug"]: entry for entry in KNOWN["styles"]}
GOLDEN = Path(__file__).parent / "golden" / "local_outline.md"

INPUTS = {
    "topic": "AI adoption at Acme in 2026", "audience": "marketing directors", "objective": "Start a pilot.",
    "key_points": ["ROI", {"who": "ops", "when": ["Q1", "Q2"]}, "tool selection"],
    "seo_keywords": "ai, b2b", "word_count_target": 1500, "include_statistics": True, "include_examples": False,
    "region": {"EMEA": True, "APAC": None},
}  # fmt: skip


def write(template: str = "blog_article_generator", style: str = "general_blog", **options: Any) -> WrittenText:
    """The outline of one job."""
    request = TextRequest(**options)
    task = WritingTask(id="j", request=request, template=TEMPLATES[template], style=STYLES[style])
    return asyncio.run(named("outline").write(task, unreported))


def test_the_outline_of_one_article() -> None:
    """The whole text, byte for byte; the order of the inputs does not matter."""
    draft = write(inputs=INPUTS, mode="premium", vertical="saas_tech", brand_voice="bv_acme")
    assert f"# {draft.title}\n\n{draft.body}" == GOLDEN.read_text(encoding="utf-8")
    turned = dict(reversed(list(INPUTS.items())))
    assert write(inputs=turned, mode="premium", vertical="saas_tech", brand_voice="bv_acme") == draft


@pytest.mark.parametrize("slug", TEMPLATES)
def test_each_template_is_well_made(slug: str) -> None:
    """Names are unique, every slot and point names an input, and what has a default is not required."""
    entry = TEMPLATES[slug]
    specs = {spec["name"]: spec for spec in entry["inputs"]}
    assert len(specs) == len(entry["inputs"])
    for spec in specs.values():
        assert spec["type"] in {"text", "number", "checkbox", "any"}
        assert not (spec["required"] and "default" in spec)
        if spec["name"] == "target_audience":
            assert spec["aliases"] == ["audience"]
    spoken = list(entry["titles"])
    named_inputs = set()
    for section in entry["sections"]:
        assert section["holds"]
        for sentence in section.get("sentences", []):
            spoken.append(sentence if isinstance(sentence, str) else sentence["text"])
            named_inputs |= set() if isinstance(sentence, str) else {sentence["when"]}
        named_inputs |= set(section.get("points", []))
    named_inputs |= {name for text in spoken for name in re.findall(r"\{(\w+)\}", text)}
    assert named_inputs <= set(specs) | {"title"}


@pytest.mark.parametrize("mode", ["quick", "standard", "premium"])
@pytest.mark.parametrize("slug", TEMPLATES)
def test_each_template_makes_a_proper_text_of_its_required_inputs(slug: str, mode: str) -> None:
    """With nothing but the required inputs, every section stands under its heading and no slot is left."""
    entry = TEMPLATES[slug]
    inputs = {spec["name"]: f"some {spec['name']}" for spec in entry["inputs"] if spec["required"]}
    assert catalog.missing(entry, inputs) == []
    draft = write(slug, inputs=inputs, mode=mode)
    assert draft.title
    assert draft.body.startswith(LABEL)
    headings = re.findall(r"^## (.*)$", draft.body, re.MULTILINE)
    wanted = [section["heading"] for section in entry["sections"]]
    assert headings == wanted + (["Before publishing"] if mode == "premium" else [])
    assert "{" not in draft.body
    assert draft.body.endswith("\n")
    assert "\n\n\n" not in draft.body


@pytest.mark.parametrize(("value", "shown"), [
    ("R&D snake_case 3 < 4 (ok) – fine!", "R&D snake_case 3 &lt; 4 (ok) – fine!"),
    ("*b* _i_ `c` [l](u) <b> {{x}}", "\\*b\\* \\_i\\_ \\`c\\` \\[l\\](u) &lt;b> &#123;&#123;x&#125;&#125;"),
    ("# h", "\\# h"), ("- x", "\\- x"), ("1. x", "1\\. x"), ("2026 is", "2026 is"), ("> q", "\\> q"),
    ("~~~ &lt; \\", "&#126;&#126;&#126; &amp;lt; \\\\"),
    ("{% x %} ~y~ <script> $$z$$", "&#123;% x %&#125; &#126;y&#126; &lt;script> &#36;$z&#36;$"), (": x", "&#58; x"),
    ("| x", "&#124; x"), ("=== x", "&#61;== x"), ("!!! x", "\\!!! x"), ("a\r\n# b\u2028c\u202ed\x1b\ufeff", "a # b cd"),
    (True, "yes"), (False, "no"), (None, "none"), (1.5, "1.5"), (["a", "b", "c"], "a, b and c"),
    ({"b": 1, "a": [1, 2]}, "a: 1, 2 and b: 1"), ([[[[[["deep"]]]]]], "…"), ("\ud800", "?"), ("", ""),
])  # fmt: skip
def test_values_in_a_sentence(value: Any, shown: str) -> None:
    """Markup is literal, lists read as text, invisible characters are gone; points are one per thing, and bounded."""
    assert inline(value) == shown
    assert points("one\n\ntwo") == ["one", "two"]
    assert (points({"b": 1, "a*": "x"}), points(7)) == (["**a\\***: x", "**b**: 1"], ["7"])
    assert (points(list(range(43)))[-2:], points("x\n" * 100)[-1]) == (["39", "and 3 more"], "and 60 more")
    assert len(points("y" * 1_000_000)[0]) == 600


HOSTILE_PIECES = st.sampled_from(
    [
        "#", "-", "*", "_", "`", "```", "~~~", "<script>", "</details>", "<!--", "-->", "{{x}}", "{%y%}", "${z}",
        "[a](javascript:x)", "![", "\n", "\r", "\t", "\x00", "\x1b[31m", "\u202e", "\u2028", "---", "===", "1.", ">",
        "|", "&lt;", "\\", "a", " ", ":::",
    ]
)  # fmt: skip
hostile_text = st.lists(HOSTILE_PIECES, max_size=8).map("".join) | st.text(max_size=20)
hostile = st.recursive(
    hostile_text | st.none() | st.booleans() | st.floats() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=6,
)


@given(
    inputs=st.dictionaries(st.sampled_from([*INPUTS, "title", "<x>", "a\nb", "call_to_action"]), hostile, max_size=6)
)
def test_hostile_inputs_give_an_inert_text(inputs: dict[str, Any]) -> None:
    """No input can add a heading, HTML, a link, code or a control character to the text."""
    draft = write(inputs=inputs, style="general_blog")
    for text in (draft.title, draft.body):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", text)
        text.encode()
    assert "\n" not in draft.title
    tokens = MarkdownIt("commonmark").parse(draft.body)
    inner = [child for token in tokens for child in token.children or []]
    assert not {token.type for token in [*tokens, *inner]} & {
        "html_block", "html_inline", "link_open", "image", "code_inline", "code_block", "fence", "em_open", "hr",
        "ordered_list_open",
    }  # fmt: skip
    allowed = [section["heading"] for section in TEMPLATES["blog_article_generator"]["sections"]] + ["Also asked for"]
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == allowed[: len(headings)]
    # Liquid and Nunjucks look before any Markdown is read, and not every Markdown knows `\\{`, `\\<` and `\\~`.
    assert not re.search(r"[{}<~]", draft.body)


PRICES = "## Prices\n\nTen.\n\n## Refunds\n\nNone.\n"


@pytest.mark.parametrize(("text", "heading"), [
    pytest.param(f"## Intro\n\n``` b ``` begins this line\n\n{PRICES}", "Intro", id="code in a line"),
    pytest.param(f"Intro\n-----\n\nold\n\nPrices\n------\n\nTen.\n\n{PRICES}", "Intro", id="underlined"),
    pytest.param(f"Intro\nof two lines\n---\n\nold\n\n{PRICES}", "Intro of two lines", id="two lines"),
    pytest.param(f"## Intro\n\n<!--\n## Intro\n```\n-->\n\n{PRICES}", "Intro", id="comment"),
    pytest.param(f"<!--\n## Intro\n-->\n\n## Intro\n\nold\n\n{PRICES}", "Intro", id="comment before"),
    pytest.param(f"## Intro\n\n- ```\n  open in a list\n\n{PRICES}", "Intro", id="fence in a list"),
    pytest.param(f"---\n\n## Intro\n\nold\n\n---\n\n{PRICES}", "Intro", id="rules"),
    pytest.param(f"## Intro\r\n\r\n```\r\n# x\r\n```\r\n{PRICES}", "Intro", id="line ends"),
])  # fmt: skip
def test_only_the_section_is_replaced(text: str, heading: str) -> None:
    """Whatever Markdown is around it: the sections after it are there, byte for byte."""
    span = contents.find_section(text, heading)
    assert span is not None
    after = contents.replace_section(text, span, "new words")
    rest = [section for section in cut(text) if section.key.heading != heading]
    assert [section for section in cut(after) if section.key.heading != heading] == rest
    assert contents.body(after, spans(after, heading)[0]) == "new words"


LINES = st.sampled_from(
    [
        *("# A", "## B", "### B", "x", "```", "``` x ``` y", "~~~~", "", "---", "===", "Title", "- item", "> quote"),
        *("<!-- x", "-->", "<div>", "<pre>", "    code", "* * *", "1. one", "  ## B ##", "<!X", "<?x", "[a]: b"),
    ]
)
MARKDOWN = st.lists(LINES, max_size=14).map("\n".join)


@given(MARKDOWN, MARKDOWN | st.text(max_size=20))
def test_server_and_client_cut_alike(text: str, new: str) -> None:
    """Of any text, each section that the client knows is the server's, and a new one leaves all others as they are."""
    seen = {""}
    for section in cut(text):
        name = section.key.heading
        if bare(name) in seen:
            continue  # a server takes the first of several
        seen.add(bare(name))
        span = contents.find_section(text, name)
        assert span is not None
        assert text[span.start : span.below] == section.text
        after = contents.replace_section(text, span, contents.nested(new, span.level))
        assert after.startswith(text[: span.text])
        assert after.endswith(text[span.end :])
        assert cut(after[: span.start]) == cut(text[: span.start])
        again = contents.find_section(after, name)
        assert again is not None
        assert (again.start, after[again.end :]) == (span.start, text[span.end :])


@pytest.mark.parametrize(("text", "level", "nested"), [
    pytest.param("words", 2, "words", id="plain"),
    pytest.param("# A\n## B\n# C", 2, "### A\n#### B\n### C", id="order-of-depth"),
    pytest.param("#### A", 2, "#### A", id="deep-enough"),
    pytest.param("# A\n#\n## B", 5, "###### A\n######\n\n**B**", id="no-room"),
    pytest.param("# A\n#\n## B", 6, "**A**\n\n**B**", id="none-at-all"),
    pytest.param("Title\n===\nSub\n-", 1, "## Title\n\n### Sub\n", id="underlined"),
    pytest.param("- item\n---\n\n---\n> quote\n===", 1, "- item\n---\n\n---\n> quote\n===", id="rules-and-lists"),
    pytest.param("```\n# code\n===\n", 2, "```\n# code\n===\n\n```", id="open-fence"),
    pytest.param("<!-- note\n\n# A", 2, "&lt;!-- note\n\n### A", id="open-comment"),
    pytest.param("<script>\n\n# A", 2, "&lt;script>\n\n### A", id="open-script"),
    pytest.param("# A\n===\nb", 6, "**A**\n\n===\nb", id="bold-over-a-rule"),
    pytest.param("---\na: 1\n---\n# A", 2, "#### a: 1\n\n### A", id="front-matter"),
    pytest.param("---\n", 2, "", id="nothing"),
    pytest.param("# A\r\nb", 1, "## A\nb", id="line-ends"),
])  # fmt: skip
def test_texts_are_made_to_fit_under_a_heading(text: str, level: int, nested: str) -> None:
    """Headings go below the one above them, in their own order; what would reach beyond the section is closed."""
    assert contents.nested(text, level) == nested
