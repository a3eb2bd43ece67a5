"""Makes the snapshot of a project that review pages show: its plan, and each item with approval, checks and costs.

It is kept in memory while no file that it was made from has changed, so that a page of 10,000 items needs only a look
at their files.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import gc
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct, structs

from contentops.atomic_io import TRUSTED_AFTER, Disk
from contentops.ci.git import try_git
from contentops.digest import NOTHING, Digest
from contentops.documents.checks import count_words
from contentops.documents.files import REPLACED
from contentops.errors import Diagnostic, InputError, Severity
from contentops.execution.commands import run_program
from contentops.execution.primitives import iso
from contentops.manifests.catalog_lock import FILE as CATALOG
from contentops.model import (
    PROJECT_FILE,
    Action,
    Approval,
    ApprovalState,
    Change,
    Desired,
    ItemId,
    Job,
    Json,
    Observed,
    Plan,
    Project,
    Record,
    Spec,
    Verdict,
    text_digest,
)
from contentops.model.jobs import PaidAttempts, money_words
from contentops.operations.check import KeptValues, checked_items
from contentops.operations.commit import CommitReport, pull_request_page
from contentops.operations.opening import HERE, Runtime
from contentops.operations.plan import gathered_or_recorded
from contentops.operations.runs import kept_reports
from contentops.operations.spend import KnownHistory, PaidEnvironments
from contentops.operations.unchanged import (
    are_trusted,
    kept_jobs,
    looked_at,
    stamps_of,
    state_files,
    unchanged,
    with_folders,
)
from contentops.operations.workspace import Workspace, no_item, open_workspace
from contentops.planning.approval import ids_of, same_words
from contentops.planning.plan import plan_with_items, still_unchanged
from contentops.planning.select import Candidate, dependants_of
from contentops.planning.sides import Choice, PlanInputs
from contentops.planning.similar import similar_texts
from contentops.reporting.spend import Spend, count_spend
from contentops.state.state_dir import FOLDER, kept_folder
from contentops.state.store import StateStore

_BESIDE_OTHERS: Final = 5_000_000_000
"""Nanoseconds for which a snapshot is valid with a shared ledger: the work of other machines is in no file."""


class ReviewState(enum.StrEnum):
    """The states of an item, which say who must act; an item has the first state in this list that fits."""

    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    WAITING = "waiting"
    SENT_BACK = "sent-back"
    GONE = "gone"
    NO_TEXT = "no-text"
    APPROVED = "approved"
    UNASKED = "unasked"
    """It has a text that no one has to approve."""


class ReviewItem(Struct, frozen=True, kw_only=True, gc=False):
    """A declared or recorded item, with the values that review pages show."""

    id: ItemId
    title: str
    state: ReviewState
    approval: ApprovalState
    ids: tuple[ItemId, ...]
    """Its id, and those under which people read its texts before."""
    word: str
    """Its state as `status` has it."""
    output: str
    file: Observed
    text: Digest
    """The digest that an approval of its text names; empty if there is no text."""
    template: str = ""
    tags: tuple[str, ...] = ()
    sources: tuple[ItemId, ...] = ()
    dependants: tuple[ItemId, ...] = ()
    """The items that its text is made from, and the items whose texts are made from its text."""
    edited: bool = False
    protected: bool = False
    words: int = 0
    folded: str = ""
    """The words of its text for a search, as `fold` gives them."""
    cost: PaidAttempts = PaidAttempts()
    """The number and the cost of the attempts for its text, as `report --provenance` counts them."""
    generated_at: str = ""
    since: str = ""
    """Since when the file has this text, ISO time, UTC; empty: there is none."""
    findings: tuple[Diagnostic, ...] = ()
    """What its checks find in its text."""
    twins: tuple[ItemId, ...] = ()
    """The items with exactly these words: a verdict counts for them too."""
    verdicts: tuple[Approval, ...] = ()
    """The verdicts on this text, the oldest first."""
    earlier: tuple[Approval, ...] = ()
    """The verdicts on its other texts, the oldest first."""
    spec: Spec | None = None
    record: Record | None = None
    change: Change | None = None

    @property
    def approved_before(self) -> Approval | None:
        """Return the last approval that an earlier or other text of this item got, or None."""
        return next((one for one in reversed(self.earlier) if one.verdict is Verdict.APPROVED), None)

    @property
    def sent_back(self) -> Approval | None:
        """Return the send-back of this text, or None if the last decision about it was no send-back."""
        return self.verdicts[-1] if self.verdicts and self.verdicts[-1].verdict is Verdict.SENT_BACK else None

    @property
    def severity(self) -> Severity | None:
        """Return the highest severity among the item's findings."""
        levels = {one.severity for one in self.findings}
        return next((level for level in (Severity.ERROR, Severity.WARNING) if level in levels), None)


