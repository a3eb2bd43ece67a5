"""What `doctor` says of the approvals: whether they can be read and merged, and what protects them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentops.ci.codeowners import owners_of
from contentops.ci.git import GitFailed, try_git
from contentops.errors import Check, StateError, plural
from contentops.execution.times import iso
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Approvals, Desired, Project
    from contentops.operations.opening import Runtime

_APART: Final = 300.0
"""Seconds by which the clocks of two machines may differ."""


def approval_checks(project: Project, desired: Desired | None, runtime: Runtime) -> Iterator[Check]:
    """Yield what is to be said of the approvals; nothing where no item needs one and no one gave any."""
    try:
        known = approvals.load(Path(project.root), runtime.disk)
    except StateError as error:
        problem = error.diagnostics()[0]
        yield Check(name="approvals", ok=False, message=problem.message, hint=problem.hint)
        return
    if known.lines:
        yield from _file_checks(project, known, iso(runtime.wall() + _APART))
    needed = sum(spec.approval.required for spec in desired.specs) if desired is not None else 0
    if needed and owners_of(project.root, approvals.FILE) == ():
        message = f"{plural(needed, 'item')} {'needs' if needed == 1 else 'need'} an approval"
        message += f", and no `CODEOWNERS` line names the owners of `{approvals.FILE}`"
        hint = f"`/{approvals.FILE} @acme/editors` in it, with a branch that asks its owners, says who may approve"
        yield Check(name="approvals", ok=None, message=message, hint=hint)


def _file_checks(project: Project, known: Approvals, soon: str) -> Iterator[Check]:
    fine = True
    if late := [line for line in known.lines if line.at > soon]:
        fine = False
        last = max(late, key=lambda line: line.at)
        message = f"{plural(len(late), 'line')} of `{approvals.FILE}` in the future: `{last.person}` at {last.at}"
        hint = "until then it overrides all other decisions about the text: delete the line or correct its time"
        yield Check(name="approvals", ok=None, message=message, hint=hint)
    if not _merges(project.root):
        fine = False
        message = f"git does not merge `{approvals.FILE}` line by line"
        yield Check(name="approvals", ok=None, message=message, hint=f"add `{approvals.RULE}` to `.gitattributes`")
    if fine:
        texts, readers = ({getattr(line, name) for line in known.lines} for name in ("text", "person"))
        message = f"of {plural(len(texts), 'text')} by {plural(len(readers), 'reader')}"
        yield Check(name="approvals", ok=True, message=message)


def _merges(root: str) -> bool:
    """Whether git merges the file by union; also where git does not say."""
    try:
        said = try_git(root, "check-attr", "-z", "merge", "--", approvals.FILE)
    except GitFailed:
        return True
    return bool(said.code) or said.text.split("\0")[2:3] == ["union"]
