"""`retry` goes on with the choice of the run it retries: never with another one, and never without a word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from contentops.errors import StateError
from contentops.execution.stop import Stop
from contentops.operations import apply as apply_operation
from contentops.operations.runs import last_run
from contentops.planning import situation
from tests.fakes.api import FakeApi, on
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Completed, Run

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\nvars: {year: 1}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items:\n"
        "  - {id: a, inputs: {topic: 'In {{ year }}', target_audience: readers}}\n"
        "  - {id: b, inputs: {topic: Other, target_audience: readers}}\n"
    ),
}
STOPPED = ("--deadline", "0.000001s")


@pytest.fixture
def site(project: Build) -> Path:
    """Two new items; the request of one uses a variable."""
    return project(SITE)


def _topics(root: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (root / "contentops.lock").read_text("utf-8").splitlines()]
    return {line["id"]: line["request"]["inputs"]["topic"] for line in lines if "id" in line}


def _notes(ended: Completed) -> list[str]:
    return [line.strip() for line in ended.stdout.splitlines() if "of that run" in line or "left undone" in line]


def test_the_variables_of_the_run_are_used_again(invoke: Run, site: Path) -> None:
    """Else a request is paid for that the run never had."""
    assert invoke("apply", "--yes", "--var", "year=2", *STOPPED, cwd=site).code == 5
    ended = invoke("retry", "--yes", cwd=site)
    assert ended.code == 0, ended.stderr
    assert "left undone: 2 items; as then with `--var year=2`" in _notes(ended)[0]
    assert _topics(site) == {"a": "In 2", "b": "Other"}


def test_a_variable_given_anew_ranks_above(invoke: Run, site: Path) -> None:
    """What stands on this command line is what is meant."""
    assert invoke("apply", "--yes", "--var", "year=2", *STOPPED, cwd=site).code == 5
    assert invoke("retry", "--yes", "--var", "year=3", cwd=site).code == 0
    assert _topics(site)["a"] == "In 3"


def test_a_retry_is_retried_with_the_same_choice(invoke: Run, site: Path) -> None:
    """However often the run stops."""
    assert invoke("apply", "--yes", "--var", "year=2", *STOPPED, cwd=site).code == 5
    assert invoke("retry", "--yes", *STOPPED, cwd=site).code == 5
    assert invoke("retry", "--yes", cwd=site).code == 0
    assert _topics(site)["a"] == "In 2"


def test_a_plan_file_is_retried_with_its_choice(invoke: Run, site: Path) -> None:
    """The file says what it was made with."""
    assert invoke("plan", "--var", "year=2", "--out", "plan.json", cwd=site).code == 0
    assert invoke("apply", "plan.json", *STOPPED, cwd=site).code == 5
    assert invoke("retry", "--yes", cwd=site).code == 0
    assert _topics(site)["a"] == "In 2"


def test_a_replacement_is_asked_for_again(invoke: Run, site: Path) -> None:
    """Not `No changes`, with exit code 0, for a text that was never replaced."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    assert invoke("apply", "--yes", "--replace", "a", *STOPPED, cwd=site).code == 5
    ended = invoke("retry", "--yes", "--json", cwd=site)
    assert [(one["id"], one["action"], one["result"]) for one in ended.json["run"]["outcomes"]] == [
        ("a", "regenerate", "done")
    ]
    assert "Nothing to retry" in invoke("retry", "--yes", cwd=site).stdout


