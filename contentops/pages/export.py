"""Writes the pages of `contentops review` as HTML files, which have no scripts and no forms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from contentops.errors import OutputError
from contentops.model import Plan, Project
from contentops.operations.opening import Runtime
from contentops.pages.app import ROUTES
from contentops.pages.site import FOLDER, Links, NoLinks, Site, render
from contentops.pages.views import PlanView, plan_page

INDEX: Final = "index.html"
STYLE: Final = "style.css"
LISTING: Final = "contentops-review.txt"
"""Lists the files of an export, so that the next export replaces only these."""
_KEPT: Final = {"/items": ("state", "check", "page"), "/item": ("id", "view")}
"""The query fields that lead to a separate file; sorting and searching need a server."""
_SLUG: Final = 60


class FileLinks(Links):
    """Makes relative addresses for exported pages in one folder, and remembers which pages are linked."""

    overview = INDEX
    items = "items.html"
    plan = "plan.html"
    spend = "spend.html"
    run = today = ""
    style = STYLE

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, Mapping[str, str]]] = {
            INDEX: ("/", {}),
            self.items: ("/items", {}),
            self.plan: ("/plan", {}),
            self.spend: ("/spend", {}),
        }
        """The view path and the query of each file, in the order in which they were linked to."""

    def to(self, path: str, **query: str) -> str:
        """Return the file name of an exported page. Query fields that do not matter in an export are left out."""
        said = {name: query[name] for name in _KEPT.get(path, ()) if query.get(name)}
        if path == "/items" and said.get("page") == "1":
            del said["page"]
        name = file_name(path.removeprefix("/"), said)
        self.wanted.setdefault(name, (path, said))
        return name


def file_name(stem: str, query: Mapping[str, str]) -> str:
    """Return a safe file name of lower-case letters, digits and dashes for a page and its query.

    The name of an item's page also has the start of the id's digest. So two ids that differ only in the case of
    letters or in signs get different names.
    """
    parts = [stem]
    for name, value in query.items():
        slug = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:_SLUG].strip("-")
        if name == "id" or slug != value:
            slug = f"{slug}-{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}".strip("-")
        parts.append(slug)
    return f"{'-'.join(parts)}.html"


def export(site: Site, folder: Path) -> int:
    """Write the pages into a folder, and return the number of pages. `site.links` must be `FileLinks`.

    The folder must be new, be empty, or contain only an earlier export. The index is written last, so a folder without
    an index is incomplete. Raises OutputError if the folder has other files or cannot be written.
    """
    assert isinstance(site.links, FileLinks)
    for item in site.review.snapshot().items:  # what that raises leaves the folder as it is
        site.links.item(item.id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _delete_export(folder)
        _write(folder, STYLE, (FOLDER / STYLE).read_text("utf-8"))
        index, written = _rendered(site.links, site, INDEX), {STYLE, INDEX}
        # Rendering a page adds those that it links to.
        while remaining := [name for name in site.links.wanted if name not in written]:
            for name in remaining:
                _write(folder, name, _rendered(site.links, site, name))
            written.update(remaining)
        _write(folder, INDEX, index)
    except OSError as error:
        message = f"`{folder}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another folder for `--out`") from error
    return len(written) - 1


def _delete_export(folder: Path) -> None:
    """Delete the files of an earlier export. Raises OutputError if the folder has other files."""
    listing = folder / LISTING
    ours = listing.read_text("utf-8").splitlines() if listing.is_file() and not listing.is_symlink() else []
    others = sorted(path.name for path in folder.iterdir() if path.name not in {*ours, LISTING} or path.is_dir())
    if others:
        message = f"`{folder}` has files of others, such as `{others[0]}`, so nothing is written into it"
        raise OutputError(message, code="not-empty", hint="delete them, or choose another folder")
    # The index first: a folder without one is not whole.
    for path in sorted(folder.iterdir(), key=lambda path: (path.name != INDEX, path.name == LISTING)):
        path.unlink()


def _write(folder: Path, name: str, text: str) -> None:
    """Write an exported file, after its name is added to the list of exported files."""
    with (folder / LISTING).open("a", encoding="utf-8", newline="\n") as listing:
        listing.write(f"{name}\n")
    with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _rendered(links: FileLinks, site: Site, name: str) -> str:
    path, query = links.wanted[name]
    return render(site, ROUTES[path](site, query))


def plan_document(plan: Plan, name: str, flags: Sequence[str], runtime: Runtime) -> str:
    """Return the page of a plan as a single HTML file. The plan was made with the options `flags`."""

    def unopened() -> Project:
        raise AssertionError(name)

    links = NoLinks()
    site = Site(name=name, project=unopened, runtime=runtime, links=links, option=plan.option, flags=tuple(flags))
    return render(site, plan_page(site, PlanView(plan, plan.findings)))
