"""References of an item to the texts of others: what was read, why a text cannot be read yet, and what follows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from contentops.digest import NOTHING, Digest
from contentops.model.approval import NO_APPROVALS, Approvals
from contentops.model.records import ItemId, Observed

READERS: Final = frozenset({"ref", "texts", "rows"})
"""The functions of templates whose values count as words: another value makes a text stale, and changes no manifest."""
PARTS: Final = ("id", "title", "url", "path", "body", "excerpt", "section", "headings", "metadata")
"""What a template may read of the text of another item."""


class OnSourceChange(enum.StrEnum):
    """What to do about an item when only the texts that it refers to have changed."""

    NOTE = "note"
    """Keep its text, and say in plan and status that it is stale."""
    REGENERATE = "regenerate"
    BLOCK = "block"


class WaitReason(enum.StrEnum):
    """Why the text of another item cannot be used yet."""

    NO_TEXT = "no-text"
    EMPTY = "empty"
    NO_PART = "no-part"
    """It has a text, and nothing in a part that is used."""
    UNREADABLE = "unreadable"
    NOT_APPROVED = "not-approved"
    CHANGES = "changes"
    """This very plan replaces it."""

    @property
    def words(self) -> str:
        """What is the matter with the text, as the end of a sentence."""
        return _WORDS[self]


_WORDS = {
    WaitReason.NO_TEXT: "has no text yet",
    WaitReason.EMPTY: "has an empty text",
    WaitReason.NO_PART: "has nothing in a part that is used: its title, an excerpt or a section",
    WaitReason.UNREADABLE: "has a file that cannot be read",
    WaitReason.NOT_APPROVED: "has a text that is not approved",
    WaitReason.CHANGES: "gets a new text first",
}


class Stage(enum.IntEnum):
    """How far an item is, each stage after the one before: its text, its title and address, all of its front matter."""

    TEXT = 1
    HEAD = 2
    FRONT = 3


_HEAD: Final = frozenset({"metadata.title", "metadata.slug", "metadata.url", "metadata.permalink"})
"""The values that `ref` reads as the title or the address of a text."""
_FIXED: Final = frozenset({"id", "path"})
_READ_AT: Final = {"title": Stage.HEAD, "url": Stage.HEAD, "metadata": Stage.FRONT, "": Stage.FRONT}


def stage_of(name: str) -> Stage:
    """The stage at which a value is written, by its name: `inputs.topic`, `output`, `metadata.title`."""
    if not name.startswith("metadata."):
        return Stage.TEXT
    return Stage.HEAD if ".".join(name.split(".")[:2]) in _HEAD else Stage.FRONT


class Reading(Struct, frozen=True, gc=False):
    """One call that reads a text: of which item, which part (empty: any), and whether only an approved one."""

    id: ItemId
    part: str = ""
    approved: bool = False
    listed: bool = False
    """It is one of all items with a tag."""

    @property
    def stage(self) -> Stage | None:
        """The stage after which what it reads stays as it is; None: it does not depend on a text."""
        return None if self.part in _FIXED else _READ_AT.get(self.part, Stage.TEXT)


class Reference(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One item whose text was asked for."""

    id: ItemId
    text: Digest = NOTHING
    """Of its title and body as they were read; empty: it has none that can be used, or a mention reads its address."""
    wait: WaitReason | None = None
    """Why it has none."""


class AcceptedTexts(Struct, frozen=True, kw_only=True):
    """Where the texts of items are: the path of each by the lock, the files, and who approved them."""

    paths: Mapping[ItemId, str] = field(default_factory=dict)
    approvals: Approvals = NO_APPROVALS
    observe: Callable[[str], Observed] = lambda path: Observed(path=path)
    """The file at one of these paths."""
    read: Callable[[str], str] = lambda _path: ""
    """The text of a file that can be used; it reads the disk, so ask only when needed."""
