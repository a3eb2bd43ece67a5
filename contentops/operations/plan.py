"""`plan`: what an apply would do; and whether a reviewed plan still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.planning.review import check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.model import Json, Plan, Project
    from contentops.operations.workspace import Workspace, World
    from contentops.planning.inputs import Choice, PlanInputs


def gathered(
    workspace: Workspace, choice: Choice, *, tell: Callable[[str], None] | None = None, world: World | None = None
) -> PlanInputs:
    """The sides of a plan; with what the server has, where the choice says to look. Raises what `refresh` raises."""
    found = workspace.plan_inputs(choice)
    if not choice.refresh:
        return found
    from contentops.operations.refresh import refresh

    return refresh(found, workspace.cache, workspace.limiter, tell=tell, world=world)


def plan(
    project: Project, choice: Choice, *, tell: Callable[[str], None] | None = None, world: World | None = None
) -> Plan:
    """What `apply` would do. Needs no network and no key, but for a refresh; writes nothing but the cache."""
    with open_workspace(project) as workspace:
        return make_plan(gathered(workspace, choice, tell=tell, world=world))


def check(
    project: Project,
    choice: Choice,
    reviewed: Mapping[str, Json],
    *,
    tell: Callable[[str], None] | None = None,
    world: World | None = None,
) -> Plan:
    """What an apply would do today, if it is no more than the reviewed plan document says. Raises Refused if not."""
    with open_workspace(project) as workspace:
        return check_file(gathered(workspace, choice, tell=tell, world=world), reviewed)
