"""Items made from the texts of others: what waits, in which order it is made, and what a changed text makes stale."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contentops.errors import ExitCode, InputError, Refused
from contentops.model import Action, Change, Event, OnSourceChange, Plan
from contentops.model import Run as Run_
from contentops.model.plan_file import plan_file
from contentops.operations import apply as apply_operation
from contentops.operations.apply import ApplyOptions
from contentops.planning.sides import Choice
from contentops.reporting.run import exit_code_of
from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.fakes.kills import EachKill
from tests.running import Run

GUIDE, NEWS, TEASER = "Guide", "News of {{ ref('guide').title }}", "{{ ref('news').excerpt(40) }}"


def items(topics: Mapping[str, str], **more: Any) -> str:
    """A manifest with one item for each topic; `more` are keys of all of them."""
    made = [{"id": id_, "inputs": {"topic": topic, "target_audience": "all"}, **more} for id_, topic in topics.items()]
    return json.dumps({"items": made})


CHAIN = {"guide": GUIDE, "news": NEWS, "teaser": TEASER}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A guide, news that quote its title, and a teaser made from the news."""
    made = Harness(tmp_path / "project", FakeApi(duration=30))
    made.write("content/a.yaml", items(CHAIN))
    return made


def applied(harness: Harness, manifest: str, **choice: Any) -> None:
    """Declares items and applies them."""
    harness.write("content/a.yaml", manifest)
    harness.apply(**choice)


def waiting(plan: Plan) -> dict[str, list[str]]:
    """The items that wait, and why."""
    return {
        change.id: [reason.detail for reason in change.reasons]
        for change in plan.changes
        if change.action is Action.WAIT
    }


def change_of(plan: Plan, id_: str) -> Change:
    """The change of one item."""
    return next(change for change in plan.changes if change.id == id_)


def refused(harness: Harness) -> list[str]:
    """What loading the manifests reports."""
    with pytest.raises(InputError) as caught:
        harness.plan()
    return [f"{one.code}: {one.message}; {one.hint}" for one in caught.value.diagnostics()]


# --- waves -----------------------------------------------------------------------------------------------------


def test_a_plan_shows_what_waits_and_its_price_and_apply_makes_it_in_waves(harness: Harness, invoke: Run) -> None:
    """Each text is sent with that of its source; the total was shown, and guarded, before; then there is nothing to do."""
    plan = harness.plan()
    assert waiting(plan) == {"news": ["`guide` has no text yet"], "teaser": ["`news` has no text yet"]}
    assert (plan.credits, plan.credits_at_most, plan.credits_worst) == (12, True, 12)
    settings = harness.read("contentops.yaml")
    for budget, guard, said in (
        ("credits_per_apply: 8", "budget-credits", "it costs at most 12 credits; `budget.credits_per_apply` is 8"),
        ("items_per_apply: 2", "budget-items", ""),
    ):
        harness.write("contentops.yaml", f"{settings}\nbudget: {{{budget}}}\n")
        (refusal,) = harness.plan().refusals
        assert (refusal.guard, said in refusal.message) == (guard, True)
    harness.write("contentops.yaml", settings)
    text = invoke("plan", "--out", "p.json", cwd=harness.root).stdout
    assert "Plan: 1 to create, 2 waiting, 0 unchanged. At most 12 credits." in text
    document = json.loads(harness.read("p.json"))
    jsonschema.validate(document, load_schema("plan"))
    assert document["changes"][1]["waits"] == [{"id": "guide", "wait": "no-text"}]
    assert "At most 12 credits" in invoke("show", "p.json", cwd=harness.root).stdout
    run = harness.ran()
    assert results(run) == dict.fromkeys(CHAIN, "done")
    assert run.credits == 12
    topics = [each.topic for each in harness.api.generations]
    assert (topics[:2], len(topics)) == (["Guide", "News of On Guide"], 3)
    assert (topics[2], harness.plan().empty) == ("All about News of On Guide. Take 1.", True)


