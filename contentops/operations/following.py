"""Plans an item again in its run, alone, as the texts that it is made from are there now: within what was confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.model import NO_APPROVALS, AcceptedTexts, Action, Reason
from contentops.operations.claiming import claim
from contentops.planning.plan import change_alone
from contentops.planning.plan_inputs import paths
from contentops.planning.review import dearer
from contentops.planning.same_request import block_same, takes_text
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.digest import Digest
    from contentops.documents.files import Outputs
    from contentops.model import Change, ItemId, Plan, Spec
    from contentops.model.references import Stage
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


class Following:
    """The items of one plan that wait for texts, or whose front matter follows them."""

    def __init__(self, workspace: Workspace, inputs: PlanInputs, plan: Plan, outputs: Outputs) -> None:
        self._workspace = workspace
        self._inputs = inputs
        self._plan = plan
        self._outputs = outputs
        records, specs = inputs.state.records, inputs.specs
        taken = {change.renamed_from for change in plan.changes}
        self._gone = {id_: record for id_, record in records.items() if id_ not in specs and id_ not in taken}
        """The records of removed items, which a new one may take over."""
        wanted = (spec for spec in inputs.desired.specs if spec.request.template and spec.digest)
        self._requests: dict[Digest, ItemId] = {spec.digest: spec.id for spec in wanted}
        """The item that declares each request."""

    def change(self, planned: Change, coming: Mapping[ItemId, Stage]) -> Change | None:
        """Return the change of an item as its sources are now; None: there is nothing to do.

        `coming`: what other items of the run have not brought yet. One that would do or cost more than was confirmed
        waits, with the reason. Raises StateError.
        """
        spec, workspace = self._rendered(planned), self._workspace
        inputs = self._inputs_of(spec)
        change = change_alone(inputs, spec, coming)
        if change is None:
            return None
        if change.renamed_from is not None:
            self._gone.pop(change.renamed_from, None)
        if other := self._same(spec, change):
            return block_same(change, (other, spec.id))
        if change.submits_worst and not planned.later:
            return None  # its front matter alone follows
        if not planned.later and not _is_free(change):
            return None
        if problem := dearer(change, planned):
            return _held(planned, problem, "run `contentops apply` to see and confirm the new price")
        shared = workspace.working_ledger
        if shared is not None:
            (change,) = claim(shared, structs.replace(self._plan, changes=(change,))).changes
        return change

    def is_current(self, change: Change) -> bool:
        """Whether the texts that an item is made from are as they were planned."""
        spec = change.spec
        return spec is None or not spec.references or self._rendered(change).digest == spec.digest

    def _rendered(self, planned: Change) -> Spec:
        """The item with the texts that its sources have now."""
        spec, workspace = planned.spec, self._workspace
        again = self._inputs.desired.again
        assert spec is not None
        assert again is not None
        read = {one for readings in spec.readings.values() for one in readings}
        ids = {one.id for one in read} | {spec.earlier_ids[one.id] for one in read if one.id in spec.earlier_ids}
        records = {id_: workspace.store.record(id_) for id_ in {*ids, spec.id}}
        root = Path(workspace.project.root)
        asked = any(one.approved for one in read)
        accepted = AcceptedTexts(
            paths={id_: record.output for id_, record in records.items() if record is not None},
            approvals=approvals.load(root, workspace.runtime.disk) if asked else NO_APPROVALS,
            observe=self._outputs.observe,
            read=self._outputs.read,
        )
        return again(spec.id, accepted)

    def _inputs_of(self, spec: Spec) -> PlanInputs:
        """The sides of one item, as they are now; everything else is as it was planned."""
        store, planned = self._workspace.store, self._inputs
        record = store.record(spec.id)
        digests = {spec.digest, record.digest if record is not None else NOTHING} - {NOTHING}
        known = {job.order: job for digest in digests for job in planned.jobs_of(digest)}
        known |= {job.order: job for digest in digests for job in store.jobs_of(planned.server, digest)}
        entries = {
            job.request_id: entry for job in known.values() if (entry := store.entry(job.request_id)) is not None
        }
        records = {spec.id: record} if record is not None else self._gone
        state = structs.replace(planned.state, records=records, entries=entries, jobs=tuple(known.values()))
        desired = structs.replace(planned.desired, specs=(spec,))
        source = planned.source
        looked_at = {*paths(desired, state), *(source.paths(desired) if source is not None else ())}
        observed = {path: self._outputs.observe(path) for path in looked_at}
        return structs.replace(planned, desired=desired, state=state, observed=observed)

    def _same(self, spec: Spec, change: Change) -> ItemId | None:
        """The other item that declares the request that a change would pay for."""
        if not spec.request.template or not takes_text(self._inputs, change):
            return None
        other = self._requests.setdefault(spec.digest, spec.id)
        return other if other != spec.id else None


def _is_free(change: Change) -> bool:
    """Whether a change is about front matter, its place and the server's copy alone."""
    return {"move", "update", "record", "save", "publish"}.issuperset(change.names)


def _held(planned: Change, why: str, hint: str) -> Change:
    reasons = (Reason(kind="waits", detail=why),)
    return structs.replace(planned, action=Action.WAIT, reasons=reasons, steps=(), later=(), hint=hint)
