"""Which ledger may be used: one that a list outside the repository names; and how a server may ask for a password."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from msgspec import structs
from psycopg.conninfo import conninfo_to_dict

from contentops.api import trust
from contentops.errors import Refused
from contentops.ledger.session import LedgerAway, LedgerSession, beyond_plain, remote_servers
from contentops.model import Project
from contentops.operations.ledger import address
from contentops.operations.opening import Runtime, open_project
from tests.processes import KEY, PROJECT, Served, applying, blog
from tests.running import Build, Run
from tests.test_planted_secrets import forms

FOREIGN = "postgresql://me@ledger.invalid/acme"
PLACE = "postgresql://ledger.invalid:5432"
PASSWORD = "planted-9f3A"


def _site(project: Build, url: str) -> Path:
    settings = PROJECT.format(base_url="http://127.0.0.1:9/v1", extra=f"ledger: '{url}'")
    return project({"contentops.yaml": settings, "content/a.yaml": blog("a")}, at="site")


def _open(project: Build, url: str) -> Project:
    return open_project(str(_site(project, url)), "", ())


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A person with a home of their own."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "home")}


def _config(home: dict[str, str], text: str = "") -> Path:
    path = Path(home["XDG_CONFIG_HOME"]) / "contentops/config.yaml"
    if text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("url", "expected"), [
    ("postgresql://h/d", ["h:5432"]), ("postgresql://me@H.Example:6000/d", ["h.example:6000"]),
    ("postgresql://one,two:1/d", ["one:5432", "one:1", "two:5432", "two:1"]),
    ("postgresql://localhost/d?hostaddr=192.0.2.1", ["192.0.2.1:5432"]),
    ("postgresql://[2001:db8::1]/d", ["2001:db8::1:5432"]), ("postgresql://localhost:6000/d", []),
    ("postgresql://127.0.0.1/d", []), ("postgresql://[::1]/d", []), ("postgresql:///d", []),
    ("postgresql:///d?host=/var/run/postgresql", []), ("postgresql:///d?service=acme", []),
    ("postgresql:///d?host=evil.example", ["evil.example:5432"]),
])  # fmt: skip
def test_whom_an_address_leads_to(url: str, expected: list[str]) -> None:
    """Every host that it names and that is not this machine, with every port."""
    assert sorted(remote_servers(url)) == sorted(f"postgresql://{place}" for place in expected)


def test_an_address_in_a_file_says_where_the_ledger_is_and_no_more() -> None:
    """Nothing of how one proves who one is, and no file of this machine."""
    assert beyond_plain("postgresql://me@h:1/d?sslmode=verify-full&target_session_attrs=read-write") == ()
    files = ("passfile=/x", "sslkeylogfile=/x")
    for setting in (
        "sslmode=require",
        "sslmode=disable",
        "require_auth=password",
        *files,
        "password=x",
        "options=-c%20a%3Db",
    ):
        assert beyond_plain(f"postgresql://h/d?{setting}") == (setting.partition("=")[0],)


def test_apply_uses_no_ledger_that_only_the_repository_names(project: Build, invoke: Run, home: dict[str, str]) -> None:
    """Refused with what to do; who only reads goes on without it, and says so."""
    root = _site(project, FOREIGN)
    env = {**home, "WRITERZROOM_API_KEY": "k", "PGPASSWORD": PASSWORD}
    ended = invoke("apply", "--yes", cwd=root, env=env)
    words = (
        f"error[unlisted-ledger]: a password must not be sent to `{PLACE}`",
        "CONTENTOPS_LEDGER",
        str(_config(home)),
    )
    assert (ended.code, [each for each in words if each not in ended.stderr]) == (4, [])
    for command in ("plan", "status"):
        read = invoke(command, "--json", cwd=root, env=env)
        assert (read.code, "unlisted-ledger" in {one["code"] for one in read.json["diagnostics"]}) == (0, True)
    checked = invoke("doctor", "--json", cwd=root, env=env)
    assert [one["ok"] for one in checked.json["checks"] if one["name"] == "ledger"] == [False]
    managed = invoke("ledger", "status", cwd=root, env=env)
    assert "error[unlisted-ledger]" in managed.stderr
    assert PASSWORD not in ended.stderr + checked.stdout + managed.stderr


def test_an_empty_variable_is_no_wish_to_have_no_ledger(project: Build, invoke: Run) -> None:
    """A secret that CI lacks: nothing is paid for; who only reads goes on without the ledger, and says so."""
    settings = PROJECT.format(base_url="http://127.0.0.1:9/v1", extra="")
    root = project({"contentops.yaml": settings, "content/a.yaml": blog("a")}, at="site")
    env = {"WRITERZROOM_API_KEY": "k", "CONTENTOPS_LEDGER": " "}
    for command in (("apply", "--yes"), ("state", "mv", "a", "b")):
        ended = invoke(*command, cwd=root, env=env)
        assert (ended.code, "error[ledger-address]: `CONTENTOPS_LEDGER` is set but empty" in ended.stderr) == (4, True)
    read = invoke("plan", "--json", cwd=root, env=env)
    assert (read.code, "ledger-address" in {one["code"] for one in read.json["diagnostics"]}) == (0, True)


def test_a_list_or_the_environment_lets_it_be_used(project: Build, invoke: Run, home: dict[str, str]) -> None:
    """Then it is asked for, and here no one answers."""
    root = _site(project, FOREIGN)
    for listed in ("ledger.invalid", "ledger.invalid:5432", "postgresql://Ledger.Invalid"):
        _config(home, f"ledgers: ['{listed}']\n")
        ended = invoke("apply", "--yes", cwd=root, env={**home, "WRITERZROOM_API_KEY": "k"})
        assert "error[ledger-away]" in ended.stderr, listed
    _config(home, "ledgers: [ledger.invalid:5433]\n")
    assert "unlisted-ledger" in invoke("apply", "--yes", cwd=root, env=home).stderr
    stated = invoke("apply", "--yes", cwd=root, env={**home, "CONTENTOPS_LEDGER": FOREIGN})
    assert "error[ledger-away]" in stated.stderr


def test_a_person_is_asked_once(project: Build, home: dict[str, str]) -> None:
    """And it is remembered beside what else their settings hold; a no is a refusal."""
    _config(home, "servers: [https://a.example]\n")
    found = _open(project, FOREIGN)
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    runtime = Runtime(environ=home, ask=ask)
    with pytest.raises(Refused):
        address(found, runtime)
    assert address(found, runtime) == address(found, runtime) == FOREIGN
    assert (len(asked), f"`{PLACE}`" in asked[0]) == (2, True)
    assert trust.own_config(home) == trust.OwnConfig(servers=("https://a.example",), ledgers=(PLACE,))


def test_what_a_file_may_not_say_is_refused_wherever_it_leads(project: Build) -> None:
    """Also for this machine: the settings of a connection are a person's."""
    found = _open(project, "postgresql://127.0.0.1/d?require_auth=password")
    with pytest.raises(Refused, match="may not say `require_auth`"):
        address(found, Runtime(environ={}))
    other = structs.replace(found, ledger="")
    assert address(other, Runtime(environ={"CONTENTOPS_LEDGER": found.ledger})) == found.ledger


