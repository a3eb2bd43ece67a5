"""Expands the entries of a manifest into items: one for each data row and each combination of a `matrix`.

It also merges defaults and variables of the project, the manifest and the environment. Values that violate the JSON
Schema of manifests are skipped here, because the schema check reports them.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, structs

from contentops.errors import Location, Severity
from contentops.manifests.templates import Scope, Templates, Uses, root_of
from contentops.manifests.values import (
    FUNCTIONS,
    MISSING,
    OWN_KEYS,
    DataRow,
    Each,
    Opened,
    Problems,
    TemplateError,
    Written,
    find,
    is_template,
    kind_of,
    merge,
    merged,
    misspelt,
    opened,
    paths,
    templates_in,
)
from contentops.model import Json, Origin, Project
from contentops.yaml.positions import Source, YamlDocument

MAX_INSTANCES: Final = 200_000
"""Most items of one file."""


_ROWS: Final = ""
"""The key of `for_each` among the names of axes."""
_ITEM_ONLY: Final = OWN_KEYS | {"id"}


class Layers(Struct, frozen=True):
    """The defaults and variables that all items of a manifest share."""

    fields: tuple[Written, ...]
    """The maps of default fields, the highest first."""
    defaults: Mapping[str, Json]
    """The default fields, merged (see `values.merged`)."""
    vars: tuple[Written, ...]
    """The maps of variables, the highest first, without those of items."""
    variables: Mapping[str, Json]
    """The variables, merged."""
    cli: Written
    """The variables of the command line, which rank above all and are never rendered."""
    local: tuple[Written, ...] = ()
    """The variables that the manifest itself declares; unused ones are reported."""


class Declared(Struct, frozen=True, gc=False):
    """One entry of `items`, before rendering. It is merged with the defaults and variables that apply to it."""

    written: Written
    """The entry itself."""
    below: Layers
    values: Mapping[str, Json]
    """Its fields (see `values.merged`)."""
    open: Mapping[str, Sequence[Opened]]
    """By field, the values that contain templates."""
    variables: Mapping[str, Json]
    own_variables: Written | None = None
    """The variables that it declares itself."""
    each: tuple[Each, ...] | None = None
    """The combinations, None for an item without `for_each` and `matrix`."""
    misspelt: frozenset[str] = frozenset()
    """Fields that misspelt keys were probably meant to set. Problems that follow from this are not reported."""

    def find(self, path: Iterable[str | int]) -> tuple[Written, bool]:
        """Return where the value of a field is set, and whether it is set at all (see `values.find`)."""
        return find((self.written, *self.below.fields), path)

    @property
    def vars(self) -> tuple[Written, ...]:
        """Return the maps of the item's variables. A value in an earlier map overrides those in later maps."""
        own = () if self.own_variables is None else (self.own_variables,)
        return self.below.cli, *own, *self.below.vars

    @property
    def label(self) -> str:
        """Return the item's name for messages: its id as written, or its number if it has no id."""
        return _label(self.written)

    @property
    def location(self) -> Location:
        """Return the location in the manifest where the item starts."""
        document, index = self.written.document, self.written.pointer[1]
        assert document is not None
        return Location(document.source.path, *document.root["items"].positions[index])

    @property
    def templates(self) -> Iterator[Opened]:
        """Yield the item's values that contain templates."""
        return itertools.chain.from_iterable(self.open.values())


def _label(written: Written) -> str:
    name = written.value.get("id")
    return f"item `{str(name)[:200]}`" if isinstance(name, str | int) else f"item {int(written.pointer[1]) + 1}"


