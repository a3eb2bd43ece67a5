"""Our results on top of another commit, made from git's objects alone.

Nothing is checked out, no index is touched, no hook runs, and none of the commits in between come along: the tree of
the other commit gets the files that are results, and the lock is merged by what its lines are about.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contentops.errors import StateError
from contentops.report.commit_text import is_subject
from contentops.results import RULES, body_of, ledger, lock_at, lock_name, read_lock
from contentops.state.attributes import PATTERN, with_line
from contentops.state.lock import Lock
from contentops.state.merge import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.git import Clone
    from contentops.results import Ledger

_FILES = frozenset({"100644", "100755"})
_GONE = "0"


class Entry(NamedTuple):
    """What stands at a path of a tree: git's mode and name of the content; both empty where nothing does."""

    mode: str = ""
    oid: str = ""


class _Step(NamedTuple):
    old: Entry
    new: Entry
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results among what changed from the commit `base` to `head`. Paths are the repository's."""

    base: str
    """What is at the remote, as far as is known here; empty: nothing of it."""
    head: str
    changes: Mapping[str, Entry]
    known: Mapping[str, frozenset[str]]
    """Which contents each of the paths has had on the way, empty for none: a remote that has one of them has no other's
    work there."""
    files: tuple[str, ...]
    """What there is to tell of: the paths of the project, sorted."""
    ours: bool
    """Whether every commit on the way is one of ours, and nothing else was changed by them."""
    folder: str
    """Of the project in the repository: empty, or with a slash at its end."""
    environment: str

    @property
    def lock(self) -> str:
        """Where the lock lies."""
        return self.folder + lock_name(self.environment)


class Grafted(NamedTuple):
    """A tree with our results in it, and the paths where it keeps what others made of them."""

    tree: str
    conflicts: tuple[str, ...]


# --- what is new here --------------------------------------------------------------------------------------


def gather(clone: Clone, environment: str, base: str, head: str) -> Results:
    """The results in the commits after `base`. Raises StateError for a lock that can not be read, GitFailed."""
    folder = clone.folder()
    empty = "" if base else clone.run("hash-object", "-t", "tree", "--stdin")
    changed = {step.path: step for step in _steps(clone.read("diff-tree", *_RAW, base or empty, head))}
    book = ledger(lock_at(clone, head, environment), lock_at(clone, base, environment))
    lock = folder + lock_name(environment)
    mine = {
        path: step
        for path, step in changed.items()
        if path == lock or (path.startswith(folder) and book.owns(path.removeprefix(folder)))
    }
    reach = f"{base}..{head}" if base else head
    ours = changed.keys() <= mine.keys() | {folder + RULES} and _all_ours(clone, reach)
    if not ours:
        mine = dict(_recorded(clone, mine, book, folder, lock))
    return Results(
        base=base,
        head=head,
        changes={path: step.new for path, step in mine.items()},
        known=_known(clone, reach, mine),
        files=tuple(sorted(path.removeprefix(folder) for path in (changed if ours else mine))),
        ours=ours,
        folder=folder,
        environment=environment,
    )


_RAW = ("-r", "-z", "--no-renames", "--no-commit-id")


def _steps(raw: bytes) -> Iterator[_Step]:
    words = iter(raw.decode("utf-8", "surrogateescape").split("\0"))
    for word in words:
        if word.startswith(":"):
            old_mode, new_mode, old, new, _ = word[1:].split(" ", 4)
            yield _Step(_entry(old_mode, old), _entry(new_mode, new), next(words))


def _entry(mode: str, oid: str) -> Entry:
    return Entry(mode, oid) if oid.strip("0") else Entry()


def _all_ours(clone: Clone, reach: str) -> bool:
    """Whether every commit has our kind of subject and one parent at most."""
    lines = clone.run("rev-list", "--format=%P%x09%s", reach, "--").split("\n")[1::2]
    return all(" " not in parents and is_subject(subject) for parents, _, subject in (x.partition("\t") for x in lines))


