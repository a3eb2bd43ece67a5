"""The prompts of the engine `openai`: the role of the model, the brief, and what it is asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from contentops.job_limits import BRIEF, CONTEXT, VALUE, beginning, ending, section_words
from contentops.server.engines.outline import inputs_of, plain, title_of, without_controls

if TYPE_CHECKING:
    from contentops.server.engines.protocol import SectionTask, WritingTask

TITLE = 200
"""The most characters of a title."""

# Linear time for every text: within one line, and no two parts match the same characters.
_TITLE_LINE = re.compile(r"(?im)^[ \t#*_>-]*title[ \t*_]*:(.*)$")
_NUMBERED = re.compile(r"(?m)^[ \t#*_>-]*(\d{1,3})[.):](.*)$")


def parts_of(task: WritingTask) -> list[tuple[str, str]]:
    """The headings of the text and their contents; one empty heading for a template without sections."""
    parts = [(str(section["heading"]), str(section["holds"])) for section in task.template.get("sections", ())]
    return parts or [("", "what the brief asks for")]


def words(task: WritingTask, parts: int) -> int:
    """The number of words of each of `parts` sections."""
    return section_words(task.mode, task.inputs, parts)


def system(task: WritingTask) -> str:
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
    lines += [f"{label}: {plain(shown(value), 300)}." for label, value in about.items() if value]
    if voice.get("description"):
        lines.append(f"How the brand writes: {shown(voice['description'])[:VALUE]}")
    if voice.get("samples"):
        samples = "\n\n".join(shown(sample) for sample in voice["samples"])[:VALUE]
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
        line = f"{plain(labels.get(name) or name.replace('_', ' '), 80)}: {shown(value)[: min(VALUE, room)]}"
        lines.append(line)
        room -= len(line)
        if room <= 0:
            break
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value as text, at most VALUE characters of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return without_controls(text[:VALUE])


def planning(task: WritingTask) -> str:
    """The prompt for the plan of a text."""
    parts = [f"{number}. {heading or 'Text'}: {holds}" for number, (heading, holds) in enumerate(parts_of(task), 1)]
    order = (
        f"Plan a text with {len(parts)} sections. First write one line that starts with `Title:` and gives the title. "
        "Then, for each section, write one line: its number, a full stop, and in one sentence the point it makes."
    )
    return "\n\n".join([order, brief(task), "Sections:\n" + "\n".join(parts)])


def title(task: WritingTask, plan: str) -> str:
    """The title from the inputs, else from the plan, else by the template's pattern."""
    given = task.inputs.get("title")
    if isinstance(given, str) and plain(given, TITLE):
        return plain(given, TITLE)
    # Some models write the title on the line below its label.
    match = _TITLE_LINE.search(plan)
    line = plan[match.start(1) :].lstrip(" \t\n*_").partition("\n")[0] if match else ""
    return plain(line[:4000].strip(" \t*_\"'“”`"), TITLE) or title_of(task)


def points_of(plan: str) -> dict[int, str]:
    """The point of each section in the plan, by its number from 1."""
    return {int(match[1]): plain(match[2].lstrip(" \t*_"), 400) for match in _NUMBERED.finditer(plan)}


def writing(task: WritingTask, number: int, point: str, before: str, length: int) -> str:
    """The prompt for section `number`, with its point and the text before it."""
    heading, holds = parts_of(task)[number - 1]
    about = title_of(task)
    if heading:
        order = f"Write about {length} words on this topic: {about}. They are the part `{heading}` of a longer text."
    else:
        order = f"Write a text of about {length} words on this topic: {about}."
    parts = [order]
    if point:
        parts.append(f"The point it makes: {point}")
    parts += [f"What belongs here: {holds}.", brief(task)]
    if others := [other for other, _ in parts_of(task) if other != heading]:
        parts.append(f"Other sections, which are written on their own: {', '.join(others)}.")
    if before:
        parts.append(f"The text before it ends like this:\n{ending(before, CONTEXT)}")
    return "\n\n".join(parts)


def rewriting(task: WritingTask, section: SectionTask, length: int) -> str:
    """The prompt for one section of a stored text."""
    name = plain(section.heading, TITLE)
    parts = [f"Write the section `{name}` again, without its heading, in about {length} words unless told otherwise."]
    if section.instructions.strip():
        parts.append(f"What to change: {section.instructions[:VALUE]}")
    if task.inputs:
        parts.append(brief(task))
    around = section.document.replace(section.text, "[the section]") if section.text else section.document
    parts.append(f"The document around it:\n{beginning(around, 2 * CONTEXT)}")
    parts.append(f"The section says now:\n{beginning(section.text, 2 * CONTEXT)}")
    return "\n\n".join(parts)
