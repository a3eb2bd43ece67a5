"""What goes wrong around texts that others use: bad files, foreign locks, renames, guards, and errors between waves."""

import json
import subprocess
from pathlib import Path

import pytest

from contentops.model import Event, JobState, OnSourceChange, Plan, Project
from contentops.operations import opening
from contentops.reporting.run import run_text
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.repositories import in_git
from tests.running import Run
from tests.test_references import CHAIN, GUIDE, NEWS, TEASER, change_of, items, refused, waiting


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
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').body }}"}))
    harness.apply(select=("guide",))
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
    ("## One\n\n```\nonly code\n```\n", "has nothing in a part that is used: its title, an excerpt or a section"),
])  # fmt: skip
def test_a_source_that_cannot_be_used_is_waited_for(harness: Harness, body: str | bytes, why: str) -> None:
    """Nothing is sent with an empty text; other items go on."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').excerpt(9) }}", "other": "O"}))
    harness.apply(select=("guide",))
    with_body(harness, "out/guide.md", body)
    plan = harness.plan()
    assert (waiting(plan), sent(plan)) == ({"news": [f"`guide` {why}"]}, ["O"])


def test_a_large_file_of_git_is_waited_for(harness: Harness) -> None:
    """The pointer of Git LFS is no text."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').title }}"}))
    harness.apply(select=("guide",))
    oid = "0" * 64
    harness.write("out/guide.md", f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 9\n")
    assert waiting(harness.plan()) == {"news": ["`guide` has a file that cannot be read"]}


@pytest.mark.parametrize("topic", ["About {{ ref('guide').title }}", "About {{ ref('guide').section('One') }}"])
def test_an_empty_part_is_waited_for(harness: Harness, topic: str) -> None:
    """The plan says that it is the part; a text with that part ends the wait."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": topic}))
    harness.apply(select=("guide",))
    head = harness.read("out/guide.md").replace("title: On Guide\n", "").partition("---\n\n")[0]
    harness.write("out/guide.md", f"{head}---\n\n## One\n\n## Two\n\nWords.\n")
    plan = harness.plan()
    assert "has nothing in a part that is used" in waiting(plan)["news"][0]
    assert change_of(plan, "news").hint == "write it into `out/guide.md`, or use another part of `guide`."
    head = head.replace("contentops:", "title: T\ncontentops:")
    harness.write("out/guide.md", f"{head}---\n\n## One\n\nWords.\n")
    assert sent(harness.plan()) in (["About T"], ["About Words."])


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


def test_texts_are_found_again_once_an_error_is_corrected(harness: Harness) -> None:
    """A manifest that had an error because of a text is not remembered with the items that it lacked then."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').section('Introduction') }}"}))
    harness.write("content/b.yaml", items({"teaser": "{{ ref('news').title }}"}))
    harness.apply()
    before = harness.read("out/guide.md")
    harness.edit("out/guide.md", "Introduction", "Intro")
    assert change_of(harness.plan(), "news").blocked == "wrong-reference"
    harness.apply()
    harness.write("out/guide.md", before)
    harness.apply()
    assert harness.plan().empty


# --- between waves -----------------------------------------------------------------------------------------------


