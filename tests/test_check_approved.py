"""`contentops check --approved`: the build of a site stops at a text that no one approved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema
import pytest

from contentops.digest import Digest
from contentops.documents.files import Outputs
from contentops.model import Approval, Approvals, ItemId, Verdict, text_digest
from contentops.schema_files import load_schema
from contentops.state import approvals
from tests.test_check_report import is_sarif

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = """
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
ITEMS = """
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
def site(project: Build) -> Path:
    """A project with a text in each state of approval."""
    files: dict[str, str | bytes] = {
        f"out/{id_}.md": f"{TEXT}{id_}\n" for id_ in ("approved", "back", "changed", "free")
    }
    files |= {"out/waiting.md": f"{TEXT}waiting\n", "out/empty.md": "---\ntitle: One\n---\n", "out/torn.md": b"\xff"}
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": ITEMS, **files})
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


def test_each_text_without_its_approval_is_an_error(site: Path, invoke: Run) -> None:
    """With its file, why, and what to do; items that need none, or have no file, are not asked."""
    ended = invoke("check", "--approved", "--json", cwd=site)
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


def test_without_the_option_no_one_is_asked(site: Path, invoke: Run) -> None:
    """Checks alone decide, as ever."""
    ended = invoke("check", "--json", cwd=site)
    assert [one["code"] for one in ended.json["diagnostics"]] == ["excludes"]


def test_the_terminal_counts_what_is_not_approved(site: Path, invoke: Run) -> None:
    """Beside what checks block; the approved ones alone are fine, and `approval:` selects."""
    ended = invoke("check", "--approved", "--exclude", "torn", cwd=site)
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
        assert invoke("check", "--approved", "--select", chosen, cwd=site).code == code


def test_sarif_has_them_too(site: Path, invoke: Run) -> None:
    """As results of a rule of their own."""
    ended = invoke("check", "--approved", "--format", "sarif", cwd=site)
    is_sarif(ended.json)
    results = [one for one in ended.json["runs"][0]["results"] if one["ruleId"] == "not-approved"]
    assert len(results) == len(UNAPPROVED)


def test_the_hint_names_the_environment(site: Path, invoke: Run) -> None:
    """So that the command can be copied."""
    ended = invoke("check", "--approved", "--select", "waiting", "--env", "prod", "--json", cwd=site)
    (found,) = ended.json["diagnostics"]
    assert found["hint"] == "read it, then `contentops approve waiting --env prod`"


def test_a_damaged_file_of_approvals_stops_the_check(site: Path, invoke: Run) -> None:
    """An approval that cannot be read is none."""
    (site / approvals.FILE).write_text("")
    ended = invoke("check", "--approved", cwd=site)
    assert (ended.code, "error[damaged-approvals]" in ended.stderr) == (1, True)
