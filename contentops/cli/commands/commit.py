"""`contentops commit`."""

from __future__ import annotations

import os
import random
import shlex
import time
from typing import TYPE_CHECKING

import click

from contentops.ci.runner import token_of
from contentops.cli.options import environment_options
from contentops.cli.output import terminal
from contentops.errors import ContentopsError, first_of, plural
from contentops.operations import commit as operation
from contentops.reporting.plan_json import plain
from contentops.reporting.plan_markdown import code, prose
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.session import Session
    from contentops.operations.commit import CommitReport

_TEXTS = 100
"""Texts that a pull request lists."""
_PATH = 200


@click.command("commit")
@environment_options
@click.option("--remote", metavar="NAME", default="origin", show_default=True, help="Where to push.")
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
def command(
    session: Session,
    remote: str,
    branch: str,
    *,
    direct: bool,
    no_push: bool,
    skip_ci: bool,
    edits: bool,
) -> None:
    """Commit the outputs and the lock on top of the remote's branch, and push.

    Commits only outputs that an apply made, the lock, `contentops.approvals`, and their rules in `.gitattributes`. The
    clone must have no staged changes and no unpushed commits.

    New texts go to a branch `contentops-results/PROJECT/RUN`, with a pull request if `GITHUB_TOKEN` allows it. Results
    without new texts, and with `--direct` all results, go to the remote's branch. If that has moved, git merges, up to
    five times; no push is forced. If git finds a conflict, or the branch refuses the push, they too go to a branch with
    a pull request.
    """
    if direct and no_push:
        raise click.UsageError("`--direct` pushes, and `--no-push` does not")
    project = session.project()
    options = operation.CommitOptions(
        remote=remote, branch=branch, push=not no_push, skip=skip_ci, edits=edits, direct=direct
    )
    done = operation.commit(project, options, pause=_pause)
    request = _open_pull_request(done) if done.why else ""
    if not session.as_json:
        _warn(done)
    values = {key: value for key, value in plain(done).items() if key != "texts" or value}
    session.answer({**values, "pull_request": request}, _lines(done, request))


def _pause(seconds: float) -> None:
    """Wait a random part of `seconds`, so that two machines do not push at the same time again."""
    time.sleep(seconds * random.SystemRandom().uniform(0.5, 1.0))


def _open_pull_request(done: CommitReport) -> str:
    """Open a pull request for results that could not be pushed; return its page, or empty where that failed."""
    if not token_of(os.environ) or not os.environ.get("GITHUB_REPOSITORY"):
        return ""
    from contentops.ci.github import connect, open_pull_request

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
    """Return what a pull request says: why there is one, and the new texts."""
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
    """Return what was done, and what a person may have to do."""
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
