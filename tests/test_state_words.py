"""`status` and `--select state:` have the same words for the states of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.planning.select import STATES, StatusWord
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = """\
project: x
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
ITEMS = dict.fromkeys(("same", "typed", "asked", "front", "gone", "moved", "left"), "")
LATER = {
    **dict.fromkeys(("same", "typed", "gone", "new"), ""),
    "asked": ", vertical: fintech",
    "front": ", metadata: {note: other}",
    "moved": ", output: other/moved.md",
}
SHOWN = {
    "same": "as generated",
    "typed": "edited",
    "asked": "changed",
    "front": "changed",
    "gone": "missing",
    "moved": "moved",
    "left": "orphan",
    "new": "new",
}


def _manifest(items: dict[str, str]) -> str:
    inputs = "inputs: {{topic: Of {}, target_audience: readers}}"
    return "items:\n" + "".join(f"  - {{id: {name}, {inputs.format(name)}{more}}}\n" for name, more in items.items())


def test_each_state_that_is_shown_selects_its_items(project: Build, invoke: Run) -> None:
    """As it is shown, and with a hyphen; no other item that is shown in this state is left out."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": _manifest(ITEMS)})
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "out/gone.md").unlink()
    typed = root / "out/typed.md"
    typed.write_text(typed.read_text("utf-8") + "\nMore.\n", "utf-8")
    (root / "content/a.yaml").write_text(_manifest(LATER), "utf-8")
    shown = _states(invoke("status", "--json", cwd=root).json)
    assert shown == SHOWN
    for word in set(shown.values()):
        alike = {id_: state for id_, state in shown.items() if state == word}
        for value in {word, word.replace(" ", "-")}:
            selected = invoke("status", "--select", f"state:{value}", "--json", cwd=root)
            assert alike.items() <= _states(selected.json).items(), value


def _states(answer: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {item["id"]: item["state"] for item in answer["items"]}


@pytest.mark.parametrize("state", [*StatusWord, "failed"])
def test_every_state_is_a_selector(state: str) -> None:
    """Also those that an item is seldom in, and the value that was one before."""
    assert state.replace(" ", "-") in STATES


def test_an_unknown_state_lists_those_there_are(project: Build, invoke: Run) -> None:
    """The words of `status`, as they are typed."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": _manifest(ITEMS)})
    ended = invoke("plan", "--select", "state:zzz", cwd=root)
    assert (ended.code, f"known: {', '.join(STATES)}" in ended.stderr) == (64, True)


def test_open_work_is_shown_by_the_state_of_its_job(tmp_path: Path, invoke: Run) -> None:
    """A job that runs, a text that is in no file, and a lost answer; `state:open` selects any open job."""
    api = FakeApi(duration=30, request_ids="ignore", auto_save=False)
    harness = Harness(tmp_path, api)
    harness.write("content/blog.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("first", "answer", "runs") + _held("held"))
    api.fault(on("submit", 2), "504")
    harness.apply(deadline=20)
    shown = _states(invoke("status", "--json", cwd=tmp_path).json)
    assert shown == {"first": "as generated", "held": "running", "answer": "unknown", "runs": "running"}
    harness.apply(select=("held",))
    shown = _states(invoke("status", "--json", cwd=tmp_path).json)
    assert shown == {"first": "as generated", "held": "blocked", "answer": "unknown", "runs": "running"}
    assert _states(invoke("status", "--select", "state:paid", "--json", cwd=tmp_path).json) == {"held": "blocked"}
    opened = _states(invoke("status", "--select", "state:open", "--json", cwd=tmp_path).json)
    assert opened == {"held": "blocked", "answer": "unknown", "runs": "running"}


def _held(item: str) -> str:
    inputs = f"{{topic: 'All about {item}', target_audience: readers}}"
    return f"  - {{id: {item}, inputs: {inputs}, checks: {{words: {{min: 100000}}}}}}\n"