def test_a_run_does_what_was_confirmed_whatever_the_manifests_say_meanwhile(harness: Harness) -> None:
    """A dearer or another request is for the next plan."""

    def other(event: Event) -> None:
        if event.kind == "item-done":
            harness.write("content/a.yaml", items({**CHAIN, "news": f"Other {NEWS}"}, mode="premium"))

    run = harness.ran(emit=other)
    assert (run.stopped, run.credits, set(results(run).values())) == ("", 12, {"done"})
    assert [each.topic for each in harness.api.generations][:2] == ["Guide", "News of On Guide"]
    assert "news" in waiting(harness.plan())


def carried_out(harness: Harness, **options: Any) -> Run_:
    """What an apply with these options did."""
    _, run = apply_operation.apply(
        harness.project, Choice(), ApplyOptions(**options), confirm=lambda _: True, emit=harness.events.append,
        runtime=harness.runtime(),
    )  # fmt: skip
    assert run is not None
    return run


def test_what_waits_for_an_item_that_could_not_be_saved_says_so(harness: Harness) -> None:
    """The guide has its text by then; the next apply saves it, and makes the others."""
    harness.api = FakeApi(duration=30, auto_save=False)
    harness.api.fault(lambda name, _: name == "save", 400)
    run = harness.ran()
    assert results(run) == {"guide": "failed", "news": "pending", "teaser": "pending"}
    (news,) = (one for one in run.outcomes if one.id == "news")
    assert news.error == "`guide` has its text, but is not done"
    harness.api.heal()
    assert set(results(harness.apply()).values()) == {"done"}


def test_what_waits_for_an_item_that_is_not_selected_is_a_pause(harness: Harness) -> None:
    """Another machine may make that text: the run says so, and ends like one that is to be repeated."""
    harness.write("content/a.yaml", items({**CHAIN, "other": "Other"}))
    for _ in range(2):
        run = harness.ran(select=("news", "other"))
        assert (run.stopped, exit_code_of(run)) == ("sources", ExitCode.PAUSED)
        assert run.message == "1 item waits for texts of items that are not selected"
        assert results(run)["news"] == "pending"
    harness.apply(select=("guide",))
    run = harness.ran(select=("news", "other"))
    assert (results(run), exit_code_of(run)) == ({"news": "done"}, ExitCode.DONE)
    harness.write("out/teaser.md", "Words of a person.\n")  # no record has it: the teaser is blocked
    harness.write(
        "content/a.yaml", items({**CHAIN, "other": "Other", "more": "On {{ ref('far').title }}", "far": "Far"})
    )
    run = harness.ran(select=("teaser", "more"))
    assert (results(run), exit_code_of(run)) == ({"more": "pending", "teaser": "blocked"}, ExitCode.PAUSED)


def test_a_reviewed_plan_allows_its_waves_and_no_other_request(harness: Harness, invoke: Run) -> None:
    """`--reviewed` knows a waiting item by its request without the texts."""
    invoke("plan", "--out", "p.json", cwd=harness.root)
    ceiling = plan_file(json.loads(harness.read("p.json")))
    harness.apply(select=("guide",))
    harness.write("content/a.yaml", items({**CHAIN, "news": f"Other {NEWS}"}))
    with pytest.raises(Refused, match="its request has changed"):
        carried_out(harness, is_bound=True, ceiling=ceiling)
    harness.write("content/a.yaml", items(CHAIN))
    assert results(carried_out(harness, is_bound=True, ceiling=ceiling)) == {"news": "done", "teaser": "done"}


def test_a_kill_at_any_step_of_any_wave_pays_once(harness: Harness, tmp_path: Path, each_kill: EachKill) -> None:
    """The next apply ends like an undisturbed one: each request is paid for once, each text made from its source."""
    harness.write("content/b.yaml", items({"first": "What the server does with ids"}))
    harness.apply(select=("first",))
    kills = each_kill(harness, tmp_path / "kills", harness.apply, 3)
    assert len(kills) > 10
    topics = sorted(each.topic for each in harness.api.generations)
    for step, left in kills.items():
        left.settle()
        assert sorted(each.topic for each in left.api.generations) == topics, step
        assert left.plan().empty, step


# --- stale -----------------------------------------------------------------------------------------------------


