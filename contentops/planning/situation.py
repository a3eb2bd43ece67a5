"""Everything a plan is made of, gathered before the first comparison."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from contentops.manifests.paths import collision_key
from contentops.model import Desired, JobState, Observed, OnEdit, Project, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Note, OpenEntry, Record, RequestId, Spec


class Choice(Struct, frozen=True, kw_only=True):
    """What a person asked for on the command line, beyond the manifests."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    on_edit: OnEdit | None = None
    prune: bool = False
    resubmit_unknown: bool = False
    sections: Mapping[str, str] = field(default_factory=dict)
    """Headings of sections to generate anew, by item id."""
    canary: int | None = None
    """Only this many generations, the first in plan order, and nothing else."""
    changed_from: str = ""
    """Only what differs from this commit; `ci.changed_since.narrowed` turns it into `only`."""
    only: frozenset[ItemId] | None = None
    """The ids that selectors choose from; None: all."""
    notes: tuple[Note, ...] = ()
    """What the plan says of how `only` was found."""


class Stored(Struct, frozen=True, kw_only=True):
    """A finished text in the cache: whose it was, and its body digest."""

    item: str
    body: Digest


def nothing_denied(_path: str) -> str:
    """Every output can be written."""
    return ""


def nothing_stored(_digest: Digest) -> Stored | None:
    """The answer of a cache that is not there."""
    return None


class Situation(Struct, frozen=True, kw_only=True):
    """The sides of the comparison. Records are already keyed by the ids `moved` pairs gave them.

    `observed` holds every path that `paths` names. `stored` looks a request digest up among the finished texts of
    this server. `denied` says what keeps the output at a path from being written, if anything. `foreign` names the
    lock of another environment that owns a path, by path key.
    """

    project: Project
    desired: Desired
    state: State
    observed: Mapping[str, Observed]
    stored: Callable[[Digest], Stored | None] = nothing_stored
    denied: Callable[[str], str] = nothing_denied
    foreign: Mapping[str, str] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    rekeyed: frozenset[ItemId] = frozenset()
    """Ids whose record a `moved` pair has just given them; not yet written down."""
    interrupted: bool = False
    """The last apply did not come to its end: what it noted is not in the lock yet."""
    honours_ids: bool | None = None
    """Whether the server uses our request id as its job id; None: not known yet."""

    @property
    def server(self) -> str:
        """The server this plan speaks to."""
        return self.project.api.server

    def observe(self, path: str) -> Observed:
        """What is at `path`; a path nobody looked at counts as absent."""
        return self.observed.get(path) or Observed(path=path)


def is_made_by_local(s: Situation, record: Record) -> bool:
    """Whether the embedded server made a text that another server is to have."""
    return record.server == "local" and s.server != "local"


def saves(s: Situation, spec: Spec) -> bool:
    """Whether the item's text is told to `/content/save`."""
    return spec.save and s.project.api.save == "auto"


def temporary_name(target: str, item: ItemId) -> str:
    """Where an item's file rests while a cycle of moves is resolved; derived, so that a crash does not lose it."""
    mark = hashlib.sha256(f"{target}\n{item}".encode()).hexdigest()[:16]
    return str(PurePosixPath(target).parent / f".contentops-{mark}.moving")


def apply_moved(
    desired: Desired, state: State, made_as: Callable[[OpenEntry, ItemId], bool]
) -> tuple[State, frozenset[ItemId]]:
    """`state` with records and open entries under the ids that `moved` pairs give them, all pairs at once.

    Also returns the new ids, which an apply writes down before anything else. `made_as` says whether a submit was made
    for an item of this id, whatever its entry says now.

    Pairs may stay in a manifest, and a swap that stays must not be swapped back: one that a record (by `moved_from`)
    or an entry (by its request id) has come by is applied, and what answers the request of its item stays there.
    """
    pairs = {pair.old: pair.new for pair in desired.moved}
    if not pairs:
        return state, frozenset()
    former = {pair.new: pair.old for pair in desired.moved}
    wanted = {spec.id: spec.digest for spec in desired.specs}
    came = [one for one in state.records.values() if one.moved_from and former.get(one.id) == one.moved_from]
    settled = {former[one.id] for one in came} | {one.id for one in came if wanted.get(one.id) == one.digest}
    for entry in state.entries.values():
        if entry.item in former and made_as(entry, former[entry.item]):
            settled.add(former[entry.item])
        if entry.item not in state.records and wanted.get(entry.item) == entry.digest:
            settled.add(entry.item)
    held = state.records.keys() | {entry.item for entry in state.entries.values()}
    todo = {old: new for old, new in pairs.items() if old in held and old not in settled}
    # A target that keeps its own record is not overwritten: the old id then shows as an orphan.
    while kept := [old for old, new in todo.items() if new in state.records and new not in todo]:
        for old in kept:
            del todo[old]
    if not todo:
        return state, frozenset()
    records: dict[ItemId, Record] = {id_: record for id_, record in state.records.items() if id_ not in todo}
    for old, new in todo.items():
        if (record := state.records.get(old)) is not None:
            records[new] = structs.replace(record, id=new, moved_from=old)
    entries: dict[RequestId, OpenEntry] = {
        key: structs.replace(entry, item=todo[entry.item]) if entry.item in todo else entry
        for key, entry in state.entries.items()
    }
    return structs.replace(state, records=records, entries=entries), frozenset(todo.values())


def swapped(desired: Desired) -> dict[ItemId, ItemId]:
    """The former id by the new one, for `moved` pairs whose former id is declared too: a swap, or a longer ring.

    Only there can a record made later under the new id be taken for one that is still to be renamed.
    """
    declared = {spec.id for spec in desired.specs}
    return {pair.new: pair.old for pair in desired.moved if pair.old in declared}


def paths(desired: Desired, state: State) -> Iterator[str]:
    """Every path whose file a plan has to look at."""
    for record in state.records.values():
        yield record.output
    for spec in desired.specs:
        known = state.records.get(spec.id)
        if known is None or known.output != spec.output:
            yield spec.output
            if known is not None:
                yield temporary_name(spec.output, spec.id)


def open_entries(state: State, server: str) -> dict[ItemId, list[OpenEntry]]:
    """The open entries of this server by item, in order of attempt."""
    found: dict[ItemId, list[OpenEntry]] = {}
    for entry in sorted(state.entries.values(), key=lambda entry: (entry.item, entry.attempt, entry.request_id)):
        if entry.server == server:
            found.setdefault(entry.item, []).append(entry)
    return found


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
    if not proofs:
        return None
    return proofs == {True}


def price_of(spec: Spec, server: str) -> int:
    """The credits of one submit of `spec`; the embedded server charges nothing."""
    return 0 if server == "local" else spec.request.credits


def tombstones(entries: list[OpenEntry], digest: Digest) -> list[OpenEntry]:
    """The failed attempts at this very digest."""
    return [entry for entry in entries if entry.state is JobState.FAILED and entry.digest == digest]


def pending(entries: list[OpenEntry]) -> list[OpenEntry]:
    """The entries that may still bring a text."""
    return [entry for entry in entries if entry.state is not JobState.FAILED]


def key_of(path: str) -> str:
    """The form under which two paths count as one."""
    return collision_key(path)


def specs_by_id(desired: Desired) -> dict[ItemId, Spec]:
    """The declared items by id."""
    return {spec.id: spec for spec in desired.specs}
