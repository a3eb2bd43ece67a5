"""The commands on a small project of their own, end to end against the embedded server."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contentops.cli.commands.apply import going_on
from contentops.model import Result
from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.plans import make_outcome, make_run
from tests.running import Run
from tests.terminals import on_a_terminal
from tests.test_report_plan import strict

IDS = ["city-berlin", "city-lisbon", "getting-started", "welcome"]
PLAN_HEAD = (
    "Project `demo`, server `local`, budget 100 credits\n\n  + city-berlin      create      free  out/city-berlin.md\n"
)


@pytest.fixture
def demo(invoke: Run, tmp_path: Path) -> Path:
    """A new project of four items."""
    assert invoke("init", "demo").code == 0
    return tmp_path / "demo"


@pytest.fixture
def applied(demo: Path, invoke: Run) -> Path:
    """The same, applied."""
    ended = invoke("apply", "--yes", cwd=demo)
    assert ended.code == 0, ended.stderr
    return demo


@pytest.mark.parametrize(("given", "expected"), [
    ({"select": ("a",)}, "contentops apply --env x --select a --var y=1"),
    ({"replace": ("a", "b", "c")}, "contentops apply --env x --replace c --var y=1"),
    ({"canary": 1, "select": ("tag:t",)}, "contentops apply --env x --select b --select c --var y=1"),
    ({"reviewed": "plan.json@sha256:0"}, "contentops apply --env x --var y=1 --reviewed plan.json@sha256:0"),
], ids=["as typed", "replaced", "canary", "reviewed"])  # fmt: skip
def test_the_command_that_goes_on_pays_nothing_again(given: dict[str, Any], expected: str) -> None:
    """Of what was chosen to be paid only that is requested again which has not come."""
    every = {"select": (), "exclude": (), "replace": (), "prune": False, "on_edit": None, "canary": None}
    written, waiting = ("submit", "poll", "write"), Result.PENDING
    run = make_run(make_outcome("a"), make_outcome("b", Result.FAILED, steps=written), make_outcome("c", waiting))
    assert sorted(going_on("x", ("y=1",), every | given)(run).split()) == sorted(expected.split())


def test_a_plan_that_fails_leaves_no_older_one_in_its_place(invoke: Run, demo: Path) -> None:
    """What comes next in a script would take that for today's; anything but a plan stays. No plan is shown as if all were well."""
    unwritten = invoke("plan", "--out", "no/such/folder.json", cwd=demo)
    assert (unwritten.code, unwritten.stdout) == (1, "")
    assert "error[output]: `no/such/folder.json` cannot be written" in unwritten.stderr
    assert invoke("plan", "--out", "plan.json", cwd=demo).code == 0
    (demo / "content/broken.yaml").write_text("items: [")
    for name, stays in (("plan.json", False), ("content/broken.yaml", True)):
        assert invoke("plan", "--out", name, cwd=demo).code == 1
        assert (demo / name).exists() is stays


def test_outside_a_project_every_command_says_how_to_begin(invoke: Run) -> None:
    """No command that needs a project ends in a traceback."""
    for arguments in (["plan"], ["apply"], ["status"], ["show", "x"], ["diff", "x"], ["state", "list"], ["doctor"]):
        ended = invoke(*arguments)
        assert ended.code == 1, arguments
        assert "contentops init" in ended.stderr


def test_status_before_the_first_apply(invoke: Run, demo: Path) -> None:
    """Every item is new."""
    text = invoke("status", cwd=demo).stdout
    assert text.startswith("ITEM             STATE  OUTPUT\n")
    assert text.endswith("\n4 items: 4 new.\n")
    assert [item["state"] for item in invoke("status", "--json", cwd=demo).json["items"]] == ["new"] * 4
    assert invoke("status", "--select", "state:edited", cwd=demo).stdout == "No items.\n"


ENVIRONMENTS = (
    "\nenvironments: {prod: {output: 'live/{{ item.id }}.md'}, staging: {output: 'staging/{{ item.id }}.md'}}\n"
)


