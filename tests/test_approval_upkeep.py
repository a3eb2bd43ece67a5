"""What `doctor` says of approvals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from contentops.ci.codeowners import owners_in
from contentops.digest import Digest
from contentops.execution.times import iso
from contentops.model import Approval, Approvals, ItemId, Verdict, text_digest
from contentops.state import approvals
from tests.clones import git

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

DAY = 86_400
TEXT = text_digest("A", Digest("sha256:" + "1" * 64))
ONE = "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
SETTINGS = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""


def line(item: str = "a", *, days: float = 400, text: Digest = TEXT, by: str = "Ann <ann@acme.example>") -> Approval:
    """An approval of so many days ago."""
    return Approval(item=ItemId(item), text=text, verdict=Verdict.APPROVED, by=by, at=iso(time.time() - days * DAY))


def keep(root: Path, *lines: Approval) -> None:
    """Write the file."""
    (root / approvals.FILE).write_bytes(approvals.render(Approvals(lines=lines)))


@pytest.fixture
def site(project: Build) -> Path:
    """A repository whose item needs an approval, with a merge rule, an owner and one approval."""
    manifest = ONE.replace("}}]", "}, approval: required}]")
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": manifest})
    git(root, "init", "--quiet")
    (root / ".gitattributes").write_text(approvals.RULE + "\n")
    (root / "CODEOWNERS").write_text("*.approvals @acme/editors\n")
    keep(root, line())
    return root


def said(root: Path, invoke: Run) -> list[tuple[bool | None, str, str]]:
    """What `doctor` says of approvals."""
    ended = invoke("doctor", "--json", cwd=root)
    found = [(one["ok"], one["message"], one["hint"]) for one in ended.json["checks"] if one["name"] == "approvals"]
    assert (ended.code == 1) == any(ok is False for ok, _, _ in found)
    return found


def test_doctor_finds_approvals_that_cannot_be_read(site: Path, invoke: Run, processes: None) -> None:
    """With the first line that is wrong."""
    with (site / approvals.FILE).open("a") as file:
        file.write("<<<<<<< ours\n")
    [(ok, message, hint)] = said(site, invoke)
    assert (ok, message) == (False, "line 3 of `contentops.approvals` is a git conflict marker")
    assert "keep the lines of both sides" in hint


def test_doctor_finds_approvals_of_the_future(site: Path, invoke: Run, processes: None) -> None:
    """By more than clocks differ."""
    keep(site, line(), line(text=text_digest("B", TEXT), days=-2 / 1440), line(by="Ben <b@acme.example>", days=-3))
    [(ok, message, hint)] = said(site, invoke)
    assert (ok, message[:60]) == (None, "1 line of `contentops.approvals` in the future: `b@acme.example`"[:60])
    assert hint.endswith("delete the line or correct its time")


def test_doctor_finds_a_missing_merge_rule(site: Path, invoke: Run, processes: None) -> None:
    """As git sees it; outside a repository there is nothing to merge."""
    (site / ".gitattributes").unlink()
    message, hint = (
        "git does not merge `contentops.approvals` line by line",
        f"add `{approvals.RULE}` to `.gitattributes`",
    )
    assert said(site, invoke) == [(None, message, hint)]


def test_doctor_finds_a_missing_owner(site: Path, invoke: Run, processes: None) -> None:
    """Where an approval is required: else whoever may push may approve."""
    (site / "CODEOWNERS").write_text("/docs/ @acme/writers\n")
    message = "1 item needs an approval, and no `CODEOWNERS` line names the owners of `contentops.approvals`"
    assert said(site, invoke)[-1][:2] == (None, message)
    (site / "content/a.yaml").write_text(ONE)
    assert said(site, invoke) == [(True, "of 1 text by 1 reader", "")]


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("", ()),
        ("* @all", ("@all",)),
        ("*.approvals @a @b # why", ("@a", "@b")),
        ("/contentops.approvals @a", ()),
        ("/site/contentops.approvals @a", ("@a",)),
        ("site/contentops.approvals @a", ("@a",)),
        ("contentops.approvals @a", ("@a",)),
        ("site/ @a", ("@a",)),
        ("/site @a", ("@a",)),
        ("/site/** @a", ("@a",)),
        ("/site/* @a", ("@a",)),
        ("contentops.approvals/ @a", ()),
        ("*.approvals @a\n/site/", ()),
        ("*.lock @a\n# *.approvals @b\n*.approvals c@acme.example", ("c@acme.example",)),
        ("[Texts][2] @a @b\n*.approvals\n[Code] @c\n*.py", ("@a", "@b")),
        ("^[Texts]\n*.approvals @a", ("@a",)),
    ],
)
def test_owners_are_those_of_the_last_line_that_names_the_file(text: str, owners: tuple[str, ...]) -> None:
    """As the hosts read the file."""
    assert owners_in(text, "site/contentops.approvals") == owners
