"""`contentops check`: which files it looks at, and its findings as text, JSON and SARIF."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.digest import Digest
from contentops.documents.files import Outputs
from contentops.errors import Diagnostic, Location, Severity
from contentops.model import Approval, Approvals, Checked, CheckedFile, ItemId, Verdict, text_digest
from contentops.reporting.diagnostics import sarif
from contentops.sanitize import json_text
from contentops.schema_files import load_schema
from contentops.state import approvals
from tests.running import Build, Run

SETTINGS = """
version: 1
project: acme
api: {base_url: local}
defaults:
  template: blog_article_generator
  style: general_blog
  inputs: {target_audience: readers}
  checks: {excludes: [cheap], links: warn, leftovers: block, front_matter: post.json}
"""
ITEMS = """
items:
  - {id: good, inputs: {topic: good}}
  - {id: bad, inputs: {topic: bad}}
  - {id: told, inputs: {topic: told}}
  - {id: absent, inputs: {topic: absent}}
  - {id: free, inputs: {topic: free}, checks: null}
"""
FILES = {
    "contentops.yaml": SETTINGS, "content/a.yaml": ITEMS, "post.json": '{"properties": {"tags": {"type": "array"}}}',
    "out/good.md": "---\ntitle: Good\n---\n\nSee [the other](absent.md) and [all](../content).\n",
    "out/bad.md": "---\ntitle: Bad\ntags: a\n---\n\nFine.\n\nVery cheap.\n", "out/told.md": "A [link](nowhere.md).\r\n",
    "out/free.md": "cheap\n",
}  # fmt: skip
BAD = {
    ("excludes", "error", 8, "item `bad`: says `cheap`"),
    ("front-matter", "error", 3, "item `bad`: `tags`: 'a' is not of type 'array'"),
    ("links", "warning", 1, "item `told`: the link `nowhere.md` points to no file of the project"),
}


def is_sarif(document: Any) -> None:
    """What GitHub asks of SARIF 2.1.0, as far as we write it."""
    assert (document["version"], "$schema" in document) == ("2.1.0", True)
    for run in document["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]
        assert all(rule["id"] and rule["shortDescription"]["text"] for rule in driver["rules"])
        assert len(run["results"]) <= 25_000
        for result in run["results"]:
            assert (result["level"] in {"error", "warning", "note"}, bool(result["message"]["text"])) == (True, True)
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
            for each in result["locations"]:
                place = each["physicalLocation"]
                assert re.fullmatch("[^/][!-~]*", place["artifactLocation"]["uri"])
                assert place["region"]["startLine"] >= 1
            assert result["locations"]


@pytest.fixture
def site(project: Build) -> Path:
    """A project of five items, four of them with a file."""
    return project(FILES)


def found_in(document: dict[str, Any]) -> set[tuple[str, str, int, str]]:
    """The findings of the JSON form."""
    found = document["diagnostics"]
    return {(one["code"], one["severity"], one["location"]["line"], one["message"]) for one in found}


def test_check_holds_what_is_there_against_its_checks(site: Path, invoke: Run) -> None:
    """Files of items, each finding at its line of the file; nothing is changed, and errors alone fail."""
    ended = invoke("check", cwd=site)
    assert ended.code == 1
    assert "error[excludes]: item `bad`: says `cheap`\n  --> out/bad.md:8:1\n" in ended.stdout
    last = ended.stdout.splitlines()[-1]
    assert last == "Checked 3 files: 1 blocked, 1 with warnings. 1 item has no file yet. 1 item has no checks."
    chosen = invoke("check", "--select", "told", "--select", "good", cwd=site)
    assert (chosen.code, chosen.stdout.splitlines()[-1]) == (0, "Checked 2 files: 0 blocked, 1 with warnings.")
    assert invoke("check", "--select", "nothing", cwd=site).code == 64
    assert not (site / "contentops.lock").exists()


def test_findings_as_sarif_name_files_from_the_repository(site: Path, invoke: Run) -> None:
    """Code scanning shows them where they are, also where the project is a folder of its repository."""
    ended = invoke("-C", str(site), "check", "--format", "sarif", cwd=site.parent)
    assert ended.code == 1
    assert invoke("check", "--json", "--format", "sarif", cwd=site).code == 64
    is_sarif(ended.json)
    (run,) = ended.json["runs"]
    results = run["results"]
    assert {one["ruleId"] for one in results} == {"excludes", "front-matter", "links"}
    assert all(run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] for one in results)
    places = [one["locations"][0]["physicalLocation"] for one in results]
    folder = site.relative_to(site.parent).as_posix()
    assert (f"{folder}/out/bad.md", 8) in {(at["artifactLocation"]["uri"], at["region"]["startLine"]) for at in places}


@pytest.mark.parametrize(("content", "said"), [
    (b"\xff\xfe", "is not UTF-8"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "Git LFS pointer"),
    (b"a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\n", "conflict markers"),
    (b"---\ntitle: [\n---\n", "front matter"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_an_error_of_its_own(
    project: Build, invoke: Run, content: bytes, said: str
) -> None:
    """The others are checked all the same."""
    ended = invoke("check", "--json", cwd=project({**FILES, "out/good.md": content}))
    assert ended.code == 1
    assert found_in(ended.json) > BAD
    (other,) = found_in(ended.json) - BAD
    assert (other[0], said in other[3]) == ("output", True)


def test_commands_run_only_where_they_are_asked_for(project: Build, invoke: Run, processes: None) -> None:
    """Whoever proposes a branch may have changed what they do."""
    script = f"{sys.executable} tool.py"
    settings = SETTINGS.replace("excludes: [cheap]", f"commands: ['{script}']")
    tool = "import pathlib, sys; pathlib.Path('ran').touch(); sys.exit(f'{sys.argv[1]}:1: no' if 'bad' in sys.argv[1] else 0)"
    site = project({**FILES, "contentops.yaml": settings, "tool.py": tool})
    for words in (("check",), ("plan",), ("validate",)):
        invoke(*words, cwd=site)
    assert not (site / "ran").exists()
    found = found_in(invoke("check", "--commands", "--json", cwd=site).json)
    assert [(line, message.startswith("item `bad`: `")) for code, _, line, message in found if code == "commands"] == [
        (1, True)
    ]


WORDS = st.text() | st.sampled_from(["]]>", "<!--", "&", "\0", "\x1b[2J", "\ud800", "\uffff", '"', "::error::", "{{"])


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4))
def test_no_words_break_a_report(words: list[tuple[str, str, str]]) -> None:
    """Texts, links and file names of strangers stay words in JSON."""
    files = tuple(
        CheckedFile(
            item=ItemId(item),
            output=f"out/{message.encode('utf-8', 'replace').decode()}",
            findings=(
                Diagnostic(code="links", message=f"{message}.", hint=hint, location=Location("out/a b.md", 3)),
                Diagnostic(code="words", message=hint, severity=Severity.WARNING, location=Location("out/a.md")),
            ),
        )
        for item, message, hint in words
    )
    done = Checked(files=files)
    document = json.loads(json_text(sarif(done, folder="site")))
    is_sarif({**document, "runs": [{**document["runs"][0], "results": []}]})
    assert len(document["runs"][0]["results"]) == 2 * len(words)


def test_show_states_the_checks_of_an_item(site: Path, invoke: Run) -> None:
    """As they came out of all layers."""
    shown = invoke("show", "good", "--json", cwd=site).json
    assert shown["checks"] == {
        "excludes": {"values": ["cheap"]},
        "links": "warn",
        "leftovers": "block",
        "front_matter": {"schema": "post.json"},
    }
    assert invoke("show", "free", "--json", cwd=site).json["checks"] == {}


# --- `contentops check --approved`: the build of a site stops at a text that no one approved ------------------------


SETTINGS_APPROVED = """
version: 1
project: acme
api: {base_url: local}
environments: {prod: {output: 'out/{{ item.id }}.md', vars: {}}}
defaults:
  template: blog_article_generator
  style: general_blog
  inputs: {topic: '{{ item.id }}', target_audience: readers}
  approval: required
