"""Which hosts are this machine itself. Depends on nothing, so that every room may ask."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine, by its name or a number of it, without asking the network."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
