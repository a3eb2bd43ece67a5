"""What a model is told: the brief of a job, and the task of each stage. Pure text work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from contentops.server import sections
from contentops.server.engines.outline import said_in, title_of
from contentops.server.engines.prose import escape, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.server.engines import Job, Section

VALUE = 4000
"""The most characters of one input that are passed on."""
BRIEF = 24_000
"""The most characters of all inputs together."""
CONTEXT = 3000
"""The most characters of the text before that a section is written after."""
TITLE = 200

WORDS = {"quick": 80, "standard": 150, "premium": 220}
"""Words of a section by mode, where no input asks for a length."""

EDITS = (
    (
        "Improve the wording: plain, specific sentences in the tone that was asked for, no repetition, no filler. "
        "Keep the meaning, the facts and about the length."
    ),
    (
        "Check the text against the brief: take out every name, figure, quotation and promise that the brief does not "
        "hold, and whatever says nothing. Keep the rest as it is."
    ),
)
"""What the editor does, pass by pass."""

_TITLE_LINE = re.compile(r"(?im)^[\s#*_>-]*title[\s*_]*:[\s*_]*(.+?)[\s*_]*$")
_NUMBERED = re.compile(r"(?m)^[\s#*_>-]*(\d{1,3})[.):][\s*_]*(.+?)\s*$")
_WRAPPED = re.compile(r"\A\s*(`{3,}|~{3,})(?:markdown|md|text)?[ \t]*\n(.*)\n\1[ \t]*\Z", re.DOTALL | re.IGNORECASE)


def headings(job: Job) -> list[str]:
    """The headings of the text, in order; one empty one for a template without sections."""
    return [str(section["heading"]) for section in job.template.get("sections", ())] or [""]


def words(job: Job, parts: int) -> int:
    """How many words each of `parts` sections should have."""
    asked = job.inputs.get("word_count_target")
    number = asked if isinstance(asked, int | float) and not isinstance(asked, bool) else 0
    if isinstance(asked, str) and asked.strip().isdecimal() and len(asked.strip()) < 8:
        number = int(asked)
    return max(20, round(number / parts)) if 0 < number < 1_000_000 else WORDS[job.mode]


def system(job: Job) -> str:
    """Who the model is: the kind of text, the style's tone and voice, the readers, and the rules."""
    style = job.style
    kind = plain(str(job.template.get("name") or "text"), 100)
    lines = [f"You are a professional writer. You work on this kind of text: {kind}."]
    about = [("Style", style.get("name")), ("Tone", job.inputs.get("article_tone") or style.get("tone"))]
    about += [("Voice", style.get("voice")), ("Readers", style.get("audience")), ("Field", job.vertical)]
    about += [("Brand voice", job.brand_voice)]
    lines += [f"{label}: {plain(_value(value), 300)}." for label, value in about if value]
    lines.append(
        "Write Markdown. Use only facts from the brief: invent no figures, names, quotations or sources. "
        "Answer with the text that was asked for and nothing else: no preface, no remarks, no heading."
    )
    return "\n".join(lines)


def brief(job: Job) -> str:
    """The inputs, one to a paragraph, bounded."""
    labels = {spec["name"]: spec["label"] for spec in job.template.get("inputs", ())}
    lines = []
    room = BRIEF
    for name, value in said_in(job).items():
        line = f"{plain(labels.get(name) or name.replace('_', ' '), 80)}: {_value(value)[: min(VALUE, room)]}"
        lines.append(line)
        room -= len(line)
        if room <= 0:
            break
    return "Brief:\n" + "\n".join(lines)


def planning(job: Job) -> str:
    """The planner's task."""
    asked = [f"{number}. {heading or 'Text'}: {_holds(job, number)}" for number, heading in _numbered(job)]
    task = (
        f"Plan a text with {len(asked)} sections. First write one line that starts with `Title:` and gives the title. "
        "Then, for each section, write one line: its number, a full stop, and in one sentence the point it makes."
    )
    return "\n\n".join([task, brief(job), "Sections:\n" + "\n".join(asked)])


