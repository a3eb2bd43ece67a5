"""Runs the checks that items declare on their files, and finds similar texts and missing approvals."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from contentops.documents.checks import check_text, checked_text
from contentops.documents.files import Outputs
from contentops.errors import Diagnostic, Location, OutputError, Severity
from contentops.execution.commands import run_commands
from contentops.model import (
    NO_CHECKS,
    ApprovalState,
    Checked,
    CheckedFile,
    Finding,
    ItemId,
    Level,
    Note,
    Observed,
    Project,
    Spec,
    text_digest,
)
from contentops.operations.workspace import open_workspace
from contentops.planning.front_matter import APPROVED_DRAFT
from contentops.planning.plan import plan_with_items
from contentops.planning.select import Candidate, check_selectors, selected
from contentops.planning.sides import Choice, PlanInputs
from contentops.planning.similar import similar_texts

# ---- Keeps values that were made from equal inputs.

T = TypeVar("T")


class KeptValues(Generic[T]):
    """Caches values by name. A value is computed again only if the data that it was made from changes."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[object, T]] = {}

    def get(self, name: str, made_from: object, make: Callable[[], T]) -> T:
        """Return the cached value, or compute it again if its source data `made_from` has changed.

        `made_from` is all data that the value depends on. If it is None, the value is always computed again.
        """
        kept = self._values.get(name)
        if kept is not None and made_from is not None and kept[0] == made_from:
            return kept[1]
        value = make()
        if made_from is not None:
            self._values[name] = (made_from, value)
        return value


# ---- Check the files of items, as they are now.

_ROOM = 2_000
"""Characters of a line that a finding quotes."""


def check_files(project: Project, choice: Choice, *, commands: bool = False, approved: bool = False) -> Checked:
    """Check the files of the selected items. It needs no network and changes nothing.

    `commands`: also run the programs that the settings name. `approved`: also find texts that lack an approval. Raises
    InputError if manifests have errors, and UsageError if selectors are invalid or match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project) as workspace:
        inputs = workspace.plan_inputs(Choice())
        plan, every = plan_with_items(inputs)
        items = selected(choice, [item for item in every if item.spec is not None])
        similar = similar_texts(inputs, filter(None, (item.spec for item in items)))
        drafts = {note.id: note for note in plan.notes if note.kind == APPROVED_DRAFT} if approved else None
        return checked_items(project, items, inputs, similar, commands=commands, drafts=drafts)


def checked_items(
    project: Project,
    items: Iterable[Candidate],
    inputs: PlanInputs,
    similar: Mapping[ItemId, Finding],
    *,
    commands: bool,
    kept: KeptValues[tuple[Diagnostic, ...]] | None = None,
    drafts: Mapping[ItemId | None, Note] | None = None,
) -> Checked:
    """Check the files of some items, and return the findings.

    `similar`: findings of a comparison of all texts. `kept`: findings of earlier calls. `drafts`: the plan's notes on
    approved texts whose file is a draft; with them, texts that lack a needed approval are found too.
    """
    outputs = Outputs(project.root)
    kept = kept if kept is not None else KeptValues()
    files: list[CheckedFile] = []
    missing = unchecked = 0
    for item, spec in ((item, item.spec) for item in items if item.spec is not None):
        observed = inputs.file_of(spec)
        is_asked = drafts is not None and spec.approval.required
        if spec.checks == NO_CHECKS and not is_asked:
            unchecked += 1
        elif not observed.exists:
            missing += 1
        else:
            path = observed.path
            # Links lead to other files, and programs are asked each time.
            is_alone = spec.checks.links is None and not commands
            made_from = (observed.file, observed.problem, path, spec.checks) if is_alone else None
            find = functools.partial(_findings_of, project, outputs, spec, observed, inputs.exists, commands=commands)
            findings = kept.get(spec.id, made_from, find)
            if spec.id in similar:
                findings += (_diagnostic(similar[spec.id], f"item `{spec.id}`: ", path, []),)
            if drafts is not None and spec.approval.required:
                findings += tuple(_unapproved(item, observed, inputs, drafts))
            files.append(CheckedFile(item=spec.id, output=path, findings=findings))
    return Checked(files=tuple(files), missing=missing, unchecked=unchecked)


def _unapproved(
    item: Candidate, file: Observed, inputs: PlanInputs, drafts: Mapping[ItemId | None, Note]
) -> Iterator[Diagnostic]:
    """Yield a finding if a text lacks the approval it needs.

    Also yield one if the file of an approved text is still a draft.
    """
    location = Location(file.path)
    if (draft := drafts.get(item.id)) is not None:
        level, hint = Severity.WARNING, draft.hint
        yield Diagnostic(code="approved-draft", message=draft.message, hint=hint, severity=level, location=location)
    if item.approval is ApprovalState.APPROVED or file.problem:
        return
    environment = inputs.project.option
    option = f" --env {shlex.quote(environment)}" if environment not in {"", "''"} else ""
    said = [line.person for line in inputs.approvals.of_text(text_digest(file.title, file.body))]
    words, first = {
        ApprovalState.NONE: ("is empty", "write it"),
        ApprovalState.SENT_BACK: (f"was sent back by `{said[-1] if said else ''}`", "change it"),
        ApprovalState.CHANGED: ("changed since it was approved", "read it"),
    }.get(item.approval, ("is waiting for approval", "read it"))
    message, hint = f"item `{item.id}`: its text {words}", f"{first}, then `contentops approve {item.id}{option}`"
    yield Diagnostic(code="not-approved", message=message, hint=hint, location=location)


def _findings_of(
    project: Project, outputs: Outputs, spec: Spec, file: Observed, exists: Callable[[str], bool], *, commands: bool
) -> tuple[Diagnostic, ...]:
    path, subject = file.path, f"item `{spec.id}`: "
    try:
        text = outputs.read(path)
    except OutputError as error:
        return (Diagnostic(code=error.code, message=subject + error.message, location=Location(path), hint=error.hint),)
    if file.problem:
        location = Location(path, file.problem_line)
        return (Diagnostic(code=OutputError.code, message=subject + file.problem, location=location),)
    findings = [*check_text(spec.checks, checked_text(text, path), exists)]
    if commands and spec.checks.commands is not None:
        findings += run_commands(spec.checks.commands, Path(project.root), path)
    lines = text.split("\n") if findings else []
    return tuple(_diagnostic(one, subject, path, lines) for one in findings)


def _diagnostic(finding: Finding, subject: str, path: str, lines: list[str]) -> Diagnostic:
    excerpt = lines[finding.line - 1].rstrip()[:_ROOM] if 0 < finding.line <= len(lines) else ""
    return Diagnostic(
        code=finding.check.replace("_", "-"),
        message=subject + finding.message,
        severity=Severity.ERROR if finding.level is Level.BLOCK else Severity.WARNING,
        location=Location(path, max(finding.line, 1)),
        excerpt=excerpt,
        width=max(len(excerpt), 1),
        hint=finding.hint,
    )
