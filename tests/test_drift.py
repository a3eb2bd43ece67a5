"""Every class of drift: what is desired, recorded, in the file and on the server, and what a plan makes of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field, structs

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, title_digest
from contentops.model import Observed, OnEdit, Plan, Record, Remote, Request, Saved, Spec
from contentops.planning.plan import make_plan
from tests.fakes.sides import TEXT, a_file, a_job, a_record, a_remote, a_situation, a_spec

MINE, THEIRS, OLD = "My words.\n", "Their words.\n", "Earlier words.\n"
GENERATE = "submit poll write save"
SAME, CHANGED = a_spec(), a_spec(topic="y")
RECORD = a_record(SAME)
FILE = a_file("out/a.md")
EDITED = a_file("out/a.md", body=MINE)
THERE = a_remote(body=THEIRS)
TAKEN = a_remote(body="", title="", taken=True)
GONE = structs.replace(a_remote(body="", title="", deleted=True), body=NOTHING)


_NOTHING_ASKED = Request(template="", style="", inputs={})
IMPORTED = structs.replace(SAME, request=_NOTHING_ASKED, digest=_NOTHING_ASKED.digest, protected=True)


class Case(Struct, frozen=True, kw_only=True):
    """Four sides, and what the plan of them says."""

    spec: Spec | None = SAME
    record: Record = RECORD
    file: Observed | None = FILE
    remote: Remote | None = None
    choice: dict[str, Any] = field(default_factory=dict)
    on: str = ""
    """The choice for edits."""
    open_jobs: tuple[Any, ...] = ()
    action: str = ""
    """Of the one change; empty: there is none."""
    steps: str = ""
    why: str = ""
    """Kinds of its reasons, of which there may be more."""
    blocked: str = ""
    notes: str = ""
    credits: int = 0


def _saved(body: str, title: str = "T") -> Record:
    """The record of a text that a person edited and that was saved then."""
    return structs.replace(RECORD, saved=Saved(title=title_digest(title), body=body_digest(body)))


TAGGED = a_spec(metadata={"tags": ["black"]})
RETAGGED = a_record(TAGGED)
GREEN = a_file("out/a.md", front={"tags": ["green"]})
BARE = a_file("out/a.md", title="", provenance={})
NEWER = structs.replace(RECORD, generated=body_digest("Newer.\n"))
"""A text was generated and written, and not saved."""
PROTECTED, PROTECTED_RECORD = structs.replace(SAME, protected=True), structs.replace(RECORD, protected=True)

CASES: dict[str, Case] = {
    # --- one side ---------------------------------------------------------------------------------------------
    "nothing": Case(),
    "looked at, unchanged": Case(remote=a_remote()),
    "edited in the file": Case(file=EDITED, remote=a_remote(), action="save", steps="save", why="save"),
    "title edited in the file": Case(file=a_file("out/a.md", title="Mine"), action="save", steps="save", why="save"),
    "edited in the file and saved": Case(file=EDITED, record=_saved(MINE)),
    "edited on the server": Case(remote=THERE, notes="edited-on-server"),
    "title edited on the server": Case(remote=a_remote(title="Theirs"), notes="edited-on-server"),
    "the server has a text that was recorded earlier": Case(remote=a_remote(body=OLD, recorded=True), action="save", steps="save", why="save recorded-before"),
    "changed by the server": Case(record=structs.replace(RECORD, saved=Saved(title=title_digest("T"), body=body_digest(TEXT), server_title=title_digest("T!"), server_body=body_digest(OLD))), remote=a_remote(body=OLD, title="T!")),
    "a save whose answer was lost": Case(record=structs.replace(RECORD, saved=Saved(title=title_digest("T"), body=body_digest(TEXT), sent=body_digest(MINE))), file=EDITED, remote=a_remote(body=MINE), action="save", steps="save"),
    "file deleted": Case(file=None, action="restore", steps="fetch write", why="missing"),
    "deleted on the server": Case(remote=GONE, action="save", steps="save", why="deleted-there"),
    "the stored text belongs to another project": Case(remote=TAKEN, action="save", steps="save", why="taken-there"),
    "moved": Case(spec=a_spec(output="new/a.md"), action="move", steps="move", why="moved"),
    "request changed": Case(spec=CHANGED, action="regenerate", steps=GENERATE, why="changed", credits=4),
    "unreadable on the server": Case(remote=a_remote(body="", problem="403"), notes="unreadable-there"),
    "in no manifest": Case(spec=None, remote=THERE, notes="orphan"),
    "saving off": Case(spec=structs.replace(SAME, save=False), remote=THERE),
    # --- in the file and on the server ---------------------------------------------------------------------------------------
    "edited on the server, overwrite": Case(remote=THERE, on="overwrite", action="save", steps="save", why="edited-on-server"),
    "edited on both sides": Case(file=EDITED, remote=THERE, blocked="edited-on-server", why="edited-on-server"),
    "edited on both sides, overwrite": Case(file=EDITED, remote=THERE, on="overwrite", action="save", steps="save", why="save edited-on-server"),
    "edited on both sides, merge": Case(file=EDITED, remote=THERE, on="merge", blocked="edited-on-server"),
    "edited on both sides, keep": Case(file=EDITED, remote=THERE, on="keep", blocked="edited-on-server"),
    "edited identically": Case(file=a_file("out/a.md", body=THEIRS), remote=THERE, action="keep", steps="record"),
    "saved, then edited on the server": Case(file=EDITED, record=_saved(MINE), remote=THERE, notes="edited-on-server"),
    "title edited in the file, body on the server": Case(file=a_file("out/a.md", title="Mine"), remote=THERE, blocked="edited-on-server"),
    "title on both sides": Case(file=a_file("out/a.md", title="Mine"), remote=a_remote(title="Theirs"), blocked="edited-on-server"),
    "edited in the file, unreadable on the server": Case(file=EDITED, remote=a_remote(body="", problem="403"), blocked="unreadable-there"),
    "edited in the file, deleted on the server": Case(file=EDITED, remote=GONE, action="save", steps="save", why="save deleted-there"),
    "file deleted, edited on the server": Case(file=None, remote=THERE, action="restore", steps="fetch write", why="missing", notes="edited-on-server"),
    "file deleted, edited on the server, overwrite": Case(file=None, remote=THERE, on="overwrite", action="restore", steps="fetch write save", why="missing edited-on-server"),
    "deleted on both sides": Case(file=None, remote=GONE, action="restore", steps="fetch write save", why="missing deleted-there"),
    "generated and not saved, edited on the server": Case(record=NEWER, file=a_file("out/a.md", body="Newer.\n"), remote=THERE, blocked="edited-on-server"),
    "generated and not saved, edited on the server, keep": Case(record=NEWER, file=a_file("out/a.md", body="Newer.\n"), remote=THERE, on="keep", blocked="edited-on-server"),
    "generated and not saved, edited on the server, overwrite": Case(record=NEWER, file=a_file("out/a.md", body="Newer.\n"), remote=THERE, on="overwrite", action="save", steps="save", why="edited-on-server"),
    # --- moved, and something else -----------------------------------------------------------------------------
    "moved, edited in the file": Case(spec=a_spec(output="new/a.md"), file=EDITED, action="move", steps="move save", why="moved save"),
    "moved, edited on the server": Case(spec=a_spec(output="new/a.md"), remote=THERE, action="move", steps="move", why="moved", notes="edited-on-server"),
    "moved, deleted on the server": Case(spec=a_spec(output="new/a.md"), remote=GONE, action="move", steps="move save"),
    "moved, edited on both sides": Case(spec=a_spec(output="new/a.md"), file=EDITED, remote=THERE, blocked="edited-on-server"),
    "renamed, edited on the server": Case(spec=a_spec("b", output="out/b.md"), remote=THERE, action="rename", steps="move", notes="edited-on-server"),
    # --- request changed, and something else ----------------------------------------------------------------------
    "the request changed, and the text was edited in the file": Case(spec=CHANGED, file=EDITED, blocked="edited", why="changed edited"),
    "request changed, edited in the file, keep": Case(spec=CHANGED, file=EDITED, on="keep", action="keep", steps="record save"),
    "request changed, edited in the file, overwrite": Case(spec=CHANGED, file=EDITED, on="overwrite", action="overwrite", steps=GENERATE, credits=4),
    "the request changed, and the text was edited in the file; `on_edit` is `merge`": Case(spec=CHANGED, file=EDITED, on="merge", action="merge", steps=GENERATE, why="kept-sections", credits=4),
    "request changed, edited in the file, merge, the generated text is missing": Case(spec=CHANGED, file=EDITED, record=NEWER, on="merge", blocked="no-merge-base"),
    "request changed, edited on the server, merge": Case(spec=CHANGED, remote=THERE, on="merge", blocked="edited-on-server"),
    "the request changed, and the text was edited on the server": Case(spec=CHANGED, remote=THERE, blocked="edited-on-server", why="changed edited-on-server"),
    "request changed, edited on the server, keep": Case(spec=CHANGED, remote=THERE, on="keep", action="keep", steps="record", notes="edited-on-server"),
    "request changed, edited on the server, overwrite": Case(spec=CHANGED, remote=THERE, on="overwrite", action="overwrite", steps=GENERATE, why="changed edited-on-server", credits=4),
    "request changed, edited identically, keep": Case(spec=CHANGED, file=a_file("out/a.md", body=THEIRS), remote=THERE, on="keep", action="keep", steps="record"),
    "request changed, edited identically": Case(spec=CHANGED, file=a_file("out/a.md", body=THEIRS), remote=THERE, blocked="edited-on-server"),
    "request changed, edited on both sides": Case(spec=CHANGED, file=EDITED, remote=THERE, blocked="edited-on-server", why="edited edited-on-server"),
    "request changed, edited on both sides, keep": Case(spec=CHANGED, file=EDITED, remote=THERE, on="keep", action="keep", steps="record", notes="edited-on-server"),
    "request changed, edited on both sides, merge": Case(spec=CHANGED, file=EDITED, remote=THERE, on="merge", blocked="edited-on-server"),
    "request changed, edited on both sides, overwrite": Case(spec=CHANGED, file=EDITED, remote=THERE, on="overwrite", action="overwrite", steps=GENERATE, why="edited edited-on-server", credits=4),
    "request changed, file deleted, edited on the server": Case(spec=CHANGED, file=None, remote=THERE, blocked="edited-on-server"),
    "request changed, deleted on the server": Case(spec=CHANGED, remote=GONE, action="regenerate", steps=GENERATE, why="changed deleted-there", credits=4),
    "request changed, unreadable on the server": Case(spec=CHANGED, remote=a_remote(body="", problem="403"), blocked="unreadable-there"),
    "replaced, edited on the server": Case(remote=THERE, choice={"replace": ("a",)}, action="regenerate", steps=GENERATE, why="edited-on-server", credits=4),
    "section asked for, edited on the server": Case(remote=THERE, choice={"sections": {"a": "Introduction"}}, blocked="edited-on-server"),
    "job running, edited on the server": Case(spec=CHANGED, remote=THERE, open_jobs=(a_job(CHANGED),), blocked="edited-on-server", steps="drain"),
    "request changed, the server has an earlier recorded text": Case(spec=CHANGED, remote=a_remote(body=OLD, recorded=True), action="regenerate", steps=GENERATE, why="changed recorded-before", credits=4),
    # --- front matter ------------------------------------------------------------------------------------------
    "front matter was changed in the file": Case(spec=TAGGED, record=RETAGGED, file=GREEN, notes="front-matter-drift"),
    "front matter removed from the file": Case(spec=TAGGED, record=RETAGGED, file=BARE, notes="front-matter-drift"),
    "front matter changed in the file, keep": Case(spec=TAGGED, record=RETAGGED, file=GREEN, on="keep"),
    "front matter changed in the file, overwrite": Case(spec=TAGGED, record=RETAGGED, file=GREEN, on="overwrite", action="update", steps="update", why="front-matter-drift"),
    "metadata changed": Case(spec=TAGGED, record=a_record(SAME), file=FILE, action="update", steps="update", why="front-matter"),
    "metadata changed, front matter changed in the file": Case(spec=a_spec(metadata={"tags": ["white"]}), record=RETAGGED, file=GREEN, notes="kept-front-matter"),
    "metadata changed, edited on the server": Case(spec=TAGGED, remote=THERE, action="update", steps="update", why="front-matter", notes="edited-on-server"),
    "front matter changed in the file, edited on the server": Case(spec=TAGGED, record=RETAGGED, file=GREEN, remote=THERE, notes="edited-on-server front-matter-drift"),
    "title in the manifest, edited on the server": Case(spec=a_spec(metadata={"title": "T"}), remote=a_remote(title="Theirs"), notes="edited-on-server"),
    "title changed in the manifest, edited on the server": Case(spec=a_spec(metadata={"title": "New"}), remote=THERE, blocked="edited-on-server"),
    # --- protected ---------------------------------------------------------------------------------------------
    "a protected item was edited on the server": Case(spec=PROTECTED, record=PROTECTED_RECORD, remote=THERE, notes="edited-on-server"),
    "a protected item without a template was edited on the server": Case(spec=IMPORTED, record=structs.replace(a_record(IMPORTED), generated=NOTHING, protected=True), remote=THERE, notes="edited-on-server"),
    "protected, file deleted, edited on the server": Case(spec=PROTECTED, record=PROTECTED_RECORD, file=None, remote=THERE, action="restore", steps="fetch write", notes="edited-on-server"),
    "protected, edited on both sides": Case(spec=PROTECTED, record=PROTECTED_RECORD, file=EDITED, remote=THERE, blocked="edited-on-server"),
}  # fmt: skip


def _plan(case: Case) -> Plan:
    remote = None if case.remote is None else {case.spec.id if case.spec is not None else "a": case.remote}
    choice = case.choice | ({"on_edit": OnEdit(case.on)} if case.on else {})
    specs, files = [] if case.spec is None else [case.spec], [] if case.file is None else [case.file]
    found = a_situation(specs, [case.record], files, remote=remote, open_jobs=case.open_jobs, **choice)
    texts = {body_digest(text): text for text in (TEXT, MINE, THEIRS, OLD)}
    return make_plan(structs.replace(found, text=texts.get, read=lambda path: texts.get(found.observe(path).body, "")))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_plan_of(case: Case) -> None:
    """What is done, by which steps and for which reasons; what holds the item back; what is only worth a note."""
    plan = _plan(case)
    assert " ".join(note.kind for note in plan.notes) == case.notes
    if not case.action and not case.blocked:
        assert plan.changes == ()
        return
    (change,) = plan.changes
    assert (change.action, change.blocked, change.hint) == (case.action or "blocked", case.blocked, change.hint)
    assert (" ".join(change.names), change.credits) == (case.steps, case.credits)
    assert set(case.why.split()) <= {reason.kind for reason in change.reasons}
    assert change.hint or not case.blocked


# --- the page that lists them --------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def _rows() -> dict[str, tuple[set[str], str]]:
    """Class and plan of each case, as the page has them."""
    text = (ROOT / "docs/explanation/drift.md").read_text("utf-8").split("## The main cases")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("|")]
    return {row[0]: (set(re.findall(r"`([^`]+)`", row[1])), row[2]) for row in rows if row[0] not in ("Case", "---")}


def test_the_page_says_what_a_plan_makes_of_its_cases() -> None:
    """The page has some of the cases, by their names."""
    plans = {name: case.action or ("blocked" if case.blocked else "nothing") for name, case in CASES.items()}
    listed = {name: plan for name, (_, plan) in _rows().items()}
    assert listed
    assert listed == {name: plans.get(name) for name in listed}


def test_the_page_names_the_classes_that_a_plan_tells() -> None:
    """Reasons, blocks and notes by their kinds; those of its changes' details may be more."""
    rows = _rows()
    for name, (named, _) in rows.items():
        plan = _plan(CASES[name])
        told = {note.kind for note in plan.notes}
        for change in plan.changes:
            told |= {change.blocked, *(reason.kind for reason in change.reasons)}
        assert named <= told, name
        assert bool(named) == bool(told - {""}), name
