"""`adopt` makes items from existing files; `import` makes items from texts that the server stores.

Nothing is generated or saved, and no byte of an existing file changes. `import` writes files first, then the manifest,
then the records. After a stop in between, the same command finds its own files and entries, and finishes.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field, structs

from contentops.api.calls import Content, ContentEntry, Failure, GetContent
from contentops.api.outcomes import is_about_one
from contentops.atomic_io import read_file
from contentops.digest import NOTHING, Digest, digest_bytes, is_same_json
from contentops.documents.clean import body_digest, clean_body, clean_title, known_bodies, title_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, TOML, compose, provenance, split
from contentops.documents.paths import check_output, collision_key, shown
from contentops.documents.preset import apply_preset, title_for, with_changed_at
from contentops.errors import Diagnostic, InputError, Location, OutputError, Severity, UsageError
from contentops.execution.contents import ITEM_KEY, SPEC_KEY, StoredContent
from contentops.execution.primitives import iso
from contentops.manifests.declare import Existing, Manifest, ManifestDraft, draft
from contentops.manifests.discover import WILD, FileError, ProjectFiles, glob_matcher
from contentops.manifests.schema import check_schema
from contentops.manifests.validate import id_problem
from contentops.model import (
    PROJECT_FILE,
    REQUEST_FIELDS,
    ItemId,
    Json,
    Observed,
    Project,
    Record,
    Saved,
    Spec,
    State,
)
from contentops.operations.connection import Caller, content_owners, converse
from contentops.operations.opening import HERE, Runtime, other_states
from contentops.operations.workspace import Workspace, catalog_of, hold_lock, open_workspace
from contentops.planning.sides import moved_ids, pending, with_new_ids
from contentops.sections import main_heading
from contentops.state.state_dir import lock_name
from contentops.yaml.read import MAX_BYTES, read_yaml

# ---- Make the manifest entries, ids and records of items for existing texts.


class Taken(Struct, frozen=True, kw_only=True):
    """A text that already belongs to an item, or that becomes the text of a new item."""

    id: str
    path: str
    generates: bool
    """Whether the item has a template."""
    declared: bool
    """Whether a manifest declared the item before."""
    left_out: tuple[str, ...] = ()
    """Keys of its front matter that the manifest leaves out."""
    content: str = ""
    """The stored content that it was imported from."""


class Adoption(Struct, frozen=True, kw_only=True):
    """The texts that become new items, and a finding about each text that cannot become one."""

    manifest: str = ""
    """The manifest that is written, or empty."""
    added: str = ""
    """The text that is added to it."""
    taken: tuple[Taken, ...] = ()
    known: tuple[Taken, ...] = ()
    """Texts that belonged to items before."""
    findings: tuple[Diagnostic, ...] = ()
    """Texts that are refused (errors), and items that are declared without their template (warnings)."""

    @property
    def refused(self) -> int:
        """Return how many texts cannot become items."""
        return sum(one.code == "not-adopted" for one in self.findings)


class _Text(Struct, frozen=True, kw_only=True):
    """A text that becomes the text of a new item."""

    entry: Existing
    """The entry for the manifest; it is not used if a manifest declares `spec` already."""
    file: Observed
    """Its file. For a stored content: the file as it will be written, without a path."""
    spec: Spec | None = None
    """The declared item whose text it is."""
    content: Content | None = None
    """The stored content that it is imported from."""

    def refused(self, why: str, hint: str = "") -> Diagnostic:
        """Return the finding that says why this text does not become an item."""
        if self.content is not None:
            return _not_imported(self.content.id, why, hint)
        return _not_adopted(self.file.path, why, hint)


class _Texts(Struct, frozen=True, kw_only=True):
    """The texts examined so far: texts of new items, texts of existing items, and refused texts."""

    new: list[_Text] = field(default_factory=list)
    known: list[Taken] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)


def _not_adopted(path: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic(code="not-adopted", message=f"{shown(path)} {message}", location=Location(path), hint=hint)


def _not_imported(content_id: str, why: str, hint: str = "") -> Diagnostic:
    return Diagnostic(code="not-adopted", message=f"content `{content_id}` {why}", hint=hint)


_Items = Sequence[tuple[Spec, _Text]]
"""The texts that become items, each with its declared item."""


def _planned(
    workspace: Workspace, texts: _Texts, into: str, head: str, name: str
) -> tuple[Adoption, _Items, ManifestDraft | None]:
    """Return how each text becomes an item, and the manifest to write.

    `into` is the path of the manifest; if it is empty, `name` is the name of a new one. Raises UsageError, InputError.
    """
    made = _draft(workspace, into, [text.entry for text in texts.new if text.spec is None], head, name)
    specs = {str(spec.id): spec for spec in made.desired.specs} if made is not None else {}
    refused, unfit, left_out = (made.refused, made.unfit, made.left_out) if made is not None else ({}, {}, {})
    findings, items, taken = list(texts.findings), list[tuple[Spec, _Text]](), list[Taken]()
    for text in texts.new:
        id_ = text.entry.id
        if (refusal := refused.get(id_)) is not None:
            findings.append(text.refused(f"cannot be declared: {refusal.message}", refusal.hint))
            continue
        spec = text.spec or specs[id_]
        if (why := unfit.get(id_)) is not None:
            findings.append(
                Diagnostic(
                    code="adopted-without-template",
                    message=f"{shown(spec.output)} is declared without a template: {why.message}",
                    severity=Severity.WARNING,
                    location=Location(spec.output),
                    hint=why.hint,
                )
            )
        items.append((spec, text))
        taken.append(
            Taken(
                id=spec.id,
                path=spec.output,
                generates=bool(spec.request.template),
                declared=text.spec is not None,
                left_out=left_out.get(id_, ()),
                content=text.content.id if text.content is not None else "",
            )
        )
    is_written = made is not None and not all(one.declared for one in taken)
    manifest = made.manifest.path if made is not None and is_written else ""
    adoption = Adoption(
        manifest=manifest,
        added=made.added if made is not None and is_written else "",
        taken=tuple(sorted(taken, key=lambda one: one.path)),
        known=tuple(texts.known),
        findings=tuple(sorted(findings, key=lambda one: one.message)),
    )
    return adoption, items, made if is_written else None


def _slug(text: str) -> str:
    """Return an item id made from a text, with `-` in place of characters that ids cannot have.

    The id is empty if no other character is left.
    """
    allowed = "".join(
        char if char.isalnum() or char in "_./@+-" or unicodedata.category(char).startswith("M") else "-"
        for char in unicodedata.normalize("NFC", text)
    )
    parts = (re.sub(r"-+", "-", part).strip("-") for part in allowed.split("/"))
    return "/".join(part for part in parts if part.strip("."))


def _record(
    workspace: Workspace, items: _Items, made: ManifestDraft | None, outputs: Outputs, command: str, started: str = ""
) -> None:
    """Write the manifest, then record each new item with the text in its file.

    `started` is the time at which the server was asked. Raises StateError and OutputError.
    """
    runtime, paths = workspace.runtime, [*workspace.desired.manifests, *([made.manifest.path] if made else [])]
    manifests = Outputs(workspace.project.root, system=runtime.system)
    manifests.sweep({path.rpartition("/")[0] for path in paths}, before=runtime.wall())
    if made is not None:
        before = made.manifest.text
        expect = NOTHING if before is None else digest_bytes(before.encode())
        manifests.write(made.manifest.path, made.text, expect=expect)
    records = []
    for spec, text in items:
        file = outputs.observe(spec.output)
        # Later edits are compared with it.
        workspace.cache.keep_body(file.body, split(outputs.read(spec.output)).body)
        records.append(_record_of(workspace.project, spec, text, file, started))
    if records:
        workspace.store.note(command, *records)
    # An earlier run may have been stopped before its records came into the lock.
    workspace.store.checkpoint()


def _record_of(project: Project, spec: Spec, text: _Text, file: Observed, started: str) -> Record:
    """Return the first record of an item that was adopted or imported with the text in `file`."""
    front = apply_preset(project.preset, spec.metadata)
    front.pop(TITLE_KEY, None)
    record = Record(
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
    if (content := text.content) is None:
        return record
    saved = Saved(
        title=title_digest(text.file.title),
        body=file.body,
        server_title=title_digest(content.title) if content.title else NOTHING,
        server_body=body_digest(content.body),
        stamp=content.stamp,
    )
    # The next refresh sees an edit that is made while this command runs.
    return structs.replace(record, saved=saved, content_id=content.id, saved_at=content.updated_at or started)


# --- the manifest ------------------------------------------------------------------------------------------


def _draft(workspace: Workspace, into: str, texts: Sequence[Existing], head: str, name: str) -> ManifestDraft | None:
    """Return the manifest `into` with an entry added for each text, or None if there are no texts.

    If `into` is empty, it is a new manifest called `name`. Raises UsageError if the manifest cannot get these entries,
    or if they would change existing items.
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
    made = draft(project, catalog_of(project), Manifest(path=path, text=text, head=head), texts)
    after = {spec.id: _meaning(spec) for spec in made.desired.specs}
    changed = [spec.id for spec in workspace.desired.specs if after.get(spec.id) != _meaning(spec)]
    if changed:
        message = f"the addition to `{path}` would change `{changed[0]}`"
        raise UsageError(message, code="not-extendable", hint="name a new file with `--into`")
    return made