def test_an_edit_makes_exactly_its_quoters_stale(harness: Harness, invoke: Run) -> None:
    """By default nothing is paid; plan and status say it with the cause and the price."""
    applied(harness, items({**CHAIN, "other": "{{ ref('guide').body }}", "alone": "Alone"}))
    harness.edit("out/guide.md", "Guide", "Guides")
    harness.edit("out/guide.md", "title: On Guides", "title: On Guide")
    plan = harness.plan()
    assert [change.id for change in plan.changes if change.submits] == []
    (note,) = [one for one in plan.notes if one.kind == "stale-source"]
    assert (note.items, note.credits) == (("other",), 4)
    assert note.message == "`other` is stale: `guide` was edited by hand"
    assert "--select other --on-source-change regenerate" in note.hint
    said = invoke("status", "--select", "state:stale", cwd=harness.root).stdout
    assert "other" in said
    assert "`guide` was edited by hand" in said
    harness.apply()
    assert len(harness.api.generations) == 5
    harness.apply(select=("other",), on_source_change=OnSourceChange.REGENERATE)
    assert len(harness.api.generations) == 6
    assert not [one for one in harness.plan().notes if one.kind == "stale-source"]


@pytest.mark.parametrize(
    ("keys", "news", "credits_"), [({"on_source_change": "regenerate"}, NEWS, 12), ({}, f"{NEWS}!", 8)]
)
def test_an_item_waits_for_a_text_that_the_same_plan_replaces(
    harness: Harness, keys: dict[str, str], news: str, credits_: int
) -> None:
    """It follows through the chain, or has another request, and is not paid for with a text that is gone a minute later."""
    applied(harness, items(CHAIN, **keys))
    harness.write("content/a.yaml", items({**CHAIN, "guide": "Handbook", "news": news}, **keys))
    plan = harness.plan()
    assert (plan.credits, waiting(plan)["news"][-1]) == (credits_, "`guide` is to change first")
    harness.apply()
    topics = [each.topic for each in harness.api.generations]
    assert topics[3:5] == ["Handbook", news.replace("{{ ref('guide').title }}", "On Handbook")]
    assert (len(topics), harness.plan().empty) == (3 + credits_ // 4, True)


@pytest.mark.parametrize("rule", ["regenerate", "note"])
def test_a_column_that_a_text_does_not_use_hides_no_change_of_its_source(harness: Harness, rule: str) -> None:
    """A translation whose row has another price waits for the page with that price, or is stale once that is made."""
    pages = {
        "id": "en-{{ each.slug }}",
        "for_each": "data/cities.csv",
        "inputs": {"topic": "{{ each.slug }} for {{ each.price }}", "target_audience": "all"},
    }
    translations = {
        "id": "de-{{ each.place.slug }}",
        "matrix": {"place": "data/cities.csv"},
        "inputs": {"topic": "German: {{ ref('en-' ~ each.place.slug).body }}", "target_audience": "all"},
        "on_source_change": rule,
    }
    harness.write("data/cities.csv", "slug,price\noslo,189\nrome,300\n")
    harness.write("content/a.yaml", json.dumps({"items": [pages, translations]}))
    harness.apply()
    harness.write("data/cities.csv", "slug,price\noslo,195\nrome,300\n")
    expected = {"de-oslo": ["`en-oslo` is to change first"]} if rule == "regenerate" else {}
    assert waiting(harness.plan()) == expected
    harness.apply()
    assert (len(harness.api.generations), harness.plan().empty) == (5 + len(expected), True)
    assert [note.kind for note in harness.plan().notes] == ([] if expected else ["stale-source"])


@pytest.mark.parametrize("rule", ["note", "block", "regenerate"])
def test_a_stale_text_is_kept_for_free(harness: Harness, rule: str) -> None:
    """Its record then answers the present words: no plan names it, until they change again; an edit of it stays."""
    applied(harness, items(CHAIN, on_source_change=rule))
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    harness.edit("out/news.md", "News", "Our news")
    made, before = len(harness.api.generations), (harness.root / "out/news.md").read_text()
    if rule == "block":
        change = change_of(harness.plan(), "news")
        assert (change.action, change.blocked) == (Action.BLOCKED, "stale-source")
        assert "`guide` was edited by hand" in [reason.detail for reason in change.reasons]
        assert not [
            one
            for one in harness.plan(on_source_change=OnSourceChange.NOTE).changes
            if one.id == "news" and one.blocked
        ]
    plan = harness.plan(on_source_change=OnSourceChange.KEEP)
    assert [(one.id, one.action, one.credits) for one in plan.changes if one.id == "news"] == [("news", Action.KEEP, 0)]
    harness.apply(select=("news",), on_source_change=OnSourceChange.KEEP)
    assert (len(harness.api.generations), (harness.root / "out/news.md").read_text()) == (made, before)
    plan = harness.plan(select=("news",))
    assert (plan.empty, [one for one in plan.notes if one.kind == "stale-source"]) == (True, [])
    harness.edit("out/guide.md", "title: On Guides", "title: On All Guides")
    assert {"note": bool(harness.plan(select=("news",)).notes), "block": bool(harness.plan().changes)}.get(rule, True)


# --- what a reference reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "value"), [
    ("{{ ref('guide').title }}", "On Guide"),
    ("{{ ref('guide').id }} at {{ ref('guide').path }}", "guide at out/guide.md"),
    ("{{ ref('guide').headings | join(', ') }}", "One, Two"),
    ("{{ ref('guide').section('two') }}", "Second {{ x }}."),
    ("{{ ref('guide').excerpt(12) }}", "First words…"),
    ("{{ ref('guide').metadata.lang }}", "de"),
    ("{% if ref('guide').metadata.lang == 'de' %}Deutsch{% endif %}", "Deutsch"),
])  # fmt: skip
def test_the_parts_of_a_text(harness: Harness, template: str, value: str) -> None:
    """They are data: Jinja in a text is never rendered."""
    applied(harness, items({"guide": GUIDE}))
    head = harness.read("out/guide.md").partition("---\n\n")[0]
    head = head.replace("title:", "lang: de\ntitle:", 1)
    harness.write("out/guide.md", f"{head}---\n\n## One\n\nFirst words **of** all.\n\n## Two\n\nSecond {{{{ x }}}}.\n")
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": template}))
    submit = change_of(harness.plan(), "news").submit
    assert submit is not None
    assert submit.request.inputs["topic"] == value


