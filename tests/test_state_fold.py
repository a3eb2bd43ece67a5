"""Lock and journal as one state: what holds, what is set aside, and that nothing paid is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import NOTHING, digest_text
from contentops.errors import StateError
from contentops.model import ItemId, JobState, OpenEntry, Record, RequestId, State
from contentops.state import journal, lock, merge_repair
from contentops.state.codec import Drop, Fact, Forget, Header, line_of, parse_line
from contentops.state.journal import JournalFact
from contentops.state.working_state import WorkingState
from tests import state_facts as facts

if TYPE_CHECKING:
    from contentops.state.journal import Base, Folded

NAME = ".contentops/journal.jsonl"
HEADER = line_of(Header(lineage=facts.LINEAGE))
A = ItemId("a")


def locked(*values: Record | OpenEntry) -> lock.Lock:
    """A lock with these records and entries."""
    lines = [line_of(value) for value in values]
    return lock.read("\n".join((HEADER, *lines)), "contentops.lock")


def base(*values: Record | OpenEntry) -> Base:
    """The base of a fact that started from these lines."""
    return tuple(digest_text(line_of(value)) for value in values)


def fold(where: lock.Lock, *noted: JournalFact) -> Folded:
    """The fold of a lock with these facts."""
    return journal.fold(where, noted, lineage=facts.LINEAGE)


OLD = facts.record(generation=1, rev=1)
NEW = facts.record(generation=2, rev=2)
THEIRS = facts.record(generation=3, rev=2)
NEW_IN = JournalFact(fact=NEW, base=base(OLD), took=NEW.request_id)


def test_a_record_is_folded_in_where_its_base_still_stands() -> None:
    """The ordinary case: the journal is what happened after the lock."""
    folded = fold(locked(OLD, facts.record("b")), NEW_IN)

    assert folded.state.records == {"a": NEW, "b": facts.record("b")}
    assert folded.reopened == ()


def test_a_new_item_is_folded_in_where_there_is_still_none() -> None:
    """A record without a base stands for an item the lock does not know."""
    assert fold(lock.Lock(), JournalFact(fact=NEW, took=NEW.request_id)).state.records == {"a": NEW}


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(locked(THEIRS), id="pulled"),
        pytest.param(locked(), id="reverted-to-before-it"),
        pytest.param(lock.Lock(), id="lock-deleted"),
    ],
)
def test_the_lock_wins_where_it_changed_and_the_paid_text_stays_open(where: lock.Lock) -> None:
    """After a pull, a checkout or a revert the record is set aside, but what was paid for is open again."""
    folded = fold(where, NEW_IN)

    again = folded.state.entries[NEW.request_id]
    assert folded.state.records.get(A) == (THEIRS if where.records else None)
    assert folded.reopened == (again,)
    assert (again.state, again.body, again.title, again.job_id, again.content_id, again.digest) == (
        JobState.PAID,
        NEW.generated,
        NEW.title,
        NEW.job_id,
        NEW.content_id,
        NEW.digest,
    )


def test_a_record_of_a_job_without_its_text_is_open_again_as_running() -> None:
    """Without a body digest there is a job to poll, not a text to fetch."""
    kept = structs.replace(NEW, generated=NOTHING)

    folded = fold(locked(THEIRS), JournalFact(fact=kept, base=base(OLD), took=kept.request_id))

    assert folded.state.entries[kept.request_id].state is JobState.RUNNING


def test_a_change_without_a_new_text_is_just_set_aside() -> None:
    """A save or a move that the lock overrules opens nothing: its text is the base's."""
    folded = fold(locked(THEIRS), JournalFact(fact=structs.replace(OLD, output="x.md"), base=base(OLD)))

    assert folded.state.records == {"a": THEIRS}
    assert folded.state.entries == {}


def test_a_text_the_lock_carries_is_not_opened_again() -> None:
    """A kill between the lock's replacement and the journal's end folds to the lock itself."""
    folded = fold(locked(NEW), NEW_IN)

    assert folded.state.records == {"a": NEW}
    assert folded.state.entries == {}


