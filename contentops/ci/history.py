"""Reads earlier versions of files from git, and compares settings with the base of a pull request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from contentops.ci.git import (
    LOOK,
    PATIENCE,
    GitFailed,
    each_blob,
    file_at,
    in_repository,
    is_shallow,
    reason_of,
    require_repository,
    run_git,
    try_git,
)
from contentops.ci.results import digest_of_body, nfc, words_in
from contentops.digest import NOTHING, Digest
from contentops.documents.front_matter import split
from contentops.errors import ContentopsError, UsageError, plural
from contentops.manifests.project import checked_settings
from contentops.model import PROJECT_FILE, Json, Note, Project
from contentops.reporting.summary import SETTINGS
from contentops.sanitize import short_pair

# ---- Reads earlier versions of a file from git: texts that no cache has.

VERSIONS = 50
"""The most commits of a file that are read, the newest ones."""
_LINE_LOG = (
    *("--literal-pathspecs", "log", "--no-show-signature", "--format=commit %at", "--first-parent", "-m"),
    *("--follow", "--raw", "--no-abbrev", "-z"),
)
"""The git options for the commits of a file on the line of HEAD. A merged change counts from its merge."""
_FILE_LOG = ("--full-history", f"--max-count={VERSIONS}", "--raw", "--no-abbrev", "-z")


class Version(NamedTuple):
    """A version of a file, with the first commit that has this version, the commit's time and its author.

    A version from before the commits that are read has `C^` as its commit, and no time and author.
    """

    data: bytes
    commit: str
    at: str = ""
    """ISO time."""
    author: str = ""


def versions(root: str, path: str) -> Iterator[Version]:
    """Yield the versions of a file in git, the newest first.

    Versions under earlier names of the file count too. There are none if git fails.

    Git follows one name at a time. Past a rename on one branch, it misses the versions that another branch had at this
    path.
    """
    known: set[str] = set()
    with contextlib.suppress(GitFailed):
        for names in (("--follow",), ()) if in_repository(root) else ():
            contents = {oid: at for oid, at in _logged(root, path, *names).items() if oid not in known}
            known.update(contents)
            for oid, data in each_blob(root, contents):
                yield Version(data, *contents[oid])


def _logged(root: str, path: str, *names: str) -> dict[str, tuple[str, ...]]:
    """Return the versions of a path in git, the newest first. Each has its first commit, the time and the author."""
    command = ("--literal-pathspecs", "log", "--no-show-signature", "--format=commit %H %aI %an", *names, *_FILE_LOG)
    contents: dict[str, tuple[str, ...]] = {}
    ended = try_git(root, *command, "HEAD", "--", path, extra=LOOK, timeout=PATIENCE)
    for about, _, before, after in _changes(ended.stdout):
        made = about.split(" ", 2)
        if after.strip("0"):
            contents[after] = tuple(made)
        if before.strip("0"):
            contents.setdefault(before, (f"{made[0]}^",))
    return contents


def earlier_bodies(root: str, path: str) -> Iterator[tuple[Digest, str]]:
    """Yield the bodies that a file had in git, the newest first. Versions that cannot be read are left out."""
    for version in versions(root, path):
        if digest := digest_of_body(version.data):
            yield digest, split(version.data.decode()).body


def changed_on(root: str, path: str, body: Digest) -> str:
    """Return the day (UTC) on which a commit of the current branch gave a file this body.

    It is empty if git does not know the day: the words are not committed, or this clone is shallow.
    """
    day = ""
    with contextlib.suppress(GitFailed):
        if not in_repository(root) or is_shallow(root):
            return ""
        ended = try_git(root, *_LINE_LOG, "HEAD", "--", path, extra=LOOK, timeout=PATIENCE)
        versions = [(oid if oid.strip("0") else "", about) for about, _, _, oid in _changes(ended.stdout)]
        blobs, bodies = each_blob(root, dict.fromkeys(oid for oid, _ in versions if oid)), {"": NOTHING}
        for oid, at in versions:
            # Blobs are read as they are needed: mostly the first one or two.
            while oid not in bodies and (blob := next(blobs, None)) is not None:
                bodies[blob[0]] = digest_of_body(blob[1])
            if bodies.get(oid) != body:
                break
            day = datetime.fromtimestamp(int(at), UTC).date().isoformat()
    return day


def had_text(root: str, path: str, body: Digest, title: str) -> bool:
    """Return whether any version of a file in git has this body and title. An empty title fits every version."""
    past = (split(one.data.decode()) for one in versions(root, path) if digest_of_body(one.data) == body)
    return any(title in ("", document.title) for document in past)


def no_history(root: str) -> str:
    """Return a reason, with a hint, why this clone may lack earlier texts.

    The reason is empty if the clone's history is complete.
    """
    try:
        require_repository(root)
    except (UsageError, GitFailed):
        return "the project is not in a git repository, so there are no earlier texts"
    cut = "this clone is shallow, so git lacks earlier texts; `git fetch --unshallow` fetches them"
    return f"{cut}, in CI `fetch-depth: 0` of actions/checkout" if is_shallow(root) else ""


# --- many files at once ------------------------------------------------------------------------------------


_FOLDERS = 100
"""The most folders that one command line names. If there are more, everything below the root is read."""
_ALL_LOG = (
    *("--literal-pathspecs", "log", "--no-show-signature", "-c", "--raw", "--no-abbrev", "--no-renames", "-z"),
    "--format=commit %H %P",
)


def last_commits(root: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the last commit that changed each path. It calls git once for all paths.

    The commit is empty if the file differs from that commit, or this clone lacks it. A path that git does not know is
    left out. Raises UsageError outside of a repository, and GitFailed.
    """
    wanted = {path: nfc(path) for path in paths}
    prefix, below = _prefix(root), _below(wanted)
    ended = try_git(root, *_ALL_LOG, "HEAD", *below, extra=LOOK, timeout=PATIENCE)
    if ended.code:
        if not try_git(root, "rev-parse", "--verify", "--quiet", "HEAD", extra=LOOK).code:
            raise GitFailed(f"the history of the files cannot be read: {reason_of(ended)}")
        return {}
    differing = ("--literal-pathspecs", "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", "HEAD", *below)
    changed = {_own(name, prefix) for name in run_git(root, *differing).split("\0")}
    is_cut = is_shallow(root)
    commits: dict[str, str] = {}
    for about, name, _, oid in _changes(ended.stdout):
        path, (commit, _, parents) = _own(name, prefix), about.partition(" ")
        # The oldest commits of a shallow clone seem to have made all their files.
        is_known = path not in changed and oid.strip("0") and (parents or not is_cut)
        commits.setdefault(path, commit if is_known else "")
    return {path: commits[own] for path, own in wanted.items() if own in commits}


