"""The outline engine: a plan of the text, written from the template's sections and the inputs, without a model.

The same job always gives the same bytes; the order of keys in its inputs does not matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from contentops.server.catalog import value_of
from contentops.server.engines import Draft
from contentops.server.engines.prose import escape, inline, ordered, plain, points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.server.engines import Job, Report, Section

LABEL = "> Draft outline, made offline by the embedded server. It is the plan of a text, not the text."

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


class Outline:
    """Deterministic outlines; never fails, whatever the inputs hold."""

    name = "outline"

    async def write(self, job: Job, report: Report) -> Draft:
        """An outline with one heading per section of the template."""
        for stage in job.stages:
            await report(stage)
        said = said_in(job)
        title = _title(job, said)
        blocks = [LABEL, _setting(job, said)]
        used = set(_slots(_patterns(job)))
        for section in job.template.get("sections", ()):
            blocks += [f"## {escape(section['heading'])}", *_section(job, section, said, used)]
        blocks += _rest(job, said, used)
        if job.mode == "premium":
            blocks += ["## Before publishing", "\n".join(f"- [ ] {line}" for line in _CHECKLIST)]
        return Draft(title=title, body="\n\n".join(block for block in blocks if block) + "\n")

    async def rewrite(self, job: Job, section: Section, report: Report) -> str:
        """The plan of one section, with the instructions beside what the section said before."""
        for stage in job.stages:
            await report(stage)
        heading = inline(section.heading, _TITLE)
        words = len(section.text.split())
        blocks = [LABEL, f"A new take on {heading}, in a {inline(job.style.get('tone', 'plain'))} tone."]
        if section.instructions.strip():
            blocks.append("\n".join(["What to change:", "", *(f"- {line}" for line in points(section.instructions))]))
        blocks.append(f"The earlier text had {words} word{'' if words == 1 else 's'}.")
        opening = inline(section.text.removeprefix(LABEL))
        blocks.append(f"It began: {opening}" if opening else "")
        return "\n\n".join(block for block in blocks if block) + "\n"


def said_in(job: Job) -> dict[str, Any]:
    """Every input by its own name, defaults filled in; first the template's, then others in the order of names."""
    inputs = dict(job.inputs)
    found: dict[str, Any] = {}
    for spec in job.template.get("inputs", ()):
        value = value_of(spec, inputs)
        if value is not None:
            found[spec["name"]] = value
        for name in (spec["name"], *spec.get("aliases", ())):
            inputs.pop(name, None)
    found.update((name, inputs[name]) for name in ordered(inputs) if inputs[name] is not None)
    return found


def _slots(texts: Iterable[str]) -> list[str]:
    return [name for text in texts for name in _SLOT.findall(text)]


def _filled(text: str, said: Mapping[str, Any]) -> str | None:
    """`text` with its slots filled in, or None where one has nothing to say."""
    if any(name not in said for name in _slots([text])):
        return None
    return _SLOT.sub(lambda slot: inline(said[slot[1]]), text)


def _patterns(job: Job) -> list[str]:
    return ["{title}", *job.template.get("titles", ())]


def title_of(job: Job) -> str:
    """A title made of the inputs by the template's own pattern; never empty."""
    return _title(job, said_in(job))


def _title(job: Job, said: Mapping[str, Any]) -> str:
    for pattern in (*_patterns(job), *(f"{{{name}}}" for name in _TITLES)):
        if any(name not in said for name in _slots([pattern])):
            continue
        # A title is no Markdown: it is cleaned but not escaped.
        title = plain(_SLOT.sub(lambda slot: _unescaped(said[slot[1]]), pattern), _TITLE)
        if title:
            return title
    return plain(str(job.template.get("name") or "Untitled"), _TITLE)


def _unescaped(value: Any) -> str:
    return plain(value, _TITLE) if isinstance(value, str) else re.sub(r"\\(.)", r"\1", inline(value, _TITLE))


def _setting(job: Job, said: Mapping[str, Any]) -> str:
    style = job.style
    tone = inline(said.get("article_tone") or style.get("tone") or "plain")
    found = [f"Style: {escape(str(style.get('name') or style.get('slug') or 'general'))}."]
    found.append(f"The tone is {tone}, the voice {inline(style.get('voice') or 'neutral')}.")
    readers = inline(said.get("target_audience") or style.get("audience") or "general readers")
    found.append(f"It is written for {readers}.")
    if job.vertical:
        found.append(f"The field is {inline(job.vertical)}.")
    if job.brand_voice:
        found.append(f"It follows the brand voice {inline(job.brand_voice)}.")
    words = said.get("word_count_target")
    if isinstance(words, int | float) and not isinstance(words, bool) and 0 < words < _WORDS:
        parts = max(1, len(job.template.get("sections", ())))
        found.append(f"Aim for about {round(words)} words, some {max(1, round(words / parts))} in each section.")
    return " ".join(found)


def _section(job: Job, section: Mapping[str, Any], said: Mapping[str, Any], used: set[str]) -> list[str]:
    sentences = [f"This part covers {section['holds']}."]
    for sentence in section.get("sentences", ()):
        text, condition = (sentence, None) if isinstance(sentence, str) else (sentence["text"], sentence["when"])
        if condition is not None:
            used.add(condition)
            if said.get(condition) in _OFF:
                continue
        filled = _filled(text, said)
        if filled is not None:
            sentences.append(_stopped(filled))
            used.update(_slots([text]))
    if job.mode == "quick":
        sentences = sentences[:2]
    blocks = [" ".join(sentences)]
    for name in section.get("points", ()):
        if name in said:
            used.add(name)
            blocks.append("\n".join([f"{_label(job, name)}:", "", *(f"- {line}" for line in points(said[name]))]))
    return blocks


def _stopped(sentence: str) -> str:
    # A value that ends a sentence itself must not leave two full stops.
    return re.sub(r"([.!?…])\.$", r"\1", sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}.")


def _label(job: Job, name: str) -> str:
    known = next((spec["label"] for spec in job.template.get("inputs", ()) if spec["name"] == name), "")
    words = known or plain(name.replace("_", " "), 60)
    return escape(words[:1].upper() + words[1:])


def _rest(job: Job, said: Mapping[str, Any], used: set[str]) -> list[str]:
    """The inputs no section spoke of, so that nothing a person asked for is lost from sight."""
    shown = used | {"title", "target_audience", "article_tone", "word_count_target"}
    flags = {spec["name"] for spec in job.template.get("inputs", ()) if spec["type"] == "checkbox"}
    left = [name for name in said if name not in shown and name not in flags]
    if not left:
        return []
    return ["## Also asked for", "\n".join(f"- **{_label(job, name)}**: {inline(said[name])}" for name in left)]
