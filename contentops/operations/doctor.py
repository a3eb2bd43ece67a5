"""`doctor` checks that everything a project needs works."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from contentops.api.calls import CatalogReply, Failure, ListTemplates
from contentops.api.session import ApiEndpoint, Client
from contentops.ci.push import refuse_unfit_lock
from contentops.documents.folders import denial
from contentops.errors import Check, ContentopsError, plural
from contentops.model import Desired, Project
from contentops.operations.catalog import check_user, unknown_why
from contentops.operations.connection import (
    Caller,
    Credentials,
    as_error,
    converse,
    read_credentials,
    read_model,
    try_model,
)
from contentops.operations.opening import HERE, Runtime, has_ledger, is_of_another, open_cache, open_store
from contentops.operations.workspace import catalog_of, shared_state, validate
from contentops.state import approvals


def doctor(project: Project, runtime: Runtime = HERE, *, online: bool = False) -> tuple[Check, ...]:
    """Check manifests, outputs, state, cache, ledger, key and server; `online` also tries the model."""
    return (*_checks(project, runtime), *_server_checks(project, runtime, online=online))


def _checks(project: Project, runtime: Runtime) -> Iterator[Check]:
    yield Check(name="project", ok=True, message=f"`{project.name}` at `{project.root}`")
    try:
        desired = validate(project)
    except ContentopsError as error:
        yield Check(name="manifests", ok=False, message=error.message, hint="`contentops validate` lists every problem")
    else:
        count = f"{plural(len(desired.specs), 'item')} in {plural(len(desired.manifests), 'manifest')}"
        yield Check(name="manifests", ok=True, message=count)
        yield _outputs_check(project, desired)
    yield from _tried("state", _state_checks(project, runtime))
    yield from _tried("approvals", _approvals_check(project, runtime))
    yield from _tried("recording", _recording_check(project, runtime))
    yield _cache_check(project)
    if has_ledger(project, runtime.environ):
        from contentops.operations.ledger import ledger_check  # start-up: loads the driver of PostgreSQL

        yield ledger_check(project, runtime)


def _server_checks(project: Project, runtime: Runtime, *, online: bool) -> Iterator[Check]:
    if project.api.base_url != "local":
        yield from _tried("catalog", _catalog_check(project))
        yield from _tried("key", _key_checks(project, runtime))
    elif project.api.has_model:
        message = f"the bundled server, which calls the model `{project.api.model}`"
        yield Check(name="server", ok=True, message=message)
        yield from _tried("model", _model_check(project, runtime, online=online))
    else:
        yield Check(name="server", ok=True, message="the bundled server; needs no key and no network")


def _tried(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Run checks and yield their results. An error ends the checks and is yielded as a failed check called `name`."""
    try:
        yield from checks
    except ContentopsError as error:
        problem = error.diagnostics()[0]
        file = problem.location.file if problem.location is not None else ""
        where = f"{file}: " if file not in problem.message else ""
        # A folder for trying things out may be ignored as a whole.
        ok = None if problem.code == "ignored-lock" else False
        yield Check(name=name, ok=ok, message=where + problem.message, hint=problem.hint)


def _state_checks(project: Project, runtime: Runtime) -> Iterator[Check]:
    state, _ = shared_state(project, runtime)
    refuse_unfit_lock(project.root, project.environment, ignored=False)
    message = f"{plural(len(state.records), 'record')}, {len(state.open_jobs):,} open"
    yield Check(name="state", ok=True, message=message)
    if state.records and is_of_another(project, state.lineage):
        message = "the lock belongs to a project with another name or another first commit"
        hint = "fine after a rename or a rewrite of the history; a lock copied from another project"
        yield Check(name="lineage", ok=None, message=message, hint=f"{hint} saves over that one's contents: delete it")
    refuse_unfit_lock(project.root, project.environment)


def _key_checks(project: Project, runtime: Runtime) -> Iterator[Check]:
    key, credentials = project.api.key_env, read_credentials(project.api, runtime)
    if credentials.key:
        yield Check(name="key", ok=True, message=f"`{key}` is set, and may be sent to {project.api.server}")
    else:
        yield Check(name="key", ok=None, message=f"`{key}` is not set; a server on this machine may not need it")
    yield from _tried("server", _server_check(project, credentials, runtime))