def _meaning(spec: Spec) -> tuple[object, ...]:
    return spec.digest, spec.output, spec.metadata, spec.tags, spec.on_edit, spec.protected, spec.save


def _default_manifest(project: Project, stem: str) -> str:
    """Return the path of a new manifest named `stem`, in the first folder where the project looks for manifests."""
    for pattern in project.manifests:
        parts = pattern.removeprefix("./").split("/")
        fixed = parts[: next((at for at, part in enumerate(parts[:-1]) if WILD.search(part)), len(parts) - 1)]
        for name in (f"{stem}.yaml", f"{stem}.yml"):
            if glob_matcher("/".join(parts))(path := "/".join([*fixed, name])):
                return path
    raise UsageError("no manifest is named", code="no-manifest-place", hint="name one with `--into`")


# ---- `adopt`: make items of existing files. No byte of a file changes, and nothing is generated.

MARKDOWN: Final = (".md", ".markdown", ".mdx")
"""Endings of the files that are searched for in folders."""


class Options(Struct, frozen=True, kw_only=True):
    """The options that say how files become items, and where the values for these items come from."""

    into: str = ""
    """The manifest that gets the items; empty: `adopted.yaml` where the project looks for manifests."""
    values: Mapping[str, Json] = field(default_factory=dict)
    """Item keys for all texts, `inputs` among them."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Item keys, each with the key of front matter that has its value; ranks above `values`."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Inputs, each with the key of front matter that has its value."""
    metadata: frozenset[str] | None = None
    """The keys of front matter to declare; None: all."""

    def spec_of(self, front: Mapping[str, Json]) -> dict[str, Json]:
        """Return the manifest keys that describe the request for a text with this front matter.

        They are empty if neither the template nor an input is known.
        """
        keys: dict[str, Json] = {name: self.values[name] for name in REQUEST_FIELDS if name in self.values}
        keys |= {name: front[key] for name, key in self.keys.items() if name != "id" and front.get(key) is not None}
        given = self.values.get("inputs")
        inputs = {**given} if isinstance(given, dict) else {}
        inputs |= {name: front[key] for name, key in self.inputs.items() if front.get(key) is not None}
        if inputs:
            keys["inputs"] = inputs
        return keys if {"template", "inputs"} & keys.keys() else {}