def test_what_a_new_text_lacks_blocks_its_dependant_alone(harness: Harness) -> None:
    """The source is done and in the report; the hint of its dependant says what the text lacks."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "{{ ref('guide').section('Nope') }}"}))
    run = harness.ran()
    assert results(run) == {"guide": "done", "news": "blocked"}
    assert "its headings: `Introduction`, `Closing`" in run_text(run)
    (report,) = (harness.root / ".contentops/runs").glob("*.json")
    assert "guide" in json.loads(report.read_text())["run"]["outcomes"][0].values()
    assert [(job.item, job.state) for job in harness.state.jobs] == [("guide", JobState.SETTLED)]


def test_a_source_that_is_deleted_while_an_apply_runs_is_waited_for(harness: Harness) -> None:
    """The next apply writes its text again, which is paid for, and goes on."""

    def emit(event: Event) -> None:
        if event.item == "guide" and event.kind == "item-done" and (harness.root / "out/guide.md").exists():
            (harness.root / "out/guide.md").unlink()

    assert results(harness.apply(emit=emit))["news"] == "pending"
    assert (results(harness.apply()), len(harness.api.generations)) == (dict.fromkeys(CHAIN, "done"), 3)


def test_a_deadline_is_that_of_all_waves(harness: Harness) -> None:
    """Not of each wave."""
    start = harness.timeline.now
    run = harness.ran(deadline=70.0)
    assert run.stopped == "deadline"
    assert harness.timeline.now - start < 75


def test_guards_count_later_waves_before_the_first_one(harness: Harness) -> None:
    """So that no guard refuses the second half of what it let begin."""
    many = {"guide": GUIDE, **{f"n{number}": f"{number}. {NEWS}" for number in range(15)}}
    harness.write("content/a.yaml", items(many, on_source_change="regenerate"))
    harness.apply()
    harness.write("content/a.yaml", items({**many, "guide": "Handbook"}, on_source_change="regenerate"))
    (refusal,) = harness.plan().refusals
    assert refusal.guard == "changed-ratio"
    assert "16 of 16" in refusal.message


def test_an_item_waits_for_front_matter_that_the_same_plan_writes(harness: Harness) -> None:
    """Otherwise it would be paid for with values that are gone a minute later."""
    made = json.loads(items({"guide": GUIDE, "news": "In {{ ref('guide').metadata.lang }}"}))
    made["items"][0]["metadata"] = {"lang": "de"}
    harness.write("content/a.yaml", json.dumps(made))
    harness.apply()
    made["items"][0]["metadata"] = {"lang": "fr"}
    made["items"][1]["inputs"]["topic"] += "!"
    harness.write("content/a.yaml", json.dumps(made))
    harness.apply()
    assert [each.topic for each in harness.api.generations] == ["Guide", "In de", "In fr!"]
    assert harness.plan().empty


# --- renames and rings ---------------------------------------------------------------------------------------------


def test_a_literal_that_becomes_a_reference_is_recorded_and_not_paid_for(harness: Harness) -> None:
    """As long as the request stays the same."""
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "News of On Guide"}))
    harness.apply()
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": NEWS}))
    assert change_of(harness.plan(), "news").names == ("record",)
    harness.apply()
    assert (harness.plan().empty, list(harness.record("news").sources)) == (True, ["guide"])
    assert len(harness.api.generations) == 2


def test_a_ring_over_files_and_environments_is_named_whole(harness: Harness) -> None:
    """Also where only the variables of one environment close it."""
    harness.edit("contentops.yaml", "version: 1", "version: 1\nvars: {of: c}\nenvironments: {prod: {vars: {of: a}}}")
    harness.write("content/a.yaml", items({"a": "{{ ref('b').title }}", "c": "C"}))
    harness.write("content/b.yaml", items({"b": "{{ ref(of).title }}"}))
    assert sorted(waiting(harness.plan())) == ["a", "b"]
    harness.edit("contentops.yaml", "of: c", "of: a")
    assert any("form a cycle: `a` -> `b` -> `a`" in line for line in refused(harness))


# --- items that have a text already ------------------------------------------------------------------------------


def test_an_item_with_a_text_does_not_wait_for_a_source_that_is_only_gone(harness: Harness) -> None:
    """It keeps its text, and a plan that restores the source for free is not refused for what others might cost."""
    harness.apply()
    harness.edit("contentops.yaml", "version: 1", "version: 1\nbudget: {credits_per_apply: 0}")
    (harness.root / "out/guide.md").unlink()
    assert harness.actions() == {"guide": "restore"}
    harness.apply()
    assert harness.plan().empty


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
    harness.write("content/a.yaml", items({"guide": GUIDE, "news": "Of {{ ref('guide', approved=true).title }}"}))
    harness.apply()
    in_git(harness, "first")
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", name, "reader@example.com"], cwd=harness.root, check=True)
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


def test_dependants_are_promoted_with_their_sources(harness: Harness) -> None:
    """Nothing is generated again or counted as a cost; a new text of the other environment is promoted too."""
    staging, prod = "{output: 'staging/{{ item.id }}.md'}", "output: 'prod/{{ item.id }}.md'"
    prod = f"{{promote_from: staging, {prod}, budget: {{credits_per_apply: 0}}}}"
    harness.edit("contentops.yaml", "version: 1", f"version: 1\nenvironments: {{staging: {staging}, prod: {prod}}}")
    first, last = (InEnvironment(harness, name) for name in ("staging", "prod"))
    first.apply()
    assert last.plan().credits_worst == 0
    last.apply()
    assert last.plan().empty
    assert last.record("news").frame
    assert last.record("news").sources == first.record("news").sources
    harness.edit("staging/guide.md", "title: On Guide", "title: On Guides")
    first.settle(on_source_change=OnSourceChange.REGENERATE)
    paid = len(harness.api.generations)
    for _ in range(3):
        last.apply()
    assert last.plan().empty
    assert "News of On Guides" in harness.read("prod/news.md")
    assert len(harness.api.generations) == paid


# --- with other features -------------------------------------------------------------------------------------------


def test_a_section_of_a_stale_text_is_generated_alone(harness: Harness) -> None:
    """The text stays stale, and no placeholder is sent."""
    harness.apply()
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    before = harness.record("news").sources
    harness.apply(select=("news",), sections={"news": "Introduction"})
    assert harness.api.generations[-1].body["section"] == "Introduction"
    assert harness.record("news").sources == before
    assert ("news",) in [note.items for note in harness.plan().notes if note.kind == "stale-source"]


def test_a_canary_makes_one_wave(harness: Harness) -> None:
    """Each apply with `--canary 1` pays for one text."""
    for number in (1, 2, 3):
        harness.apply(canary=1)
        assert len(harness.api.generations) == number
    assert harness.plan().empty


def test_a_dependant_alone_waits_and_pays_nothing(harness: Harness) -> None:
    """Selecting it does not select its sources."""
    assert results(harness.apply(select=("teaser",))) == {"teaser": "pending"}
    assert not harness.api.generations


def test_pruning_leaves_items_that_wait(harness: Harness) -> None:
    """Only what no manifest declares is removed."""
    harness.write("content/a.yaml", items({**CHAIN, "old": "Old"}))
    harness.apply()
    harness.write("content/a.yaml", items(CHAIN, on_source_change="regenerate"))
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    assert waiting(harness.plan(prune=True)).keys() == {"teaser"}
    harness.apply(prune=True)
    assert (harness.state.records.keys(), harness.plan().empty) == (CHAIN.keys(), True)


def test_retries_of_later_waves_are_in_the_confirmed_total(harness: Harness) -> None:
    """Each text fails its checks once; the waves spend exactly the worst case."""
    harness.edit("contentops.yaml", "version: 1", "version: 1\nbudget: {credits_per_apply: 24}")
    harness.write("content/a.yaml", items(CHAIN, checks={"excludes": ["Take 1."], "retries": 1}))
    assert harness.plan().credits_worst == 24
    run = harness.ran()
    assert (run.credits, set(results(run).values()), harness.plan().empty) == (24, {"done"}, True)


def test_a_record_that_is_renamed_by_hand_keeps_its_dependants(harness: Harness, invoke: Run) -> None:
    """As with `moved`."""
    harness.apply()
    assert invoke("state", "mv", "guide", "handbook", cwd=harness.root).code == 0
    harness.write(
        "content/a.yaml", items({"handbook": GUIDE, "news": NEWS.replace("guide", "handbook"), "teaser": TEASER})
    )
    harness.apply()
    assert (harness.plan().empty, list(harness.record("news").sources)) == (True, ["handbook"])
    assert len(harness.api.generations) == 3


def test_a_plan_of_what_a_branch_changed_has_what_its_edits_make_stale(harness: Harness, processes: None) -> None:
    """Although the request that such an item keeps is the one of the branch before."""
    harness.write("content/a.yaml", items({**CHAIN, "other": "Other"}))
    harness.apply()
    in_git(harness, "first")
    assert not harness.plan(changed_from="HEAD").unchanged
    harness.edit("out/guide.md", "title: On Guide", "title: On Guides")
    plan = harness.plan(changed_from="HEAD")
    assert [note.items for note in plan.notes if note.kind == "stale-source"] == [("news",)]
    assert sent(plan) == []
