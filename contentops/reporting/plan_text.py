"""A plan as text for a terminal."""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import plural
from contentops.model import Action
from contentops.model.jobs import cost_words
from contentops.reporting.layout import changed_words, paint
from contentops.reporting.summary import (
    SETTINGS,
    SIGNS,
    STATES,
    action_words,
    approval_sentence,
    budget_words,
    change_cost,
    empty_sentence,
    in_environment,
    is_review,
    month_sentence,
    next_apply,
    plan_sentence,
    reason_words,
    shared_causes,
    unsaid_hint,
    way_on,
    who_refuses,
    words_of,
)
from contentops.sanitize import ELLIPSIS, clip, columns, short, short_pair, visible

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from markupsafe import Markup

    from contentops.model import Change, Job, Json, Note, Plan, Reason


# ---- A plan as text for a terminal.

FOLD_FROM = 10
"""More similar changes than this are folded into one line."""
FOLD_TO = 3
"""Similar changes that are shown before the fold."""
_NOTES = 10
"""Notes of one kind that are shown."""
_CAUSES = 10
"""Shared causes that are shown."""
_ID_ROOM = 40
_GENERATION = ("submit", "poll", "write")
_IMPLIED: Mapping[Action, frozenset[tuple[str, ...]]] = {
    **dict.fromkeys(
        (Action.CREATE, Action.REGENERATE, Action.OVERWRITE, Action.MERGE),
        frozenset({_GENERATION, (*_GENERATION, "save")}),
    ),
    **{
        action: frozenset({(step,)})
        for action, step in (
            (Action.MOVE, "move"),
            (Action.RENAME, "move"),
            (Action.UPDATE, "update"),
            (Action.SAVE, "save"),
            (Action.REMOVE, "remove"),
            (Action.KEEP, "record"),
        )
    },
    Action.PROMOTE: frozenset({("promote", "write"), ("promote", "write", "save")}),
}
"""The steps that the word for an action implies, so that they are not listed."""
_VALUE = 60


def plan_text(plan: Plan, *, verbose: bool, advice: bool = True, flags: Sequence[str] = ()) -> str:
    """The plan with its reasons, costs and notes; the last lines are the counts and the price.

    `verbose` lists every change with its steps, and every value in full length. `advice` adds what `apply` would refuse
    and the next command, which repeats `flags`: those the plan was made with.
    """
    sections = [
        _header(plan),
        "\n".join(_changes(plan, verbose=verbose)),
        "\n".join(_causes(plan, verbose=verbose)),
        "\n".join(_notes(plan, verbose=verbose)),
        "\n".join(_ending(plan, advice=advice, flags=flags)),
    ]
    return "\n\n".join(section for section in sections if section)


def _header(plan: Plan) -> str:
    environment = f", environment `{visible(plan.environment)}`" if plan.environment else ""
    text = f"Project `{visible(plan.project)}`{environment}, server `{visible(plan.server)}`{budget_words(plan)}"
    changed = (f"  {paint('!', 'warning')} {_setting(note)}" for note in plan.notes if note.kind == SETTINGS)
    return "\n".join([paint(text, "strong"), *changed])


def _setting(note: Note) -> str:
    return f"{visible(note.message)} ({visible(note.hint)})" if note.hint else visible(note.message)


# --- changes -----------------------------------------------------------------------------------------------


def _likeness(change: Change) -> Hashable:
    """The key by which similar changes are folded into one line."""
    reasons = tuple((reason.kind, reason.field, reason.cause) for reason in change.reasons)
    return (change.action, change.names, change.blocked, change.holder, change.credits_at_most, reasons)


def _changes(plan: Plan, *, verbose: bool) -> Iterator[str]:
    likeness = [_likeness(change) for change in plan.changes]
    sizes = Counter(likeness)
    alike: dict[Hashable, list[Change]] = {}
    for kind, change in zip(likeness, plan.changes, strict=True):
        alike.setdefault(kind, []).append(change)
    seen: Counter[Hashable] = Counter()
    room = min(max((columns(visible(change.id)) for change in plan.changes), default=0), _ID_ROOM)
    priced = (change for change in plan.changes if _is_priced(change))
    price_room = max((len(change_cost(change)) for change in priced), default=0)
    for kind, change in zip(likeness, plan.changes, strict=True):
        folded = not verbose and sizes[kind] > FOLD_FROM
        seen[kind] += 1
        if not folded or seen[kind] <= FOLD_TO:
            yield from _change(change, room, price_room, verbose=verbose)
            if change.hint:
                hint = in_environment(unsaid_hint(change), plan.option)
                yield f"      {paint('hint', 'hint')}: {visible(hint)}"
        elif seen[kind] == FOLD_TO + 1:
            yield _fold(alike[kind][FOLD_TO:])


def _is_priced(change: Change) -> bool:
    return bool(change.credits_worst or change.money_worst or change.has_no_price)


