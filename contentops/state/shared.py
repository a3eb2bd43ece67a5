"""What several checkouts share of a state and a cache, as far as these two need it; a ledger offers it.

What is paid for belongs to everyone. Records do not: they say which body lies in one checkout.
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
    """What other checkouts did to open entries."""

    def open_entries(self) -> Iterable[OpenEntry]:
        """What was submitted, and no record in git carries yet."""

    @property
    def closed(self) -> Collection[RequestId]:
        """Of what is open in this checkout, what was let go of elsewhere."""


class SharedEntries(OpenElsewhere, Protocol):
    """What several checkouts share of a state: open entries, by whomever. Records are each checkout's own."""

    def note(self, facts: Sequence[Fact]) -> None:
        """Take in what a step brought about."""

    def flush(self) -> None:
        """Make it durable for everyone. Raises StateError where that cannot be."""


class SharedTexts(Protocol):
    """Paid texts, by whomever, and what was learned about an account's server."""

    def text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """The last paid text for a request; that of one submit, if it is named."""

    def body(self, digest: Digest) -> str | None:
        """The words of such a text by their digest, where its request was looked for."""

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Keep one for everyone, at the latest when what names it is durable."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """What all have learned of something; empty at first."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Tell it to all."""


class RunCache(Protocol):
    """What items keep and look for beside the state of a run: the cache of a checkout, or rows of a ledger alone."""

    def get_text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """The last paid text for a request, or None; only that of one submit, if it is named."""

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Keep a paid text; at the latest when what names it is durable. Raises StateError if it cannot be kept."""

    def body(self, digest: Digest) -> str | None:
        """The text with a body digest that is kept, or None."""

    def keep_body(self, digest: Digest, body: str) -> None:
        """Keep a text by its body digest."""

    def durations(self) -> Mapping[str, Json]:
        """What was learned about how long jobs take; empty at first."""

    def server_facts(self, server: str) -> Mapping[str, Json]:
        """What was learned about a server's habits; empty at first."""

    def put_server_facts(self, server: str, facts: Mapping[str, Json]) -> None:
        """Remember it."""

    def seen(self, server: str) -> Mapping[str, Json]:
        """What was seen of contents, by their ids; empty at first. Not shared, as their texts are not."""

    def put_seen(self, server: str, seen: Mapping[str, Json]) -> None:
        """Remember it, in place of what was."""

    def put_looked(self, server: str, looked: Mapping[str, tuple[str, str | None]]) -> None:
        """Remember, by content, its time of change when it was looked at, and the request whose text it was."""
