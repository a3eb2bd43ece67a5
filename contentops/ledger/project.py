"""The ledger as one command of a project sees it: entries, texts, what was learned, the limiter of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contentops.ledger import schema
from contentops.ledger.account import account_of, history_of, read_fact, sign_in, write_fact
from contentops.ledger.entries import (
    EntryOwner,
    EntryWriter,
    claim,
    known_texts,
    read_held,
    read_open,
    read_text,
    release,
)
from contentops.ledger.limiter import SharedLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.execution.first_contact import AccountHistory
    from contentops.ledger.entries import HeldEntry
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession
    from contentops.model import ApiSettings, Json, OpenEntry, RequestId
    from contentops.state.cache import StoredText
    from contentops.state.codec import Fact


class ReadLedger:
    """What can be seen of a project's environment without working on it."""

    def __init__(self, session: LedgerSession, owner: EntryOwner) -> None:
        """Raises StateError for tables of another version."""
        schema.prepare(session)
        self._session, self._owner = session, owner
        self._limiting: LedgerSession | None = None
        self._known: dict[str, frozenset[str]] = {}
        """The requests that texts are there for, by server: most have none, and need not be asked for."""

    def sign_in(self, api: ApiSettings, key: str) -> SharedLimiter:
        """Work for the account of a key; its limiter."""
        account = account_of(api, key)
        sign_in(self._session, account)
        self._owner = msgspec.structs.replace(self._owner, account=account.id)
        self._limiting = self._session.another(durable=False)
        return SharedLimiter(self._limiting, account.id, api.requests_per_minute)

    def history(self) -> AccountHistory:
        """What is known of the submits of the account that was signed in for."""
        return history_of(self._session, self._owner.account)

    def close(self) -> None:
        """Let go of what was opened here."""
        if self._limiting is not None:
            self._limiting.close()

    def open_entries(self) -> tuple[OpenEntry, ...]:
        """What was submitted and no record in git carries yet, whoever did it."""
        return read_open(self._session, self._owner)

    def held(self) -> Mapping[RequestId, HeldEntry]:
        """What live runners work on."""
        return read_held(self._session, self._owner)

    def text(self, server: str, digest: Digest) -> StoredText | None:
        """The last paid text for a request, whoever paid for it."""
        if server not in self._known:
            self._known[server] = known_texts(self._session, self._owner.lineage, server)
        return read_text(self._session, self._owner.lineage, server, digest) if digest in self._known[server] else None

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Keeps nothing: whoever only looks pays for nothing."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Tells nothing either."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """What all have learned of something about the account's server; empty at first."""
        return read_fact(self._session, self._owner.account, name)


class ProjectLedger(ReadLedger):
    """The ledger of a command that works on a project's environment, as one runner."""

    def __init__(self, runner: Runner, owner: EntryOwner) -> None:
        super().__init__(runner.session, owner)
        self._runner, self._writer = runner, EntryWriter(runner)

    def held(self) -> Mapping[RequestId, HeldEntry]:
        """What other live runners work on."""
        return read_held(self._session, self._owner, but=self._runner.number)

    def claim(self, entries: Iterable[OpenEntry], submits: Mapping[RequestId, str]) -> tuple[str, ...]:
        """Take over what this run works on; returns the items that others have, or have brought further."""
        return claim(self._runner, self._owner, entries, submits)

    def close(self) -> None:
        """Let others work on what is still open."""
        super().close()
        release(self._runner)

    # --- for the state of a checkout, and for its cache ----------------------------------------------------

    def note(self, facts: Sequence[Fact]) -> None:
        """Take in facts of the state."""
        self._writer.note(self._owner, facts)

    def flush(self) -> None:
        """Make them durable for everybody. Raises WorkTaken, LedgerAway, StateError."""
        self._writer.flush()

    def fence(self) -> Callable[[], bool]:
        """What tells directly before bytes leave whether they still may."""
        return self._writer.fence()

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Keep a paid text for everybody, with the next flush."""
        self._writer.keep_text(self._owner, server, digest, text)

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Tell it to all."""
        if self._owner.account:
            write_fact(self._session, self._owner.account, name, value)
