"""`doctor`: check that everything needed is in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.api.calls import CatalogReply
from contentops.documents.folders import denial
from contentops.errors import ApiError, Check, ContentopsError, Refused, plural
from contentops.model import Desired, Project
from contentops.operations.approving import approval_checks
from contentops.operations.connection import Credentials, read_credentials, read_model, try_model
from contentops.operations.opening import HERE, Runtime, has_ledger, is_of_another, open_cache, open_store
from contentops.operations.workspace import shared_state, snapshot_of, validate
from contentops.state import state_dir

if TYPE_CHECKING:
    from contentops.api.session import ApiEndpoint, Client


def doctor(project: Project, runtime: Runtime = HERE, *, online: bool = False) -> tuple[Check, ...]:
    """Check manifests, outputs, state, cache, ledger, key and server; `online`: the model is sent a short prompt."""
    return (*_checks(project, runtime), *_server_checks(project, runtime, online=online))


def _checks(project: Project, runtime: Runtime) -> Iterator[Check]:
    yield Check(name="project", ok=True, message=f"`{project.name}` at `{project.root}`")
    desired: Desired | None = None
    try:
        desired = validate(project)
        yield Check(
            name="manifests",
            ok=True,
            message=f"{plural(len(desired.specs), 'item')} in {plural(len(desired.manifests), 'manifest')}",
        )
        yield _outputs_check(project, desired)
    except ContentopsError as error:
        yield Check(name="manifests", ok=False, message=error.message, hint="`contentops validate` lists every problem")
    try:
        from contentops.ci.push import refuse_unfit_lock

        state, _ = shared_state(project, runtime)
        refuse_unfit_lock(project.root, project.environment, ignored=False)
        yield Check(
            name="state", ok=True, message=f"{plural(len(state.records), 'record')}, {len(state.open_jobs):,} open"
        )
        if state.records:
            yield from _lineage_check(project, state.lineage)
        refuse_unfit_lock(project.root, project.environment)
    except Refused as error:
        # A folder for trying things out may be ignored as a whole.
        is_note = error.code == "ignored-lock"
        yield Check(name="state", ok=None if is_note else False, message=error.message, hint=error.hint)
    except ContentopsError as error:
        yield Check(name="state", ok=False, message=error.message, hint=error.hint)
    yield from approval_checks(project, desired, runtime)
    yield _recording_check(project, runtime)
    yield _cache_check(project)
    if has_ledger(project, runtime.environ):
        from contentops.operations.ledger import ledger_check

        yield ledger_check(project, runtime)


def _server_checks(project: Project, runtime: Runtime, *, online: bool) -> Iterator[Check]:
    if project.api.base_url == "local":
        message = "the bundled server; needs no key and no network"
        if project.api.has_model:
            message = f"the bundled server, which calls the model `{project.api.model}`"
        yield Check(name="server", ok=True, message=message)
        if project.api.has_model:
            yield _model_check(project, runtime, online=online)
        return
    yield _catalog_check(project)
    key = project.api.key_env
    try:
        credentials = read_credentials(project.api, runtime)
    except ContentopsError as error:
        problem = error.diagnostics()[0]
        yield Check(name="key", ok=False, message=problem.message, hint=problem.hint)
        return
    unset = f"`{key}` is not set; a server on this machine may not need it"
    message = f"`{key}` is set, and may be sent to {project.api.server}" if credentials.key else unset
    yield Check(name="key", ok=True if credentials.key else None, message=message)
    yield _server_check(project, credentials, runtime)


def _model_check(project: Project, runtime: Runtime, *, online: bool) -> Check:
    """Check address and key of the model, and with `online` that it answers."""
    import asyncio

    try:
        engine = read_model(project.api, runtime)
        if online:
            (runtime.run or asyncio.run)(try_model(engine, lambda: False))
    except ContentopsError as error:
        problem = error.diagnostics()[0]
        return Check(name="model", ok=False, message=problem.message, hint=problem.hint)
    if online:
        return Check(name="model", ok=True, message=f"`{project.api.model}` answers")
    message = f"`{project.api.model}`: its address and key are set"
    return Check(name="model", ok=True, message=message, hint="`--online` sends it one short prompt")


def _outputs_check(project: Project, desired: Desired) -> Check:
    denied = denial(Path(project.root))
    problem = next(filter(None, (denied(spec.output) for spec in desired.specs)), "")
    hint = "fix this first: an item is not paid for if its file cannot be written" if problem else ""
    return Check(name="outputs", ok=not problem, message=problem or "can be written", hint=hint)


def _lineage_check(project: Project, lineage: str) -> Iterator[Check]:
    if is_of_another(project, lineage):
        message = "the lock belongs to a project with another name or another first commit"
        hint = "fine after a rename or a rewrite of the history; a lock copied from another project"
        yield Check(name="lineage", ok=None, message=message, hint=f"{hint} saves over that one's contents: delete it")


def _recording_check(project: Project, runtime: Runtime) -> Check:
    try:
        with open_store(project, runtime, write=False) as store:
            store.try_room()
    except ContentopsError as error:
        return Check(name="recording", ok=False, message=error.message, hint=error.hint)
    return Check(name="recording", ok=True, message="paid texts can be recorded")


def _cache_check(project: Project) -> Check:
    with open_cache(project, write=False) as cache:
        cache.get("doctor")
    hint = ""
    if cache.problem:
        try:
            state_dir.inspect(Path(project.root))
            hint = "move `.contentops/cache` away: texts are then searched in git and on the server"
        except ContentopsError as error:
            hint = error.hint
    return Check(name="cache", ok=not cache.problem, message=cache.problem or "readable", hint=hint)


def _catalog_check(project: Project) -> Check:
    from contentops.operations.catalog import unknown_why

    try:
        snapshot = snapshot_of(project)
        if snapshot is None:
            hint = (
                "run `contentops catalog pull` and commit the file; until then only `apply` checks slugs, and no inputs"
            )
            return Check(name="catalog", ok=None, message=unknown_why(project), hint=hint)
    except ContentopsError as error:
        problem = error.diagnostics()[0]
        message = f"`catalog.lock.json` cannot be used: {problem.message}"
        return Check(name="catalog", ok=False, message=message, hint=problem.hint)
    count = plural(len(snapshot.templates), "template")
    return Check(name="catalog", ok=True, message=f"{count} of this server known")


def _server_check(project: Project, credentials: Credentials, runtime: Runtime) -> Check:
    from contentops.api.calls import CatalogReply, Failure, ListTemplates
    from contentops.operations.before_submit import no_user, refused_without_user
    from contentops.operations.contents import Caller, as_error, converse

    where = f"`{project.api.base_url}` ({project.api.dialect})"

    async def story(caller: Caller) -> Check:
        await caller.turn()
        endpoint = await caller.client.find(again=True, turn=caller.turn)
        answer = endpoint if isinstance(endpoint, Failure) else await caller.ask_once(ListTemplates())
        if not isinstance(endpoint, Failure) and isinstance(answer, CatalogReply):
            failure = caller.client.contradiction(endpoint)
            if failure is None:
                refused = None if credentials.user else await refused_without_user(endpoint, caller.ask_once)
                if refused is not None:
                    message, hint = no_user(project, refused)
                    return Check(name="server", ok=False, message=message, hint=hint)
                words = _reply_in_words(endpoint, answer, caller.client)
                return Check(name="server", ok=True, message=f"{where} {words}")
            answer = failure
        assert isinstance(answer, Failure)
        problem = as_error(answer, project)
        return Check(name="server", ok=False, message=f"{where}: {problem.message}", hint=problem.hint)

    try:
        # Without writing: doctor finds the server anew and changes nothing.
        with open_cache(project, write=False) as cache:
            return converse(project, runtime, story, cache)
    except ApiError as error:
        return Check(name="server", ok=False, message=error.message, hint=error.hint)


def _reply_in_words(endpoint: ApiEndpoint, answer: CatalogReply, client: Client) -> str:
    """Describe the answer of a server."""
    shape = "inside `{success, data}`" if endpoint.enveloped else "bare"
    inputs = " and ".join(f"`{name}`" for name in client.input_names)
    return (
        f"answers with {plural(len(answer.entries), 'template')} at `{endpoint.base}`, lists {shape}:"
        f" dialect `{client.dialect}`, which sends the inputs as {inputs}"
    )
