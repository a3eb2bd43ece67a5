"""Reads and writes `contentops.approvals`, the committed record of who read which text, and said what of it.

JSON Lines like the lock: a constant header, then a line for each item, text and person, sorted. Reading accepts what
git's union merge makes (lines in any order, one person twice) and refuses what would lose a verdict: a damaged line,
conflict markers, an unknown verdict, a newer format.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from contentops.atomic_io import PUBLIC
from contentops.conflict_markers import MARKERS
from contentops.digest import PREFIX
from contentops.documents.clean import is_lfs_pointer
from contentops.errors import Diagnostic, Location, StateError
from contentops.model import NO_APPROVALS, Approval, Approvals, Count
from contentops.state.codec import line_of, parse_as
from contentops.state.lock import DamagedState, add_rule, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from contentops.atomic_io import Disk

FILE: Final = "contentops.approvals"
RULE: Final = f"{FILE} text eol=lf merge=union"
"""The line of `.gitattributes` for the file."""
VERSION: Final = 1
"""The format that this version writes, and the highest it reads."""
_DIGEST: Final = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class ApprovalsHeader(Struct, frozen=True, kw_only=True):
    """The first line of the file: the version of its format."""

    version: Count = field(default=VERSION, name="contentops_approvals")


def read(text: str) -> Approvals:
    """All verdicts in the text of the file. Raises StateError (DamagedState with every damaged line)."""
    if is_lfs_pointer(text):
        hint = f"fetch it with `git lfs pull`, and put `{RULE} -filter` at the end of `.gitattributes`"
        raise StateError(f"`{FILE}` is a pointer of Git LFS", code="lock-in-lfs", hint=hint, location=Location(FILE))
    lines: list[Approval] = []
    findings: list[Diagnostic] = []
    versions: set[int] = set()
    for number, line in numbered(text):
        try:
            value = _parse(line)
        except ValueError as error:
            findings.append(_damaged(line, number, str(error)))
            continue
        if isinstance(value, Approval):
            lines.append(value)
        else:
            versions.add(value.version)
    if any(version > VERSION for version in versions):
        message = f"`{FILE}` was written by a newer contentops"
        raise StateError(message, code="newer-state", hint="upgrade contentops", location=Location(FILE))
    if not versions and not findings:
        # An empty file is refused too: verdicts may have been cut off with the header.
        message = f"`{FILE}` has no header line, so it is empty or cut off"
        raise StateError(message, code="damaged-approvals", hint=_RESTORE, location=Location(FILE))
    if findings:
        raise DamagedState(findings)
    return Approvals(lines=tuple(lines))


def load(root: Path, disk: Disk) -> Approvals:
    """The approvals of the project at `root`; none where there is no file. Raises StateError."""
    data = disk.read(root / FILE)
    if data is None:
        return NO_APPROVALS
    try:
        return read(data.decode())
    except UnicodeDecodeError as error:
        message = f"`{FILE}` is not UTF-8 at byte {error.start}"
        raise StateError(message, code="damaged-approvals", hint=_RESTORE, location=Location(FILE)) from error


def render(approvals: Approvals) -> bytes:
    """The bytes of the file: header, and the last word of each person on each text of each item, sorted."""
    last: dict[tuple[str, str, str], Approval] = {}
    for line in sorted(approvals.lines, key=lambda line: (line.at, line.verdict, line_of(line))):
        last[line.item, line.text, line.person] = line
    lines = sorted(last.values(), key=lambda line: (line.item, line.text, line.by))
    return "\n".join((line_of(ApprovalsHeader()), *map(line_of, lines), "")).encode()


def record(root: Path, disk: Disk, new: Iterable[Approval]) -> Approvals:
    """Add verdicts to the file, each in the place of an earlier one of that person on that text of that item.

    Also adds the merge line to `.gitattributes`. The caller holds the lock of the file. Raises StateError.
    """
    new = tuple(new)
    before = load(root, disk)
    replaced = {(line.item, line.text, line.person) for line in new}
    kept = (line for line in before.lines if (line.item, line.text, line.person) not in replaced)
    after = Approvals(lines=(*kept, *new))
    target = render(after)
    if new and target != disk.read(root / FILE):
        add_rule(root, disk, FILE, RULE)
        disk.replace(root / FILE, target, PUBLIC)
    return after


_RESTORE: Final = f"restore it with `git checkout -- {FILE}`"


def _parse(line: str) -> Approval | ApprovalsHeader:
    """The value of a line. Raises ValueError with a message for people."""
    if '"contentops_approvals"' in line:
        return parse_as(line, ApprovalsHeader)
    value = parse_as(line, Approval)
    if not _DIGEST.fullmatch(value.text):
        message = f"has `{value.text[:20]}` as `text`, which takes `{PREFIX}` and 64 digits"
        raise ValueError(message)
    if not _TIME.fullmatch(value.at):
        message = f"has `{value.at[:30]}` as `at`, which takes a time such as `2026-11-29T14:26:41Z`"
        raise ValueError(message)
    if not value.person:
        message = "names no one in `by`"
        raise ValueError(message)
    return value


def _damaged(line: str, number: int, problem: str) -> Diagnostic:
    code, hint, message = "damaged-approvals", _RESTORE, f"line {number} of `{FILE}` {problem}"
    if line.startswith(MARKERS):
        code, message = "conflict-markers", f"line {number} of `{FILE}` is a conflict marker of git"
        hint = f"delete only the marker lines and keep the lines of both sides; `{RULE}` in `.gitattributes` avoids it"
    return Diagnostic(code=code, message=message, hint=hint, location=Location(FILE, number))
