"""Everything a plan is made of, gathered before the first comparison: the sides, how they differ, what was asked."""

from __future__ import annotations

import functools
import hashlib
import itertools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.digest import NOTHING, Digest
from contentops.documents.clean import title_digest
from contentops.documents.paths import collision_key
from contentops.model import (
    Desired,
    ItemId,
    JobState,
    Note,
    Observed,
    OnEdit,
    OpenEntry,
    Project,
    Record,
    Remote,
    Spec,
    State,
)
from contentops.pricing import FREE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from contentops.model import PendingSubmit, RequestId
    from contentops.planning.existing_texts import FinishedText, SourceEnvironment, SourceText
    from contentops.pricing import Price


class Choice(Struct, frozen=True, kw_only=True):
    """What a person asked for on the command line, beyond the manifests."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    on_edit: OnEdit | None = None
    prune: bool = False
    markers: bool = False
    """Whether two people's edits that meet are written into the file, between the markers of a conflict."""
    refresh: bool = False
    """Whether to look first at what the server has."""
    resubmit_unknown: bool = False
    generate: bool = False
    """Texts are paid for in an environment that takes its texts from another one, too."""
    drafts: bool = False
    """Draft outlines are promoted and saved to other servers, too."""
    only_promoted: bool = False
    """Only what texts of another environment are wanted for, and nothing else."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Headings of sections to generate again, by item id."""
    canary: int | None = None
    """Only this many generations, the first in plan order, and nothing else."""
    changed_from: str = ""
    """Only what differs from this commit; `changed_since.narrowed` turns it into `only`."""
    only: frozenset[ItemId] | None = None
    """The ids that selectors choose from; None: all."""
    notes: tuple[Note, ...] = ()
    """What the plan says of how `only` was found."""


class PlanInputs(Struct, frozen=True, kw_only=True, dict=True):
    """The sides of the comparison. Records are already keyed by the ids `moved` pairs gave them."""

    project: Project
    desired: Desired
    state: State
    observed: Mapping[str, Observed]
    """The files, at every path that `paths` names."""
    stored: Callable[[Digest], FinishedText | None] = lambda _digest: None
    """Looks a request digest up among the finished texts of this server."""
    text: Callable[[Digest], str | None] = lambda _digest: None
    """The text with a body digest, where this machine has it: generated, saved or seen on the server before.

    It is looked for in git where the cache lacks it, so ask only for what is needed."""
    read: Callable[[str], str] = lambda _path: ""
    """The body of the file at a path, read again; ask only for what is needed."""
    why_no_text: Callable[[], str] = lambda: ""
    """Where a text is missing: why it may be, and what would bring it; empty where nothing would. It asks git."""
    remote: Mapping[ItemId, Remote] | None = None
    """What the server has for items, where it was asked; of one that is not named it has what was last saved."""
    exists: Callable[[str], bool] = lambda _path: True
    """Whether a path of the project is there, or will be: what links in texts may lead to."""
    denied: Callable[[str], str] = lambda _path: ""
    """What keeps the output at a path from being written; empty: nothing."""
    claimed_paths: Mapping[str, str] = field(default_factory=dict)
    """The lock of another environment that owns a path, by path key."""
    source: SourceEnvironment | None = None
    """The environment that texts are taken from, if any."""
    choice: Choice = field(default_factory=Choice)
    rekeyed: Mapping[ItemId, ItemId] = field(default_factory=dict)
    """Ids that have just got a record or open entries, each with the id these had; not yet written down."""
    interrupted: bool = False
    """The last apply did not come to its end: what it noted is not in the lock yet."""
    honours_ids: bool | None = None
    """Whether the server uses our request id as its job id; None: not known yet."""
    claimed: Mapping[RequestId, PendingSubmit] = field(default_factory=dict)
    """The submits that other processes work on, and those that wait for one."""
    extra_attempts: tuple[OpenEntry, ...] = ()
    """Extra attempts at requests that no manifest here declares; a checkout that declares them finishes them."""

    @functools.cached_property
    def server(self) -> str:
        """The server this plan speaks to."""
        return self.project.api.server

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether an item stands alone: its record and its file are all sides, and nothing else is asked for."""
        others = self.remote is not None or self.source is not None or self.claimed_paths or self.rekeyed
        return not (others or self.choice.replace or self.choice.sections)

    @functools.cached_property
    def specs(self) -> Mapping[ItemId, Spec]:
        """The declared items by id."""
        return specs_by_id(self.desired)

    @functools.cached_property
    def entries(self) -> Mapping[ItemId, tuple[OpenEntry, ...]]:
        """The open entries of this server by item."""
        return open_entries(self.state, self.server)

    @functools.cached_property
    def owners(self) -> Mapping[str, ItemId]:
        """The item whose record has a path, by path key."""
        return {collision_key(record.output): record.id for record in reversed(list(self.state.records.values()))}

    @functools.cached_property
    def carriers(self) -> Mapping[RequestId, ItemId]:
        """By request id, the item that has the result of the submit today, or waits for it."""
        items = {entry.request_id: entry.item for entry in self.state.entries.values()}
        return items | {record.request_id: record.id for record in self.state.records.values() if record.request_id}

    @functools.cached_property
    def heirs(self) -> Mapping[Digest, ItemId]:
        """By request, the one item that may take the text of a removed item: a new item first."""
        heirs: dict[Digest, ItemId] = {}
        records = self.state.records
        for spec in sorted(self.desired.specs, key=lambda spec: spec.id in records):
            if not is_same(records.get(spec.id), spec.digest, self.server):
                heirs.setdefault(spec.digest, spec.id)
        return heirs

    @functools.cached_property
    def written(self) -> Mapping[Digest, tuple[OpenEntry, ...]]:
        """The open entries of this server whose text may stand in a file that no record has, by their digest."""
        written: dict[Digest, tuple[OpenEntry, ...]] = {}
        for entry in itertools.chain.from_iterable(self.entries.values()):
            key = collision_key(entry.output)
            if entry.output and key not in self.owners and key not in self.claimed_paths:
                written[entry.digest] = (*written.get(entry.digest, ()), entry)
        return written

    def observe(self, path: str) -> Observed:
        """What is at `path`; a path no one looked at counts as absent."""
        return self.observed.get(path) or Observed(path=path)

    def bodies_of(self, entry: OpenEntry) -> frozenset[Digest]:
        """Digests of the text that an open entry has brought, as far as anyone knows it."""
        stored = self.stored(entry.digest)
        return frozenset({entry.body, stored.body if stored is not None else NOTHING} - {NOTHING})

    def saves(self, spec: Spec) -> bool:
        """Whether the item's text is told to `/content/save`."""
        return spec.save and self.project.api.save == "auto"

    def is_draft(self, record: Record) -> bool:
        """Whether the embedded server made a text that another server is to have."""
        return is_draft(record, self.server)

    def saved_body(self, record: Record) -> Digest:
        """Body digest this server has for the record; under another server it has nothing."""
        return record.saved.body if record.saved and record.server == self.server else NOTHING


