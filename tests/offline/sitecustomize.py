"""Refuses every connection but loopback, in the test process and in each Python process it starts.

The interpreter imports this module at its own start wherever this folder is on PYTHONPATH. An audit hook sees a
connection whichever library makes it, needs nothing patched, and cannot be taken off again.
"""

import ipaddress
import sys

_NAMES = {"", "localhost", "ip6-localhost"}


def _is_loopback(host: object) -> bool:
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    if name.lower().rstrip(".") in _NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    # 0.0.0.0 and :: are only ever bound to here; connecting to them reaches this machine.
    return address.is_loopback or address.is_unspecified


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        # A Unix socket's address is a path (text or bytes); None means "where it is connected to already".
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        host = arguments[0]
    else:
        return
    if not _is_loopback(host):
        message = f"tests have no network: {event} to {host!r}"
        raise OSError(message)


def refuse() -> None:
    """Puts the hook into this process, once."""
    if not getattr(sys, "_contentops_tests_offline", False):
        sys.addaudithook(_refuse)
        sys._contentops_tests_offline = True  # type: ignore[attr-defined]


refuse()
