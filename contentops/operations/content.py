"""What is asked of the server outside an apply: stored contents and numbers, and how one asks. All of it is free.

Calls go one after the other, within the project's limit, and again for a while where they fail for a passing reason.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from contentops.api.backoff import RETRY
from contentops.api.calls import (
    Content,
    ContentEntry,
    ContentList,
    CreditsUsage,
    DashboardStats,
    Failure,
    FailureKind,
    GetContent,
    ListContent,
    Stats,
)
from contentops.errors import ApiError
from contentops.execution.limiter import Limiter
from contentops.operations.workspace import World, connected, credentials, read_state
from contentops.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from contentops.api.calls import Call, Reply
    from contentops.api.session import Client
    from contentops.model import Json, Project
    from contentops.state.cache import Cache

LONGEST_PAUSE = 300.0
"""Seconds a server may ask for before we give up instead of waiting."""

_ABSENT = frozenset({404, 405, 410, 501})
T = TypeVar("T")


# --- asking ------------------------------------------------------------------------------------------------


class Caller:
    """Sends free calls in turn. `tell` gets a line wherever a person would wonder what takes so long."""

    def __init__(self, client: Client, project: Project, world: World, tell: Callable[[str], None]) -> None:
        self._client = client
        self._project = project
        self._random = world.random
        self._limiter = Limiter(project.api.requests_per_minute)
        self.tell = tell

    async def ask(self, call: Call) -> Reply | Failure:
        """The answer to a free call, after as many tries as the retry policy allows."""
        clock = asyncio.get_running_loop().time
        asked, tries = clock(), 0
        began: float | None = None
        while True:
            await self._wait(self._limiter.ready_at(clock()) - clock(), "the next request may go out")
            before = self._client.requests
            answer = await self._client.send(call)
            for _ in range(self._client.requests - before):
                self._limiter.sent(clock())
            if not isinstance(answer, Failure):
                return answer
            tries += 1
            began = clock() if began is None else began
            if answer.kind is FailureKind.THROTTLED:
                if (answer.retry_after or 0.0) > LONGEST_PAUSE or clock() - asked > LONGEST_PAUSE:
                    return answer
                self._limiter.throttled(clock(), answer.retry_after)
                continue
            passing = answer.kind in {FailureKind.NOT_SENT, FailureKind.UNAVAILABLE}
            if not (passing and RETRY.goes_on(began, clock())):
                return answer
            self.tell(f"{answer.message}; trying again")
            await self._wait(RETRY.wait(self._random, tries, answer.retry_after), "the next try")

    async def need(self, call: Call, kind: type[T]) -> T:
        """The answer to a free call, which is a `kind`. Raises ApiError where there is none."""
        answer = await self.ask(call)
        if isinstance(answer, Failure):
            raise as_error(answer, self._project)
        assert isinstance(answer, kind)
        return answer

    async def optional(self, call: Call, kind: type[T]) -> T | None:
        """The answer to a free call; None where the server has no such thing, or not for this key."""
        answer = await self.ask(call)
        if isinstance(answer, Failure) and not (is_absent(answer) or answer.kind is FailureKind.FORBIDDEN):
            raise as_error(answer, self._project)
        return answer if isinstance(answer, kind) else None

    async def _wait(self, seconds: float, what: str) -> None:
        if seconds >= 2:
            self.tell(f"waiting {seconds:.0f} s until {what}")
        if seconds > 0:
            await asyncio.sleep(seconds)


def is_absent(failure: Failure) -> bool:
    """Whether the server has no such route, or nothing under this name."""
    return failure.kind is FailureKind.NOT_FOUND or failure.status in _ABSENT


def as_error(failure: Failure, project: Project) -> ApiError:
    """A failure as the error a person reads: the endpoint, the status, the server's words, and what to do."""
    return ApiError(failure.full_message, hint=_hint(failure, project))


def _hint(failure: Failure, project: Project) -> str:
    if "x-user-id" in failure.message.lower():
        return f"export {project.api.user_env}=..., with the account's user id"
    match failure.kind:
        case FailureKind.UNAUTHORIZED:
            return f"check `{project.api.key_env}`: the key may be wrong, expired, or of another server"
        case FailureKind.FORBIDDEN:
            return "the key is known but may not do this; check the plan of the account and whose content it is"
        case FailureKind.QUOTA:
            return "the account has no credits left"
        case FailureKind.THROTTLED:
            return "try again later, or lower `api.requests_per_minute` if others use the account too"
        case FailureKind.UNAVAILABLE | FailureKind.NOT_SENT:
            return "check the network and `api.base_url`, or try again later; nothing was changed"
        case _:
            return "check the path at the end of `api.base_url`; `api.dialect: auto` finds the prefix by itself"


