"""The flow for Prefect: its commands bring texts into files, and Prefect itself runs it where it is installed."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentops.errors import ExitCode
from tests.clones import posix
from tests.processes import KEY, PROJECT, Served, blog, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import Build, Run

FLOW = Path(__file__).parents[1] / "examples/prefect/flow.py"
PAGE = Path(__file__).parents[1] / "docs/how-to/run-from-an-orchestrator.md"
ELSEWHERE = os.environ.get("CONTENTOPS_TEST_PREFECT", "")
"""A Python that has Prefect; without it, this one may."""
PYTHON = ELSEWHERE or (sys.executable if importlib.util.find_spec("prefect") else "")
pytestmark = posix


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """One for each test."""
    with Served(tmp_path / "store.db") as served:
        yield served


@pytest.fixture
def site(project: Build, server: Served) -> Path:
    """A project of two items."""
    files = {"contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""), "content/blog.yaml": blog("a", "b")}
    return project(files, at="site")


def _constant(name: str) -> object:
    """What the flow says of a name."""
    for node in ast.parse(FLOW.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_the_flow_knows_every_exit_code() -> None:
    """It has a sentence for each one that its commands may end with, as the page has, and tries again the same ones."""
    codes = {int(code) for code in ExitCode} - {ExitCode.DONE, ExitCode.CHANGES}
    assert _constant("MEANS").keys() == codes  # type: ignore[attr-defined]
    rows = re.findall(r"^\| ([\d, ]+).*? \| (.*)", PAGE.read_text("utf-8"), re.MULTILINE)
    listed = {int(code): "again" in words for codes, words in rows for code in re.findall(r"\d+", codes)}
    assert listed.keys() == codes | {0}
    assert _constant("AGAIN") == {code for code, again in listed.items() if again}


def test_its_commands_bring_texts_into_files(invoke: Run, server: Served, site: Path, database: str) -> None:
    """Each text is paid for once."""
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    calls = re.findall(r"contentops\((\".*?)(?:, \*chosen)?\)", FLOW.read_text("utf-8"))
    commands = [[word.strip('" ') for word in call.split(",")] for call in calls]
    assert len(commands) == 1
    for words in commands:
        done = invoke(*[str(site) if word == "folder" else word for word in words], cwd=site.parent, env=env)
        assert done.code == 0, done.stderr
    assert sorted(tree(site)) == ["out/a.md", "out/b.md"]
    assert len(server.charges()) == 2


@pytest.mark.skipif(not PYTHON, reason="no Prefect: CONTENTOPS_TEST_PREFECT names a Python that has it")
def test_prefect_runs_the_flow(tmp_path: Path, server: Served, site: Path, database: str) -> None:
    """A command that is killed is tried again, and each text is paid for once."""
    shim = tmp_path / "bin/contentops"
    shim.parent.mkdir()
    killed = f'case "$*" in *apply*) mkdir "{tmp_path}/killed" 2>/dev/null && kill -9 $$;; esac'
    shim.write_text(f'#!/bin/sh\n{killed}\nexec "{sys.executable}" -m contentops "$@"\n')
    shim.chmod(0o755)
    quick = tmp_path / "flow.py"
    quick.write_text(re.sub(r"(?m)^DELAYS = .*", "DELAYS = [0.1]", FLOW.read_text("utf-8")))
    env = {
        **os.environ,
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "WRITERZROOM_API_KEY": KEY,
        "CONTENTOPS_LEDGER": database,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    done = subprocess.run(
        [PYTHON, str(quick), str(site)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "killed").exists()
    assert "Retry 1/1" in done.stdout + done.stderr
    assert sorted(tree(site)) == ["out/a.md", "out/b.md"]
    assert len(server.charges()) == 2
