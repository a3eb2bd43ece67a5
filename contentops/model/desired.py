"""Defines the settings of a project, the items that it declares, and the catalog of a server."""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from contentops.digest import NOTHING, Digest, digest_json
from contentops.errors import Diagnostic, Location
from contentops.model.approval import NO_APPROVAL, NO_APPROVALS, ApprovalRule, Approvals, Disclosure
from contentops.model.records import ItemId, Json, Observed
from contentops.model.settings import NO_BUDGET, NO_CHECKS, ApiSettings, Budget, Checks, Guards, ReviewSettings
from contentops.pricing import Price, price_of_request
from contentops.tokens import TokenPrice

# ---- References of an item to the texts of others: what was read, why a text cannot be read yet, and what follows.

READERS: Final = frozenset({"ref", "texts", "rows"})
"""The template functions that read other texts or rows. Another value makes a text stale, but changes no manifest."""
PARTS: Final = ("id", "title", "url", "path", "body", "excerpt", "section", "headings", "metadata")
"""The parts of another item that a template may read."""


class OnSourceChange(enum.StrEnum):
    """Says what happens to an item if only the texts that it uses have changed."""

    NOTE = "note"
    """Keep its text, and say in plan and status that it is stale."""
    REGENERATE = "regenerate"
    BLOCK = "block"
    KEEP = "keep"
    """Record its text as made from the present words of its sources. Only a person chooses this, for one apply."""


class WaitReason(enum.StrEnum):
    """The reason why the text of another item cannot be used yet."""

    NO_TEXT = "no-text"
    EMPTY = "empty"
    NO_PART = "no-part"
    """It has a text but no title, and the title is used."""
    UNREADABLE = "unreadable"
    NOT_APPROVED = "not-approved"
    CHANGES = "changes"
    """This plan changes it, or will change it once a person has decided how."""

    @property
    def words(self) -> str:
        """Return in words why another item's text cannot be used yet, such as `has no text yet`."""
        return _WORDS[self]


_WORDS = {
    WaitReason.NO_TEXT: "has no text yet",
    WaitReason.EMPTY: "has an empty text",
    WaitReason.NO_PART: "has no title, which is used",
    WaitReason.UNREADABLE: "has a file that cannot be read",
    WaitReason.NOT_APPROVED: "has a text that is not approved",
    WaitReason.CHANGES: "is to change first",
}


class Stage(enum.IntEnum):
    """The stages of an item: first its text is final, then title and address, then the other front matter."""

    TEXT = 1
    HEAD = 2
    FRONT = 3


_HEAD: Final = frozenset({"metadata.title", "metadata.slug", "metadata.url", "metadata.permalink"})
"""The values that `ref` reads as the title or the address of a text."""
_FIXED: Final = frozenset({"id", "path"})
_READ_AT: Final = {"title": Stage.HEAD, "url": Stage.HEAD, "metadata": Stage.FRONT, "": Stage.FRONT}


def stage_of(name: str) -> Stage:
    """Return the stage in which a field becomes final. A `name` is, for example, `inputs.topic`."""
    if not name.startswith("metadata."):
        return Stage.TEXT
    return Stage.HEAD if ".".join(name.split(".")[:2]) in _HEAD else Stage.FRONT


class Reading(Struct, frozen=True, gc=False):
    """A call in a template that reads the text or a field of another item. An empty `part` stands for any of these."""

    id: ItemId
    part: str = ""
    approved: bool = False
    listed: bool = False
    """The call reads all items with a tag, and this is one of them."""

    @property
    def stage(self) -> Stage | None:
        """Return the stage after which the field that is read stays the same.

        None means that a new text does not change the field at all.
        """
        return None if self.part in _FIXED else _READ_AT.get(self.part, Stage.TEXT)


