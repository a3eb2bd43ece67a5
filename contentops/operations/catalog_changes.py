"""What changed upstream between two snapshots of one server's catalog, and which items that concerns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from contentops.model import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.model import CatalogEntry, CatalogSnapshot, Request, TemplateInput

Kind = Literal["template", "style", "vertical"]


class CatalogChange(Struct, frozen=True, kw_only=True):
    """One thing that is new, gone or other than before. `details` say what changed; `items` are those that use it."""

    kind: Kind
    how: Literal["added", "removed", "changed"]
    slug: str
    details: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


def changes_between(
    before: CatalogSnapshot | None, after: CatalogSnapshot, used: Iterable[tuple[str, Request]]
) -> tuple[CatalogChange, ...]:
    """What changed, templates first, each by slug. Without a snapshot before, nothing did.

    `used` are the ids of items and what they ask for. Names and descriptions are not compared: they change nothing.
    """
    if before is None:
        return ()
    users = _users(used)
    found = [*_compare("template", before.templates, after.templates), *_compare("style", before.styles, after.styles)]
    if before.verticals is not None and after.verticals is not None:
        # Verticals that a server does not show are unknown, which is not the same as gone.
        found += _compare("vertical", before.verticals, after.verticals)
    return tuple(structs.replace(each, items=users.get((each.kind, each.slug), ())) for each in found)


def _users(used: Iterable[tuple[str, Request]]) -> dict[tuple[Kind, str | None], tuple[str, ...]]:
    found: dict[tuple[Kind, str | None], set[str]] = {}
    for item, request in used:
        found.setdefault(("template", request.template), set()).add(item)
        found.setdefault(("style", request.style), set()).add(item)
        found.setdefault(("vertical", request.vertical), set()).add(item)
    return {key: tuple(sorted(items)) for key, items in found.items()}


def _compare(
    kind: Kind, before: Mapping[str, Template | CatalogEntry], after: Mapping[str, Template | CatalogEntry]
) -> Iterator[CatalogChange]:
    for slug in sorted({*before, *after}):
        old, new = before.get(slug), after.get(slug)
        if old is None or new is None:
            yield CatalogChange(kind=kind, how="added" if old is None else "removed", slug=slug)
        elif details := tuple(_details(old, new)):
            yield CatalogChange(kind=kind, how="changed", slug=slug, details=details)


def _details(old: Template | CatalogEntry, new: Template | CatalogEntry) -> Iterator[str]:
    if isinstance(old, Template) and isinstance(new, Template):
        yield from _inputs(old, new)
    # A manner that is shown for the first time, or no more, is no change of it.
    if old.manner and new.manner and old.manner != new.manner:
        yield "it writes in another manner"


def _inputs(before: Template, after: Template) -> Iterator[str]:
    if not (before.inputs_known and after.inputs_known):
        if before.inputs_known != after.inputs_known:
            yield "its inputs are known now" if after.inputs_known else "its inputs are no longer told"
        return
    old, new = {each.name: each for each in before.inputs}, {each.name: each for each in after.inputs}
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"input `{name}` is new{', and required' if new[name].required else ''}"
        elif name not in new:
            yield f"input `{name}` is gone"
        else:
            yield from _input(old[name], new[name])


def _input(old: TemplateInput, new: TemplateInput) -> Iterator[str]:
    if old.required != new.required:
        yield f"input `{old.name}` is {'now required' if new.required else 'no longer required'}"
    if old.kind != new.kind:
        yield f"input `{old.name}` takes `{new.kind}` instead of `{old.kind}`"
    # Options are a set to choose from; `1`, `1.0` and `true` are three of them, so they are compared as written.
    if set(map(repr, old.options)) != set(map(repr, new.options)):
        yield f"input `{old.name}` has other options"
    if old.default != new.default:
        yield f"input `{old.name}` has another default"