def _fold(changes: Sequence[Change]) -> str:
    action, number = changes[0].action, len(changes)
    sign, style = SIGNS[action]
    cost = f", {cost_words(changes)}" if any(map(_is_priced, changes)) else ""
    text = f"{ELLIPSIS} {number:,} more {'' if action in STATES else 'to '}{words_of(action)}"
    return f"  {paint(sign, style)} {text} for the same reasons{cost} (`--verbose` lists them)"


def _change(change: Change, room: int, price_room: int, *, verbose: bool) -> Iterator[str]:
    sign, style = SIGNS[change.action]
    name = visible(change.id)
    padded = paint(name, "strong") + " " * (room - columns(name))
    cost = f"{change_cost(change):<{price_room}}"
    parts = [f"{padded}  {paint(f'{action_words(change):<10}', style)}", cost, _paths(change)]
    parts += [f"due {change.spec.publish_on}"] if change.spec is not None and change.spec.publish_on else []
    yield f"  {paint(sign, style)} {'  '.join(part for part in parts if part)}".rstrip()
    for line in _details(change, verbose=verbose):
        yield f"      {line}"


def _paths(change: Change) -> str:
    if change.source and change.target and change.source != change.target:
        return f"{visible(change.source)} -> {visible(change.target)}"
    return visible(change.target or change.source)


def _details(change: Change, *, verbose: bool) -> Iterator[str]:
    again = f" (attempt {change.attempt})" if change.attempt > 1 and change.submits else ""
    if change.steps and (verbose or again or change.names not in _IMPLIED.get(change.action, ())):
        yield f"steps: {', '.join(map(words_of, change.names))}{again}"
    if change.renamed_from is not None:
        yield f"renamed from `{visible(change.renamed_from)}`"
    if change.blocked and all(reason.kind != change.blocked for reason in change.reasons):
        yield f"blocked: {visible(words_of(change.blocked))}"
    for reason in change.reasons:
        if verbose or not _is_said(change.action, reason):
            yield from _reason(reason, verbose=verbose)
    if change.job is not None and all(reason.kind != "open-job" for reason in change.reasons):
        yield f"open: {_open_job(change.job)}"
    for job in change.collected_jobs:
        yield f"collect: {_open_job(job)}"


def _is_said(action: Action, reason: Reason) -> bool:
    """Whether the word `create` says the reason already: that the item is new."""
    return action is Action.CREATE and reason.kind == "new" and not (reason.field or reason.detail or reason.cause)


def _reason(reason: Reason, *, verbose: bool) -> Iterator[str]:
    if not reason.field:
        yield reason_words(reason)
    else:
        width = 10_000 if verbose else _VALUE
        before, after = short_pair(reason.before, reason.after, width)
        has_values = reason.before is not None or reason.after is not None
        values = f"{before} -> {after}" if has_values else visible(words_of(reason.kind))
        detail = f" ({visible(reason.detail)})" if reason.detail else ""
        yield f"{visible(reason.field)}: {values}{detail}"
    if reason.cause:
        yield f"  because of {visible(reason.cause)}"


def _open_job(one: Job) -> str:
    job = f"job `{visible(one.job_id)}`" if one.job_id else f"request `{visible(one.request_id)}`"
    since = f" since {visible(one.submitted_at)}" if one.submitted_at else ""
    words = f": {clip(visible(one.error), 200)}" if one.error else ""
    return f"{job}, {one.state.value}{since}{words}"


# --- the rest ----------------------------------------------------------------------------------------------


def _causes(plan: Plan, *, verbose: bool) -> Iterator[str]:
    causes = shared_causes(plan)
    if not causes:
        return
    yield paint("Causes", "strong")
    shown = causes if verbose else causes[:_CAUSES]
    for one in shown:
        yield f"  {visible(one.cause)}: {plural(one.items, 'item')}, {one.cost}"
    if len(causes) > len(shown):
        yield f"  {ELLIPSIS} {len(causes) - len(shown):,} more (`--verbose` lists them)"


def _notes(plan: Plan, *, verbose: bool) -> Iterator[str]:
    notes = [note for note in plan.notes if note.kind != SETTINGS]
    if notes:
        yield paint("Notes", "strong")
    sizes = Counter(note.kind for note in notes)
    seen: Counter[str] = Counter()
    for note in notes:
        seen[note.kind] += 1
        if verbose or sizes[note.kind] <= _NOTES or seen[note.kind] < _NOTES:
            yield f"  {note_line(note)}"
            if note.hint:
                hint = in_environment(note.hint, plan.option)
                yield f"    {paint('hint', 'hint')}: {visible(hint)}"
        elif seen[note.kind] == _NOTES:
            hidden = sizes[note.kind] - _NOTES + 1
            yield f"  {ELLIPSIS} {hidden:,} more of kind {visible(note.kind)} (`--verbose` lists them)"


