"""Defines the data that a plan compares for each item, and functions that several planning modules use.

The data are manifests, records, jobs, files, contents on the server, texts of another environment and options.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct, ValidationError, convert, field, structs

from contentops.digest import NO_TEXT, NOTHING, Digest, is_same_json
from contentops.documents.clean import title_digest
from contentops.documents.paths import collision_key, folders
from contentops.errors import Diagnostic, OutputError, Severity, nearest
from contentops.model import (
    BASE,
    NO_APPROVALS,
    Approvals,
    CountedMonth,
    Desired,
    ItemId,
    Job,
    JobState,
    Json,
    Move,
    Note,
    Observed,
    OnEdit,
    OnSourceChange,
    Project,
    Reason,
    Record,
    Reference,
    Remote,
    Request,
    RequestId,
    Spec,
    State,
    text_digest,
)
from contentops.model.desired import READERS
from contentops.model.jobs import made_texts
from contentops.pricing import FREE, Price

# ---- The inputs of a plan: manifests, records, files, server contents and options; and how to compare them.


class Choice(Struct, frozen=True, kw_only=True):
    """The command-line options that change a plan."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    on_edit: OnEdit | None = None
    on_source_change: OnSourceChange | None = None
    prune: bool = False
    refresh: bool = False
    """Fetch the stored contents first."""
    drafts: bool = False
    """Promote draft outlines, and save them to other servers."""
    only_promoted: bool = False
    """Plan only promotions."""
    only_front: bool = False
    """Plan only updates of front matter, which cost nothing."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Headings of sections to generate again, by item id."""
    canary: int | None = None
    """Plan only this many generations, the first in plan order."""
    changed_from: str = ""
    """Plan only items that differ from the lock at this commit; `ci.results.narrowed` turns it into `only`."""
    only: frozenset[ItemId] | None = None
    """The ids that selectors choose from, or None for all ids."""
    notes: tuple[Note, ...] = ()
    """Notes on how `only` was found."""
    in_review: frozenset[str] = frozenset()
    """The paths of the files that the pull request of this plan changes."""


