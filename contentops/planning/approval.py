"""Decides what approvals mean for an item: its approval state, title and front matter.

A text that must be approved has the preset's draft mark until someone approves it. With `disclosure`, front matter says
how the text was made. Both are computed from recorded facts, so that they always fit the text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct, field

from contentops.digest import NO_TEXT, NOTHING, Digest
from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.documents.preset import apply_preset, title_for
from contentops.errors import plural
from contentops.model import (
    ApprovalState,
    Change,
    Fetch,
    ItemId,
    Job,
    Json,
    MergeEdit,
    Note,
    Observed,
    Project,
    Promote,
    Publish,
    Reason,
    Record,
    Replace,
    Restore,
    Spec,
    TextInReview,
    text_digest,
)
from contentops.planning.edits import Answer
from contentops.planning.select import Candidate
from contentops.planning.sides import ItemSides, PlanInputs, SourceText
from contentops.sections import main_heading

# ---- The title that a file gets with a text.


class Brought(NamedTuple):
    """A text that will be written into an item's file. Its title may be empty."""

    title: str
    body: str
    of_section: bool
    """Only one section is new; the rest is the text of the file."""
    is_known: bool = False
    """It was in this file, in another environment's file or on the server before: no job has just made it."""
    front: Mapping[str, Json] = MappingProxyType({})
    """The front matter that comes with the text."""
    digest: Digest = NOTHING
    """The digest of the body, if the body itself is not read."""


def written_title(
    stated: str | None,
    seen: Observed,
    record: Record | None,
    text: Brought,
    *,
    item: ItemId,
    preset: str,
) -> str:
    """Return the title that is written into the item's file.

    It comes from the manifest, a person, the text, the text's first heading, or the item's id. It is empty if a known
    text had no title.
    """
    if stated is not None:
        return clean_title(stated)
    if text.is_known and (seen.exists or record is None):
        return seen.title
    if text.is_known and record is not None:
        # A restored file gets the saved title if the text has it, otherwise the title that was last written.
        is_saved = record.saved is not None and bool(text.title) and title_digest(text.title) == record.saved.title
        return clean_title(text.title) if is_saved else record.title
    if text.of_section and seen.title:
        return seen.title
    edited = seen.title != record.title if record is not None else seen.body == (text.digest or body_digest(text.body))
    if seen.exists and seen.title and edited:
        return seen.title
    return title_for(preset, text.title or clean_title(main_heading(text.body)) or str(item))


# ---- What approvals mean for an item: the state of its text, and the front matter that follows from it.

AUTONOMOUS, ASSISTED = "ai-autonomous", "ai-assisted"
"""How a generated text was made, in the words of the W3C community group on disclosure of AI content."""
_SOURCE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED, EDITED = f"{_SOURCE}trainedAlgorithmicMedia", f"{_SOURCE}compositeWithTrainedAlgorithmicMedia"
"""What a text was made of, in the vocabulary of IPTC. It says nothing of whether someone read the text."""
_NAMED: Final = 5
"""How many items a note names."""
_UNAPPROVED: Final = (ApprovalState.WAITING, ApprovalState.CHANGED)


def approval_state(inputs: PlanInputs, spec: Spec, record: Record | None, file: Observed) -> ApprovalState:
    """Return the approval state of the text in an item's file."""
    if not (file.exists and (spec.approval.required or inputs.approvals.lines)) or file.problem:
        return ApprovalState.NONE
    return _state(inputs, spec, ids_of(inputs, spec.id, record), file.title, _words_of(file))


def _words_of(file: Observed) -> Digest:
    """Return the digest of a file's body.

    If that does not cover all words of the file, return the digest of its bytes, which no record has.
    """
    return file.file if file.hidden and file.body not in (NOTHING, NO_TEXT) else file.body


class ComputedFront(Struct, frozen=True, kw_only=True):
    """The front matter keys that are computed from an approval state. A key with the value None is removed."""

    keys: Mapping[str, Json] = field(default_factory=dict)
    state: ApprovalState = ApprovalState.NONE

    def why(self, key: str, preset: str) -> str:
        """Return the approval state as the reason to change a front matter key, such as `approval: waiting`.

        Return an empty text for a key that does not depend on the approval.
        """
        is_ours = key in self.keys or key in draft_mark(preset)
        return f"approval: {self.state.words}" if is_ours and self.state.words else ""


def has_its_keys(inputs: PlanInputs, spec: Spec, record: Record, file: Observed) -> bool:
    """Return whether the item's file has the draft mark and the disclosure that fit its approval state."""
    wanted = coming_front(ItemSides(inputs=inputs, spec=spec, record=record, file=file), Answer(), None).keys
    unwanted = draft_mark(inputs.project.preset) if spec.approval.required else {}
    is_marked = any(file.front.get(key) == value for key, value in unwanted.items() if key not in wanted)
    return not is_marked and all(file.front.get(key) == value for key, value in wanted.items())


