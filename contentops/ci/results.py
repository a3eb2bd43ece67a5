"""Finds the output files whose text was written by contentops or saved by the server, according to the lock.

If a person changed the text in such a file, the person commits it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct, structs

from contentops.ci.git import (
    LOOK,
    PATIENCE,
    GitFailed,
    each_blob,
    file_at,
    is_shallow,
    reason_of,
    require_repository,
    run_git,
    try_git,
)
from contentops.digest import NOTHING, Digest, canonical, digest_text
from contentops.documents.clean import is_lfs_pointer
from contentops.documents.front_matter import split
from contentops.documents.preset import apply_preset, uses_changed_at, with_addresses
from contentops.errors import StateError, UsageError
from contentops.manifests.discover import glob_matcher
from contentops.model import (
    NO_APPROVALS,
    Approvals,
    Desired,
    Job,
    JobState,
    Note,
    Project,
    Record,
    RequestId,
    Spec,
    State,
    text_digest,
)
from contentops.model.jobs import fold_jobs, open_jobs
from contentops.planning.select import dependants_of, reached
from contentops.planning.sides import Choice
from contentops.state import approvals
from contentops.state import jobs as job_files
from contentops.state import lock as locks
from contentops.state.lock import Lock
from contentops.state.state_dir import jobs_name, lock_name
from contentops.state.store import fold

T = TypeVar("T")

# ---- The files that are results.


class RecordedOutputs(Struct, frozen=True, kw_only=True):
    """The output files that the records of a lock name, with the recorded digests of their bodies.

    Paths are relative to the project, and two Unicode forms (NFC and NFD) of a path count as the same.
    """

    bodies: Mapping[str, frozenset[Digest]]
    """The recorded bodies for the path of each record."""
    owned: frozenset[str]
    """The paths of these records and of earlier records."""

    def is_recorded(self, path: str, body: Digest) -> bool:
        """Return whether a record of this path has the body, because a job made it or the server accepted it."""
        return body in self.bodies.get(nfc(path), frozenset())


def recorded_outputs(now: Lock, before: Lock, jobs: Iterable[Job] = ()) -> RecordedOutputs:
    """Return the output files that may be committed. `now` is the current lock, `before` the lock of the last commit.

    Hidden paths are left out, because anyone may edit a lock.
    """
    paid: dict[str, set[Digest]] = {}
    for job in jobs:
        if job.state is JobState.PAID:
            # Its file may have been written just before a stop.
            paid.setdefault(job.item, set()).add(job.body)
    bodies: dict[str, set[Digest]] = {}
    for record in (one.value for records in now.records.values() for one in records):
        bodies.setdefault(nfc(record.output), set()).update(record.bodies, paid.get(record.id, ()))
    past = {nfc(one.value.output) for records in before.records.values() for one in records}
    return RecordedOutputs(
        bodies={path: frozenset(some - {NOTHING}) for path, some in bodies.items() if _is_plain(path)},
        owned=frozenset(filter(_is_plain, {*bodies, *past})),
    )


def _is_plain(path: str) -> bool:
    """Return whether no part of a path is hidden or empty."""
    return bool(path) and not any(part.startswith(".") or not part for part in path.split("/"))


def nfc(path: str) -> str:
    """Return a path in the Unicode form NFC, so that two paths can be compared."""
    return unicodedata.normalize("NFC", path)


def digest_of_body(data: bytes) -> Digest:
    """Return the digest of the body in an output file. It is empty if the bytes cannot be read as text."""
    try:
        document = split(data.decode())
    except UnicodeDecodeError:
        return NOTHING
    return NOTHING if document.problem else digest_text(document.body)


def words_of(data: bytes) -> Digest:
    """Return the digest of the title and body in an output file. It is empty if the file cannot be read."""
    body = NOTHING if is_lfs_pointer(data.decode("utf-8", "replace")) else digest_of_body(data)
    return text_digest(split(data.decode()).title, body) if body else NOTHING


def words_in(root: str, names: Iterable[str], extra: Mapping[str, str] = LOOK) -> dict[str, Digest]:
    """Return digests of title and body for files in git. The names are those that `each_blob` takes.

    Missing files are left out. Raises GitFailed.
    """
    return {name: words_of(data) for name, data in each_blob(root, names, extra)}


# --- locks -------------------------------------------------------------------------------------------------


_STATE = "contentops*.jobs contentops*.lock .gitattributes"
"""The files that an upgrade writes, as arguments for git."""


def lock_at(root: str, commit: str, environment: str, extra: Mapping[str, str] = LOOK) -> Lock:
    """Return a project's lock at a commit. It is empty if there was none.

    `extra` is added to git's environment; by default, git only reads. Raises StateError and GitFailed.
    """
    return _state_file(root, commit, lock_name(environment), locks.read, extra) or locks.Lock()


def jobs_at(root: str, commit: str, environment: str, extra: Mapping[str, str] = LOOK) -> tuple[Job, ...]:
    """Return the jobs of an environment at a commit. There may be none."""
    found = _state_file(root, commit, jobs_name(environment), job_files.read, extra)
    return tuple(found[1].values()) if found else ()


def approvals_at(root: str, commit: str, extra: Mapping[str, str] = LOOK) -> Approvals:
    """Return the recorded approvals that a commit contains. There may be none."""
    return _state_file(root, commit, approvals.FILE, lambda data, _: approvals.parse(data), extra) or NO_APPROVALS


def _state_file(
    root: str, commit: str, name: str, read: Callable[[bytes, str], T], extra: Mapping[str, str]
) -> T | None:
    """Return the content of a state file at a commit, or None if it did not exist there."""
    data = file_at(root, commit, name, extra) if commit else None
    try:
        return None if data is None else read(data, name)
    except StateError as error:
        first = error.diagnostics()[0]
        hint = f"repair the file, then commit and push it with git: `git commit {name}` and `git push`"
        if first.code == "old-state":
            hint = f"commit what `contentops state upgrade` wrote: `git add {_STATE}` and `git commit`"
        message = f"`{name}` in commit {commit[:12]} cannot be read: {first.message}"
        raise StateError(message, code=first.code, hint=hint) from error


def state_of(lock: Lock, jobs: Iterable[Job] = ()) -> State:
    """Return the project state that a lock and jobs describe. It reads no files."""
    folded = fold_jobs(jobs)
    return State(lineage=lock.lineage, records=fold(lock), open_jobs=open_jobs(folded), jobs=folded)


def state_at(root: str, commit: str, environment: str, extra: Mapping[str, str] = LOOK) -> State:
    """Return the state of an environment at a commit. Raises StateError and GitFailed."""
    return state_of(lock_at(root, commit, environment, extra), jobs_at(root, commit, environment, extra))


def requests_of(state: State) -> frozenset[RequestId]:
    """Return the ids of all submitted requests that a state contains."""
    return frozenset(
        {*(record.request_id for record in state.records.values()), *(job.request_id for job in state.jobs)} - {""}
    )


_BASE = "..."
_SHORT = 10


def resolve(root: str, ref: str) -> str:
    """Return the commit that `ref` names. `REF...` is its fork point from the current branch, as in `git diff`.

    Raises UsageError for an unknown ref and outside of a repository, and GitFailed.
    """
    require_repository(root)
    name = ref.removesuffix(_BASE) or "HEAD"
    try:
        commit = run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except GitFailed as error:
        hint = "fetch branches, tags and older commits with `git fetch`; in CI check out the whole history"
        raise UsageError(f"git has no commit `{name}`", code="unknown-ref", hint=hint) from error
    if not ref.endswith(_BASE):
        return commit
    try:
        return run_git(root, "merge-base", commit, "HEAD").split()[0]
    except GitFailed as error:
        hint = "fetch more of the history, or compare with the commit itself: leave out the dots"
        raise UsageError(
            f"`{name}` and `HEAD` have no common commit in this clone", code="unknown-ref", hint=hint
        ) from error


def narrowed(project: Project, desired: Desired, choice: Choice) -> Choice:
    """Return the selection, limited to items that differ from the lock at an earlier commit.

    `choice.changed_from` names the commit. Raises UsageError for an unknown ref or outside of a repository, GitFailed,
    and StateError for a lock that cannot be read.
    """
    commit = resolve(project.root, choice.changed_from)
    records = state_of(lock_at(project.root, commit, project.environment)).records
    specs = {spec.id: spec for spec in desired.specs}
    ids = specs.keys() | records.keys()
    changed = (id_ for id_ in ids if _differs(specs.get(id_), records.get(id_), project.preset))
    made = dependants_of({id_: [one.id for one in spec.references] for id_, spec in specs.items()})
    differing = frozenset(reached(changed, made))
    verb = "item differs" if len(differing) == 1 else "items differ"
    shown = f"`{lock_name(project.environment)}` at `{choice.changed_from}` ({commit[:_SHORT]})"
    note = Note(kind="changed-from", message=f"{len(differing):,} {verb} from {shown}; all others are ignored")
    only = differing if choice.only is None else differing & choice.only
    return structs.replace(choice, only=only, notes=(*choice.notes, note))


def _differs(spec: Spec | None, record: Record | None, preset: str) -> bool:
    """Return whether an item is new or removed, or differs from its record in request, path or front matter."""
    if spec is None or record is None or (spec.digest, spec.output) != (record.digest, record.output):
        return True
    front = with_addresses(preset, apply_preset(preset, spec.metadata), record.addresses)
    # The day of the words is no change of the manifest.
    front = {key: record.metadata.get(key, value) if uses_changed_at(value) else value for key, value in front.items()}
    return front.pop("title", record.title) != record.title or canonical(front) != canonical(dict(record.metadata))


# --- earlier locks -----------------------------------------------------------------------------------------

_LOG = (
    *("log", "--all", "--reflog", "--full-history", "--max-count=-1", "--format=commit %H", "--no-show-signature"),
    # `-c`: of a merge, what no parent has.
    *("--patch", "-c", "--text", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
)
_ADDED = ("+{", "++{", "+++{")
"""The beginnings of lines that a commit adds to its parent, or a merge to all of its parents."""


def locks_in_history(project: Project, environment: str) -> list[str]:
    """Return all lines that an environment's lock had in the commits of this clone, the oldest first.

    There are none outside of a repository. Raises StateError for a shallow clone, which lacks earlier locks, and
    GitFailed.
    """
    try:
        require_repository(project.root)
    except UsageError:
        return []
    if is_shallow(project.root):
        hint = "run `git fetch --unshallow` first (in CI: `fetch-depth: 0`)"
        raise StateError("this clone is shallow, so earlier locks are missing", code="old-state", hint=hint)
    ended = try_git(project.root, *_LOG, "--", lock_name(environment), extra=LOOK, timeout=PATIENCE)
    if ended.code:
        raise GitFailed(f"earlier locks cannot be read: {reason_of(ended)}")
    log = ended.stdout.decode("utf-8", "replace")
    return [line.lstrip("+-") for line in reversed(log.split("\n")) if line.startswith((*_ADDED, "-{"))]


# ---- The line that `init` proposes for the `CODEOWNERS` of a repository.

_GITHUB_FOLDERS: Final = (".github", "", "docs")
_COMPLETE: Final = "# Who may say which texts are approved: replace @OWNER by people or a team, and take the # away."
_FOLDERS: Final = (".github", ".gitlab", ".forgejo", ".gitea", "", "docs")


def code_owners(root: str) -> Callable[[str], tuple[str, ...]]:
    """Return a function that returns the owners of a path below `root`, from the repository's `CODEOWNERS`."""
    folder = Path(root).resolve()
    top = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    file = next(filter(Path.is_file, (top / each / "CODEOWNERS" for each in _FOLDERS)), None)
    text = file.read_text("utf-8", errors="replace") if file is not None else ""
    return lambda path: owners_of(text, (folder.relative_to(top) / path).as_posix())


