"""The token that a workflow gives its jobs: what it is, and where it may go."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contentops.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


def token_of(environ: Mapping[str, str]) -> str:
    """The token of the workflow, or empty."""
    return (environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "").strip()


def is_safe(address: str) -> bool:
    """Whether a token can go to an address without being read on its way."""
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        return False


def credentials(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The token as settings of git for its own child: never in an argument, a file, or for another server."""
    token = token_of(environ)
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/")
    if not token or not server or not address.startswith(f"{server}/") or not is_safe(server):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = (
        # An empty value drops a header that a checkout may have left behind: the server refuses two.
        (f"http.{server}/.extraheader", ""),
        (f"http.{server}/.extraheader", f"AUTHORIZATION: basic {basic}"),
        (f"http.{server}/.followRedirects", "false"),
    )
    stated = environ.get("GIT_CONFIG_COUNT", "")
    start = int(stated) if stated.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for at, (key, value) in enumerate(settings, start):
        found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return found
