"""Texts that only metadata uses: translations that link to one another are made without waiting, and settle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from contentops.model import Action
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.fakes.kills import state_after_each_kill
from tests.test_references import change_of, items, refused, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.running import Run


def site(ids: Sequence[str], part: str = "url", **more: Any) -> str:
    """A guide and its translations, each with links to all of them."""
    links = {"hreflang": {id_: f"{{{{ ref('{id_}').{part} }}}}" for id_ in ids}, **more}
    topics = {id_: id_ + ": {{ ref('en').body }}" if id_ != "en" else "Guide" for id_ in ids}
    made = [
        {"id": id_, "inputs": {"topic": topic, "target_audience": "all"}, "metadata": links}
        for id_, topic in topics.items()
    ]
    return json.dumps({"items": made})


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """An English guide with two translations on a site of Hugo."""
    made = Harness(tmp_path / "project", FakeApi(duration=30))
    made.edit("contentops.yaml", "version: 1", "version: 1\npreset: hugo\noutput: content/{{ item.id }}.md")
    made.write("manifests/a.yaml", site(["en", "de", "fr"]))
    made.edit("contentops.yaml", "version: 1", "version: 1\nmanifests: [manifests/*.yaml]")
    return made


def links_of(harness: Harness, id_: str) -> dict[str, str]:
    """The links in the file of an item."""
    lines = harness.read(f"content/{id_}.md").partition("\nhreflang:\n")[2].partition("\ncontentops:")[0].splitlines()
    return dict(line.strip().split(": ", 1) for line in lines)


def test_siblings_link_to_one_another_after_one_apply(harness: Harness) -> None:
    """The links are a free update once the last sibling has its text; then there is nothing to do."""
    plan = harness.plan()
    assert waiting(plan) == {"de": ["`en` has no text yet"], "fr": ["`en` has no text yet"]}
    run = harness.apply()
    assert results(run) == dict.fromkeys(["en", "de", "fr"], "done")
    assert len(harness.api.generations) == 3
    for id_ in ("en", "de", "fr"):
        assert links_of(harness, id_) == {"en": '"/en/"', "de": '"/de/"', "fr": '"/fr/"'}, id_
    assert harness.plan().empty
    assert not [note for note in harness.plan().notes if note.kind == "stale-source"]


def test_a_new_sibling_changes_the_links_of_the_others(harness: Harness, invoke: Run) -> None:
    """The plan shows whose front matter will change; the old links stay until then."""
    harness.apply()
    harness.write("manifests/a.yaml", site(["en", "de", "fr", "it"]))
    plan = harness.plan()
    why = "its front matter uses `it`, whose text comes first"
    assert waiting(plan) == {"en": [why], "de": [why], "fr": [why]}
    assert (plan.unchanged, plan.credits) == (0, 4)
    assert harness.plan(select=("en",)).empty
    invoke("plan", "--out", "p.json", cwd=harness.root)
    harness.apply()
    assert len(harness.api.generations) == 4
    assert all(links_of(harness, id_)["it"] == '"/it/"' for id_ in ("en", "de", "fr", "it"))
    assert harness.plan().empty
    (harness.root / "content/it.md").unlink()
    assert harness.plan(select=("en",)).empty
    assert harness.apply() is not None
    assert harness.plan().empty


@pytest.mark.parametrize(
    ("part", "waits"), [("url", []), ("path", []), ("title", ["de", "en"]), ("excerpt(9)", ["de", "en"])]
)
def test_only_those_wait_that_use_what_changes(harness: Harness, part: str, waits: list[str]) -> None:
    """A new text does not change an address; each text is paid for once."""
    harness.write("manifests/a.yaml", site(["en", "de", "fr"], part))
    harness.apply()
    assert sorted(waiting(harness.plan(replace=("fr",)))) == waits
    harness.apply(replace=("fr",))
    assert len(harness.api.generations) == 4
    assert harness.plan().empty


def test_a_failed_text_is_not_tried_again_for_its_links(harness: Harness) -> None:
    """A later wave does nothing to an item that mentions it but update the front matter."""
    links = {"related": {"self": "{{ ref('en').title }}", "other": "{{ ref('de').title }}"}}
    made = [{"id": id_, "inputs": {"topic": id_, "target_audience": "all"}, "metadata": links} for id_ in ("en", "de")]
    harness.write("manifests/a.yaml", json.dumps({"items": made}))
    harness.api.habits.fails = lambda inputs: "no" if inputs["topic"] == "en" else ""
    assert results(harness.apply()) == {"de": "done", "en": "failed"}
    assert len(harness.api.generations) == 2
    harness.api.habits.fails = lambda _: ""
    harness.apply()
    assert len(harness.api.generations) == 3
    assert harness.plan().empty


def test_a_kill_at_any_step_ends_the_same(harness: Harness, tmp_path: Path, takes_seconds: None) -> None:
    """Each text is paid for once, and the links are complete."""
    harness.write("manifests/b.yaml", items({"first": "What the server does with ids"}))
    harness.apply(select=("first",))
    kills = state_after_each_kill(harness, tmp_path / "kills", harness.apply)
    for step, left in kills.items():
        left.settle()
        assert len(left.api.generations) == 4, step
        assert left.plan().empty, step
        assert links_of(left, "de")["fr"] == '"/fr/"', step


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", "{{ ref('OTHER').title }}!"),
        ("slug", "{{ ref('OTHER').url }}"),
        ("x", "{{ ref('OTHER').metadata.x }}!"),
    ],
)
def test_a_ring_of_values_that_would_never_settle_is_refused(harness: Harness, key: str, value: str) -> None:
    """Titles, addresses and metadata that are made from one another."""
    made = [
        {
            "id": id_,
            "inputs": {"topic": id_, "target_audience": "all"},
            "metadata": {key: value.replace("OTHER", other)},
        }
        for id_, other in (("a", "b"), ("b", "a"))
    ]
    harness.write("manifests/a.yaml", json.dumps({"items": made}))
    assert any("reference-ring" in line for line in refused(harness))


def test_a_mistake_in_one_key_is_reported_while_another_waits(harness: Harness) -> None:
    """No placeholder is ever written."""
    harness.apply(select=("en",))
    assert "hreflang" not in harness.read("content/en.md")
    harness.write("manifests/a.yaml", site(["en", "de", "fr"], part="url", other="{{ ref('en').section('None') }}"))
    assert any(line.startswith("unknown-section: item `en`") for line in refused(harness))
    harness.write("manifests/a.yaml", site(["en", "de", "fr"], original="{{ ref('en').path }}"))
    change = change_of(harness.plan(), "en")
    assert (change.action, dict(change.front)) == (Action.UPDATE, {"original": "content/en.md"})


def test_the_graph_shows_mentions_apart(harness: Harness, invoke: Run) -> None:
    """They are no sources: a selector does not follow them."""
    shown = invoke("graph", "--format", "json", cwd=harness.root).json["items"]
    assert [(one["id"], one["sources"], one["mentions"]) for one in shown] == [
        ("en", [], ["de", "fr"]),
        ("de", ["en"], ["fr"]),
        ("fr", ["en"], ["de"]),
    ]
    assert [change.id for change in harness.plan(select=("+de",)).changes] == ["de", "en"]
    assert "MADE FROM  MENTIONS" in invoke("graph", cwd=harness.root).stdout
    assert "n0 -.-> n1" not in invoke("graph", "--format", "mermaid", cwd=harness.root).stdout
    assert '"de" -> "fr" [style=dashed];' in invoke("graph", "--format", "dot", cwd=harness.root).stdout
    assert invoke("show", "de", "--json", cwd=harness.root).json["mentions"] == ["fr"]


def test_an_address_that_will_not_be_known_is_a_mistake_before_anything_is_paid(harness: Harness) -> None:
    """Also while the text does not exist yet."""
    harness.edit("contentops.yaml", "preset: hugo", "preset: astro")
    assert any("the address of `de` is not known" in line for line in refused(harness))
    assert not harness.api.generations
