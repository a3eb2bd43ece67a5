"""The page of the day: what was decided, edited and spent today, and what waits for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from contentops.errors import Diagnostic, plural
from contentops.operations.commit import CommitContents, CommitOptions, contents
from contentops.operations.day import ReviewDay, review_day
from contentops.operations.review import Snapshot
from contentops.pages.site import PageContent, Site


class DayView(Struct, frozen=True, kw_only=True):
    """A person's day, and what is left of the project."""

    day: ReviewDay
    snapshot: Snapshot


def today(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the page of the person's day, which is where the end of a list leads."""
    snapshot = site.review.snapshot()
    day = review_day(snapshot, site.person, site.runtime)
    count = len(day.verdicts)
    title = f"You decided about {plural(count, 'text')} today" if count else "Nothing decided yet today"
    return PageContent(template="today.html", title=title, tab="today", model=DayView(day=day, snapshot=snapshot))


SENDING: Final = CommitOptions(edits=True, skip=False)
"""What is sent: also the edits of people, and workflows see it."""


class SendView(Struct, frozen=True, kw_only=True):
    """What would be sent."""

    found: CommitContents
    problem: Sequence[Diagnostic] = ()
    """Why nothing was sent."""


def send(site: Site, _query: Mapping[str, str], problem: Sequence[Diagnostic] = ()) -> PageContent:
    """Return the page that shows what is committed before it is. Raises as `contents`."""
    view = SendView(found=contents(site.project(), SENDING, runtime=site.runtime), problem=problem)
    status = 409 if problem else 200
    return PageContent(template="send.html", title="Send my work", tab="today", model=view, status=status)
