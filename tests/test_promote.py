"""Texts go from one environment to another for nothing, edits included, from what is in git."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.documents.front_matter import split
from contentops.errors import InputError, Refused
from contentops.model import Change, JobState, OnEdit, Plan, Project
from contentops.operations import opening, texts
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, quick_folder, results
from tests.fakes.kills import EachKill
from tests.repositories import cloned, in_git
from tests.reviewing import apply_file, review
from tests.running import Build, Run

ENVIRONMENTS = """\
environments:
  dev: {output: "dev/{{ item.id }}.md", api: {base_url: local}}
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {promote_from: staging, output: "live/{{ item.id }}.md", api: {base_url: "https://live.example.test/v1"}}
"""


ONE_SERVER = ENVIRONMENTS.replace(', api: {base_url: "https://live.example.test/v1"}', "")


class Room(Harness):
    """A harness under one environment; rooms on one folder share the files, and each has its own server."""

    def __init__(self, root: Path, environment: str, api: FakeApi | None = None, extra: str = ENVIRONMENTS) -> None:
        super().__init__(root, api or FakeApi(duration=30), extra=extra)
        self.environment = environment

    @property
    def project(self) -> Project:
        """The project as its environment has it."""
        return opening.open_project(str(self.root), self.environment, ())

    def runtime(self) -> Any:
        """The outside, in which either server may have the key."""
        known, servers = super().runtime(), "https://api.example.test https://live.example.test"
        return structs.replace(known, environ={**known.environ, "CONTENTOPS_SERVERS": servers})

    @property
    def submits(self) -> int:
        """How many generations its server was asked for."""
        return len(self.api.generations)

    def told(self) -> list[tuple[str, str]]:
        """Title and body of what its server has stored."""
        return sorted((one.title, one.body) for one in self.api.contents.values())


def rooms(root: Path, *ids: str, extra: str = ENVIRONMENTS) -> tuple[Room, Room]:
    """Staging, applied, and prod, where nothing was."""
    staging = Room(root, "staging", extra=extra)
    prod = Room(root, "prod", extra=extra)
    prod.timeline = staging.timeline
    staging.write("content/b.yaml", blog(*(ids or ("a", "b"))))
    staging.apply()
    return staging, prod


def only(plan: Plan) -> Change:
    """The one change of a plan."""
    (change,) = plan.changes
    return change


def body(harness: Harness, path: str) -> str:
    """A file without its front matter."""
    return harness.read(path).split("---\n", 2)[2]


def test_edits_go_along_and_nothing_is_paid(tmp_path: Path) -> None:
    """An edited text stays a person's there, an unedited one as generated; then there is nothing to do."""
    staging, prod = rooms(tmp_path)
    staging.edit("staging/a.md", "Closing", "The end")
    staging.edit("staging/a.md", "title: ", "title: Mine, not ")
    staging.apply()
    plan = prod.plan()
    assert [(str(one.action), one.names) for one in plan.changes] == [("promote", ("promote", "write", "save"))] * 2
    assert (plan.credits, plan.submits, plan.refusals) == (0, 0, ())
    assert [one.reasons[-1].detail for one in plan.changes] == [
        "from `staging/a.md` of `staging`, edited by hand there",
        "from `staging/b.md` of `staging`",
    ]
    assert (results(prod.apply()), prod.submits) == ({"a": "done", "b": "done"}, 0)
    assert body(prod, "live/a.md") == body(prod, "staging/a.md")
    assert "title: Mine, not " in prod.read("live/a.md")
    assert prod.told() == staging.told()
    there, here = staging.record("a"), prod.record("a")
    assert (here.generated, here.digest, here.request) == (there.generated, there.digest, there.request)
    assert (here.request_id, here.server) == ("", "https://live.example.test:443")
    assert here.saved is not None
    assert here.saved.body == here.promoted != here.generated
    assert (prod.record("b").promoted, prod.plan().empty) == (prod.record("b").generated, True)
    assert staging.plan().empty


