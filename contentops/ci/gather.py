"""What is new here: the results in the commits that the remote does not have yet.

A person's own commits may lie between ours, and the remote may have had some of the results by another way, even to
take them back: neither is to go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, structs

from contentops.ci.results import RULES, body_of, ledger, lock_at, lock_name
from contentops.reporting.commit_text import is_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.ci.git import Clone
    from contentops.ci.results import Ledger

FILES = frozenset({"100644", "100755"})
"""Git's modes of what is a file, and no link and no other repository."""


class Entry(NamedTuple):
    """What stands at a path of a tree: git's mode and name of the content; both empty where nothing does."""

    mode: str = ""
    oid: str = ""


class _Step(NamedTuple):
    old: Entry
    new: Entry
    path: str


class Results(Struct, frozen=True, kw_only=True):
    """The results among what changed from the commit `base` to `head`. Paths are the repository's."""

    base: str
    """What is at the remote, as far as is known here; empty: nothing of it."""
    head: str
    changes: Mapping[str, Entry]
    known: Mapping[str, tuple[str, ...]]
    """Which contents each of the paths has had on the way, the oldest first, empty for none: a remote that has one of
    them has no other's work there."""
    ours: bool
    """Whether every commit on the way is one of ours, and nothing else was changed by them."""
    folder: str
    """Of the project in the repository: empty, or with a slash at its end."""
    environment: str
    edited: tuple[str, ...] = ()
    """Outputs whose newest text or absence here is a person's own commit, and theirs to push; paths of the project."""
    passed: tuple[tuple[str, str], ...] = ()
    """What the remote's lock has been through since `base`: the contents before and after each step, empty for none."""
    undone: tuple[tuple[str, str], ...] = ()
    """The steps of the lock here that are a person's reverts, the oldest first, and theirs to push."""
    overtaken: tuple[str, ...] = ()
    """Results that the remote has had and changed again, which stay as they are there; paths of the project."""
    pushed: str = ""
    """The last commit here whose results were pushed without it, or empty."""

    @property
    def told(self) -> str:
        """The commit up to which earlier messages have told of results; may be empty."""
        return self.pushed or self.base

    @property
    def lock(self) -> str:
        """Where the lock lies."""
        return self.folder + lock_name(self.environment)


def gather(clone: Clone, environment: str, base: str, head: str, pushed: str = "") -> Results:
    """The results in the commits after `base`; those up to `pushed` may be at the remote without their commits.

    Raises StateError for a lock that cannot be read, GitFailed.
    """
    folder = clone.folder()
    empty = "" if base else clone.run("hash-object", "-t", "tree", "--stdin")
    changed = {step.path: step for step in _steps(clone.read("diff-tree", *_RAW, base or empty, head))}
    if pushed:
        # Back to what it was at `base`, and yet not what is at the remote.
        back = (step for step in _steps(clone.read("diff-tree", *_RAW, pushed, head)) if step.path not in changed)
        changed |= {step.path: step._replace(old=step.new) for step in back}
    book = ledger(*(lock_at(clone, commit, environment) for commit in (head, base, pushed)))
    lock = folder + lock_name(environment)
    owned = {
        path: step
        for path, step in changed.items()
        if path == lock or (path.startswith(folder) and book.owns(path.removeprefix(folder)))
    }
    history = _history(clone, [f"{base}..{head}" if base else head])
    by_us = _by_us(clone, history)
    ours = changed.keys() <= owned.keys() | {folder + RULES} and len(by_us) == len(history)
    reverts = _reverts(clone, history.keys() - by_us)
    made: dict[str, Entry] = {}
    mine: dict[str, Entry] = {}
    reverted: set[str] = set()
    for commit, steps in history.items():
        made |= {step.path: step.new for step in steps if commit in by_us}
        touched_here = {step.path for step in steps}
        reverted = reverted | touched_here if commit in reverts else reverted - touched_here
    # What a commit of ours holds was decided when it was made, whatever filters and hooks did to it since then.
    others = {path: step for path, step in owned.items() if not ours and made.get(path) != step.new}
    recorded = {path for path in _recorded(clone, others, book, folder, lock) if path == lock or path not in reverted}
    for path, step in owned.items():
        if path not in others or path in recorded:
            mine[path] = step.new
        elif path in made and made[path] != step.old:
            # Below a person's edit: the lock that goes out tells of it.
            mine[path] = made[path]
    return Results(
        base=base,
        head=head,
        changes=mine,
        known=_known(history, {path: owned[path] for path in mine}),
        ours=ours,
        folder=folder,
        environment=environment,
        edited=tuple(sorted(path.removeprefix(folder) for path in others.keys() - recorded)),
        undone=tuple(
            (step.old.oid, step.new.oid)
            for commit, steps in history.items()
            for step in steps
            if commit in reverts and step.path == lock
        ),
    )


