"""Who may use the bundled server: one key, and a limit of requests per minute."""

from __future__ import annotations

import math
import secrets
from collections import deque
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

WINDOW = 60.0
"""Seconds a request counts."""


class RequestWindow:
    """Counts the requests of the last minute."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._taken: deque[float] = deque()

    def take(self, most: int) -> None:
        """Count one request; a refused one does not count. Raises HTTPException (429) after `most` in a minute."""
        now, taken = self._now(), self._taken
        # A wall clock may be set back: requests in the future do not count.
        while taken and not 0 <= now - taken[0] < WINDOW:
            taken.popleft()
        if len(taken) >= most:
            wait = max(1, math.ceil(taken[0] + WINDOW - now))
            raise HTTPException(429, f"Rate limit exceeded: {most} per 1 minute", {"Retry-After": str(wait)})
        taken.append(now)


class AccessControl:
    """Admits requests. With an empty `key` none is needed; with 0 `requests_per_minute` there is no limit."""

    def __init__(self, key: str, requests_per_minute: int, now: Callable[[], float]) -> None:
        self._key = key.encode()
        self._most = requests_per_minute
        self._window = RequestWindow(now)

    def admit(self, request: Request) -> None:
        """Count a request with the right key. Raises HTTPException: 401 for the key, 429 for the limit."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        has_key = scheme.lower() == "bearer" and secrets.compare_digest(token.strip().encode(), self._key)
        if self._key and not has_key:
            raise HTTPException(401, "Invalid or missing API key", {"WWW-Authenticate": "Bearer"})
        if self._most:
            self._window.take(self._most)