class PlanInputs(Struct, frozen=True, kw_only=True, dict=True):
    """Everything that a plan compares: manifests, records, files, jobs and stored contents."""

    project: Project
    desired: Desired
    state: State
    observed: Mapping[str, Observed] = field(default_factory=dict)
    """The files, at every path that `paths` names."""
    text: Callable[[Digest], str | None] = lambda _digest: None
    """The text with a body digest, if this machine has it, in the cache or in git; slow, so ask only when needed."""
    read: Callable[[str], str] = lambda _path: ""
    """The body of the file at a path; reads the disk, so ask only when needed."""
    why_no_text: Callable[[], str] = lambda: ""
    """Why a text is missing and how to get it. It is empty if the text cannot be obtained. It asks git."""
    remote: Mapping[ItemId, Remote] | None = None
    """The stored contents that a refresh fetched, or None without a refresh. Other items have what was last saved."""
    exists: Callable[[str], bool] = lambda _path: True
    """Whether a path of the project exists or will exist, for links in texts."""
    denied: Callable[[str], str] = lambda _path: ""
    """Why the output at a path cannot be written, or an empty text if it can."""
    changed_on: Callable[[str, Digest], str] = lambda _path, _body: ""
    """The day on which the file at a path got its present body, or an empty text if not known. It asks git."""
    committed: Callable[[str], Digest] = lambda _path: NOTHING
    """The newest body that the file at a path has had in git; empty if there is none. It asks git."""
    claimed_paths: Mapping[str, str] = field(default_factory=dict)
    """The lock of another environment that owns a path, by path key."""
    claimed_contents: frozenset[str] = frozenset()
    """The ids of stored contents that another environment's lock owns."""
    source: SourceEnvironment | None = None
    """The environment that texts are promoted from, if any."""
    choice: Choice = field(default_factory=Choice)
    interrupted: bool = False
    """The last apply was interrupted: its journal is not in the lock yet."""
    ordered_at: frozenset[str] = frozenset()
    """The servers that this environment paid for texts; the bundled one only where a model wrote."""
    honours_ids: bool | None = None
    """Whether the server uses our request id as its job id, or None if that is not known yet."""
    claimed: Mapping[RequestId, str] = field(default_factory=dict)
    """The requests that other processes have claimed, each with a name of the process that people understand."""
    approvals: Approvals = NO_APPROVALS
    """Who approved which text."""
    spent: Callable[[], CountedMonth] = lambda: CountedMonth(month="", credits=0, ahead=0, gaps=())
    """What was spent in the month of the clock; it asks git, so ask only for a plan that costs something."""

    @functools.cached_property
    def server(self) -> str:
        """Return the server that this plan uses."""
        return self.project.api.server

    @functools.cached_property
    def specs(self) -> Mapping[ItemId, Spec]:
        """Return the declared items by id."""
        return specs_by_id(self.desired)

    @functools.cached_property
    def moved(self) -> Mapping[ItemId, ItemId]:
        """Return each item that a `moved` pair renames, with its earlier id."""
        return moved_ids(self.desired, self.state.records)

    @functools.cached_property
    def taken(self) -> Mapping[ItemId, ItemId]:
        """Return each new item that takes over the record of a removed item, with the removed item's id.

        Both have the same request. Items without a template are matched by their path.
        """
        records = with_new_ids(self.state.records, self.moved)
        gone = records.keys() - self.specs.keys()
        free: dict[str, list[ItemId]] = defaultdict(list)
        for id_ in sorted(gone, reverse=True):
            record = records[id_]
            if not is_draft(record, self.server):
                # An adopted item has no request: it is recognized by its file.
                free[record.digest if record.request.get("template") else record.output].append(id_)
        pairs: dict[ItemId, ItemId] = {}
        for spec in self.desired.specs if free else ():
            key = spec.digest if spec.request.template else spec.output
            if key and spec.id not in records and free.get(key):
                pairs[spec.id] = free[key].pop()
        return pairs

    @functools.cached_property
    def records(self) -> Mapping[ItemId, Record]:
        """Return the record of each item, by its present id.

        If another environment's lock owns the stored content of a record, its text counts as never saved.
        """
        records = with_new_ids(with_new_ids(self.state.records, self.moved), self.taken)
        unsaved = {
            id_: structs.replace(record, content_id="", saved=None)
            for id_, record in (records.items() if self.claimed_contents else ())
            if record.server == self.server and record.content_id in self.claimed_contents
        }
        return {**records, **unsaved} if unsaved else records

    @functools.cached_property
    def open_jobs(self) -> Mapping[ItemId, tuple[Job, ...]]:
        """Return each item's open jobs on this server, in order of attempt.

        A job for a whole text belongs to the item that declares its request now, even if another id ordered it. If no
        item declares the request, the job belongs to the item that ordered it, under its present id. A job for a
        section belongs to the item that ordered it. It is left out until the item's record has the text that it is a
        section of: that text may be in another clone.
        """
        renames = {pair.old: pair.new for pair in self.desired.moved} | {old: new for new, old in self.taken.items()}
        renamed = {old: new for old, new in renames.items() if old not in self.specs and old not in self.records}
        wanted = {spec.digest: spec.id for spec in reversed(self.desired.specs) if spec.request.template}
        by_item: dict[ItemId, tuple[Job, ...]] = {}
        for job in sorted(self.state.open_jobs.values(), key=lambda job: (job.attempt, job.request_id)):
            if job.server == self.server:
                spec = self.specs.get(job.item)
                is_asked = spec is not None and spec.digest == job.digest
                record = self.records.get(job.item)
                has_its_text = record is not None and record.digest == job.digest
                if job.section and is_asked and not has_its_text:
                    continue
                keeps_name = job.section or is_asked
                id_ = job.item if keeps_name else wanted.get(job.digest, renamed.get(job.item, job.item))
                by_item[id_] = (*by_item.get(id_, ()), job)
        return by_item

    @functools.cached_property
    def made(self) -> frozenset[Digest]:
        """Return the body digests of all complete texts that known jobs made. No person wrote these texts."""
        return made_texts(self.state)

    def jobs_of(self, digest: Digest) -> Sequence[Job]:
        """Return all jobs of this server for a request, from all environments."""
        return self.state.jobs_of(self.server, digest)

    @functools.cached_property
    def owners(self) -> Mapping[str, ItemId]:
        """Return for each recorded path the id of the item that owns it. Paths are in the form used for comparison."""
        return {collision_key(record.output): record.id for record in reversed(list(self.records.values()))}

    @functools.cached_property
    def written(self) -> Mapping[Digest, tuple[Job, ...]]:
        """Return the open jobs whose text may already be in a file without a record, by request digest."""
        written: dict[Digest, tuple[Job, ...]] = {}
        for job in itertools.chain.from_iterable(self.open_jobs.values()):
            key = collision_key(job.output)
            if job.output and key not in self.owners and key not in self.claimed_paths:
                written[job.digest] = (*written.get(job.digest, ()), job)
        return written

    def earlier_id(self, id_: ItemId) -> ItemId | None:
        """Return the earlier id under which an item's record is stored, or None if it is under the present id."""
        return self.moved.get(id_) or self.taken.get(id_)

    @property
    def paths(self) -> Iterator[str]:
        """Yield the path of every file that a plan reads."""
        yield from paths(self.desired, structs.replace(self.state, records=self.records))
        if self.source is not None:
            yield from self.source.paths(self.desired)

    def observe(self, path: str) -> Observed:
        """Return the file at `path` as it was read. A file that was not read counts as missing."""
        return self.observed.get(path) or Observed(path=path)

    def file_of(self, spec: Spec) -> Observed:
        """Return an item's file: at its recorded path, or at its declared path if it has no record."""
        record = self.records.get(spec.id)
        return self.observe(record.output if record is not None else spec.output)

    def body_of(self, file: Observed) -> str | None:
        """Return the current body of a file, or None if it is missing or unreadable."""
        if file.problem or not file.exists:
            return None
        try:
            return self.read(file.path)
        except OutputError:
            return None

    def saves(self, spec: Spec) -> bool:
        """Return whether the settings say that the item's text is saved to the server."""
        return spec.save and self.project.api.save == "auto"

    def saved_body(self, record: Record) -> Digest:
        """Return the digest of the body that is saved on this server, or an empty digest if no body is saved."""
        return record.saved.body if record.saved and record.server == self.server else NOTHING


