"""An item keeps its past whatever its ids were: earlier requests are paid for by nobody again, and history is whole."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from contentops.ci.file_history import earlier_bodies
from contentops.documents.front_matter import split
from contentops.model import ItemId
from contentops.operations.history import history
from contentops.operations.records import move_record
from tests.clones import NOBODY
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, know_server, quick_folder, results
from tests.fakes.kills import state_after_each_kill
from tests.plans import make_record
from tests.repositories import cloned, in_git
from tests.test_merged_branches import commit, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.running import Run as Invoke


def _write(harness: Harness, item: str, year: int, moved: str = "") -> None:
    inputs = f"{{topic: 'All about it in {year}', target_audience: readers}}"
    harness.write("content/blog.yaml", f"{moved}items:\n  - {{id: {item}, inputs: {inputs}}}\n")


def _by_moved(harness: Harness, old: str, new: str) -> None:
    _write(harness, new, 2027, f"moved: [{{from: {old}, to: {new}}}]\n")


def _by_hand(harness: Harness, old: str, new: str) -> None:
    move_record(harness.project, old, new)
    _write(harness, new, 2027)


def _by_request(harness: Harness, old: str, new: str) -> None:
    del old
    _write(harness, new, 2027)


def _renamed(root: Path, rename: Callable[[Harness, str, str], None], request_ids: str) -> Harness:
    """An item that was `a` when its first two texts were paid for, and has had two more ids since."""
    harness = Harness(root, FakeApi(duration=30, request_ids=request_ids))
    for year in (2026, 2027):
        _write(harness, "a", year)
        harness.apply()
        in_git(harness, str(year))
    for old, new in ("ab", "bc"):
        rename(harness, old, new)
        harness.apply()
        in_git(harness, new)
    assert (harness.plan().empty, len(harness.api.generations)) == (True, 2)
    return harness


RENAMES = pytest.mark.parametrize("rename", [_by_moved, _by_hand, _by_request])


@RENAMES
@pytest.mark.parametrize("machine", ["its own", "a clone", "a shallow clone"])
def test_an_earlier_request_is_answered_by_the_text_that_was_paid_for_it(
    tmp_path: Path, rename: Callable[[Harness, str, str], None], machine: str
) -> None:
    """From the cache, from git, or from the server, which knows it by the id of then."""
    shallow = machine == "a shallow clone"
    harness = _renamed(tmp_path / "site", rename, "replay" if shallow else "ignore")
    if machine != "its own":
        harness = cloned(harness, tmp_path / "clone", *(("--depth", "1") if shallow else ()))
    _write(harness, "c", 2026)
    harness.apply()
    assert len(harness.api.generations) == 2
    assert "in 2026" in split(harness.read("out/c.md")).body
    assert harness.plan().empty


def test_a_rename_and_a_request_that_is_put_back_in_one_apply(tmp_path: Path) -> None:
    """The file of the new id has no history in git yet: the locks of the past tell where the text was."""
    harness = _renamed(tmp_path / "site", _by_moved, "ignore")
    clone = cloned(harness, tmp_path / "clone")
    _write(clone, "d", 2026, "moved: [{from: c, to: d}]\n")
    clone.apply()
    assert len(harness.api.generations) == 2
    assert "in 2026" in clone.read("out/d.md")


def test_an_item_that_was_removed_and_comes_back_has_its_text_in_git(tmp_path: Path) -> None:
    """A revert of a removal pays for nothing, on any machine with the history."""
    harness = _renamed(tmp_path / "site", _by_moved, "ignore")
    harness.write("content/blog.yaml", "items:\n  - {id: z, inputs: {topic: Other, target_audience: readers}}\n")
    harness.apply(prune=True)
    in_git(harness, "removed")
    clone = cloned(harness, tmp_path / "clone")
    _write(clone, "c", 2027)
    clone.apply()
    assert len(harness.api.generations) == 3
    assert "in 2027" in clone.read("out/c.md")


@RENAMES
def test_history_knows_the_texts_of_every_former_id(
    tmp_path: Path, rename: Callable[[Harness, str, str], None]
) -> None:
    """Also where the ids between are in no commit."""
    harness = _renamed(tmp_path, rename, "ignore")
    found = history(harness.project, "c")
    assert len(found.texts) == len({one.request_id for one in found.generations}) == 2


@pytest.mark.parametrize("moved", ["", "moved: [{from: a, to: b}]\n"], ids=["unsaid", "moved"])
def test_what_another_branch_paid_for_under_the_old_id_is_not_paid_for_again(tmp_path: Path, moved: str) -> None:
    """One branch renames the item and applies, another one pays for another request of it; then they are merged."""
    renamed = Harness(tmp_path / "renamed", FakeApi(duration=30, request_ids="ignore"))
    renamed.write(".gitattributes", "contentops*.lock merge=union\n")
    _write(renamed, "a", 2026)
    in_git(renamed, "a")
    paying = cloned(renamed, tmp_path / "paying")
    _write(paying, "a", 2027)
    paying.apply()
    in_git(paying, "2027")
    _write(renamed, "b", 2026, moved)
    renamed.apply()
    in_git(renamed, "b")
    pull = ["pull", "--quiet", "--no-edit", "--no-rebase", "--strategy-option=ours", f"file://{paying.root}"]
    subprocess.run(["git", *NOBODY, *pull], cwd=renamed.root, check=True, capture_output=True)
    _write(renamed, "b", 2027, moved)
    assert results(renamed.apply()) == {"b": "done"}
    assert len(renamed.api.generations) == 2
    assert "in 2027" in renamed.read("out/b.md")
    assert renamed.plan().empty


def test_the_id_that_became_free_is_another_items(tmp_path: Path) -> None:
    """An item that gets a former id later has its own texts, and takes none."""
    harness = _renamed(tmp_path, _by_moved, "ignore")
    harness.write(
        "content/blog.yaml",
        "items:\n"
        "  - {id: a, inputs: {topic: 'Something else', target_audience: readers}}\n"
        "  - {id: c, inputs: {topic: 'All about it in 2026', target_audience: readers}}\n",
    )
    harness.apply()
    assert len(harness.api.generations) == 3
    assert "in 2026" in harness.read("out/c.md")
    assert harness.plan().empty


@pytest.mark.parametrize(
    ("ids", "former"),
    [("ab", ("a",)), ("abc", ("b", "a")), ("aba", ("b",)), ("abcb", ("c", "a")), ("abb", ("a",)), ("abab", ("a",))],
)
def test_former_ids_are_kept_the_newest_first(ids: str, former: tuple[str, ...]) -> None:
    """Each once, and never the one it has."""
    record = make_record(ids[0])
    for new in ids[1:]:
        record = record.renamed(ItemId(new))
    assert (record.id, record.former_ids) == (ids[-1], former)


# --- an id that another item has by now ------------------------------------------------------------------------


def _two(harness: Harness, **years: int) -> None:
    inputs = "{{topic: 'All about it in {}', target_audience: readers}}"
    lines = [f"  - {{id: {id_}, inputs: {inputs.format(year)}}}" for id_, year in years.items()]
    harness.write("content/blog.yaml", "items:\n" + "\n".join(lines) + "\n")


def _succeeded(root: Path) -> Harness:
    """An item that was `a` and is `b`."""
    harness = Harness(root, FakeApi(duration=30))
    _two(harness, a=2026)
    harness.apply()
    in_git(harness, "a")
    _write(harness, "b", 2026, "moved: [{from: a, to: b}]\n")
    harness.apply()
    in_git(harness, "b")
    return harness


@pytest.mark.parametrize("machine", ["its own", "a clone", "a shallow clone"])
@pytest.mark.parametrize("asks", ["b", "a"])
def test_the_text_of_an_item_serves_none_that_had_its_id(tmp_path: Path, machine: str, asks: str) -> None:
    """Two items that are declared have a text each: the one asks for what the other has, and had its id or has it."""
    harness = _succeeded(tmp_path / "site")
    if asks == "b":
        _two(harness, a=2027, b=2026)
        harness.apply()
        in_git(harness, "a again")
    if machine != "its own":
        harness = cloned(harness, tmp_path / "clone", *(("--depth", "1") if machine == "a shallow clone" else ()))
    year = 2027 if asks == "b" else 2026
    _two(harness, a=year, b=year)
    paid, plan = len(harness.api.generations), harness.plan()
    assert plan.credits_worst == 4
    harness.apply()
    assert len(harness.api.generations) == paid + 1
    assert split(harness.read("out/a.md")).body != split(harness.read("out/b.md")).body
    records = harness.state.records.values()
    assert len({one.request_id for one in records}) == len({one.content_id for one in records}) == 2
    assert harness.plan().empty


def test_an_earlier_text_stays_with_an_item_whose_old_id_is_taken(tmp_path: Path) -> None:
    """Nobody else has it or asks for it, so it is not paid for again."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    for year in (2025, 2026):
        _two(harness, a=year)
        harness.apply()
    _write(harness, "b", 2026, "moved: [{from: a, to: b}]\n")
    harness.apply()
    _two(harness, a=2027, b=2026)
    harness.apply()
    _two(harness, a=2027, b=2025)
    assert harness.actions() == {"b": "finish"}
    harness.apply()
    assert len(harness.api.generations) == 3
    assert "in 2025" in harness.read("out/b.md")


