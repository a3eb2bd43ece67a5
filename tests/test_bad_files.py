"""Files that are not as they should be, full disks, texts of odd shape: nothing lost, a clear error, the others go on."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contentops.atomic_io import refused
from contentops.errors import ContentopsError
from contentops.model import Event, JobState, OnEdit, Run
from contentops.operations import plan as looking
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, Generation
from tests.fakes.harness import Harness, before, blog, results
from tests.fakes.kills import Death
from tests.running import Clock
from tests.running import Run as Invoke

needs_links = pytest.mark.skipif(os.name == "nt", reason="making a symbolic link needs a privilege there")


def _harness(root: Path, *items: str, api: FakeApi | None = None) -> Harness:
    return Harness(root, api or FakeApi(duration=30)).declared(*(items or ("one", "two")))


def _later(harness: Harness) -> None:
    """Every spec changes."""
    harness.edit("content/blog.yaml", "in 2026", "in 2027")


def _errors(run: Run | None) -> str:
    assert run is not None
    return " ".join(f"{outcome.error} {outcome.hint}" for outcome in run.outcomes)


def _bytes(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


def _link(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path.parent / "inside.md").write_text("inside")
        (path.parents[2] / "outside.md").write_text("outside")
        path.symlink_to(target)

    return make


IN_THE_WAY = {
    "binary": (_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe"), "is not UTF-8 at byte 0"),
    "latin-1": (_bytes("---\ntitle: T\n---\n\nGr\u00fc\u00dfe\n".encode("latin-1")), "is not UTF-8 at byte 20"),
    "utf-16": (_bytes("title".encode("utf-16")), "is not UTF-8 at byte 0"),
    "pointer": (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 9\n"), "is a Git LFS pointer"),
    "open front matter": (_bytes(b"---\ntitle: T\n\nMy words\n"), "never ends"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "link in": (_link("inside.md"), "is a symbolic link"),
    "link out": (_link("../../outside.md"), "is a symbolic link"),
    "dangling link": (_link("nowhere.md"), "is a symbolic link"),
}  # fmt: skip


def _kept(root: Path) -> dict[str, object]:
    """All that is not the second item's, in its output folder and beside the project: bytes, targets of links, folders."""
    found = [*root.glob("*.md"), *root.glob("p/out/*.md")]
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(found)
        if path.name != "two.md"
    }


@needs_links
@pytest.mark.parametrize(
    ("what", "known", "overwrite"), [(what, number % 2 == 0, number % 4 < 2) for number, what in enumerate(IN_THE_WAY)]
)
def test_what_cannot_be_read_stays_and_costs_nothing(root: Path, what: str, *, known: bool, overwrite: bool) -> None:
    """Its item is held back with the path and what to do, whatever `on_edit` says; the other item goes on."""
    make, words = IN_THE_WAY[what]
    harness, path = _harness(root / "p"), root / "p/out/one.md"
    if known:
        harness.apply()
        _later(harness)
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    make(path)
    before, paid = _kept(root), harness.api.credits
    run = harness.ran(on_edit=OnEdit.OVERWRITE if overwrite else None)
    assert (results(run), exit_code_of(run)) == ({"one": "blocked", "two": "done"}, 3)
    assert words in _errors(run)
    assert ("`out/one.md`" in _errors(run), _kept(root), harness.api.credits) == (True, before, paid + 4)
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, paid + 8)
    assert harness.plan().empty


@pytest.mark.parametrize(
    "what", ["binary", "latin-1", "pointer", "folder", "a file for its folder", "a link for its folder"]
)
def test_what_comes_while_a_text_is_paid_for_stays(root: Path, what: str) -> None:
    """Nothing outside is touched; the text is kept as paid for and written for nothing once its place is free."""
    harness, folder, outside = _harness(root / "p"), root / "p/sub", root / "outside"
    outside.mkdir()
    harness.edit("content/blog.yaml", "  - id: one\n", "  - id: one\n    output: sub/one.md\n")
    make, words = IN_THE_WAY.get(what, (None, ""))

    def obstruct() -> None:
        if what == "a link for its folder":
            folder.symlink_to(outside)
        elif make is None:
            folder.write_text("a file\n")
        else:
            folder.mkdir()
            make(folder / "one.md")

    run = harness.ran(emit=before("write", obstruct, "one"))
    ends = results(run)
    assert (ends.pop("one") in ("blocked", "failed"), ends, exit_code_of(run)) == (True, {"two": "done"}, 3)
    assert ("`sub" in _errors(run), list(outside.iterdir())) == (True, [])
    assert harness.open_job("one").state is JobState.PAID
    (change,) = harness.plan().changes
    assert (change.credits, make is None or words in change.hint) == (0, True)
    shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 8)


