"""Writes texts with any OpenAI-compatible model, in one call for each text or in stages.

In stages, the planner chooses the title, and a heading and a point for each section of the template. Then the writer
writes one section after another. The editor edits each section once in standard mode and twice in premium mode. The
formatter joins the sections.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from contentops import sections
from contentops.server import contents
from contentops.server.engines.chat import ChatClient, Prompt, TruncatedError
from contentops.server.engines.outline import escape, inputs_of, plain, title_of, without_controls
from contentops.server.engines.protocol import (
    EngineError,
    ReportStage,
    SectionTask,
    SpentError,
    WritingTask,
    WrittenText,
)
from contentops.tokens import (
    CONTEXT,
    EDITS,
    SECTION,
    SECTIONS,
    SHORTEST,
    WHOLE_TRIES,
    answer_tokens,
    beginning,
    calls_of,
    ending,
    estimate,
    section_answer,
    section_limit,
    section_words,
    text_limit,
    whole_answer,
)

TITLE = 200
"""The most characters of a title."""
HEADING = 80
"""The most characters of a heading."""

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


class OpenAIEngine:
    """Writes texts with the model that `chat` calls.

    `max_tokens` is the token limit of one call; with 0, the mode sets it. `passes` is `one` (one call for each text) or
    `staged`. `context` is the most tokens of a prompt and its answer together, or 0 if it is not known.
    """

    name = "openai"

    def __init__(self, chat: ChatClient, *, max_tokens: int = 0, passes: str = "staged", context: int = 0) -> None:
        self._chat = chat
        self._context = context
        self._max_tokens = max_tokens
        self._at_once = passes == "one"
        self.model = chat.model

    async def probe(self) -> None:
        """Check that the model answers a short prompt. Raises EngineError if it does not."""
        # Some servers refuse fewer tokens.
        short = Prompt(system="", user="Answer with the word yes.", tokens=16, temperature=0.0, seed=1)
        with contextlib.suppress(TruncatedError):
            await self._chat.ask(short, attempts=2)

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """Write a whole text, in one call or in stages. Raises EngineError."""
        mode, number_of_parts = task.request.mode, len(parts_of(task))
        length = words(task, number_of_parts)
        # A plan has priced this.
        counted, passes = SECTIONS if number_of_parts > 1 else 1, "one" if self._at_once else "staged"
        limit = text_limit(
            mode, task.request.context, task.request.inputs, self._max_tokens, passes=passes, sections=counted
        )
        task.keep_to(limit)
        if self._at_once:
            return await self._whole(task, length * number_of_parts, report)
        room = answer_tokens(mode, calls_of(mode, number_of_parts), length, self._max_tokens)
        await report("planner")
        try:
            plan = await self._ask(task, planning(task), room, 0.3)
        except TruncatedError as truncated:
            # Its last line may be half of one.
            plan = truncated.text.rpartition("\n")[0]
        parts = planned(task, plan)
        await report("writer")
        texts: list[str] = []
        for number, part in enumerate(parts, 1):
            before = "\n\n".join(texts)

            def ask(length: int, number: int = number, before: str = before) -> str:
                return writing(task, parts, number, before, length)

            texts.append(await self._section(task, ask, before, length, room, part.heading, 2))
        if EDITS[mode]:
            await report("editor")
        for at, part in enumerate(parts):
            texts[at] = await self._edited(task, texts[at], part.heading, 2, room)
        await report("formatter")
        return WrittenText(title=title(task, plan), body=assembled([part.heading for part in parts], texts))

    async def _whole(self, task: WritingTask, length: int, report: ReportStage) -> WrittenText:
        """Write a text of about `length` words in one call. The model chooses the title and the headings."""
        room = whole_answer(task.request.mode, length, self._max_tokens)
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
        """Write a new text for one section, and edit it if the engine works in stages.

        Raises EngineError.
        """
        length = size(section.text)
        if (tokens := estimate(section.text)) > SECTION:
            words_ = f"the section `{section.heading}` has up to {tokens:,} tokens"
            raise EngineError(f"{words_}, and at most {SECTION:,} are written again at once; split it")
        asked = task.request
        room = section_answer(asked.mode, max(words(task, 1), length), self._max_tokens)
        task.keep_to(section_limit(asked.mode, asked.context, asked.inputs, self._max_tokens))
        heading, level = section.heading, section.level
        await report("writer")
        rest = section.document.replace(section.text, "") if section.text else section.document

        def ask(length: int) -> str:
            return rewriting(task, section, length)

        text = await self._section(task, ask, rest, max(SHORTEST, length), room, heading, level)
        if EDITS[asked.mode] and not self._at_once:
            await report("editor")
            text = await self._edited(task, text, heading, level, room)
        await report("formatter")
        return f"{text}\n"

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
        """Write a complete section that does not repeat the text in `before`.

        `ask` makes the prompt for a number of words; each further attempt asks for fewer words.
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
        """Let the model edit a text as often as the mode says. An incomplete edit is ignored."""
        for edit in _EDITS[: EDITS[task.request.mode]]:
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
        name = hashlib.sha256(repr((self.model, asked)).encode()).hexdigest()
        if name not in task.answers:
            task.answers[name] = await self._chat.ask(asked, task.count)
            if task.keep is not None:
                task.keep()
        return task.answers[name]


