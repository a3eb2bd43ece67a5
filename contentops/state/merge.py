"""Two locks that grew from one, merged by what their lines are about.

Git's union merge looks at lines; this looks at ids, so that what one side removed stays removed. Where both changed
the same record, both lines are kept, as a union would, and reading settles which one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.state.codec import line_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.state.lock import Lock

_Lines = dict[tuple[str, ...], set[str]]


def merge(
    known: Sequence[Lock],
    base: Lock,
    ours: Lock,
    theirs: Lock,
    passed: Sequence[tuple[Lock, Lock]] = (),
    undone: Sequence[tuple[Lock, Lock]] = (),
) -> bytes:
    """The lock of both: `theirs` with what changed between `base` and `ours`.

    `known` are the versions on our way from `base`: a line of theirs that one of them had is an older one of ours.
    `passed` are the steps that theirs has gone through since `base`, each with the lock before and after it: what one
    of them brought to where it is in `ours` has arrived, and whatever followed is a later decision.
    `undone` are steps of ours that do not count, the oldest first. Two headers are both kept; whoever reads the result
    refuses them where they differ in lineage.
    """
    then, here, there = _lines(base), _lines(ours), _lines(theirs)
    before = [_lines(lock) for lock in (base, *known)]
    steps = [(_lines(old), _lines(new)) for old, new in passed]
    back = [(_lines(old), _lines(new)) for old, new in reversed(undone)]
    kept: list[str] = []
    for key in sorted(here.keys() | there.keys()):
        mine, other = here.get(key, set()), there.get(key, set())
        if mine != then.get(key, set()):
            mine = _without(mine, [(old.get(key, set()), new.get(key, set())) for old, new in back])
        older = set().union(*(lines.get(key, set()) for lines in before))
        arrived = any(_arrives(mine, old.get(key, set()), new.get(key, set())) for old, new in steps)
        kept += sorted(other if arrived else _kept(mine, other, then.get(key, set()), older))
    heads = {line_of(lock.header) for lock in (ours, theirs) if lock.header is not None}
    if not kept and theirs.header is None:
        # Somebody took the whole lock away, and nothing came after that.
        return b""
    return "\n".join([*sorted(heads), *kept, ""]).encode()


def _without(mine: set[str], back: Sequence[tuple[set[str], set[str]]]) -> set[str]:
    """The lines before the steps that brought them to `mine`, the newest step first."""
    for old, new in back:
        if new == mine:
            mine = old
    return mine


def _arrives(mine: set[str], old: set[str], new: set[str]) -> bool:
    if not mine:
        return bool(old) and not new
    return mine <= new and not mine <= old


def _kept(mine: set[str], other: set[str], then: set[str], older: set[str]) -> set[str]:
    if mine == then:
        return other
    return mine if other <= older else mine | other


def _lines(lock: Lock) -> _Lines:
    """The lines by what they are about; keys sort as the lines stand in a lock."""
    found: _Lines = {}
    for id_, records in lock.records.items():
        found["0", id_] = {one.text for one in records}
    for request_id, entries in lock.entries.items():
        for one in entries:
            key = ("1", one.value.item, f"{one.value.attempt:09}", request_id)
            found.setdefault(key, set()).add(one.text)
    return found
