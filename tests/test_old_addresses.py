"""A page that moves keeps its old address, where the preset has a key for that and the address leaves no doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.documents.addresses import address_of
from contentops.documents.front_matter import split
from contentops.documents.preset import PRESETS
from tests.fakes.api import FakeApi
from tests.fakes.death import witnessed
from tests.fakes.scene import Scene, quick_folder

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def _item(output: str, more: str = "", id_: str = "a") -> str:
    return f"  - id: {id_}\n    inputs: {{topic: A, target_audience: readers}}\n    output: {output}\n{more}"


def _declare(scene: Scene, *items: str, head: str = "") -> None:
    scene.write("content-items/b.yaml", f"{head}items:\n{''.join(items)}")


def _scene(root: Path, preset: str = "hugo", extra: str = "") -> Scene:
    scene = Scene(root, FakeApi(duration=30), extra=f"preset: {preset}\nmanifests: [content-items/*.yaml]\n{extra}")
    _declare(scene, _item("content/posts/Old-Name.md"))
    scene.apply()
    return scene


def front(scene: Scene, path: str) -> dict[str, Any]:
    """The front matter of a file."""
    return dict(split(scene.read(path)).front)


@pytest.mark.parametrize(
    ("preset", "output", "stated", "address"),
    [
        ("hugo", "content/posts/My-Post.md", {}, "/posts/my-post/"),
        ("hugo", "site/content/posts/a/index.md", {}, "/posts/a/"),
        ("hugo", "content/posts/_index.md", {}, "/posts/"),
        ("hugo", "content/_index.markdown", {}, "/"),
        ("hugo", "content/a.md", {"slug": "b"}, "/b/"),
        ("hugo", "content/posts/a/index.md", {"slug": "b"}, "/posts/b/"),
        ("hugo", "content/a.md", {"url": "/x/y/"}, "/x/y/"),
        ("hugo", "content/a.md", {"url": "/:year/x"}, None),
        ("hugo", "content/a.fr.md", {}, None),
        ("hugo", "content/a b.md", {}, None),
        ("hugo", "content/a.html", {}, None),
        ("hugo", "out/a.md", {}, None),
        ("jekyll", "_posts/2026-01-02-a.md", {}, None),
        ("jekyll", "a.md", {"permalink": "/a/"}, "/a/"),
        ("jekyll", "a.md", {"permalink": "/:title/"}, None),
        *((preset, "content/a.md", {}, None) for preset in ("", "astro", "docusaurus", "pelican")),
    ],
)
def test_address_by_the_rules_of_the_preset(
    preset: str, output: str, stated: dict[str, str], address: str | None
) -> None:
    """None where settings of the site could make it another one."""
    assert address_of(preset, output, stated) == address


def test_hugo_keeps_the_old_address_of_a_moved_output(tmp_path: Path) -> None:
    """Once; back and forth it never names its own, and the plan is empty each time."""
    scene = _scene(tmp_path)
    _declare(scene, _item("content/guides/new.md"))
    (change,) = scene.plan().changes
    assert (change.action, change.names, change.credits) == ("move", ("move", "update"), 0)
    scene.apply()
    assert front(scene, "content/guides/new.md")["aliases"] == ["/posts/old-name/"]
    assert scene.plan().empty
    _declare(scene, _item("content/third.md"))
    scene.apply()
    assert front(scene, "content/third.md")["aliases"] == ["/posts/old-name/", "/guides/new/"]
    assert scene.plan().empty
    _declare(scene, _item("content/posts/old-name.md"))
    scene.apply()
    assert front(scene, "content/posts/old-name.md")["aliases"] == ["/guides/new/", "/third/"]
    assert scene.plan().empty
    assert len(scene.api.generations) == 1


def test_a_new_id_keeps_the_old_address(tmp_path: Path) -> None:
    """By `moved`, and by itself."""
    scene = Scene(
        tmp_path,
        FakeApi(duration=30),
        extra='preset: hugo\nmanifests: [content-items/*.yaml]\noutput: "content/{{ item.id }}.md"',
    )
    item = "  - id: {}\n    inputs: {{topic: A, target_audience: readers}}\n"
    _declare(scene, item.format("a"))
    scene.apply()
    _declare(scene, item.format("b"), head="moved: [{from: a, to: b}]\n")
    scene.apply()
    _declare(scene, item.format("c"))
    scene.apply()
    assert front(scene, "content/c.md")["aliases"] == ["/a/", "/b/"]
    assert scene.plan().empty


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    """Addresses of the manifest and of the file, each once; one that was taken out of the manifest goes."""
    scene = _scene(tmp_path)
    _declare(scene, _item("content/posts/Old-Name.md", "    metadata: {redirects: [/m/, /n/]}\n"))
    scene.apply()
    scene.edit("content/posts/Old-Name.md", "aliases:\n", "aliases:\n  - /mine/\n")
    _declare(scene, _item("content/new.md", "    metadata: {redirects: [/m/, /n/]}\n"))
    scene.apply()
    assert front(scene, "content/new.md")["aliases"] == ["/m/", "/n/", "/mine/", "/posts/old-name/"]
    assert (scene.plan().empty, scene.plan().notes) == (True, ())
    _declare(scene, _item("content/new.md", "    metadata: {redirects: [/n/]}\n"))
    scene.apply()
    assert front(scene, "content/new.md")["aliases"] == ["/n/", "/mine/", "/posts/old-name/"]
    assert scene.plan().empty


def test_a_stated_address_that_changes_is_kept_too(tmp_path: Path) -> None:
    """Without a move; and one that stays needs none."""
    scene = _scene(tmp_path, "jekyll")
    _declare(scene, _item("content/posts/Old-Name.md", "    metadata: {permalink: /a/}\n"))
    scene.apply()
    _declare(scene, _item("content/x.md", "    metadata: {permalink: /a/}\n"))
    scene.apply()
    assert "redirect_from" not in front(scene, "content/x.md")
    _declare(scene, _item("content/x.md", "    metadata: {permalink: /b/}\n"))
    scene.apply()
    assert front(scene, "content/x.md")["redirect_from"] == ["/a/"]
    assert scene.plan().empty


def test_jekyll_says_that_the_old_address_is_not_known(tmp_path: Path) -> None:
    """Its settings make the address, and no one reads them here."""
    scene = _scene(tmp_path, "jekyll")
    _declare(scene, _item("content/new.md"))
    plan = scene.plan()
    assert [note.kind for note in plan.notes] == ["old-address"]
    assert "`redirect_from` does not name it" in plan.notes[0].message
    scene.apply()
    assert "redirect_from" not in front(scene, "content/new.md")
    assert scene.plan().notes == ()
    _declare(scene, _item("content/new.md", "    metadata: {tags: [x]}\n"))
    assert (scene.plan().empty, scene.plan().notes) == (False, ())


@pytest.mark.parametrize("preset", [preset for preset in PRESETS if preset not in ("hugo", "jekyll")])
def test_presets_without_a_key_leave_front_matter_alone(tmp_path: Path, preset: str) -> None:
    """And say nothing of it."""
    scene = _scene(tmp_path, preset)
    before = front(scene, "content/posts/Old-Name.md")
    _declare(scene, _item("content/new.md"))
    assert scene.plan().notes == ()
    scene.apply()
    assert front(scene, "content/new.md") == before


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    """What was written before stays."""
    scene = _scene(tmp_path)
    _declare(scene, _item("content/new.md"))
    scene.apply()
    settings = scene.read("contentops.yaml")
    scene.write("contentops.yaml", f"{settings}redirects: false\n")
    assert scene.plan().empty
    _declare(scene, _item("content/third.md"))
    scene.apply()
    assert front(scene, "content/third.md")["aliases"] == ["/posts/old-name/"]
    assert scene.plan().empty


def test_a_new_text_and_a_lost_file_keep_them(tmp_path: Path) -> None:
    """They are on record, not only in the file."""
    scene = _scene(tmp_path)
    _declare(scene, _item("content/new.md"))
    scene.apply()
    scene.apply(replace=("a",))
    assert front(scene, "content/new.md")["aliases"] == ["/posts/old-name/"]
    (scene.root / "content/new.md").unlink()
    scene.apply()
    assert front(scene, "content/new.md")["aliases"] == ["/posts/old-name/"]
    assert scene.plan().empty


def test_a_stop_at_every_step_of_a_move_loses_no_address() -> None:
    """Also where a person wrote one beside it."""
    with quick_folder() as folder:
        scene = _scene(folder / "whole")
        scene.edit("content/posts/Old-Name.md", "title: ", "aliases: [/mine/]\ntitle: ")
        scene.apply()
        _declare(scene, _item("content/new.md"))
        stops = witnessed(scene, folder, scene.apply)
        assert len(stops) > 3
        assert front(scene, "content/new.md")["aliases"] == ["/mine/", "/posts/old-name/"]
        for where, left in stops.items():
            left.apply()
            assert left.tree("content") == scene.tree("content"), where
            assert left.record("a").addresses == scene.record("a").addresses, where
            assert left.plan().empty, where
