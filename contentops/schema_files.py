"""Finds and loads the JSON Schemas of the formats that contentops reads and writes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

SCHEMA_NAMES = (
    *("project", "manifest", "lock", "jobs", "approvals", "plan", "report", "event", "diagnostics", "catalog", "adopt"),
)


def schema_path(name: str) -> Path:
    """Return the path of a schema file, in the installed package or in a checkout.

    Raises KeyError if the name is not in SCHEMA_NAMES.
    """
    if name not in SCHEMA_NAMES:
        raise KeyError(name)
    package = Path(__file__).resolve().parent
    file = f"{name}.schema.json"
    installed = package / "schemas" / file
    return installed if installed.is_file() else package.parent / "schemas" / file


@functools.cache
def load_schema(name: str) -> dict[str, Any]:
    """Return a schema as parsed JSON. All callers get the same object, so do not change it.

    Raises KeyError if the name is not in SCHEMA_NAMES, and OSError if the installation is incomplete.
    """
    schema: dict[str, Any] = json.loads(schema_path(name).read_text(encoding="utf-8"))
    return schema
