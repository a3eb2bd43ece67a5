"""Opens what a command works on: project, store, cache, catalog and the items of the manifests."""

from __future__ import annotations

import contextlib
import functools
import itertools
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, structs

from contentops.api.reading import catalog_entry, template
from contentops.atomic_io import Disk
from contentops.ci.history import changed_on, earlier_bodies, newest_bodies, no_history
from contentops.ci.results import narrowed
from contentops.ci.runner import run_page
from contentops.digest import NOTHING, Digest, digest_bytes
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs, observe_by_stamp
from contentops.documents.folders import denial, present
from contentops.documents.front_matter import split
from contentops.documents.paths import check_output, collision_key, is_own, shown, split_path
from contentops.errors import (
    Diagnostic,
    FileChanged,
    InputError,
    OutputError,
    Severity,
    StateError,
    UsageError,
    did_you_mean,
)
from contentops.execution.limiter import AccountLimiter, Limiter
from contentops.execution.primitives import iso
from contentops.manifests.catalog_lock import FILE, parse
from contentops.manifests.discover import glob_matcher
from contentops.manifests.load import load
from contentops.model import (
    PROJECT_FILE,
    AcceptedTexts,
    Catalog,
    Desired,
    ItemId,
    Observed,
    Project,
    Record,
    Spec,
    State,
)
from contentops.model.jobs import fold_jobs
from contentops.operations.opening import (
    HERE,
    OpenedLedger,
    Runtime,
    check_lineage,
    has_ledger,
    open_cache,
    open_store,
    other_states,
    read_state,
)
from contentops.planning.sides import (
    Choice,
    PlanInputs,
    SourceEnvironment,
    honours_ids,
    moved_ids,
    paths,
    specs_by_id,
    with_new_ids,
)
from contentops.server import catalog
from contentops.state import approvals
from contentops.state.cache import Cache
from contentops.state.state_dir import apply_lock, lock_name, user_at_host
from contentops.state.store import StateStore

# ---- Read the catalog of a project's server: the built-in one for `local`, else the committed one.


def catalog_of(project: Project) -> Catalog | None:
    """Return the catalog of the project's server, or None if it is not known.

    Raises InputError if `catalog.lock.json` is invalid.
    """
    if project.api.base_url != "local":
        data = Disk().read(Path(project.root) / FILE)
        return None if data is None else parse(data).get(project.api.server)
    catalog_data = catalog.load()
    return Catalog(
        templates={job["slug"]: template(job["slug"], job, None) for job in catalog_data["templates"]},
        styles={job["slug"]: catalog_entry(job) for job in catalog_data["styles"]},
        verticals={job["slug"]: catalog_entry(job) for job in catalog_data["verticals"]},
        takes_any_vertical=True,
    )


# ---- Gather once what a command works on: project, store, cache, catalog and desired items.


