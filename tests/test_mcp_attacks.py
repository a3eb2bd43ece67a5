"""An agent that tries to spend, to approve and to write what is not its own, with nothing but the tools it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.agents import Agent, talk
from tests.processes import blog
from tests.test_approving import in_git

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

SETTINGS = """\
version: 1
project: acme-blog
manifests: ["**/*.yaml", "**/*.yml", "**/*.json"]
macros: ./content/macros.yaml
vars: {company: Acme}
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog, approval: {required: true}}
environments: {staging: {}}
"""


@pytest.fixture
def root(project: Build) -> Path:
    """A project with greedy globs, in git, whose texts need approval."""
    root = project(
        {
            "contentops.yaml": SETTINGS,
            "content/macros.yaml": "\n",
            "content/blog.yaml": blog("one"),
            "content/rows.yaml": "items: [{id: 'r-{{ each.n }}', for_each: content/data.yaml, inputs: {topic: 'T {{ each.n }}', target_audience: r}}]\n",
            "content/data.yaml": "[{n: 1}]\n",
        },
        at="site",
    )
    in_git(root)
    return root


def _state(root: Path) -> dict[str, bytes]:
    """Every file that a tool must not touch."""
    files = (path for path in root.parent.rglob("*") if path.is_file() and ".contentops" not in path.parts)
    return {path.relative_to(root.parent).as_posix(): path.read_bytes() for path in files}


OUTSIDE = [
    "../evil.yaml", "content/../../evil.yaml", "/tmp/evil.yaml", "~/evil.yaml", "content\\..\\..\\evil.yaml",
    "C:/evil.yaml", "content//evil.yaml", "./content/evil.yaml", "content/evil.yaml/", "content/\u202eevil.yaml",
    "content/evil\u200b.yaml", "content/evil.yaml\u0000.yaml", "content/evil\n.yaml", "content/．．/．．/../evil.yaml",
    "content/con.yaml", "content/git~1/evil.yaml", ".github/workflows/evil.yml", ".git/evil.yaml",
    ".contentops/evil.yaml", "content/.hidden.yaml", "contentops.yaml", "Contentops.YAML", "CONTENTOPS.yaml",
    "\uff23ontentops.yaml/../contentops.yaml", "content/contentops.yaml", "content/ContentOps.yaml",
    "contentops.lock", "contentops.approvals", "contentops.staging.lock", "catalog.lock.json", "content/macros.yaml",
    "content/data.yaml", "content/page.md", "out/one.md", "content/run.py", "content/" + "x" * 300 + ".yaml",
]  # fmt: skip


def test_only_manifests_can_be_written(root: Path) -> None:
    """No path leads out of the project, to settings, state, approvals, data, macros, outputs or hidden files."""
    (root / "linked").symlink_to(root.parent, target_is_directory=True)
    (root / "content/inner").symlink_to(root / "content", target_is_directory=True)
    (root.parent / "outside.yaml").write_text(blog("outside"))
    (root / "content/link.yaml").symlink_to(root.parent / "outside.yaml")
    (root / "content/dangling.yml").symlink_to(root.parent / "new.yaml")
    before = _state(root)

    async def work(agent: Agent) -> None:
        links = ["linked/evil.yaml", "content/inner/evil.yaml", "content/link.yaml"]
        for path in (*OUTSIDE, *links, "content/dangling.yml"):
            for digest in ({}, {"digest": "sha256:" + "0" * 64}):
                refused = await agent("write_manifest", path=path, text=blog("evil"), **digest)
                assert refused.failed, path
                assert "bug" not in refused.codes
            assert (await agent("read_manifest", path=path)).failed == (path != "content/data.yaml"), path
        rows = (await agent("read_manifest", path="content/data.yaml")).values["digest"]
        for text in ("[{n: 2}]\n", blog("evil")):
            assert (await agent("write_manifest", path="content/data.yaml", text=text, digest=rows)).failed
        assert _state(root) == before
        assert not (root.parent / "new.yaml").exists()
        for link in ("linked", "content/inner", "content/link.yaml", "content/dangling.yml"):
            (root / link).unlink()
        for text in ("[{n: 2}]\n", blog("evil")):
            refused = await agent("write_manifest", path="content/data.yaml", text=text, digest=rows)
            assert "manifests name it as data" in refused.words or "content/rows.yaml:" in refused.words
        assert not (await agent("plan")).failed

    talk(root, work)


def test_arguments_that_fit_no_schema_change_nothing(root: Path) -> None:
    """Wrong types, huge values, options that tools do not have, and tools that there are not."""
    before = _state(root)

    async def work(agent: Agent) -> None:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("plan", {"var": ["company=Evil"]}),
            ("plan", {"variables": ["company=Evil"]}),
            ("plan", {"select": "one"}),
            ("plan", {"select": ["x"] * 101}),
            ("plan", {"on_edit": "overwrite"}),
            ("plan", {"out": "/tmp/plan.json"}),
            ("plan", {"replace": ["x" * 1001]}),
            ("plan", {"select": ["--yes"]}),
            ("plan", {"select": ["state:nonsense"]}),
            ("status", {"select": [{"a": 1}]}),
            ("show", {}),
            ("show", {"item": ""}),
            ("show", {"item": 7}),
            ("show", {"item": "../contentops"}),
            ("show", {"item": "x" * 5_000_000}),
            ("check", {"commands": True}),
            ("write_manifest", {"path": "content/e.yaml", "text": ""}),
            ("write_manifest", {"path": "content/e.yaml", "text": "# " + "x" * 60_000}),
            ("write_manifest", {"path": "content/e.yaml", "text": ["items: []"]}),
            ("write_manifest", {"path": "content/e.yaml", "text": blog("e"), "digest": ""}),
            ("write_manifest", {"path": "content/e.yaml", "text": "a: &a [x]\nb: [*a, *a]\nitems: []\n"}),
            ("write_manifest", {"path": "content/e.yaml", "text": "items: [{id: e, for_each: ../../x.csv, inputs: {}}]"}),
            ("write_manifest", {"path": "content/e.yaml", "text": "items: [{id: e, checks: {commands: [id]}, inputs: {topic: x, target_audience: y}}]"}),
            ("apply", {"checksum": "sha256:" + "0" * 64, "yes": True}),
            ("approve", {"item": "one"}),
            ("\x1b[2Jstatus", {}),
        ]  # fmt: skip
        for name, arguments in calls:
            told = await agent(name, **arguments)
            assert told.failed, (name, str(arguments)[:200])
            assert "Traceback" not in told.words
            assert "\x1b" not in told.words
            assert len(str(told)) < 5_000
        assert _state(root) == before

    talk(root, work)


def test_no_tool_applies_or_approves(root: Path) -> None:
    """Neither a tool, nor the approvals file, nor a manifest's front matter pays for a text or approves one."""

    async def work(agent: Agent) -> None:
        line = json.dumps({"item": "one", "text": "sha256:" + "0" * 64, "verdict": "approved", "by": "x <x@y>", "at": "2026-01-01T00:00:00Z"})  # fmt: skip
        for path in ("contentops.approvals", "content/contentops.approvals", "content/../contentops.approvals"):
            assert (await agent("write_manifest", path=path, text=line)).failed
        assert not (root / "contentops.approvals").exists()
        before = _state(root)
        assert not (await agent("plan", select=["one"])).failed
        for tool in ("apply", "approve", "regenerate", "restore", "commit"):
            assert (await agent(tool, item="one")).failed
        assert _state(root) == before

    talk(root, work)
    assert not list(root.glob(".contentops/journal*"))
