"""A chat endpoint on a loopback port: answers from a script and keeps what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Raw:
    """An answer byte for byte as far as the head allows; `cut` closes the connection without any answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False


def said(text: Any, *, finish: Any = "stop", usage: Any = None, **message: Any) -> Raw:
    """A usual answer with that text."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    answer = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}
    return Raw(body=json.dumps(answer).encode())


def refused(status: int, message: str, **headers: str) -> Raw:
    """An error in the usual shape."""
    return Raw(status, json.dumps({"error": {"message": message}}).encode(), headers)


@dataclass
class FakeChat:
    """What was asked: bodies, heads and paths in order. `reply` is given each body and its number from 0."""

    reply: Callable[[Any, int], Raw]
    url: str = ""
    asked: list[Any] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.lower().splitlines()
            length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
            body = json.loads(await reader.readexactly(length))
            self.heads.append(head)
            self.asked.append(body)
            answer = self.reply(body, len(self.asked) - 1)
            if answer.silent:
                await reader.read()
            if answer.cut or answer.silent:
                return
            given = {"content-type": "application/json", **answer.headers, "connection": "close"}
            given.setdefault("content-length", str(len(answer.body)))
            top = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            writer.write(f"HTTP/1.1 {answer.status} X\r\n{top}\r\n".encode() + answer.body)
            with contextlib.suppress(ConnectionError):
                await writer.drain()


@contextlib.asynccontextmanager
async def chatting(reply: Callable[[Any, int], Raw]) -> AsyncIterator[FakeChat]:
    """The endpoint, for as long as the block runs."""
    fake = FakeChat(reply)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield fake


async def unreported(stage: str) -> None:
    """A report no one listens to."""
