"""A template or style that changed upstream: a note that names what and how many, and never a change."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.catalog.definitions import definitions
from contentops.catalog.differences import differences
from contentops.catalog.lockfile import FILE, compose
from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate
from contentops.catalog.reading import MANNER, choice, template
from contentops.model import Definitions, JobState, Step
from contentops.planning.plan import make_plan
from contentops.reporting.plan_json import plan_json, record_digest
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.state.lines import entry_line, record_line
from tests.fakes.api import FakeApi, on
from tests.fakes.scene import Scene, blog
from tests.fakes.sides import a_file, a_record, a_situation, a_spec, an_entry

if TYPE_CHECKING:
    from contentops.model import Note, Plan
    from tests.running import Build, Run

SERVER = "https://api.example.test:443"
BLOG = "blog_article_generator"
BEFORE = {"template.inputs": "a1", "template.manner": "b1", "style.manner": "c1"}
ROOT = Path(__file__).parents[1]


# --- the note ----------------------------------------------------------------------------------------------


def now(**aspects: str) -> Definitions:
    """The catalog of today: what records were made from, but for `aspects`, by `kind_aspect`."""
    said = {**BEFORE, **{name.replace("_", "."): digest for name, digest in aspects.items()}}
    split = {
        kind: {name.split(".")[1]: value for name, value in said.items() if value and name.startswith(kind)}
        for kind in ("template", "style")
    }
    return Definitions(templates={BLOG: split["template"]}, styles={"general_blog": split["style"]})


def planned(today: Definitions, *ids: str, before: dict[str, str] | None = None, **choice: Any) -> Plan:
    """The plan of items that are as declared, whose texts were made from `before`."""
    specs = [a_spec(id_, topic=id_) for id_ in ids or ("a",)]
    records = [a_record(spec, definitions=BEFORE if before is None else before) for spec in specs]
    files = [a_file(spec.output) for spec in specs]
    return make_plan(structs.replace(a_situation(specs, records, files, **choice), definitions=today))


def kinds(notes: tuple[Note, ...]) -> list[str]:
    """Their kinds."""
    return [note.kind for note in notes]


def test_one_line_for_all_items_of_a_template() -> None:
    """A thousand items are one note, which names the number, what changed, and how to generate on purpose."""
    plan = planned(now(template_inputs="a2"), *(f"city-{n}" for n in range(1000)))
    (note,) = plan.notes
    assert note.kind == "template-changed-upstream"
    assert note.message == (
        f"template `{BLOG}` changed upstream: its inputs are other than in the catalog 1,000 items were generated with"
    )
    assert "`--replace city-0`" in note.hint
    assert "`revision`" in note.hint
    assert note.id is None
    assert (plan.changes, plan.unchanged, plan.credits) == ((), 1000, 0)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"template_manner": "b2"}, ["its manner of writing is other"]),
        ({"template_manner": "b2", "template_inputs": "a2"}, ["its inputs and its manner of writing are other"]),
        ({"style_manner": "c2"}, ["style `general_blog` changed upstream: its manner of writing is other"]),
        ({"style_manner": "c2", "template_inputs": "a2"}, ["style `general_blog`", f"template `{BLOG}`"]),
        ({}, []),
        ({"template_inputs": "", "template_manner": "", "style_manner": ""}, []),
    ],
    ids=["manner", "both", "style", "style and template", "nothing", "no longer told"],
)
def test_what_changed_is_named(changed: dict[str, str], says: list[str]) -> None:
    """Each template and style has a line of its own; an aspect that is not told any more is no change."""
    notes = planned(now(**changed)).notes
    assert len(notes) == len(says)
    assert all(words in note.message for words, note in zip(says, notes, strict=True))
    assert all("`a` was generated with" in note.message for note in notes)


@pytest.mark.parametrize("before", [{}, {"template.inputs": "a2"}], ids=["an old lock", "one aspect known"])
def test_what_is_not_recorded_is_no_change(before: dict[str, str]) -> None:
    """A record from before definitions were kept, or from a catalog that told less, is held against nothing else."""
    assert planned(now(template_inputs="a2", style_manner="c2"), before=before).notes == ()


def test_no_catalog_no_note() -> None:
    """Without a snapshot of this server nothing is said."""
    assert planned(Definitions()).notes == ()


def test_only_texts_that_stay_count() -> None:
    """Changed, replaced, foreign and unselected items say nothing; moved, edited and protected ones do."""
    today = now(template_inputs="a2")
    spec = a_spec("a")
    old = a_record(spec, definitions=BEFORE)
    file = a_file(spec.output)

    def notes(*sides: Any, **options: Any) -> list[str]:
        return kinds(make_plan(structs.replace(a_situation(*sides, **options), definitions=today)).notes)

    told = ["template-changed-upstream"]
    assert notes([spec], [old], [file]) == told
    assert notes([a_spec("a", topic="new")], [old], [file]) == []
    assert notes([structs.replace(a_spec("a", topic="new"), protected=True)], [old], [file]) == ["protected"]
    assert notes([spec], [old], [file], replace=("a",)) == []
    assert notes([spec], [structs.replace(old, server="https://other.test:443")], [file]) == []
    assert notes([spec], [old], [file], select=("b*",)) == ["nothing-selected"]
    assert notes([a_spec("a", output="out/b.md")], [old], [file]) == told
    assert notes([spec], [old], [a_file(spec.output, body="By hand.\n")]) == told
    assert notes([structs.replace(spec, protected=True)], [old], [file]) == told
    assert notes([spec], [structs.replace(old, saved=None, content_id="")], []) == told, "a text that is restored stays"
    assert notes([spec], [old], [file], entries=[an_entry(spec, attempt=2)]) == []


def test_a_note_changes_neither_steps_nor_emptiness_nor_id() -> None:
    """The same plan, byte for byte, but for its notes."""
    quiet, loud = planned(now(), "a", "b"), planned(now(template_inputs="a2"), "a", "b")
    assert loud.empty
    assert loud.id == quiet.id
    assert structs.replace(loud, notes=()) == quiet


def test_the_note_is_in_text_json_and_markdown() -> None:
    """Wherever a plan is read."""
    plan = planned(now(template_inputs="a2"), "a", "b")
    text = plan_text(plan, color=False, verbose=False)
    assert f"template `{BLOG}` changed upstream: its inputs" in text
    assert "2 items were generated with" in text
    assert "No changes. 2 items are as declared." in text
    (note,) = plan_json(plan)["notes"]
    assert (note["kind"], note["id"]) == ("template-changed-upstream", None)
    assert "changed upstream: its inputs" in plan_markdown(plan)


def test_a_slug_of_a_stranger_breaks_no_page() -> None:
    """A slug comes from a manifest, and is shown as one."""
    spec = a_spec("a\x1b[2J|`x")
    record = a_record(spec, definitions=BEFORE)
    s = a_situation([spec], [record], [a_file(spec.output)])
    plan = make_plan(structs.replace(s, definitions=now(template_inputs="a2")))
    assert "\x1b" not in plan_text(plan, color=False, verbose=False) + plan_markdown(plan)


# --- what counts -------------------------------------------------------------------------------------------

TOPIC = {"type": "select", "required": True, "options": ["a", "b"], "label": "Topic"}
ENTRY: dict[str, Any] = {
    "id": "t",
    "name": "T",
    "description": "For everybody.",
    "parameters": {"topic": TOPIC, "tone": {"type": "text", "default": "dry"}},
    "sections": [{"heading": "Hook"}, {"heading": "Proof"}],
    "writer_instructions": "Be brief.",
    "metadata": {"used": 17},
    "updated_at": "2026-01-01",
}


def aspects(**changes: Any) -> dict[str, str]:
    """The definition of the template above, with other values."""
    offer = Offer(templates={"t": template("t", {**ENTRY, **changes}, None)})
    return definitions(offer).of("t", "none")


def spec_of(**changes: Any) -> dict[str, Any]:
    """The inputs, with another topic."""
    return {"parameters": {**ENTRY["parameters"], "topic": {**TOPIC, **changes}}}


@pytest.mark.parametrize(
    ("changes", "aspect"),
    [
        (spec_of(required=False), "inputs"),
        (spec_of(type="multiselect"), "inputs"),
        (spec_of(options=["a", "b", "c"]), "inputs"),
        (spec_of(default="a"), "inputs"),
        ({"parameters": {"topic": TOPIC}}, "inputs"),
        ({"parameters": {**ENTRY["parameters"], "more": {}}}, "inputs"),
        ({"sections": [{"heading": "Proof"}, {"heading": "Hook"}]}, "manner"),
        ({"writer_instructions": "Be long."}, "manner"),
        ({"prompt": "Write."}, "manner"),
    ],
)
def test_what_shapes_a_text_counts(changes: dict[str, Any], aspect: str) -> None:
    """Inputs with their kind, duty, options and default, and everything that tells how it is written."""
    before, after = aspects(), aspects(**changes)
    assert {name for name in before if before[name] != after[name]} == {f"template.{aspect}"}


@pytest.mark.parametrize(
    "changes",
    [
        spec_of(options=["b", "a"]),
        spec_of(label="The topic", description="Other words", placeholder="x", order=3),
        {"parameters": dict(reversed(ENTRY["parameters"].items()))},
        {"name": "Another", "description": "Other words", "category": "other", "slug": "t"},
        {"metadata": {"used": 18}, "updated_at": "2026-02-02", "rating": 4.5, "version": "2", "usage_count": 9},
        {"writer_instructions": "  Be brief.\n", "system_prompt": None, "structure": [], "voice": "  "},
        {"sections": [{"heading": "Hook "}, {"heading": "Proof"}]},
    ],
    ids=["option order", "words for people", "key order", "names", "counters and times", "spaces", "spaces inside"],
)
def test_noise_does_not_count(changes: dict[str, Any]) -> None:
    """Order, labels, names, counters, times and spaces make no definition another one."""
    assert aspects(**changes) == aspects()


@pytest.mark.parametrize("key", MANNER)
def test_every_key_of_a_style_that_shapes_texts(key: str) -> None:
    """The voice of a style counts as the instructions of a template do."""
    plain = choice({"id": "s", "name": "S"})
    assert plain.manner == ""
    first, second = (choice({"id": "s", key: value}).manner for value in ("calm", "loud"))
    assert len({first, second, ""}) == 3


@given(
    st.dictionaries(
        st.sampled_from(MANNER),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_whatever_a_server_says_has_a_digest(said: dict[str, Any]) -> None:
    """Half characters, NaN and nested values included: nothing is raised, and the same words give the same digest."""
    found = template("t", {"id": "t", **said, "parameters": {"x": {"default": said}}}, None)
    assert re.fullmatch(r"([0-9a-f]{12})?", found.manner)
    turned = dict(reversed(said.items()))
    assert template("t", {"id": "t", **turned}, None).manner == template("t", {"id": "t", **said}, None).manner
    definitions(Offer(templates={"t": found}))


def test_a_pull_tells_another_manner() -> None:
    """As soon as it is known, and only where both pulls knew one."""

    def offer(manner: str) -> Offer:
        return Offer(
            templates={"t": OfferedTemplate(slug="t", manner=manner)},
            styles={"s": OfferedChoice(slug="s", manner=manner)},
        )

    found = differences(offer("aaaaaaaaaaaa"), offer("bbbbbbbbbbbb"), ())
    assert [(one.kind, one.how, one.details) for one in found] == [
        ("template", "changed", ("it writes in another manner",)),
        ("style", "changed", ("it writes in another manner",)),
    ]
    assert differences(offer(""), offer("bbbbbbbbbbbb"), ()) == ()
    assert differences(offer("aaaaaaaaaaaa"), offer(""), ()) == ()


# --- from apply to plan ------------------------------------------------------------------------------------


def offered(*inputs: str, manner: str = "aaaaaaaaaaaa", tone: str = "cccccccccccc") -> str:
    """A catalog snapshot of the scene's server."""
    told = tuple(OfferedInput(name=name) for name in ("target_audience", "topic", *inputs))
    return compose(
        {
            SERVER: Offer(
                templates={BLOG: OfferedTemplate(slug=BLOG, inputs=told, manner=manner)},
                styles={"general_blog": OfferedChoice(slug="general_blog", manner=tone)},
            )
        }
    )


