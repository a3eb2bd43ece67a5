"""How an offer differs from the one before, and whom that concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate
    from contentops.model import Request

Kind = Literal["template", "style", "vertical"]
How = Literal["added", "removed", "changed"]


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is new, gone or other than before. `details` say what changed; `items` are those that use it."""

    kind: Kind
    how: How
    slug: str
    details: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


def differences(before: Offer | None, after: Offer, used: Iterable[tuple[str, Request]]) -> tuple[Difference, ...]:
    """What changed, templates first, each by slug. Without an offer before, nothing did.

    `used` are the ids of items and what they ask for. Names and descriptions are not compared: they change nothing.
    """
    if before is None:
        return ()
    users = _users(used)
    found = (
        *_templates(before.templates, after.templates),
        *_choices("style", before.styles, after.styles),
        # Verticals that a server does not tell are unknown, which is not the same as gone.
        *(
            _choices("vertical", before.verticals, after.verticals)
            if before.verticals is not None and after.verticals is not None
            else ()
        ),
    )
    return tuple(structs.replace(each, items=users.get((each.kind, each.slug), ())) for each in found)


def _users(used: Iterable[tuple[str, Request]]) -> dict[tuple[Kind, str], tuple[str, ...]]:
    found: dict[tuple[Kind, str], set[str]] = {}
    for item, request in used:
        named: tuple[tuple[Kind, str | None], ...] = (
            ("template", request.template),
            ("style", request.style),
            ("vertical", request.vertical),
        )
        for kind, slug in named:
            if slug is not None:
                found.setdefault((kind, slug), set()).add(item)
    return {key: tuple(sorted(items)) for key, items in found.items()}


def _templates(before: Mapping[str, OfferedTemplate], after: Mapping[str, OfferedTemplate]) -> Iterator[Difference]:
    for slug in sorted({*before, *after}):
        old, new = before.get(slug), after.get(slug)
        if old is None or new is None:
            yield Difference(kind="template", how="added" if old is None else "removed", slug=slug)
        elif details := (*_inputs(old.inputs, new.inputs), *_manner(old.manner, new.manner)):
            yield Difference(kind="template", how="changed", slug=slug, details=details)


def _choices(
    kind: Kind, before: Mapping[str, OfferedChoice], after: Mapping[str, OfferedChoice]
) -> Iterator[Difference]:
    for slug in sorted({*before, *after}):
        old, new = before.get(slug), after.get(slug)
        if old is None or new is None:
            yield Difference(kind=kind, how="added" if old is None else "removed", slug=slug)
        elif details := tuple(_manner(old.manner, new.manner)):
            yield Difference(kind=kind, how="changed", slug=slug, details=details)


def _manner(before: str, after: str) -> Iterator[str]:
    # A manner that is told for the first time, or no more, is no change of it.
    if before and after and before != after:
        yield "it writes in another manner"


def _inputs(before: tuple[OfferedInput, ...] | None, after: tuple[OfferedInput, ...] | None) -> Iterator[str]:
    if before is None or after is None:
        if before is not after:
            yield "its inputs are known now" if before is None else "its inputs are no longer told"
        return
    old, new = {each.name: each for each in before}, {each.name: each for each in after}
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"input `{name}` is new{', and required' if new[name].required else ''}"
        elif name not in new:
            yield f"input `{name}` is gone"
        else:
            yield from _input(old[name], new[name])


def _input(old: OfferedInput, new: OfferedInput) -> Iterator[str]:
    if old.required != new.required:
        yield f"input `{old.name}` is {'now required' if new.required else 'no longer required'}"
    if old.kind != new.kind:
        yield f"input `{old.name}` takes `{new.kind}` instead of `{old.kind}`"
    if set(map(repr, old.options)) != set(map(repr, new.options)):
        yield f"input `{old.name}` has other options"
    if old.default != new.default:
        yield f"input `{old.name}` has another default"
