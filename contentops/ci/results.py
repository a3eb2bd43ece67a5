"""Which files are results: the paths that a lock's records own, with a text that an apply made or the server took.

Everything else in such a file is a person's, and theirs to commit.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.ci.git import LOOK, PATIENCE, GitFailed, file_at, reason_of, run_git, try_git
from contentops.digest import NOTHING, Digest, canonical, digest_text
from contentops.documents.clean import title_digest
from contentops.documents.front_matter import split
from contentops.documents.preset import apply_preset, with_addresses
from contentops.errors import StateError, UsageError
from contentops.model import JobState, Note, OpenEntry, Record, State
from contentops.state import lock as locks
from contentops.state.codec import parse_line
from contentops.state.journal import fold
from contentops.state.state_dir import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.model import Desired, Project, RequestId, Spec
    from contentops.planning.plan_inputs import Choice
    from contentops.state.codec import Line
    from contentops.state.lock import Lock


class RecordedOutputs(Struct, frozen=True, kw_only=True):
    """What the records say about files. Paths are the project's; NFC and NFD are one."""

    bodies: Mapping[str, frozenset[Digest]]
    """The recorded bodies of each path that a record owns now."""
    owned: frozenset[str]
    """Those paths, and the ones that were owned before."""

    def is_recorded(self, path: str, body: Digest) -> bool:
        """Whether a job made this body for the path, or the server took it."""
        return body in self.bodies.get(nfc(path), frozenset())


def recorded_outputs(now: Lock, before: Lock) -> RecordedOutputs:
    """What may be committed where the lock is `now` and was `before`.

    A lock is a file like any other: no hidden folder comes from it.
    """
    paid: dict[str, set[Digest]] = {}
    for entry in (one.value for entries in now.entries.values() for one in entries):
        if entry.state is JobState.PAID:
            # Its file may have been written just before a stop.
            paid.setdefault(entry.item, set()).add(entry.body)
    bodies: dict[str, set[Digest]] = {}
    for record in (one.value for records in now.records.values() for one in records):
        found = bodies.setdefault(nfc(record.output), set())
        found |= {*record.bodies, *paid.get(record.id, ())}
    past = {nfc(one.value.output) for records in before.records.values() for one in records}
    return RecordedOutputs(
        bodies={path: frozenset(found - {NOTHING}) for path, found in bodies.items() if _is_plain(path)},
        owned=frozenset(filter(_is_plain, {*bodies, *past})),
    )


def _is_plain(path: str) -> bool:
    """Whether no part of a path is hidden or empty."""
    return bool(path) and not any(part.startswith(".") or not part for part in path.split("/"))


def nfc(path: str) -> str:
    """The spelling under which a path is known here, whatever the file system makes of it."""
    return unicodedata.normalize("NFC", path)


def body_of(data: bytes) -> Digest:
    """The fingerprint of the body that the bytes of an output hold; empty where they are none."""
    try:
        document = split(data.decode())
    except UnicodeDecodeError:
        return NOTHING
    return NOTHING if document.problem else digest_text(document.body)


# --- locks -------------------------------------------------------------------------------------------------


def lock_name(environment: str) -> str:
    """The file name of an environment's lock."""
    return named("contentops", environment, "lock")


def lock_at(root: str, commit: str, environment: str, extra: Mapping[str, str] = LOOK) -> Lock:
    """The lock at a commit, below the folder of the project; an empty one where there is none.

    `extra` is added to git's environment; without it git only looks. Raises StateError, GitFailed.
    """
    name = lock_name(environment)
    data = file_at(root, commit, name, extra) if commit else None
    if data is None:
        return locks.Lock()
    try:
        return read_lock(data, name)
    except StateError as error:
        first = error.diagnostics()[0]
        hint = f"put the file right, then commit and push it with git: `git commit {name}` and `git push`"
        message = f"`{name}` was committed in {commit[:12]} as it cannot be read: {first.message}"
        raise StateError(message, code=first.code, hint=hint) from error


def read_lock(data: bytes, name: str) -> Lock:
    """The lock that a file holds; `name` is for messages. Raises StateError."""
    try:
        return locks.read(data.decode(), name)
    except UnicodeDecodeError as error:
        raise StateError(f"`{name}` cannot be read: {error}") from error


def state_of(lock: Lock) -> State:
    """What a lock comes to where no file is looked at."""
    return fold(lock, (), lineage=lock.header.lineage if lock.header else "").state


def requests_of(state: State) -> frozenset[RequestId]:
    """The requests whose results, or whose outcome, a state knows."""
    return frozenset({*(record.request_id for record in state.records.values()), *state.entries} - {""})


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
    front = with_addresses(preset, apply_preset(preset, spec.metadata), record.addresses)
    return front.pop("title", record.title) != record.title or canonical(front) != canonical(dict(record.metadata))


def requests_at(project: Project, ref: str) -> frozenset[RequestId]:
    """The request ids of every submit that the lock knew up to `ref`; none where there was no lock.

    Raises UsageError for an unknown ref or outside a repository, StateError for a lock that cannot be read.
    """
    commit = resolve(project.root, ref)
    lock, past = lock_at(project.root, commit, project.environment), past_of(project, commit)
    known = (one.value.request_id for lines in lock.records.values() for one in lines)
    return frozenset({*known, *lock.entries, *past.records, *past.entries} - {""})


# --- earlier locks -----------------------------------------------------------------------------------------

