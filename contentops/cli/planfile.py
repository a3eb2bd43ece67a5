"""Plan files on the command line: read, checked, and turned back into the choice they were made with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentops.cli.options import choice_of
from contentops.errors import UsageError
from contentops.model.planfile import check_seal, no_plan_file, plan_file
from contentops.reporting.plan_read import check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from contentops.model import Json
    from contentops.planning.inputs import Choice

LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""
INPUTS = ("variables", "select", "exclude", "replace", "on_edit", "prune", "resubmit_unknown")
"""What a plan file says about how it was made; without them, what is applied would be another choice."""


def read_plan(path: Path) -> Mapping[str, Json]:
    """The plan document at `path`, whole, sealed, and in the shape of a plan.

    Raises InputError where there is none, or one of a newer format, and Refused where it was edited.
    """
    document = _document(path)
    try:
        check_seal(document, str(path))
    except (ValueError, RecursionError) as error:
        # What JSON readers let through and no plan holds: NaN, half a character, a nesting without end.
        raise no_plan_file(f"`{path}` is no plan file") from error
    check_shape(document, str(path))
    plan_file(document, str(path))
    missing = [f"`{name}`" for name in INPUTS if name not in document["inputs"]]
    if missing:
        raise no_plan_file(f"`{path}` is no plan file: `inputs` lacks {', '.join(missing)}")
    return document


def _document(path: Path) -> dict[str, Json]:
    try:
        if path.stat().st_size > LARGEST:
            raise no_plan_file(f"`{path}` is too large for a plan file")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise no_plan_file(f"`{path}` cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise no_plan_file(f"`{path}` is not JSON; it may be cut short") from error
    if not isinstance(document, dict):
        raise no_plan_file(f"`{path}` is no plan file")
    return document


def choice_in(document: Mapping[str, Any]) -> Choice:
    """The flags the plan was made with.

    Without the selection, `--canary` and `--changed-from`: the file names what they left, and by now an item may have
    lost its tag, the first N are others, and REF may be another commit.
    """
    inputs = document["inputs"]
    return choice_of(
        (),
        (),
        tuple(inputs["replace"]),
        inputs["on_edit"],
        prune=inputs["prune"],
        resubmit_unknown=inputs["resubmit_unknown"],
    )


def alone(document: Mapping[str, Any], variables: tuple[str, ...], chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables the plan was made with. Raises UsageError where flags would make it another plan."""
    if variables or any(chosen.values()):
        raise UsageError(
            "a plan file says by itself what is selected, replaced and set",
            code="plan-file-and-flags",
            hint="leave those options out, or make another plan with them",
        )
    return tuple(document["inputs"]["variables"])
