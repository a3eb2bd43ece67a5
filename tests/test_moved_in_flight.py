"""`moved` pairs reach jobs that still run, once, however often an apply is stopped; nothing is paid again."""

import contextlib
import random
from pathlib import Path

import pytest

from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, results
from tests.fakes.kills import Death, EachKill


def _items(**topics: str) -> str:
    inputs = (
        f"  - id: {id_}\n    inputs: {{topic: {topic}, target_audience: readers}}\n" for id_, topic in topics.items()
    )
    return "items:\n" + "".join(inputs)


@pytest.mark.parametrize("moved", ["moved: [{from: a, to: b}]\n", ""])
def test_a_replacement_that_was_renamed_is_done_in_one_apply(tmp_path: Path, moved: str, each_kill: EachKill) -> None:
    """Whenever it was killed, the next apply leaves nothing to do, and pays for no third text."""
    harness = Harness(tmp_path / "project", FakeApi(duration=30))
    harness.write("content/a.yaml", _items(a="apples"))
    harness.apply()
    killed = each_kill(harness, tmp_path / "killed", lambda: harness.apply(replace=("a",)))
    for step, left in killed.items():
        left.write("content/a.yaml", moved + _items(b="apples"))
        assert results(left.apply()) == {"b": "done"}, step
        assert (left.plan().changes, sorted(left.tree())) == ((), ["out/b.md"]), step
        assert left.api.credits <= 8, step


@pytest.mark.parametrize("seed", range(6))
def test_any_renames_kills_and_lost_answers_pay_once(tmp_path: Path, seed: int) -> None:
    """Items get new ids again and again, with `moved` (the last pairs or all) or without it, in any state of their jobs."""
    chosen = random.Random(seed)
    request_ids = ("replay", "ignore", "overwrite", "reject")[seed % 4]
    harness = Harness(tmp_path, FakeApi(duration=60, request_ids=request_ids, auto_save=chosen.random() < 0.5))
    harness.write("content/first.yaml", _items(first="plums"))
    harness.apply()
    ids, fresh, pairs = {"apples": "a", "pears": "b"}, iter("hcgdfeiklmnopqrstuv"), dict[str, str]()
    harness.write("content/a.yaml", _items(a="apples", b="pears"))
    for number in range(8):
        what = chosen.choice(["rename", "rename", "kill", "lost", "hurry"])
        if what == "rename":
            new = {topic: next(fresh) for topic in ids if chosen.random() < 0.6}
            last = {ids[topic]: id_ for topic, id_ in new.items()}
            pairs, ids = pairs | last, ids | new
            said = ", ".join(f"{{from: {old}, to: {id_}}}" for old, id_ in chosen.choice([{}, last, pairs]).items())
            items = _items(**{id_: topic for topic, id_ in ids.items()})
            harness.write("content/a.yaml", f"moved: [{said}]\n{items}")
            continue
        if what == "lost":
            coming = harness.api.count("submit") + 1
            harness.api.fault(on("submit", coming), chosen.choice(["504", "reset", "500-after"]))
        harness.death = Death(chosen.randint(1, 50)) if what == "kill" else None
        with contextlib.suppress(Killed):
            harness.apply(deadline=chosen.choice([1, 5, 30]) if what == "hurry" else None)
        harness.death = None
        harness.api.heal()
        assert max(harness.api.charged(topic) for topic in ids) <= 1, (number, what)
    left = harness.settle()
    # Where our id means nothing, a person has to say what became of a lost submit.
    assert {change.action.value for change in left.changes} <= ({"resolve"} if request_ids == "ignore" else set())
    assert max(harness.api.charged(topic) for topic in ids) == 1
