"""What the manifests declare, and the catalog it is held against."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field

from contentops.digest import Digest, digest_json
from contentops.errors import Diagnostic, Location
from contentops.model.names import ItemId, Json

CREDITS: Mapping[str, int] = MappingProxyType({"quick": 1, "standard": 4, "premium": 5})
"""Credits per generation by mode (the vendor's page on usage and limits)."""


class OnEdit(enum.StrEnum):
    """What to do when the spec of a file edited by hand changes."""

    BLOCK = "block"
    KEEP = "keep"
    OVERWRITE = "overwrite"


class Request(Struct, frozen=True, kw_only=True):
    """Exactly what shapes a text: the rendered request, independent of dialect."""

    template: str
    style: str
    inputs: Mapping[str, Json]
    mode: str = "standard"
    vertical: str | None = None
    brand_voice: str | None = None
    revision: int | str | None = None

    def as_json(self) -> dict[str, Json]:
        """The canonical mapping: mode always present, absent optionals left out."""
        found: dict[str, Json] = {
            "template": self.template,
            "style": self.style,
            "mode": self.mode,
            "inputs": dict(self.inputs),
        }
        optional = {"vertical": self.vertical, "brand_voice": self.brand_voice, "revision": self.revision}
        found.update({key: value for key, value in optional.items() if value is not None})
        return found

    @property
    def digest(self) -> Digest:
        """The fingerprint that decides whether money is spent."""
        return digest_json(self.as_json())

    @property
    def credits(self) -> int:
        """The price of one submit."""
        return CREDITS[self.mode]


class Origin(Struct, frozen=True, kw_only=True):
    """Where a value of a spec was written, and which variables it uses.

    `layer` is one of: item, environment, manifest, project, data, built-in, command line.
    """

    layer: str
    location: Location | None = None
    variables: tuple[str, ...] = ()


class Spec(Struct, frozen=True, kw_only=True):
    """An item after rendering: what will be sent, and where the result goes."""

    id: ItemId
    request: Request
    digest: Digest
    output: str
    """Path relative to the project root, with forward slashes."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    on_edit: OnEdit = OnEdit.BLOCK
    protected: bool = False
    save: bool = True
    location: Location | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By field: `template`, `style`, `mode`, `inputs.topic`, `output`, `metadata.tags`, ..."""
    variables: Mapping[str, Origin] = field(default_factory=dict)
    """Every variable the item's fields use, by name (`year`, `each.city`), and where its value was written."""
    used: Mapping[str, str] = field(default_factory=dict)
    """The same names, each with the first 12 digits of its value's digest."""


class Moved(Struct, frozen=True, kw_only=True):
    """A person's word that an item changed its id."""

    old: ItemId
    new: ItemId
    location: Location | None = None


class Desired(Struct, frozen=True, kw_only=True):
    """Everything the manifests declare. `specs` are sorted by id; `findings` hold only warnings and notes."""

    specs: tuple[Spec, ...] = ()
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    manifests: tuple[str, ...] = ()
    """The manifest files that were read, sorted."""
    inputs: tuple[str, ...] = ()
    """Every file that shaped the specs: manifests and data files; outputs may not land on them."""
