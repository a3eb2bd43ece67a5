"""`contentops completion`, and what a shell is offered: items, selectors, environments, templates of the project.

And what to say to a word that is no command and no option: what was meant, where that costs nothing to believe.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)
from msgspec import structs

from contentops.cli.options import COMPLETE, Session
from contentops.cli.output import terminal
from contentops.errors import ContentopsError, nearest
from contentops.model import ItemId
from contentops.operations import workspace
from contentops.operations.plan import known_ids
from contentops.planning.select import METHODS, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.model import Project


MOST = 1_000
"""Names that are offered at once: no one reads more."""


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(contentops completion bash)"`.

    Besides commands and options, the script offers the items, tags, environments and templates of the project.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "contentops", COMPLETE)
    # Not `source()`: it would start a bash just to learn its version.
    terminal.say(script.source_template % script.source_vars())


def answer(commands: click.Command, asked: str) -> int:
    """Tells a shell what may come next; `asked` is what its script put into the variable. Returns the exit code."""
    return shell_complete(commands, {}, "contentops", COMPLETE, asked)


# --- names -------------------------------------------------------------------------------------------------


def _items(project: Project) -> Iterable[str]:
    desired, _ = workspace.declared(project)
    return {*workspace.read_state(project).records, *(spec.id for spec in (desired.specs if desired else ()))}


def _selectors(project: Project) -> Iterable[str]:
    desired, _ = workspace.declared(project)
    specs = desired.specs if desired else ()
    yield from _items(project)
    yield from (f"{method}:" for method in METHODS)
    yield from (f"state:{state}" for state in STATES)
    yield from {f"tag:{tag}" for spec in specs for tag in spec.tags}
    yield from {f"template:{spec.request.template}" for spec in specs}
    yield from {f"style:{spec.request.style}" for spec in specs}


def _environments(project: Project) -> Iterable[str]:
    return dict(project.settings.get("environments") or {})


def _catalog(project: Project) -> Iterable[str]:
    snapshot = workspace.snapshot_of(project)
    if snapshot is not None:
        yield from {*snapshot.templates, *snapshot.styles, *(snapshot.verticals or ()), *(snapshot.brand_voices or ())}


def _texts(project: Project) -> Iterable[str]:
    from contentops.operations.texts.diff_and_restore import restorable

    # Click has not come to the item when an option before its end has no value yet.
    named = split_arg_string(os.environ.get("COMP_WORDS", ""))
    records = workspace.read_state(project).records
    item = next((word for word in named if ItemId(word) in records), "")
    return (one.short for one in restorable(project, item)) if item else ()


_NAMES: Mapping[str, Callable[[Project], Iterable[str]]] = {
    "items": _items,
    "selectors": _selectors,
    "environments": _environments,
    "catalog": _catalog,
    "texts": _texts,
}


def offered(what: str, context: click.Context, begun: str) -> list[CompletionItem[Any]]:
    """The names of the project that go on what was begun; none where the project cannot be read."""
    given = context.params
    environment = "" if what == "environments" else given.get("environment")
    directory = context.find_root().params.get("directory") or "."
    session = Session(directory=directory, environment=environment, variables=tuple(given.get("variables") or ()))
    with contextlib.suppress(ContentopsError, OSError):
        names = (name for name in sorted(_NAMES[what](session.project())) if _goes_on(name, begun))
        return [CompletionItem(name) for name in islice(names, MOST)]
    return []


def _goes_on(name: str, begun: str) -> bool:
    return name.startswith(begun) and not (name == begun and name.endswith(":"))


# --- bash --------------------------------------------------------------------------------------------------

_BREAKS = (":", "=")


class _Bash(BashComplete):
    """Bash takes `tag:launch` for three words, and replaces the last one of them."""

    _stem = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words before the one that was begun, and that one."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        whole: list[str] = []
        for index, word in enumerate(words[: at + 1]):
            if index > 1 and (word in _BREAKS or words[index - 1] in _BREAKS):
                whole[-1] += word
            else:
                whole.append(word)
        if at >= len(words):
            whole.append("")
        elif at and ":" in (words[at], words[at - 1]):
            self._stem = f"{whole[-1].rpartition('=')[2].rpartition(':')[0]}:"
        return whole[1:-1], whole[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What takes the place of the word that bash sees."""
        return f"{item.type},{item.value.removeprefix(self._stem)}"


add_completion_class(_Bash)


# --- hints -------------------------------------------------------------------------------------------------


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
"""The same for options."""
# What spends, pushes or deletes, or lets another command do so.
_NEVER_GUESSED = (
    *("apply", "regenerate", "comment", "commit", "rm", "mv", "resolve", "delete", "publish", "archive", "restore"),
    *("--prune", "--replace", "--resubmit-unknown", "--yes", "--auto-approve", "--approve-*", "--on-edit", "--edits"),
    *("--forget", "--superseded"),
)


def guess(word: str, known: Iterable[str]) -> str:
    """The name most like `word`; empty where nothing is near, and where the nearest spends, pushes or deletes."""
    found = nearest(word, known) or ""
    return "" if any(fnmatch.fnmatchcase(found, name) for name in _NEVER_GUESSED) else found


def for_command(word: str, known: Sequence[str], path: str) -> str:
    """What to type instead of a command that is not there; `path` is what stands before it."""
    if word == "help":
        return f"did you mean `{path} --help`?"
    root = path.partition(" ")[0]
    if path == root and word in COMMANDS:
        return f"did you mean `{root} {COMMANDS[word]}`?"
    close = guess(word, known)
    return f"did you mean `{close}`?" if close else f"`{path} --help` lists the commands"


def for_option(name: str, command: click.Command, path: str) -> str:
    """What to type instead of an option that `command` does not have; `path` is how it is called."""
    known = options_of(command)
    if name == "--dry-run" and "--select" in known:
        return "did you mean `contentops plan`?"
    close = OPTIONS.get(name, "")
    close = close if close in known else guess(name, known)
    return f"did you mean `{close}`?" if close else f"`{path} --help` shows the usage"


def options_of(command: click.Command) -> list[str]:
    """The names of its options."""
    return [name for one in command.params if isinstance(one, click.Option) for name in one.opts]


def for_argument(context: click.Context, args: Sequence[str]) -> str:
    """What to type where an item stands in a command line that takes items by `--select`; empty where none does."""
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
    """How to say that a command is about the item `word`; empty where there is no such item."""
    with contextlib.suppress(ContentopsError):
        if word in known_ids(session.project()):
            return f"did you mean `--select {shlex.quote(word)}`?"
    return ""