class ItemSides(Struct, frozen=True, kw_only=True, gc=False):
    """A declared item with its record, file, open jobs and stored content."""

    inputs: PlanInputs
    spec: Spec
    record: Record | None
    file: Observed
    """Its file where it is now."""
    open_jobs: tuple[Job, ...] = ()
    """Its open jobs on this server, in order of attempt."""
    waits: tuple[Reference, ...] = ()
    """The texts of other items that its own text waits for. Its request is not known before them."""
    open_metadata: frozenset[str] = frozenset()
    """The metadata keys that keep their recorded values until the texts that they use are final."""

    @property
    def taken_from(self) -> ItemId | None:
        """Return the removed item whose record this item takes over, or None if there is no such item."""
        return self.inputs.taken.get(self.spec.id)

    @property
    def source_text(self) -> SourceText | None:
        """Return the text to promote from another environment for the declared request, if there is one."""
        text = self.inputs.source.text(self.spec, self.inputs.observe) if self.inputs.source is not None else None
        return None if text is None or (text.is_outline and not self.inputs.choice.drafts) else text

    @property
    def title(self) -> str:
        """Return the title of the item's file, or the title of its record if the file has none."""
        return self.file.title or (self.record.title if self.record is not None else "")

    @property
    def is_up_to_date(self) -> bool:
        """Return whether the recorded text was made from the declared request and the present texts of its sources."""
        return has_text_for(self.record, self.spec.digest, self.inputs.server)

    @property
    def keeps_text(self) -> bool:
        """Return whether the recorded text stays in the item's file, although the text may be out of date.

        If only its sources changed, the item's `on_source_change` rule decides.
        """
        rule = self.stale_rule
        if rule is not None:
            return rule in (OnSourceChange.NOTE, OnSourceChange.KEEP)
        is_adopted = self.record is not None and not self.record.digest and self.record.frame in self.spec.frames
        return self.is_up_to_date or (is_adopted and bool(self.waits))

    @property
    def stale_rule(self) -> OnSourceChange | None:
        """Return the item's `on_source_change` rule if only its sources have changed, otherwise None."""
        record, spec, choice = self.record, self.spec, self.inputs.choice
        if record is None or not record.digest or spec.id in choice.replace:
            return None
        # A variable may change the frame, but not the request with the present words. Then nothing changes here.
        if record.frame not in spec.frames and not (self.waits and self.is_up_to_date):
            return None
        if self.is_protected or is_draft(record, self.inputs.server):
            return None
        rule = choice.on_source_change or spec.on_source_change
        if self.waits:
            return rule if rule is OnSourceChange.REGENERATE else OnSourceChange.NOTE
        is_promoted = self.source_text is not None and record.digest != spec.digest
        is_ordered = any(job.digest == spec.digest for job in pending(self.open_jobs))
        return None if record.digest == spec.digest or is_promoted or is_ordered else rule

    @property
    def is_protected(self) -> bool:
        """Return whether the record or the manifest protects the item. An item without a record is not protected."""
        return self.record is not None and is_protected(self.spec, self.record)

    @property
    def is_edited(self) -> bool:
        """Return whether a person has edited the body of the item's file."""
        return self.record is not None and is_edited(self.file, self.record, self.inputs.made)

    @property
    def remote(self) -> Remote | None:
        """Return the stored content of the item as a refresh read it.

        It is None without a refresh, or without a stored content.
        """
        own, inputs = self.record, self.inputs
        if not inputs.remote or own is None or own.server != inputs.server or not inputs.saves(self.spec):
            return None
        remote = inputs.remote.get(own.id)
        return remote if remote is not None and remote.content_id == own.content_id else None

    @property
    def is_edited_on_server(self) -> bool:
        """Return whether a person edited the stored content since it was saved. A new section is not an edit."""
        if self.remote is None or self.record is None:
            return False
        # As long as the answer of a section's job is not known, that job may have made the text there.
        made = [job.body for job in pending(self.open_jobs) if job.section]
        return not {NOTHING, self.remote.body}.intersection(made) and is_edited_on_server(self.remote, self.record)

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that made the recorded text, or 0 if no known job made it."""
        made_by = self.inputs.state.made_by(self.record) if self.record is not None else None
        return made_by.attempt if made_by is not None else 0

    @property
    def answered(self) -> int:
        """Return the attempt number of the recorded text, or 0 if that text is out of date."""
        return self.attempt if self.is_up_to_date else 0

    @property
    def under_way(self) -> list[Job]:
        """Return the open jobs that may produce a newer text for the item."""
        own, newest = self.record, self.answered
        return [
            job
            for job in pending(self.open_jobs)
            if (job.section and own is not None and job.digest == own.digest and self.keeps_text)
            or (job.digest == self.spec.digest and job.attempt > newest)
            or self._is_from_earlier_words(job)
        ]

    def _is_from_earlier_words(self, job: Job) -> bool:
        """Return whether a job's request differs from the declared request only in the texts of its sources.

        Jobs whose text failed its checks do not count. Jobs that may never have reached the server do not count if the
        item keeps its text.
        """
        is_other = job.digest != self.spec.digest and not job.section
        is_failed = job.state is JobState.PAID and bool(job.error)
        # An order that may never have arrived is sent again, which only an item that asks for a new text wants.
        is_lost = job.state in (JobState.SUBMITTING, JobState.UNKNOWN) and self.keeps_text
        return is_other and not is_failed and not is_lost and job.frame in self.spec.frames


TRIES = 2
"""A request that failed this often is blocked until a person asks for it again."""


def is_protected(spec: Spec, record: Record | None) -> bool:
    """Return whether an item is protected. Its record protects it until `protected: false` is applied."""
    if spec.protected or record is None or not record.protected:
        return spec.protected
    origin = spec.origins.get("protected")  # not earlier, because it takes long to find out where a value was written
    return origin is None or origin.layer == "built-in"


def is_draft(record: Record, server: str) -> bool:
    """Return whether a record has a draft outline of the bundled server, and `server` is not the bundled server."""
    return record.server == "local" != server and bool(record.generated) and record.outline


def has_text_for(record: Record | None, digest: Digest, server: str) -> bool:
    """Return whether a record has a text for the request `digest` on a server. Draft outlines do not count."""
    return record is not None and record.digest == digest and not is_draft(record, server)


def is_ours(inputs: PlanInputs, spec: Spec, file: Observed) -> bool:
    """Return whether a file that has no record was written for the item's request.

    The file names this item or a removed item.
    """
    owner = ItemId(file.owner)
    gone = bool(owner) and owner not in inputs.specs and owner not in inputs.records
    return (owner == spec.id or gone) and file.provenance.get("digest") == spec.digest


def is_edited(file: Observed, record: Record | None, made: Container[Digest], *known: Digest) -> bool:
    """Return whether a person changed the body of a file.

    Its body is then not the last generated text of the item, not a text that a known job `made`, and not in `known`.
    """
    generated = record.generated if record is not None else NOTHING
    return file.exists and file.body not in (generated, *known) and file.body not in made


def is_edited_on_server(remote: Remote, record: Record) -> bool:
    """Return whether a person changed the content on the server after contentops or the server wrote it.

    A text that was recorded before is no edit: git has then restored an earlier record.
    """
    if record.saved is None or remote.is_lost or remote.problem or remote.recorded:
        return False
    titles = {*record.saved.titles, title_digest(record.title)}
    is_retitled = bool(remote.title) and title_digest(remote.title) not in titles
    return is_retitled or remote.body not in record.saved.bodies


def recorded_request(record: Record) -> Request | None:
    """Return the request of a record, or None if another version of contentops wrote unknown fields into it."""
    try:
        return convert(dict(record.request.items()), Request)
    except ValidationError:
        return None


def specs_by_id(desired: Desired) -> dict[ItemId, Spec]:
    """Return the declared items by id."""
    return {spec.id: spec for spec in desired.specs}


def failed_attempts(jobs: Iterable[Job], digest: Digest) -> list[Job]:
    """Return the failed jobs for a request."""
    return [job for job in jobs if job.state is JobState.FAILED and job.digest == digest]


def pending(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs that have not failed."""
    return [job for job in jobs if job.state is not JobState.FAILED]


