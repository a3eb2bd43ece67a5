"""Where the key goes: to servers, and from variables, that a list outside the repository names."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.api import trust
from contentops.errors import InputError, Refused
from contentops.model import ApiSettings, Project
from contentops.operations import catalog, connection, doctor
from contentops.operations.connection import read_credentials
from contentops.operations.opening import Runtime, open_project
from tests.running import Build, Run
from tests.terminals import on_a_terminal

KEY = "wr_planted"
ELSEWHERE = "https://elsewhere.example:8443"
VENDOR = "https://api.writerzroom.com"
ITEM = (
    "items: [{id: a, template: blog_article_generator, style: general_blog, inputs: {topic: x, target_audience: y}}]\n"
)
ASKING = [["apply", "--yes"], ["doctor"], ["stats"], ["catalog", "pull"], ["content", "list"], ["content", "get", "x"]]
"""Every command that sends the key."""


def site(project: Build, api: str, at: str = "site") -> Path:
    """A project of one item, made by the embedded server, whose `api` is another by now."""
    settings = f"version: 1\nproject: acme\napi: {{{api}}}\n"
    return project({"contentops.yaml": settings, "content/a.yaml": ITEM}, at=at)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A person with a key and a home of their own."""
    return {"WRITERZROOM_API_KEY": KEY, "XDG_CONFIG_HOME": str(tmp_path / "home")}


def config(tmp_path: Path, text: str) -> Path:
    """That person's own settings."""
    path = tmp_path / "home/contentops/config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
@pytest.mark.parametrize(("api", "code"), [
    (f"base_url: '{ELSEWHERE}/v1'", "unlisted-server"),
    ("base_url: 'http://127.0.0.1:9/v1', key_env: AWS_SECRET_ACCESS_KEY", "unlisted-variable"),
    ("user_env: GITHUB_TOKEN", "unlisted-variable"),
])  # fmt: skip
def test_no_command_sends_what_it_should_not(
    invoke: Run, project: Build, home: dict[str, str], command: list[str], api: str, code: str
) -> None:
    """Not to a server that only the repository names, and no other variable than the key's; it says what to do."""
    env = {**home, "AWS_SECRET_ACCESS_KEY": "planted", "GITHUB_TOKEN": "planted"}
    ended = invoke(*command, cwd=site(project, api), env=env)
    said = ended.stdout + ended.stderr
    name = {"unlisted-server": "CONTENTOPS_SERVERS", "unlisted-variable": "CONTENTOPS_KEY_VARIABLES"}[code]
    assert f"`{name}`" in said
    assert str(Path(home["XDG_CONFIG_HOME"]) / "contentops/config.yaml") in said
    assert "planted" not in said
    if command == ["doctor"]:
        assert (ended.code, "failed  key: " in said, " server: " in said) == (1, True, False)
    else:
        assert (ended.code, f"error[{code}]" in said) == (4, True)


def test_nothing_is_sent_before_it_is_listed(project: Build, home: dict[str, str]) -> None:
    """Not a request, not even a free one; once it is listed, the key goes there and nowhere else."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404, json={"detail": "no"})

    found = open_project(str(site(project, f"base_url: '{ELSEWHERE}/v1', dialect: v1")), "", ())
    runtime = Runtime(environ=home, transport=httpx.MockTransport(answer), run=asyncio.run)
    deeds: list[Any] = [connection.stats, connection.contents, catalog.pull]
    for deed in deeds:
        with pytest.raises(Refused):
            deed(found, runtime=runtime)
    doctor.doctor(found, runtime)
    assert sent == []
    listed = Runtime(
        environ={**home, "CONTENTOPS_SERVERS": ELSEWHERE}, transport=httpx.MockTransport(answer), run=asyncio.run
    )
    doctor.doctor(found, listed)
    assert {str(one.url.netloc, "ascii") for one in sent} == {"elsewhere.example:8443"}
    assert {one.headers["Authorization"] for one in sent} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(("stated", "server", "may"), [
    (None, f"{VENDOR}:443", True),
    (" ", f"{VENDOR}:443", True),
    (None, "https://elsewhere.example:443", False),
    (None, "https://api.writerzroom.com:8443", False),
    (None, "https://api.writerzroom.com.elsewhere.example:443", False),
    (None, "http://127.0.0.1:8000", True),
    (None, "http://localhost:8000", True),
    (None, "https://[::1]:443", True),
    (None, "https://localhost.elsewhere.example:443", False),
    ("https://elsewhere.example", "https://elsewhere.example:443", True),
    ("https://elsewhere.example/v1", "https://elsewhere.example:443", True),
    ("Elsewhere.EXAMPLE", "https://elsewhere.example:443", True),
    ("https://a.example, https://b.example:8443\nc.example", "https://b.example:8443", True),
    ("https://a.example, https://b.example:8443\nc.example", "https://c.example:443", True),
    ("https://elsewhere.example", f"{VENDOR}:443", False),
    ("https://elsewhere.example", "http://127.0.0.1:8000", False),
    ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", True),
    ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8001", False),
    ("localhost:8000 [::1]:8000", "http://localhost:8000", True),
    ("localhost:8000 [::1]:8000", "http://[::1]:8000", True),
    ("https://elsewhere.example", "https://elsewhere.example:8443", False),
    ("https://elsewhere.example:x http://[", "https://elsewhere.example:443", False),
    ("example", "https://elsewhere.example:443", False),
])  # fmt: skip
def test_which_servers_may_have_the_key(stated: str | None, server: str, may: bool) -> None:
    """Those of `CONTENTOPS_SERVERS` alone; where that is not set, WriterzRoom's own and those on this machine."""
    environ = {} if stated is None else {"CONTENTOPS_SERVERS": stated}
    assert trust.may_have_key(server, environ) is may