def layers(project: Project, project_source: Source, document: YamlDocument) -> Layers:
    """Merge the defaults and variables of the project, a manifest and the environment.

    The environment has the highest rank, the project the lowest.
    """
    settings = YamlDocument(project_source, project.settings)
    env = ("environments", project.environment)
    manifest = document.root if isinstance(document.root, dict) else {}
    output: dict[str, Json] = {"output": project.output}
    over_output: dict[str, Json] = {"output": project.environment_output}
    fields = (
        Written({"mode": "standard", **output}, "built-in"),
        Written(output if "output" in project.settings else {}, "project", settings),
        _defaults(Written(project.defaults, "project", settings, ("defaults",))),
        _defaults(Written(manifest.get("defaults"), "manifest", document, ("defaults",))),
        Written({} if project.environment_output is None else over_output, "environment", settings, env),
        _defaults(Written(project.environment_defaults, "environment", settings, (*env, "defaults"))),
    )
    below = _map(Written(project.vars, "project", settings, ("vars",)))
    declared = _map(Written(manifest.get("vars"), "manifest", document, ("vars",)))
    over = _map(Written(project.environment_vars, "environment", settings, (*env, "vars")))
    variables: Mapping[str, Json] = {**dict.fromkeys(below.value), **merge(below.value, {})}
    return Layers(
        fields=tuple(reversed(fields)),
        defaults=functools.reduce(lambda lower, layer: merged(layer.value, lower), fields, {}),
        vars=(over, declared, below),
        variables=merge(over.value, merge(declared.value, variables)),
        cli=Written(project.cli_vars, "command line"),
        local=tuple(map(declared.below, declared.value)),
    )


def _map(written: Written) -> Written:
    """Return a written value if it is a map, otherwise an empty map."""
    return written if isinstance(written.value, dict) else structs.replace(written, value={})


def _defaults(written: Written) -> Written:
    """Return the fields of a `defaults` map. Fields that only an item can have are left out."""
    value = {key: below for key, below in _map(written).value.items() if key not in _ITEM_ONLY}
    return structs.replace(written, value=value)


def expand(
    document: YamlDocument,
    below: Layers,
    read: Callable[[Written, str], Sequence[DataRow] | None],
    templates: Templates,
    problems: Problems,
) -> Iterator[Declared]:
    """Yield every entry of `items`, merged with its defaults and variables and expanded into its combinations.

    `read` returns the rows of the data file that `for_each` or an axis of `matrix` names. If the file cannot be read,
    `read` reports this and returns None, and the entry is omitted. `templates` compiles the expressions of `where`.
    """
    cli = below.cli.value
    shared = merge(cli, below.variables)
    room, root = MAX_INSTANCES, document.root
    items = root.get("items") if isinstance(root, dict) else None
    for index, entry in enumerate(items if isinstance(items, list) else ()):
        if not isinstance(entry, dict):
            continue
        written = Written(entry, "item", document, ("items", index))
        each = None
        if "for_each" in entry or "matrix" in entry:
            sources = _Sources(written, _label(written), read, templates, problems)
            each = _combinations(sources, room)
            if sources.is_unread:
                continue
            room -= len(each)
        own = _map(written.below("vars")) if entry.get("vars") else None
        values = merged(entry, below.defaults)
        open_: dict[str, list[Opened]] = {}
        for one in opened(values):
            open_.setdefault(str(one[1][0]), []).append(one)
        yield Declared(
            written=written,
            below=below,
            values=values,
            open=open_,
            variables=shared if own is None else merge(cli, merge(own.value, below.variables)),
            own_variables=own,
            each=each,
        )


def with_misspelt(
    declared: Iterable[Declared], document: YamlDocument, schema: Mapping[str, Any]
) -> Iterator[Declared]:
    """Yield each item with the fields that its misspelt keys were probably meant to set.

    This is for a manifest that violates its schema.
    """
    root = document.root if isinstance(document.root, dict) else {}
    item, defaults = (schema["definitions"][name]["properties"] for name in ("item", "defaults"))
    shared = misspelt(root, schema["properties"]) | misspelt(root.get("defaults"), defaults)
    if "defaults" in shared:
        shared |= defaults.keys()
    for entry in declared:
        yield structs.replace(entry, misspelt=shared | misspelt(entry.written.value, item))


_OPEN: Final = "{{ "
_ASSIGNED: Final = re.compile(r"(?<![=!<>])=(?!=)")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