# --- prompts ------------------------------------------------------------------------------------------------

_BARE = ", no heading"
_NAMED = {"vertical": "Field"}
# Linear time for every text: within one line, and no two parts match the same characters.
_TITLE_LINE = re.compile(r"(?im)^[ \t#*_>-]*title[ \t*_]*:(.*)$")
_NUMBERED = re.compile(r"(?m)^[ \t#*_>-]*(\d{1,3})[.):](.*)$")


class PlannedPart(NamedTuple):
    """A section to write: its heading, a description of its content, and its main point in the plan, if any."""

    heading: str
    holds: str
    point: str = ""


def parts_of(task: WritingTask) -> list[tuple[str, str]]:
    """Return the template's sections. Each is a pair: the heading, and a description of the section's content.

    A template without sections gives one section with an empty heading.
    """
    parts = [(str(section["heading"]), str(section["holds"])) for section in task.template.get("sections", ())]
    return parts or [("", "what the brief asks for")]


def words(task: WritingTask, parts: int) -> int:
    """Return how many words each of `parts` sections should have."""
    return section_words(task.request.mode, task.request.inputs, parts)


def system(task: WritingTask, *, is_whole: bool = False) -> str:
    """Return the system prompt: the kind of text, the style, the readers and the rules.

    With `is_whole`, the model also writes the headings.
    """
    style, context = task.style, task.request.context
    kind = plain(str(task.template.get("name") or "text"), 100)
    about = {
        "Style": style.get("name"),
        "Tone": task.request.inputs.get("article_tone") or style.get("tone"),
        "Voice": style.get("voice"),
        "Readers": style.get("audience"),
        **{_NAMED.get(name, name.replace("_", " ").capitalize()): value for name, value in context.items()},
        "Language": task.request.inputs.get("language"),
    }
    lines = [f"You are a professional writer. You work on this kind of text: {kind}."]
    lines += [f"{label}: {one_line(value)}." for label, value in about.items() if value]
    lines.append(
        f"Write Markdown, all of it in {_language(task)}. "
        "Use only facts from the brief: invent no figures, names, quotations or sources. "
        f"Answer with the text that was asked for and nothing else: no preface, no remarks{'' if is_whole else _BARE}."
    )
    return "\n".join(lines)


def _language(task: WritingTask) -> str:
    return plain(shown(task.request.inputs.get("language") or ""), HEADING) or "the language of the brief"


def brief(task: WritingTask) -> str:
    """Return all inputs with their full values, one on each line."""
    labels = {spec["name"]: spec["label"] for spec in task.template.get("inputs", ())}
    named = ((labels.get(name) or name.replace("_", " "), value) for name, value in inputs_of(task).items())
    return "\n".join(["Brief:", *(f"{plain(label, 80)}: {shown(value)}" for label, value in named)])


def shown(value: Any) -> str:
    """Return a value as text without control characters."""
    return without_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def one_line(value: Any) -> str:
    """Return a value as a single line of text."""
    text = shown(value)
    return plain(text, max(1, len(text)))


def planning(task: WritingTask) -> str:
    """Return the prompt that asks for a plan of the text."""
    parts = [f"{number}. {heading or 'Text'}: {holds}" for number, (heading, holds) in enumerate(parts_of(task), 1)]
    order = (
        f"Plan a text with {len(parts)} sections. First write one line that starts with `Title:` and gives the title. "
        "Then, for each section, write one line: its number, a full stop, a short heading that says what this text "
        "tells there, a vertical bar `|`, and in one sentence the point it makes. "
        f"Write title, headings and points in {_language(task)}."
    )
    return "\n\n".join([order, brief(task), "Sections:\n" + "\n".join(parts)])


