"""`contentops validate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.reporting.diagnostics import diagnostics_json, diagnostics_text
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from contentops.cli.options import Session


@click.command("validate", short_help="Check every manifest; needs no network.")
@project_options
@click.pass_obj
def command(session: Session, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Check settings, manifests and data files; every problem of every file at once.

    Needs no network and no key, and costs nothing.
    """
    from contentops.operations import workspace

    project = open_project(session, environment, variables)
    desired = workspace.validate(project)
    findings = (*project.warnings, *desired.findings)
    if terminal.read_by_runner():
        from contentops.cli.github import annotate

        annotate(findings, session.directory)
    if as_json:
        counts = {"items": len(desired.specs), "manifests": len(desired.manifests)}
        terminal.say_json({**diagnostics_json(findings), **counts})
        return
    terminal.tell(diagnostics_text(findings, color=terminal.wants_color(sys.stderr)))
    terminal.say(f"Valid: {plural(len(desired.specs), 'item')} in {plural(len(desired.manifests), 'manifest')}.")
