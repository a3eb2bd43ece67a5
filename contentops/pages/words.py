"""What templates make words and marks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from contentops.digest import short
from contentops.errors import plural
from contentops.reporting import times
from contentops.reporting.causes import cause_groups
from contentops.reporting.next_change import next_change, value_diff
from contentops.reporting.plan_text import note_line
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def coded(message: str) -> Markup:
    """Return a message of ours as HTML: what stands in backticks becomes code."""
    parts = visible(message).split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = [f"{parts[-2]}`{parts[-1]}"]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def number(value: int) -> str:
    """Return a number with commas."""
    return f"{value:,}"


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "visible": visible,
    "coded": coded,
    "number": number,
    "minutes": times.minutes,
    "on_day": times.on_day,
    "date": times.short_date,
    "moment": times.day_and_time,
    "age": times.age,
    "plural": plural,
    "short": short,
    "note_line": note_line,
    "value_diff": value_diff,
    "next_change": next_change,
    "cause_groups": cause_groups,
}
"""The filters of the templates."""
