"""The one place the embedded server gets time from."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` gives seconds since 1970 (UTC); `sleep` waits that many seconds on the running loop."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def iso(at: float) -> str:
    """A time as the API writes it: ISO 8601, UTC, with microseconds so that two saves keep their order."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