def note_line(note: Note) -> str:
    """A note as one line that names its item."""
    message = visible(note.message)
    if note.id is None or visible(note.id) in message:
        return message
    return f"`{visible(note.id)}`: {message}"


def _ending(plan: Plan, *, advice: bool, flags: Sequence[str]) -> Iterator[str]:
    if plan.empty:
        yield paint(empty_sentence(plan), "strong")
    else:
        yield paint(f"Plan: {plan_sentence(plan)}", "strong")
    yield from filter(None, (month_sentence(plan.spent, plan.budget), approval_sentence(plan)))
    if not advice:
        return
    for refusal in plan.refusals:
        way = way_on(refusal)
        text = f"{visible(refusal.message)} ({way})" if way else visible(refusal.message)
        yield f"{paint(who_refuses(refusal), 'warning')}: {text}"
    if plan.empty:
        return
    if not any(change.steps for change in plan.changes):
        if any(change.blocked for change in plan.changes):
            yield "Nothing can be done before the blocked items are resolved; see the hints above."
        else:
            yield "Nothing can be done here until the other processes are done."
    elif all(is_review(refusal) for refusal in plan.refusals):
        yield f"Next: `{next_apply(plan, flags)}`"
    elif line := next_apply(plan, flags):
        yield f"Next, if all of it is meant: `{line}`"


# ---- What was asked for, in words: a request as a person would say it.

_TOPICS: Final = ("topic", "title", "subject", "product_name")
_READERS: Final = ("target_audience", "audience")
_ROOM: Final = 2_000
"""Characters of a value that are shown."""


class Brief(Struct, frozen=True, kw_only=True):
    """A request in words."""

    sentence: tuple[tuple[str, str], ...]
    """Its pieces: the words that lead to a value, and the value."""
    line: str
    """The same in a few words: `blog article, content marketing, for office managers`."""
    values: tuple[tuple[str, str], ...]
    """Every field that shapes the text, and its value."""

    @property
    def words(self) -> str:
        """The whole sentence."""
        return " ".join(f"{lead} {value}" for lead, value in self.sentence) + "."


def brief_of(request: Mapping[str, Json]) -> Brief:
    """A request, as `Request.as_json` and the lock have it, in words."""
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
    return Brief(
        sentence=tuple(piece for piece in pieces if piece[1]),
        line=", ".join(filter(None, few)),
        values=tuple(_values(request, inputs)),
    )


def _values(request: Mapping[str, Json], inputs: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for key, value in {**{key: value for key, value in request.items() if key != "inputs"}, **inputs}.items():
        yield key.replace("_", " "), value_words(value)


def _name(slug: Json) -> str:
    return slug.replace("_", " ").replace("-", " ") if isinstance(slug, str) else ""


def value_words(value: Json) -> str:
    """A value as a person writes it, cut at some length; a list as its parts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(value_words, value))[:_ROOM]
    return value[:_ROOM] if isinstance(value, str) else short(value, _ROOM)


# ---- What the next apply does with one item, in words: a sentence, the fields that changed, and why.


class ChangeKind(enum.StrEnum):
    """Who has to act on a change."""

    HELD = "held"
    """A person has to choose."""
    UNKNOWN = "unknown"
    """The same: what became of a submit is not known."""
    PAID = "paid"
    FREE = "free"
    """It costs nothing and needs no one."""


class NextChange(Struct, frozen=True, kw_only=True):
    """A change in words."""

    kind: ChangeKind
    lead: str
    cost: str
    changes: tuple[tuple[str, Markup], ...] = ()
    """Fields with their values before and after, as HTML."""
    causes: tuple[str, ...] = ()
    hint: str = ""

    @property
    def needs_choice(self) -> bool:
        """Whether nothing happens until a person chooses."""
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
"""Kinds of reasons that are said in other words."""
_HELD: Final = "Blocked: someone must choose before anything happens to this text"
_HEADS: Final[Mapping[str, str]] = {
    "edited": "Blocked: this text was edited, and its brief changed",
    "foreign-file": "Blocked: a file that contentops does not manage is in the way",
    "emptied": "Blocked: the file is empty now",
    "missing": "Blocked: the file is missing",
}


def next_change(change: Change, option: str) -> NextChange:
    """A change in words; `option`: as in `Plan.option`."""
    kind = _KINDS.get(change.action, ChangeKind.PAID if change.submits_worst else ChangeKind.FREE)
    lead = f"The next apply {_DOES[change.action]}" if change.action in _DOES else _UNKNOWN
    if change.action is Action.WAIT:
        lead = _AFTER_OTHERS if change.later else _WAITS
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
    """The values of a reason before and after, as HTML; empty where it has none."""
    before, after = ("" if value is None else value_words(value) for value in (reason.before, reason.after))
    return changed_words(before, after)
