"""The project as it was at a commit: what has been touched since, and what its lock said then.

The files are read from git's store and laid out in a temporary folder outside the project; nothing is checked out.
Only what shapes specs is read: settings, manifests, data files and the catalog. Links are left out, as they could
lead anywhere; a project that needs one counts as touched as a whole.
"""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from contentops.ci.git import GitFailed, git_bytes, run_git
from contentops.digest import canonical
from contentops.errors import ContentopsError, Diagnostic, InputError, OutputError, UsageError
from contentops.manifests.discover import glob_matcher, glob_problem
from contentops.manifests.load import load
from contentops.manifests.paths import PROJECT_FILE
from contentops.manifests.project import load_project
from contentops.model import Note
from contentops.planning.inputs import specs_by_id
from contentops.state import lock as locks
from contentops.state.state_dir import named
from contentops.yaml.read import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from contentops.manifests.load import ParseCache
    from contentops.model import Catalog, Desired, ItemId, Project, RequestId, Spec
    from contentops.planning.inputs import Choice

DATA = frozenset({".csv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml"})
"""Endings of files that may hold manifests or rows."""
_BASE = "..."
_SHORT = 10


class Blob(NamedTuple):
    """A regular file in a commit: its path below the project root, git's name for its content, its size in bytes."""

    path: str
    oid: str
    size: int


def resolve(root: Path | str, ref: str) -> str:
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


# --- what was touched --------------------------------------------------------------------------------------


def narrowed(
    project: Project,
    desired: Desired,
    choice: Choice,
    *,
    catalog_of: Callable[[Project], Catalog | None],
    cache: ParseCache,
) -> Choice:
    """`choice` cut down to the items that differ from what they were at `choice.changed_from`.

    Rendered specs are compared, so that variables, defaults and data files count as much as manifests. Where the
    project cannot be read as it was then, every item counts, and a note says so. Raises UsageError for an unknown
    ref or outside a repository, GitFailed where git fails, OutputError where there is no room for the old files.
    """
    commit = resolve(project.root, choice.changed_from)
    shown = f"`{choice.changed_from}` ({commit[:_SHORT]})"
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        lay_out(project, commit, Path(folder))
        try:
            before = _project_in(project, Path(folder))
            known = load(before, catalog_of(before), cache)
        except ContentopsError as error:
            said = error.diagnostics()[0].message
            message = f"every item counts as changed: the project cannot be read as it was at {shown}: {said}"
            return _with(choice, None, message)
    if _surroundings(before) != _surroundings(project):
        message = f"every item counts as changed: server, `api.save`, preset or provenance are not those of {shown}"
        return _with(choice, None, message)
    found = touched(known, desired)
    verb = "item differs" if len(found) == 1 else "items differ"
    return _with(choice, found, f"{len(found):,} {verb} from {shown}; the others are left out")


def _with(choice: Choice, found: frozenset[ItemId] | None, message: str) -> Choice:
    only = choice.only if found is None else found if choice.only is None else found & choice.only
    return structs.replace(choice, only=only, notes=(*choice.notes, Note(kind="changed-from", message=message)))


def touched(before: Desired, after: Desired) -> frozenset[ItemId]:
    """The ids whose spec, output or handling is another one, with those that came and those that went."""
    old, new = specs_by_id(before), specs_by_id(after)
    return frozenset(
        id_
        for id_ in old.keys() | new.keys()
        if id_ not in old or id_ not in new or _essence(old[id_]) != _essence(new[id_])
    )


def _essence(spec: Spec) -> tuple[object, ...]:
    return (
        spec.digest,
        spec.output,
        canonical(dict(spec.metadata)),
        spec.on_edit,
        spec.protected,
        spec.save,
    )


def _surroundings(project: Project) -> tuple[object, ...]:
    """What bears on every item without standing in its spec."""
    return (project.api.server, project.api.save, project.preset, project.provenance)


# --- the old files -----------------------------------------------------------------------------------------


