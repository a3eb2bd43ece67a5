"""A person's word on one submit touches no other of the item."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import StateError, UsageError
from contentops.model import ItemId, Job, JobState
from contentops.operations.state import forget_record, resolve
from contentops.reporting.run import run_text
from contentops.state.store import StateStore
from tests.fakes.api import FakeApi, Fault, on
from tests.fakes.harness import Harness, blog, results
from tests.running import Build, Run
from tests.state_facts import LINEAGE, job, record
from tests.test_apply_files import SITE


def _submits(harness: Harness) -> list[Job]:
    return sorted(harness.state.open_jobs.values(), key=lambda job: job.submitted_at)


def _with_two_lost_submits(root: Path) -> Harness:
    """The answers to two submits of one item were lost: each the first attempt at its request."""
    harness = Harness(root, FakeApi(duration=60, auto_save=False, request_ids="ignore"))
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("one"))
    harness.api.fault(on("submit", 2, 3), "reset")
    harness.apply()
    harness.timeline.now += 60
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(harness.apply()) == {"one": "unknown"}
    assert [job.attempt for job in _submits(harness)] == [1, 1]
    return harness


def test_a_forgotten_job_is_given_up_by_its_request(tmp_path: Path) -> None:
    """Of two jobs of one item, that of the earlier request is given up; that of today's is not paid again."""
    harness = Harness(tmp_path, FakeApi(duration=600, auto_save=False))
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("one"))
    harness.apply(deadline=100)
    harness.api.restart()
    harness.timeline.now += 4000
    harness.edit("content/blog.yaml", "All about one", "More about one")
    harness.apply(deadline=100)
    first, second = _submits(harness)
    with pytest.raises(UsageError, match="has 2 open submits"):
        resolve(harness.project, "one", forget=True)
    said = resolve(harness.project, "one", request=first.request_id[:8], forget=True)
    assert said == "forgot 1 open submit of `one` (1 more is kept); the next apply may submit it again"
    assert [job.request_id for job in harness.state.open_jobs.values()] == [second.request_id]
    assert first.digest != second.digest
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 12)
    assert harness.plan().empty


@pytest.mark.parametrize("word", [{"job": "job_000003"}, {"content": "cnt_x"}, {"forget": True}], ids=str)
def test_a_word_that_may_mean_either_of_two_submits_is_refused(tmp_path: Path, word: dict[str, str | bool]) -> None:
    """Nothing changes; what is said names both, and the one that is named is then the only one it is about."""
    harness = _with_two_lost_submits(tmp_path)
    before = harness.state.open_jobs
    first, second = _submits(harness)
    with pytest.raises(UsageError, match="`one` has 2 open submits") as refused:
        resolve(harness.project, "one", **word)  # type: ignore[arg-type] # one of three
    assert first.request_id[:8] in refused.value.hint
    assert second.request_id[:8] in refused.value.hint
    with pytest.raises(UsageError, match="begins with `zzz`"):
        resolve(harness.project, "one", request="zzz", **word)  # type: ignore[arg-type] # as above
    assert harness.state.open_jobs == before
    resolve(harness.project, "one", request=second.request_id[:8], **word)  # type: ignore[arg-type] # as above
    assert harness.state.open_jobs[first.request_id] == first
    assert harness.state.open_jobs.get(second.request_id) != second


def test_a_content_named_for_another_take_is_not_the_take_before(tmp_path: Path) -> None:
    """The cache has a text of the same request: that of the attempt before, which is in the file already."""
    harness = Harness(tmp_path, FakeApi(duration=60, request_ids="ignore", names_request=False)).applied("one")
    harness.api.fault(on("submit", 2), "reset")
    assert results(harness.apply(replace=("one",))) == {"one": "unknown"}
    harness.timeline.now += 600
    harness.apply()
    (content,) = harness.api.contents.keys() - {harness.record("one").content_id}
    resolve(harness.project, "one", content=content)
    assert results(harness.apply()) == {"one": "done"}
    assert "Take 2." in harness.read("out/one.md")
    assert harness.plan().empty


def test_a_job_of_another_submit_is_no_answer(tmp_path: Path) -> None:
    """That of another item's text, or of the item's own earlier text: each is refused by name, and nothing changes."""
    harness = Harness(tmp_path, FakeApi(duration=30, request_ids="ignore")).applied("one", "two")
    harness.edit("content/blog.yaml", "All about two", "More about two")
    harness.api.fault(on("submit", 3), "reset")
    assert results(harness.apply()) == {"two": "unknown"}
    before = harness.open_job("two")
    for item in ("one", "two"):
        with pytest.raises(UsageError, match=f"is that of another text of `{item}`|is that of `{item}`") as refused:
            resolve(harness.project, "two", job=harness.made_by(item).job_id)
        assert refused.value.code == "job-taken"
    assert harness.open_job("two") == before


