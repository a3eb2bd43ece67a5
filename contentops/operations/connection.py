"""Connect a command with the project's server, or with the embedded one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import ValidationError, convert, structs

from contentops.errors import ApiError, StateError
from contentops.model import ApiSettings, Project
from contentops.operations.opening import Runtime, open_cache
from contentops.sanitize import visible
from contentops.state.cache import Cache
from contentops.state.state_dir import FOLDER

if TYPE_CHECKING:
    from contentops.api.session import ApiEndpoint, Client
    from contentops.server.engines.openai import OpenAIEngine


LOOK = 0.5
"""Seconds between two looks whether a person stops what is waited for."""
_UNTOUCHED = "nothing was generated; `contentops doctor --online` tries the model again"


class Credentials(NamedTuple):
    """The key and the user id that a server gets; empty where there is none."""

    key: str = ""
    user: str = ""
    engine: OpenAIEngine | None = None
    """The engine of the bundled server that calls a model; None: none is needed."""


def read_credentials(api: ApiSettings, runtime: Runtime, *, writes: bool = False) -> Credentials:
    """Read the key and the user id for a trusted server, or with `writes` the model of `local`; else none for `local`.

    No other function reads them. A person is asked once about a server that is not on the trusted list. Raises ApiError
    where the key or the model is missing, Refused where the server or a variable is not on a trusted list, InputError
    where the person's settings are invalid.
    """
    from contentops.api import trust
    from contentops.api.dialects import needs_key, no_key

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
    """Return the engine that calls the model of the settings. Raises what `read_credentials` raises."""
    from contentops.api import trust
    from contentops.server.engines.chat import ChatClient, SettingNames, endpoint
    from contentops.server.engines.openai import OpenAIEngine
    from contentops.server.engines.protocol import EngineError

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
    """Ask a person whether a server gets the key, and remember a yes. Raises Refused for a no."""
    from contentops.api import trust

    question = (
        f"The server `{visible(server)}` is not on your trusted list. It gets the key in `{variable}`.\n"
        "Send the key there, now and from now on? (yes/no) "
    )
    if runtime.ask is None or trust.is_stated(runtime.environ) or not runtime.ask(question):
        raise trust.unlisted(server, runtime.environ, setting)
    trust.remember(server, runtime.environ)


async def try_model(engine: OpenAIEngine, stopped: Callable[[], bool]) -> None:
    """Send the model one short prompt, unless a person stops. Raises ApiError where it does not answer."""
    import asyncio

    from contentops.server.engines.protocol import EngineError

    trying = asyncio.ensure_future(engine.probe())
    try:
        while not (await asyncio.wait({trying}, timeout=LOOK))[0]:
            if stopped():
                return
        trying.result()
    except EngineError as error:
        raise ApiError(str(error), code="no-model", hint=_UNTOUCHED) from error
    finally:
        trying.cancel()


@contextlib.asynccontextmanager
async def connected(
    project: Project,
    credentials: Credentials,
    runtime: Runtime,
    cache: Cache | None = None,
) -> AsyncIterator[Client]:
    """Open a client of the project's server; for `base_url: local`, of the embedded one in this process.

    The cache keeps where the API was found.
    """
    import httpx

    from contentops.api.session import Client

    async with contextlib.AsyncExitStack() as closing:
        if project.api.base_url == "local":
            app = await closing.enter_async_context(_embedded(project, credentials.engine))
            transport = httpx.ASGITransport(app)
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
                endpoint=_endpoint(learned, key),
                learned=lambda found: learned.remember(key, structs.asdict(found) if found is not None else {}),
                trace=runtime.trace,
            )
        closing.push_async_callback(client.aclose)
        yield client


@contextlib.asynccontextmanager
async def _embedded(project: Project, engine: OpenAIEngine | None) -> AsyncIterator[Any]:
    from contentops.server import EmbeddedServerError
    from contentops.server.engines.outline import OutlineEngine
    from contentops.server.serve import running

    writer = engine if project.api.has_model else OutlineEngine()
    try:
        async with running(Path(project.root) / FOLDER / "local.db", writer) as app:
            yield app
    except EmbeddedServerError as error:
        raise StateError(f"the bundled server cannot be used: {error}", code="embedded-server") from error


def _endpoint(cache: Cache, key: str) -> ApiEndpoint | None:
    """Return where the API was found before."""
    from contentops.api.session import ApiEndpoint

    facts = cache.learned(key)
    try:
        return convert(facts, ApiEndpoint, strict=True) if facts else None
    except ValidationError:
        return None
