"""The bundled server in this process: plain scope, receive and send; no HTTP library, no lifespan, no socket."""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from contentops.server.app import create_app
from contentops.server.engines import named
from contentops.server.store import Clock, Store

T = TypeVar("T")


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


def holding(opened: asyncio.Event) -> Clock:
    """A clock whose sleeps end once that event is set."""

    async def sleep(_: float) -> None:
        await opened.wait()

    return Clock(Ticks().now, sleep)


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
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": target, "raw_path": target.encode(), "root_path": "", "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "server": ("local", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
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


async def ended(app: Any, name: str, surface: str = "/v1") -> Any:
    """The status of a job once it has ended; what it waits for runs on this loop, so waiting is yielding."""
    while True:
        reply = (await call(app, "GET", f"{surface}/generate/status/{name}")).json
        found = reply.get("data", reply)
        if found["status"] in {"completed", "failed"}:
            return found
        await asyncio.sleep(0.001)


class InProcess:
    """The bundled server over a store, asked one request after the other; its jobs go on while it is asked.

    `options` are those of `create_app`; without an engine outlines are written, and without a clock each look at the
    time is a second later.
    """

    def __init__(self, store: Store, *, clock: Clock | None = None, **options: Any) -> None:
        ticks = Ticks()
        clock = clock or Clock(ticks.now, ticks.sleep)
        self.store = store
        options.setdefault("engine", named("outline"))
        self.app = create_app(store, clock=clock, **options)
        self._runner = asyncio.Runner()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """What a coroutine on the loop of the server gives."""
        return self._runner.get_loop().run_until_complete(story)

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """The reply to one request; `options` are those of `call`."""
        return self.run(call(self.app, method, path, body, **options))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """The reply to a GET."""
        return self("GET", path, headers=headers)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """The reply to a POST."""
        return self("POST", path, body, headers=headers)

    def submit(self, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """The reply to a documented submit."""
        return self.post("/v1/generate", body, headers)

    def finished(self, job_id: str, prefix: str = "/v1") -> Any:
        """The status reply of a job that has ended, polled turn by turn."""
        for _ in range(500):
            job = self.get(f"{prefix}/generate/status/{job_id}").json
            if (job if prefix == "/v1" else job["data"])["status"] in {"completed", "failed"}:
                return job
            self.turns(1)
        message = f"job {job_id} does not end"
        raise AssertionError(message)

    def turns(self, count: int = 60) -> None:
        """Let every ready task run, so many times."""

        async def wait() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.run(wait())

    def close(self) -> None:
        """Stop its jobs and close its store."""
        self.run(self.app.state.close())
        self._runner.close()


class Bundled(Protocol):
    """Starts servers of a test, which end with it."""

    def __call__(self, store: Store | None = None, **options: Any) -> InProcess:
        """Over an empty store, unless one is given; `options` are those of `InProcess`."""
