"""Read plan files. One may come from a stranger's pull request, so only its shape is trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from contentops.atomic_io import PRIVATE, read_file
from contentops.errors import Refused, UsageError
from contentops.model import OnEdit, OnSourceChange
from contentops.model.plan_file import CHECKSUM, check_seal, no_plan_file, plan_file
from contentops.planning.plan_inputs import Choice
from contentops.reporting.plan_json import plan_pieces
from contentops.schema_files import load_schema
from contentops.state.state_dir import FOLDER, inspect_folder, make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import Json, Plan, Project
    from contentops.operations.opening import Runtime

LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""
KEPT_PLANS = 50
"""How many plan files are kept in `.contentops/plans/`."""
FLAGS = ("replace", "on_edit", "prune", "refresh", "resubmit_unknown", "generate", "drafts")
"""The inputs of a plan file that its apply uses too."""
INPUTS = ("variables", "select", "exclude", *FLAGS)
"""The inputs that every plan file states."""


def read_plan(path: Path, checksum: str = "") -> Mapping[str, Json]:
    """Read the plan document at `path` and check its shape and seal; with `checksum`, that it is that very plan.

    Raises InputError for a file that is no plan or has another format, and Refused for an edited or another plan.
    """
    document = _document(path)
    try:
        check_seal(document, str(path))
    except (ValueError, RecursionError) as error:
        # JSON readers accept some values that no plan has: NaN, half a character, endless nesting.
        raise no_plan_file(f"`{path}` is not a plan file") from error
    check_shape(document, str(path))
    plan_file(document, str(path))
    missing = [f"`{name}`" for name in INPUTS if name not in document["inputs"]]
    if missing:
        raise no_plan_file(f"`{path}` is not a plan file: `inputs` lacks {', '.join(missing)}")
    if checksum and document[CHECKSUM] != checksum:
        hint = "download the plan of the run that `contentops find-plan` names, and pass the checksum it prints"
        raise Refused(f"`{path}` is not the plan that was shown", code="not-shown", hint=hint)
    return document


def _document(path: Path) -> dict[str, Json]:
    try:
        # A pull request may contain a link of this name, which must not be followed.
        data = read_file(path, LARGEST + 1, follow=False)
        if len(data) > LARGEST:
            raise no_plan_file(f"`{path}` is too large for a plan file")
        document = json.loads(data)
    except OSError as error:
        raise no_plan_file(f"`{path}` cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise no_plan_file(f"`{path}` is not JSON; it may be cut short") from error
    if not isinstance(document, dict):
        raise no_plan_file(f"`{path}` is not a plan file")
    return document


def choice_in(document: Mapping[str, Any]) -> Choice:
    """Return the flags the plan was made with, without the selection, `--canary` and `--changed-from`.

    The file lists the selected items; by now the same selection may mean others.
    """
    inputs = document["inputs"]
    flags = {name: inputs[name] for name in FLAGS}
    edit, source = inputs["on_edit"], inputs.get("on_source_change")
    return Choice(
        **flags
        | {
            "replace": tuple(flags["replace"]),
            "on_edit": None if edit is None else OnEdit(edit),
            "on_source_change": None if source is None else OnSourceChange(source),
        }
    )


def check_shape(document: Mapping[str, Json], path: str) -> None:
    """Check a document against the schema of plans. Raises InputError, naming the first part that does not fit."""
    from jsonschema import Draft7Validator

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        where = f": `{at}` has an unexpected value" if at else ""
        raise no_plan_file(f"`{path}` is not a plan file{where}")


class _Sealed(Struct, frozen=True):
    checksum: str


def keep_plan(
    project: Project, plan: Plan, choice: Choice, variables: Sequence[str], *, runtime: Runtime
) -> tuple[str, str]:
    """Write a plan file into `.contentops/plans/` and delete the oldest ones; return its path and its checksum.

    Of the choice, a plan file has the selection and what is replaced. Raises StateError.
    """
    inputs = {name: getattr(choice, name) for name in INPUTS if name != "variables"}
    text = "".join((*plan_pieces(plan, inputs={"variables": tuple(variables), **inputs}), "\n"))
    checksum = msgspec.json.decode(text, type=_Sealed).checksum
    path = kept_path(project, checksum.removeprefix("sha256:")[:16])
    make_folder(path.parent)
    runtime.disk.replace(path, text.encode(), PRIVATE, shared=True)
    for old in kept_plans(project)[KEPT_PLANS:]:
        kept_path(project, old).unlink(missing_ok=True)
    return path.relative_to(project.root).as_posix(), checksum


def kept_path(project: Project, name: str) -> Path:
    """Return the path of a plan file in `.contentops/plans/`."""
    return Path(project.root) / FOLDER / "plans" / f"{name}.json"


def kept_plans(project: Project) -> tuple[str, ...]:
    """Return the names of the plan files in `.contentops/plans/`, the newest first."""
    files = sorted(kept_path(project, "").parent.glob("*.json"), key=lambda one: one.lstat().st_mtime_ns, reverse=True)
    return tuple(file.stem for file in files)


def read_kept_plan(project: Project, name: str) -> Mapping[str, Json]:
    """Read a plan file in `.contentops/plans/`. Raises UsageError where there is none, and what `read_plan` raises."""
    if name not in kept_plans(project):
        raise UsageError("there is no such plan file", code="no-plan-file", hint="it may have been made long ago")
    path = kept_path(project, name)
    inspect_folder(path.parent)
    return read_plan(path)
