"""Writes the message of a commit of generated content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from contentops.errors import plural
from contentops.model import Approval, ItemId, Record, State, Verdict
from contentops.sanitize import clip, visible

_SHOWN = 50
"""The most ids that are listed."""
SKIP = "[skip ci]"
"""This mark in a commit message keeps a push from starting workflows."""
_NAME = 120
_KINDS = {"created": "+", "rewritten": "~", "moved": ">", "saved": "^", "updated": "~", "removed": "-"}


class CommitSummary(Struct, frozen=True):
    """The difference between two versions of the lock: ids by kind of change, open jobs, and paid credits."""

    items: Mapping[str, tuple[ItemId, ...]]
    open: int
    credits: int


def summarize(before: State, after: State) -> CommitSummary:
    """Return the changes between two versions of the lock.

    Credits count once: in the first commit in which their job is accepted.
    """
    ids_by_kind: dict[str, list[ItemId]] = {kind: [] for kind in _KINDS}
    gone = [record for id_, record in before.records.items() if id_ not in after.records]
    by_key = {key: record for record in gone for key in (record.output, record.digest)}
    added = [record for id_, record in after.records.items() if id_ not in before.records]
    renamed = {record.id: by_key.get(record.digest) or by_key.get(record.output) for record in added}
    moved = {record.id for record in renamed.values() if record is not None}
    for id_ in sorted(before.records.keys() | after.records.keys()):
        old, new = before.records.get(id_), after.records.get(id_)
        if new is None:
            if id_ not in moved:
                ids_by_kind["removed"].append(id_)
            continue
        old = old or renamed.get(id_)
        if old != new:
            ids_by_kind[_kind(old, new)].append(id_)
    known = {job.order for job in before.jobs if job.is_sure}
    paid = sum(job.cost for job in after.jobs if job.is_sure and job.order not in known)
    items = {kind: tuple(ids) for kind, ids in ids_by_kind.items() if ids}
    return CommitSummary(items=items, open=len(after.open_jobs), credits=paid)


def new_texts(before: State, after: State) -> tuple[str, ...]:
    """Return the paths of the output files that have a new or changed text."""
    items = summarize(before, after).items
    ids = (*items.get("created", ()), *items.get("rewritten", ()))
    return tuple(sorted(after.records[id_].output for id_ in ids))


def _kind(old: Record | None, new: Record) -> str:
    if old is None:
        return "created"
    text, before = ((one.request_id, one.generated, one.promoted) for one in (new, old))
    if text != before:
        return "rewritten"
    if (old.id, old.output) != (new.id, new.output):
        return "moved"
    return "saved" if (old.saved, old.content_id) != (new.saved, new.content_id) else "updated"


def commit_message(before: State, after: State, *, environment: str, run: str, said: Sequence[Approval] = ()) -> str:
    """Return a commit message with a subject, at most 50 item ids, the environment and the run.

    `run` is the address of the page of the CI run, or empty. `said` has the new verdicts on texts.
    """
    summary = summarize(before, after)
    counts = [f"{len(ids):,} {kind}" for kind, ids in summary.items.items()]
    if summary.open:
        counts.append(f"{summary.open:,} open")
    numbers = {verdict.replace("-", " "): sum(line.verdict is verdict for line in said) for verdict in Verdict}
    counts += [f"{number:,} {verdict}" for verdict, number in numbers.items() if number]
    price = f" ({plural(summary.credits, 'credit')})" if summary.credits else ""
    paragraphs = [f"content: {', '.join(counts) or 'files as recorded'}{price}"]
    lines = list(_lines(summary))
    if lines:
        paragraphs.append("\n".join(lines))
    sources = [f"Environment: {visible(environment)}" if environment else "", f"Run: {visible(run)}" if run else ""]
    if any(sources):
        paragraphs.append("\n".join(source for source in sources if source))
    return "\n\n".join(paragraphs) + "\n"


def _lines(summary: CommitSummary) -> Iterator[str]:
    named = [(_KINDS[kind], id_) for kind, ids in summary.items.items() for id_ in ids]
    for sign, id_ in named[:_SHOWN]:
        # An id cannot look like another line. A mark such as `[skip ci]` in it must not stop workflows.
        yield f"{sign} {clip(visible(id_), _NAME)}".replace("[", "(")
    if len(named) > _SHOWN:
        yield f"and {len(named) - _SHOWN:,} more"
