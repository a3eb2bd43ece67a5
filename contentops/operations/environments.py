"""Find the environments of a project in which something was ordered or made, and read their states."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.atomic_io import Disk
from contentops.operations.state_files import committed_environments, kept_environments
from contentops.state import state_dir
from contentops.state.jobs_store import kept_file
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project, State


def other_states(project: Project) -> Iterator[tuple[str, State]]:
    """Yield the states of the project's other environments, each with the name of its lock."""
    from contentops.operations.lineage import first_lineage

    lineage = functools.partial(first_lineage, project)
    declared = {"", *(project.settings.get("environments") or {})}
    for environment, lock in locked_environments(project).items():
        if environment != project.environment:
            with StateStore(project.root, environment=environment, lineage=lineage, write=False) as store:
                # The file of an environment that no one declares may be a copy from another project.
                if environment in declared or store.lineage == lineage():
                    yield lock, store.state


def locked_environments(project: Project) -> dict[str, str]:
    """Return the environments that have a lock or jobs, each with the name of its lock.

    An apply that was killed early, or a clean, may have left only the jobs of this checkout.
    """
    from contentops.operations.lineage import first_lineage

    root, disk, found = Path(project.root), Disk(), {*committed_environments(project)}
    # Projects in one repository share the folder above: only the lineage tells whose file it is.
    folder = kept_file(root, "", "x", disk).parent
    folders = [folder] if folder.name != "x" else [*folder.parent.glob("*/")]
    if others := kept_environments(folders) - found:
        lineage = first_lineage(project)
        found |= {name for name in others if kept_file(root, name, lineage, disk).exists()}
    return {name: lock for lock, name in sorted((state_dir.named("contentops", name, "lock"), name) for name in found)}
