"""The state of a worker: rows of a ledger alone, without a checkout, a lock, a disk cache or outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.ledger.account import read_fact, write_fact
from contentops.ledger.entries import EntryWriter
from contentops.model import OpenEntry, RequestId
from contentops.state.codec import Drop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from contentops.digest import Digest
    from contentops.ledger.queue import ClaimedSubmit
    from contentops.ledger.runner import Runner
    from contentops.model import ItemId, Json, Record
    from contentops.state.codec import Fact
    from contentops.state.paid_texts import StoredText


class WorkState:
    """The `RunState` and the `RunCache` of a worker for one account: it remembers only what it works on."""

    def __init__(self, runner: Runner, account: str) -> None:
        self._session, self._account = runner.session, account
        self._writer = EntryWriter(runner)
        self._claimed: dict[RequestId, ClaimedSubmit] = {}
        self._entries: dict[RequestId, OpenEntry] = {}

    @property
    def claimed(self) -> Collection[RequestId]:
        """Return the submits that this worker has claimed and not released."""
        return self._writer.ours

    def begin(self, claimed: ClaimedSubmit) -> None:
        """Remember a claimed submit, to work on it."""
        self._claimed[claimed.request_id] = claimed
        self._writer.own((claimed.request_id,))
        if claimed.entry is not None:
            self._entries[claimed.request_id] = claimed.entry

    def leave(self, request_id: RequestId, error: str = "") -> None:
        """Release a submit with the next flush; `error` says why no worker can submit it, or is empty."""
        self._writer.leave(request_id, error)
        self.forget(request_id)

    def forget(self, request_id: RequestId) -> None:
        """Forget a submit."""
        self._claimed.pop(request_id, None)
        self._entries.pop(request_id, None)

    def fence(self) -> Callable[[], bool]:
        """Return a check to call directly before bytes are sent: whether they may still be sent."""
        return self._writer.fence()

    # --- for the run ---------------------------------------------------------------------------------------

    def note(self, _step: str, *facts: Fact) -> None:
        """Collect the facts about claimed submits for the next flush; records belong to checkouts."""
        for fact in facts:
            match fact:
                case OpenEntry(request_id=request_id):
                    self._writer.note(self._claimed[request_id].owner, (fact,))
                    self._entries[request_id] = fact
                case Drop(request_id) if request_id in self._entries:
                    claimed, entry = self._claimed[request_id], self._entries.pop(request_id)
                    if claimed.work is None:
                        self._writer.note(claimed.owner, (fact,))
                    else:
                        self._writer.requeue(claimed.owner, entry)
                case _:
                    pass

    def flush(self) -> None:
        """Make everything noted durable. Raises WorkTaken, LedgerAway, StateError."""
        self._writer.flush()

    def record(self, item: ItemId) -> Record | None:
        """Return None, as records are in git."""
        return None

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """Return the present open entry of a submit that this worker works on."""
        return self._entries.get(request_id)

    # --- for the items, instead of a cache -------------------------------------------------------------------

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a paid text for every checkout, with the next flush."""
        self._writer.keep_text(self._claimed[RequestId(text.request_id)].owner, server, digest, text)

    def get_text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """Return None, as a request that has a text is not submitted."""
        return None

    def body(self, digest: Digest) -> str | None:
        """Return None, as workers merge no files."""
        return None

    def keep_body(self, digest: Digest, body: str) -> None:
        """Does nothing, as workers merge no files."""

    def seen(self, server: str) -> Mapping[str, Json]:
        """Return nothing, as workers save no texts."""
        return {}

    def put_seen(self, server: str, seen: Mapping[str, Json]) -> None:
        """Does nothing, as workers save no texts."""

    def put_looked(self, server: str, looked: Mapping[str, tuple[str, str | None]]) -> None:
        """Does nothing: the next worker looks again."""

    def durations(self) -> Mapping[str, Json]:
        """Return how long jobs take, as some process stored it."""
        return read_fact(self._session, self._account, "durations")

    def put_durations(self, learned: Mapping[str, Json]) -> None:
        """Store how long jobs take, for all processes."""
        write_fact(self._session, self._account, "durations", learned)

    def server_facts(self, server: str) -> Mapping[str, Json]:
        """Return the facts that some process stored about a server."""
        return read_fact(self._session, self._account, f"facts {server}")

    def put_server_facts(self, server: str, facts: Mapping[str, Json]) -> None:
        """Store facts about a server, for all processes."""
        write_fact(self._session, self._account, f"facts {server}", facts)
