"""One item of a reviewed plan against what today's plan says of it: done, still as reviewed, or different.

What the reviewed plan itself has brought about is no difference: its id stands in the records and open entries it made,
and a file may already be what one of its steps leaves. All else is, and is told in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.digest import NOTHING, is_same_json
from contentops.documents.clean import clean_title, title_digest
from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.model import (
    Acknowledge,
    Action,
    Drain,
    Fetch,
    LookUp,
    Observed,
    Poll,
    Remove,
    Save,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.planning.body import TRIES, is_protected
from contentops.planning.situation import pending, tombstones

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Change, Json, OpenEntry, Record, Spec, Step
    from contentops.planning.situation import Situation

BRINGING = frozenset({name_of(LookUp), name_of(Poll), name_of(Fetch), name_of(Drain)})
"""Steps that bring home what was paid for; a plan that was cut short may have to do them."""
TEXT = frozenset({name_of(LookUp), name_of(Submit), name_of(Poll), name_of(Fetch), name_of(Write)})
"""Steps that give an item its text."""
_ANOTHER_FILE = "it would write another file, which the plan does not say"


class Named(Struct, frozen=True, kw_only=True):
    """An item that a plan file names: as it was reviewed, and as it is today."""

    s: Situation
    plan_id: str
    reviewed: Mapping[str, Any]
    """Its change in the file."""
    spec: Spec | None
    record: Record | None
    entries: Sequence[OpenEntry] = ()
    change: Change | None = None
    """Today's change; None: nothing is to be done."""

    @property
    def steps(self) -> frozenset[str]:
        """The names of the steps that were reviewed."""
        return frozenset(self.reviewed["steps"])

    def has(self, kind: type[Step]) -> bool:
        """Whether a step of this kind was reviewed."""
        return name_of(kind) in self.steps

    @property
    def file(self) -> Observed:
        """The item's file where it stands today."""
        if self.change is None:
            return self.s.observe(self.record.output if self.record else "")
        return self.change.file

    @property
    def recorded(self) -> bool:
        """Whether the record is one that the plan itself has written."""
        return self.record is not None and self.record.plan_id == self.plan_id

    def is_own(self, entry: OpenEntry) -> bool:
        """Whether a submit is the plan's own, or the one that was reviewed to be finished."""
        stated = self.reviewed["entry"]
        return entry.plan_id == self.plan_id or (stated is not None and entry.request_id == stated["request_id"])

    def open_submits(self) -> list[OpenEntry]:
        """The plan's own submits that may still bring the reviewed text."""
        return [e for e in pending(list(self.entries)) if e.digest == self.reviewed["digest"] and self.is_own(e)]


# --- done --------------------------------------------------------------------------------------------------


def has_paid(one: Named) -> bool:
    """Whether the plan has the text it was to pay for, so that only `--replace` asks for another."""
    record = one.record
    return (
        one.has(Submit)
        and record is not None
        and one.recorded
        and record.server == one.s.server
        and record.digest == one.reviewed["digest"]
        and record.attempt >= one.reviewed["attempt"]
    )


def has_submitted(one: Named) -> bool:
    """Whether a submit of this very plan is open, so that `--resubmit-unknown` would ask for one more."""
    return any(entry.plan_id == one.plan_id for entry in one.open_submits())


def is_done(one: Named) -> bool:
    """Whether the plan itself has done all it says of the item; what today's plan says beyond that is something else.

    In doubt it is not: then what remains is compared step by step.
    """
    record, reviewed = one.record, one.reviewed
    if record is None or not one.recorded or record.server != one.s.server or one.open_submits():
        return False
    if record.digest != reviewed["digest"] or record.output != reviewed["target"]:
        return False
    if one.has(Write) and reviewed["action"] != Action.RESTORE and record.attempt < reviewed["attempt"]:
        return False
    if not all(_is_recorded(one, key, value) for key, value in reviewed["front"].items()):
        return False
    if reviewed["title"] is not None and record.title != clean_title(reviewed["title"]):
        return False
    return not one.has(Save) or _is_saved(record, one)


def _is_saved(record: Record, one: Named) -> bool:
    saved = record.saved
    if saved is None or saved.sent:
        return False
    if one.has(Write):
        return saved.body == record.generated and saved.title == title_digest(record.title)
    # With other steps before it, the plan's id in the record may be theirs.
    return one.steps <= {name_of(Save), name_of(Drain)}


def _is_recorded(one: Named, key: str, value: Json) -> bool:
    """Whether the record says that this value was written."""
    if key == PROVENANCE_KEY:
        return one.file.owner in ("", one.reviewed["id"])
    return one.record is not None and is_same_json(one.record.metadata.get(key), value)


def failed_itself(one: Named) -> int:
    """How many jobs of this plan failed at the reviewed request."""
    digest: Digest = one.reviewed["digest"]
    return sum(entry.plan_id == one.plan_id for entry in tombstones(list(one.entries), digest))


# --- different ---------------------------------------------------------------------------------------------


