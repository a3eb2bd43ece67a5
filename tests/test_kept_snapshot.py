"""The page plans only what has changed since its last snapshot: it must show what a page that knows nothing shows."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.model import Approval, Approvals, ItemId, Verdict, text_digest
from contentops.operations.opening import HERE, open_project
from contentops.operations.review import Review, Snapshot
from contentops.planning.plan import plan_with_items, still_unchanged
from contentops.state import approvals
from tests.fakes.sides import TEXT, a_file, a_record, a_situation, a_spec
from tests.running import Build, Run

SETTINGS = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog, approval: required, checks: {excludes: [lorem]}}
"""
ITEM = "  - {{id: {id}, inputs: {{topic: 'About {id}', target_audience: readers}}{more}}}\n"
IDS = ("north", "south", "east", "west", "park")
LONG_AFTER = 10**19
"""Nanoseconds since 1970, at which stamps of files are trusted."""


def review_of(root: Path) -> Review:
    """The review of the project, at a time when its stamps show every change."""
    runtime = structs.replace(HERE, disk_time=lambda: LONG_AFTER)
    return Review(lambda: open_project(str(root), "", ()), runtime)


def manifest(more: str = "") -> str:
    """Declares the items; `more`: keys of the last one."""
    return "items:\n" + "".join(ITEM.format(id=id_, more=more if id_ == IDS[-1] else "") for id_ in IDS)


class Desk:
    """A person who works at a project beside the page."""

    def __init__(self, root: Path, invoke: Run, number: int) -> None:
        self.root, self.invoke, self.choose = root, invoke, random.Random(number)
        self.snapshot: Snapshot | None = None
        self.acts: tuple[Callable[[Path], object], ...] = (
            lambda path: path.write_text(path.read_text() + "\nlorem, by hand.\n") if path.exists() else None,
            lambda path: (
                path.write_text(path.read_text().replace("title: ", "title: New ", 1)) if path.exists() else None
            ),
            lambda path: path.unlink(missing_ok=True),
            lambda path: path.write_bytes(self._any().read_bytes()),
            lambda path: path.write_text("<<<<<<< ours\n"),
            lambda _: self._say(),
            lambda _: self._say(),
            lambda _: self.invoke("apply", "--yes", cwd=self.root),
            lambda _: (self.root / "contentops.approvals").unlink(missing_ok=True),
        )

    def act(self) -> None:
        """Do one thing to one text."""
        self.choose.choice(self.acts)(self.root / "out" / f"{self.choose.choice(IDS)}.md")

    def _any(self) -> Path:
        files = sorted((self.root / "out").glob("*.md"))
        return self.choose.choice(files or [self.root / "contentops.yaml"])

    def _say(self) -> None:
        """Say something of a text, maybe under the id of another item."""
        assert self.snapshot is not None
        file = self.choose.choice(self.snapshot.items).file
        verdict = self.choose.choice((Verdict.APPROVED, Verdict.SENT_BACK))
        line = Approval(
            item=ItemId(self.choose.choice(IDS)), text=text_digest(file.title, file.body), verdict=verdict,
            by="An Editor <editor@example.com>", at=f"2026-11-20T10:{self.choose.randrange(60):02}:00Z",
        )  # fmt: skip
        approvals.record(self.root, Disk(), [line])


@pytest.fixture(params=["alone", "made from others", "edited manifest"])
def root(request: pytest.FixtureRequest, project: Build, invoke: Run) -> Path:
    """A project whose texts were made once."""
    more = ", metadata: {see: \"{{ ref('north').title }}\"}" if request.param == "made from others" else ""
    made = project({"contentops.yaml": SETTINGS, "content/a.yaml": manifest(more)})
    assert invoke("apply", "--yes", cwd=made).code == 0
    if request.param == "edited manifest":
        (made / "content/a.yaml").write_text(manifest(", revision: 2"))
    return made


@pytest.mark.parametrize("number", range(2))
def test_a_page_that_knows_the_last_snapshot_shows_what_a_new_one_shows(root: Path, invoke: Run, number: int) -> None:
    """Edits, deletions, copies, verdicts and applies change what depends on them, and nothing keeps an old answer."""
    kept, desk = review_of(root), Desk(root, invoke, number)
    for _ in range(12):
        shown, fresh = kept.snapshot(), review_of(root).snapshot()
        assert (shown.items, shown.plan) == (fresh.items, fresh.plan)
        assert (shown.spend, shown.known.approvals, shown.findings) == (
            fresh.spend,
            fresh.known.approvals,
            fresh.findings,
        )
        desk.snapshot = shown
        desk.act()


def test_a_verdict_on_a_text_is_one_on_other_items_with_the_same_words() -> None:
    """Only an item with other words is not planned again."""
    specs = [a_spec(id_, topic=id_) for id_ in "abc"]
    files = [a_file(spec.output, body="Other.\n" if spec.id == "c" else TEXT) for spec in specs]
    records = [
        a_record(spec, body=body, saved=body) for spec, body in zip(specs, (TEXT, TEXT, "Other.\n"), strict=True)
    ]
    before = a_situation(specs, records, files)
    line = Approval(
        item=ItemId("a"),
        text=text_digest("T", files[0].body),
        verdict=Verdict.APPROVED,
        by="An Editor",
        at="2026-11-20",
    )
    now = structs.replace(before, approvals=Approvals(lines=(line,)))
    assert [*still_unchanged(plan_with_items(before)[1], before, now)] == ["c"]
