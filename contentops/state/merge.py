"""Two locks that grew from one, merged by what their lines are about.

Git's union merge looks at lines; this looks at ids, so that what one side removed stays removed. Where both changed
the same record, both lines are kept, as a union would, and reading decides which one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.state.codec import line_of

if TYPE_CHECKING:
    from contentops.state.lock import Lock

_Lines = dict[tuple[str, ...], set[str]]


def merge(base: Lock, ours: Lock, theirs: Lock) -> bytes:
    """The lock of both: `theirs` with what changed between `base` and `ours`; empty where nothing is left of it.

    Two headers are both kept; whoever reads the result refuses them where they differ in lineage.
    """
    then, here, there = _lines(base), _lines(ours), _lines(theirs)
    kept: list[str] = []
    for key in sorted(here.keys() | there.keys()):
        before, mine, other = (lines.get(key, set()) for lines in (then, here, there))
        kept += sorted(other if mine == before else mine if other <= before else mine | other)
    heads = {line_of(lock.header) for lock in (ours, theirs) if lock.header is not None}
    if not kept and theirs.header is None:
        # Someone took the whole lock away, and nothing came after that.
        return b""
    return "\n".join([*sorted(heads), *kept, ""]).encode()


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
