"""`contentops show plan.json`: the file alone, as it was made, or a refusal that says why."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.model import Plan
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_text import plan_text
from contentops.sanitize import json_text
from tests.plans import make_change, plan_document, plan_inputs, read_back, sealed
from tests.running import Build, Run
from tests.test_report_plan import FULL

SETTINGS = "version: 1\nproject: site\napi: {base_url: local}\nvars: {year: 2026}\n"
MANIFEST = """\
defaults: {template: blog_article_generator, style: general_blog}
items:
  - {id: guide, inputs: {topic: "Guide to {{ year }}", target_audience: readers}}
  - {id: notes.json, inputs: {topic: Notes, target_audience: readers}}
"""
INPUTS = plan_inputs()


def document_of(plan: Plan, **inputs: Any) -> dict[str, Any]:
    """A plan as it comes back from a file."""
    found: dict[str, Any] = sealed(plan_document(plan, inputs=INPUTS | inputs))
    return found


@pytest.fixture
def site(project: Build) -> Path:
    """Two items, one of them with a name like a file's."""
    return project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST}, at="site")


def test_it_shows_what_plan_showed_in_any_folder(invoke: Run, site: Path, tmp_path: Path) -> None:
    """No project, no manifest; the first line says how it was made, the last how it is applied."""
    planned = invoke("plan", "-v", "--var", "year=2027", "--select", "guide", "--out", "../plan 1.json", cwd=site)
    shown = invoke("show", "plan 1.json")
    assert (shown.code, shown.stderr) == (0, "")
    head, text = shown.stdout.split("\n\n", 1)
    assert head == "Plan file `plan 1.json`, made with `--var year=2027 --select guide`"
    assert text.splitlines()[:-1] == planned.stdout.splitlines()[:-1]
    assert text.splitlines()[-1] == "Next: `contentops apply 'plan 1.json'`"
    assert planned.stdout.splitlines()[-1] == "Next: `contentops apply '../plan 1.json'`"
    assert planned.stderr == "plan file written: `../plan 1.json`\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan 1.json", "site"]


EVERYTHING = structs.replace(FULL, changes=(*FULL.changes, *(make_change(f"n{number:02}") for number in range(12))))


@pytest.mark.parametrize("verbose", [True, False])
def test_nothing_of_a_plan_is_lost_in_the_file(verbose: bool) -> None:
    """Read back, it says the same: reasons, open jobs, moves, notes, refusals and warnings."""
    plan = EVERYTHING
    again = read_back(document_of(plan))
    assert unpainted(plan_text(again, verbose=verbose)) == unpainted(plan_text(plan, verbose=verbose))
    assert again.findings == plan.findings


@pytest.mark.parametrize("folder", ["site", "."])
def test_neither_file_nor_item(invoke: Run, site: Path, folder: str) -> None:
    """In a project and outside of one, what ends like a file is missed as one; mistakes in manifests are not why."""
    ended = invoke("-C", folder, "show", "plan.jsn.json", cwd=site.parent)
    assert ended.code == 1
    assert "error[no-plan-file]: there is not a plan file `plan.jsn.json` and no item of this name" in ended.stderr
    at = "" if folder == "." else f"-C {folder} "
    assert f"`contentops {at}plan --out FILE`" in ended.stderr
    (site / "content/a.yaml").write_text("items: [{id: 3}]\n", encoding="utf-8")
    assert "no-plan-file" not in invoke("show", "x.json", cwd=site).stderr


@pytest.mark.parametrize("option", [["--env", "staging"], ["--var", "a=b"]])
def test_a_plan_file_takes_no_environment_and_no_variable(invoke: Run, site: Path, option: list[str]) -> None:
    """It says by itself what it was made for."""
    invoke("plan", "--out", "plan.json", cwd=site)
    ended = invoke("show", "plan.json", *option, cwd=site)
    assert ended.code == 64
    assert "error[plan-file-and-flags]: `--env` and `--var` are for items" in ended.stderr


Change = Callable[[bytes], bytes]


