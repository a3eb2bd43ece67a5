"""Finds problems across all manifests, such as duplicate ids and outputs, and unused variables."""

from __future__ import annotations

import graphlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct, field

from contentops.digest import Digest
from contentops.documents.paths import OWN_ENDINGS, collision_key, folders, is_own
from contentops.errors import Diagnostic, Location, Severity, did_you_mean, nearest
from contentops.manifests.discover import glob_matcher
from contentops.manifests.expand import Declared
from contentops.manifests.render import Referring
from contentops.manifests.values import Each, Problems, Written, cycle_of
from contentops.model import ItemId, Moved, Project, Spec
from contentops.model.desired import Stage, stage_of
from contentops.yaml.positions import MAX_EXCERPT, Source, YamlDocument, finding, finding_at

if TYPE_CHECKING:
    Sources = Mapping[str, Source]

MOST_COMPARED: Final = 1_000
"""The most items of a group of `checks.similar`, because each text is compared with every other text."""
_MOST_RINGS: Final = 20
"""The most cycles that are reported."""


def check_across(results: Sequence[FileResult], patterns: Sequence[str] = ()) -> list[Diagnostic]:
    """Return the findings that concern several items or files. `patterns` are the project's globs for manifests."""
    sources = {result.source.path: result.source for result in results}
    specs = [spec for result in results for spec in result.specs]
    referring = specs if any(result.referring for result in results) else []
    # An output that a text makes is not known yet.
    placed = [spec for spec in specs if spec.output]
    findings = [
        *_check_ids(results),
        *filter(None, map(OutputPaths(results, patterns).take, placed)),
        *_check_moved(results, sources),
        *_check_groups(specs, sources),
        *_check_rings(referring, sources),
        *_check_paths(referring, sources),
        *_check_days(referring, sources),
    ]
    # Two declarations of one item would be said twice.
    known = itertools.chain(findings, *(result.findings for result in results))
    is_wrong = any(finding.severity is Severity.ERROR for finding in known)
    return findings if is_wrong else [*findings, *_check_requests(specs, sources)]


def inputs_of(results: Sequence[FileResult]) -> tuple[str, ...]:
    """Return the sorted paths of all files that declare items. These are manifests and existing data files."""
    data = {path for result in results for path in result.data}
    return tuple(sorted({result.source.path for result in results} | data))


