"""A person's word on one submit touches no other of the item."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from contentops.errors import UsageError
from contentops.model import JobState
from contentops.operations.records import forget_record, resolve
from contentops.reporting.run import run_text
from tests.fakes.api import FakeApi, on
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import OpenEntry
    from tests.running import Run


def _submits(scene: Scene) -> list[OpenEntry]:
    return sorted(scene.state.entries.values(), key=lambda entry: entry.submitted_at)


def _with_a_forgotten_job(root: Path) -> Scene:
    """Two jobs of one item are open; the server has forgotten that of the earlier request."""
    scene = Scene(root, FakeApi(duration=600, auto_save=False))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.apply(deadline=100)
    scene.api.restart()
    scene.timeline.now += 4000
    scene.edit("content/blog.yaml", "All about one", "More about one")
    scene.apply(deadline=100)
    return scene


def _with_two_lost_submits(root: Path) -> Scene:
    """The answers to two submits of one item were lost: each the first attempt at its request."""
    scene = Scene(root, FakeApi(duration=60, auto_save=False, request_ids="ignore"))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.api.fault(on("submit", 2, 3), "reset")
    scene.apply()
    scene.timeline.now += 60
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(scene.apply()) == {"one": "unknown"}
    assert [entry.attempt for entry in _submits(scene)] == [1, 1]
    return scene


def test_a_forgotten_job_is_given_up_by_its_request(tmp_path: Path) -> None:
    """The job of an earlier request is given up; that of today's is not paid again."""
    scene = _with_a_forgotten_job(tmp_path)
    first, second = _submits(scene)
    with pytest.raises(UsageError, match="has 2 open submits"):
        resolve(scene.project, "one", forget=True)
    said = resolve(scene.project, "one", request=first.request_id[:8], forget=True)
    assert said == "forgot 1 open submit of `one` (1 more is kept); the next apply may submit it again"
    assert [entry.request_id for entry in scene.state.entries.values()] == [second.request_id]
    assert first.digest != second.digest
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 12
    assert scene.plan().empty


def test_a_content_is_given_to_the_request_that_is_named(tmp_path: Path) -> None:
    """And to no other of its item."""
    scene = _with_a_forgotten_job(tmp_path)
    first, second = _submits(scene)
    resolve(scene.project, "one", request=second.request_id, content="cnt_x")
    open_entries = scene.state.entries
    assert (open_entries[second.request_id].state, open_entries[second.request_id].content_id) == (
        JobState.PAID,
        "cnt_x",
    )
    assert open_entries[first.request_id] == first


@pytest.mark.parametrize("word", [{"job": "job_000003"}, {"content": "cnt_x"}, {"forget": True}], ids=str)
def test_a_word_that_may_mean_either_of_two_submits_is_refused(tmp_path: Path, word: dict[str, str | bool]) -> None:
    """Nothing changes; what is said names both, and the one that is named is then the only one it is about."""
    scene = _with_two_lost_submits(tmp_path)
    before = scene.state.entries
    first, second = _submits(scene)
    with pytest.raises(UsageError, match="`one` has 2 open submits") as refused:
        resolve(scene.project, "one", **word)  # type: ignore[arg-type] # one of three
    assert first.request_id[:8] in refused.value.hint
    assert second.request_id[:8] in refused.value.hint
    assert scene.state.entries == before
    resolve(scene.project, "one", request=second.request_id[:8], **word)  # type: ignore[arg-type] # as above
    assert scene.state.entries[first.request_id] == first
    assert scene.state.entries.get(second.request_id) != second


def test_the_text_of_the_second_submit_is_not_taken_for_the_first(tmp_path: Path) -> None:
    """A person gives the job to the submit it came from: today's request gets today's text, for nothing more."""
    scene = _with_two_lost_submits(tmp_path)
    _, second = _submits(scene)
    resolve(scene.project, "one", request=second.request_id[:8], job=scene.api.generations[2].job_id)
    assert results(scene.apply()) == {"one": "done"}
    assert "in 2027" in scene.read("out/one.md")
    assert scene.record("one").digest == second.digest
    assert scene.api.credits == 12


def test_a_request_that_is_not_open(tmp_path: Path) -> None:
    """A mistyped beginning names nothing, and says so."""
    scene = _with_two_lost_submits(tmp_path)
    with pytest.raises(UsageError, match="begins with `zzz`"):
        resolve(scene.project, "one", request="zzz", forget=True)