def _only_crlf(harness: Harness) -> bool:
    data = (harness.root / "out/one.md").read_bytes()
    return data.count(b"\n") == data.count(b"\r\n") > 3


def test_a_file_saved_on_windows_is_no_edit_and_stays_so(root: Path) -> None:
    """Line endings alone are no change; new front matter, new texts and overwriting keep them."""
    harness = _harness(root, "one")
    harness.apply()
    path = harness.root / "out/one.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert harness.plan().empty
    harness.edit("content/blog.yaml", "    inputs", "    metadata: {tags: [a, b]}\n    inputs")
    assert harness.actions() == {"one": "update"}
    harness.apply()
    assert _only_crlf(harness)
    assert "tags" in harness.read("out/one.md")
    _later(harness)
    assert harness.actions() == {"one": "regenerate"}
    harness.apply()
    assert _only_crlf(harness)
    assert "2027" in harness.read("out/one.md")
    assert (harness.plan().empty, harness.api.count("save")) == (True, 0)


class Full(Death):
    """A disk with no room at the n-th write of outputs, or (`state`) from the n-th write of lock and journal on."""

    def __init__(self, at: int, *, state: bool) -> None:
        super().__init__(at)
        self.state = state

    def step(self, what: str) -> None:
        """One thing done; raises what the system or the disk does where it needs room and there is none."""
        when, name, *path = what.split(" ")
        if when != "before" or name not in {"append", "link", "replace", "write"} or bool(path) is not self.state:
            return
        self.steps += 1
        if self.steps == self.at or (self.steps > self.at and self.state):
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise refused("write", Path(*path), error) if self.state else error


