"""Where the API key may go: a list of servers, and of variables, that no file of the repository can change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "WRITERZROOM_"
"""How the names of variables begin whose values may be sent to a server."""
VARIABLES = "CONTENTOPS_KEY_VARIABLES"
"""The variable that names others whose values may be sent."""


def secret_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """The names of variables whose values are for the API alone."""
    named = _listed(environ.get(VARIABLES, ""))
    return frozenset(name for name in environ if name.startswith(PREFIX) or name in named)


def _listed(text: str) -> frozenset[str]:
    return frozenset(filter(None, re.split(r"[\s,]+", text)))
