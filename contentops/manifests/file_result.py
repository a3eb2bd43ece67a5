"""What one manifest file declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Diagnostic, Location
    from contentops.manifests.items import Referring
    from contentops.model import ItemId, Moved, Spec


class FileResult(Struct, frozen=True, kw_only=True):
    """Everything that one manifest file declares, rendered and checked."""

    path: str
    specs: tuple[Spec, ...] = ()
    claims: tuple[tuple[str, Location], ...] = ()
    """Ids and locations of items with errors."""
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    used: frozenset[str] = frozenset()
    """The variables its items use."""
    data: frozenset[str] = frozenset()
    """The data files it uses."""
    complete: bool = True
    """Whether every declared id is known."""
    items: int = 0
    """The number of its declarations."""
    referring: Mapping[ItemId, Referring] = field(default_factory=dict)
    """Its items that use texts of others or rows."""
