"""What becomes of a promoted text afterwards: gone from disk, under the checks of its environment, told from others."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.documents.files import ENGINE, has_label
from contentops.documents.front_matter import split
from contentops.errors import ExitCode
from contentops.model import OnEdit, Project
from contentops.operations import plan as plan_operation
from contentops.operations import texts
from contentops.planning.front_matter import provenance_of
from contentops.planning.sides import Choice
from contentops.reporting.run import exit_code_of
from contentops.server.engines import outline
from tests.fakes.api import LABEL, FakeApi
from tests.fakes.harness import blog, quick_folder, results
from tests.fakes.kills import EachKill
from tests.repositories import in_git
from tests.test_promote import ENVIRONMENTS, ONE_SERVER, Room, body, only, rooms
from tests.test_references import items

BY_HAND = (
    ENVIRONMENTS.replace("promote_from: staging, ", "")
    .replace('/v1"}', '/v1", save: off}')
    .replace("staging: {", "staging: {api: {save: off}, ")
)
"""Nothing is taken from staging but by `contentops promote`, and neither saves anything."""


class ByHand(Room):
    """An environment that takes texts from staging only while it `takes`, as `contentops promote` does."""

    takes = False

    @property
    def project(self) -> Project:
        """The project as its environment has it."""
        found = super().project
        return structs.replace(found, promote_from="staging") if self.takes else found

    def promote(self, **choice: Any) -> dict[str, str]:
        """What `contentops promote --from staging` does."""
        self.takes = True
        done = self.apply(only_promoted=True, **choice)
        self.takes = False
        return results(done)


def by_hand(root: Path) -> tuple[Room, ByHand]:
    """Staging with an edited text, and prod to which it was promoted once."""
    staging, prod = Room(root, "staging", extra=BY_HAND), ByHand(root, "prod", extra=BY_HAND)
    prod.timeline = staging.timeline
    staging.write("content/b.yaml", "items:\n  - {id: a, inputs: {topic: x, target_audience: readers}}\n")
    staging.apply()
    staging.edit("staging/a.md", "Closing", "Reviewed")
    staging.apply()
    assert prod.promote() == {"a": "done"}
    return staging, prod


@pytest.mark.parametrize("known", ["cache", "file", "git", "nowhere"])
def test_a_promoted_text_that_is_gone_comes_back_as_it_was(tmp_path: Path, known: str, processes: None) -> None:
    """Not as it was generated: that is the text which people changed before it was taken. No other one replaces it."""
    staging, prod = by_hand(tmp_path)
    promoted = body(prod, "live/a.md")
    assert "Reviewed" in promoted
    if known == "git":
        in_git(staging, "Promoted")
    if known != "cache":
        shutil.rmtree(staging.root / ".contentops/cache")
    if known in ("git", "nowhere"):
        staging.edit("staging/a.md", "Reviewed", "Another" if known == "git" else "Closing")
    (prod.root / "live/a.md").unlink()
    change = only(prod.plan())
    if known == "nowhere":
        assert (change.blocked, change.steps, "`contentops promote`" in change.hint) == ("text-lost", (), True)
        assert (results(prod.apply()), (prod.root / "live/a.md").exists()) == ({"a": "blocked"}, False)
        return
    assert change.action == "restore"
    assert texts.to_planned(prod.project, "a").after == promoted.lstrip("\n")
    assert (results(prod.apply()), body(prod, "live/a.md")) == ({"a": "done"}, promoted)
    assert prod.plan().empty


def test_words_there_that_a_promotion_would_replace_are_named_as_such(tmp_path: Path) -> None:
    """The file is as it was written: what stands in the way is the content, and both answers are a way out."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    content = prod.record("a").content_id
    prod.api.edit(content, "## Introduction\n\nTheir words.\n\n## Closing\n\nTake 1.\n")
    staging.write("content/b.yaml", blog("a", year=2027))
    staging.apply()
    change = only(prod.plan(refresh=True, on_edit=OnEdit.MERGE))
    assert (change.blocked, content in change.hint) == ("edited-on-server", True)
    assert "edited in this environment" not in change.hint
    before = body(prod, "live/a.md")
    assert (results(prod.apply(on_edit=OnEdit.KEEP)), body(prod, "live/a.md")) == ({"a": "done"}, before)
    assert "Their words." in prod.api.contents[content].body


