"""The items that a command selects: by globs of ids, by selectors such as `tag:`, and with sources and dependants."""

from __future__ import annotations

import datetime as dt
import fnmatch
import hashlib
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from contentops.digest import NOTHING, Digest
from contentops.errors import Location, UsageError, near, nearest, plural, suggest
from contentops.model import (
    Action,
    ApprovalState,
    Change,
    ItemId,
    Job,
    JobState,
    Move,
    Note,
    Observed,
    Record,
    Reference,
    Spec,
    is_day,
)
from contentops.model.records import OPEN
from contentops.planning.sides import Choice, failed_attempts, is_edited

# ---- Which items are made from the texts of which: sources, dependants, and the order from sources to dependants.

if TYPE_CHECKING:
    Sources = Mapping[ItemId, Collection[ItemId]]
    """By item, the items whose texts its own is made from."""


def dependants_of(sources: Sources) -> dict[ItemId, list[ItemId]]:
    """By item, the items that are made from its text, in the order of `sources`."""
    made: dict[ItemId, list[ItemId]] = defaultdict(list)
    for id_, its_sources in sources.items():
        for source in its_sources:
            made[source].append(id_)
    return dict(made)


def reached(start: Iterable[ItemId], steps: Sources) -> set[ItemId]:
    """Every item that a number of steps reaches from `start`, with those of `start`."""
    seen = set(start)
    todo = list(seen)
    while todo:
        further = [id_ for id_ in steps.get(todo.pop(), ()) if id_ not in seen]
        seen.update(further)
        todo += further
    return seen


def in_order(sources: Sources) -> list[ItemId]:
    """The items, each after its sources, else by id; recorded items in a ring come last."""
    made = dependants_of(sources)
    open_sources = {id_: len({one for one in its if one in sources} - {id_}) for id_, its in sources.items()}
    ordered: list[ItemId] = []
    wave = sorted(id_ for id_, number in open_sources.items() if not number)
    while wave:
        ordered += wave
        following: set[ItemId] = set()
        for id_ in wave:
            for one in set(made.get(id_, ())) - {id_}:
                open_sources[one] -= 1
                following |= set() if open_sources[one] else {one}
        wave = sorted(following)
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
    """The state of an item as `status` shows it; `state:` takes each, a blank as a hyphen."""

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


_FIRST_WORDS = tuple(StatusWord)[: tuple(StatusWord).index(StatusWord.PROMOTABLE)]


def _value(state: str) -> str:
    """The value of `state:` for a state that `status` shows."""
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
    """An item as selectors match it: its spec (None: not declared in any manifest) and its change."""

    id: ItemId
    spec: Spec | None
    change: Change | None
    open_jobs: tuple[Job, ...] = ()
    path: str = ""
    """Its output, where neither spec nor change has it."""
    record: Record | None = None
    made_by: Job | None = None
    """The job that made its text; None: none, or not known."""
    file: Observed | None = None
    """Its file, if it has a record."""
    approval: ApprovalState = ApprovalState.NONE
    stale: bool = False
    """The texts that its own was made from have changed."""
    keeps: bool = False
    """It keeps a text whose sources have changed, or cannot be used."""
    waits: tuple[Reference, ...] = ()
    """The texts of other items that its own waits for."""
    edited_there: bool = False
    """A refresh found an edit in WriterzRoom."""
    made: frozenset[Digest] = frozenset()
    """The body digests of all texts that known jobs made."""

    @property
    def failed(self) -> bool:
        """Whether its last jobs for this very request failed, by the lock."""
        return self.spec is not None and bool(failed_attempts(self.open_jobs, self.spec.digest))

    @property
    def word(self) -> StatusWord:
        """Its state in one word, as `status` shows it."""
        change, record, facts = self.change, self.record, self._facts
        if change is None and record is None:
            return StatusWord.WAITING
        for word in _FIRST_WORDS:
            if facts.get(word):
                return word
        if change is not None and change.action is Action.PROMOTE:
            return StatusWord.PROMOTABLE
        if self.edited_there:
            return StatusWord.EDITED_THERE
        if facts["edited"]:
            return StatusWord.EDITED
        if change is not None and change.action not in (Action.NONE, Action.DRAIN):
            only_saves = change.names == ("save",)
            return StatusWord.MOVED if change.has(Move) else StatusWord.UNSAVED if only_saves else StatusWord.CHANGED
        if record is not None and record.is_promoted:
            return StatusWord.PROMOTED
        return StatusWord.AS_GENERATED if record is None or record.generated else StatusWord.ADOPTED

    @property
    def sources(self) -> tuple[ItemId, ...]:
        """The items whose texts its own is made from, by its manifest or else its record; sorted."""
        if self.spec is not None:
            return tuple(one.id for one in self.spec.references)
        return tuple(sorted(map(ItemId, self.record.sources))) if self.record is not None else ()

    @property
    def states(self) -> frozenset[str]:
        """The values of `state:` that match it: the one that `status` shows, and what else is true of it."""
        return frozenset({_value(self.word), *(name for name, holds in self._facts.items() if holds)})

    @property
    def _facts(self) -> dict[str, bool]:
        change, spec = self.change, self.spec
        facts = {"orphan": spec is None, "failed": self.failed, "edited": self._is_edited, "stale": self.stale}
        if change is not None:
            kinds = {reason.kind for reason in change.reasons}
            jobs = {job.state for job in (change.job, *change.collected_jobs) if job is not None}
            facts |= {
                "new": change.record is None and spec is not None,
                "changed": bool(kinds & {"changed", "added", "removed", "made-by-local"}),
                "edited": self._is_edited or self.edited_there,
                "missing": change.action is Action.RESTORE or change.blocked in ("missing", "text-lost"),
                "moved": change.has(Move),
                "open": bool(jobs & OPEN),
                "paid": JobState.PAID in jobs,
                "running": JobState.RUNNING in jobs,
                "unknown": change.action is Action.RESOLVE,
                "blocked": change.action is Action.BLOCKED,
                "pending": change.action is Action.PENDING,
                "waiting": change.action is Action.WAIT,
            }
        return facts

    @property
    def _is_edited(self) -> bool:
        """Whether a person changed the body since it was generated, promoted or adopted."""
        record, file = self.record, self.file
        if record is None or file is None:
            return False
        known = (record.adopted, record.promoted if record.is_promoted else NOTHING)
        is_known = any((record.generated, *known))
        return is_known and is_edited(file, record, self.made, *filter(None, known))

    def matches(self, selector: str) -> bool:
        """Whether a selector without `+` that `check_selectors` let through names it."""
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
        """The texts that a glob of this method (empty: an id) is matched with."""
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
                return (spec.output if spec else self.change.target if self.change else self.path,)


