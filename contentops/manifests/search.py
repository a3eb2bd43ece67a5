"""Which files are manifests, and where they may be if the project's globs find none."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from contentops.errors import Diagnostic, Severity
from contentops.manifests.files import FileError, glob_problem
from contentops.manifests.paths import PROJECT_FILE
from contentops.manifests.places import Document, finding

if TYPE_CHECKING:
    from contentops.manifests.files import ProjectFiles
    from contentops.manifests.layers import Pointer
    from contentops.manifests.places import Source
    from contentops.model import Project

MAX_NAMES: Final = 20_000
"""So many names are looked at for manifests in other places."""
MAX_OPENED: Final = 50
"""So many files are opened to see whether they look like manifests."""

_TWINS = {"yaml": "yml", "yml": "yaml"}
_ITEMS = re.compile(rb"^items:", re.MULTILINE)


def find(project: Project, source: Source, files: ProjectFiles) -> tuple[list[str], list[Diagnostic]]:
    """The paths of all manifests, sorted, and what is wrong with the globs; `source` is the project file."""
    settings = Document(source, project.settings)
    pointer = _globs_pointer(project)
    found: set[str] = set()
    findings: list[Diagnostic] = []
    idle: list[tuple[str, int]] = []
    for index, pattern in enumerate(project.manifests):
        problem = glob_problem(pattern)
        if problem:
            findings.append(finding(settings, "bad-glob", f"the glob `{pattern}` {problem}", (*pointer, index)))
            continue
        matched, problems = files.match(pattern)
        findings += problems
        found.update(matched)
        if not matched:
            idle.append((pattern, index))
    elsewhere = _elsewhere(files) if idle and not found else []
    written = len(pointer) > 1 or "manifests" in project.settings
    code, severity = "no-manifests", Severity.WARNING
    for pattern, index in idle:
        message, hint = _no_match(pattern, files, elsewhere, written=written)
        if written:
            at = (*pointer, index)
            findings.append(finding(settings, code, message, at, hint=hint, severity=severity))
        else:  # the built-in glob stands nowhere
            findings.append(Diagnostic(code=code, message=message, hint=hint, severity=severity))
    return sorted(found), findings


def _globs_pointer(project: Project) -> Pointer:
    """Where the project file says, or could say, which files are manifests."""
    environments = project.settings.get("environments")
    own = environments.get(project.environment) if isinstance(environments, dict) else None
    if isinstance(own, dict) and "manifests" in own:
        return ("environments", project.environment, "manifests")
    return ("manifests",)


def _no_match(pattern: str, files: ProjectFiles, elsewhere: list[str], *, written: bool) -> tuple[str, str]:
    """Message and hint for a glob without a match: files with the other ending, else manifests elsewhere."""
    message = f"the glob `{pattern}` matches no manifest"
    stem, _, ending = pattern.rpartition(".")
    twin = f"{stem}.{_TWINS[ending]}" if ending in _TWINS else ""
    misnamed = files.match(twin)[0] if twin else []
    if misnamed:
        change = f"add `{twin}` to `manifests`" if written else f"set `manifests: [{twin!r}]` in `{PROJECT_FILE}`"
        return f"{message}, but there is {_listed(misnamed)}", f"let names end in `.{ending}`, or {change}"
    change = "correct `manifests`" if written else f"set `manifests` in `{PROJECT_FILE}`"
    if elsewhere:
        return f"{message}, but there is {_listed(elsewhere)}", f"move manifests there, or {change}"
    return message, f"write one there, or {change}"


def _listed(paths: list[str]) -> str:
    more = len(paths) - 1
    return f"`{paths[0]}`" + (f" (and {more} more)" if more else "")


def _elsewhere(files: ProjectFiles) -> list[str]:
    """Files anywhere in the project that look like manifests; a large tree is not searched to its end."""
    names = (path for path in islice(files.walk(), MAX_NAMES) if path.lower().endswith((".yaml", ".yml")))
    return [path for path in islice(names, MAX_OPENED) if _looks_like_manifest(files, path)]


def _looks_like_manifest(files: ProjectFiles, path: str) -> bool:
    try:
        content = files.read(path)
    except FileError:
        return False
    return content is not None and _ITEMS.search(content) is not None
