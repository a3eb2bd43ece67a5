"""One stored content belongs to one record: what another item, environment or open submit owns is never taken over."""

from pathlib import Path
from typing import Any

import pytest

from contentops.errors import UsageError
from contentops.execution.contents import ContentOwners
from contentops.execution.primitives import Item, ItemState, Text
from contentops.model import ItemId
from contentops.operations.adopt import import_contents
from contentops.operations.state import resolve
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import TEXT, a_job, a_spec, only_change
from tests.test_promote import Room

SAME_SERVER = """\
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {output: "live/{{ item.id }}.md"}
"""
WORDS = "## Words of one environment"


def _rooms(root: Path, **habits: bool) -> tuple[Room, Room]:
    """Prod, applied, and staging, where nothing was, on one server."""
    prod = Room(root, "prod", FakeApi(duration=30, **habits), extra=SAME_SERVER)
    staging = Room(root, "staging", prod.api, extra=SAME_SERVER)
    staging.timeline = prod.timeline
    assert results(prod.declared("one").apply()) == {"one": "done"}
    return prod, staging


@pytest.mark.parametrize("auto_save", [True, False], ids=["autosaving", "saving"])
def test_two_environments_on_one_server_have_a_content_each(tmp_path: Path, auto_save: bool) -> None:
    """One request is paid for once, and what is typed in one environment stays there."""
    prod, staging = _rooms(tmp_path, auto_save=auto_save)
    assert (results(staging.apply()), len(prod.api.generations)) == ({"one": "done"}, 1)
    theirs, ours = prod.record("one").content_id, staging.record("one").content_id
    assert theirs != ours
    assert {theirs, ours} == set(prod.api.contents)
    staging.edit("staging/one.md", "## Closing", WORDS)
    assert (results(staging.apply()), WORDS in prod.api.contents[ours].body) == ({"one": "done"}, True)
    assert WORDS not in prod.api.contents[theirs].body
    assert prod.plan(refresh=True).empty


@pytest.mark.parametrize("auto_save", [True, False], ids=["autosaving", "saving"])
@pytest.mark.parametrize("prune", [True, False], ids=["pruned", "kept"])
def test_one_item_goes_and_two_ask_for_its_request(tmp_path: Path, auto_save: bool, prune: bool) -> None:
    """One takes over its text and content; the other one says that it wants another text, which is saved as new."""
    harness = Harness(tmp_path, FakeApi(duration=30, auto_save=auto_save)).applied("old", "other")
    if prune:
        harness.write("content/blog.yaml", blog("other"))
        harness.apply(prune=True)
    same = blog("old").removeprefix("items:\n")
    harness.write(
        "content/blog.yaml",
        "".join([blog("other"), same.replace("id: old", "id: a"), same.replace("id: old", "id: b\n    revision: 2")]),
    )
    run = harness.apply()
    assert (set(results(run).values()), harness.api.charged("All about old in 2026")) == ({"done"}, 2)
    ids = [harness.record(item).content_id for item in ("a", "b", "other")]
    assert (len(set(ids)), set(ids)) == (3, set(harness.api.contents))
    assert not harness.record("b").superseded
    harness.edit("out/b.md", "## Closing", WORDS)
    harness.apply()
    assert WORDS not in harness.api.contents[harness.record("a").content_id].body
    assert harness.plan(refresh=True).empty


def test_a_content_of_an_open_submit_is_not_taken(tmp_path: Path) -> None:
    """Another environment's text is paid for and held back by its checks: the content is still its own."""
    strict = SAME_SERVER.replace(
        'live/{{ item.id }}.md"', 'live/{{ item.id }}.md", defaults: {checks: {words: {min: 900}}}'
    )
    prod = Room(tmp_path, "prod", FakeApi(duration=30), extra=strict)
    staging = Room(tmp_path, "staging", prod.api, extra=strict)
    staging.timeline = prod.timeline
    prod.write("content/blog.yaml", blog("one"))
    assert (results(prod.apply()), results(staging.apply())) == ({"one": "blocked"}, {"one": "done"})
    (entry,) = prod.state.open_jobs.values()
    assert entry.content_id not in ("", staging.record("one").content_id)
    assert len(prod.api.generations) == 1


