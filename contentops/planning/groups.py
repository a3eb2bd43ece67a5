"""The groups in which `checks.similar` compares texts, and what it finds in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.documents.similar import SimilarTexts, masked, runs_of, words_in
from contentops.errors import Location, plural
from contentops.model import Finding

if TYPE_CHECKING:
    from contentops.documents.similar import Runs
    from contentops.model import Spec

GroupKey = Location | str
"""What the items of a group have in common: the location of their declaration, `tag:NAME` or `all`."""

_HINT = "write what is true of this one alone; the values of its row are masked before texts are compared"


def group_of(spec: Spec) -> GroupKey | None:
    """The group in which an item's text is compared; None: it is not."""
    similar = spec.checks.similar
    if similar is None:
        return None
    return spec.location if similar.within == "for_each" else similar.within


def is_member(spec: Spec, key: GroupKey) -> bool:
    """Whether texts of a group are compared with this item's."""
    if isinstance(key, Location):
        return spec.location == key
    return key == "all" or key.removeprefix("tag:") in spec.tags


class GroupTexts:
    """The texts of one group."""

    def __init__(self) -> None:
        self._texts = SimilarTexts()

    def add(self, spec: Spec, body: str) -> None:
        """Add the text of a member, once."""
        self._texts.add(spec.id, _runs(spec, body))

    def findings(self, spec: Spec, body: str | None = None) -> tuple[Finding, ...]:
        """What `checks.similar` finds in a text of an item: too similar a text of another member.

        `body`: None for the text of the item that was added.
        """
        similar = spec.checks.similar
        runs = self._texts.runs(spec.id) if body is None else _runs(spec, body)
        nearest = self._texts.nearest(runs, similar.at_most, but=spec.id) if similar is not None else None
        if similar is None or nearest is None:
            return ()
        least = "at least " if nearest.is_least else ""
        others = f" and {least}{plural(nearest.others, 'more text')}" if nearest.others else ""
        # Rounded down, so that what is not the same is never shown as 1.
        share = int(nearest.share * 100) / 100
        message = f"is too similar to `{nearest.name}`{others}: {share:.2f}, at most {similar.at_most:g}"
        return (Finding(check="similar", level=similar.level, message=message, hint=_HINT),)


def _runs(spec: Spec, body: str) -> Runs:
    return runs_of(masked(words_in(body), spec.names))
