"""Paid texts, and the rows in which the cache keeps where each came from."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from contentops.digest import NOTHING, Digest, canonical
from contentops.documents.clean import body_digest
from contentops.json_reader import decode_json
from contentops.tokens import PaidTokens


class StoredText(Struct, frozen=True, kw_only=True):
    """A paid text, and where it came from."""

    title: str
    body: str
    content_id: str = ""
    job_id: str = ""
    request_id: str = ""
    item: str = ""
    credits: int = 0
    tokens: PaidTokens | None = None
    generated_at: str = ""
    front: dict[str, Any] = field(default_factory=dict)
    """The front matter of the generated text, without its title."""
    given_up: bool = False
    """Whether a person gave it up: no plan uses it again."""
    outline: bool = False
    """The bundled server says that it is a draft outline."""
    model: str = ""
    """The model that made it, by the server's name; empty: not known."""


class PaidRow(StoredText, frozen=True, kw_only=True):
    """The row of a paid text: without its body, except in a row from before bodies had rows."""

    body: str = ""
    kept: Digest = NOTHING


class KeptText(Struct, frozen=True, kw_only=True):
    """A paid text in the cache, without its body: its request and body digest."""

    row: str
    """The key of its row."""
    server: str
    digest: Digest
    """Of the request."""
    body: Digest
    about: StoredText
    """Where it came from; `body` is empty."""

    @property
    def last(self) -> bool:
        """Whether it is the last text of its request: the one that is used if a manifest declares that again."""
        return self.row.startswith("text ")


def read_row(value: str | None) -> PaidRow | None:
    """The value in a row; None for one that is absent or cannot be used."""
    try:
        row = None if value is None else decode_json(value, PaidRow)
    except (msgspec.MsgspecError, ValueError):
        return None
    return row if row is not None and (row.kept or row.body) else None


def row_of(text: StoredText, body: Digest) -> str:
    """The row of a text whose body is kept under this digest."""
    fields = {name: getattr(text, name) for name in StoredText.__struct_fields__}
    fields["tokens"] = None if text.tokens is None else msgspec.to_builtins(text.tokens)
    return canonical({**fields, "body": "", "kept": body})


def text_of(row: PaidRow, body: str) -> StoredText:
    """The text of a row, with its body."""
    fields = {name: getattr(row, name) for name in StoredText.__struct_fields__}
    return StoredText(**{**fields, "body": body})


def body_of(row: PaidRow) -> Digest:
    """The body digest of the text that a row describes."""
    return row.kept or body_digest(row.body)
