"""The git that is run: found on the path alone, without the key in its environment, and with remotes that fail."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contentops.ci.git import GitFailed, masked, run_git, try_git
from contentops.errors import ContentopsError
from contentops.execution.commands import find_program
from contentops.operations.commit import CommitOptions, check_waiting, commit
from contentops.operations.opening import open_project
from tests.clones import Machine
from tests.running import Run

SECRETS = {
    "WRITERZROOM_API_KEY": "wr_planted", "WRITERZROOM_USER_ID": "user-planted", "CONTENTOPS_KEY_VARIABLES": "ACME_KEY",
    "ACME_KEY": "acme_planted", "CONTENTOPS_LEDGER": "postgresql://me:planted@127.0.0.1/d", "PGPASSWORD": "pg_planted",
    "AWS_SECRET_ACCESS_KEY": "aws_planted", "ACTIONS_RUNTIME_TOKEN": "runtime_planted",
}  # fmt: skip
LOGIN = {
    "GIT_ASKPASS": "/bin/ask", "GIT_SSH_COMMAND": "ssh -i deploy", "SSH_AUTH_SOCK": "/run/agent",
    "https_proxy": "http://proxy:1", "GH_TOKEN": "ghs_for_git", "GIT_CONFIG_COUNT": "0", "EMAIL": "me@example.org",
}  # fmt: skip


@pytest.mark.parametrize(("path", "windows", "found"), [
    (r"C:\Windows;C:\Program Files\Git\cmd", True, r"C:\Program Files\Git\cmd\git.exe"),
    (r'"C:\Program Files\Git\cmd"', True, r"C:\Program Files\Git\cmd\git.exe"),
    (r";.;tools;C:here;\here;C:\Program Files\Git\cmd", True, r"C:\Program Files\Git\cmd\git.exe"),
    (r".;tools", True, ""), ("", True, ""), ("/opt/empty:/usr/bin", False, "/usr/bin/git"),
    (":.:tools:/usr/bin", False, "/usr/bin/git"), (":.:tools", False, ""),
])  # fmt: skip
def test_a_program_is_looked_for_in_whole_folders_of_the_path_alone(path: str, windows: bool, found: str) -> None:
    """Never in the folder one stands in, which may hold anything: not on Windows, and not through `.` in the path."""
    there = {r"C:\Program Files\Git\cmd\git.exe", "/usr/bin/git", "git", "git.exe", r".\git.exe", r"tools\git.exe"}
    there |= {"./git", "tools/git", r"C:here\git.exe", r"\here\git.exe"}
    assert find_program("git", path, windows=windows, usable=there.__contains__) == found


@pytest.mark.skipif(sys.platform == "win32", reason="the shim is a POSIX script")
def test_a_git_in_the_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that brings a `git` of its own starts nothing with it."""
    shim = tmp_path / "git"
    shim.write_text("#!/bin/sh\ntouch pwned\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    assert try_git(tmp_path, "--version").text.startswith("git version")
    monkeypatch.setenv("PATH", ".")
    with pytest.raises(GitFailed, match="was not found"):
        try_git(tmp_path, "--version")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the shim is a POSIX script")
def test_no_child_knows_a_secret_that_is_none_of_gits(invoke: Run, tmp_path: Path) -> None:
    """Git runs hooks, filters and helpers, which its settings name; `plan` looks for what a pull request changed."""
    site, log = tmp_path / "site", tmp_path / "log"
    site.mkdir()
    (site / "contentops.yaml").write_text("version: 1\nproject: x\n", encoding="utf-8")
    shim = tmp_path / "bin/git"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\nexport -p >> {shlex.quote(str(log))}\nexit 1\n", encoding="utf-8")
    shim.chmod(0o755)
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "PATH": str(shim.parent), **SECRETS, **LOGIN}
    assert invoke("plan", cwd=site, env=runner).code == 0
    said = log.read_text("utf-8")
    assert "planted" not in said
    for name, value in LOGIN.items():
        assert f"export {name}='{value}'" in said.replace(chr(34), "'")
    log.unlink()
    named = {"CONTENTOPS_GIT_VARIABLES": "AWS_SECRET_ACCESS_KEY ACME_KEY"}
    assert invoke("plan", cwd=site, env={**runner, **named}).code == 0
    assert log.read_text("utf-8").count("planted") == log.read_text("utf-8").count("aws_planted") > 0


SECRET = "ghp_SECRETTOKEN"


@pytest.fixture
def author(first: Machine) -> Machine:
    """A machine with an identity that has applied and not committed."""
    first.git("config", "user.name", "Author")
    first.git("config", "user.email", "author@example.com")
    return first


@contextlib.contextmanager
def silence() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


def test_a_silent_remote_is_given_up(author: Machine) -> None:
    """After one wait, not after five; the results are still in this folder. So is the question what waits."""
    project, options, pauses = (
        open_project(str(author.root), "", ()),
        CommitOptions(direct=True, patience=0.5),
        list[float](),
    )
    with silence() as port:
        author.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/blog")
        with pytest.raises(ContentopsError) as failed:
            commit(project, options, pause=pauses.append)
        with pytest.raises(GitFailed, match="no answer within"):
            check_waiting(project, options)
    assert (failed.value.code, "no answer within 0.5 seconds" in failed.value.message) == ("not-published", True)
    assert "run `contentops commit` again" in failed.value.hint
    assert (pauses, author.git("log", "-1", "--format=%s")) == ([], "Three articles\n")


def test_a_silent_child_is_ended(author: Machine) -> None:
    """Asked first, so that it takes its own lock files with it."""
    ended = try_git(author.root, "-c", "alias.wait=!exec sleep 60", "wait", timeout=0.2)
    assert ended.late
    assert ended.code


@pytest.mark.parametrize(("text", "shown"), [
    (f"for 'https://{SECRET}@host/x'", "for 'https://***@host/x'"),
    (f"for 'https://user:{SECRET}@host/x%0a'", "for 'https://***@host/x%0a'"),
    (f"https://a@b:{SECRET}@host/x and ssh://git@host/y", "https://***@host/x and ssh://***@host/y"),
    ("https://host/a@b and me@host", "https://host/a@b and me@host"),
])  # fmt: skip
def test_addresses_are_told_without_their_secrets(text: str, shown: str) -> None:
    """Names, passwords and tokens go; host and path stay."""
    assert masked(text) == shown


def test_no_folder_of_a_project_is_a_repository(tmp_path: Path) -> None:
    """Git looks for `.git` alone: what looks like a bare repository has settings that run commands."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "bare")], check=True)
    with pytest.raises(GitFailed, match="bare repository"):
        run_git(tmp_path / "bare", "rev-parse", "--git-dir")