def honours_ids(state: State, server: str) -> bool | None:
    """Return whether a server uses the request ids of contentops as its job ids, or None if that is not known yet.

    The bundled server uses them. One job with another id proves that a server makes its own.
    """
    if server == "local":
        return True
    jobs = (job for job in (*state.jobs, *state.open_jobs.values()) if job.server == server and not job.lost)
    proofs = {job.job_id == job.request_id for job in jobs if job.job_id}
    return proofs == {True} if proofs else None


def price_of(spec: Spec, server: str, section: str = "") -> Price:
    """Return the price of generating an item, or one of its sections, once.

    The bundled server (`local`) and items without a template cost nothing.
    """
    return FREE if server == "local" or not spec.request.template else spec.request.price(section)


# --- paths -------------------------------------------------------------------------------------------------


def paths(desired: Desired, state: State) -> Iterator[str]:
    """Yield the path of every file that a plan reads."""
    yield from (record.output for record in state.records.values())
    yield from (job.output for job in state.open_jobs.values() if job.output)
    for spec in desired.specs:
        own = state.records.get(spec.id)
        if own is None or own.output != spec.output:
            yield spec.output
            if own is not None and (rest := resting_place(own.output, spec.output, spec.id)):
                yield rest


def resting_place(source: str, target: str, item: ItemId) -> str:
    """Return a temporary path for the move of a file whose old and new path cannot exist at the same time.

    Such paths differ only in case, or one is a folder of the other. For other moves the result is empty. It is computed
    from its arguments, so that the file is found after a crash.
    """
    ours, theirs = collision_key(source), collision_key(target)
    if not (ours == theirs or theirs.startswith(f"{ours}/") or ours.startswith(f"{theirs}/")):
        return ""
    beside = source if theirs.startswith(f"{ours}/") else target
    mark = hashlib.sha256(f"{beside}\n{item}".encode()).hexdigest()[:16]
    return str(PurePosixPath(beside).parent / f".contentops-{mark}.moving")


