"""An item whose record and file have what its manifest states needs no change."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import digest_text
from contentops.documents.clean import body_digest
from contentops.model import (
    Approval,
    ApprovalRule,
    Approvals,
    Desired,
    Disclosure,
    ItemId,
    Json,
    Observed,
    State,
    Verdict,
    text_digest,
)
from contentops.planning.approval import coming_front
from contentops.planning.edits import Answer
from contentops.planning.sides import ItemSides, PlanInputs
from contentops.planning.table import decide
from tests.fakes.sides import PROJECT, TEXT, a_record, a_spec

VERDICTS = st.lists(
    st.builds(
        Approval,
        item=st.just(ItemId("a")),
        text=st.sampled_from([text_digest("T", body_digest(TEXT)), text_digest("T", digest_text("other"))]),
        verdict=st.sampled_from(Verdict),
        by=st.sampled_from(["Ann <a@example.com>", "Ben <b@example.com>"]),
        at=st.just("2026-03-01T10:00:00Z"),
    ),
    max_size=2,
)


def _item(
    approval: ApprovalRule, verdicts: list[Approval], *, disclosed: bool, written: Mapping[str, Json] | None = None
) -> ItemSides:
    """An item that was made and saved, with front matter that was `written`, and these verdicts on its text."""
    spec = a_spec(approval=approval)
    record = structs.replace(a_record(a_spec()), metadata=written or {})
    file = Observed(
        path=spec.output, file=digest_text("file"), title="T", body=body_digest(TEXT), front=written or {},
        provenance={"job": "job_1"},
    )  # fmt: skip
    inputs = PlanInputs(
        project=structs.replace(PROJECT, disclosure=Disclosure()) if disclosed else PROJECT,
        desired=Desired(specs=(spec,)),
        state=State(lineage="x", records={record.id: record}),
        observed={file.path: file},
        approvals=Approvals(lines=tuple(verdicts)),
    )
    return ItemSides(inputs=inputs, spec=spec, record=record, file=file)


def _computed(item: ItemSides) -> Mapping[str, Json]:
    return coming_front(item, Answer(), None).keys


@given(
    approval=st.sampled_from([ApprovalRule(), ApprovalRule(required=True)]),
    disclosed=st.booleans(),
    before=VERDICTS,
    after=VERDICTS,
)
def test_a_text_with_the_front_matter_of_its_approval_is_up_to_date(
    approval: ApprovalRule, *, disclosed: bool, before: list[Approval], after: list[Approval]
) -> None:
    """Until another verdict asks for other keys: then exactly those are written."""
    keys = _computed(_item(approval, before, disclosed=disclosed))
    assert decide(_item(approval, before, disclosed=disclosed, written=keys)) == (None, ())
    item = _item(approval, after, disclosed=disclosed, written=keys)
    wanted = _computed(item)
    change, notes = decide(item)
    assert notes == ()
    assert ({} if change is None else change.front) == {
        key: wanted.get(key) for key in keys.keys() | wanted.keys() if keys.get(key) != wanted.get(key)
    }
