"""Keep and read the reports of the runs of this machine, in `.contentops/runs/`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contentops.atomic_io import PRIVATE, read_file
from contentops.documents.folders import Tree
from contentops.errors import ContentopsError
from contentops.json_reader import decode_json
from contentops.model.run import KeptReport
from contentops.state.state_dir import FOLDER, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project

KEPT_RUNS = 200
"""How many reports of runs are kept."""
_LARGEST = 64 << 20
"""Bytes of the largest report that is read."""


def keep_report(project: Project, name: str, document: bytes) -> None:
    """Write the report of a run, and delete the oldest ones.

    Raises OSError, and StateError or OutputError where a link or a file is in the way of the folder.
    """
    folder = _folder(project)
    make_folder(folder)
    # Deleting through the opened folder is safe though its name may lead elsewhere by now.
    with Tree(str(folder.parent)).folder([folder.name]) as runs:
        with os.fdopen(runs.make_file(name, PRIVATE), "wb") as file:
            file.write(document)
        for old in sorted((each for each in runs.names() if each.endswith(".json")), reverse=True)[KEPT_RUNS:]:
            runs.unlink(old)


def kept_reports(project: Project) -> tuple[KeptReport, ...]:
    """Return the reports of this environment's runs on this machine, newest first; unreadable files are skipped."""
    return tuple(report for report in all_reports(project) if report.environment == project.environment)


def all_reports(project: Project, since: str = "") -> Iterator[KeptReport]:
    """Yield the reports of all environments, newest first. `since`: of runs that began then, as file names have it."""
    for path in sorted(_folder(project).glob("*.json"), reverse=True)[:KEPT_RUNS]:
        if path.name < since:
            return
        with contextlib.suppress(OSError, ContentopsError, msgspec.MsgspecError, ValueError):
            yield decode_json(read_file(path, _LARGEST), KeptReport)


def _folder(project: Project) -> Path:
    return Path(project.root) / FOLDER / "runs"
