"""`report --provenance`: where each text comes from."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.atomic_io import Disk
from contentops.ci.history import last_commits
from contentops.documents.files import Outputs
from contentops.documents.word_diff import changed_share
from contentops.model import Approval, ItemId, Verdict, text_digest
from contentops.state import approvals
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.running import Run
from tests.test_promote import Room

ANN, BEN = "Ann <ann@example.com>", "Ben <ben@example.com>"


def approve(harness: Harness, item: str, by: str = ANN, verdict: Verdict = Verdict.APPROVED, note: str = "") -> None:
    """Records what a person says of the text that an item has now."""
    file = Outputs(harness.root).observe(harness.record(item).output)
    line = Approval(
        item=ItemId(item), text=text_digest(file.title, file.body), verdict=verdict, by=by, at="2026-03-01T10:00:00Z",
        note=note, source="terminal",
    )  # fmt: skip
    approvals.record(harness.root, Disk(), [line])


def rows(invoke: Run, harness: Harness, *arguments: str) -> dict[str, dict[str, Any]]:
    """The texts by item."""
    ended = invoke("report", "--provenance", "--json", *arguments, cwd=harness.root)
    assert ended.code == 0, ended.stderr
    return {one["item"]: one for one in ended.json["texts"]}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Three items in git, the first of them generated twice."""
    made = Harness(tmp_path / "site", FakeApi(duration=30), extra="disclosure: true")
    git(made.root, "init", "--quiet", "--initial-branch", "main")
    made.applied("a", "b", "c")
    commit(made.root, "Three texts")
    made.edit("content/blog.yaml", "about a in 2026", "about a in 2027")
    made.apply()
    commit(made.root, "One again")
    return made


def test_each_text_says_where_it_comes_from(harness: Harness, invoke: Run) -> None:
    """Its job and digests, the credits of all attempts, who changed and approved it, and its commit."""
    harness.edit("out/b.md", "Closing", "By hand")
    approve(harness, "a")
    approve(harness, "a", BEN)
    approve(harness, "c", verdict=Verdict.SENT_BACK, note="Too long.")
    harness.write("content/more.yaml", blog("new"))

    document = invoke("report", "--provenance", "--json", cwd=harness.root).json
    assert document["format_version"].startswith("1.")
    shown = invoke("report", "--provenance", cwd=harness.root).stdout.splitlines()
    header = ["ITEM", "SERVER", "JOB", "MADE", "AT", "CREDITS", "CHANGED", "APPROVAL", "BY", "COMMIT"]
    assert (shown[0].split(), shown[-1]) == (header, "3 texts.")
    found = {one["item"]: one for one in document["texts"]}
    assert list(found) == ["a", "b", "c"]
    record = harness.record("a")
    assert {name: found["a"][name] for name in ("output", "server", "job_id", "request", "generated_at")} == {
        "output": "out/a.md", "server": record.server, "job_id": harness.made_by("a").job_id,
        "request": record.digest, "generated_at": harness.made_by("a").generated_at,
    }  # fmt: skip
    assert [(one["attempts"], one["credits"]) for one in found.values()] == [(2, 8), (1, 4), (1, 4)]
    assert [one["approval"] for one in found.values()] == ["approved", "none", "sent-back"]
    assert [(line["by"], line["from"]) for line in found["a"]["verdicts"]] == [(ANN, "terminal"), (BEN, "terminal")]
    assert found["c"]["verdicts"][0]["note"] == "Too long."
    assert {one["disclosure"]["ai_disclosure"] for one in found.values()} == {"ai-autonomous"}
    assert found["a"]["changed"] == found["c"]["changed"] == 0
    assert 0 < found["b"]["changed"] < 0.2
    head, before = git(harness.root, "log", "--format=%H").split()
    # The file of `b` is not as it was committed.
    assert [one["commit"] for one in found.values()] == [head, "", before]
    commit(harness.root, "By hand")
    assert rows(invoke, harness, "--select", "b")["b"]["commit"] == git(harness.root, "rev-parse", "HEAD")
    approve(harness, "b")
    harness.apply(select=("b",))
    assert rows(invoke, harness, "--select", "b")["b"]["disclosure"]["ai_disclosure"] == "ai-assisted"


