"""A caller for ASGI apps: plain scope, receive and send; no HTTP library, no lifespan, no socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Reply:
    """What the app answered."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.raw)


@dataclass
class Ticks:
    """A clock that moves one second each time it is read; sleeping only yields."""

    at: float = 1_780_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """The next second."""
        self.at += 1.0
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Let others run."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def call(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    chunks: Sequence[bytes] | None = None,
) -> Reply:
    """Send one request. `body` goes as JSON; `chunks` go as they are, without a content type of their own."""
    parts = list(chunks) if chunks is not None else [b"" if body is None else json.dumps(body).encode()]
    given = {**({} if body is None else {"content-type": "application/json"}), **(headers or {})}
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "server": ("local", 80),
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    raw = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, raw)


async def settled(app: Any, job_id: str, prefix: str = "/v1") -> Any:
    """The status reply of a job that has ended, polled turn by turn."""
    for _ in range(500):
        found = (await call(app, "GET", f"{prefix}/generate/status/{job_id}")).json
        if (found if prefix == "/v1" else found["data"])["status"] in {"completed", "failed"}:
            return found
        await asyncio.sleep(0)
    message = f"job {job_id} does not end"
    raise AssertionError(message)
