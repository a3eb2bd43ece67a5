"""The stack of connections, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from contentops.api.connections import FRESH, ConnectionStack
from tests.fakes.clock import run


class Line:
    """A connection that only knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


def made(limit: int = 64) -> tuple[list[Line], ConnectionStack[Line]]:
    """A stack, and the connections that it has made."""
    lines: list[Line] = []

    def make() -> Line:
        lines.append(Line())
        return lines[-1]

    return lines, ConnectionStack(make, limit=limit)


@pytest.mark.parametrize(
    ("idle", "fresh", "same"),
    [(FRESH - 0.1, True, True), (FRESH + 0.1, True, False), (FRESH + 0.1, False, True)],
    ids=["paid soon", "paid late", "free late"],
)
def test_paid_calls_want_a_warm_connection(idle: float, fresh: bool, same: bool) -> None:
    """After a while a paid call gets a new connection and the old one is closed; other calls take what is there."""

    async def story() -> None:
        _, stack = made()
        async with stack.lease(fresh=True) as first:
            pass
        await asyncio.sleep(idle)
        async with stack.lease(fresh=fresh) as second:
            assert (second is first) is same
            assert first.closed is not same

    run(story())


def test_a_failed_line_is_not_used_again() -> None:
    """After an error or a cancellation the connection is closed and its place is free."""

    async def story() -> None:
        lines, stack = made(limit=1)
        with pytest.raises(ValueError, match="broken"):
            async with stack.lease(fresh=False):
                raise ValueError("broken")
        async with stack.lease(fresh=False) as second:
            assert second is not lines[0]
        assert lines[0].closed

    run(story())