def lay_out(project: Project, commit: str, folder: Path) -> None:
    """Write the files that shaped the specs of `project` at `commit` into `folder`. A project not there yet: nothing.

    Raises GitFailed where git lacks a file, OutputError where it cannot be written.
    """
    blobs = list(_blobs(project.root, commit))
    _write(project.root, [blob for blob in blobs if blob.path == PROJECT_FILE], folder)
    try:
        globs = _project_in(project, folder).manifests
    except ContentopsError:
        return
    patterns = [glob_matcher(glob.removeprefix("./")) for glob in globs if not glob_problem(glob)]
    wanted = [
        blob
        for blob in blobs
        if blob.path != PROJECT_FILE
        and blob.size <= MAX_BYTES
        and (PurePosixPath(blob.path).suffix.lower() in DATA or any(pattern(blob.path) for pattern in patterns))
    ]
    _write(project.root, wanted, folder)


def _project_in(project: Project, folder: Path) -> Project:
    """The settings in `folder`, for the environment and with the variables of today."""
    if not (folder / PROJECT_FILE).is_file():
        raise InputError([Diagnostic(code="no-project", message=f"it has no `{PROJECT_FILE}`")])
    return load_project(folder, environment=project.environment, variables=project.cli_vars)


def _blobs(root: str, commit: str) -> Iterator[Blob]:
    """The regular files below the project's folder whose names can do no harm."""
    for line in run_git(root, "ls-tree", "-r", "-l", "-z", commit).split("\0"):
        about, tab, path = line.partition("\t")
        parts = about.split()
        if tab and len(parts) == 4 and parts[0].startswith("100") and _is_plain(path):
            # Of a file it lacks, git tells no size; asking for it then says so.
            yield Blob(path, parts[2], int(parts[3]) if parts[3].isdecimal() else 0)


def _is_plain(path: str) -> bool:
    """Whether a path stays below a folder on every system; git's own checks do not cover trees made by hand."""
    inside = all(part.strip(". ") and not part.endswith((".", " ")) for part in path.split("/"))
    return inside and path.isprintable() and not {"\\", ":"} & set(path)


def _write(root: str, blobs: Sequence[Blob], folder: Path) -> None:
    if not blobs:
        return
    asked = "".join(f"{blob.oid}\n" for blob in blobs).encode("ascii")
    contents = _contents(git_bytes(root, "cat-file", "--batch", stdin=asked))
    try:
        for blob, content in zip(blobs, contents, strict=True):
            target = folder / blob.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        message = f"the project as it was cannot be laid out in `{folder}`: {error.strerror or error}"
        raise OutputError(message, hint="make room there, or set `TMPDIR` to another folder") from error


def _contents(answer: bytes) -> Iterator[bytes]:
    """The files in an answer of `git cat-file --batch`, in the order they were asked for."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        head = answer[at:end].split()
        if len(head) != 3:
            words = answer[at:end].decode("utf-8", "replace")
            raise GitFailed(f"git lacks a file of that commit: {words}", hint="fetch the whole commit first")
        size = int(head[2])
        yield answer[end + 1 : end + 1 + size]
        at = end + 2 + size


# --- the old lock ------------------------------------------------------------------------------------------


def requests_at(project: Project, ref: str) -> frozenset[RequestId]:
    """The request ids of every submit that the lock at `ref` knew; none where there was no lock.

    Raises UsageError for an unknown ref or outside a repository, StateError for a lock that cannot be read.
    """
    commit = resolve(project.root, ref)
    name = named("contentops", project.environment, "lock")
    blobs = [blob for blob in _blobs(project.root, commit) if blob.path == name]
    if not blobs:
        return frozenset()
    (content,) = _contents(git_bytes(project.root, "cat-file", "--batch", stdin=f"{blobs[0].oid}\n".encode("ascii")))
    lock = locks.read(content.decode("utf-8", "replace"), f"{name} at {ref}")
    written: Iterable[RequestId] = (one.value.request_id for lines in lock.records.values() for one in lines)
    return frozenset({*written, *lock.entries} - {""})
