"""Shows findings as text, JSON and annotations for GitHub. Also makes text safe for CI runners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

from msgspec import structs

from contentops import __version__
from contentops.errors import Diagnostic, Severity, plural
from contentops.model import Checked, Json, Plan
from contentops.model.settings import CheckedCounts, Findings
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import paint
from contentops.reporting.plan_json import written
from contentops.reporting.summary import plan_counts
from contentops.sanitize import ELLIPSIS, clip, columns, visible

# ---- Findings as text, as JSON, and as annotations for GitHub; and text that a CI runner does not run as a command.

_ROOM = 100
"""Characters of a source line that are shown."""
_TAB = 4
_LIMIT = 100


def diagnostics_text(findings: Iterable[Diagnostic], *, limit: int = _LIMIT) -> str:
    """Return findings as text with source lines and hints. If there are several, their number follows.

    If there are more than `limit`, errors come first, and the omitted findings are counted.
    """
    every = tuple(findings)
    shown: Sequence[Diagnostic] = every
    if len(every) > limit:
        shown = sorted(every, key=lambda finding: finding.severity is not Severity.ERROR)[:limit]
    blocks = [_block(finding) for finding in _hinted_once(shown)]
    if len(every) > len(shown):
        blocks.append(f"{ELLIPSIS} and {len(every) - len(shown)} more; `--json` lists them all")
    if len(every) > 1:
        counted = ((_number(every, severity), severity.value) for severity in Severity)
        blocks.append(", ".join(plural(number, word) for number, word in counted if number))
    return "\n\n".join(blocks)


def diagnostics_json(findings: Iterable[Diagnostic]) -> dict[str, Json]:
    """Return the findings in the format of `schemas/diagnostics.schema.json`."""
    return written(_counted(tuple(findings)))


def _counted(findings: tuple[Diagnostic, ...]) -> Findings:
    return Findings(
        format_version=FORMAT_VERSION,
        errors=_number(findings, Severity.ERROR),
        warnings=_number(findings, Severity.WARNING),
        notes=_number(findings, Severity.NOTE),
        diagnostics=findings,
    )


def _hinted_once(findings: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield the findings, and drop a long hint that the finding before also has."""
    before = ""
    for finding in findings:
        repeated = finding.hint == before and len(finding.hint) > _ROOM
        yield structs.replace(finding, hint="") if repeated else finding
        before = finding.hint


def _number(findings: Iterable[Diagnostic], severity: Severity) -> int:
    return sum(finding.severity is severity for finding in findings)


def _block(finding: Diagnostic) -> str:
    style = finding.severity.value
    head = paint(f"{style}[{visible(finding.code)}]", style)
    lines = [f"{head}: {paint(visible(finding.message), 'strong')}"]
    if finding.location is not None:
        lines += _excerpt(finding)
    if finding.hint:
        # A hint of several lines keeps them, indented so that none can pose as another finding.
        first, *rest = finding.hint.split("\n")
        lines.append(f"{paint('hint', 'hint')}: {visible(first)}")
        lines += [f"      {visible(line)}" for line in rest]
    return "\n".join(lines)


def _excerpt(finding: Diagnostic) -> list[str]:
    location = finding.location
    assert location is not None
    number = str(location.line)
    gutter = " " * (len(number) + 2)
    lines = [f"{gutter[1:]}{paint('-->', 'dim')} {visible(str(location))}"]
    if finding.excerpt:
        text, offset, length = window(finding.excerpt, location.column, finding.width)
        bar = paint("|", "dim")
        carets = paint("^" * length, finding.severity.value)
        lines += [
            f"{gutter}{bar}",
            f" {paint(number, 'dim')} {bar} {text}".rstrip(),
            f"{gutter}{bar} {' ' * offset}{carets}",
        ]
    return lines