def test_a_text_that_was_replaced_before_the_lock_changed_is_not_opened_again() -> None:
    """Of two generations in one journal only the last can be lost."""
    third = facts.record(generation=3, rev=3)
    entries = [JournalFact(fact=facts.entry(generation=generation)) for generation in (2, 3)]
    third_in = JournalFact(fact=third, base=base(OLD), took=third.request_id)

    folded = fold(locked(facts.record(generation=1, title="Theirs")), entries[0], NEW_IN, entries[1], third_in)

    assert folded.state.entries.keys() == {third.request_id}
    assert fold(locked(third), entries[0], NEW_IN, entries[1], third_in).state.entries == {}


def test_a_reopened_text_survives_the_next_change_of_its_item() -> None:
    """Once said again, a reopened entry is not taken for used up by the item's next record."""
    again = merge_repair.reopen(NEW)
    later = structs.replace(THEIRS, output="moved.md", rev=3)

    folded = fold(locked(THEIRS), NEW_IN, JournalFact(fact=again), JournalFact(fact=later, base=base(THEIRS)))

    assert folded.state.records == {"a": later}
    assert folded.state.entries == {NEW.request_id: again}


@pytest.mark.parametrize("state", list(JobState))
def test_open_entries_stay_open_whatever_the_lock_says(state: JobState) -> None:
    """A pull cannot take away a submit."""
    open_ = facts.entry(generation=2, state=state)

    assert fold(locked(THEIRS), JournalFact(fact=open_)).state.entries == {open_.request_id: open_}


def test_entries_close_when_a_record_carries_them() -> None:
    """Wherever the record is: in the journal, or in a lock that was pulled."""
    open_ = JournalFact(fact=facts.entry(generation=2))

    assert fold(locked(OLD), open_, NEW_IN).state.entries == {}
    assert fold(locked(NEW), open_).state.entries == {}
    assert fold(locked(NEW, facts.entry(generation=2))).state.entries == {}


def test_entries_close_when_dropped_and_can_open_again() -> None:
    """Facts count in their order."""
    open_, drop = JournalFact(fact=facts.entry()), JournalFact(fact=Drop(facts.entry().request_id))

    assert fold(locked(facts.entry()), drop).state.entries == {}
    assert fold(locked(), open_, drop).state.entries == {}
    assert fold(locked(), open_, drop, open_).state.entries.keys() == {facts.entry().request_id}


def test_a_dropped_entry_is_not_listed_as_reopened() -> None:
    """What was drained after it was reopened is over."""
    folded = fold(locked(THEIRS), NEW_IN, JournalFact(fact=Drop(NEW.request_id)))

    assert folded.reopened == ()
    assert folded.state.entries == {}


@pytest.mark.parametrize(
    ("in_lock", "noted", "from_", "wins"),
    [
        pytest.param(JobState.UNKNOWN, JobState.SUBMITTING, True, JobState.SUBMITTING, id="journal-is-later"),
        pytest.param(JobState.PAID, JobState.RUNNING, False, JobState.PAID, id="pulled-knows-more"),
        pytest.param(JobState.SUBMITTING, JobState.RUNNING, False, JobState.RUNNING, id="journal-knows-more"),
    ],
)
def test_an_entry_in_both_is_the_later_or_the_furthest(
    in_lock: JobState, noted: JobState, *, from_: bool, wins: JobState
) -> None:
    """The journal is later than the line it started from; otherwise what knows more counts."""
    line = facts.entry(state=in_lock)
    started = base(line) if from_ else base(facts.entry(error="another line"))

    folded = fold(locked(line), JournalFact(fact=facts.entry(state=noted), base=started))

    assert folded.state.entries[line.request_id].state is wins


def test_forgetting_holds_only_where_its_base_stands() -> None:
    """`state rm` on a line that a pull has changed since forgets nothing."""
    forget = JournalFact(fact=Forget(A), base=base(OLD))

    assert fold(locked(OLD), forget).state.records == {}
    assert fold(locked(THEIRS), forget).state.records == {"a": THEIRS}
    assert fold(locked(), forget).state.records == {}


def test_a_line_that_a_merge_brought_competes_with_the_journal() -> None:
    """The base is still there, but another branch's line stands beside it: the same rules as in the file decide."""
    ahead, behind = facts.record(generation=3, rev=9), facts.record(generation=3, rev=1)

    assert fold(locked(OLD, ahead), NEW_IN).state.records == {"a": ahead}
    assert fold(locked(OLD, behind), NEW_IN).state.records == {"a": NEW}
    assert fold(locked(OLD, behind), JournalFact(fact=Forget(A), base=base(OLD))).state.records == {"a": behind}