def title(task: WritingTask, plan: str) -> str:
    """Return the title from the inputs, or else from the plan, or else from the template."""
    given = task.request.inputs.get("title")
    if isinstance(given, str) and plain(given, TITLE):
        return plain(given, TITLE)
    # Some models write the title on the line below its label.
    match = _TITLE_LINE.search(plan)
    line = plan[match.start(1) :].lstrip(" \t\n*_").partition("\n")[0] if match else ""
    return plain(line[:4000].strip(" \t*_\"'“”`"), TITLE) or title_of(task)


def planned(task: WritingTask, plan: str) -> list[PlannedPart]:
    """Return the sections with their headings and main points from the plan.

    If the plan has no heading for a section, the heading comes from the template.
    """
    lines = {int(match[1]): match[2].strip(" \t*_") for match in _NUMBERED.finditer(plan)}
    parts: list[PlannedPart] = []
    usual_names = {sections.bare(heading) for heading, _ in parts_of(task)}
    used: set[str] = set()
    for number, (usual, holds) in enumerate(parts_of(task), 1):
        first, bar, rest = lines.get(number, "").partition("|")
        heading = plain(first[:HEADING].strip(" \t#*_`\"'“”:"), HEADING) if bar and usual else ""
        # A section is found by its heading, so each needs its own.
        taken = used | (usual_names - {sections.bare(usual)}) | {""}
        heading = usual if sections.bare(heading) in taken else heading
        used.add(sections.bare(heading))
        parts.append(PlannedPart(heading, holds, plain((rest if bar else first).strip(" \t*_"), 400)))
    return parts


def composing(task: WritingTask, length: int) -> str:
    """Return the prompt for a whole text with a title and headings."""
    parts = parts_of(task)
    order = (
        f"Write a complete text of about {length} words on this topic: {title_of(task)}. "
        "The first line is `# ` and a title. "
    )
    if len(parts) > 1:
        order += (
            f"Then write {len(parts)} sections. Each begins with a line of `## ` and a heading that fits this text."
        )
    listed = [f"{number}. {holds}" for number, (_, holds) in enumerate(parts, 1)]
    return "\n\n".join([order, brief(task), "What belongs in it, in this order:\n" + "\n".join(listed)])


def writing(task: WritingTask, parts: Sequence[PlannedPart], number: int, before: str, length: int) -> str:
    """Return the prompt for one section. It contains the section's main point and the end of the text before."""
    heading, holds, point = parts[number - 1]
    about = title_of(task)
    if heading:
        order = f"Write about {length} words on this topic: {about}. They are the part `{heading}` of a longer text."
    else:
        order = f"Write a text of about {length} words on this topic: {about}."
    lines = [order]
    if point:
        lines.append(f"The point it makes: {point}")
    lines += [f"What belongs here: {holds}.", brief(task)]
    if others := [part.heading for part in parts if part.heading != heading]:
        lines.append(f"Other sections, which are written on their own: {', '.join(others)}.")
    if before:
        lines.append(f"The text before it ends like this:\n{ending(before, CONTEXT)}")
    return "\n\n".join(lines)


def rewriting(task: WritingTask, section: SectionTask, length: int) -> str:
    """Return the prompt that asks for a new text of one section in a stored text."""
    name = plain(section.heading, TITLE)
    parts = [f"Write the section `{name}` again, without its heading, in about {length} words unless stated otherwise."]
    if section.instructions.strip():
        parts.append(f"What to change: {section.instructions}")
    if task.request.inputs:
        parts.append(brief(task))
    around = section.document.replace(section.text, "[the section]") if section.text else section.document
    parts.append(f"The document around it:\n{beginning(around, 2 * CONTEXT)}")
    parts.append(f"The section says now:\n{section.text}")
    return "\n\n".join(parts)


# --- answers: made to fit under a heading, or refused where they are no part of an article ------------------

_WRAPPED = re.compile(
    r"\A\s*(`{3,}|~{3,})(?:markdown|md|text|json)?[ \t]*\n(.*)\n\1[ \t]*\Z", re.DOTALL | re.IGNORECASE
)


