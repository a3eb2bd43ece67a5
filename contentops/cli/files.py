"""Files the command line is asked to write: only where nothing else would be lost."""

from __future__ import annotations

import fnmatch
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contentops.atomic_io import replace
from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

OURS = ("contentops.yaml", "contentops*.lock", "catalog.lock.json")
"""Names that only contentops itself writes, or a person."""
LARGEST = 256 << 20
"""Bytes of the largest file that is looked at to find out what it is."""


def complete_file(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Tells a shell to complete names of files as it does."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


def file_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """What an option that names a file says, or empty where it is not given; a usage error if it names none."""
    if value is not None and not value:
        message = "it names no file; is a variable empty?"
        raise click.BadParameter(message)
    return value or ""


def check_plan_place(path: Path) -> None:
    """Raises OutputError where writing a plan to `path` would take the place of something that is no plan."""
    _check_place(path, "--out", "plan file", _is_plan)
    if path.exists() and not path.is_file():
        raise _in_the_way(path, "--out", "is no regular file")


def check_events_place(path: Path) -> None:
    """Raises OutputError where writing events to `path` would take the place of something else; pipes are fine."""
    _check_place(path, "--events", "file of events", _is_events)


def _check_place(path: Path, option: str, kind: str, fits: Callable[[Path], bool]) -> None:
    names = {path.name.casefold(), Path(os.path.realpath(path)).name.casefold()}
    if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in OURS):
        raise _in_the_way(path, option, "is a file of the project")
    try:
        if path.is_file() and path.stat().st_size and not fits(path):
            raise _in_the_way(path, option, f"exists and is no {kind}")
    except OSError as error:
        raise _in_the_way(path, option, f"cannot be looked at: {error.strerror or error}") from error


def _is_plan(path: Path) -> bool:
    if path.stat().st_size > LARGEST:
        return False
    found = _json(path.read_bytes())
    return isinstance(found, dict) and {"format_version", "changes", "checksum"} <= found.keys()


def _is_events(path: Path) -> bool:
    with path.open("rb") as stream:
        found = _json(stream.readline(1 << 20))
    return isinstance(found, dict) and {"format_version", "kind", "at"} <= found.keys()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _in_the_way(path: Path, option: str, why: str) -> OutputError:
    return OutputError(
        f"`{path}` {why}, so it is not written over",
        code="in-the-way",
        hint=f"choose another file for `{option}`",
    )


def write_whole(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all; raises OutputError where the disk refuses."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        replace(path, text.encode(), temporary=beside)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file or make its folder writable") from error
