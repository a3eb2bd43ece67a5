"""Checks and extra attempts over a ledger: what a checkout knows of a text that it never had, and whose it is."""

from pathlib import Path
from typing import Any

import pytest

from contentops.model import Action, Change
from contentops.operations.state import resolve
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.ledger import HarnessLedger


def _checkouts(tmp_path: Path, ledger: HarnessLedger, retries: int = 0, ids: str = "replay") -> tuple[Harness, Harness]:
    """Two checkouts that share nothing but the ledger."""
    api = FakeApi(duration=30, request_ids=ids)
    one, two = (Harness(tmp_path / name, api, ledger=ledger) for name in ("one", "two"))
    for harness in (one, two):
        _declare(harness, 2026, retries=retries)
    return one, two


def _declare(harness: Harness, year: int, unwanted: str = "Take 1.", retries: int = 0) -> None:
    """One item; its first text says `Take 1.`, the second `Take 2.`."""
    checks = f"{{excludes: ['{unwanted}'], retries: {retries}}}"
    harness.write("content/blog.yaml", f"defaults: {{checks: {checks}}}\n{blog('a', year=year)}")


def _change_its_manifest(harness: Harness) -> None:
    """Another text is written there; the one before stays paid for."""
    _declare(harness, 2027, "Take 9.")
    assert results(harness.apply()) == {"a": "done"}


def _change(harness: Harness, *replaced: str) -> Change:
    (change,) = harness.plan(replace=replaced).changes
    return change


@pytest.mark.parametrize("closed", [False, True])
def test_a_text_of_another_checkout_that_fails_is_blocked_here_too(
    tmp_path: Path, ledger: HarnessLedger, *, closed: bool
) -> None:
    """The plan says so before an apply and after, and nothing is paid for unasked.

    `closed`: its manifest changed since where it was paid for, so that no item there asks for its text.
    """
    one, two = _checkouts(tmp_path, ledger)
    assert results(one.apply()) == {"a": "blocked"}
    if closed:
        _change_its_manifest(one)
    paid = one.api.count("submit")
    for _ in range(2):
        change = _change(two)
        assert (change.action, change.blocked, change.steps) == (Action.BLOCKED, "checks-failed", ())
        assert [each.kind for each in change.reasons].count("checks-failed") == 1
        assert "pay for another text with `--replace a`" in change.hint
        assert results(two.apply()) == {"a": "blocked"}
    assert two.api.count("submit") == paid


@pytest.mark.parametrize("ids", ["replay", "ignore"])
def test_another_text_in_place_of_one_that_only_the_ledger_has_is_a_further_attempt(
    tmp_path: Path, ledger: HarnessLedger, ids: str
) -> None:
    """Under the request of the one that failed, a server would give the same text again, or be paid twice for it."""
    one, two = _checkouts(tmp_path, ledger, ids=ids)
    one.apply()
    _change_its_manifest(one)
    assert results(two.apply(replace=("a",))) == {"a": "done"}
    assert "Take 2." in two.read("out/a.md")
    assert [each.take for each in two.api.charges if "in 2026" in each.topic] == [1, 2]
    assert (len({each.request_id for each in two.api.charges}), two.plan().empty) == (3, True)


def test_an_attempt_of_another_checkout_is_not_ordered_again(tmp_path: Path, ledger: HarnessLedger) -> None:
    """Whose own text is older learns of it from the ledger: another text is the attempt after it."""
    one, two = _checkouts(tmp_path, ledger, ids="ignore")
    for harness in (two, one):
        _declare(harness, 2026, "Take 2.")
        assert results(harness.apply()) == {"a": "done"}
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    _change_its_manifest(one)
    paid = two.api.count("submit")
    assert (_change(two).blocked, results(two.apply(replace=("a",)))) == ("checks-failed", {"a": "done"})
    assert "Take 3." in two.read("out/a.md")
    assert (two.api.count("submit"), two.plan().empty) == (paid + 1, True)


