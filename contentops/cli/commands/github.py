"""The commands `contentops comment`, `find-plan` and `commit`, which CI runs on GitHub."""

from __future__ import annotations

import os
import random
import shlex
import time
from pathlib import Path

import click

from contentops.ci.github import (
    Posted,
    Shown,
    connect,
    is_newest,
    merged_pull,
    open_pull_request,
    our_marks,
    post_comment,
    reviewed_plan,
)
from contentops.ci.runner import PlanOrigin, origin_of, pushed, queued, read_event, token_of
from contentops.cli import github_job, terminal
from contentops.cli.options import environment_options, file_option, json_option
from contentops.cli.session import Session
from contentops.errors import ContentopsError, first_of, plural
from contentops.model import AnyPlan
from contentops.model.plan_file import PlanFile
from contentops.operations import commit as operation
from contentops.operations.commit import CommitReport
from contentops.operations.plan_files import read_plan
from contentops.reporting.plan_json import plain
from contentops.reporting.plan_markdown import (
    LIMIT,
    MARKED,
    NO_PLAN,
    code,
    marker,
    marker_of,
    no_plan_markdown,
    plan_markdown,
    prose,
)
from contentops.sanitize import visible

# ---- `contentops comment` and `find-plan`: a plan on its pull request, and the one that it was reviewed with.

ARTIFACT = "contentops-plan"
"""The name of the artifact of the plan workflow."""
_FOOT = 600
"""Bytes of a comment that stay free for the lines about the plan's commit and run."""


@click.command("comment")
@file_option("--plan", "path", required=True, help="The plan file that `plan --out` wrote.")
@click.option(
    "--pr", "number", metavar="N", type=click.IntRange(min=1), help="The pull request. Default: from the CI event."
)
@click.option(
    "--project", metavar="NAME", default="", help="The project whose plan failed, if FILE does not exist. Default: all."
)
@click.option("--env", "environment", metavar="NAME", default="", help="The environment of the plan.")
@json_option
def comment(session: Session, path: str, number: int | None, project: str) -> None:
    """Show a plan in a comment on its pull request. Each project and environment has one comment, which is updated.

    If FILE does not exist, the plan failed: the comment says so and shows no older price. Needs `GITHUB_TOKEN` with the
    right to write to pull requests.
    """
    plan, checksum, failure = _plan_at(session.path(path))
    try:
        mark = marker_of(project, session.chosen()) if project else ""
        pull, posted = _post(plan, checksum, mark, number)
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


def _plan_at(path: Path) -> tuple[PlanFile | None, str, ContentopsError | None]:
    """Read a plan file. Return the plan and its checksum, or the error of a file that cannot be read."""
    if not os.path.lexists(path):
        return None, "", None
    try:
        plan = read_plan(path)
        return plan, plan.checksum, None
    except ContentopsError as error:
        return None, "", error


def _post(plan: PlanFile | None, checksum: str, mark: str, number: int | None) -> tuple[int, Posted | None]:
    """Write the comment on the pull request. Return the number of the pull request, and the comment.

    Return 0 and None if the pull request has newer commits. If there is no plan, `mark` is the first line of the
    comment to update; if `mark` is empty, all comments of contentops are updated.
    """
    origin = origin_of(os.environ, number or 0)
    github = connect(os.environ, pause=time.sleep)
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
    """Return the comment for a pull request whose plan failed."""
    why = f"\n<sub>[The run says why]({origin.run}).</sub>\n" if _is_plain(origin.run) else ""
    return _with_shown(no_plan_markdown(mark, origin.commit[:12]) + why, Shown(origin.run_number, origin.commit))


def _with_shown(body: str, shown: Shown) -> str:
    first, _, rest = body.partition("\n")
    return f"{first}\n{shown.line}\n{rest}" if shown.line else body


def page(plan: AnyPlan, origin: PlanOrigin, checksum: str = "") -> str:
    """Return the comment on a plan: the plan, its commit and run, and a hidden line that identifies the plan."""
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
@click.option(
    "--artifact", metavar="NAME", default=ARTIFACT, show_default=True, help="The name of the artifact with the plan."
)
@click.option("--env", "environment", metavar="NAME", default="", help="Only a plan of this environment. Default: any.")
@json_option
def find_plan(session: Session, number: int | None, artifact: str) -> None:
    """Find the workflow run of the plan that a pull request shows for its last commit.

    The comment of `contentops comment` names the run and the checksum of the plan; other artifacts of that name do not
    count. If the comment does not exist yet, the command waits for up to two minutes.

    The plan is for `plan --check` in a merge queue, and for `apply --reviewed` on push. It is no error if no plan is
    kept any more, or if the push merged no pull request. Needs `GITHUB_TOKEN` with the right to read actions, contents
    and pull requests, from the identity that ran `comment`.
    """
    github = connect(os.environ, pause=time.sleep)
    event = {} if number else read_event(os.environ)
    push = pushed(event)
    about = number or (merged_pull(github, *push) if push else queued(event))
    # One run may have made the plans of several environments.
    lead = marker_of(session.project().name, session.environment) if session.environment else MARKED
    shown, newest = reviewed_plan(github, about, artifact, lead) if about else (Shown(), 0)
    run = shown.run
    github_job.report_outputs({"run-id": str(run or ""), "checksum": shown.checksum})
    another = f"The plan of run {newest} is not the one that our comment on pull request {about} shows"
    found = (
        (run, f"Pull request {about} was reviewed with the plan of run {run}."),
        (newest, f"{another}: run `contentops comment` with it, then this command again."),
        (about, f"No `{visible(artifact)}` is kept for the last commit of pull request {about}."),
        (True, "The pushed commit is not the merge of a pull request, so it has no reviewed plan."),
    )
    values = {"pull_request": about or None, "run": run or None, "checksum": shown.checksum or None}
    session.answer(values, next(words for fits, words in found if fits))