def size(text: str) -> int:
    """Return the number of words in a text. For scripts without spaces, the number is estimated."""
    return max(len(text.split()), len(text) // _LETTERS)


def _unwrapped(text: str) -> str:
    wrapped = _WRAPPED.match(text)
    return (wrapped[2] if wrapped and wrapped[1] not in wrapped[2] else text).strip("\n")


def whole(text: str) -> tuple[str, str]:
    """Split a model's text into title and body. The title is empty if the text has no title."""
    inner = _unwrapped(text)
    first = next(sections.parse_headings(inner), None)
    title, named = "", _TITLED.match(inner)
    if first is not None and first.first == 0 and first.level == 1:
        title, inner = first.text, "\n".join(inner.split("\n")[first.end :])
    elif named is not None:
        title, inner = named[1], inner[named.end() :]
    return plain(title.strip(" \t*_#`\"'“”"), TITLE), contents.nested(inner.strip("\n"), 1).strip("\n")


def tidy(text: str, heading: str, level: int) -> str:
    """Return a model's answer as text for a section: without its heading, and with closed code blocks."""
    inner = _unwrapped(text)
    lines = inner.split("\n")
    first = next(sections.parse_headings(inner), None)
    # Small models write the heading in bold or as plain words too.
    end, named = (first.end, first.text) if first is not None and first.first == 0 else (1, lines[0])
    if (named := sections.bare(named.strip().strip("#*_: \t"))) and named == sections.bare(heading):
        inner = "\n".join(lines[end:])
    return contents.nested(inner.strip("\n"), level).strip("\n")


_LETTERS = 6
"""Characters of an English word, with the space after it."""
_TITLED = re.compile(r"[ \t#*_]*title[ \t*_]*:([^\n]*)", re.IGNORECASE)
_LABELS = {"audience", "brand voice", "brief", "field", "key points", "language", "objective", "readers", "style"}
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
_SORRY = r"(?:(?:(?:i'm|i am|we're|we are) )?(?:very )?sorry\b|i apologi[sz]e\b|unfortunately\b)[^.\n]{0,40}?"
_UNABLE = r"(?:i|we) ?(?:can't|cannot|can not|won't|will not|'m unable to|(?:am|are) (?:unable|not able) to)"
_REFUSED = r"(?:create|generate|produce|provide|write) (?:any |such |this )?(?:articles?|content|materials?|texts?)"
_REFUSAL = re.compile(rf"\A[^\w\n]*(?:{_SORRY}\b{_UNABLE}\b|{_UNABLE} {_REFUSED}\b)", re.IGNORECASE)
_REMARK = 80
"""Fewer words than these, with a refusal at their beginning, are no section."""
_PARAGRAPH = 40
"""From this length in characters, a repeated paragraph counts as a repetition."""


def no_article(text: str, before: str, task: WritingTask) -> str:
    """Return why a model's answer cannot continue an article, or an empty text if it can.

    `before` is the article so far. Small models repeat the prompt, speak to the reader as an assistant, or write the
    same text again.
    """
    if _loops(text):
        return "only repeats itself"
    if _is_json(text):
        return "answers with JSON"
    prompt = {line.casefold().strip(" .") for line in f"{system(task)}\n{brief(task)}".split("\n")}
    labelled = [match.groups() for match in _LABELLED.finditer(text) if match[1].casefold() in _LABELS]
    echoed = any(f"{label}: {value.strip(' *_.')}".casefold() in prompt for label, value in labelled)
    if echoed or _ORDER.search(text):
        return "repeats the brief"
    if _ASSISTANT.search(text.replace("\u2019", "'")):
        return "speaks as an assistant"
    if _REFUSAL.match(text.replace("\u2019", "'")) and size(text) < _REMARK:
        return "refuses"
    paragraphs = _paragraphs(text)
    is_twice = len(paragraphs) > len({*paragraphs}) or {*paragraphs} & {*_paragraphs(before)}
    return "says one paragraph twice" if is_twice else ""


def _is_json(text: str) -> bool:
    inner = _unwrapped(text).strip()
    with contextlib.suppress(ValueError, RecursionError):
        return isinstance(json.loads(inner), dict | list)
    return False


def _paragraphs(text: str) -> list[str]:
    """Return the long paragraphs of a text, normalized so that repeated paragraphs are equal.

    White space and case do not matter. Tables, lists, headings and code are left out, because they may be repeated.
    """
    parts = (" ".join(part.split()).casefold() for part in text.split("\n\n"))
    return [part for part in parts if len(part) >= _PARAGRAPH and part[0].isalpha()]


def _loops(text: str) -> bool:
    """Return whether more than half of the lines of a text are repetitions."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 6 and 2 * len(set(lines)) < len(lines)


def assembled(headings: Sequence[str], texts: Sequence[str]) -> str:
    """Return the body of a text, made from its headings and the texts of its sections."""
    titled = zip(headings, texts, strict=True)
    return "\n\n".join(f"## {escape(heading)}\n\n{text}" if heading else text for heading, text in titled) + "\n"
