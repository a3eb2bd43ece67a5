"""Keeps Python's garbage collector from scanning large trees of objects."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def collect_new() -> None:
    """Free new objects that are not used any more, without a scan of the old ones."""
    gc.collect(0)


@contextlib.contextmanager
def ignoring_existing() -> Iterator[None]:
    """Collect only objects that are made inside the block, without a scan of the existing ones."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Turn the garbage collector off, which would scan growing trees again and again and free nothing.

    Freezing and unfreezing moves the new objects to the oldest generation, so that they are not scanned soon after.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.unfreeze()
            gc.enable()