def read_map(path: Path) -> Options:
    """Read the mapping file of `--map`, which names the front matter keys that have an item's values.

    Raises InputError if it is invalid, and OutputError if it cannot be read.
    """
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
    return Options(
        keys={name: mapping[name] for name in ("id", *REQUEST_FIELDS) if name != "inputs" and mapping.get(name)},
        inputs=mapping.get("inputs") or {},
        metadata=None if metadata is None else frozenset(metadata),
    )


def adopt(
    project: Project,
    names: Sequence[str],
    options: Options,
    *,
    confirm: Callable[[Adoption], bool],
    runtime: Runtime = HERE,
) -> Adoption:
    """Make items of existing files, if the person confirms.

    `names` are files, folders and globs, relative to the project root. Raises InputError if the manifests have errors,
    UsageError if the manifest cannot get the items, StateError and OutputError.
    """
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        records = workspace.state.records
        records = with_new_ids(records, moved_ids(workspace.desired, records))
        state = structs.replace(workspace.state, records=records)
        outputs = Outputs(project.root, whole=known_bodies(state))
        texts = _find(workspace, state, outputs, names, options)
        head = "Items that were there before contentops: adopted."
        adoption, items, made = _planned(workspace, texts, options.into, head, "adopted")
        if confirm(adoption):
            _record(workspace, items, made, outputs, "adopt")
    return adoption