def test_a_content_of_another_item_is_no_answer_for_a_lost_submit(tmp_path: Path) -> None:
    """A person's word gives no item what another one owns."""
    harness = Harness(tmp_path, FakeApi(duration=30, request_ids="ignore")).applied("one").declared("one", "two")
    harness.api.fault(on("submit", 2), "reset")
    assert results(harness.apply()) == {"two": "unknown"}
    with pytest.raises(UsageError, match="is that of `one`") as refused:
        resolve(harness.project, "two", content=harness.record("one").content_id)
    assert (refused.value.code, harness.open_job("two").content_id) == ("content-taken", "")


def test_environments_that_share_a_content_already_part(tmp_path: Path) -> None:
    """A lock that was copied names one content twice: the first owns it, and the other's text is saved as new."""
    prod, staging = _rooms(tmp_path, auto_save=True)
    assert results(staging.apply()) == {"one": "done"}
    theirs, ours = prod.record("one").content_id, staging.record("one").content_id
    lock = tmp_path / "contentops.staging.lock"
    lock.write_text(lock.read_text().replace(ours, theirs))
    del staging.api.contents[ours]
    assert prod.plan(refresh=True).empty
    (change,) = staging.plan().changes
    assert (change.id, change.names) == (ItemId("one"), ("save",))
    staging.edit("staging/one.md", "## Closing", WORDS)
    assert (results(staging.apply()), prod.record("one").content_id) == ({"one": "done"}, theirs)
    assert staging.record("one").content_id not in ("", theirs)
    assert theirs not in staging.record("one").superseded
    assert WORDS not in prod.api.contents[theirs].body
    assert (staging.plan(refresh=True).empty, prod.plan(refresh=True).empty) == (True, True)


# --- by what a content says of itself ------------------------------------------------------------------------------

IMPRINT = "---\ntitle: Imprint\n---\n\nWho is responsible for this site.\n"


