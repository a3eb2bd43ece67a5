"""Whether a value fits one of our own schemas is what jsonschema says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from contentops.manifests.schema_fits import fits
from contentops.schema_files import load_schema

NAMES = ("project", "manifest", "catalog", "adopt")
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 1.5, -1, "", "a", "A_B", "{{ x }}", "1.0", "block", "x" * 300])


def _values(schema: Any, definitions: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values near to a schema: each part as it is asked for, or another value in its place."""
    if isinstance(schema, bool) or depth > 6:
        return SCALARS
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].removeprefix("#/definitions/")], definitions, depth)
    fitting = [st.sampled_from(schema["enum"])] if "enum" in schema else []
    fitting += [st.just(schema["const"])] if "const" in schema else []
    fitting += [st.just(each) for each in schema.get("examples", [])]
    fitting += [_values(part, definitions, depth + 1) for part in schema.get("anyOf", ())]
    if "items" in schema:
        fitting.append(st.lists(_values(schema["items"], definitions, depth + 1), max_size=3))
    if "properties" in schema or "additionalProperties" in schema:
        known = {key: _values(part, definitions, depth + 1) for key, part in schema.get("properties", {}).items()}
        needed = {key: known.pop(key) for key in schema.get("required", ()) if key in known}
        others = st.dictionaries(SCALARS.filter(lambda key: isinstance(key, str)), SCALARS, max_size=1)
        whole = st.fixed_dictionaries(needed, optional=known)
        fitting += [whole, whole, st.builds(lambda one, other: {**one, **other}, whole, others)]
    return st.one_of(*fitting, SCALARS)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_it_is_what_jsonschema_says(name: str, data: st.DataObject, takes_seconds: None) -> None:
    """Of values that fit, nearly fit, and do not."""
    schema, test = load_schema(name), fits(name)
    value = data.draw(_values(schema, schema.get("definitions", {})))
    assert test is not None, "it has a keyword that the test does not know"
    assert test(value) == Draft7Validator(schema).is_valid(value)