def _document(change: Callable[[dict[str, Any]], Any]) -> Change:
    """The file with another document in it."""
    return lambda data: json.dumps(change(json.loads(data))).encode()


def _bytes(data: bytes) -> Change:
    return lambda _: data


def _first(**fields: Any) -> Change:
    """Sealed again, with another first change."""
    return _document(lambda found: sealed(found | {"changes": [found["changes"][0] | fields, *found["changes"][1:]]}))


def _sealed(**fields: Any) -> Change:
    return _document(lambda found: sealed(found | fields))


BUDGET = {"credits_per_apply": None, "items_per_apply": None}
SPENT = {"month": "2026-12", "credits": 0, "money": {"EUR": "1E+999999999"}, "ahead": 0, "gaps": []}
READS = "and this version of contentops reads format 1.0\nhint: make a new plan with `contentops plan --out FILE`"
REFUSED: dict[str, tuple[Change, str, int]] = {
    "edited": (_document(lambda found: found | {"project": "other"}), "edited-plan", 4),
    "no checksum": (_document(lambda found: found | {"checksum": ""}), "edited-plan", 4),
    "newer": (_sealed(format_version="2.0"), "newer-plan-file", 1),
    "a bit newer": (_sealed(format_version="1.1"), "newer-plan-file", 1),
    "older": (_sealed(format_version="0.9"), "newer-plan-file", 1),
    "newer and edited": (_document(lambda found: found | {"format_version": "2.0"}), "newer-plan-file", 1),
    "torn": (lambda data: data[:-200], "no-plan-file", 1),
    "empty": (_bytes(b""), "no-plan-file", 1),
    "no version": (_sealed(format_version=1), "no-plan-file", 1),
    "a report": (_bytes(b'{"format_version": "1.0", "outcomes": []}'), "no-plan-file", 1),
    "a list": (_bytes(b"[]"), "no-plan-file", 1),
    "not UTF-8": (_bytes(b"\xff\xfe\x00"), "no-plan-file", 1),
    "deep": (_bytes(b'{"changes": ' + b"[" * 100_000), "no-plan-file", 1),
    "NaN": (_document(lambda found: found | {"x": float("nan")}), "no-plan-file", 1),
    "half a character": (_document(lambda found: found | {"x": "\ud800"}), "no-plan-file", 1),
    "changes of another kind": (_sealed(changes=[3]), "no-plan-file", 1),
    "an unknown action": (_first(action="destroy"), "no-plan-file", 1),
    "a price in words": (_first(credits="4"), "no-plan-file", 1),
    "a price with a point": (_first(credits=4.0), "no-plan-file", 1),
    "a negative price": (_first(credits=-4), "no-plan-file", 1),
    "a price without end": (_first(credits=9 * 10**4000), "no-plan-file", 1),
    "a currency of words": (_first(money_worst={"<img src=x> @everyone\n# H\x1b[2J": "1.00"}), "no-plan-file", 1),
    "a budget in words": (_sealed(budget=BUDGET | {"money_per_apply": "1.00", "currency": "\x1b"}), "no-plan-file", 1),
    "money without end": (_sealed(spent=SPENT), "no-plan-file", 1),
    "no inputs": (_sealed(inputs={}), "no-plan-file", 1),
    "inputs of another kind": (_sealed(inputs=INPUTS | {"select": 3}), "no-plan-file", 1),
}


