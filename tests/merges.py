"""Pull requests of a real repository: proposed from a clone, reviewed on the fake GitHub, merged in each way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contentops.model import Json
from tests.clones import Machine, World, make_first
from tests.fakes.github import FakeGitHub
from tests.running import Completed, Run

APPROVALS = "contentops.approvals"
MERGES = ("merge", "squash", "rebase")


def make_drafts(invoke: Run, target: Path, factory: pytest.TempPathFactory, *, save: str = "off") -> World:
    """A remote in `target` whose main branch has three texts that wait for approval; `save`: whether edits are saved."""
    world = World(target, invoke)
    machine = make_first(invoke, target, factory)
    machine.edit("contentops.yaml", "base_url: local", f"base_url: local, save: {save}")
    machine.edit("contentops.yaml", "style: general_blog}", "style: general_blog, approval: required}")
    machine.git("commit", "--quiet", "--message=Ask for approvals", "contentops.yaml")
    machine.git("push", "--quiet")
    machine.apply()
    machine.commit()
    for path in (machine.root / "out").iterdir():  # as people do who write the texts
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("> Draft outline")), "utf-8")
    machine.git("commit", "--quiet", "--message=Write the texts", "out")
    machine.git("push", "--quiet")
    return world


class Desk:
    """A repository on the fake GitHub: who proposes, reviews and merges, and the runner after each push."""

    def __init__(self, world: World, hub: FakeGitHub, invoke: Run) -> None:
        self.world, self.hub = world, hub
        self._invoke = invoke
        hub.pulls.clear()
        self._author = world.clone("author")
        self._merger = world.clone("merger")
        self.before = ""
        """The commit that the branch had before the last merge."""

    def approved(
        self,
        number: int,
        *changes: Callable[[Machine], object],
        how: str = "squash",
        also: Callable[[Machine], object] | None = None,
    ) -> str:
        """A pull request that maria approves and someone merges; return its last commit."""
        head = self.propose(number, *changes)
        self.hub.review(number, "maria")
        self.merge(number, how, also)
        return head

    def propose(self, number: int, *changes: Callable[[Machine], object]) -> str:
        """Open a pull request with a commit for each change; return its last commit, which no branch keeps."""
        author = self._author
        author.git("fetch", "--quiet", "origin", "main")
        author.git("checkout", "--quiet", "--detach", "origin/main")
        for change in changes:
            change(author)
            author.git("add", "--all")
            author.git("commit", "--quiet", "--message=Better words")
        head = author.git("rev-parse", "HEAD").strip()
        author.git("push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/head")
        self.hub.pulls[:] = [pull for pull in self.hub.pulls if pull["number"] != number]
        self.hub.pull(number, head)
        raw = author.git("diff", "--raw", "-M", "--abbrev=40", "-z", "origin/main...HEAD").split("\0")
        self.hub.files[number] = list(_files(iter(raw)))
        return head

    def merge(self, number: int, how: str = "squash", also: Callable[[Machine], object] | None = None) -> str:
        """Merge a pull request and push; `also`: what someone pushed to main before."""
        merger = self._merger
        merger.git("pull", "--quiet")
        self.before = merger.git("rev-parse", "HEAD").strip()
        if also is not None:
            also(merger)
            merger.git("commit", "--quiet", "--all", "--message=Meanwhile")
        merger.git("fetch", "--quiet", "origin", f"refs/pull/{number}/head")
        if how == "squash":
            merger.git("merge", "--quiet", "--squash", "FETCH_HEAD")
            merger.git("commit", "--quiet", f"--message=Better words (#{number})")
        elif how == "merge":
            merger.git("merge", "--quiet", "--no-ff", f"--message=Merge pull request #{number}", "FETCH_HEAD")
        else:
            # As GitHub does: each commit again, by another committer.
            merger.git("-c", "user.name=GitHub", "cherry-pick", "HEAD..FETCH_HEAD")
        merger.git("push", "--quiet")
        commit, parent = merger.git("rev-parse", "HEAD", "HEAD^1").split()
        head = next(pull["head"]["sha"] for pull in self.hub.pulls if pull["number"] == number)
        self.hub.bases[f"{parent}...{head}"] = merger.git("merge-base", parent, head).strip()
        self.hub.merge(number, commit)
        return commit

    def runner(self, name: str = "runner", *flags: str) -> Machine:
        """A checkout of what the branch is now."""
        return self.world.clone(name, *flags)

    def record(self, machine: Machine, *arguments: str, before: str | None = None, code: int = 0) -> Completed:
        """`approve --merged` in the workflow of the last push."""
        ended = self._invoke("approve", "--merged", *arguments, cwd=machine.root, env=self.job(machine, before))
        assert ended.code == code, ended.stdout + ended.stderr
        return ended

    def job(self, machine: Machine, before: str | None = None) -> dict[str, str]:
        """The environment of that workflow."""
        event: dict[str, Json] = {"ref": "refs/heads/main", "before": self.before if before is None else before}
        event["after"] = self.world.tip()
        path = machine.root.parent / f"event-{machine.root.name}.json"
        path.write_text(json.dumps(event), "utf-8")
        pages = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_EVENT_PATH": str(path)}
        return self.hub.env(GITHUB_ACTIONS="true", **pages)


def _files(parts: Iterator[str]) -> Iterator[dict[str, str]]:
    """The entries of `pulls/N/files` from what `git diff --raw -z` prints."""
    for about in filter(None, parts):
        _, _, _, oid, kind = about.split(" ")
        path = next(parts)
        if kind.startswith("R"):
            yield {"filename": next(parts), "previous_filename": path, "status": "renamed", "sha": oid}
        else:
            status = {"A": "added", "D": "removed"}.get(kind, "modified")
            yield {"filename": path, "status": status, "sha": oid}
