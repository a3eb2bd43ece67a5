"""The `openai` engine: prose from any OpenAI-compatible model, written section by section.

The planner gives the title and a point for each section, the writer writes one section after the other, the editor
edits each (not in quick mode, twice in premium). The formatter puts the sections under the template's headings.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

from contentops import sections
from contentops.server import contents
from contentops.server.engines.chat import ChatClient, Prompt, TruncatedError
from contentops.server.engines.outline import escape, inputs_of, plain, title_of, without_controls
from contentops.server.engines.protocol import EngineError, WrittenText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentops.server.engines.protocol import ReportStage, SectionTask, WritingTask

BUDGET = {"quick": 8_000, "standard": 16_000, "premium": 24_000}
"""Completion tokens of one text by mode, shared by its calls."""
WORDS = {"quick": 80, "standard": 150, "premium": 220}
"""Words of a section by mode, where no input sets a length."""
VALUE = 4000
"""The most characters of one input in a prompt."""
BRIEF = 24_000
"""The most characters of all inputs together."""
CONTEXT = 3000
"""The most characters of the text before a section in its prompt."""

_PASSES = {"quick": 0, "standard": 1, "premium": 2}
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
_TOKENS_PER_WORD = 1.3
_HEADROOM = 2.0
_SHORTEST = 20
"""The fewest words to ask for."""
_TRIES = 3
"""The most prompts for a section, where a model writes nothing, repeats itself or is cut off."""
_TITLE = 200

# Linear time for every text: within one line, and no two parts match the same characters.
_TITLE_LINE = re.compile(r"(?im)^[ \t#*_>-]*title[ \t*_]*:(.*)$")
_NUMBERED = re.compile(r"(?m)^[ \t#*_>-]*(\d{1,3})[.):](.*)$")
_WRAPPED = re.compile(r"\A\s*(`{3,}|~{3,})(?:markdown|md|text)?[ \t]*\n(.*)\n\1[ \t]*\Z", re.DOTALL | re.IGNORECASE)


class OpenAIEngine:
    """Writes with the model behind `chat`. `max_tokens` is the limit of one call; 0 derives it from the mode."""

    name = "openai"

    def __init__(self, chat: ChatClient, *, max_tokens: int = 0) -> None:
        self._chat = chat
        self._max_tokens = max_tokens

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """A text with the template's sections. Raises EngineError."""
        titles = [heading for heading, _ in _parts(task)]
        length = words(task, len(titles))
        room = self._room(task, len(titles), length)
        await report("planner")
        plan = await self._plan(task, room)
        points = _points(plan)
        await report("writer")
        texts: list[str] = []
        for number, heading in enumerate(titles, 1):
            before = "\n\n".join(texts)

            def ask(length: int, number: int = number, before: str = before) -> str:
                return _writing(task, number, points.get(number, ""), before, length)

            texts.append(await self._section(task, ask, before, length, room, heading, 2))
        if _PASSES[task.mode]:
            await report("editor")
        for at, heading in enumerate(titles):
            texts[at] = await self._edited(task, texts[at], heading, 2, room)
        await report("formatter")
        return WrittenText(title=title(task, plan), body=assembled(task, texts))

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """One section again, with the editor's passes of the mode. Raises EngineError."""
        length = len(section.text.split())
        room = self._room(task, 1, max(words(task, 1), length))
        heading, level = section.heading, section.level
        await report("writer")
        rest = section.document.replace(section.text, "") if section.text else section.document

        def ask(length: int) -> str:
            return _rewriting(task, section, length)

        text = await self._section(task, ask, rest, max(_SHORTEST, length), room, heading, level)
        if _PASSES[task.mode]:
            await report("editor")
        text = await self._edited(task, text, heading, level, room)
        await report("formatter")
        return f"{text}\n"

    def _room(self, task: WritingTask, parts: int, length: int) -> int:
        """Tokens of one call: the mode's budget divided by the number of calls, at least enough for `length` words."""
        if self._max_tokens:
            return self._max_tokens
        calls = 1 + parts * (1 + _PASSES[task.mode])
        return max(BUDGET[task.mode] // calls, math.ceil(length * _TOKENS_PER_WORD * _HEADROOM))

    async def _plan(self, task: WritingTask, room: int) -> str:
        """The plan; without its last line if it was cut off."""
        try:
            return await self._ask(task, _planning(task), room, 0.3)
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
                answer = await self._ask(task, ask(max(_SHORTEST, length >> attempt)), room, 0.7, attempt)
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
        for edit in _EDITS[: _PASSES[task.mode]]:
            prompt = "\n\n".join([f"{edit} Answer with the edited text alone.", brief(task), f"Text to edit:\n{text}"])
            try:
                answer = await self._ask(task, prompt, room, 0.3)
            except TruncatedError:
                continue
            edited = tidy(answer, heading, level)
            # Less than a third of the words is a remark about the text.
            whole = 3 * len(edited.split()) >= len(text.split()) and not no_article(edited, "", task)
            text = edited if whole else text
        return text

    async def _ask(self, task: WritingTask, prompt: str, room: int, temperature: float, attempt: int = 0) -> str:
        # A job that is resumed after a restart gets the same text.
        seed = int(hashlib.sha256(task.id.encode()).hexdigest()[:7], 16) + attempt
        return await self._chat.ask(
            Prompt(system=_system(task), user=prompt, tokens=room, temperature=temperature, seed=seed), task.count
        )


# --- prompts -------------------------------------------------------------------------------------------------


def _parts(task: WritingTask) -> list[tuple[str, str]]:
    """The headings of the text and their contents; one empty heading for a template without sections."""
    parts = [(str(section["heading"]), str(section["holds"])) for section in task.template.get("sections", ())]
    return parts or [("", "what the brief asks for")]


def words(task: WritingTask, parts: int) -> int:
    """The number of words of each of `parts` sections."""
    target = task.inputs.get("word_count_target")
    if isinstance(target, str) and target.strip().isdecimal() and len(target.strip()) < 8:
        target = int(target)
    if isinstance(target, int | float) and not isinstance(target, bool) and 0 < target < 1_000_000:
        return max(_SHORTEST, round(target / parts))
    return WORDS[task.mode]


def _system(task: WritingTask) -> str:
    """The role of the model: the kind of text, the style's tone and voice, the readers, and the rules."""
    style, voice = task.style, task.voice
    kind = plain(str(task.template.get("name") or "text"), 100)
    about = {
        "Style": style.get("name"),
        "Tone": task.inputs.get("article_tone") or style.get("tone"),
        "Voice": style.get("voice"),
        "Readers": style.get("audience"),
        "Field": task.vertical,
        "Brand voice": voice.get("name") or task.brand_voice,
        "Tone of the brand": voice.get("tone"),
        "Voice of the brand": voice.get("voice"),
        **{name.replace("_", " ").capitalize(): value for name, value in task.other_fields.items()},
    }
    lines = [f"You are a professional writer. You work on this kind of text: {kind}."]
    lines += [f"{label}: {plain(_value(value), 300)}." for label, value in about.items() if value]
    if voice.get("description"):
        lines.append(f"How the brand writes: {_value(voice['description'])[:VALUE]}")
    if voice.get("samples"):
        samples = "\n\n".join(_value(sample) for sample in voice["samples"])[:VALUE]
        lines.append(f"Texts of the brand, for the manner alone; take no facts from them:\n{samples}\n")
    lines.append(
        "Write Markdown. Use only facts from the brief: invent no figures, names, quotations or sources. "
        "Answer with the text that was asked for and nothing else: no preface, no remarks, no heading."
    )
    return "\n".join(lines)


def brief(task: WritingTask) -> str:
    """The inputs, a line for each, with bounded length."""
    labels = {spec["name"]: spec["label"] for spec in task.template.get("inputs", ())}
    lines = ["Brief:"]
    room = BRIEF
    for name, value in inputs_of(task).items():
        line = f"{plain(labels.get(name) or name.replace('_', ' '), 80)}: {_value(value)[: min(VALUE, room)]}"
        lines.append(line)
        room -= len(line)
        if room <= 0:
            break
    return "\n".join(lines)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return without_controls(text[:VALUE])


def _planning(task: WritingTask) -> str:
    parts = [f"{number}. {heading or 'Text'}: {holds}" for number, (heading, holds) in enumerate(_parts(task), 1)]
    order = (
        f"Plan a text with {len(parts)} sections. First write one line that starts with `Title:` and gives the title. "
        "Then, for each section, write one line: its number, a full stop, and in one sentence the point it makes."
    )
    return "\n\n".join([order, brief(task), "Sections:\n" + "\n".join(parts)])


def title(task: WritingTask, plan: str) -> str:
    """The title from the inputs, else from the plan, else by the template's pattern."""
    given = task.inputs.get("title")
    if isinstance(given, str) and plain(given, _TITLE):
        return plain(given, _TITLE)
    # Some models write the title on the line below its label.
    match = _TITLE_LINE.search(plan)
    line = plan[match.start(1) :].lstrip(" \t\n*_").partition("\n")[0] if match else ""
    return plain(line[:4000].strip(" \t*_\"'“”`"), _TITLE) or title_of(task)


def _points(plan: str) -> dict[int, str]:
    """The point of each section in the plan, by its number from 1."""
    return {int(match[1]): plain(match[2].lstrip(" \t*_"), 400) for match in _NUMBERED.finditer(plan)}


def _writing(task: WritingTask, number: int, point: str, before: str, length: int) -> str:
    """The prompt for section `number`, with its point and the text before it."""
    heading, holds = _parts(task)[number - 1]
    about = title_of(task)
    if heading:
        order = f"Write about {length} words on this topic: {about}. They are the part `{heading}` of a longer text."
    else:
        order = f"Write a text of about {length} words on this topic: {about}."
    parts = [order]
    if point:
        parts.append(f"The point it makes: {point}")
    parts += [f"What belongs here: {holds}.", brief(task)]
    if others := [other for other, _ in _parts(task) if other != heading]:
        parts.append(f"Other sections, which are written on their own: {', '.join(others)}.")
    if before:
        parts.append(f"The text before it ends like this:\n{before[-CONTEXT:]}")
    return "\n\n".join(parts)


def _rewriting(task: WritingTask, section: SectionTask, length: int) -> str:
    """The prompt for one section of a stored text."""
    name = plain(section.heading, _TITLE)
    parts = [f"Write the section `{name}` again, without its heading, in about {length} words unless told otherwise."]
    if section.instructions.strip():
        parts.append(f"What to change: {section.instructions[:VALUE]}")
    if task.inputs:
        parts.append(brief(task))
    around = section.document.replace(section.text, "[the section]") if section.text else section.document
    parts.append(f"The document around it:\n{around[: 2 * CONTEXT]}")
    parts.append(f"The section says now:\n{section.text[: 2 * CONTEXT]}")
    return "\n\n".join(parts)


# --- answers -------------------------------------------------------------------------------------------------


def tidy(text: str, heading: str, level: int) -> str:
    """A model's answer as the text under `heading`: unwrapped, without the heading, with every block closed."""
    wrapped = _WRAPPED.match(text)
    inner = (wrapped[2] if wrapped and wrapped[1] not in wrapped[2] else text).strip("\n")
    lines = inner.split("\n")
    first = next(sections.parse_headings(inner), None)
    # Small models write the heading in bold or as plain words too.
    end, named = (first.end, first.text) if first is not None and first.first == 0 else (1, lines[0])
    if (named := sections.bare(named.strip().strip("#*_: \t"))) and named == sections.bare(heading):
        inner = "\n".join(lines[end:])
    return contents.nested(inner.strip("\n"), level).strip("\n")


_LABELS = {"audience", "brand voice", "brief", "field", "key points", "objective", "readers", "style"}
_LABELS |= {"target audience", "tone", "topic", "voice", "word count", "word count target"}
"""Labels of prompts that an article may use too: only a whole line of the brief counts as repeated."""
_LABELLED = re.compile(r"(?m)^[ \t#*_>-]*(\w[\w ]{2,30}?)[ \t*_]*:(.*)$")
_ORDER = re.compile(
    r"^[ \t*_>-]*(?:(?:The point it makes|What belongs here): "
    r"|(?:The text before it ends like this|The document around it|The section says now|Text to edit):[ \t*_]*$)",
    re.MULTILINE,
)
# Whole phrases: a writer too says `of course I will`, `I can't help but`, `here is the thing:`.
_PIECE = r"(?:text|section|article|version|draft|passage|paragraphs?|post|introduction|conclusion|rewrite|revision)"
_WORK = r"(?:write|rewrite|revise|edit|help you|provide|create|draft|make (?:the|those|these) changes)"
_COMPLY = r"(?:help(?: you)? with|assist(?: you)? with|fulfill|complete|comply with|write)"
_CHANGES = (
    r"(?:me to (?:add|adjust|change|edit|expand|make|revise)|any (?:further )?(?:adjustments|changes|edits|revisions))"
)
_ASSISTANT = re.compile(
    r"\A[^\w\n]*(?:"
    rf"(?:sure|certainly|of course|absolutely|okay)(?:[,!.:]*\s+here(?:'s| is| are) [^\n]*\b{_PIECE}\b"
    rf"|[,!.:]+\s+i(?:'ll|'d be happy to| can| will) {_WORK}\b)"
    rf"|here(?:'s| is| are) (?:the|your|a|an) (?:\w+ )?{_PIECE}\b[^\n]*:\s*$"
    rf"|(?:(?:i'm|i am) sorry,? but )?i (?:can't|cannot|am unable to) {_COMPLY} (?:that|this|your)(?:[.,!]|"
    rf" (?:request|{_PIECE})\b)"
    r")"
    r"|^[^\w\n]*as an ai (?:language )?(?:model|assistant), i "
    rf"|^[^\w\n]*let me know if you(?:'d like| would like| want| need) {_CHANGES}\b",
    re.IGNORECASE | re.MULTILINE,
)
_PARAGRAPH = 40
"""The length in characters from which a repeated paragraph is not an accident."""


def no_article(text: str, before: str, task: WritingTask) -> str:
    """Why an answer cannot be part of an article after the text `before`; empty where it can.

    Small models repeat the prompt, speak to the reader as an assistant, or write the same text again.
    """
    if _loops(text):
        return "only repeats itself"
    prompt = {line.casefold().strip(" .") for line in f"{_system(task)}\n{brief(task)}".split("\n")}
    labelled = [match.groups() for match in _LABELLED.finditer(text) if match[1].casefold() in _LABELS]
    echoed = any(f"{label}: {value.strip(' *_.')}".casefold() in prompt for label, value in labelled)
    if echoed or _ORDER.search(text):
        return "repeats the brief"
    if _ASSISTANT.search(text.replace("\u2019", "'")):
        return "speaks as an assistant"
    paragraphs = _paragraphs(text)
    is_twice = len(paragraphs) > len({*paragraphs}) or {*paragraphs} & {*_paragraphs(before)}
    return "says one paragraph twice" if is_twice else ""


def _paragraphs(text: str) -> list[str]:
    """Long paragraphs of prose in a comparable form; tables, lists, headings and code may be repeated."""
    parts = (" ".join(part.split()).casefold() for part in text.split("\n\n"))
    return [part for part in parts if len(part) >= _PARAGRAPH and part[0].isalpha()]


def _loops(text: str) -> bool:
    """Whether most lines of a text repeat others."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 6 and 2 * len(set(lines)) < len(lines)


def assembled(task: WritingTask, texts: Sequence[str]) -> str:
    """The body: each section under its heading."""
    titled = zip(_parts(task), texts, strict=True)
    return "\n\n".join(f"## {escape(heading)}\n\n{text}" if heading else text for (heading, _), text in titled) + "\n"
