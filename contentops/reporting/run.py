"""Shows a run and its events as text and JSON, and decides its exit code.

The formats are those of `schemas/report.schema.json` and `schemas/event.schema.json`.

These keys of an event's data are read, each optional: `items`, `submits`, `credits` (run-started); `action`
(item-started); `job` (step-done of `submit`); `stage`, `progress` from 0 to 1 (progress); `on`, `seconds`, `left`,
`why` (waiting); `action`, `result`, `credits`, `money`, `output`, `error` (item-done); `message` (note).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct, convert, structs

from contentops.errors import ExitCode, plural, worst
from contentops.model import Action, Event, Json, Level, Outcome, Plan, Result, Run
from contentops.model.jobs import money_words, spent_words
from contentops.model.records import seconds_of
from contentops.model.run import AppliedPlan, ApplyReport, RunReport
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import paint, unpainted
from contentops.reporting.plan_json import plain, summary_of, written
from contentops.reporting.plan_markdown import code, fence
from contentops.reporting.summary import begin, command, in_environment
from contentops.reporting.tokens import sum_json
from contentops.sanitize import ELLIPSIS, clip, short, visible
from contentops.tokens import TokenSum, add_money, counted_money

# ---- A run and its events as text and JSON, and its exit code.

STOPPED = {
    "": ExitCode.DONE,
    "interrupted": ExitCode.INTERRUPTED,
    "deadline": ExitCode.PAUSED,
    "credits": ExitCode.PAUSED,
    "throttled": ExitCode.PAUSED,
    "model": ExitCode.PAUSED,
    "sources": ExitCode.PAUSED,
    "unauthorized": ExitCode.INCOMPLETE,
    "first-contact": ExitCode.INCOMPLETE,
    "refused-submits": ExitCode.INCOMPLETE,
    "no-connection": ExitCode.INCOMPLETE,
}
"""The exit code of a run that stopped early, by its reason."""


def exit_code_of(run: Run) -> ExitCode:
    """Return the exit code of a run. It is 0 only if every item is done or waits for another text.

    A run that stopped for an unknown reason is incomplete.
    """
    codes = {STOPPED.get(run.stopped, ExitCode.INCOMPLETE)}
    if any(outcome.result not in {Result.DONE, Result.PENDING} for outcome in run.outcomes):
        codes.add(ExitCode.INCOMPLETE)
    # An item that waits for the text of another one is not a failure.
    pending = (outcome for outcome in run.outcomes if outcome.result is Result.PENDING)
    if not run.stopped and any(outcome.action is not Action.WAIT for outcome in pending):
        codes.add(ExitCode.INCOMPLETE)
    return worst(codes)


def exit_code_without_run(plan: Plan) -> ExitCode:
    """Return the exit code of an apply that carried out nothing. It is 0 if the plan has no blocked items."""
    blocked = any(change.action is Action.BLOCKED for change in plan.changes)
    return ExitCode.INCOMPLETE if blocked else ExitCode.DONE


# --- JSON --------------------------------------------------------------------------------------------------


def run_json(run: Run | None, plan: Plan) -> dict[str, Json]:
    """Return the result of an apply as JSON. The key `run` is null if nothing was carried out."""
    report = ApplyReport(
        format_version=FORMAT_VERSION,
        project=plan.project,
        environment=plan.environment,
        server=plan.server,
        plan=AppliedPlan(id=plan.id, summary=summary_of(plan)),
        exit_code=exit_code_without_run(plan) if run is None else exit_code_of(run),
        run=None,
    )
    done = None if run is None else _written(convert(run, RunReport, from_attributes=True))
    return {**written(report), "run": done}


def event_json(event: Event) -> dict[str, Json]:
    """Return an event as JSON for one line of `--events`."""
    return {"format_version": FORMAT_VERSION, **plain(event)}


def _written(part: RunReport | Outcome) -> dict[str, Json]:
    """Return a report or an outcome as JSON. Token sums get their own keys. A false `credits_at_most` is omitted."""
    found: dict[str, Json] = {}
    for name, value in structs.asdict(part).items():
        if isinstance(value, TokenSum):
            found |= sum_json(value)
        elif name == "outcomes":
            found[name] = [_written(outcome) for outcome in value]
        elif name != "credits_at_most" or value:
            found[name] = plain(value)
    return found


# --- text --------------------------------------------------------------------------------------------------

_SHOWN = 50
"""The most items of one result that are listed."""
_WORDS = 500
_FINDINGS = 8
"""The most findings of one text that are listed."""
_SIGNS = {
    Result.FAILED: ("x", "error"),
    Result.BLOCKED: ("!", "held"),
    Result.UNKNOWN: ("?", "unknown"),
    Result.LATE: (ELLIPSIS, "warning"),
    Result.PENDING: (ELLIPSIS, "dim"),
}
_MINUTE, _HOUR = 60, 3600


def as_typed(run: Run, again: str, option: str | None = None) -> Run:
    """Return the run with complete commands in its hints, which a person can copy.

    The commands contain `--env`, and `again` replaces `contentops apply`. `option` is as in `Plan.option`. If it is
    None, it is the environment of the run.
    """
    option = run.environment if option is None else option
    apply_command = command("apply", option)

    def typed(hint: str) -> str:
        return in_environment(hint, option).replace(f"`{apply_command}`", f"`{again}`")

    def outcome_typed(one: Outcome) -> Outcome:
        # The error of a blocked item is the hint of its change.
        error = typed(one.error) if one.result is Result.BLOCKED else one.error
        return structs.replace(one, hint=typed(one.hint), error=error)

    return structs.replace(run, hint=typed(run.hint), outcomes=tuple(map(outcome_typed, run.outcomes)))


def run_text(run: Run, *, again: str = "", option: str | None = None) -> str:
    """Return the report of a run: kept copies of edits, failures, the reason to stop, counts, and the next command.

    `again` is the command that continues the run, or empty for an apply of its environment. `option` is as in
    `as_typed`.
    """
    option = run.environment if option is None else option
    again = again or command("apply", option)
    sections = [
        _listed([one for one in run.outcomes if one.copy], _copies, _KEPT, "copies"),
        _listed([one for one in run.outcomes if one.kept], _kept, _KEPT, "merged texts", _COMPARE),
        _listed([one for one in run.outcomes if one.left_out], _left_out, _KEPT, "such texts", _ADD),
        # The outcome of a blocked item shows its first finding.
        _listed(
            [one for one in run.outcomes if len(one.findings) > (one.result is Result.BLOCKED)],
            _findings,
            paint("!", "warning"),
            "texts with findings",
        ),
        "\n".join(_troubles(run)),
        "\n".join(_stop(run)),
        "\n".join(_ending(run, again, option)),
    ]
    return "\n\n".join(section for section in sections if section)


def run_markdown(run: Run) -> str:
    """Return the report of a run as a code block in Markdown, for the page of a CI job."""
    environment = f", environment {code(run.environment)}" if run.environment else ""
    text = unpainted(run_text(run))
    ticks = fence([text])
    return f"### contentops apply{environment}\n\n{ticks}text\n{text}\n{ticks}\n"


def _listed(
    outcomes: Sequence[Outcome],
    lines: Callable[[Outcome], Iterable[str]],
    sign: str,
    more: str,
    hint: str = "",
) -> str:
    """Return lines about the first outcomes of a list, the number of the other outcomes, and a hint."""
    shown = [line for outcome in outcomes[:_SHOWN] for line in lines(outcome)]
    if len(outcomes) > _SHOWN:
        shown.append(f"  {sign} {ELLIPSIS} {len(outcomes) - _SHOWN:,} more {more}")
    if outcomes and hint:
        shown.append(f"      {paint('hint', 'hint')}: {hint}")
    return "\n".join(shown)


_KEPT = paint("=", "keep")
_COMPARE = "`contentops diff ITEM` compares your sections with the new ones"
_ADD = "add what you want to keep to `metadata`; `--json` shows all of it"


def _copies(outcome: Outcome) -> Iterator[str]:
    yield (
        f"  {_KEPT} {_name(outcome)}  words that no job made were replaced; "
        f"a copy of the file is `{visible(outcome.copy)}`"
    )


def _kept(outcome: Outcome) -> Iterator[str]:
    for section in outcome.kept[:_FINDINGS]:
        beside = f"; left out: {short(' '.join(section.new.split()), _WORDS)}" if section.new.strip() else ""
        yield f"  {_KEPT} {_name(outcome)}  `{visible(section.heading)}` stays as it was edited{beside}"
    if len(outcome.kept) > _FINDINGS:
        yield f"      {ELLIPSIS} {len(outcome.kept) - _FINDINGS:,} more sections; `--json` shows all of them"


def _left_out(outcome: Outcome) -> Iterator[str]:
    pairs = (f"{visible(key)}: {short(value, _WORDS)}" for key, value in outcome.left_out.items())
    values = clip("; ".join(pairs), _WORDS)
    yield f"  {_KEPT} {_name(outcome)}  front matter that came with the text was left out: {values}"


def _findings(outcome: Outcome) -> Iterator[str]:
    for finding in outcome.findings[:_FINDINGS]:
        sign = paint("!", "warning" if finding.level is Level.WARN else "held")
        yield f"  {sign} {_name(outcome)}  {clip(visible(f'{finding.check}: {finding.words}'), _WORDS)}"
    if len(outcome.findings) > _FINDINGS:
        yield f"      {ELLIPSIS} {len(outcome.findings) - _FINDINGS:,} more findings; `--json` shows all of them"


def _name(outcome: Outcome) -> str:
    return paint(visible(outcome.id), "strong")


def _troubles(run: Run) -> Iterator[str]:
    for result, (sign, style) in _SIGNS.items():
        outcomes = [
            outcome
            for outcome in run.outcomes
            if outcome.result is result and (result is not Result.PENDING or outcome.action is Action.WAIT)
        ]
        for hint, alike in itertools.groupby(outcomes[:_SHOWN], key=lambda outcome: outcome.hint):
            for outcome in alike:
                yield _outcome(outcome, paint(sign, style), style)
            if hint:
                yield f"      {paint('hint', 'hint')}: {visible(hint)}"
        if len(outcomes) > _SHOWN:
            yield f"  {paint(sign, style)} {ELLIPSIS} {len(outcomes) - _SHOWN:,} more {result.value}"


def _outcome(outcome: Outcome, sign: str, style: str) -> str:
    words = f": {clip(visible(outcome.error), _WORDS)}" if outcome.error else ""
    word = "waiting" if outcome.action is Action.WAIT else outcome.result.value
    return f"  {sign} {_name(outcome)}  {paint(word, style)}{words}"


def _stop(run: Run) -> Iterator[str]:
    if run.stopped:
        # Some messages begin with the reason.
        message = run.message.removeprefix(f"{run.stopped}; ")
        words = f": {clip(visible(message), _WORDS)}" if message else ""
        yield f"{paint(f'stopped ({visible(run.stopped)})', 'warning')}{words}"
    if run.hint:
        yield f"{paint('hint', 'hint')}: {visible(run.hint)}"


def _ending(run: Run, again: str, option: str) -> Iterator[str]:
    counts = [f"{run.count(result):,} {result.value}" for result in Result if run.count(result)]
    if run.count(Result.PENDING):
        counts[-1:] = _pending(run)
    spent = spent_words(run.credits, run.tokens, at_most=run.credits_at_most)
    # What the answers of unfinished texts have cost is known once these are done.
    is_open = run.stopped == "model" and not (run.credits or run.tokens.is_known)
    facts = [] if is_open else [f"{spent} spent"]
    facts += [*_maybe_spent(run), plural(run.requests, "request")]
    took = duration(run.started_at, run.ended_at)
    facts += [took] if took else []
    text = f"Apply: {', '.join(counts) or 'nothing was done'}. {begin(', '.join(facts))}."
    yield paint(text, "strong")
    if exit_code_of(run) is not ExitCode.DONE and "`contentops apply" not in run.hint:
        yield f"Next: {_next(run, f'`{again}`', option)}"


def _maybe_spent(run: Run) -> Iterator[str]:
    """Yield phrases about uncertain costs: requests whose replies were lost, and texts without token counts."""
    if run.credits_unknown:
        lost = sum(outcome.credits_unknown > 0 for outcome in run.outcomes)
        yield f"up to {run.credits_unknown:,} more if the server took {'it' if lost == 1 else 'them'}"
    if run.tokens.unknown:
        yield f"{plural(run.tokens.unknown, 'text')} without token counts"


def _pending(run: Run) -> Iterator[str]:
    """Yield phrases that say how many items are unfinished, and why. An item with a hint has a job that still runs."""
    pending = [outcome for outcome in run.outcomes if outcome.result is Result.PENDING]
    waiting = sum(outcome.action is Action.WAIT for outcome in pending)
    pending = [outcome for outcome in pending if outcome.action is not Action.WAIT]
    claimed = sum(outcome.action is Action.PENDING for outcome in pending)
    running = sum(bool(outcome.hint) for outcome in pending) - claimed
    begun = sum(bool(outcome.steps) and not outcome.hint for outcome in pending)
    if begun:
        yield f"{begun:,} not finished"
    if len(pending) > running + claimed + begun:
        yield f"{len(pending) - running - claimed - begun:,} not reached"
    if claimed:
        yield f"{claimed:,} claimed by other processes"
    if waiting:
        yield f"{waiting:,} waiting for other texts"
    if running and run.server == "local":
        # The bundled server stopped with the command.
        yield f"{running:,} to be continued"
    elif running:
        yield f"{running:,} still {'runs' if running == 1 else 'run'} on the server"


def _next(run: Run, again: str, option: str) -> str:
    """Return a hint that says what to do next. If several hints apply, it is the most important one."""
    waits = any(one.action is Action.WAIT for one in run.outcomes if one.result is Result.PENDING)
    resolve = f"`{command('state resolve', option)}` shows unknown submits and what to do, then {again}"
    ways = (
        (run.stopped in _TROUBLE, f"fix what stopped the run, then {again}; paid texts are kept"),
        (run.stopped, f"{again} continues where this run stopped"),
        (run.count(Result.UNKNOWN), resolve),
        (run.count(Result.FAILED), f"fix what made it fail (see above), then {again}, which tries again"),
        (run.count(Result.LATE), f"see the hints for late items, then {again}"),
        (waits, f"see what the waiting items need, then {again}"),
        (run.count(Result.PENDING), f"wait for the running jobs, then {again}"),
    )
    return next((words for fits, words in ways if fits), f"resolve the blocked items (see the hints), then {again}")


_TROUBLE = frozenset({"unauthorized", "first-contact", "refused-submits", "no-connection"})
"""Reasons of stopped runs that a person must remove."""


def duration(start: str, end: str) -> str:
    """Return the time between two ISO times, such as `4m 12s`, or an empty text if one is unreadable."""
    try:
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return ""
    if round(seconds) < _MINUTE:
        return f"{seconds:.1f}s" if seconds > 0 else "under a second"
    return span(seconds)


def span(seconds: float) -> str:
    """Return a number of seconds in words, such as `0s`, `40s`, `4m 12s` or `2h 5m`."""
    whole = max(round(seconds), 0)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE}m"


# ---- Compute the progress of a run only from its events, so that every display says the same.

HEARTBEAT = 30.0
"""Seconds after which a log shows that the run is alive."""
_EVENT_WORDS = 200
_WAITS = {
    "limit": "the rate limit",
    "retry": "the next try",
    "first-job": "the first job",
    "turn": "its turn",
}
"""What an item or a run waits for: the word in an event, and the words for people."""
_STEPS = {"poll": "generating"}
"""The words for people for a step whose own name says little."""
_FOLLOWED = 200
"""The most items of a run that are listed."""
_ORDER = ("failed", "blocked", "unknown", "late", "stopped", "running", "waiting", "pending", "done")
_RANK = {state: rank for rank, state in enumerate(_ORDER)}
_NOT_COUNTED = frozenset({"done", "pending"})
_STYLES = {"done": "add", **{result.value: style for result, (_, style) in _SIGNS.items()}}
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class RunItem(Struct, frozen=True, kw_only=True):
    """An item of a run. `state` is a `Result`, `running`, `waiting`, or `stopped` if the run was killed."""

    id: str
    state: str
    words: str = ""
    """What the item does or waits for, or why it failed."""
    credits: int = 0


class LiveRun(Struct, frozen=True, kw_only=True):
    """The last run, as far as its recorded events describe it."""

    who: str = ""
    plan: str = ""
    started_at: str = ""
    last_at: str = ""
    """The time of its last event."""
    working: bool = False
    """Whether its process still works. The events of a killed process have no end."""
    ended: bool = False
    """Whether its events say that it ended."""
    error: str = ""
    """Why it stopped early, or empty."""
    total: int = 0
    finished: int = 0
    counts: str = ""
    """`3 of 20 done, 1 failed, 5 running, 12 credits`."""
    waits: str = ""
    """What the run waits for, or empty."""
    items: tuple[RunItem, ...] = ()
    """Failed ones first, then running, waiting and finished ones."""
    more: int = 0
    """Items that are not listed."""


@dataclass(slots=True)
class Active:
    """An item that is running."""

    step: str = ""
    stage: str = ""
    progress: float | None = None
    waits: str = ""
    """What the item waits for, in the word of an event."""
    since: float | None = None
    """When it was started, in seconds."""

    def words(self) -> str:
        """Return the step and progress of the item, such as `generating: writer 60 %`."""
        if self.waits:
            return f"waiting for {_WAITS.get(self.waits, self.waits)}"
        share = "" if self.progress is None else f"{self.progress:.0%}"
        detail = " ".join(part for part in (self.stage, share) if part)
        step = _STEPS.get(self.step, self.step)
        return ": ".join(part for part in (step, detail) if part) or "waiting"


@dataclass(slots=True)
class Progress:
    """The progress of a run. Only `take` changes it."""

    total: int = 0
    credits: int = 0
    money: dict[str, int] = field(default_factory=dict)
    """What models have cost so far, by currency."""
    active: dict[str, Active] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    """Items by result."""
    results: dict[str, RunItem] = field(default_factory=dict)
    """The last result of each item. An item ends twice if its front matter depends on a text that is made later."""
    run: LiveRun = field(default_factory=LiveRun)
    """What the events say about the whole run."""
    waits: str = ""
    """What the run waits for, or empty."""
    silent: bool = False
    """Whether the totals are displayed anyway, so that the log needs no sign of life."""
    began: float | None = None
    """When the run started, in seconds."""
    _last_line: float | None = None

    def take(self, event: Event) -> tuple[str, ...]:
        """Count an event of the run, and return its lines for the log. After 30 s without a line, return the totals."""
        self.run = structs.replace(self.run, last_at=event.at)
        reader = _READERS.get(event.kind)
        lines = reader(self, event) if reader else ()
        at = seconds_of(event.at)
        if at is not None:
            quiet_since = at if self._last_line is None else self._last_line
            if not lines and not self.silent and at - quiet_since >= HEARTBEAT:
                lines = (self.totals(),)
            self._last_line = at if lines else quiet_since
        return lines

    def totals(self) -> str:
        """Return the run's counts and what it waits for, such as `3 of 20 done; waiting for the rate limit (12 s)`."""
        return "; ".join(part for part in (self.counts(), self.waits) if part)

    def counts(self, *, was_killed: bool = False) -> str:
        """Return the counts, such as `3 of 20 done, 1 failed, 5 running, 12 credits`.

        If the run was killed, nothing counts as running.
        """
        finished = self.finished()
        if not (self.total or finished or self.active):
            return "starting"
        others = [f"{number:,} {name}" for name, number in sorted((+self.done).items()) if name not in _NOT_COUNTED]
        parts = [f"{finished:,} of {max(self.total, finished):,} done", *others]
        if self.active and not was_killed:
            parts.append(f"{len(self.active):,} running")
        # A model costs no credits, so that none would say that it is free.
        parts += [plural(self.credits, "credit")] if self.credits else []
        parts += [money_words(self.money)] if self.money else []
        return ", ".join(parts)

    def line(self, now: float) -> str:
        """Return the progress as one line: the counts, then each running item with its step and time.

        Example: `3 of 20 done, 2 running, 12 credits, 1m 12s; oslo: generating: writer 60%, 40s; rome: submit, 2s`.
        The items come in the order in which they were started. `now` is in seconds, like the times of events.
        """
        took = [] if self.began is None else [span(now - self.began)]
        parts = [", ".join([self.counts(), *took]), self.waits]
        for item, active in self.active.items():
            runs = "" if active.since is None else f", {span(now - active.since)}"
            parts.append(f"{visible(item)}: {active.words()}{runs}")
        return "; ".join(filter(None, parts))

    def finished(self) -> int:
        """Return how many items of the run have a result."""
        return self.done.total() - self.done["pending"]

    def live(self, *, goes_on: bool) -> LiveRun:
        """Return the run as its events describe it. `goes_on` says whether its process still works."""
        working = goes_on and not self.run.ended
        was_killed = not (working or self.run.ended)
        items = [*self.results.values()]
        for id_, active in self.active.items():
            state = "stopped" if was_killed else "waiting" if active.waits else "running"
            items.append(RunItem(id=id_, state=state, words="" if was_killed else active.words()))
        items.sort(key=lambda item: (_RANK.get(item.state, 0), item.id))
        return structs.replace(
            self.run,
            working=working,
            total=self.total,
            finished=self.finished(),
            counts=self.counts(was_killed=was_killed),
            waits=self.waits if working else "",
            items=tuple(items[:_FOLLOWED]),
            more=max(self.total - min(len(items), _FOLLOWED), 0),
        )


