"""Selects items for a command by ids and by selectors, such as `tag:news` or `+item` (an item and its sources)."""

from __future__ import annotations

import contextlib
import datetime as dt
import fnmatch
import hashlib
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import UsageError, near, nearest, suggest
from contentops.model import (
    Action,
    ApprovalState,
    Change,
    ItemId,
    Job,
    JobState,
    Move,
    Observed,
    Record,
    Reference,
    Spec,
    is_day,
)
from contentops.model.records import OPEN
from contentops.planning.sides import Choice, failed_attempts

# ---- Which items are made from the texts of which: sources, dependants, and the order from sources to dependants.

if TYPE_CHECKING:
    Sources = Mapping[ItemId, Collection[ItemId]]
    """For each item, the items whose texts its own text is made from."""


def dependants_of(sources: Sources) -> dict[ItemId, list[ItemId]]:
    """Return for each item the items that are made from its text, in the order of `sources`."""
    made: dict[ItemId, list[ItemId]] = defaultdict(list)
    for id_, its_sources in sources.items():
        for source in its_sources:
            made[source].append(id_)
    return dict(made)


def reached(start: Iterable[ItemId], steps: Sources) -> set[ItemId]:
    """Return the items of `start`, and all items that can be reached from them by the links in `steps`."""
    seen = set(start)
    todo = list(seen)
    while todo:
        further = [id_ for id_ in steps.get(todo.pop(), ()) if id_ not in seen]
        seen.update(further)
        todo += further
    return seen


def in_order(sources: Sources) -> list[ItemId]:
    """Sort items so that sources come before the items that use them.

    Other items are sorted by id; items in a ring come last.
    """
    from graphlib import CycleError, TopologicalSorter

    sorter = TopologicalSorter({id_: {one for one in its if one in sources} - {id_} for id_, its in sources.items()})
    with contextlib.suppress(CycleError):
        sorter.prepare()
    ordered: list[ItemId] = []
    while ready := sorted(sorter.get_ready()):
        ordered += ready
        sorter.done(*ready)
    return [*ordered, *sorted(sources.keys() - set(ordered))]


# ---- The items that a command selects.

DUE = re.compile(r"due(<=|>=|<|>)(.*)", re.DOTALL)
"""A selector of the day an item is due; days are compared as texts."""
_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
METHODS = ("tag", "template", "style", "path", "state", "result", "approval", "shard")
MOST_SHARDS: Final = 10_000
_SHARD: Final = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
"""The value of `shard:`: the number of a shard, and how many there are."""


class StatusWord(StrEnum):
    """A state of an item, as `contentops status` shows it. `state:` accepts these words, with hyphens for blanks."""

    ORPHAN = "orphan"
    BLOCKED = "blocked"
    PENDING = "pending"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    PAID = "paid"
    RUNNING = "running"
    NEW = "new"
    MISSING = "missing"
    CHANGED = "changed"
    STALE = "stale"
    PROMOTABLE = "promotable"
    EDITED_THERE = "edited there"
    EDITED = "edited"
    MOVED = "moved"
    UNSAVED = "unsaved"
    PROMOTED = "promoted"
    AS_GENERATED = "as generated"
    ADOPTED = "adopted"


def _value(state: str) -> str:
    """Convert a state of `contentops status` to a value of the selector `state:`, such as `up-to-date`."""
    return state.replace(" ", "-")


STATES = (*map(_value, StatusWord), "open", "failed")
"""The values of `state:`; `state:open` is any open job, and `state:failed` is `result:failed`."""


