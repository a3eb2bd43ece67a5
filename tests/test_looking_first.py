"""Words that were written in WriterzRoom: looked at before anything is paid for in their place, and remembered."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from contentops.model import OnEdit
from contentops.operations.contents.superseded_contents import without_copy
from contentops.operations.opening import open_cache
from contentops.server import contents
from contentops.server.store import open_store
from contentops.state.seen import seen_contents
from tests.fakes.api import FakeApi, on
from tests.fakes.scene import Scene, blog, know_server, results
from tests.repositories import in_git
from tests.reviewing import apply_file, review
from tests.test_refresh import LOCAL

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Outcome, Run
    from tests.running import Build
    from tests.running import Run as Invoke

THEIRS = "## Introduction\n\nTheir words.\n"


def _scene(tmp_path: Path, *ids: str, **habits: Any) -> Scene:
    scene = Scene(tmp_path, FakeApi(duration=30, **{"auto_save": False, **habits}))
    scene.write("content/blog.yaml", blog(*(ids or ("one", "two"))))
    scene.apply()
    return scene


def _edit(scene: Scene, item: str, body: str = THEIRS) -> str:
    content = scene.record(item).content_id
    scene.api.edit(content, body)
    return content


def _next_year(scene: Scene, *ids: str) -> None:
    scene.write("content/blog.yaml", blog(*(ids or ("one", "two")), year=2027))


def _outcome(run: Run | None, item: str = "one") -> Outcome:
    assert run is not None
    (found,) = [one for one in run.outcomes if one.id == item]
    return found


def _asked(scene: Scene) -> dict[str, int]:
    return {name: scene.api.count(name) for name in ("list content", "get content", "submit")}


def _since(scene: Scene, before: dict[str, int]) -> tuple[int, ...]:
    return tuple(scene.api.count(name) - number for name, number in before.items())


# --- before it is paid for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("habits", [{}, {"auto_save": True}, {"create_only": True}], ids=str)
def test_nothing_is_paid_for_over_words_written_there(tmp_path: Path, habits: dict[str, Any]) -> None:
    """The request changed and the text was edited there: that item is blocked by name, the other goes on."""
    scene = _scene(tmp_path, **habits)
    content = _edit(scene, "one")
    _next_year(scene)
    before = _asked(scene)
    run = scene.apply()
    assert results(run) == {"one": "blocked", "two": "done"}
    assert content in _outcome(run).error
    assert scene.api.contents[content].body == THEIRS
    assert scene.record("one").content_id == content
    assert _since(scene, before)[2] == 1
    assert scene.actions() == {"one": "blocked"}


def test_looking_costs_one_list_and_a_fetch_of_what_changed(tmp_path: Path) -> None:
    """Items whose stamps are the same are not fetched; where nothing is paid for, nothing is asked."""
    scene = _scene(tmp_path, "one", "two", "three", "four", auto_save=True, names_content=True)
    _edit(scene, "three")
    _next_year(scene, "one", "two", "three", "four")
    before = _asked(scene)
    assert results(scene.apply())["three"] == "blocked"
    assert _since(scene, before) == (1, 1, 3)
    scene.write("content/blog.yaml", blog("one", "two", "three", "four", "five", year=2027))
    before = _asked(scene)
    scene.apply(select=("five",))
    assert _since(scene, before) == (0, 0, 1)


@pytest.mark.parametrize(
    ("choice", "paid", "words"),
    [(OnEdit.KEEP, 0, "Their words."), (OnEdit.OVERWRITE, 1, "in 2027")],
    ids=["keep", "overwrite"],
)
def test_a_choice_decides_before_a_credit_is_spent(tmp_path: Path, choice: OnEdit, paid: int, words: str) -> None:
    """`keep` pulls the edit for an answer, `overwrite` generates and keeps a copy."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    _next_year(scene)
    before = _asked(scene)
    run = scene.apply(select=("one",), on_edit=choice)
    assert results(run) == {"one": "done"}
    assert _since(scene, before)[2] == paid
    assert words in scene.read("out/one.md")
    assert choice is OnEdit.KEEP or scene.read(_outcome(run).copy) == THEIRS


def test_a_canary_looks_at_the_items_that_take_its_place(tmp_path: Path) -> None:
    """The first generation is blocked by an edit, the second too; the third is paid for."""
    scene = _scene(tmp_path, "one", "two", "three")
    _edit(scene, "one")
    _edit(scene, "three")
    _next_year(scene, "one", "two", "three")
    before = _asked(scene)
    scene.apply(canary=2)
    assert _since(scene, before)[2] == 1
    assert {stored.body for stored in scene.api.contents.values()} >= {THEIRS}
    assert scene.api.charged("All about two in 2027") == 1


