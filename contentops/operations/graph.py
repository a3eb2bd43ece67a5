"""`graph`: the items, their states, and which is made from the texts of which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model.graph import GraphItem, ItemGraph
from contentops.operations.opening import HERE
from contentops.operations.plan import looked_at, mentions_of
from contentops.planning.dependants import in_order
from contentops.planning.select import selected

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.planning.plan_inputs import Choice


def graph(project: Project, choice: Choice, *, runtime: Runtime = HERE) -> tuple[ItemGraph, tuple[Diagnostic, ...]]:
    """Return the selected items in the order in which their texts are made, and the findings of `looked_at`.

    Without a selection, items without references are left out. Raises what `looked_at` and `selected` raise.
    """
    _, candidates, findings = looked_at(project, choice, runtime)
    chosen = {item.id: item for item in selected(choice, candidates)}
    sources = {id_: item.sources for id_, item in chosen.items()}
    mentions = {id_: mentions_of(item.spec) for id_, item in chosen.items()}
    if not (choice.select or choice.exclude):
        linked = {id_ for id_ in chosen if sources[id_] or mentions[id_]}
        linked.update(one for its in (*sources.values(), *mentions.values()) for one in its)
        sources = {id_: its for id_, its in sources.items() if id_ in linked}
    items = tuple(
        GraphItem(
            id=id_,
            state=chosen[id_].word.value,
            output=chosen[id_].path,
            sources=sources[id_],
            mentions=mentions[id_],
        )
        for id_ in in_order(sources)
    )
    return ItemGraph(items=items, alone=len(chosen) - len(items)), findings
