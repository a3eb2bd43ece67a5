"""A text that may be stored already is searched for: each content is fetched once, and nothing is stored twice."""

import collections
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.execution.content_search import STRANGERS
from contentops.operations import state as mending
from tests.fakes.api import FakeApi, Generation, Killed, Stored, on
from tests.fakes.harness import Harness, blog, results

ITEMS = tuple(f"item-{n:02}" for n in range(12))


class OneTitle(FakeApi):
    """A server that titles every text alike."""

    def _written(self, job: Generation) -> tuple[str, str]:
        return "Blog Article Generator", job.text


def _harness(root: Path, api: FakeApi, *items: str) -> Harness:
    return Harness(root, api).declared(*(items or ITEMS))


def _fetches(api: FakeApi) -> collections.Counter[str]:
    return collections.Counter(seen.path for seen in api.requests if seen.name == "get content")


def _strangers(harness: Harness, number: int, *, ago: float) -> None:
    """Contents other people stored, some time ago."""
    for n in range(number):
        stored = Stored(f"theirs-{n}", f"Theirs {n}", f"Their words {n}.\n", -ago, -ago)
        harness.api.contents[stored.id] = stored


@pytest.mark.parametrize("page", [0, 5], ids=["one list", "in pages"])
def test_texts_the_server_stores_without_naming_them(root: Path, page: int) -> None:
    """All titled alike, stored by the server itself: none is stored twice, none fetched twice.

    A text is found on whatever page; what was made long before is not asked for.
    """
    harness = _harness(root, OneTitle(duration=30, names_content=False, page=page))
    _strangers(harness, 500 if page else 0, ago=100_000.0)
    strangers = set(harness.api.contents)
    assert set(results(harness.apply()).values()) == {"done"}
    assert (harness.api.count("save"), set(_fetches(harness.api).values())) == (0, {1})
    assert {harness.record(item).content_id for item in ITEMS} == set(harness.api.contents) - strangers
    pages = {seen.query for seen in harness.api.requests if seen.name == "list content"}
    assert pages >= ({"", "page=2&limit=5"} if page else {""})
    assert max(int(query.split("&")[0].removeprefix("page=") or 1) for query in pages) <= len(ITEMS) // 5 + 2


def test_what_was_stored_soonest_after_the_submit_is_fetched_first(root: Path) -> None:
    """Of contents under other titles, the one nearest in time is fetched first: here it is the text."""
    harness = Harness(root, OneTitle(duration=30, names_content=False))
    harness.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))
    _strangers(harness, 20, ago=600.0)
    assert results(harness.apply()) == {"one": "done"}
    assert not any("theirs" in path for path in _fetches(harness.api))


def test_too_many_contents_to_look_at(root: Path) -> None:
    """Where hundreds of contents of the time in question belong to no one, a save is blocked rather than doubled."""
    harness = _harness(root, FakeApi(duration=30, auto_save=False), "one")
    _strangers(harness, STRANGERS + 3, ago=0.0)
    run = harness.ran()
    assert (results(run), "contentops content list" in run.outcomes[0].hint) == ({"one": "blocked"}, True)
    assert (harness.api.count("save"), sum(_fetches(harness.api).values())) == (0, STRANGERS + 2)
    for content in [id_ for id_ in harness.api.contents if id_.startswith("theirs")][5:]:
        del harness.api.contents[content]
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 4)


def test_a_content_that_can_not_be_looked_at(root: Path) -> None:
    """A server that is down for one of the contents proves nothing: the save waits for the next run."""
    harness = _harness(root, FakeApi(duration=30, names_content=False), "one")
    harness.api.fault(on("get content"), 503)
    assert (results(harness.apply()), harness.api.count("save")) == ({"one": "failed"}, 0)
    harness.api.heal()
    assert (results(harness.apply()), len(harness.api.contents)) == ({"one": "done"}, 1)


def test_an_adopted_text_is_not_searched_for_among_everything(root: Path) -> None:
    """No job made it, so no time tells when it can have been stored: its title alone does."""
    harness = _harness(root, FakeApi(duration=30, auto_save=False), "one")
    harness.apply()
    _strangers(harness, 500, ago=0.0)
    (harness.root / "contentops.lock").unlink()
    text = harness.read("out/one.md").replace("## Closing", "## By hand")
    harness.write("out/one.md", text)
    assert results(harness.apply()) == {"one": "done"}
    assert all("theirs" not in path for path in _fetches(harness.api))


