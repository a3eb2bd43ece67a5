"""Drafts: what a person typed on a page and has not saved, one file each beside the kept copies of texts."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from contentops.atomic_io import Disk
from contentops.digest import digest_json, short
from contentops.documents.files import Outputs
from contentops.errors import UsageError
from contentops.execution.primitives import iso
from contentops.json_reader import decode_json
from contentops.model import Project
from contentops.operations.opening import HERE, Runtime, first_lineage
from contentops.state.state_dir import kept_folder, make_kept


class DraftKind(enum.StrEnum):
    """The form that a draft is of."""

    EDIT = "edit"
    NOTE = "note"
    COMMENT = "comment"


_FIELDS: Final = {
    DraftKind.EDIT: ("title", "body", "file", "was_title", "was"),
    DraftKind.NOTE: ("note",),
    DraftKind.COMMENT: ("quote", "note"),
}
"""The fields that are kept of each form."""


class TypedDraft(Struct, frozen=True, kw_only=True):
    """The words of a form by the names of its fields, and when they were kept."""

    words: Mapping[str, str]
    at: str = ""
    """ISO time; empty: there is no draft."""


def draft_kind(name: str) -> DraftKind:
    """Return the kind with a name. Raises UsageError."""
    try:
        return DraftKind(name)
    except ValueError:
        raise UsageError(f"there is no draft `{name}`", code="bad-form", hint="go back, and try again") from None


def keep_draft(
    project: Project, ids: Sequence[str], kind: DraftKind, words: Mapping[str, str], *, runtime: Runtime = HERE
) -> None:
    """Keep what a person typed about an item instead of an earlier draft of this kind; without words, there is none.

    `ids`: its id, then those that it had, so that a draft is found after a rename.
    Raises StateError or OutputError if it cannot be written.
    """
    kept = {name: words.get(name, "") for name in _FIELDS[kind]}
    if not any(kept.values()):
        drop_draft(project, ids, kind)
        return
    path, draft = _path(project, ids[0], kind), TypedDraft(words=kept, at=iso(runtime.wall()))
    make_kept(Path(project.root), path.parent.parent)
    Outputs(path.parent.parent, system=runtime.system).keep_at(
        msgspec.json.encode(draft).decode(), path.parent.name, path.name
    )


def draft_of(project: Project, ids: Sequence[str], kind: DraftKind) -> TypedDraft:
    """Return the newest draft of this kind, with an empty text in each field if there is none that can be read."""
    draft = max((_read(_path(project, each, kind)) for each in ids), key=lambda each: each.at)
    return TypedDraft(words={name: draft.words.get(name, "") for name in _FIELDS[kind]}, at=draft.at)


def drop_draft(project: Project, ids: Sequence[str], kind: DraftKind) -> None:
    """Delete the drafts of this kind, if there are any: their words are saved, or not wanted."""
    for each in ids:
        _path(project, each, kind).unlink(missing_ok=True)


def _read(path: Path) -> TypedDraft:
    try:
        return decode_json(Disk().read(path) or b"", TypedDraft)
    except (msgspec.MsgspecError, ValueError):
        return TypedDraft(words={})


def _path(project: Project, item: str, kind: DraftKind) -> Path:
    name = short(digest_json([project.environment, item, kind.value]))
    return kept_folder(Path(project.root), first_lineage(project), Disk()) / "drafts" / f"{name}.json"
