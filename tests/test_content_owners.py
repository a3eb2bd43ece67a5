"""One stored content belongs to one record: what another item, environment or open submit owns is never taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import UsageError
from contentops.model import ItemId
from contentops.operations.records import resolve
from tests.fakes.api import FakeApi, on
from tests.fakes.scene import Scene, blog, results
from tests.test_promote import Room

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SAME_SERVER = """\
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {output: "live/{{ item.id }}.md"}
"""
STRICT = ", defaults: {checks: {words: {min: 900}}}"
WORDS = "## Words of one environment"


def _rooms(root: Path, **habits: bool) -> tuple[Room, Room]:
    """Prod, applied, and staging, where nothing was, on one server."""
    prod = Room(root, "prod", FakeApi(duration=30, **habits), extra=SAME_SERVER)
    staging = Room(root, "staging", prod.api, extra=SAME_SERVER)
    staging.timeline = prod.timeline
    prod.write("content/blog.yaml", blog("one"))
    assert results(prod.apply()) == {"one": "done"}
    return prod, staging


@pytest.mark.parametrize("auto_save", [True, False], ids=["autosaving", "saving"])
def test_two_environments_on_one_server_have_a_content_each(tmp_path: Path, auto_save: bool) -> None:
    """One request is paid for once, and what is typed in one environment stays there."""
    prod, staging = _rooms(tmp_path, auto_save=auto_save)
    assert results(staging.apply()) == {"one": "done"}
    assert len(prod.api.generations) == 1
    theirs, ours = prod.record("one").content_id, staging.record("one").content_id
    assert theirs != ours
    assert {theirs, ours} == set(prod.api.contents)
    staging.edit("staging/one.md", "## Closing", WORDS)
    assert results(staging.apply()) == {"one": "done"}
    assert WORDS in prod.api.contents[ours].body
    assert WORDS not in prod.api.contents[theirs].body
    assert prod.plan(refresh=True).empty


def test_two_environments_of_the_bundled_server(project: Build, invoke: Run) -> None:
    """Environments of one checkout share the bundled server, and no content on it."""
    settings = (
        'version: 1\nproject: acme\napi: {base_url: local}\nenvironments: {staging: {output: "s/{{ item.id }}.md"}}\n'
    )
    defaults = "defaults: {template: blog_article_generator, style: general_blog}\n"
    root = project({"contentops.yaml": settings + defaults, "content/blog.yaml": blog("one")})
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert invoke("apply", "--yes", "--env", "staging", cwd=root).code == 0
    file = root / "s/one.md"
    file.write_text(f"{file.read_text()}\n{WORDS}\n")
    assert invoke("apply", "--yes", "--env", "staging", cwd=root).code == 0
    assert invoke("plan", "--refresh", "--detailed-exitcode", cwd=root).code == 0
    assert invoke("plan", "--refresh", "--detailed-exitcode", "--env", "staging", cwd=root).code == 0
    assert len(invoke("content", "list", "--json", cwd=root).json["contents"]) == 2


@pytest.mark.parametrize("auto_save", [True, False], ids=["autosaving", "saving"])
@pytest.mark.parametrize("prune", [True, False], ids=["pruned", "kept"])
def test_one_item_goes_and_two_ask_for_its_request(tmp_path: Path, auto_save: bool, prune: bool) -> None:
    """One takes over its content; the other's text is saved as new."""
    scene = Scene(tmp_path, FakeApi(duration=30, auto_save=auto_save))
    scene.write("content/blog.yaml", blog("old", "other"))
    scene.apply()
    if prune:
        scene.write("content/blog.yaml", blog("other"))
        scene.apply(prune=True)
    same = blog("old").removeprefix("items:\n")
    scene.write(
        "content/blog.yaml",
        "".join([blog("other"), same.replace("id: old", "id: a"), same.replace("id: old", "id: b")]),
    )
    run = scene.apply()
    assert set(results(run).values()) == {"done"}
    assert scene.api.charged("All about old in 2026") == 1
    ids = [scene.record(item).content_id for item in ("a", "b", "other")]
    assert len(set(ids)) == 3
    assert set(ids) == set(scene.api.contents)
    assert not scene.record("b").superseded
    scene.edit("out/b.md", "## Closing", WORDS)
    scene.apply()
    assert WORDS not in scene.api.contents[scene.record("a").content_id].body
    assert scene.plan(refresh=True).empty


def test_a_content_of_an_open_submit_is_not_taken(tmp_path: Path) -> None:
    """Another environment's text is paid for and held back by its checks: the content is still its own."""
    strict = SAME_SERVER.replace('md"}\n', 'md", defaults: {checks: {words: {min: 900}}}}\n').replace(STRICT, "", 1)
    prod = Room(tmp_path, "prod", FakeApi(duration=30), extra=strict)
    staging = Room(tmp_path, "staging", prod.api, extra=strict)
    staging.timeline = prod.timeline
    prod.write("content/blog.yaml", blog("one"))
    assert results(prod.apply()) == {"one": "blocked"}
    assert results(staging.apply()) == {"one": "done"}
    (entry,) = prod.state.entries.values()
    assert entry.content_id not in ("", staging.record("one").content_id)
    assert len(prod.api.generations) == 1


def test_a_content_of_another_item_is_no_answer_for_a_lost_submit(tmp_path: Path) -> None:
    """A person's word gives no item what another one owns."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids="ignore"))
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one", "two"))
    scene.api.fault(on("submit", 2), "reset")
    assert results(scene.apply()) == {"two": "unknown"}
    with pytest.raises(UsageError, match="is that of `one`") as refused:
        resolve(scene.project, "two", content=scene.record("one").content_id)
    assert refused.value.code == "content-taken"
    assert scene.entry("two").content_id == ""


def test_environments_that_share_a_content_already_part(tmp_path: Path) -> None:
    """Locks of an earlier version name one content twice: the first keeps it, the other's text is saved as new."""
    prod, staging = _rooms(tmp_path, auto_save=True)
    assert results(staging.apply()) == {"one": "done"}
    theirs, ours = prod.record("one").content_id, staging.record("one").content_id
    lock = tmp_path / "contentops.staging.lock"
    lock.write_text(lock.read_text().replace(ours, theirs))
    del staging.api.contents[ours]
    assert prod.plan(refresh=True).empty
    (change,) = staging.plan().changes
    assert change.id == ItemId("one")
    staging.edit("staging/one.md", "## Closing", WORDS)
    assert results(staging.apply()) == {"one": "done"}
    assert prod.record("one").content_id == theirs
    assert staging.record("one").content_id not in ("", theirs)
    assert theirs not in staging.record("one").superseded
    assert WORDS not in prod.api.contents[theirs].body
    assert staging.plan(refresh=True).empty
    assert prod.plan(refresh=True).empty
