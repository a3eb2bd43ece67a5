"""The guard that keeps tests off the network is itself worth a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "address",
    [("192.0.2.1", 80), ("2001:db8::1", 443, 0, 0)],
    ids=["IPv4", "IPv6"],
)
def test_nothing_but_loopback_is_reached(address: tuple[str, int]) -> None:
    """A connection to any other machine fails before a packet is sent."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(OSError, match="tests have no network"):
        sock.connect(address)


def test_names_are_not_looked_up() -> None:
    """A look-up is traffic too."""
    with pytest.raises(OSError, match="tests have no network"):
        socket.getaddrinfo("example.com", 443)


def test_datagrams_are_refused() -> None:
    """Neither does one leave without a connection."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="tests have no network"):
        sock.sendto(b"hello", ("192.0.2.1", 53))


def test_loopback_works() -> None:
    """Tests may talk to a server of their own."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        client.sendall(b"hello")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


def test_children_are_guarded_too() -> None:
    """A command line started by a test has no network either."""
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "tests have no network" in ended.stderr


@pytest.mark.parametrize("name", ["WRITERZROOM_API_KEY", "CI", "NO_COLOR", "GIT_DIR", "HTTPS_PROXY"])
def test_the_environment_is_clean(name: str) -> None:
    """What the caller has set is not seen by any test."""
    assert name not in os.environ
