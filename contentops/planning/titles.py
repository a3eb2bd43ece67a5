"""The title that a file gets with a text."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.documents.preset import title_for
from contentops.sections import main_heading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import ItemId, Json, Observed, Record


class Brought(NamedTuple):
    """A fetched text: its title (empty: none) and its body."""

    title: str
    body: str
    of_section: bool
    """Only one section is new; the rest is the text of the file."""
    is_known: bool = False
    """It was in this file before, in another environment's, or on the server: no job has just made it."""
    front: Mapping[str, Json] = MappingProxyType({})
    """Front matter that comes with it."""


def written_title(
    stated: str | None,
    seen: Observed,
    record: Record | None,
    text: Brought,
    *,
    item: ItemId,
    preset: str,
) -> str:
    """The title to write: the manifest's, a person's, the text's, its first heading, or the item's id.

    Empty: none. A file gets no title with a text that had none.
    """
    if stated is not None:
        return clean_title(stated)
    if text.is_known:
        return seen.title if seen.exists or record is None else _title_of_gone_file(record, text.title)
    if text.of_section and seen.title:
        return seen.title
    edited = seen.title != record.title if record is not None else seen.body == body_digest(text.body)
    if seen.exists and seen.title and edited:
        return seen.title
    return title_for(preset, text.title or clean_title(main_heading(text.body)) or str(item))


def _title_of_gone_file(record: Record, brought: str) -> str:
    """The title of a restored file: the one it was saved with, if the text has it, otherwise the last written."""
    is_saved = record.saved is not None and bool(brought) and title_digest(brought) == record.saved.title
    return clean_title(brought) if is_saved else record.title
