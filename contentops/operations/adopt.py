"""`adopt`: make items of existing files. No byte of a file changes, and nothing is generated.

The manifest is written before the records. After a stop in between, adopting the same files again adds the records.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field, structs

from contentops.atomic_io import PUBLIC, Disk, read_file
from contentops.ci.results import lock_name
from contentops.digest import is_same_json
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, TOML, split
from contentops.documents.paths import check_output, collision_key, shown
from contentops.documents.preset import apply_preset
from contentops.errors import Diagnostic, InputError, Location, OutputError, Severity, UsageError, first_of, plural
from contentops.manifests.declare import Existing, Manifest, ManifestDraft, draft
from contentops.manifests.discover import WILD, FileError, ProjectFiles, glob_matcher
from contentops.manifests.schema import check_schema
from contentops.manifests.validate import id_problem
from contentops.model import (
    PROJECT_FILE,
    REQUEST_FIELDS,
    Approvals,
    Desired,
    ItemId,
    Json,
    Observed,
    Project,
    Record,
    Spec,
    State,
    text_digest,
)
from contentops.operations.opening import HERE, Runtime, other_states
from contentops.operations.workspace import Workspace, catalog_of, hold_lock, open_workspace
from contentops.planning.approval import draft_mark
from contentops.planning.sides import apply_renames, pending
from contentops.state import approvals
from contentops.yaml.read import MAX_BYTES, read_yaml

# ---- Make the manifest entries, ids and records of items for existing texts.


class Taken(Struct, frozen=True, kw_only=True):
    """A text that is or becomes an item."""

    id: str
    path: str
    generates: bool
    """Whether the item has a template."""
    declared: bool
    """Whether a manifest declared it before."""
    left_out: tuple[str, ...] = ()
    """Keys of its front matter that the manifest leaves out."""
    content: str = ""
    """The stored content that it was imported from."""


class Adoption(Struct, frozen=True, kw_only=True):
    """What becomes items, and what does not."""

    manifest: str = ""
    """The manifest that is written, or empty."""
    added: str = ""
    """The text that is added to it."""
    taken: tuple[Taken, ...] = ()
    known: tuple[Taken, ...] = ()
    """Texts that items had before."""
    findings: tuple[Diagnostic, ...] = ()
    """Texts that are refused (errors), and items that are declared without their template (warnings)."""

    @property
    def refused(self) -> int:
        """How many texts are refused."""
        return sum(one.code == "not-adopted" for one in self.findings)

    @property
    def drafts(self) -> tuple[Diagnostic, ...]:
        """The warning of texts that the next apply makes drafts, if there are any."""
        return tuple(one for one in self.findings if one.code == "adopted-as-drafts")


def taken_of(spec: Spec, *, declared: bool, left_out: tuple[str, ...] = (), content: str = "") -> Taken:
    """Return the item of a spec as one that is adopted or imported."""
    generates = bool(spec.request.template)
    return Taken(
        id=spec.id, path=spec.output, generates=generates, declared=declared, left_out=left_out, content=content
    )


def not_adopted(path: str, message: str, hint: str = "") -> Diagnostic:
    """Return the finding that a file is not adopted."""
    return Diagnostic(code="not-adopted", message=f"{shown(path)} {message}", location=Location(path), hint=hint)


def without_template(path: str, unfit: Diagnostic) -> Diagnostic:
    """Return the warning that a text is declared without its template."""
    return Diagnostic(
        code="adopted-without-template",
        message=f"{shown(path)} is declared without a template: {unfit.message}",
        severity=Severity.WARNING,
        location=Location(path),
        hint=unfit.hint,
    )


def becoming_drafts(
    project: Project, texts: Iterable[tuple[Spec, Observed]], approved: Approvals, manifest: str
) -> list[Diagnostic]:
    """Return a warning that the next apply marks texts as drafts, as no one approved them; none where it does not.

    `manifest`: the one that gets the new items, or empty.
    """
    mark = draft_mark(project.preset)
    ids = [
        spec.id
        for spec, file in texts
        if spec.approval.required
        and not approved.is_approved(text_digest(file.title, file.body))
        and {**file.front, **mark} != file.front
    ]
    if not ids:
        return []
    why = f"because `approval` is required and no one approved {'it' if len(ids) == 1 else 'them'}"
    message = f"the next apply marks {plural(len(ids), 'text')} as draft, {why}: {first_of(ids)}"
    option = f" --env {project.environment}" if project.environment else ""
    other = (
        f"write `approval: off` under `defaults` of `{manifest}`" if manifest else "set `approval: off` on the items"
    )
    hint = f"before that apply, read them and run `contentops approve ITEM{option}`, or {other}"
    return [Diagnostic(code="adopted-as-drafts", message=message, severity=Severity.WARNING, hint=hint)]


def slug(text: str) -> str:
    """Return a text in the characters that ids may have; empty if it has none of them."""
    allowed = "".join(
        char if char.isalnum() or char in "_./@+-" or unicodedata.category(char).startswith("M") else "-"
        for char in unicodedata.normalize("NFC", text)
    )
    parts = (re.sub(r"-+", "-", part).strip("-") for part in allowed.split("/"))
    return "/".join(part for part in parts if part.strip("."))


def record_of(project: Project, spec: Spec, file: Observed) -> Record:
    """Return the record of a text that no job made."""
    front = apply_preset(project.preset, spec.metadata)
    front.pop(TITLE_KEY, None)
    return Record(
        id=spec.id,
        **spec.asked,
        server=project.api.server,
        dialect=project.api.dialect,
        output=spec.output,
        title=file.title,
        adopted=file.body,
        metadata={key: value for key, value in front.items() if is_same_json(file.front.get(key), value)},
        protected=spec.protected,
    )


# --- the manifest ------------------------------------------------------------------------------------------


class Drafted(Struct, frozen=True, kw_only=True):
    """A manifest that is about to be written."""

    manifest: Manifest
    draft: ManifestDraft


def drafted_for(
    workspace: Workspace, into: str, texts: Sequence[Existing], head: str, *, name: str = "adopted"
) -> Drafted | None:
    """Return the manifest `into`, or one called `name`, with entries for the texts; None without texts.

    Raises UsageError where that manifest cannot take them.
    """
    if not texts:
        return None
    project = workspace.project
    path = into or _default_manifest(project, name)
    hidden = path == PROJECT_FILE or any(part.startswith(".") for part in path.split("/"))
    if hidden or not any(glob_matcher(pattern.removeprefix("./"))(path) for pattern in project.manifests):
        globs = ", ".join(f"`{pattern}`" for pattern in project.manifests)
        message = f"`{path}` is not where the project looks for manifests: {globs}"
        raise UsageError(message, code="no-manifest-place", hint=f"`--into` another file, or change `{PROJECT_FILE}`")
    try:
        data = ProjectFiles(Path(project.root)).read(path)
        text = None if data is None else data.decode()
    except FileError as error:
        raise InputError([error.finding]) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"`{path}` is not UTF-8", code="no-manifest-place", hint="`--into` another file") from error
    manifest = Manifest(path=path, text=text, head=head)
    made = draft(project, catalog_of(project), manifest, texts)
    _check_others(workspace.desired, made, path)
    return Drafted(manifest=manifest, draft=made)


def _check_others(before: Desired, made: ManifestDraft, path: str) -> None:
    """Raise UsageError where the new entries would change existing items."""
    after = {spec.id: _meaning(spec) for spec in made.desired.specs}
    changed = [spec.id for spec in before.specs if after.get(spec.id) != _meaning(spec)]
    if changed:
        message = f"the addition to `{path}` would change `{changed[0]}`"
        raise UsageError(message, code="not-extendable", hint="name a new file with `--into`")


def _meaning(spec: Spec) -> tuple[object, ...]:
    return spec.digest, spec.output, spec.metadata, spec.tags, spec.on_edit, spec.merge, spec.protected, spec.save


def _default_manifest(project: Project, stem: str) -> str:
    """Return a file of this name in the first folder where the project looks for manifests."""
    for pattern in project.manifests:
        parts = pattern.removeprefix("./").split("/")
        fixed = parts[: next((at for at, part in enumerate(parts[:-1]) if WILD.search(part)), len(parts) - 1)]
        for name in (f"{stem}.yaml", f"{stem}.yml"):
            if glob_matcher("/".join(parts))(path := "/".join([*fixed, name])):
                return path
    raise UsageError("no manifest is named", code="no-manifest-place", hint="name one with `--into`")


def write_manifest(project: Project, drafted: Drafted, disk: Disk) -> None:
    """Write the manifest. Raises StateError and OutputError where the disk refuses, or the file was changed."""
    path, before = Path(project.root) / drafted.manifest.path, drafted.manifest.text
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"`{drafted.manifest.path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="`--into` another file, or check who may write there") from error
    if disk.read(path) != (None if before is None else before.encode()):
        raise OutputError(f"`{drafted.manifest.path}` was changed in the meantime", hint="run the command again")
    disk.replace(path, drafted.draft.text.encode(), PUBLIC)


# ---- `adopt`: make items of existing files. No byte of a file changes, and nothing is generated.

MARKDOWN: Final = (".md", ".markdown", ".mdx")
"""Endings of the files that are searched for in folders."""


class RequestSource(Struct, frozen=True, kw_only=True):
    """Where the request of a text is taken from: values for all texts, and keys of their front matter."""

    values: Mapping[str, Json] = field(default_factory=dict)
    """Item keys for all texts, `inputs` among them."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Item keys, each with the key of front matter that has its value; ranks above `values`."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Inputs, each with the key of front matter that has its value."""
    metadata: frozenset[str] | None = None
    """The keys of front matter to declare; None: all."""

    def spec_of(self, front: Mapping[str, Json]) -> dict[str, Json]:
        """Return the item keys of a text with this front matter; empty where neither template nor input is known."""
        keys: dict[str, Json] = {name: self.values[name] for name in REQUEST_FIELDS if name in self.values}
        keys |= {name: front[key] for name, key in self.keys.items() if name != "id" and front.get(key) is not None}
        given = self.values.get("inputs")
        inputs = {**given} if isinstance(given, dict) else {}
        inputs |= {name: front[key] for name, key in self.inputs.items() if front.get(key) is not None}
        if inputs:
            keys["inputs"] = inputs
        return keys if {"template", "inputs"} & keys.keys() else {}


def read_map(path: Path) -> RequestSource:
    """Read a mapping file. Raises InputError for one that is invalid, OutputError where it cannot be read."""
    try:
        data = read_file(path, MAX_BYTES + 1)
    except OSError as error:
        raise OutputError(f"`{path}` cannot be read: {error.strerror or error}", hint="check `--map`") from error
    document, findings = read_yaml(str(path), data)
    findings += check_schema(document, "adopt")
    if findings:
        raise InputError(findings)
    mapping: dict[str, Json] = document.root or {}
    metadata = mapping.get("metadata")
    return RequestSource(
        keys={name: mapping[name] for name in ("id", *REQUEST_FIELDS) if name != "inputs" and mapping.get(name)},
        inputs=mapping.get("inputs") or {},
        metadata=None if metadata is None else frozenset(metadata),
    )


class Options(Struct, frozen=True, kw_only=True):
    """How files are adopted."""

    into: str = ""
    """The manifest that gets the items; empty: `adopted.yaml` where the project looks for manifests."""
    source: RequestSource = RequestSource()
    id: str = ""
    """The id, where one file is named."""
    save: bool = False


def adopt(
    project: Project,
    names: Sequence[str],
    options: Options,
    *,
    confirm: Callable[[Adoption], bool],
    runtime: Runtime = HERE,
) -> Adoption:
    """Make items of files, folders and globs, relative to the project root, if `confirm` agrees.

    Raises InputError where the manifests have errors, UsageError for a manifest that cannot take them, StateError and
    OutputError.
    """
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        named = _find(workspace, names, options)
        drafted = drafted_for(workspace, options.into, named.new, "Items that were there before contentops: adopted.")
        adoption = _adoption(named, drafted)
        desired = drafted.draft.desired if drafted is not None else workspace.desired
        specs = {str(spec.id): spec for spec in desired.specs}
        texts = [(specs[one.id], named.files[one.path]) for one in adoption.taken]
        approved = approvals.load(Path(project.root), runtime.disk)
        drafts = becoming_drafts(project, texts, approved, adoption.manifest)
        adoption = structs.replace(adoption, findings=(*adoption.findings, *drafts))
        if not confirm(adoption):
            return adoption
        if drafted is not None and adoption.manifest:
            write_manifest(project, drafted, runtime.disk)
        records = [record_of(project, spec, file) for spec, file in texts]
        outputs = Outputs(project.root)
        for record in records:
            # Later edits are compared with it.
            workspace.cache.keep_body(record.adopted, split(outputs.read(record.output)).body)
        if records:
            workspace.store.note("adopt", *records)
        # An earlier run may have been stopped before its records came into the lock.
        workspace.store.checkpoint()
    return adoption


# --- which files -------------------------------------------------------------------------------------------


class _NamedFiles(Struct, frozen=True, kw_only=True):
    """The files that were named: new items, declared items without a record, items with one, and refusals."""

    files: dict[str, Observed] = field(default_factory=dict)
    new: list[Existing] = field(default_factory=list)
    declared: list[Spec] = field(default_factory=list)
    known: list[Taken] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)


def _find(workspace: Workspace, names: Sequence[str], options: Options) -> _NamedFiles:
    project = workspace.project
    state, _ = apply_renames(workspace.desired, workspace.state)
    paths, missing = _paths(project, names)
    if options.id and len(paths) != 1:
        raise UsageError("`--id` is for one file", code="one-id", hint="leave it out: ids come from the paths")
    outputs = Outputs(project.root, whole=known_bodies(state))
    result = _NamedFiles(findings=missing)
    owners = _Owners(workspace, state)
    for path in paths:
        if (record := owners.record(path)) is not None:
            generates = bool(record.request.get("template"))
            result.known.append(Taken(id=record.id, path=path, generates=generates, declared=True))
            continue
        file = outputs.observe(path) if not check_output(path) else None
        if refusal := owners.refusal(path) or _unusable(path, file):
            result.findings.append(refusal)
            continue
        assert file is not None
        result.files[path] = file
        if (spec := owners.spec(path)) is not None:
            result.declared.append(spec)
            continue
        front = {**({TITLE_KEY: file.title} if file.title else {}), **file.front}
        id_ = options.id or _id(path, front.get(options.source.keys.get("id", "")))
        if refusal := owners.taken_id(path, id_):
            result.findings.append(refusal)
            continue
        result.new.append(
            Existing(
                id=id_,
                spec=options.source.spec_of(front),
                output=path,
                title=file.title,
                front=file.front,
                declared=options.source.metadata,
                save=options.save,
            )
        )
    return result


def _paths(project: Project, names: Sequence[str]) -> tuple[list[str], list[Diagnostic]]:
    """Return the files that are named, sorted, and a finding for each name that matches none."""
    files, root = ProjectFiles(Path(project.root)), Path(project.root)
    paths: set[str] = set()
    missing: list[Diagnostic] = []
    for name in names:
        if name.split("/")[0] == "..":
            missing.append(not_adopted(name, "is outside the project"))
            continue
        exists = os.path.lexists(root / name)
        is_folder = exists and (root / name).is_dir()
        if exists:
            matched = _markdown(files.walk("" if name == "." else name)) if is_folder else [name]
        elif WILD.search(name):
            matches = glob_matcher(name)
            matched = [path for path in _markdown(files.walk()) if matches(path)]
        else:
            matched = []
        paths.update(matched)
        if not matched:
            if is_folder or WILD.search(name):
                hint = f"looked for names that end in {', '.join(MARKDOWN)}; name other files directly"
                missing.append(not_adopted(name, "contains no Markdown file", hint))
            else:
                hint = "name a file, a folder, or a glob in quotes, relative to the current folder"
                missing.append(not_adopted(name, "does not exist", hint))
    return sorted(paths), missing


def _markdown(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(MARKDOWN) and "node_modules" not in path.split("/")]


def _busy(state: State) -> Iterator[tuple[ItemId, tuple[str, str]]]:
    """Yield the items whose text is still to come, each with a phrase that says so and a hint."""
    for job in pending(state.open_jobs.values()):
        give_up = f"`contentops state resolve {job.item} --forget --request {job.short}`"
        hint = f"move the file away and apply; or give up the paid text with {give_up}"
        yield job.item, ("which has a job under way", hint)


class _Owners:
    """Who has a path or an id already, or gets it in this run."""

    def __init__(self, workspace: Workspace, state: State) -> None:
        desired = workspace.desired
        self._records = {collision_key(record.output): record for record in state.records.values()}
        self._specs = {collision_key(spec.output): spec for spec in desired.specs}
        self._ids = {*state.records, *(spec.id for spec in desired.specs)}
        self._recorded = state.records
        self._read = {collision_key(path) for path in desired.inputs}
        self._other_environments = {
            collision_key(record.output): lock_name(name)
            for name, other in other_states(workspace.project).items()
            for record in other.records.values()
        }
        self._busy = dict(_busy(state))
        self._adopted: dict[str, str] = {}
        self._declared = {spec.id for spec in desired.specs}

    def record(self, path: str) -> Record | None:
        """Return the record of the declared item whose file this is."""
        record = self._records.get(collision_key(path))
        return record if record is not None and record.output == path and record.id in self._declared else None

    def spec(self, path: str) -> Spec | None:
        """Return the declared item whose output this is."""
        return self._specs.get(collision_key(path))

    def refusal(self, path: str) -> Diagnostic | None:
        """Return why a path cannot be a new item's file; else it is taken from now on."""
        key = collision_key(path)
        if problem := check_output(path):
            return not_adopted(path, problem)
        if key in self._other_environments:
            return not_adopted(path, f"belongs to `{self._other_environments[key]}`, another environment")
        if key in self._read:
            return not_adopted(path, "is read by the manifests")
        if (record := self._records.get(key)) is not None:
            hint = f"`contentops state rm {record.id}` forgets that record"
            return not_adopted(path, f"belongs to the record of `{record.id}` (`{record.output}`)", hint)
        spec = self._specs.get(key)
        if spec is not None and spec.output != path:
            return not_adopted(
                path, f"differs from `{spec.output}`, the output of `{spec.id}`, only in case or accents"
            )
        if spec is not None and spec.id in self._recorded:
            current = self._recorded[spec.id].output
            return not_adopted(path, f"is the new path of `{spec.id}`, whose text is still at `{current}`")
        if spec is not None and (busy := self._busy.get(spec.id)) is not None:
            return not_adopted(path, f"is the output of `{spec.id}`, {busy[0]}", busy[1])
        other = self._adopted.setdefault(key, path)
        return None if other == path else not_adopted(path, f"differs from `{other}` only in case or accents")

    def taken_id(self, path: str, id_: str) -> Diagnostic | None:
        """Return why an id cannot be a new item's; else it is taken from now on."""
        hint = f"adopt it separately, under another id: `contentops adopt {path} --id ID`"
        if problem := id_problem(id_) if id_ else "is empty":
            return not_adopted(path, f"would get the id `{id_}`, which {problem}", hint)
        if id_ in self._ids:
            return not_adopted(path, f"would get the id `{id_}`, which another item has", hint)
        self._ids.add(ItemId(id_))
        return None


