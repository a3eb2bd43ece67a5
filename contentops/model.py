"""The glossary in code: every frozen type that passes between stages.

Stages hand these on and never change them; what a word means here, it means in the command line, the docs
and the messages. Nothing here touches clock, disk, network or environment.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NewType

from contentops.digest import NOTHING, Digest, digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Diagnostic, Location

Json = Any
"""Any JSON value: None, bool, int, float, str, list or dict with string keys."""

ItemId = NewType("ItemId", str)
"""The stable identity of an item, chosen by a person."""

RequestId = NewType("RequestId", str)
"""uuid5 of (lineage, environment, item id, digest, attempt): our name for one paid submit."""


# --- project -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """How to reach the server. `base_url` is `local` (the embedded server) or an URL."""

    base_url: str = "https://api.writerzroom.com/v1"
    dialect: str = "v1"
    key_env: str = "WRITERZROOM_API_KEY"
    user_env: str = "WRITERZROOM_USER_ID"
    requests_per_minute: int = 10
    """At most this many requests in any 60 s; 0 means no limit."""
    max_in_flight: int = 50
    """At most this many unfinished jobs."""
    job_timeout: float = 900.0
    """Seconds after which an unfinished job is left open as late."""
    save: str = "auto"
    send_mode: bool = True

    @property
    def server(self) -> str:
        """The name records carry: scheme, host and port, or `local`."""
        from urllib.parse import urlsplit

        if self.base_url == "local":
            return "local"
        parts = urlsplit(self.base_url)
        default = {"https": 443, "http": 80}.get(parts.scheme)
        port = parts.port or default
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one apply may spend; None means no limit."""

    credits_per_apply: int | None = None
    items_per_apply: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """When a plan rewrites too much of what exists to be applied unasked."""

    max_changed_ratio: float = 0.3
    from_items: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """`contentops.yaml` for one environment: everything but the items.

    `defaults`, `vars` and `output` hold the project's own values; `environment_*` those of the chosen environment,
    which rank above a manifest's. `cli_vars` are the `--var` values, which rank above all.
    `environment` is empty where none was chosen. Values keep their positions (see `manifest.read`).
    """

    name: str
    root: str
    """Absolute path of the folder that holds `contentops.yaml`."""
    environment: str = ""
    manifests: tuple[str, ...] = ("content/**/*.yaml",)
    output: str = "out/{{ item.id }}.md"
    environment_output: str | None = None
    api: ApiSettings = field(default_factory=ApiSettings)
    budget: Budget = field(default_factory=Budget)
    guards: Guards = field(default_factory=Guards)
    defaults: Mapping[str, Json] = field(default_factory=dict)
    environment_defaults: Mapping[str, Json] = field(default_factory=dict)
    vars: Mapping[str, Json] = field(default_factory=dict)
    environment_vars: Mapping[str, Json] = field(default_factory=dict)
    cli_vars: Mapping[str, Json] = field(default_factory=dict)
    provenance: bool = True
    """Whether outputs carry the `contentops` block in their front matter."""
    preset: str = ""
    """Front matter preset (hugo, astro, docusaurus, jekyll), or empty."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The parsed file as a whole, with positions; for origins and messages."""
    text: str = ""
    """The text of the file; for the excerpts of findings."""
    warnings: tuple[Diagnostic, ...] = ()


# --- the catalog -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateInput:
    """One input a template takes. `kind`: text, textarea, number, select, multiselect, checkbox, list or any."""

    name: str
    required: bool = False
    kind: str = "any"
    options: tuple[Json, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names that stand for this input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A kind of content the API offers."""

    slug: str
    name: str = ""
    category: str = ""
    inputs: tuple[TemplateInput, ...] = ()
    inputs_known: bool = True
    """Whether the server tells its inputs; if not, none is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The templates and styles a server offers. `verticals` is None where they are not known."""

    templates: Mapping[str, Template]
    styles: frozenset[str]
    verticals: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What the catalog says of how texts are made: by slug, the start of a digest for each aspect that is known.

    Aspects are `inputs` (what a template takes) and `manner` (how it, or a style, writes).
    """

    templates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, template: str, style: str) -> dict[str, str]:
        """The aspects of both: `template.inputs`, `style.manner`, ...; those that are not known are left out."""
        said = (("template", self.templates.get(template, {})), ("style", self.styles.get(style, {})))
        return {f"{kind}.{aspect}": digest for kind, aspects in said for aspect, digest in aspects.items()}


# --- desired -----------------------------------------------------------------------------------------------

CREDITS: Mapping[str, int] = MappingProxyType({"quick": 1, "standard": 4, "premium": 5})
"""Credits per generation by mode (the vendor's page on usage and limits)."""


