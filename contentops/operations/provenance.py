"""Say of every text that is in a file: who made it, what it cost, who changed and approved it, and its commit."""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.ci.file_history import bodies_in, path_histories
from contentops.ci.git import GitFailed
from contentops.ci.results import past_of
from contentops.documents.word_share import changed_share
from contentops.errors import UsageError
from contentops.model import BASE, ApprovalState, JobState, text_digest, tokens_of_all
from contentops.model.provenance import ApprovedCost, PaidAttempts, Provenances, TextProvenance
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.history import paid_jobs, unwritten
from contentops.operations.kept_runs import kept_reports
from contentops.operations.opening import HERE
from contentops.operations.plan import candidate, gathered_or_recorded
from contentops.operations.workspace import open_workspace, unread
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice
from contentops.planning.select import check_selectors, selected
from contentops.state import approvals
from contentops.tokens import add_sums, sum_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from contentops.ci.file_history import PathHistory
    from contentops.digest import Digest
    from contentops.errors import Diagnostic
    from contentops.model import ItemId, Json, Observed, Project, Record, State
    from contentops.model.run import PaidJobs
    from contentops.operations.opening import Runtime
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.planning.select import Candidate
    from contentops.state.cache import Cache


class PaidItems:
    """The texts that were paid for in one environment, each of the one item that it was paid for."""

    def __init__(self, jobs: PaidJobs, state: State, declared: Collection[ItemId] = ()) -> None:
        """`jobs`: see `paid_jobs`. `declared`: the items of the manifests."""
        entries = [one for one in state.entries.values() if one.state is JobState.PAID]
        every = {**{one.request_id: unwritten(one) for one in entries}, **jobs.texts}
        owners = {old: one.id for one in state.records.values() for old in reversed(one.former_ids)}
        # An id that another item has today names that one's texts.
        owners |= {id_: id_ for id_ in (*state.records, *declared)}
        now = {one.request_id: one.id for one in state.records.values()}
        self._of: defaultdict[ItemId, list[Record]] = defaultdict(list)
        self._failed: defaultdict[ItemId, list[Record]] = defaultdict(list)
        for records, by_item in ((every, self._of), (jobs.failed, self._failed)):
            for name, record in records.items():
                by_item[now.get(name) or owners.get(record.id, record.id)].append(record)

    def attempts(self, item: ItemId, until: str = "") -> PaidAttempts:
        """Return the number and the credits of the texts of an item that were made until a time; empty: all."""
        paid, failed = (
            [one for one in records.get(item, ()) if not until or one.generated_at <= until]
            for records in (self._of, self._failed)
        )
        tokens = sum_tokens(tokens_of_all((*paid, *failed)))
        return PaidAttempts(len(paid), sum(one.credits for one in paid), tokens)

    def text(self, item: ItemId, body: Digest) -> Record | None:
        """Return the last paid text of an item with this body."""
        same = (one for one in self._of.get(item, ()) if body and one.generated == body)
        return max(same, key=lambda one: one.generated_at, default=None)


class PaidEnvironments:
    """What each environment paid for, read when it is first asked for."""

    def __init__(self, project: Project, inputs: PlanInputs, paid: PaidItems | None = None) -> None:
        """`paid`: what the project's own environment paid for, where that is known already."""
        state, declared = inputs.state, inputs.specs.keys()
        self._project = project
        self._states = {project.environment: state}
        self._declared = declared
        self._paid = {} if paid is None else {project.environment: paid}
        self.gaps: dict[str, None] = {}

    @functools.cached_property
    def _locks(self) -> dict[str, State]:
        states = dict(other_states(self._project))
        names = locked_environments(self._project)
        return {name: states[lock] for name, lock in names.items() if lock in states} | self._states

    def paid(self, environment: str) -> PaidItems:
        """Return what an environment paid for."""
        if environment not in self._paid:
            project = structs.replace(self._project, environment=environment)
            state, past = self._locks[environment], past_of(project)
            self.gaps.update(dict.fromkeys(past.gaps))
            jobs = paid_jobs(project, state, past, kept_reports(project))
            self._paid[environment] = PaidItems(jobs, state, self._declared)
        return self._paid[environment]

    def origin(self, environment: str, record: Record, body: Digest) -> tuple[Record | None, PaidAttempts]:
        """Return the paid text that an item's file has, or was edited from, and all attempts until that one.

        A promoted text is looked for in the environment that it was taken from.
        """
        paid = self.paid(environment)
        own = paid.text(record.id, body) or paid.text(record.id, record.generated)
        if own is not None or not record.is_promoted:
            return own, paid.attempts(record.id, own.generated_at if own is not None else "")
        source = "" if record.promoted_from == BASE else record.promoted_from
        state = self._locks.get(source)
        ids = (record.id, *record.former_ids)
        theirs = next((state.records[id_] for id_ in ids if id_ in state.records), None) if state is not None else None
        if theirs is None or source == environment:
            return None, PaidAttempts()
        # That environment may have another text by now.
        return self.origin(source, structs.replace(theirs, generated=record.generated), record.generated)


