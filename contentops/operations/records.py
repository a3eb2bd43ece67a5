"""Putting right, by a person's word, what contentops knows it made; never generates, spends or touches an output."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.errors import UsageError, did_you_mean
from contentops.manifests.project import url_problem
from contentops.manifests.validate import id_problem
from contentops.model import ApiSettings, ItemId, JobState
from contentops.operations.apply import hold_lock
from contentops.operations.show import no_item
from contentops.operations.workspace import World, open_store
from contentops.reporting.summary import plural
from contentops.sanitize import clip
from contentops.state.codec import Drop, Forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import OpenEntry, Project
    from contentops.state.codec import Fact
    from contentops.state.store import StateStore


def move_record(project: Project, old: str, new: str) -> str:
    """Give the record and open jobs of `old` the id `new`, which must be one that a manifest could declare.

    Returns `new`. Raises UsageError where nothing is known of `old`, or `new` is taken or no id.
    """
    _check_id(new)
    with _editing(project) as store:
        state = store.state
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
            facts += [structs.replace(record, id=ItemId(new), moved_from=""), Forget(ItemId(old))]
        store.note("state mv", *facts)
    return new


def forget_record(project: Project, item: str) -> None:
    """Forget the record of an item; its file and its content on the server stay."""
    with _editing(project) as store:
        if store.record(ItemId(item)) is None:
            raise no_item(item, store.state.records)
        store.note("state rm", Forget(ItemId(item)))


def move_server(project: Project, old: str, new: str) -> str:
    """Say that the server `old` is now reached as `new`: its jobs and contents are the same.

    Of an address only scheme, host and port count. Returns the name records carry from now on. Raises UsageError where
    no record was made by `old`, or `new` is no address.
    """
    new = _server(new)
    with _editing(project) as store:
        state = store.state
        records = [structs.replace(one, server=new) for one in state.records.values() if one.server == old]
        entries = [structs.replace(one, server=new) for one in state.entries.values() if one.server == old]
        if not records and not entries:
            known = {one.server for one in state.records.values()}
            hint = did_you_mean(old, known, "known: " + (", ".join(sorted(known)) or "none"))
            raise UsageError(f"no record was made by `{old}`", code="unknown-server", hint=hint)
        store.note("state mv --server", *records, *entries)
    return new


def _check_id(new: str) -> None:
    problem = id_problem(new) if new else "is empty"
    if problem:
        shown = f"`{clip(new, 60)}`" if new else "the new id"
        raise UsageError(
            f"{shown} {problem}", code="bad-id", hint="ids have letters, digits, and `_ . / @ + -` between them"
        )


def _server(address: str) -> str:
    problem = url_problem(address)
    if problem is not None:
        code, message, hint = problem
        raise UsageError(message.replace("`base_url`", "NEW"), code=code, hint=hint)
    return ApiSettings(base_url=address).server


def resolve(project: Project, item: str, *, job: str = "", content: str = "", forget: bool = False) -> str:
    """Take a person's word for what became of a submit whose answer was lost; returns what was done."""
    with _editing(project) as store:
        open_ = [entry for entry in store.state.entries.values() if entry.item == item]
        lost = [entry for entry in open_ if entry.state in (JobState.UNKNOWN, JobState.SUBMITTING)]
        # A job the server has forgotten is as lost as an answer that never came; a later one may be all right.
        running = sorted((one for one in open_ if one.state is JobState.RUNNING), key=lambda one: one.submitted_at)
        lost = lost or (running[:1] if forget else running[-1:])
        if forget:
            lost = lost or [entry for entry in open_ if entry.state is not JobState.PAID]
        if not lost:
            known = [entry.item for entry in store.state.entries.values() if entry.state is JobState.UNKNOWN]
            hint = "unknown at the moment: " + (", ".join(f"`{one}`" for one in sorted(set(known))) or "none")
            raise UsageError(f"`{item}` has no submit whose outcome is unknown", code="nothing-to-resolve", hint=hint)
        if forget:
            store.note("state resolve", *(Drop(entry.request_id) for entry in lost))
            rest = len(open_) - len(lost)
            stays = f" ({rest:,} more {'is' if rest == 1 else 'are'} kept)" if rest else ""
            return f"forgot {plural(len(lost), 'open submit')} of `{item}`{stays}; the next apply may submit it again"
        latest = max(lost, key=lambda entry: entry.attempt)
        store.note("state resolve", _resolved(latest, job=job, content=content))
        what = f"job `{job}`" if job else f"content `{content}`"
        return f"the submit of `{item}` became {what}; the next apply finishes it"


def _resolved(entry: OpenEntry, *, job: str, content: str) -> OpenEntry:
    if job:
        return structs.replace(entry, state=JobState.RUNNING, job_id=job, error="")
    return structs.replace(entry, state=JobState.PAID, content_id=content, body=NOTHING, error="")


@contextlib.contextmanager
def _editing(project: Project) -> Iterator[StateStore]:
    """The store under the apply lock, checkpointed at the end."""
    with hold_lock(project, World()), open_store(project, write=True) as store:
        yield store
        store.checkpoint()
