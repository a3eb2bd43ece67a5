"""Paid texts in a ledger: a text belongs to its request, whichever checkout paid for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.errors import StateError
from contentops.ledger.rows import read_json
from contentops.state.cache import StoredText

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.ledger.session import LedgerSession

KEEP = """
INSERT INTO contentops.text (lineage, server, request_id, digest, body, value)
SELECT %(lineage)s, r.* FROM jsonb_to_recordset(%(rows)s::jsonb)
  AS r(server text, request_id text, digest text, body text, value text)
ON CONFLICT (lineage, server, request_id) DO UPDATE SET body = excluded.body, value = excluded.value"""
_TEXT = """
SELECT value FROM contentops.text WHERE lineage = %(lineage)s AND server = %(server)s AND digest = %(digest)s
  AND request_id = %(id)s"""
_BODY = "SELECT value FROM contentops.text WHERE lineage = %s AND body = %s LIMIT 1"


class TextRow(Struct, frozen=True, kw_only=True):
    """A row of a paid text, without its project."""

    server: str
    request_id: str
    digest: str
    body: str
    value: str

    @staticmethod
    def of(server: str, digest: Digest, text: StoredText) -> TextRow:
        """Return the row of a text that was paid for at a server, for a request."""
        value = msgspec.json.encode(text).decode()
        return TextRow(
            server=server, request_id=text.request_id, digest=digest, body=body_digest(text.body), value=value
        )


def read_text(session: LedgerSession, lineage: str, server: str, digest: Digest, request_id: str) -> StoredText | None:
    """Return the paid text of a submit; None where no row can be used."""
    values = {"lineage": lineage, "server": server, "digest": digest, "id": request_id}
    return _cleaned(_value(session, _TEXT, values))


def read_body(session: LedgerSession, lineage: str, digest: Digest) -> str | None:
    """Return the body of a paid text by its digest; None where the row has another body."""
    text = _cleaned(_value(session, _BODY, (lineage, digest)))
    return text.body if text is not None and body_digest(text.body) == digest else None


def _value(session: LedgerSession, statement: str, values: dict[str, str] | tuple[str, ...]) -> str | None:
    try:
        rows = session.run(statement, values)
    except StateError as error:
        if error.code == "ledger-empty":
            return None
        raise
    return str(rows[0][0]) if rows else None


def _cleaned(value: str | None) -> StoredText | None:
    text = read_json(value, StoredText) if value is not None else None
    return None if text is None else structs.replace(text, title=clean_title(text.title), body=clean_body(text.body))
