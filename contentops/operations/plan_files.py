"""Reads the plan files that a person names."""

from __future__ import annotations

from pathlib import Path

from contentops.atomic_io import read_file
from contentops.errors import Refused
from contentops.json_reader import DeepJson, load_json
from contentops.model import Json
from contentops.model.plan_file import PlanFile, check_seal, no_plan_file, plan_file
from contentops.planning.sides import Choice

LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""


def read_plan(path: Path, checksum: str = "") -> PlanFile:
    """Read a plan file, and check that its format and its checksum are right.

    If `checksum` is given, the plan file must have this checksum. Raises InputError if the file is no plan or has
    another format, and Refused for an edited or another plan.
    """
    plan = plan_file(read_document(path), str(path))
    if checksum and plan.checksum != checksum:
        hint = "download the plan of the run that `contentops find-plan` names, as `FILE@CHECKSUM`"
        raise Refused(f"`{path}` is not the plan that was shown", code="not-shown", hint=hint)
    return plan


def read_document(path: Path) -> dict[str, Json]:
    """Read a plan document, and check by its checksum that nobody edited it.

    Raises what `read_plan` raises.
    """
    document = _document(path)
    try:
        check_seal(document, str(path))
    except ValueError as error:
        # JSON readers accept some values that no plan has: NaN, half a character.
        raise no_plan_file(f"`{path}` is not a plan file") from error
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


def choice_in(plan: PlanFile) -> Choice:
    """Return the options of a plan, without the selection, `--canary` and `--changed-from`.

    The file lists the selected items; now, the same selection may mean other items.
    """
    inputs = plan.inputs
    return Choice(
        replace=inputs.replace,
        on_edit=inputs.on_edit,
        on_source_change=inputs.on_source_change,
        prune=inputs.prune,
        refresh=inputs.refresh,
        drafts=inputs.drafts,
    )