def test_a_run_lists_once_however_often_it_looks(tmp_path: Path) -> None:
    """A canary finds one edited item after the other; a plan file names one edit, and others are in question."""
    ids = ("one", "two", "three", "four")
    scene = _scene(tmp_path / "canary", *ids)
    for item in ids[:3]:
        _edit(scene, item)
    _next_year(scene, *ids)
    before = _asked(scene)
    scene.apply(canary=1)
    assert _since(scene, before)[::2] == (1, 1)
    scene = _scene(tmp_path / "file", *ids)
    _edit(scene, "one")
    scene.plan(refresh=True)
    scene.write("content/blog.yaml", blog("one") + blog("two", year=2027).removeprefix("items:\n"))
    plan, before = review(scene), _asked(scene)
    assert results(apply_file(scene, plan)) == {"one": "done", "two": "done"}
    assert _since(scene, before)[::2] == (1, 1)


@pytest.mark.parametrize("fault", [401, 503, "refuse"], ids=str)
def test_what_cannot_be_looked_at_is_not_paid_for(tmp_path: Path, fault: Any) -> None:
    """The server does not answer the look: those items wait, named; a new item goes on."""
    scene = _scene(tmp_path)
    scene.write("content/blog.yaml", blog("one", year=2027) + blog("two", "three").removeprefix("items:\n"))
    scene.api.fault(on("list content"), fault)
    run = scene.apply()
    assert results(run)["one"] == "blocked"
    assert "contentops apply" in _outcome(run).error
    assert scene.api.charged("All about one in 2027") == 0
    assert scene.api.charged("All about three in 2026") == 1
    scene.api.heal()
    assert results(scene.apply())["one"] == "done"


# --- plan files ------------------------------------------------------------------------------------------------


def test_a_plan_file_leaves_out_what_was_edited_there_since(tmp_path: Path) -> None:
    """Reviewed without a look: the item is blocked by name, what else was reviewed is done, and the words stay."""
    scene = _scene(tmp_path)
    _next_year(scene)
    plan = review(scene)
    content = _edit(scene, "one")
    run = apply_file(scene, plan)
    assert results(run) == {"one": "blocked", "two": "done"}
    assert content in _outcome(run).error
    assert scene.api.charged("All about one in 2027") == 0
    assert scene.api.contents[content].body == THEIRS


def test_a_plan_file_of_what_was_remembered_is_applied(tmp_path: Path) -> None:
    """A plan that shows an edit which an earlier look saw pulls that one, and on a machine without the cache too."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    scene.plan(refresh=True)
    plan = review(scene)
    assert plan["changes"][0]["action"] == "pull"
    shutil.rmtree(tmp_path / ".contentops")
    know_server(tmp_path, "https://api.example.test/v1")
    assert results(apply_file(scene, plan)) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")


# --- remembered ------------------------------------------------------------------------------------------------


def test_what_a_look_saw_the_next_plan_shows(tmp_path: Path) -> None:
    """Without the network, as long as the cache is there; the apply after it looks again, and pulls what is there."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    assert scene.plan().empty
    assert scene.actions(refresh=True) == {"one": "pull"}
    before = len(scene.api.requests)
    assert scene.actions() == {"one": "pull"}
    assert len(scene.api.requests) == before
    _edit(scene, "one", "Later words.\n")
    assert results(scene.apply()) == {"one": "done"}
    assert "Later words." in scene.read("out/one.md")
    assert scene.plan().empty
    assert scene.plan(refresh=True).empty


def test_what_was_saved_elsewhere_since_is_not_remembered(tmp_path: Path) -> None:
    """Another clone pulled the edit and went on: what this one's cache has is no edit of that."""
    scene = _scene(tmp_path / "here")
    _edit(scene, "one")
    scene.plan(refresh=True)
    shutil.copytree(tmp_path / "here", tmp_path / "there", ignore=shutil.ignore_patterns(".contentops"))
    other = Scene(tmp_path / "there", scene.api, timeline=scene.timeline)
    other.apply(refresh=True)
    other.edit("out/one.md", "Their words", "Our words")
    other.apply()
    for name in ("contentops.lock", "out/one.md"):
        shutil.copy(other.root / name, scene.root / name)
    assert scene.plan().empty
    assert scene.plan(refresh=True).empty