def _find(workspace: Workspace, state: State, outputs: Outputs, names: Sequence[str], options: Options) -> _Texts:
    """Return the texts in the files that match `names`, and a finding for each file that cannot be adopted."""
    project, specs = workspace.project, workspace.desired.specs
    paths, missing = _paths(project, names)
    declared, declared_ids = {spec.output: spec for spec in specs}, {spec.id for spec in specs}
    ids = {*state.records, *declared_ids}
    recorded = {record.output: record for record in state.records.values() if record.id in declared_ids}
    owned, spellings = _owned(workspace, state), {collision_key(spec.output): spec.output for spec in specs}
    texts = _Texts(findings=missing)
    for path in paths:
        if (record := recorded.get(path)) is not None:
            generates = bool(record.request.get("template"))
            texts.known.append(Taken(id=record.id, path=path, generates=generates, declared=True))
            continue
        file = Observed(path=path) if check_output(path) else outputs.observe(path)
        if refusal := _refusal(file, owned, spellings):
            is_said = any(one.hint == refusal.hint == _CONVERT for one in texts.findings)
            texts.findings.append(structs.replace(refusal, hint="") if is_said else refusal)
            continue
        front = {**({TITLE_KEY: file.title} if file.title else {}), **file.front}
        spec = declared.get(path)
        stated = front.get(options.keys.get("id", ""))
        is_name = isinstance(stated, str | int) and not isinstance(stated, bool) and stated != ""
        id_ = spec.id if spec is not None else _slug(str(stated) if is_name else posixpath.splitext(path)[0])
        problem = id_problem(id_) if id_ else "is empty"
        if spec is None and (problem := problem or ("another item has" if id_ in ids else "")):
            hint = "rename the file, or let `--map` name a key of front matter that has another id"
            texts.findings.append(_not_adopted(path, f"would get the id `{id_}`, which {problem}", hint))
            continue
        ids.add(ItemId(id_))
        entry = Existing(
            id=id_,
            spec=options.spec_of(front),
            output=path,
            title=file.title,
            front=file.front,
            declared=options.metadata,
            save=False,
        )
        texts.new.append(_Text(entry=entry, file=file, spec=spec))
    return texts


