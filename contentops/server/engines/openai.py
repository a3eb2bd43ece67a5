"""The `openai` engine: prose from any OpenAI-compatible model, in one call for each text, or in stages.

In stages, the planner gives the title and for each section of the template a heading and a point, the writer writes one
section after the other, the editor edits each (not in quick mode, twice in premium), and the formatter joins them.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from contentops.job_limits import (
    EDITS,
    SECTION,
    SECTIONS,
    SHORTEST,
    WHOLE_TRIES,
    answer_tokens,
    calls_of,
    estimate,
    section_answer,
    section_limit,
    text_limit,
    whole_answer,
)
from contentops.server.engines.answers import assembled, no_article, size, tidy, whole
from contentops.server.engines.chat import ChatClient, Prompt, TruncatedError
from contentops.server.engines.prompts import (
    brief,
    composing,
    parts_of,
    planned,
    planning,
    rewriting,
    system,
    title,
    words,
    writing,
)
from contentops.server.engines.protocol import EngineError, SpentError, WrittenText

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.server.engines.protocol import ReportStage, SectionTask, WritingTask
    from contentops.tokens import Tokens

_EDITS = (
    (
        "Improve the wording: plain, specific sentences in the tone that was asked for, no repetition, no filler. "
        "Keep the meaning, the facts and about the length."
    ),
    (
        "Check the text against the brief: take out every name, figure, quotation and promise that the brief does not "
        "hold, and whatever says nothing. Keep the rest as it is."
    ),
)
_TRIES = 3
"""The most prompts for a section, where a model writes nothing, repeats itself or is cut off."""
_SHARE = 5
"""A whole text with less than this part of the words is no text."""
_PROBE = 16
"""Tokens of the answer to a probe; some servers refuse fewer."""
_PROBES = 2
"""The most times that a probe is sent."""


class OpenAIEngine:
    """Writes with the model behind `chat`. `max_tokens` is the limit of one call; 0 derives it from the mode.

    `passes` is `one` for a call for each text, or `staged`. `context` is the most tokens of a prompt and its answer
    together; 0: not known.
    """

    name = "openai"

    def __init__(self, chat: ChatClient, *, max_tokens: int = 0, passes: str = "staged", context: int = 0) -> None:
        self._chat = chat
        self._context = context
        self._max_tokens = max_tokens
        self._at_once = passes == "one"

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._chat.model

    async def probe(self) -> None:
        """Send the model one short prompt, and accept any answer. Raises EngineError where there is none."""
        short = Prompt(system="", user="Answer with the word yes.", tokens=_PROBE, temperature=0.0, seed=1)
        with contextlib.suppress(TruncatedError):
            await self._chat.ask(short, attempts=_PROBES)

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """A text with the template's sections. Raises EngineError."""
        number_of_parts = len(parts_of(task))
        length = words(task, number_of_parts)
        task.count.keep_to(self._limit(task))
        if self._at_once:
            return await self._whole(task, length * number_of_parts, report)
        room = answer_tokens(task.mode, calls_of(task.mode, number_of_parts), length, self._max_tokens)
        await report("planner")
        plan = await self._plan(task, room)
        parts = planned(task, plan)
        await report("writer")
        texts: list[str] = []
        for number, part in enumerate(parts, 1):
            before = "\n\n".join(texts)

            def ask(length: int, number: int = number, before: str = before) -> str:
                return writing(task, parts, number, before, length)

            texts.append(await self._section(task, ask, before, length, room, part.heading, 2))
        if EDITS[task.mode]:
            await report("editor")
        for at, part in enumerate(parts):
            texts[at] = await self._edited(task, texts[at], part.heading, 2, room)
        await report("formatter")
        return WrittenText(title=title(task, plan), body=assembled([part.heading for part in parts], texts))

    def _limit(self, task: WritingTask) -> Tokens:
        """The most tokens of the text, which a plan has priced."""
        sections, passes = SECTIONS if len(parts_of(task)) > 1 else 1, "one" if self._at_once else "staged"
        return text_limit(task.mode, _fields(task), task.inputs, self._max_tokens, passes=passes, sections=sections)

    async def _whole(self, task: WritingTask, length: int, report: ReportStage) -> WrittenText:
        """A text of about `length` words in one call, with the title and the headings of the model."""
        room = whole_answer(task.mode, length, self._max_tokens)
        await report("writer")
        failure = EngineError("the model wrote nothing for the text")
        for attempt in range(WHOLE_TRIES):
            wanted = max(SHORTEST, length >> attempt)
            try:
                answer = await self._ask(task, composing(task, wanted), room, 0.7, attempt, is_whole=True)
            except TruncatedError as truncated:
                failure = truncated
                continue
            named, body = whole(answer)
            problem = no_article(body, "", task) or ("" if body else "wrote nothing")
            if not problem and size(body) * _SHARE < wanted:
                problem = f"wrote {size(body)} words of about {wanted}"
            if not problem:
                await report("formatter")
                return WrittenText(title=title(task, f"Title: {named}" if named else ""), body=f"{body}\n")
            failure = EngineError(f"the model {problem} in the text; try again, or use another model")
        raise failure

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """One section again, with the editor's passes of the mode. Raises EngineError."""
        length = size(section.text)
        if (tokens := estimate(section.text)) > SECTION:
            words_ = f"the section `{section.heading}` has up to {tokens:,} tokens"
            raise EngineError(f"{words_}, and at most {SECTION:,} are written again at once; split it")
        room = section_answer(task.mode, max(words(task, 1), length), self._max_tokens)
        task.count.keep_to(section_limit(task.mode, _fields(task), task.inputs, self._max_tokens))
        heading, level = section.heading, section.level
        await report("writer")
        rest = section.document.replace(section.text, "") if section.text else section.document

        def ask(length: int) -> str:
            return rewriting(task, section, length)

        text = await self._section(task, ask, rest, max(SHORTEST, length), room, heading, level)
        if EDITS[task.mode] and not self._at_once:
            await report("editor")
            text = await self._edited(task, text, heading, level, room)
        await report("formatter")
        return f"{text}\n"

    async def _plan(self, task: WritingTask, room: int) -> str:
        """The plan; without its last line if it was cut off."""
        try:
            return await self._ask(task, planning(task), room, 0.3)
        except TruncatedError as truncated:
            return truncated.text.rpartition("\n")[0]

    async def _section(
        self,
        task: WritingTask,
        ask: Callable[[int], str],
        before: str,
        length: int,
        room: int,
        heading: str,
        level: int,
    ) -> str:
        """A complete section that does not repeat the text `before`.

        `ask` makes the prompt for a number of words, which is smaller after an answer that was cut off.
        """
        name = f"the section `{heading}`" if heading else "the text"
        failure = EngineError(f"the model wrote nothing for {name}")
        for attempt in range(_TRIES):
            try:
                answer = await self._ask(task, ask(max(SHORTEST, length >> attempt)), room, 0.7, attempt)
            except TruncatedError as truncated:
                failure = truncated
                continue
            text = tidy(answer, heading, level)
            if problem := no_article(text, before, task):
                failure = EngineError(f"the model {problem} in {name}; try again, or use another model")
            elif text:
                return text
        raise failure

    async def _edited(self, task: WritingTask, text: str, heading: str, level: int, room: int) -> str:
        """`text` after the passes of the editor; an edit that is cut off or not a text is ignored."""
        for edit in _EDITS[: EDITS[task.mode]]:
            prompt = "\n\n".join([f"{edit} Answer with the edited text alone.", brief(task), f"Text to edit:\n{text}"])
            try:
                answer = await self._ask(task, prompt, room, 0.3)
            except TruncatedError:
                continue
            except SpentError:
                break
            edited = tidy(answer, heading, level)
            # Less than a third of the words is a remark about the text.
            whole = 3 * len(edited.split()) >= len(text.split()) and not no_article(edited, "", task)
            text = edited if whole else text
        return text

    async def _ask(
        self,
        task: WritingTask,
        prompt: str,
        room: int,
        temperature: float,
        attempt: int = 0,
        *,
        is_whole: bool = False,
    ) -> str:
        # A job that is resumed after a restart gets the same text.
        seed = int(hashlib.sha256(task.id.encode()).hexdigest()[:7], 16) + attempt
        role = system(task, is_whole=is_whole)
        asked = Prompt(system=role, user=prompt, tokens=room, temperature=temperature, seed=seed)
        most = asked.estimate
        if 0 < self._context < most.input + most.output:
            message = f"the prompt has up to {most.input:,} tokens and its answer {most.output:,}"
            raise EngineError(f"{message}; `api.context` says that the model holds {self._context:,}")
        if task.answers is None:
            return await self._chat.ask(asked, task.count)
        name = hashlib.sha256(repr((self.model, asked)).encode()).hexdigest()
        if (answer := task.answers.find(name)) is None:
            answer = await self._chat.ask(asked, task.count)
            task.answers.keep(name, answer)
        return answer


def _fields(task: WritingTask) -> dict[str, Any]:
    """The fields of the request that are in every prompt."""
    return {"vertical": task.vertical or "", "brand_voice": task.brand_voice or "", **task.other_fields}
