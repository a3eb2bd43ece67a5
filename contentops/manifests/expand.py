"""From a manifest's YAML to its items: defaults stacked, `for_each` and `matrix` multiplied out.

Pure: the rows of data files are handed in. Shapes that the schema refuses are stepped over in silence, since the
schema has its own words for them.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from contentops.errors import Location, Severity
from contentops.manifests.layers import RESERVED, Tree, Written, fields, overlay, top, tree
from contentops.manifests.templates import templates_in
from contentops.yaml.positions import Source, YamlDocument, locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contentops.manifests.data import DataRow
    from contentops.manifests.problems import Problems
    from contentops.model import Json, Project

MAX_INSTANCES: Final = 200_000
"""Most items the declarations of one file may become."""


_OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
_ITEM_ONLY: Final = frozenset({"id", "vars", "for_each", "matrix"})
_BUILT_IN: Final[Mapping[str, Json]] = {"mode": "standard"}


class Layers(Struct, frozen=True):
    """What stands under every item of a file: field defaults and variables, and which variables were taken away."""

    defaults: Mapping[str, Tree]
    variables: Mapping[str, Tree]
    local: tuple[Written, ...] = ()
    """The variables the manifest itself declares; unused ones are reported with the file."""


class Each(Struct, frozen=True):
    """One combination of `for_each` or `matrix`: the values of `each`, and where they stand."""

    values: Mapping[str, Json]
    label: str
    """Names the row in messages: `data/cities.csv:2`, or the values of a matrix."""
    location: Location | None = None
    places: Mapping[str, Location | None] = field(default_factory=dict)
    """By key, where they differ from `location`."""

    def place(self, key: str) -> Location | None:
        """Where the value of `each.<key>` stands."""
        return self.places.get(key, self.location)


class Declared(Struct, frozen=True):
    """One entry of `items` with every layer below it, before rendering."""

    document: YamlDocument
    index: int
    label: str
    """Names the item in messages: its id as written, or its position where it has none."""
    fields: Mapping[str, Tree]
    variables: Mapping[str, Tree]
    own_variables: tuple[Written, ...] = ()
    each: tuple[Each, ...] | None = None
    """The combinations, None for an item without `for_each` and `matrix`."""
    meant: frozenset[str] = frozenset()
    """Fields that a misspelt key was probably meant to set; what their absence leads to is not worth a finding."""

    @property
    def written(self) -> Written:
        """The entry itself."""
        return Written(self.document.root["items"][self.index], "item", self.document, ("items", self.index))

    @property
    def location(self) -> Location:
        """Where the entry stands."""
        return locate(self.document, ("items", self.index))


def layers(project: Project, project_source: Source, document: YamlDocument, problems: Problems) -> Layers:
    """Stack what the project, the manifest and the environment say, the environment on top."""
    settings = YamlDocument(project_source, project.settings)
    env = ("environments", project.environment)
    manifest = document.root if isinstance(document.root, dict) else {}
    own = fields(Written(manifest.get("defaults"), "manifest", document, ("defaults",)), leave_out=_ITEM_ONLY)
    base = {key: Written(value, "built-in") for key, value in _BUILT_IN.items()}
    base["output"] = _project_output(project, settings)
    low = overlay(_project_fields(project.defaults, "project", settings, ("defaults",)), base)
    high = _project_fields(project.environment_defaults, "environment", settings, (*env, "defaults"))
    if project.environment_output is not None and "output" not in high:
        high["output"] = Written(project.environment_output, "environment", settings, (*env, "output"))
    variables = _names(Written(project.vars, "project", settings, ("vars",)))
    declared = _names(Written(manifest.get("vars"), "manifest", document, ("vars",)), problems)
    over = _names(Written(project.environment_vars, "environment", settings, (*env, "vars")))
    variables = overlay(over, overlay(declared, variables))
    return Layers(overlay(high, overlay(own, low)), variables, tuple(map(top, declared.values())))


def command_line(project: Project) -> dict[str, Tree]:
    """The `--var` values: data, never templates, above every other layer."""
    return {name: Written(value, "command line") for name, value in project.cli_vars.items()}


def _project_fields(values: Mapping[str, Json], layer: str, settings: YamlDocument, pointer: Any) -> dict[str, Tree]:
    return fields(Written(values, layer, settings, pointer), leave_out=_ITEM_ONLY)


def _project_output(project: Project, settings: YamlDocument) -> Written:
    if isinstance(settings.root, dict) and "output" in settings.root:
        return Written(project.output, "project", settings, ("output",))
    return Written(project.output, "built-in")


def _names(written: Written, problems: Problems | None = None) -> dict[str, Tree]:
    """Declared variables by name; with `problems`, names that cannot be used are reported and left out."""
    if not isinstance(written.value, dict):
        return {}
    found: dict[str, Tree] = {}
    for name in written.value:
        value = written.below(name)
        problem = _bad_name(name)
        if problem is None:
            found[name] = tree(value)
        elif problems is not None:
            problems.about(f"variable `{name}`", value, "bad-name", problem, key=True, hint="choose another name")
    return found


def _bad_name(name: str) -> str | None:
    if name in RESERVED:
        return "has a name that templates use for something else"
    if not name.isidentifier():
        return "has a name that templates cannot write: letters, digits and `_` only, no digit first"
    return None


def entries_of(document: YamlDocument) -> Iterator[tuple[int, dict[str, Json]]]:
    """The entries of `items` that are maps, with their positions in the list."""
    root = document.root
    items = root.get("items") if isinstance(root, dict) else None
    for index, entry in enumerate(items if isinstance(items, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def expand(
    document: YamlDocument,
    below: Layers,
    data: Mapping[int, Sequence[DataRow]],
    cli: Mapping[str, Tree],
    problems: Problems,
) -> list[Declared]:
    """Every item of a manifest with its layers and combinations.

    `data` holds the rows of data files by the position of the item; an item whose file could not be read has
    none and is left out, so that the rest of it is not checked either. `cli` are the variables of the command line.
    """
    shared = overlay(cli, below.variables)
    found: list[Declared] = []
    room = MAX_INSTANCES
    for index, entry in entries_of(document):
        if isinstance(entry.get("for_each"), str) and index not in data:
            continue
        written = Written(entry, "item", document, ("items", index))
        name = entry.get("id")
        label = f"item `{str(name)[:200]}`" if isinstance(name, str | int) else f"item {index + 1}"
        own = _names(written.below("vars"), problems) if "vars" in entry else {}
        each = _combinations(written, label, data.get(index), room, problems)
        room -= len(each or ())
        found.append(
            Declared(
                document=document,
                index=index,
                label=label,
                fields=overlay(fields(written, leave_out=_OWN_KEYS), below.defaults),
                variables=overlay(cli, overlay(own, below.variables)) if own else shared,
                own_variables=tuple(map(top, own.values())),
                each=each,
            )
        )
    return found


def _combinations(
    written: Written, label: str, rows: Sequence[DataRow] | None, room: int, problems: Problems
) -> tuple[Each, ...] | None:
    entry = written.value
    if "for_each" in entry and "matrix" in entry:
        return ()
    if "for_each" in entry:
        return _rows(written.below("for_each"), label, rows, room, problems)
    if isinstance(entry.get("matrix"), dict):
        return _matrix(written.below("matrix"), label, room, problems)
    return None


def _rows(
    written: Written, label: str, rows: Sequence[DataRow] | None, room: int, problems: Problems
) -> tuple[Each, ...]:
    inline = isinstance(written.value, list)
    if inline and _refuse_templates(written, label, problems):
        return ()
    count = len(written.value if inline else rows or ())
    if not count and (inline or rows is not None):
        core = "makes no items: its `for_each` is empty"
        problems.about(label, written, "empty-for-each", core, severity=Severity.WARNING)
    if not _has_room(count, room, written, label, problems):
        return ()
    if not inline:
        return tuple(_each(row.value, row.location, f"{row.location.file}:{row.location.line}") for row in rows or ())
    found = [written.below(index) for index in range(count)]
    return tuple(_each(entry.value, entry.location, str(entry.location)) for entry in found)


def _has_room(count: int, room: int, written: Written, label: str, problems: Problems) -> bool:
    """Whether so many items still fit into their file."""
    if count > room:
        others = "" if room == MAX_INSTANCES else ", with those above it"
        core = f"would become {count} items{others}, more than {MAX_INSTANCES} in one file"
        axes = isinstance(written.value, dict)
        hint = f"{'shorten an axis' if axes else 'split the data'}, or declare it in a file of its own"
        problems.about(label, written, "too-many-items", core, key=axes, hint=hint)
    return count <= room


def _each(value: Json, location: Location | None, label: str) -> Each:
    """One row: a map is `each` itself; anything else is `each.value`."""
    return Each(value if isinstance(value, dict) else {"value": value}, label, location)


def _refuse_templates(written: Written, label: str, problems: Problems) -> bool:
    """Whether data holds Jinja, which would reach the texts as it is written."""
    source = next(templates_in(written.value), None)
    if source is not None:
        core = f"holds Jinja in its data (`{source.strip()[:40]}`), which is never rendered"
        hint = "use the variable in the item's fields instead"
        problems.about(label, written, "template-in-data", core, hint=hint)
    return source is not None


def _matrix(written: Written, label: str, room: int, problems: Problems) -> tuple[Each, ...]:
    """The cross product of the axes: the last one changes fastest."""
    axes = written.value
    if (
        not axes
        or not all(isinstance(values, list) for values in axes.values())
        or _refuse_templates(written, label, problems)
    ):
        return ()
    count = math.prod(len(values) for values in axes.values())
    empty = next((axis for axis, values in axes.items() if not values), None)
    if empty is not None:
        core = f"makes no items: the axis `{empty}` of its `matrix` is empty"
        problems.about(label, written, "empty-for-each", core, key=True, severity=Severity.WARNING)
    if not _has_room(count, room, written, label, problems):
        return ()
    places = {axis: [written.below(axis).below(index).location for index in range(len(axes[axis]))] for axis in axes}
    found: list[Each] = []
    for choice in itertools.product(*(range(len(axes[axis])) for axis in axes)):
        chosen = dict(zip(axes, choice, strict=True))
        values = {axis: axes[axis][index] for axis, index in chosen.items()}
        label = ", ".join(f"{axis} `{str(value)[:40]}`" for axis, value in values.items())
        found.append(Each(values, label, None, {axis: places[axis][index] for axis, index in chosen.items()}))
    return tuple(found)