# --- one reader per kind of event --------------------------------------------------------------------------


def _run_planned(progress: Progress, event: Event) -> tuple[str, ...]:
    who, plan = (str(event.data.get(name, "")) for name in ("who", "plan"))
    progress.run = structs.replace(progress.run, who=who, plan=plan, started_at=event.at)
    return ()


def _run_ended(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.run = structs.replace(progress.run, ended=True, error=str(event.data.get("error", "")))
    return ()


def _run_started(progress: Progress, event: Event) -> tuple[str, ...]:
    items = _whole(event, "items")
    progress.began = progress.began or seconds_of(event.at)
    progress.total = progress.done.total() + items  # a run may start again
    credits_ = _whole(event, "credits")
    price = f", {plural(credits_, 'credit')}" if credits_ else ""
    return (f"apply: {plural(items, 'item')}, {plural(_whole(event, 'submits'), 'submit')}{price}",)


def _item_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.active[event.item] = Active(step=_text(event, "action"), since=seconds_of(event.at))
    return ()


def _step_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.waits = ""
    before = progress.active.get(event.item)
    since = seconds_of(event.at) if before is None else before.since
    progress.active[event.item] = Active(step=visible(event.step), since=since)
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
    seconds = _number(event, "seconds") or 0.0
    progress.waits = f"waiting for {cause}" + (f" ({seconds:.0f} s)" if round(seconds, 1) > 0.5 else "")
    progress.waits += f": {why}" if (why := _text(event, "why")) else ""
    return ()


def _item_done(progress: Progress, event: Event) -> tuple[str, ...]:
    result = _text(event, "result") or "done"
    spent = _whole(event, "credits")
    progress.active.pop(event.item, None)
    last = progress.results.get(event.item)
    before = "pending" if last is None else last.state
    if last is not None:
        progress.done[before] -= 1
    words = str(event.data.get("error", ""))
    progress.results[event.item] = RunItem(id=event.item, state=result, words=words, credits=spent)
    progress.done[result] += 1
    progress.credits += spent
    money = event.data.get("money")
    known = money.items() if isinstance(money, dict) else ()
    paid = {visible(name): text for name, text in known if isinstance(text, str) and _DECIMAL.fullmatch(text)}
    spent_money = counted_money(paid)
    progress.money = add_money((progress.money, spent_money))
    if result == "pending" or (result == "blocked" and event.data.get("action") == "blocked"):
        # The end of a run counts what it did not get to, and the plan lists what is blocked.
        return ()
    price = f", {plural(spent, 'credit')}" if spent else ""
    price += f", {money_words(spent_money)}" if spent_money else ""
    output = _text(event, "output")
    error = _text(event, "error")
    tail = (f" -> {output}" if output and result == "done" else "") + (f": {error}" if error else "")
    finished = progress.finished()
    position = f"[{finished}/{max(progress.total, finished)}] " if before == "pending" else ""
    action = f"{_text(event, 'action')} " if before != "pending" else ""
    return (f"{position}{visible(event.item)}: {action}{paint(result, _STYLES.get(result, 'plain'))}{price}{tail}",)


def _note(_progress: Progress, event: Event) -> tuple[str, ...]:
    about = f"{visible(event.item)}: " if event.item else ""
    return (f"note: {about}{_text(event, 'message')}",)


_READERS = {
    "run-planned": _run_planned,
    "run-ended": _run_ended,
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
    return clip(visible(value), _EVENT_WORDS) if isinstance(value, str) else ""


def _whole(event: Event, key: str) -> int:
    value: Json = event.data.get(key)
    return value if isinstance(value, int) else 0


def _number(event: Event, key: str) -> float | None:
    value: Json = event.data.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
