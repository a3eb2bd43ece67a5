"""Putting right, by a person's word, what contentops knows it made; never generates, spends or touches an output.

And which earlier texts the cache lets go of: those beyond the number that the settings name, and none that is needed.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from contentops.digest import NOTHING
from contentops.errors import InputError, Refused, UsageError, did_you_mean, plural
from contentops.manifests.project import load_project, url_problem
from contentops.manifests.validate import id_hint, id_problem
from contentops.model import ApiSettings, ItemId, JobState, OpenEntry
from contentops.operations.apply_lock import hold_lock
from contentops.operations.contents.owners_in_locks import recorded_owners
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.opening import Runtime, open_cache, read_state
from contentops.operations.plan import no_item
from contentops.operations.workspace import open_workspace, shared_state, validate
from contentops.planning.plan_inputs import specs_by_id
from contentops.sanitize import clip
from contentops.state.codec import Drop, Forget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.ledger.project import ProjectLedger
    from contentops.model import Project, Record, State
    from contentops.state.cache import Cache
    from contentops.state.codec import Fact
    from contentops.state.paid_texts import KeptText
    from contentops.state.store import StateStore


def move_record(project: Project, old: str, new: str) -> str:
    """Give the record and open jobs of `old` the id `new`, which must be one that a manifest could declare.

    Returns `new`. Raises UsageError where nothing is known of `old`, or `new` is taken or no id.
    """
    _check_id(new)
    with _editing(project) as edited:
        state = edited.state
        record = state.records.get(ItemId(old))
        entries = [entry for entry in state.entries.values() if entry.item == old]
        if record is None and not entries:
            raise no_item(old, state.records)
        if ItemId(new) in state.records:
            raise UsageError(
                f"`{new}` has a record already", code="taken-id", hint=f"`contentops state rm {new}` forgets it"
            )
        facts: list[Fact] = [structs.replace(entry, item=ItemId(new)) for entry in entries]
        if record is not None:
            facts += [record.renamed(ItemId(new)), Forget(ItemId(old))]
        edited.note("state mv", *facts)
    return new


def forget_record(project: Project, item: str) -> None:
    """Forget the record of an item; its file and its content on the server stay."""
    with _editing(project) as edited:
        if ItemId(item) not in edited.state.records:
            raise no_item(item, edited.state.records)
        edited.note("state rm", Forget(ItemId(item)))


def move_server(project: Project, old: str, new: str) -> str:
    """Say that the server `old` is now reached as `new`: its jobs and contents are the same.

    Of an address only scheme, host and port count. Returns the name records carry from now on. Raises UsageError where
    no record was made by `old`, or `new` is no address.
    """
    new = _server(new)
    with _editing(project) as edited:
        state = edited.state
        records = [structs.replace(one, server=new) for one in state.records.values() if one.server == old]
        entries = [structs.replace(one, server=new) for one in state.entries.values() if one.server == old]
        if not records and not entries:
            known = {one.server for one in state.records.values()}
            hint = did_you_mean(old, known, "known: " + (", ".join(sorted(known)) or "none"))
            raise UsageError(f"no record was made by `{old}`", code="unknown-server", hint=hint)
        edited.note("state mv --server", *records, *entries)
        edited.move_texts(old, new)
    return new


def _check_id(new: str) -> None:
    problem = id_problem(new) if new else "is empty"
    if problem:
        shown = f"`{clip(new, 60)}`" if new else "the new id"
        raise UsageError(f"{shown} {problem}", code="bad-id", hint=id_hint(new))


def _server(address: str) -> str:
    problem = url_problem(address)
    if problem is not None:
        code, message, hint = problem
        raise UsageError(message.replace("`base_url`", "NEW"), code=code, hint=hint)
    return ApiSettings(base_url=address).server


class OpenSubmit(Struct, frozen=True, kw_only=True):
    """A submit whose outcome a person may have to state."""

    entry: OpenEntry
    wanted: bool | None
    """Whether the manifests hold the very request it was for; None: they cannot be read."""


def open_submits(project: Project, item: str = "") -> tuple[OpenSubmit, ...]:
    """The submits of an item that a person's word can be about; without an item all whose outcome is unknown.

    Raises UsageError where the item has none.
    """
    entries = shared_state(project)[0].entries.values()
    if item:
        open_entries = _meant(entries, item)
    else:
        open_entries = [entry for entry in entries if _is_undecided(entry) and entry.state is not JobState.RUNNING]
    specs = None
    if open_entries:
        with contextlib.suppress(InputError):
            specs = specs_by_id(validate(project))

    def is_wanted(entry: OpenEntry) -> bool | None:
        spec = specs.get(entry.item) if specs is not None else None
        return None if specs is None else spec is not None and spec.digest == entry.digest

    open_entries.sort(key=lambda entry: (entry.item, entry.submitted_at, entry.request_id))
    return tuple(OpenSubmit(entry=entry, wanted=is_wanted(entry)) for entry in open_entries)


def resolve(
    project: Project, item: str, *, request: str = "", job: str = "", content: str = "", forget: bool = False
) -> str:
    """Take a person's word for what became of a submit whose answer was lost; returns what was done.

    `request`: how the request id of the one that is meant begins. Raises UsageError where that leaves none, or several,
    and for a content that belongs to another item, or the job of another submit.
    """
    with _editing(project) as edited:
        entries = edited.state.entries.values()
        meant = _meant(entries, item, request, forget=forget)
        if len(meant) > 1 and _is_undecided(meant[0]):
            each = ", ".join(f"`--request {entry.short}`" for entry in meant)
            hint = f"state one of {each}; `contentops state resolve {item}` tells them apart"
            raise UsageError(f"`{item}` has {plural(len(meant), 'open submit')}", code="several-submits", hint=hint)
        if forget:
            edited.give_up(meant)
            edited.note("state resolve", *(Drop(entry.request_id) for entry in meant))
            rest = sum(entry.item == item for entry in entries) - len(meant)
            stays = f" ({rest:,} more {'is' if rest == 1 else 'are'} kept)" if rest else ""
            return f"forgot {plural(len(meant), 'open submit')} of `{item}`{stays}; the next apply may submit it again"
        _refuse_taken(project, edited.state, meant[0], content)
        _refuse_other_job(project, edited.state, meant[0], job)
        edited.note("state resolve", _resolved(meant[0], job=job, content=content))
        result = f"job `{job}`" if job else f"content `{content}`"
        return f"the submit of `{item}` became {result}; the next apply finishes it"


def _refuse_taken(project: Project, state: State, entry: OpenEntry, content: str) -> None:
    """Raise UsageError where a content is known to be another's than that of the item of a submit."""
    owner = recorded_owners(project, state).get(content)
    if owner is None or (not owner.lock and owner.item == entry.item):
        return
    whose = f"of `{owner.item}`" + (f" in `{owner.lock}`" if owner.lock else "")
    hint = "`contentops content list` shows whose each content is"
    raise UsageError(f"content `{content}` is that {whose}, not of `{entry.item}`", code="content-taken", hint=hint)


