"""The findings of one manifest file, collected while its items are worked through.

Many rows of a data file, or many items with one default, can fail for one reason at one place. That is one
finding: the first item is named and the others are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from contentops.errors import Diagnostic, Severity
from contentops.manifests.places import Document, finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentops.errors import Location
    from contentops.manifests.layers import Written


@dataclass(slots=True)
class _Group:
    """Equal findings: the first of them, and how many items have it."""

    first: Diagnostic
    count: int = 1


class Problems:
    """Collects findings; `done` gives them in order."""

    def __init__(self) -> None:
        self._groups: dict[object, _Group] = {}
        self.errors = 0
        """How many errors were added, equal ones counted each time."""

    def add(self, found: Diagnostic) -> None:
        """Add a finding that stands for itself."""
        self._count(found, (found.code, found.location, found.message))

    def about(
        self,
        subject: str,
        written: Written,
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        offset: int = 0,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a finding about one item: its message is `subject`, a space and `core`.

        Findings with the same place, code and core are one, whatever their subjects.
        """
        place = id(written.document), written.pointer
        group = self._groups.get((code, place, key, offset, core))
        if group is not None:
            self.errors += severity is Severity.ERROR
            group.count += 1
            return
        message = f"{subject} {core}" if subject else core
        if written.document is None:
            found = Diagnostic(code=code, message=message, severity=severity, hint=hint)
        else:
            found = finding(
                written.document, code, message, written.pointer, key=key, hint=hint, severity=severity, offset=offset
            )
        self._count(found, (code, place, key, offset, core))

    def in_document(
        self,
        document: Document,
        code: str,
        message: str,
        pointer: Sequence[str | int],
        *,
        key: bool = False,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a finding about a place of a file."""
        self.add(finding(document, code, message, pointer, key=key, hint=hint, severity=severity))

    def _count(self, found: Diagnostic, group: object) -> None:
        self.errors += found.severity is Severity.ERROR
        known = self._groups.setdefault(group, _Group(found, 0))
        known.count += 1

    def done(self) -> list[Diagnostic]:
        """Every finding once, in order of place."""
        return in_order(_numbered(group.first, group.count - 1) for group in self._groups.values())


def _numbered(first: Diagnostic, others: int) -> Diagnostic:
    if not others:
        return first
    more = f"; {others} more item{'s have' if others > 1 else ' has'} the same problem"
    return structs.replace(first, message=first.message + more)


def in_order(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings sorted by place, then code and message; those without a place come first."""
    return sorted(findings, key=_key)


def _key(found: Diagnostic) -> tuple[str, int, int, str, str]:
    at: Location | None = found.location
    place = ("", 0, 0) if at is None else (at.file, at.line, at.column)
    return (*place, found.code, found.message)


class Report(Protocol):
    """Reports a problem of the item at hand, at the field with this path."""

    def __call__(self, path: tuple[str, ...], code: str, core: str, *, key: bool = False, hint: str = "") -> None:
        """`core` follows the name of the item in the message."""