def test_a_refresh_forgets_nothing_of_other_contents(tmp_path: Path) -> None:
    """What was seen of contents that it does not look at, such as those of another environment, stays known."""
    scene = _scene(tmp_path)
    content = _edit(scene, "one")
    scene.plan(refresh=True)
    project = scene.project
    scene.write("content/blog.yaml", blog("two"))
    scene.plan(refresh=True)
    with open_cache(project, write=False) as cache:
        assert seen_contents(cache, project.api.server)[content].title


# --- recorded before -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [True, False], ids=["", "without cache"])
@pytest.mark.parametrize("title", ["", "Their title"], ids=["body", "title too"])
def test_a_reverted_pull_is_not_pulled_again(tmp_path: Path, title: str, *, cache: bool) -> None:
    """Git has the text of the server in an earlier lock: the file that was brought back is saved over it."""
    scene = _scene(tmp_path)
    in_git(scene, "generated")
    before = scene.read("out/one.md")
    content = scene.record("one").content_id
    scene.api.edit(content, THEIRS, title=title)
    scene.apply(refresh=True)
    in_git(scene, "pulled")
    git = ("git", "-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
    subprocess.run([*git, "revert", "--no-edit", "HEAD"], cwd=scene.root, check=True, capture_output=True)
    assert scene.read("out/one.md") == before
    if not cache:
        shutil.rmtree(tmp_path / ".contentops")
        know_server(tmp_path, "https://api.example.test/v1")
    (change,) = scene.plan(refresh=True).changes
    assert (change.action, "recorded-before" in {reason.kind for reason in change.reasons}) == ("save", True)
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert scene.read("out/one.md") == before
    assert "All about one" in scene.api.contents[content].body
    assert scene.plan(refresh=True).empty
    _edit(scene, "one", "New words.\n")
    assert scene.actions(refresh=True) == {"one": "pull"}


# --- superseded copies -----------------------------------------------------------------------------------------


def test_a_superseded_copy_with_words_of_its_own_stays(tmp_path: Path) -> None:
    """An earlier version made it so, or someone edited the copy: what is in no file, git or cache is not for deletion."""
    scene = _scene(tmp_path, create_only=True, put=False)
    for item in ("one", "two"):
        scene.edit(f"out/{item}.md", "Closing", "MINE")
    scene.apply()
    (one,), (two,) = scene.record("one").superseded, scene.record("two").superseded
    scene.api.edit(one, THEIRS)
    assert without_copy(scene.project, [one, two, "cnt_gone"], runtime=scene.runtime()) == {one}
    shutil.rmtree(tmp_path / ".contentops")
    know_server(tmp_path, "https://api.example.test/v1")
    assert without_copy(scene.project, [one, two], runtime=scene.runtime()) == {one, two}
    scene.write("out/one.md", THEIRS)
    assert without_copy(scene.project, [one, two], runtime=scene.runtime()) == {two}


def test_delete_superseded_names_what_stays(project: Build, invoke: Invoke) -> None:
    """The others are deleted; the one that stays goes by its id."""
    root = project({"contentops.yaml": LOCAL, "content/a.yaml": blog("one")})
    assert invoke("apply", "--yes", cwd=root).code == 0
    with contextlib.closing(open_store(root / ".contentops/local.db")) as store, store.write():
        made = [
            contents.save(store, contents.ContentChange(title=body, body=body), owner="", at=1.0)
            for body in ("", "Their words.\n")
        ]
    lines = [json.loads(line) for line in (root / "contentops.lock").read_text("utf-8").splitlines()]
    lines[1]["superseded"] = made
    (root / "contentops.lock").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    ended = invoke("content", "delete", "--superseded", "--yes", cwd=root)
    assert (ended.code, ended.stdout) == (0, "Deleted 1 content.\n")
    assert f"warning: content `{made[1]}` stays" in ended.stderr
    assert invoke("content", "delete", made[1], "--yes", cwd=root).stdout == "Deleted 1 content.\n"


@pytest.mark.parametrize("way", ["refresh", "save"])
def test_a_plan_that_was_kept_is_made_again_once_an_edit_was_seen(tmp_path: Path, way: str) -> None:
    """No file tells of the edit, so what was said of the files alone is said no more."""
    scene = _scene(tmp_path)
    kept = tmp_path / ".contentops/cache/unchanged.image"
    kept.write_text("a plan without changes")
    scene.plan()
    assert kept.exists()
    _edit(scene, "one")
    before = scene.read("out/one.md")
    if way == "save":
        scene.edit("out/one.md", "Closing", "MINE")
        assert results(scene.apply()) == {"one": "blocked"}
        scene.write("out/one.md", before)
    else:
        scene.plan(refresh=True)
    assert not kept.exists()
    assert scene.actions() == {"one": "pull"}
