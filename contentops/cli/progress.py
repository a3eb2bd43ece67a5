"""What a run is doing right now, told from its events; pure, so that every display says the same.

Of an event's data these keys are read, each optional: `items`, `submits`, `credits` (run-started); `action`
(item-started); `job` (step-done of `submit`); `stage`, `progress` from 0 to 1 (progress); `on`, `seconds`, `left`
(waiting); `action`, `result`, `credits`, `output`, `error` (item-done); `message` (note).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from contentops.reporting.summary import plural
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from contentops.model import Event, Json

HEARTBEAT = 30.0
"""Seconds after which a log hears that the run is alive."""
_WORDS = 200
_WAITS = {
    "limit": "the rate limit",
    "answer": "an answer",
    "retry": "the next try",
    "first-job": "the first job of this server",
    "turn": "its turn",
}
"""What an event calls it, and a person."""
_NOT_COUNTED = frozenset({"done", "pending"})
_STOPPING = "stopping: nothing new is submitted; Ctrl-C again exits at once"


@dataclass(slots=True)
class Active:
    """An item in work."""

    step: str = ""
    stage: str = ""
    progress: float | None = None
    waits: str = ""
    """What the item cannot go on without, as an event calls it."""

    def words(self) -> str:
        """Such as `poll: writer 60 %`."""
        if self.waits:
            return f"waiting for {_WAITS.get(self.waits, self.waits)}"
        share = "" if self.progress is None else f"{self.progress:.0%}"
        detail = " ".join(part for part in (self.stage, share) if part)
        return ": ".join(part for part in (self.step, detail) if part) or "waiting"


@dataclass(slots=True)
class Progress:
    """Where a run stands; `take` is the only thing that changes it."""

    total: int = 0
    credits: int = 0
    active: dict[str, Active] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    """Items by result."""
    waits: str = ""
    """What the run waits for, or empty."""
    stopping: bool = False
    """A person asked it to stop."""
    silent: bool = False
    """Whether the totals are in sight anyway, so that a sign of life would say them twice."""
    _spoken: float | None = None

    def take(self, event: Event) -> tuple[str, ...]:
        """Takes an event in; returns the lines a log should show for it, a sign of life at least each 30 s."""
        lines = _READERS.get(event.kind, _nothing)(self, event)
        at = _seconds(event.at)
        if not lines and self._silent(at):
            lines = (self.totals(),)
        if lines and at is not None:
            self._spoken = at
        return lines

    def _silent(self, at: float | None) -> bool:
        if at is None or self.silent:
            return False
        if self._spoken is None:
            self._spoken = at
        return at - self._spoken >= HEARTBEAT

    def totals(self) -> str:
        """Such as `3 of 20 ended, 1 failed, 5 in work, 12 credits; waiting for the rate limit (12 s)`."""
        return "; ".join(part for part in (self.counts(), self.now()) if part)

    def now(self) -> str:
        """What it waits for, or that it stops; empty where there is nothing to say."""
        return _STOPPING if self.stopping else self.waits

    def in_work(self) -> tuple[list[tuple[str, Active]], list[str]]:
        """The items something is done for, and a line for those that wait, such as `3 items: waiting for an answer`."""
        working = [(item, active) for item, active in self.active.items() if not active.waits]
        waiting = Counter(active.words() for active in self.active.values() if active.waits)
        return working, [f"{plural(number, 'item')}: {words}" for words, number in waiting.items()]

    def counts(self) -> str:
        """Such as `3 of 20 ended, 1 failed, 5 in work, 12 credits`."""
        finished = self._finished()
        others = [f"{number:,} {name}" for name, number in sorted(self.done.items()) if name not in _NOT_COUNTED]
        parts = [f"{finished:,} of {max(self.total, finished):,} ended", *others]
        if self.active:
            parts.append(f"{len(self.active):,} in work")
        parts.append(plural(self.credits, "credit"))
        return ", ".join(parts)

    def _finished(self) -> int:
        return self.done.total() - self.done["pending"]

    def place(self) -> str:
        """Such as `[3/20]`."""
        finished = self._finished()
        return f"[{finished}/{max(self.total, finished)}]"


# --- one reader per kind of event --------------------------------------------------------------------------


def _nothing(_progress: Progress, _event: Event) -> tuple[str, ...]:
    return ()


def _run_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.total = _whole(event, "items")
    price = plural(_whole(event, "credits"), "credit")
    return (f"apply: {plural(progress.total, 'item')}, {plural(_whole(event, 'submits'), 'submit')}, {price}",)


def _item_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.active[event.item] = Active(step=_text(event, "action"))
    return ()


def _step_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.waits = ""
    progress.active[event.item] = Active(step=visible(event.step))
    return ()


def _step_done(progress: Progress, event: Event) -> tuple[str, ...]:
    if event.step == "poll":
        # A job has ended, so it was not the first one that the others go on waiting for.
        for active in progress.active.values():
            active.waits = "turn" if active.waits == "first-job" else active.waits
    return (f"{visible(event.item)}: submitted",) if event.step == "submit" and "job" in event.data else ()


def _in_progress(progress: Progress, event: Event) -> tuple[str, ...]:
    active = progress.active.setdefault(event.item, Active(step=visible(event.step)))
    active.stage, active.waits = _text(event, "stage"), ""
    share = event.data.get("progress")
    known = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1
    active.progress = float(share) if known and share is not None else None
    return ()


def _waiting(progress: Progress, event: Event) -> tuple[str, ...]:
    what = _text(event, "on")
    if event.item:
        progress.active.setdefault(event.item, Active(step=visible(event.step))).waits = what
        return ()
    what = _WAITS.get(what, what) or "the server"
    seconds = event.data.get("seconds")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    span = float(seconds) if known and seconds is not None else 0.0
    progress.waits = f"waiting for {what}" + (f" ({span:.0f} s)" if round(span, 1) > 0.5 else "")
    left = event.data.get("left")
    if isinstance(left, (int, float)) and not isinstance(left, bool) and left > 0:
        progress.waits += f"; about {max(1, round(left / 60))} min left" if left >= 60 else f"; about {left:.0f} s left"
    return ()


def _item_done(progress: Progress, event: Event) -> tuple[str, ...]:
    result = _text(event, "result") or "done"
    spent = _whole(event, "credits")
    progress.active.pop(event.item, None)
    progress.done[result] += 1
    progress.credits += spent
    if result == "pending" or (result == "blocked" and event.data.get("action") == "blocked"):
        # What a stopped run did not get to is counted at its end; what the plan held back stands in the plan.
        return ()
    price = f", {plural(spent, 'credit')}" if spent else ""
    output = _text(event, "output")
    error = _text(event, "error")
    tail = (f" -> {output}" if output and result == "done" else "") + (f": {error}" if error else "")
    return (f"{progress.place()} {visible(event.item)}: {result}{price}{tail}",)


def _note(_progress: Progress, event: Event) -> tuple[str, ...]:
    about = f"{visible(event.item)}: " if event.item else ""
    return (f"note: {about}{_text(event, 'message')}",)


_READERS = {
    "run-started": _run_started,
    "item-started": _item_started,
    "step-started": _step_started,
    "step-done": _step_done,
    "progress": _in_progress,
    "waiting": _waiting,
    "item-done": _item_done,
    "note": _note,
}


def _text(event: Event, key: str) -> str:
    value: Json = event.data.get(key)
    return clip(visible(value), _WORDS) if isinstance(value, str) else ""


def _whole(event: Event, key: str) -> int:
    value: Json = event.data.get(key)
    return value if isinstance(value, int) else 0


def _seconds(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
