"""What was made, and by which runs: from the jobs, and what runs of this machine left."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.model import Event
from contentops.operations.runs import KEPT_RUNS
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.running import Run


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """One item, generated three times: twice committed, and once since."""
    made = Harness(tmp_path / "site", FakeApi(duration=30))
    git(made.root, "init", "--quiet", "--initial-branch", "main")
    for year in (2026, 2027):
        made.applied("a", year=year)
        commit(made.root, f"As of {year}")
    made.applied("a", year=2028)
    return made


def generations(invoke: Run, harness: Harness, *items: str) -> list[dict[str, Any]]:
    """What `report --runs` lists, the newest first."""
    selected = [word for item in items for word in ("--select", item)]
    ended = invoke("report", "--runs", *selected, "--json", cwd=harness.root)
    assert ended.code == 0, ended.stderr
    return list(ended.json["generations"])


def spent(invoke: Run, harness: Harness, *arguments: str) -> tuple[int, int]:
    """Texts and credits that `report` counts."""
    found = invoke("report", *arguments, "--json", cwd=harness.root).json
    return found["texts"], found["credits"]


def test_runs_of_this_machine_are_listed(harness: Harness, invoke: Run) -> None:
    """Without them nothing is counted otherwise: sums are those of the jobs."""
    runs = invoke("report", "--runs", "--json", cwd=harness.root).json["runs"]
    assert [(run["credits"], run["counts"]["done"], run["exit_code"]) for run in runs] == [(4, 1, 0)] * 3
    shutil.rmtree(harness.root / ".contentops")
    assert spent(invoke, harness) == (3, 12)
    assert invoke("report", "--runs", "--json", cwd=harness.root).json["runs"] == []


def test_what_failed_and_what_is_open_has_its_place(tmp_path: Path, invoke: Run) -> None:
    """With the words of the server; it costs nothing until it is known to."""
    api = FakeApi(duration=30, fails=lambda inputs: "no\x1b[2J credit" if "about b" in inputs["topic"] else "")
    harness = Harness(tmp_path, api).applied("a", "b")
    found = {one["item"]: one for one in generations(invoke, harness)}
    assert (found["b"]["outcome"], found["b"]["credits"], found["a"]["outcome"]) == ("failed", 0, "generated")
    text = invoke("report", "--runs", cwd=tmp_path).stdout
    assert ("1 done, 1 failed" in text, "\x1b" in text) == (True, False)
    assert "failed" in invoke("report", "--runs", "--select", "b", cwd=tmp_path).stdout


def test_a_renamed_item_keeps_its_history(harness: Harness, invoke: Run) -> None:
    """As each text was ordered under its name then, and nothing counts twice."""
    commit(harness.root, "Third")
    harness.write("content/blog.yaml", blog("z", year=2028).replace("about z", "about a"))
    harness.apply()
    commit(harness.root, "Renamed")
    assert [one["item"] for one in generations(invoke, harness, "z")] == ["a", "a", "a"]
    assert spent(invoke, harness) == (3, 12)


def test_an_id_that_another_item_has_now_lists_that_ones_texts(harness: Harness, invoke: Run) -> None:
    """A job is under the item that has its request, else under the one that has its name."""
    moved = "moved: [{from: a, to: z}]\n"
    harness.write("content/blog.yaml", moved + blog("z", year=2028).replace("about z", "about a"))
    harness.apply()
    harness.write("content/blog.yaml", blog("a", year=2030) + blog("z", year=2028).replace("about z", "about a")[7:])
    harness.apply()
    assert (len(generations(invoke, harness, "a")), len(generations(invoke, harness, "z"))) == (3, 1)


def test_runs_are_kept_for_a_while(tmp_path: Path) -> None:
    """The oldest go, so that the folder does not grow for ever."""
    harness = Harness(tmp_path, FakeApi(duration=30)).applied("a")
    folder = tmp_path / ".contentops" / "runs"
    (first,) = folder.iterdir()
    for number in range(KEPT_RUNS + 5):
        (folder / f"20200101T{number:06}Z-old.json").write_text("{}")
    harness.applied("a", year=2027)
    left = sorted(path.name for path in folder.iterdir())
    assert (len(left), first.name in left) == (KEPT_RUNS, True)


@pytest.mark.parametrize("text", ["", "[]", '{"run": 1}', '{"run": {}, "generations": [{"id": 1}]}', "\x00"])
def test_what_lies_in_the_folder_may_be_anything(harness: Harness, invoke: Run, text: str) -> None:
    """A run that cannot be read is no run."""
    folder = harness.root / ".contentops" / "runs"
    (folder / "99990101T000000Z-x.json").write_text(text)
    (folder / "99990101T000000Z-y.json").mkdir()
    assert len(invoke("report", "--runs", "--json", cwd=harness.root).json["runs"]) == 3


def test_an_item_without_a_history(harness: Harness, invoke: Run) -> None:
    """One that is declared has none yet; one that is not is a mistake."""
    harness.write("content/more.yaml", blog("later"))
    assert generations(invoke, harness, "later") == []
    told = invoke("report", "--runs", "--select", "later", cwd=harness.root).stdout
    assert "nothing was generated for `later` yet" in told
    ended = invoke("report", "--runs", "--select", "latr", cwd=harness.root)
    assert (ended.code, "did you mean `later`?" in ended.stderr) == (64, True)


@pytest.mark.parametrize("preset", ["", "preset: hugo"])
def test_broken_manifests_hide_nothing_that_was_made(tmp_path: Path, invoke: Run, preset: str) -> None:
    """`status` and `report` say what the lock and the files do, and that it is no more than that."""
    harness = Harness(tmp_path, FakeApi(duration=30), extra=preset).applied("a", "b", "c")
    harness.write("out/a.md", harness.read("out/a.md") + "\nMine.\n")
    (tmp_path / "out" / "b.md").unlink()
    harness.write("content/blog.yaml", blog("a", "b", "c").replace("inputs", "inptus"))
    status, states = invoke("status", "--json", cwd=tmp_path), {"a": "edited", "b": "missing", "c": "as generated"}
    assert (status.code, {one["id"]: one["state"] for one in status.json["items"]}) == (0, states)
    assert [one["code"] for one in status.json["diagnostics"]] == ["manifests-unread"]
    told = invoke("status", cwd=tmp_path).stderr
    assert told.startswith("warning[manifests-unread]: the manifests cannot be used")
    assert "hint: `contentops validate` lists them" in told
    edited = invoke("status", "--select", "state:edited", "--json", cwd=tmp_path).json["items"]
    assert [one["id"] for one in edited] == ["a"]
    report = invoke("report", cwd=tmp_path)
    assert (report.code, "Spent: 12 credits for 3 texts." in report.stdout) == (0, True)
    assert "warning[manifests-unread]" in report.stderr
    by = invoke("report", "--json", cwd=tmp_path).json["by"]["manifest"]
    assert by == [{"name": "(unknown)", "texts": 3, "credits": 12}]
    assert invoke("plan", cwd=tmp_path).code == 1


# --- what is in no file ---------------------------------------------------------------------------------------


def _begun(tmp_path: Path) -> Harness:
    """Two items whose jobs run, and whose run was stopped."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30)).applied("known").declared("known", "gone", "changed")
    harness.apply(deadline=20)
    return harness