def proposed_line(top: Path, path: str) -> tuple[str, tuple[str, ...]]:
    """Return the path of GitHub's `CODEOWNERS` file, and lines to add to it. A person has to complete the lines.

    There are no lines if the file has one for `path` already, even one that is commented out. `path` is in the
    repository at `top`.
    """
    files = [f"{folder}/CODEOWNERS".removeprefix("/") for folder in _GITHUB_FOLDERS]
    file = next((file for file in files if (top / file).is_file()), files[0])
    text = (top / file).read_text("utf-8", errors="replace") if (top / file).is_file() else ""
    pattern = "/" + path.replace(" ", r"\ ")
    if owners_of(text, path) or pattern in text:
        return file, ()
    return file, (_COMPLETE, f"# {pattern} @OWNER")


def owners_of(text: str, path: str) -> tuple[str, ...]:
    """Return the owners of a path according to the text of a `CODEOWNERS` file. The last matching line counts."""
    lines = (line.partition("#")[0].split() for line in reversed(text.splitlines()))
    return next((tuple(words[1:]) for words in lines if words and _matches(words[0], path)), ())


def _matches(pattern: str, path: str) -> bool:
    """Return whether a pattern matches a path or one of its folders.

    A pattern without an inner `/` matches at any depth.
    """
    inner = pattern.rstrip("/")
    test = glob_matcher(inner.removeprefix("/") if "/" in inner else f"**/{inner}")
    parts = path.split("/")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + (not pattern.endswith("/")))]
    return any(map(test, places))
