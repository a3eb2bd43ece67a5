"""What a command loads is what it uses: start-up is most of what a person waits for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from contentops.model import Plan
from contentops.operations import plan as operation
from contentops.operations.opening import open_project
from contentops.operations.unchanged import Asked, last_plan
from contentops.planning.plan_inputs import Choice

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

SCRIPT = """\
import sys
before = set(sys.modules)
from contentops.__main__ import main
main(sys.argv[1:])
mine = {name for name in sys.modules if name.startswith("contentops.")}
others = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(mine | (others - set(sys.stdlib_module_names) - {"contentops"})), file=sys.stderr)
"""
STANDARD = """\
import sys, click, msgspec
before = set(sys.modules)
from contentops.__main__ import main
main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
START = """
    click colorama contentops.__main__ contentops.cli contentops.cli.command_table contentops.cli.entry
    contentops.cli.options contentops.cli.session contentops.collector contentops.errors msgspec typing_extensions
"""
RECALLED = """
    contentops.atomic_io contentops.ci contentops.ci.runner contentops.cli.commands contentops.cli.commands.plan
    contentops.cli.output contentops.cli.output.github_job contentops.cli.output.terminal contentops.digest
    contentops.loopback contentops.manifests contentops.manifests.root contentops.model contentops.operations
    contentops.operations.unchanged contentops.pricing contentops.reporting contentops.reporting.diagnostics
    contentops.reporting.causes contentops.reporting.layout contentops.reporting.plan_text contentops.reporting.summary contentops.sanitize
    contentops.state contentops.state.state_dir contentops.state.tracked contentops.tokens
"""


COSTLY = {"asyncio", "base64", "dataclasses", "hashlib", "json", "pathlib", "shutil", "sqlite3", "subprocess", "urllib"}
"""What of Python itself takes longer to load than the work that is done with it."""


def _loaded(*words: str, cwd: Path, script: str = SCRIPT) -> set[str]:
    ended = subprocess.run([sys.executable, "-c", script, *words], cwd=cwd, capture_output=True, text=True, check=True)
    # The glossary is one, in how many modules it may stand.
    return {name for name in ended.stderr.splitlines()[-1].split() if not name.startswith("contentops.model.")}


def test_the_version_and_the_help_load_no_command(tmp_path: Path) -> None:
    """The one not even the command line, the other that alone."""
    assert _loaded("--version", cwd=tmp_path) == {"contentops.__main__"}
    assert _loaded("--help", cwd=tmp_path) <= {*START.split()}


def test_only_its_command_loads_the_sdk_for_agents(project: Build) -> None:
    """Not its help either: the SDK takes longer to load than most commands take."""
    root = project(
        {"contentops.yaml": "{version: 1, project: x, api: {base_url: local}}", "content/a.yaml": "items: []"}
    )
    for words in (("mcp", "--help"), ("approve", "--help"), ("plan",), ("status",), ("validate",)):
        assert not _loaded(*words, cwd=root) & {"mcp", "mcp_types", "pydantic", "contentops.agents"}


ITEM = (
    "{id: a, template: blog_article_generator, style: general_blog, "
    "inputs: {topic: 'Of {{ company }}', target_audience: readers}}"
)


def test_a_plan_that_is_recalled_loads_nothing_that_plans(project: Build) -> None:
    """No YAML, no state, no planner: what looks at stamps, and what says the answer.

    Where an item changed, what reads and plans it; and no Jinja for a plain look-up.
    """
    root = project(
        {
            "contentops.yaml": "{version: 1, project: x, api: {base_url: local}, vars: {company: Acme}}",
            "content/a.yaml": f"items: [{ITEM}]\n",
        }
    )
    _loaded("apply", "--yes", cwd=root)
    last = last_plan(str(root), Asked(), started=time.time_ns() + 10_000_000_000)
    operation.plan(open_project(str(root), "", ()), Choice(), last=last)
    assert isinstance(last.recall(), Plan)
    loaded = _loaded("plan", cwd=root)
    assert loaded <= {*START.split(), *RECALLED.split()}
    assert loaded >= {*RECALLED.split()}
    assert not _loaded("plan", cwd=root, script=STANDARD) & COSTLY
    (root / "content" / "a.yaml").write_text(f"items: [{ITEM.replace('readers', 'writers')}]\n", "utf-8")
    changed = _loaded("plan", cwd=root)
    assert "yaml" in changed
    assert not changed & {"contentops.documents.checks", "httpx", "jinja2"}
    assert not _loaded("plan", cwd=root, script=STANDARD) & {"asyncio", "csv", "subprocess"}
    shutil.rmtree(root / ".contentops" / "cache")
    assert _loaded("plan", cwd=root) > loaded


def test_a_plan_and_an_apply_with_nothing_to_do_load_no_http(project: Build) -> None:
    """Most of their time is the start: what speaks to a server, makes texts or shows progress is left on disk."""
    root = project(
        {
            "contentops.yaml": "{version: 1, project: x, api: {base_url: local}, vars: {company: Acme}}",
            "content/a.yaml": f"items: [{ITEM}]\n",
        }
    )
    heavy = {"asyncio", "httpx", "jinja2", "markdown_it", "rich", "starlette", "subprocess"}
    commands = (("apply", "--yes"), ("plan",), ("apply", "--yes"))
    loaded = [bool(_loaded(*words, cwd=root, script=STANDARD) & heavy) for words in commands]
    assert loaded == [True, False, False]