# --- the text of a submit whose answer was lost --------------------------------------------------------------------


def _with_a_lost_text(root: Path, strangers: int) -> tuple[Harness, str]:
    """A lost submit whose text the server stored among as many contents of others, made nearer to when it was due."""
    harness = _harness(root, FakeApi(duration=60, request_ids="ignore"), "zero")
    harness.apply()
    harness.write("content/blog.yaml", blog("zero", "one"))
    harness.api.fault(on("submit", 2), "reset")
    assert results(harness.apply()) == {"one": "unknown"}
    lost = harness.open_job("one")
    harness.timeline.now += 300
    harness.api._settle(harness.timeline.now)
    (text,) = [each for each in harness.api.contents.values() if "All about one" in each.body]
    text.metadata["request_id"] = lost.request_id
    at = text.created
    text.created = at + 400
    for n in range(strangers):
        stored = Stored(f"theirs-{n}", f"Theirs {n}", f"Their words {n}.\n", at + n, at + n)
        harness.api.contents[stored.id] = stored
    return harness, text.id


def test_a_paid_text_among_many_contents_is_for_a_person_to_name(root: Path) -> None:
    """Each run looks at the ten nearest; the item stays unknown, and is not paid again; a person names its text.

    The contents that may be the text are listed, how many more there are is said, and the hint works as it stands.
    """
    harness, text = _with_a_lost_text(root, 25)
    before = harness.api.count("get content")
    for number in (1, 2):
        run = harness.ran()
        assert results(run) == {"one": "unknown"}
        assert harness.api.count("get content") == before + 10 * number
        (outcome,) = run.outcomes
        assert ("`theirs-" in outcome.error, "and 21 more" in outcome.error) == (True, True)
        assert f"`contentops state resolve one --request {harness.open_job('one').short} --content ID`" in outcome.hint
    mending.resolve(harness.project, "one", content=text)
    assert (results(harness.apply()), harness.record("one").content_id) == ({"one": "done"}, text)
    assert harness.api.charged("All about one in 2026") == 1
    assert harness.plan().empty


def test_contents_that_can_not_be_read_hide_no_text(root: Path) -> None:
    """What the server does not give now is requested again by the next apply."""
    harness, text = _with_a_lost_text(root, 5)
    harness.api.fault(on("get content", *range(1, 200)), lambda: httpx.Response(403, json={"detail": "no"}))
    assert results(harness.apply()) == {"one": "unknown"}
    harness.api.heal()
    assert (results(harness.apply()), harness.record("one").content_id) == ({"one": "done"}, text)


def test_a_content_is_looked_at_again_once_it_has_changed(root: Path) -> None:
    """What it held before says nothing of what it holds now."""
    harness, text = _with_a_lost_text(root, 0)
    request = harness.api.contents[text].metadata.pop("request_id")
    assert results(harness.apply()) == {"one": "unknown"}
    harness.api.contents[text].metadata["request_id"] = request
    harness.api.contents[text].updated += 60
    assert results(harness.apply()) == {"one": "done"}


# --- titles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "kill-after"])
@pytest.mark.parametrize("habits", [{}, {"create_only": True}, {"create_only": True, "put": False}], ids=str)
def test_a_new_title_whose_save_was_lost(root: Path, habits: dict[str, Any], fault: Any) -> None:
    """Body as before, only the title new: every content is the item's own or listed as superseded."""
    harness = _harness(root, FakeApi(duration=30, auto_save=False, **habits), "one")
    harness.apply()
    harness.write("out/one.md", re.sub(r"(?m)^title: .*$", "title: Mine", harness.read("out/one.md")))
    harness.api.fault(on("save", 2), fault)
    for _ in range(2):
        try:
            harness.apply()
        except Killed:
            harness.api.heal()
    record = harness.record("one")
    assert harness.api.contents[record.content_id].title == "Mine"
    assert {record.content_id, *record.superseded} == set(harness.api.contents)
    assert (len(harness.api.contents), harness.plan().empty) == (1 + bool(habits), True)


