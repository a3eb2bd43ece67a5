"""Servers that change what they store: every later save goes on, and no one's edit is taken for the server's doing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contentops.digest import NOTHING
from contentops.execution.primitives import Stop
from contentops.execution.run_context import ServerCapabilities
from contentops.model import Saved, State
from contentops.state.cache import Cache
from tests.fakes.api import Killed, on
from tests.fakes.death import witnessed
from tests.fakes.scene import Scene, blog, results
from tests.fakes.tidy import TidyApi, curl, keep, rewrite, strip
from tests.plans import a_digest, make_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentops.digest import Digest
    from contentops.model import Event

TIDY = pytest.mark.parametrize("tidy", [strip, curl, rewrite], ids=["strips", "curls", "rewrites"])
ANY = pytest.mark.parametrize("tidy", [keep, strip, curl, rewrite], ids=["keeps", "strips", "curls", "rewrites"])
DATES = pytest.mark.parametrize("dates", [True, False], ids=["dates edits", "dates nothing"])


def _done(root: Path, api: TidyApi, *items: str) -> Scene:
    """A scene whose items are generated and saved."""
    scene = Scene(root, api)
    scene.write("content/blog.yaml", blog(*(items or ("one",))))
    assert set(results(scene.apply()).values()) == {"done"}
    return scene


def _saved(scene: Scene, item: str = "one") -> Saved:
    saved = scene.record(item).saved
    assert saved is not None
    return saved


def _by_hand(scene: Scene, words: str, item: str = "one") -> None:
    scene.write(f"out/{item}.md", scene.read(f"out/{item}.md") + f"\n{words}\n")


def _bodies(scene: Scene) -> list[str]:
    return [stored.body for stored in scene.api.contents.values()]


def _stored(scene: Scene, item: str = "one") -> str:
    return scene.api.contents[scene.record(item).content_id].body


def _cut_off(scene: Scene, **where: int) -> None:
    for name, n in where.items():
        scene.api.fault(on(name.replace("_", " "), n), "kill")
    with pytest.raises(Killed):
        scene.apply()
    scene.api.heal()


@pytest.mark.parametrize(
    ("known", "given_back", "alters"),
    [
        (None, NOTHING, None),
        (None, a_digest("2"), True),
        (True, NOTHING, True),
        (False, NOTHING, False),
        (False, a_digest("2"), True),
    ],
)
def test_a_text_given_back_otherwise_proves_that_a_server_changes_texts(
    root: Path, known: Any, given_back: Digest, alters: Any
) -> None:
    """With or without the cache, which alone knows of a server that changes none."""
    record = make_record("one", server="s", saved=Saved(body=a_digest("1"), server_body=given_back))
    with Cache(root / "cache") as cache:
        cache.put_server_facts("s", {"alters_texts": known})
        capabilities = ServerCapabilities.load(cache, State(lineage="l", records={record.id: record}), "s")
    assert capabilities.alters_texts is alters


# --- what it costs ------------------------------------------------------------------------------------------


def test_a_server_that_keeps_texts_is_looked_at_once(root: Path) -> None:
    """One fetch after the first save tells; from then on a save is one request, also in later runs."""
    scene = _done(root, TidyApi(), "one", "two", "three")
    assert scene.api.count("get content") == 1
    scene.write("content/blog.yaml", blog("one", "two", "three", "four"))
    before = len(scene.api.requests)
    assert results(scene.apply()) == {"four": "done"}
    assert [seen.name for seen in scene.api.requests[before:] if seen.name != "status"] == ["submit", "save"]
    looked = [item for item in ("one", "two", "three", "four") if _saved(scene, item).server_body]
    assert len(looked) == 1
    assert _saved(scene, looked[0]).server_body == _saved(scene, looked[0]).body


def test_saves_at_the_same_time_ask_once(root: Path) -> None:
    """Items saved while the first look is under way wait for its answer instead of asking themselves."""
    scene = Scene(root, TidyApi())
    scene.write("content/blog.yaml", blog("zero"))
    scene.api.fault(on("get content"), 503)
    scene.apply()
    scene.api.heal()
    before = scene.api.count("get content")
    scene.write("content/blog.yaml", blog("zero", *(f"item-{n}" for n in range(12))))
    assert set(results(scene.apply()).values()) == {"done"}
    assert scene.api.count("get content") == before + 1


def test_a_server_that_changes_texts_is_looked_at_after_each_save(root: Path) -> None:
    """What it gave back is on record for every item, once for each save."""
    scene = _done(root, TidyApi(curl), "one", "two", "three")
    assert scene.api.count("get content") == 3
    for item in ("one", "two", "three"):
        saved = scene.record(item).saved
        assert saved is not None
        assert saved.server_body not in ("", saved.body)
        assert saved.server_title not in ("", saved.title)


# --- later saves --------------------------------------------------------------------------------------------


@ANY
def test_edits_by_hand_are_saved_again_and_again(root: Path, tidy: Callable[[str], str]) -> None:
    """Whatever the server makes of a text, the next edit of the file is saved over it."""
    scene = _done(root, TidyApi(tidy))
    for words in ("By hand...", 'Once "more"  ', "And it's again -- example.com"):
        _by_hand(scene, words)
        assert results(scene.apply()) == {"one": "done"}
        assert tidy(words.strip()) in _stored(scene)
        assert scene.plan().empty
    assert len(scene.api.contents) == 1


@ANY
def test_a_new_text_is_saved_over_the_old_one(root: Path, tidy: Callable[[str], str]) -> None:
    """A changed spec is paid for once, saved, and the plan is empty."""
    scene = _done(root, TidyApi(tidy))
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(scene.apply()) == {"one": "done"}
    assert "2027" in _stored(scene)
    assert scene.api.credits == 8
    assert scene.plan().empty


@ANY
def test_a_clone_without_cache_saves_too(root: Path, tidy: Callable[[str], str]) -> None:
    """What the server gave back is in the lock, so a machine that has nothing else saves over it."""
    scene = _done(root, TidyApi(tidy))
    shutil.rmtree(scene.root / ".contentops")
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "done"}
    assert "By hand" in _stored(scene)
    assert scene.plan().empty


@ANY
def test_a_text_the_server_stored_itself_is_saved_over(root: Path, tidy: Callable[[str], str]) -> None:
    """The status gives the text and names the content, but the store has its own version of it."""
    scene = _done(root, TidyApi(tidy, auto_save=True))
    assert scene.api.count("save") == 0
    shutil.rmtree(scene.root / ".contentops")
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "done"}
    assert "By hand" in _stored(scene)
    assert len(scene.api.contents) == 1


def test_a_new_text_the_server_stored_itself_gets_our_title(root: Path) -> None:
    """The manifest's title goes over the content that the server made of a new text, long after the last save."""
    scene = Scene(root, TidyApi(auto_save=True))
    scene.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))
    assert results(scene.apply()) == {"one": "done"}
    scene.timeline.now += 86_400
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.contents[scene.record("one").content_id].title == "Mine"
    assert scene.plan().empty


