"""Name a project before it has a lock: the same in every clone, and different in other repositories."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.atomic_io import Disk
from contentops.ci.clone import in_repository
from contentops.ci.git import first_commit, is_shallow
from contentops.errors import Refused, StateError
from contentops.operations.state_files import committed_environments
from contentops.state import jobs_store, state_dir
from contentops.state.git_folder import repository_of
from contentops.state.lock import lineage_in, lineage_of

if TYPE_CHECKING:
    from contentops.model import Project


def first_lineage(project: Project) -> str:
    """Return the lineage of a first lock: that of the project's other files, else of its name, first commit and folder.

    An apply before the first commit may have left nothing but what it ordered.
    """
    if known := _others(project):
        return known
    early, made = (lineage_of(project.name, commit, _folder(project)) for commit in ("", _first_commit(project)))
    is_early = _is_kept(project, early) and not _is_kept(project, made)
    return early if is_early else made


def check_lineage(project: Project) -> None:
    """Raise Refused where a first lineage would differ from that of other clones, which would then pay again."""
    if project.api.base_url == "local" or not in_repository(project.root) or _others(project):
        return
    if is_shallow(project.root):
        hint = "run `git fetch --unshallow`; in CI, use `fetch-depth: 0` of actions/checkout"
        hint += "; or apply in a full clone, and commit the lock"
        message = "this clone is shallow, but the first commit is needed to identify a project without a lock,"
        raise Refused(f"{message} so nothing was submitted", code="no-first-commit", hint=hint)


def is_of_another(project: Project, lineage: str) -> bool:
    """Tell whether a lock's lineage is made of another name or first commit; False where a clone is shallow.

    A project that was renamed, or whose history was rewritten, looks the same as one whose lock was copied.
    """
    if in_repository(project.root) and is_shallow(project.root):
        return False
    commits, folders = ("", _first_commit(project)), {"", _folder(project)}
    return lineage not in {lineage_of(project.name, commit, folder) for commit in commits for folder in folders}


def _others(project: Project) -> str:
    """Return the lineage in the locks and jobs of the environments, its own first, or empty."""
    root = Path(project.root)
    files = committed_environments(project).items()
    for environment, lock in sorted(files, key=lambda file: file[0] != project.environment):
        if lineage := lineage_in(root / lock):
            return lineage
        with contextlib.suppress(StateError):  # whoever works on that environment is told
            if lineage := jobs_store.lineage_in(root, environment, Disk()):
                return lineage
    return ""


def _is_kept(project: Project, lineage: str) -> bool:
    """Tell whether an apply of this checkout has ordered something under a lineage."""
    root = Path(project.root)
    folder = state_dir.kept_folder(root, lineage, Disk())
    return folder.name == lineage and folder.is_dir()


def _folder(project: Project) -> str:
    repository = repository_of(Path(project.root), Disk())
    return "" if repository is None else repository.project


def _first_commit(project: Project) -> str:
    return first_commit(project.root) if in_repository(project.root) else ""