def draft_mark(preset: str) -> dict[str, Json]:
    """Return the front matter that tells a site generator to leave out a page."""
    return apply_preset(preset, {"draft": True})


def coming_front(item: ItemSides, body: Answer, title: str | None) -> ComputedFront:
    """Return the front matter keys that fit the approval state of the text that the file will have.

    `title` is written with that text. If it is None, the file keeps its title. A text that is not known yet counts as
    not approved.
    """
    spec, inputs, own = item.spec, item.inputs, item.record
    if not (spec.approval.required or inputs.project.disclosure is not None):
        return ComputedFront()
    texts, ids = tuple(_coming_texts(item, body, title)), ids_of(inputs, spec.id, own)
    states = {_state(inputs, spec, ids, *text) for text in texts}
    state = states.pop() if len(states) == 1 else ApprovalState.WAITING
    promotion = _promotion(body)
    made = promotion.generated if promotion is not None else own.generated if own is not None else NOTHING
    is_merged = isinstance(body.mode, MergeEdit)
    source = _source_type(made, [NOTHING] if is_merged else [digest for _, digest in texts])
    if body.writes and not is_merged and (not texts or _stored(body) is not None):
        source = GENERATED
    keys = _keys(inputs.project, spec, state, source, item.file.front)
    return ComputedFront(keys=keys, state=state)


def _source_type(generated: Digest, bodies: Iterable[Digest]) -> str:
    """Return how a text was made, for its disclosure: generated, or generated and edited.

    `generated` is the digest of the body that a job made. If no job made the text, it is empty, and so is the result.
    """
    return "" if not generated else GENERATED if {*bodies} <= {generated} else EDITED


def _coming_texts(item: ItemSides, body: Answer, title: str | None) -> Iterator[tuple[str, Digest]]:
    """Yield the title and the body digest of each text that the item's file may have after the change.

    Yields nothing if they are not known yet.
    """
    own, mode, source = item.record, body.mode, item.source_text

    def titled(text: Brought) -> str:
        return written_title(title, item.file, own, text, item=item.spec.id, preset=item.inputs.project.preset)

    if not body.writes:
        yield title or item.file.title, _words_of(item.file)
    elif (promotion := _promotion(body)) is not None and source is not None:
        yield titled(Brought(source.file.title, "", of_section=False, is_known=True)), promotion.body
    elif isinstance(mode, Restore) and own is not None:
        known = Brought(own.title, "", of_section=False, is_known=True)
        yield from ((titled(known), digest) for digest in own.restorable)
    elif (stored := _stored(body)) is not None and stored.title:
        yield titled(Brought(stored.title, "", bool(stored.section), digest=stored.body)), stored.body


def _stored(body: Answer) -> Job | None:
    """Return the finished job whose text will be written unchanged, or None if there is no such job."""
    fetched = (step.job for step in body.steps if isinstance(step, Fetch))
    job = next((job for job in fetched if job is not None and job is not body.job), None)
    return job if isinstance(body.mode, Replace) else None


def is_promotable(item: ItemSides, source: SourceText) -> bool:
    """Return whether another environment's text can be promoted: it is approved, or needs no approval."""
    state = approval_state(item.inputs, item.spec, source.record, source.file)
    return state is ApprovalState.APPROVED or not item.spec.approval.required


def waiting_notes(item: ItemSides, body: Answer) -> Iterator[Note]:
    """Yield a note if a text cannot be promoted before someone approves it."""
    source = item.source_text if body.waits else None
    if source is not None:
        id_, path = item.spec.id, source.file.path
        option = f" --env {source.environment}" if source.environment else ""
        message = f"`{id_}`: `{path}` of `{source.name}` is waiting for approval"
        note = ' --note "..."' if item.spec.approval.note else ""
        hint = f"`contentops approve {id_}{option}{note}`, then promote it"
        yield Note(kind="waiting-for-approval", id=id_, message=message, hint=hint)


def which_status(item: ItemSides, state: ApprovalState, *, is_saved: bool) -> Answer:
    """Return the step that publishes the stored content or makes it a draft. There is none if the status stays."""
    rule, record = item.spec.approval, item.record
    was = record is not None and record.saved is not None and record.saved.published
    is_stored = is_saved or (record is not None and bool(record.content_id) and record.server == item.inputs.server)
    is_approved = state is ApprovalState.APPROVED
    # What is saved again may come back as a draft.
    is_new = is_saved or not was if is_approved else was
    if not (rule.publish and item.inputs.saves(item.spec) and is_stored and is_new):
        return Answer()
    reason = Reason(kind="publish", detail=f"its text is {'approved' if is_approved else 'not approved'}")
    return Answer(steps=(Publish(path=item.spec.output, published=is_approved),), reasons=(reason,))


