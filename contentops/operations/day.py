"""What a person did with the texts of a project on one day."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec import Struct

from contentops.atomic_io import Disk
from contentops.documents.files import REPLACED
from contentops.execution.primitives import iso
from contentops.model import Approval
from contentops.operations.review import ReviewItem, Snapshot
from contentops.reporting.spend import Spend, count_spend
from contentops.state.state_dir import kept_folder


class ReviewDay(Struct, frozen=True, kw_only=True):
    """The verdicts of a person since a time, the texts that were edited since, and what was spent."""

    verdicts: tuple[tuple[Approval, ReviewItem | None], ...]
    """The newest first, each with the item that it is about; None: it is not declared any more."""
    comments: int
    edited: tuple[ReviewItem, ...]
    """Of those that are edited, the ones of which a version was saved or replaced."""
    spend: Spend


def review_day(snapshot: Snapshot, person: str, since: datetime) -> ReviewDay:
    """Return what a person (`NAME <ADDRESS>`) did since a time, and what all applies spent since."""
    start, known = iso(since.timestamp()), snapshot.known
    items = {id_: item for item in snapshot.items for id_ in item.ids}
    said = [line for line in known.approvals.lines if line.by == person and line.at >= start]
    folder = kept_folder(Path(snapshot.project.root), known.state.lineage, Disk()) / REPLACED
    saved = {
        copy.relative_to(folder).as_posix().partition("/")[2]
        for copy in folder.rglob("*")
        if copy.is_file() and copy.stat().st_mtime >= since.timestamp()
    }
    return ReviewDay(
        verdicts=tuple((line, items.get(line.item)) for line in sorted(said, key=lambda line: line.at, reverse=True)),
        comments=sum(line.by == person and line.at >= start for line in known.approvals.comments),
        edited=tuple(item for item in snapshot.items if item.edited and item.output in saved),
        spend=count_spend(known.jobs, None, since=since),
    )
