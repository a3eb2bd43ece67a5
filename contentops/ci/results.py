"""The files that are results: the paths of a lock's records, with a text that an apply wrote or the server accepted.

Any other text in such a file is a person's, and theirs to commit.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ci.git import (
    LOOK,
    PATIENCE,
    GitFailed,
    file_at,
    is_shallow,
    read_blobs,
    reason_of,
    require_repository,
    run_git,
    try_git,
)
from contentops.digest import NOTHING, Digest, canonical, digest_text
from contentops.documents.clean import is_lfs_pointer, title_digest
from contentops.documents.front_matter import split
from contentops.errors import StateError, UsageError
from contentops.model import NO_APPROVALS, Approvals, JobState, OpenEntry, Record, State, text_digest
from contentops.state import approvals
from contentops.state import lock as locks
from contentops.state.codec import parse_line
from contentops.state.journal import fold
from contentops.state.state_dir import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.model import Project, RequestId
    from contentops.state.codec import Line
    from contentops.state.lock import Lock


_FILES_AT_ONCE = 8
"""Files that are read together: few, to save memory."""


class RecordedOutputs(Struct, frozen=True, kw_only=True):
    """The outputs that the records of a lock name. Paths are the project's; NFC and NFD are one."""

    bodies: Mapping[str, frozenset[Digest]]
    """The recorded bodies of each path of a record."""
    owned: frozenset[str]
    """Those paths, and the paths of earlier records."""

    def is_recorded(self, path: str, body: Digest) -> bool:
        """Whether the records say that a job made this body for the path, or the server accepted it."""
        return body in self.bodies.get(nfc(path), frozenset())


def recorded_outputs(now: Lock, before: Lock) -> RecordedOutputs:
    """Return the outputs that may be committed if the lock is `now` and was `before`.

    Hidden paths are left out, as anyone may edit a lock.
    """
    paid: dict[str, set[Digest]] = {}
    for entry in (one.value for entries in now.entries.values() for one in entries):
        if entry.state is JobState.PAID:
            # Its file may have been written just before a stop.
            paid.setdefault(entry.item, set()).add(entry.body)
    bodies: dict[str, set[Digest]] = {}
    for record in (one.value for records in now.records.values() for one in records):
        bodies.setdefault(nfc(record.output), set()).update(record.bodies, paid.get(record.id, ()))
    past = {nfc(one.value.output) for records in before.records.values() for one in records}
    return RecordedOutputs(
        bodies={path: frozenset(some - {NOTHING}) for path, some in bodies.items() if _is_plain(path)},
        owned=frozenset(filter(_is_plain, {*bodies, *past})),
    )


def _is_plain(path: str) -> bool:
    """Whether no part of a path is hidden or empty."""
    return bool(path) and not any(part.startswith(".") or not part for part in path.split("/"))


def nfc(path: str) -> str:
    """Return a path in Unicode's normal form NFC, in which paths are compared here."""
    return unicodedata.normalize("NFC", path)


def body_of(data: bytes) -> Digest:
    """Return the digest of the body of an output's bytes; empty where they are no text."""
    try:
        document = split(data.decode())
    except UnicodeDecodeError:
        return NOTHING
    return NOTHING if document.problem else digest_text(document.body)


def words_of(data: bytes) -> Digest:
    """Return the digest of title and body of an output's bytes; empty where they cannot be read."""
    body = NOTHING if is_lfs_pointer(data.decode("utf-8", "replace")) else body_of(data)
    return text_digest(split(data.decode()).title, body) if body else NOTHING


def words_in(root: str, names: Iterable[str], extra: Mapping[str, str] = LOOK) -> dict[str, Digest]:
    """Return the words of files in git's store, see `words_of`, by the names that `read_blobs` takes.

    Missing ones are left out. Raises GitFailed.
    """
    asked = list(names)
    found: dict[str, Digest] = {}
    for start in range(0, len(asked), _FILES_AT_ONCE):
        blobs = read_blobs(root, asked[start : start + _FILES_AT_ONCE], extra)
        found |= {name: words_of(data) for name, data in blobs.items()}
    return found


# --- locks -------------------------------------------------------------------------------------------------


def lock_name(environment: str) -> str:
    """Return the file name of an environment's lock."""
    return named("contentops", environment, "lock")


