"""Defines the settings of the server, the checks of texts, and the limits of a project."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from contentops.errors import Diagnostic
from contentops.model.records import FormatVersion, ItemId, RequestId
from contentops.tokens import Amount, Currency

_Number = Annotated[int, Meta(ge=0)]

# ---- The settings of the server that generates the texts.


_VARIABLE: Final = "^[A-Z_][A-Z0-9_]*$"
_ENVIRONMENT: Final = "it names an environment variable, in capitals, digits and `_`"


def _variable(description: str, secret: str, *examples: str) -> Meta:
    """Return the schema of a setting that names an environment variable."""
    also = {"writeOnly": True, "errorMessage": f"{_ENVIRONMENT}; the {secret} itself stays out of files"}
    shown = list(examples) or None
    return Meta(description=description, pattern=_VARIABLE, max_length=100, examples=shown, extra_json_schema=also)


def _one_of(description: str, *words: str) -> Meta:
    """Return the schema of a setting whose value must be one of `words`."""
    return Meta(description=description, extra_json_schema={"enum": list(words)})


def _time(description: str, default: str, *examples: str | int) -> Meta:
    """Return the schema of a duration. The duration is read as seconds."""
    forms = [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?[hms])+$"},
    ]
    hint = "write a time such as `15m`, `90s`, `2h`, or seconds"
    also = {"anyOf": forms, "default": default, "errorMessage": hint}
    return Meta(description=description, examples=list(examples) or None, extra_json_schema=also)


class ApiSettings(Struct, frozen=True, kw_only=True):
    """The settings of `api`. `make docs` writes their schema from this. Times are in seconds here."""

    base_url: Annotated[
        str,
        Meta(
            description="An https URL, or `local` for the bundled server.",
            min_length=1,
            examples=["https://api.writerzroom.com/v1", "local"],
        ),
    ] = "https://api.writerzroom.com/v1"
    dialect: Annotated[
        str,
        _one_of(
            "The dialect of the API. `auto` detects the dialect with free requests, once per server.",
            *("v1", "v1-2026-04", "sdk", "auto"),
        ),
    ] = "auto"
    key_env: Annotated[str, _variable("The environment variable with the API key.", "key", "WRITERZROOM_API_KEY")] = (
        "WRITERZROOM_API_KEY"
    )
    user_env: Annotated[str, _variable("The environment variable with the user id.", "key", "WRITERZROOM_USER_ID")] = (
        "WRITERZROOM_USER_ID"
    )
    account: Annotated[
        str,
        Meta(
            description="The name of the account. With a `ledger`, all keys with the same account name share one "
            "request limit; otherwise each key has its own limit.",
            pattern="^[A-Za-z0-9][A-Za-z0-9._@-]*$",
            max_length=100,
            examples=["marketing"],
        ),
    ] = ""
    requests_per_minute: Annotated[
        int, Meta(description="Maximum requests in any 60 seconds; 0 means no limit.", ge=0)
    ] = 10
    max_in_flight: Annotated[
        int, Meta(description="Maximum unfinished jobs at a time. With a `model` the default is 4.", ge=1)
    ] = 50
    job_timeout: Annotated[
        float,
        _time(
            "How long to wait for an unfinished job. With a `model` the default is `2h`.",
            "15m",
            *("15m", "90s", "2h", 600),
        ),
    ] = 900.0
    save: Annotated[str, _one_of("Save finished texts to the server's content library.", "auto", "off")] = "auto"
    send_mode: Annotated[bool, Meta(description="Whether requests contain the mode.")] = True
    engine: Annotated[
        str,
        _one_of(
            "How the bundled server writes texts: `outline` makes a draft outline, `openai` calls the `model`. "
            "Changing the engine generates no new texts.",
            *("outline", "openai"),
        ),
    ] = "outline"
    model: Annotated[
        str,
        Meta(
            description="The model of the engine `openai`. Write the name that the model's server uses. Changing the "
            "model generates no new texts.",
            min_length=1,
            max_length=200,
            examples=["llama3.2"],
        ),
    ] = ""
    model_url_env: Annotated[
        str, _variable("The environment variable with the address of the model's server.", "value")
    ] = "OPENAI_BASE_URL"
    model_key_env: Annotated[
        str, _variable("The environment variable with the key of the model's server.", "value")
    ] = "OPENAI_API_KEY"
    passes: Annotated[
        str,
        _one_of(
            "How the model writes a text. `one` makes one call, which suits a small model. `staged` makes "
            "a plan, writes the sections and edits them.",
            *("one", "staged"),
        ),
    ] = "staged"
    max_tokens: Annotated[
        int,
        Meta(description="Maximum tokens of one answer of the model. Mode and length decide the default.", ge=1),
    ] = 0
    context: Annotated[
        int,
        Meta(
            description="The context of the model: the maximum tokens of a prompt and its answer together. The plan "
            "blocks an item whose inputs do not fit. Without this setting, inputs are not checked. Some servers, such "
            "as Ollama, silently cut longer prompts.",
            ge=1,
        ),
    ] = 0
    call_timeout: Annotated[float, _time("How long to wait for one answer of the model.", "10m")] = 600.0

    @property
    def has_model(self) -> bool:
        """Return whether the bundled server writes the texts with a model."""
        return self.base_url == "local" and self.engine == "openai"

    @property
    def server(self) -> str:
        """Return the server's name in records: scheme, host and port, or `local`."""
        from urllib.parse import urlsplit

        if self.base_url == "local":
            return "local"
        parts = urlsplit(self.base_url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


# ---- The checks of an item, and what they find in its text.


class Level(enum.StrEnum):
    """The effect of a failed check: a warning, or a block that keeps the text from being written and saved."""

    WARN = "warn"
    BLOCK = "block"


class WordLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The minimum and maximum number of words of a text's body. None means that there is no limit."""

    min: int | None = None
    max: int | None = None
    level: Level = Level.BLOCK


class Listed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's list of values for one check: texts, expressions, headings or commands."""

    values: tuple[str, ...]
    level: Level = Level.BLOCK


class FrontMatterSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON Schema for front matter: its path, and its content in canonical JSON."""

    path: str = field(name="schema")
    text: str
    level: Level = Level.BLOCK


class Similar(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limit on how much an item's text may have in common with another text of its group."""

    within: str = "for_each"
    """The group: the items of the same declaration (`for_each`), those with a tag (`tag:NAME`), or `all`."""
    at_most: float = 0.8
    """The highest share of word sequences that both texts may have in common, from 0 to 1."""
    level: Level = Level.BLOCK


class Grounded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The setting that limits the numbers and web addresses in a text to those in its brief and in `allow`."""

    numbers: bool = True
    urls: bool = True
    allow: tuple[str, ...] = ()
    level: Level = Level.BLOCK
    brief: str = ""
    """The texts and numbers of the item's inputs, metadata and data row, each on a line."""


def level_of(check: object) -> Level | None:
    """Return the level of a check, such as `block`, from its setting. Return None if the setting has no level."""
    level = getattr(check, "level", check)
    return level if isinstance(level, Level) else None


class Checks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The checks of one item. A check that is not set is None. Changing them costs nothing."""

    words: WordLimits | None = None
    contains: Listed | None = None
    excludes: Listed | None = None
    matches: Listed | None = None
    not_matches: Listed | None = None
    headings: Listed | None = None
    leftovers: Level | None = None
    links: Level | None = None
    front_matter: FrontMatterSchema | None = None
    similar: Similar | None = None
    """Compares the text with other texts. Only `check` does this, because `documents.checks` sees a single text."""
    grounded: Grounded | None = None
    commands: Listed | None = None
    """Programs to run, only from the project's settings. `documents.checks` does not run them."""
    retries: int = 0
    """How often a blocked text may be paid for again."""

    @property
    def can_block(self) -> bool:
        """Return whether one of the item's checks can block a new text."""
        names = (name for name in self.__struct_fields__ if name != "similar")
        return any(level_of(getattr(self, name)) is Level.BLOCK for name in names)


NO_CHECKS = Checks()


class Finding(Struct, frozen=True, kw_only=True):
    """A finding of a check in a text."""

    check: Annotated[str, Meta(description="The key under `checks`.")]
    level: Annotated[Level, Meta(description="Whether the text was written.")]
    message: Annotated[str, Meta(description="What was found.")]
    line: Annotated[int, Meta(ge=0, description="The line in the body; 0 means the whole text.")] = 0
    hint: Annotated[str, Meta(description="What to do, or empty.")] = ""

    @property
    def words(self) -> str:
        """Return the message of the finding, with its line in the text if the text has no file yet."""
        return f"{self.message} (line {self.line} of the text)" if self.line else self.message


class CheckedFile(Struct, frozen=True, kw_only=True):
    """An item's file, and the findings of its checks."""

    item: ItemId
    output: str
    findings: tuple[Diagnostic, ...] = ()
    """Errors for findings that block, warnings for the others."""


class Checked(Struct, frozen=True, kw_only=True):
    """The result of `contentops check`. `missing` items have no file yet, `unchecked` items have no checks."""

    files: tuple[CheckedFile, ...] = ()
    missing: int = 0
    unchecked: int = 0

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Return the findings of all files, in the order of the files."""
        return tuple(finding for file in self.files for finding in file.findings)


class CheckedCounts(Struct, frozen=True, kw_only=True):
    """The number of findings in one file."""

    item: Annotated[ItemId, Meta(description="The id of its item.")]
    output: Annotated[str, Meta(description="Relative to the project root.")]
    errors: Annotated[_Number, Meta(description="How many blocking findings the file has.")]
    warnings: Annotated[_Number, Meta(description="How many warnings the file has.")]


class Findings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Findings, in the form that commands print as JSON."""

    format_version: FormatVersion
    errors: Annotated[_Number, Meta(description="Number of errors.")]
    warnings: Annotated[_Number, Meta(description="Number of warnings.")]
    notes: Annotated[_Number, Meta(description="Number of notes.")]
    diagnostics: tuple[Diagnostic, ...]
    items: Annotated[_Number | None, Meta(description="Only from `validate`: how many items are declared.")] = None
    manifests: Annotated[_Number | None, Meta(description="Only from `validate`: how many manifests were read.")] = None
    checked: Annotated[
        tuple[CheckedCounts, ...] | None, Meta(description="Only from `check`: the files that were checked.")
    ] = None
    missing: Annotated[_Number | None, Meta(description="Only from `check`: how many items have no file yet.")] = None
    unchecked: Annotated[_Number | None, Meta(description="Only from `check`: how many items have no checks.")] = None


# ---- The limits of a project: what it may spend, and how much one apply may change.


def _limit(description: str, kind: str = "integer") -> Meta:
    """Return the schema of a limit of the budget. The value null removes the limit."""
    most = {} if kind == "integer" else {"maximum": 1_000_000_000}
    return Meta(description=description, extra_json_schema={"type": [kind, "null"], "minimum": 0, **most})


class Budget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits on the spending of one apply, or of all applies in a month. None means that there is no limit."""

    credits_per_apply: Annotated[_Number | None, _limit("Maximum credits per apply.")]
    items_per_apply: Annotated[_Number | None, _limit("Maximum generations per apply.")]
    credits_per_month: Annotated[
        _Number | None, _limit("Maximum credits per calendar month (UTC), of all environments together.")
    ] = None
    money_per_apply: Annotated[
        Amount | None, _limit("Maximum money per apply, in the currency of `price`.", "number")
    ] = None
    money_per_month: Annotated[
        Amount | None, _limit("Maximum money per calendar month (UTC), of all environments together.", "number")
    ] = None
    currency: Annotated[str, Meta(pattern="^([A-Z]{3})?$")] = ""
    """The currency of the limits in money, which is that of the token price. It is empty without such a limit."""

    @property
    def is_monthly(self) -> bool:
        """Return whether the budget limits the spending of a month. The spending of the month must be counted then."""
        return self.credits_per_month is not None or self.money_per_month is not None


NO_BUDGET = Budget(credits_per_apply=None, items_per_apply=None)


class MonthSpend(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The spending of all environments of a project in a month, as an upper limit. Unknown costs count in full.

    If answers were lost or tokens are not known, the true sum may be lower.
    """

    month: Annotated[str, Meta(description="The month (UTC), such as 2026-11.")]
    credits: Annotated[_Number, Meta(description="The credits spent, at most: unknown costs count in full.")]
    credits_unsure: Annotated[
        _Number,
        Meta(description="The part of `credits` for orders whose answer was lost; absent where all is sure."),
    ] = 0
    money: Annotated[
        Mapping[Currency, Amount],
        Meta(description="What models cost at most, by currency; absent where none has a price."),
    ] = {}
    money_unsure: Annotated[
        Mapping[Currency, Amount],
        Meta(
            description="The part of `money` for lost answers and for jobs whose tokens are not known; absent where "
            "all is sure."
        ),
    ] = {}
    ahead: Annotated[_Number, Meta(description="The number of these texts with a time after this month.")]
    gaps: Annotated[tuple[str, ...], Meta(description="Reasons why more may have been spent.")]


class CountedMonth(MonthSpend, frozen=True, kw_only=True):
    """The spending of a month. Uncertain amounts are listed by order, so that a plan does not count them twice."""

    uncertain: Mapping[RequestId, int] = {}
    """The part of `credits` for each order that runs or whose answer was lost."""
    uncertain_money: Mapping[RequestId, int] = {}
    """The part of `money` for each of these orders, in the unit of `tokens`."""


class Guards(Struct, frozen=True, kw_only=True):
    """The limits for plans. A plan is refused if it rewrites too much, or more than was reviewed."""

    max_changed_ratio: Annotated[
        float, Meta(description="Maximum share of the recorded items that an apply may change.", ge=0, le=1)
    ] = 0.3
    from_items: Annotated[
        int, Meta(description="The guard is off if the project has fewer recorded items than this number.", ge=0)
    ] = 10
    unreviewed: Annotated[
        Literal["refuse", "allow"],
        _one_of(
            "Whether `apply --reviewed` and `plan --check` allow changes that are not in the reviewed plan.",
            *("refuse", "allow"),
        ),
    ] = "refuse"


class ReviewSettings(Struct, frozen=True, kw_only=True):
    """The settings of the pages of `contentops review`."""

    preview: str = ""
    """The address of a text on this machine's preview of the site, with `{path}`, or empty."""
    notify: tuple[str, ...] = ()
    """The program, with its arguments, that gets a summary of the day after work was sent, if there is one."""
    notes_input: str = ""
    """The input that gets the notes on a text, so that it is generated again with them, or empty."""
