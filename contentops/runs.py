"""The reports that applies leave in `.contentops/runs/`, read to go on with what the last one left undone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.errors import StateError
from contentops.model import ItemId, Result
from contentops.state import folder as place

if TYPE_CHECKING:
    from contentops.model import Json, Project

FOLDER = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """When the last finished apply of an environment began, and the items that are not done."""

    started_at: str
    undone: frozenset[ItemId]


def last_run(project: Project) -> LastRun | None:
    """The last apply of the project's environment that ended, or None.

    Raises StateError for a report that can not be read: which items it left undone would be a guess.
    """
    folder = place.inspect(Path(project.root))
    if folder is None:
        return None
    try:
        paths = sorted((folder / FOLDER).glob("*.json"), key=_age, reverse=True)
    except OSError as error:
        raise _damaged(folder / FOLDER, error.strerror or str(error)) from error
    for path in paths:
        found = _read(path)
        if found["environment"] == project.environment:
            return LastRun(
                started_at=str(found["run"]["started_at"]),
                undone=frozenset(
                    ItemId(str(outcome["id"]))
                    for outcome in found["run"]["outcomes"]
                    if outcome["result"] != Result.DONE.value
                ),
            )
    return None


def _age(path: Path) -> tuple[str, int]:
    """Names start with the second a run began; two of the same second are told apart by when they were written."""
    return path.name.rpartition("-")[0], path.stat().st_mtime_ns


def _read(path: Path) -> dict[str, Json]:
    try:
        found = json.loads(path.read_bytes())
        whole = isinstance(found["environment"], str) and isinstance(found["run"]["started_at"], str)
        if not whole or not all({"id", "result"} <= outcome.keys() for outcome in found["run"]["outcomes"]):
            raise _damaged(path, "it is no report of a run")
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "it is no report of a run") from error
    return dict(found)


def _damaged(path: Path, why: str) -> StateError:
    return StateError(
        f"the last run can not be told from `{path}`: {why}",
        code="damaged-report",
        hint="`contentops apply` goes on with all that is left and needs no report; or remove that file",
    )
