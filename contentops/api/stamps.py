"""Stamps: the server's own words for the state of a content.

A stamp is the time of the last change as the server wrote it, with the version where it gives one. Stamps are compared
for equality alone, so no clock of this machine matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.api.calls import Content, ContentEntry
    from contentops.model import Json

CREATED = "created"
"""The stamp of a content that was created by a save whose reply gave none."""


def stamp_in(value: Mapping[str, Json], updated_at: str) -> str:
    """The stamp of the content that a reply describes; empty where the reply has no time of change.

    A version alone is no stamp: it could be that of a format.
    """
    if not any(character.isdigit() for character in updated_at):
        return ""
    version = value.get("version")
    known = isinstance(version, int) and not isinstance(version, bool)
    return f"{updated_at} {version}" if known else updated_at


def bears(content: Content | ContentEntry, stamp: str) -> bool:
    """Whether a content is in the state that a stamp names; False where nothing is known."""
    return stamp != "" and (content.stamp == stamp or (stamp == CREATED and is_as_created(content)))


def is_as_created(content: Content | ContentEntry) -> bool:
    """Whether the server says that a content was not changed since it was created."""
    at = content.created_at
    return at != "" and at == content.updated_at and content.stamp in (at, f"{at} 1")
