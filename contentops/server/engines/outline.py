"""Makes an outline in Markdown from a template's sections and the inputs, without a model.

The same task always gives the same bytes; the order of keys in the inputs does not matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from contentops.server.catalog import value_of
from contentops.server.engines.protocol import ReportStage, SectionTask, WritingTask, WrittenText

INLINE = 280
"""The most characters of one value inside a sentence."""
POINT = 600
"""The most characters of one point in a list."""
POINTS = 40
"""The most points shown of one value."""
DEPTH = 3
"""How deep nested lists and maps are written out."""

_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff]")
_SPACE = re.compile(r"\s+")
_SPECIAL = re.compile(r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])")
# Liquid and Nunjucks read braces before Markdown, and Python-Markdown does not know a backslash before the others.
_REFERENCED = re.compile(r"[{}<~]|&(?=#?\w+;)|\$(?=\$)|^[=:|]")
_BLOCK = re.compile(r"^(?:[-+#>!]|\d{1,9}(?=[.)](?:\s|$)))")


def without_controls(text: str) -> str:
    """Return `text` without control characters except tab and line feed.

    Joiners and unassigned letters stay: scripts need joiners, and Unicode adds letters.
    """
    return "".join(char for char in text if char in "\t\n" or unicodedata.category(char) != "Cc")


def plain(value: str, limit: int) -> str:
    """Return a text as one line of at most `limit` characters. Control characters and direction marks are removed.

    Repeated spaces become one. The result is empty if no character is visible.
    """
    # Cut before anything scans the text, as a value may be megabytes.
    cut = value[: limit * 4 + 64]
    cut = cut.encode("utf-8", "replace").decode()
    shown = "".join(" " if unicodedata.category(char) == "Cc" else char for char in _DIRECTIONS.sub("", cut))
    line = _SPACE.sub(" ", shown).strip()
    if all(unicodedata.category(char) in {"Cf", "Zs"} for char in line):
        return ""
    if len(line) <= limit and len(value) <= len(cut):
        return line
    return f"{line[: limit - 1].rstrip()}…"


def escape(line: str) -> str:
    """Escape all characters in a line that Markdown, HTML or a site generator would interpret."""
    safe = _BLOCK.sub(_literal_start, _SPECIAL.sub(r"\\\g<0>", line))
    return _REFERENCED.sub(_reference, safe)


def _reference(match: re.Match[str]) -> str:
    """Return a character as an HTML character reference."""
    return {"<": "&lt;", "&": "&amp;"}.get(match[0]) or f"&#{ord(match[0])};"


def _literal_start(match: re.Match[str]) -> str:
    # A number cannot be escaped, but the mark after it, which makes it a list, can.
    return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"


def inline(value: Any, limit: int = INLINE) -> str:
    """Return a value as words for a sentence: a list as `a, b and c`, a map as `key: value`."""
    return escape(_line(value, limit))


def _line(value: Any, limit: int, depth: int = 0) -> str:
    if isinstance(value, str):
        return plain(value, limit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if depth > DEPTH and isinstance(value, Mapping | Sequence):
        return "…"
    if isinstance(value, Mapping):
        pairs = [f"{plain(str(key), 60)}: {_line(value[key], limit, depth + 1)}" for key in ordered(value)]
        return plain(_joined(pairs, depth), limit)
    if isinstance(value, Sequence):
        return plain(_joined([_line(item, limit, depth + 1) for item in value[:POINTS]], depth), limit)
    return "none" if value is None else plain(str(value), limit)


def _joined(parts: list[str], depth: int) -> str:
    if depth or len(parts) < 2:
        return ", ".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def ordered(value: Mapping[str, Any]) -> list[str]:
    """Return the first keys of a map in sorted order, so that the key order of a request does not matter."""
    return sorted(value, key=str)[:POINTS]


def points(value: Any) -> list[str]:
    """Return a value as list items: one for each entry of a list or map, or for each line of a text."""
    if isinstance(value, Mapping):
        shown = [f"**{escape(plain(str(key), 60))}**: {inline(value[key], POINT)}" for key in ordered(value)]
        return _counted(shown, len(value))
    if isinstance(value, str):
        lines = [line for line in value[: POINT * POINTS].splitlines() if plain(line, POINT)]
        return _counted([inline(line, POINT) for line in lines[:POINTS]], len(lines))
    if isinstance(value, Sequence):
        return _counted([inline(item, POINT) for item in value[:POINTS]], len(value))
    return [inline(value, POINT)]


def _counted(shown: list[str], total: int) -> list[str]:
    hidden = total - len(shown)
    return [*shown, f"and {hidden} more"] if hidden > 0 else shown


LABEL = "> Draft outline, made offline by the bundled server. It is the plan of a text, not the text."

_SLOT = re.compile(r"\{(\w+)\}")
_TITLE = 200
_WORDS = 10_000_000
_TITLES = ("title", "topic", "headline", "headline_focus", "subject", "name")
_OFF = (False, None, 0, "", "no", "false", "off", "0")
_CHECKLIST = (
    "Every name, figure and date has been checked against its source",
    "Nothing in the text depends on a promise that has not been approved",
    "Someone from the audience has read it aloud",
)


class OutlineEngine:
    """An engine that writes outlines without a model. An outline depends only on the request."""

    name = "outline"
    model = ""

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """Return an outline with one heading per section of the template."""
        for stage in task.stages:
            await report(stage)
        values = inputs_of(task)
        blocks = [LABEL, _setting(task, values)]
        used = set(_SLOT.findall(" ".join(_patterns(task))))
        for section in task.template.get("sections", ()):
            blocks += [f"## {escape(section['heading'])}", *_section(task, section, values, used)]
        blocks += _rest(task, values, used)
        if task.request.mode == "premium":
            blocks += ["## Before publishing", "\n".join(f"- [ ] {line}" for line in _CHECKLIST)]
        return WrittenText(title=title_of(task), body="\n\n".join(block for block in blocks if block) + "\n")

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """Return a new outline of one section, with the instructions and the start of the earlier text."""
        for stage in task.stages:
            await report(stage)
        heading = inline(section.heading, _TITLE)
        words = len(section.text.split())
        changes = ["What to change:", "", *(f"- {line}" for line in points(section.instructions))]
        opening = inline(section.text.removeprefix(LABEL))
        blocks = [
            LABEL,
            f"A new take on {heading}, in a {inline(task.style.get('tone', 'plain'))} tone.",
            "\n".join(changes) if section.instructions.strip() else "",
            f"The earlier text had {words} word{'' if words == 1 else 's'}.",
            f"It began: {opening}" if opening else "",
        ]
        return "\n\n".join(block for block in blocks if block) + "\n"


def inputs_of(task: WritingTask) -> dict[str, Any]:
    """Return all inputs with their values or defaults.

    The inputs of the template come first, in its order; the others follow, sorted by name.
    """
    inputs = dict(task.request.inputs)
    values: dict[str, Any] = {}
    for spec in task.template.get("inputs", ()):
        value = value_of(spec, inputs)
        if value is not None:
            values[spec["name"]] = value
        for name in (spec["name"], *spec.get("aliases", ())):
            inputs.pop(name, None)
    values.update((name, inputs[name]) for name in ordered(inputs) if inputs[name] is not None)
    return values


def _patterns(task: WritingTask) -> list[str]:
    return ["{title}", *task.template.get("titles", ())]


def title_of(task: WritingTask) -> str:
    """Return a title, made from the inputs and the template's title patterns. The title is never empty."""
    values = inputs_of(task)
    for pattern in (*_patterns(task), *(f"{{{name}}}" for name in _TITLES)):
        if all(name in values for name in _SLOT.findall(pattern)):
            # A title is not Markdown: it is cleaned, not escaped.
            title = plain(_SLOT.sub(lambda slot: _line(values[slot[1]], _TITLE), pattern), _TITLE)
            if title:
                return title
    return plain(str(task.template.get("name") or "Untitled"), _TITLE)


