"""A plan as a comment on a pull request, read back with a Markdown parser."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contentops.model import Action, Change, ItemId, Note, Plan, Reason, Refusal
from contentops.reporting.plan_markdown import cell, code, marker, plan_markdown, prose
from tests.plans import make_change, make_plan

HOSTILE = (
    "```\n</details> <img src=x onerror=alert(1)> | @everyone #1 [x](http://evil.example) ![y](z) "
    "`` ` \\| \x1b[31m \u202e https://evil.example www.evil.example GH-1 <!-- --> $x$ **bold** ~~gone~~"
)
_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _tokens(markdown: str) -> list[tuple[str, str]]:
    found = []
    for token in _PARSER.parse(markdown):
        found.append((token.type, token.content))
        found += [(child.type, child.content) for child in token.children or []]
    return found


def _kinds(markdown: str) -> list[str]:
    return [kind for kind, _ in _tokens(markdown)]


def test_a_small_plan() -> None:
    """Marker, counts, what stands in the way, causes, notes, table, and the reasons folded away."""
    plan = make_plan(
        make_change(
            "a",
            Action.REGENERATE,
            steps=("submit",),
            credits=4,
            source="out/was.md",
            reasons=(
                Reason(kind="changed", field="inputs.topic", before="x", after="y", cause="var `v` in a.yaml:1:2"),
            ),
        ),
        make_change(
            "b",
            Action.BLOCKED,
            blocked="edited",
            hint="decide, or run `contentops discard b`",
            reasons=(Reason(kind="odd", field="output", cause="var `v` in a.yaml:1:2"),),
        ),
        make_change("c", Action.SAVE, steps=("save",)),
        make_change("d", Action.CREATE, steps=("submit",), credits=0, reasons=()),
        environment="staging",
        unchanged=2,
        notes=(Note(kind="orphan", id=ItemId("o"), message="`o` is in no manifest", hint="run `contentops apply`"),),
        refusals=(Refusal(guard="g", message="too dear", flag="--approve-credits 4"),),
    )
    assert plan_markdown(plan) == (
        "<!-- contentops:plan:acme-blog:staging -->\n"
        "### contentops plan: `acme-blog`, environment `staging`\n"
        "\n"
        "Server `local`, no budget.\n"
        "\n"
        "**1 to create, 1 to regenerate, 1 to save, 1 blocked, 2 unchanged. 4 credits.**\n"
        "\n"
        ":warning: **apply would refuse:** too dear (to continue anyway: `--approve-credits 4`)\n"
        "\n"
        "Next, if all of it is meant: `contentops apply --env staging --approve-credits 4`\n"
        "\n"
        "- var `v` in a.yaml:1:2: 2 items, 4 credits\n"
        "\n"
        "- note: `o` is in no manifest (run `contentops apply --env staging`)\n"
        "\n"
        "| | Item | Action | Credits | Output |\n"
        "|---|---|---|---:|---|\n"
        "| `!` | `b` | blocked |  | `out/b.md` |\n"
        "| `~` | `a` | regenerate | 4 | `out/was.md` → `out/a.md` |\n"
        "| `^` | `c` | save |  | `out/c.md` |\n"
        "| `+` | `d` | create | free | `out/d.md` |\n"
        "\n"
        "<details><summary>Reasons</summary>\n"
        "\n"
        "```diff\n"
        "@@ b: blocked @@\n"
        "! blocked: edited\n"
        "  output: odd\n"
        "  because of var `v` in a.yaml:1:2\n"
        "  hint: decide, or run `contentops discard --env staging b`\n"
        "@@ a: regenerate @@\n"
        "  steps: submit\n"
        '- inputs.topic: "x"\n'
        '+ inputs.topic: "y"\n'
        "  because of var `v` in a.yaml:1:2\n"
        "```\n"
        "\n"
        "</details>\n"
    )


def _hostile_plan(words: str) -> Plan:
    reason = Reason(kind="k", field=words, before=words, after=[words], cause=words, detail=words)
    odd = Reason(kind="k", detail=words)
    changes = [
        make_change(f"{name}{words}", reasons=(reason, odd), hint=words, source=words, blocked=words) for name in "ab"
    ]
    return make_plan(
        *changes,
        project=words,
        environment=words,
        notes=(Note(kind="n", message=words, hint=words, id=ItemId(words)),),
        refusals=(Refusal(guard="g", message=words, flag=words),),
    )


@given(
    st.text()
    | st.lists(st.sampled_from(["`", "|", "\\", "<b>", "@me", "#1", "\n", "```", "[a](b)", "x ", "$"])).map("".join)
)
@example(HOSTILE)
@example("`|`\\|")
def test_nothing_hostile_breaks_out(words: str) -> None:
    """No link, image, emphasis, heading or HTML of theirs; the table keeps its columns, the fence its block."""
    markdown = plan_markdown(_hostile_plan(words))
    tokens = _tokens(markdown)
    kinds = [kind for kind, _ in tokens]
    forbidden = {"link_open", "image", "html_inline", "em_open", "s_open", "hr", "code_block", "blockquote_open"}
    assert not forbidden & set(kinds)
    assert kinds.count("heading_open") == 1
    assert kinds.count("fence") == 1
    assert kinds.count("strong_open") == 2
    assert kinds.count("td_open") == 2 * 5
    blocks = [content.strip() for kind, content in tokens if kind == "html_block"]
    assert [block.startswith("<!--") for block in blocks] == [True, False, False]
    assert blocks[1:] == ["<details><summary>Reasons</summary>", "</details>"]


@given(st.text() | st.just(HOSTILE))
def test_prose_mentions_and_links_nothing(words: str) -> None:
    """Outside code no mention, issue or address survives, not even for a forge that links after rendering."""
    outside = "".join(content for kind, content in _tokens(prose(words)) if kind == "text")
    assert not re.search(r"[@#]\w|\w://|www\.|GH-\d", outside)


def test_what_not_every_markdown_takes_a_backslash_before_is_a_reference() -> None:
    """A reader that knows no backslash before `<` would find a tag there."""
    assert prose("a <script> ~b~ &lt;") == "a &lt;script\\> &#126;b&#126; &amp;lt;"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        pytest.param("a", "`a`", id="plain"),
        pytest.param("a`b", "``a`b``", id="backtick"),
        pytest.param("`a``", "``` `a`` ```", id="at the ends"),
        pytest.param("", "`  `", id="empty"),
        pytest.param("\n", "`\\n`", id="line feed"),
    ],
)
def test_code_spans(text: str, span: str) -> None:
    """The fence is longer than any run of backticks inside."""
    assert code(text) == span


@pytest.mark.parametrize(
    ("text", "content"),
    [
        pytest.param("a|b", "a|b", id="bar"),
        pytest.param("a\\|b", "a\\\\x7cb", id="backslash and bar"),
        pytest.param("`|`", "`|`", id="backticks"),
    ],
)
def test_a_bar_stays_in_its_cell(text: str, content: str) -> None:
    """A table of one column keeps one cell, and the cell says what the text says."""
    tokens = _tokens(f"| x |\n|---|\n| {cell(text, 50)} |\n")
    assert [found for kind, found in tokens if kind == "code_inline"] == [content]


@pytest.mark.parametrize(
    "name", ["--> <b>", "a--b", "", "-" * 500, "ü/x"], ids=["end", "dashes", "empty", "long", "other"]
)
def test_the_marker_is_one_comment(name: str) -> None:
    """A project's name cannot end the comment that marks the page."""
    found = marker(make_plan(project=name, environment=name))
    assert re.fullmatch(r"<!-- contentops:plan:[A-Za-z0-9_.~-]*:[A-Za-z0-9_.~-]* -->", found)
    assert "--" not in found[4:-3]


