"""Find the owners of stored contents in the states of all environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.execution.content_owners import ContentOwners
from contentops.operations.environments import other_states
from contentops.planning.owners import Owner, owners_of
from contentops.state import state_dir

if TYPE_CHECKING:
    from contentops.model import Project, State


def content_owners(project: Project, state: State) -> ContentOwners:
    """Return what finds the owner of a content, by all locks and by its metadata. `state`: the project's."""
    return ContentOwners(recorded_owners(project, state), lineage=state.lineage, environment=project.environment)


def recorded_owners(project: Project, state: State) -> dict[str, Owner]:
    """Return the owner of each content that a record or an open entry names, by content id.

    `state`: that of the project's environment; other environments are read from their locks and journals.
    """
    here = state_dir.named("contentops", project.environment, "lock")
    return owners_of(project.api.server, {**dict(other_states(project)), here: state}, here)