def _paths(project: Project, names: Sequence[str]) -> tuple[list[str], list[Diagnostic]]:
    """Return the files that match `names`, sorted, and a finding for each name without a match."""
    files, root = ProjectFiles(Path(project.root)), Path(project.root)
    paths, missing = set[str](), list[Diagnostic]()
    for name in names:
        is_folder, matches = (root / name).is_dir(), glob_matcher(name)
        if name.split("/")[0] == "..":
            missing.append(_not_adopted(name, "is outside the project"))
        elif not is_folder and os.path.lexists(root / name):
            paths.add(name)
        elif not is_folder and not WILD.search(name):
            hint = "name a file, a folder, or a glob in quotes, relative to the current folder"
            missing.append(_not_adopted(name, "does not exist", hint))
        else:
            below = files.walk("" if name == "." else name) if is_folder else filter(matches, files.walk())
            found = [path for path in below if path.lower().endswith(MARKDOWN)]
            found = [path for path in found if "node_modules" not in path.split("/")]
            paths.update(found)
            if not found:
                hint = f"looked for names that end in {', '.join(MARKDOWN)}; name other files directly"
                missing.append(_not_adopted(name, "contains no Markdown file", hint))
    return sorted(paths), missing


def _owned(workspace: Workspace, state: State) -> dict[str, tuple[str, str]]:
    """Return the paths that a new item cannot have, each with the reason and a hint.

    The keys are those of `collision_key`.
    """
    owned: dict[str, tuple[str, str]] = {}
    jobs = {job.item: job for job in pending(state.open_jobs.values())}
    for spec in workspace.desired.specs:
        if (record := state.records.get(spec.id)) is not None:
            why, hint = f"is the new path of `{spec.id}`, whose text is still at `{record.output}`", ""
            owned[collision_key(spec.output)] = (why, hint)
        elif (job := jobs.get(spec.id)) is not None:
            give_up = f"`contentops state resolve {spec.id} --forget --request {job.short}`"
            hint = f"move the file away and apply; or give up the paid text with {give_up}"
            owned[collision_key(spec.output)] = (f"is the output of `{spec.id}`, which has a job under way", hint)
    for record in state.records.values():
        why, hint = f"belongs to the record of `{record.id}` (`{record.output}`)", "forgets that record"
        owned[collision_key(record.output)] = (why, f"`contentops state rm {record.id}` {hint}")
    owned |= {collision_key(path): ("is read by the manifests", "") for path in workspace.desired.inputs}
    for name, other in other_states(workspace.project).items():
        why = f"belongs to `{lock_name(name)}`, another environment"
        owned |= {collision_key(record.output): (why, "") for record in other.records.values()}
    return owned


_CONVERT: Final = "commit, then `hugo convert toYAML --unsafe` writes the front matter of the whole site as YAML"


def _refusal(file: Observed, owned: Mapping[str, tuple[str, str]], spellings: dict[str, str]) -> Diagnostic | None:
    """Return the finding that says why a new item cannot have this file, or None if it can.

    `spellings` are the paths of items, by `collision_key`.
    """
    path, key = file.path, collision_key(file.path)
    if problem := check_output(path):
        return _not_adopted(path, problem)
    if key in owned:
        return _not_adopted(path, *owned[key])
    if (other := spellings.setdefault(key, path)) != path:
        return _not_adopted(path, f"differs from `{other}` only in case or accents")
    if not file.exists:
        return _not_adopted(path, "does not exist")
    if file.problem:
        hint = _CONVERT if TOML in file.problem else ""
        location = Location(path, file.problem_line)
        return Diagnostic(code="not-adopted", message=file.problem, location=location, hint=hint)
    return None


# ---- `import`: make items and files of texts that are stored on the server.

_IN_THE_WAY: Final = "move that file away, or adopt it with `contentops adopt`"
_FINISHES: Final = "run `contentops apply` where that item is declared"
_THEIRS: Final = "belongs to another project or environment, as its metadata says"
_COPIED: Final = "save the output of `contentops content get {}` to a file and adopt that file"
_LISTED: Final = "`contentops content list` lists what is there"


