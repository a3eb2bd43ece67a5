"""The body that is written with a person's words in it: a new text and an edit, merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.documents.clean import body_digest
from contentops.documents.front_matter import split
from contentops.documents.merge import take_new
from contentops.documents.new_section import Unusable, put_section, take_section
from contentops.execution.primitives import Ended, MergedBody
from contentops.model import KeptWords, MergeEdit, Result
from contentops.planning.edits import heading_of, why_not_merged
from contentops.planning.section import known_texts, unusable_hint, unusable_words

if TYPE_CHECKING:
    from contentops.execution.primitives import Item, ItemState
    from contentops.execution.run_context import Context
    from contentops.model import Observed, Write


def merged(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> ItemState:
    """The state with the merged body, if a person's words stay in it. Raises Ended where they cannot be merged."""
    text = item_state.text
    assert text is not None
    if item.change.section:
        return _with_section(ctx, item, item_state, step, seen)
    mode = step.mode
    if item_state.merged is not None or not isinstance(mode, MergeEdit) or not seen.exists or seen.problem:
        return item_state
    edited = split(ctx.outputs.read(step.target)).body
    if text.job_id and seen.provenance.get("job") == text.job_id:
        # A run that was cut short has merged this very text already, and perhaps a person went on from there.
        return structs.replace(item_state, merged=MergedBody(edited))
    base = ctx.text(mode.base)
    if base is None:
        hint = "run `contentops plan` to see how to get it"
        raise Ended(Result.BLOCKED, "the text before the edits is missing; the new text is kept", hint)
    renewed = take_new(base, edited, text.body)
    trouble = why_not_merged(item.id, renewed, strict=mode.strict)
    if renewed is None or trouble is not None:
        raise Ended(Result.BLOCKED, "not merged; the new text is kept", trouble[1] if trouble is not None else "")
    kept_words = tuple(KeptWords(heading=heading_of(each.key), new=each.new) for each in renewed.kept)
    return structs.replace(item_state, merged=MergedBody(renewed.body, kept_words))


def _with_section(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> ItemState:
    """The state with the new section in the file's text. Raises Ended where it cannot be put there."""
    text, record = item_state.text, item_state.recorded
    assert text is not None
    if item_state.merged is not None:
        return item_state
    if not seen.exists or seen.problem:
        raise Ended(Result.BLOCKED, seen.problem or f"`{step.target}` was removed; its new section is kept", _AGAIN)
    edited = split(ctx.outputs.read(step.target)).body
    bases = known_texts(record, body_digest(text.body), ctx.text)
    placed = take_section(edited, text.body, item.change.section, bases)
    if isinstance(placed, Unusable):
        hint = unusable_hint(item.id, text.entry, placed) if text.entry is not None else ""
        raise Ended(Result.BLOCKED, unusable_words(item.change.section, placed), hint)
    body, new = placed
    # A job made only the section; the rest of the file keeps its owner.
    base = edited if seen.body == record.generated else ctx.text(record.generated) if record.generated else None
    generated = put_section(base, new) if base is not None else None
    if text.content_id != record.content_id:
        # The item keeps its content, wherever else the server stored the new section.
        item_state = structs.replace(item_state, text=structs.replace(text, content_id=""))
    return structs.replace(item_state, merged=MergedBody(body, generated=generated or ""))


_AGAIN = "run `contentops plan` to see what to do"
