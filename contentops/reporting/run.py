"""A run and its events as text and JSON, and its exit code.

The formats are those of `schemas/report.schema.json` and `schemas/event.schema.json`.
"""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import ExitCode, plural, worst
from contentops.model import Action, Level, Result
from contentops.model.cost import spent_words
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import paint, unpainted
from contentops.reporting.plan_json import at_most_json, plain, summary_json
from contentops.reporting.plan_markdown import code, fence
from contentops.reporting.summary import begin, command, in_environment
from contentops.reporting.tokens import sum_json
from contentops.sanitize import ELLIPSIS, clip, short, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Event, Json, Outcome, Plan, Run


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
"""The exit code of a run that ended early, by its reason."""


def exit_code_of(run: Run) -> ExitCode:
    """The exit code of a run: done only if every item is; an unknown reason to stop counts as incomplete."""
    codes = {STOPPED.get(run.stopped, ExitCode.INCOMPLETE)}
    if any(outcome.result not in {Result.DONE, Result.PENDING} for outcome in run.outcomes):
        codes.add(ExitCode.INCOMPLETE)
    # An item that waits for the text of another one is no failure by itself.
    pending = (outcome for outcome in run.outcomes if outcome.result is Result.PENDING)
    if not run.stopped and any(outcome.action is not Action.WAIT for outcome in pending):
        codes.add(ExitCode.INCOMPLETE)
    return worst(codes)


def exit_code_without_run(plan: Plan) -> ExitCode:
    """The exit code where nothing was carried out: done, unless the plan has blocked items."""
    blocked = any(change.action is Action.BLOCKED for change in plan.changes)
    return ExitCode.INCOMPLETE if blocked else ExitCode.DONE


# --- JSON --------------------------------------------------------------------------------------------------


def run_json(run: Run | None, plan: Plan) -> dict[str, Json]:
    """What an apply did with its plan; `run` is null where nothing was done."""
    return {
        "format_version": FORMAT_VERSION,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        "plan": {"id": plan.id, "summary": summary_json(plan)},
        "exit_code": int(exit_code_without_run(plan) if run is None else exit_code_of(run)),
        "run": None if run is None else _run_json(run),
    }


def event_json(event: Event) -> dict[str, Json]:
    """One line of `--events`."""
    return {"format_version": FORMAT_VERSION, **plain(event)}


def _run_json(run: Run) -> dict[str, Json]:
    return {
        "id": run.id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "requests": run.requests,
        "credits": run.credits,
        **at_most_json(run),
        "credits_unknown": run.credits_unknown,
        **sum_json(run.tokens),
        "counts": {result.value: run.count(result) for result in Result},
        "stopped": run.stopped,
        "message": run.message,
        "hint": run.hint,
        "outcomes": [_outcome_json(outcome) for outcome in run.outcomes],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Json]:
    document = plain(structs.asdict(outcome))
    del document["credits_at_most"], document["tokens"]
    return {**document, **at_most_json(outcome), **sum_json(outcome.tokens)}


# --- text --------------------------------------------------------------------------------------------------

_SHOWN = 50
"""Items of one result that are listed."""
_WORDS = 500
_FINDINGS = 8
"""Findings of one text that are listed."""
_SIGNS = {
    Result.FAILED: ("x", "error"),
    Result.BLOCKED: ("!", "held"),
    Result.UNKNOWN: ("?", "unknown"),
    Result.LATE: (ELLIPSIS, "warning"),
    Result.PENDING: (ELLIPSIS, "held"),
}
_MINUTE, _HOUR = 60, 3600


def as_typed(run: Run, again: str, option: str | None = None) -> Run:
    """The run with `--env` in the commands of its hints, and `again` in place of a plain `contentops apply`.

    `option` is as in `Plan.option`; None: the environment of the run.
    """
    option = run.environment if option is None else option
    apply_command = command("apply", option)

    def typed(hint: str) -> str:
        return in_environment(hint, option).replace(f"`{apply_command}`", f"`{again}`")

    outcomes = tuple(structs.replace(outcome, hint=typed(outcome.hint)) for outcome in run.outcomes)
    return structs.replace(run, hint=typed(run.hint), outcomes=outcomes)


def run_text(run: Run, *, again: str = "", option: str | None = None) -> str:
    """Copies of replaced edits, failures, why the run stopped, the counts, and the next command.

    `again` continues the run; empty: the apply of its environment. `option` is as in `as_typed`.
    """
    option = run.environment if option is None else option
    again = again or command("apply", option)
    sections = [
        "\n".join(_copies(run)),
        "\n".join(_kept(run)),
        "\n".join(_left_out(run)),
        "\n".join(_findings(run)),
        "\n".join(_troubles(run)),
        "\n".join(_stop(run)),
        "\n".join(_ending(run, again, option)),
    ]
    return "\n\n".join(section for section in sections if section)


def run_markdown(run: Run) -> str:
    """The text of a run as a fenced block of Markdown, for the page of its job."""
    environment = f", environment {code(run.environment)}" if run.environment else ""
    text = unpainted(run_text(run))
    ticks = fence([text])
    return f"### contentops apply{environment}\n\n{ticks}text\n{text}\n{ticks}\n"