_CONVERT: Final = "commit, then `hugo convert toYAML --unsafe` writes the front matter of the whole site as YAML"


def _unusable(path: str, file: Observed | None) -> Diagnostic | None:
    if file is None or not file.exists:
        return not_adopted(path, "does not exist")
    if file.problem:
        hint = _CONVERT if TOML in file.problem else ""
        return Diagnostic(code="not-adopted", message=file.problem, location=Location(path), hint=hint)
    return None


def _id(path: str, stated: Json) -> str:
    """Return the id of a file: what its front matter states, else its path without the ending."""
    source = str(stated) if isinstance(stated, str | int) and not isinstance(stated, bool) else ""
    return slug(source or posixpath.splitext(path)[0])


# --- what comes of it --------------------------------------------------------------------------------------


def _adoption(named: _NamedFiles, drafted: Drafted | None) -> Adoption:
    """Return what is adopted."""
    taken = [taken_of(spec, declared=True) for spec in named.declared]
    findings = list(named.findings)
    if drafted is not None:
        made = drafted.draft
        specs = {str(spec.id): spec for spec in made.desired.specs}
        for text in named.new:
            if (refusal := made.refused.get(text.id)) is not None:
                findings.append(not_adopted(text.output, f"cannot be declared: {refusal.message}", refusal.hint))
                continue
            if (unfit := made.unfit.get(text.id)) is not None:
                findings.append(without_template(text.output, unfit))
            taken.append(taken_of(specs[text.id], declared=False, left_out=made.left_out.get(text.id, ())))
    is_written = drafted is not None and any(not one.declared for one in taken)
    return Adoption(
        manifest=drafted.manifest.path if drafted is not None and is_written else "",
        added=drafted.draft.added if drafted is not None and is_written else "",
        taken=tuple(sorted(taken, key=lambda one: one.path)),
        known=tuple(named.known),
        findings=tuple(sorted(findings, key=lambda one: one.message)),
    )