class Asking:
    """What takes the place of PostgreSQL: it asks for a password in a way of its own, and keeps what it is told."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://me:{PASSWORD}@127.0.0.1:{self._socket.getsockname()[1]}/d?gssencmode=disable"
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            line, _ = self._socket.accept()
            with line:
                line.settimeout(5)
                while (head := line.recv(8)) and struct.unpack("!ii", head)[1] == 80877103:
                    line.sendall(b"N")  # no TLS here
                line.recv(4096)
                line.sendall(b"R" + struct.pack("!i", 4 + len(self._request)) + self._request)
                while data := line.recv(4096):
                    self.heard += data
                    break

    def close(self) -> None:
        self._thread.join(5)
        self._socket.close()


@pytest.fixture(params=[struct.pack("!i", 3), struct.pack("!i4s", 5, b"salt")], ids=["in clear", "as md5"])
def asking(request: pytest.FixtureRequest) -> Iterator[Asking]:
    """A server that asks for a password as none should."""
    server = Asking(request.param)
    yield server
    server.close()


@pytest.mark.skipif(psycopg.pq.version() < 160000, reason="this libpq cannot insist")
def test_no_password_goes_in_clear_or_as_md5(asking: Asking) -> None:
    """The connection ends before a word of it left, and the message does not say it."""
    with pytest.raises(LedgerAway) as caught:
        LedgerSession(asking.url, patience=0)
    asking.close()
    assert asking.heard == b""
    assert PASSWORD not in caught.value.message


def test_what_a_person_states_counts_more(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """`PGREQUIREAUTH` is theirs to set."""
    monkeypatch.setenv("PGREQUIREAUTH", "password,md5")
    with pytest.raises(LedgerAway):
        LedgerSession(asking.url, patience=0)
    asking.close()
    assert asking.heard.startswith(b"p")


HIDDEN = "pg_9f3A+b/7Q=planted~Pass@word"
READING: tuple[tuple[str, ...], ...] = (
    ("plan",), ("plan", "--json"), ("plan", "--format", "markdown"), ("status",), ("status", "--json"),
    ("state", "list", "--json"), ("state", "resolve"), ("report", "--runs", "--json"), ("doctor",),
    ("doctor", "--json"), ("ledger", "status"), ("ledger", "status", "--json"),
)  # fmt: skip


def _found(text: str) -> list[str]:
    return sorted(form for form in (forms(HIDDEN) | forms(KEY)) if form in text)


def _with_password(database: str, **changed: str) -> str:
    parts = {**conninfo_to_dict(database), **changed}
    place = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
    return f"postgresql://{parts['user']}:{quote(HIDDEN, safe='')}@{place}"


def _site_with_ledger(project: Build, base_url: str, extra: str = "") -> Path:
    return project(
        {"contentops.yaml": PROJECT.format(base_url=base_url, extra=extra), "content/a.yaml": blog("a", "b")}, at="site"
    )


@pytest.mark.parametrize("where", ["in the address", "in PGPASSWORD"])
def test_no_password_is_anywhere(
    project: Build, run: Run, invoke: Run, tmp_path: Path, database: str, where: str
) -> None:
    """Plan, apply with its events and report, every reader, files, process titles, and the tables."""
    url = _with_password(database) if where == "in the address" else database
    env = {"CONTENTOPS_LEDGER": url, "WRITERZROOM_API_KEY": KEY}
    env |= {"PGPASSWORD": HIDDEN} if where == "in PGPASSWORD" else {}
    said = ""
    with Served(tmp_path / "store.db", stage_seconds=0.5) as server:
        root = _site_with_ledger(project, server.base_url)
        with applying(root, "--select", "a", env=env) as first:
            first.until("step-done", "submit")
            for seen in Path("/proc").glob(f"{first.process}/c*"):
                said += seen.read_bytes().decode("utf-8", "replace") if seen.name in {"cmdline", "comm"} else ""
            with psycopg.connect(database) as connection:
                said += str(connection.execute("SELECT * FROM pg_stat_activity").fetchall())
            first.signal(signal.SIGSTOP)
            held = run("apply", "--yes", cwd=root, env=env)
            first.signal(signal.SIGCONT)
            assert held.code == 4
            said += held.stderr
            ended = first.end()
            assert ended.code == 0, ended.stderr
            said += ended.stdout + ended.stderr + json.dumps(first.seen)
        for command in (*READING, ("apply", "--yes", "--json")):
            done = invoke(*command, cwd=root, env=env)
            assert "Traceback" not in done.stderr
            said += done.stdout + done.stderr
    with psycopg.connect(database) as connection:
        for table in ("runner", "job", "claim", "limiter"):
            said += str(connection.execute(f"SELECT * FROM contentops.{table}").fetchall())
    assert "done" in said
    files = [path for path in root.rglob("*") if path.is_file()]
    assert (_found(said), [one for one in files if _found(one.read_bytes().decode("utf-8", "replace"))]) == ([], [])


def test_a_password_in_the_repository_is_refused_and_not_shown(project: Build, invoke: Run) -> None:
    """Also where it is spelt so that a pattern misses it."""
    for url in (
        f"postgresql://me:{HIDDEN}@db.example/x",
        f"postgresql://db.example/x?%70assword={quote(HIDDEN, safe='')}",
    ):
        root = _site_with_ledger(project, "http://127.0.0.1:9/v1", f"ledger: {json.dumps(url)}")
        for command in (("validate",), ("plan", "--json"), ("apply", "--yes")):
            done = invoke(*command, cwd=root, env={"WRITERZROOM_API_KEY": KEY})
            assert _found(done.stdout + done.stderr) == [], (url, command)
            assert done.code != 0 or command[0] != "apply"


def test_without_the_driver_it_is_said_how_to_get_it(project: Build, database: str) -> None:
    """By everyone who needs it, in one sentence; a project without a ledger needs none."""
    root = _site_with_ledger(project, "http://127.0.0.1:9/v1")
    hidden = (
        "import sys; sys.modules['psycopg'] = None; from contentops.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )

    def run(*arguments: str, **env: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", hidden, *arguments], cwd=root, env={**os.environ, **env}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    for command in (("plan",), ("apply", "--yes"), ("status",)):
        ended = run(*command, CONTENTOPS_LEDGER=database)
        assert (ended.returncode, "error[ledger-driver]" in ended.stderr) == (1, True)
        assert "install `psycopg[binary]` into" in ended.stderr
    for line in ("plan", "ledger --help", "ledger status --help"):
        assert run(*line.split()).returncode == 0, line
