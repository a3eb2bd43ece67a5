"""Imports of our own inside functions: only where they save start-up, and each module that has some says why here."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "contentops"

LATE = {
    "__main__": "the version is printed before anything is loaded",
    "api/reading": "front matter is read only of texts that begin with it",
    "cli/carry_out": "what only queues needs a ledger, and nothing else does",
    "cli/commands/apply": "where nothing changed since the last time, it is said without loading what plans and runs",
    "cli/commands/check": "what checks found is printed only by `check`",
    "cli/commands/commit": "GitHub is spoken to only for a pull request",
    "cli/commands/init": "most projects start without texts, and `schema` is in the same module",
    "cli/commands/ledger": "its help needs no driver of PostgreSQL",
    "cli/commands/mcp": "its help needs no SDK",
    "cli/commands/plan": "one of the forms of a plan is printed, and none is made where nothing changed since the last time",
    "cli/commands/queue": "its help needs no driver of PostgreSQL, and a page is served only where it is asked for",
    "cli/commands/report": "the page of what was spent is made only where it is asked for",
    "cli/commands/work": "its help needs no driver of PostgreSQL",
    "cli/completion": "texts are offered for one option of one command",
    "cli/entry": "what explains a failure is loaded when there is one",
    "cli/options": "help loads no operation",
    "cli/output/github_job": "a page for the job is made only where a runner reads it",
    "cli/output/terminal": "findings are shown only where there are some",
    "cli/session": "help loads no operation",
    "manifests/checks": "most items state no checks",
    "manifests/data": "few projects have workbooks",
    "manifests/load": "a manifest is built, with Jinja and jsonschema, only where the parse cache lacks it",
    "manifests/references": "few templates ask for an excerpt",
    "manifests/root": "most settings name no default environment",
    "manifests/templates": "most fields are no templates, and need no Jinja",
    "manifests/words": "few templates take Markdown apart",
    "operations/apply": "a no-op apply loads neither executor nor HTTP nor git",
    "operations/catalog/project_catalog": "no server is loaded where a committed catalog is read",
    "operations/connection": "where nothing is asked, no HTTP and no server is loaded",
    "operations/contents/look_first": "an apply that pays for nothing loads no HTTP, and a plan asks no git",
    "operations/contents/stored_contents": "no ledger is loaded where there is none",
    "operations/doctor": "`validate` shares a module of the command line with it and needs no server and no git",
    "operations/opening": "what names a project asks git only where it has no lock",
    "operations/plan": "a plan loads HTTP only to refresh, and git only to count a month",
    "operations/texts/checked_files": "the review pages load what checks texts only where a text changed",
    "operations/texts/similar_texts": "most projects compare no texts",
    "operations/unchanged": "where nothing changed, nothing that plans is loaded",
    "operations/workspace": "a plan loads no HTTP, no server and no git, and no ledger where there is none",
    "planning/checked": "most plans hold no text against its checks",
    "planning/same_request": "most plans pay for nothing, or compare no texts",
    "server/engines/__init__": "one engine is used",
    "state/cache": "reading loads no diskcache",
}


def test_late_imports_have_their_reason() -> None:
    """A module that imports one of ours inside a function is listed, and no other is."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        if "    from contentops" not in (text := file.read_text("utf-8")):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _imports_ours(node):
                found.add(file.relative_to(PACKAGE).with_suffix("").as_posix())
    assert found == LATE.keys()


def _imports_ours(function: ast.AST) -> bool:
    modules = (each.module or "" for each in ast.walk(function) if isinstance(each, ast.ImportFrom))
    return any(module.split(".")[0] == "contentops" for module in modules)
