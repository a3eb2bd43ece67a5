"""Which text answers a request: one look-up among all jobs of its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import JobState

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import OpenEntry
    from contentops.planning.plan_inputs import ItemSides, PlanInputs


def finished_job(item: ItemSides) -> OpenEntry | None:
    """The job whose text answers the declared request, of any environment: that of the highest attempt.

    Where a model writes, an outline is no such text.
    """
    return job_for(item.inputs, item.spec.digest)


def job_for(inputs: PlanInputs, digest: Digest) -> OpenEntry | None:
    """The job whose text answers a request, as `finished_job` has it."""
    texts = [job for job in inputs.jobs_of(digest) if job.has_text and not (job.section or job.lost)]
    if inputs.project.api.has_model:
        texts = [job for job in texts if not job.outline]
    return max(texts, key=lambda job: job.attempt, default=None)


def ordered_elsewhere(item: ItemSides) -> OpenEntry | None:
    """The open job of another environment for the declared request: its text will answer both."""
    own = item.inputs.state.entries
    jobs = [
        job
        for job in item.inputs.jobs_of(item.spec.digest)
        if job.state in _OPEN and not job.section and job.request_id not in own
    ]
    return max(jobs, key=lambda job: job.attempt, default=None)


_OPEN = frozenset({JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING})


def next_attempt(item: ItemSides) -> int:
    """One more than the highest attempt at the declared request that is known; one that never arrived is no attempt."""
    own = item.attempt if item.own is not None and item.own.digest == item.spec.digest else 0
    known = (job.attempt for job in item.inputs.jobs_of(item.spec.digest) if job.state is not JobState.NEVER)
    return 1 + max((own, *known), default=0)
