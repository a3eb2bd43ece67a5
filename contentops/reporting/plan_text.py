"""Shows a plan as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

from contentops.errors import plural
from contentops.model import Action, AnyChange, AnyPlan, Job, Note, Reason
from contentops.model.jobs import cost_words
from contentops.model.plan import ReviewedJob
from contentops.reporting.layout import cut, paint
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
from contentops.sanitize import ELLIPSIS, clip, columns, short_pair, visible

FOLD_FROM = 10
"""More similar changes than this are folded into one line."""
FOLD_TO = 3
"""The number of similar changes that are shown before the fold."""
_NOTES = 10
"""The most notes of one kind that are shown."""
_CAUSES = 10
"""The most shared causes that are shown."""
_ID_ROOM = 40
"""The most columns of the ids."""
_PATH_ROOM = 16
"""The least columns of the paths."""
_FRAME = len("  +   " + "regenerate" + "    ")
"""The columns of a row beside its id, price and path."""
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
"""The steps that the name of an action implies. They are not listed."""
_VALUE = 60


def plan_text(plan: AnyPlan, *, verbose: bool, advice: bool = True, flags: Sequence[str] = (), width: int = 0) -> str:
    """Return the plan as text with reasons, costs and notes. The counts and the price come last.

    `verbose` lists every change with its steps, and every value in full length. `advice` adds what `apply` would
    refuse, and the next command. That command repeats `flags`, with which the plan was made. `width` is the most
    columns of a row of the table, whose paths are cut to fit, or 0 for any number.
    """
    sections = [
        _header(plan),
        "\n".join(_changes(plan, width, verbose=verbose)),
        "\n".join(_causes(plan, verbose=verbose)),
        "\n".join(_notes(plan, verbose=verbose)),
        "\n".join(_ending(plan, advice=advice, flags=flags)),
    ]
    return "\n\n".join(section for section in sections if section)


def _header(plan: AnyPlan) -> str:
    environment = f", environment `{visible(plan.environment)}`" if plan.environment else ""
    text = f"Project `{visible(plan.project)}`{environment}, server `{visible(plan.server)}`{budget_words(plan)}"
    settings = ((note.message, note.hint) for note in plan.notes if note.kind == SETTINGS)
    changed = (f"  {paint('!', 'warning')} {_with_way(message, hint)}" for message, hint in settings)
    return "\n".join([paint(text, "strong"), *changed])


def _with_way(message: str, way: str) -> str:
    """Return a message, followed by a hint in parentheses if there is one."""
    return f"{visible(message)} ({visible(way)})" if way else visible(message)


# --- changes -----------------------------------------------------------------------------------------------


def _likeness(change: AnyChange) -> Hashable:
    """Return a key by which similar changes are grouped. One line can show similar changes together."""
    reasons = tuple((reason.kind, reason.field, reason.cause) for reason in change.reasons)
    return (change.action, change.names, change.blocked, change.claimed_by, change.credits_at_most, reasons)


def _changes(plan: AnyPlan, width: int, *, verbose: bool) -> Iterator[str]:
    changes: Sequence[AnyChange] = plan.changes
    likeness = [_likeness(change) for change in changes]
    alike: dict[Hashable, list[AnyChange]] = {}
    for kind, change in zip(likeness, changes, strict=True):
        alike.setdefault(kind, []).append(change)
    seen: Counter[Hashable] = Counter()
    ids, prices, paths = _widths(changes, width)
    for kind, change in zip(likeness, changes, strict=True):
        folded = not verbose and len(alike[kind]) > FOLD_FROM
        seen[kind] += 1
        if not folded or seen[kind] <= FOLD_TO:
            yield from _change(change, ids, prices, paths, verbose=verbose)
            if change.hint:
                hint = in_environment(unsaid_hint(change), plan.option)
                yield f"      {paint('hint', 'hint')}: {visible(hint)}"
        elif seen[kind] == FOLD_TO + 1:
            yield _fold(alike[kind][FOLD_TO:])


def _fold(changes: Sequence[AnyChange]) -> str:
    action, number = changes[0].action, len(changes)
    sign, style = SIGNS[action]
    has_price = any(one.credits_worst or one.money_worst or one.has_no_price for one in changes)
    cost = f", {cost_words(changes)}" if has_price else ""
    text = f"{ELLIPSIS} {number:,} more {'' if action in STATES else 'to '}{words_of(action)}"
    return f"  {paint(sign, style)} {text} for the same reasons{cost} (`--verbose` lists them)"


def _widths(changes: Sequence[AnyChange], width: int) -> tuple[int, int, int]:
    """Return the widths of ids, prices and paths in a table of at most `width` columns.

    If the table would be too narrow, it is wrapped instead, and the width of paths is 0: not limited.
    """
    prices = max((len(change_cost(change)) for change in changes), default=0)
    due = len("  due 2026-12-24") if any(change.publish_on for change in changes) else 0
    free = width - _FRAME - prices - due
    is_cut = free >= 2 * _PATH_ROOM
    most = min(_ID_ROOM, free - _PATH_ROOM) if is_cut else _ID_ROOM
    # An id that is longer has a line for itself, and makes no column wider.
    ids = max((wide for wide in (columns(visible(change.id)) for change in changes) if wide <= most), default=most)
    return ids, prices, free - ids if is_cut else 0


def _change(change: AnyChange, ids: int, prices: int, room: int, *, verbose: bool) -> Iterator[str]:
    sign, style = SIGNS[change.action]
    name, cost = visible(change.id), change_cost(change)
    due = f"due {visible(change.publish_on)}" if change.publish_on else ""
    paths = [visible(path) for path in dict.fromkeys((change.source, change.target)) if path]
    if room and len(paths) == 1:
        paths = [cut(paths[0], room, is_start=True)]
    padded = f"{cost:<{prices}}"
    parts = [paint(f"{action_words(change):<10}", style), paint(padded, "dim") if cost == "free" else padded]
    rest = "  ".join(part for part in (*parts, " -> ".join(paths), due) if part)
    lead = f"  {paint(sign, style)} {paint(name, 'strong')}"
    if room and columns(name) > ids:
        yield lead
        lead = " " * (4 + ids)
    else:
        lead += " " * (ids - columns(name))
    yield f"{lead}  {rest}".rstrip()
    for line in _details(change, verbose=verbose):
        yield f"      {line}"


def _details(change: AnyChange, *, verbose: bool) -> Iterator[str]:
    again = f" (attempt {change.attempt})" if change.attempt > 1 and change.submits else ""
    if change.names and (verbose or again or change.names not in _IMPLIED.get(change.action, ())):
        yield f"steps: {', '.join(map(words_of, change.names))}{again}"
    if change.renamed_from is not None:
        yield f"renamed from `{visible(change.renamed_from)}`"
    if change.blocked and all(reason.kind != change.blocked for reason in change.reasons):
        yield f"blocked: {visible(words_of(change.blocked))}"
    for reason in change.reasons:
        # The word `create` says already that the item is new.
        is_said = change.action is Action.CREATE and reason.kind == "new"
        if verbose or not is_said or reason.field or reason.detail or reason.cause:
            yield from _reason(reason, verbose=verbose)
    if change.job is not None and all(reason.kind != "open-job" for reason in change.reasons):
        yield f"open: {_open_job(change.job)}"
    for job in change.collected_jobs:
        yield f"collect: {_open_job(job)}"


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


def _open_job(one: Job | ReviewedJob) -> str:
    job = f"job `{visible(one.job_id)}`" if one.job_id else f"request `{visible(one.request_id)}`"
    since = f" since {visible(one.submitted_at)}" if one.submitted_at else ""
    words = f": {clip(visible(one.error), 200)}" if one.error else ""
    return f"{job}, {one.state.value}{since}{words}"


# --- the rest ----------------------------------------------------------------------------------------------


def _causes(plan: AnyPlan, *, verbose: bool) -> Iterator[str]:
    causes = shared_causes(plan)
    if not causes:
        return
    yield paint("Causes", "strong")
    shown = causes if verbose else causes[:_CAUSES]
    for one in shown:
        yield f"  {visible(one.title)}: {plural(len(one.changes), 'item')}, {one.cost}"
    if len(causes) > len(shown):
        yield f"  {ELLIPSIS} {len(causes) - len(shown):,} more (`--verbose` lists them)"


def _notes(plan: AnyPlan, *, verbose: bool) -> Iterator[str]:
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
    """Return a note of a plan as one line that names the note's item."""
    message = visible(note.message)
    if note.id is None or visible(note.id) in message:
        return message
    return f"`{visible(note.id)}`: {message}"


def _ending(plan: AnyPlan, *, advice: bool, flags: Sequence[str]) -> Iterator[str]:
    if plan.empty:
        yield paint(empty_sentence(plan), "strong")
    else:
        yield paint(f"Plan: {plan_sentence(plan)}", "strong")
    yield from filter(None, (month_sentence(plan.spent, plan.budget), approval_sentence(plan)))
    if not advice:
        return
    for refusal in plan.refusals:
        yield f"{paint(who_refuses(refusal), 'warning')}: {_with_way(refusal.message, way_on(refusal))}"
    if plan.empty:
        return
    if not any(change.names for change in plan.changes):
        if any(change.blocked for change in plan.changes):
            yield "Nothing can be done before the blocked items are resolved; see the hints above."
        elif any(change.claimed_by or change.action is Action.PENDING for change in plan.changes):
            yield "Nothing can be done here until the other processes are done."
        else:
            yield "Nothing can be done here yet: these items wait for what is named above."
    elif all(is_review(refusal) for refusal in plan.refusals):
        yield f"Next: `{next_apply(plan, flags)}`"
    elif line := next_apply(plan, flags):
        yield f"Next, if all of it is meant: `{line}`"
