"""The reports that applies leave in `.contentops/runs/`, read to go on with what the last one left undone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from contentops.errors import StateError
from contentops.model import ItemId, OnEdit, Result
from contentops.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Project, State

FOLDER = "runs"


class LastRun(Struct, frozen=True, kw_only=True):
    """When the last finished apply of an environment began, and the items that are not done."""

    started_at: str
    undone: frozenset[ItemId]
    inputs: Mapping[str, Json] = field(default_factory=dict)
    """What its command line chose; of an older report nothing."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """By item, the number of the submit whose text it was to bring."""

    def asked_for(self, state: State) -> dict[str, Any]:
        """What shapes its work, as far as it is still undone: `variables`, `replace`, `prune` and `sections`.

        A text that has come meanwhile is not asked for again, whatever else of its item is undone.
        """

        def is_open(item: str) -> bool:
            record = state.records.get(ItemId(item))
            made = record is not None and item in self.attempts and record.attempt >= self.attempts[item]
            return ItemId(item) in self.undone and not made

        return {
            "variables": tuple(self.inputs.get("variables", ())),
            "replace": tuple(item for item in self.inputs.get("replace", ()) if is_open(item)),
            "prune": bool(self.inputs.get("prune")),
            "sections": {item: one for item, one in self.inputs.get("sections", {}).items() if is_open(item)},
        }


def last_run(project: Project) -> LastRun | None:
    """The last apply of the project's environment that ended, or None.

    Raises StateError for a report that cannot be read: which items it left undone would be a guess.
    """
    folder = state_dir.inspect(Path(project.root))
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
                inputs=found.get("inputs", {}),
                attempts=found.get("attempts", {}),
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
        _check_inputs(found.get("inputs", {}), found.get("attempts", {}), path)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "it is no report of a run") from error
    return dict(found)


def _check_inputs(inputs: Mapping[str, Json], attempts: Mapping[str, Json], path: Path) -> None:
    texts = [*inputs.get("variables", ()), *inputs.get("replace", ()), *inputs.get("sections", {}).values()]
    numbers = all(isinstance(attempt, int) for attempt in attempts.values())
    if not numbers or not all(isinstance(text, str) for text in texts) or inputs.get("on_edit") not in (None, *OnEdit):
        raise _damaged(path, "its `inputs` are not those of a run")


def _damaged(path: Path, why: str) -> StateError:
    return StateError(
        f"the last run cannot be told from `{path}`: {why}",
        code="damaged-report",
        hint="`contentops apply` goes on with all that is left and needs no report; or remove that file",
    )
