"""Texts that were paid for, and the rows in which the cache keeps where each came from."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from contentops.digest import NOTHING, Digest, canonical
from contentops.documents.clean import body_digest


class StoredText(Struct, frozen=True, kw_only=True):
    """A finished text that was paid for, and where it came from."""

    title: str
    body: str
    content_id: str = ""
    job_id: str = ""
    request_id: str = ""
    item: str = ""
    credits: int = 0
    generated_at: str = ""
    front: dict[str, Any] = field(default_factory=dict)
    """What the text's own front matter said besides its title."""
    given_up: bool = False
    """Whether a person gave it up: no plan brings it by itself any more."""
    outline: bool = False
    """The bundled server says that it is a draft outline."""


class PaidRow(StoredText, frozen=True, kw_only=True):
    """A paid text as its row has it: without the text, but for one that was kept before texts had rows of their own."""

    body: str = ""
    kept: Digest = NOTHING


class KeptText(Struct, frozen=True, kw_only=True):
    """A paid text that is kept here: which request it answers, and its body digest, but not its words."""

    row: str
    """The name of its row."""
    server: str
    digest: Digest
    """Of the request."""
    body: Digest
    about: StoredText
    """Where it came from; `body` is empty."""

    @property
    def last(self) -> bool:
        """Whether it is the last one of its request, which a manifest that is put back brings."""
        return self.row.startswith("text ")


def read_row(value: str | None) -> PaidRow | None:
    """What a row says; None for one that is not there or cannot be used."""
    try:
        row = None if value is None else msgspec.json.decode(value, type=PaidRow)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return row if row is not None and (row.kept or row.body) else None


def row_of(text: StoredText, body: Digest) -> str:
    """The row of a text whose words are kept under this digest."""
    fields = {name: getattr(text, name) for name in StoredText.__struct_fields__}
    return canonical({**fields, "body": "", "kept": body})


def without_row(row: PaidRow, body: str) -> StoredText:
    """The text of a row, with its words."""
    fields = {name: getattr(row, name) for name in StoredText.__struct_fields__}
    return StoredText(**{**fields, "body": body})


def body_of(row: PaidRow) -> Digest:
    """The digest of the words that a row is about."""
    return row.kept or body_digest(row.body)
