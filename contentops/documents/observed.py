"""Reads an output from its bytes, or says why they cannot be used."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from contentops.digest import NOTHING, Digest, digest_text
from contentops.documents.clean import conflict_line, hides_characters, is_cut, is_lfs_pointer
from contentops.documents.front_matter import split
from contentops.documents.outline import has_label
from contentops.documents.paths import shown
from contentops.model import Observed
from contentops.sections import nests_too_deep

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Container

CORRECT: Final = "correct the file, or move it away"
Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last change of content and of status in nanoseconds."""
stamp_of: Final[Callable[[os.stat_result], Stamp]] = operator.attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"
)


def observed(path: str, data: bytes, digest: Digest, whole: Container[Digest]) -> tuple[Observed, bool]:
    """The file at `path` by its bytes, and whether that depends on the bytes alone.

    Bodies in `whole` are no unresolved merge, whatever lines they have.
    """

    def unusable(why: str) -> Observed:
        return Observed(path=path, file=digest, problem=f"{shown(path)}{why}")

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return unusable(f" is not UTF-8 at byte {error.start}; save it as UTF-8"), True
    if is_lfs_pointer(text):
        return unusable(" is a Git LFS pointer; fetch its text with `git lfs pull` first"), True
    document = split(text)
    body = NOTHING if document.problem else digest_text(document.body)
    line = conflict_line(text)
    if line and body not in whole:
        return unusable(f" contains git conflict markers from line {line}; resolve the merge first"), True
    if document.problem:
        return unusable(f": {document.problem}; {CORRECT}"), not line
    if nests_too_deep(document.body):
        return unusable(" nests lists or quotations deeper than a reader can follow; flatten them"), not line
    file = Observed(
        path=path,
        file=digest,
        title=document.title,
        body=body,
        front=document.front,
        owner=document.owner,
        provenance=document.provenance,
        labelled=has_label(document.body),
        hidden=is_cut(document.title) or hides_characters(text),
    )
    return file, not line
