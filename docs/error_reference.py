"""Make the page of the error codes from docs/reference/errors.yaml. `docs/build_site.py` adds it to the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from docs.command_reference import cell, prose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INTRODUCTION: Final = """\
Every finding has a code that does not change: `error[unknown-input]: ...`.
An error stops the command before it does anything. Warnings and notes do not.
The message says where the problem is, and a hint says what to do.
`error[bug]` with a traceback is a bug in contentops. Please report it with all printed lines."""

GUARDS: Final = "Guards"
BLOCKED: Final = "Why an item is blocked"
REASONS: Final = "Kinds of reasons"
NOTES: Final = "Kinds of notes"
TABLES: Final = {
    GUARDS: "When `apply` refuses a plan, the code is the name of the guard.",
    BLOCKED: "A blocked item does not stop the others, and `apply` exits with 3.",
    REASONS: "A reason says why a plan changes an item. This table lists the `kind` of each reason in the JSON plan.",
    NOTES: "A note is a remark, not a change. This table lists the `kind` of each note in the JSON plan.",
}


def lines(groups: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines of the page of error codes, with a section for each group of codes.

    A group in `TABLES` becomes a table. In other groups, each code has a heading.
    """
    for group, codes in groups.items():
        yield from (f"## {group}", "")
        if group not in TABLES:
            yield from _sections(codes)
            continue
        yield from (TABLES[group], "", "| Code | Meaning |", "|---|---|")
        for names, text in codes.items():
            yield f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {cell(text)} |"
        yield ""


def _sections(codes: Mapping[str, str]) -> Iterator[str]:
    for code, text in codes.items():
        yield from (f"### `{code}`", "")
        yield from prose(text)