class Snapshot(Struct, frozen=True, kw_only=True, dict=True):
    """The plan, items and costs of a project at one moment."""

    project: Project
    plan: Plan | None
    """The plan, or None if manifests have errors."""
    items: tuple[ReviewItem, ...]
    """By id."""
    known: KnownHistory
    """What the history of each item is made from."""
    spend: Spend
    findings: tuple[Diagnostic, ...] = ()
    """The findings about the manifests and the ledger."""

    @functools.cached_property
    def by_id(self) -> Mapping[str, ReviewItem]:
        """Return the items by id."""
        return {item.id: item for item in self.items}

    def item(self, id_: str) -> ReviewItem:
        """Return the item with this id. Raises UsageError if the id is unknown."""
        if id_ not in self.by_id:
            raise no_item(id_, self.by_id)
        return self.by_id[id_]

    @functools.cached_property
    def to_read(self) -> tuple[ReviewItem, ...]:
        """Return the items whose text waits for a reader, the oldest text first."""
        waiting = self._in(ReviewState.CHANGED, ReviewState.WAITING)
        return tuple(sorted(waiting, key=lambda item: (item.since, item.id)))

    @functools.cached_property
    def to_choose(self) -> tuple[ReviewItem, ...]:
        """Return the items that are blocked until a person decides."""
        return self._in(ReviewState.BLOCKED, ReviewState.UNKNOWN)

    @functools.cached_property
    def sent_back(self) -> tuple[ReviewItem, ...]:
        """Return the items whose text was sent back, those with the newest review note first."""
        items = self._in(ReviewState.SENT_BACK)
        return tuple(sorted(items, key=lambda item: item.verdicts[-1].at, reverse=True))

    @functools.cached_property
    def with_findings(self) -> tuple[ReviewItem, ...]:
        """Return the items whose checks found something, those with failed checks first."""
        found = (item for item in self.items if item.findings)
        return tuple(sorted(found, key=lambda item: item.severity is not Severity.ERROR))

    def _in(self, *states: ReviewState) -> tuple[ReviewItem, ...]:
        return tuple(item for item in self.items if item.state in states)


