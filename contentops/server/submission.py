"""What a submit asks for, whatever names its keys had: the one form jobs are stored and compared in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDITS: Mapping[str, int] = {"quick": 1, "standard": 4, "premium": 5}
"""Credits of one generation by mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A text to generate (`kind` content), or a section of a stored one to write anew (`kind` section)."""

    kind: str = "content"
    template: str = ""
    style: str = ""
    mode: str = "standard"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    vertical: str | None = None
    brand_voice: str | None = None
    content_id: str = ""
    section: str = ""
    instructions: str = ""

    @property
    def credits(self) -> int:
        """What it costs once it is completed."""
        return CREDITS[self.mode]

    def encoded(self) -> str:
        """Canonical JSON: equal submissions give equal text, whatever the order of keys."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """Tells a repeated submit from a different one under the same id.

        Of a section only what was asked counts: what is known of its content may change before a repetition.
        """
        asked = self
        if self.kind == "section":
            asked = replace(self, template="", style="", inputs={}, vertical=None, brand_voice=None)
        return hashlib.sha256(asked.encoded().encode()).hexdigest()


def decoded(text: str) -> Submission:
    """The submission `encoded` wrote."""
    return Submission(**json.loads(text))