def _refuse_other_job(project: Project, state: State, entry: OpenEntry, job: str) -> None:
    """Raise UsageError where a job is known to be that of another submit than this one."""
    for lock, known in (("", state), *other_states(project)) if job else ():
        jobs: list[tuple[ItemId, Record | OpenEntry]] = [(one.id, one) for one in known.records.values()]
        jobs += [(one.item, one) for one in known.entries.values()]
        for item, one in jobs:
            if (one.server, one.job_id) != (entry.server, job) or one.request_id == entry.request_id:
                continue
            whose = "another text of " if not lock and item == entry.item else ""
            message = f"job `{job}` is that of {whose}`{item}`{f' in `{lock}`' if lock else ''}, not of this submit"
            raise UsageError(message, code="job-taken", hint="`contentops state list` shows whose each job is")


def _meant(entries: Collection[OpenEntry], item: str, request: str = "", *, forget: bool = False) -> list[OpenEntry]:
    """The submits of an item that a person may mean: at least one. Raises UsageError."""
    named = [entry for entry in entries if entry.item == item and entry.request_id.startswith(request)]
    matches = [entry for entry in named if _is_undecided(entry)]
    if forget and not matches:
        # What failed is no secret, so all of it may go at once.
        matches = [entry for entry in named if entry.state is JobState.FAILED]
        # A text that was paid for is given up only by its name.
        matches = matches or [entry for entry in named if request and entry.state is JobState.PAID]
    if matches:
        return matches
    whose = f"whose request begins with `{clip(request, 60)}`" if request else "whose outcome is unknown"
    known = sorted({f"`{entry.item}`" for entry in entries if entry.state is JobState.UNKNOWN})
    hint = "unknown at the moment: " + (", ".join(known) or "none")
    raise UsageError(f"`{item}` has no submit {whose}", code="nothing-to-resolve", hint=hint)


def _is_undecided(entry: OpenEntry) -> bool:
    """Whether a person's word may be needed: a job that the server has forgotten is as lost as an unanswered submit.

    So is a paid text that no job can bring again.
    """
    if entry.state is JobState.PAID:
        return not entry.job_id
    return entry.state is not JobState.FAILED


def _resolved(entry: OpenEntry, *, job: str, content: str) -> OpenEntry:
    if job:
        return structs.replace(entry, state=JobState.RUNNING, job_id=job, error="")
    return structs.replace(entry, state=JobState.PAID, content_id=content, body=NOTHING, error="")