@TIDY
@pytest.mark.parametrize("edited", [False, True], ids=["", "edited"])
def test_what_the_server_stored_by_itself_is_saved_over_as_it_was_created(
    root: Path, tidy: Callable[[str], str], *, edited: bool
) -> None:
    """Nothing was changed in it since: what it made of the text is its own doing, and a copy stays. Else it is left."""
    scene = Scene(root, TidyApi(tidy, auto_save=True))
    scene.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))

    def edit() -> Any:
        (content,) = scene.api.contents
        scene.api.edit(content, "Their words.\n")
        return httpx.Response(503)

    if edited:
        scene.api.fault(on("get content", 1), edit)
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "blocked" if edited else "done"}
    assert "title: Mine" in scene.read("out/one.md")
    if edited:
        assert "delete the content" in run.outcomes[0].hint
        assert _bodies(scene) == ["Their words.\n"]
        scene.api.contents.clear()
        assert results(scene.apply()) == {"one": "done"}
    else:
        assert "Take 1." in scene.read(run.outcomes[0].copy)
    assert scene.plan().empty
    assert scene.api.credits == 4


@pytest.mark.parametrize("habits", [{}, {"stamps": True}, {"auto_save": True}, {"create_only": True}], ids=str)
@pytest.mark.parametrize("cache", [True, False], ids=["", "without cache"])
def test_a_server_that_changes_some_texts_alone_is_in_no_ones_way(
    root: Path, habits: dict[str, Any], *, cache: bool
) -> None:
    """The first text came back unchanged. Each later one is saved, whatever became of it, and a refresh sees no edit."""
    scene = _done(root, TidyApi(keep, **habits), "one", "two")
    assert isinstance(scene.api, TidyApi)
    scene.api.tidy = curl
    for words in ("It's by hand...", "And it's again...", "And it's once more..."):
        _by_hand(scene, words)
        assert results(scene.apply()) == {"one": "done"}
        assert curl(words) in _stored(scene)
        if not cache:
            shutil.rmtree(scene.root / ".contentops")
        assert scene.plan(refresh=True).empty
    scene.write("content/blog.yaml", blog("one", "two", "three"))
    assert results(scene.apply()) == {"three": "done"}
    assert scene.plan(refresh=True).empty
    _by_hand(scene, "It's by hand...", "three")
    assert results(scene.apply()) == {"three": "done"}
    scene.api.edit(scene.record("three").content_id, "Their words.\n")
    assert scene.actions(refresh=True) == {"three": "pull"}