def test_a_default_environment(invoke: Run, demo: Path) -> None:
    """It is used where none is named; `--env ''` is none, and every next command says so."""
    settings = demo / "contentops.yaml"
    settings.write_text(settings.read_text() + ENVIRONMENTS + "default_environment: staging\n")
    plan = invoke("plan", cwd=demo).stdout
    assert "environment `staging`" in plan
    assert plan.endswith("Next: `contentops apply --env staging`\n")
    bare = invoke("plan", "--env", "", cwd=demo).stdout
    assert "environment" not in bare.splitlines()[0]
    assert bare.endswith("Next: `contentops apply --env ''`\n")
    assert invoke("apply", "--yes", cwd=demo).code == 0
    assert (demo / "contentops.staging.lock").exists()
    assert not (demo / "contentops.lock").exists()
    for _ in range(2):
        assert "All 4 items are up to date" in invoke("plan", cwd=demo).stdout
        assert "4 to finish" in invoke("plan", "--env", "", cwd=demo).stdout
    settings.write_text(settings.read_text().replace("default_environment: staging", "default_environment: stagin"))
    wrong = invoke("plan", cwd=demo)
    assert wrong.code == 1
    assert (
        "error[unknown-environment]: there is no environment `stagin`\n  --> contentops.yaml:"
        in wrong.stderr.replace("   -->", "  -->")
    )
    assert "did you mean `staging`?" in wrong.stderr


def test_doctor_checks(invoke: Run, demo: Path) -> None:
    """All well is 0; a broken manifest is a failed check with its hint, and 1."""
    ended = invoke("doctor", cwd=demo)
    assert (ended.code, "ok      manifests: 4 items in 1 manifest\n" in ended.stdout) == (0, True)
    (demo / "content" / "articles.yaml").write_text("items: {")
    ended = invoke("doctor", cwd=demo)
    assert (ended.code, "failed  manifests: " in ended.stdout) == (1, True)
    assert "        hint: `contentops validate` lists every problem\n" in ended.stdout
    assert [check["ok"] for check in invoke("doctor", "--json", cwd=demo).json["checks"]].count(False) == 1


def test_apply_without_yes_and_without_a_terminal_is_refused(invoke: Run, demo: Path) -> None:
    """The plan is shown, the flag named, exit code 4, nothing written."""
    ended = invoke("apply", cwd=demo, stdin="yes\n")
    assert ended.code == 4
    assert ended.stdout.startswith(PLAN_HEAD)
    assert ended.stderr == (
        "error[not-confirmed]: apply needs confirmation, and there is no terminal to ask on\n"
        "hint: `--yes` applies the plan without asking\n"
    )
    assert not (demo / "out").exists()


@pytest.mark.parametrize(("typed", "code", "shown"), [
    (b"no\n", 4, r"error\[not-confirmed\]"),
    # The moving display leaves the terminal as it was, and the report comes last.
    (b"yes\n", 0, r"4 of 4 done, \ds\r\x1b\[2K\x1b\[1mApply: 4 done\."),
], ids=["no", "yes"])  # fmt: skip
def test_a_person_on_a_terminal_decides(demo: Path, typed: bytes, code: int, shown: str, processes: None) -> None:
    """Declined: exit code 4, nothing written."""
    seen = on_a_terminal("import sys; from contentops.__main__ import main; print(main(['apply']))", typed, cwd=demo)
    assert re.search(shown, seen)
    assert (seen.endswith(f"\n{code}\n"), (demo / "out").exists()) == (True, code == 0)


def test_apply_does_the_plan_and_then_there_is_none(invoke: Run, demo: Path) -> None:
    """Plan on stdout, progress on stderr, then the report; a second apply has nothing to do."""
    ended = invoke("apply", "--yes", "--events", "events.ndjson", cwd=demo)
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith(PLAN_HEAD)
    assert "Plan: 4 to create, 0 unchanged. 0 credits.\n\nApply: 4 done. 0 credits spent, " in ended.stdout
    assert ("[4/4] " in ended.stderr, sorted(path.stem for path in (demo / "out").iterdir())) == (True, IDS)
    events = [json.loads(line) for line in (demo / "events.ndjson").read_text().splitlines()]
    for event in events:
        jsonschema.validate(event, strict(load_schema("event")))
    assert (events[0]["kind"], events[-1]["kind"]) == ("run-started", "run-done")
    again = invoke("apply", cwd=demo)
    assert (again.code, again.stdout) == (
        0,
        "Project `demo`, server `local`, budget 100 credits\n\nNo changes. All 4 items are up to date.\n",
    )


