"""Finds a pooler that shares sessions among clients, under which a lock would not end with its holder.

A server that is not PostgreSQL itself names another process at the start of a session than the one that answers later
(PgBouncer, Odyssey, PgCat, Supavisor and RDS Proxy do). Whether it keeps sessions is tried: while a second session has
a transaction open, the first one must be answered by its own process and still know its settings.

Not found: a pooler that passes the name of the process on and, by chance, shares no session meanwhile. What only
forwards bytes (a load balancer, a tunnel, a TLS proxy) breaks no session.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any

import psycopg

from contentops.ledger.address import with_safe_password

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0
"""Seconds after which a second session without an answer counts as refused."""
SILENT = 1.0
"""Seconds within which a session that may be silent for 0.05 s must be ended."""
_SET = "SELECT set_config('contentops.probe', %s, false), pg_backend_pid()"
_KNOWN = "SELECT current_setting('contentops.probe', true), pg_backend_pid()"


def keeps_sessions(url: str) -> bool:
    """Whether each session gets its own server process, despite any pooler. Raises psycopg.OperationalError."""
    word = uuid.uuid4().hex
    with _connected(url) as one:
        first = one.execute(_SET, (word,)).fetchone()
        assert first is not None
        try:
            with _connected(url) as other, _hung_up_on(other):
                other.execute("BEGIN")
                second = other.execute("SELECT pg_backend_pid()").fetchone()
                then = one.execute(_KNOWN).fetchone()
        except psycopg.OperationalError:
            # Raises where it is away; otherwise it only refuses a second session.
            one.execute(_KNOWN)
            return False
        return then == (word, first[1]) and second != first[1:]


def ends_silent_sessions(url: str) -> bool:
    """Whether the server ends a silent session. Raises psycopg.OperationalError."""
    with _connected(url) as one:
        one.execute("SELECT set_config('idle_session_timeout', '50ms', false)")
        select.select([one.fileno()], [], [], SILENT)
        try:
            one.execute("SELECT 1")
        except psycopg.OperationalError:
            return True
        return False


@contextlib.contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    connection = psycopg.connect(
        with_safe_password(url), autocommit=True, connect_timeout=int(PATIENCE), application_name="contentops"
    )
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _hung_up_on(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Close the connection if it gets no answer for too long, as a full pooler lets clients wait."""
    with socket.socket(fileno=socket.dup(connection.fileno())) as line:
        timer = threading.Timer(PATIENCE, line.shutdown, (socket.SHUT_RDWR,))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
