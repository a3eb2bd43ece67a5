"""`contentops comment`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.reporting import FORMAT_VERSION
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.ci.runner import PlanOrigin
    from contentops.cli.options import Session
    from contentops.model import Plan

_FOOT = 600
"""Bytes kept free for where a plan comes from."""


@click.command("comment", short_help="Put a plan on its pull request.")
@click.option("--plan", "path", metavar="FILE", required=True, help="The plan, as `plan --out` wrote it.")
@click.option("--pr", "number", metavar="N", type=click.IntRange(min=1), help="Default: the one the event is about.")
@click.option("--repo", metavar="OWNER/NAME", default="", help="Default: `GITHUB_REPOSITORY`.")
@json_option
@click.pass_obj
def command(session: Session, path: str, number: int | None, repo: str, *, as_json: bool) -> None:
    """Put a plan on its pull request as one comment for each project and environment, updated in place.

    Needs `GITHUB_TOKEN` with the right to write to pull requests. In a workflow started by `workflow_run` the pull
    request is the one of the event: an artifact never says where a comment goes.
    """
    from contentops.ci.github import connect, post_comment, pull_request
    from contentops.ci.runner import PlanOrigin, origin_of, read_event, run_page
    from contentops.cli.planfile import read_plan
    from contentops.reporting.plan_markdown import marker
    from contentops.reporting.plan_read import plan_of

    plan = plan_of(read_plan(session.path(path)))
    origin = PlanOrigin(number=number) if number else origin_of(read_event(os.environ))
    if not origin.run:
        # Not started by the run that planned, so this is that run.
        origin = structs.replace(origin, run=run_page(os.environ))
    github = connect(os.environ, pause=time.sleep, repository=repo)
    found = pull_request(github, origin)
    posted = post_comment(github, found, marker(plan), page(plan, origin)) if found else None
    if as_json:
        address, new = ("", False) if posted is None else posted
        terminal.say_json({"format_version": FORMAT_VERSION, "pull_request": found, "comment": address, "new": new})
    elif posted is None:
        terminal.say("Nothing posted: the pull request is closed, or has moved on since this plan was made.")
    else:
        verb = "Commented" if posted.new else "Updated the comment"
        terminal.say(f"{verb} on pull request {found}: {visible(posted.address)}")


def page(plan: Plan, origin: PlanOrigin) -> str:
    """The comment: the plan, and where it comes from."""
    from contentops.reporting.plan_markdown import LIMIT, code, plan_markdown

    body = plan_markdown(plan, limit=LIMIT - _FOOT)
    commit = f"Plan of commit {code(origin.commit[:12])}." if origin.commit else ""
    run = f"[The whole plan is in the run]({origin.run})." if _is_plain(origin.run) else ""
    foot = " ".join(part for part in (commit, run) if part)
    return f"{body}\n<sub>{foot}</sub>\n" if foot else body


def _is_plain(address: str) -> bool:
    return address.startswith("https://") and len(address) <= 300 and not set(address) & set(" ()<>[]\\\"'`\n\r")
