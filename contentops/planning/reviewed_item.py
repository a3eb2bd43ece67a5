"""One item that a plan file names: as it was reviewed and as it is today, whether it is done, and how it differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from contentops.model.cost import cost_words
from contentops.model.plan_file import record_digest
from contentops.planning.checked import FAILED
from contentops.planning.plan_inputs import failed_attempts, is_protected, pending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Change, Json, OpenEntry, Record, Spec, Step
    from contentops.model.plan_file import ReviewedChange
    from contentops.planning.plan_inputs import PlanInputs

BRINGING = frozenset({name_of(LookUp), name_of(Poll), name_of(Fetch), name_of(Drain)})
"""Steps that bring home what was paid for; a plan that was cut short may have to do them."""
ANOTHER_REQUEST = "its request is another one now"
_ANOTHER_FILE = "it would write another file, which the plan does not say"


class ReviewedItem(Struct, frozen=True, kw_only=True):
    """An item that a plan file names: as it was reviewed, and as it is today."""

    inputs: PlanInputs
    plan_id: str
    reviewed: ReviewedChange
    spec: Spec | None
    record: Record | None
    entries: tuple[OpenEntry, ...] = ()
    change: Change | None = None
    """Today's change; None: nothing is to be done."""

    def had(self, kind: type[Step]) -> bool:
        """Whether a step of this kind was reviewed."""
        return name_of(kind) in self.reviewed.steps

    @property
    def file(self) -> Observed:
        """The item's file where it stands today."""
        if self.change is None:
            return self.inputs.observe(self.record.output if self.record else "")
        return self.change.file

    @property
    def is_recorded(self) -> bool:
        """Whether the record is one that the plan itself has written."""
        return self.record is not None and self.record.plan_id == self.plan_id

    @property
    def open_submits(self) -> list[OpenEntry]:
        """The plan's own submits, and the one that was reviewed to be finished, that may still bring a text."""
        entry = self.reviewed.entry
        known = entry.request_id if entry is not None else None
        return [one for one in pending(self.entries) if one.plan_id == self.plan_id or one.request_id == known]

    @property
    def is_open(self) -> bool:
        """Whether one of them may bring the reviewed text."""
        return any(entry.digest == self.reviewed.digest for entry in self.open_submits)

    @property
    def has_submitted(self) -> bool:
        """Whether a submit of this very plan is open, so that `--resubmit-unknown` would ask for one more."""
        wanted = self.reviewed.digest
        return any(entry.digest == wanted and entry.plan_id == self.plan_id for entry in self.open_submits)

    @property
    def has_paid(self) -> bool:
        """Whether the plan has the text it was to pay for, so that only `--replace` asks for another."""
        record, reviewed = self.record, self.reviewed
        if record is None or not self.had(Submit) or not self.is_recorded or record.server != self.inputs.server:
            return False
        return record.digest == reviewed.digest and record.attempt >= reviewed.attempt

    @property
    def failed(self) -> int:
        """How many jobs of this plan failed at the reviewed request."""
        return sum(one.plan_id == self.plan_id for one in failed_attempts(self.entries, self.reviewed.digest))

    def is_in_record(self, key: str, value: Json) -> bool:
        """Whether the record says that this front matter was written."""
        return self._is_in(self.record.metadata if self.record is not None else None, key, value)

    def is_in_file(self, key: str, value: Json) -> bool:
        """Whether the file has this front matter."""
        return self._is_in(self.file.front, key, value)

    def _is_in(self, front: Mapping[str, Json] | None, key: str, value: Json) -> bool:
        if key == PROVENANCE_KEY:
            return self.file.owner in ("", self.reviewed.id)
        return front is not None and is_same_json(front.get(key), value)


