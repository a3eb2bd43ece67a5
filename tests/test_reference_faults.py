"""What goes wrong around texts that others use: bad files, foreign locks, renames, guards, and errors between waves."""

import json
from pathlib import Path

import pytest

from contentops.model import OnSourceChange, Plan, Project
from contentops.operations import opening
from tests.clones import git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.repositories import in_git
from tests.running import Run
from tests.test_references import CHAIN, GUIDE, applied, change_of, items, refused, waiting


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A guide, news that quote its title, and a teaser made from the news."""
    made = Harness(tmp_path / "project", FakeApi(duration=30))
    made.write("content/a.yaml", items(CHAIN))
    return made


class InEnvironment(Harness):
    """The same project and server, in one of its environments."""

    def __init__(self, harness: Harness, environment: str) -> None:
        self.__dict__ |= harness.__dict__
        self._environment = environment

    @property
    def project(self) -> Project:
        """The project as it stands on disk."""
        return opening.open_project(str(self.root), self._environment, ())


def sent(plan: Plan) -> list[str]:
    """The topics that a plan would send."""
    return [str(change.submit.request.inputs["topic"]) for change in plan.changes if change.submit is not None]


def with_body(harness: Harness, path: str, body: str | bytes) -> None:
    """A file with its front matter and another body."""
    head = harness.read(path).partition("---\n\n")[0].encode() + b"---\n\n"
    (harness.root / path).write_bytes(head + (body.encode() if isinstance(body, str) else body))


# --- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["../outside.md", "/etc/passwd", ".env", ".git/config", "link.md", "linked/a.md", "secret.txt", "contentops.yaml"],
)
def test_a_lock_from_elsewhere_makes_no_other_file_readable(harness: Harness, path: str) -> None:
    """A pull request may change the lock: no path outside the root, hidden, linked or not of an item is read."""
    applied(harness, items({"guide": GUIDE, "news": "{{ ref('guide').body }}"}), select=("guide",))
    for name in ("../outside.md", ".env", ".git/config", "secret.txt", "../folder/a.md"):
        harness.write(name, "SECRET of version: 1\n")
    (harness.root / "link.md").symlink_to("../outside.md")
    (harness.root / "linked").symlink_to("../folder")
    lock = harness.read("contentops.lock")
    harness.write("contentops.lock", lock.replace('"out/guide.md"', json.dumps(path)))
    assert sent(harness.plan(select=("news",))) == []


@pytest.mark.parametrize(("body", "why"), [
    ("", "has an empty text"),
    ("\n\n \n", "has an empty text"),
    (b"caf\xe9\n", "has a file that cannot be read"),
    ("<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n", "has a file that cannot be read"),
    (None, "has no title, which is used"),
])  # fmt: skip
def test_a_source_that_cannot_be_used_is_waited_for(harness: Harness, body: str | bytes | None, why: str) -> None:
    """Nothing is sent with an empty text or without its title, which metadata leave out; other items go on."""
    part = "title" if body is None else "excerpt(9)"
    made = json.loads(items({"guide": GUIDE, "news": f"{{{{ ref('guide').{part} }}}}", "other": "O"}))
    made["items"][2]["metadata"] = {"see": "{{ ref('guide').title }}", "kept": "yes"}
    harness.write("content/a.yaml", json.dumps(made))
    harness.apply(select=("guide",))
    if body is None:
        harness.edit("out/guide.md", "title: On Guide\n", "")
    else:
        with_body(harness, "out/guide.md", body)
    plan = harness.plan()
    assert (waiting(plan), sent(plan)) == ({"news": [f"`guide` {why}"]}, ["O"])
    assert body is not None or "use another part of `guide`" in change_of(plan, "news").hint


@pytest.mark.parametrize(("part", "words"), [
    ("excerpt(9)", "the text of `guide` has no words for an excerpt"),
    ("section('One')", "the section `One` of `guide` is empty"),
])  # fmt: skip
def test_an_empty_part_of_a_text_blocks_its_dependant(harness: Harness, part: str, words: str) -> None:
    """Nothing is made with a hole; other items go on."""
    applied(harness, items({"guide": GUIDE, "news": f"{{{{ ref('guide').{part} }}}}", "other": "O"}), select=("guide",))
    with_body(harness, "out/guide.md", "## One\n\n## Two\n\n```\nonly code\n```\n")
    plan = harness.plan()
    assert (sent(plan), words in change_of(plan, "news").hint) == (["O"], True)


def test_jinja_in_a_text_stays_text_through_variables_and_other_items(harness: Harness) -> None:
    """Braces, tags and comments of Jinja in a text are never rendered."""
    made = json.loads(items({"guide": GUIDE, "news": "x {{ v }} {{ item.metadata.note }}"}))
    made["vars"] = {"v": "{{ ref('guide').body }}"}
    made["items"][1]["metadata"] = {"note": "{{ ref('guide').excerpt(300) }}"}
    harness.write("content/a.yaml", json.dumps(made))
    harness.apply(select=("guide",))
    words = "Hello {{ item.id }} {% raw %} {# c #} ⟨a⟩"
    with_body(harness, "out/guide.md", f"{words}\n")
    assert sent(harness.plan()) == [f"x {words}\n {words}"]


# --- between waves -----------------------------------------------------------------------------------------------


def test_a_deadline_is_that_of_all_waves(harness: Harness) -> None:
    """Not of each wave."""
    start = harness.timeline.now
    run = harness.ran(deadline=70.0)
    assert run.stopped == "deadline"
    assert harness.timeline.now - start < 75


# --- renames and rings ---------------------------------------------------------------------------------------------


def test_a_ring_over_files_and_environments_is_named_whole(harness: Harness) -> None:
    """Also where only the variables of one environment close it."""
    harness.edit("contentops.yaml", "version: 1", "version: 1\nvars: {of: c}\nenvironments: {prod: {vars: {of: a}}}")
    harness.write("content/a.yaml", items({"a": "{{ ref('b').title }}", "c": "C"}))
    harness.write("content/b.yaml", items({"b": "{{ ref(of).title }}"}))
    assert sorted(waiting(harness.plan())) == ["a", "b"]
    harness.edit("contentops.yaml", "of: c", "of: a")
    assert any("form a cycle: `a` -> `b` -> `a`" in line for line in refused(harness))


# --- items that have a text already ------------------------------------------------------------------------------


def test_an_edited_source_that_a_lost_lock_no_longer_names_is_recorded_first(harness: Harness) -> None:
    """It has its text, so that what is made from it waits only for its record, and one apply ends with an empty plan."""
    applied(harness, items({"guide": GUIDE, "news": "{{ ref('guide').title }}"}))
    ordered = len(harness.api.generations)
    (harness.root / "out/guide.md").write_text(harness.read("out/guide.md") + "\nA line of mine.\n")
    (harness.root / "contentops.lock").unlink()
    harness.apply()
    assert harness.plan().changes == ()
    assert len(harness.api.generations) == ordered
    assert "A line of mine." in harness.read("out/guide.md")


@pytest.mark.parametrize("how", ["empty", "merge"])
def test_an_item_with_a_text_keeps_it_while_its_source_cannot_be_used(harness: Harness, how: str) -> None:
    """The plan says so, and what to do; every other question about the item is answered as ever."""
    harness.apply()
    with_body(harness, "out/guide.md", "" if how == "empty" else "<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n")
    (harness.root / "out/news.md").unlink()
    plan = harness.plan()
    assert change_of(plan, "news").action == "restore"
    (note,) = [note for note in plan.notes if note.kind == "stale-source"]
    assert note.message.startswith("`news` keeps its text: `guide` has ")
    assert "out/guide.md" in note.hint


def test_an_approval_that_is_gone_leaves_the_texts_made_from_it(harness: Harness, invoke: Run, processes: None) -> None:
    """The plan says that the source is not approved any more; with `regenerate` the item waits for the approval."""
    applied(harness, items({"guide": GUIDE, "news": "Of {{ ref('guide', approved=true).title }}"}))
    in_git(harness, "first")
    for name in ("user.name", "user.email"):
        git(harness.root, "config", name, "reader@example.com")
    assert invoke("approve", "guide", cwd=harness.root).code == 0
    harness.apply()
    assert [each.topic for each in harness.api.generations] == ["Guide", "Of On Guide"]
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    (note,) = [note for note in harness.plan().notes if note.kind == "stale-source"]
    assert note.message == "`news` keeps its text: `guide` has a text that is not approved"
    assert note.hint == "read it, then `contentops approve guide`."
    harness.apply(on_source_change=OnSourceChange.REGENERATE)
    assert len(harness.api.generations) == 2


def test_texts_that_are_adopted_together_are_up_to_date(harness: Harness, invoke: Run) -> None:
    """Although the request of one was not known without the other; no placeholder is ever sent."""
    for name in ("guide", "news"):
        harness.write(f"out/{name}.md", f"---\ntitle: T of {name}\n---\n\n## One\n\nWords of {name}.\n")
    assert invoke("adopt", "out", "--yes", cwd=harness.root).code == 0
    harness.apply(select=("guide", "news"), on_source_change=OnSourceChange.REGENERATE)
    assert not harness.api.generations
    assert harness.plan(select=("guide", "news")).empty
    assert harness.record("news").request["inputs"]["topic"] == "News of T of guide"


# --- with other features -------------------------------------------------------------------------------------------


def test_a_plan_of_what_a_branch_changed_has_what_its_edits_make_stale(harness: Harness, processes: None) -> None:
    """Although the request that such an item keeps is the one of the branch before."""
    applied(harness, items({**CHAIN, "other": "Other"}))
    in_git(harness, "first")
    assert not harness.plan(changed_from="HEAD").unchanged
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    plan = harness.plan(changed_from="HEAD")
    assert [note.items for note in plan.notes if note.kind == "stale-source"] == [("news",)]
    assert sent(plan) == []
