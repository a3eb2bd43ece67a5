"""Plan files on the command line: read, checked, and turned back into the choice they were made with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentops.cli.options import choice_of
from contentops.errors import Diagnostic, InputError, UsageError
from contentops.planner.planfile import check_seal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from contentops.model import Json
    from contentops.planner.situation import Choice

LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""


def read_plan(path: Path) -> Mapping[str, Json]:
    """The plan document at `path`. Raises InputError where there is none, Refused where it was edited."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError([Diagnostic(code="no-plan-file", message=f"`{path}` is too large for a plan file")])
        document = json.loads(path.read_bytes())
    except OSError as error:
        message = f"`{path}` can not be read: {error.strerror or error}"
        hint = "make one with `contentops plan --out FILE`"
        raise InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)]) from error
    except (ValueError, RecursionError) as error:
        raise InputError([Diagnostic(code="no-plan-file", message=f"`{path}` is not JSON")]) from error
    if not isinstance(document, dict):
        raise InputError([Diagnostic(code="no-plan-file", message=f"`{path}` is no plan file")])
    check_seal(document, str(path))
    return document


def choice_in(document: Mapping[str, Any]) -> Choice:
    """The selection and flags the plan was made with.

    Without `--canary` and `--changed-from`: the file names what they left, and by now the first N are others, and REF
    may be another commit.
    """
    inputs = document["inputs"]
    return choice_of(
        tuple(inputs["select"]),
        tuple(inputs["exclude"]),
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
