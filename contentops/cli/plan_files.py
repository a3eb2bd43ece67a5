"""Plan files on the command line: how they are named, and which project one was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from contentops.cli.session import Session
from contentops.errors import UsageError
from contentops.model import Project
from contentops.model.plan_file import PlanFile

PLAN_ENDING = ".json"
"""An existing file with this ending is a plan file, and no item."""


def pinned(value: str) -> tuple[str, str]:
    """Return the path and the checksum of `FILE@sha256:HEX`; the checksum is empty where only a file is named."""
    name, at, digest = value.partition("@sha256:")
    return name, at.removeprefix("@") + digest


def project_of(session: Session, plan: PlanFile, chosen: Mapping[str, Any]) -> Project:
    """Return the project that the plan was made for. Raises UsageError where flags would make another plan."""
    if session.variables or any(chosen.values()):
        raise UsageError(
            "a plan file already states what is selected, replaced and set",
            code="plan-file-and-flags",
            hint="leave those options out, or make another plan with them",
        )
    environment = session.environment or plan.environment
    variables = plan.inputs.variables
    return structs.replace(session, environment=environment, variables=variables).project()
