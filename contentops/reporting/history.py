"""The history of runs and texts, and what was spent on them, as text and JSON.

Spend counts by month, template, style, manifest, tag and server; failed jobs cost nothing and are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.errors import plural
from contentops.model import JobState, Verdict
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import moment, paint, table
from contentops.reporting.provenance import verdict_json
from contentops.reporting.tokens import tokens_json
from contentops.sanitize import clip, columns, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from contentops.model import Approval, Desired, Json, OpenEntry, Record
    from contentops.model.run import Generation, History, KeptReport, PaidText


SHOWN = 50
"""Lines of each table in the text; JSON has all."""
_WORDS = 60
_NOTE = 200


def history_json(history: History) -> dict[str, Json]:
    """Runs and generations as JSON, the newest first."""
    return {
        "format_version": FORMAT_VERSION,
        "runs": [_run_json(one) for one in history.runs],
        "generations": [_generation_json(one) for one in history.generations],
        "texts": [text_json(one) for one in history.texts],
        "verdicts": [verdict_json(one) for one in history.verdicts],
        "gaps": list(history.gaps),
    }


def _generation_json(one: Generation) -> dict[str, Json]:
    values = structs.asdict(one)
    del values["tokens"]
    return {**values, **tokens_json(one.tokens)}


def text_json(text: PaidText) -> dict[str, Json]:
    """A paid text as JSON."""
    values = structs.asdict(text)
    del values["tokens"]
    return {**values, "where": list(text.where), **tokens_json(text.tokens)}


def _run_json(report: KeptReport) -> dict[str, Json]:
    run = structs.asdict(report.run)
    del run["outcomes"]
    return {**run, "exit_code": report.exit_code}


def history_text(history: History, *, width: int = 0) -> str:
    """A table of the runs, one of the generations, the sums, and what may be missing."""
    blocks = ["\n".join(_runs(history.runs, width))]
    blocks.append("\n".join(_generations(history.generations, history.verdicts, width)))
    blocks.append(texts_text(history.texts, width=width))
    paid = [one for one in history.generations if one.outcome in _PAID]
    spent = sum(one.credits for one in paid)
    ending = [paint(f"{plural(len(paid), 'text')}, {plural(spent, 'credit')}.", "strong")]
    ending += _elsewhere(sum(one.outcome == "elsewhere" for one in history.generations))
    ending += _in_no_file(sum(one.outcome == "unwritten" for one in paid))
    ending += _other_sum(sum(one.run.credits for one in history.runs), spent)
    ending += [f"There may be more: {visible(gap)}." for gap in history.gaps]
    return "\n\n".join([*filter(None, blocks), "\n".join(ending)])


_PAID = frozenset({"generated", "unwritten"})
"""Outcomes of texts that cost credits."""


def _in_no_file(number: int) -> Iterator[str]:
    """The number of paid texts that are in no file, and why."""
    if number:
        why = "the item was removed, its request changed, its checks failed, or the run was killed"
        where = "`contentops history ITEM` shows where the text is"
        yield f"{number:,} of these {'is' if number == 1 else 'are'} in no known file: {why}; {where}."


def _elsewhere(number: int) -> Iterator[str]:
    """The number of texts that another environment counts."""
    if number:
        them, are = ("it", "is") if number == 1 else ("them", "are")
        yield f"{plural(number, 'text')} of another environment, which paid for {them}, {are} not counted."


def _other_sum(runs: int, spent: int) -> Iterator[str]:
    """Why the credits of the runs differ from those of the texts."""
    if 0 < spent < runs:
        why = "for jobs that are still open, failed later, or were given up"
        yield f"The runs count {plural(runs - spent, 'credit')} more: {why}."
    if 0 < runs < spent:
        why = "runs that were killed or on other machines are not listed"
        yield f"The runs count {plural(spent - runs, 'credit')} fewer: {why}."


def _runs(runs: Sequence[KeptReport], width: int) -> Iterator[str]:
    rows = []
    for report in runs[:SHOWN]:
        run = report.run
        counts = ", ".join(f"{number:,} {result}" for result, number in run.counts.items() if number)
        rows.append((moment(run.started_at), run.id[:8], f"{run.credits:,}", counts, run.stopped))
    yield from _listed(("RUN AT", "RUN", "CREDITS", "ITEMS", "STOPPED"), rows, len(runs), width)


def _generations(made: Sequence[Generation], verdicts: Sequence[Approval], width: int) -> Iterator[str]:
    """A table of what was made and what people said of it, the newest first."""
    rows = [
        *((one.at, one.item, one.job_id, f"{one.credits:,}", one.outcome, clip(one.error, _WORDS)) for one in made),
        *((one.at, one.item, "", "", _VERDICTS[one.verdict], _opinion(one)) for one in verdicts),
    ]
    if verdicts:
        rows.sort(key=lambda row: row[0], reverse=True)
    shown = [(moment(at), *cells) for at, *cells in rows[:SHOWN]]
    yield from _listed(("MADE AT", "ITEM", "JOB", "CREDITS", "OUTCOME", "WHY"), shown, len(rows), width)


_VERDICTS = {Verdict.APPROVED: "approved", Verdict.SENT_BACK: "sent back"}


def _opinion(line: Approval) -> str:
    """Who said it, and the note."""
    return f"{line.by}: {clip(line.note, _NOTE)}" if line.note else line.by


def texts_text(texts: Sequence[PaidText], *, width: int = 0) -> str:
    """A table of paid texts, each with the start of its digest and where it is kept; empty where there is none."""
    rows = [
        (one.short, moment(one.at), one.job_id, f"{one.credits:,}", _where(one), _stands(one)) for one in texts[:SHOWN]
    ]
    return "\n".join(_listed(("TEXT", "MADE AT", "JOB", "CREDITS", "WHERE", "NOW"), rows, len(texts), width))


_PLACES = {"cache": "in cache", "git": "in git", "server": "on server"}


def _where(text: PaidText) -> str:
    return ", ".join(_PLACES[source] for source in text.where) or "nowhere"


def _stands(text: PaidText) -> str:
    return ", ".join([*["in the file"] * text.stands, *["last generated"] * text.generated])


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], total: int, width: int) -> Iterator[str]:
    if not rows:
        return
    first, *lines = table(head, rows, width=width, sparse=True, whole=(head[0], "MADE AT"), first=("JOB",)).split("\n")
    yield from (paint(first, "dim"), *lines)
    if total > len(rows):
        yield f"... and {total - len(rows):,} earlier; `--json` lists all"


# --- spend -------------------------------------------------------------------------------------------------


GROUPS = ("month", "template", "style", "manifest", "tag", "server")
"""What is counted by, in the order shown."""
UNKNOWN = "(unknown)"
GONE = "(in no manifest)"
UNTAGGED = "(no tag)"
_OPEN = {
    JobState.RUNNING: "running",
    JobState.PAID: "paid, not written yet",
    JobState.SUBMITTING: "answer lost, perhaps paid",
    JobState.UNKNOWN: "answer lost, perhaps paid",
}


class Row(Struct, frozen=True):
    """The number of texts under one name, and their cost in credits."""

    name: str
    texts: int
    credits: int


class Spend(Struct, frozen=True, kw_only=True):
    """What the records say was spent, and what open entries may add."""

    texts: int
    credits: int
    groups: Mapping[str, tuple[Row, ...]]
    """By each of `GROUPS`. A text with several tags counts under each of them."""
    open: tuple[Row, ...] = ()
    """Jobs that no record carries yet, by how they stand."""
    unwritten: int = 0
    """Texts among these that are in no file."""
    elsewhere: int = 0
    """Texts left out because another environment paid for them."""
    undated: int = 0
    """Texts left out because their records have no time that can be compared."""


def count_spend(
    texts: Iterable[Record],
    entries: Iterable[OpenEntry],
    desired: Desired | None,
    *,
    since: datetime | None = None,
    known: frozenset[str] = frozenset(),
    elsewhere: frozenset[str] = frozenset(),
) -> Spend:
    """The spend at or after `since` (with a time zone), without the request ids in `known`, which are counted already.

    The request ids `elsewhere` are counted by the environment that paid for them. `desired` gives the manifest and the
    tags of an item; None: not known.
    """
    made = [one for one in texts if one.request_id and one.request_id not in known]
    dated = [one for one in made if _is_since(one.generated_at, since)]
    counted = [one for one in dated if one.request_id not in elsewhere]
    undated = sum(since is not None and _time(one.generated_at) is None for one in made)
    specs = desired.specs if desired else ()
    gone = GONE if desired else UNKNOWN
    manifests = {spec.id: spec.location.file if spec.location else UNKNOWN for spec in specs}
    tags = {spec.id: dict.fromkeys(spec.tags) or (UNTAGGED,) for spec in specs}
    names: dict[str, Callable[[Record], Iterable[str]]] = {
        "month": lambda one: (_month(one.generated_at),),
        "template": lambda one: (_said(one, "template"),),
        "style": lambda one: (_said(one, "style"),),
        "manifest": lambda one: (manifests.get(one.id, gone),),
        "tag": lambda one: tags.get(one.id, (gone,)),
        "server": lambda one: (one.server,),
    }
    groups = {}
    for group in GROUPS:
        rows = _rows((name, one.credits) for one in counted for name in names[group](one))
        groups[group] = tuple(sorted(rows, key=_by_name if group == "month" else _by_credits))
    return Spend(
        texts=len(counted),
        credits=sum(one.credits for one in counted),
        groups=groups,
        open=_open(entries, since, known),
        unwritten=sum(not one.output for one in counted),
        elsewhere=len(dated) - len(counted),
        undated=undated,
    )


def _open(entries: Iterable[OpenEntry], since: datetime | None, counted_before: frozenset[str]) -> tuple[Row, ...]:
    rows = _rows(
        (_OPEN[entry.state], entry.credits)
        for entry in entries
        if entry.state in _OPEN and entry.request_id not in counted_before and _is_since(entry.submitted_at, since)
    )
    return tuple(sorted(rows, key=_by_credits))


def _rows(priced: Iterable[tuple[str, int]]) -> Iterator[Row]:
    prices: dict[str, list[int]] = defaultdict(list)
    for name, price in priced:
        prices[name].append(price)
    return (Row(name, len(each), sum(each)) for name, each in prices.items())


def _by_name(row: Row) -> tuple[object, ...]:
    return (row.name,)


def _by_credits(row: Row) -> tuple[object, ...]:
    return (-row.credits, -row.texts, row.name)


def _said(record: Record, key: str) -> str:
    """A text of the recorded request, which may have any value there."""
    value = record.request.get(key)
    return value if isinstance(value, str) and value else UNKNOWN


def _time(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _month(text: str) -> str:
    when = _time(text)
    try:
        return UNKNOWN if when is None else when.astimezone(UTC).strftime("%Y-%m")
    except OverflowError:
        return UNKNOWN


def _is_since(text: str, since: datetime | None) -> bool:
    when = _time(text)
    return since is None or (when is not None and when >= since)


# --- shown -------------------------------------------------------------------------------------------------


def spend_json(spend: Spend, *, since: str, gaps: Sequence[str] = ()) -> dict[str, Json]:
    """The spend as JSON; `since` is the exact start, `gaps` what may be missing."""
    return {
        "format_version": FORMAT_VERSION,
        "since": since,
        "texts": spend.texts,
        "credits": spend.credits,
        "by": {group: [structs.asdict(row) for row in rows] for group, rows in spend.groups.items()},
        "open": [structs.asdict(row) for row in spend.open],
        **({"unwritten": spend.unwritten} if spend.unwritten else {}),
        **({"elsewhere": spend.elsewhere} if spend.elsewhere else {}),
        "undated": spend.undated,
        "gaps": list(gaps),
    }


def spend_text(spend: Spend, *, since: str, gaps: Sequence[str] = ()) -> str:
    """A table for each of `GROUPS`, then the total; sanitized."""
    sections = [
        "\n".join(_table(group, rows))
        for group, rows in spend.groups.items()
        if rows and (group != "server" or len(rows) > 1)
    ]
    sections.append("\n".join(_ending(spend, since, gaps)))
    return "\n\n".join(sections)


def _table(group: str, rows: Sequence[Row]) -> Iterator[str]:
    width = max(columns(visible(name)) for name in (group, *(row.name for row in rows)))
    yield paint(f"{group.upper():<{width}}  {'TEXTS':>7}  {'CREDITS':>9}", "dim")
    for row in rows:
        name = visible(row.name)
        yield f"{name}{' ' * (width - columns(name))}  {row.texts:>7,}  {row.credits:>9,}"


def _ending(spend: Spend, since: str, gaps: Sequence[str]) -> Iterator[str]:
    start = f" since {visible(since)}" if since else ""
    text = f"Spent{start}: {plural(spend.credits, 'credit')} for {plural(spend.texts, 'text')}."
    yield paint(text, "strong")
    yield from _elsewhere(spend.elsewhere)
    yield from _in_no_file(spend.unwritten)
    for row in spend.open:
        yield f"Open: {plural(row.texts, 'job')} {row.name}, {plural(row.credits, 'credit')}."
    if spend.undated:
        yield f"Not counted: {plural(spend.undated, 'text')} whose time of generation is not known."
    for gap in gaps:
        yield f"There may be more: {visible(gap)}."
