"""Shows plans, runs and findings as text, JSON and Markdown. The functions return values and print nothing."""

from __future__ import annotations

FORMAT_VERSION = "1.0"
"""The version of every JSON document. A new minor adds keys (ignore unknown ones), a new major changes meanings."""
