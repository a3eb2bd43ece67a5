"""List runs and generations: from the lock, its history in git, the cache, and the reports of this machine's runs."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from contentops.atomic_io import Disk
from contentops.ci.file_history import earlier_bodies
from contentops.ci.results import past_of, past_of_item
from contentops.digest import NOTHING
from contentops.documents.files import Outputs
from contentops.errors import InputError
from contentops.model import ATTEMPTS, NO_APPROVALS, ItemId, JobState, Record, RequestId, cost_of, is_answer, request_id
from contentops.model.run import Generation, History, KeptReport, PaidJobs, PaidText
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.kept_runs import kept_reports
from contentops.operations.opening import open_cache
from contentops.operations.plan import known_ids, no_item
from contentops.operations.workspace import shared_state
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from contentops.ci.results import Past
    from contentops.digest import Digest
    from contentops.errors import Diagnostic
    from contentops.model import Approval, Approvals, Json, OpenEntry, Project, Request, State
    from contentops.state.cache import Cache


class KnownHistory(Struct, frozen=True, kw_only=True):
    """What the history of every item is made from: read once, it serves the pages of many items."""

    state: State
    past: Past
    """Of all items, or of one that is asked for."""
    runs: tuple[KeptReport, ...]
    records: Mapping[RequestId, Record]
    """As `made` returns them."""
    elsewhere: frozenset[RequestId]
    """As `paid_by_others` returns them."""
    approvals: Approvals
    warnings: tuple[Diagnostic, ...] = ()


def history(
    project: Project, item: str = "", known: KnownHistory | None = None, in_git: Collection[Digest] | None = None
) -> History:
    """Return every run of this machine and every generation, or those of an item under all its ids, with its texts.

    With `known`, only files and texts of the item are read; `in_git`: the bodies that git has of its file, where they
    were read already. Raises UsageError for an unknown id, StateError for a lock
    that cannot be read.
    """
    is_read = known is None
    known = known or _known_history(project, item)
    state, past, runs, records = known.state, known.past, known.runs, known.records
    names = _names(item, [*records.values(), *state.records.values()]) if item else None

    def is_meant(name: ItemId) -> bool:
        return names is None or name in names

    made_ones = [one for one in records.values() if is_meant(one.id)]
    generations = [_made(one, past.commits, elsewhere=one.request_id in known.elsewhere) for one in made_ones]
    open_ones = {**past.entries, **state.entries}.values()
    generations += [
        _open(one, past.commits) for one in open_ones if is_meant(one.item) and one.request_id not in records
    ]
    texts: tuple[PaidText, ...] = ()
    verdicts: tuple[Approval, ...] = ()
    if names is not None:
        runs = tuple(run for one in runs if (run := _about(one, names)) is not None)
        if is_read and not generations and not runs:
            _check_item(project, item, {one.id for one in records.values()})
        texts = _texts(project, state, item, names, made_ones, in_git)
        verdicts = known.approvals.of_items([ItemId(name) for name in names])
    generations.sort(key=lambda one: (one.at, one.item, one.request_id), reverse=True)
    gaps = (*past.gaps, *(one.message for one in known.warnings))
    return History(
        runs=runs, generations=tuple(generations), texts=texts, verdicts=tuple(reversed(verdicts)), gaps=gaps
    )


def _known_history(project: Project, item: str) -> KnownHistory:
    (state, warnings), runs = shared_state(project), kept_reports(project)
    past = _past_of_item(project, state, item) if item else past_of(project)
    records = made(project, state, past, runs)
    return KnownHistory(
        state=state,
        past=past,
        runs=runs,
        records=records,
        elsewhere=paid_by_others(project, state, records.values()),
        approvals=approvals.load(Path(project.root), Disk()) if item else NO_APPROVALS,
        warnings=warnings,
    )


def texts_of(project: Project, state: State, item: str) -> tuple[PaidText, ...]:
    """Return every text that was paid for an item, under all its ids, newest first, with where each is."""
    records = made(project, state, _past_of_item(project, state, item), kept_reports(project))
    names = _names(item, [*records.values(), *state.records.values()])
    return _texts(project, state, item, names, records.values())


def _past_of_item(project: Project, state: State, item: str) -> Past:
    now = state.records.get(ItemId(item))
    return past_of_item(project, item, now.former_ids if now is not None else ())


def _texts(
    project: Project,
    state: State,
    item: str,
    names: set[str],
    records: Iterable[Record],
    in_git: Collection[Digest] | None = None,
) -> tuple[PaidText, ...]:
    """Return the texts of an item. `item`: its id of today; `names`: all its ids; `in_git`: see `history`."""
    records = [one for one in records if one.id in names]
    now = state.records.get(ItemId(item))
    path, last = (now.output, now.generated) if now is not None else ("", NOTHING)
    file = Outputs(project.root).observe(path) if path else None
    past = {digest for digest, _ in earlier_bodies(project.root, path)} if in_git is None and path else in_git or ()
    by_digest: dict[Digest, PaidText] = {}
    with open_cache(project, write=False) as cache:
        texts = [*_cached(cache, names, records), *reversed([*map(_recorded, records)])]
        for text in sorted(texts, key=lambda one: (one.at, one.body == last)):
            sources = (
                ("cache", cache.body(text.body) is not None),
                ("git", text.body in past),
                ("server", text.server == project.api.server and bool(text.content_id or text.job_id)),
            )
            by_digest.pop(text.body, None)
            by_digest[text.body] = structs.replace(
                text,
                item=item,
                where=tuple(name for name, is_there in sources if is_there),
                stands=file is not None and file.exists and file.body == text.body,
                generated=text.body == last,
            )
    by_digest.pop(NOTHING, None)
    return tuple(reversed(by_digest.values()))


def _recorded(record: Record) -> PaidText:
    return PaidText(
        item=record.id,
        body=record.generated,
        at=record.generated_at,
        job_id=record.job_id,
        request_id=record.request_id,
        content_id=record.content_id,
        server=record.server,
        **cost_of(record),
    )


def _cached(cache: Cache, names: set[str], records: Iterable[Record]) -> Iterator[PaidText]:
    requests = {one.request_id for one in records} - {""}
    for text in cache.paid_texts():
        if text.about.item in names or text.about.request_id in requests:
            yield PaidText(
                item=text.about.item,
                body=text.body,
                at=text.about.generated_at,
                job_id=text.about.job_id,
                request_id=text.about.request_id,
                content_id=text.about.content_id,
                server=text.server,
                **cost_of(text.about),
            )


def made(project: Project, state: State, past: Past, runs: Sequence[KeptReport]) -> dict[RequestId, Record]:
    """Return a record of every submit that was paid for: that of the lock, else the newest one seen.

    A submit whose text is in no known file has a record without an output (`unwritten`). Where its run left no report,
    it is found in the cache or in an earlier lock.
    """
    closed = {
        name: unwritten(entry)
        for name, entry in past.entries.items()
        if name not in state.entries and entry.state in (JobState.RUNNING, JobState.PAID)
    }
    reported = {record.request_id: record for report in reversed(runs) for record in report.generations}
    now = {record.request_id: record for record in state.records.values()}
    seen = {**closed, **reported, **past.records, **now}
    cached = {one.request_id: one for one in _unreported(project, state, seen.keys() | state.entries.keys())}
    return {name: record for name, record in {**cached, **seen}.items() if name}


def paid_jobs(project: Project, state: State, past: Past, runs: Sequence[KeptReport]) -> PaidJobs:
    """Return a record of every submit that cost something: that was paid for, or failed and used tokens."""
    reported = {record.request_id: record for report in runs for record in report.failed}
    entries = {**past.entries, **state.entries}
    known = {
        name: unwritten(entry)
        for name, entry in entries.items()
        if entry.state is JobState.FAILED and entry.tokens is not None
    }
    return PaidJobs(texts=made(project, state, past, runs), failed={**known, **reported})


def paid_by_others(project: Project, state: State, records: Iterable[Record]) -> frozenset[RequestId]:
    """Return the submits among these that another environment paid for; their text came from the cache.

    Where no environment can tell that it paid, as after a rename that no one stated, the first one by name did.
    """
    # Our record does not say at which attempt the other environment paid.
    candidates = [
        structs.replace(one, attempt=ATTEMPTS)
        for one in records
        if not is_answer(one, state.lineage, project.environment)
    ]
    names = {one.request_id for one in candidates}
    locks = {lock: environment for environment, lock in locked_environments(project).items()}
    known = list(candidates)
    ids: defaultdict[RequestId, set[ItemId]] = defaultdict(set)
    others: list[str] = []
    paid: set[RequestId] = set()
    for lock, other_state in other_states(project) if candidates else ():
        other = structs.replace(project, environment=locks[lock])
        others.append(other.environment)
        # In the other environment an item may have another id, where a rename is not applied yet, and another text.
        theirs = made(other, other_state, past_of(other), kept_reports(other))
        for entry in other_state.entries.values():
            ids[entry.request_id].add(entry.item)
        for name, one in theirs.items():
            ids[name] |= {one.id, *one.former_ids}
        # Only the record there knows a text that a person keeps for another request.
        known += [structs.replace(theirs[name], attempt=ATTEMPTS) for name in names & theirs.keys()]
        paid |= {name for name in names & theirs.keys() if other.environment < project.environment}

    def paid_in(environment: str) -> set[RequestId]:
        return {
            one.request_id for one in known if is_answer(one, state.lineage, environment, ids.get(one.request_id, ()))
        }

    paid = paid.union(*map(paid_in, others)) - paid_in(project.environment)
    return frozenset(paid)


def _unreported(project: Project, state: State, reported: Collection[RequestId]) -> Iterator[Record]:
    """Yield records of paid texts that only the cache has, as after a run that was killed."""
    others = bool(other_states(project))
    with open_cache(project, write=False) as cache:
        for text in cache.paid_texts():
            about, name, item = text.about, RequestId(text.about.request_id), ItemId(text.about.item)
            id_of = functools.partial(request_id, state.lineage, project.environment, item, text.digest)
            if name in reported or (others and not any(name == id_of(attempt) for attempt in range(1, ATTEMPTS + 1))):
                continue
            yield Record(
                id=item,
                digest=text.digest,
                request={},
                server=text.server,
                dialect="",
                output="",
                title=about.title,
                generated=text.body,
                content_id=about.content_id,
                job_id=about.job_id,
                request_id=name,
                **cost_of(about),
                model=about.model,
                generated_at=about.generated_at,
            )


def _names(item: str, records: Iterable[Record]) -> set[str]:
    """Return all ids that an item has had."""
    before: dict[str, set[str]] = {}
    for record in records:
        if record.moved_from:
            before.setdefault(record.id, set()).update(record.former_ids)
    names, unread = {item}, [item]
    while unread:
        new = before.get(unread.pop(), set()) - names
        names |= new
        unread += new
    return names


def _about(report: KeptReport, names: set[str]) -> KeptReport | None:
    """Return the part of a report that is about these items; None if there is none."""
    outcomes = tuple(one for one in report.run.outcomes if one.id in names)
    if not outcomes:
        return None
    counts = {one.result: sum(other.result == one.result for other in outcomes) for one in outcomes}
    run = structs.replace(report.run, outcomes=outcomes, counts=counts, credits=sum(one.credits for one in outcomes))
    return structs.replace(report, run=run)


def _check_item(project: Project, item: str, ids: set[str]) -> None:
    with contextlib.suppress(InputError):
        ids = {*ids, *known_ids(project)}
        if item not in ids:
            raise no_item(item, ids)


def _made(record: Record, commits: Mapping[RequestId, str], *, elsewhere: bool) -> Generation:
    return Generation(
        item=record.id,
        at=record.generated_at,
        job_id=record.job_id,
        request_id=record.request_id,
        **({"credits": 0} if elsewhere else cost_of(record)),
        model=record.model,
        outcome="elsewhere" if elsewhere else "generated" if record.output else "unwritten",
        server=record.server,
        commit=commits.get(record.request_id, ""),
    )


def _open(entry: OpenEntry, commits: Mapping[RequestId, str]) -> Generation:
    return Generation(
        item=entry.item,
        at=entry.generated_at or entry.submitted_at,
        job_id=entry.job_id,
        request_id=entry.request_id,
        **_cost(entry),
        outcome=entry.state.value,
        server=entry.server,
        error=entry.error,
        commit=commits.get(entry.request_id, ""),
    )


def _cost(entry: OpenEntry) -> dict[str, Json]:
    """Return what a submit cost; a failed job costs no credits, but its model was paid."""
    return cost_of(entry) | ({"credits": 0} if entry.state is JobState.FAILED else {})


def unwritten(entry: OpenEntry, request: Request | None = None) -> Record:
    """Return the record of a submit whose text is in no file. `request`: what was asked for, if known."""
    return Record(
        id=entry.item,
        digest=entry.digest,
        request={} if request is None else request.as_json(),
        server=entry.server,
        dialect=entry.dialect,
        output="",
        title=entry.title,
        generated=entry.body,
        content_id=entry.content_id,
        job_id=entry.job_id,
        request_id=entry.request_id,
        attempt=entry.attempt,
        plan_id=entry.plan_id,
        **_cost(entry),
        model=entry.model,
        generated_at=entry.generated_at or entry.submitted_at,
    )


def brief(record: Record) -> dict[str, Json]:
    """Return a record as a report keeps it: of its request, only what spending is counted by."""
    request = {name: record.request[name] for name in ("template", "style", "mode") if name in record.request}
    document: dict[str, Json] = msgspec.to_builtins(structs.replace(record, request=request, metadata={}, used={}))
    return document
