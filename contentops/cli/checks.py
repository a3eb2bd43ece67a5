"""`contentops validate` and `contentops doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli import github, terminal
from contentops.cli.options import project_options
from contentops.errors import ExitCode
from contentops.operations import doctor as doctor_operation
from contentops.operations import workspace
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import paint
from contentops.reporting.summary import plural
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.cli.options import Session
    from contentops.operations.doctor import Check

_SIGNS = {True: ("ok", "add"), False: ("failed", "error"), None: ("note", "warning")}


@click.command("validate", short_help="Check every manifest; needs no network.")
@project_options
def validate(session: Session) -> None:
    """Check settings, manifests and data files; every problem of every file at once.

    Needs no network and no key, and costs nothing.
    """
    project = session.project()
    desired = workspace.validate(project)
    items, manifests = len(desired.specs), len(desired.manifests)
    findings = (*project.warnings, *desired.findings)
    github.annotate(findings, session.directory)
    if not session.as_json:
        terminal.tell_findings(findings)
    document = {**diagnostics_json(findings), "items": items, "manifests": manifests}
    session.answer(document, f"Valid: {plural(items, 'item')} in {plural(manifests, 'manifest')}.")


@click.command("doctor", short_help="Check that everything needed is in place.")
@project_options
def doctor(session: Session) -> int:
    """Check settings, folders, state, key and server, and say how to put right what is wrong.

    Asks the server for free lists only; spends nothing. Exits with 1 if a check failed.
    """
    checks = doctor_operation.doctor(session.project())
    found = {"checks": [structs.asdict(one) for one in checks]}
    session.answer(found, checks_text(checks), fit=True)
    return ExitCode.ERROR if any(one.ok is False for one in checks) else ExitCode.DONE


def checks_text(checks: Sequence[Check]) -> Iterator[str]:
    """One line per check, and what to do where it failed."""
    for one in checks:
        word, style = _SIGNS[one.ok]
        yield f"{paint(f'{word:<6}', style)}  {visible(one.name)}: {visible(one.message)}"
        if one.hint:
            yield f"        {paint('hint', 'hint')}: {visible(one.hint)}"
