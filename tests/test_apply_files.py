"""Files beside the outputs: locks, leftovers of a killed apply, and the files that a command is told to write."""

import os
from pathlib import Path

import pytest

from contentops.errors import StateError
from contentops.model import Event
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.running import Build, Run


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """One item that is made, and two that are not; jobs take ten minutes, so that checkpoints come in between."""
    harness = Harness(tmp_path, FakeApi(duration=600, auto_save=False))
    harness.write("content/one.yaml", blog("one"))
    harness.apply()
    harness.write("content/more.yaml", blog("two", "three"))
    return harness


@pytest.mark.parametrize("seconds", [0, 300], ids=["before the first checkpoint", "after some"])
@pytest.mark.parametrize("removed", [False, True], ids=["pulled", "removed"])
def test_the_run_stops_and_the_next_one_goes_on(harness: Harness, *, seconds: float, removed: bool) -> None:
    """The lock stays as it was put there; what was begun is finished, once and for its price."""
    path = harness.root / "contentops.lock"
    before = path.read_bytes()
    theirs = before.replace(b'"title":"On ', b'"title":"About ')
    assert theirs != before
    at = harness.timeline.now + seconds
    changed = False

    def change(event: Event) -> None:
        nonlocal changed
        if event.kind == "waiting" and not changed and harness.timeline.now > at and harness.api.count("submit") > 2:
            changed = True
            path.unlink() if removed else path.write_bytes(theirs)

    with pytest.raises(StateError) as caught:
        harness.apply(emit=change)
    assert (caught.value.code, harness.api.count("submit")) == ("lock-changed", 3)
    assert "run `contentops apply` again" in caught.value.hint
    assert (path.read_bytes() if path.exists() else None) == (None if removed else theirs)

    if removed:
        path.write_bytes(before)
    harness.apply()
    assert {"out/two.md", "out/three.md"} <= set(harness.tree())
    assert harness.api.credits == 12
    assert harness.record("one").title.startswith("On" if removed else "About")
    assert harness.plan().empty


LEFT = "out/.contentops-0123456789abcdef.tmp"
OURS_IN_NAME_ONLY = "out/.contentops-notes.tmp"


@pytest.mark.parametrize("busy", [True, False], ids=["something to do", "nothing to do"])
def test_an_apply_sweeps_what_a_killed_one_left(tmp_path: Path, *, busy: bool) -> None:
    """Whether or not there is anything else to do."""
    harness = Harness(tmp_path, FakeApi()).declared("one")
    if not busy:
        harness.apply()
    for name in (LEFT, OURS_IN_NAME_ONLY):
        harness.write(name, "half of a te")
        os.utime(tmp_path / name, (0, 0))
    harness.apply()
    assert not (tmp_path / LEFT).exists()
    assert (tmp_path / OURS_IN_NAME_ONLY).exists()


SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}


@pytest.mark.parametrize("guard", ["empty", "server-changed"])
@pytest.mark.parametrize("flags", [(), ("--prune",), ("--select", "state:new")], ids=" ".join)
def test_an_apply_refuses_what_the_plan_says_it_would(
    invoke: Run, site: Path, guard: str, flags: tuple[str, ...]
) -> None:
    """With changes or without any: nothing is left of the manifests, or another server is asked."""
    if guard == "empty":
        (site / "content/a.yaml").write_text("items: []\n")
    else:
        lock = site / "contentops.lock"
        lock.write_text(lock.read_text().replace('"server":"local"', '"server":"https://api.example.test"'))
        # As made there, so that no text is asked for here.
        other = SITE["contentops.yaml"].replace("local", "https://other.example.test/v1")
        (site / "contentops.yaml").write_text(other)
    planned = invoke("plan", *flags, cwd=site)
    assert (planned.code, "apply would refuse" in planned.stdout) == (0, True)
    refused = invoke("apply", "--yes", *flags, cwd=site)
    assert (refused.code, f"error[{guard}]" in refused.stderr) == (4, True), refused.stdout + refused.stderr
    if guard == "empty":
        assert invoke("apply", "--yes", "--approve-empty", *flags, cwd=site).code == 0


posix = pytest.mark.skipif(os.name == "nt", reason="links and devices of POSIX")
COMMANDS = {"--out": ("plan",), "--events": ("apply", "--yes", "--replace", "a")}


@pytest.fixture
def site(project: Build, invoke: Run) -> Path:
    """One item, made by the embedded server."""
    root = project(SITE)
    assert invoke("apply", "--yes", cwd=root).code == 0
    return root


@pytest.mark.parametrize("option", COMMANDS)
@pytest.mark.parametrize(
    "target",
    ["out/a.md", "contentops.lock", "contentops.yaml", "content/a.yaml", "contentops.staging.lock", "CONTENTOPS.YAML"],
)
def test_nothing_else_is_written_over(invoke: Run, site: Path, option: str, target: str) -> None:
    """Neither a text, nor the lock, nor the project, nor a name that is theirs."""
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    ended = invoke(*COMMANDS[option], option, target, cwd=site)
    assert (ended.code, "error[in-the-way]" in ended.stderr, target in ended.stderr) == (1, True, True), ended.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not (site / "contentops.staging.lock").exists()


@posix
def test_a_plan_takes_the_place_of_no_device(invoke: Run, site: Path) -> None:
    """`--out /dev/null` would leave a file there; events may go to it."""
    ended = invoke("plan", "--out", "/dev/null", cwd=site)
    assert (ended.code, "is not a regular file" in ended.stderr) == (1, True)
    assert invoke("apply", "--yes", "--events", "/dev/null", cwd=site).code == 0


@pytest.mark.parametrize("command", [("plan", "--out", ""), ("plan", "--check", ""), ("apply", "--events", "")])
def test_an_empty_name_is_a_mistake(invoke: Run, site: Path, command: tuple[str, ...]) -> None:
    """An unset variable in a script must not turn a check into a fresh plan."""
    ended = invoke(*command, cwd=site)
    assert (ended.code, "it names no file" in ended.stderr, ended.stdout) == (64, True, "")
