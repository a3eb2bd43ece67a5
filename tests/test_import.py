"""Texts that are stored on a server become items and files, as they are: nothing is generated, nothing is saved."""

from pathlib import Path
from typing import Any

import pytest

from contentops.errors import ApiError, InputError
from contentops.model import Plan
from contentops.operations.adopt import Adoption, import_contents
from contentops.operations.refresh import refresh
from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi, Stored
from tests.fakes.harness import Harness, blog, know_server
from tests.fakes.kills import EachKill
from tests.running import Build, Run


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A project without manifests."""
    return _harness(tmp_path)


def _harness(root: Path, **options: Any) -> Harness:
    harness = Harness(root, **options)
    know_server(root, "https://api.example.test/v1")
    return harness


def _store(harness: Harness, id_: str, title: str, body: str, **metadata: Any) -> None:
    made = float(len(harness.api.contents))
    harness.api.contents[id_] = Stored(id_, title, body, made, made, metadata)


def _import(harness: Harness, *ids: str, **options: Any) -> Adoption:
    given: dict[str, Any] = {"confirm": lambda _: True, "runtime": harness.runtime(), **options}
    return import_contents(harness.project, ids, **given)


def _refreshed(harness: Harness) -> Plan:
    with open_workspace(harness.project, harness.runtime(), write=True) as workspace:
        return make_plan(refresh(workspace, workspace.plan_inputs(Choice())))


def _names(found: Adoption) -> dict[str, str]:
    return {one.content: one.id for one in found.taken}


TEXTS = {
    "cnt_a": ("A First Text", "# A First Text\n\nWords.\n"), "cnt_b": ("Second / 2", "Words\r\n\r\nmore"),
    "cnt_c": ("", "# Heading\n\nWords.\n"), "cnt_d": ("", "No title at all.\n"),
    "cnt_e": ("Own front", "---\ntitle: Inside\ntags: [x, '{{ y }}']\ndate: 2024-01-01\ndraft: no\n---\n\nWords.\n"),
    "cnt_f": ("A rule", "---\n\nWords\n\n---\n"), "cnt_g": ("{{ jinja }}", "{{ body }}\n"),
    "cnt_h": ("A First Text", "Another with the same title.\n"), "cnt_i": ("Übersicht \x1b[31m", "Wörter.\n"),
    "cnt_j": ("Markers", "<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n"),
}  # fmt: skip


def test_everything_stored_becomes_items_and_the_plan_is_empty(harness: Harness) -> None:
    """One list, one request for each text, nothing else; the plan is empty, with `--refresh` too."""
    for id_, (title, body) in TEXTS.items():
        _store(harness, id_, title, body)
    found = _import(harness)
    assert (found.refused, found.known) == (0, ())
    assert _names(found) == {
        "cnt_a": "a-first-text", "cnt_b": "second-2", "cnt_c": "heading", "cnt_d": "content", "cnt_e": "own-front",
        "cnt_f": "a-rule", "cnt_g": "jinja", "cnt_h": "a-first-text-cnt_h", "cnt_i": "übersicht-31m",
        "cnt_j": "markers",
    }  # fmt: skip
    names = [seen.name for seen in harness.api.requests]
    assert (names.count("list content"), names.count("get content"), len(set(names))) == (1, len(TEXTS), 2)
    assert (harness.plan().empty, _refreshed(harness).empty) == (True, True)
    text = harness.tree()["out/own-front.md"]
    assert text.startswith(
        '---\ntitle: Own front\ntags:\n  - x\n  - "{{ y }}"\ndate: 2024-01-01\ndraft: "no"\ncontentops:\n'
    )
    record = harness.record("own-front")
    assert (record.generated, record.content_id, record.protected) == ("", "cnt_e", True)
    before = harness.bytes()
    again = _import(harness)
    assert (again.taken, len(again.known)) == ((), len(TEXTS))
    harness.apply()
    assert (harness.bytes(), harness.api.charges) == (before, [])


def test_an_edit_made_there_before_a_person_said_yes_is_seen(harness: Harness) -> None:
    """What is recorded is when the text that was read was changed, not when it was written here."""
    _store(harness, "cnt_a", "A", "Words.\n")

    def confirm(_found: Adoption) -> bool:
        stored = harness.api.contents["cnt_a"]
        stored.body, stored.updated = "Other words.\n", stored.updated + 60
        harness.timeline.now += 3600
        return True

    _import(harness, confirm=confirm)
    plan = _refreshed(harness)
    assert (plan.empty, [note.kind for note in plan.notes]) == (True, ["edited-on-server"])


@pytest.mark.parametrize(
    ("answer", "words"), [(403, "cnt_b` cannot be read"), (404, "cnt_b` cannot be read"), (422, "cannot be read")]
)
def test_what_cannot_be_read_is_named_and_the_others_go_on(harness: Harness, answer: int, words: str) -> None:
    """Another owner's, a deleted one, one that the server refuses, and one without a text."""
    for id_ in ("cnt_a", "cnt_b", "cnt_c"):
        _store(harness, id_, id_, "Words.\n")
    _store(harness, "cnt_e", "Empty", " \n")
    harness.api.fault(lambda name, n: name == "get content" and n == 2, answer)
    found = _import(harness)
    assert sorted(_names(found)) == ["cnt_a", "cnt_c"]
    assert [words in one.message or "has no text" in one.message for one in found.findings] == [True, True]
    assert harness.plan().empty


