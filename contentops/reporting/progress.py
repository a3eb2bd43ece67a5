"""Compute the progress of a run from its events alone, so that every display says the same.

Of an event's data these keys are read, each optional: `items`, `submits`, `credits` (run-started); `action`
(item-started); `job` (step-done of `submit`); `stage`, `progress` from 0 to 1 (progress); `on`, `seconds`, `left`,
`why` (waiting); `action`, `result`, `credits`, `output`, `error` (item-done); `message` (note).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from contentops.model import Event, Json

HEARTBEAT = 30.0
"""Seconds after which a log shows that the run is alive."""
_WORDS = 200
_WAITS = {
    "limit": "the rate limit",
    "answer": "an answer",
    "retry": "the next try",
    "first-job": "the canary job",
    "turn": "its turn",
}
"""What an item or a run waits for: the word of an event, and the words for a person."""
_STEPS = {"poll": "generating"}
"""What a step is called for a person, where its own name says little."""
_NOT_COUNTED = frozenset({"done", "pending"})
_STOPPING = "stopping: nothing new is submitted; Ctrl-C again exits at once"


@dataclass(slots=True)
class Active:
    """An item that is running."""

    step: str = ""
    stage: str = ""
    progress: float | None = None
    waits: str = ""
    """What the item waits for, in the word of an event."""

    def words(self) -> str:
        """Return its step and progress, such as `generating: writer 60 %`."""
        if self.waits:
            return f"waiting for {_WAITS.get(self.waits, self.waits)}"
        share = "" if self.progress is None else f"{self.progress:.0%}"
        detail = " ".join(part for part in (self.stage, share) if part)
        step = _STEPS.get(self.step, self.step)
        return ": ".join(part for part in (step, detail) if part) or "waiting"


@dataclass(slots=True)
class Progress:
    """The progress of a run; only `take` changes it."""

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
    """Whether the totals are on display anyway, so that no sign of life is needed."""
    _last_line: float | None = None

    def take(self, event: Event) -> tuple[str, ...]:
        """Take an event in; return the lines that a log shows for it, the totals at least every 30 s."""
        reader = _READERS.get(event.kind)
        lines = reader(self, event) if reader else ()
        at = _seconds(event.at)
        if at is not None:
            quiet_since = at if self._last_line is None else self._last_line
            if not lines and not self.silent and at - quiet_since >= HEARTBEAT:
                lines = (self.totals(),)
            self._last_line = at if lines else quiet_since
        return lines

    def totals(self) -> str:
        """Return `3 of 20 done, 1 failed, 5 running, 12 credits; waiting for the rate limit (12 s)`."""
        return "; ".join(part for part in (self.counts(), self.now()) if part)

    def now(self) -> str:
        """Return what the run waits for, or that it stops; empty for neither."""
        return _STOPPING if self.stopping else self.waits

    def running(self) -> tuple[list[tuple[str, Active]], list[str]]:
        """Return the items that run, and lines for those that wait, such as `3 items: waiting for an answer`."""
        working = [(item, active) for item, active in self.active.items() if not active.waits]
        waiting = Counter(active.words() for active in self.active.values() if active.waits)
        return working, [f"{plural(number, 'item')}: {words}" for words, number in waiting.items()]

    def counts(self, *, was_killed: bool = False) -> str:
        """Return `3 of 20 done, 1 failed, 5 running, 12 credits`; nothing runs in a run that was killed."""
        finished = self._finished()
        if not (self.total or finished or self.active):
            return "starting"
        others = [f"{number:,} {name}" for name, number in sorted(self.done.items()) if name not in _NOT_COUNTED]
        parts = [f"{finished:,} of {max(self.total, finished):,} done", *others]
        if self.active and not was_killed:
            parts.append(f"{len(self.active):,} running")
        # A model costs no credits, so that none would say that it is free.
        parts += [plural(self.credits, "credit")] if self.credits else []
        return ", ".join(parts)

    def _finished(self) -> int:
        return self.done.total() - self.done["pending"]

    def position(self) -> str:
        """Return `[3/20]`."""
        finished = self._finished()
        return f"[{finished}/{max(self.total, finished)}]"


# --- one reader per kind of event --------------------------------------------------------------------------


def _run_started(progress: Progress, event: Event) -> tuple[str, ...]:
    items = _whole(event, "items")
    progress.total = progress.done.total() + items  # a run may have several waves
    credits_ = _whole(event, "credits")
    price = f", {plural(credits_, 'credit')}" if credits_ else ""
    return (f"apply: {plural(items, 'item')}, {plural(_whole(event, 'submits'), 'submit')}{price}",)


def _item_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.active[event.item] = Active(step=_text(event, "action"))
    return ()


def _step_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.waits = ""
    progress.active[event.item] = Active(step=visible(event.step))
    return ()


def _step_done(progress: Progress, event: Event) -> tuple[str, ...]:
    if event.step == "poll":
        # A job is done, so the others no longer wait for the first one.
        for active in progress.active.values():
            active.waits = "turn" if active.waits == "first-job" else active.waits
    return (f"{visible(event.item)}: submitted",) if event.step == "submit" and "job" in event.data else ()


def _in_progress(progress: Progress, event: Event) -> tuple[str, ...]:
    active = progress.active.setdefault(event.item, Active(step=visible(event.step)))
    active.stage, active.waits = _text(event, "stage"), ""
    share = _number(event, "progress")
    active.progress = share if share is not None and 0 <= share <= 1 else None
    return ()


def _waiting(progress: Progress, event: Event) -> tuple[str, ...]:
    cause = _text(event, "on")
    if event.item:
        progress.active.setdefault(event.item, Active(step=visible(event.step))).waits = cause
        return ()
    cause = _WAITS.get(cause, cause) or "the server"
    span, remaining = _number(event, "seconds") or 0.0, _number(event, "left") or 0.0
    progress.waits = f"waiting for {cause}" + (f" ({span:.0f} s)" if round(span, 1) > 0.5 else "")
    progress.waits += f": {why}" if (why := _text(event, "why")) else ""
    if remaining > 0:
        progress.waits += (
            f"; about {max(1, round(remaining / 60))} min left"
            if remaining >= 60
            else f"; about {remaining:.0f} s left"
        )
    return ()


def _item_done(progress: Progress, event: Event) -> tuple[str, ...]:
    result = _text(event, "result") or "done"
    spent = _whole(event, "credits")
    progress.active.pop(event.item, None)
    progress.done[result] += 1
    progress.credits += spent
    if result == "pending" or (result == "blocked" and event.data.get("action") == "blocked"):
        # The end of a run counts what it did not get to, and the plan lists what is blocked.
        return ()
    price = f", {plural(spent, 'credit')}" if spent else ""
    output = _text(event, "output")
    error = _text(event, "error")
    tail = (f" -> {output}" if output and result == "done" else "") + (f": {error}" if error else "")
    return (f"{progress.position()} {visible(event.item)}: {result}{price}{tail}",)


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


def _number(event: Event, key: str) -> float | None:
    value: Json = event.data.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _seconds(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