@pytest.mark.parametrize("arguments", [("--select", "a"), ("--provenance", "--since", "30d")])
def test_options_that_do_not_fit_are_refused(harness: Harness, invoke: Run, arguments: tuple[str, ...]) -> None:
    """Nothing is printed then."""
    ended = invoke("report", *arguments, cwd=harness.root)
    assert (ended.code, ended.stdout) == (64, "")
    ended = invoke("report", *arguments, "--json", cwd=harness.root)
    assert (ended.code, "texts" in ended.json) == (64, False)


def test_a_promoted_text_is_paid_for_where_it_was_made(tmp_path: Path, invoke: Run) -> None:
    """Its job and its cost are those of the environment that it comes from, also after that one has another text."""
    extra = "environments: {staging: {output: 'staging/{{ item.id }}.md'}, prod: {promote_from: staging}}"
    staging = Room(tmp_path, "staging", FakeApi(duration=30), extra=extra)
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    for year in (2026, 2027):
        staging.applied("a", year=year)
        commit(tmp_path)
    prod = Room(tmp_path, "prod", staging.api, extra=extra)
    prod.timeline = staging.timeline
    prod.apply()
    job = staging.made_by("a").job_id
    for _ in range(2):
        found = rows(invoke, prod, "--env", "prod")["a"]
        assert (found["job_id"], found["credits"], found["attempts"]) == (job, 8, 2)
        assert (found["promoted_from"], found["changed"]) == ("staging", 0)
        staging.applied("a", year=2028)
    assert rows(invoke, staging, "--env", "staging")["a"]["credits"] == 12


def test_texts_that_failed_their_checks_count(tmp_path: Path, invoke: Run) -> None:
    """Those of a retry and the one that was held back: they were paid for."""
    extra = "  checks: {words: {min: 100000}, retries: 1}"
    harness = Harness(tmp_path, FakeApi(duration=30))
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness.applied("a")
    commit(tmp_path)
    harness.write("content/blog.yaml", blog("a", year=2027) + "defaults:\n" + extra)
    harness.apply()
    assert rows(invoke, harness)["a"]["credits"] == 4  # the file has the first text still
    commit(tmp_path)
    harness.applied("a", year=2028)
    assert (rows(invoke, harness)["a"]["attempts"], harness.api.credits) == (4, 16)


@pytest.mark.parametrize("known", ["cache", "git", "nowhere"])
def test_the_share_of_changed_words_needs_the_generated_text(harness: Harness, invoke: Run, known: str) -> None:
    """From the cache or from git's history of the file; it is not known where neither has it."""
    harness.edit("out/a.md", "Closing", "By hand")
    commit(harness.root, "By hand")
    if known != "cache":
        shutil.rmtree(harness.root / ".contentops")
    if known == "nowhere":
        shutil.rmtree(harness.root / ".git")
    found = rows(invoke, harness)
    assert (found["a"]["changed"] is None, found["c"]["changed"]) == (known == "nowhere", 0)


def test_a_file_that_cannot_be_used_is_named(harness: Harness, invoke: Run) -> None:
    """It is no text, so it has no line."""
    (harness.root / "out/b.md").write_bytes(b"\xff")
    (harness.root / "out/c.md").unlink()
    assert list(rows(invoke, harness)) == ["a"]
    shown = invoke("report", "--provenance", cwd=harness.root).stdout
    assert "Left out: `out/b.md` is not UTF-8" in shown


def test_what_people_wrote_is_shown_harmless(harness: Harness, invoke: Run) -> None:
    """A name with controls and marks of direction, written into the file by hand; a long note is cut."""
    approve(harness, "a", note="n" * 1_999)
    path = harness.root / approvals.FILE
    text = path.read_text("utf-8")
    path.write_text(text.replace("Ann", "=\u202eA\\u001b[2Jnn").replace("n" * 1_999, "n" * 100_000), "utf-8")
    for form in ((), ("--json",)):
        ended = invoke("report", "--provenance", *form, cwd=harness.root)
        assert (ended.code, re.findall("[\x1b\u202e]", ended.stdout)) == (0, [])
        assert len(ended.stdout) < 10_000


