"""Defines the options that several commands share."""

from __future__ import annotations

import functools
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import structs

from contentops.model import Json, OnEdit, OnSourceChange

if TYPE_CHECKING:
    from contentops.planning.sides import Choice

    Command = TypeVar("Command", bound=Callable[..., Any])

DEBUG = "CONTENTOPS_DEBUG"
"""The variable that names a file for a log of all requests."""


def file_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """Return the file that an option names. Without the option, return an empty text.

    An empty value raises BadParameter.
    """
    if value is not None and not value:
        message = "it names no file; is a variable empty?"
        raise click.BadParameter(message)
    return value or ""


def file_option(*names: str, **given: Any) -> Callable[[Command], Command]:
    """Make an option that names a file. Shells complete its value, and an empty value is an error."""
    return click.option(*names, metavar="FILE", callback=file_name, type=click.Path(), **given)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine several options into one decorator, in the order of the help."""

    def decorate(function: Command) -> Command:
        return functools.reduce(lambda made, option: option(made), reversed(options), function)

    return decorate


def _with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that calls `function` with the session, followed by the command's own options.

    The session gets the options that most commands have, such as `--env` and `--json`.
    """

    @click.pass_context
    @functools.wraps(function)
    def run(context: click.Context, /, **given: Any) -> Any:
        fields = {
            name: given.pop(name) for name in ("environment", "variables", "as_json", "no_cache") if name in given
        }
        session = structs.replace(context.obj, **fields)
        if name := os.environ.get(DEBUG):
            from contentops.cli.named_files import request_log

            session = structs.replace(session, trace=request_log(name))
        return function(session, **given)

    return run


json_option = with_options(
    click.option("--json", "as_json", is_flag=True, help="Print the result, or the errors, as JSON."), _with_session
)
"""`--json`, for a function that takes a `Session`."""
variable_option = click.option(
    "--var",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="A variable; overrides all other values. Repeatable.",
)
_environment = click.option(
    "--env",
    "environment",
    metavar="NAME",
    default=None,
    help="The environment to use; `--env ''` uses none. Default: `default_environment` in the settings.",
)
environment_option = with_options(_environment, _with_session)
"""`--env`, for a function that takes a `Session`."""
environment_options = with_options(_environment, json_option)
"""`--env` and `--json`, for a function that takes a `Session`."""
project_options = with_options(_environment, variable_option, json_option)
"""`--env`, `--var` and `--json`, for a function that takes a `Session` and renders manifests."""
select_option = click.option(
    "--select",
    metavar="PATTERN",
    multiple=True,
    help="Only these items: id glob, `tag:`, `template:`, `path:`, `state:`, `approval:`, `result:`, `due<=DATE`, "
    "`shard:K/N`; `ID+` with dependants, `+ID` with sources. Repeatable.",
)
selection_options = with_options(
    select_option,
    click.option(
        "--exclude",
        metavar="PATTERN",
        multiple=True,
        help="Leave out these items. Repeatable.",
    ),
)
refresh_option = click.option(
    "--refresh",
    is_flag=True,
    help="First look for edits made in WriterzRoom; needs the key, costs nothing.",
)
"""`--refresh`, for commands that make a plan."""
cache_option = click.option("--no-cache", is_flag=True, help="Read every file, even if its time stamp did not change.")
"""`--no-cache`, which is written below `project_options`, because the session gets its value."""
drafts_option = click.option(
    "--drafts",
    is_flag=True,
    help="Also promote draft outlines, and save them to other servers.",
)
"""`--drafts`, for commands that make a plan or promote texts."""
choice_options = with_options(
    selection_options,
    click.option(
        "--replace",
        metavar="ID",
        multiple=True,
        help="Generate this item again. Repeatable.",
    ),
    click.option(
        "--on-edit",
        type=click.Choice(["block", "keep", "merge", "overwrite"]),
        help="What to do with edited texts whose request changed, edited front matter, and edits in WriterzRoom.",
    ),
    click.option(
        "--on-source-change",
        type=click.Choice(["note", "regenerate", "block", "keep"]),
        help="What to do with texts that were made from other texts, if those have changed.",
    ),
    refresh_option,
    click.option("--prune", is_flag=True, help="Remove records and unedited files of items that are in no manifest."),
    drafts_option,
    click.option(
        "--canary",
        metavar="N",
        type=click.IntRange(min=1),
        help="Do only the first N generations of the plan.",
    ),
)
"""The selection, and all other options that change a plan; `choice_of` takes their values."""


def choice_of(*, on_edit: str | None = None, on_source_change: str | None = None, **given: Any) -> Choice:
    """Return the `Choice` that the values of `choice_options` describe."""
    from contentops.planning.select import dated
    from contentops.planning.sides import Choice

    today = datetime.now(UTC).date()
    given |= {name: dated(given[name], today) for name in ("select", "exclude") if given.get(name)}
    return Choice(
        on_edit=None if on_edit is None else OnEdit(on_edit),
        on_source_change=None if on_source_change is None else OnSourceChange(on_source_change),
        **given,
    )


_FLAGS = ("refresh", "prune", "drafts")


def flags_of(inputs: Mapping[str, Json]) -> list[str]:
    """Return the options with which `contentops apply` makes the same plan again."""
    flags = [f"--var {shlex.quote(str(each))}" for each in inputs["variables"]]
    for name in ("select", "exclude", "replace"):
        flags += [f"--{name} {shlex.quote(str(each))}" for each in inputs.get(name) or ()]
    for name in ("on_edit", "on_source_change", "changed_from", "canary", "reviewed"):
        if inputs.get(name):
            flags.append(f"--{name.replace('_', '-')} {shlex.quote(str(inputs[name]))}")
    flags += [f"--{name.replace('_', '-')}" for name in _FLAGS if inputs.get(name)]
    return flags


UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds of each unit of time."""


def duration(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Convert a duration such as `90`, `90s`, `10m` or `1.5h` to seconds. Raises BadParameter."""
    if value is None:
        return None
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", value, re.ASCII)
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"`{value}` is not a duration; write `90s`, `10m` or `2h`")
    return seconds