class Workspace:
    """A project with its opened state. Everything is read only once, when it is first needed."""

    def __init__(
        self, project: Project, store: StateStore, cache: Cache, shared: OpenedLedger, runtime: Runtime
    ) -> None:
        warnings = shared.warnings
        self.project = structs.replace(project, warnings=(*project.warnings, *warnings)) if warnings else project
        self.store = store
        self.cache = cache
        self.ledger = shared.ledger
        """The shared ledger, if the project has one that can be read."""
        self.working_ledger = shared.working
        """The same ledger, if this command changes it."""
        self.unread = warnings
        """Why the project's ledger cannot be read."""
        self.runtime = runtime
        self.files: Mapping[str, Observed] = {}
        """Files that have not changed since they were last read, by path."""

    @functools.cached_property
    def desired(self) -> Desired:
        """Return all items of the manifests. Raises InputError with all findings about all files."""
        project, files = self.project, lambda path: self.recorded_files.get(path) or Observed(path=path)
        return load(project, catalog_of(project), accepted=_accepted_texts(project, self.state, self.runtime, files))

    @functools.cached_property
    def recorded_files(self) -> dict[str, Observed]:
        """Return the files of all records and open jobs, by path."""
        outputs = Outputs(self.project.root, whole=known_bodies(self.state))
        return _observe_all(self, outputs, paths(Desired(), self.state))

    @functools.cached_property
    def limiter(self) -> AccountLimiter:
        """Return the request limiter that the ledger shares, or a limiter for this command if no ledger is used."""
        api = self.project.api
        if self.ledger is None:
            return Limiter(api.requests_per_minute)
        return self.ledger.limiter(api, self.runtime.environ.get(api.key_env, "").strip())

    @property
    def state(self) -> State:
        """Return the state with all changes that were recorded so far."""
        return self.store.state

    def plan_inputs(self, choice: Choice) -> PlanInputs:
        """Return the items, records, files and ledger jobs that the planner compares."""
        project, store, cache, desired = self.project, self.store, self.cache, self.desired
        server = project.api.server

        states = other_states(project)
        others = {lock_name(environment): other for environment, other in states.items()}
        shared = self.ledger.elsewhere if self.ledger is not None else ()
        # Any environment's job answers a request. A file of another one may be older than the ledger.
        jobs = (*store.state.jobs, *(job for other in others.values() for job in other.jobs))
        state = structs.replace(store.state, jobs=fold_jobs((*jobs, *shared)) if shared else jobs)

        if choice.changed_from:
            choice = narrowed(project, desired, choice)

        @functools.cache
        def past() -> PastTexts:
            return self.past(state)

        outputs = itertools.chain(
            (spec.output for spec in desired.specs), (record.output for record in state.records.values())
        )
        name = project.promote_from
        theirs = states.get(name or "", State(lineage=""))
        # Renames by `moved` may not be applied in that environment yet.
        records = with_new_ids(theirs.records, moved_ids(desired, theirs.records))
        theirs = structs.replace(theirs, records=records, jobs=state.jobs)
        source = None if name is None else SourceEnvironment(environment=name, state=theirs)
        inputs = PlanInputs(project=project, desired=desired, state=state, source=source)
        observed = _observed(self, inputs)

        @functools.cache
        def committed() -> Mapping[str, Digest]:
            paths = {record.output for record in state.records.values()}
            return newest_bodies(
                project.root, (path for path in paths if path not in observed or not observed[path].exists)
            )

        return structs.replace(
            inputs,
            observed=observed,
            text=lambda digest: body if (body := cache.body(digest)) is not None else past().text(digest),
            read=lambda path: split(Outputs(project.root).read(path)).body,
            why_no_text=lambda: no_history(project.root),
            changed_on=functools.partial(changed_on, project.root),
            committed=lambda path: committed().get(path, NOTHING),
            exists=present(Path(project.root), outputs),
            denied=denial(Path(project.root)),
            claimed_paths={
                collision_key(each.output): lock for lock, other in others.items() for each in other.records.values()
            },
            claimed_contents=frozenset(
                record.content_id
                for name, other in states.items()
                if name < project.environment
                for record in other.records.values()
                if record.server == server and record.content_id
            ),
            choice=choice,
            interrupted=store.was_interrupted,
            ordered_at=frozenset(
                job.server for job in store.state.jobs if job.is_sure and (job.server != "local" or job.model)
            ),
            honours_ids=honours_ids(state, server),
            claimed=self.ledger.pending if self.ledger is not None else {},
            approvals=approvals.load(Path(project.root), self.runtime.disk),
        )

    def past(self, state: State) -> PastTexts:
        """Return the object that finds texts of earlier runs, including those that the cache lacks."""
        return PastTexts(self.project, state, self.cache, specs_by_id(self.desired))


@contextlib.contextmanager
def open_workspace(
    project: Project,
    runtime: Runtime = HERE,
    *,
    write: bool = False,
    shard: str = "",
    keep_stamps: bool = True,
    store: StateStore | None = None,
) -> Iterator[Workspace]:
    """Open the workspace of a project.

    Without `write`, nothing is written but the stamps of files, and these only with `keep_stamps`. `shard`: the shards
    whose items may be changed; empty means all items. `store`: the state, if it was read already. Raises StateError if
    state files are invalid; with `write`, Refused if `check_lineage` raises it.
    """
    with (
        open_cache(project, write=keep_stamps) as cache,
        store or open_store(project, runtime, write=write) as opened,
    ):
        if write and opened.is_first:
            check_lineage(project)
        with _ledger(project, opened, runtime, write=write, shard=shard) as ledger:
            yield Workspace(project, opened, cache, ledger, runtime)


def _ledger(
    project: Project, store: StateStore, runtime: Runtime, *, write: bool, shard: str
) -> AbstractContextManager[OpenedLedger]:
    """Return a context manager that opens the project's ledger and adds its jobs to the state.

    The ledger is None if the project has none. Without `write`, a ledger that cannot be reached is left out, with a
    warning. Raises StateError, and with `write` Refused if its address is not on the trusted list.
    """
    if not has_ledger(project, runtime.environ):
        return contextlib.nullcontext(OpenedLedger())
    from contentops.operations import ledger  # start-up: loads the driver of PostgreSQL

    return ledger.working(project, store, runtime, shard) if write else ledger.reading(project, store, runtime)


