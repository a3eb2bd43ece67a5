"""Shows spending, the runs that caused it, and the origins of texts, as text and JSON.

Failed jobs cost no credits and do not count as texts. The tokens that they used are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, structs

from contentops.errors import plural
from contentops.model import Approval, Desired, Job, JobState, Json
from contentops.model.approval import NOTE_LIMIT
from contentops.model.jobs import Provenances, TextProvenance, money_words, spent_words
from contentops.model.records import seconds_of
from contentops.model.run import History, KeptReport, PaidText
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import moment, paint, table
from contentops.reporting.tokens import sum_json, sum_text, tokens_json
from contentops.sanitize import clip, columns, one_line, visible
from contentops.tokens import TokenSum, add_sums, sum_tokens

# ---- What was spent on texts, by month, template, style, manifest, tag and server, as text and JSON.

GROUPS = ("month", "template", "style", "manifest", "tag", "server")
"""The properties by which spending is counted, in the order shown."""
UNKNOWN = "(unknown)"
GONE = "(in no manifest)"
UNTAGGED = "(no tag)"
_LOST = "with a lost answer, perhaps paid"
_GIVEN_UP = "given up, perhaps paid"
_OPEN = {
    JobState.RUNNING: "running",
    JobState.SUBMITTING: _LOST,
    JobState.UNKNOWN: _LOST,
    JobState.GIVEN_UP: _GIVEN_UP,
}


class Row(Struct, frozen=True):
    """A row of a spending table: a name, such as an item's id, with the number and cost of its texts."""

    name: str
    texts: int
    credits: int
    tokens: TokenSum = TokenSum()
    """The tokens of these texts and of failed jobs."""


class Spend(Struct, frozen=True, kw_only=True):
    """The spending that is recorded in the jobs, with the open jobs that may add to it."""

    texts: int
    credits: int
    groups: Mapping[str, tuple[Row, ...]]
    """The rows for each of `GROUPS`. A text with several tags counts under each of them."""
    open: tuple[Row, ...] = ()
    """Jobs that run, and orders whose answers were lost, by state."""
    unwritten: int = 0
    """The number of these texts that are in no file."""
    undated: int = 0
    """The number of texts that are left out because the times of their jobs cannot be compared."""
    tokens: TokenSum = TokenSum()
    """The tokens of the texts and of `failed` jobs."""
    failed: int = 0
    """The number of jobs that failed and cost no credits, but used tokens."""

    @property
    def credits_sure(self) -> int:
        """Return the credits that were certainly spent. Open jobs that a server has accepted are included."""
        return self.credits + sum(row.credits for row in self.open if row.name not in {_LOST, _GIVEN_UP})

    @property
    def credits_at_most(self) -> int:
        """Return the highest number of credits that may have been spent. Every open job counts, also uncertain ones."""
        return self.credits + sum(row.credits for row in self.open)


def count_spend(
    jobs: Iterable[Job],
    desired: Desired | None,
    *,
    since: datetime | None = None,
) -> Spend:
    """Add up the spending on jobs that were accepted at or after `since`, which has a time zone.

    `desired` gives the manifest and the tags of each item. If it is None, they are not known.
    """
    every = [*jobs]
    made = [job for job in every if job.is_spent]
    counted = [job for job in made if _is_since(job, since)]
    failed = [job for job in every if job.is_failure and (job.tokens or job.bound) and _is_since(job, since)]
    undated = sum(since is not None and seconds_of(job.since) is None for job in made)
    specs = desired.specs if desired else ()
    gone = GONE if desired else UNKNOWN
    manifests = {spec.id: spec.location.file if spec.location else UNKNOWN for spec in specs}
    tags = {spec.id: dict.fromkeys(spec.tags) or (UNTAGGED,) for spec in specs}
    names: dict[str, Callable[[Job], Iterable[str]]] = {
        "month": lambda one: (_month(one.since),),
        "template": lambda one: (one.template or UNKNOWN,),
        "style": lambda one: (one.style or UNKNOWN,),
        "manifest": lambda one: (manifests.get(one.item, gone),),
        "tag": lambda one: tags.get(one.item, (gone,)),
        "server": lambda one: (one.server,),
    }
    costs = [*((one, _cost(one)) for one in counted), *((one, _cost(one, texts=0)) for one in failed)]
    return Spend(
        texts=len(counted),
        credits=sum(one.cost for one in counted),
        groups=_grouped(lambda group: ((name, cost) for one, cost in costs for name in names[group](one))),
        open=_added((_OPEN[job.state], _cost(job)) for job in every if job.state in _OPEN and _is_since(job, since)),
        unwritten=sum(not one.is_written for one in counted),
        undated=undated,
        tokens=add_sums(cost.tokens for _, cost in costs),
        failed=len(failed),
    )