@pytest.mark.parametrize(("topics", "said"), [
    ({"a": "{{ ref('gone').title }}"}, "unknown-reference: item `a` has a problem in `inputs.topic`: there is no item"),
    ({"a": "{{ ref('a').title }}"}, "reference-ring: references form a cycle: `a` -> `a`"),
    ({"a": "{{ ref('b').path }}", "b": "{{ ref('a').id }}"}, "reference-ring: references form a cycle: `a` -> `b` -> `a`"),
    ({"a": "{{ ref('b').body }}", "b": "{{ ref('a').title }}"}, "form a cycle: `a` -> `b` -> `a`"),
    ({"a": "{{ ref(3).title }}"}, "`ref` takes the id of an item; write `ref('ID')`"),
    ({"a": "{{ ref('b') }}", "b": "B"}, "a text as a whole cannot be part of a text; name one of its parts"),
])  # fmt: skip
def test_references_that_cannot_be_are_refused(harness: Harness, topics: Mapping[str, str], said: str) -> None:
    """By name, before anything is paid for."""
    harness.write("content/a.yaml", items({"b": "B", **topics} if "b" not in topics else topics))
    assert any(said in line for line in refused(harness)), refused(harness)
    for key in ("id", "mode", "template"):  # these and prices do not depend on what a model writes
        made = json.loads(items({"guide": GUIDE, "news": "x"}))
        made["items"][1][key] = "{{ ref('guide').title }}"
        harness.write("content/a.yaml", json.dumps(made))
        assert any("reference-not-here: item" in line and f"`{key}`" in line for line in refused(harness))


def test_a_missing_section_blocks_its_item_alone(harness: Harness, invoke: Run) -> None:
    """The plan names those there are; a new text, or another template, ends that."""
    harness.apply(select=("guide",))
    harness.write("content/a.yaml", items({"guide": GUIDE, "a": "{{ ref('guide').section('None') }}", "b": "B"}))
    plan = harness.plan()
    change = change_of(plan, "a")
    assert (change.blocked, change_of(plan, "b").submits) == ("wrong-reference", 1)
    assert "`guide` has no section `None`; its headings: `Introduction`, `Closing`" in change.hint
    assert "unknown-section" in invoke("validate", cwd=harness.root).stderr


