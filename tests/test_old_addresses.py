"""A page that moves keeps its old address, where the preset has a key for that and the address leaves no doubt."""

from pathlib import Path
from typing import Any

import pytest

from contentops.documents.blocks import address_of
from contentops.documents.front_matter import split
from contentops.documents.preset import PRESETS, redirects_key
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, quick_folder
from tests.fakes.kills import EachKill


def _item(output: str, more: str = "", id_: str = "a") -> str:
    return f"  - id: {id_}\n    inputs: {{topic: A, target_audience: readers}}\n    output: {output}\n{more}"


def _declare(harness: Harness, *items: str, head: str = "") -> None:
    harness.write("content-items/b.yaml", f"{head}items:\n{''.join(items)}")


def _harness(root: Path, preset: str = "hugo", extra: str = "") -> Harness:
    harness = Harness(root, FakeApi(duration=30), extra=f"preset: {preset}\nmanifests: [content-items/*.yaml]\n{extra}")
    _declare(harness, _item("content/posts/Old-Name.md"))
    harness.apply()
    return harness


def front(harness: Harness, path: str) -> dict[str, Any]:
    """The front matter of a file."""
    return dict(split(harness.read(path)).front)


ADDRESSES: list[tuple[str, str, dict[str, str], str | None]] = [
    ("hugo", "content/posts/My-Post.md", {}, "/posts/my-post/"),
    ("hugo", "site/content/posts/a/index.md", {}, "/posts/a/"), ("hugo", "content/posts/_index.md", {}, "/posts/"),
    ("hugo", "content/_index.markdown", {}, "/"), ("hugo", "content/a.md", {"slug": "b"}, "/b/"),
    ("hugo", "content/posts/a/index.md", {"slug": "b"}, "/posts/b/"),
    ("hugo", "content/a.md", {"url": "/x/y/"}, "/x/y/"), ("hugo", "content/a.md", {"url": "/:year/x"}, None),
    ("hugo", "content/a.fr.md", {}, None), ("hugo", "content/a b.md", {}, None), ("hugo", "content/a.html", {}, None),
    ("hugo", "out/a.md", {}, None), ("jekyll", "_posts/2026-01-02-a.md", {}, None),
    ("jekyll", "a.md", {"permalink": "/a/"}, "/a/"), ("jekyll", "a.md", {"permalink": "/:title/"}, None),
    *((preset, "content/a.md", {}, None) for preset in ("", *PRESETS) if not redirects_key(preset)),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "output", "stated", "address"), ADDRESSES)
def test_address_by_the_rules_of_the_preset(
    preset: str, output: str, stated: dict[str, str], address: str | None
) -> None:
    """None where settings of the site could make it another one."""
    assert address_of(preset, output, stated) == address


def test_every_preset_that_redirects_has_an_address() -> None:
    """Without one, the key for old addresses would never be written."""
    assert {preset for preset, *_, address in ADDRESSES if address} == {one for one in PRESETS if redirects_key(one)}


def test_hugo_keeps_the_old_address_of_a_moved_output(tmp_path: Path) -> None:
    """Once; back and forth it never names its own, and the plan is empty each time."""
    harness = _harness(tmp_path)
    _declare(harness, _item("content/guides/new.md"))
    (change,) = harness.plan().changes
    assert (change.action, change.names, change.credits) == ("move", ("move", "update"), 0)
    harness.apply()
    assert front(harness, "content/guides/new.md")["aliases"] == ["/posts/old-name/"]
    assert harness.plan().empty
    _declare(harness, _item("content/third.md"))
    harness.apply()
    assert front(harness, "content/third.md")["aliases"] == ["/posts/old-name/", "/guides/new/"]
    assert harness.plan().empty
    _declare(harness, _item("content/posts/old-name.md"))
    harness.apply()
    assert front(harness, "content/posts/old-name.md")["aliases"] == ["/guides/new/", "/third/"]
    assert (harness.plan().empty, len(harness.api.generations)) == (True, 1)


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    """Addresses of the manifest and of the file, each once; one that was taken out of the manifest goes."""
    harness = _harness(tmp_path)
    _declare(harness, _item("content/posts/Old-Name.md", "    metadata: {redirects: [/m/, /n/]}\n"))
    harness.apply()
    harness.edit("content/posts/Old-Name.md", "aliases:\n", "aliases:\n  - /mine/\n")
    _declare(harness, _item("content/new.md", "    metadata: {redirects: [/m/, /n/]}\n"))
    harness.apply()
    assert front(harness, "content/new.md")["aliases"] == ["/m/", "/n/", "/mine/", "/posts/old-name/"]
    assert (harness.plan().empty, harness.plan().notes) == (True, ())
    _declare(harness, _item("content/new.md", "    metadata: {redirects: [/n/]}\n"))
    harness.apply()
    assert front(harness, "content/new.md")["aliases"] == ["/n/", "/mine/", "/posts/old-name/"]
    assert harness.plan().empty


def test_jekyll_says_that_the_old_address_is_not_known(tmp_path: Path) -> None:
    """Its settings make the address, and no one reads them here."""
    harness = _harness(tmp_path, "jekyll")
    _declare(harness, _item("content/new.md"))
    plan = harness.plan()
    assert [note.kind for note in plan.notes] == ["old-address"]
    assert "it is missing from `redirect_from`" in plan.notes[0].message
    harness.apply()
    assert "redirect_from" not in front(harness, "content/new.md")
    assert harness.plan().notes == ()
    _declare(harness, _item("content/new.md", "    metadata: {tags: [x]}\n"))
    assert (harness.plan().empty, harness.plan().notes) == (False, ())


def test_a_stop_at_every_step_of_a_move_loses_no_address(each_kill: EachKill) -> None:
    """Also where a person wrote one beside it."""
    with quick_folder() as folder:
        harness = _harness(folder / "whole")
        harness.edit("content/posts/Old-Name.md", "title: ", "aliases: [/mine/]\ntitle: ")
        harness.apply()
        _declare(harness, _item("content/new.md"))
        stops = each_kill(harness, folder, harness.apply)
        assert len(stops) > 3
        assert front(harness, "content/new.md")["aliases"] == ["/mine/", "/posts/old-name/"]
        for where, left in stops.items():
            left.apply()
            assert left.tree("content") == harness.tree("content"), where
            assert left.record("a").addresses == harness.record("a").addresses, where
            assert left.plan().empty, where
