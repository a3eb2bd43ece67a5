"""Front matter presets: the neutral words of a manifest's `metadata` in the words of a site generator.

| neutral       | hugo           | astro         | docusaurus         | jekyll             |
|---------------|----------------|---------------|--------------------|--------------------|
| `date`        | `date`         | `pubDate`     | `date`             | `date`             |
| `updated`     | `lastmod`      | `updatedDate` | `last_update.date` | `last_modified_at` |
| `publish_on`  | `publishDate`  | -             | -                  | -                  |
| `expires`     | `expiryDate`   | -             | -                  | -                  |
| `image`       | `images` list  | `heroImage`   | `image`            | `image`            |
| `draft`       | `draft`        | `draft`       | `draft`            | `published`, negated |
| `redirects`   | `aliases` list | -             | -                  | `redirect_from` list |
| `order`       | `weight`       | `order`       | `sidebar_position` | `order`            |
| `author`      | `author`       | `author`      | `authors` list     | `author`           |
| `tags`, `categories`, `keywords` | list | list (`tags`) | list (`tags`, `keywords`) | list (`tags`, `categories`) |

A dash, and every key the table does not name, means that the key is passed through unchanged. Lists matter: Jekyll
splits a text of tags at its spaces, Docusaurus refuses it. A key the author wrote in the generator's own words wins
over its neutral form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _same(value: Any) -> Any:
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


def _negated(value: Any) -> Any:
    return not value if isinstance(value, bool) else value


def _dated(value: Any) -> Any:
    return value if isinstance(value, dict) else {"date": value}


_Rule = tuple[str, "Callable[[Any], Any]"]


def _lists(*names: str) -> dict[str, _Rule]:
    return {name: (name, _listed) for name in names}


_PRESETS: Final[Mapping[str, Mapping[str, _Rule]]] = {
    "hugo": {
        "updated": ("lastmod", _same),
        "publish_on": ("publishDate", _same),
        "expires": ("expiryDate", _same),
        "image": ("images", _listed),
        "redirects": ("aliases", _listed),
        "order": ("weight", _same),
        **_lists("tags", "categories", "keywords"),
    },
    "astro": {
        "date": ("pubDate", _same),
        "updated": ("updatedDate", _same),
        "image": ("heroImage", _same),
        **_lists("tags"),
    },
    "docusaurus": {
        "updated": ("last_update", _dated),
        "order": ("sidebar_position", _same),
        "author": ("authors", _listed),
        **_lists("tags", "keywords"),
    },
    "jekyll": {
        "updated": ("last_modified_at", _same),
        "draft": ("published", _negated),
        "redirects": ("redirect_from", _listed),
        **_lists("tags", "categories"),
    },
}

PRESETS: Final = tuple(_PRESETS)
"""The names `preset` takes in `contentops.yaml`."""


def apply_preset(preset: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` in the words of `preset`, in the same order; an empty preset changes nothing.

    Raises ValueError for a preset that does not exist.
    """
    if preset and preset not in _PRESETS:
        known = ", ".join(f"`{name}`" for name in PRESETS)
        message = f"there is no front matter preset `{preset}`; known are {known}"
        raise ValueError(message)
    rules = _PRESETS[preset] if preset else {}
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        name, convert = rules.get(key, (key, _same))
        if name == key or name not in metadata:
            found[name] = convert(value)
    return found
