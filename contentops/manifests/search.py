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
    for pattern, index in idle:
        message, hint = _no_match(pattern, files, elsewhere, written=written)
        at = (settings, (*pointer, index)) if written else None
        findings.append(_warning(message, hint, at))
    return sorted(found), findings


def _globs_pointer(project: Project) -> Pointer:
    """Where the project file says, or could say, which files are manifests."""
    environments = project.settings.get("environments")
    own = environments.get(project.environment) if isinstance(environments, dict) else None
    if isinstance(own, dict) and "manifests" in own:
        return ("environments", project.environment, "manifests")
    return ("manifests",)


def _warning(message: str, hint: str, at: tuple[Document, Pointer] | None) -> Diagnostic:
    """The warning, with its place unless the glob is the built-in one, which stands nowhere."""
    code, severity = "no-manifests", Severity.WARNING
    if at is None:
        return Diagnostic(code=code, message=message, hint=hint, severity=severity)
    return finding(at[0], code, message, at[1], hint=hint, severity=severity)


def _no_match(pattern: str, files: ProjectFiles, elsewhere: list[str], *, written: bool) -> tuple[str, str]:
    """Message and hint for a glob without a match: files with the other ending, else manifests elsewhere."""
    message = f"the glob `{pattern}` matches no manifest"
    twin = _twin(pattern)
    misnamed = files.match(twin)[0] if twin else []
    if misnamed:
        change = f"add `{twin}` to `manifests`" if written else f"set `manifests: [{twin!r}]` in `{PROJECT_FILE}`"
        ending = pattern.rpartition(".")[2]
        return f"{message}, but there is {_listed(misnamed)}", f"let names end in `.{ending}`, or {change}"
    change = "correct `manifests`" if written else f"set `manifests` in `{PROJECT_FILE}`"
    if elsewhere:
        return f"{message}, but there is {_listed(elsewhere)}", f"move manifests there, or {change}"
    return message, f"write one there, or {change}"


def _twin(pattern: str) -> str:
    """The same glob with the other ending of YAML files, or nothing."""
    for ending, other in ((".yaml", ".yml"), (".yml", ".yaml")):
        if pattern.endswith(ending):
            return pattern.removesuffix(ending) + other
    return ""


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