"""
ITEMS_APPROVED = """
items:
  - {id: approved}
  - {id: absent}
  - {id: back}
  - {id: changed, checks: {excludes: [cheap]}}
  - {id: empty}
  - {id: free, approval: off}
  - {id: torn}
  - {id: waiting}
"""
TEXT = "---\ntitle: One\n---\n\nVery cheap.\n"
UNAPPROVED = {
    "back": ("was sent back by `ben`", "change it, then `contentops approve back`"),
    "changed": ("changed since it was approved", "read it, then `contentops approve changed`"),
    "empty": ("is empty", "write it, then `contentops approve empty`"),
    "waiting": ("is waiting for approval", "read it, then `contentops approve waiting`"),
}


@pytest.fixture
def site_approved(project: Build) -> Path:
    """A project with a text in each state of approval."""
    files: dict[str, str | bytes] = {
        f"out/{id_}.md": f"{TEXT}{id_}\n" for id_ in ("approved", "back", "changed", "free")
    }
    files |= {"out/waiting.md": f"{TEXT}waiting\n", "out/empty.md": "---\ntitle: One\n---\n", "out/torn.md": b"\xff"}
    root = project({"contentops.yaml": SETTINGS_APPROVED, "content/a.yaml": ITEMS_APPROVED, **files})
    said = [("approved", "ann", True), ("back", "ann", True), ("back", "ben", False)]
    lines = [_line(_text(root, item), item, who, approves=yes) for item, who, yes in said]
    lines.append(_line(text_digest("One", Digest("sha256:" + "1" * 64)), "changed", "ann", approves=True))
    (root / approvals.FILE).write_bytes(approvals.render(Approvals(lines=tuple(lines))))
    return root


def _text(root: Path, item: str) -> Digest:
    file = Outputs(root).observe(f"out/{item}.md")
    return text_digest(file.title, file.body)


def _line(text: Digest, item: str, by: str, *, approves: bool) -> Approval:
    verdict = Verdict.APPROVED if approves else Verdict.SENT_BACK
    return Approval(item=ItemId(item), text=text, verdict=verdict, by=by, at="2026-11-29T10:00:00Z")


def test_each_text_without_its_approval_is_an_error(site_approved: Path, invoke: Run) -> None:
    """With its file, why, and what to do; items that need none, or have no file, are not asked."""
    ended = invoke("check", "--approved", "--json", cwd=site_approved)
    assert ended.code == 1
    jsonschema.validate(ended.json, load_schema("diagnostics"))
    found = {one["location"]["file"]: one for one in ended.json["diagnostics"] if one["code"] == "not-approved"}
    assert {path: (one["message"], one["hint"]) for path, one in found.items()} == {
        f"out/{id_}.md": (f"item `{id_}`: its text {why}", hint) for id_, (why, hint) in UNAPPROVED.items()
    }
    others = [(one["code"], one["location"]["file"]) for one in ended.json["diagnostics"] if one not in found.values()]
    assert sorted(others) == [("excludes", "out/changed.md"), ("output", "out/torn.md")]
    assert [one["item"] for one in ended.json["checked"]] == ["approved", *sorted({*UNAPPROVED, "torn"})]
    assert (ended.json["missing"], ended.json["unchecked"]) == (1, 1)


def test_the_terminal_counts_what_is_not_approved(site_approved: Path, invoke: Run) -> None:
    """Beside what checks block; the approved ones alone are fine, and `approval:` selects."""
    ended = invoke("check", "--approved", "--exclude", "torn", cwd=site_approved)
    assert (
        "error[not-approved]: item `waiting`: its text is waiting for approval\n  --> out/waiting.md:1:1\n"
        in ended.stdout
    )
    assert "Checked 5 files: 1 blocked, 0 with warnings. 4 texts not approved." in ended.stdout.replace("\n", " ")
    for chosen, code in (
        ("approved", 0),
        ("approval:approved", 0),
        ("free", 0),
        ("waiting", 1),
        ("approval:waiting", 1),
    ):
        assert invoke("check", "--approved", "--select", chosen, cwd=site_approved).code == code


def test_sarif_has_them_too(site_approved: Path, invoke: Run) -> None:
    """As results of a rule of their own."""
    ended = invoke("check", "--approved", "--format", "sarif", cwd=site_approved)
    is_sarif(ended.json)
    results = [one for one in ended.json["runs"][0]["results"] if one["ruleId"] == "not-approved"]
    assert len(results) == len(UNAPPROVED)


def test_a_damaged_file_of_approvals_stops_the_check(site_approved: Path, invoke: Run) -> None:
    """An approval that cannot be read is none."""
    (site_approved / approvals.FILE).write_text("")
    ended = invoke("check", "--approved", cwd=site_approved)
    assert (ended.code, "error[damaged-approvals]" in ended.stderr) == (1, True)
