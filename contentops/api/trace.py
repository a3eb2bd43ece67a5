"""The record of one request for the log of requests: the result, never the content."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import Generate, RegenerateSection
from contentops.api.outcomes import Damage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from contentops.api.calls import Call
    from contentops.api.dialects import Wire
    from contentops.api.outcomes import Answer


class Exchange(Struct, frozen=True, kw_only=True):
    """One request and its result."""

    at: float
    """When it was sent, in seconds since 1970."""
    method: str
    path: str
    """With its query, without the server."""
    status: int | None
    """None: no answer came."""
    ms: int
    sent: int
    """Bytes of the body."""
    received: int
    """Bytes of the answer's body, once decompressed."""
    request_id: str
    """Our id of a submit, or empty."""
    error: str
    """The kind of the error where no whole answer came, or empty."""


async def traced(
    exchange: Awaitable[Answer], report: Callable[[Exchange], None], call: Call, wire: Wire, path: str, *, at: float
) -> Answer:
    """The answer of `exchange`; answer and error are reported. `path` has no secret in it."""
    clock = asyncio.get_running_loop().time
    began = clock()

    def done(status: int | None, received: int, error: str) -> None:
        report(
            Exchange(
                at=at,
                method=wire.method,
                path=path,
                status=status,
                ms=round((clock() - began) * 1000),
                sent=len(wire.body or b""),
                received=received,
                request_id=call.request_id if isinstance(call, Generate | RegenerateSection) else "",
                error=error,
            )
        )

    try:
        answer = await exchange
    except BaseException as error:
        done(None, 0, type(error).__name__)
        raise
    damage = "" if answer.damage is Damage.NONE else answer.damage.name.lower()
    done(answer.status, len(answer.body), damage)
    return answer
