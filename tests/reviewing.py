"""Plan files in a harness: made as `plan --out` makes them, and applied as `apply FILE` does."""

from collections.abc import Mapping
from typing import Any

from contentops.model import Plan, Run
from contentops.model.plan_file import check_seal, plan_file
from contentops.operations import apply as apply_operation
from contentops.operations import plan as plan_operation
from contentops.operations.apply import ApplyOptions
from contentops.operations.plan_files import choice_in
from contentops.operations.workspace import open_workspace
from contentops.planning.guards import Overrides
from contentops.planning.review import compare_file
from contentops.planning.sides import Choice
from tests.fakes.harness import Harness
from tests.plans import plan_document, plan_inputs, sealed


def review(harness: Harness, **choice: Any) -> dict[str, Any]:
    """The plan as it comes back from a file."""
    found: dict[str, Any] = sealed(plan_document(harness.plan(**choice), inputs=plan_inputs(**choice)))
    return found


def check_file(harness: Harness, reviewed: Mapping[str, Any]) -> Plan:
    """What is left of a plan file. Raises Refused."""
    check_seal(reviewed, "plan.json")
    file = plan_file(reviewed)
    return plan_operation.check(harness.project, choice_in(file), file)


def what_is_left(harness: Harness, reviewed: Mapping[str, Any]) -> Plan:
    """What an apply of a plan file would do. Raises Refused."""
    file = plan_file(reviewed)
    with open_workspace(harness.project) as workspace:
        return compare_file(workspace.plan_inputs(choice_in(file)), file)


def apply_within(harness: Harness, ceiling: Mapping[str, Any], **choice: Any) -> Run | None:
    """Applies what is planned today, with a plan file (empty: none) as its ceiling. Raises Refused."""
    _, run = apply_operation.apply(
        harness.project, Choice(**choice),
        ApplyOptions(is_bound=True, ceiling=plan_file(ceiling) if ceiling else None), confirm=lambda _: True,
        emit=harness.events.append, runtime=harness.runtime(),
    )  # fmt: skip
    return run


def apply_file(harness: Harness, reviewed: Mapping[str, Any], overrides: Overrides | None = None) -> Run | None:
    """Applies a plan file. Raises Refused."""
    check_seal(reviewed, "plan.json")
    file = plan_file(reviewed)
    _, run = apply_operation.apply(
        harness.project, choice_in(file), ApplyOptions(overrides=overrides or Overrides(), reviewed=file),
        confirm=lambda _: True, emit=harness.events.append, runtime=harness.runtime(),
    )  # fmt: skip
    return run
