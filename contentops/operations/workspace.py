"""Gather once what a command works on: project, store, cache, catalog and desired items."""

from __future__ import annotations

import contextlib
import functools
import itertools
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, known_bodies
from contentops.documents.files import Outputs
from contentops.documents.folders import denial, present
from contentops.documents.front_matter import split
from contentops.documents.paths import collision_key
from contentops.documents.stat_cache import StatCache
from contentops.errors import Diagnostic, InputError, Severity, StateError
from contentops.manifests.load import load
from contentops.model import AcceptedTexts, Desired, Observed, State
from contentops.model.jobs import fold_jobs
from contentops.operations.catalog.project_catalog import catalog_of
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.opening import HERE, OpenedLedger, Runtime, has_ledger, open_cache, open_store, read_state
from contentops.planning.existing_texts import SourceEnvironment
from contentops.planning.owners import without_others
from contentops.planning.plan_inputs import Choice, PlanInputs, honours_ids, paths, specs_by_id
from contentops.planning.renames import apply_renames
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.execution.limiter import AccountLimiter
    from contentops.ledger.project import ProjectLedger
    from contentops.model import OpenEntry, Project
    from contentops.operations.texts.past_texts import PastTexts
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore


class Workspace:
    """A project with its state open. Everything is read once, when it is first asked for."""

    def __init__(
        self, project: Project, store: StateStore, cache: Cache, shared: OpenedLedger, runtime: Runtime
    ) -> None:
        warnings = shared.warnings
        self.project = structs.replace(project, warnings=(*project.warnings, *warnings)) if warnings else project
        self.store = store
        self.cache = cache
        self.ledger = shared.ledger
        """The shared ledger, if the project has one that can be read."""
        self.unread = warnings
        """Why the project's ledger cannot be read."""
        self.runtime = runtime

    @functools.cached_property
    def desired(self) -> Desired:
        """All items of the manifests. Raises InputError with every finding of every file."""
        return load(
            self.project,
            catalog_of(self.project),
            accepted=_accepted_texts(self.project, self.state, self.runtime, self._recorded_file),
        )

    @functools.cached_property
    def recorded_files(self) -> dict[str, Observed]:
        """The files of all records and open entries, by path."""
        outputs = Outputs(self.project.root, whole=known_bodies(self.state))
        return _observe_all(self, outputs, paths(Desired(), self.state))

    def _recorded_file(self, path: str) -> Observed:
        return self.recorded_files.get(path) or Observed(path=path)

    @property
    def working_ledger(self) -> ProjectLedger | None:
        """The ledger, where this command works on it."""
        if self.ledger is None:
            return None
        from contentops.ledger.project import ProjectLedger

        return self.ledger if isinstance(self.ledger, ProjectLedger) else None

    @functools.cached_property
    def limiter(self) -> AccountLimiter:
        """The limiter of this command, or of all that use the ledger."""
        from contentops.execution.limiter import Limiter

        api = self.project.api
        if self.ledger is None:
            return Limiter(api.requests_per_minute)
        return self.ledger.sign_in(api, self.runtime.environ.get(api.key_env, "").strip())

    @property
    def state(self) -> State:
        """Lock, journal and all facts recorded since."""
        return self.store.state

    def plan_inputs(self, choice: Choice) -> PlanInputs:
        """Gather what the planner compares: desired, recorded, observed, and the ledger."""
        return _plan_inputs(self, choice)

    def past(self, state: State) -> PastTexts:
        """Return the texts of earlier runs, also those that the cache lacks; `state`: with the ids of today."""
        from contentops.operations.texts.past_texts import PastTexts

        return PastTexts(self.project, state, self.cache, specs_by_id(self.desired))


@contextlib.contextmanager
def open_workspace(
    project: Project, runtime: Runtime = HERE, *, write: bool = False, shard: str = "", keep_stamps: bool = True
) -> Iterator[Workspace]:
    """Open the workspace of a project. Without `write`, only the stamps of files are kept, with `keep_stamps`.

    `shard`: the shards whose items may be changed; empty: all items. Raises StateError for invalid state files; with
    `write`, Refused where `check_lineage` does.
    """
    with open_cache(project, write=keep_stamps) as cache, open_store(project, runtime, write=write) as store:
        if write and store.is_first:
            from contentops.operations.lineage import check_lineage

            check_lineage(project)
        with shared(project, store, cache, runtime, write=write, shard=shard) as ledger:
            yield Workspace(project, store, cache, ledger, runtime)


@contextlib.contextmanager
def shared(
    project: Project, store: StateStore, cache: Cache, runtime: Runtime, *, write: bool, shard: str = ""
) -> Iterator[OpenedLedger]:
    """Open the project's ledger, if it has one, and add its entries and texts to state and cache.

    Without `write`, a ledger that cannot be reached is left out, with a warning. Raises StateError, and with `write`
    Refused for an address that is not on the trusted list.
    """
    if not has_ledger(project, runtime.environ):
        yield OpenedLedger()
        return
    from contentops.operations.ledger import ledger_access

    if write:
        opened = ledger_access.working(project, store, cache, runtime, shard)
    else:
        opened = ledger_access.reading(project, store, cache, runtime)
    with opened as ledger:
        yield ledger


