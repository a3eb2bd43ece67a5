"""Find the environments of a project that have a lock, and read their states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentops.state import state_dir
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project, State


def other_states(project: Project) -> Iterator[tuple[str, State]]:
    """Yield the states of the project's other environments, each with the name of its lock."""
    for environment, lock in locked_environments(project).items():
        if environment != project.environment:
            with StateStore(project.root, environment=environment, lineage=str, write=False) as store:
                yield lock, store.state


def locked_environments(project: Project) -> dict[str, str]:
    """Return the declared environments that have a lock, each with the name of the lock.

    Any other `contentops*.lock` is a copy, as git's merge tools leave them beside the lock.
    """
    names = ("", *(project.settings.get("environments") or {}))
    locks = sorted((state_dir.named("contentops", name, "lock"), name) for name in names)
    return {name: lock for lock, name in locks if Path(project.root, lock).exists()}
