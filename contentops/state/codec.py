"""Reads and writes the state files (lock, jobs, approvals, journal), which have one JSON object per line.

A line is one canonical JSON object: sorted keys, no spaces, characters without escapes. Empty optional keys are left
out, so that the line of an unchanged record stays the same bytes. The keys are the fields of the types here and in
`model`, and one key shows which type it is. Unknown keys are ignored.

Reading accepts the results of git's union merge: lines in any order, one line twice, the header twice. It refuses
everything that could lose a fact: a damaged line, an empty file, conflict markers, two lineages, a newer format.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Meta, Struct, field, structs

from contentops.atomic_io import PUBLIC, Disk
from contentops.conflict_markers import MARKERS
from contentops.digest import DIGEST_VERSION, canonical
from contentops.documents.clean import is_lfs_pointer
from contentops.errors import Diagnostic, Location, StateError, plural
from contentops.json_reader import DeepJson, bounded, decode_json
from contentops.model import Count, ItemId, Job, Record, RequestId

# ---- The values of lines.


class FileHeader(Struct, frozen=True, kw_only=True):
    """The first line of a state file. It has the version of the format and names the project."""

    newest: ClassVar[int] = 1
    """The format that this version writes, and the highest it reads."""
    oldest: ClassVar[int] = 1
    """The lowest format that it reads; `state upgrade` reads older ones."""
    version: Count = 1
    lineage: str = ""

    def __post_init__(self) -> None:
        if self.version <= self.newest and self.lineage and not _UUID.fullmatch(self.lineage):
            raise ValueError("`lineage` is not a UUID")


Lineage = Annotated[str, Meta(min_length=1)]


class Header(FileHeader, frozen=True, kw_only=True):
    """The first line of a lock or a journal. It also has the version of the digests."""

    newest: ClassVar[int] = 2
    oldest: ClassVar[int] = 2
    lineage: Lineage
    version: Count = field(default=2, name="contentops_lock")
    digest: Count = DIGEST_VERSION


class Forget(Struct, frozen=True):
    """A line of the journal which says that an item's record was deleted."""

    id: ItemId = field(name="forget")


class Drop(Struct, frozen=True):
    """A change of the state that closes a job although no item got the text of the job.

    `lost`: the text cannot be fetched, or a person gave it up, so it answers no request any more. `never`: the server
    never received the order, whose reply was lost.
    """

    request_id: RequestId
    lost: bool = False
    never: bool = False


Line = Header | Record
"""The possible types of a line of the lock."""

Fact = Record | Job | Forget | Drop
"""The possible changes of the state."""

KINDS: Final[Mapping[str, type[Line]]] = {"id": Record, "contentops_lock": Header}
"""The type of a line of the lock, by the first of these keys that it has."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

# ---- One line.

_L = TypeVar("_L", bound=Struct)
_T = TypeVar("_T")


def line_of(value: Struct) -> str:
    """Return a header or a change of the state as one line of text.

    Raises ValueError or TypeError for values that are not JSON.
    """
    return canonical(_filled(value))


def checked_line(value: Record | Job | Forget) -> str:
    """Return a change of the state as one line of text. Raises StateError if the line could not be read again."""
    try:
        text = line_of(value)
        parse_as(text.encode(), type(value))  # a line that cannot be read again would make the whole file unreadable
    except (ValueError, TypeError) as error:
        name = value.item if isinstance(value, Job) else value.id
        message = f"what is known of item {name!a} cannot be written down: {error}"
        raise StateError(message, code="unwritable-fact") from error
    return text


def _filled(value: Struct) -> dict[str, Any]:
    """Return the keys and values of a line as a dictionary. An optional key is left out if its value is empty."""
    keys: dict[str, Any] = {}
    for name, key, required in _keys(type(value)):
        part = getattr(value, name)
        if part or required:
            keys[key] = _filled(part) if isinstance(part, Struct) else part
    return keys


@functools.cache
def _keys(kind: type[Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Return the fields of a type of lines in state files.

    Each has its name, its key in a line, and whether it is required.
    """
    return tuple((each.name, each.encode_name, each.required) for each in structs.fields(kind))