# --- a person's edit there ------------------------------------------------------------------------------------


@ANY
@DATES
@pytest.mark.parametrize("cache", [True, False], ids=["", "without cache"])
def test_an_edit_there_is_never_overwritten(
    root: Path, tidy: Callable[[str], str], *, dates: bool, cache: bool
) -> None:
    """A word changed in WriterzRoom blocks the save, on every kind of server; hand edits and new texts alike."""
    scene = _done(root, TidyApi(tidy, dates=dates))
    content = scene.record("one").content_id
    theirs = _stored(scene).replace("that", "this")
    assert theirs != _stored(scene)
    scene.api.edit(content, theirs)
    if not cache:
        shutil.rmtree(scene.root / ".contentops")
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.api.contents[content].body == theirs
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    scene.apply(on_edit="overwrite")
    assert scene.api.contents[content].body == theirs
    assert len(scene.api.contents) == 1


@ANY
def test_a_title_given_there_is_never_overwritten(root: Path, tidy: Callable[[str], str]) -> None:
    """The same for a title."""
    scene = _done(root, TidyApi(tidy))
    content = scene.record("one").content_id
    scene.api.edit(content, _stored(scene), title="A better one")
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.api.contents[content].title == "A better one"


@ANY
def test_what_the_hint_says_helps_for_good(root: Path, tidy: Callable[[str], str]) -> None:
    """Deleted there, the file is saved as new; taken into the file, it is saved; both times later saves go on."""
    scene = _done(root, TidyApi(tidy))
    content = scene.record("one").content_id
    scene.api.edit(content, "Edited there...\n")
    _by_hand(scene, "By hand...")
    run = scene.apply()
    assert run is not None
    assert "delete the content" in run.outcomes[0].hint
    del scene.api.contents[content]
    assert results(scene.apply()) == {"one": "done"}
    assert "By hand" in _stored(scene)
    theirs = 'Edited there\'s "again"...\n'
    scene.api.edit(scene.record("one").content_id, theirs)
    _by_hand(scene, "Once more...")
    assert results(scene.apply()) == {"one": "blocked"}
    head = scene.read("out/one.md").split("\n---\n", 1)[0]
    scene.write("out/one.md", f"{head}\n---\n\n{theirs}")
    assert results(scene.apply()) == {"one": "done"}
    _by_hand(scene, "And again...")
    assert results(scene.apply()) == {"one": "done"}
    assert "And again" in _stored(scene)
    assert scene.plan().empty


@TIDY
@DATES
def test_a_look_that_comes_late_does_not_take_an_edit_for_the_servers_doing(
    root: Path, tidy: Callable[[str], str], *, dates: bool
) -> None:
    """Edited between the save and a look that had to wait: not recorded as ours, and not overwritten.

    Where the server does not date edits, nothing tells that it is one: then a copy stays.
    """
    scene = Scene(root, TidyApi(tidy, dates=dates))
    scene.write("content/blog.yaml", blog("one"))
    theirs = "Edited there.\n"

    def edit_and_refuse() -> Any:
        (content,) = scene.api.contents
        scene.api.edit(content, theirs)
        return httpx.Response(429, json={"error": "slow"}, headers={"Retry-After": "40"})

    scene.api.fault(on("get content", 1), edit_and_refuse)
    assert results(scene.apply()) == {"one": "done"}
    _by_hand(scene, "By hand")
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "blocked" if dates else "done"}
    assert (_stored(scene) if dates else scene.read(run.outcomes[0].copy)) == theirs


# --- cut off ---------------------------------------------------------------------------------------------------


@TIDY
@pytest.mark.parametrize("edited", [False, True], ids=["", "edited"])
def test_killed_between_a_save_and_the_look_after_it(root: Path, tidy: Callable[[str], str], *, edited: bool) -> None:
    """What the server made of the text is not on record; the stamp says whether anyone else changed it since."""
    scene = Scene(root, TidyApi(tidy))
    scene.write("content/blog.yaml", blog("one"))
    _cut_off(scene, get_content=1)
    scene.apply()
    (content,) = scene.api.contents
    if edited:
        scene.api.edit(content, "Their words.\n")
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "blocked" if edited else "done"}
    assert (_bodies(scene) == ["Their words.\n"]) is edited
    assert ("By hand" in _stored(scene)) is not edited


