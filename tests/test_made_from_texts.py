"""Items made from items, row by row: what is final, what waits, what is stale, and what nothing is made from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import ExitCode
from contentops.model import Action, Event, OnSourceChange
from contentops.operations.state import resolve
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, results
from tests.fakes.kills import EachKill
from tests.running import Run
from tests.test_reference_faults import InEnvironment, with_body
from tests.test_references import CHAIN, GUIDE, NEWS, TEASER, change_of, items, refused, waiting

DIAMOND = {
    "top": "Top",
    "left": "Left of {{ ref('top').title }}",
    "right": "Right of {{ ref('top').title }}",
    "end": "{{ ref('left').title }} and {{ ref('right').title }}",
}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A guide, news that quote its title, and a teaser made from the news."""
    made = Harness(tmp_path / "project", FakeApi(duration=30))
    made.write("content/a.yaml", items(CHAIN))
    return made


def manifest(topics: Mapping[str, str], **of: Any) -> str:
    """A manifest with one item for each topic; `of` are keys of single items."""
    made = json.loads(items(topics))
    return json.dumps({"items": [item | of.get(item["id"], {}) for item in made["items"]]})


def records(harness: Harness, item: str) -> tuple[Any, ...]:
    """What the lock says of the text of an item."""
    record = harness.record(item)
    return record.digest, record.title, record.output, record.generated, record.metadata, record.addresses


