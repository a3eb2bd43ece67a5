"""Complete command lines in a shell: items, selectors, environments, templates of the project."""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from contentops.cli.session import COMPLETE, Session
from contentops.errors import ContentopsError
from contentops.model import ItemId
from contentops.operations import opening, workspace
from contentops.operations.catalog import project_catalog
from contentops.planning.select import METHODS, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import click

    from contentops.model import Project


MOST = 1_000
"""Names that are offered at once."""


def script(commands: click.Command, shell: str) -> str:
    """Return the completion script of a shell: `bash`, `zsh` or `fish`."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(commands, {}, "contentops", COMPLETE)
    # Not `source()`: it would start a bash just to learn its version.
    return script.source_template % script.source_vars()


def answer(commands: click.Command, asked: str) -> int:
    """Print what may come next; `asked` is the value of the variable of the script. Returns the exit code."""
    return shell_complete(commands, {}, "contentops", COMPLETE, asked)


# --- names -------------------------------------------------------------------------------------------------


def _items(project: Project) -> Iterable[str]:
    desired, _ = workspace.declared(project)
    return {*opening.read_state(project).records, *(spec.id for spec in (desired.specs if desired else ()))}


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
    snapshot = project_catalog.snapshot_of(project)
    if snapshot is not None:
        yield from {*snapshot.templates, *snapshot.styles, *(snapshot.verticals or ()), *(snapshot.brand_voices or ())}


def _texts(project: Project) -> Iterable[str]:
    from contentops.operations.texts.diff_and_restore import restorable

    # Click has not parsed the item yet where an option before it has no value.
    named = split_arg_string(os.environ.get("COMP_WORDS", ""))
    records = opening.read_state(project).records
    item = next((word for word in named if ItemId(word) in records), "")
    return (one.short for one in restorable(project, item)) if item else ()


_NAMES: Mapping[str, Callable[[Project], Iterable[str]]] = {
    "items": _items,
    "selectors": _selectors,
    "environments": _environments,
    "catalog": _catalog,
    "texts": _texts,
}


def offered(kind: str, context: click.Context, begun: str) -> list[CompletionItem[Any]]:
    """Return the names of a kind that continue `begun`; none where the project cannot be read."""
    given = context.params
    environment = "" if kind == "environments" else given.get("environment")
    directory = context.find_root().params.get("directory") or "."
    session = Session(directory=directory, environment=environment, variables=tuple(given.get("variables") or ()))
    with contextlib.suppress(ContentopsError, OSError):
        plus = "+" if kind == "selectors" and begun.startswith("+") else ""
        names = (f"{plus}{name}" for name in sorted(_NAMES[kind](session.project())))
        return [CompletionItem(name) for name in islice((name for name in names if _goes_on(name, begun)), MOST)]
    return []


def _goes_on(name: str, begun: str) -> bool:
    return name.startswith(begun) and not (name == begun and name.endswith(":"))


# --- bash --------------------------------------------------------------------------------------------------

_BREAKS = (":", "=")


class _Bash(BashComplete):
    """Completion for bash, which splits `tag:launch` into three words and replaces the last one."""

    _stem = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words before the one that was begun, and that one."""
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
        """Return what replaces the word that bash sees."""
        return f"{item.type},{item.value.removeprefix(self._stem)}"


add_completion_class(_Bash)
