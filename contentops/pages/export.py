"""The pages as files: every page that a page links to, one stylesheet, no script and no form."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contentops.errors import OutputError
from contentops.model import Plan, Project
from contentops.operations.opening import Runtime
from contentops.pages.app import ROUTES
from contentops.pages.links import Links, NoLinks
from contentops.pages.overview import plan_page
from contentops.pages.site import FOLDER, Site, render

MARKER: Final = ".contentops-review"
"""The file that says that a folder is one of ours, so that it may be written again, and lists the files."""
INDEX: Final = "index.html"
STYLE: Final = "style.css"
_OURS: Final = re.compile(r"(item|items|plan)(-[a-z0-9-]+)?\.html|index\.html|style\.css")
_KEPT: Final = {"/items": ("state", "page"), "/item": ("id", "view")}
"""What makes a file of its own: sorting and searching need a server."""
_SLUG: Final = 60


class _Marker(msgspec.Struct, frozen=True):
    files: frozenset[str] = frozenset()


class FileLinks(Links):
    """Relative addresses of files in one folder. It remembers which pages were linked to."""

    overview = INDEX
    items = "items.html"
    plan = "plan.html"
    run = ""
    style = STYLE

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, Mapping[str, str]]] = {
            INDEX: ("/", {}),
            self.items: ("/items", {}),
            self.plan: ("/plan", {}),
        }
        """The view path and the query of each file, in the order in which they were linked to."""

    def to(self, path: str, **query: str) -> str:
        """Return the file of a page; a query that makes no file of its own is left out."""
        said = {name: query[name] for name in _KEPT.get(path, ()) if query.get(name)}
        if path == "/items" and said.get("page") == "1":
            del said["page"]
        name = file_name(path.removeprefix("/"), said)
        self.wanted.setdefault(name, (path, said))
        return name


def file_name(stem: str, query: Mapping[str, str]) -> str:
    """Return a safe name of a file: small letters, digits and dashes, and of an id the start of its digest.

    Two ids that differ only in the case of letters, or in what is no letter, have names of their own.
    """
    parts = [stem]
    for name, value in query.items():
        slug = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:_SLUG].strip("-")
        if name == "id" or slug != value:
            slug = f"{slug}-{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}".strip("-")
        parts.append(slug)
    return f"{'-'.join(parts)}.html"


def export(site: Site, folder: Path) -> int:
    """Write the pages into a folder; return how many. `site.links` are its `FileLinks`.

    A page that it wrote before and that is not there any more is removed. The index is removed first and written
    last: a folder without one is not whole. Raises OutputError for a folder that is not empty and not ours, and where
    it cannot be written.
    """
    assert isinstance(site.links, FileLinks)
    for item in site.review.snapshot().items:  # what that raises leaves the folder as it is
        site.links.item(item.id)
    try:
        before = _claim(folder)
        _write(folder, STYLE, (FOLDER / STYLE).read_text("utf-8"))
        index, written = _rendered(site.links, site, INDEX), {STYLE, INDEX}
        # Rendering a page adds those that it links to.
        while remaining := [name for name in site.links.wanted if name not in written]:
            _mark(folder, before | written | {*remaining})
            for name in remaining:
                _write(folder, name, _rendered(site.links, site, name))
            written.update(remaining)
        for name in before - written:
            (folder / name).unlink(missing_ok=True)
        _mark(folder, written)
        _write(folder, INDEX, index)
    except OSError as error:
        message = f"`{folder}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another folder for `--out`") from error
    return len(written) - 1


def _rendered(links: FileLinks, site: Site, name: str) -> str:
    path, query = links.wanted[name]
    return render(site, ROUTES[path](site, query))


def plan_document(plan: Plan, name: str, flags: Sequence[str], runtime: Runtime) -> str:
    """Return the page of a plan as one document; `flags` are those that it was made with."""

    def unopened() -> Project:
        """Refuse to open anything: the plan is all that is shown."""
        raise AssertionError(name)

    site = Site(name=name, project=unopened, runtime=runtime, links=NoLinks(), option=plan.option, flags=tuple(flags))
    return render(site, plan_page(site, plan, plan.findings))


def _claim(folder: Path) -> frozenset[str]:
    """Make the folder, or take one of ours again; return the pages that it got then. Raises OutputError for others."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if any(folder.iterdir()) and not (marker.is_file() and not marker.is_symlink()):
        hint = "choose an empty folder, or one that `contentops review --out` wrote"
        raise OutputError(f"`{folder}` is not empty, so nothing is written into it", code="not-empty", hint=hint)
    (folder / INDEX).unlink(missing_ok=True)
    before = _pages(marker.read_bytes()) if marker.is_file() else frozenset()
    _mark(folder, before)
    return before


def _pages(marker: bytes) -> frozenset[str]:
    """Return the pages that a marker lists: none where it cannot be read, and no other files."""
    try:
        names = msgspec.json.decode(marker, type=_Marker).files
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(filter(_OURS.fullmatch, names))


def _mark(folder: Path, names: Iterable[str]) -> None:
    """Say that a folder is ours, and which files in it are: others of the same kind are a person's."""
    _write(folder, MARKER, json.dumps({"format": 1, "files": sorted(names)}) + "\n")


def _write(folder: Path, name: str, text: str) -> None:
    """Write a file, instead of a link that may be there."""
    (folder / name).unlink(missing_ok=True)
    with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