def test_a_persons_own_list_adds_to_the_default(tmp_path: Path, home: dict[str, str]) -> None:
    """And counts for nothing where the environment has one."""
    config(tmp_path, f"servers: ['{ELSEWHERE}/v1']\nkey_variables: [ACME_KEY]\n")
    servers = (f"{VENDOR}:443", ELSEWHERE, "https://third.example:443")
    assert [trust.may_have_key(one, home) for one in servers] == [True, True, False]
    stated = {**home, "CONTENTOPS_SERVERS": "https://third.example"}
    assert [trust.may_have_key(one, stated) for one in servers] == [False, False, True]
    trust.check_variables(ApiSettings(key_env="ACME_KEY", user_env="WRITERZROOM_OTHER"), home)
    assert trust.secret_variables({**home, "ACME_KEY": "x", "PATH": "y"}) == {"WRITERZROOM_API_KEY", "ACME_KEY"}


@pytest.mark.parametrize(("text", "words"), [
    ("servers: [", "yaml-syntax"),
    ("servers: https://a.example\n", "may contain only the lists `servers`"),
    ("servers: [3]\n", "may contain only the lists `servers`"),
    ("server: [https://a.example]\n", "may contain only the lists `servers`"),
    ("- https://a.example\n", "may contain only the lists `servers`"),
])  # fmt: skip
def test_own_settings_that_can_not_be_used(
    invoke: Run, project: Build, tmp_path: Path, home: dict[str, str], text: str, words: str
) -> None:
    """They allow nothing, and the file is named."""
    path = config(tmp_path, text)
    ended = invoke("stats", cwd=site(project, f"base_url: '{ELSEWHERE}'"), env=home)
    assert (ended.code, words in ended.stderr, str(path) in ended.stderr) == (1, True, True)
    assert trust.secret_variables(home) == {"WRITERZROOM_API_KEY"}
    path.write_text("")  # as if there were none
    assert trust.own_config(home) == trust.own_config({}) == trust.OwnConfig()
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError):
        trust.own_config(home)


@pytest.fixture
def remote(project: Build) -> Project:
    """A project of a server that is on no list."""
    return open_project(str(site(project, f"base_url: '{ELSEWHERE}/v1'")), "", ())


def answering(asked: list[str], *, yes: bool) -> Callable[[str], bool]:
    """A person who answers alike each time."""

    def answer(question: str) -> bool:
        asked.append(question)
        return yes

    return answer


def test_a_person_is_asked_once(remote: Project, home: dict[str, str]) -> None:
    """A no is a refusal, a yes is kept for this server alone; where the environment has a list, no one is asked."""
    asked: list[str] = []
    for environ in (home, {**home, "CONTENTOPS_SERVERS": VENDOR}):
        with pytest.raises(Refused, match="must not be sent"):
            read_credentials(remote.api, Runtime(environ=environ, ask=answering(asked, yes=False)))
        assert (len(asked), trust.own_config(home).servers) == (1, ())
    runtime = Runtime(environ=home, ask=answering(asked, yes=True))
    for _ in range(2):
        assert read_credentials(remote.api, runtime).key == KEY
    assert (len(asked), ELSEWHERE in asked[1], KEY in asked[1]) == (2, True, False)
    assert trust.own_config(home).servers == (ELSEWHERE,)


@pytest.mark.parametrize(("before", "after"), [
    ("", f"servers:\n  - {ELSEWHERE}\n"),
    ("# mine\nkey_variables: [A]", f"# mine\nkey_variables: [A]\nservers:\n  - {ELSEWHERE}\n"),
    ("servers:\n  - https://a.example # ours\n", f"servers:\n  - {ELSEWHERE}\n  - https://a.example # ours\n"),
    *((text, "") for text in ("servers: [https://a.example]\n", "{}\n", "servers:\n- https://a.example\n", "\tx")),
])  # fmt: skip
def test_what_is_remembered_leaves_the_rest_as_it_is(
    tmp_path: Path, home: dict[str, str], before: str, after: str
) -> None:
    """Comments too; a file that cannot be added to (no `after`) is left to the person."""
    path = config(tmp_path, before)
    written = trust.remember(ELSEWHERE, home)
    assert (written, path.read_text("utf-8")) == (str(path) if after else "", after or before)
    assert trust.remember(ELSEWHERE, {}) == ""


def test_a_terminal_asks(project: Build, tmp_path: Path, home: dict[str, str], processes: None) -> None:
    """Before the first use; a no ends it, and nothing is remembered."""
    root = site(project, f"base_url: '{ELSEWHERE}/v1'")
    script = "import sys; from contentops.__main__ import main; sys.exit(main(['stats']))"
    seen = on_a_terminal(script, b"no\n", env=home, cwd=root)
    assert f"The server `{ELSEWHERE}`" in seen
    assert "error[unlisted-server]" in seen
    assert not (tmp_path / "home").exists()