# ---- `contentops commit`.

_TEXTS = 100
"""Texts that a pull request lists."""
_PATH = 200


@click.command("commit")
@environment_options
@click.option(
    "--branch",
    metavar="NAME",
    default="",
    help="The branch to push to. Default: the current one, otherwise that of the CI run.",
)
@click.option("--direct", is_flag=True, help="Push to the branch itself, also new texts.")
@click.option("--no-push", is_flag=True, help="Only commit.")
@click.option(
    "--skip-ci/--no-skip-ci",
    default=True,
    help="Whether the commit message has `[skip ci]`, so that it starts no workflow.",
)
@click.option("--edits", is_flag=True, help="Also commit outputs that were edited or removed by hand.")
def commit(
    session: Session,
    branch: str,
    *,
    direct: bool,
    no_push: bool,
    skip_ci: bool,
    edits: bool,
) -> None:
    """Commit the results of applies on top of the remote's branch, and push them.

    Commits only outputs that an apply made, the jobs, the lock, `contentops.approvals`, and their rules in
    `.gitattributes`. The clone must have no staged changes and no unpushed commits.

    New texts go to a branch `contentops-results/PROJECT/RUN`, with a pull request if `GITHUB_TOKEN` allows it. Results
    without new texts, and with `--direct` all results, go to the remote's branch. If that branch has moved, git merges
    up to five times; no push is forced. If git finds a conflict, or the branch refuses the push, these results also go
    to a branch with a pull request.
    """
    if direct and no_push:
        raise click.UsageError("`--direct` pushes, and `--no-push` does not")
    project = session.project()
    options = operation.CommitOptions(branch=branch, push=not no_push, skip=skip_ci, edits=edits, direct=direct)
    done = operation.commit(project, options, pause=_pause)
    request = _open_pull_request(done) if done.why else ""
    if not session.as_json:
        _warn(done)
    values = {key: value for key, value in plain(done).items() if key != "texts" or value}
    session.answer({**values, "pull_request": request}, _lines(done, request))


def _pause(seconds: float) -> None:
    """Wait a random time of at most `seconds`, so that two machines do not push at the same time again."""
    time.sleep(seconds * random.SystemRandom().uniform(0.5, 1.0))


def _open_pull_request(done: CommitReport) -> str:
    """Open a pull request for results on a branch. Return its address, or an empty text if that failed."""
    if not token_of(os.environ) or not os.environ.get("GITHUB_REPOSITORY"):
        return ""
    try:
        github = connect(os.environ, pause=time.sleep)
        return open_pull_request(
            github, branch=done.branch, base=done.target, title=done.subject, body=_body(done)
        ).address
    except ContentopsError as error:
        # The results are safe on the branch, and a person can open the pull request.
        terminal.report(f"warning[{error.code}]: no pull request was made: {visible(error.message)}")
        return ""


def _body(done: CommitReport) -> str:
    """Return the text of a pull request: the reason for it, and the new texts."""
    if not done.texts:
        paragraphs = [prose(f"These results of an apply could not be pushed to the branch: {done.why}.")]
    else:
        listed = [f"- {code(path, _PATH)}" for path in done.texts[:_TEXTS]]
        listed += [f"- and {len(done.texts) - _TEXTS:,} more"] if len(done.texts) > _TEXTS else []
        paragraphs = [
            f"An apply has written {plural(len(done.texts), 'new text')}. Read them; you may edit this branch.",
            "\n".join(listed),
            "Approving the last commit of this pull request also approves the texts that need an approval.",
        ]
    return "\n\n".join(
        [*paragraphs, "Merge it before the next apply: until then the branch does not have these results.\n"]
    )


def _warn(done: CommitReport) -> None:
    if done.edited:
        named = visible(first_of(done.edited))
        terminal.report(
            f"warning[edited]: not committed, edited or removed by hand: {named}; `--edits` commits texts as they are"
        )
    if done.ignored:
        terminal.report(
            f"warning[ignored]: git ignores {visible(first_of(done.ignored))} (or it belongs to another repository), "
            "so it is not committed"
        )
    if done.others and done.commit:
        terminal.report(f"note: not committed, not results of an apply: {plural(done.others, 'other changed file')}")
    if done.stays:
        terminal.report(
            f"note: this clone stays as it is: `{visible(done.target)}` has other versions of files that you changed, "
            "or another git runs here. Commit or `git stash` them, then run `contentops commit` again"
        )


def _lines(done: CommitReport, request: str) -> list[str]:
    """Return lines that say what was committed, and what a person may have to do."""
    if not done.commit:
        return ["Nothing to commit: lock and outputs are unchanged."]
    if not done.files:
        return [f"Nothing to commit: `{visible(done.target)}` has these results already, at {done.commit[:12]}."]
    lines = [f"Committed {plural(len(done.files), 'file')} as {done.commit[:12]}: {visible(done.subject)}"]
    if done.why:
        lines += [f"Not on `{visible(done.target)}`: {visible(done.why)}.", f"Pushed to `{visible(done.branch)}`."]
        lines.append(f"Pull request: {visible(request)}" if request else f"Next: {_by_hand(done)}")
    elif done.branch:
        lines.append(f"Pushed to `{visible(done.branch)}`.")
    return lines


def _by_hand(done: CommitReport) -> str:
    base, head = (shlex.quote(visible(name)) for name in (done.target, done.branch))
    return f"`gh pr create --base {base} --head {head} --fill`, and merge it before the next apply"
