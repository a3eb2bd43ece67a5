"""The page of a run, which shows what happens in an apply wherever it was started."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from contentops.errors import ContentopsError
from contentops.operations.review import ReviewItem
from contentops.operations.run_events import LiveRun
from contentops.pages.site import PageContent, Site, render

PAUSE = 0.5
"""Seconds between two looks at the events of a run."""
ALIVE = 15.0
"""Seconds after which a comment is sent, so that a connection that is gone is noticed."""


class RunPage(Struct, frozen=True, kw_only=True):
    """The last run, what is known of its items, and the end of what a page started where no other page said it."""

    run: LiveRun | None = None
    known: Mapping[str, ReviewItem] = {}
    said: str = ""
    error: ContentopsError | None = None

    @property
    def title(self) -> str:
        """What the run does."""
        if self.run is None:
            return "No run yet"
        if self.run.working:
            return "An apply is running" if self.run.started_at else "A command is running"
        return "The last run" if self.run.ended else "The last run was stopped"


def run(site: Site, _query: Mapping[str, str]) -> PageContent:
    """The apply that works now, or the last one."""
    return _content(_last_run(site))


def _last_run(site: Site) -> RunPage:
    found, task = site.runs.read(site.project()), site.runner.task
    # A run changes files all the time: their titles are not worth a look at all of them.
    by_id = (site.review.latest or site.review.snapshot()).by_id
    known = {one.id: by_id[one.id] for one in (found.items if found else ()) if one.id in by_id}
    if task is None or not task.is_done():
        return RunPage(run=found, known=known)
    return RunPage(run=found, known=known, said=task.said, error=task.error)


def _content(view: RunPage) -> PageContent:
    return PageContent(template="run.html", title=view.title, tab="run", model=view)


async def events(site: Site, _: Request) -> StreamingResponse:
    """Send the moving part of the run page whenever it changes, until the run ends or the browser leaves."""
    return StreamingResponse(stream(site), media_type="text/event-stream")


async def stream(site: Site) -> AsyncIterator[str]:
    """Give the events of a stream: the moving part as JSON, then `end`."""
    sent, quiet = "", 0.0
    while not site.closing.is_set():
        html, working = await run_in_threadpool(_moving_part, site)
        if html != sent:
            sent, quiet = html, 0.0
            yield f"data: {json.dumps(html)}\n\n"
        elif quiet >= ALIVE:
            quiet = 0.0
            yield ": \n\n"
        if not working:
            # A browser that loses the stream asks again by itself; told so, it stops.
            yield "event: end\ndata: \n\n"
            return
        await asyncio.sleep(PAUSE)
        quiet += PAUSE


def _moving_part(site: Site) -> tuple[str, bool]:
    """Return the moving part as HTML, and whether the run goes on."""
    try:
        view = _last_run(site)
    except ContentopsError as error:
        view = RunPage(error=error)
    working = (view.run is not None and view.run.working) or not site.runner.is_idle
    return render(site, _content(view), block="live"), working
