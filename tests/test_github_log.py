"""What a runner of CI reads out of our log: annotations of ours, and no order of anyone else."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.cli import terminal
from contentops.cli.carry_out import Plain
from contentops.errors import Diagnostic, Location, Severity
from contentops.model import Action, Event, Result
from contentops.reporting.diagnostics import annotation_lines, inert, inert_json, outputs
from contentops.reporting.run import run_markdown
from contentops.sanitize import json_text
from tests.plans import make_change, make_outcome, make_plan, make_run
from tests.running import Run

RUNNER = {"GITHUB_ACTIONS": "true"}
SETTINGS = "version: 1\nproject: x\napi: {base_url: local}\n"
ORDER = "::error title=x::planted"


def obeyed(text: str) -> list[str]:
    """The lines a runner takes as orders: as its source reads them, but for the names of the commands."""
    lines = re.split(r"\r\n|\r|\n", text)
    new = [line for line in lines if re.match(r"::[^:]+?::", line.lstrip())]
    marks = re.compile(r"##(?:vso|teamcity)?\[[^\]]*\]|section_(?:start|end):[0-9]+:", re.IGNORECASE)
    return new + [line for line in lines if marks.search(line)]


@pytest.mark.parametrize("text", [
    ORDER, f"fine\n{ORDER}", f"fine\r{ORDER}", f"fine\r\n \t\u00a0\u3000{ORDER}", f"{ORDER}\n{ORDER}\n\n{ORDER}",
    "anywhere ##[add-mask]in a line", "###[error]x", "::stop-commands::token", "\x1c::error::x",
    "##vso[task.setvariable variable=a]b", "text ##VSO[task.complete result=Succeeded;]done",
    "##teamcity[buildStop comment='x']", "section_start:1:a[collapsed=true]\r\x1b[0Khidden",
    "a\nsection_end:1:a\r\x1b[0K",
])  # fmt: skip
def test_an_order_is_printed_and_not_obeyed(text: str) -> None:
    """Whatever line break or space stands before it."""
    assert obeyed(text)
    assert obeyed(inert(text)) == []


@given(st.lists(st.sampled_from([*":#[] \n\r\tae1\u00a0", "vso", "teamcity", "section_start", "section_end"])))
def test_no_text_gives_an_order(parts: list[str]) -> None:
    """Of all texts made of what orders are made of."""
    assert obeyed(inert("".join(parts))) == []


@pytest.mark.parametrize(
    "text",
    ["a :: b", ":::note\ntext\n:::", "C++ std::vector", "# heading [link]", "## teamcity [a]", "section_start: 1", ""],
)
def test_other_texts_are_left_as_they_are(text: str) -> None:
    """Directives of Markdown among them."""
    assert inert(text) == text


@given(st.dictionaries(st.text(), st.text(alphabet=':#[ \n\\"e') | st.sampled_from(["##vso[a]", "section_end:1:a"])))
def test_json_says_the_same(value: dict[str, str]) -> None:
    """The escape is JSON's own, so that programs read what was meant."""
    text = inert_json(json_text(value))
    assert (json.loads(text), obeyed(text)) == (value, [])


def test_what_we_print_goes_through_it(capfd: pytest.CaptureFixture[str], invoke: Run) -> None:
    """Results, messages, JSON and progress; without a runner nothing is changed."""
    assert (terminal.for_log(ORDER, {}), terminal.for_log(ORDER, RUNNER)) == (ORDER, r"\x3a:error title=x::planted")
    del capfd
    ended = invoke(f"{ORDER}\n{ORDER}", env=RUNNER)
    assert (ended.code, obeyed(ended.stdout)) == (64, [])
    assert [line for line in obeyed(ended.stderr) if not line.startswith("::error title=usage::")] == []


@pytest.mark.parametrize(
    "system",
    [RUNNER, {"CI": "true"}, {"TF_BUILD": "True"}, {"TEAMCITY_VERSION": "2026.1"}, {"JENKINS_URL": "http://j/"}],
)
def test_progress_gives_no_order(monkeypatch: pytest.MonkeyPatch, system: dict[str, str]) -> None:
    """The words of a server come at the start of no line as an order, whichever CI reads them."""
    for name, value in system.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    plain = Plain(stream)
    for item in ("::error::x", "##[error]y", "##vso[a]b", "##teamcity[a]", "section_start:1:a"):
        at, failed = "2026-01-01T00:00:00Z", {"result": "failed", "error": "a\n::error::b"}
        plain.show(Event(kind="item-done", at=at, item=item, data=failed))
        plain.show(Event(kind="step-done", at=at, item=item, step="submit"))
    assert stream.getvalue()
    assert obeyed(stream.getvalue()) == []