def add_spends(spends: Mapping[str, Spend]) -> Spend:
    """Add up the spending of several environments, and also group it by environment. Each text belongs to only one."""
    if len(spends) == 1:
        return next(iter(spends.values()))
    each = tuple(spends.values())
    by_environment = [Row(name, one.texts, one.credits, one.tokens) for name, one in spends.items()]
    groups = _grouped(lambda group: ((row.name, row) for one in each for row in one.groups[group]))
    return Spend(
        texts=sum(one.texts for one in each),
        credits=sum(one.credits for one in each),
        groups={"environment": tuple(sorted(by_environment, key=_by_credits)), **groups},
        open=_added((row.name, row) for one in each for row in one.open),
        unwritten=sum(one.unwritten for one in each),
        undated=sum(one.undated for one in each),
        tokens=add_sums(one.tokens for one in each),
        failed=sum(one.failed for one in each),
    )


def _grouped(named: Callable[[str], Iterable[tuple[str, Row]]]) -> dict[str, tuple[Row, ...]]:
    """Return the rows of each table of spending, the most expensive first. Months are in the order of time."""
    groups = {group: _added(named(group)) for group in GROUPS}
    return groups | {"month": tuple(sorted(groups["month"], key=lambda row: row.name))}


def _added(named: Iterable[tuple[str, Row]]) -> tuple[Row, ...]:
    """Combine rows that have the same name into one row with their sums. Return the most expensive row first."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for name, row in named:
        by_name[name].append(row)
    rows = (
        Row(
            name, sum(one.texts for one in each), sum(one.credits for one in each), add_sums(one.tokens for one in each)
        )
        for name, each in by_name.items()
    )
    return tuple(sorted(rows, key=_by_credits))


def _cost(job: Job, texts: int = 1) -> Row:
    """Return the texts, credits and tokens of one job as a row without a name."""
    tokens = (None,) if job.bound is not None else (job.tokens,) if job.is_by_model else ()
    return Row("", texts, job.cost, sum_tokens(tokens))


def last_months(rows: Sequence[Row], now: float, number: int = 6) -> list[Row]:
    """Return a row for each of the last months, named after the month. The current month is last."""
    by_name = {row.name: row for row in rows}
    today = datetime.fromtimestamp(now, UTC)
    months = []
    for back in reversed(range(number)):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        first = datetime(year, month + 1, 1, tzinfo=UTC)
        row = by_name.get(f"{first:%Y-%m}", Row("", 0, 0))
        months.append(Row(f"{first:%b}", row.texts, row.credits, row.tokens))
    return months


def _by_credits(row: Row) -> tuple[object, ...]:
    return (-row.credits, -row.texts, row.name)


def _month(text: str) -> str:
    when = seconds_of(text)
    try:
        return UNKNOWN if when is None else f"{datetime.fromtimestamp(when, UTC):%Y-%m}"
    except (OverflowError, ValueError):
        return UNKNOWN


def _is_since(job: Job, since: datetime | None) -> bool:
    when = seconds_of(job.since)
    return since is None or (when is not None and when >= since.timestamp())


# --- shown -------------------------------------------------------------------------------------------------


def spend_json(spend: Spend, *, since: str) -> dict[str, Json]:
    """Return the spending as JSON. `since` is its exact start."""
    return {
        "format_version": FORMAT_VERSION,
        "since": since,
        "texts": spend.texts,
        "credits": spend.credits,
        "credits_sure": spend.credits_sure,
        "credits_at_most": spend.credits_at_most,
        **sum_json(spend.tokens),
        **({"failed": spend.failed} if spend.failed else {}),
        "by": {group: [_row_json(row) for row in rows] for group, rows in spend.groups.items()},
        "open": [_row_json(row) for row in spend.open],
        **({"unwritten": spend.unwritten} if spend.unwritten else {}),
        "undated": spend.undated,
    }


def _row_json(row: Row) -> dict[str, Json]:
    return {"name": row.name, "texts": row.texts, "credits": row.credits, **sum_json(row.tokens)}


def spend_text(spend: Spend, *, since: str) -> str:
    """Return the spending as text: a table for each of `GROUPS`, followed by the total. Names are sanitized."""
    sections = [
        "\n".join(_table(group, rows))
        for group, rows in spend.groups.items()
        if rows and (group != "server" or len(rows) > 1)
    ]
    sections.append("\n".join(_ending(spend, since)))
    return "\n\n".join(sections)


def _table(group: str, rows: Sequence[Row]) -> Iterator[str]:
    width = max(columns(visible(name)) for name in (group, *(row.name for row in rows)))
    money = [money_words(row.tokens.money) for row in rows]
    wide = max(map(len, money))
    last = f"  {'MONEY':>{max(wide, 5)}}" if wide else ""
    yield paint(f"{group.upper():<{width}}  {'TEXTS':>7}  {'CREDITS':>9}{last}", "dim")
    for row, spent in zip(rows, money, strict=True):
        name = visible(row.name)
        last = f"  {spent:>{max(wide, 5)}}".rstrip() if wide else ""
        yield f"{name}{' ' * (width - columns(name))}  {row.texts:>7,}  {row.credits:>9,}{last}"


def _ending(spend: Spend, since: str) -> Iterator[str]:
    start = f" since {visible(since)}" if since else ""
    text = f"Spent{start}: {plural(spend.credits, 'credit')} for {plural(spend.texts, 'text')}."
    yield paint(text, "strong")
    yield from sum_text(spend.tokens, spend.failed)
    yield from in_no_file(spend.unwritten)
    for row in spend.open:
        yield f"Open: {plural(row.texts, 'job')} {row.name}, {spent_words(row.credits, row.tokens)}."
    yield from sure_text(spend)
    if spend.undated:
        yield f"Not counted: {plural(spend.undated, 'text')} whose time is not known."


def sure_text(spend: Spend) -> Iterator[str]:
    """Yield a sentence with the certain and the highest possible spending, if they differ."""
    if spend.credits_sure < spend.credits_at_most:
        yield f"In all, {spend.credits_sure:,} credits are sure, and at most {spend.credits_at_most:,} are charged."


def in_no_file(number: int) -> Iterator[str]:
    """Yield a sentence about paid texts that are in no file, with the reasons."""
    if number:
        why = "the item was removed, its request changed, its checks failed, or the run was killed"
        where = "`contentops report --runs --select ITEM` shows where the text is"
        yield f"{number:,} of these {'is' if number == 1 else 'are'} in no known file: {why}; {where}."


# ---- The origins of texts, as a table and JSON.

_SHORT: Final = 8


def provenance_json(provenances: Provenances, environment: str) -> dict[str, Json]:
    """Return the origins of texts as JSON, in the order of items."""
    return {
        "format_version": FORMAT_VERSION,
        "environment": environment,
        "texts": [_text_json(one) for one in provenances.texts],
        "unread": list(provenances.unread),
        "gaps": list(provenances.gaps),
    }


def _text_json(text: TextProvenance) -> dict[str, Json]:
    values = structs.asdict(text)
    attempts, verdicts = values.pop("attempts"), values.pop("verdicts")
    return {
        **values,
        "attempts": attempts.number,
        "credits": attempts.credits,
        **sum_json(attempts.tokens),
        "approval": text.approval.value,
        "disclosure": dict(text.disclosure),
        "verdicts": [verdict_json(one) for one in verdicts],
    }


def verdict_json(line: Approval) -> dict[str, Json]:
    """Return an approval or send-back as JSON with the keys of `contentops.approvals`. A long note is shortened."""
    return {
        "item": line.item,
        "text": line.text,
        "verdict": line.verdict.value,
        "by": line.by,
        "at": line.at,
        "note": clip(line.note, NOTE_LIMIT),
        "from": line.source,
    }


# --- a table -----------------------------------------------------------------------------------------------


def provenance_text(provenances: Provenances, *, width: int = 0) -> str:
    """Return a table of the origins of texts, then their number, and why some may be missing."""
    head = ("ITEM", "SERVER", "MODEL", "JOB", "MADE AT", "CREDITS", "MONEY", "CHANGED", "APPROVAL", "BY", "COMMIT")
    rows = [
        (
            one.item,
            one.server,
            one.model,
            one.job_id,
            moment(one.generated_at),
            f"{one.attempts.credits:,}",
            money_words(one.attempts.tokens.money),
            "not known" if one.changed is None else f"{one.changed:.0%}",
            one.approval.words,
            _people(one.verdicts),
            one.commit[:_SHORT],
        )
        for one in provenances.texts
    ]
    whole = ("MADE AT", "CREDITS", "MONEY", "CHANGED", "APPROVAL", "COMMIT")
    lines = table(head, rows, width=width, sparse=True, whole=whole).split("\n") if rows else []
    ending = [paint(f"{plural(len(rows), 'text')}.", "strong")]
    ending += [f"Left out: {visible(problem)}." for problem in provenances.unread]
    ending += [f"There may be more: {visible(gap)}." for gap in provenances.gaps]
    return "\n".join([*(paint(line, "dim") for line in lines[:1]), *lines[1:], *([""] if lines else []), *ending])


def _people(verdicts: Sequence[Approval]) -> str:
    """Return who last approved a text or sent it back, and how many other people did."""
    if not verdicts:
        return ""
    *others, last = verdicts
    return f"{last.name} and {plural(len(others), 'other')}" if others else last.name


# ---- The history of runs and texts, as text and JSON.

SHOWN = 50
"""The most lines of each table in the text. JSON has all of them."""
_WORDS = 60
_NOTE = 200


def history_json(history: History) -> dict[str, Json]:
    """Return the runs and generations as JSON, the newest first."""
    runs = [structs.asdict(one.run) | {"exit_code": one.exit_code} for one in history.runs]
    return {
        "format_version": FORMAT_VERSION,
        "runs": [{key: value for key, value in one.items() if key != "outcomes"} for one in runs],
        "generations": [_generation_json(one) for one in history.generations],
        "texts": [text_json(one) for one in history.texts],
        "verdicts": [verdict_json(one) for one in history.verdicts],
        "gaps": list(history.gaps),
    }


def _generation_json(job: Job) -> dict[str, Json]:
    same = ("item", "job_id", "request_id", "outcome", "server", "error", *(["model"] if job.model else []))
    values = {name: getattr(job, name) for name in same}
    return {**values, "at": job.time, "credits": job.cost, **tokens_json(job.tokens)}


def text_json(text: PaidText) -> dict[str, Json]:
    """Return a paid text, its job and its sources as JSON."""
    job, found = text.job, {"where": list(text.where), "stands": text.stands, "generated": text.generated}
    same = {name: getattr(job, name) for name in ("body", "job_id", "request_id", "content_id", "server", "credits")}
    return {"item": text.item, "at": job.generated_at, **same, **found, **tokens_json(job.tokens)}


def history_text(history: History, *, width: int = 0) -> str:
    """Return the history as text: tables of runs, generations and texts, their sums, and why entries may be missing."""
    blocks = ["\n".join(_runs(history.runs, width))]
    blocks.append("\n".join(_generations(history.generations, history.verdicts, width)))
    blocks.append(texts_text(history.texts, width=width))
    paid = [one for one in history.generations if one.outcome in _PAID]
    spent = sum(one.cost for one in paid)
    ending = [paint(f"{plural(len(paid), 'text')}, {plural(spent, 'credit')}.", "strong")]
    lost = [one for one in history.generations if one.is_failure and one.tokens is not None]
    ending += sum_text(sum_tokens(one.tokens for one in (*paid, *lost) if one.is_by_model), len(lost))
    ending += in_no_file(sum(one.outcome == "unwritten" for one in paid))
    ending += _other_sum(sum(one.run.credits for one in history.runs), spent)
    ending += [f"There may be more: {visible(gap)}." for gap in history.gaps]
    return "\n\n".join([*filter(None, blocks), "\n".join(ending)])


_PAID = frozenset({"generated", "unwritten", "lost"})
"""The outcomes of jobs that cost credits."""


def _other_sum(runs: int, spent: int) -> Iterator[str]:
    """Yield a sentence if the listed runs and the listed texts have different sums of credits. It says why."""
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


def _generations(made: Sequence[Job], verdicts: Sequence[Approval], width: int) -> Iterator[str]:
    """Yield a table of the generated texts with their approvals and send-backs, the newest first."""
    rows = [
        *(
            (job.time, job.item, job.job_id, f"{job.cost:,}", money, job.outcome, clip(job.error, _WORDS))
            for job in made
            for money in (money_words(sum_tokens([job.tokens]).money),)
        ),
        *((one.at, one.item, "", "", "", one.verdict.replace("-", " "), _opinion(one)) for one in verdicts),
    ]
    if verdicts:
        rows.sort(key=lambda row: row[0], reverse=True)
    shown = [(moment(at), *cells) for at, *cells in rows[:SHOWN]]
    head = ("MADE AT", "ITEM", "JOB", "CREDITS", "MONEY", "OUTCOME", "WHY")
    yield from _listed(head, shown, len(rows), width)


def _opinion(line: Approval) -> str:
    """Return the name of the person who approved or sent back a text, with the person's note."""
    return f"{line.by}: {clip(one_line(line.note), _NOTE)}" if line.note else line.by


