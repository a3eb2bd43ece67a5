"""The snapshot of a project that its pages show, and when it is made again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.atomic_io import TRUSTED_AFTER, Disk
from contentops.errors import Severity
from contentops.model import Approval, ItemId, Verdict, text_digest
from contentops.operations.opening import HERE, open_project
from contentops.operations.review import Review, ReviewState
from contentops.state import approvals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.operations.review import Snapshot
    from tests.running import Build, Run

SETTINGS = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog, approval: required, checks: {excludes: [lorem]}}
"""
ITEM = "  - {{id: {id}, tags: [{id}], inputs: {{topic: 'About {id}', target_audience: readers}}}}\n"
IDS = ("approved", "back", "changed", "gone", "waiting")


def manifest(*ids: str) -> str:
    """Declares an item for each id."""
    return f"items:\n{''.join(ITEM.format(id=each) for each in ids)}"


@pytest.fixture
def root(project: Build, invoke: Run) -> Path:
    """A project of five items that were applied, and one that is new."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": manifest(*IDS)})
    assert invoke("apply", "--yes", cwd=root).code == 0
    (root / "content/b.yaml").write_text(manifest("new"))
    return root


def review_of(root: Path, times: Iterator[int] | None = None) -> Review:
    """The review of the project; `times` is nanoseconds since 1970 at each look."""
    runtime = HERE if times is None else structs.replace(HERE, disk_time=lambda: next(times))
    return Review(lambda: open_project(str(root), "", ()), runtime)


def say(root: Path, snapshot: Snapshot, verdict: Verdict, item: str, note: str = "") -> None:
    """Records what a person says of the text of an item."""
    file = snapshot.by_id[item].file
    line = Approval(
        item=ItemId(item),
        text=text_digest(file.title, file.body),
        verdict=verdict,
        by="An Editor <editor@example.com>",
        at="2026-11-20T10:00:00Z",
        note=note,
    )
    approvals.record(root, Disk(), [line])


def test_each_item_has_the_one_state_that_needs_someone(root: Path) -> None:
    """What was approved and changed, sent back, removed or not made yet is told apart, with words and findings."""
    review = review_of(root)
    before = review.snapshot()
    assert Counter(one.state for one in before.items) == {ReviewState.WAITING: 5, ReviewState.NO_TEXT: 1}
    say(root, before, Verdict.APPROVED, "approved")
    say(root, before, Verdict.APPROVED, "changed")
    say(root, before, Verdict.SENT_BACK, "back", "Too long.")
    changed = root / before.by_id["changed"].output
    changed.write_text(changed.read_text() + "\nThree words: lorem.\n")
    (root / before.by_id["gone"].output).unlink()

    now = review.snapshot()
    states = {item.id: item.state.value for item in now.items}
    assert states == {**{name: name for name in IDS}, "back": "sent-back", "new": "no-text"}
    assert {item.id for item in now.to_read} == {"waiting", "changed"}
    assert [item.verdicts[-1].note for item in now.sent_back] == ["Too long."]
    item = now.by_id["changed"]
    assert (item.edited, item.severity, item.words) == (True, Severity.ERROR, before.by_id["changed"].words + 3)
    assert item.approved_before is not None
    assert [one.id for one in now.with_findings] == ["changed"]
    assert now.by_id["new"].change is not None
    assert (now.spend.texts, now.last_run is not None, now.by_id["new"].words) == (5, True, 0)


def test_a_snapshot_is_kept_until_a_file_changes(root: Path) -> None:
    """While stamps cannot show every change, it is kept for a moment; a verdict, an edit and a manifest end it."""
    later = [10**19]
    review = review_of(root, iter(lambda: later[0], None))
    kept = review.snapshot()
    later[0] += 3600 * 10**9
    assert review.snapshot() is kept
    say(root, kept, Verdict.APPROVED, "approved")
    assert (told := review.snapshot()) is not kept
    assert told.by_id["approved"].state is ReviewState.APPROVED
    (root / "content/b.yaml").unlink()
    assert "new" not in review.snapshot().by_id

    later[0] = 10**18  # before the files were written
    young = review_of(root, iter(lambda: later[0], None))
    first = young.snapshot()
    later[0] += TRUSTED_AFTER - 1
    assert young.snapshot() is first
    later[0] += 1
    assert young.snapshot() is not first