class Reference(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A source: an item whose text is used by the templates of another item."""

    id: Annotated[ItemId, Meta(description="The item.")]
    text: Annotated[
        Digest, Meta(description="Digest of its title and body as they were read. Absent: none is read.")
    ] = NOTHING
    wait: Annotated[
        WaitReason | None,
        Meta(description="Why its text cannot be used yet; `changes`: this plan replaces it. Absent: it can be used."),
    ] = None


class AcceptedTexts(Struct, frozen=True, kw_only=True):
    """The texts that templates can use. Lock, files and approvals decide which texts these are."""

    paths: Mapping[ItemId, str] = field(default_factory=dict)
    approvals: Approvals = NO_APPROVALS
    observe: Callable[[str], Observed] = lambda path: Observed(path=path)
    """The file at one of these paths."""
    read: Callable[[str], str] = lambda _path: ""
    """The text of a file that can be used; it reads the disk, so ask only when needed."""


# ---- What the project declares.

PROJECT_FILE = "contentops.yaml"
"""The file that marks the project root."""
NO_ENVIRONMENT = "''"
"""The value of `--env`, as typed, for no environment, where the settings name a default one."""
BASE = "default"
"""The name of the settings without an environment, unless an environment has this name."""


class Project(Struct, frozen=True, kw_only=True):
    """The settings of `contentops.yaml` for one environment.

    `defaults`, `vars` and `output` hold the project's own values; `environment_*` those of the chosen environment,
    which rank above a manifest's; `cli_vars` those of `--var`, which rank above all. `environment` may be empty.
    Values keep their positions (see `yaml.positions`).
    """

    name: str
    root: str
    """Absolute path of the folder that holds `contentops.yaml`."""
    environment: str = ""
    manifests: tuple[str, ...] = ("content/**/*.yaml",)
    output: str = "out/{{ item.id }}.md"
    environment_output: str | None = None
    macros: str = ""
    """The file of macros that all templates know, relative to `root`, or empty."""
    api: ApiSettings = field(default_factory=ApiSettings)
    ledger: str = ""
    """The address of the shared PostgreSQL ledger, or empty."""
    budget: Budget = NO_BUDGET
    guards: Guards = field(default_factory=Guards)
    price: TokenPrice | None = None
    """The price of a model's tokens, or None if it is not stated."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    environment_defaults: Mapping[str, Json] = field(default_factory=dict)
    vars: Mapping[str, Json] = field(default_factory=dict)
    environment_vars: Mapping[str, Json] = field(default_factory=dict)
    cli_vars: Mapping[str, Json] = field(default_factory=dict)
    promote_from: str | None = None
    """The environment from which texts are promoted, or None. It is empty for the settings without an environment."""
    provenance: bool = True
    """Whether outputs carry the `contentops` block in their front matter."""
    preset: str = ""
    """Front matter preset, by its name in `documents.preset.PRESETS`, or empty."""
    redirects: bool = True
    """Whether an output that moves names its old address in its front matter, where the preset has a key for that."""
    review: ReviewSettings = field(default_factory=ReviewSettings)
    editor: str = ""
    """Who has editorial responsibility for its texts, or empty."""
    disclosure: Disclosure | None = None
    """Whether and how outputs say in their front matter that a text was generated."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The whole parsed file with positions, for origins and messages."""
    text: str = ""
    """The text of the file, for the excerpts of findings."""
    beside_default: bool = False
    """Whether no environment was chosen although the settings name a default one."""
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def option(self) -> str:
        """Return the value of `--env` for commands in this environment, or an empty text if they do not need it."""
        return NO_ENVIRONMENT if self.beside_default else self.environment


class TemplateInput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input of a template. `kind`: text, textarea, number, select, multiselect, checkbox, list or any."""

    name: str
    kind: str = "any"
    required: bool = False
    default: Json = None
    """The value that the server fills in, or None."""
    options: tuple[Json, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names of this input."""
    description: str = ""


class Template(Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """A template of the API, which defines a kind of content. `inputs` are sorted by name."""

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    manner: str = ""
    """The start of a digest of what the server shows about how it writes texts. It is empty if it shows nothing."""
    inputs: tuple[TemplateInput, ...] = ()
    inputs_known: bool = True
    """Whether the server shows its inputs. If not, no input is checked."""

    @functools.cached_property
    def by_name(self) -> Mapping[str, TemplateInput]:
        """Return the inputs of the template by name. An input with aliases has an entry for each of its names."""
        return {name: entry for entry in self.inputs for name in (entry.name, *entry.aliases)}


class CatalogEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the catalog: a style profile, a vertical or a brand voice.

    A vertical has no `tone`. `manner` is as in `Template`.
    """

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    tone: str = ""
    manner: str = ""


class Catalog(Struct, frozen=True, kw_only=True):
    """The catalog entries of one server, by their slugs. `verticals` and `brand_voices` are None if it hides them."""

    templates: Mapping[str, Template] = field(default_factory=dict)
    styles: Mapping[str, CatalogEntry] = field(default_factory=dict)
    verticals: Mapping[str, CatalogEntry] | None = None
    brand_voices: Mapping[str, CatalogEntry] | None = None
    takes_any_vertical: bool = False
    """Whether the server also takes verticals that it does not list."""


class OnEdit(enum.StrEnum):
    """Says what happens to a file that a person edited, if its item needs a new text."""

    BLOCK = "block"
    KEEP = "keep"
    MERGE = "merge"
    OVERWRITE = "overwrite"


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """The request for a text, in which all templates are rendered.

    It has all values that shape the text, and is the same in every dialect.

    Digest, lock, submits, templates, `adopt` and `import` use its fields. A new field is None by default, so that the
    digests of items without it stay the same.
    """

    template: str
    """Empty for a protected item that is never generated."""
    style: str
    vertical: str | None = None
    brand_voice: str | None = None
    mode: str = "standard"
    inputs: Mapping[str, Json]
    revision: int | str | None = None

    def as_json(self) -> dict[str, Json]:
        """Return the request as a JSON object in its canonical form. Fields that are None are left out."""
        fields = zip(REQUEST_FIELDS, _values_of(self), strict=True)
        return {name: value for name, value in fields if value is not None} | {"inputs": dict(self.inputs)}

    @property
    def digest(self) -> Digest:
        """Return the digest of the request. If it changes, a new text must be paid for."""
        return digest_json(self.as_json())

    def price(self, section: str = "") -> Price:
        """Return the price of generating the whole text, or one section, once."""
        return price_of_request(self.template, self.mode, self.inputs, is_section=bool(section))


REQUEST_FIELDS: Final = Request.__struct_fields__
"""The item keys that shape a text, in the order they are written."""
_values_of: Final = operator.attrgetter(*REQUEST_FIELDS)


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """The location where a value of an item was written, and the variables that the value uses.

    `layer` is one of: item, environment, manifest, project, data, built-in, command line.
    """

    layer: str
    location: Location | None = None
    variables: tuple[str, ...] = ()


class Spec(Struct, frozen=True, kw_only=True, gc=False):
    """A declared item after rendering, with the request to send and the path of its file."""

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
    checks: Checks = NO_CHECKS
    names: tuple[str, ...] = ()
    """The values of its row that `checks.similar` masks. There are none without that check."""
    approval: ApprovalRule = NO_APPROVAL
    on_source_change: OnSourceChange = OnSourceChange.NOTE
    publish_on: str = ""
    """The day on which it is due, such as `2026-12-01`, or empty. It only decides what `due<=` selects."""
    references: tuple[Reference, ...] = ()
    """The items whose texts its own text is made from, sorted by id. Until each has a text, the request is unknown."""
    mentions: tuple[Reference, ...] = ()
    """The items whose texts its metadata uses; no text waits for them. Sorted by id."""
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    """The parts of other items that its values read, by the name of the value, such as `inputs.topic` or `output`."""
    open_metadata: tuple[str, ...] = ()
    """The keys that `metadata` lacks until the items that they use have texts."""
    frame: Digest = NOTHING
    """The digest of the request without the words of other texts and rows. It is empty if the request uses none."""
    earlier_frame: Digest = NOTHING
    """The frame with the ids that its sources had before `moved`."""
    earlier_ids: Mapping[ItemId, ItemId] = field(default_factory=dict)
    """The ids that its sources had before `moved`, by their present ids."""
    trouble: tuple[Diagnostic, ...] = ()
    """Errors in its request that come from the texts that it is made from."""
    location: Location | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By field: `template`, `style`, `mode`, `inputs.topic`, `output`, `metadata.tags`, ..."""
    variables: Mapping[str, Origin] = field(default_factory=dict)
    """Every variable the item's fields use, by name (`year`, `each.city`), and where its value was written."""
    used: Mapping[str, str] = field(default_factory=dict)
    """The same names, each with the first 12 digits of its value's digest."""

    @property
    def frames(self) -> frozenset[Digest]:
        """Return the item's frames: digests of its request without the texts of its sources.

        One is made with the present ids of its sources, one with their earlier ids. Without sources there is none.
        """
        return frozenset({self.frame, self.earlier_frame} - {NOTHING})

    @property
    def asked(self) -> dict[str, Any]:
        """Return the fields of a lock record that describe the request."""
        return {
            "digest": self.digest,
            "request": self.request.as_json(),
            "used": self.used,
            "frame": self.frame,
            "sources": {one.id: one.text for one in self.references},
        }


class Moved(Struct, frozen=True, kw_only=True):
    """A pair in `moved`: the old and the new id of an item."""

    old: ItemId
    new: ItemId
    location: Location | None = None


class Desired(Struct, frozen=True, kw_only=True):
    """Everything that the manifests declare. `specs` are sorted by id; `findings` are only warnings and notes."""

    specs: tuple[Spec, ...] = ()
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    manifests: tuple[str, ...] = ()
    """The manifest files that were read, sorted."""
    inputs: tuple[str, ...] = ()
    """The manifests and data files from which the items were made. No output may have the path of one of them."""
    again: Callable[[ItemId, AcceptedTexts], Spec] | None = None
    """Renders an item that uses other texts, with the present texts. It is None if no item uses any."""
    looked_at: tuple[str, ...] = ()
    """Every path that was read or looked for: manifests and data files, even missing ones, and searched folders."""


# ---- Which items are made from the texts of which, as `contentops graph` shows it.


class GraphItem(Struct, frozen=True, kw_only=True):
    """An item of the graph, and a sorted list of the items whose texts it uses."""

    id: ItemId
    state: str
    """As `status` shows it."""
    output: str
    sources: tuple[ItemId, ...] = ()
    mentions: tuple[ItemId, ...] = ()
    """The items whose texts only its front matter uses."""


class ItemGraph(Struct, frozen=True, kw_only=True):
    """The selected items, in the order in which their texts are made.

    The sources of an item need not be selected.
    """

    items: tuple[GraphItem, ...]
    alone: int = 0
    """The number of items that are left out because they use no text, and no item uses theirs."""
