"""Check the files of items, as they are now."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.documents.files import Outputs
from contentops.errors import Diagnostic, Location, OutputError, Severity
from contentops.model import NO_CHECKS, Checked, CheckedFile, ItemId, Level
from contentops.operations.kept_values import KeptValues
from contentops.operations.plan import candidate
from contentops.operations.texts.similar_texts import similar_texts
from contentops.operations.texts.unapproved import with_approvals
from contentops.operations.workspace import open_workspace
from contentops.planning.plan import plan_with_items
from contentops.planning.plan_inputs import Choice
from contentops.planning.select import check_selectors, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contentops.model import Finding, Observed, Project, Spec
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.planning.select import Candidate

_ROOM = 2_000
"""Characters of a line that a finding quotes."""


def check_files(project: Project, choice: Choice, *, commands: bool = False, approved: bool = False) -> Checked:
    """Check the files of the selected items. Needs no network and changes nothing.

    `commands`: also run the programs that settings name; `approved`: also find texts that lack an approval. Raises
    InputError where manifests have errors, UsageError for invalid selectors and those that match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project) as workspace:
        inputs = workspace.plan_inputs(Choice())
        plan, planned = plan_with_items(inputs)
        changes = {change.id: change for change in plan.changes}
        items = selected(choice, [candidate(id_, inputs, changes, planned) for id_ in sorted(inputs.specs)])
        similar = similar_texts(inputs, filter(None, (item.spec for item in items)))
        done = checked_items(project, items, inputs, similar, commands=commands)
        return with_approvals(done, items, inputs, plan.notes) if approved else done


def checked_items(
    project: Project,
    items: Iterable[Candidate],
    inputs: PlanInputs,
    similar: Mapping[ItemId, Finding],
    *,
    commands: bool,
    kept: KeptValues[tuple[Diagnostic, ...]] | None = None,
) -> Checked:
    """Check the files of some items; `similar`: what was found by comparing texts; `kept`: what was found before."""
    records, outputs = inputs.state.records, Outputs(project.root)
    kept = kept if kept is not None else KeptValues()
    files: list[CheckedFile] = []
    missing = unchecked = 0
    for spec in filter(None, (item.spec for item in items)):
        path = records[spec.id].output if spec.id in records else spec.output
        observed = inputs.observe(path)
        if spec.checks == NO_CHECKS:
            unchecked += 1
        elif not observed.exists and not observed.problem:
            missing += 1
        else:
            # Links lead to other files, and programs are asked each time.
            is_alone = spec.checks.links is None and not commands
            made_from = (observed.file, observed.problem, path, spec.checks) if is_alone else None
            find = functools.partial(_findings_of, project, outputs, spec, observed, inputs.exists, commands=commands)
            findings = kept.get(spec.id, made_from, find)
            if spec.id in similar:
                findings += (_diagnostic(similar[spec.id], f"item `{spec.id}`: ", path, []),)
            files.append(CheckedFile(item=spec.id, output=path, findings=findings))
    return Checked(files=tuple(files), missing=missing, unchecked=unchecked)


def _findings_of(
    project: Project, outputs: Outputs, spec: Spec, file: Observed, exists: Callable[[str], bool], *, commands: bool
) -> tuple[Diagnostic, ...]:
    from contentops.documents.checks import check_text, checked_text

    path, subject = file.path, f"item `{spec.id}`: "
    try:
        text = outputs.read(path)
    except OutputError as error:
        return (Diagnostic(code=error.code, message=subject + error.message, location=Location(path), hint=error.hint),)
    if file.problem:
        return (Diagnostic(code=OutputError.code, message=subject + file.problem, location=Location(path)),)
    findings = [*check_text(spec.checks, checked_text(text, path), exists)]
    if commands and spec.checks.commands is not None:
        from contentops.execution.commands import run_commands

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
