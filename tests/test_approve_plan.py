"""`contentops approve PLAN.json`: a person at a terminal says that an agent may carry out this plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from contentops.operations.opening import HERE, open_project
from contentops.operations.plan import plan
from contentops.operations.plan_files import keep_plan
from contentops.planning.plan_inputs import Choice
from tests.pages import Browser
from tests.processes import blog
from tests.terminals import on_a_terminal
from tests.test_approving import in_git

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = "{version: 1, project: x, api: {base_url: local}, defaults: {template: blog_article_generator, style: general_blog}}"


@pytest.fixture
def planned(project: Build, invoke: Run) -> Path:
    """A project in git with a plan file."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": blog("one")}, at="site")
    in_git(root)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    return root


def _records(home: Path) -> list[Path]:
    return sorted((home / ".config/contentops/approved-plans").glob("*"))


def _typed(root: Path, home: Path, answer: str) -> str:
    script = "import sys; from contentops.__main__ import main; sys.exit(main(['approve', 'plan.json']))"
    return on_a_terminal(script, answer.encode(), {"HOME": str(home), "NO_COLOR": "1"}, root)


def test_a_person_reads_the_plan_and_says_yes(planned: Path, tmp_path: Path) -> None:
    """The plan is shown first; the approval is kept outside of the project, for its owner alone, with the name of git."""
    before = sorted(planned.rglob("*"))
    seen = _typed(planned, tmp_path, "no\n")
    assert "+ one" in seen
    assert "not confirmed" in seen
    assert _records(tmp_path) == []
    seen = _typed(planned, tmp_path, "yes\n")
    assert "Approved as Kim Reader <kim@example.test>" in seen
    (record,) = _records(tmp_path)
    known = json.loads((planned / "plan.json").read_text())["checksum"]
    line = json.loads(record.read_text())
    assert {**line, "at": ""} == {
        "checksum": known,
        "file": str((planned / "plan.json").resolve()),
        "root": str(planned.resolve()),
        "by": "Kim Reader <kim@example.test>",
        "at": "",
    }
    assert record.stat().st_mode & 0o077 == 0
    assert sorted(planned.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "env", "code"),
    [
        (["plan.json"], {}, "not-confirmed"),
        (["plan.json"], {"CI": "true"}, "approve-in-ci"),
        (["plan.json", "one"], {}, "usage"),
        (["plan.json", "--note", "x"], {}, "usage"),
        (["plan.json", "--select", "one"], {}, "usage"),
        (["plan.json", "--yes"], {}, "usage"),
        (["other.json"], {}, "unknown-item"),
        (["edited.json"], {}, "edited-plan"),
        (["package.json"], {}, "no-plan-file"),
        (["empty.json"], {}, "other-plan"),
    ],
)
def test_what_is_no_approval(
    planned: Path, invoke: Run, tmp_path: Path, words: list[str], env: dict[str, str], code: str
) -> None:
    """No terminal, CI, other arguments, and files that are no plan, changed ones, or plans of nothing."""
    text = (planned / "plan.json").read_text()
    (planned / "edited.json").write_text(text.replace('"create"', '"replace"', 1))
    (planned / "package.json").write_text("{}")
    assert invoke("plan", "--exclude", "one", "--out", "empty.json", cwd=planned).code == 0
    ended = invoke("approve", *words, "--json", cwd=planned, env={"HOME": str(tmp_path), **env})
    assert ended.code != 0
    assert ended.json["diagnostics"][0]["code"] == code
    assert _records(tmp_path) == []


def test_a_plan_of_another_project_and_an_unknown_person(planned: Path, invoke: Run, tmp_path: Path) -> None:
    """The name of the project has to be the same, and git has to know who approves."""
    (planned / "contentops.yaml").write_text(SETTINGS.replace("project: x", "project: y"))
    assert invoke("approve", "plan.json", "--json", cwd=planned).json["diagnostics"][0]["code"] == "other-plan"
    (planned / "contentops.yaml").write_text(SETTINGS)
    (planned / ".git/config").write_text("[core]\n\trepositoryformatversion = 0\n")
    assert invoke("approve", "plan.json", "--json", cwd=planned).json["diagnostics"][0]["code"] == "no-identity"


def test_the_review_page_approves_the_plan_file_that_it_shows(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the checksum of what was shown; a plan file that there is not, or that changed, approves nothing."""
    home = planned.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    project = open_project(str(planned), "", ())
    file, known = keep_plan(project, plan(project, Choice()), Choice(), (), runtime=HERE)
    name, browser = (planned / file).stem, Browser(planned)
    assert f"/plan?file={name}" in browser.get("/plan").text
    shown = browser.get(f"/plan?file={name}")
    assert known in shown.text
    assert "1 to create" in shown.text
    assert "contentops apply" not in shown.text
    for other in ("", "../../plan", "nothing", "\u202e", "x" * 5000):
        assert browser.get(f"/plan?file={other}").status_code == (404 if other else 200)
        assert browser.post("/approve-plan", file=other, plan=known).status_code == 404
    assert browser.post("/approve-plan", file=name, plan="sha256:" + "0" * 64).status_code == 409
    assert _records(home) == []
    assert browser.post("/approve-plan", file=name, plan=known).status_code == 303
    assert [record.stem for record in _records(home)] == [known.removeprefix("sha256:")]