def test_a_server_that_does_not_answer_ends_it_before_anything_is_written(harness: Harness) -> None:
    """A wrong key says something about every content."""
    _store(harness, "cnt_a", "A", "Words.\n")
    harness.api.fault(lambda name, _n: name == "get content", 401)
    before = harness.bytes()
    with pytest.raises(ApiError):
        _import(harness)
    assert harness.bytes() == before


def test_a_text_that_contentops_stored_is_known_again(harness: Harness) -> None:
    """By its item, where a manifest still declares it and the lock is lost; by its request, which `milk` has already."""
    harness.write("content/a.yaml", blog("tea", "milk"))
    harness.apply()
    # The content of `milk` lost its owner, that of `tea` its record and file.
    lock = harness.root / "contentops.lock"
    lines = lock.read_text().splitlines(keepends=True)
    content = harness.record("tea").content_id
    edited = harness.record("milk")
    lock.write_text("".join(line.replace(edited.content_id, "cnt_lost") for line in lines if '"id":"tea"' not in line))
    (harness.root / "out/tea.md").unlink()
    for id_, item in ((content, "tea"), (edited.content_id, "milk")):
        digest = edited.digest if item == "milk" else _digest(harness, "tea")
        harness.api.contents[id_].metadata |= {"contentops_item": item, "contentops_digest": digest}
    found = _import(harness)
    by_content = {one.content: one for one in found.taken}
    assert (by_content[content].id, by_content[content].declared) == ("tea", True)
    assert edited.content_id not in by_content
    (finding,) = found.findings
    assert "requests exactly the same text as `milk`" in finding.message
    assert (harness.plan().empty, len(harness.api.charges)) == (True, 2)


def test_the_text_of_an_open_job_is_left_to_its_item(tmp_path: Path) -> None:
    """The server stored it before any record named it: as an item of its own it would be there twice."""
    harness = _harness(tmp_path, api=FakeApi(duration=30)).declared("a")
    harness.api.fault(lambda name, _: name == "status" and bool(harness.api.generations), "kill")
    harness.killed()
    harness.timeline.now += 60
    found = _import(harness)
    assert ([one.code for one in found.findings], found.taken) == (["not-adopted"], ())
    assert "an open job of `a`" in found.findings[0].message
    harness.apply()
    assert harness.plan().empty


def _digest(harness: Harness, item: str) -> str:
    with open_workspace(harness.project, harness.runtime()) as workspace:
        return next(spec.digest for spec in workspace.desired.specs if spec.id == item)


def test_a_file_in_the_way_is_not_touched(harness: Harness) -> None:
    """The content is named, and nothing is written until that file is moved away."""
    _store(harness, "cnt_a", "A", "Words.\n")
    _store(harness, "cnt_b", "B", "Words.\n")
    harness.write("out/a.md", "A person's.\n")
    before = harness.bytes()
    with pytest.raises(InputError) as caught:
        _import(harness)
    assert "`out/a.md`, which is in use" in caught.value.findings[0].message
    assert harness.bytes() == before
    (harness.root / "out/a.md").unlink()
    assert _names(_import(harness)) == {"cnt_a": "a", "cnt_b": "b"}
    assert harness.plan().empty


def test_a_stop_anywhere_is_finished_by_the_same_command(tmp_path: Path, each_kill: EachKill) -> None:
    """Files first, then the manifest, then the lock: whatever is there is found again, under the same ids."""
    harness = _harness(tmp_path / "whole")
    for id_ in ("cnt_a", "cnt_h", "cnt_j"):
        _store(harness, id_, *TEXTS[id_])
    stops = each_kill(harness, tmp_path / "stopped", lambda: _import(harness))
    assert len(stops) > 8
    wanted = {path: data for path, (data, _) in harness.bytes().items()}
    for where, stopped in stops.items():
        _import(stopped)
        found = {path: data for path, (data, _) in stopped.bytes().items()}
        assert {path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)} <= {
            "contentops.lock"  # the time of the import
        }, where
        assert stopped.plan().empty, where


def test_the_command_says_what_it_did(project: Build, invoke: Run) -> None:
    """With the embedded server: what one project stored, another one imports; with `--json` the same as data."""
    settings = "version: 1\nproject: acme\napi: {base_url: local}\ndefaults: {style: general_blog}\n"
    root = project(
        {
            "contentops.yaml": settings,
            "content/a.yaml": blog("tea").replace("- id", "- template: blog_article_generator\n    id"),
        }
    )
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "contentops.lock").unlink()
    (root / "content/a.yaml").unlink()
    (root / "out/tea.md").unlink()
    assert (invoke("import", cwd=root).code, invoke("import", "--all", cwd=root).code) == (64, 4)
    shown = invoke("import", "--all", "--check", cwd=root)
    assert shown.stdout.startswith("# Items whose texts were stored on the server before: imported.\nitems:\n  - id: ")
    ended = invoke("import", "--all", "--yes", "--json", cwd=root)
    assert (ended.code, ended.json["manifest"], len(ended.json["taken"])) == (0, "content/imported.yaml", 1)
    assert invoke("plan", "--detailed-exitcode", "--refresh", cwd=root).code == 0
    named = invoke("import", "cnt_none", "--yes", cwd=root)
    assert (named.code, "content `cnt_none` cannot be read" in named.stderr) == (3, True)