def test_a_job_that_the_server_does_not_know_is_refused(tmp_path: Path) -> None:
    """The server is asked once, for free; nothing is recorded, and the job it does know gives its text to this submit."""
    harness = _with_two_lost_submits(tmp_path)
    first, second = _submits(harness)
    asked = len(harness.api.requests)
    with pytest.raises(UsageError, match="does not know job `nonsense`; nothing was recorded") as refused:
        resolve(harness.project, "one", request=second.short, job="nonsense", runtime=harness.runtime())
    assert (refused.value.code, len(harness.api.requests)) == ("unknown-job", asked + 1)
    assert _submits(harness) == [first, second]
    job = harness.api.generations[2].job_id
    said = resolve(harness.project, "one", request=second.short, job=job, runtime=harness.runtime())
    assert said == f"the submit of `one` became job `{job}`; the next apply finishes it"
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 12)
    assert ("in 2027" in harness.read("out/one.md"), harness.record("one").digest) == (True, second.digest)


@pytest.mark.parametrize("fault", ["refuse", 503])
def test_a_job_that_cannot_be_checked_is_recorded(tmp_path: Path, fault: Fault) -> None:
    """A person's word counts where the server does not answer, and what is said names the reason."""
    harness = _with_two_lost_submits(tmp_path)
    _, second = _submits(harness)
    job = harness.api.generations[2].job_id
    harness.api.fault(on("status"), fault)
    said = resolve(harness.project, "one", request=second.short, job=job, runtime=harness.runtime())
    assert "became job" in said
    assert "was not checked: " in said
    order = harness.state.open_jobs[second.request_id]
    assert (order.state, order.job_id) == (JobState.RUNNING, job)


def test_a_content_that_says_whose_it_is_answers_no_other_item(tmp_path: Path) -> None:
    """No record here names it, but its metadata does: the apply takes no text from it, and says why."""
    harness = Harness(tmp_path, FakeApi(duration=30, request_ids="ignore", auto_save=False)).applied("one")
    content = harness.record("one").content_id
    forget_record(harness.project, "one")
    harness.write("content/blog.yaml", blog("two"))
    harness.api.fault(on("submit", 2), "reset")
    assert results(harness.apply()) == {"two": "unknown"}
    resolve(harness.project, "two", content=content)
    (change,) = harness.plan().changes
    assert [reason.detail for reason in change.reasons if reason.kind == "open-job"] == [
        f"content `{content}` is paid for"
    ]
    run = harness.ran()
    assert results(run) == {"two": "unknown"}
    assert f"content `{content}` is the text of `one`" in run.outcomes[0].error
    assert not (tmp_path / "out/two.md").exists()


def test_what_the_summary_says_to_run_next_works_as_it_stands(tmp_path: Path, invoke: Run) -> None:
    """It shows what is unknown, for which request, and each command that can be typed; those work as well."""
    Harness(tmp_path)
    shown = invoke("state", "resolve")
    assert (shown.code, shown.stdout) == (0, "No submit has an unknown outcome.\n")
    assert invoke("state", "resolve", "--resubmit").code == 64
    harness = _with_two_lost_submits(tmp_path)
    run = harness.ran()
    typed = [words for words in re.findall(r"`contentops ([^`]+)`", run_text(run)) if words.startswith("state")]
    assert typed == ["state resolve one", "state resolve"]
    first, second = _submits(harness)
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
    forgotten = invoke(
        *shlex.split(next(words for words in offered if "--forget" in words).replace("--forget", "--resubmit"))
    )
    assert (forgotten.code, list(harness.state.open_jobs)) == (0, [second.request_id])


@pytest.fixture
def site(project: Build, invoke: Run) -> Path:
    """One item, made by the embedded server."""
    root = project(SITE)
    assert invoke("apply", "--yes", cwd=root).code == 0
    return root


@pytest.mark.parametrize(("what", "new", "code", "why"), [
    (["a"], "", "bad-id", "the new id is empty"),
    (["a"], "../x", "bad-id", "`../x` starts with `.`"),
    (["a"], "x\ny", "bad-id", "contains the character U+000A"),
    (["a"], "x" * 3000, "bad-id", "is longer than 200 characters"),
    (["a"], "a//b", "bad-id", "has an empty"),
    (["--server", "local"], "", "bad-url", ""),
    (["--server", "local"], "https://user:secret@example.test", "bad-url", ""),
    (["--server", "local"], "http://example.test", "insecure-url", ""),
])  # fmt: skip
def test_a_name_that_no_project_could_have_is_refused(
    invoke: Run, site: Path, what: list[str], new: str, code: str, why: str
) -> None:
    """An id and a server: the lock stays as it was, and no word of a password is said."""
    before = (site / "contentops.lock").read_bytes()
    result = invoke("state", "mv", *what, new, cwd=site)
    assert (result.code, f"error[{code}]" in result.stderr, why in result.stderr) == (64, True, True), result.stderr
    assert "secret" not in result.stderr
    assert ((site / "contentops.lock").read_bytes(), invoke("plan", cwd=site).code) == (before, 0)


@pytest.mark.parametrize("fact", [record(id=ItemId("")), job(request_id="")], ids=["record", "entry"])
def test_a_line_that_could_not_be_read_again_is_never_noted(tmp_path: Path, fact: Any) -> None:
    """Whoever asks for it: the lock would be lost with that line."""
    with StateStore(tmp_path, environment="", lineage=lambda: LINEAGE, write=True) as store:
        with pytest.raises(StateError) as caught:
            store.note("test", fact)
        assert caught.value.code == "unwritable-fact"
        assert store.checkpoint() is False
