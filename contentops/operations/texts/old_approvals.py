"""Find the lines of `contentops.approvals` that nothing needs any more, and drop them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.execution.times import iso
from contentops.manifests.project import load_project
from contentops.model import text_digest
from contentops.operations.environments import locked_environments
from contentops.operations.opening import open_store
from contentops.operations.workspace import validate
from contentops.planning.plan_inputs import paths
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.digest import Digest
    from contentops.model import Approval, Desired, ItemId, Project, State
    from contentops.operations.opening import Runtime

_YEAR: Final = 366 * 86_400.0
"""Seconds for which a line stays in any case."""


def drop_old_approvals(project: Project, runtime: Runtime, *, do: bool) -> tuple[Approval, ...]:
    """Return the lines of more than a year ago about items and texts that no environment has; with `do`, drop them.

    A line stays while any manifest or lock names its item, also by a former id, and while a file or a lock has its
    text. Raises InputError for manifests with errors, StateError.
    """
    root, before = Path(project.root), iso(runtime.wall() - _YEAR)
    with approvals.locked(root) if do else contextlib.nullcontext():
        old = [line for line in approvals.load(root, runtime.disk).lines if line.at < before]
        if not old:
            return ()
        items: set[ItemId] = set()
        texts: set[Digest] = set()
        for desired, state in _environments(project, runtime):
            items.update(_items(desired, state))
            texts.update(_texts(project.root, desired, state))
        gone = tuple(line for line in old if line.item not in items and line.text not in texts)
        if do and gone:
            approvals.drop(root, runtime.disk, gone)
    return gone


def _environments(project: Project, runtime: Runtime) -> Iterator[tuple[Desired, State]]:
    """Yield what each environment declares and records. The settings without one count where they can be used."""
    declared = [*(project.settings.get("environments") or {})]
    plain = [] if project.settings.get("default_environment") else [""]
    for name in dict.fromkeys((project.environment, *locked_environments(project), *plain, *declared)):
        other = load_project(Path(project.root), environment=name, variables=project.cli_vars)
        with open_store(other, runtime, write=False) as store:
            yield validate(other, runtime), store.state


def _items(desired: Desired, state: State) -> Iterator[ItemId]:
    yield from (spec.id for spec in desired.specs)
    yield from (entry.item for entry in state.entries.values())
    for pair in desired.moved:
        yield from (pair.old, pair.new)
    for record in state.records.values():
        yield from (record.id, *record.former_ids)


def _texts(root: str, desired: Desired, state: State) -> Iterator[Digest]:
    for record in state.records.values():
        yield from (text_digest(record.title, body) for body in record.bodies)
    outputs = Outputs(root, whole=known_bodies(state))
    for path in dict.fromkeys(paths(desired, state)):
        file = outputs.observe(path)
        yield text_digest(file.title, file.body)
