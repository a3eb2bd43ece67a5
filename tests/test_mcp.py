"""`contentops mcp`: an agent reads, writes manifests and plans; it applies what a person approved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from tests.agents import Agent, approve, talk
from tests.processes import KEY, PROJECT, Served, blog, tree
from tests.running import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = """\
version: 1
project: acme-blog
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""


def _project(build: Build, *items: str) -> Path:
    return build({"contentops.yaml": SETTINGS, "content/blog.yaml": blog(*(items or ("one", "two")))})


def test_an_agent_writes_a_manifest_plans_and_applies_what_a_person_approved(project: Build) -> None:
    """Every tool on its way from an idea to a text; only the approval comes from elsewhere."""
    root = _project(project)

    async def work(agent: Agent) -> None:
        tools = {one.name: one for one in (await agent.session.list_tools()).tools}
        hints = {name: one.annotations for name, one in tools.items()}
        assert [name for name, hint in hints.items() if hint and not hint.read_only_hint] == ["write_manifest", "apply"]
        assert (await agent("status")).values["counts"] == {"new": 2}
        assert (await agent("validate")).words == "Valid: 2 items in 1 manifest."
        listed = await agent("list_manifests")
        assert listed.values == {"total": 1, "manifests": ["content/blog.yaml"], "globs": ["content/**/*.yaml"]}

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
        assert f"contentops approve {plan.values['file']}" in plan.words
        refused = await agent("apply", checksum=plan.values["checksum"])
        assert refused.failed
        assert refused.codes == ["plan-not-approved"]
        assert f"contentops approve {plan.values['file']}" in refused.words
        assert not (root / "out").exists()

        await anyio.to_thread.run_sync(approve, root, plan.values["file"])
        done = await agent("apply", checksum=plan.values["checksum"])
        assert not done.failed, done.words
        assert "3 items" in done.words or "3 done" in done.words, done.words
        assert done.values["run"]["counts"]["done"] == 3
        assert sorted(tree(root)) == ["out/four.md", "out/one.md", "out/three.md"]
        assert (await agent("status", select=["state:new"])).values["total"] == 1
        assert (await agent("check")).values["checked"] == []

        out = root / "out/one.md"
        out.write_text(out.read_text().replace("one", "uno"))
        compared = await agent("diff", item="one")
        assert compared.values["before"] != compared.values["after"]
        assert "are data" in compared.words
        assert not (await agent("diff", item="one", **{"with": "plan"})).failed

        twice = await agent("apply", checksum=plan.values["checksum"])
        assert twice.codes == ["plan-not-approved"], "an approval counts until its plan is done"

    talk(root, work)


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
        assert duplicate.codes == ["duplicate-id"]
        assert (root / "content/blog.yaml").read_text() == before
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
        assert "digest" not in hidden.values
        assert "zero\\u200bwidth" in hidden.values["text"]
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
        assert status.values["total"] == 1_001
        assert status.values["counts"] == {"new": 1_001}
        assert len(status.values["items"]) == 200
        assert "The first 200 are listed" in status.words
        plan = await agent("plan")
        assert plan.values["total"] == 1_001
        assert len(plan.values["changes"]) == 200
        assert len(str(plan)) < 100_000
        shown = await agent("show", item="one")
        assert "\u202e" not in str(shown.values)
        assert "\\u202eevil [key]" in shown.values["brief"]
        assert len(str(shown)) < 300_000
        assert "(cut: 90,000 characters)" in str(shown.values)
        for tool in ("status", "show", "diff", "plan"):
            told = await agent(tool, **({"item": "one"} if tool in {"show", "diff"} else {}))
            assert KEY not in str(told)

    talk(root, work, env={"WRITERZROOM_API_KEY": KEY})


def test_without_the_sdk_it_says_what_to_install(project: Build, run: Run, tmp_path: Path) -> None:
    """The extra is named, and the help needs it not."""
    root = _project(project)
    hide = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError('mcp')\n")
    assert run("mcp", "--help", cwd=root, env=hide).code == 0
    code = "import sys; sys.modules['mcp'] = None; from contentops.__main__ import main; sys.exit(main(['mcp']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "[mcp]" in ended.stderr


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


# --- a run that ends early -------------------------------------------------------------------------------------


@pytest.fixture
def paid(project: Build, tmp_path: Path) -> Any:
    """A project whose server is slow and asks for money."""
    with Served(tmp_path / "store.db", stage_seconds=0.3) as served:
        settings = PROJECT.format(base_url=served.base_url, extra="")
        root = project({"contentops.yaml": settings, "content/blog.yaml": blog("one", "two", "three")}, at="paid")
        yield root, served


ENV = {"WRITERZROOM_API_KEY": KEY}


def _finish(run: Run, root: Path) -> None:
    ended = run("apply", "--yes", cwd=root, env=ENV)
    assert ended.code == 0, ended.stderr
    assert run("plan", "--detailed-exitcode", cwd=root).code == 0


def test_an_apply_reports_progress_and_stops_when_it_is_cancelled(paid: Any, run: Run) -> None:
    """A client that gives up leaves what a first Ctrl-C leaves; the next apply pays for nothing twice."""
    root, served = paid
    seen: list[str] = []

    async def work(agent: Agent) -> None:
        plan = await agent("plan")
        await anyio.to_thread.run_sync(approve, root, plan.values["file"])
        begun = anyio.Event()

        async def report(progress: float, total: float | None, message: str | None) -> None:
            seen.append(message or "")
            begun.set()

        async def apply() -> None:
            arguments = {"checksum": plan.values["checksum"]}
            await agent.session.call_tool("apply", arguments, progress_callback=report)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(apply)
            await begun.wait()
            busy = await agent("apply", checksum=plan.values["checksum"])
            assert busy.codes == ["lock-held"], busy.words
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            while "lock-held" in (await agent("status")).codes:
                pass

    talk(root, work, env=ENV)
    assert "of 3 done" in seen[0]
    (report,) = (root / ".contentops/runs").glob("*.json")
    assert json.loads(report.read_text())["run"]["stopped"] == "interrupted"
    _finish(run, root)
    assert served.charges() == [f"All about {one}" for one in ("one", "three", "two")]


def test_a_killed_server_leaves_what_a_killed_apply_leaves(paid: Any, run: Run) -> None:
    """SIGKILL in the middle: one charge per item in the end."""
    root, served = paid
    killed: list[int] = []

    async def work(agent: Agent) -> None:
        plan = await agent("plan")
        await anyio.to_thread.run_sync(approve, root, plan.values["file"])

        async def kill(progress: float, total: float | None, message: str | None) -> None:
            note = json.loads((root / ".contentops/apply.json").read_text())
            killed.append(note["pid"])
            os.kill(note["pid"], signal.SIGKILL)

        with pytest.raises(MCPError):
            await agent.session.call_tool("apply", {"checksum": plan.values["checksum"]}, progress_callback=kill)

    talk(root, work, env=ENV)
    assert len(killed) == 1
    _finish(run, root)
    assert served.charges() == [f"All about {one}" for one in ("one", "three", "two")]
