"""What was ordered in a project: the jobs of all its environments, each in the one that ordered it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model.jobs import fold_jobs
from contentops.operations.environments import locked_environments, other_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import ItemId, OpenEntry, Project, Record, State


def jobs_by_environment(project: Project, state: State) -> dict[str, list[OpenEntry]]:
    """Return the jobs of each environment, the earliest first; `state` is that of the project's own.

    A job that several environments know, since it answers a request of each, belongs to the first one by name. Raises
    StateError.
    """
    names = {lock: name for name, lock in locked_environments(project).items()}
    known = {names[lock]: other.jobs for lock, other in other_states(project)} | {project.environment: state.jobs}
    return assigned(known)


def assigned(known: Mapping[str, Sequence[OpenEntry]]) -> dict[str, list[OpenEntry]]:
    """Return the jobs of each environment, each job once: in the first environment by name that knows its order."""
    owners = {(job.request_id, job.submitted_at): name for name in sorted(known, reverse=True) for job in known[name]}
    jobs: dict[str, list[OpenEntry]] = {name: [] for name in sorted(known)}
    for job in fold_jobs(job for each in known.values() for job in each):
        jobs[owners[job.request_id, job.submitted_at]].append(job)
    return jobs


def jobs_of_items(jobs: Iterable[OpenEntry], records: Iterable[Record]) -> dict[ItemId, list[OpenEntry]]:
    """Return each job under one item: the one whose record has its request or its text, else as it was called then.

    An item that was renamed has the jobs of its old id too, unless another item has that id.
    """
    jobs, records = [*jobs], [*records]
    names: dict[Digest, ItemId] = {}
    for record in records:
        names |= dict.fromkeys(record.bodies, record.id) | {record.digest: record.id}
    by_id = {job.item: id_ for job in jobs if (id_ := names.get(job.digest)) is not None}
    by_id |= {record.id: record.id for record in records}
    by_item: dict[ItemId, list[OpenEntry]] = {}
    for job in jobs:
        id_ = names.get(job.digest) or names.get(job.body) or by_id.get(job.item, job.item)
        by_item.setdefault(id_, []).append(job)
    return by_item
