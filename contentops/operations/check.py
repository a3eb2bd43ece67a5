"""`check`: the checks of every item, on the files that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentops.documents.checks import check_text, checked_text
from contentops.documents.files import Outputs
from contentops.errors import Diagnostic, Location, OutputError, Severity
from contentops.execution.commands import run_commands
from contentops.model import NO_CHECKS, Checked, CheckedFile, Level
from contentops.operations.plan import candidate
from contentops.operations.workspace import open_workspace
from contentops.planning.inputs import Choice
from contentops.planning.plan import make_plan
from contentops.planning.select import check_selectors, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentops.model import Checks, Finding, Project, Spec

_ROOM = 2_000
"""Characters of a line that a finding quotes."""


def check(project: Project, choice: Choice, *, commands: bool = False) -> Checked:
    """What the checks of the selected items find in their files. Needs no network and changes nothing.

    Without `commands`, the programs that settings name are not run. Raises InputError where manifests have errors,
    UsageError for selectors that cannot mean anything, or match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project) as workspace:
        found = workspace.plan_inputs(Choice())
    changes = {change.id: change for change in make_plan(found).changes}
    items = selected(choice, [candidate(id_, found, changes) for id_ in sorted(found.specs)])
    records = found.state.records
    files: list[CheckedFile] = []
    missing = unchecked = 0
    for spec in filter(None, (item.spec for item in items)):
        path = records[spec.id].output if spec.id in records else spec.output
        observed = found.observe(path)
        if spec.checks == NO_CHECKS:
            unchecked += 1
        elif not observed.exists and not observed.problem:
            missing += 1
        else:
            findings = _findings(project, spec, path, found.exists, commands=commands)
            files.append(CheckedFile(item=spec.id, output=path, findings=findings))
    return Checked(files=tuple(files), missing=missing, unchecked=unchecked)


def _findings(
    project: Project, spec: Spec, path: str, exists: Callable[[str], bool], *, commands: bool
) -> tuple[Diagnostic, ...]:
    outputs = Outputs(project.root)
    subject = f"item `{spec.id}`: "
    try:
        text = outputs.read(path)
    except OutputError as error:
        return (Diagnostic(code=error.code, message=subject + error.message, location=Location(path), hint=error.hint),)
    problem = outputs.observe(path).problem
    if problem:
        return (Diagnostic(code=OutputError.code, message=subject + problem, location=Location(path)),)
    found = [*check_text(spec.checks, checked_text(text, path), exists)]
    found += _commands(project, spec.checks, path) if commands else ()
    lines = text.split("\n") if found else []
    return tuple(_diagnostic(one, subject, path, lines) for one in found)


def _commands(project: Project, checks: Checks, path: str) -> Iterable[Finding]:
    if checks.commands is None:
        return ()
    return run_commands(checks.commands, Path(project.root), path)


def _diagnostic(found: Finding, subject: str, path: str, lines: list[str]) -> Diagnostic:
    excerpt = lines[found.line - 1].rstrip()[:_ROOM] if 0 < found.line <= len(lines) else ""
    return Diagnostic(
        code=found.check.replace("_", "-"),
        message=subject + found.message,
        severity=Severity.ERROR if found.level is Level.BLOCK else Severity.WARNING,
        location=Location(path, max(found.line, 1)),
        excerpt=excerpt,
        width=max(len(excerpt), 1),
        hint=found.hint,
    )
