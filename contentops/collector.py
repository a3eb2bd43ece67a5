"""Python's garbage collector, kept from walking large trees that are being built."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def collect_new() -> None:
    """Let go of what was made since the last time and is not used any more, without a walk through all that stays."""
    gc.collect(0)


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Without a walk through what is there already, such as a plan of many items; what is made since is collected."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Without the garbage collector, which would walk the growing trees again and again and find nothing.

    Freezing and thawing hands what was made to the oldest generation, so that it is not walked at once either.
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
