"""One apply at a time: the lock dies with its owner, and its holder is named."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from contentops.errors import ExitCode, LockHeld, StateError
from contentops.state.state_dir import apply_lock
from tests.clones import git
from tests.pages import FILES
from tests.running import Build, Run

NOW = "2026-03-01T09:00:00Z"


def held_lock(root: Path, *, environment: str = "", where: str = "") -> AbstractContextManager[None]:
    """The apply lock of someone on some machine."""
    return apply_lock(root, environment=environment, who="ann@build-1", now=NOW, where=where)


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Who, which process, where and since when, for which environment; and what to do."""
    with (
        held_lock(tmp_path, where="https://ci.example.com/run/7"),
        pytest.raises(LockHeld) as caught,
        held_lock(tmp_path),
    ):
        pass

    assert str(caught.value) == (
        f"another `contentops` command is running here by ann@build-1, process {os.getpid()}, at https://ci.example.com/run/7, "
        f"since {NOW}"
    )
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "end that process" in caught.value.hint
    # What one environment orders answers a request of the other.
    words = "another `contentops` command for environment `staging` is running here by ann@build-1"
    with held_lock(tmp_path, environment="staging"), pytest.raises(LockHeld, match=words):
        held_lock(tmp_path).__enter__()


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_whoever_looks_meanwhile_is_told(project: Build, invoke: Run, verb: str) -> None:
    """On stderr, with who runs it and that it is not done; the result is the same, and a killed one is no news."""
    root = project(FILES)
    quiet = invoke(verb, cwd=root)
    with held_lock(root):
        told = invoke(verb, cwd=root)
        note = (root / ".contentops/apply.json").read_bytes()
        assert invoke(verb, "--json", cwd=root).stderr == ""
    (root / ".contentops/apply.json").write_bytes(note)
    assert (told.code, told.stdout, quiet.stderr) == (0, quiet.stdout, "")
    words = f"note[lock-held]: another `contentops` command is running here by ann@build-1, process {os.getpid()}"
    assert told.stderr.startswith(words)
    assert "Wait until it ends before you apply" in told.stderr
    assert invoke(verb, cwd=root).stderr == ""


def test_leaving_lets_the_next_one_in(tmp_path: Path) -> None:
    """The lock is free after the block, whatever ended it, and the note is gone."""

    def broken() -> None:
        with held_lock(tmp_path):
            message = "broken"
            raise StateError(message)

    with pytest.raises(StateError, match="broken"):
        broken()

    with held_lock(tmp_path):
        assert json.loads((tmp_path / ".contentops/apply.json").read_text())["who"] == "ann@build-1"
    assert not (tmp_path / ".contentops/apply.json").exists()


def test_work_trees_wait_for_each_other_and_other_projects_do_not(tmp_path: Path, processes: None) -> None:
    """They share the list of jobs in the git folder; two folders of one repository are two projects."""
    top, tree = tmp_path / "top", tmp_path / "tree"
    top.mkdir()
    git(top, "init", "--quiet")
    git(top, "commit", "--quiet", "--allow-empty", "--message=Start")
    git(top, "worktree", "add", "--quiet", str(tree))
    (top / "site").mkdir()
    with held_lock(top), held_lock(top / "site"), pytest.raises(LockHeld) as caught:
        held_lock(tree).__enter__()
    assert str(caught.value).startswith(f"another `contentops` command is running in {top} by ann@build-1")
    with held_lock(tree):
        pass
    assert not list((top / ".git/contentops").glob("*.json"))


HOLD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from contentops.state.state_dir import apply_lock

    with apply_lock(Path(sys.argv[1]), environment="", who="bob@build-2", now="then"):
        print("held", flush=True)
        sys.stdin.read()
    """
)


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_the_lock_dies_with_its_owner(tmp_path: Path, processes: None) -> None:
    """A killed apply leaves its note behind but not the lock."""
    owner = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld, match=f"by bob@build-2, process {owner.pid}, since then"):
            held_lock(tmp_path).__enter__()
        owner.send_signal(signal.SIGKILL)
        owner.wait()

    assert (tmp_path / ".contentops/apply.json").exists()
    with held_lock(tmp_path):
        assert "ann" in (tmp_path / ".contentops/apply.json").read_text()


def test_a_place_that_can_not_be_locked_is_an_error_in_words(tmp_path: Path) -> None:
    """A folder in the lock's place cannot be opened as a file; one in the place of the note stops no apply."""
    (tmp_path / ".contentops/apply.json").mkdir(parents=True)
    with held_lock(tmp_path), pytest.raises(LockHeld, match=r"running here$"):
        held_lock(tmp_path).__enter__()
    (tmp_path / ".contentops/apply.lock").unlink(missing_ok=True)
    (tmp_path / ".contentops/apply.lock").mkdir()
    with pytest.raises(StateError, match=r"cannot lock `\.contentops/apply\.lock`: is a directory"):
        held_lock(tmp_path).__enter__()