def test_many_texts_under_one_title_whose_saves_were_lost(root: Path) -> None:
    """Killed when ours stood beside what the server stored under its own title: ours is found, however busy the look."""
    harness = _harness(root, OneTitle(duration=30, names_content=False, create_only=True, put=False), "zero")
    harness.apply()
    items = ITEMS[:9]
    harness.write("content/more.yaml", blog(*items).replace("    inputs", "    metadata: {title: Mine}\n    inputs"))
    harness.api.fault(lambda name, n: name == "save" and n < 5, "504")
    harness.api.fault(on("save", 5), "kill-after")
    harness.killed()
    looked = harness.api.count("get content")
    harness.api.fault(on("get content", *range(looked + 1, looked + 5)), 500)
    assert set(results(harness.apply()).values()) == {"done"}
    ours = [stored.body for stored in harness.api.contents.values() if stored.title == "Mine"]
    assert len(ours) == len(set(ours)) == len(items)
    assert harness.plan().empty


def test_a_content_edited_after_it_was_found(root: Path) -> None:
    """Found under the server's title, then edited there before our title goes over it: both texts stay."""
    harness = Harness(root, OneTitle(duration=30, names_content=False))
    harness.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))

    def edited_meanwhile(name: str, n: int) -> bool:
        if name == "get content" and n == 2:
            harness.api.edit(next(iter(harness.api.contents)), "Edited there.\n")
        return False

    harness.api.fault(edited_meanwhile, 500)
    assert results(harness.apply()) == {"one": "blocked"}
    (stored,) = harness.api.contents.values()
    assert (stored.title, stored.body) == ("Blog Article Generator", "Edited there.\n")
    assert "All about one" in harness.read("out/one.md")


# --- texts that no job made ----------------------------------------------------------------------------------------


def _adopted(harness: Harness, number: int) -> None:
    """Takes over as many files, to be saved."""
    for n in range(number):
        harness.write(f"pages/p-{n:02}.md", f"---\ntitle: Page {n}\n---\n\nWords of page {n}.\n")
    harness.adopt("pages")


@pytest.mark.parametrize("page", [0, 20], ids=["one list", "in pages"])
def test_adopted_texts_are_saved_after_one_look_at_what_is_stored(root: Path, page: int) -> None:
    """However many they are, and however much the account has stored."""
    harness = Harness(root, FakeApi(auto_save=False, page=page))
    _strangers(harness, 100, ago=1_000.0)
    _adopted(harness, 24)
    assert (set(results(harness.apply()).values()), harness.api.count("save")) == ({"done"}, 24)
    assert harness.api.count("list content") == (100 // page + 1 if page else 1)
    assert sum(_fetches(harness.api).values()) <= 1
    assert len(harness.api.contents) == 124


@pytest.mark.parametrize("fault", ["reset", "504", "500-after", "truncated", "slow"])
def test_adopted_texts_whose_answers_are_lost_are_stored_once(root: Path, fault: Any) -> None:
    """A lost answer is reason to look again, in this run and in the next."""
    harness = Harness(root, FakeApi(auto_save=False))
    _adopted(harness, 8)
    harness.api.fault(on("save", 2, 5, 6), fault)
    for _ in range(2):
        harness.apply()
    assert len(harness.api.contents) == 8
    assert {record.content_id for record in harness.state.records.values()} == set(harness.api.contents)
    assert harness.plan().empty


@pytest.mark.parametrize(("heading", "result"), [("A person's heading", "blocked"), ("Introduction", "done")])
def test_an_edit_without_a_record_stays_when_a_person_names_the_text(root: Path, heading: str, result: str) -> None:
    """The file names this request in its provenance; only a text that a known job made is replaced."""
    harness = _harness(root, FakeApi(duration=60, request_ids="ignore"), "one")
    harness.apply()
    harness.api.fault(on("submit", 2), "reset")
    assert results(harness.apply(replace=("one",))) == {"one": "unknown"}
    harness.timeline.now += 300
    harness.api._settle(harness.timeline.now)
    text = max(harness.api.contents.values(), key=lambda each: each.created)
    (root / "contentops.lock").unlink()
    shutil.rmtree(root / ".contentops")
    path = root / "out/one.md"
    edited = path.read_text("utf-8").replace("## Introduction", f"## {heading}")
    path.write_text(edited, "utf-8")
    mending.resolve(harness.project, "one", content=text.id)
    assert results(harness.apply()) == {"one": result}
    assert (path.read_text("utf-8") == edited) is (result == "blocked")
