"""What was spent on texts, by month, template, style, manifest, tag and server, as text and JSON.

Failed jobs cost no credits and are no texts; the tokens that they used are counted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import plural
from contentops.model import JobState
from contentops.model.cost import money_words, spent_words
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import paint
from contentops.reporting.tokens import sum_json, sum_text
from contentops.sanitize import columns, visible
from contentops.tokens import TokenSum, add_sums, sum_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from contentops.model import Desired, Json, OpenEntry
    from contentops.model.records import Order
    from contentops.tokens import PaidTokens

GROUPS = ("month", "template", "style", "manifest", "tag", "server")
"""What is counted by, in the order shown."""
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
    """The number of texts under one name, and their cost in credits."""

    name: str
    texts: int
    credits: int
    tokens: TokenSum = TokenSum()
    """Of these, and of jobs that failed."""


class Spend(Struct, frozen=True, kw_only=True):
    """What the jobs say was spent, and what open ones may add."""

    texts: int
    credits: int
    groups: Mapping[str, tuple[Row, ...]]
    """By each of `GROUPS`. A text with several tags counts under each of them."""
    open: tuple[Row, ...] = ()
    """Jobs that run, and orders whose answers were lost, by state."""
    unwritten: int = 0
    """Texts among these that are in no file."""
    undated: int = 0
    """Texts left out because their jobs have no time that can be compared."""
    tokens: TokenSum = TokenSum()
    """Of the texts, and of `failed` jobs."""
    failed: int = 0
    """Jobs that failed and cost no credits, but used tokens."""

    @property
    def credits_sure(self) -> int:
        """With the open jobs that a server has accepted."""
        return self.credits + sum(row.credits for row in self.open if row.name not in {_LOST, _GIVEN_UP})

    @property
    def credits_at_most(self) -> int:
        """With every open job, also those that may not be charged."""
        return self.credits + sum(row.credits for row in self.open)


def count_spend(
    jobs: Iterable[OpenEntry],
    desired: Desired | None,
    *,
    since: datetime | None = None,
    known: frozenset[Order] = frozenset(),
) -> Spend:
    """The spend on jobs accepted at or after `since` (with a time zone), without the `known` orders.

    `desired` gives the manifest and the tags of an item; None: not known.
    """
    new = [job for job in jobs if job.order not in known]
    made = [job for job in new if job.is_spent]
    counted = [job for job in made if _is_since(job, since)]
    failed = [job for job in new if job.is_failure and (job.tokens or job.bound) and _is_since(job, since)]
    undated = sum(since is not None and _time(job.since) is None for job in made)
    specs = desired.specs if desired else ()
    gone = GONE if desired else UNKNOWN
    manifests = {spec.id: spec.location.file if spec.location else UNKNOWN for spec in specs}
    tags = {spec.id: dict.fromkeys(spec.tags) or (UNTAGGED,) for spec in specs}
    names: dict[str, Callable[[OpenEntry], Iterable[str]]] = {
        "month": lambda one: (_month(one.since),),
        "template": lambda one: (one.template or UNKNOWN,),
        "style": lambda one: (one.style or UNKNOWN,),
        "manifest": lambda one: (manifests.get(one.item, gone),),
        "tag": lambda one: tags.get(one.item, (gone,)),
        "server": lambda one: (one.server,),
    }
    costs = [*((one, _Cost.of(one)) for one in counted), *((one, _Cost.of(one, texts=0)) for one in failed)]
    groups = {}
    for group in GROUPS:
        rows = _rows((name, cost) for one, cost in costs for name in names[group](one))
        groups[group] = tuple(sorted(rows, key=_by_name if group == "month" else _by_credits))
    return Spend(
        texts=len(counted),
        credits=sum(one.cost for one in counted),
        groups=groups,
        open=_open(new, since),
        unwritten=sum(not one.is_written for one in counted),
        undated=undated,
        tokens=sum_tokens(tokens for _, cost in costs for tokens in cost.tokens),
        failed=len(failed),
    )


def add_spends(spends: Mapping[str, Spend]) -> Spend:
    """The sum over environments by their names, of which no two count one text; with a group `environment`."""
    if len(spends) == 1:
        return next(iter(spends.values()))
    each = tuple(spends.values())
    by_environment = [Row(name, one.texts, one.credits, one.tokens) for name, one in spends.items()]
    groups = {group: _added(row for one in each for row in one.groups[group]) for group in GROUPS}
    groups["month"] = tuple(sorted(groups["month"], key=_by_name))
    return Spend(
        texts=sum(one.texts for one in each),
        credits=sum(one.credits for one in each),
        groups={"environment": tuple(sorted(by_environment, key=_by_credits)), **groups},
        open=_added(row for one in each for row in one.open),
        unwritten=sum(one.unwritten for one in each),
        undated=sum(one.undated for one in each),
        tokens=add_sums(one.tokens for one in each),
        failed=sum(one.failed for one in each),
    )


def _added(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of each name as one."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)

    def added(name: str, each: Sequence[Row]) -> Row:
        texts, spent = sum(one.texts for one in each), sum(one.credits for one in each)
        return Row(name, texts, spent, add_sums(one.tokens for one in each))

    return tuple(sorted((added(name, each) for name, each in by_name.items()), key=_by_credits))


def last_months(rows: Sequence[Row], now: float, number: int = 6) -> list[Row]:
    """The last months with their short names, those without a text too; the last one is that of the clock."""
    by_name = {row.name: row for row in rows}
    today = datetime.fromtimestamp(now, UTC)
    months = []
    for back in reversed(range(number)):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        first = datetime(year, month + 1, 1, tzinfo=UTC)
        row = by_name.get(f"{first:%Y-%m}", Row("", 0, 0))
        months.append(Row(f"{first:%b}", row.texts, row.credits, row.tokens))
    return months


def _open(jobs: Iterable[OpenEntry], since: datetime | None) -> tuple[Row, ...]:
    rows = _rows((_OPEN[job.state], _Cost.of(job)) for job in jobs if job.state in _OPEN and _is_since(job, since))
    return tuple(sorted(rows, key=_by_credits))


class _Cost(Struct, frozen=True):
    """What one submit counts for: it is a text or not, its credits, and its tokens."""

    texts: int
    credits: int
    tokens: tuple[PaidTokens | None, ...] = ()
    """None: not known; empty: no model wrote it."""

    @staticmethod
    def of(job: OpenEntry, texts: int = 1) -> _Cost:
        """What a job counts for."""
        tokens = (None,) if job.bound is not None else (job.tokens,) if job.is_by_model else ()
        return _Cost(texts, job.cost, tokens)


def _rows(priced: Iterable[tuple[str, _Cost]]) -> Iterator[Row]:
    costs: dict[str, list[_Cost]] = defaultdict(list)
    for name, cost in priced:
        costs[name].append(cost)
    for name, each in costs.items():
        tokens = sum_tokens(tokens for cost in each for tokens in cost.tokens)
        yield Row(name, sum(cost.texts for cost in each), sum(cost.credits for cost in each), tokens)


def _by_name(row: Row) -> tuple[object, ...]:
    return (row.name,)


def _by_credits(row: Row) -> tuple[object, ...]:
    return (-row.credits, -row.texts, row.name)


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


def _is_since(job: OpenEntry, since: datetime | None) -> bool:
    when = _time(job.since)
    return since is None or (when is not None and when >= since)


# --- shown -------------------------------------------------------------------------------------------------


def spend_json(spend: Spend, *, since: str) -> dict[str, Json]:
    """The spend as JSON; `since` is the exact start."""
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
    """A table for each of `GROUPS`, then the total; sanitized."""
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
    """What was spent for sure and at most, where these differ."""
    if spend.credits_sure < spend.credits_at_most:
        yield f"In all, {spend.credits_sure:,} credits are sure, and at most {spend.credits_at_most:,} are charged."


def in_no_file(number: int) -> Iterator[str]:
    """The number of paid texts that are in no file, and why."""
    if number:
        why = "the item was removed, its request changed, its checks failed, or the run was killed"
        where = "`contentops report --runs --select ITEM` shows where the text is"
        yield f"{number:,} of these {'is' if number == 1 else 'are'} in no known file: {why}; {where}."
