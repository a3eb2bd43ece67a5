"""A reviewed plan against today's: what it names is applied, what it does not name is left alone, and no step is new.

The plan is made again and compared change by change. Fewer steps or credits are fine; more, or others, are refused by
name. What this very plan has done already (its id stands in records and open entries) is no difference, so a run that
was killed can be run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from contentops.digest import digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model import ItemId, Note
from contentops.planning.compare import hold
from contentops.planning.differences import Named, difference, has_paid, has_submitted, is_done, is_spent
from contentops.planning.guards import refusals
from contentops.planning.plan import free_targets, make_plan
from contentops.planning.situation import open_entries, specs_by_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.digest import Digest
    from contentops.model import Change, Json, Plan, Record
    from contentops.planning.situation import Situation

CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""


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


class Compared(Struct, frozen=True, kw_only=True):
    """Today's plan cut down to what the file names, and what else there is."""

    plan: Plan
    done: int
    """Named changes of which nothing is left."""
    left_alone: int
    """Changes of today that the file does not name."""


def compare_file(
    s: Situation, today: Plan, document: Mapping[str, Any], record_digest: Callable[[Record | None], Digest]
) -> Compared:
    """Cut today's plan, made without any selection, down to the reviewed one.

    Raises Refused, naming every change that is not as reviewed, and where nothing is left.
    """
    _same_project(today, document)
    named = _named(s, today, document)
    kept: list[Change] = []
    wrong: dict[ItemId, str] = {}
    finished = 0
    for id_, one in named.items():
        if is_done(one):
            finished += one.change is not None
        elif problem := difference(one, record_digest):
            wrong[id_] = problem
        elif one.change is not None:
            kept.append(_spent(one.change) if is_spent(one) else one.change)
    kept.sort(key=lambda change: change.id)
    for before, after in zip(kept, free_targets(s, kept), strict=True):
        if after.blocked and not before.blocked:
            wrong[after.id] = f"it is blocked now: {after.hint}"
    if wrong:
        raise _stale(wrong)
    if named and not kept:
        raise Refused("the plan is already applied: nothing of it is left to do", code="already-applied")
    left_alone = sum(change.id not in named for change in today.changes)
    notes = (
        *today.notes,
        *_left_alone(left_alone, "the plan file does not name them"),
        *_left_alone(finished, "the plan is done with them"),
    )
    plan = structs.replace(today, id=str(document["id"]), changes=tuple(kept), notes=notes, refusals=refusals(s, kept))
    return Compared(plan=plan, done=len(named) - len(kept), left_alone=left_alone)


def _stale(wrong: Mapping[ItemId, str]) -> Refused:
    shown = [f"`{id_}`: {problem}" for id_, problem in sorted(wrong.items())]
    return Refused(
        "the plan is stale: " + "; ".join(shown[:5]) + (f"; and {len(shown) - 5} more" if len(shown) > 5 else ""),
        code="stale-plan",
        hint="make and review a new plan with `contentops plan --out FILE`",
    )


def _left_alone(number: int, why: str) -> tuple[Note, ...]:
    message = f"left alone, as {why}: {number} of today's changes"
    return (Note(kind="left-alone", message=message),) if number else ()


def _named(s: Situation, today: Plan, document: Mapping[str, Any]) -> dict[ItemId, Named]:
    """The items the file names, each with what remains of it today: without what this plan has asked for already."""
    specs, entries = specs_by_id(s.desired), open_entries(s.state, s.server)
    changes = {change.id: change for change in today.changes}
    named: dict[ItemId, Named] = {}
    for reviewed in document["changes"]:
        id_ = ItemId(str(reviewed["id"]))
        change = changes.get(id_)
        named[id_] = Named(
            s=s,
            plan_id=str(document["id"]),
            reviewed=reviewed,
            spec=specs.get(id_),
            # A record that a rename takes over is still under its old id.
            record=change.record if change is not None else s.state.records.get(id_),
            entries=entries.get(id_, ()),
            change=change,
        )
    paid = {id_ for id_, one in named.items() if id_ in s.choice.replace and has_paid(one)}
    asked = {id_ for id_, one in named.items() if s.choice.resubmit_unknown and has_submitted(one)}
    if paid or asked:
        replace = tuple(id_ for id_ in s.choice.replace if id_ not in paid)
        choice = structs.replace(s.choice, replace=replace, resubmit_unknown=False)
        others = {change.id: change for change in make_plan(structs.replace(s, choice=choice)).changes}
        for id_ in paid | asked:
            named[id_] = structs.replace(named[id_], change=others.get(id_))
    return named


def _spent(change: Change) -> Change:
    hint = f"its jobs failed; see `contentops state show {change.id}`, or make a new plan"
    return hold(change, "failed-twice", hint)


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