def parser(kinds: Mapping[str, type[_L]]) -> Callable[[str], _L]:
    """Return a function that reads one line of a state file, without its newline.

    The first key of `kinds` that a line has determines its type; most lines have the first. A line that was read
    before, also in another file, gives the same value. The function raises ValueError with a message for people.
    """
    decode = msgspec.json.Decoder(next(iter(kinds.values()))).decode

    @functools.lru_cache(maxsize=1 << 15)
    def parse(text: str) -> _L:
        try:
            return bounded(decode, text)
        except (msgspec.MsgspecError, DeepJson):
            return parse_as(text, kind_of(text, kinds))

    return parse


def kind_of(text: str, kinds: Mapping[str, type[_L]]) -> type[_L]:
    """Return the type of the value in a line. The first key of `kinds` that the line has determines it.

    Raises ValueError as `parse_line` does.
    """
    keys = parse_as(text, dict[str, msgspec.Raw])
    kind = next((kind for key, kind in kinds.items() if key in keys), None)
    if kind is None:
        message = f"is neither a header nor a record: it lacks `{next(iter(kinds))}`"
        raise ValueError(message)
    return kind


def parse_as(text: str | bytes, kind: type[_T]) -> _T:
    """Return the value that a line contains, as the type `kind`.

    Raises ValueError that names a missing or invalid key.
    """
    try:
        return decode_json(text, kind)
    except msgspec.ValidationError as error:
        words, _, key = str(error).replace("Object missing required field", "it lacks").partition(" - at `$.")
        message = f"cannot be used: {f'`{key} is not valid: ' if key else ''}{words[:1].lower()}{words[1:]}"
    except msgspec.DecodeError as error:
        message = f"is incomplete or invalid JSON ({str(error).removeprefix('JSON is malformed: ')})"
    raise ValueError(message)


parse_line = parser(KINDS)
"""Returns the value in one line of a lock. Raises ValueError with a message for people."""

# ---- A file of lines.


class Format(Struct, frozen=True, kw_only=True):
    """One kind of state file, with git's merge rule for such files and the error code for damaged lines."""

    pattern: str
    """The names of the files, in `.gitattributes`."""
    code: str
    """The error code of a damaged file."""

    @property
    def rule(self) -> str:
        """Return the line of `.gitattributes` that tells git how to merge the files."""
        return f"{self.pattern} text eol=lf merge=union"

    @property
    def out_of_lfs(self) -> str:
        """Return the line of `.gitattributes` that keeps the files out of Git LFS. LFS would commit only a pointer."""
        return f"{self.rule} -filter"


