"""The answers of a model: made to fit under a heading, or refused where they are no part of an article."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from contentops import sections
from contentops.server import contents
from contentops.server.engines.outline import escape, plain
from contentops.server.engines.prompts import TITLE, brief, system

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.server.engines.protocol import WritingTask

_WRAPPED = re.compile(r"\A\s*(`{3,}|~{3,})(?:markdown|md|text)?[ \t]*\n(.*)\n\1[ \t]*\Z", re.DOTALL | re.IGNORECASE)


def size(text: str) -> int:
    """The number of words; in a script without spaces, the number that the same text has about in English."""
    return max(len(text.split()), len(text) // _LETTERS)


def _unwrapped(text: str) -> str:
    wrapped = _WRAPPED.match(text)
    return (wrapped[2] if wrapped and wrapped[1] not in wrapped[2] else text).strip("\n")


def whole(text: str) -> tuple[str, str]:
    """The title and the body of a model's answer that is a whole text; the title is empty where it has none."""
    inner = _unwrapped(text)
    first = next(sections.parse_headings(inner), None)
    title, named = "", _TITLED.match(inner)
    if first is not None and first.first == 0 and first.level == 1:
        title, inner = first.text, "\n".join(inner.split("\n")[first.end :])
    elif named is not None:
        title, inner = named[1], inner[named.end() :]
    return plain(title.strip(" \t*_#`\"'“”"), TITLE), contents.nested(inner.strip("\n"), 1).strip("\n")


def tidy(text: str, heading: str, level: int) -> str:
    """A model's answer as the text under `heading`: unwrapped, without the heading, with every block closed."""
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
"""The length in characters from which a repeated paragraph is not an accident."""


def no_article(text: str, before: str, task: WritingTask) -> str:
    """Why an answer cannot be part of an article after the text `before`; empty where it can.

    Small models repeat the prompt, speak to the reader as an assistant, or write the same text again.
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
    inner = text.strip()
    if inner.startswith("```") and inner.endswith("```"):
        inner = inner.removesuffix("```").partition("\n")[2].strip()
    if not inner.startswith(("{", "[")):
        return False
    try:
        json.loads(inner)
    except (ValueError, RecursionError):
        return False
    return True


def _paragraphs(text: str) -> list[str]:
    """Long paragraphs of prose in a comparable form; tables, lists, headings and code may be repeated."""
    parts = (" ".join(part.split()).casefold() for part in text.split("\n\n"))
    return [part for part in parts if len(part) >= _PARAGRAPH and part[0].isalpha()]


def _loops(text: str) -> bool:
    """Whether most lines of a text repeat others."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) >= 6 and 2 * len(set(lines)) < len(lines)


def assembled(headings: Sequence[str], texts: Sequence[str]) -> str:
    """The body: each section under its heading."""
    titled = zip(headings, texts, strict=True)
    return "\n\n".join(f"## {escape(heading)}\n\n{text}" if heading else text for heading, text in titled) + "\n"
