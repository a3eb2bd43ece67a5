"""Two locks merged by what their lines are about."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.digest import Digest
from contentops.errors import StateError
from contentops.model import ItemId, JobState, OpenEntry, Record, State, request_id
from contentops.state import lock as locks
from contentops.state.lock import merge
from tests.plans import make_entry, make_record

if TYPE_CHECKING:
    from contentops.state.lock import Lock

LINEAGE = locks.lineage_of("acme-blog")


def lock(*lines: Record | OpenEntry, lineage: str = LINEAGE) -> Lock:
    """A lock of these records and entries."""
    state = State(
        lineage=lineage,
        records={one.id: one for one in lines if isinstance(one, Record)},
        entries={one.request_id: one for one in lines if isinstance(one, OpenEntry)},
    )
    return locks.read(locks.render(state).decode(), "contentops.lock")


def lines_of(merged: bytes) -> list[tuple[str, int]]:
    """Ids and revisions of the records, in the order of the lines."""
    parsed = locks.read(merged.decode(), "contentops.lock")
    return [(id_, one.value.rev) for id_, lines in parsed.records.items() for one in lines]


def item(name: str, rev: int = 0) -> Record:
    """A record."""
    return make_record(name, id=ItemId(name), rev=rev)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ([], ["a"], ["b"], ["a0", "b0"]),
        (["a", "b"], ["a1", "b"], ["a", "b2"], ["a1", "b2"]),
        (["a", "b"], ["b"], ["a", "b1"], ["b1"]),
        (["a", "b"], ["a1", "b"], ["a"], ["a1"]),
        (["a"], ["a1"], [], ["a1"]),
        (["a"], ["a"], [], []),
        (["a"], ["a1"], ["a2"], ["a1", "a2"]),
        (["a"], [], ["a2"], ["a2"]),
        (["a"], ["a1"], ["a1"], ["a1"]),
    ],
    ids=[
        "both new",
        "neighbours",
        "removed here",
        "removed there",
        "changed here, removed there",
        "unchanged here, removed there",
        "changed in both",
        "removed here, changed there",
        "the same in both",
    ],
)
def test_each_id_is_merged_by_itself(base: list[str], ours: list[str], theirs: list[str], expected: list[str]) -> None:
    """A change of one side is taken, a removal stays one, and what both changed is kept twice."""
    before, here, there = (
        lock(*(item(name[0], int(name[1:] or 0)) for name in names)) for names in (base, ours, theirs)
    )
    assert [f"{name}{rev}" for name, rev in lines_of(merge(before, here, there))] == expected


def test_open_entries_are_merged_too() -> None:
    """Finished here, still open there: closed; opened there: open."""
    one, two = (
        make_entry(),
        structs.replace(make_entry(), request_id=request_id(LINEAGE, "", ItemId("b"), Digest("d"), 0)),
    )
    merged = merge(lock(one), lock(item("a")), lock(one, two))
    parsed = locks.read(merged.decode(), "contentops.lock")
    assert list(parsed.entries) == [two.request_id]


PROGRESS = [JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING, JobState.FAILED, JobState.PAID]


@pytest.mark.parametrize(("less", "more"), list(pairwise(PROGRESS)))
def test_of_two_lines_of_a_submit_the_one_that_knows_more_counts(less: JobState, more: JobState) -> None:
    """In whichever order they come."""
    early, late = make_entry(state=less), make_entry(state=more)
    assert locks.furthest((early, late)) is locks.furthest((late, early)) is late


def test_a_side_without_changes_gives_the_bytes_of_the_other() -> None:
    """Byte-stable, and nothing of one's own order."""
    base, theirs = lock(item("a"), item("b")), lock(item("a", 3), item("c"), make_entry())
    expected = locks.render(
        State(
            lineage=LINEAGE,
            records={ItemId("a"): item("a", 3), ItemId("c"): item("c")},
            entries={make_entry().request_id: make_entry()},
        )
    )
    assert merge(base, base, theirs) == merge(base, theirs, base) == expected


def test_two_projects_are_not_merged() -> None:
    """Both headers are kept, so that whoever reads it refuses."""
    merged = merge(lock(), lock(item("a")), lock(item("b"), lineage=locks.lineage_of("other")))
    with pytest.raises(StateError) as refused:
        locks.read(merged.decode(), "contentops.lock")
    assert refused.value.code == "mixed-lineages"
