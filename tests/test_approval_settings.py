"""What `approval` and `disclosure` of manifests and settings mean, and what is said of those that mean nothing."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from contentops.ci.results import owners_of
from contentops.digest import Digest
from contentops.documents.preset import PRESETS
from contentops.execution.primitives import iso
from contentops.manifests.project import load_project
from contentops.model import NO_APPROVAL, Approval, ApprovalRule, Approvals, Disclosure, ItemId, Verdict, text_digest
from contentops.state import approvals
from tests.clones import git
from tests.desired import PROJECT, declared, desired, findings
from tests.running import Build, Run

REQUIRED = ApprovalRule(required=True)
NOTED = ApprovalRule(required=True, note=True)
PUBLISHED = ApprovalRule(required=True, publish=True)


def rule_of(project: Build, item: str, layers: Mapping[str, str] | None = None) -> ApprovalRule:
    """The rule of an item with `approval: ITEM`, over the `defaults` of the layers that are named."""
    said = {layer: f"approval: {value}" for layer, value in (layers or {}).items()}
    settings = PROJECT.replace("general", f"general, {said.get('project', 'save: true')}")
    settings += "output: 'prod/{{ item.id }}.md'\n"
    settings += f"environments: {{prod: {{defaults: {{{said.get('environment', '')}}}}}}}\n"
    manifest = f"defaults: {{{said.get('manifest', '')}}}\nitems: [{{id: a, inputs: {{topic: T}}, {f'approval: {item}' if item else 'save: true'}}}]\n"
    (spec,) = desired(project({"contentops.yaml": settings, "content/a.yaml": manifest}), environment="prod").specs
    return spec.approval


@pytest.mark.parametrize(("layers", "item", "rule"), [
    ({"project": "required"}, "", REQUIRED), ({"project": "required"}, "off", NO_APPROVAL),
    ({"project": "required"}, "null", NO_APPROVAL), ({"project": "{publish: true}"}, "required", PUBLISHED),
    ({"project": "required"}, "{publish: true}", PUBLISHED),
    ({"project": "{publish: true}"}, "{publish: false}", REQUIRED),
    ({"project": "{publish: true}"}, "{publish: null}", REQUIRED), ({"project": "off"}, "{publish: true}", PUBLISHED),
    ({"project": "{publish: true}", "manifest": "off"}, "", NO_APPROVAL),
    ({"project": "{publish: true}", "manifest": "off"}, "required", PUBLISHED),
    ({"project": "{publish: true}", "manifest": "null"}, "required", REQUIRED),
    ({"manifest": "off", "environment": "required"}, "", REQUIRED),
    ({"manifest": "required", "environment": "off"}, "", NO_APPROVAL),
    ({"project": "off", "environment": "{publish: true}"}, "", PUBLISHED),
    ({"environment": "required"}, "off", NO_APPROVAL),
    ({"project": "{required: true, note: required}"}, "", NOTED), ({}, "{note: 'yes'}", NOTED),
    ({"project": "{note: true}"}, "{note: off}", REQUIRED), ({"project": "{note: true}"}, "off", NO_APPROVAL),
])  # fmt: skip
def test_rules_of_layers_merge_as_maps(project: Build, layers: dict[str, str], item: str, rule: ApprovalRule) -> None:
    """`required` is `{required: true}` and `off` is `{required: false}`; a key that no upper layer has stays."""
    assert rule_of(project, item, layers) == rule


@pytest.mark.parametrize(("preset", "rule", "key", "refused"), [
    ("hugo", "required", "Draft", "draft"), ("hugo", "required", "draft", ""), ("hugo", "off", "Draft", ""),
    ("jekyll", "required", "PUBLISHED", "published"), ("jekyll", "required", "Draft", ""),
    ("pelican", "required", "Status", "status"),
])  # fmt: skip
def test_a_key_that_differs_from_the_draft_mark_in_case(
    project: Build, preset: str, rule: str, key: str, refused: str
) -> None:
    """Hugo reads keys without their case: the second one could publish a text that no one approved."""
    manifest = f"items: [{{id: a, inputs: {{topic: T}}, approval: {rule}, metadata: {{{key}: false}}}}]\n"
    found = findings(declared(project, manifest, settings=f"preset: {preset}"))
    assert [one.code for one in found] == (["reserved-key"] if refused else [])
    assert all(one.hint == f"write `{refused}`" for one in found)


@pytest.mark.parametrize(("settings", "wanted"), [
    ("", None), ("disclosure: false", None), ("disclosure: null", None), ("disclosure: true", Disclosure()),
    ("disclosure: {}", Disclosure()), ("disclosure: {key: ai}", Disclosure(key="ai")),
    ("disclosure: {source_type: false}", Disclosure(source_type="")),
    ("disclosure: {key: ai, source_type: made_by}", Disclosure(key="ai", source_type="made_by")),
    ("disclosure: true\nenvironments: {prod: {disclosure: false}}", None),
    ("disclosure: {key: ai}\nenvironments: {prod: {disclosure: true}}", Disclosure()),
    ("environments: {prod: {disclosure: {key: ai}}}", Disclosure(key="ai")),
])  # fmt: skip
def test_disclosure_names_its_keys(project: Build, settings: str, wanted: Disclosure | None) -> None:
    """That of the environment wins."""
    root = declared(project, "items: []\n", settings=settings)
    assert load_project(root, environment="prod" if "prod" in settings else "").disclosure == wanted


def test_the_default_names_are_free_in_every_preset() -> None:
    """`disclosure: true` is never refused for a preset."""
    names = {rule.name for rules in PRESETS.values() for rule in rules.values()}
    assert names.isdisjoint({Disclosure().key, Disclosure().source_type})


# --- what `doctor` says of approvals --------------------------------------------------------------------------------


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
    """A repository whose item needs an approval, with a merge rule and one approval."""
    manifest = ONE.replace("}}]", "}, approval: required}]")
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": manifest})
    git(root, "init", "--quiet")
    (root / ".gitattributes").write_text(approvals.FORMAT.rule + "\n")
    keep(root, line())
    return root


def said(root: Path, invoke: Run) -> list[tuple[bool | None, str, str]]:
    """What `doctor` says of approvals."""
    ended = invoke("doctor", "--json", cwd=root)
    found = [(one["ok"], one["message"], one["hint"]) for one in ended.json["checks"] if one["name"] == "approvals"]
    assert (ended.code == 1) == any(ok is False for ok, _, _ in found)
    return found


def test_doctor_counts_approvals_and_finds_those_that_cannot_be_read(site: Path, invoke: Run, processes: None) -> None:
    """With the first line that is wrong; who owns the file is for the host to check."""
    assert said(site, invoke) == [(True, "of 1 text by 1 reader", "")]
    with (site / approvals.FILE).open("a") as file:
        file.write("<<<<<<< ours\n")
    [(ok, message, hint)] = said(site, invoke)
    assert (ok, message) == (False, "line 3 of `contentops.approvals` is a git conflict marker")
    assert "keep the lines of both sides" in hint


@pytest.mark.parametrize(("text", "named"), [
    ("", False), ("* @all", True), ("*.approvals @a @b # why", True), ("/contentops.approvals @a", False),
    ("/site/contentops.approvals @a", True), ("site/contentops.approvals @a", True), ("*.approvals", False),
    ("contentops.approvals @a", True), ("site/ @a", True), ("/site @a", True), ("/site/** @a", True),
    ("/site/* @a", True), ("contentops.approvals/ @a", False),
    ("*.lock @a\n# *.approvals @b\n*.approvals c@acme.example", True), ("*.lock @a\n# *.approvals @b", False),
    ("* @a\n*.approvals", False),
])  # fmt: skip
def test_a_line_names_owners_of_the_file(text: str, named: bool) -> None:
    """As the hosts read the file: the last line that fits counts, also one that takes owners away."""
    assert bool(owners_of(text, "site/contentops.approvals")) is named
