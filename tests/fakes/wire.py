"""A wire to PostgreSQL that can be cut: a relay on loopback between a client and a server.

with Wire(port) as wire:
    session = LedgerSession(wire.url("postgresql://postgres@127.0.0.1:5432/db"))
    wire.cut()          # the client's end breaks; the server does not hear of it
    wire.lose_answer()  # the next answer of the server never arrives, and then the client's end breaks
    wire.pretend()      # later connections are told that another process serves them, as by a pooler
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PROCESS = b"K\0\0\0\x0c"
"""How the message begins that names the process of a session: its number follows, and a secret."""


class Wire:
    """Use it as a context manager. `port`: of the server on loopback."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[tuple[socket.socket, socket.socket]] = []
        self._losing = threading.Event()
        self._pretending = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @classmethod
    def to(cls, url: str) -> Wire:
        """A wire to the server of an address."""
        return cls(int(str(conninfo_to_dict(url)["port"])))

    def url(self, url: str) -> str:
        """The same database, over the wire."""
        return make_conninfo(url, host="127.0.0.1", port=self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break every connection at the client's end alone."""
        for client, _ in self._ends:
            _end(client)

    def lose_answer(self) -> None:
        """Let what is sent next arrive, and lose the answer to it."""
        self._losing.set()

    def pretend(self) -> None:
        """Name another process at the start of each later connection than the one that answers."""
        self._pretending = True

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._ends)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits for a client is not woken by the end of its socket.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for each in self._ends:
            for end in each:
                _end(end)
        for thread in self._threads:
            thread.join()
        for each in self._ends:
            for end in each:
                end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()
            return
        self._ends.append((client, server))
        for pump in (self._ask, self._answer):
            thread = threading.Thread(target=pump, args=(client, server), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._losing.is_set():
                    self._losing.clear()
                    break
                if self._pretending and (at := data.find(_PROCESS)) >= 0:
                    at += len(_PROCESS)
                    data = data[:at] + bytes(4) + data[at + 4 :]
                client.sendall(data)
        _end(client)


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
