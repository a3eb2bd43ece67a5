"""What a runner of GitHub reads out of a log: annotations of ours, and nothing that a text in the log could order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contentops.errors import Severity
from contentops.reporting.layout import unpainted
from contentops.reporting.summary import plan_counts, plural
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from contentops.errors import Diagnostic
    from contentops.model import Plan, Run

SHOWN = 10
"""Annotations of a kind that GitHub shows for a step."""
_WORDS = 1_000
_KINDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
# A runner takes a line as an order where `::` is the first thing in it, or `##[` stands anywhere. It cuts lines at
# CR as well, and trims every kind of space.
_ORDER = re.compile(r"(?P<start>(?:\A|[\r\n])\s*)::(?!:)")
_OLD_ORDER = "##["


def inert(text: str) -> str:
    r"""`text` with every line that a runner would obey made into one that it prints: `\x3a:` instead of `::`."""
    if "::" not in text and _OLD_ORDER not in text:
        return text
    safe = _ORDER.sub(r"\g<start>\\x3a:", text)
    return safe.replace(_OLD_ORDER, r"#\x23[")


def inert_json(text: str) -> str:
    r"""The same for JSON, where only a text can hold such marks, and an escape means the character itself."""
    return text.replace(_OLD_ORDER, r"#\u0023[")


# --- annotations -------------------------------------------------------------------------------------------


def annotation_lines(
    findings: Sequence[Diagnostic], *, folder: str = "", touched: Mapping[str, AbstractSet[int]] | None = None
) -> list[str]:
    """Workflow commands for the findings, at most 10 of a kind, those on touched lines first; then how many more.

    `folder` is where the project lies in the repository; `touched` maps files (relative to the project) to the lines
    a pull request changed.
    """
    lines: list[str] = []
    for severity, kind in _KINDS.items():
        found = [one for one in findings if one.severity is severity]
        found.sort(key=lambda one: not _touches(one, touched or {}))
        room = SHOWN if len(found) <= SHOWN else SHOWN - 1
        lines += [_annotation(kind, one, folder) for one in found[:room]]
        if len(found) > room:
            lines.append(f"::{kind}::{data(plural(len(found) - room, f'more {severity.value}'))} in the log")
    return lines


def _touches(finding: Diagnostic, touched: Mapping[str, AbstractSet[int]]) -> bool:
    place = finding.location
    return place is not None and place.line in touched.get(place.file, ())


def _annotation(kind: str, finding: Diagnostic, folder: str) -> str:
    place = finding.location
    properties = {"title": finding.code}
    if place is not None:
        file = f"{folder}/{place.file}" if folder else place.file
        properties = {"file": file, "line": str(place.line), "col": str(place.column), **properties}
    hint = f" ({finding.hint})" if finding.hint else ""
    stated = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {stated}::{data(clip(finding.message + hint, _WORDS))}"


def data(text: str) -> str:
    """A message as a workflow command takes it."""
    return visible(text.replace("\n", " ")).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return data(text).replace(":", "%3A").replace(",", "%2C")


# --- outputs and summary -----------------------------------------------------------------------------------


def outputs(plan: Plan) -> dict[str, str]:
    """What the next steps of a job may ask about a plan: plain words and numbers, whatever the plan holds."""
    counts = {action.value: number for action, number in plan_counts(plan).items()}
    update = sum(counts.get(name, 0) for name in ("regenerate", "overwrite", "merge", "update"))
    return {
        "has-changes": "false" if plan.empty else "true",
        "create": str(counts.get("create", 0)),
        "update": str(update),
        "credits": str(plan.credits),
    }


def run_markdown(run: Run) -> str:
    """A run for the page of its job: what it says on the terminal, in a block that nothing in it can end."""
    # A plan is shown without what only a run on GitHub needs.
    from contentops.reporting.plan_markdown import code, fence
    from contentops.reporting.run import run_text

    environment = f", environment {code(run.environment)}" if run.environment else ""
    text = unpainted(run_text(run))
    ticks = fence([text])
    return f"### contentops apply{environment}\n\n{ticks}text\n{text}\n{ticks}\n"