class _Sources:
    """Reads and filters the data rows for the `for_each` and `matrix` of one item."""

    def __init__(
        self,
        item: Written,
        label: str,
        read: Callable[[Written, str], Sequence[DataRow] | None],
        templates: Templates,
        problems: Problems,
    ) -> None:
        self.item = item
        self.label = label
        self.read = read
        self.is_unread = False
        """Whether a data file cannot be read."""
        self.templates = templates
        self.problems = problems
        self.query = item.below("for_each") if isinstance(item.value.get("for_each"), dict) else None
        """A `for_each` that is a map."""

    def written(self) -> dict[str, Written]:
        """Return the written values of `for_each` and of each `matrix` axis. The key of `for_each` is `_ROWS`."""
        sources: dict[str, Written] = {}
        if "for_each" in self.item.value:
            sources[_ROWS] = self.item.below("for_each")
        if self.query is not None:
            data = (self.query.value.get("data"), self.query.layer, self.query.document)
            sources[_ROWS] = Written(*data, (*self.query.pointer, "data"))
        if self.item.has("matrix"):
            matrix = _map(self.item.below("matrix"))
            sources |= {axis: matrix.below(axis) for axis in matrix.value} or {"matrix": matrix}
        return sources

    def rows(self, axis: str, source: Written) -> Sequence[DataRow] | None:
        """Return the rows of `for_each` or the values of a `matrix` axis, or None if they cannot be read."""
        if isinstance(source.value, list):
            values = enumerate(source.value)
            return [DataRow(value, source.below(at).location, is_inline=True) for at, value in values]
        rows = self.read(source, axis) if isinstance(source.value, str) else None
        self.is_unread |= rows is None and isinstance(source.value, str)
        return rows

    def warn_empty(self, source: Written, why: str) -> None:
        """Warn about an entry that makes no item, because it has no rows."""
        core = f"makes no items: {why}"
        self.problems.about(self.label, source, "empty-for-each", core, severity=Severity.WARNING)

    def choose(self, query: Written, rows: Sequence[DataRow]) -> Sequence[DataRow] | None:
        """Return the rows that `where` and `limit` of a `for_each` choose, or None after an error."""
        where, limit = query.value.get("where"), query.value.get("limit")
        chosen: Sequence[DataRow] | None = rows
        if isinstance(where, str):
            chosen = self._where(query.below("where"), where, rows)
        return chosen[:limit] if chosen and isinstance(limit, int) and limit > 0 else chosen

    def _where(self, written: Written, text: str, rows: Sequence[DataRow]) -> list[DataRow] | None:
        """Return the rows for which the `where` expression is true, or None after an error."""
        if is_template(text):
            hint = "write the expression alone: `where: each.population | int > 1000`"
            self.problems.about(self.label, written, "bad-where", "has `{{` or `{%` in `where`", hint=hint)
            return None
        template = self.templates.get(f"{_OPEN}{text} }}}}")
        if template.problem is not None:
            hint = "compare with `==`" if _ASSIGNED.search(_QUOTED.sub("''", text)) else ""
            self._failed(self.label, written, template.problem, hint)
            return None
        known = FUNCTIONS | self.templates.names
        other = next((name for name in template.names if root_of(name) != "each" and name not in known), None)
        if other is not None:
            core = f"uses `{root_of(other)}` in `where`, which knows only `each`"
            hint = (
                f"the column is `each.{root_of(other)}`" if any(root_of(other) in row.columns for row in rows) else ""
            )
            self.problems.about(self.label, written, "bad-where", core, hint=hint)
            return None
        failed = False
        chosen: list[DataRow] = []
        for row in rows:
            subject = f"{self.label} ({row.label})"
            try:
                value = template.render(functools.partial(_look_up, row.columns))
            except TemplateError as error:
                self._failed(subject, written, error)
                failed = True
                if error.code == "template-limit":
                    break  # it would take as long for each row
                continue
            if not isinstance(value, bool):
                core = f"has a `where` that gives {kind_of(value)} instead of true or false"
                self.problems.about(subject, written, "bad-where", core, hint='compare it: `each.open == "yes"`')
                failed = True
            elif value:
                chosen.append(row)
        return None if failed else chosen

    def _failed(self, subject: str, written: Written, error: TemplateError, hint: str = "") -> None:
        file, offset = self.templates.macros, max(0, error.offset - len(_OPEN))
        if error.in_macros and file:
            written, offset = file.written, error.offset
        core = f"has a problem in `where`: {error.message}"
        self.problems.about(subject, written, error.code, core, hint=hint or error.hint, offset=offset)


def _look_up(columns: Mapping[str, Json], name: str) -> Any:
    return columns if name == "each" else MISSING


