"""Puts the second look at manifests that refer to texts together with the first one, which has placeholders for them.

The request of the first look is the frame of an item, which stays while only texts change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.manifests.references import DeclaredTexts
from contentops.model import AcceptedTexts, ItemId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.manifests.file_result import FileResult
    from contentops.model import Spec


def declared_texts(results: Sequence[FileResult], accepted: AcceptedTexts, preset: str) -> DeclaredTexts:
    """The texts of the items that these results declare; an item that `moved` renames has that of its old id."""
    moved = {pair.new: pair.old for result in results for pair in result.moved}
    paths = {new: accepted.paths[old] for new, old in moved.items() if old in accepted.paths}
    if paths:
        accepted = structs.replace(accepted, paths={**paths, **accepted.paths})
    specs = {spec.id: spec for result in results for spec in result.specs}
    others = {ItemId(id_) for result in results for id_, _ in result.claims}
    return DeclaredTexts(specs, others if all(each.complete for each in results) else None, accepted, preset)


def framed(result: FileResult, first: FileResult) -> FileResult:
    """The result with the frame of each item that refers to texts; one that waits has the request of the frame."""
    frames = {spec.id: spec for spec in first.specs if spec.references}
    return structs.replace(result, specs=tuple(_framed(spec, frames.get(spec.id)) for spec in result.specs))


def _framed(spec: Spec, frame: Spec | None) -> Spec:
    if frame is None or not spec.references:
        return spec
    if spec.waits:
        return structs.replace(spec, request=frame.request, digest=frame.digest, frame=frame.digest)
    return structs.replace(spec, frame=frame.digest)


def with_paths(result: FileResult, texts: DeclaredTexts) -> FileResult:
    """The result, in which items whose declared path is not known yet have that of their text, if they have one."""
    if all(spec.output for spec in result.specs):
        return result
    specs = (spec if spec.output else structs.replace(spec, output=texts.path_of(spec.id)) for spec in result.specs)
    return structs.replace(result, specs=tuple(specs))
