"""Make the page of the command line from the help texts. `docs/build_site.py` adds this page to the site."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION: Final = """\
Write `-C` before the command and other options after it.
Data goes to standard output; progress, logs and errors go to standard error.
See also [exit codes](exit-codes.md) and [error codes](errors.yaml)."""

_SHARED: Final = "Options of several commands"
_MANY: Final = 3
_SHORT: Final = 20
"""An option that this many commands have, and whose meaning has more letters, is explained once."""


def lines(program: click.Command) -> Iterator[str]:
    """Yield the lines of the page: first the options of many commands, then a section for each command."""
    found = list(_sections(program, "contentops", 2))
    counted = Counter(row for _, command, _ in found for row in _rows(command))
    shared = [row for row, count in counted.items() if count >= _MANY and len(row[1]) > _SHORT]
    yield f"## {_SHARED}"
    yield ""
    yield "The section of each command lists which of these options it has."
    yield ""
    yield from _table(shared)
    for path, command, depth in found:
        yield f"{'#' * depth} `{path}`"
        yield ""
        yield from prose(command.help or "")
        yield "```text"
        yield " ".join([path, *command.collect_usage_pieces(_context(command, path))])
        yield "```"
        yield ""
        yield from _options(_rows(command), shared)
        yield from prose(command.epilog or "")


def prose(text: str) -> Iterator[str]:
    """Yield each sentence of a text as a line, and an empty line after each paragraph."""
    for paragraph in filter(None, (" ".join(part.split()) for part in text.split("\n\n"))):
        yield from re.split(r"(?<=[.!?]) (?=[A-Z`])", paragraph)
        yield ""


def cell(text: str) -> str:
    """Return a text as one line in which no `|` ends the table cell."""
    escaped = text.replace("\\|", "|").replace("|", "\\|")
    return " ".join(escaped.split())


def _context(command: click.Command, path: str) -> click.Context:
    return click.Context(command, info_name=path.rpartition(" ")[2], **command.context_settings)


def _sections(command: click.Command, path: str, depth: int) -> Iterator[tuple[str, click.Command, int]]:
    """Yield a command and all its subcommands, each with its full name and the depth of its heading.

    The order is that of the help.
    """
    yield path, command, depth
    if isinstance(command, click.Group):
        context = _context(command, path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _sections(found, f"{path} {name}", depth + (path != "contentops"))


def _rows(command: click.Command) -> list[tuple[str, str]]:
    """Return the names and the meaning of each option of a command."""
    shown = (one for one in command.params if isinstance(one, click.Option) and not one.hidden)
    return [(_names(one), cell(_meaning(one))) for one in shown]


def _options(rows: list[tuple[str, str]], shared: list[tuple[str, str]]) -> Iterator[str]:
    yield from _table([row for row in rows if row not in shared])
    if linked := [names.partition(" ")[0].strip("`") for names, meaning in rows if (names, meaning) in shared]:
        listed = ", ".join(f"`{name}`" for name in linked)
        yield f"Also [{listed}](#{_SHARED.lower().replace(' ', '-')})."
        yield ""


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield "| Option | Meaning |"
        yield "|---|---|"
        yield from (f"| {names} | {meaning} |" for names, meaning in rows)
        yield ""


def _names(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {_value(option)}"
    return ", ".join(f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts))


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(str(choice) for choice in option.type.choices)
    return option.type.name.upper()


def _meaning(option: click.Option) -> str:
    text = (option.help or "").strip()
    default = option.default
    plain = isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != ""
    if plain and not option.is_flag and "Default:" not in text:
        text += f" Default: `{default}`."
    return f"{text} Required." if option.required else text
