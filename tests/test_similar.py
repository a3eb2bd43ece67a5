"""`checks.similar`: how similar texts are once names are masked, how it is declared, and what `check` finds."""

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.word_diff import masked, names_in, runs_of, similar_pairs, words_in
from contentops.errors import InputError
from contentops.model import Note
from contentops.operations.opening import open_project
from contentops.operations.review import Review
from contentops.schema_files import load_schema
from tests.desired import declared, findings
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.running import Build, Run
from tests.test_references import items

PAGE = (
    "## Coworking in {city}\n\nAcme has desks and rooms in {city} for {audience}. Each desk has fast fibre, light from a "
    "window and a locker. Rooms are booked by the hour, in the app or at the front desk of {city}.\n\n"
    "Whoever works in {city} two days a week pays for two days. Coffee, printing and the phone booths are included.\n"
)
CITIES = {
    "Berlin": "start-ups and design studios", "Lisbon": "remote workers", "New York": "small agencies",
    "São Paulo": "product teams", "Zürich": "researchers",
}  # fmt: skip
MOON = "The moon has no air. Its dust is sharp, its days last two weeks, and no wind has ever moved a grain of it.\n"


def similar(texts: dict[str, str], rows: dict[str, dict[str, str]] | None = None) -> dict[tuple[str, str], float]:
    """Which of some texts, each with its row masked, are similar in pairs."""
    runs = {name: runs_of(masked(words_in(text), names_in((rows or {}).get(name, {})))) for name, text in texts.items()}
    return {(one, other): share for one, other, share in similar_pairs(runs, 0.8)}


@pytest.mark.parametrize(("row", "names"), [
    ({"city": "New York", "slug": "new-york", "state": "NY"}, ("new york", "ny")),
    ({"letter": "a", "empty": "", "spaces": "  ", "marks": "**", "none": None, "flag": True}, ()),
    ({"words": 900, "rent": 3.5, "floor": "7", "one": 1}, ("3 5", "900", "1", "7")),
    ({"fact": "word " * 13, "long": "x" * 10_000, "phrase": "one two three four five six"}, ("one two three four five six",)),
    ({"inside": {"city": "Oslo", "tags": ["Fjord", ["Ferry"]]}, "value": "京都"}, ("fjord", "ferry", "京 都", "oslo")),
    ({"letter": "京"}, ()),
])  # fmt: skip
def test_values_that_are_masked(row: dict[str, Any], names: tuple[str, ...]) -> None:
    """Texts and numbers, the longest first; no single letter, and nothing that says as much as a sentence."""
    assert sorted(names_in(row)) == sorted(names)
    assert [*map(len, names_in(row))] == sorted(map(len, names), reverse=True)


@pytest.mark.parametrize("body", ["", "\n", "*", "](" * 20_000, "<" * 20_000, "`" * 9_999, "a " * 50_000, "\0\ud800 x"])
def test_hostile_texts_are_compared_in_no_time(body: str) -> None:
    """Also empty ones, which are like no other."""
    runs = runs_of(masked(words_in(body.replace("\ud800", "")), ("a", "b")))
    assert list(similar_pairs({"one": runs, "two": runs}, 0.8)) == ([("one", "two", 1.0)] if runs else [])


@given(st.lists(st.frozensets(st.integers(0, 12), max_size=12), max_size=8), st.floats(min_value=0.1, max_value=0.99))
def test_every_similar_pair_is_found_with_its_share(texts: list[frozenset[int]], most: float) -> None:
    """As if each text were compared with each other."""
    named = {str(number): runs for number, runs in enumerate(texts)}
    shares = {
        pair: len(named[pair[0]] & named[pair[1]]) / len(named[pair[0]] | named[pair[1]])
        for pair in itertools.combinations(named, 2)
        if named[pair[0]] | named[pair[1]]
    }
    found = {(one, other): share for one, other, share in similar_pairs(named, most)}
    assert found == {pair: share for pair, share in shares.items() if share > most}


ROWS = "for_each: [{slug: oslo, city: Oslo}, {slug: rome, city: Rome}]"


def item(similar: str, more: str = "") -> str:
    """A manifest with one item for each of two rows."""
    return f'items: [{{id: "{{{{ each.slug }}}}", {ROWS}, inputs: {{topic: "{{{{ each.slug }}}}"}}, checks: {{similar: {similar}}}{more}}}]'