def test_a_file_gets_the_text_as_it_is(run: Run, project: Any, tmp_path: Path) -> None:
    """Redirected into a file, stdout is data that no one obeys."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST})
    seen = run("show", "a", cwd=root, env=RUNNER)
    assert (obeyed(seen.stdout), r"\x3a:error::planted" in seen.stdout) == ([], True)
    with (tmp_path / "out").open("wb") as file:
        command = [sys.executable, "-m", "contentops", "show", "a"]
        subprocess.run(command, cwd=root, stdout=file, check=True, env={**os.environ, **RUNNER})
    assert "  ::error::planted" in (tmp_path / "out").read_text()


MANIFEST = """\
items:
  - id: a
    template: blog_article_generator
    style: general_blog
    inputs:
      target_audience: readers
      topic: |
        first
        ::error::planted
"""


def finding(line: int, severity: Severity = Severity.ERROR, **fields: Any) -> Diagnostic:
    """A finding on a line."""
    stated = {"code": "unknown-input", "message": f"on line {line}", "location": Location("content/a.yaml", line, 3)}
    return Diagnostic(severity=severity, **{**stated, **fields})


def test_ten_of_a_kind() -> None:
    """GitHub shows no more; the last says how many are left."""
    findings = [*(finding(line) for line in range(1, 31)), finding(1, Severity.NOTE)]
    lines = annotation_lines(findings)
    assert lines[9] == "::error::21 more errors in the log"
    assert lines[10].startswith("::notice ")
    assert (len(lines), len(annotation_lines(findings[:10]))) == (11, 10)


@given(st.text(), st.text(), st.text())
def test_an_annotation_is_one_order(file: str, message: str, hint: str) -> None:
    """Nothing in a finding starts another, or another property of this one."""
    (line,) = annotation_lines([finding(1, location=Location(file), message=message, hint=hint)])
    assert not set(line) & set("\r\n")
    head, _, _ = line.removeprefix("::error ").partition("::")
    assert [part.partition("=")[0] for part in head.split(",")] == ["file", "line", "col", "title"]


def test_findings_are_marked_in_the_pull_request(invoke: Run, project: Any) -> None:
    """Of a dozen mistakes, the first ten."""
    items = "".join(f"  - {{id: i{number}, inputs: {{wrong: 1}}}}\n" for number in range(12))
    head = "defaults: {template: blog_article_generator, style: general_blog}\nitems:\n"
    root = project({"site/contentops.yaml": SETTINGS, "site/content/ä.yaml": f"{head}{items}"})
    env = {**RUNNER, "GITHUB_WORKSPACE": str(root)}
    for arguments in (("-C", "site", "validate"), ("-Csite", "plan", "--json")):
        ended = invoke(*arguments, cwd=root, env=env)
        assert ended.code == 1
        orders = obeyed(ended.stderr)
        assert len(orders) == 10
        assert orders[0].startswith("::error file=site/content/ä.yaml,line=3,")
        assert orders[-1].endswith(" in the log")
    assert obeyed(invoke("-C", "site", "validate", cwd=root).stderr) == []


def test_outputs_are_plain_words() -> None:
    """Numbers and truth values: nothing in a plan can add another output."""
    plan = make_plan(
        make_change("a\nhas-changes=false"),
        make_change("b", Action.REGENERATE, credits=4),
        make_change("c", Action.UPDATE),
    )
    assert outputs(plan) == {"has-changes": "true", "create": "1", "update": "2", "credits": "8"}
    assert outputs(make_plan())["has-changes"] == "false"


def test_a_run_can_not_leave_its_block() -> None:
    """Fences in the words of a server are longer than ours never."""
    run = make_run(make_outcome(result=Result.FAILED, error="bad ````` </details>"), environment="staging")
    text = run_markdown(run)
    assert text.startswith("### contentops apply, environment `staging`\n\n``````text\n")
    assert text.endswith("\n``````\n")


def test_plan_and_apply_fill_the_page_of_the_job(invoke: Run, project: Any, tmp_path: Path) -> None:
    """What is to be done, then what was done; an unwritable page is a warning."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST}, at="p")
    page, output = tmp_path / "page.md", tmp_path / "output"
    env = {**RUNNER, "GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(output)}
    assert invoke("plan", cwd=root, env=env).code == 0
    assert "1 to create" in page.read_text()
    assert output.read_text() == "has-changes=true\ncreate=1\nupdate=0\ncredits=0\n"
    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    assert "Apply: 1 done." in page.read_text()
    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    assert page.read_text().rstrip().endswith("No changes. 1 item is up to date.**")
    ended = invoke("plan", cwd=root, env={**RUNNER, "GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert (ended.code, "warning[github]" in ended.stderr) == (0, True)
