"""Plan files: exactly what was reviewed, or a refusal that says why, without a request."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from contentops.errors import Refused
from contentops.model.plan_file import check_seal
from contentops.operations import apply as apply_operation
from contentops.operations import plan as plan_operation
from contentops.operations.apply import ApplyOptions
from contentops.planning.plan_inputs import Choice
from tests.fakes.api import FakeApi, Killed
from tests.fakes.death import Death
from tests.fakes.scene import Scene, blog
from tests.plans import plan_document, sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from contentops.model import Run


def as_reviewed(scene: Scene, **choice: Any) -> dict[str, Any]:
    """The plan as it comes back from a file."""
    found: dict[str, Any] = sealed(plan_document(scene.plan(**choice)))
    return found


def apply_reviewed(scene: Scene, reviewed: Mapping[str, Any], **choice: Any) -> Run | None:
    """Applies a plan document as read from a file."""
    check_seal(reviewed, "plan.json")
    _, run = apply_operation.apply(
        scene.project,
        Choice(**choice),
        ApplyOptions(reviewed=reviewed),
        confirm=lambda _: True,
        emit=scene.events.append,
        runtime=scene.runtime(),
    )
    return run


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two items, nothing made yet."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("a", "b"))
    return scene


def _refusal(scene: Scene, reviewed: Mapping[str, Any], **choice: Any) -> Refused:
    before = len(scene.api.requests)
    with pytest.raises(Refused) as caught:
        apply_reviewed(scene, reviewed, **choice)
    assert len(scene.api.requests) == before
    return caught.value


def test_a_plan_file_is_applied_as_reviewed(scene: Scene) -> None:
    """What was reviewed happens, and its id stands in the records."""
    reviewed = as_reviewed(scene)
    run = apply_reviewed(scene, reviewed)
    assert run is not None
    assert [outcome.result for outcome in run.outcomes] == ["done", "done"]
    assert run.plan_id == reviewed["id"]
    assert scene.plan().empty


def test_a_plan_made_on_empty_state_is_applied_once(scene: Scene) -> None:
    """The second apply of a first plan is refused by name."""
    reviewed = as_reviewed(scene)
    apply_reviewed(scene, reviewed)
    refusal = _refusal(scene, reviewed)
    assert (refusal.code, refusal.exit_code) == ("already-applied", 4)
    assert scene.api.credits == 8


def test_an_edited_plan_is_refused(scene: Scene) -> None:
    """One changed number is enough."""
    reviewed = as_reviewed(scene)
    reviewed["changes"][0]["credits"] = 0
    assert _refusal(scene, reviewed).code == "edited-plan"


def test_a_changed_request_makes_the_plan_stale(scene: Scene) -> None:
    """The item and what is different are named."""
    reviewed = as_reviewed(scene)
    scene.write("content/blog.yaml", blog("a", "b", year=2027))
    refusal = _refusal(scene, reviewed)
    assert refusal.code == "stale-plan"
    assert "`a`: its request is another one now" in refusal.message


def test_an_edited_file_makes_the_plan_stale(scene: Scene) -> None:
    """A file that changed after the review is named."""
    scene.apply()
    scene.write("content/blog.yaml", blog("a", "b", year=2027))
    reviewed = as_reviewed(scene)
    scene.edit("out/a.md", "Closing", "The end")
    refusal = _refusal(scene, reviewed)
    assert "`a`" in refusal.message
    assert "has changed since" in refusal.message


def test_a_changed_record_makes_the_plan_stale(scene: Scene) -> None:
    """Someone applied something to the item in between."""
    scene.apply()
    scene.write("content/blog.yaml", blog("a", "b", year=2027))
    reviewed = as_reviewed(scene)
    scene.apply()
    scene.write("content/blog.yaml", blog("a", "b", year=2028))
    scene.write("content/blog.yaml", blog("a", "b", year=2027))
    scene.apply(replace=("a",))
    assert _refusal(scene, reviewed, replace=("a",)).code in {"stale-plan", "already-applied"}


def test_another_plans_items_are_left_alone(scene: Scene) -> None:
    """An unrelated merge does not make a plan stale; what it brought is counted, not applied."""
    reviewed = as_reviewed(scene)
    scene.write("content/more.yaml", blog("c"))
    run = apply_reviewed(scene, reviewed)
    assert run is not None
    assert [outcome.id for outcome in run.outcomes] == ["a", "b"]
    assert scene.actions() == {"c": "create"}


def test_fewer_steps_are_fine(scene: Scene) -> None:
    """What was done in the meantime need not be done again."""
    reviewed = as_reviewed(scene)
    scene.apply(select=("a",))
    run = apply_reviewed(scene, reviewed)
    assert run is not None
    assert [outcome.id for outcome in run.outcomes] == ["b"]
    assert scene.api.credits == 8


@pytest.mark.parametrize("key", ["project", "environment", "server", "lineage"])
def test_a_plan_of_another_project_is_refused(scene: Scene, key: str) -> None:
    """A plan is applied where it was made for."""
    reviewed = sealed({**as_reviewed(scene), key: "other"})
    refusal = _refusal(scene, reviewed)
    assert (refusal.code, key in refusal.message) == ("other-plan", True)


@pytest.mark.parametrize("at", range(2, 60, 4))
def test_a_killed_apply_of_a_plan_file_is_run_again(tmp_path: Path, at: int) -> None:
    """Progress made by the plan's own id is no difference."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("a", "b"))
    reviewed = as_reviewed(scene)
    scene.death = Death(at)
    try:
        apply_reviewed(scene, reviewed)
    except Killed:
        scene.death = None
        with contextlib.suppress(Refused):
            apply_reviewed(scene, reviewed)
    scene.death = None
    assert scene.api.credits == 8
    assert scene.plan().empty


def test_check_says_whether_a_plan_still_holds(scene: Scene) -> None:
    """For merge queues: compared, not applied."""
    reviewed = as_reviewed(scene)
    assert len(plan_operation.check(scene.project, Choice(), reviewed).changes) == 2
    scene.write("content/blog.yaml", blog("a", "b", year=2027))
    with pytest.raises(Refused):
        plan_operation.check(scene.project, Choice(), reviewed)
    assert scene.api.requests == []


def test_replace_in_a_plan_file_pays_once(scene: Scene) -> None:
    """A plan that regenerates on purpose does so once, however often it is applied."""
    scene.apply()
    reviewed = as_reviewed(scene, replace=("a",))
    apply_reviewed(scene, reviewed, replace=("a",))
    assert scene.api.credits == 12
    assert _refusal(scene, reviewed, replace=("a",)).code == "already-applied"
