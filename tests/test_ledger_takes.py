"""Another take of a text that is there, a whole one or a section: whose it is, where several checkouts share a ledger."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from contentops.digest import digest_bytes
from contentops.model import Action
from contentops.operations.records import resolve
from tests.fakes.api import FakeApi, Killed
from tests.fakes.ledger import SceneLedger
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(database: str) -> Iterator[SceneLedger]:
    """A ledger that the environment names."""
    with contextlib.closing(SceneLedger(database)) as found:
        yield found


def _checkouts(tmp_path: Path, ledger: SceneLedger) -> tuple[Scene, Scene]:
    """Two checkouts of one item; the first has paid for its text."""
    api = FakeApi(duration=30)
    one, two = (Scene(tmp_path / name, api, ledger=ledger) for name in ("one", "two"))
    for scene in (one, two):
        scene.write("content/blog.yaml", blog("a"))
    one.apply()
    return one, two


def _killed(scene: Scene, when: str, **choice: Any) -> None:
    """An apply whose process ends when it polls the second job, or before the request leaves."""
    scene.api.fault(lambda name, _: name == when and (when != "status" or len(scene.api.generations) == 2), "kill")
    with pytest.raises(Killed):
        scene.apply(**choice)
    scene.api.heal()


@pytest.mark.parametrize("declared", ["a", "b"])
def test_who_declares_something_else_by_now_takes_no_further_take(
    tmp_path: Path, ledger: SceneLedger, declared: str
) -> None:
    """Also where the text before is on record: whoever asked for another one would never get it."""
    one, two = _checkouts(tmp_path, ledger)
    two.apply()
    two.write("content/blog.yaml", blog(declared, year=2027))
    _killed(one, "status", replace=("a",))
    assert two.actions() == {declared: "regenerate" if declared == "a" else "create"}
    assert results(two.apply()) == {declared: "done"}
    assert one.actions() == {"a": "finish"}
    assert results(one.apply()) == {"a": "done"}
    assert "Take 2." in one.read("out/a.md")
    assert one.api.charged("All about a in 2026") == 2


def test_a_further_take_that_no_one_waits_for_any_more_is_told_and_can_be_given_up(
    tmp_path: Path, ledger: SceneLedger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for it may be gone, or declare something else by now: it is neither hidden nor in the way for ever."""
    one, two = _checkouts(tmp_path, ledger)
    _killed(one, "status", replace=("a",))
    two.write("content/blog.yaml", blog("a", year=2027))
    two.apply()
    (note,) = two.plan().notes
    assert (note.kind, "`a`" in note.message) == ("further-take", True)
    words = note.hint.split("`")[1].split()
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    resolve(two.project, words[3], forget=True, request=words[words.index("--request") + 1])
    assert not two.plan().notes


def test_a_take_that_was_given_up_comes_back_in_no_checkout(
    tmp_path: Path, ledger: SceneLedger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever puts the manifest back gets the text before, for nothing."""
    one, _ = _checkouts(tmp_path, ledger)
    one.write("content/blog.yaml", f"defaults: {{checks: {{excludes: ['Take 2.']}}}}\n{blog('a')}")
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    resolve(one.project, "a", forget=True, request=one.entry("a").short)
    three = Scene(tmp_path / "three", one.api, ledger=ledger)
    three.write("content/blog.yaml", blog("a", year=2027))
    three.apply()
    three.write("content/blog.yaml", blog("a"))
    assert results(three.apply()) == {"a": "done"}
    assert "Take 1." in three.read("out/a.md")
    assert one.api.count("submit") == 3


@pytest.mark.parametrize("when", ["section", "status"])
def test_a_section_is_no_text_for_who_has_none(tmp_path: Path, ledger: SceneLedger, when: str) -> None:
    """It takes the text that is paid for; a section that was never sent would be sent as a whole text."""
    one, two = _checkouts(tmp_path, ledger)
    _killed(one, when, select=("a",), sections={"a": "Closing"})
    (change,) = two.plan().changes
    assert (change.action, change.submits) == (Action.FINISH, 0)
    assert results(two.apply()) == {"a": "done"}
    assert "All about a in 2026." in two.read("out/a.md")
    assert one.api.count("submit") == 1
    assert results(one.apply()) == {"a": "done"}
    assert (one.api.count("submit"), len(one.api.generations)) == (1, 2)


def test_another_take_is_written_where_the_one_before_was_paid_for(tmp_path: Path, ledger: SceneLedger) -> None:
    """That one is in the cache of this checkout; the take that was brought elsewhere is in the ledger alone."""
    one, two = _checkouts(tmp_path, ledger)
    two.apply()
    two.write("content/blog.yaml", f"defaults: {{checks: {{excludes: ['Take 2.']}}}}\n{blog('a')}")
    assert results(two.apply(replace=("a",))) == {"a": "blocked"}
    assert results(one.apply()) == {"a": "done"}
    assert "Take 2." in one.read("out/a.md")
    assert one.plan().empty
    # Another text comes and goes: the last take comes back, for nothing.
    one.write("content/blog.yaml", blog("a", year=2027))
    one.apply()
    one.write("content/blog.yaml", blog("a"))
    assert results(one.apply()) == {"a": "done"}
    assert "Take 2." in one.read("out/a.md")
    assert one.api.count("submit") == 3


def test_a_paid_text_is_brought_though_the_last_one_of_its_request_is_another(
    tmp_path: Path, ledger: SceneLedger
) -> None:
    """One that failed its checks here, while another environment has paid for its own, and the cache is gone."""
    one, _ = _checkouts(tmp_path, ledger)
    one.write("content/blog.yaml", f"defaults: {{checks: {{excludes: ['Take 1.']}}}}\n{blog('a', year=2027)}")
    assert results(one.apply()) == {"a": "blocked"}
    with psycopg.connect(ledger.url) as connection:
        connection.execute(
            "INSERT INTO contentops.text SELECT 'theirs', account, lineage, server, digest, item, title,"
            " %s, replace(value, 'Take 1.', 'Take 9.'), made_at + interval '1 minute' FROM contentops.text"
            " WHERE request_id = %s",
            (digest_bytes(b"theirs"), one.entry("a").request_id),
        )
    shutil.rmtree(one.root / ".contentops/cache")
    one.api.contents.clear()
    one.write("content/blog.yaml", blog("a", year=2027))
    assert results(one.apply()) == {"a": "done"}
    assert "Take 1." in one.read("out/a.md")
    assert one.api.count("submit") == 2