def test_a_content_that_was_named_by_mistake_can_be_corrected(tmp_path: Path) -> None:
    """A text that is nowhere to be found leaves its submit open to another word."""
    scene = Scene(tmp_path, FakeApi(duration=60, auto_save=False, request_ids="ignore"))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    resolve(scene.project, "one", content="cnt_wrong")
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "unknown"}
    assert "contentops state resolve one" in run.outcomes[0].hint
    resolve(scene.project, "one", job=scene.api.generations[1].job_id)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 8


def test_a_content_named_for_another_take_is_not_the_take_before(tmp_path: Path) -> None:
    """The cache has a text of the same request: that of the attempt before, which is in the file already."""
    scene = Scene(tmp_path, FakeApi(duration=60, request_ids="ignore", names_request=False))
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    scene.api.fault(on("submit", 2), "reset")
    assert results(scene.apply(replace=("one",))) == {"one": "unknown"}
    scene.timeline.now += 600
    scene.apply()
    (content,) = scene.api.contents.keys() - {scene.record("one").content_id}
    resolve(scene.project, "one", content=content)
    assert results(scene.apply()) == {"one": "done"}
    assert "Take 2." in scene.read("out/one.md")
    assert scene.plan().empty


def test_a_job_of_another_submit_is_no_answer(tmp_path: Path) -> None:
    """That of another item's text, or of the item's own earlier text: each is refused by name, and nothing changes."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids="ignore"))
    scene.write("content/blog.yaml", blog("one", "two"))
    scene.apply()
    scene.edit("content/blog.yaml", "All about two", "More about two")
    scene.api.fault(on("submit", 3), "reset")
    assert results(scene.apply()) == {"two": "unknown"}
    before = scene.entry("two")
    for item in ("one", "two"):
        with pytest.raises(UsageError, match=f"is that of another text of `{item}`|is that of `{item}`") as refused:
            resolve(scene.project, "two", job=scene.record(item).job_id)
        assert refused.value.code == "job-taken"
    assert scene.entry("two") == before


def test_a_content_that_says_whose_it_is_answers_no_other_item(tmp_path: Path) -> None:
    """No record here names it, but its metadata does: the apply takes no text from it, and says why."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids="ignore", auto_save=False))
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    content = scene.record("one").content_id
    forget_record(scene.project, "one")
    scene.write("content/blog.yaml", blog("two"))
    scene.api.fault(on("submit", 2), "reset")
    assert results(scene.apply()) == {"two": "unknown"}
    resolve(scene.project, "two", content=content)
    (change,) = scene.plan().changes
    assert [reason.detail for reason in change.reasons if reason.kind == "open-job"] == [
        f"content `{content}` is paid for"
    ]
    run = scene.apply()
    assert run is not None
    assert results(run) == {"two": "unknown"}
    assert f"content `{content}` is the text of `one`" in run.outcomes[0].error
    assert not (tmp_path / "out/two.md").exists()


def test_what_the_summary_says_to_run_next_works_as_it_stands(tmp_path: Path, invoke: Run) -> None:
    """It shows what is unknown, for which request, and each command that can be typed; those work as well."""
    scene = _with_two_lost_submits(tmp_path)
    run = scene.apply()
    assert run is not None
    typed = [words for words in re.findall(r"`contentops ([^`]+)`", run_text(run)) if words.startswith("state")]
    assert typed == ["state resolve one", "state resolve"]
    first, second = _submits(scene)
    for words in typed:
        shown = invoke(*shlex.split(words))
        assert (shown.code, shown.stderr) == (3, "")
        rows = {line.split()[1]: line for line in shown.stdout.splitlines() if line.startswith("one ")}
        assert "an earlier request" in rows[first.request_id[:8]]
        assert "today's request" in rows[second.request_id[:8]]
    shown = invoke(*shlex.split(typed[0]))
    assert "`contentops content list` shows those without an item" in shown.stdout
    offered = re.findall(r"contentops (state resolve .*)", shown.stdout)
    assert len(offered) == 3
    shown = invoke("state", "resolve", "one", "--json")
    assert [(one["request_id"], one["wanted"]) for one in shown.json["submits"]] == [
        (first.request_id, False),
        (second.request_id, True),
    ]
    assert f"open {second.request_id}:" in invoke("state", "show", "one").stdout
    forgotten = invoke(*shlex.split(next(words for words in offered if "--forget" in words)))
    assert forgotten.code == 0
    assert list(scene.state.entries) == [second.request_id]


def test_nothing_is_unknown(tmp_path: Path, invoke: Run) -> None:
    """Asked without an item, that is an answer."""
    Scene(tmp_path)
    shown = invoke("state", "resolve")
    assert (shown.code, shown.stdout) == (0, "No submit has an outcome that is unknown.\n")
    assert invoke("state", "resolve", "--forget").code == 64