class _Edited:
    """The state that a person's word changes."""

    def __init__(self, store: StateStore, cache: Cache, ledger: ProjectLedger | None) -> None:
        self._store, self._cache, self._ledger = store, cache, ledger

    @property
    def state(self) -> State:
        """Lock, journal, and what is open elsewhere."""
        return self._store.state

    def give_up(self, entries: Iterable[OpenEntry]) -> None:
        """Give up the texts of these submits: no later plan uses them. Raises StateError where that cannot be kept."""
        for entry in entries:
            if entry.state is JobState.PAID:
                self._cache.give_up(entry.server, entry.digest, entry.request_id)

    def move_texts(self, old: str, new: str) -> None:
        """Move the texts that others paid for to the new address of their server."""
        if self._ledger is not None:
            self._ledger.move_texts(old, new)

    def note(self, step: str, *facts: Fact) -> None:
        """Take in facts. Raises Refused, and takes in none, where another process works on what they are about."""
        meant = {fact.request_id for fact in facts if isinstance(fact, OpenEntry | Drop)}
        entries = [entry for id_, entry in self.state.entries.items() if id_ in meant]
        if self._ledger is not None and (lost := self._ledger.claim(entries, {}).lost):
            raise Refused(
                f"another process works on `{next(iter(lost.values()))}`; nothing was changed",
                code="ledger-changed",
                hint="`contentops status` says which; wait for it, or end it: what it holds is free then",
            )
        self._store.note(step, *facts)


@contextlib.contextmanager
def _editing(project: Project) -> Iterator[_Edited]:
    """The state under the apply lock, checkpointed at the end."""
    runtime = Runtime()
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        with contextlib.suppress(InputError):
            workspace.store.repair_merge({spec.id: spec.digest for spec in validate(project).specs}, project.api.server)
        yield _Edited(workspace.store, workspace.cache, workspace.working_ledger)
        workspace.store.checkpoint()


# --- earlier texts -----------------------------------------------------------------------------------------


class Earlier(Struct, frozen=True, kw_only=True):
    """What is dropped: how many texts, their bytes, and how many by item. `keep`: the setting; None: all stay."""

    keep: int | None
    texts: int = 0
    bytes: int = 0
    items: Mapping[str, int] = field(default_factory=dict)


class Needed(Struct, frozen=True, kw_only=True):
    """What must stay: texts by their body digest, and the last text of requests, by server and request digest."""

    bodies: frozenset[Digest]
    requests: frozenset[tuple[str, Digest]]


def drop_earlier(project: Project, *, do: bool) -> Earlier:
    """What `keep_texts` lets go of; dropped, if `do`. Raises InputError, since a manifest may need a text."""
    if project.keep_texts is None:
        return Earlier(keep=None)
    wanted = list(_wanted(project))
    holding = hold_lock(project, Runtime()) if do else contextlib.nullcontext()
    with holding, open_cache(project, write=do) as cache:
        states = [read_state(project), *(state for _, state in other_states(project))]
        gone = superfluous(cache.paid_texts(), project.keep_texts, needed(states, wanted))
        bodies = {one.body for one in gone}
        size = sum(len((cache.body(body) or "").encode()) for body in bodies)
        if do and gone:
            cache.drop_texts(gone)
    counts = Counter(one.about.item for one in gone)
    return Earlier(keep=project.keep_texts, texts=len(gone), bytes=size, items=dict(sorted(counts.items())))


def _wanted(project: Project) -> Iterator[tuple[str, Digest]]:
    """What the manifests ask for in this environment, and in every other that something was applied to."""
    for environment in {project.environment, *locked_environments(project)}:
        with contextlib.suppress(UsageError):  # it is not declared any more
            other = load_project(Path(project.root), environment=environment, variables=project.cli_vars)
            yield from ((other.api.server, spec.digest) for spec in validate(other).specs)


def needed(states: Iterable[State], wanted: Iterable[tuple[str, Digest]]) -> Needed:
    """What records, open jobs and manifests (`wanted`: server and request digest of each item) name."""
    bodies, requests = {NOTHING}, set(wanted)
    for state in states:
        for record in state.records.values():
            bodies.update(record.bodies)
            if record.saved is not None:
                bodies.add(record.saved.sent)
            requests.add((record.server, record.digest))
        for entry in state.entries.values():
            bodies.add(entry.body)
            requests.add((entry.server, entry.digest))
    return Needed(bodies=frozenset(bodies), requests=frozenset(requests))


def superfluous(texts: Sequence[KeptText], keep: int, needed: Needed) -> tuple[KeptText, ...]:
    """The texts that may go: of each item all but the `keep` newest, apart from what is needed."""
    by_item: defaultdict[str, list[KeptText]] = defaultdict(list)
    for text in texts:
        if text.body not in needed.bodies and not (text.last and (text.server, text.digest) in needed.requests):
            by_item[text.about.item].append(text)
    return tuple(text for group in by_item.values() for text in _oldest(group, keep))


def _oldest(texts: Collection[KeptText], keep: int) -> Iterator[KeptText]:
    ordered = sorted(texts, key=lambda text: (text.about.generated_at, text.last), reverse=True)
    yield from ordered[keep:]