class ItemSides(Struct, frozen=True, kw_only=True, gc=False):
    """One declared item with everything known of it."""

    inputs: PlanInputs
    spec: Spec
    record: Record | None
    file: Observed
    """Its file where it stands now."""
    entries: tuple[OpenEntry, ...] = ()
    """Its open entries on this server, in order of attempt."""
    orphan: Record | None = None
    """A gone item's record with this very digest, to be renamed."""

    @property
    def own(self) -> Record | None:
        """The record to compare with: its own, or the orphan's it takes over."""
        return self.record or self.orphan

    @property
    def source_text(self) -> SourceText | None:
        """The text of another environment for the very request that is declared, if texts are taken from one."""
        source, drafts = self.inputs.source, self.inputs.choice.drafts
        return source.source_text(self.spec, self.inputs.observe, drafts=drafts) if source is not None else None

    @property
    def ids(self) -> tuple[ItemId, ...]:
        """Its id, and those that its record had before."""
        return (self.spec.id, *(self.own.former_ids if self.own is not None else ()))

    @property
    def title(self) -> str:
        """The title of its file; one that was removed is no other title."""
        return self.file.title or (self.own.title if self.own is not None else "")

    @property
    def is_same(self) -> bool:
        """Whether the record answers the very request that is declared."""
        return is_same(self.own, self.spec.digest, self.inputs.server)

    @property
    def is_protected(self) -> bool:
        """Whether there is a record, and it or the manifest protects the item."""
        return self.own is not None and is_protected(self.spec, self.own)

    @property
    def is_edited(self) -> bool:
        """Whether a person has edited the body of the file that the record knows."""
        return self.own is not None and is_edited(self.file, self.own, self.entries)

    @property
    def remote(self) -> Remote | None:
        """What a refresh found of the content it is saved as; None: no one looked, or it is not saved here."""
        own, inputs = self.own, self.inputs
        if not inputs.remote or own is None or own.server != inputs.server or not inputs.saves(self.spec):
            return None
        remote = inputs.remote.get(own.id)
        return remote if remote is not None and remote.content_id == own.content_id else None

    @property
    def is_edited_on_server(self) -> bool:
        """Whether a person has edited that content in WriterzRoom since it was saved.

        A section made again is no one's edit: what its job left there is known, or will be once that was asked for.
        """
        if self.remote is None or self.own is None:
            return False
        section_bodies = {entry.body for entry in pending(self.entries) if entry.section}
        return section_bodies.isdisjoint({NOTHING, self.remote.body}) and is_edited_on_server(self.remote, self.own)

    @property
    def under_way(self) -> list[OpenEntry]:
        """The open entries of the very request that is declared, which may still bring its text."""
        return [entry for entry in pending(self.entries) if entry.digest == self.spec.digest]


TRIES = 2
"""A digest that failed this often is not submitted again unasked."""


def is_protected(spec: Spec, record: Record | None) -> bool:
    """Whether an item is protected: by its manifest, or by its record until `protected: false` is applied."""
    if spec.protected or record is None or not record.protected:
        return spec.protected
    origin = spec.origins.get("protected")
    return origin is None or origin.layer == "built-in"


