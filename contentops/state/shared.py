"""Protocols of what several checkouts share through a ledger: open entries and paid texts.

Records are not shared: they say which body is in one checkout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Json, OpenEntry, RequestId
    from contentops.state.codec import Fact
    from contentops.state.paid_texts import StoredText


class OpenElsewhere(Protocol):
    """The open entries as other checkouts left them."""

    def open_entries(self) -> Iterable[OpenEntry]:
        """The submits that no record in git carries yet."""

    @property
    def closed(self) -> Collection[RequestId]:
        """The entries that are open in this checkout and that another one closed."""


class SharedEntries(OpenElsewhere, Protocol):
    """The shared open entries, which every checkout writes."""

    def note(self, facts: Sequence[Fact]) -> None:
        """Record the facts of a step."""

    def flush(self) -> None:
        """Make the recorded facts durable for every checkout. Raises StateError."""


class SharedTexts(Protocol):
    """The shared paid texts, and facts about a server."""

    def text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """The last paid text for a request, or that of one submit if `request_id` names it; None: there is none."""

    def body(self, digest: Digest) -> str | None:
        """The text with a body digest, if `text` was asked for its request before."""

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a text for every checkout, durable no later than the entry that names it."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """The shared fact of a name; empty at first."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Share a fact under a name."""


class RunCache(Protocol):
    """The part of `Cache` that a run uses: the cache of a checkout, or rows of a ledger alone."""

    def get_text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """As `Cache.get_text`."""

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a paid text, durable no later than the entry that names it. Raises StateError."""

    def body(self, digest: Digest) -> str | None:
        """As `Cache.body`."""

    def keep_body(self, digest: Digest, body: str) -> None:
        """As `Cache.keep_body`."""

    def durations(self) -> Mapping[str, Json]:
        """As `Cache.durations`."""

    def server_facts(self, server: str) -> Mapping[str, Json]:
        """As `Cache.server_facts`."""

    def put_server_facts(self, server: str, facts: Mapping[str, Json]) -> None:
        """As `Cache.put_server_facts`."""

    def seen(self, server: str) -> Mapping[str, Json]:
        """As `Cache.seen`."""

    def put_seen(self, server: str, seen: Mapping[str, Json]) -> None:
        """As `Cache.put_seen`."""

    def put_looked(self, server: str, looked: Mapping[str, tuple[str, str | None]]) -> None:
        """As `Cache.put_looked`."""
