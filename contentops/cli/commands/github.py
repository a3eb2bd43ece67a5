"""`contentops comment` and `find-plan`: a plan on its pull request, and the one that it was reviewed with."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from contentops.ci.comments import Shown, our_marks, post_comment, reviewed_plan
from contentops.ci.github import connect, is_newest, merged_pull
from contentops.ci.runner import PlanOrigin, origin_of, pushed, queued, read_event
from contentops.cli.options import file_option, json_option
from contentops.cli.output import github_job
from contentops.errors import ContentopsError
from contentops.model.plan_file import CHECKSUM
from contentops.operations.plan_files import read_plan
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import (
    LIMIT,
    MARKED,
    NO_PLAN,
    code,
    marker,
    marker_of,
    no_plan_markdown,
    plan_markdown,
)
from contentops.sanitize import visible

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.ci.github import Posted
    from contentops.cli.session import Session
    from contentops.model import Plan

ARTIFACT = "contentops-plan"
"""The name of the artifact of the plan workflow."""
_FOOT = 600
"""Bytes kept free for where a plan comes from."""


@click.command("comment")
@file_option("--plan", "path", required=True, help="The plan file that `plan --out` wrote.")
@click.option(
    "--pr", "number", metavar="N", type=click.IntRange(min=1), help="The pull request. Default: that of the event."
)
@click.option("--repo", metavar="OWNER/NAME", default="", help="The repository. Default: `GITHUB_REPOSITORY`.")
@click.option(
    "--project", metavar="NAME", default="", help="The project whose plan failed, if FILE does not exist. Default: all."
)
@click.option("--env", "environment", metavar="NAME", default="", help="The environment of that plan.")
@json_option
def comment(session: Session, path: str, number: int | None, repo: str, project: str) -> None:
    """Put a plan on its pull request, as one comment for each project and environment, updated in place.

    If FILE does not exist, the plan failed: the comment says so and shows no older price. Needs `GITHUB_TOKEN` with the
    right to write to pull requests.
    """
    plan, checksum, failure = _plan_at(session.path(path))
    try:
        mark = marker_of(project, session.chosen()) if project else ""
        pull, posted = _post(plan, checksum, mark, number, repo)
    except ContentopsError as error:
        raise failure or error from None
    if failure is not None:
        raise failure
    address, new = ("", False) if posted is None else posted
    text = "Nothing posted: the pull request has newer commits than this plan."
    if posted is not None and plan is None:
        text = (
            f"Said on pull request {pull} that there is no plan (`{visible(path)}` does not exist): {visible(address)}"
        )
    elif posted is not None:
        text = f"{'Commented' if new else 'Updated the comment'} on pull request {pull}: {visible(address)}"
    session.answer({"pull_request": pull, "comment": address, "new": new}, text)


def _plan_at(path: Path) -> tuple[Plan | None, str, ContentopsError | None]:
    """Read the plan in a file; return it with its checksum, or None with the error of a file that cannot be read."""
    if not os.path.lexists(path):
        return None, "", None
    try:
        document = read_plan(path)
        return plan_of(document), str(document[CHECKSUM]), None
    except ContentopsError as error:
        return None, "", error


def _post(plan: Plan | None, checksum: str, mark: str, number: int | None, repo: str) -> tuple[int, Posted | None]:
    """Comment on the pull request; return its number and the comment, or 0 and None where it has moved on.

    `mark`: the first line of the comment to update where there is no plan; empty: all our comments.
    """
    origin = origin_of(os.environ, number or 0)
    github = connect(os.environ, pause=time.sleep, repository=repo)
    pull = origin.number
    if not is_newest(github, origin):
        return 0, None
    if plan is not None:
        return pull, post_comment(github, pull, marker(plan), page(plan, origin, checksum), instead=NO_PLAN)
    *_, posted = (
        post_comment(github, pull, mark, _no_plan(mark, origin))
        for mark in ([mark] if mark else our_marks(github, pull, MARKED) or [NO_PLAN])
    )
    return pull, posted


def _no_plan(mark: str, origin: PlanOrigin) -> str:
    """Return the comment where no plan could be made."""
    why = f"\n<sub>[The run says why]({origin.run}).</sub>\n" if _is_plain(origin.run) else ""
    return _with_shown(no_plan_markdown(mark, origin.commit[:12]) + why, Shown(origin.run_number, origin.commit))


def _with_shown(body: str, shown: Shown) -> str:
    first, _, rest = body.partition("\n")
    return f"{first}\n{shown.line}\n{rest}" if shown.line else body


def page(plan: Plan, origin: PlanOrigin, checksum: str = "") -> str:
    """Return the comment: the plan, its commit and run, and a hidden line that identifies it."""
    shown = Shown(origin.run_number, origin.commit, checksum)
    return _with_shown(_footed(plan_markdown(plan, limit=LIMIT - _FOOT), origin), shown)


def _footed(body: str, origin: PlanOrigin) -> str:
    commit = f"Plan of commit {code(origin.commit[:12])}." if origin.commit else ""
    run = f"[The whole plan is in the run]({origin.run})." if _is_plain(origin.run) else ""
    foot = " ".join(part for part in (commit, run) if part)
    return f"{body}\n<sub>{foot}</sub>\n" if foot else body


def _is_plain(address: str) -> bool:
    return address.startswith("https://") and len(address) <= 300 and not set(address) & set(" ()<>[]\\\"'`\n\r")


@click.command("find-plan")
@click.option(
    "--pr",
    "number",
    metavar="N",
    type=click.IntRange(min=1),
    help="The pull request. Default: the one in the merge queue, or whose merge was pushed.",
)
@click.option("--repo", metavar="OWNER/NAME", default="", help="The repository. Default: `GITHUB_REPOSITORY`.")
@click.option(
    "--artifact", metavar="NAME", default=ARTIFACT, show_default=True, help="The name of the artifact with the plan."
)
@click.option("--env", "environment", metavar="NAME", default="", help="Only a plan of this environment. Default: any.")
@json_option
def find_plan(session: Session, number: int | None, repo: str, artifact: str) -> None:
    """Find the workflow run with the plan that a pull request shows for its last commit.

    The comment of `contentops comment` names the run and the checksum of the plan; other artifacts of that name do not
    count. If the comment does not exist yet, the command waits for up to two minutes.

    The plan is for `plan --check` in a merge queue, and for `apply --reviewed` on push. It is no error if no plan is
    kept any more, or if the push merged no pull request. Needs `GITHUB_TOKEN` with the right to read actions, contents
    and pull requests, from the identity that ran `comment`.
    """
    github = connect(os.environ, pause=time.sleep, repository=repo)
    event = {} if number else read_event(os.environ)
    push = pushed(event)
    about = number or (merged_pull(github, *push) if push else queued(event))
    # One run may have made the plans of several environments.
    lead = marker_of(session.project().name, session.environment) if session.environment else MARKED
    shown, newest = reviewed_plan(github, about, artifact, lead) if about else (Shown(), 0)
    run = shown.run
    github_job.report_outputs({"run-id": str(run or ""), "checksum": shown.checksum})
    if run:
        text = f"Pull request {about} was reviewed with the plan of run {run}."
    elif newest:
        text = (
            f"The plan of run {newest} is not the one that our comment on pull request {about} shows: run `contentops"
            " comment` with it, then this command again."
        )
    elif about:
        text = f"No `{visible(artifact)}` is kept for the last commit of pull request {about}."
    else:
        text = "The pushed commit is not the merge of a pull request, so it has no reviewed plan."
    values = {"pull_request": about or None, "run": run or None, "checksum": shown.checksum or None}
    session.answer(values, text)