def is_done(item: ReviewedItem) -> bool:
    """Whether the plan itself has done all it says of the item; what today's plan says beyond that is something else.

    In doubt it is not: then what remains is compared step by step.
    """
    record, reviewed = item.record, item.reviewed
    if record is None or not item.is_recorded or record.server != item.inputs.server or item.is_open:
        return False
    if record.digest != reviewed.digest or record.output != reviewed.target:
        return False
    brought = reviewed.action in (Action.RESTORE, Action.PULL)
    # What was unknown may have been sent again under its own id.
    same = reviewed.entry is not None and record.request_id == reviewed.entry.request_id
    if item.had(Write) and not brought and not same and record.attempt < reviewed.attempt:
        return False
    if not all(item.is_in_record(key, value) for key, value in reviewed.front.items()):
        return False
    if reviewed.promotes is not None and record.promoted != reviewed.promotes.body:
        return False
    pulls = reviewed.action is Action.PULL
    if pulls and (record.saved is None or record.saved.body != reviewed.remote):
        return False
    if not pulls and reviewed.title is not None and record.title != clean_title(reviewed.title):
        return False
    return not item.had(Save) or _is_saved(item, record)


def _is_saved(item: ReviewedItem, record: Record) -> bool:
    saved = record.saved
    if saved is None or saved.sent:
        return False
    if item.had(Write):
        text = item.reviewed.promotes
        written = record.generated if text is None else text.body
        if item.reviewed.action is Action.MERGE:
            written = item.file.body
        return saved.body == written and saved.title == title_digest(record.title)
    # With other steps before it, the plan's id in the record may be theirs.
    return set(item.reviewed.steps) <= {name_of(Save), name_of(Drain)}


# --- different ---------------------------------------------------------------------------------------------


def difference(item: ReviewedItem) -> str:
    """How the item differs from what was reviewed in a way that matters, in words; empty if it does not."""
    change, reviewed = item.change, item.reviewed
    if change is None and reviewed.blocked:
        return ""  # it was held back, so nothing is missed
    if (item.spec.digest if item.spec else NOTHING) != reviewed.digest:
        return _other_request(item)
    if change is None:
        if item.spec is not None and item.record is not None and item.record.output != reviewed.target:
            return _ANOTHER_FILE
        return _other_source(item) or _not_done(item) or _other_front(item)
    if not item.is_recorded and record_digest(change.record) != reviewed.record:
        return "its record has changed since"
    if (other := _other_text(item, change)) or change.action is Action.PENDING:
        return other  # what another process brings is not done here
    if change.blocked:
        ours = item.is_open if change.blocked == FAILED else change.blocked == "failed-twice" and item.failed
        return "" if reviewed.blocked or ours else f"it is blocked now: {change.hint or change.blocked}"
    return _other_source(item) or _not_done(item) or _other_front(item) or _more(item, change)


def _other_request(item: ReviewedItem) -> str:
    if item.spec is None:
        return "no manifest declares it any more"
    return ANOTHER_REQUEST if item.reviewed.digest else "a manifest declares it again"


def _other_text(item: ReviewedItem, change: Change) -> str:
    """A sentence that names the text (in the file or on the server) that differs from the reviewed one, or empty."""
    if not _is_known(item):
        return f"`{change.source or change.target}` has changed since"
    remote = change.remote
    if remote is not None and remote.body not in (item.reviewed.remote, NOTHING) and not item.is_recorded:
        return f"content `{remote.content_id}` has changed since"
    return ""


def _other_source(item: ReviewedItem) -> str:
    """That the text which was to come from another environment is another one now, in words; empty: it is not."""
    text, record, change = item.reviewed.promotes, item.record, item.change
    taken = record is not None and item.is_recorded and text is not None and record.promoted == text.body
    now = change.promotion if change is not None else None
    if text is None or (now is not None and now.expects == text.expects) or (now is None and taken):
        return ""
    return f"`{text.path}`, whose text it takes, has changed since"


