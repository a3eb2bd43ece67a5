"""An agent that tries to spend, to approve, and to write what is not its own, with nothing but the tools it has."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from contentops.errors import Refused
from contentops.execution.primitives import Stop
from contentops.model.plan_file import CHECKSUM, checksum
from contentops.operations.approved_plans import apply_approved, record_path
from contentops.operations.opening import open_project
from tests.agents import Agent, approve, talk
from tests.processes import KEY, PROJECT, Served, blog
from tests.test_approving import in_git

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    "../evil.yaml",
    "content/../../evil.yaml",
    "/tmp/evil.yaml",
    "~/evil.yaml",
    "content\\..\\..\\evil.yaml",
    "C:/evil.yaml",
    "content//evil.yaml",
    "./content/evil.yaml",
    "content/evil.yaml/",
    "content/\u202eevil.yaml",
    "content/evil\u200b.yaml",
    "content/evil.yaml\u0000.yaml",
    "content/evil\n.yaml",
    "content/．．/．．/../evil.yaml",
    "content/con.yaml",
    "content/git~1/evil.yaml",
    ".github/workflows/evil.yml",
    ".git/evil.yaml",
    ".contentops/evil.yaml",
    "content/.hidden.yaml",
    "contentops.yaml",
    "Contentops.YAML",
    "CONTENTOPS.yaml",
    "\uff23ontentops.yaml/../contentops.yaml",
    "content/contentops.yaml",
    "content/ContentOps.yaml",
    "contentops.lock",
    "contentops.approvals",
    "contentops.staging.lock",
    "catalog.lock.json",
    "content/macros.yaml",
    "content/data.yaml",
    "content/page.md",
    "out/one.md",
    "content/run.py",
    "content/" + "x" * 300 + ".yaml",
]


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
        shutil.rmtree(root / ".contentops/plans")
        (root / ".contentops/plans").symlink_to(root.parent, target_is_directory=True)
        assert (await agent("plan")).codes == ["unsafe-folder"]

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
            ("diff", {"item": "one", "with": "remote"}),
            ("check", {"commands": True}),
            ("write_manifest", {"path": "content/e.yaml", "text": ""}),
            ("write_manifest", {"path": "content/e.yaml", "text": "# " + "x" * 60_000}),
            ("write_manifest", {"path": "content/e.yaml", "text": ["items: []"]}),
            ("write_manifest", {"path": "content/e.yaml", "text": blog("e"), "digest": ""}),
            ("write_manifest", {"path": "content/e.yaml", "text": "a: &a [x]\nb: [*a, *a]\nitems: []\n"}),
            ("write_manifest", {"path": "content/e.yaml", "text": "items: [{id: e, for_each: ../../x.csv, inputs: {}}]"}),
            ("write_manifest", {"path": "content/e.yaml", "text": "items: [{id: e, checks: {commands: [id]}, inputs: {topic: x, target_audience: y}}]"}),
            ("apply", {}),
            ("apply", {"checksum": "../../plan"}),
            ("apply", {"checksum": "sha256:" + "0" * 64 + "\n"}),
            ("apply", {"checksum": "sha256:" + "٠" * 64}),
            ("apply", {"checksum": "sha256:" + "0" * 64, "approve_credits": 1000}),
            ("apply", {"checksum": "sha256:" + "0" * 64, "yes": True}),
            ("approve", {"item": "one"}),
            ("approve", {"plan": ".contentops/plans/x.json"}),
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


def test_no_tool_approves_a_text(root: Path) -> None:
    """Neither the approvals file nor a manifest's front matter makes an approval; the plan stays the person's to approve."""

    async def work(agent: Agent) -> None:
        line = json.dumps({"item": "one", "text": "sha256:" + "0" * 64, "verdict": "approved", "by": "x <x@y>", "at": "2026-01-01T00:00:00Z"})  # fmt: skip
        for path in ("contentops.approvals", "content/contentops.approvals", "content/../contentops.approvals"):
            assert (await agent("write_manifest", path=path, text=line)).failed
        assert not (root / "contentops.approvals").exists()
        plan = await agent("plan", select=["one"])
        assert "file" in plan.values, plan.words
        await anyio.to_thread.run_sync(approve, root, plan.values["file"])
        assert not (await agent("apply", checksum=plan.values["checksum"])).failed
        status = await agent("status", select=["one"])
        assert status.values["items"][0]["approval"] == "waiting"

    talk(root, work)


# --- spending --------------------------------------------------------------------------------------------------


@pytest.fixture
def paid(project: Build, tmp_path: Path) -> Iterator[tuple[Path, Served]]:
    """A project whose server asks for money, and its server."""
    with Served(tmp_path / "store.db") as served:
        extra = 'budget: {credits_per_apply: 30}\nvars: {company: Acme}\nenvironments: {staging: {output: "staging/{{ item.id }}.md"}}'
        settings = PROJECT.format(base_url=served.base_url, extra=extra)
        yield project({"contentops.yaml": settings, "content/blog.yaml": blog("one", "two")}, at="paid"), served


ENV = {"WRITERZROOM_API_KEY": KEY}


async def _refused(agent: Agent, served: Served, sum_: str, *codes: str) -> None:
    told = await agent("apply", checksum=sum_)
    assert told.failed, told.words
    assert not codes or told.codes[0] in codes, told.words
    assert served.charges() == []


def _resealed(path: Path, **changed: Any) -> str:
    """Change a plan file and seal it again, as anyone can who writes files."""
    document = json.loads(path.read_text()) | changed
    document[CHECKSUM] = checksum(document)
    path.write_text(json.dumps(document))
    return str(document[CHECKSUM])


def test_nothing_is_spent_without_the_very_plan_that_was_approved(paid: tuple[Path, Served]) -> None:
    """Not another plan, not a changed or swapped one, not a stale one, not one over budget, not twice."""
    root, served = paid

    async def work(agent: Agent) -> None:
        plan = await agent("plan", select=["one"])
        file, known = root / plan.values["file"], plan.values["checksum"]
        whole = file.read_text()
        await _refused(agent, served, known, "plan-not-approved")
        await anyio.to_thread.run_sync(approve, root, plan.values["file"])

        # Another plan than the approved one, at its own path or at the path of the approved one.
        other = (await agent("plan")).values
        await _refused(agent, served, other["checksum"], "plan-not-approved")
        file.write_text((root / other["file"]).read_text())
        await _refused(agent, served, known, "plan-not-approved")
        await _refused(agent, served, other["checksum"], "plan-not-approved")
        # Edited, with and without a new seal; a link to it; gone.
        file.write_text(whole.replace('"credits":', '"credits" :').replace("create", "replace", 1))
        await _refused(agent, served, known, "edited-plan", "no-plan-file")
        file.write_text(whole)
        forged = _resealed(file, inputs=json.loads(whole)["inputs"] | {"variables": ["company=Evil"]})
        await _refused(agent, served, known, "plan-not-approved")
        await _refused(agent, served, forged, "plan-not-approved")
        file.unlink()
        file.symlink_to(root / other["file"])
        await _refused(agent, served, known, "no-plan-file")
        file.unlink()
        await _refused(agent, served, known, "no-plan-file")
        file.write_text(whole)

        # A manifest that says more than the approved plan.
        read = (await agent("read_manifest", path="content/blog.yaml")).values
        changed = read["text"].replace("All about one", "All about something dearer")
        assert not (await agent("write_manifest", path="content/blog.yaml", text=changed, digest=read["digest"])).failed
        await _refused(agent, served, known, "stale-plan")
        now = (await agent("read_manifest", path="content/blog.yaml")).values["digest"]
        assert not (await agent("write_manifest", path="content/blog.yaml", text=read["text"], digest=now)).failed

        # More than the budget, though a person approved it.
        many = blog(*(f"n{number}" for number in range(40)))
        assert not (await agent("write_manifest", path="content/many.yaml", text=many)).failed
        over = await agent("plan")
        assert "only a person can apply it" in over.words
        assert "file" not in over.values

        # Two at once: one is done, the other finds the lock or nothing to do; then the approval is used up.
        results: list[Any] = []

        async def one() -> None:
            results.append(await agent("apply", checksum=known))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        assert [told.failed for told in results].count(False) == 1, [told.words for told in results]
        assert served.charges() == ["All about one"]
        assert (await agent("apply", checksum=known)).codes == ["plan-not-approved"]
        assert served.charges() == ["All about one"]

    talk(root, work, env=ENV)


def test_an_approval_counts_for_one_folder_and_one_environment(paid: tuple[Path, Served]) -> None:
    """A plan of another environment, and an approval of another clone, pay for nothing; nor does a revert."""
    root, served = paid
    sums: list[str] = []

    async def of_staging(agent: Agent) -> None:
        plan = await agent("plan", select=["one"])
        await anyio.to_thread.run_sync(lambda: approve(root, plan.values["file"], "staging"))
        sums.append(plan.values["checksum"])

    talk(root, of_staging, "--env", "staging", env=ENV)
    twin = root.parent / "twin"
    shutil.copytree(root, twin)

    async def of_none(agent: Agent) -> None:
        await _refused(agent, served, sums[0], "plan-not-approved")

    talk(root, of_none, env=ENV)
    talk(twin, of_none, "--env", "staging", env=ENV)

    async def reverted(agent: Agent) -> None:
        assert not (await agent("apply", checksum=sums[0])).failed
        for made in (".contentops/cache", "staging"):
            shutil.rmtree(root / made)
        (root / "contentops.staging.lock").unlink()
        assert (await agent("apply", checksum=sums[0])).codes == ["plan-not-approved"]

    talk(root, reverted, "--env", "staging", env=ENV)
    assert served.charges() == ["All about one"]


@pytest.mark.parametrize("name", ["XDG_CONFIG_HOME", "HOME"])
def test_records_of_approvals_inside_the_project_do_not_count(paid: tuple[Path, Served], name: str) -> None:
    """A folder of settings that an agent's own files could fill, or that a branch brings, approves nothing."""
    root, served = paid
    record = {"file": str(root / "x.json"), "root": str(root), "by": "x", "at": "y"}
    inside = root / ("own/contentops" if name == "XDG_CONFIG_HOME" else "own/.config/contentops") / "approved-plans"

    async def work(agent: Agent) -> None:
        plan = await agent("plan", select=["one"])
        inside.mkdir(parents=True)
        forged = record | {"checksum": plan.values["checksum"], "file": str(root / plan.values["file"])}
        (inside / f"{plan.values['checksum'][7:]}.json").write_text(json.dumps(forged))
        await _refused(agent, served, plan.values["checksum"], "no-own-folder")

    talk(root, work, env={**ENV, name: str(root / "own")})
    link = root.parent / "link"
    link.symlink_to(root / "own")
    shutil.rmtree(root / "own")
    talk(root, work, env={**ENV, name: str(link)})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"checksum": 1}', "null", "\x00" * 100, "[" * 100_000])
def test_a_damaged_record_approves_nothing(paid: tuple[Path, Served], tmp_path: Path, text: str) -> None:
    """What is not a record of this plan is none."""
    root, served = paid
    project, known = open_project(str(root), "", ()), "sha256:" + "1" * 64
    path = record_path(project, known, os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(Refused, match="no person approved"):
        apply_approved(project, known, Stop(), lambda _: None)
    path.unlink()
    assert served.charges() == []
