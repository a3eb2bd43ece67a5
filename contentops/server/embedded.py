"""The embedded server in process: no port, no key, nothing to start."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from contentops.server.app import create_app
from contentops.server.engines.outline import Outline
from contentops.server.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[Any]:
    """The ASGI app over the store at `path`, made if absent, for as long as the block runs."""
    app = create_app(Store(path), engine=Outline())
    try:
        yield app
    finally:
        await app.state.close()