def test_a_retry_whose_process_is_gone_is_finished_in_another_checkout(tmp_path: Path, ledger: HarnessLedger) -> None:
    """Its job is the one that is waited for, though the first one is closed by then; nothing more is paid for."""
    one, two = _checkouts(tmp_path, ledger, retries=1)
    one.api.fault(lambda name, _: name == "status" and len(one.api.generations) == 2, "kill")
    one.killed()
    change = _change(two)
    assert (change.action, change.submits, change.job and change.job.attempt) == (Action.FINISH, 0, 2)
    assert results(two.apply()) == {"a": "done"}
    assert (two.api.charged("All about a in 2026"), two.api.count("submit"), two.plan().empty) == (2, 2, True)


def _paid(tmp_path: Path, ledger: HarnessLedger) -> tuple[Harness, Harness]:
    """Two checkouts of one item without checks; the first has paid for its text."""
    one, two = _checkouts(tmp_path, ledger)
    for harness in (one, two):
        harness.write("content/blog.yaml", blog("a"))
    one.apply()
    return one, two


def _killed(harness: Harness, when: str, **choice: Any) -> None:
    """An apply whose process ends when it polls the second job, or before the request leaves."""
    harness.api.fault(lambda name, _: name == when and (when != "status" or len(harness.api.generations) == 2), "kill")
    harness.killed(**choice)


@pytest.mark.parametrize("declared", ["a", "b"])
def test_who_declares_something_else_by_now_gets_no_extra_attempt(
    tmp_path: Path, ledger: HarnessLedger, declared: str
) -> None:
    """Also where the text before is on record: whoever asked for another one would never get it."""
    one, two = _paid(tmp_path, ledger)
    two.apply()
    two.write("content/blog.yaml", blog(declared, year=2027))
    _killed(one, "status", replace=("a",))
    # The job that no item here asks for is polled, and its text written nowhere.
    others = {} if declared == "a" else {"a": "drain"}
    assert two.actions() == {**others, declared: "regenerate" if declared == "a" else "create"}
    assert (set(results(two.apply()).values()), two.api.count("submit")) == ({"done"}, 3)
    assert (one.actions(), results(one.apply())) == ({"a": "finish"}, {"a": "done"})
    assert "Take 2." in one.read("out/a.md")
    assert one.api.charged("All about a in 2026") == 2


def test_an_attempt_that_was_given_up_comes_back_in_no_checkout(
    tmp_path: Path, ledger: HarnessLedger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever puts the manifest back gets the text before, for nothing."""
    one, _ = _paid(tmp_path, ledger)
    one.write("content/blog.yaml", f"defaults: {{checks: {{excludes: ['Take 2.']}}}}\n{blog('a')}")
    assert results(one.apply(replace=("a",))) == {"a": "blocked"}
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    resolve(one.project, "a", forget=True, request=one.open_job("a").short)
    three = Harness(tmp_path / "three", one.api, ledger=ledger).applied("a", year=2027)
    assert results(three.declared("a").apply()) == {"a": "done"}
    assert "Take 1." in three.read("out/a.md")
    assert one.api.count("submit") == 3


@pytest.mark.parametrize("when", ["section", "status"])
def test_a_section_is_no_text_for_who_has_none(tmp_path: Path, ledger: HarnessLedger, when: str) -> None:
    """It takes the text that is paid for; a section that was never sent would be sent as a whole text."""
    one, two = _paid(tmp_path, ledger)
    _killed(one, when, select=("a",), sections={"a": "Closing"})
    (change,) = two.plan().changes
    assert (change.action, change.submits, results(two.apply())) == (Action.FINISH, 0, {"a": "done"})
    assert "All about a in 2026." in two.read("out/a.md")
    assert (one.api.count("submit"), results(one.apply())) == (1, {"a": "done"})
    assert (one.api.count("submit"), len(one.api.generations)) == (1, 2)
