"""One account that many clones work with: the server that comes with contentops, or `FakeApi`, asked in one way."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from contentops.server import contents, jobs
from contentops.server.app import create_app
from contentops.server.engines import named
from contentops.server.store import Clock, Store
from tests.fakes.api import FakeApi, Generation
from tests.fakes.clock import Timeline

_PRICE = {"quick": 1, "standard": 4, "premium": 5}


@dataclass(frozen=True)
class Charge:
    """One generation that was paid for: its job, what was asked for (without ids), and the credits."""

    job: str
    asked: str
    credits: int


class Room(Protocol):
    """A server of either kind, as its owner sees it; also an HTTP transport."""

    def paid(self) -> list[Charge]:
        """All that was paid for, in order."""

    def stored(self) -> dict[str, tuple[str, str]]:
        """Title and body of each content, by id, in the order they were made."""

    def change(self, content_id: str, title: str, body: str) -> None:
        """A person edits a content in the web app, an hour after all that was."""


class ServedRoom(httpx.AsyncBaseTransport):
    """The app of `contentops serve` over a store in memory, on virtual time."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._store = Store()
        clock = Clock(now=timeline.wall, sleep=asyncio.sleep)
        self._app = create_app(self._store, engine=named("outline"), clock=clock, stage_seconds=20)
        self._transport = httpx.ASGITransport(app=self._app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carried out after a while, as over a network."""
        await asyncio.sleep(0.05)
        return await self._transport.handle_async_request(request)

    def paid(self) -> list[Charge]:
        """Every job that was taken and did not fail; it is charged when it is done, whoever still waits for it."""
        rows = self._store.rows("SELECT id FROM jobs WHERE status != 'failed' ORDER BY number")
        stored_jobs = [jobs.find(self._store, row["id"]) for row in rows]
        return [Charge(job.id, job.request.encoded(), job.request.credits) for job in stored_jobs if job is not None]

    def stored(self) -> dict[str, tuple[str, str]]:
        """From the table of contents."""
        rows = self._store.rows("SELECT id, title, body FROM contents ORDER BY number")
        return {row["id"]: (row["title"], row["body"]) for row in rows}

    def change(self, content_id: str, title: str, body: str) -> None:
        """As a PUT does."""
        self._timeline.now += 3600
        with self._store.write():
            change = contents.ContentChange(id=content_id, title=title, body=body)
            contents.save(self._store, change, at=self._timeline.wall())


class FakeRoom(FakeApi):
    """A `FakeApi` that also writes sections again, in the content that has them, as the bundled server does.

    `equal`: what is requested again gets the same text again.
    """

    def __init__(self, timeline: Timeline, *, equal: bool = True, **habits: Any) -> None:
        super().__init__(**({"duration": 60} | habits))
        self._timeline = timeline
        self.equal = equal

    def paid(self) -> list[Charge]:
        """All that ended well."""
        return [Charge(one.job_id, _asked(one.body), _PRICE[one.mode]) for one in self.charges]

    def stored(self) -> dict[str, tuple[str, str]]:
        """From the store."""
        self._settle(self._timeline.now)
        return {one.id: (one.title, one.body) for one in self.contents.values()}

    def change(self, content_id: str, title: str, body: str) -> None:
        """As a PUT does."""
        self._timeline.now += 3600
        self._latest = self._timeline.now
        self.edit(content_id, body, title=title)

    def _settle(self, now: float) -> None:
        for job in [one for one in self._unfinished if one.ends <= now and one.body.get("content_id")]:
            self._unfinished.remove(job)
            if (stored := self.contents.get(job.body["content_id"])) is not None:
                stored.body, stored.updated, job.content_id = self._written(job)[1], job.ends, stored.id
        super()._settle(now)

    def _written(self, job: Generation) -> tuple[str, str]:
        if not (content_id := job.body.get("content_id")):
            return job.title, job.text.replace(f"Take {job.take}.", "The end.") if self.equal else job.text
        stored = self.contents[content_id]
        span = contents.find_section(stored.body, job.body["section"])
        if span is None or job.content_id:
            return stored.title, stored.body
        return stored.title, contents.replace_section(stored.body, span, f"Section, take {job.take}.")


def _asked(body: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in body.items() if name != "request_id"}, sort_keys=True)