def newest_bodies(root: str, paths: Iterable[str]) -> dict[str, Digest]:
    """For each path, return the digest of the newest body that the file has in git. It calls git once for all paths.

    A path is left out if git does not know it or its file cannot be read. If git fails, there are none.
    """
    wanted = {nfc(path): path for path in paths}
    blobs: dict[str, str] = {}
    with contextlib.suppress(GitFailed):
        if not in_repository(root):
            return {}
        prefix = _prefix(root)
        ended = try_git(root, *_ALL_LOG, "HEAD", *_below(wanted), extra=LOOK, timeout=PATIENCE)
        for _, name, _, oid in _changes(ended.stdout):
            if (own := _own(name, prefix)) in wanted and oid.strip("0"):
                blobs.setdefault(wanted[own], oid)
        bodies = {oid: digest_of_body(data) for oid, data in each_blob(root, dict.fromkeys(blobs.values()))}
        return {path: body for path, oid in blobs.items() if (body := bodies.get(oid))}
    return {}


def _prefix(root: str) -> str:
    return run_git(root, "rev-parse", "--show-prefix").strip("\n")


def _below(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders that contain the given paths, as arguments for a git command."""
    folders = sorted({str(PurePosixPath(path).parent) for path in paths})
    return ("--", *(folders if len(folders) <= _FOLDERS else ["."]))


def _changes(log: bytes) -> Iterator[tuple[str, str, str, str]]:
    """Yield the changes in a git log, the newest first: commit, path, old blob and new blob.

    A blob of zeros means that there is none. A commit has the form that the log was asked for.
    """
    commit = ""
    fields = iter(log.decode("utf-8", "surrogateescape").split("\0"))
    for field in fields:
        if field.startswith("commit "):
            commit = field.removeprefix("commit ")
        elif (about := field.lstrip("\n")).startswith(":"):
            before, after = about.split(" ")[-3:-1]
            yield commit, next(fields, ""), before, after


def _own(name: str, prefix: str) -> str:
    return nfc(name.removeprefix(prefix))


# ---- Compares the settings that decide what is paid, and to whom, with the base of a pull request.

_AREAS = ("api", "ledger", "budget", "price", "guards", "default_environment", "environments")
_SHOWN = 10
"""The most settings of one area that are listed."""
_WIDTH = 100


def base_commit(root: str, environ: Mapping[str, str]) -> str:
    """Return the commit that a pull request is compared with. It is empty if this is not a job for a pull request.

    On GitHub it is the first parent of the merge that a runner checks out, on GitLab the commit that the job names.
    Raises GitFailed if the clone does not have it, and UsageError outside of a clone.
    """
    if environ.get("GITHUB_BASE_REF"):
        run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^2")
        return "HEAD^1"
    if stated := environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""):
        run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{stated}^{{commit}}")
    return stated


def settings_notes(project: Project, environ: Mapping[str, str]) -> tuple[Note, ...]:
    """Return notes about settings that differ from the base of the pull request.

    If the base cannot be read, return one note that says why.
    """
    try:
        base = base_commit(project.root, environ)
        data = file_at(project.root, base, PROJECT_FILE) if base else None
        before = checked_settings(data).root if data is not None else {}
    except ContentopsError as error:
        why = error.diagnostics()[0].message
        hint = "check out the base too (`fetch-depth: 2`), and compare the file by hand"
        return (Note(kind=SETTINGS, message=f"`{PROJECT_FILE}` was not compared with the base: {why}", hint=hint),)
    if not base:
        return ()
    if data is None:
        return (Note(kind=SETTINGS, message=f"`{PROJECT_FILE}` is not in the base: every setting is new"),)
    messages = (message for area in _AREAS for message in _changed_settings(area, before, project.settings))
    return tuple(Note(kind=SETTINGS, message=message) for message in messages)


def changed_texts(root: str, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the paths of the files whose text a pull request changes. There are none if its base is unknown.

    `approve --merged` counts the same files. A change of only the front matter or the path does not count.
    """
    options = ("--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z")
    try:
        base = base_commit(root, environ)
        paths = [path for path in run_git(root, "diff", *options, base, "HEAD").split("\0") if path] if base else []
        old, new = (
            {name.partition(":./")[2]: words for name, words in words_in(root, names).items()}
            for names in ([f"{commit}:./{path}" for path in paths if "\n" not in path] for commit in (base, "HEAD"))
        )
    except ContentopsError:
        # `settings_notes` says why.
        return frozenset()
    before = set(old.values())
    return frozenset(path for path, words in new.items() if words not in before and old.get(path) != NOTHING)


def _changed_settings(area: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    old, new = dict(_leaves(area, before.get(area))), dict(_leaves(area, after.get(area)))
    changed = [path for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
    # What decides where the key or a password goes comes first.
    changed.sort(key=lambda path: not (".api." in path or path.endswith(".ledger")))
    for path in changed[:_SHOWN]:
        was, now = short_pair(old.get(path), new.get(path), _WIDTH)
        yield f"`{path}` changes from {_quoted(was, old, path)} to {_quoted(now, new, path)}"
    if len(changed) > _SHOWN:
        yield f"`{area}` changes {plural(len(changed) - _SHOWN, 'more setting')}"


def _quoted(value: str, side: Mapping[str, Json], path: str) -> str:
    return f"`{value.replace('`', chr(39))}`" if path in side else "nothing"


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Yield the settings below a key, each with a dotted name. An empty map counts as a setting."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(f"{path}.{key}", each)
    elif value is not None:
        yield path, value
