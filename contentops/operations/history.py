"""List runs and generations: sums over the jobs of the project, and the reports of this machine's runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.atomic_io import Disk
from contentops.ci.file_history import earlier_bodies
from contentops.digest import NOTHING
from contentops.documents.files import Outputs
from contentops.errors import InputError
from contentops.model import NO_APPROVALS, ItemId, JobState
from contentops.model.run import Generation, History, KeptReport, PaidText
from contentops.operations.kept_runs import kept_reports
from contentops.operations.opening import open_cache
from contentops.operations.paid import jobs_by_environment, jobs_of_items
from contentops.operations.plan import known_ids, no_item
from contentops.operations.workspace import shared_state
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from contentops.digest import Digest
    from contentops.errors import Diagnostic
    from contentops.model import Approval, Approvals, OpenEntry, Project, State


class KnownHistory(Struct, frozen=True, kw_only=True):
    """What the history of every item is made from: read once, it serves the pages of many items."""

    state: State
    jobs: Sequence[OpenEntry]
    """Those of this environment, as `jobs_by_environment` returns them."""
    runs: tuple[KeptReport, ...]
    approvals: Approvals
    warnings: tuple[Diagnostic, ...] = ()


def history(
    project: Project, item: str = "", known: KnownHistory | None = None, in_git: Collection[Digest] | None = None
) -> History:
    """Return every run of this machine and every generation, or those of an item, with its texts.

    With `known`, only files and texts of the item are read; `in_git`: the bodies that git has of its file, where they
    were read already. Raises UsageError for an unknown id, StateError for a state that cannot be read.
    """
    is_read = known is None
    known = known or _known_history(project, item)
    state, runs = known.state, known.runs
    jobs = _of_item(item, known.jobs, state) if item else known.jobs
    generations = [_generation(job) for job in jobs if job.state is not JobState.NEVER]
    texts: tuple[PaidText, ...] = ()
    verdicts: tuple[Approval, ...] = ()
    if item:
        runs = tuple(run for one in runs if (run := _about(one, item)) is not None)
        if is_read and not generations and not runs:
            _check_item(project, item, {job.item for job in known.jobs})
        texts = _texts(project, state, item, jobs, in_git)
        verdicts = known.approvals.of_items([ItemId(item)])
    generations.sort(key=lambda one: (one.at, one.item, one.request_id), reverse=True)
    return History(
        runs=runs,
        generations=tuple(generations),
        texts=texts,
        verdicts=tuple(reversed(verdicts)),
        gaps=tuple(one.message for one in known.warnings),
    )


def _known_history(project: Project, item: str) -> KnownHistory:
    state, warnings = shared_state(project)
    return KnownHistory(
        state=state,
        jobs=jobs_by_environment(project, state)[project.environment],
        runs=kept_reports(project),
        approvals=approvals.load(Path(project.root), Disk()) if item else NO_APPROVALS,
        warnings=warnings,
    )


def texts_of(project: Project, state: State, item: str) -> tuple[PaidText, ...]:
    """Return every text that was paid for an item, newest first, with where each is."""
    return _texts(project, state, item, _of_item(item, state.jobs, state))


def _texts(
    project: Project,
    state: State,
    item: str,
    jobs: Iterable[OpenEntry],
    in_git: Collection[Digest] | None = None,
) -> tuple[PaidText, ...]:
    """Return the texts of an item from its jobs. `item`: its id of today; `in_git`: see `history`."""
    now = state.records.get(ItemId(item))
    path, last = (now.output, now.generated) if now is not None else ("", NOTHING)
    file = Outputs(project.root).observe(path) if path else None
    past = {digest for digest, _ in earlier_bodies(project.root, path)} if in_git is None and path else in_git or ()
    by_digest: dict[Digest, PaidText] = {}
    texts = [_text(job) for job in jobs if job.has_text and job.body]
    with open_cache(project, write=False) as cache:
        for text in sorted(texts, key=lambda one: (one.at, one.body == last)):
            sources = (
                ("cache", cache.body(text.body) is not None),
                ("git", text.body in past),
                ("server", text.server == project.api.server and bool(text.content_id or text.job_id)),
            )
            by_digest.pop(text.body, None)
            by_digest[text.body] = structs.replace(
                text,
                item=item,
                where=tuple(name for name, is_there in sources if is_there),
                stands=file is not None and file.exists and file.body == text.body,
                generated=text.body == last,
            )
    return tuple(reversed(by_digest.values()))


def _text(job: OpenEntry) -> PaidText:
    return PaidText(
        item=job.item,
        body=job.body,
        at=job.generated_at,
        job_id=job.job_id,
        request_id=job.request_id,
        content_id=job.content_id,
        server=job.server,
        credits=job.credits,
        tokens=job.tokens,
    )


def _of_item(item: str, jobs: Sequence[OpenEntry], state: State) -> Sequence[OpenEntry]:
    """Return the jobs of an item; of an id that no item has now, those that were ordered under it."""
    found = jobs_of_items(jobs, state.records.values()).get(ItemId(item))
    return found or [job for job in jobs if job.item == item]


def _about(report: KeptReport, item: str) -> KeptReport | None:
    """Return the part of a report that is about an item; None if there is none."""
    outcomes = tuple(one for one in report.run.outcomes if one.id == item)
    if not outcomes:
        return None
    counts = {one.result: sum(other.result == one.result for other in outcomes) for one in outcomes}
    run = structs.replace(report.run, outcomes=outcomes, counts=counts, credits=sum(one.credits for one in outcomes))
    return structs.replace(report, run=run)


def _check_item(project: Project, item: str, ids: set[str]) -> None:
    with contextlib.suppress(InputError):
        ids = {*ids, *known_ids(project)}
        if item not in ids:
            raise no_item(item, ids)


def _outcome(job: OpenEntry) -> str:
    if job.has_text:
        return "generated" if job.is_written else "unwritten"
    return "lost" if job.is_spent else job.state.value


def _generation(job: OpenEntry) -> Generation:
    return Generation(
        item=job.item,
        at=job.generated_at or job.submitted_at,
        job_id=job.job_id,
        request_id=job.request_id,
        credits=job.cost,
        tokens=job.tokens,
        model=job.model,
        outcome=_outcome(job),
        server=job.server,
        error=job.error,
    )