def test_the_history_of_an_item_shows_what_people_said(harness: Harness, invoke: Run) -> None:
    """At its time among the generations, with who and the note, under all ids of the item; not of all items."""
    approve(harness, "c", BEN)
    manifest = harness.read("content/blog.yaml").replace("id: c\n", "id: z\n")
    harness.write("content/blog.yaml", f"moved: [{{from: c, to: z}}]\n{manifest}")
    harness.apply()
    approve(harness, "z", verdict=Verdict.SENT_BACK, note="Too\nlong.")
    approve(harness, "a")
    shown = invoke("report", "--runs", "--select", "z", cwd=harness.root).stdout
    (sent_back,) = [line for line in shown.splitlines() if "sent back" in line]
    assert sent_back.split("sent back")[1].strip() == f"{ANN}: Too long."
    (table,) = [block.splitlines() for block in shown.split("\n\n") if block.startswith("MADE AT")]
    assert [line[:17] for line in table[1:]] == sorted((line[:17] for line in table[1:]), reverse=True)
    found = invoke("report", "--runs", "--select", "z", "--json", cwd=harness.root).json["verdicts"]
    assert [(one["item"], one["verdict"]) for one in found] == [("z", "sent-back"), ("c", "approved")]
    assert invoke("report", "--runs", "--json", cwd=harness.root).json["verdicts"] == []


@pytest.mark.parametrize(("before", "after", "share"), [
    ("", "", 0), ("one two", "one two", 0), ("one two", "two\n\n# one", 0),
    ("one two three four", "one two three five", 0.25), ("one two", "one two three four", 0.5),
    ("one two three four", "one", 0.75), ("one", "", 1), ("one one", "one", 0.5), ("五十歩百歩", "五十歩千歩", 0.2),
])  # fmt: skip
def test_the_share_of_changed_words(before: str, after: str, share: float) -> None:
    """Of the longer text; the order, white space and marks say nothing."""
    assert changed_share(before, after) == share


def test_commits_of_many_files_are_those_that_git_names(tmp_path: Path) -> None:
    """One by one: in a subfolder, with odd names, deleted and made again, merged by hand, changed and not committed."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    root = tmp_path / "site"
    names = [
        "out/a b.md", "out/ü.md", "out/-x.md", "out/*.md", "top.md", "out/deep/gone.md", "out/both.md", "out/now.md",
    ]  # fmt: skip
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    (tmp_path / "top.md").write_text("another one")
    commit(tmp_path)
    for name in names[:2]:
        (root / name).write_text("2")
        commit(tmp_path)
    git(tmp_path, "checkout", "--quiet", "-b", "other")
    (root / "out/both.md").write_text("2")
    commit(tmp_path)
    git(tmp_path, "checkout", "--quiet", "main")
    (root / "out/both.md").write_text("3")
    (root / "out/deep/gone.md").unlink()
    commit(tmp_path)
    git(tmp_path, "merge", "--quiet", "--strategy", "ours", "--no-commit", "other")
    (root / "out/both.md").write_text("4")
    commit(tmp_path)
    (root / "out/now.md").write_text("changed")
    (root / "out/deep").mkdir(exist_ok=True)
    (root / "out/deep/gone.md").write_text("again")
    (root / "out/new.md").write_text("new")

    found = last_commits(str(root), [*names, "out/new.md", "out/nowhere.md"])

    expected = {
        name: git(root, "--literal-pathspecs", "log", "-1", "--format=%H", "--", name)
        for name in names
        if name not in ("out/now.md", "out/deep/gone.md")
    }
    assert found == {**expected, "out/now.md": "", "out/deep/gone.md": ""}


def test_a_shallow_clone_names_no_commit_it_does_not_know(harness: Harness, tmp_path: Path, invoke: Run) -> None:
    """Its oldest commit seems to have made every file."""
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{harness.root}", "shallow")
    ended = invoke("report", "--provenance", "--json", cwd=tmp_path / "shallow")
    assert [one["commit"] for one in ended.json["texts"]] == ["", "", ""]
    assert "`git fetch --unshallow`" in ended.json["gaps"][0]
