"""The shape of the code: short modules and functions, few parameters, one meaning for each class name."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

PACKAGE = Path(__file__).parents[1] / "contentops"
MODULE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 6
PAGES_LINES = 2_700
"""Of `contentops/pages/`: its Python and its templates."""
AGENTS_LINES = 300
"""Of `contentops/agents/`."""

MANY_PARAMETERS = {
    "api/session.__init__": "the settings, the secrets, and each edge that a test replaces",
    "cli/commands/apply.command": "one for each option of the command line",
    "cli/commands/apply.regenerate": "the same",
    "cli/commands/check.check": "the same",
    "cli/commands/commit.command": "the same",
    "cli/commands/init.command": "the same",
    "cli/commands/plan.command": "the same",
    "cli/commands/queue.command": "the same",
    "cli/commands/serve.command": "the same",
    "cli/commands/work.command": "the same",
    "execution/durations.next_poll": "what is known of one job, as numbers that a test can draw",
    "execution/durable_run.__init__": "the parts that share one account's limits, each made and tested alone",
    "execution/outbox.__init__": "the same, and the four ways out of it",
    "manifests/problems.about": "a finding has a place, a sentence, and what narrows or adds to them",
    "operations/apply.apply": "what is asked, told and shown goes to the caller by a function each",
    "server/app.create_app": "what a server may be made of; all but the store and the engine may be left out",
    "server/engines/openai._section": "the measures of one section of a text",
    "yaml/positions.finding": "a finding has a place, a sentence, and what narrows or adds to them",
    "yaml/positions.finding_at": "the same",
}


@functools.cache
def _modules() -> tuple[tuple[str, list[ast.AST], int], ...]:
    """The name of each module, all that is in it, and its lines."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        text = file.read_text("utf-8")
        name = file.relative_to(PACKAGE).with_suffix("").as_posix()
        found.append((name, list(ast.walk(ast.parse(text))), text.count("\n")))
    return tuple(found)


def test_modules_and_functions_are_short() -> None:
    """A reader holds a module in the head, and sees a function at once."""
    long = [name for name, _, lines in _modules() if lines > MODULE_LINES]
    for name, nodes, _ in _modules():
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > FUNCTION_LINES:
                    long.append(f"{name}.{node.name}")
    assert not long


def test_the_pages_stay_small() -> None:
    """A page reads what an operation returns: what it would copy, count or compare belongs to the operation."""
    files = [*(PACKAGE / "pages").glob("*.py"), *(PACKAGE / "pages/templates").glob("*.html")]
    assert sum(file.read_text("utf-8").count("\n") for file in files) <= PAGES_LINES


def test_the_tools_for_agents_stay_small() -> None:
    """A tool calls an operation, so that nothing is decided for agents alone."""
    assert sum(lines for name, _, lines in _modules() if name.startswith("agents/")) <= AGENTS_LINES


def test_many_parameters_have_their_reason() -> None:
    """A function that takes more than six things is listed with the reason, and no other is."""
    found = set()
    for name, nodes, _ in _modules():
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len(taken) - (taken[:1] in (["self"], ["cls"])) > PARAMETERS:
                    found.add(f"{name}.{node.name}")
    assert found == MANY_PARAMETERS.keys()


def test_a_class_name_means_one_thing() -> None:
    """Whoever reads a name knows the type."""
    names = Counter(node.name for _, nodes, _ in _modules() for node in nodes if isinstance(node, ast.ClassDef))
    assert not [name for name, times in names.items() if times > 1]


def test_no_circle_among_imports() -> None:
    """A module can be read after those that it imports, also for types alone; CycleError names the circle."""
    graph = grimp.build_graph("contentops", cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
