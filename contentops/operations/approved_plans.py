"""Which plan files a person approved, for programs that may carry out no others.

The records are in a person's own settings, outside of every repository: what a branch or a pull request changes cannot
approve a plan. Whoever can write there can approve.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from contentops.api.trust import config_path
from contentops.atomic_io import PRIVATE
from contentops.ci.runner import in_ci
from contentops.errors import ExitCode, Refused, StateError
from contentops.execution.times import iso
from contentops.model.plan_file import CHECKSUM
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.opening import HERE, open_project
from contentops.operations.plan_files import choice_in, kept_path, read_kept_plan, read_plan
from contentops.operations.texts.approving import git_identity
from contentops.reporting.plan_json import plan_of
from contentops.reporting.run import exit_code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.execution.primitives import Stop
    from contentops.model import Event, Json, Plan, Project, Run
    from contentops.operations.opening import Runtime

FOLDER: Final = "approved-plans"
"""Below the folder of a person's own settings."""
CHECKSUM_PATTERN: Final = "^sha256:[0-9a-f]{64}$"


class ApprovedPlan(Struct, frozen=True, kw_only=True):
    """A plan file that a person approved: for one project folder, until it is done."""

    checksum: str
    file: str
    """Its path when it was approved."""
    root: str
    """The project folder, without links."""
    by: str
    at: str


def approvable(project: Project, document: Mapping[str, Json], environ: Mapping[str, str]) -> tuple[str, Plan]:
    """Return who would approve a plan, by git's settings, and the plan.

    Raises Refused under CI, and for a plan of another project or with nothing to do; UsageError without an identity.
    """
    if in_ci(environ):
        raise Refused("only a person can approve a plan, and this is CI", code="approve-in-ci")
    by, _ = git_identity(project.root)
    plan = plan_of(document)
    if plan.project != project.name:
        message = f"the plan is for project `{plan.project}`, and this is `{project.name}`"
        raise Refused(message, code="other-plan", hint="approve it in the folder of that project")
    if plan.empty:
        raise Refused("the plan does nothing, so there is nothing to approve", code="other-plan")
    return by, plan


def approve_plan(
    project: Project, document: Mapping[str, Json], file: Path, by: str, *, runtime: Runtime = HERE
) -> ApprovedPlan:
    """Record that a person approved the plan in `file`. Raises Refused without a safe place, StateError."""
    line = ApprovedPlan(
        checksum=str(document[CHECKSUM]),
        file=str(file.resolve()),
        root=str(Path(project.root).resolve()),
        by=by,
        at=iso(runtime.wall()),
    )
    path = record_path(project, line.checksum, runtime.environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"`{path.parent}` cannot be made: {error.strerror or error}"
        raise StateError(message, hint="check who may write there") from error
    runtime.disk.replace(path, msgspec.json.encode(line), PRIVATE)
    return line


def approve_kept(project: Project, name: str, checksum: str, runtime: Runtime = HERE) -> ApprovedPlan:
    """Approve the plan file `name` of `.contentops/plans/`, which a person was shown with this checksum.

    Raises Refused where it is another one by now, and what `read_kept_plan`, `approvable` and `approve_plan` raise.
    """
    document = read_kept_plan(project, name)
    if document[CHECKSUM] != checksum:
        message = "nothing was approved: the plan file has changed since you saw it"
        raise Refused(message, code="plan-changed", hint="read it again")
    by, _ = approvable(project, document, runtime.environ)
    return approve_plan(project, document, kept_path(project, name), by, runtime=runtime)


def apply_approved(
    project: Project, checksum: str, stop: Stop, emit: Callable[[Event], None], runtime: Runtime = HERE
) -> tuple[Plan, Run | None]:
    """Apply the plan file with this checksum, if a person approved it for this folder.

    Once the plan is done, the approval is removed: a revert in git does not let it count again.

    Raises Refused without an approval, for another file than the approved one, and a plan of another environment; and
    what `read_plan` and `apply` raise.
    """
    path = record_path(project, checksum, runtime.environ)
    root = str(Path(project.root).resolve())
    try:
        line = msgspec.json.decode(runtime.disk.read(path) or b"{}", type=ApprovedPlan)
    except (msgspec.MsgspecError, StateError):
        line = None
    if line is None or (line.checksum, line.root) != (checksum, root):
        kept = kept_path(project, checksum.removeprefix("sha256:")[:16])
        file = kept.relative_to(project.root).as_posix() if kept.exists() else "PLAN.json"
        raise _not_approved(f"no person approved the plan `{checksum}` here", file)
    document = read_plan(Path(line.file))
    if document[CHECKSUM] != checksum:
        raise _not_approved(f"`{line.file}` is another plan than the approved one", line.file)
    if document["environment"] != project.environment:
        message = f"the plan is for environment `{document['environment']}`, and this is `{project.environment}`"
        raise _not_approved(message, line.file)
    inputs = document["inputs"]
    project = open_project(project.root, project.environment, inputs["variables"])
    options = ApplyOptions(inputs=inputs, reviewed=document, stop=stop)
    choice = choice_in(document)
    plan, run = apply(project, choice, options, confirm=lambda _: True, emit=emit, runtime=runtime)
    if run is not None and exit_code_of(run) is ExitCode.DONE:
        with contextlib.suppress(OSError):
            path.unlink()
    return plan, run


def _not_approved(message: str, file: str) -> Refused:
    hint = f"a person has to read the plan and run `contentops approve {shlex.quote(file)}` in a terminal"
    return Refused(message, code="plan-not-approved", hint=hint)


def record_path(project: Project, checksum: str, environ: Mapping[str, str]) -> Path:
    """Return where the approval of a plan is recorded. Raises Refused where that is no safe place."""
    if not re.fullmatch(CHECKSUM_PATTERN.strip("^$"), checksum):
        raise Refused("this is not the checksum of a plan", code="plan-not-approved", hint="`plan` returns it")
    config = config_path(environ)
    if config is None:
        hint = "set `HOME`, also for a program that starts contentops"
        raise Refused("there is no home folder to record approved plans in", code="no-own-folder", hint=hint)
    folder = config.parent / FOLDER
    if folder.resolve().is_relative_to(Path(project.root).resolve()):
        message = f"approved plans must not be recorded inside the project, and `{folder}` is"
        raise Refused(message, code="no-own-folder", hint="set `HOME` and `XDG_CONFIG_HOME` to folders outside of it")
    return folder / f"{checksum.removeprefix('sha256:')}.json"
