"""Which hosts are this machine. Imports nothing of contentops, so that every room may use it."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback address, without a look-up in the network."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
