"""Files that the command line is asked to write take the place of nothing but their like."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}
posix = pytest.mark.skipif(os.name == "nt", reason="links and devices of POSIX")
COMMANDS = {"--out": ("plan",), "--events": ("apply", "--yes", "--replace", "a")}


@pytest.fixture
def site(project: Build, invoke: Run) -> Path:
    """One item, made by the embedded server."""
    root = project(SITE)
    assert invoke("apply", "--yes", cwd=root).code == 0
    return root


@pytest.mark.parametrize("option", COMMANDS)
@pytest.mark.parametrize(
    "target",
    ["out/a.md", "contentops.lock", "contentops.yaml", "content/a.yaml", "contentops.staging.lock", "CONTENTOPS.YAML"],
)
def test_nothing_else_is_written_over(invoke: Run, site: Path, option: str, target: str) -> None:
    """Neither a text, nor the lock, nor the project, nor a name that is theirs."""
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    ended = invoke(*COMMANDS[option], option, target, cwd=site)
    assert (ended.code, "error[in-the-way]" in ended.stderr, target in ended.stderr) == (1, True, True), ended.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not (site / "contentops.staging.lock").exists()


def test_a_plan_takes_the_place_of_a_plan(invoke: Run, site: Path) -> None:
    """And of an empty file, as `mktemp` makes one."""
    (site / "plan.json").touch()
    for year in ("2026", "2027"):
        assert invoke("plan", "--out", "plan.json", "--var", f"year={year}", cwd=site).code == 0
        assert json.loads((site / "plan.json").read_text())["inputs"]["variables"] == [f"year={year}"]


def test_events_take_the_place_of_events(invoke: Run, site: Path) -> None:
    """The file says what the last run did."""
    (site / "events.ndjson").touch()
    for _ in range(2):
        assert invoke("apply", "--yes", "--replace", "a", "--events", "events.ndjson", cwd=site).code == 0
    kinds = [json.loads(line)["kind"] for line in (site / "events.ndjson").read_text().splitlines()]
    assert kinds.count("run-started") == 1


@pytest.mark.parametrize("text", ["[]", '{"format_version": "1.0"}', "{", "[" * 100_000, "NaN"])
@pytest.mark.parametrize("option", COMMANDS)
def test_json_of_another_kind_stays(invoke: Run, site: Path, option: str, text: str) -> None:
    """What is not certain to be ours is not."""
    (site / "data.json").write_text(text)
    assert invoke(*COMMANDS[option], option, "data.json", cwd=site).code == 1
    assert (site / "data.json").read_text() == text


@posix
def test_a_link_is_judged_by_what_it_leads_to(invoke: Run, site: Path) -> None:
    """Truncating the lock through a link truncates the lock."""
    (site / "events.ndjson").symlink_to("contentops.lock")
    before = (site / "contentops.lock").read_bytes()
    assert invoke("apply", "--yes", "--replace", "a", "--events", "events.ndjson", cwd=site).code == 1
    assert (site / "contentops.lock").read_bytes() == before


@posix
def test_a_plan_takes_the_place_of_no_device(invoke: Run, site: Path) -> None:
    """`--out /dev/null` would leave a file there; events may go to it."""
    ended = invoke("plan", "--out", "/dev/null", cwd=site)
    assert (ended.code, "is not a regular file" in ended.stderr) == (1, True)
    assert invoke("apply", "--yes", "--events", "/dev/null", cwd=site).code == 0


@posix
@pytest.mark.parametrize("name", ["pipe", ".", "content"])
def test_findings_take_the_place_of_no_device_and_no_folder(invoke: Run, site: Path, name: str) -> None:
    """Whoever may write to `/dev`, as in a container, would leave a file there; a pipe stands for a device here."""
    os.mkfifo(site / "pipe")
    ended = invoke("check", "--format", "sarif", "--out", name, cwd=site)
    assert (ended.code, "is not a regular file" in ended.stderr) == (1, True)
    assert (site / "pipe").is_fifo()


@pytest.mark.parametrize("command", [("plan", "--out", ""), ("plan", "--check", ""), ("apply", "--events", "")])
def test_an_empty_name_is_a_mistake(invoke: Run, site: Path, command: tuple[str, ...]) -> None:
    """An unset variable in a script must not turn a check into a fresh plan."""
    ended = invoke(*command, cwd=site)
    assert (ended.code, "it names no file" in ended.stderr, ended.stdout) == (64, True, "")
