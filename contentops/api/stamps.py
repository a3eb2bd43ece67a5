"""Stamps: the time of a content's last change as the server wrote it, with the version where it gives one.

Stamps are only compared for equality, so no clock of this machine matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.api.calls import Content, ContentEntry
    from contentops.model import Json

CREATED = "created"
"""The stamp of a content that a save created, where the reply had no stamp."""


def stamp_in(value: Mapping[str, Json], updated_at: str) -> str:
    """The stamp of the content in a reply; empty where the reply has no time of change.

    A version alone is not a stamp: it could be the version of a format.
    """
    if not any(character.isdigit() for character in updated_at):
        return ""
    version = value.get("version")
    is_number = isinstance(version, int) and not isinstance(version, bool)
    return f"{updated_at} {version}" if is_number else updated_at


def has_stamp(content: Content | ContentEntry, stamp: str) -> bool:
    """Whether a content has this stamp; False for an empty stamp."""
    return stamp != "" and (content.stamp == stamp or (stamp == CREATED and is_as_created(content)))


def is_as_created(content: Content | ContentEntry) -> bool:
    """Whether a content was not changed since it was created, according to the server."""
    at = content.created_at
    return at != "" and at == content.updated_at and content.stamp in (at, f"{at} 1")
