"""The `openai` engine: real prose from any OpenAI-compatible model, written section by section.

The planner gives title and line of thought, the writer writes one section after another, the editor goes over each
(not in quick mode, twice in premium). The formatter asks no model: it puts the sections under the template's
headings, so that what the editor passed cannot be lost again.
"""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

from contentops.server.engines import Draft, EngineError, prompts
from contentops.server.engines.chat import Chat, Question, TornError, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.server.engines import Job, Report, Section

BUDGET = {"quick": 8_000, "standard": 16_000, "premium": 24_000}
"""Completion tokens of one text by mode, shared by its calls."""

_PASSES = {"quick": 0, "standard": 1, "premium": 2}
_TOKENS_PER_WORD = 1.3
_HEADROOM = 2.0
_SHORTEST = 20
"""Words asked for at least."""
_TRIES = 3
"""How often a section is asked for at most, where a model says nothing, repeats itself or finds no end."""


class OpenAI:
    """Writes with the model behind `chat`. `max_tokens` is the limit of one call; 0 derives it from the mode."""

    name = "openai"

    def __init__(self, chat: Chat, *, max_tokens: int = 0) -> None:
        self._chat = chat
        self._max_tokens = max_tokens

    async def write(self, job: Job, report: Report) -> Draft:
        """A text with the template's sections. Raises EngineError."""
        parts = len(prompts.headings(job))
        length = prompts.words(job, parts)
        room = self._room(job, parts, length)
        await report("planner")
        plan = await self._plan(job, room)
        points = prompts.points(plan, parts)
        await report("writer")
        texts: list[str] = []
        for number in range(1, parts + 1):
            before, heading = "\n\n".join(texts), prompts.headings(job)[number - 1]
            task = partial(prompts.writing, job, number, points, before)
            texts.append(await self._section(job, task, length, room, heading=heading, level=2))
        if _PASSES[job.mode]:
            await report("editor")
        for at, heading in enumerate(prompts.headings(job)):
            texts[at] = await self._edited(job, texts[at], heading, 2, room)
        await report("formatter")
        return Draft(title=prompts.title(job, plan), body=prompts.assembled(job, texts))

    async def rewrite(self, job: Job, section: Section, report: Report) -> str:
        """One section anew, edited as the mode asks. Raises EngineError."""
        room = self._room(job, 1, max(prompts.words(job, 1), len(section.text.split())))
        await report("writer")
        task = partial(prompts.rewriting, job, section)
        length = max(_SHORTEST, len(section.text.split()))
        text = await self._section(job, task, length, room, heading=section.heading, level=section.level)
        if _PASSES[job.mode]:
            await report("editor")
        text = await self._edited(job, text, section.heading, section.level, room)
        await report("formatter")
        return f"{text}\n"

    def _room(self, job: Job, parts: int, length: int) -> int:
        """Tokens of one call: the mode's budget by the number of calls, but enough for the words asked for."""
        if self._max_tokens:
            return self._max_tokens
        calls = 1 + parts * (1 + _PASSES[job.mode])
        return max(BUDGET[job.mode] // calls, math.ceil(length * _TOKENS_PER_WORD * _HEADROOM))

    async def _plan(self, job: Job, room: int) -> str:
        """The plan. One that was cut off is used as far as it goes: none of it is in the text."""
        try:
            return await self._ask(job, prompts.planning(job), room, 0.3)
        except TornError as torn:
            return torn.text

    async def _section(
        self, job: Job, task: Callable[[int], str], length: int, room: int, *, heading: str, level: int
    ) -> str:
        """A section that is whole. `task` asks for it in a number of words: fewer where there was no end to it."""
        what = f"the section `{heading}`" if heading else "the text"
        failure = EngineError(f"the model wrote nothing for {what}")
        for attempt in range(_TRIES):
            try:
                answer = await self._ask(job, task(max(_SHORTEST, length >> attempt)), room, 0.7, attempt)
            except TornError as torn:
                failure = torn
                continue
            text = prompts.tidy(answer, heading, level)
            if prompts.loops(text):
                failure = EngineError(f"the model only repeats itself in {what}; try again, or use another model")
            elif text:
                return text
        raise failure

    async def _edited(self, job: Job, text: str, heading: str, level: int, room: int) -> str:
        """`text` after the passes of the editor. An edit that is torn or lost its text leaves it as it was."""
        for task in prompts.EDITS[: _PASSES[job.mode]]:
            try:
                answer = await self._ask(job, prompts.editing(job, task, text), room, 0.3)
            except TornError:
                continue
            found = prompts.tidy(answer, heading, level)
            # Less than a third of the words is a remark on the text, not the text.
            text = found if 3 * len(found.split()) >= len(text.split()) else text
        return text

    async def _ask(self, job: Job, task: str, room: int, temperature: float, attempt: int = 0) -> str:
        # A job that is taken up again after a restart asks for the same text.
        seed = int(hashlib.sha256(job.id.encode()).hexdigest()[:7], 16) + attempt
        return await self._chat.ask(
            Question(system=prompts.system(job), user=task, tokens=room, temperature=temperature, seed=seed)
        )


def from_environment(environ: Mapping[str, str], *, model: str = "", max_tokens: int = 0) -> OpenAI:
    """The engine over the endpoint the environment names (see `chat.endpoint`). Raises EngineError."""
    return OpenAI(Chat(endpoint(environ, model)), max_tokens=max_tokens)
