"""An agent for tests: the SDK's own client, speaking to `contentops mcp` in a process of its own."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import anyio
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from msgspec import Struct


class Told(Struct, frozen=True):
    """What a tool answered."""

    words: str
    values: Any
    failed: bool

    @property
    def codes(self) -> list[str]:
        """The codes of its findings."""
        return [one["code"] for one in self.values["diagnostics"]]


class Agent:
    """Calls tools."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def __call__(self, tool: str, /, **arguments: Any) -> Told:
        """Call a tool with whatever arguments."""
        result: Any = await self.session.call_tool(tool, arguments)
        words, as_json = (one.text for one in result.content)
        assert json.loads(as_json) == result.structured_content
        return Told(words, result.structured_content, result.is_error)


def talk(
    root: Path, work: Callable[[Agent], Awaitable[None]], *flags: str, env: Mapping[str, str] | None = None
) -> None:
    """Start a server for the project at `root` and let an agent work with it."""
    arguments = ["-m", "contentops", "-C", str(root), "mcp", *flags]
    server = StdioServerParameters(command=sys.executable, args=arguments, env={**os.environ, **(env or {})})

    async def run(errors: TextIO) -> None:
        async with stdio_client(server, errors) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            await work(Agent(session))

    with Path(os.devnull).open("w") as errors:
        anyio.run(run, errors)
