"""A password of a ledger is planted; then everything that is printed, written or can be seen is looked through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from contentops.ledger.session import LedgerAway, LedgerSession
from tests.processes import KEY, PROJECT, Served, applying, blog
from tests.test_planted_secrets import forms

if TYPE_CHECKING:
    from tests.running import Build, Run

PASSWORD = "pg_9f3A+b/7Q=planted~Pass@word"
PLANTED = forms(PASSWORD) | forms(KEY)
READING: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("plan", "--json"),
    ("plan", "--format", "markdown"),
    ("status",),
    ("status", "--json"),
    ("state", "list", "--json"),
    ("state", "resolve"),
    ("report", "--runs", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("ledger", "status"),
    ("ledger", "status", "--json"),
)


def _found(text: str) -> list[str]:
    return sorted(form for form in PLANTED if form in text)


def _below(root: Path) -> list[str]:
    return [
        str(path) for path in root.rglob("*") if path.is_file() and _found(path.read_bytes().decode("utf-8", "replace"))
    ]


def _with_password(database: str, **changed: str) -> str:
    parts = {**conninfo_to_dict(database), **changed}
    place = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
    return f"postgresql://{parts['user']}:{quote(PASSWORD, safe='')}@{place}"


def _site(project: Build, base_url: str, extra: str = "") -> Path:
    return project(
        {"contentops.yaml": PROJECT.format(base_url=base_url, extra=extra), "content/a.yaml": blog("a", "b")}, at="site"
    )


@pytest.mark.parametrize("where", ["in the address", "in PGPASSWORD"])
def test_the_password_is_nowhere(
    project: Build, run: Run, invoke: Run, tmp_path: Path, database: str, where: str
) -> None:
    """Plan, apply with its events and report, every reader, files, process titles, and the tables."""
    url = _with_password(database) if where == "in the address" else database
    env = {"CONTENTOPS_LEDGER": url, "WRITERZROOM_API_KEY": KEY}
    env |= {"PGPASSWORD": PASSWORD} if where == "in PGPASSWORD" else {}
    said = ""
    with Served(tmp_path / "store.db", stage_seconds=0.2) as server:
        root = _site(project, server.base_url)
        with applying(root, "--select", "a", env=env) as first:
            first.until("step-done", "submit")
            for seen in Path("/proc").glob(f"{first.process}/c*"):
                said += seen.read_bytes().decode("utf-8", "replace") if seen.name in {"cmdline", "comm"} else ""
            with psycopg.connect(database) as connection:
                said += str(connection.execute("SELECT * FROM pg_stat_activity").fetchall())
            held = run("apply", "--yes", cwd=root, env=env)
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
        for table in ("account", "fact", "runner", "job", "claim", "text", "applying"):
            said += str(connection.execute(f"SELECT * FROM contentops.{table}").fetchall())
    assert "done" in said
    assert _found(said) == []
    assert _below(root) == []


@pytest.mark.parametrize("trouble", ["no one there", "no such database", "no address", "a password in two places"])
def test_the_password_is_in_no_message(project: Build, invoke: Run, database: str, trouble: str) -> None:
    """Whatever goes wrong with the address."""
    urls = {
        "no one there": _with_password(database, port="1"),
        "no such database": _with_password(database, dbname="none"),
        "no address": f"postgresql:/{PASSWORD}@127.0.0.1/x",
        "a password in two places": f"{_with_password(database, port='1')}?password={quote(PASSWORD, safe='')}",
    }
    root = _site(project, "http://127.0.0.1:9/v1")
    env = {"CONTENTOPS_LEDGER": urls[trouble], "WRITERZROOM_API_KEY": KEY}
    for command in (*READING, ("apply", "--yes"), ("state", "rm", "a")):
        done = invoke(*command, cwd=root, env=env)
        assert "Traceback" not in done.stderr
        assert _found(done.stdout + done.stderr) == [], command
    assert _below(root) == []


def test_a_password_in_the_repository_is_refused_and_not_shown(project: Build, invoke: Run) -> None:
    """Also where it is spelt so that a pattern misses it."""
    for url in (
        f"postgresql://me:{PASSWORD}@db.example/x",
        f"postgresql://db.example/x?%70assword={quote(PASSWORD, safe='')}",
    ):
        root = _site(project, "http://127.0.0.1:9/v1", f"ledger: {json.dumps(url)}")
        for command in (("validate",), ("plan", "--json"), ("apply", "--yes")):
            done = invoke(*command, cwd=root, env={"WRITERZROOM_API_KEY": KEY})
            assert _found(done.stdout + done.stderr) == [], (url, command)
            assert done.code != 0 or command[0] != "apply"


def test_a_traceback_does_not_show_it(database: str) -> None:
    """Not even one of our own mistake, with the values of every frame that `repr` tells."""
    url = _with_password(database, port="1")
    with pytest.raises(LedgerAway) as caught:
        LedgerSession(url, patience=0)
    assert _found("".join(map(str, (caught.value, caught.value.__cause__, caught.value.__context__)))) == []


def test_without_the_driver_it_is_said_how_to_get_it(project: Build, database: str) -> None:
    """By everyone who needs it, in one sentence; a project without a ledger needs none."""
    root = _site(project, "http://127.0.0.1:9/v1")
    hidden = (
        "import sys; sys.modules['psycopg'] = None; from contentops.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )

    def run(*arguments: str, **env: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", hidden, *arguments],
            cwd=root,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    for command in (("plan",), ("apply", "--yes"), ("status",)):
        ended = run(*command, CONTENTOPS_LEDGER=database)
        assert ended.returncode == 1
        assert "error[ledger-driver]" in ended.stderr
        assert "install `psycopg[binary]` into" in ended.stderr
    for line in ("plan", "ledger --help", "ledger status --help"):
        assert run(*line.split()).returncode == 0, line
