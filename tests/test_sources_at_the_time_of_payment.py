"""Items made from the texts of others, where something changes between the plan and the payment."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.errors import ExitCode
from contentops.model import Action
from contentops.operations.apply import Following
from contentops.operations.opening import open_outputs
from contentops.operations.plan import gathered
from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.planning.sides import Choice
from contentops.reporting.run import exit_code_of
from tests.fakes.api import Killed, on
from tests.fakes.harness import Harness, results
from tests.test_made_from_texts import manifest
from tests.test_references import GUIDE, NEWS, applied, change_of, items

PLACED = "{{% if ref('guide').title %}}{}{{% endif %}}"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A project whose jobs take half a minute."""
    return Harness(tmp_path)


def _topics(harness: Harness) -> list[str]:
    return [each.topic for each in harness.api.generations]


@pytest.mark.parametrize("output", [
    "contentops.yaml", "contentops.jobs", "content/a.yaml", "content/more.yaml", "data/rows.csv", "out/b.md",
    "out/B.md",
])  # fmt: skip
def test_a_text_names_no_file_of_the_project_and_of_no_other_item(harness: Harness, output: str) -> None:
    """As the output of an item that may overwrite: it is blocked before it is paid for, and nothing else is."""
    harness.write("data/rows.csv", "name\nx\n")
    keys = {"news": {"output": PLACED.format(output), "on_edit": "overwrite"}}
    rows = {"for_each": "data/rows.csv"}
    declared = manifest(
        {"guide": GUIDE, "news": NEWS, "b": "B", "row-{{ each.name }}": "Row"}, **keys, **{"row-{{ each.name }}": rows}
    )
    harness.write("content/a.yaml", declared)
    before = {path: harness.read(path) for path in ("contentops.yaml", "content/a.yaml", "data/rows.csv")}
    run = harness.ran()
    assert (results(run)["news"], exit_code_of(run)) == ("blocked", ExitCode.INCOMPLETE)
    assert sorted(_topics(harness)) == ["B", "Guide", "Row"]
    assert {path: harness.read(path) for path in before} == before
    assert not (harness.root / "content/more.yaml").exists()
    assert "All about B" in harness.read("out/b.md")
    change = change_of(harness.plan(), "news")
    assert (change.blocked, harness.plan().credits) == ("wrong-reference", 0)


def test_a_text_that_waits_is_not_replaced(harness: Harness) -> None:
    """It would be made from the old words of its source, which is made again in the same run."""
    applied(harness, items({"guide": GUIDE, "news": NEWS}))
    harness.write("content/a.yaml", items({"guide": "Guide2", "news": NEWS}))
    run = harness.apply(replace=frozenset(["news"]))
    assert results(run) == {"guide": "done", "news": "blocked"}
    assert _topics(harness) == ["Guide", "News of On Guide", "Guide2"]


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_a_source_that_changes_after_the_plan_is_not_paid_for(harness: Harness, change: str) -> None:
    """The text would be made from words that are not there any more."""
    applied(harness, items({"guide": GUIDE, "news": NEWS}), select=("guide",))

    def meanwhile(event: Any) -> None:
        if event.kind != "run-started":
            return
        if change == "edited":
            harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
        else:
            (harness.root / "out/guide.md").unlink()

    run = harness.ran(emit=meanwhile)
    assert (results(run)["news"], exit_code_of(run)) == ("blocked", ExitCode.INCOMPLETE)
    assert _topics(harness) == ["Guide"]
    harness.settle()
    assert _topics(harness) == ["Guide", "News of On Guides" if change == "edited" else "News of On Guide"]


@pytest.mark.parametrize("lost", [True, False])
def test_a_job_under_way_is_not_paid_for_again(harness: Harness, *, lost: bool) -> None:
    """Its item got another id, and its source other words, while the job ran or the answer to its submit was lost."""
    applied(harness, items({"guide": GUIDE, "news": NEWS}), select=("guide",))
    if lost:
        harness.api.fault(on("submit"), "kill-after")
    with contextlib.suppress(Killed):
        harness.apply(deadline=10.0)
    harness.api.heal()
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    declared = json.loads(items({"guide": GUIDE, "nieuws": NEWS}))
    harness.write("content/a.yaml", json.dumps({**declared, "moved": [{"from": "news", "to": "nieuws"}]}))
    harness.settle()
    assert _topics(harness) == ["Guide", "News of On Guide"]
    assert "All about News of On Guide" in harness.read("out/nieuws.md")
    assert [note.kind for note in harness.plan().notes] == ["stale-source"]


