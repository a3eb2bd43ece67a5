"""Reads what `ledger status` and `doctor` show of a ledger, without changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ledger import schema
from contentops.ledger.live_runners import live_runners

if TYPE_CHECKING:
    from contentops.ledger.live_runners import RunnerRow
    from contentops.ledger.session import LedgerSession

_SERVER = """
SELECT current_setting('server_version'), pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
"""
_COUNTS = """
SELECT (SELECT count(*) FROM contentops.job WHERE state IN ('submitting', 'unknown', 'running')),
  (SELECT count(*) FROM contentops.text),
  (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = 'contentops'::regnamespace AND c.relkind = 'r')"""


class Overview(Struct, frozen=True, kw_only=True):
    """A ledger, and who works with it. Times are UTC."""

    postgresql: str
    """The version of the server."""
    read_only: bool
    """Nothing can be recorded: it is a standby, or does not let the role write."""
    version: int
    """The version of the tables; 0: there are none."""
    entries: int = 0
    """Jobs that the server works on, or of which no one knows."""
    texts: int = 0
    bytes: int = 0
    """Of all its tables on disk."""
    runners: tuple[RunnerRow, ...] = ()


def overview(session: LedgerSession) -> Overview:
    """Return the overview of a ledger. Raises as `LedgerSession.run` does, and StateError for a newer ledger."""
    version = schema.version(session)
    schema.refuse_newer(version)
    ((postgresql, read_only),) = session.run(_SERVER)
    if version == 0:
        return Overview(postgresql=postgresql, read_only=read_only, version=0)
    ((entries, texts, size),) = session.run(_COUNTS)
    return Overview(
        postgresql=postgresql,
        read_only=read_only,
        version=version,
        entries=entries,
        texts=texts,
        bytes=size,
        runners=live_runners(session),
    )
