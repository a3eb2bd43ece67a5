"""A person's file without a title stays one, and a file that comes back has the title it had."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from contentops.documents.front_matter import split
from contentops.operations.adopt import Options, adopt
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.test_promote import Room

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "# Heading\n\nWords of a person.\n"
FRONT = "---\nlayout: post\n---\n\n# Heading\n\nWords of a person.\n"
ITEM, PATH = "notes/one", "notes/one.md"


def adopted(tmp_path: Path, text: str) -> Harness:
    """A harness with one adopted file without a title, saved."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write(PATH, text)
    adopt(harness.project, [PATH], Options(save=True), confirm=lambda _: True, runtime=harness.runtime())
    assert results(harness.apply()) == {ITEM: "done"}
    assert harness.plan().empty
    return harness


@pytest.mark.parametrize("text", [PLAIN, FRONT], ids=["no front matter", "front matter"])
def test_an_edit_made_there_brings_no_title(tmp_path: Path, text: str) -> None:
    """Neither the heading nor the path becomes one, and nothing is left to save."""
    harness = adopted(tmp_path, text)
    harness.api.edit(harness.record(ITEM).content_id, "# Heading\n\nTheir words.\n")
    assert [one.refused for one in harness.pull()] == [""]
    assert harness.read(PATH) == text.replace("Words of a person.", "Their words.")
    assert harness.plan(refresh=True).empty
    assert harness.plan().empty


@pytest.mark.parametrize("text", [PLAIN, FRONT], ids=["no front matter", "front matter"])
def test_a_file_that_is_gone_comes_back_without_one(tmp_path: Path, text: str) -> None:
    """As it was, but for what no manifest says of it."""
    harness = adopted(tmp_path, text)
    (harness.root / PATH).unlink()
    assert results(harness.apply()) == {ITEM: "done"}
    assert split(harness.read(PATH)).title == ""
    assert split(harness.read(PATH)).body == split(text).body
    assert harness.plan(refresh=True).empty
    assert harness.api.contents[harness.record(ITEM).content_id].title == ""


def test_a_title_that_someone_gives_it_there_comes_home(tmp_path: Path) -> None:
    """That one is a person's."""
    harness = adopted(tmp_path, PLAIN)
    harness.api.edit(harness.record(ITEM).content_id, PLAIN, title="Theirs")
    assert [one.refused for one in harness.pull()] == [""]
    assert harness.read(PATH) == f"---\ntitle: Theirs\n---\n\n{PLAIN}"
    assert harness.plan(refresh=True).empty


@pytest.mark.parametrize("lost", [(), ("contents",), ("cache",)], ids=["", "gone there", "no cache"])
def test_one_apply_restores_a_file_with_another_title(tmp_path: Path, lost: tuple[str, ...], processes: None) -> None:
    """The title that a person had saved, where someone still has it, else the one that was last written."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    ours = harness.record("one").title
    harness.edit("out/one.md", f"title: {ours}", "title: Mine")
    harness.apply()
    content = harness.record("one").content_id
    assert harness.api.contents[content].title == "Mine"
    if "contents" in lost:
        harness.api.contents.clear()
    if "cache" in lost:
        shutil.rmtree(harness.root / ".contentops/cache")
    (harness.root / "out/one.md").unlink()
    assert results(harness.apply()) == {"one": "done"}
    title = split(harness.read("out/one.md")).title
    assert title == (ours if "contents" in lost else "Mine")
    assert harness.plan().empty, harness.plan().changes
    assert harness.api.contents[harness.record("one").content_id].title == title


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
