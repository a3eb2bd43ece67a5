"""The differences between a declared request and the recorded one, field by field, with their causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import NOTHING, is_same_json
from contentops.model import Reason
from contentops.model.references import READERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Json, Record, Spec


def flatten(request: Mapping[str, Json]) -> dict[str, Json]:
    """A request as one level of fields: `template`, `inputs.topic`, ..."""
    fields = {key: value for key, value in request.items() if key != "inputs"}
    if isinstance(inputs := request.get("inputs"), dict):
        fields.update({f"inputs.{key}": value for key, value in inputs.items()})
    return fields


def explain(spec: Spec, record: Record) -> tuple[Reason, ...]:
    """One reason per field of the request that differs, in field order."""
    before, after = flatten(record.request), flatten(spec.request.as_json())
    return tuple(
        Reason(
            kind="added" if name not in before else "removed" if name not in after else "changed",
            field=name,
            before=before.get(name),
            after=after.get(name),
            cause=cause(name, spec, record),
        )
        for name in sorted(before.keys() | after.keys())
        if not is_same_json(before.get(name), after.get(name))
    )


def cause(name: str, spec: Spec, record: Record) -> str:
    """The variable or default that changed a field; empty: the item itself changed."""
    origin = spec.origins.get(name)
    if origin is None:
        return ""
    for variable in origin.variables:
        if variable in spec.used and record.used.get(variable) not in (None, spec.used[variable]):
            variable_origin = spec.variables.get(variable)
            return f"var `{variable}`" + (
                f" in {variable_origin.location}" if variable_origin and variable_origin.location else ""
            )
    if not READERS.isdisjoint(origin.variables) and (sources := changed_sources(spec, record)):
        return f"the text of {' and '.join(f'`{id_}`' for id_ in sources[:3])}"
    if origin.layer in ("project", "environment", "manifest"):
        return f"default `{name}`" + (f" in {origin.location}" if origin.location else "")
    return ""


def changed_sources(spec: Spec, record: Record) -> tuple[ItemId, ...]:
    """The items whose texts are others than those that the record's text was made from."""

    def before(id_: ItemId) -> Digest:
        return record.sources.get(id_) or record.sources.get(spec.earlier_ids.get(id_, id_), NOTHING)

    return tuple(one.id for one in spec.references if before(one.id) != one.text)
