"""What only all manifests together can show: ids and outputs used twice, moves that lead nowhere, idle variables.

Pure. It runs on every load, also when each file came from the parse cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import Diagnostic, Severity
from contentops.manifests.layers import Written
from contentops.manifests.paths import collision_key, folders, is_own
from contentops.manifests.places import Document, Source, finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from contentops.errors import Location
    from contentops.manifests.stored import FileResult
    from contentops.model import ItemId, Moved, Project, Spec

    Sources = Callable[[str], Source]


class _Pen(Struct, frozen=True):
    """Writes findings at places that are only known as locations."""

    sources: Sources

    def at(self, code: str, message: str, location: Location | None, hint: str = "", text: str = "") -> Diagnostic:
        """An error at a location, with the line that stands there; `text` is underlined if the line has it there."""
        if location is None:
            return Diagnostic(code=code, message=message, hint=hint)
        excerpt = self.sources(location.file).line(location.line)
        rest = excerpt[location.column - 1 :].rstrip()
        width = next((len(form) for form in (text, f'"{text}"', f"'{text}'") if text and rest.startswith(form)), 0)
        width = width or max(1, len(rest))
        return Diagnostic(code=code, message=message, location=location, excerpt=excerpt, width=width, hint=hint)


def check_together(results: Sequence[FileResult], sources: Sources) -> list[Diagnostic]:
    """Every problem between items and files. `sources` gives the text of a manifest by its path."""
    pen = _Pen(sources)
    specs = [spec for result in results for spec in result.specs]
    return [
        *_check_ids(results, pen),
        *_check_outputs(specs, results, pen),
        *_check_moved(results, pen),
    ]


def _check_ids(results: Sequence[FileResult], pen: _Pen) -> Iterator[Diagnostic]:
    """Ids two files use; within one file it was reported with the file."""
    first: dict[str, tuple[str, Location | None]] = {}
    for result in results:
        for item, location in _ids(result):
            known = first.setdefault(item, (result.path, location))
            if known[0] != result.path:
                hint = "ids are unique in the whole project: rename one"
                yield pen.at(
                    "duplicate-id", f"item `{item[:200]}` is declared twice: first at {known[1]}", location, hint
                )


def _ids(result: FileResult) -> Iterator[tuple[str, Location | None]]:
    yield from ((spec.id, spec.location) for spec in result.specs)
    yield from result.claims


def _check_outputs(specs: Iterable[Spec], results: Sequence[FileResult], pen: _Pen) -> Iterator[Diagnostic]:
    """Outputs that land on each other, under each other, or on a file the project is made of."""
    taken: dict[str, Spec] = {}
    above: dict[str, Spec] = {}
    for spec in specs:
        key = collision_key(spec.output)
        other = taken.setdefault(key, spec)
        if other.id != spec.id:
            yield _clash(spec, _already(spec, other), pen, other)
        for folder in folders(key):
            above.setdefault(folder, spec)
    for key in sorted(taken.keys() & above.keys()):
        spec, inner = taken[key], above[key]
        yield _clash(spec, f"but that is the folder of `{inner.output}`, the output of item `{inner.id}`", pen, inner)
    yield from _check_inputs(taken, results, pen)


def _already(spec: Spec, other: Spec) -> str:
    """Says that another item writes there; names its path where it is only the same for some file systems."""
    if spec.output == other.output:
        return f"which item `{other.id}` writes already"
    return f"which is `{other.output}` of item `{other.id}` where names differ in case or accents only"


def _clash(spec: Spec, what: str, pen: _Pen, other: Spec) -> Diagnostic:
    where = "" if other.location == spec.location else f" (declared at {_stated(other) or other.location})"
    return _error(spec, what + where, pen)


def _error(spec: Spec, what: str, pen: _Pen) -> Diagnostic:
    stated = _stated(spec)
    hint = "choose another `output`" if stated else "give the item an `output` of its own"
    message = f"item `{spec.id}` writes `{spec.output}`, {what}"
    return pen.at("output-collision", message, stated or spec.location, hint, spec.output if stated else "")


def _stated(spec: Spec) -> Location | None:
    """Where the item itself states its output, or None where it takes over a default."""
    origin = spec.origins.get("output")
    return origin.location if origin is not None and origin.layer == "item" else None


def _check_inputs(taken: Mapping[str, Spec], results: Sequence[FileResult], pen: _Pen) -> Iterator[Diagnostic]:
    read = {collision_key(path): path for path in inputs_of(results)}
    for key, spec in taken.items():
        path = next((read[place] for place in (key, *folders(key)) if place in read), None)
        if path is not None:
            yield _error(spec, f"but `{path}` is a file the project is made of", pen)
        elif is_own(spec.output) or any(map(is_own, folders(spec.output))):
            yield _error(spec, "a name contentops keeps for its own files", pen)
    for key, path in read.items():
        spec_there = next((taken[folder] for folder in folders(key) if folder in taken), None)
        if spec_there is not None:
            yield _error(spec_there, f"but that is the folder of `{path}`, which the project is made of", pen)


def inputs_of(results: Sequence[FileResult]) -> tuple[str, ...]:
    """Every file that shaped the specs, sorted: manifests and the data files that are there."""
    data = {path for result in results for path, digest in result.data if digest}
    return tuple(sorted({result.path for result in results} | data))


def _check_moved(results: Sequence[FileResult], pen: _Pen) -> Iterator[Diagnostic]:
    """Pairs of `moved` that cannot all hold at once."""
    moved = [entry for result in results for entry in result.moved]
    declared = {item for result in results for item, _ in _ids(result)}
    sources: dict[str, Location | None] = {}
    targets: dict[str, Location | None] = {}
    complete = all(result.complete for result in results)
    for entry in moved:
        if entry.old in sources:
            message = f"`moved` names `{entry.old}` as `from` twice: first at {sources[entry.old]}"
            yield pen.at("bad-moved", message, entry.location, "an item moves once: keep one pair")
        if entry.new in targets:
            message = f"`moved` names `{entry.new}` as `to` twice: first at {targets[entry.new]}"
            yield pen.at("bad-moved", message, entry.location, "two items cannot become one: keep one pair")
        sources.setdefault(entry.old, entry.location)
        targets.setdefault(entry.new, entry.location)
    for entry in moved:
        if entry.old == entry.new:
            yield pen.at("bad-moved", f"`moved` leads from `{entry.old}` to itself", entry.location, "remove the pair")
        elif entry.old in declared and entry.old not in targets:
            message = f"`moved` leads away from `{entry.old}`, which is still declared"
            yield pen.at("bad-moved", message, entry.location, "rename the item, or remove the pair")
        if complete and entry.new not in declared:
            message = f"`moved` leads to `{entry.new}`, which is not declared"
            yield pen.at("bad-moved", message, entry.location, "declare the item under its new id, or remove the pair")
    for ring in _rings(moved):
        shown = " -> ".join([*(f"`{entry.old}`" for entry in ring), f"`{ring[0].old}`"])
        hint = "give one of them a new id; its old one is free for another item after the next apply"
        yield pen.at("bad-moved", f"`moved` goes round in a ring: {shown}", ring[0].location, hint)


def _rings(moved: Iterable[Moved]) -> Iterator[list[Moved]]:
    """The pairs of each ring, from the pair that stands first."""
    pairs = {entry.old: entry for entry in moved}
    seen: set[ItemId] = set()
    for start in pairs.values():
        chain: list[Moved] = []
        entry: Moved | None = start
        while entry is not None and entry.old not in seen:
            seen.add(entry.old)
            chain.append(entry)
            entry = pairs.get(entry.new)
        if entry is start and len(chain) > 1:
            yield chain


def check_unused(project: Project, source: Source, results: Sequence[FileResult]) -> list[Diagnostic]:
    """Warnings for variables of the project, its environment and the command line that no item uses.

    Silent without items, and while a file has errors, since what it uses may then not be known.
    """
    used = {name for result in results for name in result.used}
    failed = any(found.severity is Severity.ERROR for result in results for found in result.findings)
    if failed or not any(result.items for result in results):
        return []
    settings = Document(source, project.settings)
    env = ("environments", project.environment, "vars")
    idle = {name: Written(None, "project", settings, ("vars", name)) for name in project.vars}
    for name in project.environment_vars:
        idle.setdefault(name, Written(None, "environment", settings, (*env, name)))
    warnings = [
        finding(
            settings,
            "unused-variable",
            f"variable `{name}` is not used by any item",
            written.pointer,
            key=True,
            hint="remove it, or use it",
            severity=Severity.WARNING,
        )
        for name, written in idle.items()
        if name not in used and name not in project.cli_vars
    ]
    for name in project.cli_vars:
        if name not in used:
            message = f"`--var {name}` is not used by any item"
            warnings.append(Diagnostic(code="unused-variable", message=message, severity=Severity.WARNING))
    return warnings
