"""Name a project before it has a lock: the same in every clone, and different in other repositories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentops.ci.clone import in_repository
from contentops.ci.git import first_commit, is_shallow
from contentops.errors import Refused
from contentops.operations.environments import locked_environments
from contentops.state.lock import lineage_in, lineage_of

if TYPE_CHECKING:
    from contentops.model import Project


def first_lineage(project: Project) -> str:
    """Return the lineage of a first lock: that of the project's other locks, else made of its name and first commit."""
    return _others(project) or lineage_of(project.name, _first_commit(project))


def check_lineage(project: Project) -> None:
    """Raise Refused where a first lineage would differ from that of other clones, which would then pay again."""
    if project.api.base_url == "local" or not in_repository(project.root) or _others(project):
        return
    if is_shallow(project.root):
        hint = "`git fetch --unshallow` brings it, in CI `fetch-depth: 0` of actions/checkout"
        hint += "; or apply in a full clone, and commit the lock"
        message = "this clone is shallow, but the first commit is needed to identify a project without a lock,"
        raise Refused(f"{message} so nothing was submitted", code="no-first-commit", hint=hint)


def is_of_another(project: Project, lineage: str) -> bool:
    """Tell whether a lock's lineage is made of another name or first commit; False where a clone is shallow.

    A project that was renamed, or whose history was rewritten, looks the same as one whose lock was copied.
    """
    if in_repository(project.root) and is_shallow(project.root):
        return False
    return lineage not in (lineage_of(project.name), lineage_of(project.name, _first_commit(project)))


def _others(project: Project) -> str:
    """Return the lineage in the locks of other environments, or empty."""
    lineages = (lineage_in(Path(project.root, lock)) for lock in locked_environments(project).values())
    return next(filter(None, lineages), "")


def _first_commit(project: Project) -> str:
    return first_commit(project.root) if in_repository(project.root) else ""
