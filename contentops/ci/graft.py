"""Our results on top of another commit, made from git's objects alone.

Nothing is checked out, no index is touched, no hook runs, and none of the commits in between come along: the tree of
the other commit gets the files that are results, and the lock is merged by what its lines are about.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contentops.ci.gather import FILES, Entry, contents, listing, touched
from contentops.ci.git import GitFailed
from contentops.ci.results import RULES, lock_at, lock_name, read_lock
from contentops.errors import StateError
from contentops.state.attributes import PATTERN, with_line
from contentops.state.lock import Lock
from contentops.state.merge import merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.ci.gather import Results
    from contentops.ci.git import Clone

_GONE = "0"


class Grafted(NamedTuple):
    """A tree with our results in it, and the paths where it keeps what others made of them."""

    tree: str
    conflicts: tuple[str, ...]


def graft(clone: Clone, results: Results, tip: str, *, force: bool = False) -> Grafted:
    """The tree of the commit `tip` with our results in it.

    A file that others changed is a conflict and stays theirs; with `force` it becomes ours. Raises GitFailed.
    """
    there = listing(clone, tip)
    conflicts: list[str] = []
    updates: dict[str, Entry] = {}
    for path, mine in results.changes.items():
        theirs = there.get(path, Entry())
        if theirs == mine:
            continue
        # Where others have been at the lock, even one of our own versions may be there on purpose.
        alone = path != results.lock or not (results.passed or results.undone)
        if (alone and theirs.oid in results.known[path]) or (force and path != results.lock):
            updates[path] = mine
        elif path != results.lock or (merged := _merged(clone, results, theirs)) is None:
            conflicts.append(path)
        elif merged.oid != theirs.oid:
            updates[path] = merged
    if not force:
        conflicts += _in_the_way(there, updates)
    updates |= _rule(clone, results, there) if updates else {}
    return Grafted(_tree(clone, tip, updates), tuple(conflicts))


def _in_the_way(there: Mapping[str, Entry], updates: Mapping[str, Entry]) -> list[str]:
    """The paths of ours where a file of theirs stands in the place of a folder, or the other way round."""
    stay = there.keys() - {path for path, entry in updates.items() if not entry.mode}
    folders = {folder for path in stay for folder in _folders(path)}
    return [
        path
        for path, entry in updates.items()
        if entry.mode and (path in folders or any(folder in stay for folder in _folders(path)))
    ]


def _folders(path: str) -> Iterator[str]:
    return (path[:at] for at, character in enumerate(path) if character == "/")


def _tree(clone: Clone, tip: str, updates: Mapping[str, Entry]) -> str:
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        clone.run(*_WHOLE, "read-tree", tip, extra=index)
        # What goes first makes room: a file may become a folder.
        ordered = sorted(updates.items(), key=lambda update: bool(update[1].mode))
        lines = [f"{entry.mode or _GONE} {entry.oid or '0' * len(tip)}\t{path}\0" for path, entry in ordered]
        stdin = "".join(lines).encode("utf-8", "surrogateescape")
        clone.run(*_WHOLE, "update-index", "-z", "--index-info", stdin=stdin, extra=index)
        tree = clone.run(*_WHOLE, "write-tree", extra=index)
    room = {folder for path in updates for folder in _folders(path)}
    strange = [path for path in touched(clone, tip, tree) if path not in updates and path not in room]
    if any(not updates.keys() & set(_folders(path)) for path in strange):
        raise GitFailed(f"git made a tree that differs from `{tip[:12]}` in `{strange[0]}`, which is no result")
    return tree


_WHOLE = ("-c", "core.splitIndex=false")
"""An index that is whole by itself, as it is gone in a moment."""


def _merged(clone: Clone, results: Results, theirs: Entry) -> Entry | None:
    """A lock that holds both sides' facts, or None where that cannot be."""
    if theirs.mode and theirs.mode not in FILES:
        return None
    name = lock_name(results.environment)
    versions = contents(
        clone,
        filter(None, {*results.known[results.lock], *sum(results.passed, ()), *sum(results.undone, ()), theirs.oid}),
    )
    try:
        known = [read_lock(versions[oid], name) for oid in set(results.known[results.lock]) - {""}]
        base = lock_at(clone, results.told, results.environment)
        ours = lock_at(clone, results.head, results.environment)
        passed, undone = (
            [(_version(versions, old, name), _version(versions, new, name)) for old, new in steps]
            for steps in (results.passed, results.undone)
        )
        other = read_lock(versions[theirs.oid], name) if theirs.oid else Lock()
        data = merge(known, base, ours, other, passed, undone)
        if not data:
            return Entry()
        read_lock(data, name)
    except (StateError, KeyError):
        return None
    return Entry("100644", _blob(clone, data))


def _version(versions: Mapping[str, bytes], oid: str, name: str) -> Lock:
    """A lock as it was; an empty one where it was none, as nothing is known of it then."""
    try:
        return read_lock(versions[oid], name) if oid else Lock()
    except StateError:
        return Lock()


def _rule(clone: Clone, results: Results, there: Mapping[str, Entry]) -> dict[str, Entry]:
    """The line that lets git merge locks, for a branch that does not have it yet."""
    path = results.folder + RULES
    own = clone.attempt("cat-file", "blob", f"{results.head}:{path}").stdout
    entry = there.get(path, Entry("100644"))
    if PATTERN.encode() not in own or entry.mode not in FILES:
        return {}
    data = contents(clone, filter(None, [entry.oid])).get(entry.oid, b"")
    wanted = with_line(data)
    return {} if wanted == data else {path: Entry(entry.mode, _blob(clone, wanted))}


def _blob(clone: Clone, data: bytes) -> str:
    return clone.run("hash-object", "-w", "--stdin", stdin=data)


def make_commit(clone: Clone, tree: str, parent: str, message: str) -> str:
    """A commit with this tree, signed where the clone's own are, on no branch yet. Raises GitFailed."""
    signs = clone.attempt("config", "--type=bool", "--get", "commit.gpgsign").stdout.strip() == b"true"
    options = [*(["-S"] if signs else []), *(["-p", parent] if parent else [])]
    return clone.run("commit-tree", tree, *options, "-F", "-", stdin=message.encode("utf-8", "replace"))