def scene_of(root: Path, catalog: str = "", **habits: Any) -> Scene:
    """Two declared items, nothing made yet."""
    scene = Scene(root, FakeApi(duration=90, **habits))
    scene.write("content/blog.yaml", blog("tea", "coffee"))
    if catalog:
        scene.write(FILE, catalog)
    return scene


def test_a_record_remembers_what_it_was_made_from(tmp_path: Path) -> None:
    """Three short digests a line, kept while the catalog changes; the note goes once the text is made anew."""
    scene = scene_of(tmp_path, offered())
    scene.apply()
    made = scene.record("tea").definitions
    assert sorted(made) == ["style.manner", "template.inputs", "template.manner"]
    assert scene.plan().notes == ()
    lock = scene.read("contentops.lock")

    scene.write(FILE, offered("more"))
    (note,) = scene.plan().notes
    assert "its inputs are other than in the catalog 2 items were generated with" in note.message
    assert scene.apply() is None, "a no-op apply does nothing"
    assert scene.read("contentops.lock") == lock

    scene.apply(replace=("tea",))
    assert scene.record("tea").definitions != made
    (note,) = scene.plan().notes
    assert "`coffee` was generated with" in note.message
    scene.write(FILE, offered())
    (note,) = scene.plan().notes
    assert "`tea` was generated with" in note.message


