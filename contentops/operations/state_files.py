"""Find the files of a project's environments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Project

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


def committed_environments(project: Project) -> dict[str, str]:
    """Return the environments with a lock or jobs in the project's folder, each with the name of its lock.

    Any other `contentops*.lock` is a copy, as git's merge tools leave them beside the lock.
    """
    root = Path(project.root)
    return {
        name: lock
        for name, lock in _locks_by_environment(project).items()
        if (root / lock).exists() or (root / state_dir.named("contentops", name, "jobs")).exists()
    }


def kept_environments(folders: Iterable[Path]) -> set[str]:
    """Return the environments of the copies of jobs in these folders, declared or not."""
    names = {
        path.name.removeprefix("jobs").removesuffix(".jsonl")[1:]
        for each in folders
        for path in each.glob("jobs*.jsonl")
    }
    return {name for name in names if not name or _NAME.fullmatch(name)}


def _locks_by_environment(project: Project) -> dict[str, str]:
    # What an environment ordered was paid for, also when it is declared no more.
    jobs = (
        path.name.removeprefix("contentops.")[: -len(".jobs")] for path in Path(project.root).glob("contentops.*.jobs")
    )
    names = {"", *(project.settings.get("environments") or {}), *filter(_NAME.fullmatch, jobs)}
    return {name: lock for lock, name in sorted((state_dir.named("contentops", name, "lock"), name) for name in names)}
