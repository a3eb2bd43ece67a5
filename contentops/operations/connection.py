"""Connects a command with the project's server, and asks the server about stored contents and the account.

Outside of a run, calls are sent one after the other, within the project's limit. If a failure may be temporary, they
are repeated. All of them are free.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import structs

from contentops.api import trust
from contentops.api.calls import (
    Call,
    Content,
    ContentEntry,
    ContentList,
    CreditsUsage,
    DashboardStats,
    DeleteContent,
    Failure,
    FailureKind,
    GetContent,
    Reply,
    Stats,
)
from contentops.api.dialects import AUTO, needs_key, no_key
from contentops.api.outcomes import is_absent, not_sent
from contentops.errors import ApiError, StateError, UsageError
from contentops.execution.contents import ContentOwners, Owner
from contentops.execution.limiter import WINDOW, AccountLimiter, Limiter
from contentops.model import ApiSettings, Json, Project, State
from contentops.operations.opening import HERE, Runtime, has_ledger, open_cache, other_states, read_state
from contentops.sanitize import visible
from contentops.server import EmbeddedServerError
from contentops.server.engines.protocol import EngineError
from contentops.state import state_dir
from contentops.state.cache import Cache
from contentops.state.state_dir import FOLDER, lock_name

if TYPE_CHECKING:
    from contentops.api.session import ApiEndpoint, Client
    from contentops.server.engines.openai import OpenAIEngine

# ---- Read the keys, and connect with the project's server, or with the embedded one.

LOOK = 0.5
"""Seconds between two checks whether a person wants to stop the wait."""
_UNTOUCHED = "nothing was generated; `contentops doctor --online` tries the model again"


class Credentials(NamedTuple):
    """The API key and the user id for a server; empty values are not sent."""

    key: str = ""
    user: str = ""
    engine: OpenAIEngine | None = None
    """The engine of the bundled server that calls a model; None: none is needed."""


def read_credentials(api: ApiSettings, runtime: Runtime, *, writes: bool = False) -> Credentials:
    """Read the API key and the user id for a server from the environment.

    For `local` it reads the model's settings if the command `writes` texts, and nothing otherwise. No other function
    reads these secrets. A person is asked once about a server that is not on the trusted list. Raises ApiError if the
    key or the model is missing, and Refused if the server or a variable is not on a trusted list. Raises InputError if
    the person's settings are invalid.
    """
    environ = runtime.environ
    if api.base_url == "local":
        return Credentials(engine=read_model(api, runtime) if writes and api.has_model else None)
    trust.check_variables(api, environ)
    key = environ.get(api.key_env, "").strip()
    if not key and needs_key(api):
        raise no_key(api)
    if not trust.may_have_key(api.server, environ):
        _confirm(api.server, api.key_env, runtime, "api.base_url")
    return Credentials(key=key, user=environ.get(api.user_env, "").strip())


def read_model(api: ApiSettings, runtime: Runtime) -> OpenAIEngine:
    """Return the client for the model that the settings name. Raises what `read_credentials` raises."""
    from contentops.server.engines.chat import ChatClient, SettingNames, endpoint
    from contentops.server.engines.openai import OpenAIEngine

    environ, keys = runtime.environ, ("api.max_tokens", "api.call_timeout")
    trust.check_variables(api, environ)
    names = SettingNames(api.model_url_env, api.model_key_env, *keys)
    try:
        model = endpoint(environ, api.model, names)
    except EngineError as error:
        raise ApiError(str(error), code="no-model", hint=_UNTOUCHED) from error
    server = trust.server_of(model.base_url)
    if model.key and not trust.may_have_key(server, environ, vendor=trust.MODEL_VENDOR):
        _confirm(server, api.model_key_env, runtime, api.model_url_env)
    chat = ChatClient(model, seconds=api.call_timeout)
    return OpenAIEngine(chat, max_tokens=api.max_tokens, passes=api.passes, context=api.context)


def _confirm(server: str, variable: str, runtime: Runtime, setting: str) -> None:
    """Ask a person whether the server may get the API key, and remember the consent if the person agrees.

    Raises Refused otherwise.
    """
    question = (
        f"The server `{visible(server)}` is not on your trusted list. It gets the key in `{variable}`.\n"
        "Send the key there, now and from now on? (yes/no) "
    )
    if runtime.ask is None or trust.is_stated(runtime.environ) or not runtime.ask(question):
        raise trust.unlisted(server, runtime.environ, setting)
    trust.remember(server, runtime.environ)


def running_model(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the first model that a model server on this machine offers, and the server's address.

    Raises UsageError if there is none.
    """
    from contentops.server.engines.chat import OLLAMA, models_at

    address = environ.get("OPENAI_BASE_URL", "").strip() or OLLAMA
    if found := models_at(address):
        return found[0], address
    message = f"no model answers at `{visible(address)}` on this machine"
    hint = "start one, such as `ollama run llama3.2`, or name one of another server with `--model NAME`"
    raise UsageError(message, code="no-running-model", hint=hint)


