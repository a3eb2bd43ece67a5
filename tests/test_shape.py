"""The shape of the code that import-linter does not check."""

from __future__ import annotations

import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import contentops


def test_no_circle_among_imports() -> None:
    """A module can be read after those that it imports, also for types alone; CycleError names the circle."""
    graph = grimp.build_graph("contentops", cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


def test_a_class_name_is_defined_once() -> None:
    """A reader who meets a name knows which class is meant."""
    modules = Path(contentops.__file__).parent.rglob("*.py")
    texts = (module.read_text(encoding="utf-8") for module in modules)
    names = Counter(name for text in texts for name in re.findall(r"^ *class (\w+)\b.*:$", text, re.MULTILINE))
    assert [name for name, count in names.items() if count > 1] == []