def shard_of(item: ItemId, count: int) -> int:
    """The one of `count` shards, from 1, that has an item: the same for every process, machine and release."""
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "big") % count + 1


class Selector(Struct, frozen=True):
    """A selector: which items it names, and whether it selects their sources and dependants too."""

    named: str
    sources: bool
    dependants: bool

    def __str__(self) -> str:
        return self.around(self.named)

    def around(self, named: str) -> str:
        """The selector with another name."""
        return f"{'+' * self.sources}{named}{'+' * self.dependants}"


def _pattern(selector: str, items: Sequence[Candidate] = ()) -> Selector:
    """The parts of a selector. A `+` at its end belongs to the name if an item has exactly this id, tag or path."""
    named = selector.removeprefix("+")
    method, value = _parts(named)
    is_exact = method not in _FIXED and any(value in item.texts(method) for item in items)
    dependants = named.endswith("+") and not is_exact
    return Selector(named[:-1] if dependants else named, selector.startswith("+"), dependants)


_AHEAD = re.compile(r"\+(\d{1,4})d")


def dated(selectors: Iterable[str], today: dt.date) -> tuple[str, ...]:
    """The selectors with days of the calendar for `today` and `+7d`."""

    def day(match: re.Match[str]) -> str:
        named, ahead = match[3], _AHEAD.fullmatch(match[3])
        days = 0 if named == "today" else int(ahead[1]) if ahead else None
        shown = named if days is None else (today + dt.timedelta(days=days)).isoformat()
        return f"{match[1]}{match[2]}{shown}"

    return tuple(re.sub(r"^(\+?due)(<=|>=|<|>)(.*)$", day, each, flags=re.DOTALL) for each in selectors)


def check_selectors(selectors: Iterable[str]) -> None:
    """Check selectors. Raises UsageError for one with an unknown method or value, and for `+` beside `shard:`."""
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
    """The method (empty: an id) and the value of a selector."""
    method, colon, value = selector.partition(":")
    return (method, value) if colon else ("", selector)


def selected(choice: Choice, items: Sequence[Candidate]) -> list[Candidate]:
    """The selected items: in `only`, matched by a `--select` (if there is any) and by no `--exclude`.

    A `--select` of a shard narrows what the others match. Raises UsageError for an invalid selector, and for one that
    matches no item, with similar names.
    """
    check_selectors((*choice.select, *choice.exclude))
    shards = [selector for selector in choice.select if _is_shard(selector)]
    others = [selector for selector in choice.select if not _is_shard(selector)]
    wanted, in_shards = _matched("--select", others, items), _matched("--select", shards, items)
    unwanted = _matched("--exclude", choice.exclude, items)
    if choice.only is None and not (choice.select or choice.exclude):
        return list(items)
    return [
        item
        for item in items
        if (choice.only is None or item.id in choice.only)
        and (not others or item.id in wanted)
        and (not shards or item.id in in_shards)
        and item.id not in unwanted
    ]