_FIXED: Final[Mapping[str, Sequence[str]]] = {
    "state": STATES,
    "result": ("failed",),
    "approval": tuple(ApprovalState),
}
"""The values of the methods that have no names of the project."""


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """An item with its declaration and its change, which selectors can match.

    `spec` is None if no manifest declares the item.
    """

    id: ItemId
    spec: Spec | None
    change: Change | None
    open_jobs: tuple[Job, ...] = ()
    record: Record | None = None
    made_by: Job | None = None
    """The job that made its text, or None if no known job made it."""
    file: Observed | None = None
    """Its file, if it has a record."""
    approval: ApprovalState = ApprovalState.NONE
    stale: bool = False
    """The texts that its own was made from have changed."""
    keeps: bool = False
    """It keeps a text whose sources have changed, or cannot be used."""
    waits: tuple[Reference, ...] = ()
    """The texts of other items that its own text waits for."""
    is_edited: bool = False
    """A person changed the body since it was generated, promoted or adopted."""
    is_edited_there: bool = False
    """A refresh found an edit in WriterzRoom."""

    @property
    def path(self) -> str:
        """Return the path that the item's file has or will have."""
        if self.record is not None:
            return self.record.output
        return self.spec.output if self.spec is not None else self.change.target if self.change is not None else ""

    @property
    def failed(self) -> bool:
        """Return whether an open job for the item's present request has failed."""
        return self.spec is not None and bool(failed_attempts(self.open_jobs, self.spec.digest))

    @property
    def word(self) -> StatusWord:
        """Return the state of the item as `status` shows it. If several states apply, the first one counts."""
        change, record, facts = self.change, self.record, self._facts
        if change is None and record is None:
            return StatusWord.WAITING
        if (first := next(filter(facts.get, StatusWord), None)) is not None:
            return first
        if change is not None and change.action not in (Action.NONE, Action.DRAIN):
            return StatusWord.CHANGED
        if record is not None and record.is_promoted:
            return StatusWord.PROMOTED
        return StatusWord.AS_GENERATED if record is None or record.generated else StatusWord.ADOPTED

    @property
    def sources(self) -> tuple[ItemId, ...]:
        """Return the sources of the item, sorted.

        They come from its manifest, or from its record if it has no manifest.
        """
        if self.spec is not None:
            return tuple(one.id for one in self.spec.references)
        return tuple(sorted(map(ItemId, self.record.sources))) if self.record is not None else ()

    @property
    def states(self) -> frozenset[str]:
        """Return all values of `state:` that match the item, including the one that `status` shows."""
        return frozenset({_value(self.word), *(_value(name) for name, holds in self._facts.items() if holds)})

    @property
    def _facts(self) -> dict[str, bool]:
        change, spec = self.change, self.spec
        facts = {
            "orphan": spec is None,
            "failed": self.failed,
            "stale": self.stale,
            "edited there": self.is_edited_there,
            "edited": self.is_edited or self.is_edited_there,
        }
        if change is not None:
            kinds = {reason.kind for reason in change.reasons}
            jobs = {job.state for job in (change.job, *change.collected_jobs) if job is not None}
            facts |= {
                "new": change.record is None and spec is not None,
                "changed": bool(kinds & {"changed", "added", "removed", "made-by-local"}),
                "missing": change.action is Action.RESTORE or change.blocked in ("missing", "text-lost", "text-in-git"),
                "moved": change.has(Move),
                "open": bool(jobs & OPEN),
                "paid": JobState.PAID in jobs,
                "running": JobState.RUNNING in jobs,
                "unknown": change.action is Action.RESOLVE,
                "blocked": change.action is Action.BLOCKED,
                "pending": change.action is Action.PENDING,
                "waiting": change.action is Action.WAIT,
                "promotable": change.action is Action.PROMOTE,
                "unsaved": change.names == ("save",),
            }
        return facts

    def matches(self, selector: str) -> bool:
        """Return whether a selector matches the item. The selector is valid and has no `+`."""
        if due := DUE.fullmatch(selector):
            day = self.spec.publish_on if self.spec is not None else ""
            return bool(day) and _COMPARE[due[1]](day, due[2])
        method, value = _parts(selector)
        if method == "state":
            return _value(value) in self.states
        if method == "result":
            return self.failed
        if method == "approval":
            return self.approval == value
        if method == "shard":
            number, count = map(int, value.split("/"))
            return shard_of(self.id, count) == number
        return any(fnmatch.fnmatchcase(text, value) for text in self.texts(method))

    def texts(self, method: str) -> tuple[str, ...]:
        """Return the item's values with which a selector is compared, such as its tags for the method `tag`.

        Without a method, the value is the item's id.
        """
        spec = self.spec
        match method:
            case "":
                return (str(self.id),)
            case "tag":
                return spec.tags if spec else ()
            case "template":
                return (spec.request.template,) if spec else ()
            case "style":
                return (spec.request.style,) if spec else ()
            case _:
                return (spec.output if spec else self.path,)


