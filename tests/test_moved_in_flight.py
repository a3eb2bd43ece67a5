"""`moved` pairs reach jobs that still run, once, however often an apply is stopped; nothing is paid again."""

import contextlib
import random
from pathlib import Path

import pytest

from contentops.errors import ApiError
from contentops.model import Plan
from contentops.operations.apply import ApplyOptions, Overrides, apply
from contentops.operations.opening import Runtime
from contentops.operations.state import resolve
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, results
from tests.fakes.kills import Death, EachKill


def _items(**topics: str) -> str:
    inputs = (
        f"  - id: {id_}\n    inputs: {{topic: {topic}, target_audience: readers}}\n" for id_, topic in topics.items()
    )
    return "items:\n" + "".join(inputs)


def _started(root: Path, **topics: str) -> Harness:
    """A harness whose jobs run, with nothing finished."""
    harness = Harness(root, FakeApi(duration=600, request_ids="replay", auto_save=False))
    # The first job of a server runs alone.
    harness.write("content/first.yaml", _items(first="plums"))
    harness.apply()
    harness.write("content/a.yaml", _items(**topics))
    # Every answer is lost, the last one with the process.
    for number in range(2, len(topics) + 1):
        harness.api.fault(on("submit", number), "504")
    harness.api.fault(on("submit", len(topics) + 1), "kill-after")
    with contextlib.suppress(Killed):
        harness.apply()
    harness.api.heal()
    assert harness.api.credits == 4 + 4 * len(topics)
    return harness


def _stopped_and_done(harness: Harness) -> None:
    """Applies that are stopped while the jobs run, and one that finishes."""
    for _ in range(3):
        harness.apply(deadline=30)
    assert (set(results(harness.apply()).values()), harness.plan().empty) == ({"done"}, True)


@pytest.mark.parametrize(
    ("pairs", "topics"),
    [({"a": "b", "b": "c"}, {"b": "apples", "c": "pears"}), ({"a": "c"}, {"c": "apples", "b": "pears"})],
    ids=["chain", "rename"],
)
def test_running_jobs_move_along_once(tmp_path: Path, pairs: dict[str, str], topics: dict[str, str]) -> None:
    """The pairs stay in the manifest."""
    harness = _started(tmp_path, a="apples", b="pears")
    moved = ", ".join(f"{{from: {old}, to: {new}}}" for old, new in pairs.items())
    harness.write("content/a.yaml", f"moved: [{moved}]\n{_items(**topics)}")
    _stopped_and_done(harness)
    assert harness.api.credits == 12
    assert {id_: harness.api.charged(topic) for id_, topic in topics.items()} == dict.fromkeys(topics, 1)


@pytest.mark.parametrize("moved", ["moved: [{from: a, to: b}]\n", ""])
def test_a_replacement_that_was_killed_and_renamed_is_done_in_one_apply(
    tmp_path: Path, moved: str, each_kill: EachKill
) -> None:
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


def test_jobs_made_after_the_pairs_stay(tmp_path: Path) -> None:
    """Where nothing was made before, the pairs rename nothing, not even what is on its way."""
    harness = Harness(tmp_path, FakeApi(duration=600, request_ids="replay", auto_save=False))
    harness.write("content/a.yaml", "moved: [{from: a, to: b}, {from: b, to: c}]\n" + _items(b="apples", c="pears"))
    harness.apply(deadline=100)
    _stopped_and_done(harness)
    assert harness.api.credits == 8


def test_an_id_that_is_used_again(tmp_path: Path) -> None:
    """`v1` became `v2`, then `v2` became `v3` and a new text is `v2`: each pair takes the text that it meant."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/a.yaml", _items(v1="apples"))
    harness.apply()
    harness.write("content/a.yaml", "moved: [{from: v1, to: v2}]\n" + _items(v2="apples"))
    harness.apply(overrides=Overrides(changes=True))
    harness.write(
        "content/a.yaml", "moved: [{from: v1, to: v2}, {from: v2, to: v3}]\n" + _items(v2="pears", v3="apples")
    )
    for _ in range(2):
        harness.apply(overrides=Overrides(changes=True))
    assert harness.api.credits == 8
    assert "apples" in harness.read("out/v3.md")
    assert harness.plan().empty


def test_a_lost_submit_is_settled_under_its_new_id(tmp_path: Path) -> None:
    """A person may name it by the id of today, or by the one it was ordered under."""
    harness = Harness(tmp_path, FakeApi(duration=600, request_ids="ignore", auto_save=False))
    harness.write("content/a.yaml", _items(a="apples"))
    harness.api.fault(on("submit", 1), "kill-after")
    with contextlib.suppress(Killed):
        harness.apply()
    harness.api.heal()
    assert results(harness.apply()) == {"a": "unknown"}
    harness.write("content/a.yaml", "moved: [{from: a, to: b}]\n" + _items(b="apples"))
    assert results(harness.apply()) == {"b": "unknown"}
    resolve(harness.project, "b", forget=True)
    assert harness.actions() == {"b": "create"}


def test_the_key_is_missed_before_anybody_is_asked(tmp_path: Path) -> None:
    """A person who said yes is not told afterwards that it cannot be done."""
    harness = Harness(tmp_path, FakeApi())
    harness.write("content/a.yaml", _items(a="apples"))
    asked: list[Plan] = []

    def confirm(plan: Plan) -> bool:
        asked.append(plan)
        return True

    with pytest.raises(ApiError, match="is not set"):
        apply(
            harness.project, Choice(), ApplyOptions(), confirm=confirm, emit=harness.events.append,
            runtime=Runtime(environ={}),
        )  # fmt: skip
    assert asked == []


def test_a_rename_past_a_failed_attempt(tmp_path: Path) -> None:
    """What once failed under an id keeps no text from moving there."""
    bad = True
    api = FakeApi(duration=40, fails=lambda inputs: "boom" if bad and inputs["topic"] == "pears" else "")
    harness = Harness(tmp_path, api)
    harness.write("content/first.yaml", _items(first="plums"))
    harness.apply()
    harness.write("content/a.yaml", _items(a="pears", b="apples"))
    assert results(harness.apply()) == {"a": "failed", "b": "done"}
    bad = False
    paid = harness.api.credits
    harness.write("content/a.yaml", "moved: [{from: b, to: a}]\n" + _items(a="apples"))
    harness.apply(overrides=Overrides(changes=True))
    assert (harness.api.credits, harness.plan().empty) == (paid, True)
    assert "apples" in harness.read("out/a.md")


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
