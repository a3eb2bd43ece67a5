"""What the bytes of an output mean: title, body and front matter, or why they cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import NOTHING, digest_text
from contentops.documents.conflicts import conflict_line
from contentops.documents.faults import shown
from contentops.documents.front_matter import split
from contentops.model import Observed

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from contentops.digest import Digest
    from contentops.errors import OutputError

_MEND = "mend the file, or move it away"


def understood(path: str, data: bytes, digest: Digest, whole: AbstractSet[Digest]) -> Observed:
    """The file at `path` with these bytes and their digest; `whole` are bodies that are no unresolved merge."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _unusable(path, digest, f"{shown(path)} is not UTF-8 at byte {error.start}; save it as UTF-8")
    document = split(text)
    body = NOTHING if document.problem else digest_text(document.body)
    if body not in whole and (line := conflict_line(text)):
        what = f"{shown(path)} holds git conflict markers from line {line}; resolve the merge first"
        return _unusable(path, digest, what)
    if document.problem:
        return _unusable(path, digest, f"{shown(path)}: {document.problem}; {_MEND}")
    return Observed(
        path=path,
        file=digest,
        title=document.title,
        body=body,
        front=document.front,
        owner=document.owner,
        provenance=document.provenance,
    )


def refused(path: str, error: OutputError) -> Observed:
    """What stands at `path` where it could not be read at all."""
    message = error.message if error.message.startswith(shown(path)) else f"{shown(path)}: {error.message}"
    return _unusable(path, NOTHING, f"{message}; {error.hint or _MEND}")


def _unusable(path: str, digest: Digest, problem: str) -> Observed:
    return Observed(path=path, file=digest, problem=problem)