def shard_of(item: ItemId, count: int) -> int:
    """Return the number of the shard that an item belongs to, from 1 to `count`.

    It is the same for every process, machine and release.
    """
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "big") % count + 1


class Selector(Struct, frozen=True):
    """A selector of items. It can select their sources and dependants too."""

    named: str
    sources: bool
    dependants: bool

    def __str__(self) -> str:
        return self.around(self.named)

    def around(self, named: str) -> str:
        """Return this selector as text, with its name replaced by `named`."""
        return f"{'+' * self.sources}{named}{'+' * self.dependants}"


def _pattern(selector: str, items: Sequence[Candidate] = ()) -> Selector:
    """Parse the text of a selector.

    A `+` at its end belongs to the name if an item has exactly this id, tag or path.
    """
    named = selector.removeprefix("+")
    method, value = _parts(named)
    is_exact = method not in _FIXED and any(value in item.texts(method) for item in items)
    dependants = named.endswith("+") and not is_exact
    return Selector(named[:-1] if dependants else named, selector.startswith("+"), dependants)


_AHEAD = re.compile(r"\+(\d{1,4})d")


def dated(selectors: Iterable[str], today: dt.date) -> tuple[str, ...]:
    """Replace `today` and days such as `+7d` in `due` selectors by dates."""

    def day(match: re.Match[str]) -> str:
        named, ahead = match[3], _AHEAD.fullmatch(match[3])
        days = 0 if named == "today" else int(ahead[1]) if ahead else None
        shown = named if days is None else (today + dt.timedelta(days=days)).isoformat()
        return f"{match[1]}{match[2]}{shown}"

    return tuple(re.sub(r"^(\+?due)(<=|>=|<|>)(.*)$", day, each, flags=re.DOTALL) for each in selectors)


def check_selectors(selectors: Iterable[str]) -> None:
    """Check that selectors are valid. Raises UsageError for an unknown method or value, or for `+` with `shard:`."""
    for pattern in map(_pattern, selectors):
        if due := DUE.fullmatch(pattern.named):
            if not is_day(due[2]):
                raise _unknown(str(pattern), "day", "write a day as `due<=2026-12-01`, or `due<=today`, or `due<=+7d`")
            continue
        method, colon, value = pattern.named.partition(":")
        if not colon:
            continue
        if method not in METHODS:
            choices = "known: an id glob, " + ", ".join(f"`{name}:`" for name in METHODS)
            close = nearest(method, METHODS)
            raise _unknown(str(pattern), "selector", f"did you mean `{close}:`?" if close else choices)
        if method == "shard":
            _check_shard(pattern)
            continue
        values = _FIXED.get(method)
        if values and (_value(value) if method == "state" else value) not in values:
            close = nearest(value, values)
            choices = "known: " + ", ".join(values)
            hint = f"did you mean `{pattern.around(f'{method}:{close}')}`?" if close else choices
            raise _unknown(str(pattern), method, hint)


def _check_shard(pattern: Selector) -> None:
    if pattern.sources or pattern.dependants:
        message = f"`{pattern}`: `shard:` takes no `+`, as sources and dependants are on other shards"
        raise UsageError(message, code="unknown-selector", hint=f"write `{pattern.named}`")
    shard = _SHARD.fullmatch(_parts(pattern.named)[1])
    if shard is None or not 1 <= int(shard[1]) <= int(shard[2]) <= MOST_SHARDS:
        hint = f"write `shard:K/N`, where K is from 1 to N, and N at most {MOST_SHARDS:,}: `shard:1/4`"
        raise _unknown(str(pattern), "shard", hint)