async def try_model(engine: OpenAIEngine) -> None:
    """Send one short prompt to the model. Raises ApiError if it does not reply."""
    try:
        await engine.probe()
    except EngineError as error:
        raise ApiError(str(error), code="no-model", hint=_UNTOUCHED) from error


@contextlib.asynccontextmanager
async def connected(
    project: Project,
    credentials: Credentials,
    runtime: Runtime,
    cache: Cache | None = None,
) -> AsyncIterator[Client]:
    """Open a client of the project's server.

    For `base_url: local` it is the embedded server in this process. The cache remembers where the API was found.
    """
    from contentops.api.session import ApiEndpoint, Client, transport_in

    async with contextlib.AsyncExitStack() as closing:
        if project.api.base_url == "local":
            app = await closing.enter_async_context(_embedded(project, credentials.engine))
            transport = transport_in(app)
            client = Client(project.api, key="", transport=transport, wall=runtime.wall, trace=runtime.trace)
            client.local_store = app.state.store_id
        else:
            learned = cache or closing.enter_context(open_cache(project, write=True))
            # No server has a name with a space, so other facts have other keys.
            key = f"facts place {project.api.base_url}"
            client = Client(
                project.api,
                key=credentials.key,
                user=credentials.user,
                transport=runtime.transport,
                wall=runtime.wall,
                endpoint=learned.recall(key, ApiEndpoint),
                learned=lambda found: learned.remember(key, found),
                trace=runtime.trace,
            )
        closing.push_async_callback(client.aclose)
        yield client


@contextlib.asynccontextmanager
async def _embedded(project: Project, engine: OpenAIEngine | None) -> AsyncIterator[Any]:
    from contentops.server.engines.outline import OutlineEngine
    from contentops.server.serve import running

    writer = engine if project.api.has_model else OutlineEngine()
    try:
        async with running(Path(project.root) / FOLDER / "local.db", writer) as app:
            yield app
    except EmbeddedServerError as error:
        raise StateError(f"the bundled server cannot be used: {error}", code="embedded-server") from error


# ---- Find the owners of stored contents in the states of all environments.


def content_owners(project: Project, state: State) -> ContentOwners:
    """Return an object that knows which item owns each stored content.

    It uses all locks, and the metadata of the contents. `state` is that of the project's environment.
    """
    return ContentOwners(recorded_owners(project, state), lineage=state.lineage, environment=project.environment)


def recorded_owners(project: Project, state: State) -> dict[str, Owner]:
    """Return the owner of each stored content that a record or an open job names, by content id.

    `state` is that of the project's environment; other environments are read from their locks and journals.
    """
    states = {**other_states(project), project.environment: state}
    # Of several records with one content, as after a copy of a lock, the default environment owns it, or the first.
    locks = [("" if name == project.environment else lock_name(name), states[name]) for name in sorted(states)]
    server = project.api.server
    records = [(lock, one) for lock, each in locks for one in each.records.values() if one.server == server]
    jobs = [(lock, one) for lock, each in locks for one in each.open_jobs.values() if one.server == server]
    owners: dict[str, Owner] = {}
    for lock, record in records:
        owners.setdefault(record.content_id, Owner(item=record.id, lock=lock))
    for lock, job in jobs:
        owners.setdefault(job.content_id, Owner(item=job.item, lock=lock, request=job.request_id))
    for lock, record in records:
        superseded = Owner(item=record.id, superseded=True, lock=lock)
        owners = dict.fromkeys(record.superseded, superseded) | owners
    owners.pop("", None)
    return owners


# ---- Ask the server about stored contents and the account's numbers, outside of a run. All of it is free.

_SOON = 0.01
"""The fewest seconds after which the limit is checked again."""
LONGEST_PAUSE = 300.0
"""The most seconds to wait if a server asks for a pause; beyond that, the command gives up."""

