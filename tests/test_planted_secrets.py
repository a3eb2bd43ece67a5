"""A key and a token are planted, and every server says them back: then everything written or printed is looked through."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.clones import WHO, Machine, World, manifest
from tests.fakes.github import TOKEN, FakeGitHub
from tests.fakes.harness import know_server
from tests.processes import KEY, Answer, Scripted
from tests.running import Completed, Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the remote's hook is a POSIX script")


def forms(secret: str) -> set[str]:
    """A secret as it is and as it could be encoded; of base64, the part that no neighbour changes."""
    coded = {base64.b64encode(bytes(shift) + secret.encode()).decode()[4:-4] for shift in range(3)}
    return {
        secret, secret.upper(), quote(secret, safe=""), quote(secret, safe="").lower(), quote_plus(secret),
        json.dumps(secret)[1:-1], *coded, *(one.replace("+", "-").replace("/", "_") for one in coded),
    }  # fmt: skip


def echo(secret: str) -> str:
    """Words that hold a secret in every form, alone and inside of others."""
    basic = base64.b64encode(f"x-access-token:{secret}".encode()).decode()
    return f"Bearer {secret} ?key={quote(secret, safe='')}& {quote(secret, safe='').lower()} {secret.upper()} {basic} a{basic}"


PLANTED = forms(KEY) | forms(TOKEN)


def found_in(text: str) -> list[str]:
    """The forms of both secrets that a text holds."""
    return sorted(form for form in PLANTED if form in text)


def found_below(root: Path) -> list[str]:
    """The files below a folder that hold a form, or have one in their name."""
    return [
        str(path)
        for path in root.rglob("*")
        if found_in(str(path.relative_to(root)))
        or (path.is_file() and found_in(path.read_bytes().decode("utf-8", "replace")))
    ]


def objects(repository: Path) -> str:
    """Everything a repository holds, unpacked: texts, trees, messages and the names of branches."""
    said = ""
    for command in (["cat-file", "--batch-all-objects", "--batch"], ["for-each-ref"], ["reflog", "--all"]):
        ended = subprocess.run(["git", *command], cwd=repository, capture_output=True, check=True)
        said += ended.stdout.decode("utf-8", "replace")
    return said


class Echoing:
    """The contract, by a server that says the key wherever it has words of its own.

    `one` comes through, though its stage is an echo; the job of `two` fails, and the save of `three`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._topics: dict[str, str] = {}
        self._staged: set[str] = set()
        self.seen_on_disk: list[str] = []
        """What was found in the files of the project while it ran: journal, cache and lock as they grow."""

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.seen_on_disk += found_below(self._root)
        where = path.removeprefix("/v1").split("?")[0]
        if (method, where) == ("POST", "/generate"):
            request = json.loads(body)
            self._topics[request["request_id"]] = request["inputs"]["topic"]
            return self._say({"request_id": request["request_id"], "status": "pending", "message": echo(KEY)}, 202)
        if (method, where) == ("POST", "/content/save"):
            if b"three" in body:
                return self._say({"detail": [{"loc": ["body", echo(KEY)], "msg": echo(KEY)}]}, 422)
            return self._say({"success": True, "id": "cnt_1", "message": echo(KEY)})
        if (method, where) == ("GET", "/content"):
            return self._say({"items": [], "content": [], "total": 0})
        topic = self._topics.get(where.rpartition("/")[2])
        if topic is None:
            return self._say({"error": {"code": "gone", "message": echo(KEY)}}, 404)
        if topic == "two":
            return self._say({"status": "failed", "error": echo(KEY)})
        if topic not in self._staged:
            self._staged.add(topic)
            return self._say({"status": "processing", "stage": echo(KEY), "progress": 5})
        return self._say({"status": "completed", "content": {"title": f"On {topic}", "body": f"All of {topic}.\n"}})

    @staticmethod
    def _say(value: Any, status: int = 200) -> Answer:
        return status, {"X-Echo": echo(KEY)}, json.dumps(value).encode()


class Job:
    """A runner of GitHub with both secrets in its environment; it remembers all that was printed."""

    def __init__(self, machine: Machine, invoke: Run, hub: FakeGitHub, folder: Path) -> None:
        folder.mkdir()
        self.machine, self.folder, self.hub = machine, folder, hub
        self._invoke = invoke
        self.printed = ""
        self.env = {
            **WHO, **hub.env(), "WRITERZROOM_API_KEY": KEY, "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "77",
            "GITHUB_SERVER_URL": "https://github.example", "GITHUB_WORKSPACE": str(machine.root),
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "output"),
        }  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> Completed:
        """A command line of ours."""
        ended = self._invoke(*arguments, cwd=self.machine.root, env=self.env)
        self.printed += f"{ended.stdout}\n{ended.stderr}\n"
        assert ended.code == code, ended.stdout + ended.stderr
        return ended


