"""`diff`: by words, harmless in a terminal and in Markdown, quick for long texts; and the sides that it compares."""

from pathlib import Path

import pytest

from contentops.documents.front_matter import split
from contentops.model import OnEdit
from contentops.operations import texts as operation
from contentops.operations.texts import Difference
from contentops.reporting.difference import Part, difference_text
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.repositories import cloned, in_git
from tests.running import Run

OUT = "out/a.md"


def shown(before: str, after: str) -> list[str]:
    """What a terminal shows, without the two names and the heads of hunks."""
    lines = difference_text([Part("", before, after)], "a (old)", "a (new)", coloured=False)
    return [line for line in lines if not line.startswith(("--- ", "+++ ", "@@ "))]


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("a\nb\n", "a\nb\n", []),
    ("The quick brown fox ran.\n", "The quick red fox ran.\n", ["!The quick [-brown-]{+red+} fox ran."]),
    ("Come in, all of you.\n", "Come in, all of you, now.\n", ["!Come in, all of you{+, now+}."]),
    ("one two three four\n", "one two three four\nfive\n", [" one two three four", "+five"]),
    ("one two three four\nfive\n", "one two three four\n", [" one two three four", "-five"]),
    ("entirely other words\n", "nothing alike here\n", ["-entirely other words", "+nothing alike here"]),
    ("keep this and that one\nand this as well here\n", "keep this or that one\nand that as well here\n", ["!keep this [-and-]{+or+} that one", "!and [-this-]{+that+} as well here"]),
    # Words wrapped anew are the same words.
    ("one two three four five six\n", "one two three\nfour five six\n", ["!one two three[- -]", " four five six"]),
    # What stands between two changes and is no word belongs to them.
    ("the big, old house is here\n", "the small, new house is here\n", ["!the [-big, old-]{+small, new+} house is here"]),
    ("same\n\nold\n", "same\n", [" same", "-", "-old"]),
])  # fmt: skip
def test_words_that_changed_are_marked(before: str, after: str, expected: list[str]) -> None:
    """Lines that are new or gone are shown whole, and so are lines that have too little in common."""
    assert shown(before, after) == expected


def test_what_is_far_from_a_change_is_cut() -> None:
    """Within a long paragraph, and between paragraphs."""
    words = " ".join(f"word{n}" for n in range(400))
    found = shown(f"{words} old {words}\n", f"{words} new {words}\n")
    assert found[0].count("…") == 2
    assert len(found[0]) < 250
    assert "word399 [-old-]{+new+} word0 " in found[0]
    lines = [f"line {n}" for n in range(100)]
    found = shown("\n".join(lines), "\n".join([*lines[:50], "more", *lines[50:]]))
    assert found == [" line 47", " line 48", " line 49", "+more", " line 50", " line 51", " line 52"]


