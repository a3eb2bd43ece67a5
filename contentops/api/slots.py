"""A stack of one-connection transports: the last one used is the next one taken.

The cost of one httpx pool grows with the square of its connections. A stack of pools of one stays cheap at any
number, keeps the warmest connection busy, and lets the others go idle.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Closable(Protocol):
    """What a slot holds."""

    async def aclose(self) -> None:
        """Close every connection."""


T = TypeVar("T", bound=Closable)

FRESH = 4.0
"""Seconds a connection may have been idle and still carry a paid call: less than the five after which common servers
close one, since a close that crosses a request leaves its outcome unknown."""


class Slots(Generic[T]):
    """At most `limit` transports, made on demand by `make`. For one event loop."""

    def __init__(self, make: Callable[[], T], *, limit: int = 64) -> None:
        self._make = make
        self._gate = asyncio.Semaphore(limit)
        self._idle: list[tuple[T, float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool) -> AsyncIterator[T]:
        """Lend one transport; waits while `limit` are lent.

        `fresh` asks for one that is new or was used within `FRESH` seconds. A transport whose user raises is closed
        and not used again.
        """
        clock = asyncio.get_running_loop().time
        async with self._gate:
            slot = await self._take(fresh=fresh, now=clock())
            try:
                yield slot
            except BaseException:
                await slot.aclose()
                raise
            if self._closed:
                await slot.aclose()
            else:
                self._idle.append((slot, clock()))

    async def _take(self, *, fresh: bool, now: float) -> T:
        if not self._idle:
            return self._make()
        slot, since = self._idle.pop()
        if fresh and now - since > FRESH:
            # The top of the stack is the one used last, so the others are at least as old.
            await slot.aclose()
            return self._make()
        return slot

    async def aclose(self) -> None:
        """Close every idle transport now, and each lent one when it comes back."""
        self._closed = True
        while self._idle:
            slot, _ = self._idle.pop()
            await slot.aclose()
