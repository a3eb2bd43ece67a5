"""The shape of the code that import-linter does not check."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_circle_among_imports() -> None:
    """A module can be read after those that it imports, also for types alone; CycleError names the circle."""
    graph = grimp.build_graph("contentops", cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
