"""Whose the contents on the project's server are, as the states of all its environments say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.execution.content_owners import ContentOwners
from contentops.operations.environments import other_states
from contentops.planning.owners import Owner, owners_of
from contentops.state import state_dir

if TYPE_CHECKING:
    from contentops.model import Project, State


def content_owners(project: Project, state: State) -> ContentOwners:
    """The owners of the stored contents, by all locks and by the contents' metadata. `state` is that of the project."""
    return ContentOwners(recorded_owners(project, state), lineage=state.lineage, environment=project.environment)


def recorded_owners(project: Project, state: State) -> dict[str, Owner]:
    """The owner of each content that a record or an open entry names, by the content's id.

    `state` is that of the project's own environment; the other ones are read from their locks and journals.
    """
    here = state_dir.named("contentops", project.environment, "lock")
    return owners_of(project.api.server, {**dict(other_states(project)), here: state}, here)
