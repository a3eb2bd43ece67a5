"""Who writes the texts: the protocol every engine follows.

An engine reports each stage before it works on it. The runner records the stage, lets its share of time pass and
returns at once for a stage that was finished before a restart, so an engine may always start from the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from contentops.server import EmbeddedServerError

ReportStage = Callable[[str], Awaitable[None]]
"""Says that a stage begins; its name is one of the task's `stages`."""

STAGES = ("planner", "researcher", "call_writer", "writer", "editor", "formatter", "seo", "publisher")
QUICK_STAGES = ("planner", "writer", "formatter")


class EngineError(EmbeddedServerError):
    """The text cannot be written; the message goes to the one who asked for it, so it holds no secret."""


class WritingTask(Struct, frozen=True, kw_only=True):
    """One text to write: the entries of the catalog it was asked with, and the inputs as they were sent."""

    id: str
    template: Mapping[str, Any]
    style: Mapping[str, Any]
    inputs: Mapping[str, Any] = {}
    mode: str = "standard"
    vertical: str | None = None
    brand_voice: str | None = None
    voice: Mapping[str, Any] = {}
    """What is known of the brand voice; empty where that is its id alone."""
    further: Mapping[str, Any] = {}
    """What else the request says, by the names of its fields."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages this task goes through, in order."""
        return QUICK_STAGES if self.mode == "quick" else STAGES


class SectionTask(Struct, frozen=True, kw_only=True):
    """One section to write again: its heading and text, the document around it, and what to change."""

    heading: str
    level: int = 2
    text: str
    document: str
    instructions: str = ""


class WrittenText(Struct, frozen=True, kw_only=True):
    """A finished text: plain title, Markdown body without front matter and without the title as a heading."""

    title: str
    body: str


class Engine(Protocol):
    """Writes texts. Both methods raise EngineError where they cannot."""

    @property
    def name(self) -> str:
        """The word for it on the command line."""
        ...

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """A new text."""
        ...

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """New text for one section, without its heading line."""
        ...


CALL_SECONDS = 600.0
"""How long one answer of a model may take where nothing else is set: a large one on a small machine writes slowly."""