def test_an_edit_is_seen_everywhere(invoke: Run, applied: Path) -> None:
    """`diff` shows it, `status` names it, and a change of the spec is blocked by it."""
    path = applied / "out" / "welcome.md"
    path.write_text(path.read_text() + "\nA person's words.\n")
    assert invoke("diff", "getting-started", cwd=applied).stdout == "No difference.\n"
    text = invoke("diff", "welcome", cwd=applied).stdout
    assert text.startswith("--- welcome (generated)\n+++ welcome (file)\n@@ ")
    assert text.endswith("+A person's words.\n")
    assert invoke("diff", "welcome", "--json", cwd=applied).json["same"] is False
    assert "welcome          edited " in invoke("status", cwd=applied).stdout
    for _ in range(2):  # waiting to be saved, then saved
        selected = invoke("status", "--select", "state:edited", "--json", cwd=applied).json["items"]
        assert [(one["id"], one["state"]) for one in selected] == [("welcome", "edited")]
        assert invoke("apply", "--yes", cwd=applied).code == 0
    held = invoke("apply", "--yes", "--var", "company=Other", "--select", "welcome", cwd=applied)
    assert (held.code, "! welcome  blocked" in held.stdout) == (3, True)


def test_state_commands(invoke: Run, applied: Path) -> None:
    """List, show, move, forget: text for people, JSON for programs, a near name for a wrong one."""
    assert invoke("state", "list", cwd=applied).stdout.endswith("\n\n4 records, 0 open.\n")
    assert [one["id"] for one in invoke("state", "list", "--json", cwd=applied).json["records"]] == IDS
    assert "  output: out/welcome.md\n" in invoke("state", "show", "welcome", cwd=applied).stdout
    assert invoke("state", "show", "welcome", "--json", cwd=applied).json["record"]["id"] == "welcome"
    wrong = invoke("state", "show", "welcom", cwd=applied)
    assert (wrong.code, "did you mean `welcome`?" in wrong.stderr) == (64, True)
    assert "lists what there is" in invoke("state", "show", "0", cwd=applied).stderr
    moved = invoke("state", "mv", "welcome", "hello", cwd=applied)
    assert (moved.code, moved.stdout) == (0, "record `welcome` is now `hello`\n")
    forgotten = invoke("state", "rm", "hello", "--json", cwd=applied)
    assert forgotten.json["done"] == "the record of `hello` is forgotten; its file stays"
    assert (applied / "out" / "welcome.md").exists()
    assert invoke("state", "resolve", "hello", "--forget", cwd=applied).code == 64
    assert invoke("state", "mv", "--server", "https://a:443", "https://b:443", cwd=applied).code == 64


def test_serve_refuses_what_it_can_not_run(invoke: Run) -> None:
    """An unknown engine is named, and nothing listens."""
    ended = invoke("serve", "--engine", "magic", "--port", "0")
    assert (ended.code, ended.stderr.startswith("error[serve]: unknown engine `magic`")) == (1, True)


def test_a_typo_in_the_new_id_of_a_pair_is_shown_with_what_it_costs(tmp_path: Path, invoke: Run) -> None:
    """The plan creates the item beside the one it was, until the pair names the id that the hint names."""
    harness = Harness(tmp_path, FakeApi(duration=30)).applied("old")
    harness.write("content/blog.yaml", "moved: [{from: old, to: nwe}]\n" + blog("new", year=2027))
    shown = invoke("plan", cwd=tmp_path)
    assert "+ new" in shown.stdout
    assert "`moved` renames to `nwe`, which is not declared" in shown.stderr
    assert "did you mean `new`?" in shown.stderr
    assert "`new` is generated as a new item, for its price" in " ".join(shown.stderr.split())
    harness.write("content/blog.yaml", "moved: [{from: old, to: mid}, {from: mid, to: new}]\n" + blog("new", year=2027))
    assert "instead of both, write `{from: old, to: new}`" in " ".join(invoke("plan", cwd=tmp_path).stderr.split())
    harness.write("content/blog.yaml", "moved: [{from: old, to: new}]\n" + blog("new", year=2027))
    shown = invoke("plan", cwd=tmp_path)
    assert ("+ new" in shown.stdout, "moved-to-nothing" in shown.stderr) == (False, False)
