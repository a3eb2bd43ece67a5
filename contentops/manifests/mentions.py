"""Which references of an item its text waits for, and which only its metadata uses.

The latter are mentions. A mention may be in a ring, such as two translations that link to each other: what it reads of
the other item (text, title, path, address) does not depend on a mention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field, structs

from contentops.digest import NOTHING
from contentops.documents.preset import NEUTRAL
from contentops.manifests.values import MISSING
from contentops.model import ItemId, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from contentops.manifests.item_fields import Unrendered
    from contentops.model import Json

_ADDRESS: Final = frozenset({"id", "path", "url"})
"""The parts of a text that a new text of the same item leaves as they are."""
_READ_ELSEWHERE: Final = frozenset({"title", "slug", "url", "permalink", *NEUTRAL})
"""The keys of metadata that `ref` reads as the title or the address of a text, or that a preset changes."""


class FoundReferences(Struct, frozen=True, gc=False):
    """The references of an item, by the item that they name."""

    references: Mapping[ItemId, Reference]
    mentions: Mapping[ItemId, Reference] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    """The keys of metadata that mention a text that does not exist yet."""

    @property
    def waits(self) -> bool:
        """Whether the text of the item waits for another one."""
        return any(one.wait for one in self.references.values())


class RenderedAlone(Struct, frozen=True):
    """A value that was rendered by itself; MISSING where it has errors, which are reported."""

    value: Any
    references: Mapping[ItemId, Reference]
    parts: Mapping[ItemId, Collection[str]]
    """What it read of each item, such as `title`."""

    @property
    def reads_metadata(self) -> bool:
        """Whether it uses the metadata of other items, which may depend on their mentions."""
        return any("metadata" in parts for parts in self.parts.values())

    @property
    def mentions(self) -> dict[ItemId, Reference]:
        """Its references; without the digest of the text where only the address is used."""
        return {
            id_: structs.replace(one, text=NOTHING) if _ADDRESS.issuperset(self.parts.get(id_, ())) else one
            for id_, one in self.references.items()
        }


def loose_keys(referring: Iterable[str]) -> frozenset[str]:
    """The keys of metadata whose references may be mentions, of the names of all templates that use texts."""
    keys = (name.split(".")[1] for name in referring if name.startswith("metadata."))
    return frozenset(key for key in keys if key not in _READ_ELSEWHERE)


def key_by_key(
    others: Mapping[ItemId, Reference],
    loose: frozenset[str],
    metadata: Unrendered,
    alone: Callable[[Any, str], RenderedAlone],
) -> tuple[FoundReferences, dict[str, Json] | None]:
    """The references of all fields, and the metadata without open keys; None where it has errors.

    `others` are the references of the other fields; `alone` renders one value by itself.
    """
    references, mentions, open_ = dict(others), dict[ItemId, Reference](), []
    values: dict[str, Json] | None = dict(metadata.values)
    for key, node in metadata.open.items():
        made = alone(node, f"item.metadata.{key}")
        is_mention = key in loose and not made.reads_metadata
        if is_mention:
            mentions |= {id_: one for id_, one in made.mentions.items() if not _stays(mentions.get(id_), one)}
        else:
            references |= {id_: one for id_, one in made.references.items() if not _stays(references.get(id_), one)}
        values = None if made.value is MISSING else values
        if is_mention and any(one.wait for one in made.references.values()):
            open_.append(key)
        if values is not None:
            values[key] = made.value
            if made.value is None or key in open_:
                del values[key]
    return FoundReferences(references, mentions, tuple(open_)), values


def _stays(known: Reference | None, other: Reference) -> bool:
    """Whether a reference says more than another one to the same item: it waits, or it is the one to the text."""
    return known is not None and (known.wait is not None or (other.wait is None and other.text == NOTHING))
