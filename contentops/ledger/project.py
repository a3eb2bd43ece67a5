"""The ledger as one command of a project sees it: jobs, texts, what was learned, the limiter of the account."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

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
from contentops.ledger.jobs import fill, key_of, read, stage_of
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.texts import read_body, read_text
from contentops.ledger.writer import JobWriter, release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from contentops.digest import Digest
    from contentops.ledger.account import Account
    from contentops.ledger.jobs import JobKey, JobStage, LedgerScope
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession
    from contentops.model import ApiSettings, Json, OpenEntry, PendingSubmit, RequestId
    from contentops.state.cache import StoredText


class ReadLedger:
    """The ledger of a project's environment for a command that only reads."""

    def __init__(
        self, session: LedgerSession, scope: LedgerScope, known: Iterable[OpenEntry] = (), *, runner: int = 0
    ) -> None:
        """`known`: the jobs of all environments in this checkout; `runner`: one's own number. Raises StateError."""
        self._session, self._scope, self._number = session, scope, runner
        self._account = ""
        self._known: dict[JobKey, JobStage] = {key_of(job): stage_of(job) for job in known}
        found = read(session, scope, self._known, but=runner)
        self._rows = found.stages
        self.lacking: Sequence[OpenEntry] = found.jobs.pop(scope.environment, [])
        """The jobs of this environment that this checkout lacks, or of which it knows an earlier state."""
        self.elsewhere: Sequence[OpenEntry] = [job for jobs in found.jobs.values() for job in jobs]
        """Those of other environments."""
        self.pending: Mapping[RequestId, PendingSubmit] = found.pending
        """What others work on."""

    def sign_in(self, api: ApiSettings, key: str) -> SharedLimiter:
        """Use the account of a key from now on; return its limiter."""
        account = account_of(api, key)
        limit = self._enter(account)
        self._account = account.id
        return SharedLimiter(self._session, limiter_of(self._session, account), limit)

    def _enter(self, account: Account) -> int:
        """Return the requests a minute of the account, without storing it."""
        return limit_of(self._session, account)

    def proven_endpoints(self) -> frozenset[tuple[str, str]]:
        """Return the servers and dialects in which a text of the account was paid for."""
        return proven_endpoints(self._session, self._account)

    def jobs(self) -> list[OpenEntry]:
        """Return the jobs of all environments that the checkout lacked when it was opened, as they are now."""
        found = read(self._session, self._scope, self._known, but=self._number)
        return [job for jobs in found.jobs.values() for job in jobs]

    def spending(self) -> AbstractContextManager[None]:
        """Return a block in which no other command of the project spends. Entering it raises LockHeld."""
        return spending(self._session, self._scope.lineage)

    def text(self, server: str, digest: Digest, request_id: str) -> StoredText | None:
        """Return the paid text of a submit, by its request digest and id."""
        return read_text(self._session, self._scope.lineage, server, digest, request_id)

    def body(self, digest: Digest) -> str | None:
        """Return the body of a paid text by its digest."""
        return read_body(self._session, self._scope.lineage, digest)

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Does nothing, as a reader pays for nothing."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Does nothing, as a reader stores nothing."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """Return a fact about the account's server that a process stored; empty if there is none."""
        return read_fact(self._session, self._account, name)


class ProjectLedger(ReadLedger):
    """The ledger of a command that works on a project's environment, as one runner."""

    def __init__(self, runner: Runner, scope: LedgerScope, known: Iterable[OpenEntry] = ()) -> None:
        super().__init__(runner.session, scope, known, runner=runner.number)
        self._runner = runner
        self._seen = self._known | {key_of(job): stage_of(job) for job in (*self.lacking, *self.elsewhere)}
        self._writer = JobWriter(runner, scope, self._seen)

    def _enter(self, account: Account) -> int:
        sign_in(self._session, account)
        return account.per_minute

    def fill(self, known: Mapping[str, Sequence[OpenEntry]]) -> None:
        """Store what the checkout knows by environment and the ledger lacks. Raises StateError."""
        fill(self._session, self._scope, self._rows, known)

    def claim(self, requests: Iterable[tuple[str, RequestId]]) -> frozenset[RequestId]:
        """Claim what this run works on; return what it could not claim."""
        return self._writer.claim(requests)

    def move_texts(self, old: str, new: str) -> None:
        """Store the paid texts under the new address of their server."""
        values = {"lineage": self._scope.lineage, "old": old, "new": new}
        self._session.run(
            "UPDATE contentops.text SET server = %(new)s WHERE lineage = %(lineage)s AND server = %(old)s", values
        )

    def close(self) -> None:
        """Release what this run has claimed."""
        release(self._runner)

    # --- for the state of a checkout, and for its cache ----------------------------------------------------

    def note(self, jobs: Sequence[OpenEntry]) -> None:
        """Collect jobs for the next flush."""
        self._writer.note(jobs, self._account)

    def flush(self) -> None:
        """Make the collected jobs durable for every checkout. Raises WorkTaken, LedgerAway, StateError."""
        self._writer.flush()

    def fence(self) -> Callable[[], bool]:
        """Return a check to call directly before bytes are sent: whether they may still be sent."""
        return self._writer.fence()

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a paid text for every checkout, with the next flush."""
        self._writer.keep_text(server, digest, text)

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Store a fact for all processes; it is dropped while the ledger is away, as it can be learned again."""
        if self._account:
            with contextlib.suppress(NotShared):
                write_fact(self._session, self._account, name, value)
