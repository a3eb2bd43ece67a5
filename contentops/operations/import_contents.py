"""`import`: make items and files of texts that are stored on the server. Nothing is generated or saved.

The files are written first, then the manifest, then the records. After a stop in between, importing the same contents
again finds its own files and entries, and finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field, structs

from contentops.api.calls import Content, ContentEntry, Failure, GetContent
from contentops.api.outcomes import is_about_one
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_body, clean_title, known_bodies, title_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, compose, provenance
from contentops.documents.paths import collision_key
from contentops.documents.preset import apply_preset, title_for
from contentops.errors import Diagnostic, InputError
from contentops.execution.contents import ITEM_KEY, SPEC_KEY, StoredContent
from contentops.execution.primitives import iso
from contentops.manifests.declare import Existing
from contentops.manifests.validate import id_problem
from contentops.model import REQUEST_FIELDS, Json, Observed, Project, Record, Saved, Spec
from contentops.operations.adopt import (
    Adoption,
    Drafted,
    Taken,
    becoming_drafts,
    drafted_for,
    record_of,
    slug,
    taken_of,
    without_template,
    write_manifest,
)
from contentops.operations.contents import Caller, content_owners, converse
from contentops.operations.opening import HERE, Runtime, other_states
from contentops.operations.workspace import Workspace, hold_lock, open_workspace
from contentops.sections import main_heading
from contentops.state import approvals

_IN_THE_WAY: Final = "move that file away, or adopt it with `contentops adopt`"
_FINISHES: Final = "run `contentops apply` where that item is declared"
_THEIRS: Final = "belongs to another project or environment, as its metadata says"
_COPIED: Final = "save the output of `contentops content get {}` to a file and adopt that file"
_LISTED: Final = "`contentops content list` lists what is there"
HEAD: Final = "Items whose texts were stored on the server before: imported."


class _Text(Struct, frozen=True, kw_only=True):
    """A stored content that becomes an item."""

    content: Content
    id: str
    title: str
    body: str
    spec: Spec | None = None
    """The declared item whose text it is."""


class _Read(Struct, frozen=True, kw_only=True):
    """What was read from the server: contents to import, contents that items own, and refusals."""

    contents: list[Content] = field(default_factory=list)
    known: list[Taken] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)


def import_contents(
    project: Project,
    content_ids: Sequence[str],
    *,
    into: str = "",
    confirm: Callable[[Adoption], bool],
    runtime: Runtime = HERE,
) -> Adoption:
    """Make items and files of stored contents, of all if none is named, if `confirm` agrees.

    Raises ApiError where the server does not answer or the key is missing, InputError where a file is in the way, and
    what `adopt` raises.
    """
    started = iso(runtime.wall())
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        # Manifests with errors are found before the server is asked.
        specs = {str(spec.id): spec for spec in workspace.desired.specs}
        read = _read(workspace, content_ids)
        # What the server has is whole, whatever lines are in it.
        whole = {*known_bodies(workspace.state), *(body_digest(content.body) for content in read.contents)}
        outputs = Outputs(project.root, whole=whole, system=runtime.system)
        names = _Names(workspace, specs, outputs)
        texts = [text for content in read.contents if (text := names.text_of(content, read.findings)) is not None]
        drafted = _drafted(workspace, into, texts, names)
        adoption, taken = _adoption(texts, drafted, read)
        approved = approvals.load(Path(project.root), runtime.disk)
        if in_the_way := [one for text in texts if text.id in taken for one in names.in_the_way(taken[text.id], text)]:
            raise InputError(in_the_way)
        coming = [(taken[text.id], _coming(taken[text.id], text)) for text in texts if text.id in taken]
        drafts = becoming_drafts(project, coming, approved, adoption.manifest)
        adoption = structs.replace(adoption, findings=(*adoption.findings, *drafts))
        if not confirm(adoption):
            return adoption
        outputs.sweep({spec.output.rpartition("/")[0] for spec in taken.values()}, before=runtime.wall())
        for text in texts:
            if text.id in taken and not outputs.observe(taken[text.id].output).exists:
                outputs.write(taken[text.id].output, _composed(project, taken[text.id], text), expect=NOTHING)
        if drafted is not None and adoption.manifest:
            write_manifest(project, drafted, runtime.disk)
        records = [
            _record(project, spec, text, outputs.observe(spec.output), started)
            for text in texts
            if (spec := taken.get(text.id)) is not None
        ]
        for text in texts:
            workspace.cache.keep_body(body_digest(text.body), text.body)
        if records:
            workspace.store.note("import", *records)
        workspace.store.checkpoint()
    return adoption


# --- the server --------------------------------------------------------------------------------------------


def _read(workspace: Workspace, content_ids: Sequence[str]) -> _Read:
    """Read the contents to import. Raises ApiError."""
    project, owned, result = workspace.project, content_owners(workspace.project, workspace.state), _Read()

    async def story(caller: Caller) -> None:
        wanted = [ContentEntry(content_id) for content_id in dict.fromkeys(content_ids)]
        if not content_ids:
            listed = await caller.listed()
            wanted = sorted(listed.entries, key=lambda entry: entry.id)
            result.findings.extend(not_imported(one.id, "has an id that cannot be used") for one in listed.unnamed)
        free = []
        for entry in wanted:
            if (owner := owned.owner(entry.id)) is not None:
                result.known.append(Taken(id=owner.item, path="", generates=False, declared=True, content=entry.id))
            else:
                free.append(entry)
        for number, entry in enumerate(free, start=1):
            workspace.runtime.notify(f"reading content {number:,} of {len(free):,}: {entry.title or entry.id}")
            answer = await caller.ask(GetContent(entry.id))
            if isinstance(answer, Content):
                owned.learn(StoredContent.of(answer))
                if owned.owner(entry.id) is None:
                    result.contents.append(structs.replace(answer, id=entry.id))
                else:
                    result.findings.append(not_imported(entry.id, _THEIRS, _COPIED.format(entry.id)))
            elif isinstance(answer, Failure) and is_about_one(answer):
                result.findings.append(not_imported(entry.id, f"cannot be read: {answer.full_message}", _LISTED))
            else:
                assert isinstance(answer, Failure)
                raise caller.error(answer)

    converse(project, workspace.runtime, story, workspace.cache)
    return result


def not_imported(content_id: str, why: str, hint: str = "") -> Diagnostic:
    """Return the finding that a content is not imported."""
    return Diagnostic(code="not-adopted", message=f"content `{content_id}` {why}", hint=hint)


# --- names -------------------------------------------------------------------------------------------------


class _Names:
    """The ids of new items: made of their titles, with the content's id where that is taken."""

    def __init__(self, workspace: Workspace, specs: Mapping[str, Spec], outputs: Outputs) -> None:
        self._outputs = outputs
        self._preset = workspace.project.preset
        self._specs = specs
        self._records = workspace.state.records
        self._taken: set[str] = set()
        states = [workspace.state, *other_states(workspace.project).values()]
        self._requests: dict[str, Mapping[str, Json]] = {
            record.digest: record.request for state in states for record in state.records.values()
        }
        self._paths = {collision_key(record.output) for state in states for record in state.records.values()}
        self._open = {
            name: job.item
            for job in workspace.state.open_jobs.values()
            for name in (job.request_id, job.job_id, job.content_id)
        }

    def text_of(self, content: Content, findings: list[Diagnostic]) -> _Text | None:
        """Return the item that a content becomes; None, with a finding, where it cannot become one."""
        body = clean_body(content.body)
        if not body:
            findings.append(not_imported(content.id, "has no text"))
            return None
        request = StoredContent.of(content).request
        if item := self._open.get(content.id) or (request and self._open.get(request)):
            findings.append(not_imported(content.id, f"is the text of an open job of `{item}`", _FINISHES))
            return None
        title = clean_title(content.title) or clean_title(main_heading(body))
        text = _Text(content=content, id="", title=title_for(self._preset, title or content.id), body=body)
        base = slug(title.replace("/", "-")).lower().strip(".@+") or "content"
        ours = content.metadata.get(ITEM_KEY)
        for id_ in (
            ours if isinstance(ours, str) else "",
            base,
            f"{base}-{slug(content.id)[:8]}",
            f"{base}-{slug(content.id)}",
        ):
            spec = self._specs.get(id_)
            if id_ in self._taken or id_ in self._records or id_problem(id_ or " "):
                continue
            if spec is None and id_ == ours and id_ != base:
                continue
            if spec is not None and not self._is_its_text(spec, text):
                continue
            self._taken.add(id_)
            return structs.replace(text, id=id_, spec=spec)
        findings.append(not_imported(content.id, f"would get the id `{base}`, which other items have"))
        return None

    def _is_its_text(self, spec: Spec, text: _Text) -> bool:
        """Return whether this content was stored or imported for `spec`, a declared item that has no record."""
        file = self._outputs.observe(spec.output)
        if file.exists:
            return file.body == body_digest(text.body)
        return text.content.metadata.get(SPEC_KEY) == spec.digest

    def request_of(self, content: Content) -> dict[str, Json]:
        """Return the item keys of the request that a content was stored for, where some lock has it."""
        request = self._requests.get(str(content.metadata.get(SPEC_KEY)), {})
        return {name: request[name] for name in REQUEST_FIELDS if request.get("template") and name in request}

    def in_the_way(self, spec: Spec, text: _Text) -> Iterator[Diagnostic]:
        """Yield a finding where a new item may not have its path: another item has it, or a file with another text."""
        file = self._outputs.observe(spec.output)
        if collision_key(spec.output) in self._paths or (file.exists and file.body != body_digest(text.body)):
            why = f"would be written to `{spec.output}`, which is in use; nothing was written"
            yield not_imported(text.content.id, why, _IN_THE_WAY)