# ---- The differences between a declared request and the recorded one, field by field, with their causes.


def flatten(request: Mapping[str, Json]) -> dict[str, Json]:
    """Flatten a request to one level of fields: `template`, `inputs.topic`, ..."""
    fields = {key: value for key, value in request.items() if key != "inputs"}
    if isinstance(inputs := request.get("inputs"), dict):
        fields.update({f"inputs.{key}": value for key, value in inputs.items()})
    return fields


def explain(spec: Spec, record: Record) -> tuple[Reason, ...]:
    """Return one reason for each field in which the declared and the recorded request differ, sorted by field."""
    before, after = flatten(record.request), flatten(spec.request.as_json())
    return tuple(
        Reason(
            kind="added" if name not in before else "removed" if name not in after else "changed",
            field=name,
            before=before.get(name),
            after=after.get(name),
            cause=cause(name, spec, record),
        )
        for name in sorted(before.keys() | after.keys())
        if not is_same_json(before.get(name), after.get(name))
    )


def cause(name: str, spec: Spec, record: Record) -> str:
    """Return in words which variable, source or default changed a field of the request.

    The text is empty if the item's own declaration changed.
    """
    origin = spec.origins.get(name)
    if origin is None:
        return ""
    for variable in origin.variables:
        if variable in spec.used and record.used.get(variable) not in (None, spec.used[variable]):
            variable_origin = spec.variables.get(variable)
            return f"var `{variable}`" + (
                f" in {variable_origin.location}" if variable_origin and variable_origin.location else ""
            )
    if not READERS.isdisjoint(origin.variables) and (sources := changed_sources(spec, record)):
        return f"the text of {' and '.join(f'`{id_}`' for id_ in sources[:3])}"
    if origin.layer in ("project", "environment", "manifest"):
        return f"default `{name}`" + (f" in {origin.location}" if origin.location else "")
    return ""


