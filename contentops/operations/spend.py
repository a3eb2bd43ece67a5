"""Computes from jobs what texts cost, which runs caused the costs, and where each text comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, structs

from contentops.atomic_io import Disk
from contentops.ci.git import GitFailed, is_shallow
from contentops.ci.history import earlier_bodies, last_commits
from contentops.digest import NOTHING, Digest
from contentops.documents.files import Outputs
from contentops.documents.word_diff import changed_share
from contentops.errors import Diagnostic, InputError, UsageError
from contentops.manifests.project import load_project
from contentops.model import (
    BASE,
    NO_APPROVALS,
    Approval,
    Approvals,
    ItemId,
    Job,
    JobState,
    Project,
    Record,
    State,
    text_digest,
)
from contentops.model.jobs import (
    PaidAttempts,
    Provenances,
    TextProvenance,
    assigned,
    jobs_of_items,
)
from contentops.model.run import History, KeptReport, PaidText
from contentops.operations.opening import (
    HERE,
    Runtime,
    jobs_by_environment,
    known_environments,
    open_cache,
    other_states,
    read_state,
)
from contentops.operations.plan import gathered_or_recorded
from contentops.operations.runs import kept_reports
from contentops.operations.workspace import declared, no_item, open_workspace, shared_state, unread, validate
from contentops.planning.plan import plan_with_items
from contentops.planning.select import Candidate, check_selectors, selected
from contentops.planning.sides import Choice, PlanInputs
from contentops.reporting.spend import Spend, add_spends, count_spend
from contentops.state import approvals
from contentops.state.cache import Cache
from contentops.tokens import sum_tokens

# ---- Say of every text that is in a file: who made it, what it cost, who changed and approved it, and its commit.


class PaidEnvironments:
    """Finds what the texts of items have cost, from the jobs of each environment."""

    def __init__(self, project: Project, state: State, records: Mapping[ItemId, Record]) -> None:
        """Read the jobs of all environments of the project.

        `state` is that of the project's own environment, and `records` has current ids. Raises StateError.
        """
        self._states = {**other_states(project), project.environment: structs.replace(state, records=records)}
        self.jobs = assigned({name: one.jobs for name, one in self._states.items()})
        """The jobs by environment."""
        self._by_item: dict[str, dict[ItemId, list[Job]]] = {}

    def attempts(self, environment: str, record: Record, until: str = "") -> PaidAttempts:
        """Return how many texts were made for an item until a given time, and their cost.

        An empty time means all texts.
        """
        jobs = [job for job in self._of(environment, record) if not until or job.time <= until]
        paid = [job for job in jobs if job.is_spent]
        failed = [job for job in jobs if job.is_failure and job.tokens is not None]
        tokens = sum_tokens(job.tokens for job in (*paid, *failed) if job.is_by_model)
        return PaidAttempts(len(paid), sum(job.cost for job in paid), tokens)

    def _of(self, environment: str, record: Record) -> list[Job]:
        state = self._states.get(environment)
        if environment not in self._by_item and state is not None:
            self._by_item[environment] = jobs_of_items(self.jobs.get(environment, ()), state.records.values())
        return self._by_item.get(environment, {}).get(record.id, [])

    def origin(self, environment: str, record: Record, body: Digest) -> tuple[Job | None, PaidAttempts]:
        """Return the job that made the text in an item's file, with the count and cost of all attempts until then.

        The job of a promoted text is searched in the environment that the text comes from.
        """
        made = [job for job in self._of(environment, record) if job.has_text and job.body]
        same = [job for job in made if job.body == body] or [job for job in made if job.body == record.generated]
        own = max(same, key=lambda job: job.time, default=None)
        if own is not None or not record.is_promoted:
            return own, self.attempts(environment, record, own.time if own is not None else "")
        source = "" if record.promoted_from == BASE else record.promoted_from
        records = self._states[source].records if source in self._states else {}
        # The item may have another id there.
        theirs = records.get(record.id) or next((one for one in records.values() if one.digest == record.digest), None)
        if theirs is None or source == environment:
            return None, PaidAttempts()
        # That environment may have another text by now.
        return self.origin(source, structs.replace(theirs, generated=record.generated), record.generated)


def provenance(
    project: Project, choice: Choice, *, runtime: Runtime = HERE
) -> tuple[Provenances, tuple[Diagnostic, ...]]:
    """Return where the text of each selected item comes from, and a warning if manifests have errors.

    It needs no network and changes nothing. Raises UsageError if selectors are invalid or match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project, runtime, keep_stamps=False) as workspace:
        inputs, error = gathered_or_recorded(workspace, Choice())
        items = selected(choice, plan_with_items(inputs)[1])
        environments = PaidEnvironments(workspace.project, workspace.state, inputs.records)
        rows = [_text(item, inputs, environments) for item in items if _has_text(item)]
        problems = tuple(item.file.problem for item in items if item.file is not None and item.file.problem)
        gaps: list[str] = []
        finished = _with_history(project, rows, workspace.cache, inputs.read, gaps)
        findings = (*workspace.unread, *([unread(error)] if error is not None else []))
    return Provenances(texts=tuple(finished), unread=problems, gaps=tuple(gaps)), findings


