"""Loads the templates, styles and verticals of the bundled server.

Inputs have `name`, `label`, `type`, `required` and, if known, `default`, `description`, `placeholder`, `options`
and `aliases` (other names of the input). A `type` of `any` accepts text, lists and maps. An input with a default is
never required. Sections have a `heading`, what it `holds`, `sentences` to fill in, and the inputs to list as `points`.

The service has eight verticals and names six; `ecommerce` and `education` are our guess for the other two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load() -> dict[str, Any]:
    """Return the catalog: `templates`, `styles` and `verticals`, each a list of maps. Do not change it."""
    folder = Path(__file__).parent
    names = ("templates", "styles", "verticals")
    loaded = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    for template in loaded["templates"]:
        template["inputs"].append(dict(_LANGUAGE))
    return loaded


_LANGUAGE = {
    "name": "language",
    "label": "Language",
    "type": "text",
    "required": False,
    "description": "The language of the text and its headings; default: that of the other inputs",
    "placeholder": "German",
}
"""The input that every template takes."""


def value_of(spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """Return the value of an input, or else the input's default. None means that there is neither.

    The value is found by the name of the input or by an alias. Empty texts, lists and maps count as absent.
    """
    for name in (spec["name"], *spec.get("aliases", ())):
        if _is_given(value := inputs.get(name)):
            return value
    return spec.get("default")


def _is_given(value: Any) -> bool:
    return value is not None and value not in ("", [], {}) and not (isinstance(value, str) and not value.strip())


def has_topic(inputs: Mapping[str, Any]) -> bool:
    """Return whether the inputs have a topic or a title."""
    return any(_is_given(inputs.get(name)) for name in ("topic", "title"))


def missing(template: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Return the documented names of required inputs that are absent, in the order of the template.

    The documented name of an input with an alias is the alias.
    """
    absent = [spec for spec in template["inputs"] if spec["required"] and value_of(spec, inputs) is None]
    return [next(iter(spec.get("aliases", ())), spec["name"]) for spec in absent]
