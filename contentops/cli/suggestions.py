"""Suggest what was meant by an unknown command or option, unless that spends, pushes or deletes."""

from __future__ import annotations

import contextlib
import fnmatch
import shlex
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.option_groups import ALL, LongCommand
from contentops.errors import ContentopsError, nearest
from contentops.operations.plan import known_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.cli.session import Session

COMMANDS: Mapping[str, str] = {
    "cost": "report",
    "costs": "report",
    "dry-run": "plan",
    "jobs": "history",
    "lint": "validate",
    "list": "status",
    "log": "history",
    "logs": "history",
    "ls": "status",
    "preview": "plan",
    "runs": "history",
    "spend": "report",
    "templates": "catalog list",
    "version": "--version",
}
"""What people type out of habit, and the command that answers it."""
OPTIONS: Mapping[str, str] = {
    "--filter": "--select",
    "--ignore": "--exclude",
    "--limit": "--canary",
    "--only": "--select",
    "--skip": "--exclude",
    "--target": "--select",
    "--workspace": "--env",
}
"""Options that people type out of habit, and the option that does it."""
# What spends, pushes or deletes, or lets another command do so.
_NEVER_GUESSED = (
    *("apply", "regenerate", "comment", "commit", "rm", "mv", "resolve", "delete", "publish", "archive", "restore"),
    *("--prune", "--replace", "--resubmit-unknown", "--yes", "--auto-approve", "--approve-*", "--on-edit", "--edits"),
    *("--forget", "--superseded"),
)


def guess(word: str, names: Iterable[str]) -> str:
    """Return the name most like `word`; empty without one, and where it spends, pushes or deletes."""
    match = nearest(word, names) or ""
    return "" if any(fnmatch.fnmatchcase(match, name) for name in _NEVER_GUESSED) else match


def for_command(word: str, commands: Sequence[str], path: str) -> str:
    """Return a hint about an unknown command; `path` is the command line before it."""
    if word == "help":
        return f"did you mean `{path} --help`?"
    root = path.partition(" ")[0]
    if path == root and word in COMMANDS:
        return f"did you mean `{root} {COMMANDS[word]}`?"
    close = guess(word, commands)
    return f"did you mean `{close}`?" if close else f"`{path} --help` lists the commands"


def for_option(name: str, command: click.Command, path: str) -> str:
    """Return a hint about an option that `command` does not have; `path` is its command line."""
    options = options_of(command)
    if name == "--dry-run" and "--select" in options:
        return "did you mean `contentops plan`?"
    if name == ALL and isinstance(command, LongCommand):
        return f"`{path} --help --all` shows every option"
    close = OPTIONS.get(name, "")
    close = close if close in options else guess(name, options)
    return f"did you mean `{close}`?" if close else f"`{path} --help` shows the usage"


def options_of(command: click.Command) -> list[str]:
    """Return the names of a command's options."""
    return [name for one in command.params if isinstance(one, click.Option) for name in one.opts]


def for_argument(context: click.Context, args: Sequence[str]) -> str:
    """Return a hint where the command line names an item without `--select`; empty where it does not."""
    if "--select" not in options_of(context.command):
        return ""
    session, given = context.obj, context.params
    session = structs.replace(
        session, environment=given.get("environment"), variables=tuple(given.get("variables") or ())
    )
    valued = {name for one in context.command.params if _takes_a_value(one) for name in one.opts}
    words = (one for one, before in zip(args[1:], args, strict=False) if before not in valued)
    return next(filter(None, (as_selection(session, one) for one in words if not one.startswith("-"))), "")


def _takes_a_value(option: click.Parameter) -> bool:
    return isinstance(option, click.Option) and not option.is_flag


def as_selection(session: Session, word: str) -> str:
    """Return a hint to write `--select`, if `word` is an item; else empty."""
    with contextlib.suppress(ContentopsError):
        if word in known_ids(session.project()):
            return f"did you mean `--select {shlex.quote(word)}`?"
    return ""
