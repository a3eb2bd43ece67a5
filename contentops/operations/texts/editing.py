"""Edit the text of an item in its file, as any editor would: nothing is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.documents.clean import TITLE_LIMIT, clean_title
from contentops.documents.files import Outputs
from contentops.documents.front_edits import replace_body, update
from contentops.documents.front_matter import TITLE_KEY, split
from contentops.errors import FileChanged, OutputError, Refused, UsageError
from contentops.operations.apply_lock import hold_lock
from contentops.operations.opening import HERE, Runtime, kept_copies
from contentops.operations.plan import recorded
from contentops.sanitize import Policy, hidden_runs, sanitize
from contentops.sections import nests_too_deep

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import Project

LONGEST: Final = 1_000_000
"""Characters of the longest text that is written."""


class TextEdit(Struct, frozen=True, kw_only=True):
    """A title and a body that a person typed. The ends of lines are LF."""

    title: str
    body: str
    expect: Digest
    """The digest of the file that the person saw."""
    sets_aside: bool = False
    """The file has another person's words: they are copied first."""


class EditedText(Struct, frozen=True, kw_only=True):
    """The file that was written, and the path of the copy of what it was, or empty."""

    output: str
    copy: str = ""


def edit_text(project: Project, item: str, edit: TextEdit, *, runtime: Runtime = HERE) -> EditedText:
    """Put a title and a body into the file of an item; its other front matter keeps its bytes.

    Raises FileChanged where the file is another one than expected, Refused for a protected item, UsageError for words
    that no text may have, OutputError for a file that cannot be read or written, LockHeld while an apply runs.
    """
    _check(edit)
    with hold_lock(project, runtime):
        state, record = recorded(project, item)
        if record.protected:
            raise protected(item)
        copies = kept_copies(project, state.lineage, runtime)
        outputs = Outputs(project.root, copies=copies, system=runtime.system)
        file = outputs.observe(record.output)
        if file.problem:
            raise OutputError(file.problem, code="unreadable-file")
        if file.file != edit.expect:
            hint = "copy what you want from the other text, then save"
            raise FileChanged(f"`{record.output}` changed while you were writing", hint=hint)
        before = outputs.read(record.output)
        title, now = clean_title(edit.title), split(before)
        if not title and now.title:
            raise UsageError("the title is empty", code="bad-text", hint="write one")
        text = update(before, {TITLE_KEY: title}) if title != now.title else before
        if split(text).body != edit.body:
            text = replace_body(text, edit.body)
        copy = outputs.set_aside(record.output, before) if edit.sets_aside and text != before else ""
        outputs.write(record.output, text, expect=file.file)
    return EditedText(output=record.output, copy=copy)


def protected(item: str) -> Refused:
    """Return the error for a text that may not be edited."""
    hint = "apply `protected: false` first to lift it"
    return Refused(f"`{item}` is protected, so its text is not changed", code="not-edited", hint=hint)


def _check(edit: TextEdit) -> None:
    if len(edit.body) > LONGEST:
        message = f"the text has {len(edit.body):,} characters, more than {LONGEST:,}"
        raise UsageError(message, code="bad-text", hint="shorten it, or edit the file itself")
    if len(edit.title) > TITLE_LIMIT or "\n" in edit.title:
        hint = "shorten it"
        raise UsageError(f"the title is longer than a line of {TITLE_LIMIT} characters", code="bad-text", hint=hint)
    for name, text in (("title", edit.title), ("text", edit.body)):
        kept = sanitize(text, Policy.BODY)
        if kept != text:
            pairs = enumerate(zip(text, kept, strict=False))
            at = next((at for at, (one, other) in pairs if one != other), len(kept))
            where = f"line {text.count(chr(10), 0, at) + 1} of the {name}"
            message = f"{where} has the character U+{ord(text[at]):04X}, which no text may have"
            raise UsageError(message, code="bad-text", hint="remove it: it is invisible and can mislead readers")
        for at, count in hidden_runs(text):
            message = f"line {text.count(chr(10), 0, at) + 1} of the {name} has {count:,} characters that no one sees"
            raise UsageError(message, code="bad-text", hint="delete that line, and write it again")
    if nests_too_deep(edit.body):
        message = "the text has lists or quotations that are nested too deeply"
        raise UsageError(message, code="bad-text", hint="flatten them")
    if not edit.body.strip():
        raise UsageError("the text is empty", code="bad-text", hint="write some text, or do not save")
