"""Collects the findings of one manifest file.

Many rows of a data file, or many items with one default, can fail for one reason at one location. That is one finding:
it names the first item and counts the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import structs

from contentops.errors import Diagnostic, Location, Severity, nearest
from contentops.yaml.positions import finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.manifests.values import Written


def misspelt(value: Any, allowed: Iterable[str]) -> frozenset[str]:
    """The known keys that a map does not set, although one of its unknown keys is close to them."""
    if not isinstance(value, dict):
        return frozenset()
    allowed = frozenset(allowed)
    close = (nearest(key, allowed) for key in value if key not in allowed)
    return frozenset(name for name in close if name is not None and name not in value)


class Problems:
    """Findings collected so far; `done` returns them in order."""

    def __init__(self) -> None:
        self._first: dict[object, Diagnostic] = {}
        self._count: dict[object, int] = {}
        self.errors = 0
        """The number of errors that were added; equal ones count each time."""

    def add(self, problem: Diagnostic) -> None:
        """Add a finding that names no item."""
        self._add(problem, (problem.code, problem.location, problem.message))

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

        Findings with the same location, code and core are counted as one, whatever their subjects.
        """
        group = (code, id(written.document), written.pointer, key, offset, core)
        problem = self._first.get(group)
        if problem is None:
            message = f"{subject} {core}".strip()
            if written.document is None:
                problem = Diagnostic(code=code, message=message, severity=severity, hint=hint)
            else:
                at = written.pointer
                problem = finding(
                    written.document, code, message, at, key=key, hint=hint, severity=severity, offset=offset
                )
        self._add(problem, group)

    def _add(self, problem: Diagnostic, group: object) -> None:
        self.errors += problem.severity is Severity.ERROR
        self._first.setdefault(group, problem)
        self._count[group] = self._count.get(group, 0) + 1

    def done(self) -> list[Diagnostic]:
        """Every finding once, in order of location."""
        return in_order(counted(problem, self._count[group] - 1, "item") for group, problem in self._first.items())


def counted(problem: Diagnostic, others: int, noun: str) -> Diagnostic:
    """A finding that says how many other items or files have it too."""
    if not others:
        return problem
    more = f"; {others} more {noun}{'s have' if others > 1 else ' has'} the same problem"
    return structs.replace(problem, message=problem.message + more)


def in_order(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings sorted by location, then code and message; those without a location come first."""
    nowhere = Location("", 0, 0)
    return sorted(findings, key=lambda problem: (problem.location or nowhere, problem.code, problem.message))


class Report(Protocol):
    """Reports a problem of an item, at the field with this path."""

    def __call__(
        self,
        path: tuple[str, ...],
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """`core` follows the name of the item in the message."""