def lock_at(root: str, commit: str, environment: str, extra: Mapping[str, str] = LOOK) -> Lock:
    """Return the lock at a commit, below the folder of the project; an empty one where there is none.

    `extra` is added to git's environment; by default git only reads. Raises StateError, GitFailed.
    """
    name = lock_name(environment)
    data = file_at(root, commit, name, extra) if commit else None
    if data is None:
        return locks.Lock()
    try:
        return read_lock(data, name)
    except StateError as error:
        first = error.diagnostics()[0]
        hint = f"repair the file, then commit and push it with git: `git commit {name}` and `git push`"
        message = f"`{name}` in commit {commit[:12]} cannot be read: {first.message}"
        raise StateError(message, code=first.code, hint=hint) from error


def approvals_at(root: str, commit: str, extra: Mapping[str, str] = LOOK) -> Approvals:
    """Return the approvals at a commit, below the folder of the project; none where there is no file.

    `extra` is added to git's environment. Raises StateError, GitFailed.
    """
    data = file_at(root, commit, approvals.FILE, extra) if commit else None
    return NO_APPROVALS if data is None else approvals.parse(data)


def read_lock(data: bytes, name: str) -> Lock:
    """Return the lock in a file; `name` is for messages. Raises StateError."""
    try:
        return locks.read(data.decode(), name)
    except UnicodeDecodeError as error:
        raise StateError(f"`{name}` cannot be read: {error}") from error


def state_of(lock: Lock) -> State:
    """Return the state of a lock without looking at files."""
    return fold(lock, (), lineage=lock.header.lineage if lock.header else "").state


def requests_of(state: State) -> frozenset[RequestId]:
    """Return the requests that have a result or an outcome in a state."""
    return frozenset({*(record.request_id for record in state.records.values()), *state.entries} - {""})


def resolve(root: str, ref: str) -> str:
    """Return the commit that `ref` names. Raises UsageError for an unknown ref and outside a repository, GitFailed."""
    require_repository(root)
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except GitFailed as error:
        hint = "fetch branches, tags and older commits with `git fetch`; in CI check out the whole history"
        raise UsageError(f"git has no commit `{ref}`", code="unknown-ref", hint=hint) from error


def requests_at(project: Project, ref: str) -> frozenset[RequestId]:
    """Return the request ids of every submit in the lock up to `ref`.

    Raises UsageError for an unknown ref or outside a repository, StateError for a lock that cannot be read.
    """
    commit = resolve(project.root, ref)
    lock, past = lock_at(project.root, commit, project.environment), past_of(project, commit)
    known = (one.value.request_id for lines in lock.records.values() for one in lines)
    return frozenset({*known, *lock.entries, *past.records, *past.entries} - {""})


# --- earlier locks -----------------------------------------------------------------------------------------