@pytest.mark.parametrize("machine", ["its own", "a clone"])
def test_a_text_that_its_item_gives_way_is_taken_by_the_one_that_paid_for_it(tmp_path: Path, machine: str) -> None:
    """The renamed item asks for something else, and a new one under its old id for what that had."""
    harness = _succeeded(tmp_path / "site")
    harness = cloned(harness, tmp_path / "clone") if machine == "a clone" else harness
    _two(harness, a=2026, b=2027)
    harness.apply()
    assert len(harness.api.generations) == 2
    assert ("in 2026" in harness.read("out/a.md"), "in 2027" in harness.read("out/b.md")) == (True, True)
    assert len({one.content_id for one in harness.state.records.values()}) == 2
    assert harness.plan().empty


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("machine", ["its own", "a clone"])
def test_the_text_of_a_removed_item_serves_one_of_two(tmp_path: Path, machine: str, *, prune: bool) -> None:
    """The first of two items that ask for it, on any machine with the history; the other one pays for its own."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30))
    for years in ({"x": 2026, "z": 2020}, {"z": 2020}):
        _two(harness, **years)
        harness.apply(prune=prune)
        in_git(harness, str(years))
    harness = cloned(harness, tmp_path / "clone") if machine == "a clone" else harness
    _two(harness, a=2026, b=2026, z=2020)
    harness.apply()
    assert len(harness.api.generations) == 3
    assert split(harness.read("out/a.md")).body != split(harness.read("out/b.md")).body
    assert harness.plan().empty


def test_git_has_the_texts_of_a_branch_beside_one_that_renamed_the_file(tmp_path: Path) -> None:
    """Git follows one name alone, and past a rename it looks for that one on each branch."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("out/x.md", "First.\n\nMore of it.\n")
    in_git(harness, "first")
    git(harness, "checkout", "--quiet", "-b", "other")
    harness.write("out/x.md", "Other words.\n")
    commit(harness)
    git(harness, "checkout", "--quiet", "-")
    for old, new in (("x", "y"), ("y", "x")):
        git(harness, "mv", f"out/{old}.md", f"out/{new}.md")
        commit(harness)
    git(harness, "merge", "--quiet", "--no-edit", "--strategy", "ours", "other")
    assert [text for _, text in earlier_bodies(str(harness.root), "out/x.md")][-1] == "Other words.\n"


