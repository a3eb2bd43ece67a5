"""Renames and generations of two branches that git merges: nothing is paid for twice, and no content has two records."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from contentops.documents.front_matter import split
from contentops.model import ItemId, OnEdit
from contentops.operations.state import move_record
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.repositories import cloned, in_git

_GIT = ("git", "-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")


def git(harness: Harness, *arguments: str, code: int | None = 0) -> str:
    """What git prints."""
    ended = subprocess.run([*_GIT, *arguments], cwd=harness.root, capture_output=True, text=True, check=False)
    assert code is None or ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def commit(harness: Harness) -> None:
    """Commits all there is, also nothing."""
    git(harness, "add", "--all")
    git(harness, "commit", "--quiet", "--allow-empty", "--message", "work")


def declare(harness: Harness, *items: tuple[str, int], moved: str = "") -> None:
    """A manifest of items, each with the year that it asks for; `moved`: an old id and a new one."""
    pairs = f"moved: [{{from: {moved[0]}, to: {moved[1]}}}]\n" if moved else ""
    lines = [f"  - {{id: {name}, inputs: {{topic: 'It in {year}', target_audience: all}}}}" for name, year in items]
    harness.write("content/blog.yaml", f"{pairs}items:\n" + "\n".join(lines) + "\n")


def branches(tmp_path: Path) -> tuple[Harness, Harness]:
    """Two clones of a project with one item `a`, whose text was paid for in 2026."""
    one = Harness(tmp_path / "one", FakeApi(duration=30, request_ids="ignore"))
    declare(one, ("a", 2026))
    one.apply()
    in_git(one, "first")
    return one, cloned(one, tmp_path / "two")


def renamed(tmp_path: Path) -> tuple[Harness, Harness]:
    """Two clones that gave the item another id each, `b` and `c`."""
    for harness, new in zip(both := branches(tmp_path), "bc", strict=True):
        declare(harness, (new, 2026), moved=f"a{new}")
        harness.apply()
    return both


def merge(one: Harness, two: Harness, *items: tuple[str, int], files: str = "HEAD", moved: str = "") -> None:
    """Merge what `two` has into `one`, where both have applied; the manifest settles on these items."""
    for harness in (one, two):
        commit(harness)
    git(one, "pull", "--quiet", "--no-rebase", "--no-edit", f"file://{two.root}", "HEAD", code=None)
    for path in git(one, "diff", "--name-only", "--diff-filter=U", "-z").split("\0"):
        if path.startswith("out/") and (one.root / path).exists():
            for side in ("HEAD", "FETCH_HEAD", files):  # a rename has its file on one side alone
                git(one, "checkout", side, "--", path, code=None)
    declare(one, *items, moved=moved)
    commit(one)


def contents(harness: Harness) -> list[str]:
    """The contents of all records."""
    return sorted(record.content_id for record in harness.state.records.values())


@pytest.mark.parametrize("edited", ["", "b", "c"])
def test_of_two_renames_of_an_item_one_keeps_the_content(tmp_path: Path, edited: str) -> None:
    """That of the later save, which is what the server has; the other text is saved as a content of its own."""
    one, two = renamed(tmp_path)
    declare(two, ("c", 2027))
    two.apply()
    for harness, new in ((one, "b"), (two, "c")):
        if new == edited:
            harness.timeline.now += 60
            harness.edit(f"out/{new}.md", "It in", "Words about")
            harness.apply(on_edit=OnEdit.OVERWRITE)
    keeps = edited or "c"
    (content,) = contents(one if keeps == "b" else two)
    merge(one, two, ("b", 2026), ("c", 2027))
    owners = {record.content_id: record.id for record in one.state.records.values() if record.content_id}
    assert owners[content] == keeps
    one.apply()
    assert (len(set(contents(one))), one.plan().empty) == (2, True)
    for name in "bc":
        assert one.api.contents[one.record(name).content_id].body == split(one.read(f"out/{name}.md")).body
    assert len(one.api.generations) == 2


def test_a_rename_that_no_manifest_declares_any_more_is_an_orphan(tmp_path: Path) -> None:
    """Its record keeps the content, which no other record has; the declared item is saved as a content of its own."""
    one, two = renamed(tmp_path)
    (content,) = contents(one)
    merge(one, two, ("c", 2026))
    assert (one.actions(), one.plan().credits_worst) == ({"c": "save"}, 0)
    one.apply()
    assert one.plan().empty
    assert one.record("b").content_id == content != one.record("c").content_id
    assert one.actions(prune=True) == {"b": "remove"}


def _left_with(harness: Harness, where: str) -> None:
    """Only one place has the texts."""
    if where != "cache":
        shutil.rmtree(harness.root / ".contentops")
    if where == "git":
        harness.api.jobs.clear()


@pytest.mark.parametrize(
    ("by", "where"),
    [("moved", "cache"), ("hand", "job"), ("request", "git"), ("moved", "job"), ("hand", "git"), ("request", "cache")],
)
def test_a_text_that_was_paid_for_under_an_id_that_was_renamed_is_not_lost(tmp_path: Path, where: str, by: str) -> None:
    """One branch renames the item, the other asks for another text of it: the new id gets that text for nothing."""
    one, two = branches(tmp_path)
    if by == "hand":
        move_record(one.project, "a", "b")
    declare(one, ("b", 2026), moved="ab" if by == "moved" else "")
    one.apply()
    declare(two, ("a", 2027))
    two.apply()
    merge(two, one, ("b", 2027))
    _left_with(two, where)
    plan = two.plan()
    assert (two.actions(), plan.credits_worst, results(two.apply())) == ({"b": "finish"}, 0, {"b": "done"})
    assert ("It in 2027" in two.read("out/b.md"), len(two.api.generations), two.plan().empty) == (True, 2, True)
    # The branch that did not rename it has a text of `a`: no manifest declares that any more.
    assert two.actions(prune=True) == {"a": "remove"}


@pytest.mark.parametrize("settled", [2027, 2028])
@pytest.mark.parametrize("files", ["HEAD", "FETCH_HEAD"])
@pytest.mark.parametrize("where", ["job", "git"])
def test_of_two_requests_the_declared_one_keeps_its_text(tmp_path: Path, where: str, settled: int, files: str) -> None:
    """Whichever of the two files the merge kept."""
    one, two = branches(tmp_path)
    for harness, year in ((one, 2027), (two, 2028)):
        declare(harness, ("a", year))
        harness.apply()
    merge(one, two, ("a", settled), files=files)
    _left_with(one, where)
    assert one.plan().credits_worst == 0
    one.apply()
    assert f"It in {settled}" in one.read("out/a.md")
    assert (len(one.api.generations), one.plan().empty) == (3, True)
    assert one.api.contents[one.record("a").content_id].body == split(one.read("out/a.md")).body


@pytest.mark.parametrize("moved", ["", "ab"], ids=["by request", "by moved"])
def test_a_renamed_item_with_two_paid_texts_is_up_to_date_after_one_apply(tmp_path: Path, moved: str) -> None:
    """The text that the merge overruled is not collected under the old id, since the new one takes over another."""
    one = Harness(tmp_path / "one", FakeApi(duration=30, request_ids="ignore"))
    declare(one, ("z", 2020))
    one.apply()
    in_git(one, "first")
    two = cloned(one, tmp_path / "two")
    for harness in (one, two):
        declare(harness, ("a", 2026), ("z", 2020))
        harness.apply()
    one.timeline.now += 60
    one.apply(replace=(ItemId("a"),))
    merge(one, two, ("b", 2026), ("z", 2020), moved=moved)
    assert results(one.apply(on_edit=OnEdit.OVERWRITE)) == {"b": "done"}
    assert (one.plan(on_edit=OnEdit.OVERWRITE).empty, len(one.api.generations)) == (True, 4)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_two_clones_do_each_request_of_an_item_is_paid_for_once(tmp_path: Path, seed: int) -> None:
    """Renames, generations, manifests that are put back, and merges, in any order; no content has two records."""
    chosen = random.Random(seed)
    harnesses = branches(tmp_path)
    names, years = ["a", "a"], [2026, 2026]
    asked, paid = [{2026}, {2026}], {2026}
    for number in range(9):
        side = chosen.randrange(2)
        harness, what = harnesses[side], chosen.choice(["rename", "pay", "put back", "merge"])
        moved = ""
        if what == "rename":
            moved, names[side] = names[side] + "bcdefghijk"[number], "bcdefghijk"[number]
        elif what == "pay":
            years[side] = 2030 + number
        elif what == "put back":
            years[side] = chosen.choice(sorted(asked[side]))
        else:
            settled = (chosen.choice(names), chosen.choice(years))
            moved = "".join(f"{name}{settled[0]}" for name in {*names} - {settled[0]})
            merge(harness, harnesses[1 - side], settled, moved=moved)
            git(harnesses[1 - side], "pull", "--quiet", "--no-rebase", "--no-edit", f"file://{harness.root}", "HEAD")
            names, years, both = [settled[0]] * 2, [settled[1]] * 2, asked[0] | asked[1]
            asked = [set(both), set(both)]
        declare(harness, (names[side], years[side]), moved=moved)
        paid.add(years[side])
        asked[side].add(years[side])
        # The other clone may have saved its own text into the content meanwhile.
        harness.apply(on_edit=OnEdit.OVERWRITE)
        assert harness.plan().empty, (number, what)
        assert f"It in {years[side]}" in harness.read(f"out/{names[side]}.md")
        commit(harness)
        assert len(harness.api.generations) == len(paid), (number, what, names, years)
        living = [one.content_id for one in harness.state.records.values()]
        assert len(set(living)) == len(living)