# --- before anything is paid -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "said"), [
    ("{{ ref('guid').title }}", "unknown-reference"),
    ("{{ ref('guide').boddy }}", "unknown-part: item `news` has a problem in `inputs.topic`: a text has no part"),
    ("{{ ref('guide').title }} for {{ persona }}", "undefined-variable"),
    ("{{ ref('guide').title ~ persona }}", "undefined-variable"),
    ("{{ ref(ref('guide').title).body }}", "reference-unclear"),
    ("{% for h in ref('guide').headings %}{{ ref(h).title }}{% endfor %}", "name the items: `uses: [ID, ...]`"),
    ("{% if ref('guide').title %}{{ ref('gone').title }}{% endif %}", "unknown-reference"),
    ("{{ texts('cities') | length }}", "write `texts('tag:NAME')`"),
    ("{% for row in rows('data/none.csv') %}{{ row.city }}{% endfor %}{{ ref('guide').title }}", "no-data-file"),
])  # fmt: skip
def test_mistakes_of_an_item_that_waits_are_found(harness: Harness, topic: str, said: str) -> None:
    """The text that it is made from does not exist yet, and is not paid for."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": topic}))
    assert any(said in line for line in refused(harness)), refused(harness)
    assert not harness.api.generations


def test_a_wrong_input_of_an_item_that_waits_is_found(harness: Harness) -> None:
    """Its name is known before its value."""
    made = json.loads(items(CHAIN))
    made["items"][1]["inputs"]["key_pionts"] = ["{{ ref('guide').title }}"]
    harness.write("content/a.yaml", json.dumps(made))
    harness.edit("contentops.yaml", harness.project.api.base_url, "local")
    assert any("unknown-input" in line and "`key_points`" in line for line in refused(harness))


def test_uses_names_what_templates_do_not_tell(harness: Harness) -> None:
    """A macro, or a text that names another one; a text outside of the list is a mistake."""
    topic = "{% macro of(id) %}{{ ref(id).title }}{% endmacro %}{{ of('guide') }}"
    harness.write("content/a.yaml", manifest({"guide": GUIDE, "news": topic}, news={"uses": ["guide"]}))
    assert waiting(harness.plan()) == {"news": ["`guide` has no text yet"]}
    harness.apply()
    assert [each.topic for each in harness.api.generations] == ["Guide", "On Guide"]
    assert harness.plan().empty
    harness.write("content/a.yaml", manifest({"guide": GUIDE, "news": NEWS, "b": "B"}, news={"uses": ["b"]}))
    assert any("reference-not-used" in line for line in refused(harness))
    harness.write("content/a.yaml", manifest({"guide": GUIDE, "news": NEWS}, news={"uses": ["guide", "b", "c"]}))
    found = refused(harness)
    assert all(any(f"has a problem in `uses`: there is no item `{id_}`" in line for line in found) for id_ in "bc")


def test_an_item_that_is_due_before_its_source_is_named(harness: Harness) -> None:
    """It would wait for it."""
    days = {"guide": {"publish_on": "2026-12-24"}, "news": {"publish_on": "2026-12-01"}}
    harness.write("content/a.yaml", manifest(CHAIN, **days))
    (finding,) = [one for one in harness.plan().findings if one.code == "due-before-source"]
    assert finding.message.endswith("is due on 2026-12-01, before texts that it is made from: `guide` on 2026-12-24")


# --- what waits --------------------------------------------------------------------------------------------------


def test_nothing_that_waits_has_a_request_or_a_step(harness: Harness, invoke: Run) -> None:
    """No plan, record, file or request ever has a placeholder."""
    extra = {"metadata": {"title": "News: {{ ref('guide').title }}", "slug": "{{ ref('guide').title | slugify }}"}}
    harness.write("content/a.yaml", manifest(CHAIN, news=extra))
    change = change_of(harness.plan(), "news")
    assert (change.action, change.steps, change.submits) == (Action.WAIT, (), 1)
    assert change.spec is not None
    assert (change.spec.digest, dict(change.spec.request.inputs)) == ("", {"target_audience": "all"})
    assert invoke("plan", "--out", "p.json", cwd=harness.root).code == 0
    harness.apply()
    everything = [harness.read(path) for path in ("p.json", "contentops.lock", "contentops.jobs", *harness.tree())]
    everything += [json.dumps(each.body) for each in harness.api.generations]
    assert not any("⟨" in each or "{{" in each for each in everything)
    assert 'title: "News: On Guide"' in harness.read("out/news.md")
    assert "slug: on-guide" in harness.read("out/news.md")
    assert harness.plan().empty


@pytest.mark.parametrize("how", ["deleted", "emptied", "markers"])
def test_dependants_of_a_source_that_cannot_be_read_stay_as_they_are(harness: Harness, how: str) -> None:
    """Text, title, path, front matter and addresses; a source that is restored costs nothing."""
    extra = {
        "metadata": {"title": "T {{ ref('guide').title }}"},
        "output": "out/{{ ref('guide').title | slugify }}-n.md",
    }
    harness.write("content/a.yaml", manifest(CHAIN, news=extra))
    harness.apply()
    before = [records(harness, item) for item in CHAIN]
    if how == "deleted":
        (harness.root / "out/guide.md").unlink()
    else:
        with_body(harness, "out/guide.md", "" if how == "emptied" else "<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n")
    assert not [change for change in harness.plan().changes if change.id != "guide"]
    harness.apply()
    assert ([records(harness, item) for item in CHAIN], len(harness.api.generations)) == (before, 3)


@pytest.mark.parametrize("fault", ["fails", "checks", "unknown", "edited"])
def test_nothing_is_made_below_a_source_that_did_not_come(harness: Harness, fault: str) -> None:
    """Of a diamond: what is beside it is made, what is below it waits, and each is paid for once after the mend."""
    left = {"checks": {"excludes": ["Take"]}} if fault == "checks" else {}
    harness.write("content/a.yaml", manifest(DIAMOND, left=left))
    if fault == "fails":
        harness.api.habits.fails = lambda inputs: "no" if inputs["topic"].startswith("Left") else ""
    elif fault == "unknown":
        harness.api.habits.request_ids, harness.api.habits.auto_save = "ignore", False
        harness.api.fault(on("submit", 2), "reset")
    elif fault == "edited":
        harness.write("out/left.md", "Words of a person.\n")
    run = harness.ran()
    assert results(run)["end"] == "pending"
    assert exit_code_of(run) is ExitCode.INCOMPLETE
    assert {each.topic for each in harness.api.generations if " and " in each.topic} == set()
    harness.api.habits.fails = lambda _: ""
    harness.api.heal()
    if fault == "unknown":
        resolve(harness.project, "left", forget=True)
    if fault == "checks":
        harness.write("content/a.yaml", manifest(DIAMOND))
    elif fault == "edited":
        (harness.root / "out/left.md").unlink()
    harness.settle()
    topics = [each.topic for each in harness.api.generations]
    assert sorted(set(topics)) == sorted(topics) or fault in ("fails", "unknown")
    assert "On Left of On Top and On Right of On Top" in topics
    assert harness.plan().empty


def test_a_source_that_is_edited_before_its_turn_blocks_its_dependant_like_a_file(harness: Harness) -> None:
    """The text is made from the words that are there at its turn, never from words that are gone."""

    def edit(event: Event) -> None:
        if event.item == "guide" and event.kind == "item-done":
            harness.edit("out/guide.md", "title: On Guide", "title: On Guides")

    harness.apply(emit=edit)
    assert [each.topic for each in harness.api.generations][1] == "News of On Guides"
    harness.apply()
    assert harness.plan().changes == ()


# --- renames, reverts and manifests ------------------------------------------------------------------------------


@pytest.mark.parametrize("edited", ["", "before", "after"])
def test_a_renamed_source_costs_nothing(harness: Harness, edited: str) -> None:
    """Also where it is edited before or after, with another front matter of the dependant, and without the pair."""
    harness.apply()
    if edited == "before":
        harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
        harness.apply()
    topics = {"handbook": GUIDE, "news": NEWS.replace("guide", "handbook"), "teaser": TEASER}
    made = json.loads(manifest(topics, news={"metadata": {"tags": ["new"]}}))
    harness.write("content/a.yaml", json.dumps({**made, "moved": [{"from": "guide", "to": "handbook"}]}))
    assert harness.plan().credits_worst == 0
    harness.apply()
    assert list(harness.record("news").sources) == ["handbook"]
    if edited == "after":
        harness.edit("out/handbook.md", "title: On Guide", "title: On Guides")
    for manifests in (harness.read("content/a.yaml"), json.dumps(made)):
        harness.write("content/a.yaml", manifests)
        plan = harness.plan()
        notes = [note.items for note in plan.notes if note.kind == "stale-source"]
        assert (any(change.submits for change in plan.changes), notes) == (False, [("news",)] if edited else [])
    assert (edited == "after" or not harness.plan().changes, len(harness.api.generations)) == (True, 3)


# --- rows and tags -----------------------------------------------------------------------------------------------


def test_an_index_reads_rows_and_the_texts_of_a_tag(harness: Harness) -> None:
    """A closed city stops nothing; a new one makes the index stale, and pays for nothing unasked."""
    inputs = {"topic": "{{ each.city }}", "target_audience": "all"}
    city = {"id": "city-{{ each.slug }}", "for_each": "data/cities.csv", "tags": ["city"], "inputs": inputs}
    listed = "{% for t in texts('tag:city') %}{{ t.title }}.{% endfor %}"
    rows = "{% for r in rows('data/cities.csv') %}{{ r.city }}, {% endfor %}"
    index = {"id": "index", "inputs": {"topic": f"{rows}{listed}", "target_audience": "all"}}
    harness.write("data/cities.csv", "slug,city\na,Aachen\nb,Berlin\n")
    harness.write("content/a.yaml", json.dumps({"items": [city, index]}))
    assert waiting(harness.plan()) == {"index": ["`city-a` has no text yet", "`city-b` has no text yet"]}
    harness.apply()
    assert harness.api.generations[-1].topic == "Aachen, Berlin, On Aachen.On Berlin."
    assert harness.plan().empty
    for table, paid in (("slug,city\nb,Berlin\n", 3), ("slug,city\nb,Berlin\nc,Celle\n", 4)):
        harness.write("data/cities.csv", table)
        harness.apply(prune=True)
        assert len(harness.api.generations) == paid
        assert [note.items for note in harness.plan().notes if note.kind == "stale-source"] == [("index",)]
    harness.apply(on_source_change=OnSourceChange.REGENERATE)
    assert harness.api.generations[-1].topic == "Berlin, Celle, On Berlin.On Celle."
    assert harness.plan().empty


# --- with other features -----------------------------------------------------------------------------------------


def test_a_required_key_that_follows_stops_no_text(harness: Harness) -> None:
    """It is there after the same apply."""
    harness.write("schema.json", json.dumps({"required": ["next"]}))
    extra = {"metadata": {"next": "{{ ref('news').title }}"}, "checks": {"front_matter": "schema.json"}}
    harness.write("content/a.yaml", manifest(CHAIN, guide=extra))
    assert set(results(harness.apply()).values()) == {"done"}
    assert "next: On News of On Guide" in harness.read("out/guide.md")
    assert (len(harness.api.generations), harness.plan().empty) == (3, True)


def test_a_protected_item_and_one_that_refers_in_metadata_alone_never_wait(harness: Harness) -> None:
    """Their texts do not depend on a source."""
    more = {"news": {"protected": True}, "b": {"metadata": {"title": "B after {{ ref('guide').title }}"}}}
    harness.write("content/a.yaml", manifest({**CHAIN, "b": "B"}))
    harness.apply()
    harness.write("content/a.yaml", manifest({**CHAIN, "guide": "Handbook", "b": "B"}, **more))
    plan = harness.plan()
    assert [change.id for change in plan.changes if change.action is Action.WAIT and change.waits] == []
    harness.apply()
    assert ("title: B after On Handbook" in harness.read("out/b.md"), harness.plan().changes) == (True, ())


def test_dependants_are_promoted_where_words_and_frame_agree(harness: Harness) -> None:
    """The source was corrected by hand in staging, and its path is another one in prod."""
    harness.write(
        "content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').title }}, {{ ref('guide').path }}"})
    )
    staging, prod = "{output: 'staging/{{ item.id }}.md'}", "{promote_from: staging, output: 'prod/{{ item.id }}.md'}"
    harness.edit("contentops.yaml", "version: 1", f"version: 1\nenvironments: {{staging: {staging}, prod: {prod}}}")
    first, last = (InEnvironment(harness, name) for name in ("staging", "prod"))
    first.apply()
    harness.edit("staging/guide.md", "title: On Guide", "title: On Guides")
    first.apply()
    last.settle()
    assert (len(harness.api.generations), "title: On Guides" in harness.read("prod/guide.md")) == (2, True)
    assert "On On Guide" in harness.read("prod/news.md")
    assert last.plan().empty


def site(ids: Sequence[str], part: str = "url", **more: Any) -> str:
    """A guide and its translations, each with links to all of them."""
    links = {"hreflang": {id_: f"{{{{ ref('{id_}').{part} }}}}" for id_ in ids}, **more}
    topics = {id_: id_ + ": {{ ref('en').body }}" if id_ != "en" else "Guide" for id_ in ids}
    return manifest(topics, **{id_: {"metadata": links} for id_ in ids})


@pytest.fixture
def guides(tmp_path: Path) -> Harness:
    """An English guide with two translations on a site of Hugo."""
    made = Harness(tmp_path / "project", FakeApi(duration=30))
    made.edit("contentops.yaml", "version: 1", "version: 1\npreset: hugo\noutput: content/{{ item.id }}.md")
    made.write("manifests/a.yaml", site(["en", "de", "fr"]))
    made.edit("contentops.yaml", "version: 1", "version: 1\nmanifests: [manifests/*.yaml]")
    return made


def links_of(guides: Harness, id_: str) -> dict[str, str]:
    """The links in the file of an item."""
    lines = guides.read(f"content/{id_}.md").partition("\nhreflang:\n")[2].partition("\ncontentops:")[0].splitlines()
    return dict(line.strip().split(": ", 1) for line in lines)


def test_a_new_sibling_changes_the_links_of_the_others(guides: Harness, invoke: Run) -> None:
    """The plan shows whose front matter will change; the old links stay until then."""
    guides.apply()
    guides.write("manifests/a.yaml", site(["en", "de", "fr", "it"]))
    plan = guides.plan()
    why = "its front matter uses `it`, whose text comes first"
    assert (waiting(plan), plan.unchanged, plan.credits) == ({"en": [why], "de": [why], "fr": [why]}, 0, 4)
    assert guides.plan(select=("en",)).empty
    invoke("plan", "--out", "p.json", cwd=guides.root)
    guides.apply()
    assert len(guides.api.generations) == 4
    assert all(links_of(guides, id_)["it"] == '"/it/"' for id_ in ("en", "de", "fr", "it"))
    assert guides.plan().empty
    (guides.root / "content/it.md").unlink()
    assert guides.plan(select=("en",)).empty
    assert guides.apply() is not None
    assert guides.plan().empty


@pytest.mark.parametrize(
    ("part", "waits"), [("url", []), ("path", []), ("title", ["de", "en"]), ("excerpt(9)", ["de", "en"])]
)
def test_only_those_wait_that_use_what_changes(guides: Harness, part: str, waits: list[str]) -> None:
    """A new text does not change an address; each text is paid for once."""
    guides.write("manifests/a.yaml", site(["en", "de", "fr"], part))
    guides.apply()
    assert sorted(waiting(guides.plan(replace=("fr",)))) == waits
    guides.apply(replace=("fr",))
    assert (len(guides.api.generations), guides.plan().empty) == (4, True)


def test_a_kill_at_any_step_ends_the_same(guides: Harness, tmp_path: Path, each_kill: EachKill) -> None:
    """Each text is paid for once, and the links are complete."""
    guides.write("manifests/b.yaml", items({"first": "What the server does with ids"}))
    guides.apply(select=("first",))
    kills = each_kill(guides, tmp_path / "kills", guides.apply, 3)
    for step, left in kills.items():
        left.settle()
        assert len(left.api.generations) == 4, step
        assert left.plan().empty, step
        assert links_of(left, "de")["fr"] == '"/fr/"', step


@pytest.mark.parametrize(("key", "value"), [
    ("title", "{{ ref('OTHER').title }}!"),
    ("slug", "{{ ref('OTHER').url }}"),
    ("x", "{{ ref('OTHER').metadata.x }}!"),
])  # fmt: skip
def test_a_ring_of_values_that_would_never_settle_is_refused(guides: Harness, key: str, value: str) -> None:
    """Titles, addresses and metadata that are made from one another."""
    of = {id_: {"metadata": {key: value.replace("OTHER", other)}} for id_, other in (("a", "b"), ("b", "a"))}
    guides.write("manifests/a.yaml", manifest({"a": "a", "b": "b"}, **of))
    assert any("reference-ring" in line for line in refused(guides))


def test_the_graph_shows_mentions_apart(guides: Harness, invoke: Run) -> None:
    """They are no sources: a selector does not follow them."""
    shown = invoke("graph", "--json", cwd=guides.root).json["items"]
    links = [("en", [], ["de", "fr"]), ("de", ["en"], ["fr"]), ("fr", ["en"], ["de"])]
    assert [(one["id"], one["sources"], one["mentions"]) for one in shown] == links
    assert [change.id for change in guides.plan(select=("+de",)).changes] == ["de", "en"]
    assert "MADE FROM  MENTIONS" in invoke("graph", cwd=guides.root).stdout
    assert invoke("show", "de", "--json", cwd=guides.root).json["mentions"] == ["fr"]


def test_an_address_that_will_not_be_known_is_a_mistake_before_anything_is_paid(guides: Harness) -> None:
    """Also while the text does not exist yet."""
    guides.edit("contentops.yaml", "preset: hugo", "preset: astro")
    assert any("the address of `de` is not known" in line for line in refused(guides))
    assert not guides.api.generations
