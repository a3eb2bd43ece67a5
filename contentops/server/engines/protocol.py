"""The interface of engines, which write the texts.

An engine reports each stage before it works on it. The runner records the stage and waits for its duration, and returns
at once for a stage that was finished before a restart, so an engine always starts from the first stage.
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
    """The text cannot be written; the message goes to the client, so it contains no secret."""


class PausedError(EngineError):
    """No prompt can be answered now: an outage, a limit, a key or an account. It says nothing about the text."""


class SpentError(EngineError):
    """The next call might exceed the token limit of one text."""


class TokenCount:
    """Adds up the tokens of a job's calls, and enforces their limit.

    One call that does not say its tokens makes their sum unknown; for the limit it counts by an estimate.
    """

    def __init__(self) -> None:
        self.used = NO_TOKENS
        """What counts for the limit: what calls have used, and what those without an answer can use at most."""
        self.limit: Tokens | None = None
        """The most tokens of all calls together; None: not known yet."""
        self._before = NO_TOKENS
        """The same before the call that began last."""
        self._sum = NO_TOKENS
        self._begun = 0
        self._known = 0

    def keep_to(self, limit: Tokens) -> None:
        """Set the token limit of all calls together; an earlier lower limit of the job stays."""
        low = self.limit or limit
        self.limit = Tokens(input=min(low.input, limit.input), output=min(low.output, limit.output))

    def resume(self, used: Tokens, tokens: Tokens | None, limit: Tokens | None = None) -> None:
        """Continue with the tokens that the job used: `used` for the limit, `tokens` for the sum (None: unknown).

        `limit`: the one that it had then.
        """
        self.used, self.limit, self._begun = used, limit, 1
        if tokens is not None:
            self._sum, self._known = tokens, 1

    def begin(self, most: Tokens = NO_TOKENS) -> None:
        """Count a call of at most `most` tokens before it is sent; its real tokens are unknown until `add`.

        Raises SpentError for a call that must not be sent.
        """
        used, limit = self.used + most, self.limit
        if limit is not None and (used.input > limit.input or used.output > limit.output):
            tokens = f"{limit.input:,} tokens read and {limit.output:,} written"
            raise SpentError(f"the model needed too many tries for one text (at most {tokens}); use another model")
        self.used, self._before = used, self.used
        self._begun += 1

    def add(self, tokens: Tokens | None, estimate: Tokens = NO_TOKENS) -> None:
        """Add the tokens of the last call; None: unknown, and the estimate counts for the limit."""
        self.used = self._before + (tokens or estimate)
        if tokens is not None:
            self._sum += tokens
            self._known += 1

    @property
    def tokens(self) -> Tokens | None:
        """Return the sum; None if it is not known or no model was called."""
        return self._sum if 0 < self._begun == self._known else None


class TextRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of a request that decide what is written; they are stored with the job and shown with its content.

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
        """Return the stated fields other than template, style, mode and inputs."""
        names = [name for name in TextRequest.__struct_fields__ if name not in {"template", "style", "mode", "inputs"}]
        return {name: value for name in names if (value := getattr(self, name))}


class WritingTask(Struct, frozen=True, kw_only=True):
    """One text to write: the request, and the catalog entries that it names."""

    id: str
    request: TextRequest
    template: Mapping[str, Any]
    style: Mapping[str, Any]
    count: TokenCount = field(default_factory=TokenCount)
    """Of the calls that this task needs."""
    answers: dict[str, str] = {}
    """What the model has answered for this text, also before a restart, by the digest of the prompt."""
    keep: Callable[[], None] | None = None
    """Keeps these answers, which are durable when it returns."""

    def keep_to(self, limit: Tokens) -> None:
        """Limit the tokens of all calls of the job, even after a restart with other settings."""
        self.count.keep_to(limit)
        if self.keep is not None:
            self.keep()

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the stages of this task, in order."""
        return QUICK_STAGES if self.request.mode == "quick" else STAGES


class SectionTask(Struct, frozen=True, kw_only=True):
    """One section to write again: its heading and text, the document around it, and the instructions."""

    heading: str
    level: int = 2
    text: str
    document: str
    instructions: str = ""


class WrittenText(Struct, frozen=True, kw_only=True):
    """A finished text: a plain title, and a Markdown body without front matter and title heading."""

    title: str
    body: str


class Engine(Protocol):
    """The interface of everything that writes texts. Both methods raise EngineError."""

    name: str
    """Its name on the command line."""
    model: str
    """The name of its model; empty: it has none."""

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """Return a new text."""
        ...

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """Return a new text for one section, without its heading line."""
        ...


CALL_SECONDS = 600.0
"""The default time limit of one answer of a model, in seconds: a large model on a small machine writes slowly."""