@pytest.mark.parametrize("command", [["show"], ["apply"], ["plan", "--check"]], ids=" ".join)
def test_a_file_that_is_no_plan_is_refused_alike(invoke: Run, site: Path, command: list[str]) -> None:
    """By `show`, `apply` and `plan --check`: by its name, with the same words, and nothing is done."""
    invoke("plan", "--out", "plan.json", cwd=site)
    data = (site / "plan.json").read_bytes()
    for case, (change, code, exit_code) in REFUSED.items():
        (site / "plan.json").write_bytes(change(data))
        ended = invoke(*command, "plan.json", cwd=site)
        assert (ended.code, ended.stdout) == (exit_code, ""), case
        assert f"error[{code}]: `plan.json` " in ended.stderr, case
        assert (READS in ended.stderr) == (code == "newer-plan-file"), case
        assert "Traceback" not in ended.stderr, case
    assert not (site / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
@pytest.mark.parametrize("command", [["show"], ["apply"], ["plan", "--check"], ["comment", "--plan"]], ids=" ".join)
def test_what_is_no_file_is_no_plan_file(invoke: Run, site: Path, command: list[str]) -> None:
    """A folder, a link to nowhere or out of the project, and what would be read for ever: a pipe, a device."""
    (site / "plan.json").mkdir()
    (site / "lost.json").symlink_to("nowhere")
    (site.parent / "secret.json").write_text("planted", encoding="utf-8")
    (site / "out.json").symlink_to("../secret.json")
    os.mkfifo(site / "pipe.json")
    named = [] if command == ["show"] else ["/dev/zero"]  # `show` takes it for an item
    for name in ("plan.json", "lost.json", "out.json", "pipe.json", *named):
        ended = invoke(*command, name, cwd=site)
        assert (ended.code, f"error[no-plan-file]: `{name}` cannot be read: " in ended.stderr) == (1, True)


HOSTILE = "\x1b[2J\x1b]0;evil\x07\u202etxt\n::error::planted\r##[error]x`\u2028</details>"
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")


def hostile() -> dict[str, Any]:
    """A plan file whose every text is hostile that may be any; sealed, for the seal is no signature."""
    reason = {"kind": "odd", "field": HOSTILE, "before": HOSTILE, "after": [HOSTILE], "cause": HOSTILE}
    document = document_of(EVERYTHING)
    for change in document["changes"]:
        change |= {"id": HOSTILE + change["id"], "target": HOSTILE, "hint": HOSTILE, "blocked": HOSTILE}
        change["publish_on"] = HOSTILE
        change["reasons"] = [{**reason, "detail": HOSTILE}, {**reason, "field": "", "detail": HOSTILE}]
        for entry in [*([change["entry"]] if change["entry"] else []), *change["drains"]]:
            entry |= {"request_id": HOSTILE, "job_id": HOSTILE, "error": HOSTILE}
    document |= dict.fromkeys(("id", "project", "environment", "server", "lineage"), HOSTILE)
    document["inputs"] |= {"variables": [HOSTILE], "select": [HOSTILE], "changed_from": HOSTILE}
    document["notes"] = [{"kind": "odd", "id": HOSTILE, "message": HOSTILE, "hint": HOSTILE}]
    document["refusals"] = [{"guard": "odd", "message": HOSTILE, "flag": f"--{HOSTILE}"}]
    document["diagnostics"] = [
        {
            "severity": "warning", "code": HOSTILE, "message": HOSTILE,
            "location": {"file": HOSTILE, "line": 10**300, "column": 10**30}, "excerpt": HOSTILE, "width": 10**300,
            "hint": HOSTILE,
        }
    ]  # fmt: skip
    return sealed(document)


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("runner", [{}, {"GITHUB_ACTIONS": "true"}, {"FORCE_COLOR": "1"}], ids=["", "runner", "color"])
def test_no_text_of_a_plan_file_reaches_the_terminal_as_it_is(
    invoke: Run, tmp_path: Path, flags: list[str], runner: dict[str, str]
) -> None:
    """No control character, no order to a runner, no line of its own."""
    (tmp_path / "plan.json").write_text(json_text(hostile()), encoding="utf-8")
    ended = invoke("show", "plan.json", *flags, env=runner)
    assert ended.code == 0, ended.stderr
    said = re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout + ended.stderr) if "FORCE_COLOR" in runner else ""
    said = said or ended.stdout + ended.stderr
    assert "evil" in said
    assert not UNSAFE.search(said)
    assert "GITHUB_ACTIONS" not in runner or not re.search(r"^\s*::error|##\[", said, re.MULTILINE)