def _agrees(harness: Harness, invoke: Run, texts: int) -> None:
    """The server's bill, `report` and `history` are one number."""
    bill = harness.api.credits
    assert (spent(invoke, harness), bill) == ((texts, 4 * texts), 4 * texts)
    found = generations(invoke, harness)
    paid = [one["credits"] for one in found if one["outcome"] in {"generated", "unwritten"}]
    assert (len(paid), sum(paid), len({one["request_id"] for one in found})) == (texts, bill, len(found))


@pytest.mark.parametrize("died", [False, True])
def test_a_collected_text_is_counted_once(tmp_path: Path, invoke: Run, *, died: bool) -> None:
    """Whether its item is gone or asks for something else, and whether or not the runs left a report."""
    harness = _begun(tmp_path)
    plans = 4 + 8
    harness.write(
        "content/blog.yaml", blog("known", "changed", year=2026).replace("about changed in 2026", "something")
    )
    plans += harness.plan().credits
    harness.apply()
    if died:
        shutil.rmtree(harness.root / ".contentops" / "runs")
    assert harness.plan().empty
    _agrees(harness, invoke, 4)
    assert plans == harness.api.credits
    outcomes = {(one["item"], one["outcome"]) for one in generations(invoke, harness)}
    assert outcomes >= {("gone", "unwritten"), ("changed", "unwritten"), ("changed", "generated")}
    assert "2 of these are in no known file" in invoke("report", cwd=harness.root).stdout
    assert "4 texts, 16 credits." in invoke("report", "--runs", cwd=harness.root).stdout
    assert invoke("report", "--json", cwd=harness.root).json["unwritten"] == 2
    harness.applied("known", "gone", "changed")
    _agrees(harness, invoke, 4)
    assert "unwritten" not in {one["outcome"] for one in generations(invoke, harness, "gone")}


def test_a_collected_job_without_a_text_is_counted_once(tmp_path: Path, invoke: Run) -> None:
    """The server charges it; the run says what came of it, and nothing asks for it again."""
    harness = _begun(tmp_path)
    harness.write("content/blog.yaml", blog("known"))
    harness.api.habits.status_body, harness.api.habits.auto_save = "absent", False
    run = harness.ran()
    assert results(run) == {"gone": "failed", "changed": "failed"}
    assert {outcome.error for outcome in run.outcomes} == {"the job completed without a text"}
    assert harness.plan().empty
    assert not harness.state.open_jobs
    _agrees(harness, invoke, 3)


def test_why_runs_and_texts_differ_is_said(tmp_path: Path, invoke: Run) -> None:
    """Runs count what they sent, texts what came of it."""
    harness = _begun(tmp_path)
    told = invoke("report", "--runs", cwd=harness.root).stdout
    assert "The runs count 8 credits more: for jobs that are still open" in told
    harness.apply()
    for path in sorted((harness.root / ".contentops" / "runs").iterdir())[:1]:
        path.unlink()
    ending = invoke("report", "--runs", cwd=harness.root).stdout
    assert "The runs count 4 credits fewer: runs that were killed" in ending


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_reports_are_kept_in_no_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    """Old ones are removed there, and no file of another folder is taken for one; the run says that none is kept."""
    harness, outside = Harness(tmp_path / "root", FakeApi(duration=30)), tmp_path / "outside"
    outside.mkdir()
    for number in range(KEPT_RUNS + 50):
        (outside / f"{number}.json").write_text("{}")
    (harness.root / ".contentops").mkdir(mode=0o700)
    (harness.root / ".contentops/runs").symlink_to(outside)
    harness.write("content/blog.yaml", blog("a"))
    said: list[Event] = []
    assert results(harness.apply(emit=said.append)) == {"a": "done"}
    assert len(list(outside.iterdir())) == KEPT_RUNS + 50
    notes = [str(event.data.get("message")) for event in said if event.kind == "note"]
    assert any("the report of this run is not kept" in note and "`runs` is a symbolic link" in note for note in notes)