def _recorded(
    clone: Clone, steps: Mapping[str, _Step], book: Ledger, folder: str, lock: str
) -> Iterator[tuple[str, _Step]]:
    """The steps that an apply has made: a person's own edits, removals and links are theirs to push."""
    texts = contents(clone, {one.oid for step in steps.values() for one in (step.old, step.new) if one.mode in _FILES})
    # A text that was there before is not news, wherever an apply moved it and whatever it wrote above it.
    before = {body_of(texts[step.old.oid]) for step in steps.values() if step.old.oid in texts}
    for path, step in steps.items():
        name = path.removeprefix(folder)
        if path == lock:
            yield path, step
        elif not step.new.mode:
            if not book.lives(name):
                yield path, step
        elif step.new.oid in texts:
            body = body_of(texts[step.new.oid])
            if book.recorded(name, body) or (body and body in before):
                yield path, step


def _known(clone: Clone, reach: str, steps: Mapping[str, _Step]) -> dict[str, frozenset[str]]:
    found = {path: {step.old.oid, step.new.oid} for path, step in steps.items()}
    commits = clone.read("rev-list", reach, "--")
    for step in _steps(clone.read("diff-tree", "--stdin", "--root", *_RAW, stdin=commits)):
        if step.path in found:
            found[step.path] |= {step.old.oid, step.new.oid}
    return {path: frozenset(oids) for path, oids in found.items()}


def contents(clone: Clone, oids: Iterable[str]) -> dict[str, bytes]:
    """The bytes of blobs by their names. Raises GitFailed."""
    asked = sorted(set(oids))
    if not asked:
        return {}
    said = clone.read("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in asked).encode("ascii"))
    found: dict[str, bytes] = {}
    at = 0
    for oid in asked:
        end = said.index(b"\n", at)
        size = said[at:end].split(b" ")[-1]
        start = end + 1
        if not size.isdigit():
            # Missing, as in a clone that left some out and can not get them now.
            at = start
            continue
        found[oid] = said[start : start + int(size)]
        at = start + int(size) + 1
    return found


def listing(clone: Clone, commit: str) -> dict[str, Entry]:
    """Every file of a commit, by its path in the repository. Raises GitFailed."""
    said = clone.read("ls-tree", "-r", "-z", "--full-tree", commit).decode("utf-8", "surrogateescape")
    found: dict[str, Entry] = {}
    for line in filter(None, said.split("\0")):
        about, _, path = line.partition("\t")
        mode, _, oid = about.split(" ")
        found[path] = Entry(mode, oid)
    return found


# --- on top of another commit ------------------------------------------------------------------------------


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
        if theirs.oid in results.known[path] or (force and path != results.lock):
            updates[path] = mine
        elif path != results.lock or not (merged := _merged(clone, results, theirs)):
            conflicts.append(path)
        else:
            updates[path] = Entry("100644", merged)
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
        clone.run("read-tree", tip, extra=index)
        # What goes first makes room: a file may become a folder.
        ordered = sorted(updates.items(), key=lambda update: bool(update[1].mode))
        lines = [f"{entry.mode or _GONE} {entry.oid or '0' * len(tip)}\t{path}\0" for path, entry in ordered]
        stdin = "".join(lines).encode("utf-8", "surrogateescape")
        clone.run("update-index", "-z", "--index-info", stdin=stdin, extra=index)
        return clone.run("write-tree", extra=index)


def _merged(clone: Clone, results: Results, theirs: Entry) -> str:
    """The name of a lock that holds both sides' facts; empty where that can not be."""
    if theirs.mode and theirs.mode not in _FILES:
        return ""
    name = lock_name(results.environment)
    versions = contents(clone, filter(None, results.known[results.lock] | {theirs.oid}))
    try:
        known = [read_lock(data, name) for oid, data in versions.items() if oid != theirs.oid]
        base = lock_at(clone, results.base, results.environment) if results.base else Lock()
        ours = lock_at(clone, results.head, results.environment)
        data = merge(known, base, ours, read_lock(versions[theirs.oid], name) if theirs.oid else Lock())
        read_lock(data, name)
    except (StateError, KeyError):
        return ""
    return _blob(clone, data)


def _rule(clone: Clone, results: Results, there: Mapping[str, Entry]) -> dict[str, Entry]:
    """The line that lets git merge locks, for a branch that does not have it yet."""
    path = results.folder + RULES
    own = clone.attempt("cat-file", "blob", f"{results.head}:{path}").stdout
    entry = there.get(path, Entry("100644"))
    if PATTERN.encode() not in own or entry.mode not in _FILES:
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
