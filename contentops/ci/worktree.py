"""The clone as a person has it: what of its changed files is a result, and how far it follows what was pushed."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contentops.ci.gather import contents, listing
from contentops.ci.results import RULES, body_of, lock_name, nfc, settled
from contentops.documents.files import Outputs
from contentops.documents.merge_markers import known_bodies
from contentops.errors import LockHeld, Refused, StateError
from contentops.state.attributes import with_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from filelock import BaseFileLock

    from contentops.ci.gather import Results
    from contentops.ci.git import Clone
    from contentops.ci.results import Ledger
    from contentops.state.lock import Lock

_REPOSITORY = "160000"
"""Git's mode of a submodule."""
_UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})


@contextlib.contextmanager
def alone(clone: Clone) -> Iterator[None]:
    """The clone for ourselves: all projects and environments in it have one index, one HEAD, one FETCH_HEAD.

    Waits as long as a call of the remote may take. Raises LockHeld.
    """
    import filelock

    path = Path(clone.root) / clone.run("rev-parse", "--git-path", "contentops-commit")
    # A lock that is only a file would outlive its owner.
    hard: dict[str, Any] = {"fallback_to_soft": False} if hasattr(filelock.FileLock, "fallback_to_soft") else {}
    held: BaseFileLock = filelock.FileLock(path, timeout=clone.patience, thread_local=False, **hard)
    try:
        held.acquire()
    except filelock.Timeout as error:
        hint = "wait for it to end, or end that process, then run it again"
        raise LockHeld("another `contentops commit` goes on in this clone", hint=hint) from error
    except (OSError, NotImplementedError) as error:
        raise StateError(f"cannot lock `{path}`: {error}", hint="the clone must be writable") from error
    try:
        yield
    finally:
        held.release()


class Status(NamedTuple):
    """What `git status` says about the project's folder. Paths are the project's."""

    results: Mapping[str, str]
    """The two letters of git by path, of what is to be committed."""
    edited: tuple[str, ...]
    """Changed outputs that hold a person's words, or that a person removed."""
    others: int


def status_of(clone: Clone, environment: str, book: Ledger, lock: Lock, *, edits: bool) -> Status:
    """What is changed in the project's folder; with `edits`, what a person did to outputs is to be committed as well.

    Raises Refused where git has not merged one of the files.
    """
    own = lock_name(environment)
    found: dict[str, str] = {}
    others = 0
    as_committed = _as_committed(clone)
    for path, letters in _lines(clone).items():
        if path != own and not book.owns(path) and not (path == RULES and _is_rule(clone)):
            others += 1
        elif letters in _UNMERGED:
            hint = "finish the merge, or leave it with `git merge --abort`, then run it again"
            raise Refused(f"git has not merged `{path}` yet", code="unmerged", hint=hint)
        elif not as_committed(letters, path):
            found[path] = letters
    outputs = sorted(path for path in found if path not in {own, RULES})
    edited = _edited(clone, book, lock, outputs, edits=edits)
    results = {path: letters for path, letters in found.items() if path not in edited}
    # The rule for locks alone is worth no commit: it comes with the first results.
    return Status({} if set(results) == {RULES} else results, edited, others)


def _lines(clone: Clone) -> dict[str, str]:
    folder = clone.folder()
    arguments = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", ".")
    said = clone.read("--no-optional-locks", "status", *arguments)
    lines = filter(None, said.decode("utf-8", "surrogateescape").split("\0"))
    # What is out of the index and still here has two lines: the second counts.
    return {line[3:].removeprefix(folder): line[:2] for line in lines}


def _as_committed(clone: Clone) -> Callable[[str, str], bool]:
    """Whether a file is as it was committed, so that only the index is another, which is a person's."""
    head = clone.head()
    if not head:
        return lambda _letters, _path: False
    said = clone.read("diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z", "HEAD", "--", ".")
    differ = frozenset(said.decode("utf-8", "surrogateescape").split("\0"))

    def untouched(letters: str, path: str) -> bool:
        if letters == "??":
            # New to the index, but perhaps not to the last commit.
            before = clone.attempt("rev-parse", "--verify", "--quiet", f"HEAD:./{path}").stdout.strip()
            return bool(before) and clone.attempt("hash-object", "--", path).stdout.strip() == before
        # Staged and then removed, a path is in neither, and has to leave the index.
        return letters != "AD" and path not in differ

    return untouched


def _is_rule(clone: Clone) -> bool:
    """Whether the line for locks is all that is new in `.gitattributes`."""
    path = Path(clone.root) / RULES
    if path.is_symlink() or not path.is_file():
        return False
    before = clone.attempt("cat-file", "blob", f"HEAD:./{RULES}").stdout
    return path.read_bytes().splitlines() == with_line(before).splitlines()


def _edited(clone: Clone, book: Ledger, lock: Lock, paths: Sequence[str], *, edits: bool) -> tuple[str, ...]:
    """The outputs that are left alone; with `edits` those alone that are no text, such as links."""
    files = Outputs(clone.root, whole=known_bodies(settled(lock)))
    before: frozenset[str] | None = None
    found: list[str] = []
    for path in paths:
        file = files.observe(path)
        if edits and not file.problem:
            continue
        if not file.exists:
            found += [path] if book.lives(path) else []
        elif not book.recorded(path, file.body):
            # A text that was there before is not news, wherever an apply moved it and whatever it wrote above it.
            before = _bodies(clone, paths) if before is None else before
            found += [] if file.body and file.body in before else [path]
    return tuple(found)