def _drafted(workspace: Workspace, into: str, texts: Sequence[_Text], names: _Names) -> Drafted | None:
    new = [
        Existing(
            id=text.id,
            spec=names.request_of(text.content),
            title=text.title,
            front=text.content.front,
            # The title is not declared, so that the server may change it.
            declared=frozenset(text.content.front),
            save=True,
        )
        for text in texts
        if text.spec is None
    ]
    return drafted_for(workspace, into, new, HEAD, name="imported")


def _adoption(texts: Sequence[_Text], drafted: Drafted | None, read: _Read) -> tuple[Adoption, Mapping[str, Spec]]:
    """Return what is imported, and the specs by id."""
    made = drafted.draft if drafted is not None else None
    declared = {str(spec.id): spec for spec in made.desired.specs} if made is not None else {}
    findings, taken, specs = list(read.findings), [], {}
    for text in texts:
        refusal = made.refused.get(text.id) if made is not None and text.spec is None else None
        if refusal is not None:
            findings.append(not_imported(text.content.id, f"cannot be declared: {refusal.message}", refusal.hint))
            continue
        spec = specs[text.id] = text.spec or declared[text.id]
        if made is not None and (unfit := made.unfit.get(text.id)) is not None:
            findings.append(without_template(spec.output, unfit))
        left_out = made.left_out.get(text.id, ()) if made is not None else ()
        is_declared = text.spec is not None
        taken.append(taken_of(spec, declared=is_declared, left_out=left_out, content=text.content.id))
    is_written = any(not one.declared for one in taken)
    adoption = Adoption(
        manifest=drafted.manifest.path if drafted is not None and is_written else "",
        added=made.added if made is not None and is_written else "",
        taken=tuple(taken),
        known=tuple(read.known),
        findings=tuple(findings),
    )
    return adoption, specs


# --- files and records -------------------------------------------------------------------------------------


def _composed(project: Project, spec: Spec, text: _Text) -> str:
    front = {**text.content.front, **apply_preset(project.preset, spec.metadata)}
    title = front.pop(TITLE_KEY, None) or text.title
    block = provenance(item=spec.id, digest=spec.digest) if project.provenance else None
    return compose(title, front, block, text.body)


def _coming(spec: Spec, text: _Text) -> Observed:
    """Return the file that a text is written to, as far as approvals are about it."""
    return Observed(path=spec.output, title=text.title, body=body_digest(text.body), front=text.content.front)


def _record(project: Project, spec: Spec, text: _Text, file: Observed, started: str) -> Record:
    """Return the record of a text that the server has and no known job made."""
    saved = Saved(
        title=title_digest(text.title),
        body=file.body,
        server_title=title_digest(text.content.title) if text.content.title else NOTHING,
        server_body=body_digest(text.content.body),
        stamp=text.content.stamp,
    )
    record = record_of(project, spec, file)
    # The next refresh sees an edit that is made while this command runs.
    saved_at = text.content.updated_at or started
    return structs.replace(record, saved=saved, content_id=text.content.id, saved_at=saved_at)
