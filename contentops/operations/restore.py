"""An earlier text of an item, put back into its file for nothing; from then on it is an edit like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import Content, GetContent, GetStatus, JobStatus
from contentops.ci.results import earlier_bodies, no_history
from contentops.documents.files import Outputs
from contentops.documents.front_matter import compose, replace_body
from contentops.errors import ContentopsError, OutputError, Refused, StateError, UsageError, did_you_mean, plural
from contentops.execution.poll import with_body
from contentops.model import ItemId
from contentops.model.run import PREFIX
from contentops.operations.apply import hold_lock
from contentops.operations.content import converse, quiet
from contentops.operations.history import texts_of
from contentops.operations.show import without_text
from contentops.operations.workspace import World, open_cache, read_state
from contentops.planning.front_matter import provenance_of
from contentops.planning.inputs import is_edited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentops.model import Project, Record
    from contentops.model.run import PaidText
    from contentops.operations.content import Caller
    from contentops.state.cache import Cache


class Restored(Struct, frozen=True, kw_only=True):
    """What was done: the text that stands in the file at `output` now, and where it came from."""

    text: PaidText
    output: str
    source: str = ""
    """`cache`, `git` or `server`; empty: it stood there already."""
    copy: str = ""
    """Where the person's words that were in its place are kept."""


def restorable(project: Project, item: str) -> tuple[PaidText, ...]:
    """The texts that were paid for an item, the newest first. Raises UsageError where nothing was generated for it."""
    state = read_state(project)
    if ItemId(item) not in state.records:
        raise without_text(project, item, state)
    return texts_of(project, state, item)


def restore(
    project: Project,
    item: str,
    to: str,
    *,
    overwrite: bool = False,
    tell: Callable[[str], None] = quiet,
    world: World | None = None,
) -> Restored:
    """Put the text whose digest begins with `to` into the file of an item; its front matter stays as it stands.

    A person's words in its place are a reason to refuse, unless they may be overwritten: then a copy of the file is
    kept. Nothing is recorded: whose text a job made stays as it was. Raises UsageError where `to` names no text or
    several, Refused where a person's words or `protected` stand in the way, StateError where no one has the text,
    ApiError where the server cannot be asked for it.
    """
    world = world or World()
    with hold_lock(project, world), open_cache(project, write=True) as cache:
        texts, state = restorable(project, item), read_state(project)
        record, text = state.records[ItemId(item)], _named(project, texts, item, to)
        outputs = Outputs(project.root, whole=[one.body for one in texts], system=world.system)
        file = outputs.observe(record.output)
        if file.problem:
            raise OutputError(file.problem, code="unreadable-file")
        if text.stands:
            return Restored(text=text, output=record.output)
        if record.protected:
            hint = "apply `protected: false` first to lift it"
            raise Refused(f"`{item}` is protected, so its text stays", code="not-restored", hint=hint)
        entries = [entry for entry in state.entries.values() if entry.item == item]
        edited = is_edited(file, record, entries) and not any(one.stands and one.here for one in texts)
        if edited and not overwrite:
            hint = "`--on-edit overwrite` puts the earlier text in its place, and keeps a copy of the file"
            raise Refused(f"`{record.output}` was edited by hand", code="not-restored", hint=hint)
        body, source = _words(project, cache, record, text, tell, world)
        # It may have come from where it is kept less well.
        cache.keep_body(text.body, body)
        copy = outputs.set_aside(record.output, outputs.read(record.output)) if edited else ""
        made = replace_body(outputs.read(record.output), body) if file.exists else _composed(project, record, body)
        outputs.write(record.output, made, expect=file.file)
    return Restored(text=text, output=record.output, source=source, copy=copy)


def _named(project: Project, texts: Sequence[PaidText], item: str, to: str) -> PaidText:
    """The one text whose digest begins so. Raises UsageError."""
    start = to.strip().lower().removeprefix(PREFIX)
    found = [one for one in texts if start and one.body.removeprefix(PREFIX).startswith(start)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"`{one.short}`" for one in found or texts) or "none"
    if found:
        message = f"{plural(len(found), 'text')} of `{item}` begin with `{to}`"
        raise UsageError(message, code="unknown-text", hint=f"write more of it: {known}")
    hint = did_you_mean(start, [one.short for one in texts], f"its texts: {known}")
    hint = "; ".join(filter(None, (hint, no_history(project.root))))
    raise UsageError(f"`{item}` has no text `{to}`", code="unknown-text", hint=hint)


def _composed(project: Project, record: Record, body: str) -> str:
    """The file as it was last written, with that body."""
    return compose(record.title, record.metadata, provenance_of(record) if project.provenance else None, body)


def _words(
    project: Project, cache: Cache, record: Record, text: PaidText, tell: Callable[[str], None], world: World
) -> tuple[str, str]:
    """The words of a text, and where they were found. Raises StateError, ApiError."""
    if (body := cache.body(text.body)) is not None:
        return body, "cache"
    for digest, found in earlier_bodies(project.root, record.output):
        if digest == text.body:
            return found, "git"
    message = f"no one has the text `{text.short}` of `{text.item}` any more: not the cache, not git's history of"
    message += f" `{record.output}`"
    why = no_history(project.root)
    if "server" not in text.where:
        made = f"; it was made by the server `{text.server}`" if text.server != project.api.server else ""
        raise StateError(message + made, code="text-not-found", hint=why or _ELSEWHERE)
    try:
        asked = converse(project, world, tell, lambda caller: _asked(caller, text), cache)
    except ContentopsError as error:
        asked, why = "", why or error.hint
        message += f", and the server cannot be asked: {error.message}"
    else:
        message += f", not the server `{text.server}`"
    if not asked:
        raise StateError(message, code="text-not-found", hint=why or _ELSEWHERE)
    return asked, "server"


_ELSEWHERE = "the `.contentops/cache` of the machine that applied it may have it, or a branch of git that is not here"


async def _asked(caller: Caller, text: PaidText) -> str:
    """The text as the server has it, by its content or its job; empty where it has another one by now."""
    content = await caller.optional(GetContent(text.content_id), Content) if text.content_id else None
    found = with_body([content] if content else [], text.body)
    if found is None and text.job_id:
        status = await caller.optional(GetStatus(text.job_id, ours=text.request_id), JobStatus)
        found = with_body([status] if status else [], text.body)
    return found.body if found else ""