DEPTH = 2_000
"""Commits of the lock that are read, the newest ones."""
_LOG = (
    *("--full-history", f"--max-count={DEPTH + 1}", "--format=commit %H", "--no-show-signature"),
    # `-c`: of a merge, what no parent has.
    *("--patch", "-c", "--text", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
)


_ADDED = ("+{", "++{", "+++{")
"""How lines begin that a commit adds to its parent, or a merge to all of its parents."""
_COMMITS = ("--full-history", f"--max-count={DEPTH + 1}", "--format=%H", "--no-show-signature")
_IN_ONE_CALL = 500
"""Commits that one command line names."""
_CONTENT = re.compile(r'"content_id":"([^"]+)"')


class Past(Struct, frozen=True, kw_only=True):
    """What the committed locks said of each request id; the newest lock that has one counts."""

    records: Mapping[RequestId, Record] = {}
    entries: Mapping[RequestId, OpenEntry] = {}
    commits: Mapping[RequestId, str] = {}
    """The first commit that has it."""
    gaps: tuple[str, ...] = ()
    """Why it is not all there was, each a sentence."""


def past_of(project: Project, commit: str = "HEAD") -> Past:
    """Return the history of the lock up to a commit, as far as this clone has it."""
    return _past(*_history(project, commit))


def past_of_item(project: Project, item: str, former: Iterable[str]) -> Past:
    """Return the history of one item in the lock, under all the ids it has had; `former` are those that are known.

    Only the lines that name the item are read.
    """
    listed, gaps = _history(project, "HEAD", _COMMITS)
    commits, names = listed.split(), {item, *former}
    while True:
        try:
            past = _past("\n".join(_named_in(project, commits, names)), gaps)
        except GitFailed as error:
            return Past(gaps=(*gaps, f"earlier locks cannot be read: {error.message}"))
        known = {str(one) for record in past.records.values() if record.id in names for one in record.former_ids}
        if known <= names:
            return past
        names |= known


def _named_in(project: Project, commits: Sequence[str], names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of each committed lock that name items, as a log with patches has them. Raises GitFailed."""
    wanted = [part for name in sorted(names) for key in ("id", "item") for part in ("-e", f'"{key}":{canonical(name)}')]
    for start in range(0, len(commits), _IN_ONE_CALL):
        some = commits[start : start + _IN_ONE_CALL]
        command = ("grep", "--text", "--null", "--no-color", "--fixed-strings", *wanted, *some)
        ended = try_git(project.root, *command, "--", lock_name(project.environment), extra=LOOK, timeout=PATIENCE)
        if ended.code not in (0, 1):  # 1: no line
            raise GitFailed(reason_of(ended))
        by_commit: dict[str, list[str]] = {commit: [] for commit in some}
        for line in ended.stdout.decode("utf-8", "replace").split("\n"):
            location, _, text = line.partition("\0")
            if (lines := by_commit.get(location.partition(":")[0])) is not None:
                lines.append(f"+{text}")
        for commit, lines in by_commit.items():
            yield "\n".join((f"commit {commit}", *lines))


def _history(project: Project, commit: str, options: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Return git's log of the lock up to a commit (with patches, by default), and why it is incomplete, if it is."""
    name = lock_name(project.environment)
    try:
        require_repository(project.root)
        if try_git(project.root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", extra=LOOK).code:
            return "", ()
        ended = try_git(project.root, "log", *(options or _LOG), commit, "--", name, extra=LOOK, timeout=PATIENCE)
    except UsageError:
        return "", ("the project is not in a git repository, so there are no earlier locks",)
    except GitFailed as error:
        return "", (f"earlier locks cannot be read: {error.message}",)
    if ended.code:
        return "", (f"earlier locks cannot be read: {reason_of(ended)}",)
    cut = "this clone is shallow, so earlier locks are missing; `git fetch --unshallow` fetches them"
    return ended.stdout.decode("utf-8", "replace"), (cut,) if is_shallow(project.root) else ()


class RecordedTexts(Struct, frozen=True, kw_only=True):
    """The digests of titles and bodies that committed locks had for one content."""

    titles: frozenset[Digest] = frozenset()
    bodies: frozenset[Digest] = frozenset()


def recorded_texts(project: Project, content_ids: Iterable[str]) -> dict[str, RecordedTexts]:
    """Return the texts of these contents in the history of the lock; none outside a repository."""
    log, _ = _history(project, "HEAD")
    wanted = frozenset(content_ids)
    titles: dict[str, set[Digest]] = {}
    bodies: dict[str, set[Digest]] = {}
    for line in log.split("\n"):
        content = _CONTENT.search(line)
        record = _added(line) if content is not None and content[1] in wanted else None
        if isinstance(record, Record) and record.saved is not None:
            titles.setdefault(record.content_id, set()).update(record.saved.titles, {title_digest(record.title)})
            bodies.setdefault(record.content_id, set()).update(record.saved.bodies, record.bodies)
    return {
        content_id: RecordedTexts(titles=frozenset(titles[content_id]), bodies=frozenset(digests))
        for content_id, digests in bodies.items()
    }


def _past(log: str, gaps: tuple[str, ...]) -> Past:
    records: dict[RequestId, Record] = {}
    entries: dict[RequestId, OpenEntry] = {}
    commits: dict[RequestId, str] = {}
    damaged = 0
    first, *blocks = log.split("\ncommit ") if log else [""]
    for block in (first.removeprefix("commit "), *blocks[: DEPTH - 1]):
        commit, *lines = block.split("\n")
        for line in lines:
            added = _added(line)
            damaged += added is None
            if isinstance(added, Record) and added.request_id:
                records.setdefault(added.request_id, added)
                commits[added.request_id] = commit
            elif isinstance(added, OpenEntry):
                entries.setdefault(added.request_id, added)
                commits[added.request_id] = commit
    if len(blocks) >= DEPTH:
        gaps = (*gaps, f"only the newest {DEPTH:,} commits of the lock are looked at")
    if damaged:
        gaps = (*gaps, f"{damaged:,} line{'s' * (damaged > 1)} of earlier locks cannot be read")
    return Past(records=records, entries=entries, commits=commits, gaps=gaps)


def _added(line: str) -> Line | str | None:
    """Return the lock line that a line of a patch adds; empty: it adds none; None: it cannot be read."""
    if not line.startswith(_ADDED):
        return ""
    try:
        return parse_line(line.lstrip("+"))
    except ValueError:
        return None
