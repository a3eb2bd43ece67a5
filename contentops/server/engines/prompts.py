"""The prompts of the engine `openai`: the role of the model, the brief, and what it is asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from contentops import sections
from contentops.job_limits import CONTEXT, beginning, ending, section_words
from contentops.server.engines.outline import inputs_of, plain, title_of, without_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.server.engines.protocol import SectionTask, WritingTask

TITLE = 200
"""The most characters of a title."""
HEADING = 80
"""The most characters of a heading."""

_BARE = ", no heading"
# Linear time for every text: within one line, and no two parts match the same characters.
_TITLE_LINE = re.compile(r"(?im)^[ \t#*_>-]*title[ \t*_]*:(.*)$")
_NUMBERED = re.compile(r"(?m)^[ \t#*_>-]*(\d{1,3})[.):](.*)$")


class PlannedPart(NamedTuple):
    """One section of a text: its heading, what belongs into it, and the point that the plan makes; empty: none."""

    heading: str
    holds: str
    point: str = ""


def parts_of(task: WritingTask) -> list[tuple[str, str]]:
    """The headings of the text and their contents; one empty heading for a template without sections."""
    parts = [(str(section["heading"]), str(section["holds"])) for section in task.template.get("sections", ())]
    return parts or [("", "what the brief asks for")]


def words(task: WritingTask, parts: int) -> int:
    """The number of words of each of `parts` sections."""
    return section_words(task.mode, task.inputs, parts)


def system(task: WritingTask, *, is_whole: bool = False) -> str:
    """The role of the model: the kind of text, the style's tone and voice, the readers, and the rules.

    `is_whole`: it writes the headings too.
    """
    style = task.style
    kind = plain(str(task.template.get("name") or "text"), 100)
    about = {
        "Style": style.get("name"),
        "Tone": task.inputs.get("article_tone") or style.get("tone"),
        "Voice": style.get("voice"),
        "Readers": style.get("audience"),
        "Field": task.vertical,
        "Brand voice": task.brand_voice,
        "Language": task.inputs.get("language"),
        **{name.replace("_", " ").capitalize(): value for name, value in task.other_fields.items()},
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
    return plain(shown(task.inputs.get("language") or ""), HEADING) or "the language of the brief"


def brief(task: WritingTask) -> str:
    """Return the inputs, a line for each, whole: `largest_call` is what a plan checks them against."""
    labels = {spec["name"]: spec["label"] for spec in task.template.get("inputs", ())}
    named = ((labels.get(name) or name.replace("_", " "), value) for name, value in inputs_of(task).items())
    return "\n".join(["Brief:", *(f"{plain(label, 80)}: {shown(value)}" for label, value in named)])


def shown(value: Any) -> str:
    """Return a value as text."""
    return without_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def one_line(value: Any) -> str:
    """Return a value as one line."""
    text = shown(value)
    return plain(text, max(1, len(text)))


def planning(task: WritingTask) -> str:
    """The prompt for the plan of a text."""
    parts = [f"{number}. {heading or 'Text'}: {holds}" for number, (heading, holds) in enumerate(parts_of(task), 1)]
    order = (
        f"Plan a text with {len(parts)} sections. First write one line that starts with `Title:` and gives the title. "
        "Then, for each section, write one line: its number, a full stop, a short heading that says what this text "
        "tells there, a vertical bar `|`, and in one sentence the point it makes. "
        f"Write title, headings and points in {_language(task)}."
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


def planned(task: WritingTask, plan: str) -> list[PlannedPart]:
    """The sections with the headings and points of the plan; where it has none, with the template's headings."""
    lines = {int(match[1]): match[2].strip(" \t*_") for match in _NUMBERED.finditer(plan)}
    parts: list[PlannedPart] = []
    usual_names = {sections.bare(heading) for heading, _ in parts_of(task)}
    used: set[str] = set()
    for number, (usual, holds) in enumerate(parts_of(task), 1):
        first, bar, rest = lines.get(number, "").partition("|")
        heading = plain(first[:HEADING].strip(" \t#*_`\"'“”:"), HEADING) if bar and usual else ""
        # A section is found by its heading, so each needs one of its own.
        taken = used | (usual_names - {sections.bare(usual)}) | {""}
        heading = usual if sections.bare(heading) in taken else heading
        used.add(sections.bare(heading))
        parts.append(PlannedPart(heading, holds, plain((rest if bar else first).strip(" \t*_"), 400)))
    return parts


def composing(task: WritingTask, length: int) -> str:
    """The prompt for a whole text of so many words, with title and headings."""
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
    """The prompt for section `number` of `parts`, with its point and the text before it."""
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
    """Return the prompt for one section of a stored text, and of what is around it the beginning."""
    name = plain(section.heading, TITLE)
    parts = [f"Write the section `{name}` again, without its heading, in about {length} words unless told otherwise."]
    if section.instructions.strip():
        parts.append(f"What to change: {section.instructions}")
    if task.inputs:
        parts.append(brief(task))
    around = section.document.replace(section.text, "[the section]") if section.text else section.document
    parts.append(f"The document around it:\n{beginning(around, 2 * CONTEXT)}")
    parts.append(f"The section says now:\n{section.text}")
    return "\n\n".join(parts)
