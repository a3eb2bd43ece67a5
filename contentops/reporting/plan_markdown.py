"""Writes a plan as Markdown for a comment on a pull request.

Text from a manifest, a file or a server appears only in code spans, in a fenced diff with a longer fence than any in
the text, or with escaped punctuation. So it can break no table, close no fence, link to nothing, and mention no one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from contentops.digest import plain_name
from contentops.errors import plural
from contentops.model import Action, AnyChange, AnyPlan, Note, Reason
from contentops.reporting.plan_text import note_line
from contentops.reporting.summary import (
    SETTINGS,
    SIGNS,
    action_words,
    approval_sentence,
    budget_words,
    change_cost,
    command,
    empty_sentence,
    in_environment,
    is_review,
    month_sentence,
    next_apply,
    plan_sentence,
    reason_words,
    shared_causes,
    way_on,
    who_refuses,
    words_of,
)
from contentops.sanitize import clip, short_pair, visible

LIMIT = 65_000
"""The most bytes of a comment. GitHub and others refuse comments of more than 65,536 characters."""
SMALLEST = 4_000
"""The smallest limit with which the summary fits."""
_TABLE_SHARE = 0.6
_TAIL = 400
_TEXTS = 20
_MOST = 4_000
"""The most items whose reasons can fit."""
_NAME, _PATH, _WORDS, _VALUE = 100, 200, 300, 200
_PUNCTUATION = re.compile(r"([\\`*_\[\]()>#!|$@])")
# As references: not every Markdown knows a backslash before these, and one that does not takes `\<` for a tag.
_REFERENCES = str.maketrans({"<": "&lt;", "&": "&amp;", "~": "&#126;"})
_BEFORE = re.compile(r"://|(?<=www)\.", re.IGNORECASE)
_AFTER = re.compile(r"@|#|GH-", re.IGNORECASE)
_ZERO_WIDTH = "\u200b"
_ATTENTION = (Action.BLOCKED, Action.RESOLVE)


def plan_markdown(plan: AnyPlan, *, limit: int = LIMIT) -> str:
    """Return the plan as Markdown: summary, refusals, shared causes, a table of changes, and folded reasons.

    The result has at most `limit` bytes of UTF-8. Items that do not fit are left out, and the last line says how many.
    Items that need a person come first. Raises ValueError if `limit` is below 4,000.
    """
    if limit < SMALLEST:
        message = f"{limit} bytes are too few for a plan in a comment; it needs at least {SMALLEST}"
        raise ValueError(message)
    page = _Page(limit - _TAIL)
    page.take(_head(plan))
    optional = page.fill(_important(plan))
    changes: list[AnyChange] = sorted(plan.changes, key=lambda change: change.action not in _ATTENTION)
    listed = page.fill_block(
        f"\n| | Item | Action | {'Cost' if plan.money_worst else 'Credits'} | Output |\n|---|---|---|---:|---|",
        (_row(change) for change in changes),
        "",
        room=int(page.room * _TABLE_SHARE),
    )
    with_reasons = [change for change in changes if change.reasons or change.hint or change.blocked]
    blocks = [_explain(change, plan.option) for change in with_reasons[:_MOST]]
    ticks = fence(blocks)
    explained = page.fill_block(
        f"\n<details><summary>Reasons</summary>\n\n{ticks}diff", blocks, f"{ticks}\n\n</details>"
    )
    ending = _hidden(len(changes) - listed, len(with_reasons) - explained, optional, plan.option)
    return "\n".join([*page.lines, *ending]) + "\n"


class _Page:
    """The lines of a comment on a pull request, limited to a number of bytes."""

    def __init__(self, room: int) -> None:
        self.lines: list[str] = []
        self.room = room

    def take(self, lines: Iterable[str]) -> None:
        """Add lines that must be in the comment, even if there is no space left."""
        for line in lines:
            self.lines.append(line)
            self.room -= _size(line)

    def fill(self, lines: Iterable[str]) -> int:
        """Add lines while they fit, and return the number of lines that were left out."""
        waiting = list(lines)
        for at, line in enumerate(waiting):
            if _size(line) > self.room:
                return len(waiting) - at
            self.take([line])
        return 0

    def fill_block(self, head: str, blocks: Iterable[str], tail: str, room: int | None = None) -> int:
        """Add as many blocks to the comment as fit, between a head and a tail. Return the number of added blocks.

        If no block fits, add nothing.
        """
        room = self.room if room is None else room
        room -= _size(head) + _size(tail)
        fitting: list[str] = []
        for block in blocks:
            room -= _size(block)
            if room < 0:
                break
            fitting.append(block)
        if fitting:
            self.take([head, *fitting, *([tail] if tail else [])])
        return len(fitting)


def fence(blocks: Iterable[str]) -> str:
    """Return a Markdown code fence that is longer than any row of backticks in the given texts."""
    return "`" * max(3, 1 + max((len(run) for block in blocks for run in re.findall("`+", block)), default=0))


def _size(line: str) -> int:
    return len(line.encode()) + 1


# --- sections ----------------------------------------------------------------------------------------------


def marker(plan: AnyPlan) -> str:
    """Return the hidden first line that identifies the comment of this project and environment."""
    return marker_of(plan.project, plan.environment)


def marker_of(project: str, environment: str) -> str:
    """Return the hidden first line of the comment for a project and environment with these names."""
    return f"<!-- contentops:plan:{plain_name(project)}:{plain_name(environment)} -->"


NO_PLAN = "<!-- contentops:plan -->"
"""The hidden first line of a comment if no plan of any project was made yet."""
MARKED = NO_PLAN.removesuffix(" -->")
"""The start of the first line of each of our comments."""


def no_plan_markdown(mark: str, commit: str) -> str:
    """Return the comment that says that no plan could be made. `mark` is its hidden first line."""
    about = f"commit {code(commit)}" if commit else "what is there now"
    return f"{mark}\n### contentops plan: none\n\n**There is no plan for {about}, so its cost is unknown.**\n"


def _head(plan: AnyPlan) -> Iterator[str]:
    yield marker(plan)
    environment = f", environment {code(plan.environment, _NAME)}" if plan.environment else ""
    yield f"### contentops plan: {code(plan.project, _NAME)}{environment}"
    yield ""
    yield f"Server {code(plan.server, _NAME)}{budget_words(plan)}."
    yield ""
    yield f"**{empty_sentence(plan) if plan.empty else plan_sentence(plan)}**"
    for sentence in filter(None, (month_sentence(plan.spent, plan.budget), approval_sentence(plan))):
        yield ""
        yield sentence


def _important(plan: AnyPlan) -> Iterator[str]:
    if plan.approves:
        yield f"\n**Approving this pull request approves {plural(len(plan.approves), 'text')}:**\n"
        yield from (f"- {code(one.id, _NAME)} in {code(one.output, _PATH)}" for one in plan.approves[:_TEXTS])
        if len(plan.approves) > _TEXTS:
            yield f"- and {len(plan.approves) - _TEXTS:,} more"
    settings = (note for note in plan.notes if note.kind == SETTINGS)
    yield from _listed(f":warning: **settings:** {prose(note.message)}{_hint(note)}" for note in settings)
    for refusal in plan.refusals:
        way = in_environment(way_on(refusal), plan.option)
        yield f"\n:warning: **{who_refuses(refusal)}:** {prose(refusal.message)}{f' ({prose(way)})' if way else ''}"
    refused = any(not is_review(refusal) for refusal in plan.refusals)
    if plan.changes and refused and (line := next_apply(plan)):
        yield f"\nNext, if all of it is meant: {code(line)}"
    causes = shared_causes(plan)[:10]
    yield from _listed(f"{prose(one.title)}: {plural(len(one.changes), 'item')}, {one.cost}" for one in causes)
    notes = [note for note in plan.notes if note.kind != SETTINGS]
    yield from _listed(f"note: {prose(note_line(note))}{_hint(note, plan.option)}" for note in notes[:20])
    if len(notes) > 20:
        yield f"- {len(notes) - 20:,} more notes"


def _listed(entries: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a Markdown list, after an empty line."""
    yield from (f"- {entry}" if number else f"\n- {entry}" for number, entry in enumerate(entries))


