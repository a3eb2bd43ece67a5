"""`plan`: what an apply would do; and whether a reviewed plan still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.operations.workspace import open_workspace
from contentops.planning.review import check_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Plan, Project
    from contentops.planning.inputs import Choice


def plan(project: Project, choice: Choice) -> Plan:
    """What `apply` would do. Needs no network and no key; writes nothing but a parse cache."""
    with open_workspace(project) as workspace:
        return workspace.plan(choice)


def check(project: Project, choice: Choice, reviewed: Mapping[str, Json]) -> Plan:
    """What an apply would do today, if it is no more than the reviewed plan document says. Raises Refused if not."""
    with open_workspace(project) as workspace:
        return check_file(workspace.plan_inputs(choice), reviewed)
