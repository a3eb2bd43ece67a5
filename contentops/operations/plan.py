"""`plan`: what an apply would do; and whether a reviewed plan still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.planning.planfile import Compared, compare_file
from contentops.planning.situation import specs_by_id
from contentops.reporting.plan_json import record_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Desired, Json, Plan, Project
    from contentops.planning.situation import Choice


def plan(project: Project, choice: Choice) -> Plan:
    """What `apply` would do. Needs no network and no key; writes nothing but a parse cache."""
    with open_workspace(project) as workspace:
        return workspace.plan(choice)


def check(project: Project, choice: Choice, reviewed: Mapping[str, Json]) -> Compared:
    """Whether a reviewed plan document would still be applied as it is. Raises Refused, saying why not."""
    with open_workspace(project) as workspace:
        found = workspace.situation(reviewed_choice(choice, workspace.desired))
        return compare_file(found, make_plan(found), reviewed, record_digest)


def reviewed_choice(choice: Choice, desired: Desired) -> Choice:
    """The choice of a plan file without items that are gone since: the comparison names them."""
    specs = specs_by_id(desired)
    return structs.replace(choice, replace=tuple(id_ for id_ in choice.replace if id_ in specs))
