"""Texts that were paid for once are there again for nothing: by a manifest that is put back, and by hand."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from contentops.model import OnEdit
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from pathlib import Path

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