def test_a_change_of_a_settled_duplicate_replaces_both_lines() -> None:
    """What was noted when both lines were known stands for both."""
    changed = structs.replace(NEW, title="Changed", rev=9)

    folded = fold(locked(OLD, NEW), JournalFact(fact=changed, base=base(OLD, NEW)))

    assert folded.state.records == {"a": changed}


def noted_line(fact: Fact, text: str, *, took: str = "", more: bool = False) -> str:
    """A journal line of a fact without a base."""
    del fact
    return journal.journal_line(text, step="write", base=(), took=RequestId(took), more=more)


def test_journal_lines_are_lines_of_the_lock_with_more_keys() -> None:
    """The journal speaks the lock's format: the same parser reads the record in it."""
    line = journal.journal_line(line_of(NEW), step="write", base=base(OLD, NEW), took=NEW.request_id, more=True)

    assert parse_line(line) == NEW
    assert journal.parse(f"{line}\n{noted_line(OLD, line_of(OLD))}\n".encode(), NAME).facts == (
        JournalFact(fact=NEW, base=base(OLD, NEW), took=NEW.request_id),
        JournalFact(fact=OLD),
    )


def test_a_group_stands_or_falls_as_a_whole() -> None:
    """A kill between the lines of one fact, as of a rename, leaves none of them."""
    first = noted_line(OLD, line_of(OLD))
    second = noted_line(NEW, line_of(facts.record("b")), more=True)
    third = noted_line(NEW, line_of(Forget(A)))
    data = f"{first}\n{second}\n{third}\n".encode()

    cut = journal.parse(data[: -len(third) - 1], NAME)

    assert len(journal.parse(data, NAME).facts) == 3
    assert [noted.fact for noted in cut.facts] == [OLD]
    assert cut.good == len(first) + 1


def test_a_torn_last_line_never_happened() -> None:
    """Also in the middle of a character, and also where only its newline is missing."""
    whole = noted_line(OLD, line_of(OLD)).encode() + b"\n"
    torn = noted_line(NEW, line_of(structs.replace(NEW, title="ä"))).encode()

    for cut in (torn[:30], torn[: torn.index("ä".encode()) + 1], torn, b"\0\0\0"):
        assert [noted.fact for noted in journal.parse(whole + cut, NAME).facts] == [OLD]
        assert journal.parse(whole + cut, NAME).good == len(whole)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b"{}", "is neither a header nor a record nor an open entry", id="nothing"),
        pytest.param(b"\xff", "is not UTF-8", id="not-utf8"),
        pytest.param(b"\0\0", "is incomplete or invalid JSON", id="zeros"),
        pytest.param(
            b'{"forget":1}', "cannot be used: `forget` is not valid: expected `str`, got `int`", id="forget-number"
        ),
        pytest.param(b'{"drop":[]}', "cannot be used: `drop` is not valid", id="drop-list"),
        pytest.param(b'{"drop":"x","base":7}', "cannot be used: `base` is not valid", id="base-number"),
        pytest.param(b'{"checkpoint":{}}', "cannot be used: `checkpoint` is not valid", id="mark-map"),
    ],
)
def test_a_damaged_line_that_is_not_the_last_is_named(line: bytes, words: str) -> None:
    """Damage in the middle is no torn write: nothing is guessed, and the line is named."""
    data = b"\n".join((HEADER.encode(), line, noted_line(OLD, line_of(OLD)).encode(), b""))

    with pytest.raises(StateError) as caught:
        journal.parse(data, NAME)

    assert caught.value.message.startswith(f"line 2 of `{NAME}` {words}")
    assert "delete line 2" in caught.value.hint
    assert caught.value.code == "damaged-journal"


@pytest.mark.parametrize(
    "header",
    [Header(lineage=facts.LINEAGE, version=2), Header(lineage=facts.LINEAGE, digest=2)],
    ids=["format", "digest"],
)
def test_a_newer_journal_is_refused(header: Header) -> None:
    """An older contentops never guesses at what a newer one noted."""
    with pytest.raises(StateError, match="written by a newer version of contentops"):
        journal.parse(line_of(header).encode() + b"\n", NAME)


