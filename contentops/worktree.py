"""What of the files that are changed here is a result, and what is a person's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contentops.errors import Refused
from contentops.grafting import contents, listing
from contentops.output import Outputs
from contentops.output.conflicts import known_bodies
from contentops.results import RULES, body_of, lock_name, nfc, settled
from contentops.state.attributes import with_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.git import Clone
    from contentops.results import Ledger
    from contentops.state.lock import Lock

LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})


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
    for letters, path in _lines(clone):
        if path != own and not book.owns(path) and not (path == RULES and _is_rule(clone)):
            others += 1
        elif letters in _UNMERGED:
            hint = "finish the merge, or leave it with `git merge --abort`, then run it again"
            raise Refused(f"git has not merged `{path}` yet", code="unmerged", hint=hint)
        else:
            found[path] = letters
    outputs = sorted(path for path in found if path not in {own, RULES})
    edited = _edited(clone, book, lock, outputs, edits=edits)
    results = {path: letters for path, letters in found.items() if path not in edited}
    # The rule for locks alone is worth no commit: it comes with the first results.
    return Status({} if set(results) == {RULES} else results, edited, others)


def _lines(clone: Clone) -> Iterator[tuple[str, str]]:
    folder = clone.folder()
    arguments = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", ".")
    said = clone.read("--no-optional-locks", "status", *arguments)
    for line in said.decode("utf-8", "surrogateescape").split("\0"):
        if line:
            yield line[:2], line[3:].removeprefix(folder)


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


def missing(clone: Clone, book: Ledger, edited: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The outputs that are here and not in the last commit: those git ignores, and those in another repository.

    `edited` are known to be missing.
    """
    folder, head = clone.folder(), clone.head()
    there = {
        nfc(path.removeprefix(folder)) for path in (listing(clone, head) if head else ()) if path.startswith(folder)
    }
    left = book.bodies.keys() - there - set(map(nfc, edited))
    files = [path for path in sorted(left) if (Path(clone.root) / path).is_file()]
    ignored = _ignored(clone, files)
    return tuple(sorted(ignored)), tuple(path for path in files if path not in ignored)


def _ignored(clone: Clone, files: Sequence[str]) -> frozenset[str]:
    if not files:
        return frozenset()
    listed = "".join(f"{path}\0" for path in files).encode("utf-8", "surrogateescape")
    ended = clone.attempt("check-ignore", "-z", "--stdin", stdin=listed)
    if ended.code > 1 and len(files) > 1:
        # Git ends at the first path that lies in another repository.
        return frozenset().union(*(_ignored(clone, [path]) for path in files))
    return frozenset(filter(None, ended.stdout.decode("utf-8", "surrogateescape").split("\0")))