def test_a_group_of_one_or_of_more_than_a_thousand_is_a_finding(project: Build) -> None:
    """With the tag that was meant, once; or with the size of the group, whatever its kind, and what to do."""
    (problem,) = findings(declared(project, item("{within: tag:citys}", ", tags: [cities]")))
    message = "`checks.similar` of item `oslo` compares within `tag:citys`, but no other item has this tag"
    assert (str(problem.severity), problem.message, problem.hint) == ("warning", message, "did you mean `cities`?")
    for within, name in (("for_each", "its `for_each`"), ("all", "`all`"), ("'tag:x'", "`tag:x`")):
        cities = "".join(f"c{number}\n" for number in range(1_001))
        manifest = (
            "items: [{id: '{{ each.city }}', for_each: cities.csv, inputs: {topic: '{{ each.city }}'}, tags: [x],"
            f" checks: {{similar: {{within: {within}}}}}}}]"
        )
        root = declared(project, manifest, {"cities.csv": f"city\n{cities}"})
        (problem,) = findings(root)
        message = f"`checks.similar` of item `c0` compares within {name}, which has 1,001 items"
        assert (problem.severity, problem.code, problem.message) == ("error", "large-group", message)
        assert "at most 1,000 texts" in problem.hint
        (root / "cities.csv").write_text(f"city\n{cities.removesuffix('c1000' + chr(10))}")
        assert not findings(root)


@pytest.fixture
def cities(project: Build) -> Path:
    """A page for each of five cities, written by hand, and a text about the moon with the same tag."""
    rows = [
        {"slug": f"c{at}", "city": city, "audience": audience} for at, (city, audience) in enumerate(CITIES.items())
    ]
    checks = {"similar": {"at_most": 0.8, "level": "warn"}}
    items = [
        {"id": "{{ each.slug }}", "for_each": rows, "inputs": {"topic": "{{ each.city }}", "target_audience": "b"}, "checks": checks, "tags": ["a"]},
        {"id": "moon", "inputs": {"topic": "moon", "target_audience": "b"}, "tags": ["a"], "checks": {"similar": {"within": "tag:a"}}},
    ]  # fmt: skip
    pages = {f"out/{row['slug']}.md": PAGE.format(**row) for row in rows}
    settings = "version: 1\nproject: acme\napi: {base_url: local}\ndefaults: {template: blog_article_generator, style: general_blog}\n"
    files = {"contentops.yaml": settings, "content/a.yaml": json.dumps({"items": items}), "out/moon.md": MOON, **pages}
    return project(files)


def _found(invoke: Run, root: Path, *arguments: str) -> list[tuple[str, str]]:
    said = json.loads(invoke("check", "--json", *arguments, cwd=root).stdout)
    return [(one["severity"], one["message"]) for one in said["diagnostics"]]


def test_check_finds_the_nearest_text_and_counts_the_others(cities: Path, invoke: Run) -> None:
    """Again and again, in every format; an edit ends it, and outlines, which are alike by nature, are not compared."""
    found = _found(invoke, cities)
    assert len(found) == 5
    assert found[0] == ("warning", "item `c0`: is too similar to `c1` and 3 more texts: 1.00, at most 0.8")
    assert (_found(invoke, cities), _found(invoke, cities, "--select", "c3")) == (found, found[3:4])
    run = json.loads(invoke("check", "--format", "sarif", cwd=cities).stdout)["runs"][0]
    assert {run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] for one in run["results"]} == {"similar"}
    (cities / "out/c0.md").write_text("Berlin is another city altogether, and this says why.\n", encoding="utf-8")
    assert [message[:9] for _, message in _found(invoke, cities)] == [
        "item `c1`", "item `c2`", "item `c3`", "item `c4`",
    ]  # fmt: skip
    (cities / "out/c1.md").write_text(f"> Draft outline, made offline.\n\n{PAGE}", encoding="utf-8")
    assert [message[:9] for _, message in _found(invoke, cities)] == ["item `c2`", "item `c3`", "item `c4`"]