def shard_in(choice: Choice) -> str:
    """Return the shards that a choice selects, as text; empty: it is of all items."""
    return " ".join(sorted(filter(_is_shard, choice.select)))


def _is_shard(selector: str) -> bool:
    return _parts(_pattern(selector).named)[0] == "shard"


def _matched(option: str, selectors: Iterable[str], items: Sequence[Candidate]) -> set[ItemId]:
    """The items that any of the selectors matches. Raises UsageError for one that matches none."""
    matched: set[ItemId] = set()
    for selector in selectors:
        pattern = _pattern(selector, items)
        ids = {item.id for item in items if item.matches(pattern.named)}
        # That no item is in some state or shard, failed, or is due, is no mistake.
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
    """A hint for a selector that matches nothing."""
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


# ---- What changed in the data files that items come from, as the items and their records show it.


class _FileRows(Struct):
    """The rows of one data file that differ from their records."""

    new: set[Location] = field(default_factory=set)
    changed: set[Location] = field(default_factory=set)
    gone: int = 0


def row_notes(chosen: Sequence[Candidate]) -> Iterator[Note]:
    """A note for each data file of which rows came, went or changed; none where all items of a declaration are new.

    A row that is gone belongs to the one file whose items use the same columns; where several do, it is not counted.
    """
    if all(item.change is None and item.spec is not None for item in chosen):
        return  # origins are read only where something differs
    files: defaultdict[str, _FileRows] = defaultdict(_FileRows)
    for item in _begun(chosen):
        if item.spec is None or item.change is None:
            continue
        if item.record is not None:
            for at in _changed(item.spec, item.record):
                files[at.file].changed.add(at)
        elif not item.open_jobs and (home := _row_of(item.spec)):
            files[home.file].new.add(home)
    for name in _files_of_gone(chosen):
        files[name].gone += 1
    for name, rows in sorted(files.items()):
        counts = (len(rows.new), "new"), (rows.gone, "gone or filtered"), (len(rows.changed), "changed")
        said = [f"{plural(count, 'row')} {word}" for count, word in counts if count]
        yield Note(kind="rows-changed", message=f"`{name}`: {', '.join(said)}")


def _begun(chosen: Sequence[Candidate]) -> Iterator[Candidate]:
    """The items of declarations of which an item has a record, and that of those that are gone."""
    known = {item.spec.location for item in chosen if item.spec is not None and item.record is not None}
    used = {_columns(item.record.used) for item in chosen if item.spec is None and item.record is not None}
    for item in chosen:
        if item.spec is None or item.change is None:
            continue
        if item.spec.location in known or (used and _columns(item.spec.used) in used):
            yield item


def _files_of_gone(chosen: Sequence[Candidate]) -> Iterator[str]:
    """Yield for each row that is gone, of however many items, the data file that it was probably in."""
    gone = [item.record.used for item in chosen if item.spec is None and item.record is not None]
    if not any(_columns(used) for used in gone):
        return
    files: defaultdict[frozenset[str], dict[str, frozenset[str]]] = defaultdict(dict)
    one_each = {item.spec.location: item.spec for item in chosen if item.spec is not None}
    for spec in one_each.values():
        if home := _row_of(spec):
            columns = _columns(spec.used)
            # An axis of a `matrix` distinguishes the items of one row.
            files[columns][home.file] = frozenset(name for name in columns if _file_of(spec, name) == home.file)
    rows: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for used in gone:
        if (columns := _columns(used)) and len(files[columns]) == 1:
            ((file, names),) = files[columns].items()
            rows.add((file, frozenset((name, used[name]) for name in names)))
    yield from (file for file, _ in rows)


def _file_of(spec: Spec, name: str) -> str:
    """Return the file that a variable comes from; empty: it has no location."""
    origin = spec.variables.get(name)
    return origin.location.file if origin is not None and origin.location is not None else ""


def _columns(used: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in used if name.partition(".")[0] == "each")


def _row_of(spec: Spec) -> Location | None:
    """The row of a data file that an item is made from: that of its id, which identifies the row."""
    id_origin = spec.origins.get("id")
    for name in (*(id_origin.variables if id_origin else ()), *spec.variables):
        origin = spec.variables.get(name)
        if origin and origin.layer == "data" and origin.location and not _is_inline(spec, origin.location):
            return origin.location
    return None


def _is_inline(spec: Spec, location: Location) -> bool:
    return spec.location is not None and location.file == spec.location.file


def _changed(spec: Spec, record: Record) -> Iterator[Location]:
    """The rows with values that are others than those that the record was made from."""
    for name in sorted(_columns(spec.used)):
        origin = spec.variables.get(name)
        if (
            record.used.get(name) not in (None, spec.used[name])
            and origin is not None
            and origin.location is not None
            and not _is_inline(spec, origin.location)
        ):
            yield origin.location