def test_a_text_that_was_declined_does_not_come_back(tmp_path: Path) -> None:
    """A person kept the file in its place: what was in the file last is what is wanted."""
    staging, prod = by_hand(tmp_path)
    promoted = body(prod, "live/a.md")
    prod.edit("live/a.md", "Reviewed", "Ours")
    staging.edit("staging/a.md", "Reviewed", "Theirs")
    assert prod.promote(on_edit=OnEdit.KEEP) == {"a": "done"}
    prod.takes = True
    assert prod.plan().empty
    prod.takes = False
    (prod.root / "live/a.md").unlink()
    prod.apply()
    assert body(prod, "live/a.md") == promoted


def stricter(checks: str) -> str:
    """Environments of which prod has checks that staging has not, and would pay for retries of a generated text."""
    return ENVIRONMENTS.replace("prod: {", f"prod: {{defaults: {{checks: {{{checks}, retries: 3}}}}, ")


def test_a_promoted_text_passes_the_checks_of_the_environment_that_takes_it(tmp_path: Path) -> None:
    """Plan and apply agree, nothing is paid for, and each of the ways that the hint names leads on."""
    staging, prod = rooms(tmp_path, "a", "b", extra=stricter("excludes: [Closing]"))
    staging.edit("staging/b.md", "Closing", "Reviewed")
    plan = prod.plan()
    assert [(one.id, one.blocked, one.credits_worst) for one in plan.changes] == [
        ("a", "checks-failed", 0),
        ("b", "", 0),
    ]
    change = plan.changes[0]
    assert change.hint == "it is not promoted: correct `staging/a.md`, or loosen the `checks` of `prod`"
    assert [reason.field for reason in change.reasons if reason.kind == "checks-failed"] == ["excludes"]
    assert results(prod.apply()) == {"a": "blocked", "b": "done"}
    assert (prod.submits, (prod.root / "live/a.md").exists(), len(prod.api.contents)) == (0, False, 1)
    with quick_folder() as folder:
        loosened = prod.copied(folder / "loosened")
        loosened.edit("contentops.yaml", "excludes: [Closing]", "excludes: [Opening]")
        assert results(loosened.apply()) == {"a": "done"}
    staging.edit("staging/a.md", "Closing", "Reviewed")
    assert (results(prod.apply()), prod.plan().empty, prod.submits) == ({"a": "done"}, True, 0)


def test_a_promoted_text_passes_the_commands_of_that_environment(tmp_path: Path, processes: None) -> None:
    """Only an apply runs them; the text stays where it is."""
    _, prod = rooms(tmp_path, "a", extra=stricter("commands: [./refuse]"))
    program = prod.write("refuse", '#!/bin/sh\ngrep -n Closing "$1" && exit 1\nexit 0\n')
    program.chmod(0o755)
    assert only(prod.plan()).action == "promote"
    run = prod.ran()
    assert results(run) == {"a": "blocked"}
    assert run.outcomes[0].hint == "it is not promoted: correct `staging/a.md`, or loosen the `checks` of `prod`"
    assert (prod.submits, prod.tree("live") if (prod.root / "live").exists() else {}) == (0, {})


def drafting(root: Path, *, server: str = "local") -> tuple[Room, Room]:
    """Staging with draft outlines, and prod on another server."""
    extra = ENVIRONMENTS.replace("staging: {", f'staging: {{api: {{base_url: "{server}"}}, ')
    staging = Room(root, "staging", FakeApi(duration=30, outlines=True), extra=extra)
    prod = Room(root, "prod", extra=extra)
    prod.timeline = staging.timeline
    staging.write("content/b.yaml", blog("a", "b"))
    staging.apply()
    return staging, prod


