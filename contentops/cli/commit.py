"""`contentops commit`."""

from __future__ import annotations

import os
import random
import shlex
import time
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.summary import plural
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.ci.publish import Published
    from contentops.cli.options import Session


@click.command("commit", short_help="Commit and push what applies have made.")
@project_options
@click.option("--remote", metavar="NAME", default="origin", show_default=True, help="Where to push.")
@click.option("--branch", metavar="NAME", default="", help="The branch to push to. Default: the one checked out.")
@click.option("--no-push", is_flag=True, help="Only commit.")
@click.option(
    "--skip-ci/--no-skip-ci", default=True, help="Whether the commit says `[skip ci]`, which starts no workflow."
)
@click.option("--edits", is_flag=True, help="Also commit outputs that were edited or removed by hand.")
@click.option("--check-waiting", is_flag=True, help="Only fail if results of an earlier run wait on a branch.")
@click.pass_obj
def command(
    session: Session,
    environment: str,
    variables: tuple[str, ...],
    remote: str,
    branch: str,
    *,
    as_json: bool,
    no_push: bool,
    skip_ci: bool,
    edits: bool,
    check_waiting: bool,
) -> None:
    """Make one commit of the outputs and the lock, and push it.

    Only outputs that hold what an apply made are committed, with the lock and its rule in `.gitattributes`; what an
    earlier run could not push goes along. Where the branch moved, the results are put on top of it and pushed again, a
    few times; nothing is ever forced, and no other commit is pushed. Where the branch takes no push, they go to a
    branch `contentops/PROJECT/RUN`, with a pull request if `GITHUB_TOKEN` allows.
    """
    from contentops.ci.publish import Where, publish
    from contentops.ci.publish import check_waiting as check

    project = open_project(session, environment, variables)
    where = Where(remote=remote, branch=branch, push=not no_push, skip=skip_ci, edits=edits)
    if check_waiting:
        check(project, where)
        terminal.say_json({"format_version": FORMAT_VERSION, "waiting": []}) if as_json else terminal.say(
            "No results of an earlier run wait on a branch."
        )
        return
    done = publish(project, where, pause=_pause)
    request = _offer(done) if done.why else ""
    if as_json:
        terminal.say_json(document(done, request))
        return
    _warn(done)
    terminal.say("\n".join(told(done, request)))


def _pause(seconds: float) -> None:
    """Waits a part of `seconds`: two machines that pushed at once should not do so again."""
    time.sleep(seconds * random.SystemRandom().uniform(0.5, 1.0))


def _offer(done: Published) -> str:
    """A pull request for results that the branch did not take: its page, or empty where none could be made."""
    from contentops.ci.github.client import connect
    from contentops.ci.github.posting import open_pull_request
    from contentops.ci.github.token import token_of
    from contentops.errors import ContentopsError

    if not token_of(os.environ) or not os.environ.get("GITHUB_REPOSITORY"):
        return ""
    try:
        github = connect(os.environ, pause=time.sleep)
        body = f"{_why(done)}\n\nMerge it before the next apply: until then nothing on the branch knows of it.\n"
        made = open_pull_request(github, branch=done.branch, base=done.target, title=done.subject, body=body)
    except ContentopsError as error:
        # The results are safe on the branch: what is left is a click.
        terminal.tell(f"warning[{error.code}]: no pull request was made: {visible(error.message)}")
        return ""
    return made.address


def _why(done: Published) -> str:
    from contentops.reporting.plan_markdown import prose

    return prose(f"These results of an apply could not be pushed to the branch: {done.why}.")


def _warn(done: Published) -> None:
    if done.edited:
        named = _named(done.edited)
        terminal.tell(
            f"warning[edited]: left alone, edited or removed by hand: {named}; `--edits` commits texts as they are"
        )
    if done.ignored:
        terminal.tell(f"warning[ignored]: git ignores {_named(done.ignored)}, so it is not committed")
    if done.outside:
        terminal.tell(f"warning[ignored]: another repository holds {_named(done.outside)}, so it is not committed")
    if done.others and done.commit:
        terminal.tell(f"note: left alone, as they are no results: {plural(done.others, 'other changed file')}")
    if done.unpushed:
        terminal.tell(f"note: not pushed, as commits of your own changed it: {_named(done.unpushed)}")
    if done.overtaken:
        terminal.tell(
            f"note: `{visible(done.target)}` has had {_named(done.overtaken)} from here, and has something else now: "
            "that stays"
        )
    if done.stays:
        terminal.tell(
            f"note: `{visible(done.target)}` is left as it is here, with what is yours alone: `git pull --rebase` "
            "brings it together with what was pushed"
        )


def _named(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"`{visible(paths[0])}`{more}"


def told(done: Published, request: str) -> list[str]:
    """What happened, and what a person may have to do."""
    if not done.commit:
        return ["Nothing to commit: lock and outputs are as committed."]
    who = "An earlier run committed" if done.earlier else "Committed"
    lines = [f"{who} {plural(len(done.files), 'file')} as {done.commit[:12]}: {visible(done.subject)}"]
    if done.why:
        lines += [f"Not on `{visible(done.target)}`: {visible(done.why)}.", f"Pushed to `{visible(done.branch)}`."]
        lines.append(f"Pull request: {visible(request)}" if request else f"Next: {_by_hand(done)}")
    elif done.branch:
        lines.append(f"Pushed to `{visible(done.branch)}`.")
    return lines


def _by_hand(done: Published) -> str:
    base, head = (shlex.quote(visible(name)) for name in (done.target, done.branch))
    return f"`gh pr create --base {base} --head {head} --fill`, and merge it before the next apply"


def document(done: Published, request: str) -> dict[str, object]:
    """The same as JSON."""
    return {
        "format_version": FORMAT_VERSION,
        "commit": done.commit,
        "message": done.message,
        "files": list(done.files),
        "target": done.target,
        "branch": done.branch,
        "why": done.why,
        "attempts": done.attempts,
        "pull_request": request,
        "earlier": done.earlier,
        "ignored": [*done.ignored, *done.outside],
        "edited": list(done.edited),
        "unpushed": list(done.unpushed),
        "overtaken": list(done.overtaken),
        "others": done.others,
        "stays": done.stays,
    }
