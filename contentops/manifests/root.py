"""Finds the root folder of a project."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from contentops.atomic_io import read_file
from contentops.errors import Diagnostic, InputError
from contentops.model import PROJECT_FILE

if TYPE_CHECKING:
    from pathlib import Path


def find_root(start: Path | str) -> str:
    """Return the absolute path of the nearest folder with `contentops.yaml`, at `start` or above it.

    Raises InputError if there is none, if `start` is no folder, or if the working directory was removed.
    """
    try:
        start = os.path.realpath(start)
    except FileNotFoundError:
        raise no_folder() from None
    hint = "start a project with `contentops init`, or name its folder with `-C DIR`"
    if not os.path.isdir(start):
        message = f"there is no folder `{start}`"
        raise InputError([Diagnostic(code="no-project", message=message, hint=hint)])
    folder, above = start, ""
    while folder != above:
        if os.path.isfile(os.path.join(folder, PROJECT_FILE)):
            return folder
        folder, above = os.path.dirname(folder), folder
    if os.path.isfile(os.path.join(start, "contentops.yml")):
        hint = f"rename `contentops.yml` to `{PROJECT_FILE}`"
    message = f"no `{PROJECT_FILE}` in `{start}` or any folder above it"
    raise InputError([Diagnostic(code="no-project", message=message, hint=hint)])


def default_environment(start: Path | str) -> str:
    """Return the default environment of the project around `start`, or an empty text if there is none."""
    try:
        root = find_root(start)
    except InputError:
        return ""
    with contextlib.suppress(OSError):
        if b"default_environment" not in read_file(f"{root}/{PROJECT_FILE}", follow=False):
            return ""
    from contentops.manifests.project import named_default  # start-up: most settings name none

    return named_default(root)


def no_folder() -> InputError:
    """Return the error for a process whose working directory was removed."""
    hint = "change to an existing folder and run the command again"
    return InputError([Diagnostic(code="no-folder", message="the current folder no longer exists", hint=hint)])