def test_a_title_that_came_from_the_server_stays_under_a_promoted_text(tmp_path: Path) -> None:
    """A person's title in prod is not the one that was last written there, and is not taken for it afterwards."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    content = prod.api.contents[prod.record("a").content_id]
    prod.api.edit(content.id, content.body, title="Theirs")
    staging.edit("staging/a.md", "Introduction", "Reviewed")
    plan = prod.plan(refresh=True)
    assert (plan.empty, [note.kind for note in plan.notes]) == (True, ["edited-on-server"])
    prod.pull()
    assert prod.actions(refresh=True) == {"a": "promote"}
    prod.apply(refresh=True)
    assert prod.plan(refresh=True).empty
    assert "title: Theirs" in prod.read("live/a.md")
    assert "Reviewed" in prod.read("live/a.md")


def test_words_of_two_people_conflict(tmp_path: Path) -> None:
    """Edited in prod, the file is not taken away by what is new in staging, but by choice; alone it is only saved."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    prod.edit("live/a.md", "Closing", "Here")
    assert only(prod.plan()).names == ("save",)
    prod.apply()
    assert prod.plan().empty
    staging.edit("staging/a.md", "Closing", "There")
    change = only(prod.plan())
    assert (change.action, change.blocked) == ("blocked", "edited")
    merge = only(prod.plan(on_edit=OnEdit.MERGE))
    assert (merge.blocked, merge.hint, results(prod.apply())) == ("edited", change.hint, {"a": "blocked"})
    with quick_folder() as folder:
        kept = prod.copied(folder / "kept")
        assert only(kept.plan(on_edit=OnEdit.KEEP)).action == "keep"
        kept.apply(on_edit=OnEdit.KEEP)
        assert "Here" in kept.read("live/a.md")
        assert kept.plan().empty
    prod.apply(on_edit=OnEdit.OVERWRITE)
    assert "There" in prod.read("live/a.md")
    assert prod.plan().empty
    (copy,) = (prod.root / ".contentops/replaced").rglob("a.md")
    assert "Here" in copy.read_text()


def test_without_a_text_there_nothing_is_paid_here(tmp_path: Path) -> None:
    """The item waits with a hint, changed ones too, until it is applied there."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    prod.write("content/b.yaml", blog("a", "c", year=2027))
    plan = prod.plan()
    assert [(one.id, one.blocked, one.submits) for one in plan.changes] == [
        ("a", "not-promoted", 0),
        ("c", "not-promoted", 0),
    ]
    assert plan.changes[0].hint == (
        "`staging` has the text of another request: `inputs.topic` differs; apply there first "
        "(`contentops apply --env staging`)"
    )
    assert plan.changes[1].hint.startswith("`staging` has no text for it; apply there first")
    assert (results(prod.apply()), prod.submits) == ({"a": "blocked", "c": "blocked"}, 0)
    staging.apply()
    assert {one.id: str(one.action) for one in prod.plan().changes} == {"a": "promote", "c": "promote"}
    prod.apply()
    assert (prod.submits, prod.plan().empty) == (0, True)


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda path: path.unlink(), "`staging/a.md`, the text that `staging` has, does not exist"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "`staging/a.md` is not UTF-8 at byte 0"),
    (lambda path: path.write_text("x\n<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"), "`staging/a.md` contains git conflict markers from line 2"),
    (lambda path: path.write_text(path.read_text().rsplit("---\n", 1)[0] + "---\n\n"), "`staging/a.md`, the text that `staging` has, is empty now"),
], ids=["missing", "not UTF-8", "conflict markers", "emptied"])  # fmt: skip
def test_a_file_that_cannot_be_used_is_not_promoted(tmp_path: Path, spoil: Any, words: str) -> None:
    """The hint says which, and why; prod waits, also on the machine whose cache has the text."""
    _, prod = rooms(tmp_path, "a", extra=ONE_SERVER)
    spoil(prod.root / "staging/a.md")
    change = only(prod.plan())
    assert change.blocked == "not-promoted"
    assert words in change.hint


def test_a_missing_file_comes_from_there(tmp_path: Path) -> None:
    """The text needs no server; one with words of prod's own comes from prod's. Another text is asked for there, too."""
    _, prod = rooms(tmp_path, "a")
    prod.apply()
    change = only(prod.plan(replace=("a",)))
    assert (change.blocked, change.hint) == ("promoted", "its text comes from `staging`: use `--replace` there")
    (prod.root / "live/a.md").unlink()
    assert only(prod.plan()).action == "promote"
    prod.apply()
    prod.edit("live/a.md", "Closing", "Here")
    prod.apply()
    (prod.root / "live/a.md").unlink()
    assert only(prod.plan()).action == "restore"
    prod.apply()
    assert "Here" in prod.read("live/a.md")
    assert prod.plan().empty


def test_an_open_job_of_prod_is_brought_home(tmp_path: Path) -> None:
    """Where staging has nothing its text is the item's, for nothing; where it has one, that one goes and it is kept."""
    staging = Room(tmp_path, "staging")
    prod = Room(tmp_path, "prod")
    prod.timeline = staging.timeline
    prod.write("content/b.yaml", blog("a", "b"))
    with_source = prod.read("contentops.yaml")
    prod.edit("contentops.yaml", "promote_from: staging, ", "")
    prod.apply(deadline=1)
    prod.write("contentops.yaml", with_source)
    open_ = {job.item for job in prod.state.open_jobs.values()}
    assert open_
    assert {str(one.action) for one in prod.plan(select=tuple(open_)).changes} == {"finish"}
    staging.apply()
    paid = prod.submits
    prod.apply()
    assert prod.submits == paid
    assert {job.state for job in prod.state.open_jobs.values()} <= {JobState.PAID}
    assert (body(prod, "live/a.md"), prod.plan().empty) == (body(prod, "staging/a.md"), True)