def test_each_name_has_a_marker_of_its_own() -> None:
    """Also where only what cannot stand in one is different: another script, or a slash."""
    names = ["a-b", "a/b", "a b", "日本", "中国", "", "-", "a-b-", "x" * 60, "x" * 61, "x" * 62]
    found = {marker(make_plan(project=name, environment="")) for name in names}
    assert len(found) == len(names)
    assert marker(make_plan(project="a-b", environment="")) == "<!-- contentops:plan:a-b: -->"


def _many(number: int) -> list[Change]:
    reason = Reason(kind="changed", field="inputs.topic", before="ü" * 100, after="ö" * 100)
    return [make_change(f"item-{at:05}", reasons=(reason,), hint="h") for at in range(number)]


@pytest.mark.parametrize("limit", [4_000, 10_000, 65_000], ids=str)
@pytest.mark.parametrize("number", [0, 5, 700], ids=str)
def test_a_comment_never_exceeds_its_limit(limit: int, number: int) -> None:
    """Whole items are left off, and every one that is missing is counted."""
    notes = tuple(Note(kind="n", message="m" * 400, hint="h" * 400) for _ in range(30))
    markdown = plan_markdown(make_plan(*_many(number), notes=notes), limit=limit)
    assert len(markdown.encode()) <= limit
    rows = markdown.count("\n| `+` |")
    hidden = re.search(r"([\d,]+) more items? hidden", markdown)
    assert rows + (int(hidden[1].replace(",", "")) if hidden else 0) == number
    assert _kinds(markdown).count("fence") == ("```diff" in markdown)
    assert markdown.count("<details>") == markdown.count("</details>")


def test_hostile_text_does_not_exceed_the_limit_either() -> None:
    """Escapes are counted as they are written."""
    plan = _hostile_plan("\U000e0001|`@" * 1_000)
    assert len(plan_markdown(plan, limit=4_000).encode()) <= 4_000


def test_what_does_not_fit_is_said() -> None:
    """The last line names items, reasons and other lines that are hidden."""
    notes = tuple(Note(kind="n", message="m" * 400) for _ in range(30))
    markdown = plan_markdown(make_plan(*_many(100), notes=notes), limit=4_000)
    assert re.search(
        r"\n_\d+ more items hidden; the reasons of \d+ items hidden; \d+ more lines of causes and notes hidden: "
        r"`contentops plan` shows all of it\._\n$",
        markdown,
    )


def test_a_limit_too_small_is_refused() -> None:
    """Below the least size nothing sensible can be said."""
    with pytest.raises(ValueError, match="cannot hold a plan"):
        plan_markdown(make_plan(), limit=100)
