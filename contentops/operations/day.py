"""What a person did with the texts of a project on one day, and the program that gets it as a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from contentops.atomic_io import Disk
from contentops.ci.git import try_git
from contentops.documents.files import REPLACED
from contentops.execution.commands import run_program
from contentops.execution.primitives import iso
from contentops.model import PROJECT_FILE, Approval, Json, Verdict
from contentops.model.jobs import money_words
from contentops.operations.commit import CommitReport, pull_request_page
from contentops.operations.opening import Runtime
from contentops.operations.review import ReviewItem, Snapshot
from contentops.reporting.spend import Spend, count_spend
from contentops.state.state_dir import kept_folder


class ReviewDay(Struct, frozen=True, kw_only=True):
    """The verdicts of a person since midnight, the texts that were edited since, and what was spent."""

    since: str
    """ISO time, UTC."""
    verdicts: tuple[tuple[Approval, ReviewItem | None], ...]
    """The newest first, each with the item that it is about; None: it is not declared any more."""
    comments: int
    edited: tuple[ReviewItem, ...]
    """Of those that are edited, the ones of which a version was saved or replaced."""
    spend: Spend


def review_day(snapshot: Snapshot, person: str, runtime: Runtime) -> ReviewDay:
    """Return what a person (`NAME <ADDRESS>`) did today, and what all applies spent today."""
    now = datetime.fromtimestamp(runtime.wall()).astimezone()
    since, known = now.replace(hour=0, minute=0, second=0, microsecond=0), snapshot.known
    start = iso(since.timestamp())
    items = {id_: item for item in snapshot.items for id_ in item.ids}
    said = [line for line in known.approvals.lines if line.by == person and line.at >= start]
    folder = kept_folder(Path(snapshot.project.root), known.state.lineage, Disk()) / REPLACED
    saved = {
        copy.relative_to(folder).as_posix().partition("/")[2]
        for copy in folder.rglob("*")
        if copy.is_file() and copy.stat().st_mtime >= since.timestamp()
    }
    return ReviewDay(
        since=start,
        verdicts=tuple((line, items.get(line.item)) for line in sorted(said, key=lambda line: line.at, reverse=True)),
        comments=sum(line.by == person and line.at >= start for line in known.approvals.comments),
        edited=tuple(item for item in snapshot.items if item.edited and item.output in saved),
        spend=count_spend(known.jobs, None, since=since),
    )


_PATIENCE: Final = 20.0
"""Seconds for which a person waits for the program."""


def notify(
    snapshot: Snapshot, sent: CommitReport, person: str, owner: Callable[[ReviewItem], str], runtime: Runtime
) -> str:
    """Give the program of `review.notify` the day of a person that was sent; return why that failed, or empty.

    It does not run where the settings are not those of the last commit, or none is named. `owner`: whom a text
    belongs to.
    """
    project = snapshot.project
    if not project.review.notify:
        return ""
    asked = (("rev-parse", f"HEAD:./{PROJECT_FILE}"), ("hash-object", "--", PROJECT_FILE))
    committed, now = (try_git(project.root, *words) for words in asked)
    if committed.code or now.code or committed.text != now.text:
        return f"`{PROJECT_FILE}` has changes that are not committed, so the program did not run"
    day = review_day(snapshot, person, runtime)
    given = msgspec.json.encode({"person": person, **_summary(snapshot, day, sent, owner)})
    return run_program(project.review.notify, Path(project.root), given, patience=_PATIENCE)


def _summary(
    snapshot: Snapshot, day: ReviewDay, sent: CommitReport, owner: Callable[[ReviewItem], str]
) -> Mapping[str, Json]:
    project, said = snapshot.project, dict[Verdict, list[Json]]()
    for line, item in day.verdicts:
        said.setdefault(line.verdict, []).append(_named(line, item))
    waiting = {"to_read": snapshot.to_read, "to_choose": snapshot.to_choose, "sent_back": snapshot.sent_back}
    counts = {name: Counter(map(owner, items)) for name, items in waiting.items()}
    return {
        "project": project.name,
        "environment": project.environment,
        "since": day.since,
        "commit": sent.commit,
        "branch": sent.branch,
        "pull_request": pull_request_page(project, sent) if sent.why else "",
        "approved": said.get(Verdict.APPROVED, []),
        "sent_back": said.get(Verdict.SENT_BACK, []),
        "withdrawn": said.get(Verdict.WITHDRAWN, []),
        "comments": day.comments,
        "edited": [{"id": item.id, "title": item.title, "file": item.output} for item in day.edited],
        "spent": {
            "credits": day.spend.credits,
            "texts": day.spend.texts,
            "money": money_words(day.spend.tokens.money),
        },
        "waiting": [
            {"owner": name, **{kind: count[name] for kind, count in counts.items()}}
            for name in sorted({name for count in counts.values() for name in count})
        ],
    }


def _named(line: Approval, item: ReviewItem | None) -> Json:
    title, file = (item.title, item.output) if item is not None else ("", "")
    return {"id": line.item, "title": title, "file": file, "note": line.note, "at": line.at}
