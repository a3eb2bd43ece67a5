"""Plans, runs and findings as text, JSON and Markdown. All functions are pure: they return values and print nothing."""

from __future__ import annotations

FORMAT_VERSION = "1.0"
"""Of every JSON document: a new minor adds keys (ignore what you do not know), a new major changes their meaning."""