def test_an_older_digest_in_the_journal_is_recomputed() -> None:
    """A journal left by an older digest version follows the lock; entries keep the digest that was paid for."""
    old = structs.replace(OLD, digest=facts.text("old way"))
    lines = [HEADER, noted_line(old, line_of(old)), noted_line(old, line_of(facts.entry()))]

    read = journal.parse("".join(f"{line}\n" for line in lines).encode(), NAME, digest_version=2)

    assert [noted.fact for noted in read.facts] == [OLD, facts.entry()]


def test_a_last_line_without_its_end_counts_as_not_written() -> None:
    """Also where all of it is there: it was never made durable, and the next line begins in its place."""
    whole = f"{HEADER}\n{noted_line(OLD, line_of(OLD))}\n".encode()
    read = journal.parse(whole + noted_line(OLD, line_of(NEW)).encode(), NAME)
    assert ([noted.fact for noted in read.facts], read.good) == ([OLD], len(whole))


def test_marks_tell_what_the_lock_holds_already() -> None:
    """Facts before the mark of this very lock are in it; other marks say nothing."""
    lines = [
        HEADER,
        noted_line(OLD, line_of(OLD)),
        line_of(journal.Mark(facts.text("lock"))),
        noted_line(NEW, line_of(NEW)),
        line_of(journal.Mark(facts.text("never written"))),
    ]
    read = journal.parse("".join(f"{line}\n" for line in lines).encode(), NAME)

    assert [noted.fact for noted in read.since(facts.text("lock"))] == [NEW]
    assert read.since(facts.text("never written")) == ()
    assert read.since(facts.text("other")) == read.facts
    assert read.lineage == facts.LINEAGE


def test_the_digest_of_a_lock_survives_a_checkout() -> None:
    """Line ends and a byte order mark are no change of a lock."""
    assert journal.text_digest("\ufeffa\r\nb\r\n") == journal.text_digest("a\nb\n")


notes = st.lists(st.lists(facts.facts, min_size=1, max_size=3), max_size=8)
starts = st.lists(
    st.builds(facts.record, facts.names, facts.generations) | st.builds(facts.entry, facts.names, facts.generations),
    max_size=4,
)


def working_state(where: lock.Lock) -> WorkingState:
    """The state of a run on this lock."""
    return WorkingState(where, (), lineage=facts.LINEAGE, body_on_disk=journal.nothing_on_disk, announce=True)


def read(lines: list[str]) -> tuple[JournalFact, ...]:
    """The facts of these lines of a journal."""
    return journal.parse("".join(f"{line}\n" for line in lines).encode(), NAME).facts


@given(starts, st.lists(notes, min_size=2, max_size=3))
def test_the_working_state_is_what_the_files_fold_to(
    start: list[Record | OpenEntry], rounds: list[list[list[Fact]]]
) -> None:
    """After any notes, a reader of lock and journal sees exactly what the run sees, through several checkpoints."""
    where = locked(*start)
    working = working_state(where)
    for noted in rounds:
        for group in noted:
            working.note("step", group)
        assert journal.fold(where, read(working.waiting), lineage=facts.LINEAGE).state == working.state
        where = lock.read(working.lock_bytes().decode(), "contentops.lock")
        working.locked()
        working.waiting.clear()
        assert fold(where).state == working.state
        assert locked(*working.state.records.values(), *working.state.entries.values()) == where


@given(starts, starts, notes)
def test_nothing_paid_is_lost_when_the_lock_changes_under_a_run(
    start: list[Record | OpenEntry], theirs: list[Record | OpenEntry], noted: list[list[Fact]]
) -> None:
    """Whatever lock the next run finds: each request of this one is open there or carried, checkpointed or not."""
    working = working_state(locked(*start))
    open_requests = requests(working.state)
    for group in noted:
        working.note("step", group)
    open_requests = requests(working.state) - open_requests

    since_start = list(working.waiting)
    working.keep_open()
    since_checkpoint = working.waiting[len(since_start) :]

    for lines in (working.waiting, since_checkpoint):
        assert open_requests <= requests(journal.fold(locked(*theirs), read(lines), lineage=facts.LINEAGE).state)
    same = journal.fold(locked(*start), read(working.waiting), lineage=facts.LINEAGE)
    assert same.state == working.state


def requests(state: State) -> set[RequestId]:
    """Every request that is open or carried."""
    return {record.request_id for record in state.records.values()} | set(state.entries)