T = TypeVar("T")


# --- asking ------------------------------------------------------------------------------------------------


class NoTurn(Exception):
    """Raised if a call is not sent because a person stopped the command, or because the wait would be too long.

    More than a minute is too long.
    """


class Caller:
    """Sends free calls one after the other, each when the request limit allows it.

    `limiter` is the account's; without one, only this command is counted. `stopped` says whether a person stops the
    command; with it, waiting for a request may raise NoTurn.
    """

    def __init__(
        self,
        client: Client,
        project: Project,
        runtime: Runtime,
        limiter: AccountLimiter | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self.client = client
        self._stopped = stopped
        self._project = project
        self.random = runtime.random
        self._limiter = limiter or Limiter(project.api.requests_per_minute)
        self.notify = runtime.notify

    async def ask(self, call: Call) -> Reply | Failure:
        """Send a free call, repeat it as often as the retry policy allows, and return the reply."""
        from contentops.execution.run_context import Attempts

        attempts = Attempts(self)
        while isinstance(answer := await self.ask_once(call), Failure) and await attempts.again(answer):
            pass
        return answer

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""
        return asyncio.get_running_loop().time()

    def may_wait(self, failure: Failure, began: float) -> bool:
        """Return whether to wait after a 429 reply.

        If so, the next call waits as long as the server asks.
        """
        if (failure.retry_after or 0.0) > LONGEST_PAUSE or self.now() - began > LONGEST_PAUSE:
            return False
        self._limiter.throttled(self.now(), failure.retry_after)
        return True

    async def pause(self, failure: Failure, seconds: float) -> None:
        """Wait before a failed call is sent again."""
        self.notify(f"{failure.message}; trying again")
        await self._wait(seconds, "the next try")

    async def ask_once(self, call: Call) -> Reply | Failure:
        """Send a free call once.

        Each request waits for its turn, also the requests that search for the API's address.
        """
        if self.client.dialect == AUTO and isinstance(endpoint := await self.find(), Failure):
            return not_sent(endpoint, call)
        await self.turn()
        return await self.client.send(call)

    async def find(self, *, again: bool = False) -> ApiEndpoint | Failure:
        """Return the address of the API. If it is unknown, or with `again`, search for it."""
        if again or not self.client.is_found:
            await self.turn()
        return await self.client.find(again=again, turn=self.turn)

    async def turn(self) -> bool:
        """Wait until the limit allows one more request."""
        while not self._limiter.take(1, self.now()):
            seconds = max(self._limiter.ready_at(self.now()) - self.now(), _SOON)
            if self._stopped is None:
                await self._wait(seconds, "the next request may go out")
            elif self._stopped() or seconds > WINDOW + LOOK:
                raise NoTurn
            else:
                await asyncio.sleep(min(seconds, LOOK))
        return True

    async def listed(self) -> ContentList:
        """Return the list of everything that the account has stored. Raises ApiError."""
        from contentops.execution.run_context import list_all

        contents = await list_all(self.ask)
        if isinstance(contents, Failure):
            raise self.error(contents)
        return contents

    async def optional(self, call: Call, kind: type[T]) -> T | None:
        """Send a free call and return the reply, or None if the server does not offer this call.

        None is also returned if the key may not use it. Raises ApiError for other failures.
        """
        answer = await self.ask(call)
        if isinstance(answer, Failure) and not (is_absent(answer) or answer.kind is FailureKind.FORBIDDEN):
            raise self.error(answer)
        return answer if isinstance(answer, kind) else None

    def error(self, failure: Failure) -> ApiError:
        """Turn a failed call into an error with a message for people."""
        return as_error(failure, self._project)

    async def _wait(self, seconds: float, event: str) -> None:
        if seconds >= 2:
            self.notify(f"waiting {seconds:.0f} s until {event}")
        if seconds > 0:
            await asyncio.sleep(seconds)


def as_error(failure: Failure, project: Project) -> ApiError:
    """Turn a failed call into an error that shows endpoint, status, the server's message, and a hint."""
    return ApiError(failure.full_message, hint=_hint(failure, project))


def _hint(failure: Failure, project: Project) -> str:
    if "x-user-id" in failure.message.lower():
        return f"export {project.api.user_env}=..., with the account's user id"
    key, away = project.api.key_env, "check the network and `api.base_url`, or try again later; nothing was changed"
    hints = {
        FailureKind.UNAUTHORIZED: f"check `{key}`: the key may be wrong, expired, or for another server",
        FailureKind.FORBIDDEN: (
            "the key has no permission for this; check the account's plan and the owner of the content"
        ),
        FailureKind.QUOTA: "the account has no credits left",
        FailureKind.THROTTLED: "try again later, or lower `api.requests_per_minute` if others use the account too",
        FailureKind.UNAVAILABLE: away,
        FailureKind.NOT_SENT: away,
    }
    return hints.get(failure.kind, "check the path at the end of `api.base_url`; `api.dialect: auto` finds the prefix")


def converse(
    project: Project,
    runtime: Runtime,
    story: Callable[[Caller], Awaitable[T]],
    cache: Cache | None = None,
    limiter: AccountLimiter | None = None,
) -> T:
    """Connect with the project's server, let `story` send calls to it, and return the result of `story`.

    `limiter` is the account's, if it is known already.
    """
    credentials = read_credentials(project.api, runtime)

    async def run(shared: AccountLimiter | None) -> T:
        async with connected(project, credentials, runtime, cache) as client:
            return await story(Caller(client, project, runtime, shared))

    if project.api.base_url == "local":
        state_dir.make(Path(project.root))
    with contextlib.ExitStack() as closing:
        if limiter is None and has_ledger(project, runtime.environ):
            from contentops.operations.ledger import limiting

            limiter = closing.enter_context(limiting(project, credentials.key, runtime))
        result: T = (runtime.run or asyncio.run)(run(limiter))
    return result


# --- contents ----------------------------------------------------------------------------------------------


class Owned(Owner, frozen=True, kw_only=True):
    """A stored content, and the item that owns it."""

    entry: ContentEntry


def contents(project: Project, *, runtime: Runtime = HERE) -> tuple[Owned, ...]:
    """List all contents that the account has stored, in the server's order, each with its owner. Raises ApiError."""
    owners = recorded_owners(project, read_state(project))
    listed = converse(project, runtime, Caller.listed)
    return tuple(Owned(entry=entry, **structs.asdict(owners.get(entry.id, Owner()))) for entry in listed.entries)


def content(
    project: Project,
    content_id: str,
    *,
    runtime: Runtime = HERE,
) -> tuple[Content, Owner]:
    """Return a stored content and its owner. Raises ApiError."""
    owners = recorded_owners(project, read_state(project))
    answer = converse(project, runtime, lambda caller: caller.ask(GetContent(content_id)))
    if isinstance(answer, Failure):
        error = as_error(answer, project)
        if not is_absent(answer):
            raise error
        message = f"there is no content `{content_id}`: {error.message}"
        raise ApiError(message, hint="`contentops content list` lists them")
    assert isinstance(answer, Content)
    return answer, owners.get(answer.id, Owner())


def delete(project: Project, content_ids: Iterable[str], *, runtime: Runtime = HERE) -> None:
    """Delete stored contents; missing ones count as deleted.

    Raises ApiError at the first one that cannot be deleted.
    """

    async def story(caller: Caller) -> None:
        for content_id in content_ids:
            answer = await caller.ask(DeleteContent(content_id))
            if isinstance(answer, Failure) and answer.kind is FailureKind.NOT_FOUND:
                # Either the content is not there, or the route.
                stored = await caller.ask(GetContent(content_id))
                gone = isinstance(stored, Failure) and stored.kind is FailureKind.NOT_FOUND
            else:
                gone = not isinstance(answer, Failure)
            if isinstance(answer, Failure) and not gone:
                raise caller.error(answer)
            runtime.notify(f"{content_id}: deleted")

    converse(project, runtime, story)


# --- numbers -----------------------------------------------------------------------------------------------


def stats(project: Project, *, runtime: Runtime = HERE) -> dict[str, Mapping[str, Json] | None]:
    """Return the numbers that the server shows about the account: its `dashboard` and its `credits`.

    `credits` is None if the server does not show them. Raises ApiError.
    """

    async def story(caller: Caller) -> dict[str, Mapping[str, Json] | None]:
        dashboard, usage = await caller.ask(DashboardStats()), await caller.optional(CreditsUsage(), Stats)
        if isinstance(dashboard, Failure):
            raise caller.error(dashboard)
        assert isinstance(dashboard, Stats)
        return {"dashboard": dashboard.data, "credits": usage.data if usage else None}

    return converse(project, runtime, story)