class DamagedState(StateError):
    """The error for a state file that cannot be read. It has a finding for each damaged line."""

    def __init__(self, findings: Iterable[Diagnostic]) -> None:
        self.findings = tuple(findings)
        first = self.findings[0]
        more = len(self.findings) - 1
        tail = "" if not more else f" (and {plural(more, 'more line')})"
        super().__init__(first.message + tail, code=first.code, hint=first.hint, location=first.location)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the finding for each damaged line."""
        return self.findings


def read_lines(
    data: bytes | str, path: str, form: Format, parse: Callable[[str], _T | FileHeader], *, torn: bool = False
) -> tuple[str, list[tuple[str, _T]]]:
    """Return the lineage (the project's UUID) in a state file, and the text and value of each line.

    `path` is for messages. `parse` returns the value of a line. `torn` means that the file is only appended to: a last
    line without its end is ignored, and the header may be missing. Raises StateError (DamagedState with every damaged
    line).
    """
    restore = f"delete the line from `{path}`" if torn else f"restore it with `git checkout -- {path}`"
    headers: list[FileHeader] = []
    found: list[tuple[str, _T]] = []
    damaged: list[Diagnostic] = []
    # A BOM and CRLF are tolerated.
    lines = _text(data, path, form, restore, torn=torn).removeprefix("\ufeff").split("\n")
    for number, line in enumerate((line.strip(" \t\r") for line in lines), start=1):
        if not line:
            continue
        try:
            value = parse(line)
        except ValueError as error:
            damaged.append(damaged_line(line, number, path, f"{error}", form, restore))
            continue
        if isinstance(value, FileHeader):
            headers.append(value)
        else:
            found.append((line, value))
    refuse_others(headers, path)
    if damaged:
        raise DamagedState(damaged)
    if not headers and not torn:
        # An empty file is refused too: lines may have been cut off with the header.
        message = f"`{path}` has no header line, so it is empty or cut off"
        raise StateError(message, code=form.code, hint=restore, location=Location(path))
    lineages = sorted({header.lineage for header in headers})
    if len(lineages) > 1:
        names = " and ".join(f"`{lineage}`" for lineage in lineages)
        message = f"`{path}` has lines of different projects, lineages {names}"
        raise StateError(message, code="mixed-lineages", hint=ONE_PROJECT, location=Location(path))
    return next(iter(lineages), ""), found


ONE_PROJECT: Final = "keep the header and the lines of one project; never change the `project` name of a project"


def _text(data: bytes | str, path: str, form: Format, restore: str, *, torn: bool) -> str:
    if isinstance(data, bytes):
        try:
            data = (data[: data.rfind(b"\n") + 1] if torn else data).decode()
        except UnicodeDecodeError as error:
            message = f"`{path}` is not UTF-8 (byte {error.start + 1})"
            raise StateError(message, code=form.code, hint=restore, location=Location(path)) from None
    if is_lfs_pointer(data):
        hint = f"run `git lfs pull`, and add `{form.out_of_lfs}` at the end of `.gitattributes`"
        raise StateError(f"`{path}` is a Git LFS pointer", code="lock-in-lfs", hint=hint, location=Location(path))
    return data


def damaged_line(line: str, number: int, path: str, problem: str, form: Format, restore: str) -> Diagnostic:
    """Return the finding about a damaged line. `restore` is the hint, except for a line that a git conflict left."""
    code, hint = form.code, restore
    if line.startswith(MARKERS):
        code, problem = "conflict-markers", "is a git conflict marker"
        hint = f"add `{form.rule}` to `.gitattributes`, undo the merge with `git merge --abort` and merge again; "
        hint += "or delete only the marker lines and keep the lines of both sides"
    message = f"line {number} of `{path}` {problem}"
    return Diagnostic(code=code, message=message, hint=hint, location=Location(path, number))


def refuse_others(headers: Iterable[FileHeader], path: str) -> None:
    """Raise StateError for a file in a format that is too new or too old.

    Old files are from before `contentops.jobs` existed.
    """
    for header in headers:
        if header.version < header.oldest:
            message = f"`{path}` was written before there was `contentops.jobs`"
            raise StateError(message, code="old-state", hint="run `contentops state upgrade`", location=Location(path))
        if header.version > header.newest or (isinstance(header, Header) and header.digest > DIGEST_VERSION):
            message = f"`{path}` was written by a newer version of contentops"
            raise StateError(message, code="newer-state", hint="upgrade contentops", location=Location(path))


def add_rules(root: Path, disk: Disk, forms: Iterable[Format]) -> None:
    """Add the merge rules for kinds of files to `.gitattributes`, except for those that have a rule already.

    The rules of one call have a fixed order, so that two branches that add them do not conflict. A symbolic link stays
    unchanged, as git does not follow it. Raises StateError if the file cannot be read or written.
    """
    path = root / ".gitattributes"
    if path.is_symlink():
        return
    data = disk.read(path) or b""
    known = {pattern for line in data.splitlines() for pattern in line.split(maxsplit=1)[:1]}
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    gap = newline if data and not data.endswith(b"\n") else b""
    rules = [form.rule.encode() + newline for form in forms if form.pattern.encode() not in known]
    if rules:
        disk.replace(path, data + gap + b"".join(rules), PUBLIC)
