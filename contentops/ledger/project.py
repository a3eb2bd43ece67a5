"""The ledger as one command of a project sees it: entries, texts, what was learned, the limiter of the account."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from contentops.documents.clean import body_digest
from contentops.errors import NotShared
from contentops.ledger.account import (
    account_of,
    limit_of,
    limiter_of,
    proven_endpoints,
    read_fact,
    sign_in,
    write_fact,
)
from contentops.ledger.applying import spending
from contentops.ledger.entries import EntryOwner, EntryWriter, Unclaimed, claim, release
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.reading import is_closed, read_recent, read_rows, read_text, read_texts

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from contentops.digest import Digest
    from contentops.ledger.account import Account
    from contentops.ledger.reading import TextSummary
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession
    from contentops.model import ApiSettings, Json, LockedLine, OpenEntry, PendingSubmit, RequestId
    from contentops.state.codec import Fact
    from contentops.state.paid_texts import StoredText


class ReadLedger:
    """The ledger of a project's environment for a command that only reads."""

    def __init__(
        self, session: LedgerSession, owner: EntryOwner, known: Iterable[OpenEntry] = (), *, but: int = 0
    ) -> None:
        """`known`: what is open in this checkout; `but`: the number of one's own runner. Raises StateError."""
        entries = {entry.request_id: entry for entry in known}
        self._session, self._owner = session, owner
        self._rows = read_rows(session, owner, entries, but=but)
        self._texts: dict[tuple[str, Digest], TextSummary | None] = {}
        """By server and digest of each request that was looked up."""
        self._requests: dict[Digest, tuple[str, Digest]] = {}
        """Server and digest of the request, by the digest of its text."""
        self.pending: Mapping[RequestId, PendingSubmit] = self._rows.pending
        """What others work on."""
        self.closed: tuple[RequestId, ...] = tuple(
            id_ for id_, entry in entries.items() if is_closed(entry, self._rows)
        )
        """Of what is open here, what another checkout dropped."""

    def sign_in(self, api: ApiSettings, key: str) -> SharedLimiter:
        """Use the account of a key from now on; return its limiter."""
        account = account_of(api, key)
        limit = self._enter(account)
        self._owner = msgspec.structs.replace(self._owner, account=account.id)
        return SharedLimiter(self._session, limiter_of(self._session, account), limit)

    def _enter(self, account: Account) -> int:
        """Return the requests a minute of the account, without storing it."""
        return limit_of(self._session, account)

    def proven_endpoints(self) -> frozenset[tuple[str, str]]:
        """Return the servers and dialects in which a text of the account was paid for."""
        return proven_endpoints(self._session, self._owner.account)

    def open_entries(self) -> tuple[OpenEntry, ...]:
        """Return the submits of every checkout that have no record in git yet."""
        return self._rows.entries

    def submits_since(self, start: dt.datetime) -> tuple[LockedLine, ...]:
        """Return the submits of all environments of the project that are open, or were paid for since a moment."""
        return read_recent(self._session, self._owner.lineage, start)

    def spending(self) -> AbstractContextManager[None]:
        """Return a block in which no other command of the project spends. Entering it raises LockHeld."""
        return spending(self._session, self._owner.lineage)

    def look_for_texts(self, server: str, digests: Iterable[Digest]) -> None:
        """Load, in one statement, which of these requests have a text."""
        wanted = [digest for digest in dict.fromkeys(digests) if (server, digest) not in self._texts]
        texts = read_texts(self._session, self._owner.lineage, server, wanted)
        self._texts |= {(server, digest): texts.get(digest) for digest in wanted}
        self._requests |= {about.body: (server, digest) for digest, about in texts.items()}

    def summary(self, server: str, digest: Digest) -> TextSummary | None:
        """Return the title and the digest of the last paid text for a request, whoever paid for it."""
        self.look_for_texts(server, (digest,))
        return self._texts[server, digest]

    def text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """Return the last paid text for a request, or that of one submit."""
        if not request_id and self.summary(server, digest) is None:
            return None
        return read_text(self._session, self._owner.lineage, server, digest, request_id)

    def body(self, digest: Digest) -> str | None:
        """Return the body with this digest, if its text was looked up before; None where the row has another body."""
        request = self._requests.get(digest)
        text = self.text(*request) if request is not None else None
        return text.body if text is not None and body_digest(text.body) == digest else None

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Does nothing, as a reader pays for nothing."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Does nothing, as a reader stores nothing."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """Return a fact about the account's server that a process stored; empty if there is none."""
        return read_fact(self._session, self._owner.account, name)


class ProjectLedger(ReadLedger):
    """The ledger of a command that works on a project's environment, as one runner."""

    def __init__(
        self, runner: Runner, owner: EntryOwner, known: Iterable[OpenEntry] = (), *, has_shard: bool = False
    ) -> None:
        """`has_shard`: other processes may work on the items of other shards."""
        super().__init__(runner.session, owner, known, but=runner.number)
        self.has_shard = has_shard
        self._runner, self._writer = runner, EntryWriter(runner)

    def _enter(self, account: Account) -> int:
        sign_in(self._session, account)
        return account.per_minute

    def claim(self, entries: Iterable[OpenEntry], submits: Collection[RequestId]) -> Unclaimed:
        """Claim what this run works on; return what it could not claim."""
        known = tuple(entries)
        claimed = claim(self._runner, self._owner, known, submits)
        self._writer.own((*(entry.request_id for entry in known), *submits))
        return claimed

    def move_texts(self, old: str, new: str) -> None:
        """Store the paid texts under the new address of their server."""
        values = {"lineage": self._owner.lineage, "old": old, "new": new}
        self._session.run(
            "UPDATE contentops.text SET server = %(new)s WHERE lineage = %(lineage)s AND server = %(old)s", values
        )

    def close(self) -> None:
        """Release the entries that are still open."""
        release(self._runner)

    # --- for the state of a checkout, and for its cache ----------------------------------------------------

    def note(self, facts: Sequence[Fact]) -> None:
        """Collect facts for the next flush."""
        self._writer.note(self._owner, facts)

    def flush(self) -> None:
        """Make the collected facts durable for every checkout. Raises WorkTaken, LedgerAway, StateError."""
        self._writer.flush()

    def fence(self) -> Callable[[], bool]:
        """Return a check to call directly before bytes are sent: whether they may still be sent."""
        return self._writer.fence()

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a paid text for every checkout, with the next flush."""
        self._writer.keep_text(self._owner, server, digest, text)

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Store a fact for all processes; it is dropped while the ledger is away, as it can be learned again."""
        if self._owner.account:
            with contextlib.suppress(NotShared):
                write_fact(self._session, self._owner.account, name, value)
