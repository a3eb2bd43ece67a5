"""Make the manifest entries, ids and records of items for existing texts."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.atomic_io import PUBLIC
from contentops.digest import is_same_json
from contentops.documents.front_matter import TITLE_KEY
from contentops.documents.paths import shown
from contentops.documents.preset import apply_preset
from contentops.errors import Diagnostic, InputError, Location, OutputError, Severity, UsageError, first_of, plural
from contentops.manifests.declare import Manifest, draft
from contentops.manifests.discover import WILD, FileError, ProjectFiles, glob_matcher
from contentops.model import PROJECT_FILE, Record, text_digest
from contentops.operations.catalog.project_catalog import catalog_of
from contentops.planning.approval import draft_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentops.atomic_io import Disk
    from contentops.manifests.declare import Existing, ManifestDraft
    from contentops.model import Approvals, Desired, Observed, Project, Spec
    from contentops.operations.workspace import Workspace


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
