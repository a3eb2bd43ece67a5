"""Describes in words an item's request, and what the next apply does with the item."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from contentops.model import Action, Change, Json, Reason
from contentops.reporting.prose import changed_words
from contentops.reporting.summary import (
    change_cost,
    in_environment,
    reason_words,
    unsaid_hint,
)
from contentops.sanitize import short

# ---- A request in words, as a person would say it.

_TOPICS: Final = ("topic", "title", "subject", "product_name")
_READERS: Final = ("target_audience", "audience")
_ROOM: Final = 2_000
"""The most characters of a value that are shown."""


class Brief(Struct, frozen=True, kw_only=True):
    """A request, described in words."""

    sentence: tuple[tuple[str, str], ...]
    """The parts of the sentence: the words that introduce a value, and the value."""
    line: str
    """The request in a few words: `blog article, content marketing, for office managers`."""
    values: tuple[tuple[str, str], ...]
    """Every field that shapes the text, and its value."""

    @property
    def words(self) -> str:
        """Return the request as one sentence."""
        return " ".join(f"{lead} {value}" for lead, value in self.sentence) + "."


def brief_of(request: Mapping[str, Json]) -> Brief:
    """Describe a request in words. The request is JSON, as `Request.as_json` and the lock have it."""
    stated = request.get("inputs")
    inputs: Mapping[str, Json] = stated if isinstance(stated, dict) else {}
    template = _name(request.get("template")).removesuffix(" generator")
    style, vertical, voice = (_name(request.get(key)) for key in ("style", "vertical", "brand_voice"))
    topic, reader = (
        next((value_words(inputs[key]) for key in keys if inputs.get(key)), "") for keys in (_TOPICS, _READERS)
    )
    mode = _name(request.get("mode"))
    pieces = (
        ("An" if template[:1] in "aeiou" else "A", template or "text"),
        ("in the style", style),
        ("on", topic),
        ("for", reader),
        ("in the field", vertical),
        ("with the brand voice", voice),
        ("in the mode", "" if mode == "standard" else mode),
    )
    few = (template, style, f"for {reader}" if reader else "")
    fields = {**{key: value for key, value in request.items() if key != "inputs"}, **inputs}
    return Brief(
        sentence=tuple(piece for piece in pieces if piece[1]),
        line=", ".join(filter(None, few)),
        values=tuple((key.replace("_", " "), value_words(value)) for key, value in fields.items()),
    )


def _name(slug: Json) -> str:
    return slug.replace("_", " ").replace("-", " ") if isinstance(slug, str) else ""


def value_words(value: Json) -> str:
    """Return a value of a request as plain text, shortened if it is long. The entries of a list are joined."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(value_words, value))[:_ROOM]
    return value[:_ROOM] if isinstance(value, str) else short(value, _ROOM)


# ---- What the next apply does with one item, in words: a sentence, the fields that changed, and why.


class ChangeKind(enum.StrEnum):
    """Says whether a person has to decide about a change, and whether it costs money."""

    HELD = "held"
    """A person has to choose."""
    UNKNOWN = "unknown"
    """A person has to choose, because the outcome of a submit is not known."""
    PAID = "paid"
    FREE = "free"
    """It costs nothing, and no person has to act."""


class NextChange(Struct, frozen=True, kw_only=True):
    """The description of a change in words and HTML."""

    kind: ChangeKind
    lead: str
    cost: str
    changes: tuple[tuple[str, Markup], ...] = ()
    """Fields with their values before and after, as HTML."""
    causes: tuple[str, ...] = ()
    hint: str = ""

    @property
    def needs_choice(self) -> bool:
        """Return whether a person has to decide before anything happens."""
        return self.kind in (ChangeKind.HELD, ChangeKind.UNKNOWN)


_DOES: Final[Mapping[Action, str]] = {
    Action.CREATE: "writes its first text",
    Action.REGENERATE: "writes a new text",
    Action.OVERWRITE: "replaces the edited text by a new one",
    Action.MERGE: "writes a new text and keeps the sections that were edited",
    Action.KEEP: "keeps the edited text",
    Action.FINISH: "writes the text that is already paid for",
    Action.RESTORE: "restores the text in the file",
    Action.PROMOTE: "promotes the text from another environment",
    Action.MOVE: "moves the file",
    Action.RENAME: "gives the text its new id",
    Action.UPDATE: "updates the front matter",
    Action.SAVE: "saves the text to the server",
    Action.DRAIN: "collects the text of an earlier job",
    Action.REMOVE: "removes the file",
    Action.PENDING: "waits for the process that works on it",
}
_WAITS: Final = "The next apply leaves it waiting for other texts"
_AFTER_OTHERS: Final = "The next apply writes its text after those that it uses"
_UNKNOWN: Final = "The outcome of a submit is unknown: its answer was lost"
_KINDS: Final = {Action.BLOCKED: ChangeKind.HELD, Action.RESOLVE: ChangeKind.UNKNOWN}
_KNOWN: Final = frozenset({"new", "edited", "save"})
"""Kinds of reasons that the description already says in other words."""
_HELD: Final = "Blocked: someone must choose before anything happens to this text"
_HEADS: Final[Mapping[str, str]] = {
    "edited": "Blocked: this text was edited, and its brief changed",
    "foreign-file": "Blocked: a file that contentops does not manage is in the way",
    "emptied": "Blocked: the file is empty now",
    "missing": "Blocked: the file is missing",
}


def next_change(change: Change, option: str) -> NextChange:
    """Describe in words what the next apply does for an item. For `option` see `Plan.option`."""
    kind = _KINDS.get(change.action, ChangeKind.PAID if change.submits_worst else ChangeKind.FREE)
    lead = f"The next apply {_DOES[change.action]}" if change.action in _DOES else _UNKNOWN
    if change.action is Action.WAIT:
        lead = _AFTER_OTHERS if change.pays_later else _WAITS
    fields = [reason for reason in change.reasons if reason.field]
    if kind in (ChangeKind.HELD, ChangeKind.UNKNOWN):
        # Its front matter is updated for free, whatever is chosen.
        fields = [reason for reason in fields if not reason.field.startswith("metadata.")]
    others = [reason for reason in change.reasons if not reason.field and reason.kind not in _KNOWN]
    said = [reason.detail if reason.kind == "waits" else reason_words(reason) for reason in others]
    causes = [reason.cause for reason in change.reasons if reason.cause]
    causes += [reason.detail for reason in fields if reason.kind == "front-matter" and reason.detail]
    return NextChange(
        kind=kind,
        lead=_HEADS.get(change.blocked, _HELD) if kind is ChangeKind.HELD else lead,
        cost=change_cost(change) or "free",
        changes=tuple((reason.field.removeprefix("inputs."), value_diff(reason)) for reason in fields),
        causes=tuple(dict.fromkeys((*causes, *said))),
        hint=in_environment(unsaid_hint(change), option),
    )


def value_diff(reason: Reason) -> Markup:
    """Return the old and new value of a changed field as HTML, with the changed words marked."""
    before, after = ("" if value is None else value_words(value) for value in (reason.before, reason.after))
    return changed_words(before, after)