def texts_text(texts: Sequence[PaidText], unpaid: Sequence[Sequence[str]] = (), *, width: int = 0) -> str:
    """Return a table of texts: the start of each digest, and where the text can be found.

    `unpaid` has the digest, time and location of each text that no job made. Without texts the result is empty.
    """
    rows = [
        (
            one.short,
            moment(one.job.generated_at),
            one.job.job_id,
            f"{one.job.credits:,}",
            ", ".join(_PLACES[source] for source in one.where) or "nowhere",
            ", ".join([*["in the file"] * one.stands, *["last generated"] * one.generated]),
        )
        for one in texts[:SHOWN]
    ]
    rows += ((text, moment(at), "", "", where, "") for text, at, where in unpaid[:SHOWN])
    total = len(texts) + len(unpaid)
    return "\n".join(_listed(("TEXT", "MADE AT", "JOB", "CREDITS", "WHERE", "NOW"), rows, total, width))


_PLACES = {"cache": "in cache", "git": "in git", "server": "on server"}


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], total: int, width: int) -> Iterator[str]:
    if not rows:
        return
    first, *lines = table(head, rows, width=width, sparse=True, whole=(head[0], "MADE AT")).split("\n")
    yield from (paint(first, "dim"), *lines)
    if total > len(rows):
        yield f"... and {total - len(rows):,} earlier; `--json` lists all"