def changed_sources(spec: Spec, record: Record) -> tuple[ItemId, ...]:
    """Return the sources whose texts have changed since the recorded text was made from these sources."""

    def before(id_: ItemId) -> Digest:
        return record.sources.get(id_) or record.sources.get(spec.earlier_ids.get(id_, id_), NOTHING)

    return tuple(one.id for one in spec.references if before(one.id) != one.text)


# ---- Texts that cost nothing: those of another environment.


class SourceText(Struct, frozen=True, kw_only=True):
    """A text that another environment has for the declared request."""

    environment: str
    """The name is empty for the settings without an environment."""
    record: Record
    file: Observed
    made_by: Job | None
    """The job that made it, or None if that is not known."""

    @property
    def name(self) -> str:
        """Return the name of the environment, or `default` for the settings without an environment."""
        return self.environment or BASE

    @property
    def is_outline(self) -> bool:
        """Return whether the text to promote is a draft outline. Outlines are only promoted with `--drafts`."""
        return is_outline(self.record, self.file)


class SourceEnvironment(Struct, frozen=True, kw_only=True):
    """The environment from which texts are promoted."""

    environment: str
    """The name is empty for the settings without an environment."""
    state: State
    """Its records, and the jobs of all environments."""

    def paths(self, desired: Desired) -> Iterator[str]:
        """Yield the paths of the texts that may be promoted."""
        for spec in desired.specs:
            record = self.state.records.get(spec.id)
            if record is not None and (record.digest == spec.digest or record.frame in spec.frames):
                yield record.output
                yield from (
                    self.state.records[one.id].output for one in spec.references if one.id in self.state.records
                )

    def text(self, spec: Spec, observe: Callable[[str], Observed]) -> SourceText | None:
        """Return the text that this environment has for an item's request, if any. It may be a draft outline."""
        record = self.state.records.get(spec.id)
        if record is None or not self._answers(record, spec, observe):
            return None
        file = observe(record.output)
        if not file.exists or file.problem or file.body == NO_TEXT:
            return None
        made_by = self.state.made_by(record)
        return SourceText(environment=self.environment, record=record, file=file, made_by=made_by)

    def _answers(self, record: Record, spec: Spec, observe: Callable[[str], Observed]) -> bool:
        """Return whether a record's text was made for the declared request.

        A record with the same frame also counts, if its text was made from the same words of its sources: their paths
        and addresses differ between environments.
        """
        if record.digest == spec.digest:
            return True
        if record.frame not in spec.frames:
            return False
        # Both were made from the same words, or both are stale in the same way.
        return all(
            bool(one.text) and one.text in (record.sources.get(one.id), self._words(one.id, observe))
            for one in spec.references
        )

    def _words(self, id_: ItemId, observe: Callable[[str], Observed]) -> Digest:
        """Return the digest of an item's title and body in this environment. It is empty if the item has no text."""
        record = self.state.records.get(id_)
        file = observe(record.output) if record is not None else None
        return NOTHING if file is None or not file.exists else text_digest(file.title, file.body)

    def why_none(self, spec: Spec, observe: Callable[[str], Observed]) -> str:
        """Return in words why this environment has no text that the item can use."""
        name = f"`{self.environment or BASE}`"
        record = self.state.records.get(spec.id)
        if record is None:
            return f"{name} has no text for it"
        if not self._answers(record, spec, observe):
            fields = [f"`{reason.field}`" for reason in explain(spec, record)]
            verb = "differs" if len(fields) == 1 else "differ"
            return f"{name} has the text of another request: {', '.join(fields)} {verb}"
        file = observe(record.output)
        lost = "is empty now" if file.exists else "does not exist"
        return file.problem or f"`{record.output}`, the text that {name} has, {lost}"