class OnEdit(enum.StrEnum):
    """What to do when the spec of a file edited by hand changes."""

    BLOCK = "block"
    KEEP = "keep"
    MERGE = "merge"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value of a spec was written, and which variables it uses.

    `layer` is one of: item, environment, manifest, project, data, built-in, command line.
    """

    layer: str
    location: Location | None = None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
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
    checks: Mapping[str, Json] = field(default_factory=dict)
    location: Location | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By field: `template`, `style`, `mode`, `inputs.topic`, `output`, `metadata.tags`, ..."""
    variables: Mapping[str, Origin] = field(default_factory=dict)
    """Every variable the item's fields use, by name (`year`, `each.city`), and where its value was written."""
    used: Mapping[str, str] = field(default_factory=dict)
    """The same names, each with the first 12 digits of its value's digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A person's word that an item changed its id."""

    old: ItemId
    new: ItemId
    location: Location | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything the manifests declare. `specs` are sorted by id; `findings` hold only warnings and notes."""

    specs: tuple[Spec, ...] = ()
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    manifests: tuple[str, ...] = ()
    """The manifest files that were read, sorted."""
    inputs: tuple[str, ...] = ()
    """Every file that shaped the specs: manifests and data files; outputs may not land on them."""


# --- recorded ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What the server last accepted for an item, and what it last gave back."""

    title: Digest = NOTHING
    body: Digest = NOTHING
    server_title: Digest = NOTHING
    server_body: Digest = NOTHING
    sent: Digest = NOTHING
    """Body digest of a save that was about to leave: it may have arrived though no answer is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the lock: what contentops knows it made for one item."""

    id: ItemId
    digest: Digest
    request: Mapping[str, Json]
    server: str
    dialect: str
    output: str
    title: str = ""
    """As last written."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """As last written."""
    generated: Digest = NOTHING
    """Body digest of the last text a job made for this item; empty if adopted."""
    saved: Saved | None = None
    content_id: str = ""
    superseded: tuple[str, ...] = ()
    """Content ids this item had before and that still exist on the server."""
    job_id: str = ""
    request_id: RequestId = RequestId("")
    attempt: int = 0
    plan_id: str = ""
    credits: int = 0
    """Credits of the last submit."""
    generated_at: str = ""
    saved_at: str = ""
    protected: bool = False
    used: Mapping[str, str] = field(default_factory=dict)
    """Variables the request used and the start of their values' digests; tells a cause from a coincidence."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Template and style as the catalog had them when this text was submitted: `Definitions.of`; empty: not known."""
    moved_from: str = ""
    """The id this record had before a `moved` pair renamed it, so that the pair is not applied twice."""
    rev: int = 0
    """Counts the changes of this record; the higher one wins a merge."""


class JobState(enum.StrEnum):
    """How far an open entry is known to have come."""

    SUBMITTING = "submitting"
    RUNNING = "running"
    UNKNOWN = "unknown"
    PAID = "paid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEntry:
    """One submit whose result no record carries yet."""

    request_id: RequestId
    item: ItemId
    digest: Digest
    attempt: int
    state: JobState
    server: str
    dialect: str
    credits: int
    job_id: str = ""
    plan_id: str = ""
    submitted_at: str = ""
    title: str = ""
    """Of a paid text."""
    body: Digest = NOTHING
    """Body digest of a paid text."""
    generated_at: str = ""
    """Of a paid text."""
    section: str = ""
    """The heading of the one section it writes anew, or empty."""
    content_id: str = ""
    """Named by the server with a paid text."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Template and style as the catalog had them at the submit: `Definitions.of`; empty: not known."""
    error: str = ""
    """The server's words, where it failed or is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Lock and journal folded into one: records by id, open entries by request id."""

    lineage: str
    records: Mapping[ItemId, Record] = field(default_factory=dict)
    entries: Mapping[RequestId, OpenEntry] = field(default_factory=dict)