# ---- Times and lengths in words, for pages that people read.

_WORDS_A_MINUTE: Final = 220
_DAY: Final = 86_400


def minutes(words: int) -> str:
    """Return how long it takes to read a text, such as `2 minutes`."""
    return plural(max(round(words / _WORDS_A_MINUTE), 1), "minute")


def day(at: str, now: float) -> str:
    """Return the local day of an ISO time, such as `today` or `12 November`. Days of other years have the year.

    `now` is in seconds since 1970. Text that is no time is returned unchanged, here and below.
    """
    when, today = _local(at), datetime.fromtimestamp(now, UTC).astimezone()
    if when is None:
        return visible(at)
    if when.date() == today.date():
        return "today"
    return f"{when.day} {when:%B}" + (f" {when.year}" if when.year != today.year else "")


def on_day(at: str, now: float) -> str:
    """Return the day of an ISO time for the end of a sentence: `today` or `on 12 November`."""
    name = day(at, now)
    return name if name == "today" else f"on {name}"


def short_date(at: str) -> str:
    """Return the day of an ISO time in a short form, such as `12 Nov 26`."""
    when = _local(at)
    return visible(at) if when is None else f"{when.day} {when:%b %y}"


def day_and_time(at: str, now: float) -> str:
    """Return the day and time of an ISO time in words, such as `today at 06:44`."""
    when = _local(at)
    return visible(at) if when is None else f"{day(at, now)} at {when:%H:%M}"


def age(at: str, now: float) -> str:
    """Return the age of something since an ISO time, such as `2 days`. Less than a day is `since today`."""
    when = _local(at)
    days = 0 if when is None else int((now - when.timestamp()) // _DAY)
    return plural(days, "day") if days > 0 else "since today"


def _local(at: str) -> datetime | None:
    try:
        return datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError):
        return None
