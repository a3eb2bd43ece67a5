"""Combines the lines of job files into one list, and finds the open jobs in that list."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs
from msgspec.json import encode

from contentops.digest import Digest
from contentops.errors import plural, price
from contentops.model.approval import Approval, ApprovalState
from contentops.model.plan import AnyChange
from contentops.model.records import (
    CLOCKS,
    OPEN,
    UNDECIDED,
    ItemId,
    Job,
    JobState,
    Json,
    Record,
    RequestId,
    State,
    seconds_of,
)
from contentops.model.settings import CountedMonth
from contentops.tokens import TokenPrice, TokenSum, add_money, exact_money

# ---- How lines of jobs become one list, and which of these jobs are open.

_RANK = {state: number for number, state in enumerate(JobState)}
BY_TIME = operator.attrgetter("submitted_at", "request_id", "server", "store", "job_id")
"""Sorts jobs, the earliest first."""
_URGENT = {JobState.RUNNING: 1, JobState.PAID: 2}
UNIQUE_ID = 16
"""Ids of jobs that are shorter may be numbers, which a server may give again after a restart."""


def stage(job: Job) -> tuple[int, bool]:
    """Return a value that shows the progress of a job. A job with more progress has a higher value."""
    # If a person named a text that no one has seen yet, it may belong to another job.
    state = JobState.RUNNING if job.state is JobState.PAID and not job.body else job.state
    return _RANK[state], job.lost


def fold_orders(lines: Iterable[Job]) -> list[Job]:
    """Combine the lines of job files, so that each submitted request and each job of a server has one line.

    The earliest comes first. Lines with the same id, time of intent and file of a bundled server are one order. Its
    furthest state counts: an order whose answer was lost is not closed by an order of another time. If a server has
    found several jobs under one id, each has a line. Lines may be combined in parts and in any order: the result is the
    same.
    """
    orders: defaultdict[tuple[RequestId, str, str], list[Job]] = defaultdict(list)
    for line in lines:
        orders[line.request_id, line.submitted_at, line.store].append(line)
    folded: list[Job] = []
    for group in orders.values():
        for same in _by_server(group) if len(group) > 1 else (group,):
            named: defaultdict[str, list[Job]] = defaultdict(list)
            for line in same:
                named[line.job_id].append(line)
            if len(named) > 1:
                named.pop("", None)
            folded += map(_furthest, named.values())
    return sorted(folded, key=BY_TIME)


def _by_server(lines: Iterable[Job]) -> Iterator[list[Job]]:
    """Yield the job lines of one request, grouped by server. All lines of a server get its present address."""
    groups: list[tuple[set[str], list[Job]]] = []
    for line in lines:
        names, same = {line.server, *line.former_servers}, [line]
        for other in [each for each in groups if each[0] & names]:
            groups.remove(other)
            names, same = names | other[0], other[1] + same
        groups.append((names, same))
    for _, same in groups:
        _, former, server = max((len(each.former_servers), each.former_servers, each.server) for each in same)
        yield [
            each
            if (each.server, each.former_servers) == (server, former)
            else structs.replace(each, server=server, former_servers=former)
            for each in same
        ]


def fold_jobs(lines: Iterable[Job]) -> list[Job]:
    """Combine lines about the same job, so that sums count each job once. The earliest job comes first.

    Lines that name the same server job for the same request are one job, even if they belong to several orders. The
    bundled server of each clone has its own jobs, with the same ids.
    """
    named: defaultdict[tuple[str, ...], list[Job]] = defaultdict(list)
    folded: list[Job] = []
    for line in fold_orders(lines):
        if line.job_id:
            by = "" if len(line.job_id) >= UNIQUE_ID else line.request_id
            # An earlier version named no file of the bundled server.
            by = line.submitted_at if line.server == "local" and not line.store else by
            named[line.server, line.store, line.job_id, line.digest, line.section, by].append(line)
        else:
            folded.append(line)
    folded += map(_dated, named.values())
    return sorted(folded, key=BY_TIME)


def _dated(lines: list[Job]) -> Job:
    """Combine the lines of a job: return the line with the latest state, and with the first time of acceptance.

    An order that has no such time may have found a job that an earlier order had started.
    """
    furthest = _furthest(lines)
    first = min(lines, key=lambda line: (not line.accepted, line.since, *BY_TIME(line)))
    return furthest if furthest.since == first.since else structs.replace(furthest, accepted=first.since)


def _furthest(lines: list[Job]) -> Job:
    """Return the line that shows the latest state of a job.

    Of several such lines, the one that was written most often counts; then, the one with the earliest order.
    """
    if len(lines) == 1:
        return lines[0]
    top = max((stage(line), line.rev) for line in lines)
    ties = (line for line in lines if (stage(line), line.rev) == top)
    return min(ties, key=lambda line: (line.submitted_at, encode(line)))


_CLOSED = {
    JobState.SUBMITTING: JobState.GIVEN_UP,
    JobState.UNKNOWN: JobState.GIVEN_UP,
    JobState.RUNNING: JobState.FAILED,
    JobState.PAID: JobState.SETTLED,
}
"""The state that a job gets if it is closed without a record of its text. A failed job stays failed."""


def closed(job: Job, *, lost: bool = False) -> Job:
    """Return the job as closed, although no record has the job's text.

    With `lost`, its text is used for no request from then on. The job keeps its cost, unless the server
    itself reported it as failed.
    """
    state = _CLOSED.get(job.state, job.state)
    is_lost = state is JobState.FAILED or (lost and state is JobState.SETTLED)
    credits_ = 0 if job.state is JobState.FAILED else job.credits
    return structs.replace(job, state=state, lost=is_lost, credits=credits_, output="", error="")


def made_texts(state: State) -> frozenset[Digest]:
    """Return the body digests of all whole texts that jobs have made, in every environment."""
    jobs = (*state.jobs, *state.open_jobs.values())
    return frozenset(job.body for job in jobs if job.body and not job.section)


def open_jobs(jobs: Iterable[Job]) -> dict[RequestId, Job]:
    """Return the open jobs by request id. `jobs` must be sorted, the earliest first.

    Of several orders with one id, a paid or running one counts, otherwise the last one. A failed or paid job is open
    until a later attempt at its request has a text.
    """
    last: dict[RequestId, Job] = {}
    brought: dict[tuple[str, Digest, str], int] = {}
    for job in jobs:
        other = last.get(job.request_id)
        if other is None or _URGENT.get(job.state, 0) >= _URGENT.get(other.state, 0):
            last[job.request_id] = job
        if job.has_text:
            key = (job.server, job.digest, job.section)
            brought[key] = max(brought.get(key, 0), job.attempt)
    return {
        id_: job
        for id_, job in last.items()
        if (job.state in OPEN or (job.state is JobState.FAILED and not job.lost))
        and not (
            job.state in _WAITING and job.attempt < brought.get((job.server, job.digest, job.section), job.attempt)
        )
    }


_WAITING = frozenset({JobState.FAILED, JobState.PAID})


# ---- What changes cost, in words.

NO_PRICE = "no price set"
"""Shown instead of the cost if a model writes a text and the settings have no price for its tokens."""
_UNIT = 10**12
"""One unit of a currency, in money as `tokens` counts it."""


def cost_words(changes: Iterable[AnyChange]) -> str:
    """Return the cost of changes in words: `8 credits`, `8 credits, up to 12 with every retry`, `at most 12 credits`.

    If a model writes the texts: `at most 0.04 USD`, or `no price set`.
    """
    changes = [*changes]
    if worst := add_money(change.money_worst for change in changes):
        return bound_words(add_money(change.money for change in changes), worst)
    return NO_PRICE if any(change.has_no_price for change in changes) else credit_words(changes)


def credit_words(changes: Sequence[AnyChange]) -> str:
    """Return in words how many credits the changes cost together."""
    costs = [(change.credits, change.credits_worst, change.credits_at_most) for change in changes]
    return price(sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), at_most=any(cost[2] for cost in costs))


def bound_words(least: Mapping[str, int], worst: Mapping[str, int], retries: int = 0) -> str:
    """Return the most that models may cost: `at most 0.04 USD`, or `at most 0.04 USD, 0.12 USD with 2 retries`."""
    with_ = plural(retries, "retry").replace("retrys", "retries") if retries else "every retry"
    words = [money_words(least, is_bound=True)] if least else []
    words += [f"{money_words(worst, is_bound=True)} with {with_}"] if worst != least else []
    return f"at most {', '.join(words)}"


def money_words(money: Mapping[str, int], *, is_bound: bool = False) -> str:
    """Return money in words, each currency separately: `1.25 USD and 3.00 EUR`.

    Sums below one unit have up to six places. With `is_bound`, sums are rounded up, otherwise to the nearest.
    """
    return " and ".join(f"{_rounded(amount, is_bound=is_bound)} {name}" for name, amount in sorted(money.items()))


def _rounded(amount: int, *, is_bound: bool) -> str:
    places = 2 if amount >= _UNIT else 4 if is_bound else 6
    step = _UNIT // 10**places
    rounded = -(-amount // step) if is_bound else (amount + step // 2) // step
    if amount and not rounded:
        return "less than 0.000001"
    whole, rest = divmod(rounded, 10**places)
    digits = f"{rest:0{places}d}"
    # At least cents.
    return f"{whole:,}.{digits[:2]}{digits[2:].rstrip('0')}"


def spent_words(paid: int, tokens: TokenSum, *, at_most: bool = False) -> str:
    """Return the spending in words: `4 credits` or `0.0043 USD`.

    Without a price in the settings, it is the number of tokens. `paid` is the number of credits; with `at_most` it is
    an upper limit.
    """
    if tokens.unpriced and not (paid or tokens.money):
        return f"{tokens.input + tokens.output:,} tokens ({NO_PRICE})"
    if tokens.unknown and not (paid or tokens.is_known):
        return "an unknown number of tokens"
    words = [price(paid, paid, at_most=at_most)] if paid or not tokens.money else []
    return " and ".join((*words, *([money_words(tokens.money)] if tokens.money else [])))


# ---- What was spent in a month.

_AHEAD = timedelta(days=1)
"""The clocks of two machines may differ by this much."""


def count_month(
    jobs: Iterable[Job], now: datetime, timeout: float, price: TokenPrice | None, gaps: tuple[str, ...] = ()
) -> CountedMonth:
    """Add up the cost of all jobs in the month of `now`.

    An order whose answer was lost may have been accepted within `timeout` seconds. `price` is used for tokens that have
    no price.
    """
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    counted = [job for job in jobs if _is_of_month(job, start.timestamp(), end.timestamp(), timeout)]
    # A plan that goes on with them has their price as well.
    unclear = [job for job in counted if job.state in UNDECIDED or job.state is JobState.RUNNING]
    late = (end + _AHEAD).timestamp()
    return CountedMonth(
        month=f"{start:%Y-%m}",
        credits=sum(job.cost for job in counted),
        credits_unsure=sum(job.cost for job in counted if job.may_be_paid),
        money=_sum(counted, price),
        # A report counts the same money for the others.
        money_unsure=_sum(
            (job for job in counted if job.may_be_paid or job.tokens is None or job.tokens.price is None), price
        ),
        uncertain={job.request_id: job.cost for job in unclear},
        uncertain_money={job.request_id: sum(_money(job, price).values()) for job in unclear},
        ahead=sum((seconds_of(job.since) or 0) >= late for job in counted),
        gaps=gaps,
    )


def _sum(jobs: Iterable[Job], price: TokenPrice | None) -> dict[str, str]:
    return exact_money(dict(sorted(add_money(_money(job, price) for job in jobs).items())))


def _is_of_month(job: Job, start: float, end: float, timeout: float) -> bool:
    """Return whether a job was accepted in a month, or may have been.

    An accepted job with a later time counts too, and so does a job whose time cannot be read.
    """
    if job.state is JobState.NEVER:
        return False
    when = seconds_of(job.since)
    if when is None:
        return True
    return when + timeout >= start and when - CLOCKS < end if job.may_be_paid else when >= start


def _money(job: Job, price: TokenPrice | None) -> dict[str, int]:
    """Return the cost of a job's tokens by currency. If the tokens are not known, return the most they may cost.

    `price` is used if the job has no price.
    """
    tokens = job.tokens or job.bound
    price = (tokens.price if tokens is not None else None) or price
    return {price.currency: price.of(tokens)} if tokens is not None and price is not None else {}


# ---- Whose jobs they are: of which environment, and of which item.


def assigned(known: Mapping[str, Sequence[Job]]) -> dict[str, list[Job]]:
    """Group jobs by environment. A job in several environments counts in the first of them by name."""
    owners = {(job.request_id, job.submitted_at): name for name in sorted(known, reverse=True) for job in known[name]}
    jobs: dict[str, list[Job]] = {name: [] for name in sorted(known)}
    for job in fold_jobs(job for each in known.values() for job in each):
        jobs[owners[job.request_id, job.submitted_at]].append(job)
    return jobs


def jobs_of_items(jobs: Iterable[Job], records: Iterable[Record]) -> dict[ItemId, list[Job]]:
    """Group jobs by item. Each job belongs to one item.

    It is the item whose record has the job's request or text, otherwise the item that ordered the job. A renamed item
    also has the jobs of its old id, unless another item has that id.
    """
    jobs, records = [*jobs], [*records]
    names: dict[Digest, ItemId] = {}
    for record in records:
        names |= dict.fromkeys(record.bodies, record.id) | {record.digest: record.id}
    by_id = {job.item: id_ for job in jobs if (id_ := names.get(job.digest)) is not None}
    by_id |= {record.id: record.id for record in records}
    by_item: dict[ItemId, list[Job]] = {}
    for job in jobs:
        id_ = names.get(job.digest) or names.get(job.body) or by_id.get(job.item, job.item)
        by_item.setdefault(id_, []).append(job)
    return by_item


# ---- Where the text of a file comes from: who made it, what it cost, who changed and who approved it.


class PaidAttempts(Struct, frozen=True):
    """The number and cost of all texts that were paid for, up to the item's present text.

    These texts were used or rejected, or their jobs failed.
    """

    number: int = 0
    credits: int = 0
    tokens: TokenSum = TokenSum()
    """The tokens of these texts and of failed jobs."""


class TextProvenance(Struct, frozen=True, kw_only=True):
    """The origin of a text that is in a file now: who made it, what it cost, and who approved it."""

    item: ItemId
    output: str
    server: str
    """The server that made it: scheme, host and port, or `local`. It is empty if no job made the text."""
    model: str = ""
    """The model that the server names, or empty."""
    job_id: str
    request: Digest
    """The digest of the request that it answers."""
    text: Digest
    """The digest that approvals are bound to, see `text_digest`."""
    generated_at: str
    attempts: PaidAttempts
    changed: float | None
    """The share of its words that people changed, from 0 to 1, or None if the generated text is not available."""
    approval: ApprovalState
    verdicts: tuple[Approval, ...]
    """The last verdict of each person on this text, the oldest first."""
    promoted_from: str = ""
    """The environment from which it was promoted, or empty."""
    disclosure: Mapping[str, Json] = {}
    """The front matter keys that say how it was made."""
    commit: str = ""
    """The commit that last changed the file. It is empty if there is none, or if the file was changed later."""


class Provenances(Struct, frozen=True, kw_only=True):
    """The origins of texts, sorted by item. `gaps` has the reasons why some origins may be incomplete."""

    texts: tuple[TextProvenance, ...]
    unread: tuple[str, ...] = ()
    """Files that cannot be used, each with the reason."""
    gaps: tuple[str, ...] = ()
    """Why credits or commits may be missing, each a sentence."""