@pytest.fixture
def site(tmp_path: Path) -> Harness:
    """One item, generated and saved, with front matter of ours."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("a") + "    metadata: {tags: [ai], date: 2026-01-01}\n")
    harness.apply()
    return harness


def test_front_matter_that_differs_is_shown(site: Harness, invoke: Run) -> None:
    """As far as it was ours; a key of a person alone is none of it. Without the block, each of our keys is gone."""
    assert invoke("diff", "a", cwd=site.root).stdout == "No difference.\n"
    site.edit(OUT, "title:", "mine: yes\ntitle:")
    assert invoke("diff", "a", cwd=site.root).stdout == "No difference.\n"
    text = site.read(OUT)
    site.edit(OUT, "- ai", "- ai\n  - more")
    found = invoke("diff", "a", "--json", cwd=site.root).json
    assert (found["same"], found["front"]) == (False, {"tags": {"before": ["ai"], "after": ["ai", "more"]}})
    printed = invoke("diff", "a", cwd=site.root).stdout.splitlines()
    assert printed[2:] == ["@@ front matter @@", '!tags: ["ai"{+, "more"+}]']
    site.write(OUT, text.partition("\n---\n\n")[2])
    assert set(invoke("diff", "a", "--json", cwd=site.root).json["front"]) == {"title", "tags", "date", "contentops"}


def test_the_text_on_the_server(site: Harness) -> None:
    """One request; without a content there is nothing to ask for."""
    site.api.contents[site.record("a").content_id].body += "\nWritten there.\n"
    asked = len(site.api.requests)
    found = operation.from_remote(site.project, "a", runtime=site.runtime())
    assert [seen.name for seen in site.api.requests[asked:]] == ["get content"]
    assert found.before == f"{found.after}\nWritten there.\n"
    assert (found.old, found.new, found.front, found.same) == ("remote", "file", {}, False)


def planned(harness: Harness) -> Difference:
    """What `diff --plan` compares."""
    return operation.to_planned(harness.project, "a")


def test_what_is_planned(site: Harness, invoke: Run) -> None:
    """A request that changed has its fields, and its text where it is here; a paid one would be written for nothing."""
    assert (planned(site).same, planned(site).note) == (True, "nothing is planned for it")
    site.write("content/blog.yaml", blog("a", year=2027) + "    metadata: {tags: [b], date: 2026-01-01}\n")
    found = planned(site)
    assert found.request == {"inputs.topic": ("All about a in 2026", "All about a in 2027")}
    assert found.front == {"tags": (["ai"], ["b"])}
    assert (found.before == found.after, found.note) == (True, "its text is not written yet")
    site.apply()
    site.write("content/blog.yaml", blog("a") + "    metadata: {tags: [b], date: 2026-01-01}\n")
    found = planned(site)
    assert found.before is not None
    assert found.after is not None
    assert ("2027" in found.before, "2026" in found.after, found.note) == (True, True, "")
    printed = invoke("diff", "a", "--plan", cwd=site.root).stdout
    assert "@@ request @@\n!inputs.topic: All about a in [-2027-]{+2026+}\n" in printed
    assert invoke("diff", "b", "--plan", cwd=site.root).code == 64


def test_a_paid_text_that_waits_is_shown(tmp_path: Path, invoke: Run) -> None:
    """It is held back by a person's edit: what it would replace, and what to do."""
    site = Harness(tmp_path, FakeApi(duration=lambda number: 30 if number == 1 else 300)).applied("a")
    site.write("content/blog.yaml", blog("a", year=2027))
    site.apply(deadline=60)
    site.edit(OUT, "## Introduction", "## Mine")
    site.apply()
    found = planned(site)
    assert found.before is not None
    assert found.after is not None
    assert ("## Mine" in found.before, "in 2027" in found.after) == (True, True)
    assert "was edited by hand" in found.note
    assert "edited by hand" in invoke("diff", "a", "--plan", cwd=site.root).stderr
    site.write("content/blog.yaml", blog("a", year=2027) + "    on_edit: merge\n")
    found = planned(site)
    assert found.after is not None
    assert ("## Mine" in found.after, "## Introduction" in found.after) == (True, False)
    expected = found.after
    site.apply()
    assert split(site.read(OUT)).body == expected


def test_a_merge_in_a_clone_has_its_base_from_git(tmp_path: Path, processes: None) -> None:
    """Without the cache that generated it; a shallow clone is held, and told what would bring it."""
    site = Harness(tmp_path / "site", FakeApi(duration=30)).applied("a")
    in_git(site, "Generated")
    site.edit(OUT, "Take 1.", "My words.")
    in_git(site, "Edited")
    for flags, code in (((), "merge"), (("--depth", "1"), "blocked")):
        clone = cloned(site, tmp_path / code, *flags)
        clone.write("content/blog.yaml", blog("a", year=2027))
        (change,) = clone.plan(on_edit=OnEdit.MERGE).changes
        assert change.action.value == code
        if change.blocked:
            assert "`fetch-depth: 0`" in change.hint
        else:
            clone.apply(on_edit=OnEdit.MERGE)
            assert ("2027" in clone.read(OUT), "My words." in clone.read(OUT)) == (True, True)