def unsettled(
    clone: Clone, results: Results, tip: str, earlier: tuple[str, str], taken_off: Iterable[str] = ()
) -> Results:
    """`results` without what the remote's commits since `base` have had already, up to `tip`.

    `earlier`: a commit here that was pushed, and what it was pushed as, or two empty names; `taken_off`: commits that
    the branch has had and dropped. Whatever `tip` has in its place is a later decision of somebody's, be it an edit or
    a revert; so is an older version where a newer one of ours has been. Raises GitFailed.
    """
    here, pushed = earlier
    known_there = [f"^{results.base}"] if results.base else []
    history = _history(clone, [*filter(None, (tip, pushed)), *taken_off, *known_there])
    steps = [step for done in history.values() for step in done if step.path in results.changes]
    late = _history(clone, [tip, f"^{pushed}", *known_there]).keys() if pushed else history.keys()
    then, there = (listing(clone, commit) if commit else {} for commit in (here, tip))
    # What was decided here after the push is later than all that was at the remote by then.
    newer = {path for path, entry in results.changes.items() if here and then.get(path, Entry()) != entry}
    had: dict[str, set[str]] = {}
    for commit, done in history.items():
        for step in done:
            if step.path in results.changes and (commit in late or step.path not in newer):
                had.setdefault(step.path, set()).add(step.new.oid)
    changes, known = dict(results.changes), dict(results.known)
    for path in (had.keys() | newer) - {results.lock}:
        oids = had.get(path, set())
        if changes[path].oid in oids:
            del changes[path]
        if path in newer:
            oids = oids | {then.get(path, Entry()).oid}
        last = max((at for at, oid in enumerate(known[path][:-1]) if oid in oids), default=0)
        known[path] = known[path][last:]
    gone = {path: entry for path, entry in results.changes.items() if path not in changes}
    overtaken = {path for path, entry in gone.items() if there.get(path, Entry()) != entry}
    return structs.replace(
        results,
        changes=changes,
        known=known,
        pushed=here,
        passed=tuple((step.old.oid, step.new.oid) for step in steps if step.path == results.lock),
        overtaken=tuple(sorted(path.removeprefix(results.folder) for path in overtaken)),
    )


_RAW = ("-r", "-z", "--no-renames", "--no-commit-id")


def _steps(raw: bytes) -> Iterator[_Step]:
    words = iter(raw.decode("utf-8", "surrogateescape").split("\0"))
    for word in words:
        if word.startswith(":"):
            yield _step(word, next(words))


def _step(about: str, path: str) -> _Step:
    old_mode, new_mode, old, new, _ = about[1:].split(" ", 4)
    return _Step(_entry(old_mode, old), _entry(new_mode, new), path)


def _entry(mode: str, oid: str) -> Entry:
    return Entry(mode, oid) if oid.strip("0") else Entry()


def _history(clone: Clone, reach: list[str]) -> dict[str, list[_Step]]:
    """What each commit changed, the oldest first; a merge by itself changes nothing."""
    commits = clone.read("rev-list", "--topo-order", "--reverse", *reach, "--")
    raw = clone.read("diff-tree", "--stdin", "--root", "-r", "-z", "--no-renames", stdin=commits)
    found: dict[str, list[_Step]] = {commit: [] for commit in commits.decode("ascii").split()}
    commit = ""
    words = iter(raw.decode("utf-8", "surrogateescape").split("\0"))
    for word in words:
        if word.startswith(":"):
            found[commit].append(_step(word, next(words)))
        elif word:
            commit = word
    return found


def _by_us(clone: Clone, commits: Iterable[str]) -> frozenset[str]:
    """Those with our kind of subject and one parent at most."""
    stdin = "".join(f"{commit}\n" for commit in commits).encode("ascii")
    if not stdin:
        return frozenset()
    said = clone.run("rev-list", "--no-walk=unsorted", "--stdin", "--format=%H%x09%P%x09%s", stdin=stdin)
    lines = (line.split("\t", 2) for line in said.split("\n")[1::2])
    return frozenset(commit for commit, parents, subject in lines if " " not in parents and is_subject(subject))


def _reverts(clone: Clone, commits: Iterable[str]) -> frozenset[str]:
    """Those that `git revert` has made."""
    stdin = "".join(f"{commit}\n" for commit in commits).encode("ascii")
    if not stdin:
        return frozenset()
    words = "--grep=^This reverts commit [0-9a-f]{7}"
    return frozenset(
        clone.run("rev-list", "--no-walk=unsorted", "--stdin", "--extended-regexp", words, stdin=stdin).split()
    )


def _recorded(clone: Clone, steps: Mapping[str, _Step], book: Ledger, folder: str, lock: str) -> Iterator[str]:
    """The paths of the steps that an apply has made: a person's own edits, removals and links are theirs to push."""
    texts = contents(clone, {one.oid for step in steps.values() for one in (step.old, step.new) if one.mode in FILES})
    # A text that was there before is not news, wherever an apply moved it and whatever it wrote above it.
    before = {body_of(texts[step.old.oid]) for step in steps.values() if step.old.oid in texts}
    for path, step in steps.items():
        name = path.removeprefix(folder)
        if path == lock:
            yield path
        elif not step.new.mode:
            if not book.lives(name):
                yield path
        elif step.new.oid in texts:
            body = body_of(texts[step.new.oid])
            if book.recorded(name, body) or (body and body in before):
                yield path


def _known(history: Mapping[str, list[_Step]], steps: Mapping[str, _Step]) -> dict[str, tuple[str, ...]]:
    found = {path: [step.old.oid] for path, step in steps.items()}
    for step in (step for there in history.values() for step in there if step.path in found):
        found[step.path] += [step.old.oid, step.new.oid]
    # A merge may have brought what no commit shows.
    return {path: (*oids, steps[path].new.oid) for path, oids in found.items()}


# --- what git has ------------------------------------------------------------------------------------------


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
            # Missing, as in a clone that left some out and cannot get them now.
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


def touched(clone: Clone, before: str, after: str, *options: str) -> tuple[str, ...]:
    """The paths in which two commits or trees differ. Raises GitFailed."""
    said = clone.read("diff-tree", *_RAW, "--name-only", *options, before, after)
    return tuple(filter(None, said.decode("utf-8", "surrogateescape").split("\0")))
