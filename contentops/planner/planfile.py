"""A reviewed plan against today's: what it names is applied, what it does not name is left alone, and no step is new.

The plan is made again and compared change by change. Fewer steps or credits are fine; more, or others, are refused by
name. What this very plan has done already (its id stands in records and open entries) is no difference, so a run that
was killed can be run again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contentops.digest import digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model import Note, Step
from contentops.planner.guards import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.digest import Digest
    from contentops.model import Change, Json, Plan, Record
    from contentops.planner.situation import Situation

CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""
BRINGING = frozenset({Step.LOOKUP, Step.POLL, Step.FETCH, Step.DRAIN})
"""Steps that bring home what was paid for; a plan that was cut short may have to do them."""


def sealed(document: Mapping[str, Json]) -> dict[str, Json]:
    """The document with the checksum over all its other keys."""
    return {**document, CHECKSUM: checksum(document)}


def checksum(document: Mapping[str, Json]) -> Digest:
    """The digest of everything but the checksum itself."""
    return digest_json({key: value for key, value in document.items() if key != CHECKSUM})


def check_seal(document: Mapping[str, Json], path: str) -> None:
    """Refuse a plan file that is none, is of a newer format, or was edited. Raises InputError or Refused."""
    version = document.get("format_version")
    if not isinstance(version, str) or not isinstance(document.get("changes"), list) or CHECKSUM not in document:
        hint = "make one with `contentops plan --out FILE`"
        raise InputError([Diagnostic(code="no-plan-file", message=f"`{path}` is no plan file", hint=hint)])
    if version.split(".")[0] != "1":
        message = f"`{path}` has format {version}, which this version does not know"
        raise InputError([Diagnostic(code="newer-plan-file", message=message, hint="update contentops")])
    if document[CHECKSUM] != checksum(document):
        raise Refused(
            f"`{path}` was edited after it was made",
            code="edited-plan",
            hint="change the manifests instead, and make a new plan with `contentops plan --out FILE`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Today's plan cut down to what the file names, and what else there is."""

    plan: Plan
    done: int
    """Named changes of which nothing is left."""
    left_alone: int
    """Changes of today that the file does not name."""


def compare_file(
    s: Situation, today: Plan, document: Mapping[str, Any], record_digest: Callable[[Record | None], Digest]
) -> Compared:
    """Cut today's plan down to the reviewed one. Raises Refused, naming every change that is not as reviewed."""
    _same_project(today, document)
    named = {str(change["id"]): change for change in document["changes"]}
    plan_id = str(document["id"])
    kept: list[Change] = []
    wrong: list[str] = []
    done = len(named)
    for change in today.changes:
        reviewed = named.get(change.id)
        if reviewed is None or _done_by(change, plan_id):
            continue
        done -= 1
        problem = _difference(change, reviewed, plan_id, record_digest)
        if problem:
            wrong.append(f"`{change.id}`: {problem}")
        else:
            kept.append(change)
    if wrong:
        raise Refused(
            "the plan is stale: " + "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
            code="stale-plan",
            hint="make and review a new plan with `contentops plan --out FILE`",
        )
    if named and not kept:
        raise Refused("the plan is already applied: nothing of it is left to do", code="already-applied")
    left_alone = sum(change.id not in named for change in today.changes)
    notes = today.notes
    if left_alone:
        message = f"left alone, as the plan file does not name them: {left_alone} of today's changes"
        notes = (*notes, Note(kind="left-alone", message=message))
    plan = dataclasses.replace(today, id=plan_id, changes=tuple(kept), notes=notes, refusals=refusals(s, kept))
    return Compared(plan=plan, done=done, left_alone=left_alone)


def _same_project(today: Plan, document: Mapping[str, Any]) -> None:
    for name, value in (
        ("project", today.project),
        ("environment", today.environment),
        ("server", today.server),
        ("lineage", today.lineage),
    ):
        if document.get(name) != value:
            raise Refused(
                f"the plan was made for another {name}: `{document.get(name)}`, and this is `{value}`",
                code="other-plan",
                hint="use `--env`, or make a new plan here",
            )


def _done_by(change: Change, plan_id: str) -> bool:
    """Whether the plan has paid for this item already and only `--replace` asks again."""
    record = change.record
    return change.entry is None and Step.SUBMIT in change.steps and record is not None and record.plan_id == plan_id


def _difference(
    change: Change, reviewed: Mapping[str, Any], plan_id: str, record_digest: Callable[[Record | None], Digest]
) -> str:
    """How a change differs from the reviewed one in a way that matters, in words; empty if it does not."""
    digest = change.spec.digest if change.spec else ""
    if digest != reviewed["digest"]:
        return "its request is another one now"
    own = _is_own(change, plan_id)
    if not own and record_digest(change.record) != reviewed["record"]:
        return "its record has changed since"
    if not own and change.expected != reviewed["file"]:
        return f"`{change.source or change.target}` has changed since"
    steps = {step.value for step in change.steps} - set(reviewed["steps"])
    if own:
        steps -= {step.value for step in BRINGING}
    if steps or change.target != reviewed["target"]:
        return f"it would {', '.join(sorted(steps)) or 'write another file'}, which the plan does not say"
    if change.credits > int(reviewed["credits"]):
        return f"it costs {change.credits} credits now, not {reviewed['credits']}"
    if change.blocked and not reviewed["blocked"]:
        return f"it is blocked now: {change.hint or change.blocked}"
    return ""


def _is_own(change: Change, plan_id: str) -> bool:
    """Whether what differs was brought about by this plan."""
    entry, record = change.entry, change.record
    return (entry is not None and entry.plan_id == plan_id) or (record is not None and record.plan_id == plan_id)