def import_contents(
    project: Project,
    content_ids: Sequence[str],
    *,
    into: str = "",
    confirm: Callable[[Adoption], bool],
    runtime: Runtime = HERE,
) -> Adoption:
    """Make items and files from texts that the server stores, if the person confirms.

    Without `content_ids`, from all of them. Raises ApiError if the server does not reply or the key is missing,
    InputError if another file has a needed path, and what `adopt` raises.
    """
    started = iso(runtime.wall())
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        # Manifests with errors are found before the server is asked.
        specs = {str(spec.id): spec for spec in workspace.desired.specs}
        texts = _Texts()
        contents = _read(workspace, content_ids, texts)
        # What the server has is whole, whatever lines are in it.
        whole = {*known_bodies(workspace.state), *(body_digest(content.body) for content in contents)}
        outputs = Outputs(project.root, whole=whole, system=runtime.system)
        names = _Names(workspace, specs, outputs)
        for content in contents:
            names.add(content, texts)
        head = "Items whose texts were stored on the server before: imported."
        adoption, items, made = _planned(workspace, texts, into, head, "imported")
        if in_the_way := [one for each in items for one in names.in_the_way(*each)]:
            raise InputError(in_the_way)
        if not confirm(adoption):
            return adoption
        outputs.sweep({spec.output.rpartition("/")[0] for spec, _ in items}, before=runtime.wall())
        for spec, text in items:
            if not outputs.observe(spec.output).exists:
                outputs.write(spec.output, _composed(project, spec, text), expect=NOTHING)
        _record(workspace, items, made, outputs, "import", started)
    return adoption


def _read(workspace: Workspace, content_ids: Sequence[str], texts: _Texts) -> list[Content]:
    """Return the stored texts to import. Raises ApiError.

    Contents that items own and contents that are refused are added to `texts`.
    """
    owned, found = content_owners(workspace.project, workspace.state), list[Content]()

    async def story(caller: Caller) -> None:
        wanted = [ContentEntry(content_id) for content_id in dict.fromkeys(content_ids)]
        if not content_ids:
            listed = await caller.listed()
            wanted = sorted(listed.entries, key=lambda entry: entry.id)
            texts.findings.extend(_not_imported(one.id, "has an id that cannot be used") for one in listed.unnamed)
        free = []
        for entry in wanted:
            if (owner := owned.owner(entry.id)) is not None:
                known = Taken(id=owner.item, path="", generates=False, declared=True, content=entry.id)
                texts.known.append(known)
            else:
                free.append(entry)
        for number, entry in enumerate(free, start=1):
            workspace.runtime.notify(f"reading content {number:,} of {len(free):,}: {entry.title or entry.id}")
            answer = await caller.ask(GetContent(entry.id))
            if isinstance(answer, Content):
                owned.learn(StoredContent.of(answer))
                if owned.owner(entry.id) is None:
                    found.append(structs.replace(answer, id=entry.id))
                else:
                    texts.findings.append(_not_imported(entry.id, _THEIRS, _COPIED.format(entry.id)))
            elif isinstance(answer, Failure) and is_about_one(answer):
                texts.findings.append(_not_imported(entry.id, f"cannot be read: {answer.full_message}", _LISTED))
            else:
                assert isinstance(answer, Failure)
                raise caller.error(answer)

    converse(workspace.project, workspace.runtime, story, workspace.cache)
    return found


