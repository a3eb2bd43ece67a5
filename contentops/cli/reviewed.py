"""`contentops reviewed`."""

from __future__ import annotations

import os
import time

import click

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.reporting import FORMAT_VERSION
from contentops.sanitize import visible

ARTIFACT = "contentops-plan"
"""What the plan workflow calls its artifact."""


@click.command("reviewed", short_help="Find the plan that a pull request in a merge queue was reviewed with.")
@click.option("--pr", "number", metavar="N", type=click.IntRange(min=1), help="Default: the one the queue is about.")
@click.option("--repo", metavar="OWNER/NAME", default="", help="Default: `GITHUB_REPOSITORY`.")
@click.option("--artifact", metavar="NAME", default=ARTIFACT, show_default=True, help="What the plan was uploaded as.")
@json_option
def command(number: int | None, repo: str, artifact: str, *, as_json: bool) -> None:
    """Say which run of a workflow keeps the plan of a pull request's last commit, for `plan --check`.

    Needs `GITHUB_TOKEN` with the right to read actions and pull requests. That no plan is kept any more is no failure:
    then plan again.
    """
    from contentops.ci.github import connect, reviewed_run
    from contentops.ci.runner import queued, read_event

    about = number or queued(read_event(os.environ))
    run = reviewed_run(connect(os.environ, pause=time.sleep, repository=repo), about, artifact)
    if terminal.read_by_runner():
        from contentops.cli.github import tell_outputs

        tell_outputs({"run-id": str(run or "")})
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "pull_request": about, "run": run or None})
    elif run:
        terminal.say(f"Pull request {about} was reviewed with the plan of run {run}.")
    else:
        terminal.say(f"No `{visible(artifact)}` is kept of the last commit of pull request {about}.")