DEPTH = 2_000
"""Commits of the lock that are looked at, the newest ones."""
_LOG = (
    *("--full-history", f"--max-count={DEPTH + 1}", "--format=commit %H", "--no-show-signature"),
    *("--patch", "--text", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
)


_COMMITS = ("--full-history", f"--max-count={DEPTH + 1}", "--format=%H", "--no-show-signature")
_IN_ONE_CALL = 500
"""Commits that one call names: a command line has room for some."""
_CONTENT = re.compile(r'"content_id":"([^"]+)"')


class Past(Struct, frozen=True, kw_only=True):
    """What every committed lock knew, by request id, as the newest one says it."""

    records: Mapping[RequestId, Record] = {}
    entries: Mapping[RequestId, OpenEntry] = {}
    commits: Mapping[RequestId, str] = {}
    """The commit that was the first to hold it."""
    gaps: tuple[str, ...] = ()
    """What keeps it from being all there was, each a sentence."""


def past_of(project: Project, commit: str = "HEAD") -> Past:
    """The history of the lock up to a commit, as far as this clone has it; why there is no more is in `gaps`."""
    return _past(*_history(project, commit))


def past_of_item(project: Project, item: str, former: Iterable[str]) -> Past:
    """The history of the lock about one item alone, under all the ids it has had; `former` are those that are known.

    Of each committed lock only the lines that name the item are read.
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
    """The lines of each committed lock that name items, as a log with patches has them. Raises GitFailed."""
    wanted = [part for name in sorted(names) for key in ("id", "item") for part in ("-e", f'"{key}":{canonical(name)}')]
    for start in range(0, len(commits), _IN_ONE_CALL):
        some = commits[start : start + _IN_ONE_CALL]
        command = ("grep", "--text", "--null", "--no-color", "--fixed-strings", *wanted, *some)
        ended = try_git(project.root, *command, "--", lock_name(project.environment), extra=LOOK, timeout=PATIENCE)
        if ended.code not in (0, 1):  # 1: no line
            raise GitFailed(reason_of(ended))
        found: dict[str, list[str]] = {commit: [] for commit in some}
        for line in ended.stdout.decode("utf-8", "replace").split("\n"):
            place, _, text = line.partition("\0")
            if (lines := found.get(place.partition(":")[0])) is not None:
                lines.append(f"+{text}")
        for commit, lines in found.items():
            yield "\n".join((f"commit {commit}", *lines))


def _history(project: Project, commit: str, options: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """What git logs of the lock up to a commit, with its patches unless `options` say otherwise.

    And why that is not all there was.
    """
    name = lock_name(project.environment)
    try:
        shallow = run_git(project.root, "rev-parse", "--is-shallow-repository").strip() == "true"
        if try_git(project.root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", extra=LOOK).code:
            return "", ()
        ended = try_git(project.root, "log", *(options or _LOG), commit, "--", name, extra=LOOK, timeout=PATIENCE)
    except UsageError:
        return "", ("the project lies in no git repository, which would hold earlier locks",)
    except GitFailed as error:
        return "", (f"earlier locks cannot be read: {error.message}",)
    if ended.code:
        return "", (f"earlier locks cannot be read: {reason_of(ended)}",)
    cut = "this clone is shallow, so earlier locks are missing; `git fetch --unshallow` brings them"
    return ended.stdout.decode("utf-8", "replace"), (cut,) if shallow else ()


class RecordedTexts(Struct, frozen=True, kw_only=True):
    """The texts that committed locks named for one content, as digests of titles and bodies."""

    titles: frozenset[Digest] = frozenset()
    bodies: frozenset[Digest] = frozenset()


def recorded_texts(project: Project, content_ids: Iterable[str]) -> dict[str, RecordedTexts]:
    """What the history of the lock has of these contents, as far as this clone has it; none outside a repository."""
    log, _ = _history(project, "HEAD")
    wanted = frozenset(content_ids)
    titles: dict[str, set[Digest]] = {}
    bodies: dict[str, set[Digest]] = {}
    for line in log.split("\n"):
        named_there = _CONTENT.search(line)
        record = _added(line) if named_there is not None and named_there[1] in wanted else None
        if isinstance(record, Record) and record.saved is not None:
            titles.setdefault(record.content_id, set()).update(record.saved.titles, {title_digest(record.title)})
            bodies.setdefault(record.content_id, set()).update(record.saved.bodies, record.bodies)
    return {
        content_id: RecordedTexts(titles=frozenset(titles[content_id]), bodies=frozenset(found))
        for content_id, found in bodies.items()
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
            found = _added(line)
            damaged += found is None
            if isinstance(found, Record) and found.request_id:
                records.setdefault(found.request_id, found)
                commits[found.request_id] = commit
            elif isinstance(found, OpenEntry):
                entries.setdefault(found.request_id, found)
                commits[found.request_id] = commit
    if len(blocks) >= DEPTH:
        gaps = (*gaps, f"only the newest {DEPTH:,} commits of the lock are looked at")
    if damaged:
        gaps = (*gaps, f"{damaged:,} line{'s' * (damaged > 1)} of earlier locks cannot be read")
    return Past(records=records, entries=entries, commits=commits, gaps=gaps)


def _added(line: str) -> Line | str | None:
    """What a line of a patch adds to a lock; empty where it adds nothing, None where that cannot be read."""
    if not line.startswith("+{"):
        return ""
    try:
        return parse_line(line[1:])
    except ValueError:
        return None