class Replacing(FakeApi):
    """A server where a save replaces the metadata of its content, as the bundled one does."""

    def _overwrite(self, content_id: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if (stored := self.contents.get(content_id)) is not None:
            stored.metadata = {}
        return super()._overwrite(content_id, body)


def _projects(root: Path, api: FakeApi) -> tuple[Harness, Harness]:
    """Two projects on one account, each with the same imprint, adopted and saved."""
    ours, theirs = Harness(root / "ours", api), Harness(root / "theirs", api)
    theirs.edit("contentops.yaml", "acme-blog", "other-blog")
    theirs.timeline = ours.timeline
    for harness in (ours, theirs):
        harness.write("pages/imprint.md", IMPRINT)
        assert [one.id for one in harness.adopt("pages/imprint.md").taken] == ["pages/imprint"]
        assert results(harness.apply()) == {"pages/imprint": "done"}
    return ours, theirs


def test_an_equal_text_of_two_projects_is_two_contents(tmp_path: Path) -> None:
    """A content names the project that saved it, and no other one takes it for its own."""
    ours, theirs = _projects(tmp_path, Replacing())
    ids = {harness.record("pages/imprint").content_id for harness in (ours, theirs)}
    assert (ids, len(ids)) == (set(ours.api.contents), 2)
    theirs.edit("pages/imprint.md", "Who is", WORDS)
    theirs.apply()
    assert WORDS not in ours.api.contents[ours.record("pages/imprint").content_id].body
    assert (ours.plan(refresh=True).empty, theirs.plan(refresh=True).empty) == (True, True)


def test_a_text_that_the_server_stored_for_another_project_is_not_taken(tmp_path: Path) -> None:
    """It names no project yet, but a job that did not bring our text: whoever copied the file saves it as new."""
    ours = Harness(tmp_path / "ours", FakeApi(duration=30)).applied("one")
    theirs = Harness(tmp_path / "theirs", ours.api, timeline=ours.timeline)
    theirs.edit("contentops.yaml", "acme-blog", "other-blog")
    theirs.write("pages/one.md", ours.read("out/one.md"))
    theirs.adopt("pages/one.md")
    assert results(theirs.apply()) == {"pages/one": "done"}
    assert {ours.record("one").content_id, theirs.record("pages/one").content_id} == set(ours.api.contents)
    assert len(ours.api.contents) == 2


@pytest.mark.parametrize("refresh", [True, False], ids=["refreshed", "unseen"])
def test_projects_that_share_a_content_already_part(tmp_path: Path, refresh: bool) -> None:
    """A record of an earlier version may name the content of another project: that one keeps it, unlisted here."""
    ours, theirs = _projects(tmp_path, Replacing())
    mine, other = ours.record("pages/imprint").content_id, theirs.record("pages/imprint").content_id
    lock = theirs.root / "contentops.lock"
    lock.write_text(lock.read_text().replace(other, mine))
    del ours.api.contents[other]
    ours.timeline.now += 60
    ours.edit("pages/imprint.md", "Who is", WORDS)
    ours.apply()
    if refresh:
        (change,) = theirs.plan(refresh=True).changes
        assert [reason.kind for reason in change.reasons] == ["taken-there"]
    else:
        theirs.edit("pages/imprint.md", "Who is", "Someone is")
    assert results(theirs.apply(refresh=refresh)) == {"pages/imprint": "done"}
    assert theirs.record("pages/imprint").content_id != mine
    assert theirs.record("pages/imprint").superseded == ()
    assert WORDS in ours.api.contents[mine].body
    assert WORDS not in theirs.read("pages/imprint.md")
    assert theirs.plan(refresh=True).empty


def test_a_content_of_another_project_is_not_imported(tmp_path: Path) -> None:
    """The finding says whose it is, and what to do instead."""
    ours, theirs = _projects(tmp_path, FakeApi())
    mine = ours.record("pages/imprint").content_id
    imported = import_contents(theirs.project, [mine], confirm=lambda _: True, runtime=theirs.runtime())
    assert not imported.taken
    (finding,) = imported.findings
    assert "belongs to another project" in finding.message
    assert mine in finding.hint


def test_a_content_of_an_environment_whose_lock_is_not_here_is_not_taken(tmp_path: Path) -> None:
    """The lock of an environment may be on another branch: its contents name it."""
    prod, staging = _rooms(tmp_path, auto_save=False)
    (tmp_path / "contentops.prod.lock").unlink()
    assert (results(staging.apply()), len(prod.api.contents)) == ({"one": "done"}, 2)


@pytest.mark.parametrize(
    "habits",
    [{}, {"create_only": True}, {"create_only": True, "put": False}],
    ids=["save with an id", "put", "only new ones"],
)
def test_metadata_that_others_put_on_a_content_stays(tmp_path: Path, habits: dict[str, bool]) -> None:
    """A save keeps what it does not know, and brings its own keys up to date."""
    harness = Harness(tmp_path, Replacing(duration=30, auto_save=False, **habits)).applied("one")
    (stored,) = harness.api.contents.values()
    stored.metadata |= {"seo_owner": "Kim", "tags": ["a", {"b": 1}]}
    before = stored.metadata["contentops_body"]
    for words in (WORDS, "## More words"):
        harness.edit("out/one.md", "## Closing", f"{words}\n\n## Closing")
        assert results(harness.apply()) == {"one": "done"}
    now = harness.api.contents[harness.record("one").content_id].metadata
    assert (now["seo_owner"], now["tags"]) == ("Kim", ["a", {"b": 1}])
    assert now["contentops_lineage"] == harness.state.lineage
    assert now["contentops_body"] not in ("", before)
    assert "contentops_environment" not in now


def test_the_content_of_an_open_job_is_only_for_its_text() -> None:
    """The server stored the job's text by itself; another item with the same words does not take it."""
    jobs = [a_job(a_spec("a")), a_job(a_spec("b"))]
    owners = ContentOwners()
    owners.give_job("cnt_1", jobs[0])
    given: dict[str, Any] = {"change": only_change([a_spec("b")]), "slot": None}
    texts = [*(Text.of(job, TEXT, {}) for job in jobs), None]
    states = [ItemState(record=None, path="", text=text) for text in texts]
    assert [owners.is_free("cnt_1", Item(**given), state) for state in states] == [True, False, False]
