"""A person's file without a title stays one, and a file that comes back has the title it had."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from contentops.documents.front_matter import split
from contentops.operations.adopting.adopt_files import Options, adopt
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog, results
from tests.test_promote import Room

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "# Heading\n\nWords of a person.\n"
FRONT = "---\nlayout: post\n---\n\n# Heading\n\nWords of a person.\n"
ITEM, PATH = "notes/one", "notes/one.md"


def adopted(tmp_path: Path, text: str) -> Scene:
    """A scene with one adopted file without a title, saved."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write(PATH, text)
    adopt(scene.project, [PATH], Options(save=True), confirm=lambda _: True, runtime=scene.runtime())
    assert results(scene.apply()) == {ITEM: "done"}
    assert scene.plan().empty
    return scene


@pytest.mark.parametrize("text", [PLAIN, FRONT], ids=["no front matter", "front matter"])
def test_an_edit_made_there_brings_no_title(tmp_path: Path, text: str) -> None:
    """Neither the heading nor the path becomes one, and nothing is left to save."""
    scene = adopted(tmp_path, text)
    scene.api.edit(scene.record(ITEM).content_id, "# Heading\n\nTheir words.\n")
    assert results(scene.apply(refresh=True)) == {ITEM: "done"}
    assert scene.read(PATH) == text.replace("Words of a person.", "Their words.")
    assert scene.plan(refresh=True).empty
    assert scene.plan().empty


@pytest.mark.parametrize("text", [PLAIN, FRONT], ids=["no front matter", "front matter"])
def test_a_file_that_is_gone_comes_back_without_one(tmp_path: Path, text: str) -> None:
    """As it was, but for what no manifest says of it."""
    scene = adopted(tmp_path, text)
    (scene.root / PATH).unlink()
    assert results(scene.apply()) == {ITEM: "done"}
    assert split(scene.read(PATH)).title == ""
    assert split(scene.read(PATH)).body == split(text).body
    assert scene.plan(refresh=True).empty
    assert scene.api.contents[scene.record(ITEM).content_id].title == ""


def test_a_title_that_someone_gives_it_there_comes_home(tmp_path: Path) -> None:
    """That one is a person's."""
    scene = adopted(tmp_path, PLAIN)
    scene.api.edit(scene.record(ITEM).content_id, PLAIN, title="Theirs")
    assert results(scene.apply(refresh=True)) == {ITEM: "done"}
    assert scene.read(PATH) == f"---\ntitle: Theirs\n---\n\n{PLAIN}"
    assert scene.plan(refresh=True).empty


def test_an_edit_of_two_people_brings_no_title(tmp_path: Path) -> None:
    """A merge neither."""
    scene = adopted(tmp_path, f"{PLAIN}\n## More\n\nWords.\n")
    scene.edit(PATH, "Words of a person.", "Mine.")
    scene.api.edit(scene.record(ITEM).content_id, f"{PLAIN}\n## More\n\nTheirs.\n")
    assert results(scene.apply(refresh=True)) == {ITEM: "done"}
    assert scene.read(PATH) == "# Heading\n\nMine.\n\n## More\n\nTheirs.\n"
    assert scene.plan(refresh=True).empty


@pytest.mark.parametrize("lost", [(), ("contents",), ("cache",)], ids=["", "gone there", "no cache"])
def test_one_apply_restores_a_file_with_another_title(tmp_path: Path, lost: tuple[str, ...]) -> None:
    """The title that a person had saved, where someone still has it, else the one that was last written."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    ours = scene.record("one").title
    scene.edit("out/one.md", f"title: {ours}", "title: Mine")
    scene.apply()
    content = scene.record("one").content_id
    assert scene.api.contents[content].title == "Mine"
    if "contents" in lost:
        scene.api.contents.clear()
    if "cache" in lost:
        shutil.rmtree(scene.root / ".contentops/cache")
    (scene.root / "out/one.md").unlink()
    assert results(scene.apply()) == {"one": "done"}
    title = split(scene.read("out/one.md")).title
    assert title == (ours if "contents" in lost else "Mine")
    assert scene.plan().empty, scene.plan().changes
    assert scene.api.contents[scene.record("one").content_id].title == title


def test_a_promoted_text_brings_the_title_it_has(tmp_path: Path) -> None:
    """None, where a person took it out in staging."""
    staging, prod = Room(tmp_path, "staging"), Room(tmp_path, "prod")
    prod.timeline = staging.timeline
    staging.write("content/b.yaml", blog("a"))
    staging.apply()
    title = split(staging.read("staging/a.md")).title
    staging.edit("staging/a.md", f"title: {title}\n", "")
    assert results(prod.apply()) == {"a": "done"}
    assert "title:" not in prod.read("live/a.md")
    assert prod.plan().empty
    assert [one.title for one in prod.api.contents.values()] == [""]
