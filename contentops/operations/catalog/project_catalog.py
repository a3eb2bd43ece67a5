"""Read the catalog of a project's server: the built-in one for `local`, else the committed one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentops.atomic_io import Disk
from contentops.model import CatalogSnapshot

if TYPE_CHECKING:
    from contentops.model import Catalog, Project


def catalog_of(project: Project) -> Catalog | None:
    """Return the templates and styles of the project's server; None where they are not known."""
    snapshot = snapshot_of(project)
    return None if snapshot is None else snapshot.checked(takes_any_vertical=project.api.base_url == "local")


def snapshot_of(project: Project) -> CatalogSnapshot | None:
    """Return the catalog of the project's server; None where it is not known.

    Raises InputError where `catalog.lock.json` is invalid.
    """
    if project.api.base_url != "local":
        from contentops.manifests.catalog_lock import FILE, parse

        data = Disk().read(Path(project.root) / FILE)
        return None if data is None else parse(data).get(project.api.server)
    from contentops.api.catalog import catalog_entry, template
    from contentops.server import catalog

    catalog_data = catalog.load()
    return CatalogSnapshot(
        templates={entry["slug"]: template(entry["slug"], entry, None) for entry in catalog_data["templates"]},
        styles={entry["slug"]: catalog_entry(entry) for entry in catalog_data["styles"]},
        verticals={entry["slug"]: catalog_entry(entry) for entry in catalog_data["verticals"]},
    )