def provenance(
    project: Project, choice: Choice, *, runtime: Runtime = HERE
) -> tuple[Provenances, tuple[Diagnostic, ...]]:
    """Return where the text of every selected item comes from, and a warning where manifests have errors.

    Needs no network and changes nothing. Raises UsageError for invalid selectors and those that match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project, runtime, keep_stamps=False) as workspace:
        inputs, error = gathered_or_recorded(workspace, Choice())
        changes = {change.id: change for change in make_plan(inputs).changes}
        ids = sorted({*inputs.specs, *inputs.state.records, *changes})
        items = selected(choice, [candidate(id_, inputs, changes) for id_ in ids])
        environments = PaidEnvironments(workspace.project, inputs)
        rows = [_text(item, inputs, environments) for item in items if _has_text(item)]
        problems = tuple(item.file.problem for item in items if item.file is not None and item.file.problem)
        gaps = [*environments.gaps]
        finished = _with_history(project, rows, workspace.cache, inputs.read, gaps)
        findings = (*workspace.unread, *([unread(error)] if error is not None else []))
    return Provenances(texts=tuple(finished), unread=problems, gaps=tuple(gaps)), findings


def _has_text(item: Candidate) -> bool:
    return item.record is not None and item.file is not None and bool(item.file.body) and not item.file.problem


def _text(item: Candidate, inputs: PlanInputs, environments: PaidEnvironments) -> tuple[TextProvenance, Digest]:
    """Return what is known without git's history, and the body that a job made; empty: none."""
    record, file = item.record, item.file
    assert record is not None
    assert file is not None
    own, attempts = environments.origin(inputs.project.environment, record, file.body)
    made_body = own.generated if own is not None else record.generated
    text = text_digest(file.title, file.body)
    row = TextProvenance(
        item=item.id,
        output=record.output,
        server=own.server if own is not None else record.server if made_body else "",
        model=own.model if own is not None else record.model if made_body else "",
        job_id=own.job_id if own is not None else record.job_id,
        request=own.digest if own is not None else record.digest,
        text=text,
        generated_at=own.generated_at if own is not None else record.generated_at if made_body else "",
        attempts=attempts,
        changed=0.0 if made_body == file.body else None,
        approval=item.approval,
        verdicts=inputs.approvals.of_text(text),
        promoted_from=record.promoted_from,
        disclosure=_disclosure(inputs.project, file),
    )
    return row, made_body


def _disclosure(project: Project, file: Observed) -> dict[str, Json]:
    """Return what the front matter says of how the text was made, by the keys of the settings."""
    keys = (project.disclosure.key, project.disclosure.source_type) if project.disclosure is not None else ()
    return {key: file.front[key] for key in keys if key in file.front}


def _with_history(
    project: Project,
    rows: Sequence[tuple[TextProvenance, Digest]],
    cache: Cache,
    read: Callable[[str], str],
    gaps: list[str],
) -> Iterator[TextProvenance]:
    """Yield the texts with the commits of their files, and the share of their words that people changed."""
    histories: Mapping[str, PathHistory] = {}
    shares: dict[str, float] = {}
    missing: dict[str, Digest] = {}
    for row, body in rows:
        if row.changed is None and body:
            before = cache.body(body)
            if before is None:
                missing[row.output] = body
            else:
                shares[row.output] = changed_share(before, read(row.output))
    try:
        histories = path_histories(project.root, [row.output for row, _ in rows])
        for path, before in bodies_in(project.root, missing, histories):
            shares[path] = changed_share(before, read(path))
    except (GitFailed, UsageError) as error:
        gaps.append(f"commits, and texts that the cache lacks, are unknown: {error.message}")
    for row, _ in rows:
        history = histories.get(row.output)
        yield structs.replace(
            row,
            changed=shares.get(row.output, row.changed),
            commit=history.commit if history is not None else "",
        )


def cost_of_approved(
    environments: Sequence[tuple[Project, PaidJobs]], *, runtime: Runtime = HERE
) -> ApprovedCost | None:
    """Return what the items whose texts are approved now have cost; None where no one has said anything of a text.

    `environments`: of one project, each with what it paid for, see `paid_jobs`. A text that several of them have counts
    once. Raises StateError.
    """
    if not approvals.load(Path(environments[0][0].root), runtime.disk).lines:
        return None
    approved: list[TextProvenance] = []
    for project, jobs in environments:
        with open_workspace(project, runtime, keep_stamps=False) as workspace:
            inputs, _ = gathered_or_recorded(workspace, Choice())
        paid = PaidEnvironments(workspace.project, inputs, PaidItems(jobs, inputs.state, inputs.specs))
        items = [candidate(id_, inputs, {}) for id_ in inputs.state.records]
        rows = [_text(item, inputs, paid)[0] for item in items if _has_text(item)]
        counted = {row.text for row in approved}
        approved += [row for row in rows if row.approval is ApprovalState.APPROVED and row.text not in counted]
    return ApprovedCost(
        items=len(approved),
        texts=sum(row.attempts.number for row in approved),
        credits=sum(row.attempts.credits for row in approved),
        tokens=add_sums(row.attempts.tokens for row in approved),
    )