@TIDY
@pytest.mark.parametrize("fault", ["reset", "504", "500-after", "truncated"])
@pytest.mark.parametrize("create_only", [False, True], ids=["overwrites", "creates only"])
def test_lost_answers_store_nothing_twice(
    root: Path, tidy: Callable[[str], str], fault: Any, *, create_only: bool
) -> None:
    """A save that arrived is known again by what was sent with it, whatever became of its text."""
    scene = Scene(root, TidyApi(tidy, create_only=create_only))
    scene.write("content/blog.yaml", blog("one"))
    scene.api.fault(on("save", 1, 2), fault)
    assert results(scene.apply()) == {"one": "done"}
    assert len(scene.api.contents) == 1
    scene.api.heal()
    scene.api.fault(on("save", 2, 3), fault)
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "done"}
    record = scene.record("one")
    assert {record.content_id, *record.superseded} == set(scene.api.contents)
    assert "By hand" in _stored(scene)
    assert scene.plan().empty


def test_a_changed_quote_is_not_taken_for_a_save_that_arrived(root: Path) -> None:
    """An edit of nothing but typography whose save was lost is sent again."""
    scene = _done(root, TidyApi(curl))
    scene.edit("out/one.md", "it -- see", "it - see")
    scene.api.fault(on("save", 2), "drop")
    assert results(scene.apply()) == {"one": "done"}
    assert "it - see" in _stored(scene)


@pytest.mark.parametrize("status", [403, 404, 500, 503], ids=str)
def test_a_look_without_answer_fails_nothing(root: Path, status: int) -> None:
    """The text is saved and on record; the look is not tried for every item; what it missed is known by its stamp."""
    scene = Scene(root, TidyApi(curl))
    scene.api.fault(on("get content"), status)
    scene.write("content/blog.yaml", blog("one", "two", "three"))
    assert set(results(scene.apply()).values()) == {"done"}
    assert scene.plan().empty
    assert len({seen.path for seen in scene.api.requests if seen.name == "get content"}) == 1
    scene.api.heal()
    _by_hand(scene, "By hand...")
    assert results(scene.apply()) == {"one": "done"}
    assert "By hand" in _stored(scene)


def test_interrupted_in_the_middle_of_a_look(root: Path) -> None:
    """The save is done; a stop while its look is under way leaves nothing to do."""
    scene = Scene(root, TidyApi(curl))
    scene.write("content/blog.yaml", blog("one"))
    stop = Stop()

    def ask(event: Event) -> None:
        if event.kind == "step-done" and event.step == "save":
            stop.request()

    assert results(scene.apply(stop=stop, emit=ask)) == {"one": "done"}
    assert scene.plan().empty


@pytest.mark.parametrize("habits", [{}, {"create_only": True}, {"auto_save": True}], ids=str)
def test_a_stop_at_every_step_on_a_server_that_changes_texts(root: Path, habits: dict[str, Any]) -> None:
    """Stopped anywhere, run again, edited by hand and applied: nothing paid or stored twice, no text lost.

    Where it came between a save and the look after it, the server's stamp says that no one changed the content since.
    """
    whole = Scene(root / "whole", TidyApi(curl, **habits))
    whole.write("content/blog.yaml", blog("one", "two"))
    for where, scene in witnessed(whole, root, whole.apply).items():
        for _ in range(2):
            scene.apply()
        assert scene.plan().empty, where
        assert len(scene.api.contents) == 2, where
        _by_hand(scene, "By hand...")
        assert results(scene.apply()) == {"one": "done"}, where
        assert "By hand" in _stored(scene), where
        assert scene.plan().empty, where
        assert scene.api.credits == 8, where


# --- restore ---------------------------------------------------------------------------------------------------


@ANY
def test_a_missing_file_comes_back_as_the_server_has_it(root: Path, tidy: Callable[[str], str]) -> None:
    """Without cache, words by hand come back in the server's version rather than not at all; nothing is left to do."""
    scene = _done(root, TidyApi(tidy))
    _by_hand(scene, "It's by hand...")
    scene.apply()
    (scene.root / "out/one.md").unlink()
    shutil.rmtree(scene.root / ".contentops")
    assert results(scene.apply()) == {"one": "done"}
    assert tidy("It's by hand...") in scene.read("out/one.md")
    assert scene.api.credits == 4
    assert scene.plan().empty
