"""What may stand between a process and PostgreSQL, for tests: a pooler of a few lines, and PgBouncer where it is installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import queue
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

_PGBOUNCER = os.environ.get("CONTENTOPS_TEST_PGBOUNCER", "")
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_SAME_LENGTH = (b"idle_session_timeout", b"contentops.idle_time")


class Pooler:
    """Speaks PostgreSQL's protocol to clients, and hands them sessions of a server; use it as a context manager.

    `each`: for a `transaction` or a `session`. `version`: what it says to be. `deaf`: it keeps the timeout of silent
    sessions to itself.
    """

    def __init__(self, url: str, *, each: str = "transaction", version: str = "", deaf: bool = False) -> None:
        self._parts = conninfo_to_dict(url)
        self._each, self._version, self._deaf = each, version, deaf
        self._free: queue.LifoQueue[tuple[socket.socket, bytes]] = queue.LifoQueue()
        self._made: list[socket.socket] = []
        pooler = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, EOFError):
                    pooler._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"postgresql://postgres@127.0.0.1:{self._server.server_address[1]}/{self._parts['dbname']}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for server in self._made:
            server.close()

    def _serve(self, client: socket.socket) -> None:
        while (code := int.from_bytes((start := _startup(client))[4:8], "big")) in {_SSL, _GSS}:
            client.sendall(b"N")
        if code == _CANCEL:
            return
        own: tuple[socket.socket, bytes] | None = self._session(start)
        assert own is not None
        client.sendall(own[1])
        if self._each == "transaction":
            self._free.put(own)
            own = None
        try:
            while asked := self._asked(client):
                own = own or self._session(start)
                if self._answer(own[0], client, asked) == b"I" and self._each == "transaction":
                    self._free.put(own)
                    own = None
        finally:
            if own is not None:
                own[0].close()

    def _asked(self, client: socket.socket) -> bytes:
        """The next messages that a server answers together; empty: the client has ended."""
        kind, found = b"", b""
        while kind not in {b"S", b"Q"}:
            kind, whole = _message(client)
            if kind == b"X":
                return b""
            found += whole.replace(*_SAME_LENGTH) if self._deaf else whole
        return found

    def _answer(self, server: socket.socket, client: socket.socket, asked: bytes) -> bytes:
        """Passes on what is asked and what is answered; the state of the transaction then."""
        server.sendall(asked)
        kind = whole = found = b""
        while kind != b"Z":
            kind, whole = _message(server)
            found += whole
        client.sendall(found)
        return whole[5:]

    def _session(self, start: bytes) -> tuple[socket.socket, bytes]:
        """A session of the server, and what a client is told at its start."""
        with contextlib.suppress(queue.Empty):
            return self._free.get_nowait()
        server = socket.create_connection((str(self._parts["host"]), int(str(self._parts["port"]))))
        self._made.append(server)
        server.sendall(start)
        told, kind = [], b""
        while kind != b"Z":
            kind, whole = _message(server)
            if kind == b"K":
                whole = whole[:5] + b"\0\0\0\7" + whole[9:]  # as every pooler: keys of its own
            if self._version and whole[5:].startswith(b"server_version\0"):
                body = f"server_version\0{self._version}\0".encode()
                whole = b"S" + (len(body) + 4).to_bytes(4, "big") + body
            told.append(whole)
        return server, b"".join(told)


@contextlib.contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """The address of a PgBouncer before a server; skips the test where there is none."""
    program = _PGBOUNCER or shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("no PgBouncer: `apt install pgbouncer`")
    parts = conninfo_to_dict(url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{parts['dbname']} = host={parts['host']} port={parts['port']} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\nserver_check_query =\n"
        )
        child = subprocess.Popen(
            [program, "-q", settings], user=user, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        address = f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}"
        try:
            until = time.monotonic() + 10
            while not _answers(address):
                failed = child.poll() is not None or time.monotonic() > until
                assert not failed, child.stderr and child.stderr.read()
                time.sleep(0.02)
            yield address
        finally:
            child.kill()
            child.communicate()


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _startup(line: socket.socket) -> bytes:
    head = _exactly(line, 4)
    return head + _exactly(line, int.from_bytes(head, "big") - 4)


def _message(line: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(line, 5)
    return head[:1], head + _exactly(line, int.from_bytes(head[1:], "big") - 4)


def _exactly(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = line.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found