def _is_known(item: ReviewedItem) -> bool:
    """Whether the file is the one that was reviewed, or what a step of the plan makes of that one."""
    file, reviewed, record = item.file, item.reviewed, item.record
    if file.file == reviewed.file:
        return True
    if not file.exists:
        return item.had(Remove)
    bodies = {reviewed.body}
    if reviewed.action is Action.PULL:
        bodies.add(reviewed.remote)
    if record is not None and item.is_recorded:
        bodies |= {record.generated, record.promoted}
        if reviewed.action is Action.RESTORE and record.saved is not None:
            bodies.add(record.saved.body)
    bodies.update(*map(item.inputs.bodies_of, item.open_submits))
    if reviewed.promotes is not None and file.body == reviewed.promotes.body:
        return True
    if file.body not in bodies - {NOTHING}:
        # The text of the plan's own job may be in it, beside what a person had written.
        return reviewed.action is Action.MERGE and file.provenance.get("job") in _jobs(item)
    if item.is_recorded or item.open_submits:
        return True
    # The file may have the reviewed front matter already.
    if not reviewed.front and reviewed.title is None:
        return False
    written = all(item.is_in_file(key, value) for key, value in reviewed.front.items())
    return written and (reviewed.title is None or file.title == clean_title(reviewed.title))


def _jobs(item: ReviewedItem) -> set[str]:
    """The jobs that the plan itself has begun for the item."""
    found = {entry.job_id for entry in item.open_submits}
    return (found | {item.record.job_id} if item.record is not None and item.is_recorded else found) - {""}


def _not_done(item: ReviewedItem) -> str:
    """Why the text that was reviewed is not there, or a file not removed, and with today's change will not be."""
    record, reviewed, spec, change = item.record, item.reviewed, item.spec, item.change
    if reviewed.blocked:
        return ""
    if item.had(Remove):
        if record is None or (change is not None and change.has(Remove)):
            return ""
        return "it is protected now" if record.protected else "it would not be removed"
    text = item.had(Submit) or item.had(Write) or reviewed.action is Action.KEEP
    coming = change is not None and (change.has(LookUp, Submit, Poll, Fetch, Write) or change.action is Action.KEEP)
    if spec is None or not text or coming:
        return ""
    again = spec.id in item.inputs.choice.replace and (record is None or record.attempt < reviewed.attempt)
    if record is not None and record.digest == reviewed.digest and not again:
        return ""
    return "it is protected now" if is_protected(spec, record) else "it would not be generated"


def _other_front(item: ReviewedItem) -> str:
    """Which front matter is, or would be, written otherwise than it was reviewed."""
    front, title = (item.change.front, item.change.title) if item.change is not None else ({}, None)
    stated, reviewed = item.reviewed.front, item.reviewed.title

    def same(key: str) -> bool:
        if key not in stated:
            return False
        if key in front:
            return is_same_json(stated[key], front[key])
        return item.is_in_record(key, stated[key]) or item.is_in_file(key, stated[key])

    other = [key for key in sorted(stated.keys() | front.keys()) if not same(key)]
    known = (item.record.title if item.record else "", item.file.title)
    if title != reviewed and (title is not None or reviewed is None or clean_title(reviewed) not in known):
        other.append("title")
    return f"its front matter is another one now: {', '.join(f'`{key}`' for key in other)}" if other else ""


def _more(item: ReviewedItem, change: Change) -> str:
    """What the change does, or costs, beyond what was reviewed."""
    reviewed = item.reviewed
    allowed = set(reviewed.steps)
    if item.had(Update):
        allowed.add(name_of(Acknowledge))  # of a file that carries it already
    if item.is_recorded or item.is_open or (item.had(Submit) and not change.submits_worst):
        # What another process has paid for meanwhile is fetched for nothing.
        allowed |= BRINGING
    if steps := set(change.names) - allowed:
        return f"it would {', '.join(sorted(steps))}, which the plan does not say"
    if change.target != reviewed.target:
        return _ANOTHER_FILE
    if change.credits_worst > reviewed.worst:
        return dearer(change, reviewed)
    failed = failed_attempts(item.entries, reviewed.digest)
    last = reviewed.attempt + reviewed.retries
    if change.submits and change.attempt > max([last, *(entry.attempt + 1 for entry in failed)]):
        return f"it would be submitted once more; see `contentops state resolve {change.id}`"
    return ""


def dearer(change: Change, reviewed: ReviewedChange) -> str:
    """That a change costs more than was reviewed, in words."""
    return f"it costs {cost_words([change])} now, not {reviewed.worst}"
