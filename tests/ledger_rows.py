"""Rows of a ledger for tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contentops.digest import Digest
from contentops.ledger.entries import EntryOwner, EntryWriter
from contentops.ledger.live_runners import live_runners
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ItemId, JobState, OpenEntry, RequestId
from contentops.state.paid_texts import StoredText

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.state.codec import Fact

OWNER = EntryOwner(lineage="L", environment="", account="acme")
SERVER = "https://api.example.com/v1"


def entry(item: str, state: JobState, *, credits_: int = 4) -> OpenEntry:
    """An open entry."""
    return OpenEntry(
        request_id=RequestId(f"request-{item}"),
        item=ItemId(item),
        digest=Digest(f"sha256:{item}"),
        attempt=1,
        state=state,
        server=SERVER,
        dialect="v1",
        credits=credits_,
    )


def text(item: str) -> StoredText:
    """The paid text of an entry."""
    return StoredText(item=ItemId(item), request_id=RequestId(f"request-{item}"), title=item, body=f"About {item}.\n")


def write(writer: EntryWriter, *facts: Fact) -> None:
    """Makes facts of the owner durable."""
    writer.note(OWNER, facts)
    writer.flush()


def fill(session: LedgerSession, entries: Iterable[OpenEntry], owner: EntryOwner = OWNER) -> None:
    """Writes entries, and a text for each that is paid, as a run does that has ended since."""
    with LedgerSession(session.url) as other:
        runner = Runner(other, who="someone@here")
        writer = EntryWriter(runner)
        known = list(entries)
        writer.note(owner, known)
        for one in known:
            if one.state is JobState.PAID:
                writer.keep_text(owner, one.server, one.digest, text(one.item))
        writer.flush()
    alone(session)


def alone(session: LedgerSession) -> None:
    """Waits until PostgreSQL has seen that no one works any more."""
    until = time.monotonic() + 30
    while live_runners(session):
        assert time.monotonic() < until
        time.sleep(0.01)