def _at(
    sources: Sources,
    code: str,
    message: str,
    location: Location | None,
    hint: str = "",
    text: str = "",
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    """Return a finding that quotes its source line. `text` is underlined if the line contains it."""
    assert location is not None
    source, start = sources[location.file], location.column - 1
    rest = source.line(location.line)[start : start + MAX_EXCERPT].rstrip()
    width = next((len(form) for form in (text, f'"{text}"', f"'{text}'") if text and rest.startswith(form)), len(rest))
    at = (location.line, location.column)
    return finding_at(source, code, message, at, width=width, hint=hint, severity=severity)


def _check_ids(results: Sequence[FileResult]) -> Iterator[Diagnostic]:
    """Yield an error at each item whose id an earlier item already has."""
    problems, first = Problems(), dict[ItemId, tuple[ItemId, Declared, Each | None]]()
    for item in (item for result in results for item in result.ids):
        if (earlier := first.setdefault(item[0], item)) is not item:
            id_, declared, each = item
            row = f" ({each.label})" if each else ""
            # The whole message is the subject, so that duplicates with the same location are counted as one finding.
            subject = f"item `{id_[:200]}`{row} is declared twice: first at {_first_use(*earlier)}"
            hint = "ids are unique in the whole project: rename one"
            problems.about(subject, declared.find(("id",))[0], "duplicate-id", "", hint=hint)
    yield from problems.done()


def _first_use(_: ItemId, declared: Declared, each: Each | None) -> str:
    """Return words that say where an item is declared. If its row has a location, they name the row."""
    if each is None:
        return f"{declared.location}"
    return each.label if each.location else f"{declared.location} ({each.label})"


# --- outputs -----------------------------------------------------------------------------------------------


class OutputPaths:
    """Collects the paths of outputs and of input files. It finds outputs that would overwrite another file."""

    def __init__(self, results: Sequence[FileResult], patterns: Sequence[str]) -> None:
        self._sources = {result.source.path: result.source for result in results}
        self._patterns = [(pattern, glob_matcher(collision_key(pattern.removeprefix("./")))) for pattern in patterns]
        self._taken: dict[str, Spec | str] = {collision_key(path): path for path in inputs_of(results)}
        """The item that writes a path, or the input file at the path, by the path."""
        self._above = {folder: path for key, path in self._taken.items() for folder in folders(key)}
        """One of the items or files in each folder of these paths, by the folder."""

    def take(self, spec: Spec) -> Diagnostic | None:
        """Record the output path of an item, or return an error if the item cannot have it.

        It cannot have the path of another item or of an input file, a name of contentops' own files, or a path that
        would be read as a manifest.
        """
        key = collision_key(spec.output)
        above = tuple(folders(key))
        holder = next((self._taken[each] for each in (key, *above) if each in self._taken), None)
        conflict = _conflict(spec, holder) or _conflict(spec, self._above.get(key), is_folder=True)
        if not conflict and any(is_own(each) for each in (key, *above) if each.endswith(OWN_ENDINGS)):
            conflict = "a name contentops keeps for its own files"
        elif not conflict and (named := next((name for name, matches in self._patterns if matches(key)), "")):
            conflict = f"which would then be read as a manifest: `manifests` names `{named}`"
        if conflict:
            stated = _stated(spec)
            hint = "choose another `output`" if stated else "give the item its own `output`"
            message = f"item `{spec.id}` writes `{spec.output}`, {conflict}"
            at, text = stated or spec.location, spec.output if stated else ""
            return _at(self._sources, "output-collision", message, at, hint, text)
        self._taken[key] = spec
        for folder in above:
            if folder in self._above:
                break  # so are the folders above it
            self._above[folder] = spec
        return None


def _conflict(spec: Spec, other: Spec | str | None, *, is_folder: bool = False) -> str:
    """Return words that say how an output path conflicts with an item or an input file, or an empty text.

    `other` is the item or the input file. With `is_folder`, it is in a folder whose name is the output path.
    """
    if isinstance(other, str):
        conflict = f"but that is also the folder of `{other}`, which" if is_folder else f"but `{other}`"
        return f"{conflict} is an input file of the project"
    if other is None or other.id == spec.id:
        return ""
    if is_folder:
        conflict = f"but that is also the folder of `{other.output}`, the output of item `{other.id}`"
    elif spec.output == other.output:
        conflict = f"which item `{other.id}` writes already"
    elif collision_key(spec.output) == collision_key(other.output):
        conflict = f"which is `{other.output}` of item `{other.id}` if case and accents are ignored"
    else:
        conflict = f"but its folder `{other.output}` is the output of item `{other.id}`"
    return (
        conflict if other.location == spec.location else f"{conflict} (declared at {_stated(other) or other.location})"
    )


def _check_requests(specs: Sequence[Spec], sources: Sources) -> Iterator[Diagnostic]:
    """Yield an error for each item whose request equals that of an earlier item. One job would serve both."""
    first: dict[Digest, Spec] = {}
    problems = Problems()
    hint = "give one of them `revision: 2` for its own text, change its `inputs`, or declare one item"
    for spec in (spec for spec in specs if spec.request.template):
        # What is made from texts that are not there yet has the request that it will have, without their words.
        same = first.setdefault(spec.frame or spec.digest, spec)
        if same is not spec:
            message = f"item `{spec.id}` requests exactly the same text as `{same.id}` ({same.location})"
            problems.add(_at(sources, "same-request", message, spec.location, hint), (spec.location, same.id))
    yield from problems.done()


def _stated(spec: Spec) -> Location | None:
    """Return where the item itself sets `output`, or None if it uses a default."""
    origin = spec.origins.get("output")
    return origin.location if origin is not None and origin.layer == "item" else None


def check_environment(project: Project, source: Source, results: Sequence[FileResult]) -> list[Diagnostic]:
    """Return a warning if the chosen environment would write the same files as another environment."""
    name, settings = project.environment, YamlDocument(source, project.settings)
    at, environments = ("environments", name), project.settings.get("environments") or {}
    has_own = "output" in project.environment_defaults or "manifests" in (environments.get(name) or ())
    if not name or has_own or project.environment_output is not None:
        return []
    specs = (spec for result in results for spec in result.specs if name not in spec.output)
    origins = (spec.origins["output"] for spec in specs)
    if all(one.layer == "item" or not project.environment_vars.keys().isdisjoint(one.variables) for one in origins):
        return []
    message = f"environment `{name}` has no separate `output`, so it would overwrite the files of other environments"
    hint = (
        f'give it one: `output: "{name}/{{{{ item.id }}}}.md"`; a file belongs to the environment that first wrote it'
    )
    return [finding(settings, "shared-output", message, at, key=True, hint=hint, severity=Severity.WARNING)]


def _check_rings(specs: Sequence[Spec], sources: Sources) -> Iterator[Diagnostic]:
    """Yield an error for each group of items that use each other's texts in a cycle."""
    places = {spec.id: spec.location for spec in specs}
    for nodes in _rings(_readings(specs)):
        first, cycle = cycle_of(dict.fromkeys(id_ for id_, _ in nodes))
        hint = "none of them could be generated first: remove one of the references"
        yield _at(sources, "reference-ring", f"references form a cycle: {cycle}", places[first], hint)


def _check_paths(specs: Sequence[Spec], sources: Sources) -> Iterator[Diagnostic]:
    """Yield an error for each item that uses another item's path or URL, if that path or URL depends on a text."""
    named = {spec.id for spec in specs if "output" in spec.readings}
    for spec in specs if named else ():
        readings = (one for name in spec.readings for one in spec.readings[name])
        if found := next((one for one in readings if one.id in named and one.part in ("path", "url")), None):
            message = f"item `{spec.id}` uses the `{found.part}` of `{found.id}`, whose `output` is made from a text"
            hint = f"give `{found.id}` an `output` that uses no text, or use another part of it"
            yield _at(sources, "reference-path", message, spec.location, hint)


def _readings(specs: Sequence[Spec]) -> dict[tuple[ItemId, Stage], set[tuple[ItemId, Stage]]]:
    """Return a graph that maps each stage of an item to the stages it waits for.

    It waits for its own earlier stage, and for stages of the items that it uses.
    """
    graph: dict[tuple[ItemId, Stage], set[tuple[ItemId, Stage]]] = {}
    for spec in specs:
        if spec.readings:
            graph |= {(spec.id, stage): {(spec.id, Stage(stage - 1))} for stage in (Stage.HEAD, Stage.FRONT)}
            graph[spec.id, Stage.TEXT] = set()
        for name, readings in spec.readings.items():
            at = stage_of(name)
            # A text waits for its sources to have one, also where it reads only where they are.
            least = Stage.TEXT if at is Stage.TEXT else None
            graph[spec.id, at] |= {(one.id, stage) for one in readings if (stage := one.stage or least) is not None}
    return graph


_Node = TypeVar("_Node")


def _rings(graph: dict[_Node, set[_Node]]) -> Iterator[list[_Node]]:
    """Yield the cycles of a graph, and remove them from it."""
    for _ in range(_MOST_RINGS):
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            # Its ring goes from a node to those that name it.
            *nodes, _last = reversed(error.args[1])
            yield nodes
            for node in nodes:
                graph.pop(node, None)
        else:
            return


def _check_days(specs: Sequence[Spec], sources: Sources) -> Iterator[Diagnostic]:
    """Yield a warning for each item whose `publish_on` is before the `publish_on` of an item that it uses."""
    days_of = {spec.id: spec.publish_on for spec in specs}
    for spec in specs:
        days = ((one.id, days_of[one.id]) for one in spec.references if one.id in days_of)
        later = [f"`{id_}` on {day}" for id_, day in days if spec.publish_on and day > spec.publish_on]
        if later:
            message = (
                f"item `{spec.id}` is due on {spec.publish_on}, before texts that it is made from: {', '.join(later)}"
            )
            hint = "it waits for them: give them an earlier `publish_on`, or this one a later day"
            yield _at(sources, "due-before-source", message, spec.location, hint, severity=Severity.WARNING)


# --- moves and variables -----------------------------------------------------------------------------------


def _check_moved(results: Sequence[FileResult], sources: Sources) -> Iterator[Diagnostic]:
    """Yield a finding for each entry of `moved` that conflicts with another entry or with the declared items."""
    moved = [entry for result in results for entry in result.moved]
    if not moved:
        return
    declared = {item for result in results for item, _, _ in result.ids}
    complete = all(result.complete for result in results)
    olds: dict[str, Location | None] = {}
    news: dict[str, Location | None] = {}
    for entry in moved:
        for seen, id_, key, hint in (
            (olds, entry.old, "from", "an item can move only once: keep one pair"),
            (news, entry.new, "to", "two items cannot become one: keep one pair"),
        ):
            if id_ in seen:
                message = f"`moved` names `{id_}` twice as `{key}`: first at {seen[id_]}"
                yield _at(sources, "bad-moved", message, entry.location, hint)
            seen.setdefault(id_, entry.location)
    renamed = {entry.old: entry.new for entry in moved}
    for entry in moved:
        is_same = entry.old == entry.new
        if is_same or (entry.old in declared and entry.old not in news):
            message = f"`moved` renames `{entry.old}`{' to itself' if is_same else ', which is still declared'}"
            hint = "remove the pair" if is_same else "rename the item, or remove the pair"
            yield _at(sources, "bad-moved", message, entry.location, hint)
        if complete and entry.new not in declared and entry.new != entry.old:
            message = f"`moved` renames to `{entry.new}`, which is not declared"
            hint = _hint_to_nothing(entry.new, sorted(declared - news.keys()))
            if entry.new in renamed:
                hint = "all pairs apply at once, not in turn: instead of both, "
                hint += f"write `{{from: {entry.old}, to: {renamed[entry.new]}}}`"
            yield _at(sources, "moved-to-nothing", message, entry.location, hint, severity=Severity.WARNING)
    places = {entry.old: entry.location for entry in moved}
    for nodes in _rings({entry.old: {entry.new} for entry in moved if entry.new != entry.old}):
        first, cycle = cycle_of(nodes)
        hint = "give one of them a new id; after the next apply its old id can be used again"
        yield _at(sources, "bad-moved", f"`moved` contains a cycle: {cycle}", places[first], hint)


def _hint_to_nothing(new: str, declared: Sequence[str]) -> str:
    """Return a hint for an entry of `moved` whose new id is not declared. `declared` has the ids without an entry."""
    if close := nearest(new, declared):
        cost = f"as written, this pair has no effect, and `{close}` is generated as a new item"
        return f"did you mean `{close}`? {cost}, for its price; remove the pair if the item was removed"
    return "remove the pair if the item was removed; else declare the item under its new id"


def check_unused(project: Project, source: Source, results: Sequence[FileResult]) -> list[Diagnostic]:
    """Return a warning for each unused variable of the project, its environment or the command line.

    There are no warnings without items, or while a file has errors, because its variables may then be unknown.
    """
    used = {name for result in results for name in result.used}
    failed = any(problem.severity is Severity.ERROR for result in results for problem in result.findings)
    if failed or not any(result.items for result in results):
        return []
    settings = YamlDocument(source, project.settings)
    at = ("environments", project.environment, "vars")
    stated = [Written(project.environment_vars, "environment", settings, at)]
    stated.append(Written(project.vars, "project", settings, ("vars",)))
    idle = {name: layer.below(name) for layer in stated for name in layer.value if name not in used}
    warnings = [unused(written, "any item") for name, written in idle.items() if name not in project.cli_vars]
    for name in project.cli_vars:
        if name not in used:
            message, hint = f"`--var {name}` is not used by any item", did_you_mean(name, sorted(used))
            warnings.append(Diagnostic(code="unused-variable", message=message, hint=hint, severity=Severity.WARNING))
    return warnings


def unused(written: Written, whom: str) -> Diagnostic:
    """Return the warning about an unused variable."""
    assert written.document is not None
    message, hint = f"variable `{written.pointer[-1]}` is not used by {whom}", "use it or remove it"
    return finding(
        written.document, "unused-variable", message, written.pointer, key=True, hint=hint, severity=Severity.WARNING
    )


# --- groups --------------------------------------------------------------------------------------------------


def _check_groups(specs: Sequence[Spec], sources: Sources) -> Iterator[Diagnostic]:
    """Yield a finding for each group of texts in `checks.similar` that is too large or compares nothing."""
    compared: dict[str | Location | None, Spec] = {}
    for spec in specs:
        if (similar := spec.checks.similar) is not None:
            compared.setdefault(spec.location if similar.within == "for_each" else similar.within, spec)
    if not compared:
        return
    tagged = Counter(tag for spec in specs for tag in spec.tags)
    sizes: Counter[str | Location | None] = Counter(spec.location for spec in specs)
    sizes.update({"all": len(specs), **{f"tag:{tag}": count for tag, count in tagged.items()}})
    for group, spec in compared.items():
        tag = group.removeprefix("tag:") if isinstance(group, str) and group != "all" else ""
        if sizes[group] > MOST_COMPARED:
            name = f"`{group}`" if isinstance(group, str) else "its `for_each`"
            message = f"`checks.similar` of item `{spec.id}` compares within {name}, which has {sizes[group]:,} items"
            hint = f"at most {MOST_COMPARED:,} texts: compare within a tag of fewer items, or set `similar: null`"
            yield _at(sources, "large-group", message, spec.location, hint)
        elif tag and tagged[tag] <= (tag in spec.tags):
            message = (
                f"`checks.similar` of item `{spec.id}` compares within `tag:{tag}`, but no other item has this tag"
            )
            hint = did_you_mean(tag, tagged, "give the tag to the items that it is compared with")
            yield _at(sources, "empty-group", message, spec.location, hint, severity=Severity.WARNING)


class FileResult(Struct, kw_only=True):
    """The result of reading one manifest: its items, rendered and checked, and its findings."""

    source: Source
    """Its text; empty if it cannot be read."""
    specs: list[Spec] = field(default_factory=list)
    ids: list[tuple[ItemId, Declared, Each | None]] = field(default_factory=list)
    """The ids of its items, also of those with errors, with what declares them."""
    moved: list[Moved] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    """The variables its items use."""
    idle: list[tuple[Written, str]] = field(default_factory=list)
    """Variables that a declaration has but does not use, each with the name of the declaration in messages."""
    data: set[str] = field(default_factory=set)
    """The data files it uses."""
    complete: bool = True
    """Whether every declared id is known."""
    items: int = 0
    """The number of its declarations."""
    referring: dict[ItemId, Referring] = field(default_factory=dict)
    """Its items that use texts of others or rows."""