def is_outline(record: Record, file: Observed) -> bool:
    """Return whether the text of a file is still a draft outline.

    In a text of another server that did not name it an outline, the label is a quotation.
    """
    return file.labelled and (record.outline or not record.request_id)


# ---- Items with new ids, by `moved` pairs or by the request of a removed item; and the order of file moves.


def with_new_ids(records: Mapping[ItemId, Record], new_ids: Mapping[ItemId, ItemId]) -> Mapping[ItemId, Record]:
    """Return the records, with renamed items under their new ids. `new_ids` maps each new id to the old one."""
    if not new_ids:
        return records
    old_ids = frozenset(new_ids.values())
    kept = {id_: record for id_, record in records.items() if id_ not in old_ids}
    return kept | {new: structs.replace(records[old], id=new) for new, old in new_ids.items()}


def moved_ids(desired: Desired, records: Mapping[ItemId, Record]) -> dict[ItemId, ItemId]:
    """Return the new and the old id of each `moved` pair that renames a record.

    An old id keeps the text for the request that it declares now. A new id that has a text keeps that, and the old id
    is shown as an orphan.
    """
    wanted = {spec.id: spec.digest for spec in desired.specs} if desired.moved else {}
    old_ids = {
        pair.new: pair.old
        for pair in desired.moved
        if pair.old in records and wanted.get(pair.old) != records[pair.old].digest
    }
    # A pair that is dropped may block another one.
    while blocked := [new for new in old_ids if new in records and new not in old_ids.values()]:
        for new in blocked:
            del old_ids[new]
    return old_ids


def missed(inputs: PlanInputs) -> Iterator[Diagnostic]:
    """Yield a warning for each `moved` pair whose old id is probably misspelt.

    Both ids of the pair are unknown, and a removed item has an id similar to the old one.
    """
    known_ids = inputs.records.keys() | {job.item for job in inputs.state.open_jobs.values()}
    pairs = [pair for pair in inputs.desired.moved if known_ids.isdisjoint((pair.old, pair.new))]
    if not pairs:
        return
    orphans = inputs.records.keys() - inputs.specs.keys()
    for pair in pairs:
        if close := nearest(pair.old, orphans):
            yield Diagnostic(
                code="moved-from-nothing",
                message=f"`moved` renames `{pair.old}`, which is not a known item",
                severity=Severity.WARNING,
                location=pair.location,
                hint=f"did you mean `{close}`? as written, `{pair.new}` is generated as a new item",
            )


def order_moves(moves: Mapping[ItemId, Move]) -> tuple[ItemId, ...]:
    """Return the items in the order in which their files move. Raises ValueError if some of them form a ring."""
    from graphlib import TopologicalSorter

    return tuple(TopologicalSorter(_blockers(moves)).static_order())


def find_rings(moves: Mapping[ItemId, Move]) -> Iterator[list[ItemId]]:
    """Yield the groups of items whose files must change places, for example `a` to `b` and `b` to `a`.

    No item is in two rings, and the items outside of rings have an order.
    """
    from graphlib import CycleError, TopologicalSorter

    blockers: Mapping[ItemId, Collection[ItemId]] = _blockers(moves) if moves else {}
    while blockers:
        try:
            TopologicalSorter(blockers).prepare()
            return
        except CycleError as error:
            ring = error.args[1][:0:-1]
        yield ring
        blockers = {item: {*others}.difference(ring) for item, others in blockers.items() if item not in ring}


def _blockers(moves: Mapping[ItemId, Move]) -> dict[ItemId, list[ItemId]]:
    """For each item whose file moves, return the other items whose files occupy its new path."""
    at: defaultdict[str, list[ItemId]] = defaultdict(list)
    below: defaultdict[str, list[ItemId]] = defaultdict(list)
    for item, move in sorted(moves.items()):
        key = collision_key(move.source)
        at[key].append(item)
        for folder in folders(key):
            below[folder].append(item)
    blockers: dict[ItemId, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = collision_key(move.target)
        occupants = [other for path in (key, *folders(key)) for other in at.get(path, ())]
        blockers[item] = [other for other in (*occupants, *below.get(key, ())) if other != item]
    return blockers