class _Names:
    """Makes ids for new items from the titles of their texts.

    If an id is in use, the id of the stored content is added to it.
    """

    def __init__(self, workspace: Workspace, specs: Mapping[str, Spec], outputs: Outputs) -> None:
        self._outputs = outputs
        self._preset = workspace.project.preset
        self._specs = specs
        self._taken = {str(id_) for id_ in workspace.state.records}
        states = [workspace.state, *other_states(workspace.project).values()]
        self._records = {record.digest: record for state in states for record in state.records.values()}
        self._paths = {collision_key(record.output) for state in states for record in state.records.values()}
        self._open = {
            name: job.item
            for job in workspace.state.open_jobs.values()
            for name in (job.request_id, job.job_id, job.content_id)
        }

    def add(self, content: Content, texts: _Texts) -> None:
        """Add a stored text to the new items, or add a finding if it cannot become an item."""
        body, stored = clean_body(content.body), StoredContent.of(content)
        title = clean_title(content.title) or clean_title(main_heading(body))
        base = _slug(title.replace("/", "-")).lower().strip(".@+") or "content"
        file = Observed(
            path="", title=title_for(self._preset, title or content.id), body=body_digest(body), front=content.front
        )
        id_ = self._free_id(content, base, file)
        if not body:
            texts.findings.append(_not_imported(content.id, "has no text"))
        elif item := self._open.get(content.id) or (stored.request and self._open.get(stored.request)):
            texts.findings.append(_not_imported(content.id, f"is the text of an open job of `{item}`", _FINISHES))
        elif not id_:
            why = f"would get the id `{base}`, which other items have"
            texts.findings.append(_not_imported(content.id, why))
        else:
            self._taken.add(id_)
            entry = Existing(
                id=id_,
                spec=self._request_of(content),
                title=file.title,
                front=content.front,
                # The title is not declared, so that the server may change it.
                declared=frozenset(content.front),
                save=True,
            )
            texts.new.append(_Text(entry=entry, file=file, spec=self._specs.get(id_), content=content))

    def _free_id(self, content: Content, base: str, text: Observed) -> str:
        """Return an item id for a stored text, or an empty string if no id is free.

        It is the id of the declared item that has this text, otherwise the first free new id.
        """
        ours = content.metadata.get(ITEM_KEY)
        ids = [ours] if isinstance(ours, str) and ours in self._specs else []
        for id_ in (*ids, base, f"{base}-{_slug(content.id)[:8]}", f"{base}-{_slug(content.id)}"):
            spec = self._specs.get(id_)
            is_free = id_ not in self._taken and not id_problem(id_)
            if is_free and (spec is None or self._is_its_text(spec, content, text)):
                return id_
        return ""

    def _is_its_text(self, spec: Spec, content: Content, text: Observed) -> bool:
        """Return whether a stored content has the text of a declared item that has no record yet."""
        file = self._outputs.observe(spec.output)
        return file.body == text.body if file.exists else content.metadata.get(SPEC_KEY) == spec.digest

    def _request_of(self, content: Content) -> dict[str, Json]:
        """Return the request for which a stored text was made, as the keys of a manifest.

        The result is empty if no lock has the request.
        """
        record = self._records.get(Digest(str(content.metadata.get(SPEC_KEY))))
        request = record.request if record is not None else {}
        return {name: request[name] for name in REQUEST_FIELDS if request.get("template") and name in request}

    def in_the_way(self, spec: Spec, text: _Text) -> Iterator[Diagnostic]:
        """Yield a finding if the path of a new item is already used by another item or another text."""
        file = self._outputs.observe(spec.output)
        if collision_key(spec.output) in self._paths or (file.exists and file.body != text.file.body):
            why = f"would be written to `{spec.output}`, which is in use; nothing was written"
            yield text.refused(why, _IN_THE_WAY)


def _composed(project: Project, spec: Spec, text: _Text) -> str:
    """Return the text of the new file for an imported item."""
    assert text.content is not None
    front = {**text.content.front, **apply_preset(project.preset, with_changed_at(spec.metadata, ""))}
    title = front.pop(TITLE_KEY, None) or text.file.title
    block = provenance(item=spec.id, digest=spec.digest, editor=project.editor) if project.provenance else None
    return compose(title, front, block, clean_body(text.content.body))
