"""The environments of a project that something was applied to, and what their locks hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentops.state import state_dir
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project, State


def other_states(project: Project) -> Iterator[tuple[str, State]]:
    """What the locks of the project's other environments hold, each with the name of the lock."""
    for environment, lock in locked_environments(project).items():
        if environment != project.environment:
            with StateStore(project.root, environment=environment, lineage=str, write=False) as store:
                yield lock, store.state


def locked_environments(project: Project) -> dict[str, str]:
    """The environments that something was applied to, each with the name of its lock.

    Only declared ones: any other `contentops*.lock` is a copy, as git's merge tools leave them beside the lock.
    """
    names = ("", *(project.settings.get("environments") or {}))
    locks = sorted((state_dir.named("contentops", name, "lock"), name) for name in names)
    return {name: lock for lock, name in locks if Path(project.root, lock).exists()}
