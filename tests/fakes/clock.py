"""An event loop whose time jumps to the next timer when nothing is ready, so that hours pass in milliseconds.

    async def story() -> None:
        await asyncio.sleep(3600)

    timeline = Timeline()
    run(story(), timeline)
    assert timeline.now == 3600

Threads started by the loop (`asyncio.to_thread`) are waited for in real time while virtual time stands still.
A wait that nothing can end raises `Stuck` instead of hanging.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_772_000_000.0
"""Wall time, in seconds since 1970, when a timeline is at 0."""

_GRACE = 0.5
"""Real seconds to wait for a wake-up from outside before the loop is called stuck."""


class Stuck(RuntimeError):
    """Every task waits for something that cannot happen."""


@dataclass(slots=True)
class Timeline:
    """Virtual time in seconds; shared by the loops of one story, so that a second run goes on where one ended."""

    now: float = 0.0

    def wall(self) -> float:
        """The same time in seconds since 1970."""
        return EPOCH + self.now


class _Selector(selectors.DefaultSelector):
    """Looks at real events without waiting, and moves the timeline instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads:
            return super().select(None)
        if timeout is None:
            ready = super().select(_GRACE)
            if not ready:
                raise Stuck("no task is ready and no timer is set")
            return ready
        timeline = self.loop.timeline
        timeline.now = max(timeline.now + timeout, math.nextafter(timeline.now, math.inf))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs on a `Timeline`."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline()
        self.threads = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        # After half a year, the next moment that a float can name is later than a nanosecond.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Virtual seconds."""
        return self.timeline.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As usual, but virtual time stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Wait in real time: the usual way sets a timer, which would jump."""
        executor = getattr(self, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=True)


def run(story: Coroutine[Any, Any, T], timeline: Timeline | None = None) -> T:
    """Run a coroutine on virtual time to its end."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(timeline)) as runner:
        return runner.run(story)