def test_the_review_page_shows_what_check_finds(cities: Path, processes: None) -> None:
    """And finds it again after an edit."""
    review = Review(lambda: open_project(str(cities), "", ()))
    assert [item.id for item in review.snapshot().with_findings] == ["c0", "c1", "c2", "c3", "c4"]
    assert {one.code for item in review.snapshot().with_findings for one in item.findings} == {"similar"}
    (cities / "out/c0.md").write_text(MOON, encoding="utf-8")
    assert [(item.id, item.severity) for item in review.snapshot().with_findings][:1] == [("moon", "error")]


NAMES = ("Aarhus", "Bergen", "Cork")


def manifest(*cities: str, similar: str = "{}", brief: str = "Desks in {{ each.city }}") -> str:
    """An item for each city, compared with the others."""
    rows = [{"slug": city.lower(), "city": city} for city in cities]
    inputs = {"topic": brief, "target_audience": "all"}
    checks = f'{{"similar": {similar}}}'
    return f'items:\n  - {{"id": "{{{{ each.slug }}}}", "for_each": {json.dumps(rows)}, "inputs": {json.dumps(inputs)}, "checks": {checks}}}\n'


def make(root: Path, **declared: str) -> Harness:
    """Three cities."""
    harness = Harness(root, FakeApi(duration=30))
    harness.write("content/a.yaml", manifest(*NAMES, **declared))
    return harness


def _notes(harness: Harness) -> list[Note]:
    return [note for note in harness.plan().notes if note.kind == "one-brief"]


def test_the_plan_names_rows_with_one_brief(tmp_path: Path, invoke: Run) -> None:
    """In text, Markdown and JSON, with line and price, which is that of new rows; not where nothing is compared or made."""
    harness = make(tmp_path)
    said = "`aarhus`, `bergen` and `cork` have one brief, and differ only in values of their rows (content/a.yaml:2)"
    text = invoke("plan", "--out", "plan.json", cwd=harness.root).stdout
    assert f"{said}: 3 generations, 12 credits" in text
    assert "add what is different about each" in text
    assert (
        "have one brief, and differ only in values" in invoke("plan", "--format", "markdown", cwd=harness.root).stdout
    )
    document = json.loads(harness.read("plan.json"))
    jsonschema.validate(document, load_schema("plan"))
    (note,) = document["notes"]
    assert (note["kind"], note["items"], note["credits"]) == ("one-brief", ["aarhus", "bergen", "cork"], 12)
    harness.write("content/a.yaml", manifest(*NAMES, similar="null"))
    assert not _notes(harness)
    harness.write("content/a.yaml", manifest(*NAMES))
    harness.apply()
    assert not _notes(harness)
    harness.write("content/a.yaml", manifest(*NAMES, "Delft"))
    (note,) = harness.plan().notes
    assert note.message.startswith("`aarhus`, `bergen` and 2 more have one brief")
    assert note.message.endswith(": 1 generation, 4 credits")


def test_rows_that_say_what_is_different_have_a_brief_each(tmp_path: Path) -> None:
    """A column of facts; so has a template that asks each row something else."""
    harness = make(
        tmp_path, brief="{{ each.city }}: " + "{% if each.city == 'Cork' %}harbour{% else %}hills{% endif %}"
    )
    assert [note.items for note in _notes(harness)] == [("aarhus", "bergen")]
    fact = " ".join(f"{{{{ each.city }}}}{number}" for number in range(40))
    harness.write("content/a.yaml", manifest(*NAMES, brief=fact))
    assert not _notes(harness)


def test_equal_requests_are_an_error_with_a_way_out(tmp_path: Path, invoke: Run) -> None:
    """Nothing is paid for; a revision of its own makes it another request."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/a.yaml", items({"may": "News", "june": "News", "july": "Other"}))
    ended = invoke("validate", cwd=harness.root)
    assert ended.code == 1
    assert "error[same-request]: item `june` requests exactly the same text as `may` (content/a.yaml" in ended.stderr
    assert "hint: give one of them `revision: 2`" in ended.stderr
    with pytest.raises(InputError):
        harness.apply()
    assert harness.api.credits == 0
    harness.write("content/a.yaml", items({"july": "Other", "may": "News"}))
    harness.write("content/b.yaml", items({"june": "News"}, revision=2))
    assert results(harness.apply()) == {"july": "done", "june": "done", "may": "done"}
    assert harness.api.credits == 12
