"""A section that is generated again: what blocks it before it is paid for, and before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest
from contentops.documents.new_section import Unusable, deeper, is_touched, take_section
from contentops.model import OnEdit, Reason, Replace
from contentops.planning.edits import BodyAnswer, block, edit, heading_of, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.digest import Digest
    from contentops.documents.new_section import NewSection
    from contentops.model import ItemId, OpenEntry, Record
    from contentops.planning.plan_inputs import ItemSides

UNUSABLE = "unusable-section"
"""The reason an item is blocked whose paid section cannot be taken from the server's answer."""


def section_reason(item: ItemSides, heading: str) -> Reason:
    """Why a section is paid for, with the deeper sections that it replaces."""
    under = listed([heading_of(key) for key in deeper(item.inputs.read(item.file.path), heading)])
    detail = f"`{heading}` is generated again, as requested"
    return Reason(kind="section", detail=f"{detail}, including {under}" if under else detail)


def section_edits(item: ItemSides, heading: str, entry: OpenEntry | None = None) -> BodyAnswer | None:
    """The answer of `on_edit` to edits in that section of the file; None: there are none.

    If the generated text is missing, an edit anywhere counts. The answer of an overwrite has a reason alone.
    """
    own, path = item.own, item.file.path
    base = item.inputs.text(own.generated) if own is not None and own.generated else None
    if not item.is_edited or (base is not None and not is_touched(base, item.inputs.read(path), heading)):
        return None
    where = f"`{heading}` of `{path}`"
    if (item.inputs.choice.on_edit or item.spec.on_edit) is OnEdit.OVERWRITE:
        detail = f"{where} was edited by hand, and that text is replaced"
        return BodyAnswer(reasons=(Reason(kind="edited", detail=detail),), mode=Replace(over_edit=True))
    reasons = edit(item)
    hint = f"{where} was edited by hand; `--on-edit overwrite` generates it again anyway"
    if entry is not None:
        give_up = f"`contentops state resolve {item.spec.id} --forget --request {entry.short}` keeps the file"
        hint = f"{where} was edited by hand; `--on-edit overwrite` writes the paid section instead, {give_up}"
    return block("edited", hint, reasons=reasons, entry=entry)


def section_answer(item: ItemSides, entry: OpenEntry) -> BodyAnswer:
    """The answer that blocks a paid section, or the one that writes it with the edits it replaces."""
    path, there = item.file.path, item.is_edited_on_server
    give_up = f"`contentops state resolve {item.spec.id} --forget --request {entry.short}` gives the section up"
    if not item.file.exists:
        hint = f"`{path}` is gone, and only its section `{entry.section}` is on its way: restore the file, or {give_up}"
        return block("missing", hint, entry=entry)
    if there:
        hint = f"the text was edited in WriterzRoom while `{entry.section}` was generated again; {give_up}"
        return block("edited-on-server", hint, entry=entry)
    new_text = taken_section(item, entry)
    if isinstance(new_text, Unusable):
        return block(UNUSABLE, unusable_hint(item.spec.id, entry, new_text), entry=entry)
    # Written already, and only its record was lost: the text is the same, or the file names the job.
    if (
        body_digest(new_text[0]) == item.file.body
        if new_text
        else entry.job_id == item.file.provenance.get("job") != ""
    ):
        return BodyAnswer()
    return section_edits(item, entry.section, entry) or BodyAnswer()


def taken_section(item: ItemSides, entry: OpenEntry) -> tuple[str, NewSection] | Unusable | None:
    """The file's text with the section of a paid entry in it; None: the section is not on this machine."""
    body = entry.body
    answer = item.inputs.text(body) if body else None
    if answer is None or not item.file.exists:
        return None
    earlier_texts = known_texts(item.own, body, item.inputs.text)
    return take_section(item.inputs.read(item.file.path), answer, entry.section, earlier_texts)


def known_texts(record: Record | None, answer: Digest, text: Callable[[Digest], str | None]) -> tuple[str, ...]:
    """The other texts that the server may have put the section into, as far as this machine has them."""
    saved = record.saved if record is not None else None
    bodies: frozenset[Digest] = saved.bodies if saved is not None else frozenset()
    return tuple(body for digest in sorted(bodies - {answer, NOTHING}) if (body := text(digest)) is not None)


def unusable_words(heading: str, why: Unusable) -> str:
    """Why a section is not taken, in words."""
    match why.why:
        case "others":
            names = listed([heading_of(key) for key in why.others])
            return f"the server changed other sections than `{heading}`: {names}"
        case "beside":
            return f"the server's answer is neither the section `{heading}` alone nor the whole text"
        case "absent":
            return f"the server's answer has no heading `{heading}`"
        case "empty":
            return f"the server's answer has no text under `{heading}`"
        case "gone":
            return f"the file no longer has exactly one section `{heading}`"
        case _:
            return f"the new text of `{heading}` would swallow the text after it: a code block or comment is not closed"


def unusable_hint(id_: ItemId, entry: OpenEntry, why: Unusable) -> str:
    """What to do about a section that is not taken."""
    given = f"`contentops state resolve {id_} --forget --request {entry.short}` gives it up"
    return f"{unusable_words(entry.section, why)}; it is kept and not written; {given}"
