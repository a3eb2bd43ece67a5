"""Hostile and broken projects and servers through the whole command line: clear words, and nothing outside touched."""

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.fakes.harness import know_server
from tests.processes import KEY, PROJECT, Answer, Scripted, blog
from tests.running import Build, Completed, Run
from tests.test_planted_secrets import forms

SETTINGS = """\
version: 1
project: acme-blog
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
INPUTS = "inputs: {topic: T, target_audience: readers}"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _item(id_: str = "one", **fields: str) -> str:
    own = "".join(f"    {key}: {value}\n" for key, value in fields.items())
    return f"items:\n  - id: {id_}\n    {INPUTS}\n{own}"


def _survey(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
        for parent, _, names in os.walk(folder)
        for path in (os.path.join(parent, name) for name in names)  # noqa: PTH118 - walked with bytes-safe os
    }


def _refused(build: Build, invoke: Run, files: dict[str, str | bytes]) -> Completed:
    """Applies a project below an outer folder; it has to fail cleanly and to leave everything as it was."""
    root = build({"contentops.yaml": SETTINGS, **files}, at="outer/project")
    (root.parent / "outside.txt").write_text("not ours\n")
    before = _survey(root.parent)
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == 1, ended.stdout + ended.stderr
    assert ("error[" in ended.stderr, "error[bug]" in ended.stderr) == (True, False)
    assert not CONTROLS.search(ended.stdout + ended.stderr)
    assert len(ended.stderr) < 100_000
    after = {path: seen for path, seen in _survey(root.parent).items() if "/.contentops/" not in path}
    assert after == before
    return ended


_LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(10))

YAML: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (f"{_LAUGHS}items: *a9\n", "alias"),
    "python object": ('items: !!python/object/apply:os.system ["touch ../outside.txt"]\n', "content/blog.yaml:1:8"),
    "escape character": (b"items:\n  - id: a\x1b[2Jb\n", "content/blog.yaml"),
    "surrogate": (_item('"a\\ud800"'), "content/blog.yaml:2:"),
}


@pytest.mark.parametrize(("text", "says"), YAML.values(), ids=YAML)
def test_hostile_yaml(project: Build, invoke: Run, text: str | bytes, says: str) -> None:
    """No bomb, tag or odd character gets further than its message."""
    assert says in _refused(project, invoke, {"content/blog.yaml": text}).stderr


@pytest.mark.parametrize(("find", "put", "codes"), [
    ("out/one.md", "../outside.txt", {1, 3}), ("out/one.md", "/tmp/outside.txt", {1, 3}),
    ("out/one.md", ".git/config", {1, 3}), ('"one"', '"o\\u001b[2Jne"', {0, 1}),
    ('"contentops_lock":2', '"contentops_lock":99', {1}), ("sha256:", "md5:", {0, 1, 3}),
    ('"rev":1', '"rev":1e400', {1}), ("\n", "\n<<<<<<< HEAD\n", {1}), ("\n", "\n{\n", {1}),
], ids=["outside", "absolute", "git", "escape", "newer", "digest", "number", "conflict marker", "cut line"])  # fmt: skip
def test_a_lock_that_someone_tampered_with(project: Build, invoke: Run, find: str, put: str, codes: set[int]) -> None:
    """A lock is no more trusted than a manifest: no file outside is moved, read into the plan or removed."""
    root = project({"contentops.yaml": SETTINGS, "content/blog.yaml": _item()}, at="outer/project")
    assert invoke("apply", "--yes", cwd=root).code == 0
    outside = root.parent / "outside.txt"
    outside.write_text("not ours\n")
    lock = root / "contentops.lock"
    lock.write_text(lock.read_text().replace(find, put))
    (root / "content" / "blog.yaml").write_text("items: []\n")
    ended = invoke("apply", "--yes", "--prune", "--approve-empty", "--approve-changes", cwd=root)
    assert ended.code in codes, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not CONTROLS.search(ended.stdout + ended.stderr)
    assert outside.read_text() == "not ours\n"


@pytest.mark.parametrize(
    ("occupied", "code"),
    [("out", 3), ("out/one.md/", 3), ("contentops.lock/", 1), (".contentops", 1), (".contentops/journal.jsonl/", 1)],
)
def test_something_else_is_in_the_way(project: Build, invoke: Run, occupied: str, code: int) -> None:
    """A file where a folder belongs, or the other way round: told by name before anything is submitted."""
    root = project({"contentops.yaml": SETTINGS, "content/blog.yaml": _item()})
    if occupied.endswith("/"):
        (root / occupied).mkdir(parents=True)
    else:
        (root / occupied).write_text("someone's\n")
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == code, ended.stdout + ended.stderr
    assert occupied.rstrip("/") in ended.stdout + ended.stderr
    assert ("Traceback" in ended.stderr, "submitted" in ended.stderr) == (False, False)


ENV = {"WRITERZROOM_API_KEY": KEY}
BEARER = f"Bearer {KEY}"


def _reply(value: Any, status: int = 200, **headers: str) -> Answer:
    return status, headers, json.dumps(value).encode()


class Hostile:
    """A script for `Scripted`: the contract, but with a text and ids of its own choice."""

    def __init__(self, *, title: str = "T", body: str = "Text.\n", job: str = "", content: str = "cnt_1") -> None:
        self._title = title
        self._body = body
        self._job = job
        self._content = content
        self._submitted = False

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        match method, path.removeprefix("/v1").split("?")[0]:
            case "POST", "/generate":
                self._submitted = True
                return _reply({"request_id": self._job or json.loads(body)["request_id"], "status": "pending"}, 202)
            case "POST", "/content/save":
                return _reply({"success": True, "id": self._content})
            case "GET", "/content":
                return _reply({"items": [], "content": [], "total": 0})
            case "GET", found if found.startswith("/generate/status/") and self._submitted and not self._job:
                return _reply({"status": "completed", "content": {"title": self._title, "body": self._body}})
            case _:
                return _reply({"detail": "Not found"}, 404)


def _project(build: Build, server: Scripted) -> Path:
    # A server that lists nothing: the dialect is stated.
    told = PROJECT.format(base_url=server.base_url, extra="").replace("api: {", "api: {dialect: v1, ")
    root = build({"contentops.yaml": told, "content/blog.yaml": blog("one")}, at="outer/project")
    know_server(root, server.base_url)
    (root.parent / "outside.txt").write_text("not ours\n")
    return root


def _applied(build: Build, invoke: Run, server: Scripted, env: Mapping[str, str] = ENV) -> tuple[Path, Completed]:
    """Applies to a server: no traceback, terminal command or key anywhere, and nothing outside the project."""
    root = _project(build, server)
    ended = invoke("apply", "--yes", cwd=root, env=env)
    said = ended.stdout + ended.stderr
    assert [words for words in ("Traceback", "error[bug]") if words in said] == []
    assert not CONTROLS.search(said)
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside.txt", "project"]
    assert (root.parent / "outside.txt").read_text() == "not ours\n"
    for form in forms(KEY):
        assert form not in said
        for path in root.rglob("*"):
            assert not path.is_file() or form.encode() not in path.read_bytes(), path
    return root, ended


TITLES = {
    "line break": "T\n---\ncontentops: {item: evil}\n---\n", "terminal": "\x1b]0;evil\x07\x1b[2J\x1b[31mT",
    "surrogate": "T\ud800", "YAML": "{a: [b, *c]} # &x !!python/object",
}  # fmt: skip
BODIES = {
    "fence first": "---\ncontentops: {item: evil}\n---\nText.\n", "two megabytes": "A line of text.\r\n" * 131_072,
    "terminal": "\x1b[2J\x1b]8;;http://evil.test\x07Text.\x9b31m\n", "surrogates": "Half \ud83d, whole \U0001f600.\n",
}  # fmt: skip


TEXTS = {
    **{f"title, {name}": {"title": title} for name, title in TITLES.items()},
    **{f"body, {name}": {"body": body} for name, body in BODIES.items()},
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_texts(project: Build, invoke: Run, text: dict[str, str]) -> None:
    """The front matter stays ours, one line for its title; the text survives; the second apply has nothing to do."""
    with Scripted(Hostile(**text)) as server:
        root, ended = _applied(project, invoke, server)
        assert ended.code == 0, ended.stdout + ended.stderr
        sent = len(server.seen)
        again = invoke("apply", "--yes", cwd=root, env=ENV)
        assert (again.code, len(server.seen), "No changes" in again.stdout) == (0, sent, True), again.stdout
    assert [path.name for path in (root / "out").iterdir()] == ["one.md"]
    written = (root / "out" / "one.md").read_bytes().decode()
    assert not CONTROLS.search(written)
    head, _, body = written.removeprefix("---\n").partition("\n---\n")
    front = yaml.safe_load(head)
    assert (front["contentops"]["item"], "\n" in str(front.get("title", ""))) == ("one", False)
    assert ("\r" in body, body.endswith("\n")) == (False, True)
    assert "body" in text or body.strip() == "Text."


@pytest.mark.parametrize("job", ["../../admin", "x\r\nX-Evil: 1", "\x1b[2J", "?a=1#b"], ids=repr)
def test_hostile_job_ids(project: Build, invoke: Run, job: str) -> None:
    """No such id becomes an address: the submit is looked up by our own id, and never sent again unasked."""
    with Scripted(Hostile(job=job)) as server:
        _, ended = _applied(project, invoke, server)
        assert ended.code == 3, ended.stdout
        assert sum(seen[0] == "POST" for seen in server.seen) == 1
        assert all(
            re.fullmatch(r"/v1/(generate(/status/[0-9a-f-]{36})?|content(\?.*)?|templates|style-profiles)", seen[1])
            for seen in server.seen
        )


PAGE = b"<!DOCTYPE html><html><body><script>alert(1)</script>Sign in</body></html>"
ECHO = f"{BEARER} {quote(KEY, safe='')} {base64.b64encode(KEY.encode()).decode()} \x1b[2J"

REFUSALS: dict[str, tuple[Answer, int, str]] = {
    "401": (_reply({"error": {"code": "unauthorized", "message": f"bad key {ECHO}"}}, 401), 3, "WRITERZROOM_API_KEY"),
    "402": (_reply({"error": {"message": f"no credits {ECHO}"}}, 402), 5, "no credits"),
    "422": (_reply({"detail": [{"loc": ["body", "x"], "msg": f"no {ECHO}"}]}, 422), 3, "no "),
    "500": (_reply({"detail": f"boom {ECHO}"}, 500), 3, "state resolve"),
    "HTML with 200": ((200, {"Content-Type": "text/html"}, PAGE), 3, "HTML page"),
    "nested": ((202, {}, b"[" * 100_000), 3, ""),
}


@pytest.mark.parametrize(("answer", "code", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refused_submits(project: Build, invoke: Run, answer: Answer, code: int, says: str) -> None:
    """The server's words without the key it echoes, the right exit code, and at most one paid request."""

    def script(method: str, _path: str, _body: bytes) -> Answer:
        return answer if method == "POST" else _reply({"detail": "Not found"}, 404)

    with Scripted(script) as server:
        root, ended = _applied(project, invoke, server)
        assert sum(seen[0] == "POST" for seen in server.seen) == 1
    assert (ended.code, says in ended.stdout) == (code, True), ended.stdout + ended.stderr
    assert not (root / "out").exists()


def test_no_redirect_takes_the_key_elsewhere(project: Build, invoke: Run) -> None:
    """Another host never hears of it."""
    with Scripted(Hostile()) as other:

        def script(_method: str, path: str, _body: bytes) -> Answer:
            return 307, {"Location": f"{other.base_url}{path.removeprefix('/v1')}?key={KEY}"}, b""

        with Scripted(script) as server:
            _, ended = _applied(project, invoke, server)
            assert server.seen
    assert (other.seen, ended.code, "redirect" in ended.stdout) == ([], 3, True), ended.stdout


@pytest.mark.parametrize("key", ["wrk\nlive", "wrk\x1b[2J", "wrk\u00e9"], ids=repr)
def test_a_key_no_header_can_carry(project: Build, invoke: Run, key: str) -> None:
    """It is refused before anything is sent, by the name of its variable alone."""
    with Scripted(Hostile()) as server:
        _, ended = _applied(project, invoke, server, {"WRITERZROOM_API_KEY": key})
        assert server.seen == []
    assert (ended.code, "WRITERZROOM_API_KEY" in ended.stderr, key in ended.stdout + ended.stderr) == (1, True, False)
