"""Lock and journal as one state: what holds, and what is set aside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import digest_text
from contentops.errors import StateError
from contentops.model import ItemId, Record
from contentops.state import lock, store
from contentops.state.codec import Forget, Header, line_of
from contentops.state.store import JournalFact, WorkingState
from tests import state_facts as facts

NAME = ".contentops/journal.jsonl"
HEADER = line_of(Header(lineage=facts.LINEAGE))
A = ItemId("a")


def locked(*values: Record) -> lock.Lock:
    """A lock with these records."""
    lines = [line_of(value) for value in values]
    return lock.read("\n".join((HEADER, *lines)), "contentops.lock")


def fold(where: lock.Lock, *noted: JournalFact) -> dict[ItemId, Record]:
    """The fold of a lock with these facts."""
    return store.fold(where, noted)


OLD = facts.record(generation=1, rev=1)
NEW = facts.record(generation=2, rev=2)
THEIRS = facts.record(generation=3, rev=2)
NEW_IN = JournalFact(fact=NEW, base=(digest_text(line_of(OLD)),))


@pytest.mark.parametrize("where", [
    pytest.param(locked(THEIRS), id="pulled"),
    pytest.param(locked(), id="reverted-to-before-it"),
    pytest.param(lock.Lock(), id="lock-deleted"),
])  # fmt: skip
def test_the_lock_wins_where_it_changed(where: lock.Lock) -> None:
    """After a pull, a checkout or a revert the record is set aside; what was paid for is in the jobs."""
    assert fold(where, NEW_IN).get(A) == (THEIRS if where.records else None)


def noted_line(text: str) -> str:
    """A journal line of a fact without a base."""
    return store.journal_line(text, step="write", base=())


def test_a_torn_last_line_never_happened() -> None:
    """Cut anywhere, also in a character or before its newline; a group of facts, as of a rename, counts as a whole."""
    whole = noted_line(line_of(OLD)).encode() + b"\n"
    group = [structs.replace(NEW, title="ä"), facts.record("b"), Forget(A)]
    torn = f"[{','.join(noted_line(line_of(fact)) for fact in group)}]".encode()

    assert [noted.fact for noted in store.parse(whole + torn + b"\n", NAME)[1]] == [OLD, *group]
    for cut in (*(torn[:at] for at in range(len(torn) + 1)), b"\0\0\0"):
        assert [noted.fact for noted in store.parse(whole + cut, NAME)[1]] == [OLD]


@pytest.mark.parametrize(("line", "words"), [
    pytest.param(b"{}", "is neither a header nor a record", id="nothing"),
    pytest.param(b"[7]", "cannot be used: expected `object`, got `int`", id="list-of-no-facts"),
    pytest.param(b"\0\0", "is incomplete or invalid JSON", id="zeros"),
    pytest.param(b'{"forget":1}', "cannot be used: `forget` is not valid: expected `str`, got `int`", id="forget-number"),
    pytest.param(b'{"forget":"x","base":7}', "cannot be used: `base` is not valid", id="base-number"),
])  # fmt: skip
def test_a_damaged_line_that_is_not_the_last_is_named(line: bytes, words: str) -> None:
    """Damage in the middle is no torn write: nothing is guessed, and the line is named."""
    data = b"\n".join((HEADER.encode(), line, noted_line(line_of(OLD)).encode(), b""))

    with pytest.raises(StateError) as caught:
        store.parse(data, NAME)

    assert caught.value.message.startswith(f"line 2 of `{NAME}` {words}")
    assert "delete the line" in caught.value.hint
    assert caught.value.code == "damaged-journal"


notes = st.lists(st.lists(facts.changes, min_size=1, max_size=3), max_size=8)
starts = st.lists(st.builds(facts.record, facts.names, facts.generations), max_size=4)


@given(starts, st.lists(notes, min_size=2, max_size=3))
def test_the_working_state_is_what_the_files_fold_to(
    start: list[Record], rounds: list[list[list[Record | Forget]]]
) -> None:
    """After any notes, a reader of lock and journal sees exactly what the run sees, through several checkpoints."""
    where = locked(*start)
    working = WorkingState(where, (), lineage=facts.LINEAGE, body_on_disk=store.nothing_on_disk, write=True)
    for noted in rounds:
        for group in noted:
            working.note("step", group)
        noted_facts = store.parse("".join(f"{line}\n" for line in working.waiting).encode(), NAME)[1]
        assert fold(where, *noted_facts) == working.records
        where = lock.read(working.lock_bytes().decode(), "contentops.lock")
        working.locked()
        working.waiting.clear()
        assert (fold(where), locked(*working.records.values())) == (working.records, where)
