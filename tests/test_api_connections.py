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


def test_the_last_used_is_taken_first() -> None:
    """A second user takes a second line; whoever comes next gets the one that came back last."""

    async def story() -> None:
        lines, stack = made()
        async with stack.lease(fresh=False) as first, stack.lease(fresh=False) as second:
            assert first is not second
        async with stack.lease(fresh=False) as third:
            assert third is first
        assert len(lines) == 2
        await stack.aclose()
        assert all(line.closed for line in lines)

    run(story())


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


def test_no_more_than_the_limit_are_lent() -> None:
    """Whoever comes beyond the limit waits until one is back."""

    async def story() -> None:
        lines, stack = made(limit=3)
        active = most = 0

        async def use() -> None:
            nonlocal active, most
            async with stack.lease(fresh=False):
                active += 1
                most = max(most, active)
                await asyncio.sleep(1)
                active -= 1

        await asyncio.gather(*(use() for _ in range(10)))
        assert most == 3
        assert len(lines) == 3

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


def test_a_lent_line_is_closed_when_it_comes_back_late() -> None:
    """Closing does not wait for who still talks; their line is closed on return."""

    async def story() -> None:
        _, stack = made()
        async with stack.lease(fresh=False) as line:
            await stack.aclose()
            assert not line.closed
        assert line.closed

    run(story())
