"""The findings of checks as text, JSON, and SARIF for code scanning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from contentops import __version__
from contentops.errors import Severity, plural
from contentops.reporting.diagnostics import diagnostics_json, diagnostics_text
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.model import Checked, Json

UNAPPROVED: Final = "not-approved"
RULES: Final = {
    "words": "The body has the required number of words.",
    "contains": "Title or body contain the required words.",
    "excludes": "Title and body contain none of the forbidden words.",
    "matches": "The body matches each expression.",
    "not-matches": "The body matches none of the expressions.",
    "headings": "The body has each heading.",
    "leftovers": "No draft, prompt or placeholder text is left.",
    "links": "Relative links point to a file of the project.",
    "front-matter": "The front matter matches its schema.",
    "similar": "No other text of the group has too much in common with it.",
    "grounded": "The text states only what its brief states.",
    "commands": "Each program finds nothing.",
    UNAPPROVED: "A person approved the text, if the manifest requires approval.",
}
"""What is true where a check finds nothing, by its code."""
MOST_RESULTS: Final = 25_000
"""Results of a run that GitHub's code scanning accepts."""
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def checks_text(done: Checked) -> str:
    """Every finding with its line, then the counts."""
    checked = [[one for one in file.findings if one.code != UNAPPROVED] for file in done.files]
    blocked = sum(any(map(_is_error, findings)) for findings in checked)
    warned = sum(map(bool, checked)) - blocked
    unapproved = sum(any(one.code == UNAPPROVED for one in file.findings) for file in done.files)
    more = f" {plural(unapproved, 'text')} not approved." if unapproved else ""
    parts = [f"Checked {plural(len(done.files), 'file')}: {blocked:,} blocked, {warned:,} with warnings.{more}"]
    if done.missing:
        parts.append(f"{plural(done.missing, 'item')} {_have(done.missing)} no file yet.")
    if done.unchecked:
        parts.append(f"{plural(done.unchecked, 'item')} {_have(done.unchecked)} no checks.")
    listing = diagnostics_text(done.findings)
    return f"{listing}\n\n{' '.join(parts)}" if listing else " ".join(parts)


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _is_error(finding: Diagnostic) -> bool:
    return finding.severity is Severity.ERROR


def checks_json(done: Checked) -> dict[str, Json]:
    """The same in the format of `schemas/diagnostics.schema.json`."""
    return {
        **diagnostics_json(done.findings),
        "checked": [
            {
                "item": file.item,
                "output": file.output,
                "errors": sum(map(_is_error, file.findings)),
                "warnings": sum(not _is_error(finding) for finding in file.findings),
            }
            for file in done.files
        ],
        "missing": done.missing,
        "unchecked": done.unchecked,
    }


# --- SARIF -----------------------------------------------------------------------------------------------------


def sarif(done: Checked, *, folder: str = "") -> dict[str, Json]:
    """A log of SARIF 2.1.0; `folder` is where the project lies in its repository."""
    codes = [*RULES, *sorted({finding.code for finding in done.findings} - RULES.keys())]
    rules: list[Json] = [
        {"id": code, "shortDescription": {"text": RULES.get(code, "The file can be read.")}} for code in codes
    ]
    results: list[Json] = [
        _result(finding, codes.index(finding.code), folder) for finding in done.findings[:MOST_RESULTS]
    ]
    tool: Json = {"driver": {"name": "contentops", "semanticVersion": __version__, "rules": rules}}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": tool, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(finding: Diagnostic, index: int, folder: str) -> Json:
    location = finding.location
    assert location is not None
    path = f"{folder}/{location.file}" if folder else location.file
    message = f"{finding.message} ({finding.hint})" if finding.hint else finding.message
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": visible(message)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": location.line},
                }
            }
        ],
    }
