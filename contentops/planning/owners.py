"""The owners of stored contents. One content belongs to one record, and no other takes it over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import ItemId, Record, State

_DEFAULT = "contentops.lock"
"""The lock of the default environment."""


class Owner(Struct, frozen=True, kw_only=True):
    """The owner of a stored content: the item of a record, an open submit, or unknown to this checkout.

    `superseded`: the item has a newer one. `lock`: the lock that says so where it is another environment's.
    """

    item: str = ""
    superseded: bool = False
    lock: str = ""
    request: str = ""
    """The open submit whose text it is, where no record has it yet."""
    elsewhere: bool = False
    """Its metadata names another project, or an environment whose state does not know it."""

    @property
    def is_of_others(self) -> bool:
        """Whether it belongs to another environment or another project."""
        return bool(self.lock) or self.elsewhere

    @property
    def living(self) -> bool:
        """Whether an item is saved as this content now."""
        return bool(self.item) and not self.superseded


def owners_of(server: str, locks: Mapping[str, State], own_lock: str) -> dict[str, Owner]:
    """The owners of a server's contents by content id, from the records and open entries of all environments.

    `locks` are the states by the name of their lock, and `own_lock` is the one of this environment. If several records
    name one content (an earlier version allowed that), the default environment owns it, otherwise the first by name.
    """
    owners: dict[str, Owner] = {}
    states = [(lock if lock != own_lock else "", locks[lock]) for lock in sorted(locks, key=_rank)]
    for lock, state in states:
        for record in _records(state, server):
            owners.setdefault(record.content_id, Owner(item=record.id, lock=lock))
    for lock, state in states:
        for entry in state.entries.values():
            if entry.server == server:
                owners.setdefault(entry.content_id, Owner(item=entry.item, lock=lock, request=entry.request_id))
    for lock, state in states:
        for record in _records(state, server):
            for content_id in record.superseded:
                owners.setdefault(content_id, Owner(item=record.id, superseded=True, lock=lock))
    owners.pop("", None)
    return owners


def without_others(state: State, others: Mapping[str, State], server: str, own_lock: str) -> State:
    """`state` without the contents that another environment owns: such a text counts as never saved.

    `others` are the states of other environments by their locks; `own_lock` is the lock of this one.
    """
    owners = owners_of(server, {**others, own_lock: state}, own_lock) if others else {}
    unsaved: dict[ItemId, Record] = {
        record.id: structs.replace(record, content_id="", saved=None)
        for record in _records(state, server)
        if (owner := owners.get(record.content_id)) is not None and owner.lock
    }
    return structs.replace(state, records={**state.records, **unsaved}) if unsaved else state


def _rank(lock: str) -> tuple[bool, str]:
    return lock != _DEFAULT, lock


def _records(state: State, server: str) -> list[Record]:
    return [record for record in state.records.values() if record.server == server]