def test_a_replacement_of_an_item_that_is_gone_is_not(invoke: Run, site: Path) -> None:
    """The others are retried."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    assert invoke("apply", "--yes", "--replace", "a", "--replace", "b", *STOPPED, cwd=site).code == 5
    manifest = site / "content/a.yaml"
    lines = manifest.read_text("utf-8").splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "id: a" not in line), encoding="utf-8")
    ended = invoke("retry", "--yes", "--json", cwd=site)
    assert [one["id"] for one in ended.json["run"]["outcomes"]] == ["b"], ended.stderr


def test_a_section_is_asked_for_again(invoke: Run, site: Path) -> None:
    """A section that was never written anew is no reason to say that nothing changes."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    heading = next(line[3:] for line in (site / "out/a.md").read_text("utf-8").splitlines() if line.startswith("## "))
    report = site / ".contentops/runs"
    assert invoke("regenerate", "a", "--section", heading, "--yes", cwd=site).code == 0
    latest = max(report.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    document = json.loads(latest.read_text("utf-8"))
    assert document["inputs"]["sections"] == {"a": heading}
    # As it would have been left by a run that did not come to the submit.
    document["run"]["outcomes"][0] |= {"result": "pending", "steps": []}
    document["attempts"]["a"] += 1
    latest.write_text(json.dumps(document), encoding="utf-8")
    ended = invoke("retry", "--yes", cwd=site)
    assert f"as then with `--section {heading}`" in _notes(ended)[0]
    assert "is generated anew, as asked for" in ended.stdout


def test_a_removal_is_asked_for_again(invoke: Run, site: Path) -> None:
    """`--prune` belongs to what was to be done."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    (site / "content/a.yaml").write_text(SITE["content/a.yaml"].replace("id: b", "id: c").replace("Other", "New"))
    assert invoke("apply", "--yes", "--prune", *STOPPED, cwd=site).code == 5
    report = max((site / ".contentops/runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(report.read_text("utf-8"))["inputs"]["prune"] is True
    assert invoke("retry", "--yes", cwd=site).code == 0
    assert sorted(_topics(site)) == ["a", "c"]


def test_words_and_money_are_decided_anew(invoke: Run, site: Path) -> None:
    """An edit made since, or a submit lost again, was not what `--on-edit` and `--resubmit-unknown` were said of."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    (site / "out/a.md").write_text((site / "out/a.md").read_text("utf-8") + "\nMine.\n", encoding="utf-8")
    stated = ("--var", "year=2", "--on-edit", "overwrite", "--resubmit-unknown")
    assert invoke("apply", "--yes", *stated, *STOPPED, cwd=site).code == 5
    ended = invoke("retry", "--yes", cwd=site)
    assert ended.code == 3
    assert "`--on-edit overwrite` of that run is not taken over: state it again if it is meant" in ended.stdout
    assert "`--resubmit-unknown` of that run is not taken over" in ended.stdout
    assert "Mine." in (site / "out/a.md").read_text("utf-8")
    assert invoke("retry", "--yes", "--on-edit", "overwrite", cwd=site).code == 0
    assert _topics(site)["a"] == "In 2"


def test_a_text_that_has_come_is_not_paid_for_again(tmp_path: Path) -> None:
    """Only its save is undone, so `--replace` is not asked for a second time."""
    scene = Scene(tmp_path, FakeApi(duration=30, auto_save=False))
    scene.write("content/blog.yaml", blog("a"))
    scene.apply()
    scene.api.fault(on("save", 2), 422)
    _, run = apply_operation.apply(
        scene.project,
        situation.Choice(replace=("a",)),
        apply_operation.Approval(),
        confirm=lambda _: True,
        emit=scene.events.append,
        stop=Stop(),
        inputs={"replace": ["a"]},
        world=scene.world(),
    )
    assert run is not None
    assert [str(one.result) for one in run.outcomes] == ["failed"]
    last = last_run(scene.project)
    assert last is not None
    assert last.undone == {"a"}
    assert last.asked_for(scene.state)["replace"] == ()


@pytest.mark.parametrize(
    "part",
    [
        {"inputs": 3},
        {"inputs": {"variables": 3}},
        {"inputs": {"variables": [3]}},
        {"inputs": {"replace": [None]}},
        {"inputs": {"sections": ["a"]}},
        {"inputs": {"sections": {"a": 1}}},
        {"inputs": {"on_edit": "maybe"}},
        {"inputs": {}, "attempts": {"a": "1"}},
        {"inputs": {}, "attempts": []},
    ],
)
def test_a_report_with_another_choice_than_one_can_make_is_damaged(tmp_path: Path, part: dict[str, Any]) -> None:
    """What it asked for is never guessed."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("a"))
    scene.apply()
    (path,) = (tmp_path / ".contentops/runs").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | part), encoding="utf-8")
    with pytest.raises(StateError) as caught:
        last_run(scene.project)
    assert caught.value.code == "damaged-report"


def test_a_report_of_before_is_gone_on_with(tmp_path: Path) -> None:
    """It says nothing of a choice."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("a"))
    scene.apply()
    (path,) = (tmp_path / ".contentops/runs").iterdir()
    document = json.loads(path.read_text("utf-8"))
    del document["inputs"], document["attempts"]
    path.write_text(json.dumps(document), encoding="utf-8")
    last = last_run(scene.project)
    assert last is not None
    assert last.asked_for(scene.state) == {"variables": (), "replace": (), "prune": False, "sections": {}}
