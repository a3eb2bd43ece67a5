"""What differs from the lock as it was at a commit: nothing is checked out, and no old manifest is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.ci.git import GitFailed, run_git
from contentops.ci.results import lock_at, lock_name, state_of
from contentops.digest import canonical
from contentops.documents.preset import apply_preset
from contentops.errors import UsageError
from contentops.model import Note

if TYPE_CHECKING:
    from contentops.model import Desired, Project, Record, RequestId, Spec
    from contentops.planning.inputs import Choice

_BASE = "..."
_SHORT = 10


def resolve(root: str, ref: str) -> str:
    """The commit `ref` names; `REF...` is where the current branch left REF, as in `git diff`.

    Raises UsageError for a ref there is none of and outside a repository, GitFailed where git cannot say.
    """
    run_git(root, "rev-parse", "--git-dir")
    name = ref.removesuffix(_BASE) or "HEAD"
    try:
        commit = run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except GitFailed as error:
        hint = "`git fetch` brings branches, tags and older commits; in CI check out with the whole history"
        raise UsageError(f"git knows no commit `{name}`", code="unknown-ref", hint=hint) from error
    if not ref.endswith(_BASE):
        return commit
    try:
        return run_git(root, "merge-base", commit, "HEAD").split()[0]
    except GitFailed as error:
        hint = "fetch more of the history, or compare with the commit itself: leave out the dots"
        raise UsageError(f"`{name}` and `HEAD` have no common commit here", code="unknown-ref", hint=hint) from error


def narrowed(project: Project, desired: Desired, choice: Choice) -> Choice:
    """`choice` cut down to the items that differ from what the lock at `choice.changed_from` says of them.

    Raises UsageError for an unknown ref or outside a repository, GitFailed where git fails, StateError for a lock that
    cannot be read.
    """
    commit = resolve(project.root, choice.changed_from)
    records = state_of(lock_at(project.root, commit, project.environment)).records
    specs = {spec.id: spec for spec in desired.specs}
    preset = project.preset
    ids = specs.keys() | records.keys()
    found = frozenset(id_ for id_ in ids if _differs(specs.get(id_), records.get(id_), preset))
    verb = "item differs" if len(found) == 1 else "items differ"
    shown = f"`{lock_name(project.environment)}` at `{choice.changed_from}` ({commit[:_SHORT]})"
    note = Note(kind="changed-from", message=f"{len(found):,} {verb} from {shown}; the others are left out")
    only = found if choice.only is None else found & choice.only
    return structs.replace(choice, only=only, notes=(*choice.notes, note))


def _differs(spec: Spec | None, record: Record | None, preset: str) -> bool:
    """Whether an item came or went, or its request, path or front matter is another one now."""
    if spec is None or record is None or (spec.digest, spec.output) != (record.digest, record.output):
        return True
    front = dict(apply_preset(preset, spec.metadata))
    return front.pop("title", record.title) != record.title or canonical(front) != canonical(dict(record.metadata))


def requests_at(project: Project, ref: str) -> frozenset[RequestId]:
    """The request ids of every submit that the lock at `ref` knew; none where there was no lock.

    Raises UsageError for an unknown ref or outside a repository, StateError for a lock that cannot be read.
    """
    lock = lock_at(project.root, resolve(project.root, ref), project.environment)
    known = (one.value.request_id for lines in lock.records.values() for one in lines)
    return frozenset({*known, *lock.entries} - {""})