def test_a_kill_while_an_old_id_asks_for_the_same_pays_once(tmp_path: Path) -> None:
    """The submit has a name of its own: a record that has the same text already does not end it."""
    harness = _succeeded(tmp_path / "site")
    _two(harness, a=2026, b=2026)
    shutil.rmtree(harness.root / ".contentops")
    know_server(harness.root, "https://api.example.test/v1")
    with quick_folder() as folder:
        for what, left in state_after_each_kill(harness, folder, harness.apply).items():
            left.apply()
            assert (what, len(left.api.generations)) == (what, 2)
            assert left.plan().empty, what


def test_a_text_that_was_made_under_a_former_id_is_no_edit_there(tmp_path: Path) -> None:
    """The lock and the file of before came back: the server has the later text, which the cache knows by its first id."""
    harness = Harness(tmp_path, FakeApi(duration=30, auto_save=False))
    _write(harness, "a", 2026)
    harness.apply()
    before = {path: harness.read(path) for path in ("contentops.lock", "out/a.md")}
    _write(harness, "a", 2027)
    harness.apply()
    for path, text in before.items():
        (harness.root / path).write_text(text, "utf-8")
    for old, new in ("ab", "bc"):
        move_record(harness.project, old, new)
    _write(harness, "c", 2026)
    (change,) = harness.plan(refresh=True).changes
    assert "recorded-before" in {reason.kind for reason in change.reasons}


def test_a_new_item_does_not_take_the_name_of_an_open_submit(tmp_path: Path) -> None:
    """What became of it is not known, and it went with its item to another id: the new one pays for its own."""
    harness = Harness(tmp_path, FakeApi(duration=30, request_ids="ignore", auto_save=False))
    _two(harness, a=2026, z=2020)
    harness.apply()
    _two(harness, a=2027, z=2020)
    harness.api.fault(on("submit", 3), "504")
    assert results(harness.apply()) == {"a": "unknown"}
    move_record(harness.project, "a", "b")
    _two(harness, a=2027, b=2027, z=2020)
    assert results(harness.apply()) == {"a": "done", "b": "unknown"}
    assert harness.entry("b").request_id != harness.record("a").request_id


def test_a_typo_in_the_new_id_of_a_pair_is_shown_with_what_it_costs(tmp_path: Path, invoke: Invoke) -> None:
    """The plan creates the item beside the one it was, until the pair names the id that the hint names."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    _write(harness, "old", 2026)
    harness.apply()
    _write(harness, "new", 2027, "moved: [{from: old, to: nwe}]\n")
    shown = invoke("plan", cwd=tmp_path)
    assert "+ new" in shown.stdout
    assert "`moved` renames to `nwe`, which is not declared" in shown.stderr
    assert "did you mean `new`?" in shown.stderr
    assert "`new` is generated as a new item, for its price" in " ".join(shown.stderr.split())
    _write(harness, "new", 2027, "moved: [{from: old, to: new}]\n")
    shown = invoke("plan", cwd=tmp_path)
    assert ("+ new" in shown.stdout, "moved-to-nothing" in shown.stderr) == (False, False)
