"""`contentops mcp`: an agent reads, writes manifests and plans; it can neither apply nor approve."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents import Agent, talk
from tests.processes import KEY, blog, tree
from tests.running import Build, Run, unmeasured
from tests.test_approving import in_git

SETTINGS = """\
version: 1
project: acme-blog
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""


def _project(build: Build, *items: str) -> Path:
    return build({"contentops.yaml": SETTINGS, "content/blog.yaml": blog(*(items or ("one", "two")))})


def test_an_agent_writes_a_manifest_and_plans_and_a_person_applies(project: Build, invoke: Run) -> None:
    """Every tool on its way from an idea to a plan; no tool carries it out."""
    root = _project(project)

    async def work(agent: Agent) -> None:
        tools = {one.name: one for one in (await agent.session.list_tools()).tools}
        hints = {name: one.annotations for name, one in tools.items()}
        assert [name for name, hint in hints.items() if hint and not hint.read_only_hint] == ["write_manifest"]
        assert (await agent("status")).values["counts"] == {"new": 2}
        valid = await agent("validate")
        assert valid.words == "Valid: 2 items in 1 manifest."
        assert (valid.values["manifests"], valid.values["globs"]) == (["content/blog.yaml"], ["content/**/*.yaml"])

        text = blog("three")
        written = await agent("write_manifest", path="content/new.yaml", text=text)
        assert not written.failed
        assert (root / "content/new.yaml").read_text() == text
        read = await agent("read_manifest", path="content/new.yaml")
        assert read.values == {"text": text, "digest": written.values["digest"]}
        again = await agent(
            "write_manifest", path="content/new.yaml", text=blog("three", "four"), digest=read.values["digest"]
        )
        assert not again.failed
        assert (await agent("show", item="four")).values["request"]["inputs"]["topic"] == "All about four"

        plan = await agent("plan", exclude=["two"])
        assert [one["id"] for one in plan.values["changes"]] == ["four", "one", "three"]
        assert "Next: `contentops apply --exclude two`" in plan.words
        assert (await agent("apply", checksum="sha256:" + "0" * 64)).failed

    talk(root, work)
    assert not (root / "out").exists()
    assert invoke("apply", "--exclude", "two", "--yes", cwd=root).code == 0

    async def after(agent: Agent) -> None:
        assert sorted(tree(root)) == ["out/four.md", "out/one.md", "out/three.md"]
        assert (await agent("status", select=["state:new"])).values["total"] == 1
        assert (await agent("check")).values["checked"] == []
        assert (await agent("plan", replace=["one"])).values["changes"][0]["id"] == "one"

    talk(root, after)


def test_a_broken_manifest_is_refused_with_its_findings(project: Build) -> None:
    """Nothing is written while anything would be wrong with it, also in other files; a broken one can be repaired."""
    root = _project(project)
    before = (root / "content/blog.yaml").read_text()

    async def work(agent: Agent) -> None:
        digest = (await agent("read_manifest", path="content/blog.yaml")).values["digest"]
        for text, code in (
            ("items: [{id: a, inputs: {audiance: x}}]\n", "unknown-input"),
            ("items: [\n", "yaml"),
            ("items: [{id: a, for_each: ../../etc/passwd, inputs: {topic: x}}]\n", ""),
            ("items: [{id: a, output: ../../a.md, inputs: {topic: x, target_audience: y}}]\n", ""),
        ):
            refused = await agent("write_manifest", path="content/blog.yaml", text=text, digest=digest)
            assert refused.failed
            assert code in " ".join(refused.codes)
            assert "content/blog.yaml:" in refused.words
        duplicate = await agent("write_manifest", path="content/b.yaml", text=blog("one"))
        assert (duplicate.codes, (root / "content/blog.yaml").read_text()) == (["duplicate-id"], before)
        assert not (root / "content/b.yaml").exists()

        (root / "content/x.yaml").write_text("items: [\n")
        other = await agent("write_manifest", path="content/b.yaml", text=blog("three"))
        assert "content/x.yaml:" in other.words, "only a whole project shows which files are data"
        read = await agent("read_manifest", path="content/x.yaml")
        repaired = {"path": "content/x.yaml", "text": blog("x"), "digest": read.values["digest"]}
        assert not (await agent("write_manifest", **repaired)).failed
        assert not (await agent("validate")).failed

    talk(root, work)


def test_a_person_s_words_in_a_manifest_are_not_lost(project: Build) -> None:
    """A manifest is replaced only with the digest of what was read, and never one that was not shown exactly."""
    root = _project(project)
    manifest = root / "content/blog.yaml"

    async def work(agent: Agent) -> None:
        digest = (await agent("read_manifest", path="content/blog.yaml")).values["digest"]
        manifest.write_text(by_hand := blog("one", "two", "by-hand"))
        for stale in ({"digest": digest}, {}):
            refused = await agent("write_manifest", path="content/blog.yaml", text=blog("mine"), **stale)
            assert refused.failed
            assert "stays as it is" in refused.words
        assert manifest.read_text() == by_hand
        gone = await agent("write_manifest", path="content/new.yaml", text=blog("mine"), digest=digest)
        assert gone.failed
        manifest.write_text(by_hand + "# zero\u200bwidth\n")
        hidden = await agent("read_manifest", path="content/blog.yaml")
        assert ("digest" in hidden.values, "zero\\u200bwidth" in hidden.values["text"]) == (False, True)
        crlf = by_hand.replace("\n", "\r\n")
        manifest.write_bytes(crlf.encode())
        assert (await agent("read_manifest", path="content/blog.yaml")).values["text"] == crlf

    talk(root, work)