def _observed(workspace: Workspace, inputs: PlanInputs) -> Mapping[str, Observed]:
    looked_at, source = [*inputs.paths], inputs.source
    whole: Iterator[Digest] = known_bodies(inputs.state)
    if source is not None:
        whole = itertools.chain(whole, known_bodies(source.state))
    outputs = Outputs(workspace.project.root, whole=whole)
    if source is None and "recorded_files" in workspace.__dict__:
        # They were read for the texts of items that others refer to.
        known = workspace.recorded_files
        return {path: known.get(path) or outputs.observe(path) for path in looked_at}
    return _observe_all(workspace, outputs, looked_at)


def _observe_all(workspace: Workspace, outputs: Outputs, at: Iterable[str]) -> dict[str, Observed]:
    cache, runtime, known = workspace.cache, workspace.runtime, workspace.files
    if known or not runtime.trusts_stamps:
        paths_now = dict.fromkeys(at)
        read = outputs.observe_all([path for path in paths_now if path not in known])
        return {path: known[path] for path in paths_now if path in known} | {file.path: file for file, _ in read}
    return observe_by_stamp(outputs, at, cache.get, cache.put, now=runtime.disk_time())


def validate(
    project: Project, runtime: Runtime = HERE, *, drafts: Mapping[str, bytes] = MappingProxyType({})
) -> Desired:
    """Return all items of the manifests. Raises InputError with all findings about all files.

    `drafts` are texts to read in place of files, by path.
    """
    try:
        accepted = _accepted_texts(project, read_state(project), runtime, Outputs(project.root).observe)
    except StateError:
        accepted = None  # a lock that cannot be read says nothing against the manifests
    return load(project, catalog_of(project), drafts, accepted)


def _accepted_texts(
    project: Project, state: State, runtime: Runtime, observe: Callable[[str], Observed]
) -> AcceptedTexts:
    """Return the recorded texts that a template can use with `ref`. A file is read only if a template refers to it."""
    return AcceptedTexts(
        paths={id_: record.output for id_, record in state.records.items()},
        approvals=approvals.load(Path(project.root), runtime.disk),
        observe=observe,
        read=Outputs(project.root).read,
    )


def no_item(item: str, ids: Iterable[str]) -> UsageError:
    """Return the error for an unknown item id. It suggests the most similar known id."""
    hint = did_you_mean(item, ids, "`contentops status` lists the items")
    return UsageError(f"there is no item `{item}`", code="unknown-item", hint=hint)


def declared(project: Project) -> tuple[Desired | None, tuple[Diagnostic, ...]]:
    """Return the items of the manifests, or None with a warning if manifests have errors."""
    try:
        return validate(project), ()
    except InputError as error:
        return None, (unread(error),)


def unread(error: InputError) -> Diagnostic:
    """Return the warning of a command that continues although the manifests have errors."""
    message = f"the manifests cannot be used, so this shows only the lock and the files: {error.message}"
    hint = "`contentops validate` lists them"
    return Diagnostic(code="manifests-unread", message=message, severity=Severity.WARNING, hint=hint)


def shared_state(project: Project, runtime: Runtime = HERE) -> tuple[State, tuple[Diagnostic, ...]]:
    """Return the state with the jobs of the ledger, and a warning if the ledger cannot be reached."""
    with open_workspace(project, runtime, keep_stamps=False) as workspace:
        return workspace.state, workspace.unread


# ---- Let one command at a time change the state of a project.


def hold_lock(project: Project, runtime: Runtime) -> AbstractContextManager[object]:
    """Return a context manager; while it is open, no other command changes the state of this project.

    This holds for all environments and work trees. Entering it raises LockHeld if another command changes the state.
    """
    return apply_lock(
        Path(project.root),
        environment=project.environment,
        who=user_at_host(),
        now=iso(runtime.wall()),
        where=run_page(runtime.environ),
    )


def spending(workspace: Workspace) -> AbstractContextManager[None]:
    """Return a context manager; while it is open, no other machine spends from the monthly budget.

    This concerns the machines that share the ledger. Entering it raises LockHeld if another machine spends.
    """
    if workspace.ledger is None or not workspace.project.budget.is_monthly:
        return contextlib.nullcontext()
    return workspace.ledger.spending()


# ---- Read and write manifests for a program that is trusted with nothing else in the project.

_ENDINGS = (".yaml", ".yml")


class WrittenManifest(Struct, frozen=True, kw_only=True):
    """A manifest that was written: its digest, and the warnings and notes about all manifests."""

    digest: Digest
    findings: tuple[Diagnostic, ...] = ()