def _unknown(selector: str, kind: str, hint: str) -> UsageError:
    return UsageError(f"`{selector}`: no such {kind}", code="unknown-selector", hint=hint)


def _parts(selector: str) -> tuple[str, str]:
    """Return the method and the value of a selector. The method is empty if the selector names an id."""
    method, colon, value = selector.partition(":")
    return (method, value) if colon else ("", selector)


def selected(choice: Choice, items: Sequence[Candidate]) -> list[Candidate]:
    """Return the items that the command line selects.

    They are allowed by `only`, match a `--select` if there is one, and match no `--exclude`. A `--select shard:K/N`
    narrows the items that the other selectors match. Raises UsageError for an invalid selector, or for one that matches
    no item; the hint shows similar names.
    """
    check_selectors((*choice.select, *choice.exclude))
    shards = [selector for selector in choice.select if _is_shard(selector)]
    others = [selector for selector in choice.select if not _is_shard(selector)]
    wanted, in_shards = _matched("--select", others, items), _matched("--select", shards, items)
    unwanted = _matched("--exclude", choice.exclude, items)
    return [
        item
        for item in items
        if (choice.only is None or item.id in choice.only)
        and (not others or item.id in wanted)
        and (not shards or item.id in in_shards)
        and item.id not in unwanted
    ]


def shard_in(choice: Choice) -> str:
    """Return the selected shards as text, or an empty text if no shard is selected."""
    return " ".join(sorted(filter(_is_shard, choice.select)))


def _is_shard(selector: str) -> bool:
    return _parts(_pattern(selector).named)[0] == "shard"


def _matched(option: str, selectors: Iterable[str], items: Sequence[Candidate]) -> set[ItemId]:
    """Return the items that at least one selector selects. Raises UsageError if a selector matches no item."""
    matched: set[ItemId] = set()
    for selector in selectors:
        pattern = _pattern(selector, items)
        ids = {item.id for item in items if item.matches(pattern.named)}
        # It is no mistake if no item is in a state or shard, has failed, or is due.
        if not ids and _parts(pattern.named)[0] not in (*_FIXED, "shard") and not DUE.fullmatch(pattern.named):
            message = f"`{option} {selector}` matches no item"
            raise UsageError(message, code="nothing-selected", hint=_suggestion(option, pattern, items))
        matched |= ids
        if pattern.sources or pattern.dependants:
            sources = {item.id: item.sources for item in items}
            matched |= reached(ids, sources) if pattern.sources else set()
            matched |= reached(ids, dependants_of(sources)) if pattern.dependants else set()
    return matched


_GLOB = re.compile(r"[*?\[\]!]")


def _suggestion(option: str, pattern: Selector, items: Sequence[Candidate]) -> str:
    """Return a hint about a selector that matches no item."""
    method, value = _parts(pattern.named)
    lead = f"{method}:" * bool(method)
    if "{" in value:
        return f"braces and commas are not supported: write `{option}` once per pattern"
    if "," in value:
        each = " ".join(f"{option} {pattern.around(f'{lead}{part.strip()}')}" for part in value.split(","))
        return f"a comma does not separate patterns: write `{each}`"
    if not method and any(value in item.texts("tag") for item in items):
        return f"did you mean `{pattern.around(f'tag:{value}')}`?"
    names = tuple(sorted({text for item in items for text in item.texts(method)}))
    if close := near(_GLOB.sub("", value), names, 3):
        *others, last = (f"`{pattern.around(f'{lead}{name}')}`" for name in close)
        return f"did you mean {' or '.join(filter(None, (', '.join(others), last)))}?"
    if method == "tag" and not names:
        return "no item has `tags`; those in `metadata` are front matter"
    return (suggest("", names) if method else "") or "`contentops status` lists the items"