def title(job: Job, plan: str) -> str:
    """The title: what the inputs say, else what the plan says, else what the template makes of the inputs."""
    asked = job.inputs.get("title")
    if isinstance(asked, str) and plain(asked, TITLE):
        return plain(asked, TITLE)
    found = _TITLE_LINE.search(plan)
    named = plain(found[1].strip("\"'“”`"), TITLE) if found else ""
    return named or title_of(job)


def points(plan: str, parts: int) -> dict[int, str]:
    """What the plan says of each section, by its number from 1; sections it says nothing of are left out."""
    found = {int(match[1]): plain(match[2], 400) for match in _NUMBERED.finditer(plan)}
    return {number: point for number, point in found.items() if 1 <= number <= parts and point}


def writing(job: Job, number: int, plan: Mapping[int, str], before: str, length: int) -> str:
    """The writer's task for section `number`, given the plan and the text before it."""
    heading = headings(job)[number - 1]
    about = title_of(job)
    if heading:
        task = f"Write about {length} words on this topic: {about}. They are the part `{heading}` of a longer text."
    else:
        task = f"Write a text of about {length} words on this topic: {about}."
    parts = [task]
    if number in plan:
        parts.append(f"The point it makes: {plan[number]}")
    parts += [f"What belongs here: {_holds(job, number)}.", brief(job)]
    if others := [other for other in headings(job) if other != heading]:
        parts.append(f"Other sections, which are written on their own: {', '.join(others)}.")
    if before:
        parts.append(f"The text before it ends like this:\n{before[-CONTEXT:]}")
    return "\n\n".join(parts)


def editing(job: Job, task: str, text: str) -> str:
    """The editor's task for one section."""
    return "\n\n".join([f"{task} Answer with the edited text alone.", brief(job), f"Text to edit:\n{text}"])


def rewriting(job: Job, section: Section, length: int) -> str:
    """The writer's task for one section of a stored text."""
    name = plain(section.heading, TITLE)
    parts = [f"Write the section `{name}` anew, without its heading, in about {length} words unless told otherwise."]
    if section.instructions.strip():
        parts.append(f"What to change: {section.instructions[:VALUE]}")
    if job.inputs:
        parts.append(brief(job))
    around = section.document.replace(section.text, "[the section]") if section.text else section.document
    parts.append(f"The document around it:\n{around[: 2 * CONTEXT]}")
    parts.append(f"The section says now:\n{section.text[: 2 * CONTEXT]}")
    return "\n\n".join(parts)


def tidy(text: str, heading: str, level: int) -> str:
    """A model's answer as the text under `heading`: unwrapped, without the heading itself, nothing torn open."""
    wrapped = _WRAPPED.match(text)
    inner = (wrapped[2] if wrapped and wrapped[1] not in wrapped[2] else text).strip("\n")
    first, _, rest = inner.partition("\n")
    bare = first.strip().strip("#*_: \t")
    if bare and " ".join(bare.split()).casefold() == " ".join(heading.split()).casefold():
        inner = rest
    return sections.nested(inner.strip("\n"), level).strip("\n")


def loops(text: str) -> bool:
    """Whether most lines of a text say what others have said: a small model that found no way on."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 6 and 2 * len(set(lines)) < len(lines)


def assembled(job: Job, texts: Sequence[str]) -> str:
    """The body: each section under its heading."""
    parts = [
        f"## {escape(heading)}\n\n{text}" if heading else text
        for heading, text in zip(headings(job), texts, strict=True)
    ]
    return "\n\n".join(parts) + "\n"


def _numbered(job: Job) -> list[tuple[int, str]]:
    return list(enumerate(headings(job), 1))


def _holds(job: Job, number: int) -> str:
    found = list(job.template.get("sections", ()))
    return str(found[number - 1]["holds"]) if found else "what the brief asks for"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(char for char in text[:VALUE] if char in "\t\n" or char.isprintable())