def _hint(note: Note, environment: str = "") -> str:
    return f" ({prose(in_environment(note.hint, environment))})" if note.hint else ""


def _row(change: AnyChange) -> str:
    sign, _ = SIGNS[change.action]
    path = cell(change.target or change.source, _PATH)
    if change.source and change.target and change.source != change.target:
        path = f"{cell(change.source, _PATH)} → {path}"
    cost = str(change.credits) if change.credits_worst else "free" if change.submits_worst else ""
    cost = f"at most {cost}" if change.credits_at_most else cost
    cost += f", up to {change.credits_worst:,}" if change.credits_worst > change.credits else ""
    cost = change_cost(change) if change.money_worst or change.has_no_price else cost
    return f"| {code(sign)} | {cell(change.id, _PATH)} | {_action(change)} | {cost} | {path} |"


def _action(change: AnyChange) -> str:
    due = f", due {cell(change.publish_on, _NAME)}" if change.publish_on else ""
    held = f" ({cell(change.claimed_by, _NAME)})" if change.claimed_by else ""
    return f"{words_of(change.action)}{held}{due}"


def _explain(change: AnyChange, environment: str) -> str:
    lines = [f"@@ {clip(visible(change.id), _PATH)}: {clip(action_words(change), _NAME)} @@"]
    if change.names:
        lines.append(f"  steps: {', '.join(map(words_of, change.names))}")
    if change.blocked:
        lines.append(f"! blocked: {visible(words_of(change.blocked))}")
    for reason in change.reasons:
        lines += _reason_lines(reason)
    if change.hint:
        lines.append(f"  hint: {clip(visible(in_environment(change.hint, environment)), _WORDS)}")
    return "\n".join(lines)