def ids_of(inputs: PlanInputs, item: ItemId, record: Record | None) -> tuple[ItemId, ...]:
    """Return the present id and all earlier ids of an item. People may have approved its texts under any of them."""
    if record is None:
        return (item,)
    ordered = (job.item for job in inputs.jobs_of(record.digest) if job.item not in inputs.specs)
    earlier = filter(None, [inputs.earlier_id(item)])
    return tuple(dict.fromkeys((item, record.id, *earlier, *ordered)))


def _promotion(body: Answer) -> Promote | None:
    return next((step for step in body.steps if isinstance(step, Promote)), None)


def _state(inputs: PlanInputs, spec: Spec, ids: tuple[ItemId, ...], title: str, body: Digest) -> ApprovalState:
    if body in (NOTHING, NO_TEXT):
        return ApprovalState.NONE
    return inputs.approvals.state(text_digest(title, body), spec.approval, ids)


def _keys(
    project: Project, spec: Spec, state: ApprovalState, source: str, front: Mapping[str, Json]
) -> dict[str, Json]:
    is_approved, disclosure = state is ApprovalState.APPROVED, project.disclosure
    keys: dict[str, Json] = {}
    if spec.approval.required and not is_approved:
        mark = draft_mark(project.preset)
        # Hugo reads keys without their case: `Draft: false` in the file would publish the text.
        keys |= mark | dict.fromkeys(key for key in front if key not in mark and key.casefold() in mark)
    if disclosure is not None and source:
        keys |= {disclosure.key: ASSISTED if is_approved else AUTONOMOUS, disclosure.source_type: source}
    return {key: value for key, value in keys.items() if key}


def same_words(items: Iterable[Candidate]) -> dict[ItemId, tuple[ItemId, ...]]:
    """Return for each item the other items whose texts have an identical title and body.

    An approval of one of them counts for all.
    """
    groups: dict[tuple[str, Digest], list[ItemId]] = defaultdict(list)
    for item in items:
        if item.file is not None and item.file.body not in (NOTHING, NO_TEXT):
            groups[item.file.title, item.file.body].append(item.id)
    twins = (ids for ids in groups.values() if len(ids) > 1)
    return {id_: tuple(other for other in ids if other != id_) for ids in twins for id_ in ids}


def new_drafts(changes: Iterable[Change], preset: str) -> Iterator[Note]:
    """Yield a note about published pages that become drafts because they now need approval."""
    mark = draft_mark(preset)
    ids = tuple(
        change.id
        for change in changes
        if change.approval is ApprovalState.WAITING and change.record is not None
        if any(change.front.get(key) == value for key, value in mark.items())
        if not mark.keys() & (change.record.metadata.keys() | change.file.front.keys())
    )
    if ids:
        verb = "becomes a draft" if len(ids) == 1 else "become drafts"
        names = ", ".join(f"`{id_}`" for id_ in ids[:_NAMED]) + ", ..." * (len(ids) > _NAMED)
        message = f"{plural(len(ids), 'live page')} {verb} until someone approves the text: {names}"
        hint = "approve first what has to stay published, or set `approval: required` for new items alone"
        yield Note(kind="new-drafts", message=message, hint=hint, items=ids[:_NAMED])


def noted_approvals(items: Iterable[Candidate]) -> Iterator[Note]:
    """Yield a plan note about texts that can be approved only with `--note`."""
    waiting = [item for item in items if item.approval in _UNAPPROVED and item.spec and item.spec.approval.note]
    if waiting:
        ids = tuple(item.id for item in waiting)[:_NAMED]
        names = ", ".join(f"`{id_}`" for id_ in ids) + ", ..." * (len(waiting) > _NAMED)
        message = f"{plural(len(waiting), 'text')} can be approved only with a note: {names}"
        yield Note(kind="note-required", message=message, hint='`contentops approve ITEM --note "..."`', items=ids)


def texts_in_review(
    inputs: PlanInputs, items: Iterable[Candidate], waiting: Collection[ItemId | None]
) -> Iterator[TextInReview]:
    """Yield the texts that a pull request changes and that still need an approval.

    Texts that the plan replaces are left out. `waiting` has the items whose text is not promoted yet.
    """
    for item in items:
        file = item.file if item.approval in _UNAPPROVED and not (item.change and item.change.submits) else None
        if item.id in waiting and item.spec is not None and inputs.source is not None:
            source = inputs.source.text(item.spec, inputs.observe)
            file = source.file if source is not None else file
        if file is not None and file.path in inputs.choice.in_review:
            yield TextInReview(id=item.id, output=file.path)