def test_answers_are_bounded_and_harmless(project: Build) -> None:
    """Long lists are cut with a count; keys are masked; characters that turn words are shown as escapes."""
    rows = "".join(f"  - {number}\n" for number in range(1_000))
    long = "x" * 90_000
    root = project(
        {
            "contentops.yaml": SETTINGS,
            "content/many.yaml": f"items:\n- id: 'n{{{{ each.value }}}}'\n  for_each:\n{rows}"
            "  inputs: {topic: 'T {{ each.value }}', target_audience: r}\n",
            "content/one.yaml": 'items: [{id: one, inputs: {topic: "\\u202eevil ' + KEY + '", key_points: ["' + long
            + '"], target_audience: r}}]\n',
        }
    )  # fmt: skip

    async def work(agent: Agent) -> None:
        valid = await agent("validate")
        assert not valid.failed, valid.words
        status = await agent("status")
        assert (status.values["total"], status.values["counts"]) == (1_001, {"new": 1_001})
        assert (len(status.values["items"]), "The first 200 are listed" in status.words) == (200, True)
        plan = await agent("plan")
        assert (plan.values["total"], len(plan.values["changes"])) == (1_001, 200)
        assert len(str(plan)) < 100_000
        shown = await agent("show", item="one")
        assert ("\u202e" in str(shown.values), "\\u202eevil [key]" in shown.values["brief"]) == (False, True)
        assert len(str(shown)) < 300_000
        assert "(cut: 90,000 characters)" in str(shown.values)
        for tool in ("status", "show", "plan"):
            assert KEY not in str(await agent(tool, **({"item": "one"} if tool == "show" else {})))

    talk(root, work, env={"WRITERZROOM_API_KEY": KEY})


def test_without_the_sdk_it_says_what_to_install(project: Build, run: Run, tmp_path: Path) -> None:
    """The package is named, and the help needs it not."""
    root = _project(project)
    hide = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError('mcp')\n")
    assert run("mcp", "--help", cwd=root, env=hide).code == 0
    code = "import sys; sys.modules['mcp'] = None; from contentops.__main__ import main; sys.exit(main(['mcp']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (ended.returncode, '`"mcp>=' in ended.stderr) == (1, True)


def test_ctrl_c_ends_it_at_once(project: Build) -> None:
    """Also while it waits for its client."""
    arguments = [sys.executable, "-m", "contentops", "-C", str(_project(project)), "mcp"]
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=unmeasured()) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{message}\n".encode())
        server.stdin.flush()
        assert b"contentops" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == -signal.SIGINT


ATTACKED = """\
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
            "contentops.yaml": ATTACKED,
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


async def _write_where_no_manifest_is(agent: Agent, root: Path) -> None:
    """No path leads out of the project, to settings, state, approvals, data, macros, outputs or hidden files."""
    (root / "linked").symlink_to(root.parent, target_is_directory=True)
    (root / "content/inner").symlink_to(root / "content", target_is_directory=True)
    (root.parent / "outside.yaml").write_text(blog("outside"))
    (root / "content/link.yaml").symlink_to(root.parent / "outside.yaml")
    (root / "content/dangling.yml").symlink_to(root.parent / "new.yaml")
    before = _state(root)
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


async def _send_what_fits_no_schema(agent: Agent, root: Path) -> None:
    """Wrong types, huge values, options that tools do not have, and tools that there are not: nothing changes."""
    before = _state(root)
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
        assert ("Traceback" in told.words, "\x1b" in told.words) == (False, False)
        assert len(str(told)) < 5_000
    assert _state(root) == before


async def _try_to_apply_and_approve(agent: Agent, root: Path) -> None:
    """Neither a tool, nor the approvals file, nor a manifest's front matter pays for a text or approves one."""
    line = json.dumps({"item": "one", "text": "sha256:" + "0" * 64, "verdict": "approved", "by": "x <x@y>", "at": "2026-01-01T00:00:00Z"})  # fmt: skip
    for path in ("contentops.approvals", "content/contentops.approvals", "content/../contentops.approvals"):
        assert (await agent("write_manifest", path=path, text=line)).failed
    assert not (root / "contentops.approvals").exists()
    before = _state(root)
    assert not (await agent("plan", select=["one"])).failed
    for tool in ("apply", "approve", "regenerate", "restore", "commit"):
        assert (await agent(tool, item="one")).failed
    assert _state(root) == before


def test_no_tool_leads_out_applies_or_approves(root: Path) -> None:
    """Whatever an agent sends: nothing but manifests is written, and no text is paid for or approved."""

    async def work(agent: Agent) -> None:
        await _send_what_fits_no_schema(agent, root)
        await _try_to_apply_and_approve(agent, root)
        await _write_where_no_manifest_is(agent, root)

    talk(root, work)
    assert not list(root.glob(".contentops/journal*"))
