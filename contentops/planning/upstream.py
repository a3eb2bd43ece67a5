"""Notes on templates and styles that are defined otherwise now than when the texts they made were submitted.

A note and never a change: only a person's own words in a manifest or on the command line cost money.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from contentops.model import Action, Note, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.model import Change, ItemId, Record, Spec
    from contentops.planning.situation import Situation

_WORDS = {"inputs": "its inputs", "manner": "its manner of writing"}


def upstream_notes(
    s: Situation, chosen: Iterable[tuple[Change | None, Spec | None]], orphans: Mapping[ItemId, Record]
) -> list[Note]:
    """One note per template or style whose definition is not what some of the chosen items' texts were made from.

    Aspects that either side does not know are no difference. Items that get a new text anyway do not count, nor do
    those whose text answers another request or was made by another server.
    """
    items: defaultdict[tuple[str, str], list[ItemId]] = defaultdict(list)
    aspects: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    known: dict[tuple[str, str], Mapping[str, str]] = {}
    for change, spec in chosen:
        if spec is None:
            continue
        record = s.state.records.get(spec.id) or orphans.get(spec.id)
        if record is None or not record.definitions:
            continue
        slugs = (spec.request.template, spec.request.style)
        now = known.get(slugs)
        if now is None:
            now = known[slugs] = s.definitions.of(*slugs)
        if now == record.definitions or not _stays(s, change, spec, record):
            continue
        for kind, slug in zip(("template", "style"), slugs, strict=True):
            changed = {aspect for aspect in _WORDS if _differs(now, record.definitions, f"{kind}.{aspect}")}
            if changed:
                items[kind, slug].append(spec.id)
                aspects[kind, slug] |= changed
    return [_note(kind, slug, aspects[kind, slug], ids) for (kind, slug), ids in sorted(items.items())]


def _stays(s: Situation, change: Change | None, spec: Spec, record: Record) -> bool:
    """Whether the recorded text answers the request, and is not replaced by this plan."""
    if record.server != s.server or record.digest != spec.digest:
        return False
    return change is None or Step.WRITE not in change.steps or change.action is Action.RESTORE


def _differs(now: Mapping[str, str], before: Mapping[str, str], name: str) -> bool:
    return name in now and name in before and now[name] != before[name]


def _note(kind: str, slug: str, aspects: set[str], items: list[ItemId]) -> Note:
    what = " and ".join(words for aspect, words in _WORDS.items() if aspect in aspects)
    verb = "is" if aspects == {"manner"} else "are"
    one = len(items) == 1
    who = f"`{items[0]}` was" if one else f"{len(items):,} items were"
    which = "it" if one else "one of them"
    return Note(
        kind=f"{kind}-changed-upstream",
        message=f"{kind} `{slug}` changed upstream: {what} {verb} other than in the catalog {who} generated with",
        hint=(
            f"nothing is generated anew for it; `--replace {items[0]}` does so for {which}, a new `revision` in the "
            "manifest for all that share it"
        ),
    )
