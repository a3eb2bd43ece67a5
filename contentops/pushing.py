"""A commit on its way to a remote: pushed, rebased where the branch moved, or put on a branch of its own.

Nothing is ever forced. A rebase that meets a conflict is undone; the commit then goes to a branch `contentops/RUN`,
where a person merges it.
"""

from __future__ import annotations

import base64
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from contentops.errors import ContentopsError, UsageError
from contentops.git import failure, try_git
from contentops.state.attributes import LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.git import Ended

ATTEMPTS = 5
"""Pushes to the branch before the commit goes to a branch of its own."""
FOLDER = "contentops"
"""The folder of branches that hold results nobody has merged yet."""
_RACES = ("fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old value")
"""What a push is rejected with where somebody else pushed at the same time; the rest are rules of the server."""
_BOT = "github-actions[bot]"
_BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = 300


class NotPublished(ContentopsError):
    """The commit was made, but could be pushed nowhere."""

    code = "not-published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone, its remote, and what its git commands get beside the environment of the process."""

    root: str
    remote: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        """What git prints, without the line break at its end. Raises GitFailed."""
        ended = self.attempt(*arguments, stdin=stdin, extra=extra)
        if ended.code:
            raise failure(self.root, arguments, ended)
        return ended.stdout.decode("utf-8", "surrogateescape").strip()

    def attempt(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> Ended:
        """The same, however it ends."""
        return try_git(self.root, *arguments, stdin=stdin, extra={**self.extra, **(extra or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The branch that is meant, and what a branch of its own would be named after."""

    branch: str
    environment: str
    run: str

    @property
    def own(self) -> str:
        """The branch for results that the branch did not take."""
        environment = _UNSAFE.sub("-", self.environment).strip("-")
        return "/".join(part for part in (FOLDER, environment, _UNSAFE.sub("-", self.run)) if part)


class Pushed(NamedTuple):
    """Where the commit is now: its name there, the branch, why not the one meant, and how often it was tried."""

    commit: str
    branch: str
    why: str
    attempts: int


# --- who, and with which key -------------------------------------------------------------------------------


def identity(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Who commits: whoever git says; on a runner of GitHub that has nobody, the forge's own bot."""
    known = environ.get("GIT_AUTHOR_EMAIL") or try_git(root, "config", "user.email").stdout.strip()
    if known or environ.get("GITHUB_ACTIONS") != "true":
        return {}
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", _BOT), ("EMAIL", _BOT_MAIL))
    }


def credentials(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The token of the workflow as settings of the child alone: never in an argument, a file, or for another server."""
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or ""
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/")
    if not token or not server or not address.startswith(f"{server}/") or not _is_safe(server):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = (
        # An empty value drops a header that a checkout may have left behind: the server refuses two.
        (f"http.{server}/.extraheader", ""),
        (f"http.{server}/.extraheader", f"AUTHORIZATION: basic {basic}"),
        (f"http.{server}/.followRedirects", "false"),
    )
    stated = environ.get("GIT_CONFIG_COUNT", "")
    start = int(stated) if stated.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for at, (key, value) in enumerate(settings, start):
        found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return found


def _is_safe(server: str) -> bool:
    parts = urlsplit(server)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def check_branch(clone: Clone, branch: str) -> str:
    """`branch`, if it can be the name of one. Raises UsageError."""
    if branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` can not be the name of a branch", code="no-branch")
    return branch


# --- pushing -----------------------------------------------------------------------------------------------


def push(clone: Clone, target: Target, *, offer_message: str, pause: Callable[[float], None]) -> Pushed:
    """Pushes HEAD to the branch that is meant, on top of what others pushed; else to a branch of its own.

    `offer_message` is the message of the commit on that branch. Raises NotPublished.
    """
    why = f"`{target.branch}` kept moving"
    for attempt in range(1, ATTEMPTS + 1):
        ended = _try_push(clone, "HEAD", target.branch)
        if not ended.code:
            return Pushed(clone.run("rev-parse", "HEAD"), target.branch, "", attempt)
        rejection = _rejection(ended)
        if not rejection:
            # Not an answer of the server: the network, or a key that it does not take.
            if attempt == ATTEMPTS:
                raise _unreachable(clone, ended)
        elif not any(race in rejection for race in _RACES):
            why = f"`{target.branch}` takes no push: {rejection}"
            return _offer(clone, target, offer_message, why, attempt)
        elif problem := _catch_up(clone, target.branch):
            return _offer(clone, target, offer_message, problem, attempt)
        if attempt < ATTEMPTS:
            pause(2.0 ** (attempt - 1))
    return _offer(clone, target, offer_message, why, ATTEMPTS)


def _try_push(clone: Clone, what: str, branch: str) -> Ended:
    return clone.attempt("push", "--porcelain", "--no-follow-tags", "--", clone.remote, f"{what}:refs/heads/{branch}")


def _rejection(ended: Ended) -> str:
    """Why the server (or git, knowing its answer) took no push; empty where there was no answer."""
    for line in ended.stdout.decode("utf-8", "replace").splitlines():
        parts = line.split("\t")
        if line.startswith("!") and len(parts) == 3:
            found = re.search(r"\((.*)\)\s*$", parts[2])
            return (found[1] if found else parts[2])[:_WORDS]
    return ""


def _catch_up(clone: Clone, branch: str) -> str:
    """Puts HEAD on top of what the remote's branch is now; why that does not work, or empty."""
    fetched = clone.attempt(
        "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.remote, f"refs/heads/{branch}"
    )
    if fetched.code:
        return ""
    before, onto = clone.run("rev-parse", "HEAD"), clone.run("rev-parse", "FETCH_HEAD")
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        # A branch that does not have the rule yet merges locks by it all the same; its own rules rank above this file.
        rules = Path(folder) / "attributes"
        rules.write_text(f"{LINE}\n", encoding="utf-8")
        ended = clone.attempt(
            *("-c", f"core.attributesFile={rules}", "-c", "rebase.updateRefs=false"),
            *("rebase", "--quiet", "--no-autostash", "--no-autosquash", "--no-rebase-merges", onto),
            extra={"GIT_EDITOR": ":", "GIT_SEQUENCE_EDITOR": ":"},
        )
    if not ended.code:
        return ""
    # Nothing to abort where it did not begin, as with other changed files in the way.
    clone.attempt("rebase", "--abort")
    if clone.run("rev-parse", "HEAD") != before:
        raise failure(clone.root, ("rebase",), ended)
    conflicts = "conflict" in f"{ended.words} {ended.stdout.decode('utf-8', 'replace')}".lower()
    reason = "others changed the same files" if conflicts else "other changed files here are in the way of a rebase"
    return f"`{branch}` moved, and {reason}"


def _offer(clone: Clone, target: Target, message: str, why: str, attempts: int) -> Pushed:
    """The commit on a branch of its own, without the mark that would keep its checks from running."""
    parents = clone.run("rev-parse", "HEAD^@").split()
    ancestry = [word for parent in parents for word in ("-p", parent)]
    commit = clone.run("commit-tree", "HEAD^{tree}", *ancestry, "-F", "-", stdin=message.encode("utf-8", "replace"))
    ended = _try_push(clone, commit, target.own)
    if ended.code:
        said = _rejection(ended) or " ".join(ended.words.split())[:_WORDS]
        raise NotPublished(
            f"{why}; and the branch `{target.own}` could not be pushed: {said}",
            hint=f"the results are committed here: push {clone.run('rev-parse', 'HEAD')[:12]} yourself",
        )
    return Pushed(commit, target.own, why, attempts)


def _unreachable(clone: Clone, ended: Ended) -> NotPublished:
    said = " ".join(ended.words.split())[:_WORDS].rstrip(".") or f"it ended with {ended.code}"
    return NotPublished(
        f"the commit could not be pushed: {said}",
        hint=f"the results are committed here: push {clone.run('rev-parse', 'HEAD')[:12]} yourself",
    )


def waiting(clone: Clone, environment: str) -> tuple[str, ...]:
    """The branches of the remote that hold results of this environment which nobody has merged. Raises GitFailed."""
    prefix = Target(branch="", environment=environment, run="").own + "/"
    said = clone.run("ls-remote", "--heads", "--", clone.remote, f"refs/heads/{prefix}*")
    names = (line.partition("\t")[2].removeprefix("refs/heads/") for line in said.splitlines())
    return tuple(sorted(name for name in names if name.startswith(prefix) and "/" not in name.removeprefix(prefix)))
