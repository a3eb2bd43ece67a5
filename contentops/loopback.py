"""Decides whether a host name means this machine. Imports nothing of contentops."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback address. No DNS request is sent."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