def test_texts_that_turn_out_to_be_one_are_blocked(harness: Harness) -> None:
    """The first is paid for; the second is blocked in this run, and in the next plan."""
    topic = "{{% if '{0}' in ref('guide').title %}}{0}{{% endif %}} {{{{ ref('guide').title }}}}"
    harness.write("content/a.yaml", items({"guide": GUIDE, "n1": topic.format("X"), "n2": topic.format("Y")}))
    assert results(harness.apply()) == {"guide": "done", "n1": "done", "n2": "blocked"}
    (change,) = harness.plan().changes
    assert (change.id, change.blocked, len(_topics(harness))) == ("n2", "same-request", 2)


@pytest.mark.parametrize("rule", ["note", "regenerate"])
def test_an_edit_on_the_server_of_a_text_that_waits_is_found_before_payment(harness: Harness, rule: str) -> None:
    """As that of every text that is made again."""
    keys = {"on_source_change": rule} if rule == "regenerate" else {}
    applied(harness, manifest({"guide": GUIDE, "news": NEWS}, news=keys))
    harness.api.edit(harness.record("news").content_id, "Words on the server.\n")
    mode = {} if rule == "regenerate" else {"mode": "premium"}
    harness.write("content/a.yaml", manifest({"guide": "Guide2", "news": NEWS}, news={**keys, **mode}))
    assert results(harness.apply()) == {"guide": "done", "news": "blocked"}
    assert _topics(harness) == ["Guide", "News of On Guide", "Guide2"]
    assert harness.api.contents[harness.record("news").content_id].body == "Words on the server.\n"


FOLLOWS = {"metadata": {"title": "B after {{ ref('guide').title }}", "x": "x {{ ref('guide').title }}"}}


@pytest.mark.parametrize(("part", "made"), [("title", "C B after On Guide"), ("metadata.x", "C x On Guide")])
def test_front_matter_that_follows_a_text_comes_before_what_is_made_from_it(
    harness: Harness, part: str, made: str
) -> None:
    """A title that is made from a coming text is not final, and the plan has the price of what reads it."""
    texts = {"guide": GUIDE, "b": "B", "c": f"C {{{{ ref('b').{part} }}}}"}
    keys = {"b": FOLLOWS, "c": {"on_source_change": "regenerate"}}
    harness.write("content/a.yaml", manifest(texts, **keys))
    assert (harness.plan().credits_worst, set(results(harness.apply()).values())) == (12, {"done"})
    assert _topics(harness)[-1] == made
    harness.write("content/a.yaml", manifest({**texts, "guide": "Guide2"}, **keys))
    plan = harness.plan()
    expected = {"b": ("wait", 0), "c": ("wait", 4), "guide": ("regenerate", 4)}
    assert {change.id: (str(change.action), change.credits_worst) for change in plan.changes} == expected
    harness.apply()
    assert (_topics(harness)[-1], harness.plan().empty) == (f"{made}2", True)


def test_a_lost_order_is_not_sent_again_where_the_text_answers_the_request(harness: Harness) -> None:
    """The source got its words back, so that nothing is to be paid for."""
    keys = {"news": {"on_source_change": "regenerate"}}
    applied(harness, manifest({"guide": GUIDE, "news": NEWS}, **keys))
    before = harness.read("out/guide.md")
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    harness.api.fault(on("submit"), "kill")
    with contextlib.suppress(Killed):
        harness.apply()
    harness.api.heal()
    harness.write("out/guide.md", before)
    assert harness.plan().credits_worst == 0
    harness.settle()
    assert _topics(harness) == ["Guide", "News of On Guide"]


def test_a_text_that_costs_more_than_was_confirmed_waits_again(harness: Harness) -> None:
    """Its price is known once its source has a text; what a person confirmed is the most that is paid."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": NEWS}))
    confirmed = change_of(harness.plan(), "news")
    cheap = structs.replace(
        confirmed, pays_later=tuple(structs.replace(one, credits=3) for one in confirmed.pays_later)
    )
    harness.apply(select=("guide",))
    with open_workspace(harness.project, harness.runtime(), write=True) as workspace:
        inputs = gathered(workspace, Choice())
        outputs = open_outputs(harness.project, workspace.store.lineage, harness.runtime())
        following = Following(workspace, inputs, make_plan(inputs), outputs)
        changes = [following.change(each, {}) for each in (confirmed, cheap)]
    assert [(one.action, one.credits) for one in changes if one] == [(Action.CREATE, 4), (Action.WAIT, 0)]
