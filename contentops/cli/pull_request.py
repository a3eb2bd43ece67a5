"""`contentops comment` and `contentops reviewed`: a plan on its pull request, and found again."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.ci.github import connect, post_comment, pull_request, reviewed_run
from contentops.ci.runner import PlanOrigin, origin_of, queued, read_event, run_page
from contentops.cli.files import read_plan
from contentops.cli.github import tell_outputs
from contentops.cli.options import json_option
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import LIMIT, code, marker, plan_markdown
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.options import Session
    from contentops.model import Plan

ARTIFACT = "contentops-plan"
"""What the plan workflow calls its artifact."""
_FOOT = 600
"""Bytes kept free for where a plan comes from."""


@click.command("comment", short_help="Put a plan on its pull request.")
@click.option("--plan", "path", metavar="FILE", required=True, help="The plan, as `plan --out` wrote it.")
@click.option("--pr", "number", metavar="N", type=click.IntRange(min=1), help="Default: the one the event is about.")
@click.option("--repo", metavar="OWNER/NAME", default="", help="Default: `GITHUB_REPOSITORY`.")
@json_option
def comment(session: Session, path: str, number: int | None, repo: str) -> None:
    """Put a plan on its pull request as one comment for each project and environment, updated in place.

    Needs `GITHUB_TOKEN` with the right to write to pull requests. In a workflow started by `workflow_run` the pull
    request is the one of the event: an artifact never says where a comment goes.
    """
    plan = plan_of(read_plan(session.path(path)))
    origin = PlanOrigin(number=number) if number else origin_of(read_event(os.environ))
    if not origin.run:
        # Not started by the run that planned, so this is that run.
        origin = structs.replace(origin, run=run_page(os.environ))
    github = connect(os.environ, pause=time.sleep, repository=repo)
    found = pull_request(github, origin)
    posted = post_comment(github, found, marker(plan), page(plan, origin)) if found else None
    address, new = ("", False) if posted is None else posted
    text = "Nothing posted: the pull request is closed, or has moved on since this plan was made."
    if posted is not None:
        text = f"{'Commented' if new else 'Updated the comment'} on pull request {found}: {visible(address)}"
    session.answer({"pull_request": found, "comment": address, "new": new}, text)


def page(plan: Plan, origin: PlanOrigin) -> str:
    """The comment: the plan, and where it comes from."""
    body = plan_markdown(plan, limit=LIMIT - _FOOT)
    commit = f"Plan of commit {code(origin.commit[:12])}." if origin.commit else ""
    run = f"[The whole plan is in the run]({origin.run})." if _is_plain(origin.run) else ""
    foot = " ".join(part for part in (commit, run) if part)
    return f"{body}\n<sub>{foot}</sub>\n" if foot else body


def _is_plain(address: str) -> bool:
    return address.startswith("https://") and len(address) <= 300 and not set(address) & set(" ()<>[]\\\"'`\n\r")


@click.command("reviewed", short_help="Find the plan that a pull request in a merge queue was reviewed with.")
@click.option("--pr", "number", metavar="N", type=click.IntRange(min=1), help="Default: the one the queue is about.")
@click.option("--repo", metavar="OWNER/NAME", default="", help="Default: `GITHUB_REPOSITORY`.")
@click.option("--artifact", metavar="NAME", default=ARTIFACT, show_default=True, help="What the plan was uploaded as.")
@json_option
def reviewed(session: Session, number: int | None, repo: str, artifact: str) -> None:
    """Say which run of a workflow keeps the plan of a pull request's last commit, for `plan --check`.

    Needs `GITHUB_TOKEN` with the right to read actions and pull requests. That no plan is kept any more is no failure:
    then plan again.
    """
    about = number or queued(read_event(os.environ))
    run = reviewed_run(connect(os.environ, pause=time.sleep, repository=repo), about, artifact)
    tell_outputs({"run-id": str(run or "")})
    text = f"No `{visible(artifact)}` is kept of the last commit of pull request {about}."
    if run:
        text = f"Pull request {about} was reviewed with the plan of run {run}."
    session.answer({"pull_request": about, "run": run or None}, text)
