"""A plan of the few items that changed since the last plan that had nothing to do; of all others nothing is to be said.

Whoever edits an item and asks what that costs should not wait for a thousand others to be compared again. The items
that changed go the ordinary way, through the loader and the planner, alone: `unchanged` knows which files differ, and
this module which items these files tell of. It takes on only what cannot touch any other item: manifests with the same
ids, outputs and variables as before, and outputs that were edited. Everything else raises `_Other`, and the whole
project is planned.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
from msgspec import Struct, structs

from contentops.atomic_io import PRIVATE, read_file, replace
from contentops.collector import without_collection
from contentops.digest import Digest, digest_bytes, is_same_json
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.documents.folders import denial
from contentops.errors import ContentopsError
from contentops.manifests.discover import FileError
from contentops.manifests.load import Loader
from contentops.model import Desired, ItemId, Record, Spec, State
from contentops.operations.catalog.project_catalog import catalog_of
from contentops.operations.environments import locked_environments
from contentops.operations.opening import open_cache
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice, PlanInputs
from contentops.state import state_dir
from contentops.state.codec import Header, line_of, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.manifests.parse_cache import FileResult
    from contentops.model import Observed, Plan, Project
    from contentops.operations.unchanged import LastPlan
    from contentops.operations.workspace import Workspace
    from contentops.state.cache import Cache

FEW: Final = 50
"""So many files may differ; with more, the whole project is planned."""


class _Other(Exception):
    """More may have changed than single items."""


class _ItemRow(Struct, frozen=True, array_like=True, gc=False):
    """Where an item's file and its record are: the path, and the bytes of its line in the lock."""

    id: ItemId
    output: str
    start: int
    size: int


class _ManifestRow(Struct, frozen=True, array_like=True):
    """A manifest as it was, and where its items are: their length, behind those of the manifests before it."""

    path: str
    digest: Digest
    size: int


class _KeptItems(Struct, frozen=True):
    """The first line of what is kept of a plan that had nothing to do; the items of all manifests follow."""

    plan: str
    """The name of that plan."""
    recorded: int
    """How many records other servers than the embedded one have made."""
    manifests: list[_ManifestRow]


# --- kept --------------------------------------------------------------------------------------------------


@without_collection()
def keep_items(last: LastPlan, workspace: Workspace, plan: Plan) -> None:
    """Keep which items a plan was about, beside the plan itself; nothing where items may touch each other."""
    with contextlib.suppress(OSError, ValueError):  # then the next plan is of all items
        _keep_items(last, workspace, plan)


def _keep_items(last: LastPlan, workspace: Workspace, plan: Plan) -> None:
    state, desired = workspace.state, workspace.desired
    settled = all(
        (record := state.records.get(spec.id)) is not None and record.output == spec.output for spec in desired.specs
    )
    alone = not (plan.notes or plan.refusals or desired.moved) and len(state.records) == len(desired.specs)
    if not (settled and alone and last.plan is plan):
        return
    rows: dict[str, list[_ItemRow]] = {path: [] for path in desired.manifests}
    for spec, place in zip(desired.specs, _lines(workspace.store.lock_path, state.lineage), strict=True):
        if spec.location is None or spec.location.file not in rows:
            return
        rows[spec.location.file].append(_ItemRow(spec.id, spec.output, *place))
    encode = msgspec.json.Encoder().encode
    items = list(map(encode, rows.values()))
    manifests = [
        _ManifestRow(path, digest_bytes(read_file(f"{last.root}/{path}")), len(each))
        for path, each in zip(rows, items, strict=True)
    ]
    recorded = sum(record.server != "local" for record in state.records.values())
    _write(last, _KeptItems(last.name, recorded, manifests), items)


def _write(last: LastPlan, kept: _KeptItems, items: Iterable[bytes | memoryview]) -> None:
    """Keep the items, unless a manifest that was read again for its digest may not be the one that was planned."""
    if last.has_rested(manifest.path for manifest in kept.manifests):
        replace(last.path("items"), b"".join((msgspec.json.encode(kept), b"\n", *items)), mode=PRIVATE)


