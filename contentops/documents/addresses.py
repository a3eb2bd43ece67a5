"""The address of an output's page on its site, where the site's own settings cannot change it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
"""A part of a path that is a part of the address, in small letters."""
_LITERAL = re.compile(r"/[^:\s]*")
"""An address without placeholders."""
_STATED = {"hugo": "url", "jekyll": "permalink"}
"""The key by which front matter states the whole address."""


def address_of(preset: str, output: str, front: Mapping[str, Any]) -> str | None:
    """The address of a page below the root of its site; None where `preset` does not tell.

    `front` is the front matter in the words of the preset. Jekyll derives addresses by a pattern of its settings, so
    only one that front matter states is known.
    """
    stated = front.get(_STATED.get(preset, ""))
    if isinstance(stated, str):
        return stated if _LITERAL.fullmatch(stated) else None
    return _of_hugo(output, front.get("slug")) if preset == "hugo" else None


def _of_hugo(output: str, slug: object) -> str | None:
    """By Hugo's rules for a site that keeps its defaults: the path below `content`, in small letters."""
    *folders, file = output.split("/")
    if "content" not in folders:
        return None
    parts = folders[folders.index("content") + 1 :]
    name, _, ending = file.rpartition(".")
    if ending not in ("md", "markdown"):
        return None
    if name not in ("index", "_index"):
        parts.append(name)
    if slug is not None and parts and name != "_index":
        parts[-1] = str(slug)
    if not all(map(_PLAIN.fullmatch, parts)):
        return None  # such as a dot that may name a language
    return "".join(f"/{part.lower()}" for part in parts) + "/"
