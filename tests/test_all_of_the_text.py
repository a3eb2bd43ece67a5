"""What a reader approves, merges or regenerates is all of the text."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contentops.digest import digest_bytes
from contentops.documents.blocks import Style, TextBlock, Unusable, parse_blocks, take_section
from contentops.documents.checks import CheckedText, check_text
from contentops.documents.clean import clean_body, hides_characters
from contentops.documents.front_matter import split, update
from contentops.documents.word_diff import take_new, word_diff
from contentops.errors import InputError, UsageError
from contentops.model import Checks, Level, Verdict
from contentops.operations import plan as plan_operation
from contentops.operations.check import check_files
from contentops.operations.texts import TextEdit, edit_text
from contentops.planning.sides import Choice
from contentops.reporting.prose import prose
from contentops.sections import MAX_NESTING, nests_too_deep
from tests.clones import commit, git
from tests.fakes.harness import Harness
from tests.pages import Browser
from tests.test_approving import decide, front, states, with_approval

PIECES = (
    "W", "W W", "# W", "W\n===", "> W", "> > W", "- W", "  - W", "    - W", "1. W", "- [ ] W", "- [x] W", "    W", "**W** *W* ~~W~~ `W`",
    "[W](W)", '[W W](W "W")', "[](W)", '![W](W "W")', "<W>", "<div W>W</div>", "<!-- W -->", "<!--\n\nW", "W[^W]", "[^W]: W", "[^W]: W W",
    "[W]: W", '[W]: W "W"', "[W][W]", "```W W\nW\n```", "~~~ W\nW", "| W | W |\n|---|---|\n| W | W | W |", "> | W |\n> |---|\n> | W | W", "&amp;W",
    "W | W\n--|--\nW | W | W | W |", "---", "<b>W</b> W", "<https://W>", "- - - W", "> - W", "W  \nW", "\\W", "W\\\nW",
    "\t- W", "* W\n\n      W", "[W](<W W> 'W')", "[W]( W (W))", "W |\n-|\nW | W", "<script>\nW\n\n</script>", "<!W>", "<?W?>", "``W ` W``",
    "***W** W*", "[![W](W)](W)", "[](W 'W')", "![](W)", "#W", "## W ##", ":::W\nW\n:::", "{{< W >}}", "<C W={W}>\nW\n</C>", "[^W]:\n    W",
    "[W]: <W> 'W\nW'", "- W\n\n  | W | W |\n  |-|-|\n  | W | W | W |", "1) W", "<W@W.W>", "|W\\|W|\n|-|\n|W\\|W|W|",
)  # fmt: skip
SOURCES = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(("\n", "\n\n"))), max_size=12)


def words_of(block: TextBlock) -> Iterator[str]:
    """All that a block holds, in the order of its source: words, then the address and title around them."""
    seen: list[Style] = []
    for word in block.words:
        styles = [style for style in word.styles if style.address or style.title]
        for ended in [style for style in reversed(seen) if style not in styles]:
            yield f"{ended.address} {ended.title}"
        seen = styles
        yield word.text
    yield from (f"{style.address} {style.title}" for style in reversed(seen))


def numbered(pieces: list[tuple[str, str]]) -> str:
    """A body in which each word is another one."""
    numbers = iter(range(10_000))
    return clean_body(re.sub("W", lambda _: f"w{next(numbers)}w", "".join(map("".join, pieces))))


@given(SOURCES)
@example([(f"{'  ' * depth}- W", "\n") for depth in range(MAX_NESTING // 2 - 2)] + [("W", "\n")])
def test_blocks_hold_the_words_of_the_source_in_order(pieces: list[tuple[str, str]]) -> None:
    """No word of a text is left out, whatever Markdown is around it; addresses and titles are there too."""
    body = numbered(pieces)
    found = re.findall(r"w\d+w", " ".join(part for block in parse_blocks(body) for part in words_of(block)))
    assert list(dict.fromkeys(found)) == re.findall(r"w\d+w", body)


@given(SOURCES, st.integers(0, 10_000))
def test_each_word_that_changes_is_shown_as_new(pieces: list[tuple[str, str]], number: int) -> None:
    """Also a word of an address, a title, HTML, a footnote or the language of a code block."""
    body = numbered(pieces)
    for word in re.findall(r"w\d+w", body)[number % 10 :: 10]:
        diff = word_diff(body, body.replace(word, "other"))
        page = "".join(part.html for part in prose(diff))
        assert diff.edits
        assert "other" in "".join(re.findall(r"<ins>.*?</ins>", page, re.DOTALL))


@pytest.mark.parametrize("opener", ["- ", "> ", "1. ", "> - ", ">\t", "*\t", "> 1)\t"])
def test_a_text_beyond_the_bound_is_known(opener: str) -> None:
    """What is nested so deeply that the parser would drop it is known as such; all that is less deep is read."""
    for depth in range(1, MAX_NESTING + 5):
        body = f"{opener * depth}w\n\nlast\n"
        blocks = parse_blocks(body)
        is_deep = nests_too_deep(body)
        assert is_deep or depth < MAX_NESTING
        assert depth > MAX_NESTING // 4 or not is_deep
        assert (blocks[0].kind == "plain") == is_deep
        assert re.findall("w|last", " ".join(block.text for block in blocks)) == ["w", "last"]


DEEP = "## Deep\n\n" + "- " * MAX_NESTING + "deep\n\n"
WRITTEN = "## One\n\nA person wrote this.\n\n## Two\n\nAnd this.\n"


def test_a_deep_answer_takes_no_words_of_a_person() -> None:
    """A merge keeps both sections or refuses; a section that would take in what follows it is not used."""
    base = "## One\n\nOne.\n\n## Two\n\nTwo.\n"
    for new in (f"{DEEP}{base}", f"{base}{DEEP}", base.replace("## Two", f"{DEEP}## Two")):
        merged = take_new(base, WRITTEN, new)
        assert merged is None or all(words in merged.body for words in ("A person wrote this.", "And this."))
    answer = WRITTEN.replace("A person wrote this.\n\n", DEEP.removeprefix("## Deep\n\n"))
    assert isinstance(take_section(WRITTEN, answer, "One", ()), Unusable)
    assert isinstance(take_section(WRITTEN, DEEP.replace("Deep", "One"), "One", ()), Unusable)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("Take 1.", "> " * MAX_NESTING + "deep\n\nA person wrote this.", "flatten them"),
    ("draft: true\n", "draft: true\nTitle: Another one\n", "`title` and `Title`"),
], ids=["nested beyond the bound", "a second title"])  # fmt: skip
def test_a_text_that_a_site_reads_otherwise_is_refused_by_name(
    tmp_path: Path, old: str, new: str, said: str, processes: None
) -> None:
    """It is not approved, and no section of it and no merge with it is paid for."""
    harness = with_approval(tmp_path)
    harness.edit("out/one.md", old, new)
    with pytest.raises(InputError) as refused:
        decide(harness, "one")
    (finding,) = refused.value.diagnostics()
    assert (finding.code, said in f"{finding.message} {finding.hint}") == ("unreadable-file", True)
    (change,) = harness.plan().changes
    assert (change.blocked, said in change.hint, change.submits_worst) == ("unreadable-file", True, 0)
    assert states(harness) == {"one": "none"}


# --- front matter in any letters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["Title", "TITLE", "Draft", "sLug", "Contentops"])
def test_a_key_in_other_letters_is_the_same_key(key: str) -> None:
    """A second one is an error of the file; the first one is edited, whatever its letters are."""
    twice = f"---\n{key}: a\n{key.lower()}: b\n---\n\nx\n"
    assert f"`{key}` and `{key.lower()}`" in split(twice).problem
    once = update(f"---\n{key}: a\n---\n\nx\n", {key.lower(): "b"})
    assert once == f"---\n{key.lower()}: b\n---\n\nx\n"


# --- what Markdown does not show as words --------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new", "shown"), [
    ("```sh\na\n```", "```yaml run\na\n```", "yaml run"), ('[a](/b "c")', '[a](/b "d")', "\u201cd\u201d"),
    ('![a](/b "c")', '![a](/b "d")', "\u201cd\u201d"),
    ("a [](/b)", "a [](/c)", "[link without words: <code>/c</code>]"),
    ("a", "a [](/c)", "[link without words: <code>/c</code>]"), ("a[^1]\n\n[^1]: b", "a[^1]\n\n[^1]: c", "[^1]:"),
    ("[a][b]\n\n[b]: /c", "[a][b]\n\n[b]: /d", "[b]: /"), ("- [ ] a", "- [x] a", "x"),
    ("a <b>c</b>", "a <i>c</i>", "&lt;i&gt;"), ("a &lt;b&gt;", "a <b>", "<code>&lt;b&gt;</code>"),
    ("<!-- a -->", "<!-- b -->", "b"), ("|a|\n|-|\n|b|c|", "|a|\n|-|\n|b|d|", "d"),
])  # fmt: skip
def test_a_change_that_a_site_hides_is_shown(old: str, new: str, shown: str) -> None:
    """A reader sees each of them on the page, as text and as a change."""
    diff = word_diff(clean_body(old), clean_body(new))
    assert diff.edits
    assert shown in "".join(part.html for part in prose(diff))
    assert shown in "".join(part.html for part in prose(word_diff(clean_body(new), clean_body(new))))


# --- what an approval covers ---------------------------------------------------------------------------------------


def test_a_reverted_approval_agrees_with_the_file(tmp_path: Path, processes: None) -> None:
    """Union merge keeps the line and the file is a draft again: plan, status and check say both, until someone decides."""
    harness = with_approval(tmp_path, ids=("one", "two"))
    decide(harness, "one")
    decide(harness, "one", verdict=Verdict.WITHDRAWN)
    commit(tmp_path)
    decide(harness, "one")
    commit(tmp_path)
    decide(harness, "two")  # in the line after the reverted approval
    commit(tmp_path)
    git(tmp_path, "revert", "--no-edit", "HEAD~1")
    assert (states(harness)["one"], front(harness)) == ("approved", {"draft": True})
    plan = harness.plan()
    assert (plan.empty, [(note.kind, note.id) for note in plan.notes]) == (True, [("approved-draft", "one")])
    items, _ = plan_operation.status(harness.project, Choice(), runtime=harness.runtime())
    assert ["still a draft" in item.note for item in items] == [True, False]
    assert "its file is still a draft" in Browser(tmp_path, runtime=harness.runtime()).get("/item?id=one").text
    checked = check_files(harness.project, Choice(), approved=True)
    assert [(one.code, str(one.severity)) for file in checked.files for one in file.findings] == [
        ("approved-draft", "warning")
    ]
    decide(harness, "one", verdict=Verdict.SENT_BACK)
    assert (states(harness)["one"], harness.plan().notes) == ("sent-back", ())
    harness.edit("out/one.md", "draft: true\n", "")
    decide(harness, "one")
    assert (front(harness), harness.plan().empty, harness.plan().notes) == ({}, True, ())


def test_a_draft_mark_in_other_letters_is_named(tmp_path: Path, processes: None) -> None:
    """A site that reads keys in any letters leaves the approved text out; an empty key of a person is no mark."""
    harness = with_approval(tmp_path, extra="preset: hugo")
    decide(harness, "one")
    harness.edit("out/one.md", "contentops:", "later:\ncontentops:")
    assert harness.plan().notes == ()
    harness.edit("out/one.md", "later:", "Draft: true")
    assert [(note.kind, "`Draft`" in note.message) for note in harness.plan().notes] == [("approved-draft", True)]


def test_keys_of_a_manifest_in_two_forms_are_refused(tmp_path: Path, processes: None) -> None:
    """They would be one key of the file; and a title is `title`."""
    harness = Harness(tmp_path).declared("one")
    harness.edit(
        "contentops.yaml", "style: general_blog}", "style: general_blog, metadata: {Title: a, tags: [b], Tags: [c]}}"
    )
    with pytest.raises(InputError) as refused:
        harness.plan()
    found = {(one.code, one.message.partition("sets ")[2]) for one in refused.value.diagnostics()}
    assert ("reserved-key", "`metadata.Title`, which differs only in case from `title`") in found
    assert ("reserved-key", "`metadata.Tags`, which differs only in case from `tags`") in found


def test_equal_words_are_named(tmp_path: Path, processes: None) -> None:
    """An approval is of words, so that two items with the same ones share it: the one who approves is told."""
    harness = with_approval(tmp_path, ids=("one", "two"))
    body = harness.read("out/one.md").partition("\n---\n")[2]
    harness.write(
        "out/two.md",
        harness.read("out/two.md").partition("\n---\n")[0].replace("about two", "about one") + "\n---\n" + body,
    )
    decided = decide(harness, "one")
    assert (decided.also, states(harness)) == (("two",), {"one": "approved", "two": "approved"})
    items, _ = plan_operation.status(harness.project, Choice(), runtime=harness.runtime())
    assert [item.note for item in items] == [
        "the same words and verdicts as `two`",
        "the same words and verdicts as `one`",
    ]
    page = Browser(tmp_path, runtime=harness.runtime()).get("/item?id=one").text
    assert "A verdict counts for two too: the same words." in page
    assert decide(harness, "one", "two").also == ()


def test_an_outline_is_approved_by_its_name_alone(tmp_path: Path, processes: None) -> None:
    """Not with a pattern or a selector that takes many."""
    harness = with_approval(tmp_path, ids=("one", "two"))
    harness.edit("out/one.md", "## Introduction", "> Draft outline, made offline.\n\n## Introduction")
    with pytest.raises(InputError) as refused:
        decide(harness, "*")
    assert [(one.code, "`one`" in one.message) for one in refused.value.diagnostics()] == [("draft-outline", True)]
    assert states(harness) == {"one": "waiting", "two": "waiting"}
    assert decide(harness, "*", verdict=Verdict.SENT_BACK).lines
    assert [line.item for line in decide(harness, "one").lines] == ["one"]


def test_pages_that_become_drafts_are_counted_first(tmp_path: Path, processes: None) -> None:
    """The plan that would take live pages off a site says how many."""
    harness = with_approval(tmp_path, "mode: standard", ids=("one", "two", "three"))
    decide(harness, "two")
    harness.edit("contentops.yaml", "mode: standard", "approval: required")
    (note,) = harness.plan().notes
    assert (note.kind, note.items, note.message[:12]) == ("new-drafts", ("one", "three"), "2 live pages")
    harness.apply()
    assert harness.plan().notes == ()
    harness.edit("out/one.md", "draft: true\n", "")
    assert harness.plan().notes == ()


# --- characters that no one sees -----------------------------------------------------------------------------------


def selectors(data: bytes) -> str:
    """Bytes as C2PA 2.4 (A.8) writes them in a text."""
    return "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in data)


MARK = "\ufeff" + selectors(b"C2PATXT\0\x01\0\0\0\x03abc")


def test_a_mark_of_provenance_is_kept_whole(tmp_path: Path, processes: None) -> None:
    """It is in the file as it came, is no finding, and stands in no one's way to approve the text."""
    for text in (
        f"Words.{MARK}\n",
        f"Words.\n{MARK}\n",
        f"W\ufeffords.{MARK}\ufeff\n",
        f"Words.{MARK}\n\nMore.{MARK}\n",
    ):
        assert clean_body(text) == clean_body(clean_body(text))
        assert clean_body(text).count(MARK) == text.count(MARK)
        assert clean_body(text).replace(MARK, "").count("\ufeff") == 0
        found = check_text(Checks(leftovers=Level.BLOCK), CheckedText(title="", body=clean_body(text)), lambda _: False)
        assert found == ()
    assert (split(f"{MARK}Words.\n").body, split("\ufeffWords.\n").body) == (f"{MARK}Words.\n", "Words.\n")
    assert not hides_characters(f"{MARK}Words.\n")
    harness = with_approval(tmp_path)
    harness.edit("out/one.md", "Take 1.", f"Take 1.{MARK}")
    decide(harness, "one")
    assert (states(harness), MARK in harness.read("out/one.md")) == ({"one": "approved"}, True)


