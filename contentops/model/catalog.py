"""What a server offers: templates with their inputs, style profiles, verticals."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from contentops.model.names import Json


class TemplateInput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input a template takes. `kind`: text, textarea, number, select, multiselect, checkbox, list or any."""

    name: str
    kind: str = "any"
    required: bool = False
    default: Json = None
    """What the server fills in; None: nothing."""
    options: tuple[Json, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names that stand for this input."""
    description: str = ""


class Template(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A kind of content the API offers. `inputs` are sorted by name."""

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    manner: str = ""
    """The start of a digest over what the server shows of how its texts are written; empty where it shows nothing."""
    inputs: tuple[TemplateInput, ...] = ()
    inputs_known: bool = True
    """Whether the server shows its inputs; if not, none is checked."""


class CatalogEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A style profile or a vertical. `tone` is a style's; `manner` is as in `Template`."""

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    tone: str = ""
    manner: str = ""


class Catalog(Struct, frozen=True, kw_only=True):
    """What manifests are checked against. `verticals` is None where they are not known."""

    templates: Mapping[str, Template]
    styles: frozenset[str]
    verticals: frozenset[str] | None = None


class CatalogSnapshot(Struct, frozen=True, kw_only=True):
    """Everything one server offers, by slug. `verticals` is None where the server does not show them."""

    templates: Mapping[str, Template] = field(default_factory=dict)
    styles: Mapping[str, CatalogEntry] = field(default_factory=dict)
    verticals: Mapping[str, CatalogEntry] | None = None

    def checked(self, *, verticals: bool = True) -> Catalog:
        """What manifests are checked against; without `verticals`, any is taken."""
        known = frozenset(self.verticals) if verticals and self.verticals is not None else None
        return Catalog(templates=self.templates, styles=frozenset(self.styles), verticals=known)