def test_an_approved_text_alone_counts_where_that_is_asked_for(harness: Harness) -> None:
    """The item waits, and the plan says how to go on."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide', approved=true).title }}"}))
    run = harness.apply()
    assert results(run) == {"guide": "done", "news": "pending"}
    change = change_of(harness.plan(), "news")
    assert [reason.detail for reason in change.reasons] == ["`guide` has a text that is not approved"]
    assert (change.hint, change.credits) == ("read it, then `contentops approve guide`", 0)


def test_a_long_text_is_never_cut_and_hostile_ones_are_data(harness: Harness) -> None:
    """Control characters and front matter inside the body; what is too long blocks the item."""
    applied(harness, items({"guide": GUIDE, "news": "{{ ref('guide').body }}"}), select=("guide",))
    head = harness.read("out/guide.md").partition("---\n\n")[0]
    words = "\x00{% raw %}\n---\ntitle: x\n---\n" + "word " * 100_000
    harness.write("out/guide.md", f"{head}---\n\n{words}\n")
    submit = change_of(harness.plan(), "news").submit
    assert submit is not None
    assert submit.request.inputs["topic"].rstrip() == words[1:].rstrip()
    harness.write("out/guide.md", f"{head}---\n\n{words * 10}\n")
    change = change_of(harness.plan(), "news")
    assert change.blocked == "wrong-reference"
    assert "use its `excerpt` or one `section`" in change.hint


def test_an_output_follows_the_text_that_names_it_in_one_apply(harness: Harness) -> None:
    """The file moves once its source has another title; no other item may read a path that is not known before."""
    made = json.loads(items({"guide": "Guide", "news": "News", "index": "All"}))
    made["items"][1]["output"] = "out/{{ ref('guide').title | slugify }}.md"
    harness.write("content/a.yaml", json.dumps(made))
    harness.apply()
    made["items"][0]["inputs"]["topic"] = "Book"
    harness.write("content/a.yaml", json.dumps(made))
    waits = change_of(harness.plan(), "news")
    assert (waits.action, waits.updates_later) == (Action.WAIT, ("output",))
    assert waits.reasons[0].detail == "its path uses `guide`, whose text comes first"
    assert results(harness.ran()) == {"guide": "done", "news": "done"}
    assert (sorted(harness.tree()), harness.plan().empty) == (["out/guide.md", "out/index.md", "out/on-book.md"], True)
    made["items"][2]["inputs"]["topic"] = "All: {{ ref('news').path }}"
    harness.write("content/a.yaml", json.dumps(made))
    said = "reference-path: item `index` uses the `path` of `news`, whose `output` is made from a text; "
    assert refused(harness)[-1] == f"{said}give `news` an `output` that uses no text, or use another part of it"


def test_an_item_that_waits_is_renamed_as_a_part_of_a_chain(harness: Harness) -> None:
    """Its id was another item's before this run: it replaces its own text, and the other item keeps its one."""
    applied(harness, items({"guide": GUIDE, "a": NEWS, "b": "Other"}))
    made = json.loads(items({"guide": "Book", "b": NEWS, "c": "Other"}, on_source_change="regenerate"))
    made["moved"] = [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}]
    harness.write("content/a.yaml", json.dumps(made))
    assert results(harness.ran()) == {"guide": "done", "b": "done", "c": "done"}
    topics = [each.topic for each in harness.api.generations]
    assert (topics[3:], harness.plan().changes) == (["Book", "News of On Book"], ())
    assert sorted(harness.tree()) == ["out/b.md", "out/c.md", "out/guide.md"]
    # A source and its dependant get new ids at once, without `moved` too: the record names its source as it is called now.
    applied(harness, items({"book": "Book", "story": NEWS.replace("guide", "book"), "c": "Other"}))
    assert (set(harness.record("story").sources), harness.plan().changes, harness.api.credits) == ({"book"}, (), 20)
