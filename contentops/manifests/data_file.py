"""A file that manifests or the project name as data, as read; pure, so that the core can hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING, Digest

if TYPE_CHECKING:
    from contentops.errors import Diagnostic


class DataFile(Struct, frozen=True, kw_only=True):
    """A data file as read; the digest is empty where there is none."""

    path: str
    digest: Digest = NOTHING
    content: bytes = b""
    problem: Diagnostic | None = None
    """Why it cannot be used."""