def _model_check(project: Project, runtime: Runtime, *, online: bool) -> Iterator[Check]:
    """Check the model's address and key; with `online`, also check that the model replies."""
    engine, model = read_model(project.api, runtime), project.api.model
    if online:
        (runtime.run or asyncio.run)(try_model(engine))
        yield Check(name="model", ok=True, message=f"`{model}` answers")
    else:
        message = f"`{model}`: its address and key are set"
        yield Check(name="model", ok=True, message=message, hint="`--online` sends it one short prompt")


def _outputs_check(project: Project, desired: Desired) -> Check:
    denied = denial(Path(project.root))
    problem = next(filter(None, (denied(spec.output) for spec in desired.specs)), "")
    hint = "fix this first: an item is not paid for if its file cannot be written" if problem else ""
    return Check(name="outputs", ok=not problem, message=problem or "can be written", hint=hint)


def _approvals_check(project: Project, runtime: Runtime) -> Iterator[Check]:
    known = approvals.load(Path(project.root), runtime.disk)
    if known.lines:
        texts, readers = ({getattr(line, name) for line in known.lines} for name in ("text", "person"))
        message = f"of {plural(len(texts), 'text')} by {plural(len(readers), 'reader')}"
        yield Check(name="approvals", ok=True, message=message)


def _recording_check(project: Project, runtime: Runtime) -> Iterator[Check]:
    with open_store(project, runtime, write=False) as store:
        store.try_room()
    yield Check(name="recording", ok=True, message="paid texts can be recorded")


def _cache_check(project: Project) -> Check:
    with open_cache(project, write=False) as cache:
        cache.get("doctor")
    hint = "move `.contentops/cache` away: texts are then searched in git and on the server" if cache.problem else ""
    return Check(name="cache", ok=not cache.problem, message=cache.problem or "readable", hint=hint)


def _catalog_check(project: Project) -> Iterator[Check]:
    snapshot = catalog_of(project)
    if snapshot is None:
        hint = "run `contentops catalog pull` and commit the file; until then only `apply` checks slugs, and no inputs"
        yield Check(name="catalog", ok=None, message=unknown_why(project), hint=hint)
    else:
        count = plural(len(snapshot.templates), "template")
        yield Check(name="catalog", ok=True, message=f"{count} of this server known")


def _server_check(project: Project, credentials: Credentials, runtime: Runtime) -> Iterator[Check]:
    where = f"`{project.api.base_url}` ({project.api.dialect})"

    async def story(caller: Caller) -> Check:
        endpoint = await caller.find(again=True)
        answer = endpoint if isinstance(endpoint, Failure) else await caller.ask_once(ListTemplates())
        if not isinstance(endpoint, Failure) and isinstance(answer, CatalogReply):
            failure = caller.client.contradiction(endpoint)
            if failure is None:
                if not credentials.user:
                    await check_user(project, endpoint, caller)
                words = _reply_in_words(endpoint, answer, caller.client)
                return Check(name="server", ok=True, message=f"{where} {words}")
            answer = failure
        assert isinstance(answer, Failure)
        problem = as_error(answer, project)
        return Check(name="server", ok=False, message=f"{where}: {problem.message}", hint=problem.hint)

    # Without writing: doctor finds the server again and changes nothing.
    with open_cache(project, write=False) as cache:
        yield converse(project, runtime, story, cache)


def _reply_in_words(endpoint: ApiEndpoint, answer: CatalogReply, client: Client) -> str:
    """Return a sentence that says at which address, in which form and in which dialect the server replied."""
    shape = "inside `{success, data}`" if endpoint.enveloped else "bare"
    inputs = " and ".join(f"`{name}`" for name in client.input_names)
    return (
        f"answers with {plural(len(answer.entries), 'template')} at `{endpoint.base}`, lists {shape}:"
        f" dialect `{client.dialect}`, which sends the inputs as {inputs}"
    )
