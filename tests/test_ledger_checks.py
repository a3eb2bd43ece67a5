"""Checks over a ledger: a checkout that never had a text knows all the same whether it fails them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from contentops.digest import digest_bytes
from contentops.model import Action
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.ledger import SceneLedger
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.model import Change


@pytest.fixture
def ledger(database: str) -> Iterator[SceneLedger]:
    """A ledger that the environment names."""
    with contextlib.closing(SceneLedger(database)) as found:
        yield found


def _checkouts(tmp_path: Path, ledger: SceneLedger, retries: int = 0, ids: str = "replay") -> tuple[Scene, Scene]:
    """Two checkouts that share nothing but the ledger."""
    api = FakeApi(duration=30, request_ids=ids)
    one, two = (Scene(tmp_path / name, api, ledger=ledger) for name in ("one", "two"))
    for scene in (one, two):
        _declare(scene, 2026, retries=retries)
    return one, two


def _declare(scene: Scene, year: int, unwanted: str = "Take 1.", retries: int = 0) -> None:
    """One item; its first text says `Take 1.`, the second `Take 2.`."""
    checks = f"{{excludes: ['{unwanted}'], retries: {retries}}}"
    scene.write("content/blog.yaml", f"defaults: {{checks: {checks}}}\n{blog('a', year=year)}")


def _change_its_manifest(scene: Scene) -> None:
    """Another text is written there, and what was open is closed."""
    _declare(scene, 2027, "Take 9.")
    assert results(scene.apply()) == {"a": "done"}
    assert not scene.state.entries


def _change(scene: Scene, *replaced: str) -> Change:
    (change,) = scene.plan(replace=replaced).changes
    return change


@pytest.mark.parametrize("closed", [False, True])
def test_a_text_of_another_checkout_that_fails_is_blocked_here_too(
    tmp_path: Path, ledger: SceneLedger, *, closed: bool
) -> None:
    """The plan says so before an apply and after, and nothing is paid for unasked.

    `closed`: its manifest changed since where it was paid for, so the text is there without an open entry.
    """
    one, two = _checkouts(tmp_path, ledger)
    assert results(one.apply()) == {"a": "blocked"}
    if closed:
        _change_its_manifest(one)
    paid = one.api.count("submit")
    for _ in range(2):
        change = _change(two)
        assert (change.action, change.blocked, change.steps) == (Action.BLOCKED, "checks-failed", ())
        assert [each.field for each in change.reasons if each.kind == "checks-failed"] == ["excludes"]
        assert "`--replace a` pays for another text" in change.hint
        assert results(two.apply()) == {"a": "blocked"}
    assert two.api.count("submit") == paid


def test_another_text_in_place_of_one_of_another_checkout_is_asked_for_by_name(
    tmp_path: Path, ledger: SceneLedger
) -> None:
    """`--replace` pays for it once."""
    one, two = _checkouts(tmp_path, ledger)
    one.apply()
    assert (_change(two, "a").action, _change(two, "a").submits) == (Action.CREATE, 1)
    assert results(two.apply(replace=("a",))) == {"a": "done"}
    assert (two.api.charged("All about a in 2026"), two.api.count("submit")) == (2, 2)
    assert two.plan().empty


@pytest.mark.parametrize("ids", ["replay", "ignore"])
def test_another_text_in_place_of_one_that_only_the_ledger_has_is_a_further_attempt(
    tmp_path: Path, ledger: SceneLedger, ids: str
) -> None:
    """Under the request of the one that failed, a server would give the same text again, or be paid twice for it."""
    one, two = _checkouts(tmp_path, ledger, ids=ids)
    one.apply()
    _change_its_manifest(one)
    assert results(two.apply(replace=("a",))) == {"a": "done"}
    assert "Take 2." in two.read("out/a.md")
    assert [each.take for each in two.api.charges if "in 2026" in each.topic] == [1, 2]
    assert len({each.request_id for each in two.api.charges}) == 3
    assert two.plan().empty


def test_an_attempt_that_another_checkout_gave_up_is_not_paid_for_again(tmp_path: Path, ledger: SceneLedger) -> None:
    """Whose own text is older than that one does not know of it; the ledger does."""
    one, two = _checkouts(tmp_path, ledger, ids="ignore")
    for scene in (two, one):
        _declare(scene, 2026, "Take 2.")
        assert results(scene.apply()) == {"a": "done"}
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    _change_its_manifest(one)
    paid = two.api.count("submit")
    run = two.apply(replace=("a",))
    assert run is not None
    assert results(run) == {"a": "blocked"}
    assert "paid for in another checkout" in run.outcomes[0].error
    assert two.api.count("submit") == paid
    assert two.plan().empty


def test_a_text_that_passes_by_now_is_written_in_another_checkout(tmp_path: Path, ledger: SceneLedger) -> None:
    """The checks were loosened: finished for nothing."""
    one, two = _checkouts(tmp_path, ledger)
    one.apply()
    _declare(two, 2026, "Take 9.")
    assert _change(two).action is Action.FINISH
    assert results(two.apply()) == {"a": "done"}
    assert two.api.count("submit") == 1


def test_a_row_that_holds_other_words_than_it_says_tells_a_plan_nothing(tmp_path: Path, ledger: SceneLedger) -> None:
    """The apply looks at what is there, and pays for nothing."""
    one, two = _checkouts(tmp_path, ledger)
    one.apply()
    _change_its_manifest(one)
    with psycopg.connect(ledger.url) as connection:
        connection.execute("UPDATE contentops.text SET body = %s", (digest_bytes(b"others"),))
    assert _change(two).action is Action.FINISH
    assert results(two.apply()) == {"a": "blocked"}
    assert two.api.count("submit") == 2


def test_a_retry_whose_process_is_gone_is_finished_in_another_checkout(tmp_path: Path, ledger: SceneLedger) -> None:
    """Its job is the one that is waited for, though the first one is closed by then; nothing more is paid for."""
    one, two = _checkouts(tmp_path, ledger, retries=1)
    one.api.fault(lambda name, _: name == "status" and len(one.api.generations) == 2, "kill")
    with pytest.raises(Killed):
        one.apply()
    one.api.heal()
    change = _change(two)
    assert (change.action, change.submits, change.entry and change.entry.attempt) == (Action.FINISH, 0, 2)
    assert results(two.apply()) == {"a": "done"}
    assert (two.api.charged("All about a in 2026"), two.api.count("submit")) == (2, 2)
    assert two.plan().empty


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_retry_that_was_refused_is_sent_by_a_later_apply(
    tmp_path: Path, ledger: SceneLedger, *, elsewhere: bool
) -> None:
    """What the ledger remembers of it is in no one's way."""
    one, two = _checkouts(tmp_path, ledger, retries=1)
    one.api.fault(on("submit", 2), 400)
    assert results(one.apply()) == {"a": "failed"}
    then = two if elsewhere else one
    assert results(then.apply()) == {"a": "done"}
    assert (then.api.charged("All about a in 2026"), then.api.count("submit")) == (2, 3)
    assert then.plan().empty