class Review:
    """Makes a new snapshot after each change of the project; several threads may use it.

    `opened` opens the project, whose settings may change too. With `once`, only one snapshot is made, for pages that
    are written as files and must fit together.
    """

    def __init__(self, opened: Callable[[], Project], runtime: Runtime = HERE, *, once: bool = False) -> None:
        self._opened = opened
        self._once = once
        self._runtime = runtime
        self._lock = threading.Lock()
        self._last: _StampedSnapshot | None = None
        self._kept = _KeptParts()

    @property
    def latest(self) -> Snapshot | None:
        """Return the latest snapshot, or None if there is none yet. It may be outdated."""
        last = self._last
        return last.snapshot if last is not None else None

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the current files.

        Raises InputError if settings are invalid, StateError if state files are invalid.
        """
        with self._lock:
            if self._once and self._last is not None:
                return self._last.snapshot
            now, last = self._runtime.disk_time(), self._last
            stamps = last.look() if last is not None else None
            if last is None or stamps != last.stamps or (last.until is not None and now >= last.until):
                seen = (last, stamps) if last is not None and stamps is not None else None
                self._last = None
                with _without_collection():
                    self._last = last = self._make(now, seen)
            return last.snapshot

    def _make(self, started: int, seen: tuple[_StampedSnapshot, array[int]] | None) -> _StampedSnapshot:
        """Return a new snapshot. `seen` has the last one and the current stamps of its files."""
        project = self._opened()
        store = self._kept.state.get(project)
        with open_workspace(project, self._runtime, store=store) as workspace:
            root = workspace.project.root
            # How a file is read depends on the texts that the jobs of the state know.
            workspace.files = seen[0].unchanged_files(seen[1]) if seen is not None and store is not None else {}
            if (desired := self._kept.manifests.get(project)) is not None:
                workspace.desired = desired
            inputs, error = gathered_or_recorded(workspace, Choice())
            self._kept.keep(workspace, error=error, before=started - TRUSTED_AFTER)
            names = [*with_folders(looked_at(workspace, inputs)), f"{FOLDER}/runs"]
            stamps = seen[1] if seen is not None and seen[0].names == names else stamps_of(root, names)
            is_old = are_trusted(stamps, before=started - TRUSTED_AFTER)
            snapshot = _snapshot(workspace, inputs, self._kept, errors=error.findings if error else ())
            # From its end on: one that takes longer than this would be made again at once, and again.
            ended = self._runtime.disk_time()
            limits = [ended + TRUSTED_AFTER] * (not is_old) + [ended + _BESIDE_OTHERS] * bool(workspace.ledger)
            until = min(limits, default=None)
            return _StampedSnapshot(snapshot, names, stamps, inputs.observed, started - TRUSTED_AFTER, until)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Pause garbage collection while a snapshot is made, which saves a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _StampedSnapshot(Struct, frozen=True):
    """A snapshot, and the time stamps of all files and folders that it was made from."""

    snapshot: Snapshot
    names: list[str]
    stamps: array[int]
    observed: Mapping[str, Observed]
    trusted_before: int
    """Nanoseconds since 1970: an earlier stamp shows every change since."""
    until: int | None
    """Nanoseconds since 1970 until which it may be shown, as stamps cannot show every change; None: they can."""

    def look(self) -> array[int] | None:
        """Return the current time stamps, or None if one of them cannot be read."""
        try:
            return stamps_of(self.snapshot.project.root, self.names)
        except (OSError, ValueError):
            return None

    def unchanged_files(self, now: array[int]) -> dict[str, Observed]:
        """Return the snapshot's files whose time stamps show that they have not changed."""
        same = unchanged(self.names, self.stamps, now, before=self.trusted_before)
        return {path: file for path, file in self.observed.items() if path in same}


T = TypeVar("T")


class _KeptReading(Generic[T]):
    """Caches the result of reading files until the time stamp of one of them changes."""

    def __init__(self) -> None:
        self._kept: tuple[Project, Callable[[], list[str]], list[str], array[int], T] | None = None

    def get(self, project: Project) -> T | None:
        """Return the cached result, or None if a file or the project has changed."""
        if self._kept is None:
            return None
        of, named, names, stamps, value = self._kept
        is_same = of == project and named() == names and stamps_of(project.root, names) == stamps
        return value if is_same else None

    def keep(self, project: Project, named: Callable[[], list[str]], value: T, *, before: int) -> None:
        """Cache a value made from files, if later changes of the files will show in their time stamps."""
        names = named()
        stamps = stamps_of(project.root, names)
        self._kept = (project, named, names, stamps, value) if are_trusted(stamps, before=before) else None