def read_manifest(project: Project, path: str) -> tuple[str, Digest]:
    """Return the text of a manifest and its digest.

    Raises OutputError if the path is not that of a manifest, FileChanged if there is no file.
    """
    _check_path(project, path)
    text = Outputs(project.root).read(path)
    return text, digest_bytes(text.encode())


def write_manifest(project: Project, path: str, text: str, expect: str, runtime: Runtime = HERE) -> WrittenManifest:
    """Write a manifest if all manifests are then valid, and if nobody has changed the manifest since it was read.

    `expect` is the digest of the old one; empty means that there is none. Raises OutputError if the path is not that of
    a manifest, InputError if any manifest has errors with it, and FileChanged if the file has another digest now.
    """
    _check_path(project, path)
    outputs, now = Outputs(project.root, system=runtime.system), NOTHING
    with contextlib.suppress(FileChanged):
        now = digest_bytes(outputs.read(path).encode())
    if now != expect:
        hint = "`read_manifest` returns its text and digest" if not expect else "read it again, and change that text"
        raise FileChanged(f"{shown(path)} is another file than the one that was read; it stays as it is", hint=hint)
    desired = validate(project, runtime, drafts={path: text.encode()})
    if path not in desired.manifests:
        raise _refused(path, "manifests name it as data")
    return WrittenManifest(digest=outputs.write(path, text, expect=Digest(expect)), findings=desired.findings)


def _check_path(project: Project, path: str) -> None:
    """Raise OutputError if a manifest below the root cannot have this path."""
    split_path(path)
    if problem := check_output(path):
        raise _refused(path, f"it {problem}")
    is_macros = path == posixpath.normpath(project.macros)
    if is_macros or is_own(path) or collision_key(path).rpartition("/")[2] == PROJECT_FILE:
        raise _refused(path, "contentops keeps its own things there")
    if not path.endswith(_ENDINGS) or not any(glob_matcher(one.removeprefix("./"))(path) for one in project.manifests):
        raise _refused(
            path, f"no glob of `manifests` with `.yaml` or `.yml` matches it ({', '.join(project.manifests)})"
        )


def _refused(path: str, why: str) -> OutputError:
    hint = "choose the path of a manifest; a person changes other files"
    return OutputError(f"{shown(path)} is no manifest: {why}", code="not-a-manifest", hint=hint)


# ---- Find texts of earlier runs: in the cache, else in git's history of lock and files.


class PastTexts(Struct, frozen=True, dict=True):
    """Finds earlier texts of a project's items in the cache, in git's history and in files."""

    project: Project
    state: State
    cache: Cache
    declared: Mapping[ItemId, Spec] = MappingProxyType({})
    """The declared items."""

    def text(self, digest: Digest) -> str | None:
        """Return an earlier text from the cache, from git's history or from a file, or None.

        It is a text of an open job, or of a record of any environment.
        """
        text = self._body(digest, self._files(digest))
        return text if text is not None else self._in_files_elsewhere(digest)

    def _files(self, digest: Digest) -> Iterator[str]:
        """Yield the paths of the files that may contain the text, now or in an earlier version."""
        yield from (one.output for one in self.state.records.values() if digest in (*one.bodies, one.adopted))
        for job in (*self.state.jobs, *self.state.open_jobs.values()):
            if job.body == digest:
                now = self.state.records.get(job.item)
                asking = (spec.output for spec in self.declared.values() if spec.digest == job.digest)
                yield from filter(None, (now.output if now is not None else "", job.output, *asking))
        yield from self._files_elsewhere(digest)

    def _files_elsewhere(self, digest: Digest) -> Iterator[str]:
        """Yield the files of other environments from which a text may have been promoted."""
        # Only the environment that promoted an edit which was not saved has recorded it.
        taken = {one.id for one in self.state.records.values() if one.promoted == digest}
        yield from (one.output for one in self._elsewhere if digest in one.bodies or one.id in taken)

    @functools.cached_property
    def _elsewhere(self) -> tuple[Record, ...]:
        return tuple(one for state in other_states(self.project).values() for one in state.records.values())

    def _body(self, digest: Digest, files: Iterable[str]) -> str | None:
        body = self.cache.body(digest)
        if body is None:
            past = (each for path in files for each in earlier_bodies(self.project.root, path))
            body = next((text for each_digest, text in past if each_digest == digest), None)
        return body

    def _in_files_elsewhere(self, digest: Digest) -> str | None:
        """Return the promoted text with this digest from a file of another environment, or None."""
        outputs, files = Outputs(self.project.root), self._files_elsewhere(digest)
        with contextlib.suppress(OutputError):
            path = next((path for path in files if outputs.observe(path).body == digest), None)
            return None if path is None else split(outputs.read(path)).body
        return None
