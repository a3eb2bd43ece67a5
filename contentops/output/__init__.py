"""Output files on disk: seen, written, moved and removed, never outside the project root."""

from __future__ import annotations

from contentops.output.files import Outputs

__all__ = ["Outputs"]
