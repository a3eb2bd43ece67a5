"""A hostile or broken server: files, terminal and outside stay clean; the key it echoes is in `test_planted_secrets`."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.fakes.harness import know_server
from tests.processes import KEY, PROJECT, Scripted, blog
from tests.test_planted_secrets import forms

if TYPE_CHECKING:
    from pathlib import Path

    from tests.processes import Answer
    from tests.running import Build, Completed, Run

ENV = {"WRITERZROOM_API_KEY": KEY}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
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
    files = {"contentops.yaml": told, "content/blog.yaml": blog("one")}
    root = build(files, at="outer/project")
    know_server(root, server.base_url)
    (root.parent / "outside.txt").write_text("not ours\n")
    return root


def _clean(root: Path, ended: Completed) -> None:
    """Nothing of a traceback, of terminal commands or of the key anywhere, and nothing outside the project."""
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said
    assert "error[bug]" not in said
    assert not CONTROLS.search(said)
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside.txt", "project"]
    assert (root.parent / "outside.txt").read_text() == "not ours\n"
    _holds_no_key(root, said)


def _holds_no_key(root: Path, said: str) -> None:
    for form in forms(KEY):
        assert form not in said
        for path in root.rglob("*"):
            assert not path.is_file() or form.encode() not in path.read_bytes(), path


TITLES = {
    "line break": "T\n---\ncontentops: {item: evil}\n---\n",
    "terminal": "\x1b]0;evil\x07\x1b[2J\x1b[31mT",
    "surrogate": "T\ud800",
    "YAML": "{a: [b, *c]} # &x !!python/object",
    "long": "T" * 5000,
    "template": "{{ 7 * 7 }}",
}
BODIES = {
    "fence first": "---\ncontentops: {item: evil}\n---\nText.\n",
    "TOML fence": "+++\ndraft = true\n+++\nText.\n",
    "CRLF": "One.\r\nTwo.\r\n",
    "two megabytes": "A line of text.\n" * 131_072,
    "terminal": "\x1b[2J\x1b]8;;http://evil.test\x07Text.\x9b31m\n",
    "surrogates": "Half \ud83d, whole \U0001f600.\n",
    "separators": "One.\u2028Two.\u0085Three.\x0bFour.\n",
}


def _hostile_text(build: Build, invoke: Run, script: Hostile) -> tuple[Path, str]:
    """Applies, twice; gives the root and the file."""
    with Scripted(script) as server:
        root = _project(build, server)
        ended = invoke("apply", "--yes", cwd=root, env=ENV)
        _clean(root, ended)
        assert ended.code == 0, ended.stdout + ended.stderr
        sent = len(server.seen)
        again = invoke("apply", "--yes", cwd=root, env=ENV)
        assert (again.code, len(server.seen)) == (0, sent), again.stdout
        assert "No changes" in again.stdout
    assert [path.name for path in (root / "out").iterdir()] == ["one.md"]
    text = (root / "out" / "one.md").read_bytes().decode()
    assert not CONTROLS.search(text)
    assert text.endswith("\n")
    return root, text


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
def test_hostile_titles(project: Build, invoke: Run, title: str) -> None:
    """One line of front matter, whatever the title holds; the second apply finds nothing to do."""
    import yaml

    _, text = _hostile_text(project, invoke, Hostile(title=title))
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    front = yaml.safe_load(head)
    assert front["contentops"]["item"] == "one"
    assert "\n" not in str(front.get("title", ""))
    assert body.strip() == "Text."


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_hostile_bodies(project: Build, invoke: Run, body: str) -> None:
    """The front matter stays ours, the text survives, and the second apply finds nothing to do."""
    import yaml

    _, text = _hostile_text(project, invoke, Hostile(body=body))
    head = text.removeprefix("---\n").partition("\n---\n")[0]
    assert yaml.safe_load(head)["contentops"]["item"] == "one"
    assert "\r" not in text


@pytest.mark.parametrize(
    "job", ["../../admin", "a/b", "x\r\nX-Evil: 1", "a b", "\x1b[2J", "j" * 5000, "?a=1#b"], ids=repr
)
def test_hostile_job_ids(project: Build, invoke: Run, job: str) -> None:
    """No such id becomes an address: the submit is looked up by our own id, and never sent again unasked."""
    with Scripted(Hostile(job=job)) as server:
        root = _project(project, server)
        ended = invoke("apply", "--yes", cwd=root, env=ENV)
        _clean(root, ended)
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
    "404": (_reply({"detail": f"Template 'x' not found {ECHO}"}, 404), 3, "not found"),
    "422": (_reply({"detail": [{"loc": ["body", "x"], "msg": f"no {ECHO}"}]}, 422), 3, "no "),
    "500": (_reply({"detail": f"boom {ECHO}"}, 500), 3, "state resolve"),
    "HTML with 200": ((200, {"Content-Type": "text/html"}, PAGE), 3, "HTML page"),
    "cut": ((202, {}, b'{"request_id": "a'), 3, ""),
    "nested": ((202, {}, b"[" * 100_000), 3, ""),
    "wrong gzip": ((202, {"Content-Encoding": "gzip"}, b"no gzip"), 3, ""),
}


@pytest.mark.parametrize(("answer", "code", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refused_submits(project: Build, invoke: Run, answer: Answer, code: int, says: str) -> None:
    """The server's words without the key it echoes, the right exit code, and at most one paid request."""

    def script(method: str, _path: str, _body: bytes) -> Answer:
        return answer if method == "POST" else _reply({"detail": "Not found"}, 404)

    with Scripted(script) as server:
        root = _project(project, server)
        ended = invoke("apply", "--yes", cwd=root, env=ENV)
        assert sum(seen[0] == "POST" for seen in server.seen) == 1
    assert ended.code == code, ended.stdout + ended.stderr
    assert says in ended.stdout
    _clean(root, ended)
    assert not (root / "out").exists()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_elsewhere(project: Build, invoke: Run, status: int) -> None:
    """Another host never hears of it."""
    with Scripted(Hostile()) as other:

        def script(_method: str, path: str, _body: bytes) -> Answer:
            return status, {"Location": f"{other.base_url}{path.removeprefix('/v1')}?key={KEY}"}, b""

        with Scripted(script) as server:
            root = _project(project, server)
            ended = invoke("apply", "--yes", cwd=root, env=ENV)
            assert server.seen
    assert other.seen == []
    assert ended.code == 3, ended.stdout
    assert "redirect" in ended.stdout
    _clean(root, ended)


@pytest.mark.parametrize("key", ["wrk live", "wrk\nlive", "wrk\x1b[2J", "wrk\u00e9"], ids=repr)
def test_a_key_no_header_can_carry(project: Build, invoke: Run, key: str) -> None:
    """It is refused before anything is sent, by the name of its variable alone."""
    with Scripted(Hostile()) as server:
        root = _project(project, server)
        ended = invoke("apply", "--yes", cwd=root, env={"WRITERZROOM_API_KEY": key})
        assert server.seen == []
    assert ended.code == 1, ended.stdout
    assert "WRITERZROOM_API_KEY" in ended.stderr
    assert key not in ended.stdout + ended.stderr