@pytest.mark.parametrize(
    "hidden",
    [selectors(b"other words"), MARK[1:], "\u200b\u200c" * 5, "".join(map(chr, range(0xE0020, 0xE0030))), "\ufe01"],
)
def test_a_hidden_run_is_named(hidden: str) -> None:
    """Characters that no one sees and that can say something are found by `check`, and approved by no one."""
    body = clean_body(f"One.\n\nTwo{hidden} three.\n")
    found = check_text(Checks(leftovers=Level.BLOCK), CheckedText(title="", body=body), lambda _: False)
    assert [(one.line, "no one sees" in one.message) for one in found] == [(3, True)]
    assert hides_characters(body)


@pytest.mark.parametrize("words", [f"a{selectors(b'other words')}", "- " * MAX_NESTING + "a"])
def test_the_page_takes_no_text_that_no_one_could_approve(tmp_path: Path, words: str, processes: None) -> None:
    """The form says so, and the file stays."""
    harness = with_approval(tmp_path)
    text = harness.read("out/one.md")
    edit = TextEdit(
        title="On All about one in 2026", body=words, expect=digest_bytes((tmp_path / "out/one.md").read_bytes())
    )
    with pytest.raises(UsageError) as refused:
        edit_text(harness.project, "one", edit, runtime=harness.runtime())
    assert (refused.value.code, harness.read("out/one.md")) == ("bad-text", text)
