"""Finds the manifests of a project and reads files below its root.

Only regular files inside the root are read. Names that start with a dot are skipped, symbolic links that lead out
of the root are refused, and linked folders are not searched.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from contentops.atomic_io import NotAFile, read_file
from contentops.errors import Diagnostic, Location, Severity, first_of
from contentops.manifests.data import DataFile
from contentops.model import PROJECT_FILE, Project
from contentops.yaml.positions import Source, YamlDocument, finding
from contentops.yaml.read import MAX_BYTES

WILD: Final = re.compile(r"[*?\[]")
"""What makes a glob of a path."""


class FileError(Exception):
    """The error for a file that cannot be used; `finding` says why."""

    def __init__(self, code: str, path: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.finding = Diagnostic(code=code, message=message, location=Location(path), hint=hint)


# --- globs -------------------------------------------------------------------------------------------------


@cache
def glob_matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tests paths against a glob.

    `*` and `?` match within a name; `**` matches any number of folders.
    """
    names = re.sub(r"(?<![^/])(\*\*/)+", "**/", pattern).split("/")
    parts = [None if name == "**" else re.compile(fnmatch.translate(name)).match for name in names]
    start = WILD.split(pattern, 1)[0]

    def matches(path: str) -> bool:
        if not path.startswith(start):
            return False
        reached = {0}
        """The parts that the names so far may lead to: this takes no longer for a hostile pattern."""
        for name in path.split("/"):
            reached |= {at + 1 for at in reached if at < len(parts) and parts[at] is None}
            known = [(at, parts[at]) for at in reached if at < len(parts)]
            reached = {at for at, part in known if part is None}
            reached |= {at + 1 for at, part in known if part is None or part(name)}
        return len(parts) in reached

    return matches


# --- files -------------------------------------------------------------------------------------------------


class ProjectFiles:
    """Reads files below the root folder of a project. Paths are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._real = os.path.realpath(root)
        self._realpath = cache(os.path.realpath)  # most files share their folder
        self.searched: set[str] = set()
        """The folders that were searched, the links on the way, and the data files."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None if the file does not exist.

        At most MAX_BYTES + 1 bytes are read. Raises FileError for a path that leads outside the root, is not a regular
        file, or cannot be read.
        """
        try:
            if not self._inside(path):
                message = f"`{path}` is a link that points outside the project"
                raise FileError("outside-project", path, message, "copy the file into the project")
            return read_file(f"{self._root}/{path}", MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except NotAFile:
            raise FileError("unreadable-file", path, f"`{path}` is not a file") from None
        except OSError as error:
            raise _unreadable(path, error) from None

    def read_data(self, path: str) -> DataFile:
        """Return the data file that a manifest names, with its content or its problem."""
        self.searched.add(path)
        try:
            content = self.read(path)
        except FileError as error:
            return DataFile(path=path, problem=error.finding)
        if content is None:
            return DataFile(path=path, exists=False)
        if path.lower().endswith(".xlsx") and importlib.util.find_spec("openpyxl") is None:
            message = f"to read `{path}` needs `openpyxl`: install it into the environment of contentops"
            problem = Diagnostic(code="no-openpyxl", message=message, hint="or save the sheet as `CSV UTF-8`")
            return DataFile(path=path, problem=problem)
        return DataFile(path=path, content=content)

    def _inside(self, path: str) -> bool:
        """Return whether a path is inside the root after links are followed."""
        folder, name = os.path.split(path)
        real = f"{self._realpath(f'{self._root}/{folder}')}{os.sep}{name}"
        if os.path.islink(real):
            real = os.path.realpath(real)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def match(self, pattern: str) -> tuple[list[str], list[Diagnostic]]:
        """Return the sorted paths that match a glob, and findings about unusable folders, links and names."""
        findings: list[Diagnostic] = []
        pattern = pattern.removeprefix("./")
        parts = pattern.split("/")
        fixed = next((at for at, part in enumerate(parts[:-1]) if WILD.search(part)), len(parts) - 1)
        matches = glob_matcher(pattern)
        paths = self._walk("/".join(parts[:fixed]), len(parts) - fixed - 1, findings, deep="**" in parts)
        return sorted(path for path in paths if path != PROJECT_FILE and matches(path)), findings

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield every file below a folder, in order. The project file, hidden names and linked folders are left out."""
        return (path for path in self._walk(folder, 0, [], deep=True) if path != PROJECT_FILE)

    def _walk(self, folder: str, depth: int, findings: list[Diagnostic], *, deep: bool) -> Iterator[str]:
        """Yield the files below a folder. `depth` limits the number of levels, unless `deep` is true."""
        full = f"{self._root}/{folder}"
        self.searched.add(folder)
        if folder and not self._inside(folder):
            message = f"`{folder}` is a link that points outside the project"
            findings.append(FileError("outside-project", folder, message, "copy its files into the project").finding)
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
            elif entry.is_symlink() and Path(entry.path).is_dir():
                self.searched.add(path)
                message = f"`{path}` is a link to a folder, which is not searched for manifests"
                findings.append(Diagnostic(code="link-not-followed", message=message, severity=Severity.WARNING))
            else:
                yield path


