"""Git and a remote that is silent, that refuses, or whose address holds a secret."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from contentops.ci.git import GitFailed, masked, run_git, try_git
from contentops.errors import ContentopsError
from contentops.operations.commit import CommitOptions, check_waiting, commit
from contentops.operations.opening import Runtime as Outside
from contentops.operations.opening import open_project
from tests.fakes.github import FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clones import Machine

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
    """After one wait, not after five; the results are in the folder as they were. So is the question what waits."""
    project, options, pauses = open_project(str(author.root), "", ()), CommitOptions(patience=0.5), list[float]()
    with silence() as port:
        author.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/blog")
        with pytest.raises(ContentopsError) as failed:
            commit(project, options, pause=pauses.append)
        with pytest.raises(GitFailed, match="no answer within"):
            check_waiting(project, options)
    assert failed.value.code == "not-published"
    assert "no answer within 0.5 seconds" in failed.value.message
    assert "run `contentops commit` again" in failed.value.hint
    assert pauses == []
    assert author.git("log", "-1", "--format=%s") == "Three articles\n"


def test_a_server_that_sends_nothing_is_left(author: Machine) -> None:
    """Git itself hangs up on it after a minute."""
    assert run_git(author.root, "config", "http.lowSpeedTime") == "60\n"
    assert run_git(author.root, "config", "http.lowSpeedLimit") == "1000\n"


def test_a_silent_child_is_ended(author: Machine) -> None:
    """Asked first, so that it takes its own lock files with it."""
    ended = try_git(author.root, "-c", "alias.wait=!exec sleep 60", "wait", timeout=0.2)
    assert ended.late
    assert ended.code


# --- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"for 'https://{SECRET}@host/x'", "for 'https://***@host/x'"),
        (f"for 'https://user:{SECRET}@host/x%0a'", "for 'https://***@host/x%0a'"),
        (f"https://a@b:{SECRET}@host/x and ssh://git@host/y", "https://***@host/x and ssh://***@host/y"),
        ("https://host/a@b and me@host", "https://host/a@b and me@host"),
    ],
)
def test_addresses_are_told_without_their_secrets(text: str, shown: str) -> None:
    """Names, passwords and tokens go; host and path stay."""
    assert masked(text) == shown


@pytest.mark.parametrize(("user", "path"), [(SECRET, "acme/blog%0a"), (f"user:{SECRET}", "acme/blog")])
def test_a_token_in_the_address_is_never_told(author: Machine, user: str, path: str) -> None:
    """Whatever goes wrong with a remote, its secret is in no message."""
    messages = []
    with FakeGitHub() as server:
        server.faults += [("GET", lambda: (401, {}, {"WWW-Authenticate": 'Basic realm="x"'}))] * 99
        author.git("remote", "set-url", "origin", server.api.replace("://", f"://{user}@") + f"/{path}")
        project, options = open_project(str(author.root), "", ()), CommitOptions()
        outside = Outside(environ=os.environ)
        for act in (
            lambda: commit(project, options, runtime=outside, pause=lambda _seconds: None),
            lambda: check_waiting(project, options, runtime=outside),
        ):
            with pytest.raises(ContentopsError) as failed:
                act()
            messages.append(f"{failed.value.message} {failed.value.hint}")
    assert SECRET not in " ".join(messages)
    assert [message for message in messages if "failed" in message or "could not" in message] == messages


def test_no_folder_of_a_project_is_a_repository(tmp_path: Path) -> None:
    """Git looks for `.git` alone: what looks like a bare repository has settings that run commands."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "bare")], check=True)
    with pytest.raises(GitFailed, match="bare repository"):
        run_git(tmp_path / "bare", "rev-parse", "--git-dir")
