"""Repairs records after a merge in git: one stored content belongs to one record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import ItemId, Record


def with_one_owner(records: Mapping[ItemId, Record]) -> dict[ItemId, Record]:
    """The records that have to change so that each stored content has one owner.

    The record that was saved last keeps the content, since the server has its text; else the one with the higher `rev`,
    else the first by id. The others count as never saved. A content that one owns is not a superseded one of another.
    """
    owners: dict[tuple[str, str], Record] = {}
    changed: dict[ItemId, Record] = {}
    for record in records.values():
        if not record.content_id:
            continue
        other = owners.setdefault((record.server, record.content_id), record)
        if other is not record:
            by_id = sorted((record, other), key=lambda rival: rival.id, reverse=True)
            loser, owner = sorted(by_id, key=lambda rival: (rival.saved_at, rival.rev))
            owners[record.server, record.content_id] = owner
            changed[loser.id] = structs.replace(loser, content_id="", saved=None, saved_at="")
    for record in records.values():
        if record.superseded:
            free = tuple(
                content for content in record.superseded if owners.get((record.server, content), record).id == record.id
            )
            if free != record.superseded:
                changed[record.id] = structs.replace(changed.get(record.id, record), superseded=free)
    return changed