def _bodies(clone: Clone, paths: Iterable[str]) -> frozenset[str]:
    """The bodies of files as they were committed."""
    folder, head = clone.folder(), clone.head()
    there = listing(clone, head) if head else {}
    oids = [there[folder + path].oid for path in paths if folder + path in there]
    return frozenset(body_of(data) for data in contents(clone, oids).values())


class Missing(NamedTuple):
    """The outputs that a record owns and the last commit has not, by why that is so."""

    ignored: tuple[str, ...]
    outside: tuple[str, ...]
    """In another repository, such as a submodule."""
    gone: tuple[str, ...]
    """Nowhere: somebody removed them before they were ever committed."""


def missing(clone: Clone, book: Ledger, edited: Iterable[str]) -> Missing:
    """What is not committed of the outputs; `edited` are known not to be."""
    folder, head = clone.folder(), clone.head()
    there = {
        nfc(path.removeprefix(folder)): entry.mode
        for path, entry in (listing(clone, head) if head else {}).items()
        if path.startswith(folder)
    }
    left = book.bodies.keys() - there - set(map(nfc, edited))
    others = tuple(f"{path}/" for path, mode in there.items() if mode == _REPOSITORY)
    outside = {path for path in left if path.startswith(others)}
    ignored = _ignored(clone, sorted(left - outside))
    outside |= {path for path in left - ignored if _is_there(Path(clone.root) / path)}
    return Missing(*(tuple(sorted(paths)) for paths in (ignored, outside, left - ignored - outside)))


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _ignored(clone: Clone, files: Sequence[str]) -> frozenset[str]:
    if not files:
        return frozenset()
    listed = "".join(f"{path}\0" for path in files).encode("utf-8", "surrogateescape")
    ended = clone.attempt("check-ignore", "-z", "--stdin", stdin=listed)
    if ended.code > 1 and len(files) > 1:
        # Git ends at the first path that lies in another repository.
        return frozenset().union(*(_ignored(clone, [path]) for path in files))
    return frozenset(filter(None, ended.stdout.decode("utf-8", "surrogateescape").split("\0")))


# --- what was pushed ---------------------------------------------------------------------------------------


def follow(clone: Clone, results: Results, branch: str, tip: str, commit: str) -> bool:
    """Brings the branch of the clone from our commit to the one that was pushed on top of `tip`.

    Whether it is where it should be; if not, nothing is changed here.
    """
    current = clone.attempt("symbolic-ref", "--quiet", "HEAD").stdout.decode("utf-8", "surrogateescape").strip()
    if commit == results.head or current not in {"", f"refs/heads/{branch}"}:
        return True
    if not results.ours or not results.base or not is_ancestor(clone, results.base, tip):
        return False
    clone.attempt("update-index", "-q", "--refresh")
    # Git does the same for a checkout: all of it, or nothing where somebody's changes are in the way.
    if clone.attempt("read-tree", "-m", "-u", results.head, commit).code:
        return False
    if clone.attempt("update-ref", "-m", "contentops commit", "HEAD", commit, results.head).code:
        clone.attempt("read-tree", "-m", "-u", commit, results.head)
        return False
    for ref in _marks(clone, branch, results.lock):
        clone.attempt("update-ref", "-d", ref)
    return True


def is_ancestor(clone: Clone, commit: str, of: str) -> bool:
    """Whether one commit is below another, or the same."""
    return not clone.attempt("merge-base", "--is-ancestor", commit, of).code


def remember(clone: Clone, results: Results, branch: str, there: str) -> None:
    """Notes in refs of ours that these results were pushed as the commit `there`, which is not below that of ours.

    Where the branch is set back afterwards, nothing else in the clone would tell.
    """
    for ref, commit in zip(_marks(clone, branch, results.lock), (results.head, there), strict=True):
        clone.attempt("update-ref", "-m", "contentops commit", ref, commit)


def earlier(clone: Clone, branch: str, lock: str) -> tuple[str, str]:
    """The two commits of the last note for a lock; empty where the first is not below what is checked out."""
    found = [
        clone.attempt("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").stdout.decode("ascii").strip()
        for ref in _marks(clone, branch, lock)
    ]
    here, there = found
    return (here, there) if here and there and is_ancestor(clone, here, "HEAD") else ("", "")


def taken_off(clone: Clone, branch: str, base: str) -> frozenset[str]:
    """The commits of the remote's branch, as far as its log here tells, that are checked out above `base`.

    Somebody has taken them off the branch, and a merge here has kept them.
    """
    ended = clone.attempt("rev-list", "--walk-reflogs", f"refs/remotes/{clone.remote}/{branch}", "--")
    above = clone.read("rev-list", f"{base}..HEAD" if base else "HEAD", "--")
    return frozenset(ended.stdout.decode("ascii").split()) & frozenset(above.decode("ascii").split())


def _marks(clone: Clone, branch: str, lock: str) -> tuple[str, str]:
    """The refs of a lock: below the same commit, the results of other environments and projects are still to go out."""
    whose = hashlib.sha256(lock.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    here, there = (f"refs/contentops/{which}/{whose}/{clone.remote}/{branch}" for which in ("here", "there"))
    return here, there