def is_draft(record: Record, server: str) -> bool:
    """Whether the embedded server made a text that `server` is to have, another one."""
    return record.server == "local" != server and bool(record.generated)


def is_same(record: Record | None, digest: Digest, server: str) -> bool:
    """Whether a record answers this very request on a server; a draft answers none."""
    return record is not None and record.digest == digest and not is_draft(record, server)


def is_ours(inputs: PlanInputs, spec: Spec, file: Observed) -> bool:
    """Whether a file no one recorded says that it was written for this request, under the item's id or a gone one."""
    owner = ItemId(file.owner)
    gone = bool(owner) and owner not in inputs.specs and owner not in inputs.state.records
    return (owner == spec.id or gone) and file.provenance.get("digest") == spec.digest


def is_edited(file: Observed, record: Record, entries: Iterable[OpenEntry] = ()) -> bool:
    """Whether the body on disk is not the last text a job made for this item.

    A paid text that no record carries yet counts too: its file may have been written just before a stop. Not one with
    a section made again: the rest of it may be a person's.
    """
    paid = (entry.body for entry in entries if entry.state is JobState.PAID and not entry.section)
    ours = {record.generated, *paid}
    return file.exists and file.body not in ours


def is_edited_on_server(remote: Remote, record: Record) -> bool:
    """Whether a stored content is neither what was saved, or was about to be, nor what the server made of that.

    A text that was recorded before is no edit: git has brought the record of an earlier one back.
    """
    if record.saved is None or remote.is_lost or remote.problem or remote.recorded:
        return False
    return remote.body not in record.saved.bodies or is_retitled_on_server(remote, record)


def is_retitled_on_server(remote: Remote, record: Record) -> bool:
    """Whether the title of a stored content is a person's: not saved, given back for that, or last written here."""
    if record.saved is None or not remote.title:
        return False
    return title_digest(remote.title) not in {*record.saved.titles, title_digest(record.title)}


def specs_by_id(desired: Desired) -> dict[ItemId, Spec]:
    """The declared items by id."""
    return {spec.id: spec for spec in desired.specs}


def open_entries(state: State, server: str) -> dict[ItemId, tuple[OpenEntry, ...]]:
    """The open entries of a server by item, in order of attempt."""
    by_item: dict[ItemId, tuple[OpenEntry, ...]] = {}
    for entry in sorted(state.entries.values(), key=lambda entry: (entry.item, entry.attempt, entry.request_id)):
        if entry.server == server:
            by_item[entry.item] = (*by_item.get(entry.item, ()), entry)
    return by_item


def failed_attempts(entries: Iterable[OpenEntry], digest: Digest) -> list[OpenEntry]:
    """The failed attempts at this very digest."""
    return [entry for entry in entries if entry.state is JobState.FAILED and entry.digest == digest]


def pending(entries: Iterable[OpenEntry]) -> list[OpenEntry]:
    """The entries that may still bring a text."""
    return [entry for entry in entries if entry.state is not JobState.FAILED]


def honours_ids(state: State, server: str) -> bool | None:
    """Whether jobs of this server carry our request ids: True, False, or None where nothing proves it.

    The embedded server is ours and does. One job under another id proves that the server makes its own.
    """
    if server == "local":
        return True
    lines: list[Record | OpenEntry] = [
        *(record for record in state.records.values() if record.server == server and record.request_id),
        *(entry for entry in state.entries.values() if entry.server == server),
    ]
    proofs = {line.job_id == line.request_id for line in lines if line.job_id}
    return proofs == {True} if proofs else None


def price_of(spec: Spec, server: str, section: str = "") -> Price:
    """The price of one submit of `spec`, or of a section of it; `local` and an item without a template cost nothing."""
    return FREE if server == "local" or not spec.request.template else spec.request.price(section)


# --- paths -------------------------------------------------------------------------------------------------


def paths(desired: Desired, state: State) -> Iterator[str]:
    """Every path whose file a plan has to look at."""
    for record in state.records.values():
        yield record.output
    for entry in state.entries.values():
        if entry.output:
            yield entry.output
    for spec in desired.specs:
        own = state.records.get(spec.id)
        if own is None or own.output != spec.output:
            yield spec.output
            if own is not None and (rest := resting_place(own.output, spec.output, spec.id)):
                yield rest


def resting_place(source: str, target: str, item: ItemId) -> str:
    """Where an item's file rests on its way to a path that cannot exist beside its own; empty: it moves at once.

    Such paths differ in case alone, or one is a folder of the other. Derived, so that a crash does not lose the file.
    """
    ours, theirs = collision_key(source), collision_key(target)
    if not (ours == theirs or theirs.startswith(f"{ours}/") or ours.startswith(f"{theirs}/")):
        return ""
    beside = source if theirs.startswith(f"{ours}/") else target
    mark = hashlib.sha256(f"{beside}\n{item}".encode()).hexdigest()[:16]
    return str(PurePosixPath(beside).parent / f".contentops-{mark}.moving")
