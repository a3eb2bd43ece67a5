"""Translates the keys of `metadata` into the front matter of a site generator, with the rules of a preset.

A key for which a preset has no rule is passed through unchanged. The form of a value matters. Jekyll splits a text of
tags at its spaces, and Docusaurus refuses such a text, so tags become a list. Jekyll publishes a page whose `published`
is the text "false", so it becomes a boolean. A key that the author wrote in the generator's own words wins over its
neutral form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class Form(StrEnum):
    """The form that a preset gives to a value in front matter."""

    SAME = "unchanged"
    LIST = "list"
    FLAG = "true or false"
    NEGATED = "negated"
    STATUS = "`draft` or `published`"
    DATED = "map with `date`"
    AUTHORS = "maps with `name`, or keys of `authors.yml` such as `jane-doe`"


class Rule(Struct, frozen=True):
    """The name and the form that a preset gives to one key."""

    name: str
    form: Form = Form.SAME

    def convert(self, value: Any) -> Any:
        """Return a value converted to the form of this rule. A value that cannot be converted stays unchanged."""
        if self.form is Form.LIST and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return [value]
        if self.form is Form.AUTHORS and isinstance(value, (str, list)):
            return [{"name": one} if isinstance(one, str) and not _AUTHOR_KEY(one) else one for one in as_list(value)]
        if isinstance(value, bool) and self.form is Form.NEGATED:
            return not value
        if isinstance(value, bool) and self.form is Form.STATUS:
            return "draft" if value else "published"
        return {"date": value} if self.form is Form.DATED and not isinstance(value, dict) else value


_AUTHOR_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]*").fullmatch
_FLAGS: Final = frozenset({Form.FLAG, Form.NEGATED, Form.STATUS})
"""Forms that start from a boolean."""


def _lists(*names: str) -> dict[str, Rule]:
    return {name: Rule(name, Form.LIST) for name in names}


REVERSE_SOLIDUS: Final = "\u29f5"
"""A character that looks like a backslash."""
NEUTRAL: Final = (
    "date",
    "updated",
    "publish_on",
    "expires",
    "image",
    "draft",
    "redirects",
    "order",
    "author",
    "tags",
    "categories",
    "keywords",
)
"""The keys that presets can translate."""

PRESETS: Final[Mapping[str, Mapping[str, Rule]]] = {
    "hugo": {
        "updated": Rule("lastmod"),
        "publish_on": Rule("publishDate"),
        "expires": Rule("expiryDate"),
        "image": Rule("images", Form.LIST),
        "redirects": Rule("aliases", Form.LIST),
        "order": Rule("weight"),
        "draft": Rule("draft", Form.FLAG),
        **_lists("tags", "categories", "keywords"),
    },
    "astro": {
        "date": Rule("pubDate"),
        "updated": Rule("updatedDate"),
        "image": Rule("heroImage"),
        "draft": Rule("draft", Form.FLAG),
        **_lists("tags"),
    },
    "docusaurus": {
        "updated": Rule("last_update", Form.DATED),
        "order": Rule("sidebar_position"),
        "draft": Rule("draft", Form.FLAG),
        "author": Rule("authors", Form.AUTHORS),
        **_lists("tags", "keywords"),
    },
    "jekyll": {
        "updated": Rule("last_modified_at"),
        "draft": Rule("published", Form.NEGATED),
        "redirects": Rule("redirect_from", Form.LIST),
        **_lists("tags", "categories"),
    },
    "pelican": {
        "updated": Rule("modified"),
        "draft": Rule("status", Form.STATUS),
        "author": Rule("authors", Form.LIST),
        **_lists("tags"),
    },
}
"""The rules of each preset by its name, the value of `preset` in `contentops.yaml`.

The schema and the table of the reference are made from it.
"""


CHANGED_AT: Final = "{{ changed_at }}"
"""The placeholder in metadata for the day on which the words last changed, until that day is known."""


def uses_changed_at(value: Any) -> bool:
    """Return whether a metadata value contains the placeholder `changed_at`."""
    if isinstance(value, Mapping | list):
        return any(map(uses_changed_at, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, str) and CHANGED_AT in value


def with_changed_at(metadata: Mapping[str, Any], day: str) -> dict[str, Any]:
    """Return metadata with `day` in place of each placeholder `changed_at`.

    If `day` is empty, the keys that use it are left out.
    """
    return {key: _dated(value, day) for key, value in metadata.items() if day or not uses_changed_at(value)}


def _dated(value: Any, day: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _dated(each, day) for key, each in value.items()}
    if isinstance(value, list):
        return [_dated(each, day) for each in value]
    return value.replace(CHANGED_AT, day) if isinstance(value, str) else value


def with_day(preset: str, metadata: Mapping[str, Any], day: str) -> dict[str, Any]:
    """Return metadata with `day` added as the date. Without a preset, or with a date already, it stays unchanged."""
    rules = PRESETS.get(preset, {})
    key = "publish_on" if "publish_on" in rules else "date"
    names = {key.casefold(), rules[key].name.casefold() if key in rules else ""}
    if not (preset and day) or any(name.casefold() in names for name in metadata):
        return dict(metadata)
    return {**metadata, key: day}


def redirects_key(preset: str) -> str:
    """Return the preset's key for addresses that redirect to a page. It is empty if the preset has none."""
    rule = PRESETS.get(preset, {}).get("redirects")
    return rule.name if rule is not None else ""


def apply_preset(preset: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with its keys and values in the form of a preset. Without a preset, it stays unchanged."""
    if not preset:
        return dict(metadata.items())
    rules = PRESETS[preset]
    front: dict[str, Any] = {}
    for key, value in metadata.items():
        rule = rules.get(key)
        if rule is None:
            front[key] = value
        elif rule.name == key or rule.name not in metadata:
            front[rule.name] = rule.convert(value)
    return front


def with_addresses(preset: str, front: Mapping[str, Any], addresses: Sequence[str]) -> dict[str, Any]:
    """Return front matter with more addresses that redirect to the page, if the preset has a key for them."""
    key = redirects_key(preset)
    if not (key and addresses):
        return dict(front)
    return {**front, key: list(dict.fromkeys((*as_list(front.get(key)), *addresses)))}


def as_list(value: Any) -> list[Any]:
    """Return a value as a list. A list stays the same, a single value becomes a list of one, and null an empty list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def title_for(preset: str, title: str) -> str:
    """Return the title in a form that the site generator can read.

    Docusaurus makes JavaScript of front matter and does not change backslashes. A backslash could end the string, and
    the following text would run as code.
    """
    return title.replace("\\", REVERSE_SOLIDUS) if preset == "docusaurus" else title


def backslashed(preset: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metadata keys with backslashes that the preset's site generator cannot read."""
    return tuple(key for key, value in metadata.items() if preset == "docusaurus" and _has_backslash([key, value]))


def _has_backslash(value: Any) -> bool:
    if isinstance(value, dict):
        return _has_backslash([*value, *value.values()])
    return any(map(_has_backslash, value)) if isinstance(value, list) else isinstance(value, str) and "\\" in value


def no_flags(preset: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metadata keys that must be boolean for a preset but have another value (not null)."""
    rules = PRESETS.get(preset, {})
    flags = {key for key, rule in rules.items() if rule.form in _FLAGS}
    flags |= {rule.name for rule in rules.values() if rule.form in (Form.FLAG, Form.NEGATED)}
    return tuple(key for key, value in metadata.items() if key in flags and not isinstance(value, bool | None))
