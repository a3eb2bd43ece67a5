"""What the review shows of each item, and which texts a pull request approves."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from contentops.atomic_io import TRUSTED_AFTER, Disk
from contentops.errors import Severity
from contentops.model import Approval, ApprovalState, ItemId, TextInReview, Verdict, text_digest
from contentops.operations.opening import HERE, open_project
from contentops.operations.review import Review, ReviewState, Snapshot
from contentops.reporting.plan_markdown import plan_markdown
from contentops.state import approvals
from tests.clones import Machine
from tests.fakes.github import FakeGitHub
from tests.merges import Desk, make_drafts
from tests.plans import make_plan, plan_document, read_back, sealed
from tests.running import Build, Run
from tests.test_approving import decide, stages

ACME = """\
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
    root = project({"contentops.yaml": ACME, "content/a.yaml": manifest(*IDS)})
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
        item=ItemId(item), text=text_digest(file.title, file.body), verdict=verdict,
        by="An Editor <editor@example.com>", at="2026-11-20T10:00:00Z", note=note,
    )  # fmt: skip
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
    assert (now.spend.texts, bool(now.known.runs), now.by_id["new"].words) == (5, True, 0)


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


def in_review(number: int) -> tuple[TextInReview, ...]:
    """So many texts, with names that try to be more."""
    return tuple(TextInReview(id=ItemId(f"`*{n}*` @all"), output=f"out/{n}|<b>.md") for n in range(number))


@pytest.fixture
def checkout(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, hub: FakeGitHub) -> Machine:
    """The merge that a runner checks out for a pull request, which edits two texts that wait for approval."""
    desk = Desk(make_drafts(invoke, tmp_path, tmp_path_factory), hub, invoke)

    def change(author: Machine) -> None:
        for item in ("one", "two"):
            author.edit(f"out/{item}.md", "## Introduction", "## A start")
        author.edit("out/three.md", "draft: true", "draft: true\nlayout: wide")
        author.write("notes.md", "no text")

    desk.propose(7, change)
    runner = desk.runner()
    runner.git("fetch", "--quiet", "origin", "refs/pull/7/head")
    runner.git("merge", "--quiet", "--no-ff", "--message=Merge", "FETCH_HEAD")
    return runner


def plan(machine: Machine, invoke: Run, *arguments: str, **env: str) -> list[str]:
    """The ids of the texts in review, by the plan of the pull request."""
    ended = invoke("plan", "--json", *arguments, cwd=machine.root, env={"GITHUB_BASE_REF": "main", **env})
    assert ended.code == 0, ended.stderr
    return [one["id"] for one in ended.json.get("approves", [])]


def test_the_texts_that_a_pull_request_changes(checkout: Machine, invoke: Run) -> None:
    """Named in its plan and its comment; not those whose front matter alone changes, or that are approved or unselected."""
    assert (plan(checkout, invoke), plan(checkout, invoke, GITHUB_BASE_REF="")) == (["one", "two"], [])
    assert plan(checkout, invoke, "--exclude", "two") == ["one"]
    page = invoke("plan", "--format", "markdown", cwd=checkout.root, env={"GITHUB_BASE_REF": "main"}).stdout
    assert "**Approving this pull request approves 2 texts:**\n\n- `one` in `out/one.md`\n- `two`" in page
    assert plan(checkout, invoke, "--replace", "two", "--on-edit", "overwrite") == ["one"]
    checkout.git("config", "user.name", "Reader")
    checkout.git("config", "user.email", "reader@example.com")
    assert (invoke("approve", "one", cwd=checkout.root).code, plan(checkout, invoke)) == (0, ["two"])


def test_a_merge_request_of_gitlab(checkout: Machine, invoke: Run) -> None:
    """Is compared with the commit that GitLab names; with one that is not here, nothing is said."""
    base = checkout.git("rev-parse", "HEAD^1").strip()
    for named, ids in ((base, ["one", "two"]), ("0" * 39 + "1", [])):
        assert plan(checkout, invoke, GITHUB_BASE_REF="", CI_MERGE_REQUEST_DIFF_BASE_SHA=named) == ids


def test_a_text_that_waits_to_be_promoted(tmp_path: Path) -> None:
    """It is in the environment that texts are taken from; the plan of the one that takes them names it."""
    staging, prod = stages(tmp_path, "a", "b")
    in_review = frozenset({"staging/a.md"})
    assert staging.plan(in_review=in_review).approves == ()
    plan = prod.plan(in_review=in_review)
    assert plan.approves == (TextInReview(id=ItemId("a"), output="staging/a.md"),)
    assert plan_document(plan)["summary"]["not_promoted"] == plan.not_promoted == 2
    decide(staging, "a")
    assert prod.plan(in_review=in_review).approves == ()


def test_the_plan_file_keeps_them() -> None:
    """Read back, the comment says the same: it names twenty, as code, and counts the others; other plans have none."""
    made = make_plan(approvals={ApprovalState.WAITING: 2}, approves=in_review(2))
    document = sealed(plan_document(made))
    assert read_back(document).approves == made.approves
    assert plan_markdown(read_back(document)) == plan_markdown(made)
    assert "approves" not in plan_document(make_plan())
    page = plan_markdown(make_plan(approves=in_review(23)))
    assert "**Approving this pull request approves 23 texts:**" in page
    assert "- `` `*0*` @all `` in `out/0|<b>.md`\n" in page
    assert (page.count(" in `out/"), "\n- and 3 more\n" in page) == (20, True)
