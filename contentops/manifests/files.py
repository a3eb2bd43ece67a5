"""The project's folder as manifests need it: which files are manifests, and their bytes.

Only regular files inside the root are read. Names that start with a dot are skipped, symbolic links that lead out
of the root are refused, and linked folders are not entered.
"""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from typing import TYPE_CHECKING

from contentops.errors import Diagnostic, Location, Severity
from contentops.manifests.paths import PROJECT_FILE
from contentops.manifests.read import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WILD = re.compile(r"[*?\[]")


class FileError(Exception):
    """A file cannot be used; carries the finding."""

    def __init__(self, finding: Diagnostic) -> None:
        super().__init__(finding.message)
        self.finding = finding


class ProjectFiles:
    """Reads below one root. Paths are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = os.path.realpath(root)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None where there is none.

        Raises FileError for what is not a regular file, lies outside the root, is too large or cannot be read.
        """
        full = str(self._root / path)
        try:
            if not self._inside(full):
                raise _error("outside-project", path, f"`{path}` is a link that leads out of the project", "copy it in")
            handle = os.open(full, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _error("unreadable-file", path, f"`{path}` is not a file", "")
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            os.close(handle)

    def _inside(self, full: str) -> bool:
        real = os.path.realpath(full)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def match(self, pattern: str) -> tuple[list[str], list[Diagnostic]]:
        """The files a glob names, sorted, and what is wrong with links and names on the way."""
        findings: list[Diagnostic] = []
        return sorted(self._match(pattern.removeprefix("./"), findings)), findings

    def walk(self) -> Iterator[str]:
        """Every file of the project in order, but the project file, hidden names and what is linked to."""
        return (path for path in self._walk("", 0, [], deep=True) if path != PROJECT_FILE)

    def _match(self, pattern: str, findings: list[Diagnostic]) -> Iterator[str]:
        parts = pattern.split("/")
        fixed = 0
        while fixed < len(parts) - 1 and not _WILD.search(parts[fixed]):
            fixed += 1
        matches = glob_regex(pattern)
        deep = "**" in parts
        for path in self._walk("/".join(parts[:fixed]), len(parts) - fixed - 1, findings, deep=deep):
            if path != PROJECT_FILE and matches.fullmatch(path):
                yield path

    def _walk(self, folder: str, depth: int, findings: list[Diagnostic], *, deep: bool) -> Iterator[str]:
        """Files below a folder, down to `depth` more folders, or any if `deep`."""
        full = str(self._root / folder)
        if folder and not self._inside(full):
            message = f"`{folder}` is a link that leads out of the project"
            findings.append(_error("outside-project", folder, message, "copy its files in").finding)
            return
        try:
            entries = sorted(os.scandir(full), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            findings.append(_unreadable(folder or ".", error).finding)
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or not _printable(path, findings):
                continue
            if entry.is_dir(follow_symlinks=False):
                if deep or depth > 0:
                    yield from self._walk(path, depth - 1, findings, deep=deep)
            elif entry.is_symlink() and entry.is_dir():
                message = f"`{path}` is a link to a folder, which is not searched for manifests"
                findings.append(Diagnostic(code="link-not-followed", message=message, severity=Severity.WARNING))
            else:
                yield path


def _printable(path: str, findings: list[Diagnostic]) -> bool:
    if path.isprintable() and not any("\ud800" <= char <= "\udfff" for char in path):
        return True
    shown = path.encode("unicode_escape", "surrogatepass").decode()
    message = f"`{shown}` has a name that cannot be printed, and is skipped"
    findings.append(Diagnostic(code="unreadable-file", message=message, severity=Severity.WARNING, hint="rename it"))
    return False


def glob_problem(pattern: str) -> str:
    """What is wrong with a glob, as the end of a sentence that starts with it; empty if nothing."""
    parts = pattern.split("/")
    if not pattern.strip():
        return "is empty"
    if "\\" in pattern:
        return "holds a backslash; write `/` between folders"
    if pattern.startswith("/") or ":" in parts[0]:
        return "is absolute; write it relative to the project root"
    if ".." in parts:
        return "leaves the project with `..`"
    try:
        glob_regex(pattern)
    except re.error:
        return "holds a range that goes backwards"
    return ""


@cache
def glob_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` and `?` stay within a name, `**` stands for any folders, also none."""
    regex, *others = [_names(names) for names in _between(pattern.split("/"))]
    for at, names in enumerate(others):
        # What follows `**` is taken where it comes first, as behind a star.
        regex += (f"(?:[^/]+/)*{names}" if names else ".*") if at == len(others) - 1 else f"(?>(?:[^/]+/)*?{names})"
    return re.compile(regex, re.DOTALL)


def _between(parts: list[str]) -> list[list[str]]:
    """The names of a glob, parted at each `**`; all but those behind the last one are folders."""
    found: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            found[-1].append("")
            found.append([])
        else:
            found[-1].append(part)
    return found


def _names(parts: list[str]) -> str:
    return "/".join(_segment(part) if part else "" for part in parts)


def _segment(part: str) -> str:
    """One name as a regular expression; what follows a star is taken where it comes first, once and for all."""
    first, *others = _fixed(part)
    if not others:
        return first
    middle = "".join(f"(?>[^/]*?{fixed})" for fixed in others[:-1])
    return f"{first}{middle}[^/]*{others[-1]}"


def _fixed(part: str) -> list[str]:
    """What stands between the stars of a name, as regular expressions."""
    found, regex, index = [], "", 0
    while index < len(part):
        char = part[index]
        # The first character of a class may be a bracket itself, also behind its `!`.
        end = part.find("]", index + (3 if part[index + 1 : index + 2] == "!" else 2)) if char == "[" else -1
        if end > 0:
            body = part[index + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            regex += f"(?!/)[{'^' + body[1:] if body.startswith('!') else body}]"
            index = end
        elif char == "*":
            found.append(regex)
            regex = ""
        elif char == "?":
            regex += "[^/]"
        else:
            regex += re.escape(char)
        index += 1
    return [*found, regex]


def _error(code: str, path: str, message: str, hint: str) -> FileError:
    return FileError(Diagnostic(code=code, message=message, location=Location(path), hint=hint))


def _unreadable(path: str, error: OSError) -> FileError:
    return _error(
        "unreadable-file", path, f"`{path}` cannot be read: {error.strerror or error}", "check its permissions"
    )