def _has_text(item: Candidate) -> bool:
    return item.record is not None and item.file is not None and bool(item.file.body) and not item.file.problem


def _text(item: Candidate, inputs: PlanInputs, environments: PaidEnvironments) -> tuple[TextProvenance, Digest]:
    """Return who or what made an item's text, as far as that is known without git's history.

    The second result is the digest of the body that its job made.
    """
    record, file = item.record, item.file
    assert record is not None
    assert file is not None
    own, attempts = environments.origin(inputs.project.environment, record, file.body)
    made_body = own.body if own is not None else record.generated
    made_by = own if own is not None or not made_body else inputs.state.made_by(record)
    text, said = text_digest(file.title, file.body), inputs.project.disclosure
    keys = (said.key, said.source_type) if said is not None else ()
    row = TextProvenance(
        item=item.id,
        output=record.output,
        server=own.server if own is not None else record.server if made_body else "",
        model=made_by.model if made_by is not None else "",
        job_id=made_by.job_id if made_by is not None else "",
        request=own.digest if own is not None else record.digest,
        text=text,
        generated_at=made_by.generated_at if made_by is not None else "",
        attempts=attempts,
        changed=0.0 if made_body == file.body else None,
        approval=item.approval,
        verdicts=inputs.approvals.of_text(text),
        promoted_from=record.promoted_from,
        disclosure={key: file.front[key] for key in keys if key in file.front},
    )
    return row, made_body


def _with_history(
    project: Project,
    rows: Sequence[tuple[TextProvenance, Digest]],
    cache: Cache,
    read: Callable[[str], str],
    gaps: list[str],
) -> Iterator[TextProvenance]:
    """Yield the texts, each with the last commit of its file and the share of words that people changed."""
    commits: Mapping[str, str] = {}
    try:
        commits = last_commits(project.root, [row.output for row, _ in rows])
        if is_shallow(project.root):
            gaps.append("this clone is shallow, so commits may be missing; `git fetch --unshallow` fetches them")
    except (GitFailed, UsageError) as error:
        gaps.append(f"commits, and texts that the cache lacks, are unknown: {error.message}")
    for row, body in rows:
        changed = row.changed
        if changed is None and body:
            before = cache.body(body)
            if before is None:
                before = next(
                    (text for digest, text in earlier_bodies(project.root, row.output) if digest == body), None
                )
            changed = None if before is None else changed_share(before, read(row.output))
        yield structs.replace(row, changed=changed, commit=commits.get(row.output, ""))


# ---- Sum what the texts of a project have cost, in one environment or in all of them.


class Spending(Struct, frozen=True, kw_only=True):
    """The cost of texts, in one environment or in several."""

    spend: Spend
    findings: tuple[Diagnostic, ...] = ()
    """Why the manifests cannot be used."""


def in_all_environments(project: Project) -> list[Project]:
    """Open the project once for each environment that has a lock or jobs.

    If there is none, return only `project`.
    """
    root, variables = Path(project.root), project.cli_vars
    names = known_environments(project)
    return [load_project(root, environment=name, variables=variables) for name in names] or [project]


def spending(projects: Sequence[Project], *, since: datetime | None = None) -> Spending:
    """Return what the texts of these environments of one project have cost since a time.

    Each text counts once. Raises StateError.
    """
    findings: dict[Diagnostic, None] = {}
    spends: dict[str, Spend] = {}
    for project in projects:
        desired, found = declared(project)
        findings.update(dict.fromkeys(found))
        jobs = jobs_by_environment(project, read_state(project))[project.environment]
        spends[project.environment or BASE] = count_spend(jobs, desired, since=since)
    return Spending(spend=add_spends(spends), findings=tuple(findings))