def _plan_inputs(workspace: Workspace, choice: Choice) -> PlanInputs:
    project, store, cache = workspace.project, workspace.store, workspace.cache
    desired = workspace.desired
    server = project.api.server

    others = dict(other_states(project))
    shared = workspace.ledger.elsewhere if workspace.ledger is not None else ()
    state, rekeyed = apply_renames(desired, with_jobs(store.state, others.values(), shared))

    if choice.changed_from:
        from contentops.ci.results import narrowed

        choice = narrowed(project, desired, choice)

    @functools.cache
    def past() -> PastTexts:
        return workspace.past(state)

    outputs = itertools.chain(
        (spec.output for spec in desired.specs), (record.output for record in state.records.values())
    )
    state = without_others(state, others, server, store.lock_path.name)
    name = project.promote_from
    theirs = others.get(locked_environments(project).get(name or "", ""), State(lineage=""))
    # Renames by `moved` may not be applied in that environment yet.
    theirs = structs.replace(apply_renames(desired, theirs)[0], jobs=state.jobs)
    source = None if name is None else SourceEnvironment(environment=name, state=theirs)
    observed = _observed(workspace, desired, state, source)
    return PlanInputs(
        project=project,
        desired=desired,
        state=state,
        observed=observed,
        cached=functools.partial(_cached, cache),
        text=lambda digest: body if (body := cache.body(digest)) is not None else past().text(digest),
        read=lambda path: split(Outputs(project.root).read(path)).body,
        why_no_text=lambda: past().why_missing(),
        exists=present(Path(project.root), outputs),
        denied=denial(Path(project.root)),
        claimed_paths={
            collision_key(each.output): lock for lock, other in others.items() for each in other.records.values()
        },
        source=source,
        choice=choice,
        rekeyed=rekeyed,
        interrupted=store.was_interrupted,
        ordered_at=frozenset(
            job.server for job in store.state.jobs if job.is_sure and (job.server != "local" or job.model)
        ),
        honours_ids=honours_ids(state, server),
        claimed=workspace.ledger.pending if workspace.ledger is not None else {},
        approvals=approvals.load(Path(project.root), workspace.runtime.disk),
    )


def _cached(cache: Cache, job: OpenEntry) -> Digest:
    """Return the body digest of a job's text in the cache: a kill may have left it there alone."""
    text = cache.get_text(job.server, job.digest, job.request_id)
    return NOTHING if text is None else body_digest(text.body)


def with_jobs(state: State, others: Iterable[State], shared: Sequence[OpenEntry] = ()) -> State:
    """Return the state with the jobs of all environments, as any of them answers a request.

    `shared`: those of other environments that only a ledger knows.
    """
    jobs = (*state.jobs, *(job for other in others for job in other.jobs))
    # A file of another environment may be older than the ledger.
    return structs.replace(state, jobs=fold_jobs((*jobs, *shared)) if shared else jobs)


def _observed(
    workspace: Workspace, desired: Desired, state: State, source: SourceEnvironment | None
) -> Mapping[str, Observed]:
    looked_at = [*paths(desired, state)]
    whole: Iterator[Digest] = known_bodies(state)
    if source is not None:
        looked_at += source.paths(desired)
        whole = itertools.chain(whole, known_bodies(source.state))
    outputs = Outputs(workspace.project.root, whole=whole)
    if source is None and "recorded_files" in workspace.__dict__:
        # They were read for the texts of items that others refer to.
        known = workspace.recorded_files
        return {path: known.get(path) or outputs.observe(path) for path in looked_at}
    return _observe_all(workspace, outputs, looked_at)


def _observe_all(workspace: Workspace, outputs: Outputs, at: Iterable[str]) -> dict[str, Observed]:
    cache, runtime = workspace.cache, workspace.runtime
    if not runtime.trusts_stamps:
        return {file.path: file for file, _ in outputs.observe_all(dict.fromkeys(at))}
    return StatCache(outputs, cache.get, cache.put, now=runtime.disk_time()).observe_all(at)


def validate(
    project: Project, runtime: Runtime = HERE, *, drafts: Mapping[str, bytes] = MappingProxyType({})
) -> Desired:
    """Return all items of the manifests; `drafts` replace files. Raises InputError with every finding of every file."""
    try:
        accepted = _accepted_texts(project, read_state(project), runtime, Outputs(project.root).observe)
    except StateError:
        accepted = None  # a lock that cannot be read says nothing against the manifests
    return load(project, catalog_of(project), drafts, accepted)


def _accepted_texts(
    project: Project, state: State, runtime: Runtime, observe: Callable[[str], Observed]
) -> AcceptedTexts:
    """Return where the recorded texts are, for `ref`; each is read only if something refers to it."""
    return AcceptedTexts(
        paths={id_: record.output for id_, record in state.records.items()},
        approvals=approvals.load(Path(project.root), runtime.disk),
        observe=observe,
        read=Outputs(project.root).read,
    )


def declared(project: Project) -> tuple[Desired | None, tuple[Diagnostic, ...]]:
    """Return the items of the manifests; None with a warning where the manifests have errors."""
    try:
        return validate(project), ()
    except InputError as error:
        return None, (unread(error),)


def unread(error: InputError) -> Diagnostic:
    """Return the warning of a command that goes on without the manifests."""
    message = f"the manifests cannot be used, so this shows only the lock and the files: {error.message}"
    hint = "`contentops validate` lists them"
    return Diagnostic(code="manifests-unread", message=message, severity=Severity.WARNING, hint=hint)


def shared_state(project: Project, runtime: Runtime = HERE) -> tuple[State, tuple[Diagnostic, ...]]:
    """Read the state with the open entries of the ledger, and a warning where the ledger cannot be reached."""
    with open_workspace(project, runtime, keep_stamps=False) as workspace:
        return workspace.state, workspace.unread
