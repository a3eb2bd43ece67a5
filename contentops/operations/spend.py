"""Sum what the texts of a project have cost, in one environment or in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ci.results import orders_at
from contentops.manifests.project import load_project
from contentops.model import BASE
from contentops.operations.environments import locked_environments
from contentops.operations.opening import read_state
from contentops.operations.paid import jobs_by_environment
from contentops.operations.provenance import cost_of_approved
from contentops.operations.workspace import declared
from contentops.reporting.spend import Spend, add_spends, count_spend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from contentops.errors import Diagnostic
    from contentops.model import Project
    from contentops.model.provenance import ApprovedCost


class Spending(Struct, frozen=True, kw_only=True):
    """What texts cost."""

    spend: Spend
    approved: ApprovedCost | None = None
    """What the texts that are approved now have cost; None: no one has said anything of a text."""
    findings: tuple[Diagnostic, ...] = ()
    """Why the manifests cannot be used."""


def in_all_environments(project: Project) -> list[Project]:
    """Open the project in each environment that has a lock; where none has, it stays the only one."""
    root, variables = Path(project.root), project.cli_vars
    names = locked_environments(project)
    return [load_project(root, environment=name, variables=variables) for name in names] or [project]


def spending(projects: Sequence[Project], *, since: datetime | None = None, commit: str = "") -> Spending:
    """Sum what these environments of one project have cost, each text once.

    `since`: from then on; `commit`: without what was known then. Raises what `orders_at` raises, and StateError.
    """
    findings: dict[Diagnostic, None] = {}
    spends: dict[str, Spend] = {}
    for project in projects:
        desired, found = declared(project)
        findings.update(dict.fromkeys(found))
        jobs = jobs_by_environment(project, read_state(project))[project.environment]
        known = orders_at(project, commit) if commit else frozenset()
        spends[project.environment or BASE] = count_spend(jobs, desired, since=since, known=known)
    return Spending(
        spend=add_spends(spends),
        approved=cost_of_approved(projects),
        findings=tuple(findings),
    )
