"""Texts that were paid for once are there again for nothing: by a manifest that is put back, and by hand."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from contentops.digest import digest_text
from contentops.documents.clean import body_digest
from contentops.documents.front_matter import split
from contentops.model import OnEdit
from contentops.operations import workspace
from contentops.planning.inputs import Choice
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.digest import Digest

OUT = "out/a.md"


def rewrite(scene: Scene, year: int, **choice: object) -> None:
    """Puts another year into the manifest of `a`, and applies."""
    scene.write("content/blog.yaml", blog("a", year=year))
    scene.apply(**choice)  # type: ignore[arg-type]


# --- a manifest that is put back ---------------------------------------------------------------------------


def test_a_manifest_that_is_put_back_brings_the_last_text_of_that_request(tmp_path: Path) -> None:
    """Also where several were paid for it, and where a person had edited the file since."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    rewrite(scene, 2026)
    scene.apply(replace=("a",))
    last = scene.read(OUT)
    assert "Take 2." in last
    rewrite(scene, 2027)
    scene.edit(OUT, "## Introduction", "## A word before")
    scene.apply()
    paid = len(scene.api.generations)
    scene.write("content/blog.yaml", blog("a", year=2026))
    assert scene.actions() == {"a": "blocked"}
    assert scene.plan(on_edit=OnEdit.OVERWRITE).credits == 0
    scene.apply(on_edit=OnEdit.OVERWRITE)
    assert len(scene.api.generations) == paid
    assert scene.read(OUT).partition("---\n\n")[2] == last.partition("---\n\n")[2]
    assert scene.plan().empty


@pytest.mark.parametrize("request_ids", ["replay", "overwrite", "reject"])
def test_what_the_server_knows_by_its_id_is_not_paid_for_again(tmp_path: Path, request_ids: str) -> None:
    """On a machine without the cache the plan names the most it may cost, and the run asks before it pays."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids=request_ids))
    rewrite(scene, 2026)
    first = scene.read(OUT)
    rewrite(scene, 2027)
    shutil.rmtree(scene.root / ".contentops")
    scene.write("content/blog.yaml", blog("a", year=2026))
    assert scene.plan().credits == 4
    scene.apply()
    assert len(scene.api.generations) == 2
    assert scene.read(OUT).partition("---\n\n")[2] == first.partition("---\n\n")[2]
    assert scene.plan().empty


# --- texts in git ------------------------------------------------------------------------------------------


def in_git(scene: Scene, message: str) -> None:
    """Commits all there is."""
    git = ("git", "-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", message)):
        subprocess.run([*git, *command], cwd=scene.root, check=True, capture_output=True)


def cloned(scene: Scene, root: Path, *flags: str) -> Scene:
    """The scene on another machine: what git has, and nothing else."""
    subprocess.run(["git", "clone", "--quiet", *flags, f"file://{scene.root}", root], check=True, capture_output=True)
    settings = (root / "contentops.yaml").read_text(encoding="utf-8")
    made = Scene(root, scene.api, timeline=scene.timeline)
    made.write("contentops.yaml", settings)
    assert not (root / ".contentops").exists()
    return made


def texts(scene: Scene, *digests: Digest) -> list[str | None]:
    """What a plan finds by these digests."""
    with workspace.open_workspace(scene.project) as opened:
        inputs = opened.plan_inputs(Choice())
        return [inputs.text(digest) for digest in digests]


def test_a_clone_finds_texts_in_the_history_of_the_file(tmp_path: Path) -> None:
    """Under its earlier name too, and without front matter; a shallow one says what would bring them."""
    scene = Scene(tmp_path / "site", FakeApi(duration=30))
    rewrite(scene, 2026)
    generated = split(scene.read(OUT)).body
    in_git(scene, "Generated")
    scene.edit(OUT, "## Introduction", "## A word before")
    scene.apply()
    saved = split(scene.read(OUT)).body
    in_git(scene, "Edited")
    scene.write("contentops.yaml", scene.read("contentops.yaml") + "output: 'new/{{ item.id }}.md'\n")
    scene.apply()
    scene.edit("new/a.md", "## A word", "## Another word")
    in_git(scene, "Moved")

    clone = cloned(scene, tmp_path / "clone")
    assert texts(clone, body_digest(generated), body_digest(saved), digest_text("x")) == [generated, saved, None]
    assert workspace.why_no_text(clone.project) == ""

    shallow = cloned(scene, tmp_path / "shallow", "--depth", "1")
    assert texts(shallow, body_digest(generated)) == [None]
    assert "`fetch-depth: 0`" in workspace.why_no_text(shallow.project)


def test_without_git_there_is_only_the_cache(tmp_path: Path) -> None:
    """And the words on it say so."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    rewrite(scene, 2026)
    generated = scene.record("a").generated
    shutil.rmtree(scene.root / ".contentops")
    assert texts(scene, generated) == [None]
    assert "no git repository" in workspace.why_no_text(scene.project)
