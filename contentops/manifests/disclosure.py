"""Reads `disclosure` of the project file, and finds the names that its keys cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.documents.preset import NEUTRAL, PRESETS
from contentops.model import Disclosure
from contentops.yaml.positions import YamlDocument, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from contentops.errors import Diagnostic


def read_disclosure(value: Any) -> Disclosure | None:
    """The front matter keys for how a text was made; None: outputs do not say it."""
    if not isinstance(value, dict):
        return Disclosure() if value is True else None
    source_type = {"source_type": ""} if value.get("source_type") is False else {}
    return Disclosure(**{key: name for key, name in value.items() if isinstance(name, str)}, **source_type)


def check_disclosure(document: YamlDocument, at: tuple[str, ...], value: Any, preset: Any) -> Iterator[Diagnostic]:
    """The keys of a `disclosure` at a pointer that outputs of the preset have for something else."""
    if not {"key", "source_type"}.issuperset(value if isinstance(value, dict) else ()):
        return  # the schema says so
    if (disclosure := read_disclosure(value)) is None:
        return
    for key, why in _taken(preset if isinstance(preset, str) else "", disclosure).items():
        stated = isinstance(value, dict) and key in value
        message = f"`disclosure` uses the key `{getattr(disclosure, key)}`, {why}"
        hint = f"name another one: `disclosure: {{{key}: NAME}}`"
        yield finding(document, "reserved-key", message, (*at, key) if stated else at, hint=hint)


def _taken(preset: str, disclosure: Disclosure) -> Mapping[str, str]:
    """By the field of `disclosure`, why its name cannot be used."""
    problems: dict[str, str] = {}
    of_preset = {rule.name for rule in PRESETS.get(preset, {}).values()}
    for field, name in (("key", disclosure.key), ("source_type", disclosure.source_type)):
        if name in {"title", "contentops"}:
            problems[field] = "which outputs use for something else"
        elif name in of_preset:
            problems[field] = f"which the preset `{preset}` writes"
        elif name in NEUTRAL:
            problems[field] = "which is one of the neutral keys of `metadata`"
    if disclosure.key == disclosure.source_type:
        problems.setdefault("source_type", "which is its `key` already")
    return problems
