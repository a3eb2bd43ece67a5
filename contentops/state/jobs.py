"""Reads and writes `contentops.jobs`, the committed list of everything that was ordered and paid for.

JSON Lines: a constant header with the lineage, then one line a job, sorted by id. Reading accepts what git's union
merge makes (lines in any order, one order twice, the header twice) and refuses what would lose a payment: a damaged
line, conflict markers, another lineage, a newer format.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct, field

from contentops.conflict_markers import MARKERS
from contentops.documents.clean import is_lfs_pointer
from contentops.errors import Diagnostic, Location, StateError
from contentops.json_reader import DeepJson, bounded
from contentops.model import Count, OpenEntry
from contentops.state.codec import is_uuid, line_of, parse_as
from contentops.state.lock import DamagedState, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATTERN: Final = "contentops*.jobs"
RULE: Final = f"{PATTERN} text eol=lf merge=union"
"""The line of `.gitattributes` for the files."""
OUT_OF_LFS: Final = f"{RULE} -filter"
"""The line for a project where another line puts jobs into Git LFS, which would keep only a pointer in git."""
VERSION: Final = 1
"""The format that this version writes, and the highest it reads."""
_HEADER_KEY: Final = "contentops_jobs"
_decode = msgspec.json.Decoder(OpenEntry).decode


class JobsHeader(Struct, frozen=True, kw_only=True):
    """The first line of the file: the version of its format, and its project."""

    lineage: str
    version: Count = field(default=VERSION, name=_HEADER_KEY)

    def __post_init__(self) -> None:
        if self.version <= VERSION and not is_uuid(self.lineage):
            message = "`lineage` is not a UUID"
            raise ValueError(message)


class JobsFile(Struct, frozen=True, kw_only=True):
    """The lines of a file; `lineage` is empty where it has no header, which only a file of this machine may lack."""

    lineage: str = ""
    lines: Mapping[str, OpenEntry] = field(default_factory=dict)
    """Each job by the text of its line."""


def read(
    data: bytes, path: str, *, torn: bool = False, known: Mapping[str, OpenEntry] = MappingProxyType({})
) -> JobsFile:
    """Return the lines in the bytes of a file; `path` names it in messages.

    `torn`: it is only appended to, so that a last line without its end is ignored, and it may lack a header. `known`:
    lines that were read before, from another file.
    Raises StateError (DamagedState with every damaged line) for what cannot be used.
    """
    if torn:
        data = data[: data.rfind(b"\n") + 1]
    restore = f"delete the line from `{path}`" if torn else f"restore it with `git checkout -- {path}`"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"`{path}` is not UTF-8 (byte {error.start + 1})"
        raise StateError(message, code="damaged-jobs", hint=restore, location=Location(path)) from None
    if is_lfs_pointer(text):
        hint = f"run `git lfs pull`, and add `{OUT_OF_LFS}` at the end of `.gitattributes`"
        raise StateError(f"`{path}` is a Git LFS pointer", code="lock-in-lfs", hint=hint, location=Location(path))
    lines: dict[str, OpenEntry] = {}
    findings: list[Diagnostic] = []
    headers: set[tuple[int, str]] = set()
    for number, line in numbered(text):
        try:
            value = known.get(line) or _parse(line)
        except ValueError as error:
            findings.append(_damaged(line, number, path, str(error), restore))
            continue
        if isinstance(value, OpenEntry):
            lines.pop(line, None)
            lines[line] = value  # the last one counts, in a file that is only appended to
        else:
            headers.add((value.version, value.lineage))
    if any(version > VERSION for version, _ in headers):
        message = f"`{path}` was written by a newer version of contentops"
        raise StateError(message, code="newer-state", hint="upgrade contentops", location=Location(path))
    if findings:
        raise DamagedState(findings)
    return JobsFile(lineage=_one_lineage({lineage for _, lineage in headers}, path, restore, torn=torn), lines=lines)


def join(lineage: str, lines: Iterable[str]) -> bytes:
    """Return the bytes of a file from its lines, which are sorted already."""
    return "\n".join((line_of(JobsHeader(lineage=lineage)), *lines, "")).encode()


def _parse(line: str) -> OpenEntry | JobsHeader:
    """Return the value of a line. Raises ValueError with a message for people."""
    try:
        return bounded(_decode, line)
    except (msgspec.MsgspecError, DeepJson):
        pass
    # A line with `id` is a job, whatever other keys it has: to take it for a header would drop it.
    if _HEADER_KEY in line and "id" not in parse_as(line, dict[str, Raw]):
        return parse_as(line, JobsHeader)
    return parse_as(line, OpenEntry)


def _one_lineage(lineages: set[str], path: str, restore: str, *, torn: bool) -> str:
    if len(lineages) > 1:
        names = " and ".join(f"`{lineage}`" for lineage in sorted(lineages))
        message = f"`{path}` has lines of different projects, lineages {names}"
        hint = "keep the header and the lines of one project; never change the `project` name of a project"
        raise StateError(message, code="mixed-lineages", hint=hint, location=Location(path))
    if not lineages and not torn:
        message = f"`{path}` has no header line, so it is empty or cut off"
        raise StateError(message, code="damaged-jobs", hint=restore, location=Location(path))
    return next(iter(lineages), "")


def _damaged(line: str, number: int, path: str, problem: str, restore: str) -> Diagnostic:
    code, hint, message = "damaged-jobs", restore, f"line {number} of `{path}` {problem}"
    if line.startswith(MARKERS):
        code, message = "conflict-markers", f"line {number} of `{path}` is a git conflict marker"
        hint = f"delete only the marker lines and keep the lines of both sides; `{RULE}` in `.gitattributes` avoids it"
    return Diagnostic(code=code, message=message, hint=hint, location=Location(path, number))
