"""Defines the interface of engines, which write the texts.

An engine reports each stage before it works on it. The runner records the stage and waits for its duration. A stage
that was finished before a restart takes no time, so an engine always starts from the first stage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from contentops.server import EmbeddedServerError
from contentops.tokens import NO_TOKENS, Tokens

ReportStage = Callable[[str], Awaitable[None]]
"""Reports that a stage begins; its name is one of the task's `stages`."""

STAGES = ("planner", "researcher", "call_writer", "writer", "editor", "formatter", "seo", "publisher")
QUICK_STAGES = ("planner", "writer", "formatter")


class EngineError(EmbeddedServerError):
    """The engine cannot write the text. The client sees the message, so it contains no secret."""


class PausedError(EngineError):
    """The model server answers no prompt at the moment: an outage, a limit, a wrong key or an empty account."""


class SpentError(EngineError):
    """The next call of the model might exceed the token limit of one text."""


class TokenCount:
    """Adds up the tokens of a job's calls, and enforces their limit.

    If the tokens of one call are not known, the sum is not known. For the limit, that call counts by an estimate.
    """

    def __init__(self) -> None:
        self.used = NO_TOKENS
        """The tokens that count for the limit; a call without an answer counts with the most that it can use."""
        self.limit: Tokens | None = None
        """The most tokens of all calls together; None if it is not known yet."""
        self._before = NO_TOKENS
        """The value of `used` before the call that began last."""
        self._sum = NO_TOKENS
        self._begun = 0
        self._known = 0

    def keep_to(self, limit: Tokens) -> None:
        """Set the token limit of all calls of a job together. A later limit can only be lower."""
        low = self.limit or limit
        self.limit = Tokens(input=min(low.input, limit.input), output=min(low.output, limit.output))

    def resume(self, used: Tokens, tokens: Tokens | None, limit: Tokens | None = None) -> None:
        """Continue to count from the tokens that the job used before a restart.

        `used` counts for the limit. `tokens` counts for the sum; None if it is not known. `limit` is the earlier limit.
        """
        self.used, self.limit, self._begun = used, limit, 1
        if tokens is not None:
            self._sum, self._known = tokens, 1

    def begin(self, most: Tokens = NO_TOKENS) -> None:
        """Count the most tokens that a call can use, before the call is sent. `add` corrects the count later.

        Raises SpentError if the call could exceed the limit.
        """
        used, limit = self.used + most, self.limit
        if limit is not None and (used.input > limit.input or used.output > limit.output):
            tokens = f"{limit.input:,} tokens read and {limit.output:,} written"
            raise SpentError(f"the model needed too many tries for one text (at most {tokens}); use another model")
        self.used, self._before = used, self.used
        self._begun += 1

    def add(self, tokens: Tokens | None, estimate: Tokens = NO_TOKENS) -> None:
        """Add the tokens of the last call. If they are None, the estimate counts towards the limit."""
        self.used = self._before + (tokens or estimate)
        if tokens is not None:
            self._sum += tokens
            self._known += 1

    @property
    def tokens(self) -> Tokens | None:
        """Return the tokens of all calls, or None if they are not known or no model was called."""
        return self._sum if 0 < self._begun == self._known else None


class TextRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of a request that decide which text is written.

    They are stored with the job, and shown in the metadata of its content.

    `wire.NAMES` has the keys of a submit that differ from the field's name.
    """

    template: str = ""
    style: str = ""
    mode: str = "standard"
    inputs: Mapping[str, Any] = {}
    vertical: str | None = None
    brand_voice: str | None = None

    @property
    def context(self) -> dict[str, Any]:
        """Return all fields that have a value, except template, style, mode and inputs."""
        names = [name for name in TextRequest.__struct_fields__ if name not in {"template", "style", "mode", "inputs"}]
        return {name: value for name in names if (value := getattr(self, name))}


class WritingTask(Struct, frozen=True, kw_only=True):
    """The task to write one text: the request, its template and its style."""

    id: str
    request: TextRequest
    template: Mapping[str, Any]
    style: Mapping[str, Any]
    count: TokenCount = field(default_factory=TokenCount)
    """Counts the tokens of the calls for this task."""
    answers: dict[str, str] = {}
    """The model's answers for this text, also those before a restart, by the digest of the prompt."""
    keep: Callable[[], None] | None = None
    """Stores these answers durably."""

    def keep_to(self, limit: Tokens) -> None:
        """Limit the tokens of all calls of the job. A restart with other settings does not change the limit."""
        self.count.keep_to(limit)
        if self.keep is not None:
            self.keep()

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the names of the stages of this task, in order."""
        return QUICK_STAGES if self.request.mode == "quick" else STAGES


class SectionTask(Struct, frozen=True, kw_only=True):
    """The task to rewrite one section: its heading and text, the whole document, and the instructions."""

    heading: str
    level: int = 2
    text: str
    document: str
    instructions: str = ""


class WrittenText(Struct, frozen=True, kw_only=True):
    """A finished text: its plain title, and its Markdown body without front matter and title."""

    title: str
    body: str


class Engine(Protocol):
    """The interface of an engine, which writes texts. Both methods raise EngineError."""

    name: str
    """Its name on the command line."""
    model: str
    """The name of its model; empty if it has none."""

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """Write a whole new text, and return it."""
        ...

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """Write a new text for one section, and return it without its heading line."""
        ...


CALL_SECONDS = 600.0
"""The default time limit of one answer of a model, in seconds: a large model on a small machine writes slowly."""