def window(line: str, column: int, width: int) -> tuple[str, int, int]:
    """Cut a source line to at most `_ROOM` characters around `column` (counted from 1).

    Also return the number of columns before the marked part, and of the marked part, as printed.
    """
    start = min(max(column - 1, 0), len(line))
    first = max(0, start - _ROOM // 2) if len(line) > _ROOM else 0
    last = min(first + _ROOM, len(line))
    end = min(start + max(width, 1), last)
    spans = ((first, start), (start, end), (end, last))
    before, marked, after = (visible(line[begin:stop].expandtabs(_TAB)) for begin, stop in spans)
    left = ELLIPSIS + before if first else before
    right = after + ELLIPSIS if last < len(line) else after
    return left + marked + right, columns(left), max(columns(marked), 1)


SHOWN = 10
"""The number of annotations of a kind that GitHub shows for a step."""
_WORDS = 1_000
_KINDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
# A runner of GitHub takes a line that starts with `::` as a command; it cuts lines at CR as well, and trims every kind
# of space. The other marks count anywhere: `##[` (GitHub, Azure), `##vso[` (Azure), `##teamcity[`, and
# the sections of GitLab.
_ORDER = r"(?P<start>(?:\A|[\r\n])\s*)::(?!:)"
_HASHES = r"(?i)##(?=(?:vso|teamcity)?\[)"
_SECTION = r"(?P<start>section_(?:start|end)):(?=[0-9])"


def inert(text: str) -> str:
    r"""Change `text` so that a CI runner prints it and does not run it as a command: `::` becomes `\x3a:`."""
    text = re.sub(_HASHES, r"#\\x23", re.sub(_ORDER, r"\g<start>\\x3a:", text))
    return re.sub(_SECTION, r"\g<start>\\x3a", text)


def inert_json(text: str) -> str:
    r"""Change a JSON text so that a CI runner does not run it as a command. Only its strings can have commands."""
    return re.sub(_SECTION, r"\g<start>\\u003a", re.sub(_HASHES, r"#\\u0023", text))


# --- annotations -------------------------------------------------------------------------------------------


def annotation_lines(findings: Sequence[Diagnostic], *, folder: str = "") -> list[str]:
    """Return GitHub workflow commands that show the findings, at most 10 of each kind. Other findings are counted.

    `folder` is the path of the project in the repository.
    """
    lines: list[str] = []
    for severity, kind in _KINDS.items():
        matching = [finding for finding in findings if finding.severity is severity]
        room = SHOWN if len(matching) <= SHOWN else SHOWN - 1
        lines += [_annotation(kind, finding, folder) for finding in matching[:room]]
        if len(matching) > room:
            lines.append(f"::{kind}::{data(plural(len(matching) - room, f'more {severity.value}'))} in the log")
    return lines


def _annotation(kind: str, finding: Diagnostic, folder: str) -> str:
    location = finding.location
    properties = {"title": finding.code}
    if location is not None:
        file = f"{folder}/{location.file}" if folder else location.file
        properties = {"file": file, "line": str(location.line), "col": str(location.column), **properties}
    hint = f" ({finding.hint})" if finding.hint else ""
    escaped = {name: data(value).replace(":", "%3A").replace(",", "%2C") for name, value in properties.items()}
    stated = ",".join(f"{name}={value}" for name, value in escaped.items())
    return f"::{kind} {stated}::{data(clip(finding.message + hint, _WORDS))}"


def data(text: str) -> str:
    """Escape a message for use in a GitHub workflow command."""
    return visible(text.replace("\n", " ")).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


# --- outputs -----------------------------------------------------------------------------------------------


def outputs(plan: Plan) -> dict[str, str]:
    """Return a plan's counts as outputs of a step on GitHub: only numbers and booleans."""
    counts = {action.value: number for action, number in plan_counts(plan).items()}
    update = sum(counts.get(name, 0) for name in ("regenerate", "overwrite", "merge", "update"))
    return {
        "has-changes": "false" if plan.empty else "true",
        "create": str(counts.get("create", 0)),
        "update": str(update),
        "credits": str(plan.credits),
    }


# ---- The findings of checks as text, JSON, and SARIF for code scanning.

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
"""For each check, by its code: what is true if it finds nothing."""
MOST_RESULTS: Final = 25_000
"""The most results of a run that GitHub's code scanning accepts."""
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def checks_text(done: Checked) -> str:
    """Return the findings of all checked files as text, followed by the counts."""
    checked = [[one for one in file.findings if one.code != UNAPPROVED] for file in done.files]
    blocked = sum(_number(findings, Severity.ERROR) > 0 for findings in checked)
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


def checks_json(done: Checked) -> dict[str, Json]:
    """Return the result of `contentops check` in the format of `schemas/diagnostics.schema.json`."""
    files = [
        CheckedCounts(
            item=file.item,
            output=file.output,
            errors=(errors := _number(file.findings, Severity.ERROR)),
            warnings=len(file.findings) - errors,
        )
        for file in done.files
    ]
    found = structs.replace(
        _counted(done.findings), checked=tuple(files), missing=done.missing, unchecked=done.unchecked
    )
    return written(found)


# --- SARIF -----------------------------------------------------------------------------------------------------


def sarif(done: Checked, *, folder: str = "") -> dict[str, Json]:
    """Return the findings as a SARIF 2.1.0 log. `folder` is the path of the project in the repository."""
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