# ---- List runs and generations: sums over the jobs of the project, and the reports of this machine's runs.


class KnownHistory(Struct, frozen=True, kw_only=True):
    """The data from which the history of each item is made; review pages read it once for many items."""

    state: State
    jobs: Sequence[Job]
    """Those of this environment, as `jobs_by_environment` returns them."""
    runs: tuple[KeptReport, ...]
    approvals: Approvals
    warnings: tuple[Diagnostic, ...] = ()


def history(
    project: Project, item: str = "", known: KnownHistory | None = None, in_git: Collection[Digest] | None = None
) -> History:
    """Return the runs of this machine and all generated texts, or only those of one item.

    With `known`, only files and texts of the item are read. `in_git` has the bodies in git's history of its file, if
    they were read already. Raises UsageError if the id is unknown, StateError if the state cannot be read.
    """
    is_read = known is None
    known = known or _known_history(project, item)
    state, runs = known.state, known.runs
    jobs = _of_item(item, known.jobs, state) if item else known.jobs
    generations = [job for job in jobs if job.state is not JobState.NEVER]
    texts: tuple[PaidText, ...] = ()
    verdicts: tuple[Approval, ...] = ()
    if item:
        runs = tuple(run for one in runs if (run := _about(one, item)) is not None)
        if is_read and not generations and not runs:
            with contextlib.suppress(InputError):
                declared_ids = (spec.id for spec in validate(project).specs)
                ids = {*state.records, *(job.item for job in known.jobs), *declared_ids}
                if item not in ids:
                    raise no_item(item, ids)
        texts = _texts(project, state, item, jobs, in_git)
        verdicts = known.approvals.of_items([ItemId(item)])
    generations.sort(key=lambda job: (job.time, job.item, job.request_id), reverse=True)
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
    """Return every paid text of an item, the newest first, with the places where each text is stored."""
    return _texts(project, state, item, _of_item(item, state.jobs, state))


def _texts(
    project: Project,
    state: State,
    item: str,
    jobs: Iterable[Job],
    in_git: Collection[Digest] | None = None,
) -> tuple[PaidText, ...]:
    """Return the texts that the given jobs made for an item, the newest first.

    `item` is its current id; for `in_git`, see `history`.
    """
    now = state.records.get(ItemId(item))
    path, last = (now.output, now.generated) if now is not None else ("", NOTHING)
    file = Outputs(project.root).observe(path) if path else None
    past = {digest for digest, _ in earlier_bodies(project.root, path)} if in_git is None and path else in_git or ()
    by_digest: dict[Digest, PaidText] = {}
    made = [job for job in jobs if job.has_text and job.body]
    with open_cache(project, write=False) as cache:
        for job in sorted(made, key=lambda one: (one.generated_at, one.body == last)):
            sources = (
                ("cache", cache.body(job.body) is not None),
                ("git", job.body in past),
                ("server", job.server == project.api.server and bool(job.content_id or job.job_id)),
            )
            by_digest.pop(job.body, None)
            by_digest[job.body] = PaidText(
                item=item,
                job=job,
                where=tuple(name for name, is_there in sources if is_there),
                stands=file is not None and file.exists and file.body == job.body,
                generated=job.body == last,
            )
    return tuple(reversed(by_digest.values()))


def _of_item(item: str, jobs: Sequence[Job], state: State) -> Sequence[Job]:
    """Return the jobs of an item. For an id without an item, return the jobs that were ordered under this id."""
    found = jobs_of_items(jobs, state.records.values()).get(ItemId(item))
    return found or [job for job in jobs if job.item == item]


def _about(report: KeptReport, item: str) -> KeptReport | None:
    """Return the part of a run's report that is about an item, or None if there is none."""
    outcomes = tuple(one for one in report.run.outcomes if one.id == item)
    if not outcomes:
        return None
    counts = {one.result: sum(other.result == one.result for other in outcomes) for one in outcomes}
    run = structs.replace(report.run, outcomes=outcomes, counts=counts, credits=sum(one.credits for one in outcomes))
    return structs.replace(report, run=run)
