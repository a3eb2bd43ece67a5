"""Options that several commands share."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import math
import os
import re
import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import structs

from contentops.atomic_io import read_file, replace
from contentops.errors import OutputError
from contentops.json_reader import load_json
from contentops.operations.plan_files import LARGEST
from contentops.sanitize import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.api.session import Exchange
    from contentops.model import Json
    from contentops.planning.sides import Choice


# ---- Options that several commands share.

if TYPE_CHECKING:
    Command = TypeVar("Command", bound=Callable[..., Any])

DEBUG = "CONTENTOPS_DEBUG"
"""The variable that names a file for a log of all requests."""


def file_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """Return the file that an option names; empty if it is not given. Raises BadParameter for an empty value."""
    if value is not None and not value:
        message = "it names no file; is a variable empty?"
        raise click.BadParameter(message)
    return value or ""


def file_option(*names: str, **given: Any) -> Callable[[Command], Command]:
    """Make an option that names a file: a shell completes it, and an empty value is an error."""
    return click.option(*names, metavar="FILE", callback=file_name, type=click.Path(), **given)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine several options into one decorator, in the order of the help."""

    def decorate(function: Command) -> Command:
        return functools.reduce(lambda made, option: option(made), reversed(options), function)

    return decorate


def _with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function` with the session first, which gets the options that belong to it."""

    @click.pass_context
    @functools.wraps(function)
    def run(context: click.Context, /, **given: Any) -> Any:
        fields = {
            name: given.pop(name) for name in ("environment", "variables", "as_json", "no_cache") if name in given
        }
        session = structs.replace(context.obj, **fields)
        if name := os.environ.get(DEBUG):
            session = structs.replace(session, trace=request_log(name, context.call_on_close))
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
environment_options = with_options(_environment, json_option)
"""`--env` and `--json`, for a function that takes a `Session`."""
project_options = with_options(_environment, variable_option, json_option)
"""`--env`, `--var` and `--json`, for a function that takes a `Session` and renders manifests."""
selection_options = with_options(
    click.option(
        "--select",
        metavar="PATTERN",
        multiple=True,
        help="Only these items: id glob, `tag:`, `template:`, `path:`, `state:`, `approval:`, `result:`, `due<=DATE`, "
        "`shard:K/N`; `ID+` with dependants, `+ID` with sources. Repeatable.",
    ),
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
"""`--refresh`, for what plans."""
cache_option = click.option("--no-cache", is_flag=True, help="Read every file, whatever its time stamp says.")
"""`--no-cache`, below `project_options`: the session gets it."""
drafts_option = click.option(
    "--drafts",
    is_flag=True,
    help="Also promote draft outlines, and save them to other servers.",
)
"""`--drafts`, for what plans and promotes."""
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
        type=click.Choice(["note", "regenerate", "block"]),
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
    """Return the choice that the options of `choice_options` make."""
    from contentops.model import OnEdit, OnSourceChange
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
    """Return the flags that a plan was made with, for the command line of its apply."""
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
    """Return the seconds of a positive time such as `90`, `90s`, `10m` or `1.5h`. Raises BadParameter."""
    if value is None:
        return None
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", value, re.ASCII)
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"`{value}` is not a duration; write `90s`, `10m` or `2h`")
    return seconds


# ---- Check and write files that a command line names.

OURS = ("contentops.yaml", "contentops*.lock", "contentops*.jobs", "catalog.lock.json")
"""Names of project files, which no option may overwrite."""


def clear_plan_place(path: Path) -> None:
    """Delete an older plan at `path`, so that none is left there if planning fails.

    Raises OutputError where the file is no plan.
    """
    _check_out(path, "plan file", _is_plan)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _in_the_way(path, "--out", f"cannot be replaced: {error.strerror or error}") from error


def check_findings_place(path: Path) -> None:
    """Raise OutputError where writing findings to `path` would overwrite another file."""
    _check_out(path, "file of findings", _is_findings)


def check_events_place(path: Path) -> None:
    """Raise OutputError where writing events to `path` would overwrite another file; pipes are fine."""
    _check_place(path, "--events", "file of events", _begins_with("format_version", "kind", "at"))


def request_log(name: str, at_end: Callable[[Callable[[], None]], object]) -> Callable[[Exchange], None]:
    """Return a function that adds each request to the log `name`; `at_end` gets the function that closes it.

    Raises OutputError where that would overwrite another file or the disk refuses. A later failure ends the log alone.
    """
    path = Path(name)
    _check_place(path, "CONTENTOPS_DEBUG", "log of requests", _begins_with("at", "method", "path", "ms"))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.fdopen(handle, "a", encoding="utf-8", newline="\n")
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file for `CONTENTOPS_DEBUG`") from error

    def close() -> None:
        with contextlib.suppress(OSError):
            file.close()

    def write(exchange: Exchange) -> None:
        at = datetime.fromtimestamp(exchange.at, UTC).isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError, ValueError):
            file.write(json_text({**structs.asdict(exchange), "at": at}, indent=None) + "\n")
            file.flush()

    at_end(close)
    return write


def _check_out(path: Path, kind: str, fits: Callable[[Path], bool]) -> None:
    _check_place(path, "--out", kind, fits)
    if path.exists() and not path.is_file():
        raise _in_the_way(path, "--out", "is not a regular file")


def _check_place(path: Path, option: str, kind: str, fits: Callable[[Path], bool]) -> None:
    names = {path.name.casefold(), Path(os.path.realpath(path)).name.casefold()}
    if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in OURS):
        raise _in_the_way(path, option, "is a file of the project")
    try:
        if path.is_file() and path.stat().st_size and not fits(path):
            raise _in_the_way(path, option, f"exists and is not a {kind}")
    except OSError as error:
        raise _in_the_way(path, option, f"cannot be looked at: {error.strerror or error}") from error


def _is_plan(path: Path) -> bool:
    document = _json(read_file(path, LARGEST))
    return isinstance(document, dict) and {"format_version", "changes", "checksum"} <= document.keys()


def _is_findings(path: Path) -> bool:
    document = _json(read_file(path, LARGEST))
    return isinstance(document, dict) and ("diagnostics" in document or document.get("version") == "2.1.0")


def _begins_with(*keys: str) -> Callable[[Path], bool]:
    """Return a test whether the first line of a file is an object with these keys."""

    def fits(path: Path) -> bool:
        first = _json(read_file(path, 1 << 20).partition(b"\n")[0])
        return isinstance(first, dict) and first.keys() >= {*keys}

    return fits


def _json(data: bytes) -> Any:
    try:
        return load_json(data)
    except ValueError:
        return None


def _in_the_way(path: Path, option: str, why: str) -> OutputError:
    return OutputError(
        f"`{path}` {why}, so it is not overwritten",
        code="in-the-way",
        hint=f"choose another file for `{option}`",
    )


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all. Raises OutputError where the disk refuses."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        replace(path, text.encode(), temporary=beside)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file or make its folder writable") from error
