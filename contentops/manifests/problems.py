"""The findings of one manifest file, collected while its items are worked through; misspelt keys among them.

Many rows of a data file, or many items with one default, can fail for one reason at one place. That is one
finding: the first item is named and the others are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import structs

from contentops.errors import Diagnostic, Location, Severity, nearest
from contentops.yaml.positions import finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.manifests.values import Written


def meant(value: Any, known: Iterable[str]) -> frozenset[str]:
    """The known keys that a map does not set, but that one of its unknown keys is close to."""
    if not isinstance(value, dict):
        return frozenset()
    known = frozenset(known)
    close = (nearest(key, known) for key in value if key not in known)
    return frozenset(name for name in close if name is not None and name not in value)


class Problems:
    """Collects findings; `done` gives them in order."""

    def __init__(self) -> None:
        self._first: dict[object, Diagnostic] = {}
        self._count: dict[object, int] = {}
        self.errors = 0
        """How many errors were added, equal ones counted each time."""

    def add(self, found: Diagnostic) -> None:
        """Add a finding that stands for itself."""
        self._add(found, (found.code, found.location, found.message))

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

        Findings with the same place, code and core are one, whatever their subjects: that is why the place is named
        in its parts, as `finding` takes them.
        """
        group = (code, id(written.document), written.pointer, key, offset, core)
        found = self._first.get(group)
        if found is None:
            message = f"{subject} {core}".strip()
            if written.document is None:
                found = Diagnostic(code=code, message=message, severity=severity, hint=hint)
            else:
                at = written.pointer
                found = finding(
                    written.document, code, message, at, key=key, hint=hint, severity=severity, offset=offset
                )
        self._add(found, group)

    def _add(self, found: Diagnostic, group: object) -> None:
        self.errors += found.severity is Severity.ERROR
        self._first.setdefault(group, found)
        self._count[group] = self._count.get(group, 0) + 1

    def done(self) -> list[Diagnostic]:
        """Every finding once, in order of place."""
        return in_order(counted(found, self._count[group] - 1, "item") for group, found in self._first.items())


def counted(found: Diagnostic, others: int, what: str) -> Diagnostic:
    """A finding that tells how many other items or files have it too."""
    if not others:
        return found
    more = f"; {others} more {what}{'s have' if others > 1 else ' has'} the same problem"
    return structs.replace(found, message=found.message + more)


def in_order(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings sorted by place, then code and message; those without a place come first."""
    nowhere = Location("", 0, 0)
    return sorted(findings, key=lambda found: (found.location or nowhere, found.code, found.message))


class Report(Protocol):
    """Reports a problem of the item at hand, at the field with this path."""

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