def _lines(lock: Path, lineage: str) -> Iterator[tuple[int, int]]:
    """Where the line of each record is, by id. Raises ValueError for a lock that is not as this version writes it."""
    with lock.open("rb") as file:
        header = file.readline()
        if header != f"{line_of(Header(lineage=lineage))}\n".encode():
            raise ValueError(lock.name)
        start = len(header)
        for line in file:
            yield start, len(line)
            start += len(line)


# --- planned -----------------------------------------------------------------------------------------------


@without_collection()
def plan_few(last: LastPlan, project: Project) -> Plan | None:
    """What `apply` would do, where a few items alone may have changed since the last plan; None: not known here."""
    if last.plan is None or not 0 < len(last.differences) <= FEW or project.promote_from is not None:
        return None
    try:
        with open_cache(project, write=True) as cache:
            cache.in_part = True
            return _Few(last, last.plan, project, cache).plan()
    except (_Other, FileError, ContentopsError, OSError, ValueError, LookupError):
        return None  # whatever is wrong, the ordinary way tells of it


class _Few:
    def __init__(self, last: LastPlan, before: Plan, project: Project, cache: Cache) -> None:
        self.last, self.before, self.project, self.cache = last, before, project, cache
        data = read_file(last.path("items"), follow=False)
        view, end = memoryview(data), data.index(b"\n") + 1
        self.kept = msgspec.json.decode(view[:end], type=_KeptItems)
        if self.kept.plan != last.name:
            raise _Other
        self.manifests = {manifest.path: manifest for manifest in self.kept.manifests}
        self.items: dict[str, memoryview] = {}
        """The items of each manifest; decoded only where they are needed."""
        for manifest in self.kept.manifests:
            self.items[manifest.path] = view[end : end + manifest.size]
            end += manifest.size
        self.loader = Loader(project, catalog_of(project), cache)
        self.rows: dict[ItemId, _ItemRow] = {}

    def plan(self) -> Plan:
        """The plan of what changed, with the counts of the whole."""
        files = {one.path for one in self.last.differences if not one.is_same_folder}
        if not all(one.is_file or one.is_same_folder for one in self.last.differences):
            raise _Other
        others = locked_environments(self.project).keys() - {self.project.environment}
        if others or self.loader.discover() != (list(self.manifests), []):
            raise _Other
        changed = [path for path in self.manifests if path in files]
        specs = [spec for path in changed for spec in self._changed_specs(self.manifests[path], files)]
        specs += self._edited(files.difference(changed, (spec.output for spec in specs)))
        made = make_plan(self._inputs(sorted(specs, key=lambda spec: spec.id)))
        if made.submits and any(digest.encode() in self._lock.read_bytes() for digest in _asked(made)):
            raise _Other  # another item has the very same request
        if not (made.changes or made.notes):
            self._renew(changed)
        unchanged = self.before.unchanged - len(specs) + made.unchanged
        return structs.replace(made, unchanged=unchanged, findings=self.before.findings)

    def _renew(self, changed: list[str]) -> None:
        """Remember the plan with the stamps of today, as nothing that was changed makes a difference."""
        if not self.last.renew(self.loader.files.searched):
            return
        for path in changed:
            self.loader.load_file(path)  # keeps what the next edit is compared with
        manifests = [
            structs.replace(one, digest=digest_bytes(read_file(f"{self.last.root}/{one.path}")))
            if one.path in changed
            else one
            for one in self.kept.manifests
        ]
        _write(self.last, structs.replace(self.kept, plan=self.last.name, manifests=manifests), self.items.values())

    def _changed_specs(self, manifest: _ManifestRow, files: set[str]) -> Iterator[Spec]:
        """The specs of a manifest that are not as they were, or whose output is among the files that differ."""
        before, now = self.loader.stored(manifest.path, manifest.digest), self._result(manifest.path)
        named = (found.location.file for found in self.before.findings if found.location is not None)
        if before is None or _outline(before) != _outline(now) or manifest.path in named:
            raise _Other
        self._take_rows(manifest)
        for old, new in zip(before.specs, now.specs, strict=True):
            if new.output in files or not _is_same(old, new):
                yield new

    def _result(self, path: str) -> FileResult:
        """What a manifest comes to now. It is not kept: whoever asks what an edit costs edits again, or applies."""
        content = self.loader.files.read(path)
        if content is None:
            raise _Other
        return self.loader.stored(path, digest_bytes(content)) or self.loader.builder.build(path, content)

    def _edited(self, files: set[str]) -> Iterator[Spec]:
        """The items whose outputs these files are; raises _Other where one is none."""
        written = {msgspec.json.encode(path): path for path in files}
        left = set(files)
        for manifest in self.kept.manifests if left else ():
            items = bytes(self.items[manifest.path])
            if not any(path in items for path in written):
                continue
            result = self.loader.stored(manifest.path, manifest.digest)
            self._take_rows(manifest)
            for spec in result.specs if result is not None else ():
                if spec.output in left:
                    left.remove(spec.output)
                    yield spec
        if left:
            raise _Other

    def _take_rows(self, manifest: _ManifestRow) -> None:
        self.rows.update((row.id, row) for row in msgspec.json.decode(self.items[manifest.path], type=list[_ItemRow]))

    def _inputs(self, specs: list[Spec]) -> PlanInputs:
        records = {spec.id: self._record(self.rows[spec.id]) for spec in specs}
        state = State(lineage=self.before.lineage, records=records)
        outputs = Outputs(self.project.root, whole=known_bodies(state))
        here = sum(record.server != "local" for record in records.values())
        return PlanInputs(
            project=self.project,
            desired=Desired(specs=tuple(specs), manifests=tuple(self.manifests)),
            state=state,
            observed={spec.output: self._observed(outputs, spec) for spec in specs},
            stored=self._stored,
            text=_other,
            read=_other,
            why_no_text=_other,
            exists=_other,
            denied=denial(Path(self.project.root)),
            choice=Choice(),
            recorded_besides=self.kept.recorded - here,
        )

    def _record(self, row: _ItemRow) -> Record:
        with self._lock.open("rb") as lock:
            lock.seek(row.start)
            found = parse_line(lock.read(row.size).decode())
        if not isinstance(found, Record) or found.id != row.id or found.output != row.output:
            raise _Other
        return found

    @property
    def _lock(self) -> Path:
        return Path(self.project.root, state_dir.named("contentops", self.project.environment, "lock"))

    def _observed(self, outputs: Outputs, spec: Spec) -> Observed:
        found = outputs.observe(spec.output)
        if found.problem or not found.exists or found.owner not in ("", spec.id):
            raise _Other
        return found

    def _stored(self, digest: Digest) -> None:
        if self.cache.get_text(self.project.api.server, digest) is not None:
            raise _Other  # whose text it is, the other items tell


def _asked(plan: Plan) -> Iterator[Digest]:
    return (change.submit.digest for change in plan.changes if change.submit is not None)


def _other(*_asked: object) -> NoReturn:
    raise _Other


def _outline(result: FileResult) -> tuple[object, ...]:
    """What a manifest is to the others: all but the words of its items. Raises _Other if it says more."""
    if result.findings or result.moved or result.claims or not result.complete:
        raise _Other
    specs = [(spec.id, spec.output, spec.request.brand_voice is None, _layer(spec, "output")) for spec in result.specs]
    return result.path, specs, result.used, result.data, result.items


def _is_same(old: Spec, new: Spec) -> bool:
    """Whether two specs of an item are the same, wherever it is written."""
    moved = structs.replace(old, location=new.location, origins=new.origins, variables=new.variables)
    # To Python, `1` and `true` are the same.
    alike = moved == new and is_same_json(old.metadata, new.metadata)
    return alike and _layer(old, "protected") == _layer(new, "protected")


def _layer(spec: Spec, name: str) -> tuple[object, ...]:
    origin = spec.origins.get(name)
    return () if origin is None else (origin.layer, origin.variables)