def difference(one: Named, record_digest: Callable[[Record | None], Digest]) -> str:
    """How the item differs from what was reviewed in a way that matters, in words; empty if it does not."""
    change, reviewed = one.change, one.reviewed
    if change is None and reviewed["blocked"]:
        return ""  # it was held back, so nothing is missed
    if (one.spec.digest if one.spec else NOTHING) != reviewed["digest"]:
        return _other_request(one)
    if change is None:
        if one.spec is not None and one.record is not None and one.record.output != reviewed["target"]:
            return _ANOTHER_FILE
        return _not_done(one, None) or _other_front(one, {}, None)
    if not one.recorded and record_digest(change.record) != reviewed["record"]:
        return "its record has changed since"
    if not _is_known(one):
        return f"`{change.source or change.target}` has changed since"
    if change.blocked:
        ours = change.blocked == "failed-twice" and failed_itself(one)
        return "" if reviewed["blocked"] or ours else f"it is blocked now: {change.hint or change.blocked}"
    return _not_done(one, change) or _other_front(one, change.front, change.title) or _more(one, change)


def _other_request(one: Named) -> str:
    if one.spec is None:
        return "no manifest declares it any more"
    if not one.reviewed["digest"]:
        return "a manifest declares it again"
    return "its request is another one now"


def _is_known(one: Named) -> bool:
    """Whether the file is the one that was reviewed, or what a step of the plan makes of that one."""
    file, reviewed, record = one.file, one.reviewed, one.record
    if file.file == reviewed["file"]:
        return True
    if not file.exists:
        return one.has(Remove)
    bodies = {reviewed.get("body", NOTHING)}
    if record is not None and one.recorded:
        bodies.add(record.generated)
        if reviewed["action"] == Action.RESTORE and record.saved is not None:
            bodies.add(record.saved.body)
    own = [entry for entry in pending(list(one.entries)) if one.is_own(entry)]
    for entry in own:
        stored = one.s.stored(entry.digest)
        bodies |= {entry.body, stored.body if stored is not None else NOTHING}
    if file.body not in bodies - {NOTHING}:
        return False
    return one.recorded or bool(own) or _carries(file, one)


def _carries(file: Observed, one: Named) -> bool:
    """Whether the file has the reviewed front matter already."""
    front: Mapping[str, Json] = one.reviewed["front"]
    title = one.reviewed["title"]
    if not front and title is None:
        return False
    return all(_stands(file, one, key, value) for key, value in front.items()) and (
        title is None or file.title == clean_title(title)
    )


def _stands(file: Observed, one: Named, key: str, value: Json) -> bool:
    if key == PROVENANCE_KEY:
        return file.owner in ("", one.reviewed["id"])
    return is_same_json(file.front.get(key), value)


def _more(one: Named, change: Change) -> str:
    """What the change does, or costs, beyond what was reviewed."""
    allowed = set(one.steps)
    if one.has(Update):
        allowed.add(name_of(Acknowledge))  # of a file that carries it already
    if one.recorded or one.open_submits():
        allowed |= BRINGING
    steps = set(change.names) - allowed
    if steps:
        return f"it would {', '.join(sorted(steps))}, which the plan does not say"
    if change.target != one.reviewed["target"]:
        return _ANOTHER_FILE
    if change.credits > one.reviewed["credits"]:
        return f"it costs {change.credits} credits now, not {one.reviewed['credits']}"
    failed = tombstones(list(one.entries), one.reviewed["digest"])
    last = max([one.reviewed["attempt"], *(entry.attempt + 1 for entry in failed)])
    if change.has(Submit) and change.attempt > last:
        return f"it would be submitted once more; see `contentops state resolve {change.id}`"
    return ""


def _other_front(one: Named, front: Mapping[str, Json], title: str | None) -> str:
    """Which front matter is, or would be, written otherwise than it was reviewed; `front` and `title` are today's."""
    stated: Mapping[str, Json] = one.reviewed["front"]

    def same(key: str) -> bool:
        if key not in stated:
            return False
        if key in front:
            return is_same_json(stated[key], front[key])
        return _is_recorded(one, key, stated[key]) or _stands(one.file, one, key, stated[key])

    other = [key for key in sorted(stated.keys() | front.keys()) if not same(key)]
    reviewed = one.reviewed["title"]
    known = (one.record.title if one.record else "", one.file.title)
    if title != reviewed and (title is not None or clean_title(reviewed) not in known):
        other.append("title")
    return f"its front matter is another one now: {', '.join(f'`{key}`' for key in other)}" if other else ""


def _not_done(one: Named, change: Change | None) -> str:
    """Why the text that was reviewed is not there, or a file not removed, and with today's change will not be."""
    record, reviewed = one.record, one.reviewed
    today = frozenset(change.names) if change is not None else frozenset()
    if reviewed["blocked"]:
        return ""
    if one.has(Remove):
        if record is None or name_of(Remove) in today:
            return ""
        return "it is protected now" if record.protected else "it would not be removed"
    text = one.has(Submit) or one.has(Write) or reviewed["action"] == Action.KEEP
    if one.spec is None or not text or today & TEXT or (change is not None and change.action is Action.KEEP):
        return ""
    again = one.spec.id in one.s.choice.replace and (record is None or record.attempt < reviewed["attempt"])
    if record is not None and record.digest == reviewed["digest"] and not again:
        return ""
    return "it is protected now" if is_protected(one.spec, record) else "it would not be generated"


def is_spent(one: Named) -> bool:
    """Whether the plan has tried as often as a request is tried, though `--replace` would let it go on."""
    change = one.change
    return change is not None and change.has(Submit) and failed_itself(one) >= TRIES