@pytest.mark.parametrize(("environments", "words"), [
    ("{a: {promote_from: a}}", "environment `a` cannot promote texts from itself"),
    ("{a: {promote_from: b}, b: {promote_from: a}}", "forms a cycle: `a` -> `b` -> `a`"),
    ("{prod: {promote_from: stagin}, staging: {}}", "there is no environment `stagin`"),
    ("{a: {}}\npromote_from: a", "promote_from"),
], ids=["itself", "ring", "unknown", "of the project"])  # fmt: skip
def test_what_cannot_be_a_source_is_refused(tmp_path: Path, environments: str, words: str) -> None:
    """With its place in the settings."""
    (tmp_path / "contentops.yaml").write_text(f"project: x\nenvironments: {environments}\n")
    with pytest.raises(InputError) as caught:
        opening.open_project(str(tmp_path), "", ())
    assert words in caught.value.findings[0].message
    assert str(caught.value.findings[0].location).startswith("contentops.yaml:")


def test_a_stop_at_every_step_ends_the_same(tmp_path: Path, each_kill: EachKill) -> None:
    """Files, records and contents, of a new text and of one that takes the place of an earlier one."""
    with quick_folder() as folder:
        staging, prod = rooms(folder / "whole", "a", "b")
        prod.apply(select=("a",))
        staging.edit("staging/a.md", "Closing", "The end")
        stops = each_kill(prod, folder, prod.apply)
        assert len(stops) > 10
        for where, harness in stops.items():
            harness.apply()
            assert harness.tree("live") == prod.tree("live"), where
            assert {one.title: one.body for one in harness.api.contents.values()} == dict(prod.told()), where
            assert len(harness.api.contents) == 2, where
            same = [(one.generated, one.promoted, one.digest) for one in prod.state.records.values()]
            assert [(one.generated, one.promoted, one.digest) for one in harness.state.records.values()] == same, where
            assert harness.plan().empty, where
    assert prod.submits == 0


def test_plan_files_hold_the_text_that_was_reviewed(tmp_path: Path) -> None:
    """Edited there since, the file is refused by name; as it was, it is applied, once."""
    staging, prod = rooms(tmp_path, "a")
    reviewed = review(prod)
    assert reviewed["changes"][0]["promotes"]["path"] == "staging/a.md"
    staging.edit("staging/a.md", "Closing", "The end")
    with pytest.raises(Refused, match=r"`a`: `staging/a.md`, whose text it uses, has changed since"):
        apply_file(prod, reviewed)
    (prod.root / "staging/a.md").unlink()
    assert results(apply_file(prod, reviewed)) == {"a": "blocked"}
    staging.apply()
    again = review(prod)
    apply_file(prod, again)
    with pytest.raises(Refused, match="already applied"):
        apply_file(prod, again)
    assert prod.plan().empty