_FOLLOWED = {"vertical": "The field is {}.", "brand_voice": "It follows the brand voice {}."}


def _setting(task: WritingTask, values: Mapping[str, Any]) -> str:
    style = task.style
    tone = inline(values.get("article_tone") or style.get("tone") or "plain")
    readers = inline(values.get("target_audience") or style.get("audience") or "general readers")
    sentences = [
        f"Style: {escape(str(style.get('name') or style.get('slug') or 'general'))}.",
        f"The tone is {tone}, the voice {inline(style.get('voice') or 'neutral')}.",
        f"It is written for {readers}.",
    ]
    if language := inline(values.get("language") or "", _TITLE):
        sentences.append(f"The language is {language}.")
    for name, value in task.request.context.items():
        sentences.append(_FOLLOWED.get(name, f"The {name.replace('_', ' ')} is {{}}.").format(inline(value)))
    words = values.get("word_count_target")
    if isinstance(words, int | float) and not isinstance(words, bool) and 0 < words < _WORDS:
        sentences.append(f"Aim for about {round(words)} words, evenly spread over the sections.")
    return " ".join(sentences)


def _section(task: WritingTask, section: Mapping[str, Any], values: Mapping[str, Any], used: set[str]) -> list[str]:
    sentences = [f"This part covers {section['holds']}."]
    for sentence in section.get("sentences", ()):
        text, condition = (sentence, None) if isinstance(sentence, str) else (sentence["text"], sentence["when"])
        if condition is not None:
            used.add(condition)
            if values.get(condition) in _OFF:
                continue
        slots = _SLOT.findall(text)
        if all(name in values for name in slots):
            sentences.append(_stopped(_SLOT.sub(lambda slot: inline(values[slot[1]]), text)))
            used.update(slots)
    if task.request.mode == "quick":
        sentences = sentences[:2]
    blocks = [" ".join(sentences)]
    for name in section.get("points", ()):
        if name in values:
            used.add(name)
            blocks.append("\n".join([f"{_label(task, name)}:", "", *(f"- {line}" for line in points(values[name]))]))
    return blocks


def _stopped(sentence: str) -> str:
    # A value that ends a sentence itself must not leave two full stops.
    return re.sub(r"([.!?…])\.$", r"\1", sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}.")


def _label(task: WritingTask, name: str) -> str:
    given = next((spec["label"] for spec in task.template.get("inputs", ()) if spec["name"] == name), "")
    label = given or plain(name.replace("_", " "), 60)
    return escape(label[:1].upper() + label[1:])


def _rest(task: WritingTask, values: Mapping[str, Any], used: set[str]) -> list[str]:
    """Return a heading and a list of the inputs that no section has used."""
    shown = used | {"title", "target_audience", "article_tone", "language", "word_count_target"}
    flags = {spec["name"] for spec in task.template.get("inputs", ()) if spec["type"] == "checkbox"}
    unused = [name for name in values if name not in shown and name not in flags]
    if not unused:
        return []
    return ["## Also asked for", "\n".join(f"- **{_label(task, name)}**: {inline(values[name])}" for name in unused)]
