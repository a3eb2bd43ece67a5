"""Finds items whose texts or requests are too similar, in the groups of `checks.similar`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from contentops.documents.word_diff import masked, runs_of, similar_pairs, words_in
from contentops.errors import Location, plural
from contentops.model import Change, Finding, ItemId, Json, Note, Spec
from contentops.model.jobs import cost_words
from contentops.planning.sides import PlanInputs
from contentops.planning.sources import LISTED, named

# ---- The groups in which `checks.similar` compares texts.

GroupKey = Location | str
"""What the items of a group have in common: the location of their declaration, `tag:NAME` or `all`."""


def group_of(spec: Spec) -> GroupKey | None:
    """Return the group of texts with which an item's text is compared, or None if there is none."""
    similar = spec.checks.similar
    if similar is None:
        return None
    return spec.location if similar.within == "for_each" else similar.within


def is_member(spec: Spec, key: GroupKey) -> bool:
    """Return whether an item belongs to a group whose texts are compared."""
    if isinstance(key, Location):
        return spec.location == key
    return key == "all" or key.removeprefix("tag:") in spec.tags


# ---- Requests that differ only in names.

ONE_BRIEF = "one-brief"
DIFFERENT = 25
"""A request with more different words from its row than this counts as a brief of its own."""


def same_briefs(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Note]:
    """Yield a note about items of a `checks.similar` group whose requests differ only in values of data rows.

    This is known before anything is paid for. The check itself compares the texts later.
    """
    paying = {
        change.id: change
        for change in changes
        if change.submit is not None and not change.submit.section and _row(change.spec)
    }
    if not paying:
        return

    groups = {group_of(change.spec) for change in paying.values() if change.spec is not None}
    briefs: defaultdict[tuple[GroupKey | None, bytes], list[Spec]] = defaultdict(list)
    for spec in inputs.desired.specs:
        if _row(spec) and (key := group_of(spec)) in groups and (brief := _brief(spec)):
            briefs[key, brief].append(spec)
    for specs in briefs.values():
        ids, location = [spec.id for spec in specs], specs[0].location
        payments = [paying[id_] for id_ in ids if id_ in paying]
        if not payments or len({spec.digest for spec in specs}) < 2:
            continue
        at = f" ({location.file}:{location.line})" if location is not None else ""
        is_free = not any(change.credits or change.money or change.has_no_price for change in payments)
        cost = f"{plural(len(payments), 'generation')}, {'free' if is_free else cost_words(payments)}"
        yield Note(
            kind=ONE_BRIEF,
            message=f"{named(ids)} have one brief, and differ only in values of their rows{at}: {cost}",
            hint=_ADD,
            items=tuple(ids[:LISTED]),
            credits=sum(change.credits for change in payments),
        )


_ADD = "add what is different about each, such as a column of facts that `inputs` use"


def _row(spec: Spec | None) -> bool:
    return spec is not None and spec.checks.similar is not None and bool(spec.names)


def _brief(spec: Spec) -> bytes:
    """Return the words of an item's request without the values of its data row.

    The result is empty if the row adds more than `DIFFERENT` different words.
    """
    words = words_in("\n".join(_texts(spec.request.as_json())))
    brief = masked(words, spec.names)
    return b"" if len(set(words) - set(brief)) > DIFFERENT else b" ".join(brief)


def _texts(value: Json) -> Iterator[str]:
    """Yield all keys and values of a request as texts. Equal requests give them in the same order."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield key
            yield from _texts(value[key])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)


# ---- Compare the files of each group.

_SHARED = "write what is true only of this item; the values of its row are masked before texts are compared"


def similar_texts(inputs: PlanInputs, specs: Iterable[Spec]) -> Mapping[ItemId, Finding]:
    """Compare each item's file with the files of its group, and return the findings of `checks.similar`."""
    asked: defaultdict[GroupKey, list[Spec]] = defaultdict(list)
    for spec in specs:
        if (key := group_of(spec)) is not None:
            asked[key].append(spec)
    return {id_: finding for key, group in asked.items() for id_, finding in _compare(inputs, key, group)}


def _compare(inputs: PlanInputs, key: GroupKey, asked: Sequence[Spec]) -> Iterable[tuple[ItemId, Finding]]:
    members = [spec for spec in inputs.desired.specs if is_member(spec, key)]
    # Outlines of one template are alike by nature, and their words are not published.
    files = ((spec, inputs.file_of(spec)) for spec in members)
    bodies = ((spec, inputs.body_of(file)) for spec, file in files if not file.labelled)
    texts = {str(spec.id): runs_of(masked(words_in(body), spec.names)) for spec, body in bodies if body is not None}
    limits = {spec.id: spec.checks.similar for spec in asked if spec.checks.similar is not None}
    others: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for one, other, share in similar_pairs(texts, min(limit.at_most for limit in limits.values())):
        others[one].append((share, other))
        others[other].append((share, one))
    for id_, limit in limits.items():
        above = [(share, other) for share, other in others[id_] if share > limit.at_most]
        if above:
            share, nearest = min(above, key=lambda each: (-each[0], each[1]))
            more = f" and {plural(len(above) - 1, 'more text')}" if len(above) > 1 else ""
            # Rounded down, so that what is not the same is never shown as 1.
            message = f"is too similar to `{nearest}`{more}: {int(share * 100) / 100:.2f}, at most {limit.at_most:g}"
            yield id_, Finding(check="similar", level=limit.level, message=message, hint=_SHARED)