def _reason_lines(reason: Reason) -> Sequence[str]:
    if not reason.field:
        return [f"  {clip(reason_words(reason), _WORDS)}"]
    name = clip(visible(reason.field), _NAME)
    sides = zip("-+", (reason.before, reason.after), short_pair(reason.before, reason.after, _VALUE), strict=True)
    lines = [f"{sign} {name}: {words}" for sign, value, words in sides if value is not None]
    lines = lines or [f"  {name}: {visible(words_of(reason.kind))}"]
    extra = ", ".join(part for part in (reason.detail, reason.cause) if part)
    return [*lines, f"  because of {clip(visible(extra), _WORDS)}"] if extra else lines


def _hidden(rows: int, reasons: int, words: int, environment: str) -> Iterator[str]:
    """Yield a last line that says how many items and lines were left out of the comment."""
    parts = (
        f"{plural(rows, 'more item')} hidden" if rows else "",
        f"the reasons of {plural(reasons, 'item')} hidden" if reasons else "",
        f"{plural(words, 'more line')} of causes and notes hidden" if words else "",
    )
    if any(parts):
        yield f"\n_{'; '.join(filter(None, parts))}: {code(command('plan', environment))} shows all of it._"


# --- escaping ----------------------------------------------------------------------------------------------


def code(text: str, width: int = _WORDS) -> str:
    """Return `text` as a Markdown code span. Backticks in the text do not end it."""
    safe = clip(visible(text), width)
    ticks = "`" * (max((len(run) for run in re.findall("`+", safe)), default=0) + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") or not safe.strip() else ""
    return f"{ticks}{pad}{safe}{pad}{ticks}"


def cell(text: str, width: int) -> str:
    """Return `text` as a code span for a Markdown table cell. Bars are escaped, because they would end the cell."""
    safe = visible(text)
    bar = "\\x7c" if "\\" in safe else "\\|"
    return code(clip(safe, width).replace("|", bar), 2 * width)


def prose(message: str) -> str:
    """Convert a message of contentops to Markdown. Text in backticks becomes code, and the rest is escaped."""
    parts = clip(visible(message), _WORDS).split("`")
    whole = parts if len(parts) % 2 else [*parts[:-2], f"{parts[-2]}`{parts[-1]}"]
    return "".join(code(part) if at % 2 and part else _words(part) for at, part in enumerate(whole))


def _words(text: str) -> str:
    # Forges link mentions, issues and bare addresses after the Markdown is rendered: escapes do not stop them.
    # They look back from `://` for a scheme, and drop an invisible character in a host's name.
    broken = _BEFORE.sub(lambda match: f"{_ZERO_WIDTH}{match[0]}", text)
    broken = _AFTER.sub(lambda match: f"{match[0]}{_ZERO_WIDTH}", broken)
    return _PUNCTUATION.sub(r"\\\1", broken).translate(_REFERENCES)
