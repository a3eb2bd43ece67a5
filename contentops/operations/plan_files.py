"""Files of plans that a person names, and the folder that pages are written into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.atomic_io import read_file
from contentops.errors import Refused
from contentops.json_reader import DeepJson, load_json
from contentops.model import OnEdit, OnSourceChange
from contentops.model.plan_file import CHECKSUM, check_seal, no_plan_file, plan_file
from contentops.planning.sides import Choice
from contentops.schema_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from contentops.model import Json


LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""
FLAGS = ("replace", "on_edit", "on_source_change", "prune", "refresh", "drafts")
"""The inputs of a plan file that its apply uses too."""
INPUTS = ("variables", "select", "exclude", *FLAGS)
"""The inputs that every plan file states."""


def read_plan(path: Path, checksum: str = "") -> Mapping[str, Json]:
    """Read the plan document at `path` and check its shape, its seal, and its `checksum` if one is given.

    Raises InputError for a file that is no plan or has another format, and Refused for an edited or another plan.
    """
    document = _document(path)
    try:
        check_seal(document, str(path))
    except ValueError as error:
        # JSON readers accept some values that no plan has: NaN, half a character.
        raise no_plan_file(f"`{path}` is not a plan file") from error
    check_shape(document, str(path))
    plan_file(document, str(path))
    missing = [f"`{name}`" for name in INPUTS if name not in document["inputs"]]
    if missing:
        raise no_plan_file(f"`{path}` is not a plan file: `inputs` lacks {', '.join(missing)}")
    if checksum and document[CHECKSUM] != checksum:
        hint = "download the plan of the run that `contentops find-plan` names, as `FILE@CHECKSUM`"
        raise Refused(f"`{path}` is not the plan that was shown", code="not-shown", hint=hint)
    return document


def _document(path: Path) -> dict[str, Json]:
    try:
        # A pull request may contain a link of this name, which must not be followed.
        data = read_file(path, LARGEST + 1, follow=False)
        if len(data) > LARGEST:
            raise no_plan_file(f"`{path}` is too large for a plan file")
        document = load_json(data)
    except OSError as error:
        raise no_plan_file(f"`{path}` cannot be read: {error.strerror or error}") from error
    except DeepJson as error:
        raise no_plan_file(f"`{path}` {error}") from error
    except ValueError as error:
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
    edit, source = inputs["on_edit"], inputs["on_source_change"]
    typed = {
        "replace": tuple(flags["replace"]),
        "on_edit": None if edit is None else OnEdit(edit),
        "on_source_change": None if source is None else OnSourceChange(source),
    }
    return Choice(**flags | typed)


def check_shape(document: Mapping[str, Json], path: str) -> None:
    """Check a document against the schema of plans. Raises InputError, naming the first part that does not fit."""
    from jsonschema import Draft7Validator

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        where = f": `{at}` has an unexpected value" if at else ""
        raise no_plan_file(f"`{path}` is not a plan file{where}")
