"""The JSON Schemas that ship with contentops: one for each format that it reads or writes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

SCHEMA_NAMES = (
    *("project", "manifest", "lock", "jobs", "approvals", "plan", "report", "event", "diagnostics", "catalog", "adopt"),
)


def schema_path(name: str) -> Path:
    """Return the file of a schema, in the installed package or next to it in a checkout.

    Raises KeyError for a name that is not in SCHEMA_NAMES.
    """
    if name not in SCHEMA_NAMES:
        raise KeyError(name)
    package = Path(__file__).resolve().parent
    file = f"{name}.schema.json"
    installed = package / "schemas" / file
    return installed if installed.is_file() else package.parent / "schemas" / file


@functools.cache
def load_schema(name: str) -> dict[str, Any]:
    """Return a schema as parsed JSON, the same object every time: do not change it.

    Raises KeyError for a name that is not in SCHEMA_NAMES, OSError if the installation is incomplete.
    """
    schema: dict[str, Any] = json.loads(schema_path(name).read_text(encoding="utf-8"))
    return schema