def converse(
    project: Project,
    world: World | None,
    tell: Callable[[str], None],
    story: Callable[[Caller], Awaitable[T]],
    cache: Cache | None = None,
) -> T:
    """Run a conversation with the project's server to its end."""
    outside = world or World()

    known = credentials(project, outside)

    async def run() -> T:
        async with connected(project, known, outside, cache) as client:
            return await story(Caller(client, project, outside, tell))

    if project.api.base_url == "local":
        state_dir.make(Path(project.root))
    found: T = (outside.run or asyncio.run)(run())
    return found


def quiet(_: str) -> None:
    """Say nothing."""


# --- contents ----------------------------------------------------------------------------------------------


class Owned(Struct, frozen=True, kw_only=True):
    """One stored content and the item it belongs to, or empty; `superseded` if the item has a newer one."""

    entry: ContentEntry
    item: str = ""
    superseded: bool = False


def contents(project: Project, *, tell: Callable[[str], None] = quiet, world: World | None = None) -> tuple[Owned, ...]:
    """Everything the account has stored, in the server's order, and whose it is. Raises ApiError."""
    owners = _owners(project)

    async def story(caller: Caller) -> ContentList:
        found = ContentList()
        call: ListContent | None = ListContent()
        while call is not None:
            answer = await caller.need(call, ContentList)
            known, found = found.size, found.joined(answer)
            call = answer.after(call) if found.size > known else None
        return found

    return tuple(_owned(entry, owners) for entry in converse(project, world, tell, story).entries)


def content(
    project: Project, content_id: str, *, tell: Callable[[str], None] = quiet, world: World | None = None
) -> tuple[Content, Owned]:
    """One stored content, and whose it is. Raises ApiError, also where there is no such content."""
    owners = _owners(project)
    answer = converse(project, world, tell, lambda caller: caller.ask(GetContent(content_id)))
    if isinstance(answer, Failure):
        error = as_error(answer, project)
        if not is_absent(answer):
            raise error
        message = f"there is no content `{content_id}`: {error.message}"
        raise ApiError(message, hint="`contentops content list` lists them")
    assert isinstance(answer, Content)
    entry = ContentEntry(answer.id, answer.title, "", answer.created_at, answer.updated_at)
    return answer, _owned(entry, owners)


def _owners(project: Project) -> dict[str, tuple[str, bool]]:
    """Item and whether it is superseded, by content id on this server."""
    state, server = read_state(project), project.api.server
    found: dict[str, tuple[str, bool]] = {}
    records = [record for record in state.records.values() if record.server == server]
    for record in records:
        found.update(dict.fromkeys(record.superseded, (record.id, True)))
    opened = [(entry.content_id, entry.item) for entry in state.entries.values() if entry.server == server]
    held = [*opened, *((record.content_id, record.id) for record in records)]
    found.update({content_id: (item, False) for content_id, item in held if content_id})
    return found


def _owned(entry: ContentEntry, owners: Mapping[str, tuple[str, bool]]) -> Owned:
    item, superseded = owners.get(entry.id, ("", False))
    return Owned(entry=entry, item=item, superseded=superseded)


# --- numbers -----------------------------------------------------------------------------------------------


class Numbers(Struct, frozen=True, kw_only=True):
    """The account's numbers under the server's names; None where it does not show them."""

    dashboard: Mapping[str, Json] | None = None
    credits: Mapping[str, Json] | None = None


def stats(project: Project, *, tell: Callable[[str], None] = quiet, world: World | None = None) -> Numbers:
    """The dashboard, and the credits where the server shows them. Raises ApiError."""

    async def story(caller: Caller) -> Numbers:
        dashboard, usage = await caller.need(DashboardStats(), Stats), await caller.optional(CreditsUsage(), Stats)
        return Numbers(dashboard=dashboard.data, credits=usage.data if usage else None)

    return converse(project, world, tell, story)