def test_without_a_catalog_a_lock_is_as_before(tmp_path: Path) -> None:
    """The key is absent, so that old locks stay valid and keep their bytes, also once a catalog is there."""
    scene = scene_of(tmp_path)
    scene.apply()
    lock = scene.read("contentops.lock")
    assert '"definitions"' not in lock
    scene.write(FILE, offered())
    assert scene.plan().empty
    assert scene.plan().notes == ()
    assert scene.apply() is None
    assert scene.read("contentops.lock") == lock


def test_a_job_from_before_a_pull_remembers_the_catalog_of_its_submit(tmp_path: Path) -> None:
    """A run that was cut short and goes on after a pull does not claim the new definition."""
    scene = scene_of(tmp_path, offered())
    scene.apply(deadline=30)
    assert {entry.state for entry in scene.state.entries.values()} == {JobState.RUNNING}
    scene.write(FILE, offered("more"))
    assert scene.plan().notes == (), "nothing is made yet"
    scene.apply()
    told = [note.message for note in scene.plan().notes]
    assert len(told) == 1
    # The first contact is one item alone; the other one was submitted with the catalog of today.
    assert "`coffee` was generated with" in told[0]


def test_a_kept_edit_answers_the_definition_of_its_day(tmp_path: Path) -> None:
    """Who keeps an edit for a new request has taken it for good as things stand."""
    scene = scene_of(tmp_path, offered())
    scene.apply()
    scene.edit("out/tea.md", "All about", "By hand about")
    scene.write(FILE, offered("more"))
    scene.write("content/blog.yaml", blog("tea", "coffee", year=2027))
    from contentops.model import OnEdit

    scene.apply(on_edit=OnEdit.KEEP, select=("tea",))
    assert scene.actions(select=("tea",)) == {}
    assert scene.plan(select=("tea",)).notes == ()


