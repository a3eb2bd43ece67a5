"""What becomes of a promoted text afterwards: gone from disk, under the checks of its environment, told from others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from contentops.model import OnEdit
from contentops.operations import texts
from tests.fakes.scene import results
from tests.repositories import in_git
from tests.test_promote import ENVIRONMENTS, Room, body, only

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentops.model import Project

BY_HAND = (
    ENVIRONMENTS.replace("promote_from: staging, ", "")
    .replace('/v1"}', '/v1", save: off}')
    .replace("staging: {", "staging: {api: {save: off}, ")
)
"""Nothing is taken from staging but by `contentops promote`, and neither saves anything."""


class ByHand(Room):
    """An environment that takes texts from staging only while it `takes`, as `contentops promote` does."""

    takes = False

    @property
    def project(self) -> Project:
        """The project as its environment has it."""
        found = super().project
        return structs.replace(found, promote_from="staging") if self.takes else found

    def promote(self, **choice: Any) -> dict[str, str]:
        """What `contentops promote --from staging` does."""
        self.takes = True
        done = self.apply(only_promoted=True, **choice)
        self.takes = False
        return results(done)


def by_hand(root: Path) -> tuple[Room, ByHand]:
    """Staging with an edited text, and prod to which it was promoted once."""
    staging, prod = Room(root, "staging", extra=BY_HAND), ByHand(root, "prod", extra=BY_HAND)
    prod.timeline = staging.timeline
    staging.write("content/b.yaml", "items:\n  - {id: a, inputs: {topic: x, target_audience: readers}}\n")
    staging.apply()
    staging.edit("staging/a.md", "Closing", "Reviewed")
    staging.apply()
    assert prod.promote() == {"a": "done"}
    return staging, prod


# --- gone from disk ----------------------------------------------------------------------------------------


def _keeps_its_file(staging: Room) -> None:
    shutil.rmtree(staging.root / ".contentops/cache")


def _keeps_its_history(staging: Room) -> None:
    in_git(staging, "Promoted")
    shutil.rmtree(staging.root / ".contentops/cache")
    staging.edit("staging/a.md", "Reviewed", "Another")


@pytest.mark.parametrize("lose", [lambda _: None, _keeps_its_file, _keeps_its_history], ids=["cache", "file", "git"])
def test_a_promoted_text_that_is_gone_comes_back_as_it_was(tmp_path: Path, lose: Callable[[Room], None]) -> None:
    """Not as it was generated: that is the text which people changed before it was taken."""
    staging, prod = by_hand(tmp_path)
    promoted = body(prod, "live/a.md")
    assert "Reviewed" in promoted
    lose(staging)
    (prod.root / "live/a.md").unlink()
    assert only(prod.plan()).action == "restore"
    assert texts.to_planned(prod.project, "a").after == promoted.lstrip("\n")
    assert results(prod.apply()) == {"a": "done"}
    assert body(prod, "live/a.md") == promoted
    assert prod.plan().empty


def test_a_promoted_text_that_no_one_has_is_replaced_by_no_other(tmp_path: Path) -> None:
    """The generated one is there, and is not what was published."""
    staging, prod = by_hand(tmp_path)
    shutil.rmtree(prod.root / ".contentops/cache")
    staging.edit("staging/a.md", "Reviewed", "Closing")
    (prod.root / "live/a.md").unlink()
    change = only(prod.plan())
    assert (change.blocked, change.steps) == ("text-lost", ())
    assert "`contentops promote`" in change.hint
    assert results(prod.apply()) == {"a": "blocked"}
    assert not (prod.root / "live/a.md").exists()


def test_a_text_that_was_declined_does_not_come_back(tmp_path: Path) -> None:
    """A person kept the file in its place: what was in the file last is what is wanted."""
    staging, prod = by_hand(tmp_path)
    promoted = body(prod, "live/a.md")
    prod.edit("live/a.md", "Reviewed", "Ours")
    staging.edit("staging/a.md", "Reviewed", "Theirs")
    assert prod.promote(on_edit=OnEdit.KEEP) == {"a": "done"}
    prod.takes = True
    assert prod.plan().empty
    prod.takes = False
    (prod.root / "live/a.md").unlink()
    prod.apply()
    assert body(prod, "live/a.md") == promoted


def test_a_text_that_was_generated_here_since_is_what_comes_back(tmp_path: Path) -> None:
    """The promoted one was of another request."""
    _, prod = by_hand(tmp_path)
    prod.write("content/b.yaml", "items:\n  - {id: a, inputs: {topic: y, target_audience: readers}}\n")
    prod.apply(on_edit=OnEdit.OVERWRITE)
    generated = body(prod, "live/a.md")
    assert "Reviewed" not in generated
    (prod.root / "live/a.md").unlink()
    prod.apply()
    assert body(prod, "live/a.md") == generated
    assert prod.plan().empty
