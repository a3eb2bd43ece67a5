"""`contentops commit` and `contentops.approvals`: verdicts reach the branch, and none is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.atomic_io import Disk
from contentops.model import Approval, ItemId, Verdict, text_digest
from contentops.state import approvals
from tests.clones import PROTECTED, posix

if TYPE_CHECKING:
    from contentops.digest import Digest
    from tests.clones import Machine, World

FILE = "contentops.approvals"
LOCKS = "contentops*.lock text eol=lf merge=union\n"
RULES = f"{LOCKS}contentops*.jobs text eol=lf merge=union\n{FILE} text eol=lf merge=union\n"


def line(item: str, who: str = "Maria", *, minute: int = 0, sent_back: bool = False) -> Approval:
    """A verdict on one text of an item."""
    verdict = Verdict.SENT_BACK if sent_back else Verdict.APPROVED
    text: Digest = text_digest(item, text_digest("", item))
    by = f"{who} <{who.lower()}@example.com>"
    return Approval(item=ItemId(item), text=text, verdict=verdict, by=by, at=f"2026-03-01T11:{minute:02}:00Z")


def say(machine: Machine, *lines: Approval) -> None:
    """Record verdicts in a clone."""
    approvals.record(machine.root, Disk(), lines)


def said(text: str) -> list[tuple[str, str]]:
    """Item and person of each verdict in a file."""
    return [(one.item, one.by.partition(" ")[0]) for one in approvals.parse(text.encode()).lines]


@pytest.fixture
def done(first: Machine) -> Machine:
    """A machine that has applied, committed and pushed."""
    first.commit()
    return first


def test_verdicts_are_results(world: World, first: Machine) -> None:
    """They come with the results, with their rule for merges, and the message counts them; afterwards nothing is left."""
    say(first, line("one"), line("two", sent_back=True))
    first.commit()
    assert first.files("HEAD~1") == [".gitattributes", "contentops.jobs"]
    assert FILE in first.files()
    assert first.git("log", "-1", "--format=%s") == "content: 3 created, 1 approved, 1 sent back\n"
    assert world.content(".gitattributes") == RULES
    say(first, line("three"))
    first.commit()
    assert (first.files(), world.subjects()[0]) == ([FILE], "content: 1 approved")
    assert said(world.content(FILE)) == [("one", "Maria"), ("three", "Maria"), ("two", "Maria")]
    assert first.commit().stdout.startswith("Nothing to commit")
    assert first.git("status", "--porcelain") == ""


def test_verdicts_of_two_machines_meet(world: World, done: Machine) -> None:
    """Both are kept, also where both are the first ones; the rule is there once."""
    second = world.clone("second")
    say(done, line("one"), line("two"))
    say(second, line("one", "Jo"), line("two", minute=5, sent_back=True))
    second.commit()
    done.commit()
    for text in (world.content(FILE), (done.root / FILE).read_text("utf-8")):
        found = approvals.parse(text.encode())
        assert set(said(text)) == {("one", "Jo"), ("one", "Maria"), ("two", "Maria")}
        assert found.of_text(line("two").text)[0].verdict is Verdict.SENT_BACK
    assert world.content(".gitattributes") == RULES
    assert world.branches() == ["main"]


@pytest.mark.parametrize("how", ["damaged", "removed", "link"])
def test_a_file_that_a_person_broke_is_left_alone(world: World, done: Machine, how: str) -> None:
    """It is named, stays as it is, and holds up no result."""
    say(done, line("one"))
    done.commit()
    path = done.root / FILE
    before = path.read_bytes()
    path.unlink()
    if how == "damaged":
        path.write_bytes(before + b"<<<<<<< mine\n")
    elif how == "link":
        path.symlink_to("notes.md")
    (done.root / "out/three.md").unlink()
    found = done.commit("--json", "--edits").json
    assert (found["edited"], found["files"]) == ([FILE], ["out/three.md"])
    assert world.content(FILE).encode() == before
    assert path.is_symlink() is (how == "link")
    assert how != "damaged" or path.read_bytes().endswith(b"mine\n")


def test_git_ignores_the_file(done: Machine) -> None:
    """Then it is named, as it would be lost with the runner."""
    done.write(".gitignore", "*.approvals\n")
    say(done, line("one"))
    assert done.commit("--json").json["ignored"] == [FILE]


@posix
def test_verdicts_that_wait_on_a_branch_hold_up_no_apply(world: World, done: Machine) -> None:
    """The branch is protected: they come as a pull request, and nothing would be paid for again without them."""
    world.hook("pre-receive", PROTECTED)
    say(done, line("one"))
    done.commit()
    (branch,) = (name for name in world.branches() if name != "main")
    assert said(world.content(FILE, branch)) == [("one", "Maria")]
    assert world.clone("second").waits() == ""


def test_a_branch_that_has_a_damaged_file(world: World, done: Machine) -> None:
    """Nothing of it is overwritten: the verdicts go to a branch of their own."""
    say(done, line("one"))
    done.commit()
    world.other(FILE, world.content(FILE) + "<<<<<<< mine\n")
    say(done, line("two"))
    done.commit()
    (branch,) = (name for name in world.branches() if name != "main")
    assert said(world.content(FILE, branch)) == [("one", "Maria"), ("two", "Maria")]
