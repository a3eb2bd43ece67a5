"""How the file of an item differs: from the text that was generated, from what the server has, from what is planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING
from contentops.documents.clean import clean_body, clean_title
from contentops.documents.files import Outputs
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, split
from contentops.documents.merge import take_new
from contentops.documents.sections import cut
from contentops.errors import OutputError, StateError, UsageError, did_you_mean
from contentops.model import Fetch, ItemId, Promote, Write
from contentops.operations.content import content, quiet
from contentops.operations.past import PastTexts
from contentops.operations.show import no_item, without_text
from contentops.operations.workspace import open_cache, open_workspace, read_state
from contentops.planning.front_matter import drifted
from contentops.planning.inputs import Choice
from contentops.planning.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.model import Change, Json, Observed, Project, Record
    from contentops.operations.workspace import Workspace, World
    from contentops.planning.inputs import PlanInputs


class Difference(Struct, frozen=True, kw_only=True):
    """Two sides of an item, and their texts: None where one is not there to be compared.

    `front` and `request` hold what differs beside the text, by key: the values before and after, None for none.
    """

    old: str
    new: str
    before: str | None = None
    after: str | None = None
    front: Mapping[str, tuple[Json, Json]] = {}
    request: Mapping[str, tuple[Json, Json]] = {}
    note: str = ""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.before == self.after and not self.front and not self.request


def from_generated(project: Project, item: str) -> Difference:
    """From the text last generated to the file, and from the front matter last written.

    Raises UsageError where nothing was generated, OutputError for a file that cannot be read, StateError where the
    text is not here.
    """
    record = _record(project, item)
    observed, file = _file(project, record)
    with open_cache(project, write=False) as cache:
        state = read_state(project)
        past = PastTexts(project, state, cache)
        made = record.generated or record.promoted
        text = file if observed.body == made else past.text(made)
    if text is None:
        message = f"the text generated for `{item}` is neither in the cache nor in git's history of `{record.output}`"
        hint = past.why_missing() or "`contentops history` lists the texts and where each is"
        if not made:
            message, hint = f"`{item}` was taken over as it was; no text was generated for it", "see `git diff`"
        raise StateError(message, code="no-generated-text", hint=hint)
    entries = [entry for entry in state.entries.values() if entry.item == item]
    front = {one.key: (one.before, one.after) for one in drifted(project, record, observed, entries)}
    return Difference(old="generated", new="file", before=text, after=file, front=front)


def from_remote(
    project: Project, item: str, *, tell: Callable[[str], None] = quiet, world: World | None = None
) -> Difference:
    """From what the server has stored to the file; asks the server once.

    Raises UsageError where nothing was saved there, OutputError for a file that cannot be read, ApiError.
    """
    record = _record(project, item)
    if not record.content_id or record.server != project.api.server:
        message = f"nothing was saved for `{item}` on `{project.api.server}`"
        raise UsageError(message, code="not-saved", hint="`contentops apply` saves it, where `save` is on")
    observed, file = _file(project, record)
    found, _ = content(project, record.content_id, tell=tell, world=world)
    title = clean_title(found.title)
    front = {} if title in ("", observed.title) else {TITLE_KEY: (title, observed.title or None)}
    return Difference(old="remote", new="file", before=clean_body(found.body), after=file, front=front)


def to_planned(project: Project, item: str) -> Difference:
    """From the file to what the plan makes of it: the text, where it is here, front matter and request.

    Raises UsageError for an id that names nothing, InputError for manifests with errors, OutputError for a file that
    cannot be read.
    """
    with open_workspace(project, parse_cache=False) as workspace:
        inputs = workspace.plan_inputs(Choice())
        change = next((one for one in make_plan(inputs).changes if one.id == item), None)
        if change is None:
            if ItemId(item) not in inputs.specs:
                raise no_item(item, [*inputs.specs, *inputs.state.records])
            return Difference(old="file", new="planned", note="nothing is planned for it")
        return _planned(workspace, inputs, change)


def _planned(workspace: Workspace, inputs: PlanInputs, change: Change) -> Difference:
    file = change.file
    if file.problem:
        raise OutputError(file.problem, code="unreadable-file")
    before = split(Outputs(inputs.project.root).read(file.path)).body if file.exists else None
    text = _text(workspace, inputs, change)
    front = {key: (file.front.get(key), value) for key, value in change.front.items() if key != PROVENANCE_KEY}
    if change.title not in (None, file.title):
        front[TITLE_KEY] = (file.title or None, change.title)
    note = change.hint if change.blocked else ""
    if text is None and change.submit is not None:
        note = "its text is not written yet"
    after = before if text is None else _merged(inputs, change, before, text)
    return Difference(
        old="file", new="planned", before=before, after=after, front=front, request=_request(change), note=note
    )


def _merged(inputs: PlanInputs, change: Change, before: str | None, text: str) -> str:
    """The text as it is written: with the sections of a person that stay in it."""
    base = next((step.merges for step in change.steps if isinstance(step, Write) and step.merges), NOTHING)
    if not base or before is None:
        return text
    found = take_new(inputs.text(base) or "", before, text)
    return text if found is None else found.body


def _text(workspace: Workspace, inputs: PlanInputs, change: Change) -> str | None:
    """The text that the change writes, or waits to write, where this machine has it."""
    digest = change.entry.body if change.entry is not None else NOTHING
    for step in change.steps:
        if isinstance(step, Promote):
            return split(Outputs(inputs.project.root).read(step.path)).body
        if isinstance(step, Fetch) and step.entry is None and change.record is not None and step.recorded:
            saved = change.record.saved
            digest = (saved.body if saved else NOTHING) or change.record.generated
        elif isinstance(step, Fetch) and step.entry is None:
            stored = workspace.cache.get_text(inputs.server, step.digest)
            return stored.body if stored is not None else None
    return inputs.text(digest) if digest else None


def _request(change: Change) -> dict[str, tuple[Json, Json]]:
    named = (one for one in change.reasons if one.field and one.kind in ("added", "removed", "changed"))
    return {one.field: (one.before, one.after) for one in named}


def of_section(found: Difference, heading: str) -> Difference:
    """The difference of the sections with this heading alone. Raises UsageError where neither text has one."""
    wanted = _plainly(heading.strip().lstrip("#"))
    sides = [cut(text or "") for text in (found.before, found.after)]
    known = dict.fromkeys(one.key.heading for side in sides for one in side if one.key.heading)
    if not any(_plainly(name) == wanted for name in known):
        names = ", ".join(f"`{name}`" for name in known) or "none"
        hint = did_you_mean(heading, known, f"their headings: {names}")
        message = f"neither text has a section `{heading}`"
        raise UsageError(message, code="unknown-section", hint=hint)
    before, after = ("".join(one.text for one in side if _plainly(one.key.heading) == wanted) for side in sides)
    return Difference(old=found.old, new=found.new, before=before, after=after, note=found.note)


def _plainly(heading: str) -> str:
    return " ".join(heading.split()).casefold()


# --- the sides ---------------------------------------------------------------------------------------------


def _record(project: Project, item: str) -> Record:
    state = read_state(project)
    record = state.records.get(ItemId(item))
    if record is None:
        raise without_text(project, item, state)
    return record


def _file(project: Project, record: Record) -> tuple[Observed, str]:
    """The file of an item as it is looked at, and its body. Raises OutputError."""
    outputs = Outputs(project.root)
    try:
        body = split(outputs.read(record.output)).body
    except OutputError as error:
        message = f"`{record.id}` has no readable file: {error.message}"
        raise OutputError(message, hint="`contentops plan` says whether an apply restores it") from error
    return outputs.observe(record.output), body
