"""Checks and writes the files that a command line names."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from contentops.atomic_io import replace
from contentops.cli.session import Session
from contentops.errors import OutputError, UsageError
from contentops.model import Project
from contentops.model.plan_file import PlanFile
from contentops.sanitize import json_text

if TYPE_CHECKING:
    from contentops.api.session import Exchange

OURS = ("contentops.yaml", "contentops*.lock", "contentops*.jobs", "catalog.lock.json")
"""Names of project files, which no option may overwrite."""
_HEAD = 200
"""How many bytes of an existing file are checked."""
_PLAN = rb'\{\s*"format_version": "[^"]*",\s*"id": "sha256:'
_EVENTS = rb'\{"format_version": "[^"]*", "kind": "'
_LOG = rb'\{"at": "'
"""The beginnings of files that these options may overwrite or append to."""


def clear_old_plan(path: Path) -> None:
    """Delete an older plan at `path`, so that no plan is left there if planning fails.

    Raises OutputError if the file is no plan.
    """
    _check_file(path, "--out", "plan file", _PLAN)
    if path.exists() and not path.is_file():
        raise _in_the_way(path, "--out", "is not a regular file")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _in_the_way(path, "--out", f"cannot be replaced: {error.strerror or error}") from error


def check_events_file(path: Path) -> None:
    """Raise OutputError if writing events to `path` would overwrite another file. A pipe is allowed."""
    _check_file(path, "--events", "file of events", _EVENTS)


def request_log(name: str) -> Callable[[Exchange], None]:
    """Return a function that adds a line for each request to the log `name`.

    Raises OutputError if the log would overwrite another file or cannot be written. Later failures are ignored.
    """
    path = Path(name)
    _check_file(path, "CONTENTOPS_DEBUG", "log of requests", _LOG)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file for `CONTENTOPS_DEBUG`") from error

    def write(exchange: Exchange) -> None:
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json_text(exchange, indent=None) + "\n")

    return write


def _check_file(path: Path, option: str, kind: str, begins: bytes) -> None:
    names = {path.name.casefold(), Path(os.path.realpath(path)).name.casefold()}
    if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in OURS):
        raise _in_the_way(path, option, "is a file of the project")
    try:
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(_HEAD)
            if head and not re.match(begins, head):
                raise _in_the_way(path, option, f"exists and is not a {kind}")
    except OSError as error:
        raise _in_the_way(path, option, f"cannot be looked at: {error.strerror or error}") from error


def _in_the_way(path: Path, option: str, why: str) -> OutputError:
    return OutputError(
        f"`{path}` {why}, so it is not overwritten",
        code="in-the-way",
        hint=f"choose another file for `{option}`",
    )


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path` atomically. Raises OutputError if the disk refuses."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        replace(path, text.encode(), temporary=beside)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file or make its folder writable") from error


# ---- Plan files on the command line: how they are named, and which project one was made for.


PLAN_ENDING = ".json"
"""An existing file with this ending is a plan file, and no item."""


def pinned(value: str) -> tuple[str, str]:
    """Split `FILE@sha256:HEX` into path and checksum. Without `@`, the checksum is empty."""
    name, at, digest = value.partition("@sha256:")
    return name, at.removeprefix("@") + digest


def project_of(session: Session, plan: PlanFile, chosen: Mapping[str, Any]) -> Project:
    """Return the project that a plan file belongs to. Raises UsageError if options would make another plan."""
    if session.variables or any(chosen.values()):
        raise UsageError(
            "a plan file already states what is selected, replaced and set",
            code="plan-file-and-flags",
            hint="leave those options out, or make another plan with them",
        )
    environment = session.environment or plan.environment
    variables = plan.inputs.variables
    return structs.replace(session, environment=environment, variables=variables).project()