def _on_full(root: Path, full: Full) -> Harness:
    """Two new items and one whose text changes, in a project whose disk is full at times."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("old")
    harness.write("content/blog.yaml", blog("old", "one", "two", year=2027))
    harness.death = full
    return harness


def test_an_output_that_finds_no_room_stops_no_one(root: Path) -> None:
    """At each write in turn: its item fails with the reason, the others are done; the text is written for nothing."""
    at, whole = 0, None
    while True:
        at += 1
        full = Full(at, state=False)
        harness = _on_full(root / str(at), full)
        before = harness.read("out/old.md")
        run = harness.apply()
        if full.steps < at:
            break
        assert sorted(results(run).values()) == ["done", "done", "failed"], at
        assert "cannot be written: no space is left" in _errors(run)
        (failed,) = [item for item, result in results(run).items() if result == "failed"]
        assert failed != "old" or harness.read("out/old.md") == before
        assert not list(harness.root.rglob("*.tmp"))
        assert {item: str(change) for item, change in harness.actions().items()} == {failed: "finish"}
        assert (results(harness.apply()), harness.api.credits) == ({failed: "done"}, 16)
        assert harness.plan().empty
        whole = whole or harness.tree().keys()
        assert harness.tree().keys() == whole
    assert at > 6


def test_a_state_that_finds_no_room_ends_the_run_and_pays_once(root: Path, takes_seconds: None) -> None:
    """From each write of lock or journal on: the run ends and says what to do; with room again all is as it would be."""
    at, held = 0, 0
    while True:
        at += 1
        full = Full(at, state=True)
        harness = _on_full(root / str(at), full)
        words = harness.read("out/old.md")
        try:
            harness.apply()
        except ContentopsError as error:
            held += error.hint.startswith("make room")
        if full.steps < at:
            break
        assert harness.read("out/old.md") == words or "2027" in harness.read("out/old.md")
        harness.death = None
        harness.apply()
        assert harness.plan().empty, at
        assert set(harness.tree()) == {"out/old.md", "out/one.md", "out/two.md"}
        assert harness.api.credits == 16, at
    assert held == at - 1 > 4


def test_a_paid_text_that_finds_no_room_is_asked_for_again(root: Path) -> None:
    """Its job is on record: the run ends and says what to do, and the next one polls the same job."""
    harness = _harness(root)

    def emit(event: Event) -> None:
        if (event.kind, event.step) == ("step-done", "submit"):
            shutil.rmtree(root / ".contentops/cache")
            (root / ".contentops/cache").write_text("in the way")

    with pytest.raises(ContentopsError, match="the paid text of item `one` cannot be written to the cache"):
        harness.apply(emit=emit)
    assert (harness.open_job("one").state, harness.tree()) == (JobState.RUNNING, {})
    (root / ".contentops/cache").unlink()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done", "two": "done"}, 8)
    assert harness.plan().empty


class Long(FakeApi):
    """A server that writes texts of many sections."""

    sections = 0

    def _written(self, job: Generation) -> tuple[str, str]:
        text = "\n".join(f"## Part {n}\n\n```\n# {n} is code\n```\n\n{'word ' * 70}\n" for n in range(self.sections))
        return job.title, f"{text}\nTake {job.take}.\n"


def _seconds(folder: Path, sections: int, invoke: Invoke, clock: Clock) -> dict[str, float]:
    """Processor time of each command over a text of so many sections that a person edits all over."""
    api = Long(duration=30, auto_save=False)
    api.sections = sections
    harness = _harness(folder, "one", api=api)
    checks = "words: {min: 9}, contains: [word], excludes: [zz], headings: [Part 9], leftovers: block, links: block"
    harness.edit("content/blog.yaml", "items:", f"defaults: {{checks: {{{checks}, not_matches: ['zz$']}}}}\nitems:")
    took: dict[str, float] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        began = clock()
        act()
        took[name] = clock() - began

    timed("generate", harness.apply)
    for digit in "13579":
        harness.edit("out/one.md", f"{digit}\n\n```", f"{digit}, by me\n\n```")
    timed("diff", lambda: invoke("diff", "one", cwd=folder))
    timed("status", lambda: invoke("status", cwd=folder))
    timed("plan", harness.plan)
    timed("save", harness.apply)
    stored = api.contents[harness.record("one").content_id]
    api.edit(stored.id, stored.body.replace("is code", "was code"))
    timed("pull", harness.pull)
    assert "was code" in harness.read("out/one.md")
    _later(harness)
    timed("overwrite", lambda: harness.apply(on_edit=OnEdit.OVERWRITE))
    assert ["by me" in seen.body["content"] for seen in api.requests if seen.name == "save"] == [False, True, False]
    assert len(harness.read("out/one.md")) > 380 * sections
    assert harness.plan().empty
    return took


def test_a_large_text_takes_time_as_it_has_length(root: Path, invoke: Invoke, processor_time: Clock) -> None:
    """800 kB with 2,000 headings, every second edited; in the square of the length, eight times as much takes 64 times."""
    small, large = (_seconds(root / str(n), n, invoke, processor_time) for n in (250, 2000))
    slow = {name: (small[name], large[name]) for name in small if large[name] > 30 * max(small[name], 0.03)}
    assert not slow


def test_a_section_of_two_that_share_a_heading_is_refused(root: Path, invoke: Invoke) -> None:
    """No server can tell which one is meant; headings in code count for none."""
    harness = _harness(root, "one")
    harness.apply()
    harness.edit("out/one.md", "## Closing", "```\n## Introduction\n```\n\n## Closing\n\nA.\n\n## closing")
    harness.apply()
    paid = harness.api.credits
    ended = invoke("regenerate", "one", "--section", "Closing", "--yes", cwd=root)
    assert (ended.code, "`out/one.md` has 2 sections `Closing`" in ended.stderr) == (64, True)
    assert ("give one of them another heading" in ended.stderr, harness.api.credits) == (True, paid)
    assert looking.section(harness.project, "one", "introduction") == "Introduction"
