"""What the bytes of an output mean, or why they cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.digest import NOTHING, Digest, digest_text
from contentops.documents.clean import conflict_line, is_lfs_pointer
from contentops.documents.front_matter import split
from contentops.documents.outline import has_label
from contentops.documents.paths import shown
from contentops.model import Observed

if TYPE_CHECKING:
    from collections.abc import Container

CORRECT: Final = "correct the file, or move it away"


def observed(path: str, data: bytes, digest: Digest, whole: Container[Digest]) -> tuple[Observed, bool]:
    """The file at `path` by its bytes, and whether they alone say so.

    Bodies in `whole` are no unresolved merge, whatever lines they have.
    """
    found = Observed(path=path, file=digest)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        problem = f"{shown(path)} is not UTF-8 at byte {error.start}; save it as UTF-8"
        return structs.replace(found, problem=problem), True
    if is_lfs_pointer(text):
        problem = f"{shown(path)} is a pointer of Git LFS; fetch its text with `git lfs pull` first"
        return structs.replace(found, problem=problem), True
    document = split(text)
    body = NOTHING if document.problem else digest_text(document.body)
    line = conflict_line(text)
    if line and body not in whole:
        problem = f"{shown(path)} holds git conflict markers from line {line}; resolve the merge first"
        return structs.replace(found, problem=problem), True
    if document.problem:
        return structs.replace(found, problem=f"{shown(path)}: {document.problem}; {CORRECT}"), not line
    front, owner, provenance = document.front, document.owner, document.provenance
    found = structs.replace(found, title=document.title, body=body, front=front, owner=owner, provenance=provenance)
    found = structs.replace(found, labelled=has_label(document.body))
    return found, not line
