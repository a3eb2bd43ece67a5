"""Protocols of what several checkouts share through a ledger: jobs and paid texts.

Records are not shared: they say which body is in one checkout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Json, OpenEntry
    from contentops.state.cache import StoredText


class SharedJobs(Protocol):
    """The shared jobs, which every checkout writes."""

    def note(self, jobs: Sequence[OpenEntry]) -> None:
        """Collect jobs that changed."""

    def flush(self) -> None:
        """Make the collected jobs durable for every checkout. Raises StateError."""


class SharedTexts(Protocol):
    """The shared paid texts, and facts about a server."""

    def text(self, server: str, digest: Digest, request_id: str) -> StoredText | None:
        """The paid text of a submit, by its request digest and id; None: there is none."""

    def body(self, digest: Digest) -> str | None:
        """The text with a body digest, if `text` was asked for its request before."""

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a text for every checkout, durable no later than the entry that names it."""

    def fact(self, name: str) -> Mapping[str, Json]:
        """The shared fact of a name; empty at first."""

    def put_fact(self, name: str, value: Mapping[str, Json]) -> None:
        """Share a fact under a name."""