def local_project(project: Build, *, protected: bool = False) -> Path:
    """A project of the embedded server."""
    return project(
        {
            "contentops.yaml": f"""
            version: 1
            project: acme
            api: {{base_url: local}}
            defaults: {{template: {BLOG}, style: general_blog, protected: {str(protected).lower()}}}
            """,
            "content/blog.yaml": blog("tea", "coffee"),
        }
    )


def aged(root: Path) -> None:
    """The lock as an older version with other templates would have left it."""
    lock = (root / "contentops.lock").read_text()
    found = re.search(r'"template\.manner":"([0-9a-f]{12})"', lock)
    assert found is not None
    (root / "contentops.lock").write_text(lock.replace(found[1], "0" * 12))


def test_a_new_section_leaves_the_rest_as_old_as_it_is(project: Build, invoke: Run) -> None:
    """Only a whole text made anew answers a new definition."""
    root = local_project(project)
    assert invoke("apply", "--yes", cwd=root).code == 0
    aged(root)
    heading = next(line[3:] for line in (root / "out/tea.md").read_text().splitlines() if line.startswith("## "))
    before = (root / "contentops.lock").read_text()
    ended = invoke("regenerate", "tea", "--section", heading, "--yes", cwd=root)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert (root / "contentops.lock").read_text() != before
    assert (root / "contentops.lock").read_text().count("0" * 12) == 2
    assert invoke("apply", "--yes", "--replace", "tea", cwd=root).code == 0
    assert (root / "contentops.lock").read_text().count("0" * 12) == 1


