"""Sum what the texts of a project have cost, in one environment or in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.ci.results import past_of, requests_at
from contentops.manifests.project import load_project
from contentops.model import ATTEMPTS, BASE, RequestId, is_answer
from contentops.operations.environments import locked_environments
from contentops.operations.history import paid_by_others, paid_jobs
from contentops.operations.kept_runs import kept_reports
from contentops.operations.opening import read_state
from contentops.operations.provenance import cost_of_approved
from contentops.operations.workspace import declared
from contentops.reporting.spend import Spend, add_spends, count_spend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from contentops.errors import Diagnostic
    from contentops.model import Desired, Project, State
    from contentops.model.provenance import ApprovedCost
    from contentops.model.run import PaidJobs


class Spending(Struct, frozen=True, kw_only=True):
    """What texts cost, and what may be missing."""

    spend: Spend
    approved: ApprovedCost | None = None
    """What the texts that are approved now have cost; None: no one has said anything of a text."""
    gaps: tuple[str, ...] = ()
    """Why it may be more, each a sentence."""
    findings: tuple[Diagnostic, ...] = ()
    """Why the manifests cannot be used."""


class _Environment(Struct, frozen=True):
    """What an environment has paid for."""

    project: Project
    state: State
    jobs: PaidJobs
    desired: Desired | None


def in_all_environments(project: Project) -> list[Project]:
    """Open the project in each environment that has a lock; where none has, it stays the only one."""
    root, variables = Path(project.root), project.cli_vars
    names = locked_environments(project)
    return [load_project(root, environment=name, variables=variables) for name in names] or [project]


def spending(projects: Sequence[Project], *, since: datetime | None = None, commit: str = "") -> Spending:
    """Sum what these environments of one project have cost, each text once.

    `since`: from then on; `commit`: without what was known then. Raises what `requests_at` raises, and StateError.
    """
    gaps: dict[str, None] = {}
    findings: dict[Diagnostic, None] = {}
    earlier: set[RequestId] = set()

    def read(project: Project) -> _Environment:
        state, past, runs = read_state(project), past_of(project), kept_reports(project)
        desired, found = declared(project)
        gaps.update(dict.fromkeys(past.gaps))
        findings.update(dict.fromkeys(found))
        earlier.update(requests_at(project, commit) if commit else ())
        return _Environment(project, state, paid_jobs(project, state, past, runs), desired)

    environments = [read(project) for project in projects]
    elsewhere = _elsewhere(environments)
    spends = {
        one.project.environment or BASE: count_spend(
            one.jobs,
            one.state.entries.values(),
            one.desired,
            since=since,
            known=frozenset(earlier),
            elsewhere=elsewhere(one),
        )
        for one in environments
    }
    return Spending(
        spend=add_spends(spends),
        approved=cost_of_approved([(one.project, one.jobs) for one in environments]),
        gaps=tuple(gaps),
        findings=tuple(findings),
    )


def _elsewhere(environments: Sequence[_Environment]) -> Callable[[_Environment], frozenset[RequestId]]:
    """Return a function that gives the submits of an environment that another one has paid for."""
    if len(environments) == 1:
        return lambda one: paid_by_others(one.project, one.state, one.jobs.texts.values())
    owners: dict[RequestId, str] = {}
    for one in environments:
        for name, record in one.jobs.texts.items():
            # Our record does not say at which attempt another environment paid.
            if name not in owners or is_answer(
                structs.replace(record, attempt=ATTEMPTS), one.state.lineage, one.project.environment
            ):
                owners[name] = one.project.environment
    return lambda one: frozenset(name for name in one.jobs.texts if owners[name] != one.project.environment)