@pytest.mark.parametrize("path", ["staging/a.md", "live/a.md"])
def test_a_file_that_changes_while_it_runs_blocks_its_promotion(tmp_path: Path, path: str) -> None:
    """Both files are looked at again directly before the text is taken and written."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    staging.edit("staging/a.md", "Closing", "Reviewed")

    def meanwhile(event: Any) -> None:
        if event.kind == "item-started":
            prod.edit(path, "Introduction", "Ours")

    assert results(prod.apply(emit=meanwhile)) == {"a": "blocked"}
    assert ("Ours" in prod.read("live/a.md"), "Reviewed" in prod.read("live/a.md")) == (path == "live/a.md", False)
    assert only(prod.plan()).blocked == ("edited" if path == "live/a.md" else "")


def test_fresh_clone_needs_what_is_in_git_alone(tmp_path: Path, processes: None) -> None:
    """No cache, no server of staging's; outlines of the bundled one that are asked for are no drafts on a real one."""
    extra = ENVIRONMENTS.replace("promote_from: staging", "promote_from: dev")
    dev = Room(tmp_path / "first", "dev", extra=extra)
    dev.write("content/b.yaml", blog("a", "b"))
    dev.apply()
    dev.edit("dev/a.md", "## Conclusion", "## The end")
    dev.apply()
    in_git(dev, "Texts")
    cloned(dev, tmp_path / "second")
    prod = Room(tmp_path / "second", "prod", extra=extra)
    assert (results(prod.apply(drafts=True)), prod.submits) == ({"a": "done", "b": "done"}, 0)
    assert "## The end" in prod.read("live/a.md")
    assert any("## The end" in text for _, text in prod.told())
    assert (prod.read("dev/a.md"), prod.read("contentops.dev.lock")) == (
        dev.read("dev/a.md"),
        dev.read("contentops.dev.lock"),
    )
    assert prod.plan().empty


LOCAL = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {output: "live/{{ item.id }}.md"}
"""


def test_by_hand_without_a_setting(project: Build, invoke: Run) -> None:
    """Only what is named goes, all else is left alone; the plan of the environment is as if it had made the text."""
    root = project({"contentops.yaml": LOCAL, "content/b.yaml": blog("a", "b")})
    assert invoke("apply", "--yes", "--env", "staging", cwd=root).code == 0
    edited = root / "staging/a.md"
    edited.write_text(edited.read_text().replace("## Conclusion", "## The end"))
    command = ("promote", "--from", "staging", "--to", "prod", "--select", "a", "--drafts")
    outline = invoke(*command[:-1], cwd=root)
    assert outline.code == 3
    assert "remove the line `> Draft outline ...`, or `--drafts` promotes the outline" in outline.stdout
    asked = invoke(*command, cwd=root)
    assert asked.code == 4
    assert "`--yes` applies the plan without asking" in asked.stderr
    done = invoke(*command, "--yes", cwd=root)
    assert (done.code, done.stderr) == (0, done.stderr)
    assert "1 to promote, 0 unchanged. 0 credits." in done.stdout
    assert "The end" in (root / "live/a.md").read_text()
    assert not (root / "live/b.md").exists()
    plan = invoke("plan", "--env", "prod", "--json", cwd=root).json
    assert [(one["id"], one["action"]) for one in plan["changes"]] == [("b", "finish")]
    again = invoke(*command, "--yes", "--json", cwd=root)
    assert (again.code, again.json["plan"]["summary"]["changes"]) == (0, False)
    status = invoke("status", "--env", "prod", cwd=root).stdout
    assert [line.split()[:2] for line in status.splitlines()[1:3]] == [["a", "promoted"], ["b", "new"]]


def test_what_cannot_be_named(project: Build, invoke: Run) -> None:
    """An environment without a lock, one that is not declared, and itself."""
    root = project({"contentops.yaml": LOCAL, "content/b.yaml": blog("a")})
    for source, target, code in (
        ("staging", "prod", "nothing-applied"),
        ("default", "prod", "nothing-applied"),
        ("stagin", "prod", "unknown-environment"),
        ("staging", "pro", "unknown-environment"),
        ("prod", "prod", "same-environment"),
        ("default", "default", "same-environment"),
    ):
        ended = invoke("promote", "--from", source, "--to", target, "--json", cwd=root)
        assert (ended.code, ended.json["diagnostics"][0]["code"]) == (64, code), (source, target)


def test_what_was_generated_there_is_found_in_git(tmp_path: Path, processes: None) -> None:
    """A clone has it from the history of the file it was made for, as the base of a diff and of a merge."""
    staging, prod = rooms(tmp_path / "site", "a")
    generated = split(staging.read("staging/a.md")).body
    in_git(staging, "Generated")
    staging.edit("staging/a.md", "Closing", "The end")
    staging.apply()
    in_git(staging, "Edited")
    planned = texts.to_planned(prod.project, "a")
    assert (planned.before, planned.after) == (None, split(staging.read("staging/a.md")).body)
    prod.apply()
    in_git(staging, "Promoted")
    shutil.rmtree(tmp_path / "site" / ".contentops")
    found = texts.from_generated(prod.project, "a")
    assert found.before == generated
    assert found.after == split(prod.read("live/a.md")).body != generated