def test_a_text_from_the_cache_claims_nothing(tmp_path: Path) -> None:
    """Nobody knows what a text of an earlier request was made from, so nothing is held against it."""
    scene = scene_of(tmp_path, offered())
    scene.apply()
    scene.write("content/blog.yaml", blog("tea", "coffee", year=2027))
    scene.apply()
    scene.write("content/blog.yaml", blog("tea", "coffee"))
    assert set(scene.actions().values()) == {"finish"}
    scene.apply()
    assert scene.record("tea").definitions == {}


def test_a_record_that_goes_to_another_server_leaves_its_catalog_behind(
    tmp_path: Path, project: Build, invoke: Run
) -> None:
    """What one server's template looks like says nothing of another's, in a plan and in the record."""
    spec = a_spec("a")
    foreign = a_record(spec, server="local", definitions=BEFORE)
    s = a_situation([spec], [foreign], [a_file(spec.output)])
    assert make_plan(structs.replace(s, definitions=now(template_inputs="a2"))).notes == ()

    root = local_project(project, protected=True)
    assert invoke("apply", "--yes", cwd=root).code == 0
    scene = Scene(root, FakeApi())
    assert len(scene.record("tea").definitions) == 3
    scene.write("content/blog.yaml", blog("tea", "coffee").replace("}\n", "}\n    metadata: {tags: [new]}\n"))
    scene.apply()
    assert scene.record("tea").server == SERVER
    assert scene.record("tea").definitions == {}


def test_the_embedded_server_is_quiet(project: Build, invoke: Run) -> None:
    """Its templates change only with the program: after an apply there is no note, though its records remember."""
    root = local_project(project)
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert (root / "contentops.lock").read_text().count('"definitions"') == 2
    ended = invoke("plan", "--json", "--detailed-exitcode", cwd=root)
    assert (ended.code, ended.json["notes"]) == (0, [])
    aged(root)
    ended = invoke("plan", "--detailed-exitcode", cwd=root)
    assert ended.code == 0, ended.stdout
    assert f"template `{BLOG}` changed upstream: its manner of writing" in ended.stdout
    assert "2 items" in ended.stdout


def test_a_resubmit_after_a_lost_answer_remembers_too(tmp_path: Path) -> None:
    """Whatever way a submit takes, its record says what it was made from."""
    scene = scene_of(tmp_path, offered())
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    assert len(scene.record("tea").definitions) == 3
    assert len(scene.record("coffee").definitions) == 3


# --- what stays the same -----------------------------------------------------------------------------------


def test_lines_and_plan_files_of_before_are_the_same() -> None:
    """Empty definitions are in no line and in no fingerprint; golden, from before they were kept."""
    spec = a_spec("a")
    record, entry = a_record(spec), an_entry(spec)
    assert "definitions" not in json.loads(record_line(record))
    assert "definitions" not in json.loads(entry_line(entry))
    assert record_digest(record) == "sha256:cc924db45465b28742f60ae19bb6a532b28e114d04232ec81b7b24a5e4a8e333"
    assert record_digest(structs.replace(record, definitions=BEFORE)) != record_digest(record)


def test_a_change_carries_definitions_only_where_it_needs_them() -> None:
    """A submit does, a move does not."""
    spec = a_spec("a")
    created, moved = (
        make_plan(structs.replace(a_situation(*sides), definitions=now())).changes[0]
        for sides in (([spec],), ([a_spec("a", output="out/b.md")], [a_record(spec)], [a_file(spec.output)]))
    )
    assert (created.definitions, moved.definitions) == (BEFORE, {})
    assert Step.SUBMIT in created.steps


def test_every_kind_of_note_is_documented() -> None:
    """Whoever meets a note finds what it means; a kind that is gone is gone from the page."""
    found = set()
    for path in (ROOT / "contentops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Note":
                kind = next(each.value for each in node.keywords if each.arg == "kind")
                found |= {kind.value} if isinstance(kind, ast.Constant) else set()
    page = (ROOT / "docs/reference/plan-json.md").read_text("utf-8").partition("\n## Notes\n")[2]
    rows = re.findall(r"^\| (`.+?) \|", page.partition("\n## ")[0], flags=re.MULTILINE)
    documented = {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)}
    assert documented == found | {"template-changed-upstream", "style-changed-upstream"}
