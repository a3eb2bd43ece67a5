"""What a run is about: canaries, shards, states, and the names that are near."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.errors import ExitCode, UsageError, nearest
from contentops.model import ItemId
from contentops.planning.select import MOST_SHARDS, STATES, Candidate, StatusWord, check_selectors, selected, shard_of
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.reviewing import apply_file
from tests.running import Build, Run
from tests.test_refresh import LOCAL

PRICED = LOCAL.replace("{base_url: local}", '{base_url: "https://api.example.test/v1"}')


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Four new items."""
    return Harness(tmp_path, FakeApi(duration=30)).declared("a", "b", "c", "d")


def test_a_target_that_another_change_frees_is_not_free(harness: Harness) -> None:
    """An item that needs a waiting move is passed over, not blocked and not written over a file."""
    harness.apply(select=("d",))
    harness.edit("content/blog.yaml", "  - id: d\n", "  - id: d\n    output: out/elsewhere.md\n")
    harness.edit("content/blog.yaml", "  - id: a\n", "  - id: a\n    output: out/d.md\n")
    assert harness.actions() == {"a": "create", "b": "create", "c": "create", "d": "move"}
    assert harness.actions(canary=1) == {"b": "create"}
    (note,) = [note for note in harness.plan(canary=1).notes if note.kind == "canary"]
    assert note.message == "canary: 1 of 3 generations; 2 wait, and so does 1 other change"


def test_a_plan_file_of_a_canary_is_applied_once(harness: Harness, invoke: Run) -> None:
    """The file names its items: a new item that sorts before them changes nothing, and a second apply is refused."""
    assert invoke("plan", "--canary", "2", "--out", "plan.json", cwd=harness.root).code == 0
    reviewed = json.loads(harness.read("plan.json"))
    assert reviewed["inputs"]["canary"] == 2
    harness.write("content/early.yaml", blog("0a"))
    run = apply_file(harness, reviewed)
    assert run is not None
    assert [outcome.id for outcome in run.outcomes] == ["a", "b"]
    ended = invoke("plan", "--check", "plan.json", cwd=harness.root)
    assert (ended.code, "`0a`" in ended.stderr) == (4, True)
    ended = invoke("apply", "plan.json", "--canary", "1", cwd=harness.root)
    assert (ended.code, "error[plan-file-and-flags]" in ended.stderr) == (64, True)


@pytest.fixture
def failed(harness: Harness) -> Harness:
    """The same four, of which `b` and `d` failed once."""
    harness.api.habits.fails = lambda inputs: "it gave up" if re.search("about [bd]", inputs["topic"]) else ""
    harness.apply()
    return harness


@pytest.mark.parametrize("selector", ["result:failed", "state:failed"])
def test_failed_items_can_be_selected(failed: Harness, invoke: Run, selector: str) -> None:
    """By the last job for the request they have now; `status` selects alike, and a misspelt selector is no answer."""
    assert set(failed.actions(select=(selector,))) == {"b", "d"}
    listed = invoke("status", "--select", selector, "--json", cwd=failed.root).json["items"]
    assert [item["id"] for item in listed] == ["b", "d"]
    failed.edit("content/blog.yaml", "about b in 2026", "about b in 2027")
    assert set(failed.actions(select=(selector,))) == {"d"}
    ended = invoke("status", "--select", "reslut:failed", cwd=failed.root)
    assert (ended.code, "did you mean `result:`?" in ended.stderr) == (64, True)


@pytest.fixture
def priced(project: Build) -> Path:
    """Two items at four credits each."""
    return project({"contentops.yaml": PRICED, "content/blog.yaml": blog("a", "b")})


@pytest.mark.parametrize(("form", "words"), [
    ("text", ["Plan: 2 to create", "this review refuses: the plan costs 8 credits; `--max-credits` is 7 (", "Next: `contentops apply plan.json`"]),
    ("json", ["the plan costs 8 credits; `--max-credits` is 7"]),
    ("markdown", ["this review refuses", "the plan costs 8 credits"]),
])  # fmt: skip
def test_a_plan_over_the_limit_exits_with_4(priced: Path, invoke: Run, form: str, words: list[str]) -> None:
    """It is shown whole, with the refusal and no advice to approve an apply that nothing refuses, in every form."""
    flags = ("--max-credits", "7", "--detailed-exitcode", "--format", form, "--out", "plan.json")
    ended = invoke("plan", *flags, cwd=priced)
    assert ended.code == ExitCode.REFUSED
    assert [word for word in words if word not in ended.stdout.replace("\\", "")] == []
    assert "Next, if all of it is meant" not in ended.stdout
    document = json.loads((priced / "plan.json").read_text("utf-8"))
    assert [one["guard"] for one in document["refusals"]] == ["review-credits"]


IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=30, unique=True)


def in_shard(ids: list[str], select: str) -> list[str]:
    """The ids of these that are selected."""
    items = [Candidate(id=ItemId(id_), spec=None, change=None) for id_ in ids]
    return [str(item.id) for item in selected(Choice(select=(select,)), items)]


@pytest.mark.parametrize(
    ("item", "count", "expected"),
    [("a", 4, 3), ("blog/guide", 4, 3), ("cities/røros", 4, 3), ("東京", 7, 6), ("a", 1, 1), ("a", MOST_SHARDS, 2251)],
)
@given(IDS, st.integers(min_value=1, max_value=40))
def test_each_item_is_in_one_shard(item: str, count: int, expected: int, ids: list[str], shards: int) -> None:
    """However many there are. These values never change, so that machines of two releases share no item."""
    assert shard_of(ItemId(item), count) == expected
    found = [id_ for number in range(shards) for id_ in in_shard(ids, f"shard:{number + 1}/{shards}")]
    assert sorted(found) == sorted(ids)


@pytest.mark.parametrize(
    "value", ["", "0/4", "5/4", "a/b", "1", "1/", "/4", "1/4/4", "-1/4", "1/0", "1.0/4", " 1/4", "1/10001", "١/٤"]
)
def test_a_shard_that_cannot_be_is_refused(value: str) -> None:
    """With the form that is right."""
    with pytest.raises(UsageError) as refused:
        check_selectors([f"shard:{value}"])
    assert refused.value.message == f"`shard:{value}`: no such shard"
    assert "`shard:K/N`, where K is from 1 to N, and N at most 10,000" in refused.value.hint
    for selector in ("+shard:1/2", "shard:1/2+"):  # two machines would make the same items
        with pytest.raises(UsageError, match="takes no `\\+`"):
            check_selectors([selector])


ITEMS = dict.fromkeys(("same", "typed", "asked", "front", "gone", "moved", "left"), "")
LATER = {
    **dict.fromkeys(("same", "typed", "gone", "new"), ""),
    "asked": ", vertical: fintech",
    "front": ", metadata: {note: other}",
    "moved": ", output: other/moved.md",
}
SHOWN = {
    "same": "as generated", "typed": "edited", "asked": "changed", "front": "changed", "gone": "missing",
    "moved": "moved", "left": "orphan", "new": "new",
}  # fmt: skip


def _manifest(items: dict[str, str]) -> str:
    inputs = "inputs: {{topic: Of {}, target_audience: readers}}"
    return "items:\n" + "".join(f"  - {{id: {name}, {inputs.format(name)}{more}}}\n" for name, more in items.items())


def test_each_state_that_is_shown_selects_its_items(project: Build, invoke: Run) -> None:
    """As it is shown, and with a hyphen; no other item that is shown in this state is left out."""
    root = project({"contentops.yaml": LOCAL, "content/a.yaml": _manifest(ITEMS)})
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "out/gone.md").unlink()
    typed = root / "out/typed.md"
    typed.write_text(typed.read_text("utf-8") + "\nMore.\n", "utf-8")
    (root / "content/a.yaml").write_text(_manifest(LATER), "utf-8")
    shown = _states(invoke("status", "--json", cwd=root).json)
    assert shown == SHOWN
    assert {state.replace(" ", "-") for state in (*StatusWord, "failed")} <= {*STATES}
    for word in set(shown.values()):
        alike = {id_: state for id_, state in shown.items() if state == word}
        for value in {word, word.replace(" ", "-")}:
            selected = invoke("status", "--select", f"state:{value}", "--json", cwd=root)
            assert alike.items() <= _states(selected.json).items(), value


def _states(answer: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {item["id"]: item["state"] for item in answer["items"]}


MANY = tuple(
    f"{kind}-to-{place}-{number}" for kind in ("guide", "way") for place in ("ghent", "oslo") for number in range(800)
)


@pytest.mark.parametrize(("word", "known", "expected"), [
    ("templte", ("style", "template"), "template"), ("zzz", ("style", "template"), None),
    ("guide-to-gent-417", MANY, "guide-to-ghent-417"), ("gide-to-oslo-7", MANY, "guide-to-oslo-7"),
    ("unlike", MANY, None), ("x", MANY, None), ("", MANY, None), ("a" * 100_000, ("a" * 99_999,), None),
])  # fmt: skip
def test_the_nearest_word(word: str, known: tuple[str, ...], expected: str | None) -> None:
    """It is the most similar one, and none where nothing is close."""
    assert nearest(word, known) == expected