def _copies(run: Run) -> Iterator[str]:
    copied = [outcome for outcome in run.outcomes if outcome.copy]
    for outcome in copied[:_SHOWN]:
        name, copy = paint(visible(outcome.id), "strong"), visible(outcome.copy)
        yield f"  {paint('=', 'keep')} {name}  words that no job made were replaced; a copy of the file is `{copy}`"
    if len(copied) > _SHOWN:
        yield f"  {paint('=', 'keep')} {ELLIPSIS} {len(copied) - _SHOWN:,} more copies"


def _kept(run: Run) -> Iterator[str]:
    merged = [outcome for outcome in run.outcomes if outcome.kept]
    for outcome in merged[:_SHOWN]:
        name = paint(visible(outcome.id), "strong")
        for section in outcome.kept[:_FINDINGS]:
            beside = f"; left out: {short(' '.join(section.new.split()), _WORDS)}" if section.new.strip() else ""
            yield f"  {paint('=', 'keep')} {name}  `{visible(section.heading)}` stays as it was edited{beside}"
        if len(outcome.kept) > _FINDINGS:
            yield f"      {ELLIPSIS} {len(outcome.kept) - _FINDINGS:,} more sections; `--json` shows all of them"
    if len(merged) > _SHOWN:
        yield f"  {paint('=', 'keep')} {ELLIPSIS} {len(merged) - _SHOWN:,} more merged texts"
    if merged:
        shown = "`contentops diff ITEM --section HEADING` compares the edited section with the new text"
        yield f"      {paint('hint', 'hint')}: {shown}"


def _left_out(run: Run) -> Iterator[str]:
    outcomes = [outcome for outcome in run.outcomes if outcome.left_out]
    for outcome in outcomes[:_SHOWN]:
        pairs = (f"{visible(key)}: {short(value, _WORDS)}" for key, value in outcome.left_out.items())
        name, values = paint(visible(outcome.id), "strong"), clip("; ".join(pairs), _WORDS)
        yield f"  {paint('=', 'keep')} {name}  front matter that came with the text was left out: {values}"
    if len(outcomes) > _SHOWN:
        yield f"  {paint('=', 'keep')} {ELLIPSIS} {len(outcomes) - _SHOWN:,} more such texts"
    if outcomes:
        yield f"      {paint('hint', 'hint')}: add what you want to keep to `metadata`; `--json` shows all of it"


def _findings(run: Run) -> Iterator[str]:
    """The findings of checks that the outcome of an item does not already show."""
    outcomes = [each for each in run.outcomes if len(each.findings) > (each.result is Result.BLOCKED)]
    for outcome in outcomes[:_SHOWN]:
        for finding in outcome.findings[:_FINDINGS]:
            sign = paint("!", "warning" if finding.level is Level.WARN else "held")
            words = clip(visible(f"{finding.check}: {finding.words}"), _WORDS)
            yield f"  {sign} {paint(visible(outcome.id), 'strong')}  {words}"
        if len(outcome.findings) > _FINDINGS:
            yield f"      {ELLIPSIS} {len(outcome.findings) - _FINDINGS:,} more findings; `--json` shows all of them"
    if len(outcomes) > _SHOWN:
        yield f"  {paint('!', 'warning')} {ELLIPSIS} {len(outcomes) - _SHOWN:,} more texts with findings"


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
    name = paint(visible(outcome.id), "strong")
    word = "waiting" if outcome.action is Action.WAIT else outcome.result.value
    return f"  {sign} {name}  {paint(word, style)}{words}"


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
    """What else was spent, if submits whose answers were lost did arrive, and where tokens are not known."""
    if run.credits_unknown:
        lost = sum(outcome.credits_unknown > 0 for outcome in run.outcomes)
        yield f"up to {run.credits_unknown:,} more if the server took {'it' if lost == 1 else 'them'}"
    if run.tokens.unknown:
        yield f"{plural(run.tokens.unknown, 'text')} without token counts"


def _pending(run: Run) -> Iterator[str]:
    """The counts of unfinished items; a pending outcome with a hint has a job that still runs."""
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
        # The bundled server ended with the command.
        yield f"{running:,} to be continued"
    elif running:
        yield f"{running:,} still {'runs' if running == 1 else 'run'} on the server"


def _next(run: Run, again: str, option: str) -> str:
    if run.stopped in {"unauthorized", "first-contact", "refused-submits", "no-connection"}:
        return f"fix what stopped the run, then {again}; paid texts are kept"
    if run.stopped:
        return f"{again} continues where this run stopped"
    if run.count(Result.UNKNOWN):
        return f"`{command('state resolve', option)}` shows unknown submits and what to do, then {again}"
    if run.count(Result.FAILED):
        return f"fix what made it fail (see above), then {again}, which tries again"
    if run.count(Result.LATE):
        return f"see the hints for late items, then {again}"
    if any(outcome.action is Action.WAIT for outcome in run.outcomes if outcome.result is Result.PENDING):
        return f"see what the waiting items need, then {again}"
    if run.count(Result.PENDING):
        return f"wait for the running jobs, then {again}"
    return f"resolve the blocked items (see the hints), then {again}"


def duration(start: str, end: str) -> str:
    """The time between two ISO times in words such as `4m 12s`; empty where one is missing or unreadable."""
    try:
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return ""
    whole = max(round(seconds), 0)
    if whole < _MINUTE:
        return f"{seconds:.1f}s" if seconds > 0 else "under a second"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE}m"