def test_the_label_and_the_engine_are_those_of_the_bundled_server() -> None:
    """Neither side imports the other, so this holds them together."""
    assert (LABEL.strip(), ENGINE) == (outline.LABEL, outline.OutlineEngine.name)
    assert has_label(f"## A\n\n{outline.LABEL}\n\nWords.\n")
    assert not has_label("A draft outline, made offline.\n")


@pytest.mark.parametrize("server", ["local", "https://api.example.test/v1"])
def test_a_draft_outline_is_not_promoted(tmp_path: Path, server: str) -> None:
    """Edited or not; without its label it is a person's text, and asked for by name it goes along."""
    staging, prod = drafting(tmp_path, server=server)
    assert staging.record("a").outline
    staging.edit("staging/b.md", "## Introduction", "## Reviewed")
    plan = prod.plan()
    assert [(one.id, one.blocked, one.credits) for one in plan.changes] == [
        ("a", "not-promoted", 0),
        ("b", "not-promoted", 0),
    ]
    assert plan.changes[0].hint == (
        "`staging/a.md` of `staging` is a draft outline of the bundled server: write the text and remove the line "
        "`> Draft outline ...`, or `--drafts` promotes the outline"
    )
    assert results(prod.apply()) == {"a": "blocked", "b": "blocked"}
    assert (prod.api.contents, (prod.root / "live").exists(), prod.submits) == ({}, False, 0)
    staging.edit("staging/b.md", LABEL, "")
    assert results(prod.apply()) == {"a": "blocked", "b": "done"}
    asked = only(prod.plan(drafts=True))
    assert asked.reasons[-1].detail == "from `staging/a.md` of `staging`, a draft outline"
    assert results(prod.apply(drafts=True)) == {"a": "done"}
    assert (prod.record("a").outline, prod.record("b").outline) == (True, False)
    assert (prod.plan().empty, prod.submits) == (True, 0)


def test_a_draft_outline_stays_one_along_a_chain(tmp_path: Path) -> None:
    """Asked for in one environment, it is not asked for in the next one."""
    staging, prod = drafting(tmp_path)
    prod.apply(drafts=True)
    prod.edit(
        "contentops.yaml",
        "environments:",
        "environments:\n  last: {promote_from: prod, output: 'last/{{ item.id }}.md'}",
    )
    last = Room(tmp_path, "last", extra=prod.read("contentops.yaml").split("\n", 4)[4])
    assert {one.blocked for one in last.plan().changes} == {"not-promoted"}
    staging.edit("staging/a.md", "## Introduction", "## Edited")
    plan = prod.plan()
    assert plan.empty
    (note,) = plan.notes
    assert (note.kind, note.id) == ("draft-outline", "a")
    assert note.message == "`a`: `staging/a.md` is a draft outline and is not promoted"


@pytest.mark.parametrize("edited", [False, True])
def test_an_outline_is_not_saved_to_another_server(tmp_path: Path, edited: bool) -> None:
    """The server of the project changed, and the file is to be kept: that would tell the new one the outline."""
    harness = Room(tmp_path, "", FakeApi(duration=30, outlines=True), extra="")
    settings = harness.read("contentops.yaml")
    harness.write("contentops.yaml", settings.replace("https://api.example.test/v1", "local"))
    harness.write("content/b.yaml", blog("a"))
    harness.apply()
    harness.edit("out/a.md", "## Introduction", "## Mine")
    if edited:
        harness.edit("out/a.md", LABEL, "")
    harness.write("contentops.yaml", settings)
    harness.api = FakeApi(duration=30)
    change = only(harness.plan(on_edit=OnEdit.KEEP))
    if edited:
        assert change.names == ("record", "save")
        return
    assert (change.blocked, change.steps) == ("draft-outline", ())
    assert "save the outline with `--drafts`" in change.hint
    assert (results(harness.apply(on_edit=OnEdit.KEEP)), harness.api.contents) == ({"a": "blocked"}, {})
    assert only(harness.plan(on_edit=OnEdit.OVERWRITE)).submits == 1
    harness.apply(on_edit=OnEdit.KEEP, drafts=True)
    assert (len(harness.api.contents), harness.plan().empty) == (1, True)