# --- observed ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The file at a path as it is on disk now. A file that is not there has `file` empty."""

    path: str
    file: Digest = NOTHING
    """Digest of the raw bytes: the precondition of a write."""
    title: str = ""
    body: Digest = NOTHING
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter without the `contentops` block."""
    problem: str = ""
    """Why the file cannot be used (not UTF-8, broken front matter, an unresolved merge, not a file), or empty.

    It names the path and says what to do."""
    owner: str = ""
    """The item id its provenance block names, or empty."""
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """The `contentops` block of its front matter as it stands."""

    @property
    def exists(self) -> bool:
        """Whether something is at the path."""
        return bool(self.file or self.problem)


# --- plan --------------------------------------------------------------------------------------------------


class Action(enum.StrEnum):
    """What a change is, in one word."""

    CREATE = "create"
    REGENERATE = "regenerate"
    OVERWRITE = "overwrite"
    MERGE = "merge"
    KEEP = "keep"
    FINISH = "finish"
    RESOLVE = "resolve"
    RESTORE = "restore"
    MOVE = "move"
    RENAME = "rename"
    UPDATE = "update"
    SAVE = "save"
    DRAIN = "drain"
    REMOVE = "remove"
    BLOCKED = "blocked"
    NONE = "none"


class Step(enum.StrEnum):
    """One thing the executor does; the plan lists them in order."""

    DRAIN = "drain"
    """Poll an open job of another digest, or of a gone item, into the cache."""
    LOOKUP = "look up"
    """Find out what became of a submit whose answer was lost."""
    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"
    """Bring a text that exists already: from the cache, the job, or the server's content."""
    MOVE = "move"
    WRITE = "write"
    """Write title, metadata and body."""
    UPDATE = "update"
    """Write changed front matter keys into the file as it is."""
    SAVE = "save"
    REMOVE = "remove"
    """Remove an orphan's file and record."""
    RECORD = "record"
    """Only the record changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: a kebab-case kind, the field it is about, the values before and after, and the shared cause."""

    kind: str
    field: str = ""
    before: Json = None
    after: Json = None
    cause: str = ""
    """Such as: var `year` in contentops.yaml:12:9."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One item's difference and the steps that remain, in order.

    `spec` is None for an orphan, `record` None for a new item. `entry` is the open entry that answers the spec,
    `drains` the others. `target` is the file that will be written, `source` the recorded one if it differs.
    """

    id: ItemId
    action: Action
    steps: tuple[Step, ...] = ()
    reasons: tuple[Reason, ...] = ()
    spec: Spec | None = None
    record: Record | None = None
    entry: OpenEntry | None = None
    drains: tuple[OpenEntry, ...] = ()
    attempt: int = 1
    """The attempt number of the submit, if there is one."""
    target: str = ""
    source: str = ""
    expected: Digest = NOTHING
    """Digest of the file at `source` (or `target`) that the plan saw; empty: no file."""
    body: Digest = NOTHING
    """Body digest of that file."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter keys to write in an update; a value of None removes the key."""
    title: str | None = None
    """The title to write, where the manifest states one."""
    renamed_from: ItemId | None = None
    section: str = ""
    """The heading of the one section to generate anew, or empty: the whole text."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Template and style as the catalog has them, where the change submits or accepts a text: `Definitions.of`."""
    credits: int = 0
    hint: str = ""
    blocked: str = ""
    """The kebab-case reason the item is held back, or empty."""

    @property
    def submits(self) -> int:
        """How many generations this change pays for."""
        return self.steps.count(Step.SUBMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something worth knowing that is no change: an orphan, a held-back item."""

    kind: str
    message: str
    id: ItemId | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A guard that would refuse this plan: its numbers, and the flag that overrides it."""

    guard: str
    message: str
    flag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The full ordered list of changes, not yet done. Same inputs, same plan, same bytes."""

    project: str
    environment: str
    server: str
    lineage: str
    changes: tuple[Change, ...] = ()
    """Sorted by id, without items that need nothing."""
    notes: tuple[Note, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unchanged: int = 0
    findings: tuple[Diagnostic, ...] = ()
    id: str = ""
    """Digest of the changes: names the plan in records."""

    @property
    def credits(self) -> int:
        """What applying it costs."""
        return sum(change.credits for change in self.changes)

    @property
    def submits(self) -> int:
        """How many generations it pays for."""
        return sum(change.submits for change in self.changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing held."""
        return not self.changes


# --- run ---------------------------------------------------------------------------------------------------


class Result(enum.StrEnum):
    """How one item ended in a run."""

    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    LATE = "late"
    """The job still runs on the server; the next apply polls it."""
    PENDING = "pending"
    """Not finished, as the run stopped: not reached, or its job still runs and the next apply polls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One item's end in a run."""

    id: ItemId
    action: Action
    result: Result
    steps: tuple[Step, ...] = ()
    """The steps that were carried out."""
    credits: int = 0
    """Spent on it in this run."""
    output: str = ""
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One apply: what happened, not what was hoped."""

    id: str
    plan_id: str
    environment: str
    server: str
    started_at: str
    ended_at: str = ""
    outcomes: tuple[Outcome, ...] = ()
    requests: int = 0
    stopped: str = ""
    """Why the run ended early, or empty.

    One of: interrupted, deadline, credits, throttled, unauthorized, first-contact, refused-submits.
    """
    message: str = ""
    """What stopped it, in words."""
    hint: str = ""

    def count(self, result: Result) -> int:
        """How many items ended like this."""
        return sum(outcome.result is result for outcome in self.outcomes)

    @property
    def credits(self) -> int:
        """Credits spent by this run."""
        return sum(outcome.credits for outcome in self.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What just happened to which item; feeds the progress display and `--events`.

    `kind`: run-started, item-started, step-started, step-done, progress, waiting, item-done, note, run-done.
    """

    kind: str
    at: str
    """ISO time, UTC."""
    item: str = ""
    step: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)