def _combinations(item: _Sources, room: int) -> tuple[Each, ...]:
    """Return all combinations of a `for_each` row and one value of each axis. The last axis changes fastest."""
    sources = item.written()
    rows = {name: item.rows(name, source) for name, source in sources.items()}
    parts = {name: part for name, part in rows.items() if part is not None}
    refused = [
        _refuse_templates(source, item.label, item.problems) for source in sources.values() if not item.is_unread
    ]
    if any(refused) or len(parts) < len(rows) or not rows:
        return ()
    empty = next((name for name, part in parts.items() if not part), None)
    if empty is not None:
        what = f"the axis `{empty}` of its `matrix`" if empty else "its `for_each`"
        item.warn_empty(sources[empty], f"{what} is empty")
    if item.query is not None and parts[_ROWS]:
        chosen = item.choose(item.query, parts[_ROWS])
        if chosen is None:
            return ()
        if not chosen:
            item.warn_empty(item.query, "its `for_each` chooses none of the rows")
        parts[_ROWS] = chosen
    columns = {column for row in parts.get(_ROWS, ()) for column in row.columns} if len(parts) > 1 else set()
    twice = next((axis for axis in parts if axis and axis in columns), None)
    count, axes = math.prod(map(len, parts.values())), "matrix" in item.item.value
    if count > room:
        others = "" if room == MAX_INSTANCES else ", with those above it"
        core = f"would become {count} items{others}, more than {MAX_INSTANCES} in one file"
        hint = f"{'shorten an axis' if axes else 'split the data'}, or declare it in its own file"
        at = item.item.below("matrix" if axes else "for_each")
        item.problems.about(item.label, at, "too-many-items", core, key=axes, hint=hint)
    elif twice is not None:
        core = f"has `{twice}` as an axis of its `matrix` and as a column of its `for_each`"
        hint = f"rename the axis: both would be `each.{twice}`"
        item.problems.about(item.label, sources[twice], "each-twice", core, key=True, hint=hint)
    else:
        return tuple(_each(dict(zip(parts, choice, strict=True))) for choice in itertools.product(*parts.values()))
    return ()


def _each(chosen: Mapping[str, DataRow]) -> Each:
    """Return the values of `each` for one combination of a row and a value of each axis."""
    row = chosen.get(_ROWS)
    if row is not None and len(chosen) == 1:
        return Each(row.columns, row.label, row.location)
    axes = {name: part for name, part in chosen.items() if name}
    labels = [] if row is None else [row.label]
    for name, part in axes.items():
        labels.append(f"{name} {part.label}" if isinstance(part.value, dict) else f"{name} `{str(part.value)[:40]}`")
    values = {**(row.columns if row else {}), **{name: part.value for name, part in axes.items()}}
    locations = {name: part.location for name, part in axes.items()}
    return Each(values, ", ".join(labels), row.location if row else None, locations)


def _refuse_templates(written: Written, label: str, problems: Problems) -> bool:
    """Report data that contains Jinja, because data is not rendered. Return whether there was any."""
    source = next(templates_in(written.value), None)
    if source is not None:
        core = f"has Jinja in its data (`{source.strip()[:40]}`), which is not rendered"
        problems.about(label, written, "template-in-data", core, hint="use the variable in the item's fields instead")
    return source is not None


# --- origins -----------------------------------------------------------------------------------------------


class Origins(Mapping[str, Origin]):
    """A map from the name of a field or variable to the place where its value was set.

    `compute` runs when an entry is first read.
    """

    def __init__(self, compute: Callable[..., dict[str, Origin]], *parts: object) -> None:
        self._compute, self._parts = compute, parts

    @functools.cached_property
    def _origins(self) -> dict[str, Origin]:
        return self._compute(*self._parts)

    def __getitem__(self, name: str) -> Origin:
        return self._origins[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)


def of_fields(declared: Declared, uses: Uses) -> dict[str, Origin]:
    """Return where each field of an item was set. The names of inner fields have dots."""
    found = ((".".join(map(str, path)), declared.find(path)[0]) for path in paths(declared.values))
    return {
        name: Origin(layer=each.layer, location=each.location, variables=uses.variables.get(name, ()))
        for name, each in found
    }


def of_variables(declared: Declared, uses: Uses, scope: Scope, each: Each | None) -> dict[str, Origin]:
    """Return where each variable that an item uses was set."""
    origins: dict[str, Origin] = {}
    for name in uses.known(each):
        if each is not None and root_of(name) == "each":
            at = each.locations.get(name.partition(".")[2], each.location)
            origins[name] = Origin(layer="data", location=at)
        else:
            written, others = find(declared.vars, (name,))[0], tuple(sorted(scope.reach(name) - {name}))
            origins[name] = Origin(layer=written.layer, location=written.location, variables=others)
    return origins
