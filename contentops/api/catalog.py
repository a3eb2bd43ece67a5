"""Reads catalog entries from a server's descriptions, in every known shape. Pure.

Entries are committed and shown: texts become one clean line, slugs and names that no manifest can have are left out,
and everything is bounded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from contentops.digest import digest_text, short
from contentops.documents.clean import clean_title
from contentops.model import CatalogEntry, Template, TemplateInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.model import Json

KINDS: Mapping[str, str] = {
    **{kind: kind for kind in ("text", "textarea", "number", "select", "multiselect", "checkbox", "list")},
    "integer": "number",
    "boolean": "checkbox",
    "array": "list",
}
"""The kind of an input by the server's word for it. Every other word, such as `string`, is `any`: the server uses it
for inputs that it does not describe, and accepts lists and maps for them."""

MOST = 1000
"""Inputs, options or aliases that are read of one description."""
LONGEST = 2000
"""The most characters of a default or an option, as JSON."""

MANNER = (
    *("sections", "structure", "instructions", "writer_instructions", "prompt", "system_prompt", "prompt_schema"),
    *("requirements", "quality_requirements", "forbidden_patterns", "length_limit", "output", "output_policy"),
    *("formatting", "writing_style", "tone", "voice", "audience", "platform", "formality"),
)
"""The keys of a description that say how its texts are written. Without counters, times, ratings and words for people,
since these do not change a template."""

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_NAME = re.compile(r"[^\W\d][\w.-]{0,199}")
_INPUTS = ("parameters", "inputs", "input_fields", "required_inputs")


def slug_of(entry: Mapping[str, Json]) -> str:
    """The slug for requests and manifests; empty if there is none that is safe.

    The server looks templates up by `id`, which for some differs from their `slug`.
    """
    for key in ("id", "slug", "name"):
        slug = entry.get(key)
        if isinstance(slug, str) and _SLUG.fullmatch(slug):
            return slug
        if slug not in (None, "") and key != "name":
            return ""
    return ""


def template(slug: str, entry: Mapping[str, Json], detail: Mapping[str, Json] | None) -> Template:
    """A template from its entry in the list and its detailed description, if there is one."""
    described = {**entry, **(detail or {})}
    inputs = inputs_of(described)
    return Template(
        slug=slug,
        name=_text(described, "name", "title"),
        category=_text(described, "category", "template_type", "type"),
        description=_text(described, "description"),
        manner=manner_of(described),
        inputs=inputs or (),
        inputs_known=inputs is not None,
    )


def catalog_entry(entry: Mapping[str, Json]) -> CatalogEntry:
    """A style profile, a vertical or a brand voice from its entry in the list, which has a slug."""
    return CatalogEntry(
        slug=slug_of(entry),
        name=_text(entry, "name", "title", "label"),
        category=_text(entry, "category"),
        description=_text(entry, "description"),
        tone=_text(entry, "tone"),
        manner=manner_of(entry),
    )


def manner_of(described: Mapping[str, Json]) -> str:
    """The start of a digest over the `MANNER` of a description; empty where it has none.

    The order of keys, spaces at the ends of texts and empty values do not count.
    """
    manner = {key: value for key in MANNER if not _is_empty(value := _trimmed(described.get(key)))}
    # As ASCII, so that a lone surrogate has a digest too.
    return short(digest_text(json.dumps(manner, sort_keys=True))) if manner else ""


def _trimmed(value: Json) -> Json:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [_trimmed(each) for each in value]
    if isinstance(value, dict):
        return {key: _trimmed(each) for key, each in value.items()}
    return value


def inputs_of(described: Mapping[str, Json]) -> tuple[TemplateInput, ...] | None:
    """The inputs in a description, sorted by name; None where it has none, or none that can be read."""
    inputs: dict[str, TemplateInput] = {}
    given = {key: described[key] for key in _INPUTS if isinstance(described.get(key), dict | list)}
    for key, specs in given.items():
        for name, spec in _specs(specs, required=key == "required_inputs"):
            if _NAME.fullmatch(name) and len(inputs) < MOST:
                inputs.setdefault(name, _input(name, spec))
    if not given or (any(described.get(key) for key in _INPUTS) and not inputs):
        return None
    return tuple(inputs[name] for name in sorted(inputs))


def _specs(given: dict[str, Json] | list[Json], *, required: bool) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Names and descriptions of inputs, from a map, a list of maps, or a list of names."""
    base = {"required": required}
    if isinstance(given, dict):
        for name, spec in given.items():
            yield name, {**base, **(spec if isinstance(spec, dict) else {})}
        return
    for spec in given:
        if isinstance(spec, str):
            yield spec, base
        elif isinstance(spec, dict):
            name = next((spec[key] for key in ("name", "key", "id") if isinstance(spec.get(key), str)), "")
            yield name, {**base, **spec}


def _input(name: str, spec: Mapping[str, Json]) -> TemplateInput:
    options = _options(spec.get("options"))
    kind = KINDS.get(str(spec.get("type", "")).strip().lower(), "any")
    if kind in {"select", "multiselect"} and not options:
        kind = "any"
    default = spec.get("default")
    return TemplateInput(
        name=name,
        kind=kind,
        # The server fills in a default, so the input is not required.
        required=spec.get("required") in (True, "true", "True") and default in (None, ""),
        default=None if _is_empty(default) or not _is_small(default) else default,
        options=options if kind in {"select", "multiselect"} else (),
        aliases=_aliases(spec.get("aliases")),
        description=_text(spec, "description", "label"),
    )


def _is_empty(value: Json) -> bool:
    return value is None or value in ("", [], {})


def _is_small(value: Json) -> bool:
    return len(json.dumps(value, ensure_ascii=False, default=str)) <= LONGEST


def _options(given: Json) -> tuple[Json, ...]:
    """The distinct values to choose from; empty where one is not a plain value, so that nothing is refused."""
    if not isinstance(given, list) or len(given) > MOST:
        return ()
    values = [each.get("value", each.get("id")) if isinstance(each, dict) else each for each in given]
    if not all(isinstance(value, str | int | float | bool) and _is_small(value) for value in values):
        return ()
    return tuple({json.dumps(value): value for value in values}.values())


def _aliases(given: Json) -> tuple[str, ...]:
    names: Iterable[Json] = given[:MOST] if isinstance(given, list) else ()
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and _NAME.fullmatch(name)))


def _text(described: Mapping[str, Json], *keys: str) -> str:
    """The first text that is not empty, as one clean line of at most 300 characters."""
    texts = (clean_title(described[key]) for key in keys if isinstance(described.get(key), str))
    return next(filter(None, texts), "")
