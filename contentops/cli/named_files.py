"""Files that a command line names: where one may be written, and plan files read back.

A plan file may come from a stranger's pull request: nothing of it is trusted beyond its shape.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from contentops.atomic_io import read_file, replace
from contentops.cli.options import choice_of
from contentops.errors import OutputError, Refused, UsageError
from contentops.model.plan_file import CHECKSUM, check_seal, no_plan_file, plan_file
from contentops.sanitize import json_text
from contentops.schema_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.api.trace import Exchange
    from contentops.cli.options import Session
    from contentops.model import Json, Project
    from contentops.planning.inputs import Choice

OURS = ("contentops.yaml", "contentops*.lock", "catalog.lock.json")
"""Names that only contentops itself writes, or a person."""
LARGEST = 256 << 20
"""Bytes of the largest plan file that is read."""
INPUTS = ("variables", "select", "exclude", "replace", "on_edit", "prune", "resubmit_unknown")
"""What a plan file says about how it was made; without them, what is applied would be another choice."""


def clear_plan_place(path: Path) -> None:
    """Makes room for a plan at `path`: where none can be made, no older one stands there as today's.

    Raises OutputError where something else than a plan is there.
    """
    _check_out(path, "plan file", _is_plan)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _in_the_way(path, "--out", f"cannot be replaced: {error.strerror or error}") from error


def check_findings_place(path: Path) -> None:
    """Raises OutputError where writing findings to `path` would take the place of something else."""
    _check_out(path, "file of findings", _is_findings)


def check_events_place(path: Path) -> None:
    """Raises OutputError where writing events to `path` would take the place of something else; pipes are fine."""
    _check_place(path, "--events", "file of events", _begins_with("format_version", "kind", "at"))


def request_log(path: Path, at_end: Callable[[Callable[[], None]], object]) -> Callable[[Exchange], None]:
    """What writes each request to a log at `path`, one JSON object a line; `at_end` takes what closes it.

    Raises OutputError where that would take the place of something else, and where the disk refuses. A disk that does
    so later ends the log alone.
    """
    _check_place(path, "--debug", "log of requests", _begins_with("at", "method", "path", "ms"))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        file = os.fdopen(handle, "w", encoding="utf-8", newline="\n")
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file for `--debug`") from error

    def close() -> None:
        with contextlib.suppress(OSError):
            file.close()

    def write(exchange: Exchange) -> None:
        at = datetime.fromtimestamp(exchange.at, UTC).isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError, ValueError):
            file.write(json_text({**structs.asdict(exchange), "at": at}, indent=None) + "\n")
            file.flush()

    at_end(close)
    return write


def _check_out(path: Path, kind: str, fits: Callable[[Path], bool]) -> None:
    _check_place(path, "--out", kind, fits)
    if path.exists() and not path.is_file():
        raise _in_the_way(path, "--out", "is no regular file")


def _check_place(path: Path, option: str, kind: str, fits: Callable[[Path], bool]) -> None:
    names = {path.name.casefold(), Path(os.path.realpath(path)).name.casefold()}
    if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in OURS):
        raise _in_the_way(path, option, "is a file of the project")
    try:
        if path.is_file() and path.stat().st_size and not fits(path):
            raise _in_the_way(path, option, f"exists and is no {kind}")
    except OSError as error:
        raise _in_the_way(path, option, f"cannot be looked at: {error.strerror or error}") from error


def _is_plan(path: Path) -> bool:
    found = _json(read_file(path, LARGEST))
    return isinstance(found, dict) and {"format_version", "changes", "checksum"} <= found.keys()


def _is_findings(path: Path) -> bool:
    data = read_file(path, LARGEST)
    if data.startswith(b"<?xml"):
        return b'<testsuites name="contentops"' in data[:200]
    found = _json(data)
    return isinstance(found, dict) and ("diagnostics" in found or found.get("version") == "2.1.0")


def _begins_with(*keys: str) -> Callable[[Path], bool]:
    """Whether the first line of a file is an object with these keys."""

    def fits(path: Path) -> bool:
        found = _json(read_file(path, 1 << 20).partition(b"\n")[0])
        return isinstance(found, dict) and found.keys() >= {*keys}

    return fits


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _in_the_way(path: Path, option: str, why: str) -> OutputError:
    return OutputError(
        f"`{path}` {why}, so it is not written over",
        code="in-the-way",
        hint=f"choose another file for `{option}`",
    )


def write_whole(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all; raises OutputError where the disk refuses."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        replace(path, text.encode(), temporary=beside)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file or make its folder writable") from error


# --- plan files --------------------------------------------------------------------------------------------


def read_plan(path: Path, checksum: str = "") -> Mapping[str, Json]:
    """The plan document at `path`, whole, sealed, and in the shape of a plan; with `checksum` that very plan.

    Raises InputError where there is none, or one of a newer format, and Refused where it was edited or is another one.
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
    if checksum and document[CHECKSUM] != checksum:
        hint = "download the plan of the run that `contentops reviewed` names, and pass the checksum it prints"
        raise Refused(f"`{path}` is another plan than the one that was shown", code="not-shown", hint=hint)
    return document


def _document(path: Path) -> dict[str, Json]:
    try:
        # What a plan is called is known to whoever opens a pull request: a link of theirs would lead anywhere.
        data = read_file(path, LARGEST + 1, follow=False)
        if len(data) > LARGEST:
            raise no_plan_file(f"`{path}` is too large for a plan file")
        document = json.loads(data)
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
        replace=tuple(inputs["replace"]),
        on_edit=inputs["on_edit"],
        prune=inputs["prune"],
        refresh=inputs.get("refresh", False),
        resubmit_unknown=inputs["resubmit_unknown"],
        generate=inputs.get("generate", False),
        drafts=inputs.get("drafts", False),
    )


def check_shape(document: Mapping[str, Json], path: str) -> None:
    """Holds a document against the schema of plans. Raises InputError, naming the first part that does not fit."""
    from jsonschema import Draft7Validator

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        where = f": `{at}` is not as it should be" if at else ""
        raise no_plan_file(f"`{path}` is no plan file{where}")


def project_of(session: Session, document: Mapping[str, Any], chosen: Mapping[str, Any]) -> Project:
    """The project as the plan was made for it. Raises UsageError where flags would make it another plan."""
    if session.variables or any(chosen.values()):
        raise UsageError(
            "a plan file says by itself what is selected, replaced and set",
            code="plan-file-and-flags",
            hint="leave those options out, or make another plan with them",
        )
    environment = session.environment or str(document["environment"])
    variables = tuple(document["inputs"]["variables"])
    return structs.replace(session, environment=environment, variables=variables).project()