def test_record_file_status_and_diff_say_where_a_text_is_from(tmp_path: Path) -> None:
    """Until a job makes a text here; an edit made here leaves it where it is from."""
    staging, prod = rooms(tmp_path, "a")
    staging.edit("staging/a.md", "Closing", "Reviewed")
    prod.apply()
    record = prod.record("a")
    assert (record.promoted_from, staging.record("a").promoted_from) == ("staging", "")
    assert split(prod.read("live/a.md")).provenance == provenance_of(record, staging.made_by("a"))
    assert provenance_of(record, None)["promoted_from"] == "staging"
    assert stands(prod) == ("promoted", "staging", "from `staging`")
    assert texts.from_generated(prod.project, "a").note == "its text was promoted from `staging`"
    prod.edit("live/a.md", "Reviewed", "Here")
    assert stands(prod)[:2] == ("edited", "staging")
    prod.write("content/b.yaml", blog("a", year=2027))
    prod.edit("contentops.yaml", "promote_from: staging, ", "")
    prod.apply(on_edit=OnEdit.OVERWRITE)
    assert prod.record("a").promoted_from == ""
    assert "promoted_from" not in split(prod.read("live/a.md")).provenance
    assert stands(prod) == ("as generated", "", "")


def stands(room: Room) -> tuple[str, str, str]:
    """What `status` says of the one item."""
    ((one,), _) = plan_operation.status(room.project, Choice(), runtime=room.runtime())
    return one.state, one.promoted_from, one.note


def test_no_stop_makes_one_content_of_two_environments(tmp_path: Path, each_kill: EachKill) -> None:
    """On one server prod saves as new, also where an earlier save of it may have arrived; staging's stays staging's."""
    with quick_folder() as folder:
        staging, prod = rooms(folder / "whole", "a", extra=ONE_SERVER)
        prod.api = staging.api
        theirs = staging.record("a").content_id
        for where, harness in each_kill(prod, folder, prod.apply).items():
            harness.apply()
            ours = harness.record("a").content_id
            assert theirs not in {"", ours, *harness.record("a").superseded}, where
            assert set(harness.api.contents) == {theirs, ours}, where
            assert harness.plan().empty, where


def test_what_was_promoted_stays_when_its_source_is_gone(tmp_path: Path) -> None:
    """Its text, its files, or the environment: nothing is taken away or paid for, and a lost file comes back."""
    _, prod = rooms(tmp_path, "a")
    prod.apply()
    promoted = prod.read("live/a.md")
    prod.write("staging/a.md", "---\ntitle: T\n---\n\n")
    assert prod.plan().empty
    shutil.rmtree(prod.root / "staging")
    (prod.root / "contentops.staging.lock").unlink()
    assert prod.plan().empty
    settings = prod.read("contentops.yaml")
    prod.write("contentops.yaml", settings.replace("promote_from: staging, ", "").replace("  staging: {", "  other: {"))
    assert prod.plan().empty
    (prod.root / "live/a.md").unlink()
    assert (results(prod.apply()), prod.read("live/a.md")) == ({"a": "done"}, promoted)
    assert (prod.plan().empty, prod.submits) == (True, 0)


def test_words_that_the_server_alone_has_are_not_replaced_unasked(tmp_path: Path) -> None:
    """Prod's file is gone with an edit that was saved, and the request changed: a new text waits for a choice."""
    staging, prod = rooms(tmp_path, "a")
    prod.apply()
    prod.edit("live/a.md", "Closing", "Ours")
    prod.apply()
    prod.write("content/b.yaml", blog("a", year=2027))
    staging.apply()
    (prod.root / "live/a.md").unlink()
    change = only(prod.plan())
    assert change.blocked == "missing"
    assert change.hint == (
        "`live/a.md` is gone, and its saved text differs from the one promoted from `staging`; "
        "`--on-edit overwrite` uses `staging/a.md` instead"
    )
    prod.apply(on_edit=OnEdit.OVERWRITE)
    assert "2027" in prod.read("live/a.md")


