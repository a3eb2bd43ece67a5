"""Find texts that a person has to approve and no one did, for the build of a site."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import Diagnostic, Location, OutputError, Severity
from contentops.model import NO_CHECKS, ApprovalState, Checked, CheckedFile, text_digest
from contentops.planning.front_matter import APPROVED_DRAFT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.model import ItemId, Note, Observed, Spec
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.planning.select import Candidate


def with_approvals(done: Checked, items: Iterable[Candidate], inputs: PlanInputs, notes: Iterable[Note]) -> Checked:
    """Return the result of checks with a finding for each text that needs an approval and has none.

    `notes`: those of the plan, which know approved texts whose file is a draft: these get a warning.
    """
    drafts = {note.id: note for note in notes if note.kind == APPROVED_DRAFT}
    files = {file.item: file for file in done.files}
    missing, unchecked = done.missing, done.unchecked
    for item in items:
        if item.spec is None or not item.spec.approval.required:
            continue
        seen = inputs.observe(item.path)
        file = files.get(item.id)
        if file is None and item.spec.checks == NO_CHECKS:
            unchecked -= 1
            missing += not seen.exists
            file = CheckedFile(item=item.id, output=item.path, findings=tuple(_unreadable(item.id, seen)))
        if file is not None and seen.exists:
            found = tuple(_unapproved(item.spec, item.approval, seen, inputs))
            if (note := drafts.get(item.id)) is not None:
                warning = Diagnostic(
                    code="approved-draft", message=note.message, hint=note.hint, severity=Severity.WARNING
                )
                found += (structs.replace(warning, location=Location(seen.path)),)
            files[item.id] = structs.replace(file, findings=(*file.findings, *found))
    return Checked(files=tuple(files[id_] for id_ in sorted(files)), missing=missing, unchecked=unchecked)


def _unreadable(id_: ItemId, file: Observed) -> Iterator[Diagnostic]:
    if file.problem:
        yield Diagnostic(code=OutputError.code, message=f"item `{id_}`: {file.problem}", location=Location(file.path))


def _unapproved(spec: Spec, state: ApprovalState, file: Observed, inputs: PlanInputs) -> Iterator[Diagnostic]:
    if state is ApprovalState.APPROVED or file.problem:
        return
    environment = inputs.project.option
    option = f" --env {shlex.quote(environment)}" if environment not in {"", "''"} else ""
    words, then = "is waiting for approval", "read it, then"
    if state is ApprovalState.NONE:
        words, then = "is empty", "write it, then"
    elif state is ApprovalState.SENT_BACK:
        said = inputs.approvals.of_text(text_digest(file.title, file.body))[-1]
        words, then = f"was sent back by `{said.person}`", "change it, then"
    elif state is ApprovalState.CHANGED:
        words = "changed since it was approved"
    message = f"item `{spec.id}`: its text {words}"
    hint = f"{then} `contentops approve {spec.id}{option}`"
    yield Diagnostic(code="not-approved", message=message, hint=hint, location=Location(file.path))
