"""Rows of a ledger for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import Digest
from contentops.ledger.entries import EntryOwner, EntryWriter
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ItemId, JobState, OpenEntry, RequestId
from contentops.state.cache import StoredText

if TYPE_CHECKING:
    from collections.abc import Iterable

OWNER = EntryOwner(lineage="L", environment="", project="blog", account="acme")
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


def fill(session: LedgerSession, entries: Iterable[OpenEntry], owner: EntryOwner = OWNER) -> None:
    """Writes entries, and a text for each that is paid, as a run does that has ended since."""
    with session.another(durable=True) as other:
        runner = Runner(other, kind="apply", who="someone@here")
        writer = EntryWriter(runner)
        known = list(entries)
        writer.note(owner, known)
        for one in known:
            if one.state is JobState.PAID:
                writer.keep_text(owner, one.server, one.digest, text(one.item))
        writer.flush()


def age(session: LedgerSession, days: int, *, where: str = "true") -> None:
    """Makes everything older; `where`: of the entries, those."""
    shift = f"interval '{days} days'"
    session.run(
        f"UPDATE contentops.entry SET made_at = made_at - {shift}, changed_at = changed_at - {shift} WHERE {where}"
    )
    session.run(f"UPDATE contentops.text SET made_at = made_at - {shift}")
    session.run(f"UPDATE contentops.runner SET started_at = started_at - {shift}")
    session.run(f"UPDATE contentops.account SET seen_at = seen_at - {shift}")