CARRIED = "params: {hero: null, n: 007}\ntags:\n- 2024-10-20 # first\nlayout:\ndraft: no\n"


def test_front_matter_that_no_manifest_states_goes_along(tmp_path: Path) -> None:
    """Nulls and all, in its own bytes; what the file of the target has stays there, and no plan takes it out again."""
    staging, prod = rooms(tmp_path)
    staging.edit("staging/a.md", "contentops:", f"{CARRIED}contentops:")
    (change,) = [one for one in prod.plan().changes if one.id == "a"]
    assert change.promotion is not None
    assert change.promotion.carries == ("params", "tags", "layout", "draft")
    assert results(prod.apply()) == {"a": "done", "b": "done"}
    assert CARRIED in prod.read("live/a.md")
    assert prod.plan().empty

    prod.edit("live/a.md", "layout:\n", "layout: mine\n")
    staging.edit("staging/a.md", "layout:\n", "layout: theirs\nextra: 1\n")
    staging.edit("staging/a.md", "## Introduction", "## What to do")
    assert results(prod.apply()) == {"a": "done"}
    assert CARRIED.replace("layout:\n", "layout: mine\n").replace("draft: no\n", "draft: no\nextra: 1\n") in prod.read(
        "live/a.md"
    )
    assert prod.plan().empty


def test_all_layers_of_texts_are_promoted_at_once(tmp_path: Path) -> None:
    """What is made from a promoted text is promoted in the same run; what waits for another text is left alone."""
    staging, prod = Room(tmp_path, "staging", extra=BY_HAND), ByHand(tmp_path, "prod", extra=BY_HAND)
    prod.timeline = staging.timeline
    topics = {"a": "x", "b": "on {{ ref('a').title }}", "c": "on {{ ref('b').title }}"}
    staging.write("content/b.yaml", items({**topics, "d": "new", "e": "{{ ref('d').title }}"}))
    staging.apply(select=("c", "b", "a"))
    assert prod.promote() == {"a": "done", "b": "done", "c": "done", "d": "blocked"}
    assert prod.promote() == {"d": "blocked"}


def test_what_waits_for_a_promotion_that_needs_approval_is_no_pause(tmp_path: Path) -> None:
    """To repeat the apply brings nothing: a person has to approve the source first."""
    staging, prod = rooms(tmp_path, "a")
    kid = "  - id: kid\n    inputs: {topic: \"On {{ ref('a').title }}\", target_audience: readers}\n"
    staging.write("content/b.yaml", blog("a") + kid)
    staging.edit("contentops.yaml", "style: general_blog}", "style: general_blog, approval: required}")
    staging.apply()
    run = prod.apply()
    assert run is not None
    assert (results(run), run.stopped, exit_code_of(run)) == ({"kid": "pending"}, "", ExitCode.DONE)


def test_an_item_and_its_source_are_promoted_in_one_apply(tmp_path: Path) -> None:
    """The item waits for the new words of its source. Otherwise its record would name the earlier ones."""
    staging, prod = Room(tmp_path, "staging"), Room(tmp_path, "prod")
    prod.timeline = staging.timeline
    kid = "  - id: kid\n    inputs: {topic: x, target_audience: \"{{ ref('a').section('Introduction') }}\"}\n"
    staging.write("content/b.yaml", blog("a") + kid)
    staging.apply()
    prod.apply()
    for id_ in ("a", "kid"):
        text = staging.read(f"staging/{id_}.md")
        staging.write(f"staging/{id_}.md", text.replace("## Introduction\n", "## Introduction\n\nAnna's words.\n"))
    staging.apply()
    assert prod.apply() is not None
    assert "Anna's words." in body(prod, "live/a.md")
    assert "Anna's words." in body(prod, "live/kid.md")
    assert (prod.plan().empty, prod.submits) == (True, 0)