def refusing(status: int) -> tuple[int, Any, dict[str, str]]:
    """A refusal of GitHub that says the token."""
    return status, {"message": echo(TOKEN)}, {"X-Echo": echo(TOKEN)}


def hook(world: World) -> None:
    """Lets the remote refuse its main branch, with the token in its words, quoted as a hook's words reach us."""
    lines = "".join(f"echo '{word}' >&2\n" for word in echo(TOKEN).split())
    script = f'while read -r old new ref; do\n[ "$ref" = refs/heads/main ] || continue\n{lines}exit 1\ndone'
    world.hook("pre-receive", script)


def test_the_key_and_the_token_are_nowhere(world: World, invoke: Run, hub: FakeGitHub, tmp_path: Path) -> None:
    """Plan, apply, its report and events, commit, pull request, comment, page, outputs, log, journal, cache and lock."""
    machine = world.clone("runner")
    server = Echoing(machine.root)
    job = Job(machine, invoke, hub, tmp_path / "runner-files")
    out = job.folder
    with Scripted(server) as api:
        machine.edit("contentops.yaml", "base_url: local", f'base_url: "{api.base_url}", requests_per_minute: 0')
        know_server(machine.root, api.base_url)
        machine.edit("contentops.yaml", "version: 1", "version: 1\nvars: {unused: 1}")
        for form in ("text", "json", "markdown"):
            job.run("plan", "--format", form, "--out", str(out / "plan.json"))
        for flags in ([], ["--json"]):
            job.run("show", str(out / "plan.json"), *flags)
        job.run("apply", str(out / "plan.json"), "--events", str(out / "events.ndjson"), code=3)
        (report,) = (machine.root / ".contentops/runs").glob("*.json")
        assert len(json.loads(report.read_text("utf-8"))["run"]["outcomes"]) == 3
        job.run("plan", "--check", str(out / "plan.json"))
        for words in (
            "status", "status --json", "state list", "state list --json", "state list --jobs --json",
            "show two --json", "diff one", "report --json", "content list",
        ):  # fmt: skip
            job.run(*words.split())
        for arguments in (["doctor"], ["catalog", "pull"], ["stats"], ["content", "get", "cnt_9"]):
            job.run(*arguments, code=1)
        job.run("apply", "--yes", "--json", code=3)
        held = [request[2].get("Authorization") for request in api.seen]
        assert set(held) == {f"Bearer {KEY}"}
    assert sorted(machine.changes()) == ["three", "two"]

    hook(world)
    hub.faults.append(("^POST /repos/acme/blog/pulls", lambda: refusing(403)))
    ended = job.run("commit")
    assert "Not on `main`" in ended.stdout
    assert "warning[github]: no pull request was made" in ended.stderr
    job.run("commit", "--json")
    hub.faults.append(("^POST .*comments", lambda: refusing(422)))
    job.run("comment", "--plan", str(out / "plan.json"), "--pr", "7", code=1)
    job.run("comment", "--plan", str(out / "plan.json"), "--pr", "7")
    hub.faults.append(("actions/runs", lambda: refusing(403)))
    job.run("find-plan", "--pr", "7", code=1)
    machine.write("content/wrong.yaml", manifest("one"))
    assert "::error file=content/" in job.run("validate", code=1).stderr

    assert len(hub.comments) == 1
    assert "3 to create" in (out / "summary.md").read_text()
    assert (hub.tokens, server.seen_on_disk, found_in(job.printed)) == ({f"Bearer {TOKEN}"}, [], [])
    assert (found_below(machine.root), found_below(out)) == ([], [])
    assert found_in(json.dumps([hub.comments, hub.pulls])) == []
    for repository in (machine.root, world.remote):
        assert found_in(objects(repository)) == []


def test_a_push_that_fails_does_not_say_the_token(world: World, invoke: Run, hub: FakeGitHub, tmp_path: Path) -> None:
    """Where a server says it in its answer, on whichever stream git hands it on."""
    machine = world.clone("runner")
    machine.apply()
    job = Job(machine, invoke, hub, tmp_path / "runner-files")
    # A git that is an echo: what it says on a push is what a server could make it say.
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    shim = tmp_path / "bin/git"
    shim.parent.mkdir()
    words = echo(TOKEN).replace("'", "")
    shim.write_text(
        f'#!/bin/sh\ncase " $* " in *" push "* | *" ls-remote "*) echo \'remote: {words}\' >&2\n'
        f"printf '!\\tHEAD:refs/heads/main\\t[remote rejected] ({words})\\n'; exit 1 ;; esac\nexec {real} \"$@\"\n"
    )
    shim.chmod(0o755)
    job.env["PATH"] = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
    ended = job.run("commit", "--direct", code=1)
    assert "rejects pushes" in ended.stderr
    machine.write("content/more.yaml", manifest("four"))
    ended = job.run("apply", "--yes", code=1)
    assert "`git ls-remote` failed: remote: Bearer ***" in ended.stderr
    assert found_in(job.printed) == []
