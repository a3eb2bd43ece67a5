"""Finds the image files that a text shows, in the folders where site generators keep images."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from contentops.documents.blocks import parse_blocks
from contentops.documents.paths import check_output

TYPES: Final = {
    ".avif": "image/avif", ".gif": "image/gif", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png",
    ".svg": "image/svg+xml", ".webp": "image/webp",
}  # fmt: skip
"""The media type of image files that can be shown, by the ending of the name."""
_ROOTS: Final = ("static", "public", "assets", "src", "docs", "content", "")
"""The folders in which sites look for `/images/a.png`."""
_ELSEWHERE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|\\\\")


def pictures_in(body: str) -> frozenset[str]:
    """Return the addresses of the images in a text, exactly as written."""
    styles = (style for block in parse_blocks(body) for word in block.words for style in word.styles)
    return frozenset(style.address for style in styles if style.kind == "image")


def picture_path(root: str, output: str, address: str) -> str:
    """Return the path of the image file for an address in the text at `output`.

    It is empty if the project has no such file.
    """
    return next((path for path in _candidates(output, address) if Path(root, path).is_file()), "")


def _candidates(output: str, address: str) -> Iterator[str]:
    name = unquote(re.split("[#?]", address, maxsplit=1)[0])
    if _ELSEWHERE.match(address) or posixpath.splitext(name)[1].lower() not in TYPES:
        return
    folders = _ROOTS if name.startswith("/") else (posixpath.dirname(output), *_ROOTS)
    for folder in folders:
        path = posixpath.normpath(posixpath.join(folder, name.lstrip("/")))
        if check_output(path) is None:
            yield path
