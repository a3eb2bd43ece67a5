"""Compares the new texts of a run with the other texts of their groups, in an order that no timing changes.

A new text is compared with the texts that the run does not replace, and with the new texts of items before it, by id.
So it waits until these are written or have failed; then a stopped run ends like an undisturbed one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from contentops.execution.primitives import Stopped
from contentops.model import Write
from contentops.planning.groups import GroupTexts, group_of, is_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from contentops.execution.durable_run import DurableRun
    from contentops.model import Change, Finding, ItemId, Spec
    from contentops.planning.groups import GroupKey


class _Group:
    """A group of which the run writes texts."""

    def __init__(self, members: Sequence[Spec], coming: Sequence[ItemId]) -> None:
        self.specs = {spec.id: spec for spec in members}
        self.coming = coming
        """The members whose texts the run writes, by id."""
        self.numbers = {id_: number for number, id_ in enumerate(coming)}
        self.ended: set[ItemId] = set()
        self.done = 0
        """So many of the first of them have ended."""
        self.added = 0
        """So many of these are among the texts."""
        self.texts: GroupTexts | None = None
        self.waiting: dict[int, asyncio.Future[None]] = {}

    def end(self, id_: ItemId) -> None:
        """Note that a member goes no further in this run; the next one may be compared."""
        self.ended.add(id_)
        while self.done < len(self.coming) and self.coming[self.done] in self.ended:
            self.done += 1
        future = self.waiting.get(self.done)
        if future is not None and not future.done():
            future.set_result(None)


class Groups:
    """The groups of a run. `read` returns the body of an item's file as it is now; None: there is none to read."""

    def __init__(
        self,
        specs: Iterable[Spec] = (),
        changes: Iterable[Change] = (),
        read: Callable[[Spec], str | None] = lambda _spec: None,
    ) -> None:
        self._read = read
        self._groups: dict[GroupKey, _Group] = {}
        new = {change.id: change.spec for change in changes if change.spec is not None and _brings_text(change)}
        keys = {key for spec in new.values() if (key := group_of(spec)) is not None}
        declared = sorted(specs, key=lambda spec: spec.id) if keys else ()
        for key in keys:
            members = [spec for spec in declared if is_member(spec, key)]
            self._groups[key] = _Group(members, [spec.id for spec in members if spec.id in new])

    async def turn(self, run: DurableRun, spec: Spec) -> None:
        """Wait until the new texts before this one are written or have failed. Raises Stopped if the run stops."""
        group, number = self._group(spec)
        if group is not None and run.halted:
            raise Stopped  # those before it may have ended without their texts
        if group is not None and group.done < number:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            group.waiting[number] = future
            await run.wait_for_item(future)

    def findings(self, spec: Spec, body: str) -> tuple[Finding, ...]:
        """What `checks.similar` finds in a text whose turn has come."""
        group, _ = self._group(spec)
        if group is None or spec.checks.similar is None:
            return ()
        if group.texts is None:
            group.texts = GroupTexts()
            self._add(group, (each for each in group.specs if each not in group.numbers))
        self._add(group, group.coming[group.added : group.done])
        group.added = group.done
        return group.texts.findings(spec, body)

    def end(self, id_: ItemId) -> None:
        """Note that an item goes no further in this run."""
        for group in self._groups.values():
            if id_ in group.numbers:
                group.end(id_)

    def _group(self, spec: Spec) -> tuple[_Group | None, int]:
        key = group_of(spec)
        group = self._groups.get(key) if key is not None else None
        return group, group.numbers.get(spec.id, 0) if group is not None else 0

    def _add(self, group: _Group, ids: Iterable[ItemId]) -> None:
        assert group.texts is not None
        for id_ in ids:
            if (body := self._read(group.specs[id_])) is not None:
                group.texts.add(group.specs[id_], body)


def _brings_text(change: Change) -> bool:
    return any(isinstance(step, Write) and step.is_new for step in change.steps)
