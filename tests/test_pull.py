"""`contentops pull`: words that were edited in WriterzRoom become an edit of the file, on request alone."""

from pathlib import Path
from typing import Any

import pytest

from contentops.documents.clean import body_digest
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill

THEIRS = "## Introduction\n\nTheir words.\n"


def _harness(tmp_path: Path, *ids: str, manifest: str = "", **habits: Any) -> Harness:
    harness = Harness(tmp_path, FakeApi(duration=30, **habits))
    harness.write("content/blog.yaml", manifest or blog(*(ids or ("one",))))
    harness.apply()
    return harness


def _edit(harness: Harness, item: str = "one", body: str = THEIRS, **given: Any) -> None:
    harness.api.edit(harness.record(item).content_id, body, **given)


def _pulled(harness: Harness, *items: str) -> dict[str, bool]:
    """Pull; which items have the words now."""
    return {one.id: not one.refused for one in harness.pull(*items)}


def _is_done(harness: Harness) -> bool:
    """Whether nothing is left: no change and no note, with and without a refresh, and an apply changes nothing."""
    before = harness.bytes()
    plans = harness.plan(), harness.plan(refresh=True)
    harness.apply()
    return all(plan.empty and not plan.notes for plan in plans) and harness.bytes() == before


def test_pulled_words_are_a_persons_and_saved(tmp_path: Path) -> None:
    """Body and title come into the file, nothing is saved again, and a changed request does not replace them."""
    harness = _harness(tmp_path, "one", "two")
    generated, saves = harness.record("one").generated, harness.api.count("save")
    _edit(harness, title="Their title")
    assert _pulled(harness) == {"one": True}
    assert "Their words." in harness.read("out/one.md")
    assert "title: Their title" in harness.read("out/one.md")
    assert "item: one" in harness.read("out/one.md")
    record = harness.record("one")
    assert record.saved is not None
    assert (record.generated, record.saved.body) == (generated, body_digest(THEIRS))
    assert _is_done(harness)
    assert (_pulled(harness), harness.api.count("save"), harness.api.credits) == ({}, saves, 8)
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    assert harness.actions()["one"] == "blocked"


def test_a_file_that_was_changed_too_is_left_alone_by_name(tmp_path: Path) -> None:
    """A body, a title, and a text that was generated and not saved; the other items go on."""
    harness = _harness(tmp_path, "one", "two", "three")
    harness.edit("out/one.md", "Closing", "MINE")
    harness.edit("out/two.md", "title: ", "title: My ")
    before = harness.tree("out")
    for item in ("one", "two", "three"):
        _edit(harness, item)
    done = {str(one.id): one.refused for one in harness.pull()}
    assert [bool(done[item]) for item in ("one", "two", "three")] == [True, True, False]
    assert "`out/one.md` was changed too" in done["one"]
    assert "`contentops diff one --remote`" in done["one"]
    assert {path: text for path, text in harness.tree("out").items() if "three" not in path} == {
        path: text for path, text in before.items() if "three" not in path
    }
    assert harness.actions(refresh=True) == {"one": "blocked", "two": "blocked"}


def test_words_that_were_saved_before_are_kept_as_a_copy(tmp_path: Path) -> None:
    """They are a person's, and in no job."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "Closing", "MINE")
    harness.apply()
    mine = harness.read("out/one.md")
    _edit(harness)
    (one,) = harness.pull()
    assert harness.read(one.copy) == mine
    assert _is_done(harness)


@pytest.mark.parametrize("template", [True, False], ids=["", "adopted"])
def test_protection_keeps_a_generated_text(tmp_path: Path, *, template: bool) -> None:
    """Until `protected: false` is applied; an adopted file is protected from generations alone."""
    manifest = blog("one").replace("    inputs", "    protected: true\n    inputs")
    harness = _harness(tmp_path)
    if template:
        harness.write("content/blog.yaml", manifest)
    else:
        harness.write("content/blog.yaml", "items:\n  - {id: one, protected: true, template: null, style: null}\n")
    harness.apply()
    _edit(harness)
    before = harness.read("out/one.md")
    assert _pulled(harness) == {"one": not template}
    assert (harness.read("out/one.md") == before) is template
    if template:
        harness.write("content/blog.yaml", blog("one").replace("    inputs", "    protected: false\n    inputs"))
        harness.apply()
        assert _pulled(harness) == {"one": True}


HOSTILE = "---\ntitle: Theirs\ncontentops: {item: two}\nevil: true\n---\n\n## A\x1b[31m\n\n<<<<<<< a\n---\nTheirs.\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["", "windows"])
@pytest.mark.parametrize("body", [THEIRS, HOSTILE], ids=["", "hostile"])
def test_a_file_keeps_its_line_endings_and_front_matter(tmp_path: Path, newline: str, body: str) -> None:
    """Front matter that came with the text is left out, and a note says so; control characters are removed."""
    harness = _harness(tmp_path)
    path = harness.root / "out/one.md"
    path.write_bytes(path.read_bytes().replace(b"\n", newline.encode()))
    head = path.read_bytes().split(f"{newline}---{newline}".encode())[0]
    _edit(harness, body=body)
    noted = {note.kind for note in harness.plan(refresh=True).notes}
    assert noted == {"edited-on-server"} | ({"front-matter-there"} if body == HOSTILE else set())
    assert _pulled(harness) == {"one": True}
    text = path.read_bytes()
    assert text.startswith(head)
    assert text.count(b"\r\n") == (text.count(b"\n") if newline == "\r\n" else 0)
    assert b"Their" in text
    assert b"evil" not in text
    assert b"\x1b" not in text
    assert harness.plan(refresh=True).empty


@pytest.mark.parametrize("words", ["generated", "a person's"])
def test_a_stop_at_every_step_of_a_pull_ends_like_one_that_was_not_stopped(
    root: Path, words: str, each_kill: EachKill
) -> None:
    """Pulled again: the same files, records and contents, nothing is paid for, and no words are lost."""
    harness = _harness(root / "undisturbed", "one", "two")
    if words != "generated":
        harness.edit("out/one.md", "Closing", "MINE")
        harness.apply()
    _edit(harness, "one", title="Theirs")
    _edit(harness, "two")
    spent, saves = harness.api.credits, harness.api.count("save")
    stops = each_kill(harness, root, harness.pull)
    expected = harness.tree("out")
    assert len(stops) > 5
    for where, stop in stops.items():
        assert all(_pulled(stop).values()), where
        assert stop.tree("out") == expected, where
        assert _is_done(stop), where
        assert (stop.api.credits, stop.api.count("save")) == (spent, saves), where
        for item in ("one", "two"):
            saved, wanted = stop.record(item).saved, harness.record(item).saved
            assert saved == wanted, where
        if words != "generated":
            assert any("MINE" in path.read_text("utf-8") for path in stop.root.rglob("replaced/**/*.md")), where


def test_a_stop_of_a_pull_may_be_followed_by_an_apply(root: Path, each_kill: EachKill) -> None:
    """The apply records what was written, and neither saves nor pays."""
    harness = _harness(root / "undisturbed")
    _edit(harness, title="Theirs")
    saves = harness.api.count("save")
    for where, stop in each_kill(harness, root, harness.pull).items():
        run = stop.apply()
        assert run is None or results(run) == {"one": "done"}, where
        assert (stop.api.count("save"), stop.api.credits) == (saves, harness.api.credits), where
        stop.pull()
        assert stop.tree("out") == harness.tree("out"), where
        assert _is_done(stop), where
