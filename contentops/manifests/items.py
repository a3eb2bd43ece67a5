"""The items of one manifest file: each rendered and checked, their ids told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contentops.errors import Location, Severity
from contentops.manifests.layers import Written
from contentops.manifests.render import Rendered, render_item
from contentops.manifests.templates import Scope, Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contentops.manifests.expand import Declared, Layers
    from contentops.manifests.problems import Problems
    from contentops.manifests.templates import Templates
    from contentops.model import Json, Spec


@dataclass(slots=True)
class FileItems:
    """What the declarations of one file became."""

    specs: list[Spec] = field(default_factory=list)
    claims: list[tuple[str, Location]] = field(default_factory=list)
    """The ids of items with errors, and where they are declared."""
    used: list[tuple[str, ...]] = field(default_factory=list)
    """The variables each declaration uses."""
    complete: bool = True
    """Whether every id is known."""


def make_items(
    declared: Sequence[Declared],
    problems: Problems,
    *,
    builtin: Mapping[str, Json],
    templates: Templates,
    check: Callable[[Rendered, Problems], Spec | None],
) -> FileItems:
    """Render and `check` every item; `builtin` are the names all templates know besides variables."""
    scopes: dict[int, Scope] = {}
    ids: dict[str, Rendered] = {}
    made = FileItems()
    for entry in declared:
        scope = scopes.get(id(entry.variables))
        if scope is None:
            scope = scopes[id(entry.variables)] = Scope(entry.variables, builtin, templates)
        uses = Uses(entry, scope)
        made.used.append(uses.names)
        if not entry.each and entry.each is not None:
            made.complete = False
        if not _may_multiply(entry, uses, problems):
            made.complete = False
            continue
        for each in (None,) if entry.each is None else entry.each:
            rendered = render_item(entry, each, scope, uses, problems)
            _sort_in(made, rendered, check(rendered, problems), ids, problems)
    return made


def _sort_in(
    made: FileItems, rendered: Rendered, spec: Spec | None, ids: dict[str, Rendered], problems: Problems
) -> None:
    """Keep a spec, or at least the id of an item with errors; of two with one id the first."""
    name = spec.id if spec else rendered.values.get("id")
    if not isinstance(name, str):
        made.complete = False
        return
    first = ids.setdefault(name, rendered)
    if first is not rendered:
        _report_duplicate(rendered, first, name, problems)
    elif spec:
        made.specs.append(spec)
    else:
        made.claims.append((name, rendered.declared.location))


def _may_multiply(declared: Declared, uses: Uses, problems: Problems) -> bool:
    """Whether an item with `for_each` or `matrix` tells its rows apart by `each`."""
    if declared.each is None or "id" not in declared.fields:
        return True
    if any(name.partition(".")[0] == "each" for name in uses.of("id")):
        return True
    written = declared.fields["id"]
    assert isinstance(written, Written)
    hint = "name a column that stays the same: `{{ each.slug }}`; for plain values `{{ each.value }}`"
    core = "makes several items, so its id must use `each`"
    problems.about(declared.label, written, "id-without-each", core, hint=hint)
    return False


def _report_duplicate(rendered: Rendered, first: Rendered, name: str, problems: Problems) -> None:
    written = rendered.declared.fields["id"]
    assert isinstance(written, Written)
    here = f" ({rendered.each.label})" if rendered.each else ""
    there = first.each.label if first.each and first.each.location else f"{first.declared.location}"
    if first.each and not first.each.location:
        there += f" ({first.each.label})"
    # All of it tells one from the other: what is left to be equal is the place and the code.
    said = f"item `{name[:200]}`{here} is declared twice: first at {there}"
    problems.about(said, written, "duplicate-id", "", hint="ids are unique in the whole project: rename one")


def warn_unused(
    below: Layers, declared: Sequence[Declared], used: Sequence[tuple[str, ...]], problems: Problems
) -> None:
    """Warn about variables of the manifest that no item uses, and of an item that the item itself does not."""
    everywhere = frozenset().union(*used)
    idle = [(written, "any item") for written in below.local if declared and written.pointer[-1] not in everywhere]
    for entry, names in zip(declared, used, strict=True):
        idle += [(written, entry.label) for written in entry.own_variables if written.pointer[-1] not in names]
    for written, whom in idle:
        core = f"variable `{written.pointer[-1]}` is not used by {whom}"
        hint = "remove it, or use it"
        problems.about("", written, "unused-variable", core, key=True, hint=hint, severity=Severity.WARNING)