class _KeptParts:
    """The parts of an earlier snapshot that can be used again because their files have not changed."""

    def __init__(self) -> None:
        self.manifests: _KeptReading[Desired] = _KeptReading()
        self.state: _KeptReading[StateStore] = _KeptReading()
        self.paid: KeptValues[PaidEnvironments] = KeptValues()
        self.words: KeptValues[tuple[int, str]] = KeptValues()
        self.findings: KeptValues[tuple[Diagnostic, ...]] = KeptValues()
        self.spend: KeptValues[Spend] = KeptValues()
        self._shown: tuple[PlanInputs, list[Candidate], Mapping[ItemId, ReviewItem]] | None = None

    def plan(self, inputs: PlanInputs) -> tuple[Plan, list[Candidate], Mapping[ItemId, ReviewItem]]:
        """Return the plan, all items, and the earlier review items that have not changed."""
        if self._shown is None:
            return *plan_with_items(inputs), {}
        before, items, views = self._shown
        unchanged = still_unchanged(items, before, inputs)
        return *plan_with_items(inputs, unchanged), {id_: views[id_] for id_ in unchanged}

    def keep_views(
        self, inputs: PlanInputs, plan: Plan, items: Iterable[Candidate], views: Iterable[ReviewItem]
    ) -> None:
        """Remember the review items and the inputs that they were made from."""
        noted = {note.id for note in plan.notes}
        self._shown = inputs, [item for item in items if item.id not in noted], {view.id: view for view in views}

    def keep(self, workspace: Workspace, *, error: InputError | None, before: int) -> None:
        """Cache the manifests and the state for the next snapshot, if they can be used again.

        Manifests are not kept if they have errors, or if an item is made from other items' texts. The state is not kept
        if a ledger adds to it, or if it depends on the texts on disk.
        """
        project, store = workspace.project, workspace.store
        if error is None and (desired := workspace.desired).again is None:
            names = with_folders((PROJECT_FILE, CATALOG, *filter(None, [project.macros]), *desired.looked_at))
            self.manifests.keep(project, lambda: names, desired, before=before)
        if not (workspace.ledger or workspace.unread or store.looked_at_files):
            jobs = [*kept_jobs(workspace)]
            self.state.keep(project, lambda: [*state_files(project), *jobs], store, before=before)


def _snapshot(
    workspace: Workspace, inputs: PlanInputs, kept: _KeptParts, *, errors: tuple[Diagnostic, ...]
) -> Snapshot:
    project, state = workspace.project, workspace.state
    plan, items, shown_before = kept.plan(inputs)
    twins = same_words(items)
    made = dependants_of({item.id: item.sources for item in items})
    similar = similar_texts(inputs, filter(None, (item.spec for item in items)))
    checked = checked_items(project, items, inputs, similar, commands=False, kept=kept.findings)
    findings = {file.item: file.findings for file in checked.files if file.findings}
    desired = None if errors else workspace.desired
    records = inputs.records
    environments = kept.paid.get(
        "", (workspace.store, state, records), lambda: PaidEnvironments(project, state, records)
    )
    jobs = environments.jobs[project.environment]

    def seen(item: Candidate) -> ReviewItem:
        before, same_words_as = shown_before.get(item.id), twins.get(item.id, ())
        if before is not None and (before.twins, before.findings) == (same_words_as, findings.get(item.id, ())):
            return before
        shown = _item(item, inputs)
        record, body = item.record, shown.file.body
        cost = environments.origin(project.environment, record, body)[1] if record is not None else PaidAttempts()
        words, folded = kept.words.get(
            shown.file.path, shown.file.file, lambda: _counted(inputs.body_of(shown.file) or "")
        )
        return structs.replace(
            shown,
            words=words,
            folded=folded,
            dependants=tuple(made.get(item.id, ())),
            twins=same_words_as,
            cost=cost,
            findings=findings.get(item.id, ()),
            change=None if errors else item.change,
        )

    views = tuple(map(seen, items))
    kept.keep_views(inputs, plan, items, views)
    return Snapshot(
        project=project,
        plan=None if errors else plan,
        items=views,
        spend=kept.spend.get("", (jobs, desired), lambda: count_spend(jobs, desired)),
        findings=(*errors, *workspace.unread, *(() if errors else plan.findings)),
        known=KnownHistory(state=state, jobs=jobs, runs=kept_reports(project), approvals=inputs.approvals),
    )