def _printable(path: str, findings: list[Diagnostic]) -> bool:
    if path.isprintable():
        return True
    shown = path.encode("unicode_escape", "surrogatepass").decode()
    message = f"`{shown}` has unprintable characters in its name and is skipped"
    findings.append(Diagnostic(code="unreadable-file", message=message, severity=Severity.WARNING, hint="rename it"))
    return False


def _unreadable(path: str, error: OSError) -> FileError:
    message = f"`{path}` cannot be read: {error.strerror or error}"
    return FileError("unreadable-file", path, message, "check its permissions")


# --- manifests ---------------------------------------------------------------------------------------------


def discover(project: Project, source: Source, files: ProjectFiles) -> tuple[list[str], list[Diagnostic]]:
    """Return the sorted paths of all manifests, and a warning for each glob that matches no file.

    `source` is the project file.
    """
    settings, environments = YamlDocument(source, project.settings), project.settings.get("environments") or {}
    own = "manifests" in (environments.get(project.environment) or {})
    pointer = ("environments", project.environment, "manifests") if own else ("manifests",)
    written = own or "manifests" in project.settings
    paths: set[str] = set()
    findings: list[Diagnostic] = []
    for index, pattern in enumerate(project.manifests):
        matched, problems = files.match(pattern)
        findings += problems
        paths.update(matched)
        if not matched and not any(problem.severity is Severity.ERROR for problem in problems):
            message, hint = _no_match(pattern, files, written=written)
            code, severity, at = "no-manifests", Severity.WARNING, (*pointer, index)
            # The built-in glob is in no file.
            built_in = Diagnostic(code=code, message=message, hint=hint, severity=severity)
            found = finding(settings, code, message, at, hint=hint, severity=severity) if written else built_in
            findings.append(found)
    return sorted(paths), findings


def _no_match(pattern: str, files: ProjectFiles, *, written: bool) -> tuple[str, str]:
    """Return message and hint for a glob that matches no file.

    They name files with the other ending, `.yml` or `.yaml`.
    """
    message = f"the glob `{pattern}` matches no manifest"
    stem, _, ending = pattern.rpartition(".")
    twin = {"yaml": f"{stem}.yml", "yml": f"{stem}.yaml"}.get(ending, "")
    misnamed = files.match(twin)[0] if twin else []
    if misnamed:
        change = f"add `{twin}` to `manifests`" if written else f"set `manifests: [{twin!r}]` in `{PROJECT_FILE}`"
        return f"{message}, but there is {first_of(misnamed)}", f"rename it to end in `.{ending}`, or {change}"
    change = "correct `manifests`" if written else f"set `manifests` in `{PROJECT_FILE}`"
    return message, f"add one there, or {change}"
