"""A rough road between clients and a server on loopback: latency, 5xx, 429, cut connections, lost answers; and a log.

with Rough(port, seed=1) as road:
    ...  # clients speak to road.base_url
    road.smooth = True
    road.seen  # when each request arrived, and what it asked for
"""

import asyncio
import contextlib
import random
import threading
import time
from typing import NamedTuple, Self

FATES = {
    "well": 70, "slow": 12, "503": 4, "502 after": 3, "429": 2, "cut": 4, "cut after": 5,
}  # fmt: skip
"""What becomes of a request, and how often among a hundred. `after`: it is carried out, and its answer is lost."""
_ANSWER = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n%scontent-length: 23\r\n\r\n" + b'{"error":"bad weather"}'


class Passed(NamedTuple):
    """One request that arrived."""

    at: float
    """Of the monotonic clock."""
    line: str


class Rough:
    """Use it as a context manager. `port`: of the server; `seed`: of its faults."""

    def __init__(self, port: int, seed: int) -> None:
        self.seen: list[Passed] = []
        self.smooth = False
        """Nothing goes wrong any more."""
        self._server, self._chance = port, random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """Where projects reach the server over it."""
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"

    def most_within(self, seconds: float) -> int:
        """The most requests that arrived within any so many seconds, but those that the road itself turned away."""
        times, most, first = sorted(each.at for each in self.seen), 0, 0
        for last, at in enumerate(times):
            while at - times[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while request := await _message(reader):
                answer = await self._carried(request)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def _carried(self, request: bytes) -> bytes:
        fate = "well" if self.smooth else self._chance.choices([*FATES], [*FATES.values()])[0]
        self.seen.append(Passed(time.monotonic(), request.split(b"\r\n", 1)[0].decode()))
        match fate:
            case "slow":
                await asyncio.sleep(self._chance.uniform(0.05, 0.8))
            case "503":
                return _ANSWER % (b"503 Service Unavailable", b"")
            case "429":
                return _ANSWER % (b"429 Too Many Requests", b"retry-after: 1\r\n")
            case "cut":
                return b""
            case _:
                pass
        answer = await self._asked(request)
        if fate == "502 after":
            return _ANSWER % (b"502 Bad Gateway", b"")
        return b"" if fate == "cut after" else answer

    async def _asked(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One request or answer whose length is stated; empty at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