def _item(item: Candidate, inputs: PlanInputs) -> ReviewItem:
    """Return an item for review pages, without its word count, its costs and its findings."""
    spec, record, approvals = item.spec, item.record, inputs.approvals
    file = item.file if item.file is not None else inputs.observe(item.path)
    has_text = bool(file.body) and not file.problem
    text, asked = text_digest(file.title, file.body), record.request if record is not None else {}
    ids = ids_of(inputs, item.id, record)
    declared = spec.metadata.get("title") if spec is not None else None
    return ReviewItem(
        id=item.id,
        ids=ids,
        title=file.title or (record.title if record is not None else "") or str(declared or item.id),
        state=_state(item, has_text=has_text),
        approval=item.approval,
        word=item.word.value,
        output=item.path,
        file=file,
        text=text if has_text else NOTHING,
        template=spec.request.template if spec is not None else str(asked.get("template") or ""),
        tags=spec.tags if spec is not None else (),
        sources=item.sources,
        edited="edited" in item.states,
        protected=spec.protected if spec is not None else record is not None and record.protected,
        generated_at=item.made_by.generated_at if item.made_by is not None else "",
        since=_since(inputs.project, file, item.made_by) if has_text else "",
        verdicts=approvals.of_text(text) if has_text else (),
        earlier=tuple(one for one in approvals.of_items(ids) if one.text != text),
        spec=spec,
        record=record,
    )


def _counted(body: str) -> tuple[int, str]:
    return count_words(body), fold(body)


def fold(text: str) -> str:
    """Return a text in a form for searching: lower case, on one line, without marks for emphasis and code."""
    return " ".join(text.replace("*", "").replace("`", "").casefold().split())


def _state(item: Candidate, *, has_text: bool) -> ReviewState:
    action = item.change.action if item.change is not None else Action.NONE
    if action is Action.BLOCKED:
        return ReviewState.BLOCKED
    if action is Action.RESOLVE:
        return ReviewState.UNKNOWN
    if not has_text:
        return ReviewState.GONE if item.record is not None else ReviewState.NO_TEXT
    return _OF_APPROVAL[item.approval]


_OF_APPROVAL: Final = {
    ApprovalState.CHANGED: ReviewState.CHANGED,
    ApprovalState.WAITING: ReviewState.WAITING,
    ApprovalState.SENT_BACK: ReviewState.SENT_BACK,
    ApprovalState.APPROVED: ReviewState.APPROVED,
    ApprovalState.NONE: ReviewState.UNASKED,
}


def _since(project: Project, file: Observed, made_by: Job | None) -> str:
    """Return the time when the file got its current text.

    It is the time of the generation, otherwise the time of the file's last change.
    """
    if made_by is not None and made_by.generated_at and file.body == made_by.body:
        return made_by.generated_at
    try:
        return iso(Path(project.root, file.path).stat().st_mtime)
    except OSError:
        return ""


# ---- What a person did with the texts of a project on one day, and the program that gets it as a summary.


class ReviewDay(Struct, frozen=True, kw_only=True):
    """A person's last decision on each text since midnight, the texts edited since then, and the money spent."""

    since: str
    """ISO time, UTC."""
    verdicts: tuple[tuple[Approval, ReviewItem | None], ...]
    """The newest first, each with the item that it is about; None: it is not declared any more."""
    comments: int
    edited: tuple[ReviewItem, ...]
    """The edited items of which a version was saved or replaced since then."""
    spend: Spend


def review_day(snapshot: Snapshot, person: str, runtime: Runtime) -> ReviewDay:
    """Return what a person did today, and what all runs of `apply` spent today.

    `person` is `NAME <ADDRESS>`.
    """
    now = datetime.fromtimestamp(runtime.wall()).astimezone()
    since, known = now.replace(hour=0, minute=0, second=0, microsecond=0), snapshot.known
    start = iso(since.timestamp())
    items = {id_: item for item in snapshot.items for id_ in item.ids}
    today = [line for line in known.approvals.lines if line.by == person and line.at >= start]
    said = [line for line in today if line in known.approvals.of_text(line.text)]
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
    """Report a day of review to the program in `review.notify`; return why that failed, or an empty string.

    The program does not run if the settings differ from those of the last commit, or if none is named. `owner` gives
    the person to whom a text belongs.
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
        title, file = (item.title, item.output) if item is not None else ("", "")
        about: Json = {"id": line.item, "title": title, "file": file, "note": line.note, "at": line.at}
        said.setdefault(line.verdict, []).append(about)
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
