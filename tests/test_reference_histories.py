"""Random histories of texts that are made from one another: each is made from the text that its record names, once."""

import contextlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import ContentopsError
from contentops.model import Action, Event, ItemId, OnEdit, OnSourceChange, Record, text_digest
from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, quick_folder
from tests.fakes.kills import Death
from tests.repositories import cloned, in_git
from tests.running import examples
from tests.test_merged_branches import commit, git

FAULTS = ("refuse", "drop", "reset", "504", "500-after", "html", "truncated", "slow", 429, 500, 503)
CALLS = st.tuples(
    st.sampled_from(["submit", "submit", "status", "save"]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(FAULTS),
)
"""What is called, which of the next such calls goes wrong first, how many do, and how."""
RULES = st.sampled_from([rule for rule in OnSourceChange if rule is not OnSourceChange.KEEP])
SOURCES = {"news": "guide", "teaser": "news", "de": "guide"}
"""By item, the one that it is made from."""
ITEMS = ("guide", *SOURCES)


class Histories(RuleBasedStateMachine):
    """A guide, news and a translation that use it, and a teaser that uses the news."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.harness: Harness
        self.years = dict.fromkeys(ITEMS, 2026)
        self.follows = dict.fromkeys(SOURCES, OnSourceChange.NOTE)
        self.names = ["guide"]
        """The ids of the guide, the newest last."""
        self.replaced = dict.fromkeys(ITEMS, 0)
        self.texts: dict[str, tuple[str, str]] = {}
        """By digest, title and body of every text that a file ever had."""
        self.edits = 0

    @initialize(request_ids=st.sampled_from(["replay", "reject", "ignore"]), auto_save=st.booleans())
    def build(self, **habits: Any) -> None:
        """A server of some kind."""
        self.harness = Harness(self.stack.enter_context(quick_folder()) / "project", FakeApi(duration=40, **habits))
        self._declare()

    def teardown(self) -> None:
        """The folder goes."""
        with self.stack:
            if hasattr(self, "harness"):
                self._settles()

    # --- the project ------------------------------------------------------------------------------------------

    def _id(self, item: str) -> str:
        return self.names[-1] if item == "guide" else item

    def _declare(self) -> None:
        made: list[dict[str, Any]] = []
        for item, year in self.years.items():
            topic = f"{item} of {year}"
            entry: dict[str, Any] = {"id": self._id(item), "inputs": {"topic": topic, "target_audience": "all"}}
            if item in SOURCES:
                source = f"ref('{self._id(SOURCES[item])}')"
                entry["inputs"]["topic"] += f" from {{{{ {source}.title }}}}: {{{{ {source}.body }}}}"
                entry["on_source_change"] = self.follows[item].value
            made.append(entry)
        moved = [{"from": old, "to": new} for old, new in zip(self.names, self.names[1:], strict=False)]
        self.harness.write("content/a.yaml", json.dumps({"items": made, "moved": moved} if moved else {"items": made}))

    def _file(self, item: str) -> Path:
        record = self.harness.state.records.get(ItemId(self._id(item)))
        return self.harness.root / (record.output if record is not None else f"out/{self._id(item)}.md")

    def _see(self, *_: object) -> None:
        """Keep the texts that the files have now."""
        for path in self.harness.root.glob("out/*.md"):
            with contextlib.suppress(UnicodeDecodeError, FileNotFoundError):
                document = split(path.read_text())
                file = Outputs(self.harness.root).observe(f"out/{path.name}")
                self.texts[text_digest(file.title, file.body)] = (file.title, document.body)

    def _apply(self, **choice: Any) -> None:
        self._see()
        with contextlib.suppress(ContentopsError):
            self.harness.apply(emit=self._see, **choice)
        self._see()

    # --- what happens -----------------------------------------------------------------------------------------

    @rule(item=st.sampled_from(ITEMS), year=st.sampled_from([2026, 2027]))
    def ask(self, item: str, year: int) -> None:
        """A manifest asks for another text, or for the one before."""
        self.years[item] = year
        self._declare()

    @rule(item=st.sampled_from(sorted(SOURCES)), what=RULES)
    def choose(self, item: str, what: OnSourceChange) -> None:
        """A manifest says what follows from a changed text."""
        self.follows[item] = what
        self._declare()

    @rule()
    def rename(self) -> None:
        """The guide gets a new id."""
        self.names.append(f"guide{len(self.names)}")
        self._declare()

    def _fault(self, call: str, after: int, count: int, fault: Any) -> None:
        first = self.harness.api._counts.get(call, 0) + after
        self.harness.api.fault(lambda name, n: name == call and first <= n < first + count, fault)

    @rule(
        faults=st.lists(CALLS, max_size=2),
        at=st.none() | st.integers(1, 90),
        what=st.none() | RULES,
        on_edit=st.none() | st.sampled_from([OnEdit.KEEP, OnEdit.OVERWRITE]),
        replace=st.none() | st.none() | st.sampled_from(ITEMS),
    )
    def apply(
        self,
        faults: list[tuple[str, int, int, Any]],
        at: int | None,
        what: OnSourceChange | None,
        on_edit: OnEdit | None,
        replace: str | None,
    ) -> None:
        """An apply that meets faults, or dies at some step, or neither."""
        for fault in faults:
            self._fault(*fault)
        if replace is not None:
            self.replaced[replace] += 1
        self.harness.death = None if at is None else Death(at)
        with contextlib.suppress(Killed):
            self._apply(on_source_change=what, on_edit=on_edit, replace=() if replace is None else (self._id(replace),))
        self.harness.death = None
        self._see()

    @rule(item=st.sampled_from(ITEMS), how=st.sampled_from(["words", "title", "gone", "empty", "bytes", "merge"]))
    def edit(self, item: str, how: str) -> None:
        """A person edits, deletes or breaks a file."""
        self._edit(item, how)

    @rule(item=st.sampled_from(ITEMS), during=st.sampled_from(ITEMS), how=st.sampled_from(["words", "gone"]))
    def edit_meanwhile(self, item: str, during: str, how: str) -> None:
        """A person edits a file while an apply is at work."""

        def emit(event: Event) -> None:
            self._see()
            if (event.kind, event.item) == ("item-done", self._id(during)):
                self._edit(item, how)

        with contextlib.suppress(ContentopsError):
            self.harness.apply(emit=emit)
        self._see()

    def _edit(self, item: str, how: str) -> None:
        path = self._file(item)
        if not path.is_file():
            return
        self.edits += 1
        text = path.read_bytes()
        head = text.partition(b"---\n\n")[0]
        words = f"Words {self.edits}.\n".encode()
        match how:
            case "gone":
                path.unlink()
            case "words":
                path.write_bytes(text + b"\n" + words)
            case "title":
                path.write_bytes(text.replace(b"title: ", f"title: {self.edits} ".encode(), 1))
            case "empty":
                path.write_bytes(head + b"---\n\n")
            case "bytes":
                path.write_bytes(text + b"\xff\n")
            case _:
                path.write_bytes(text + b"<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n")
        self._see()

    # --- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        """But where a person asked for another text."""
        if not hasattr(self, "harness"):
            return
        topics = [job.topic for job in self.harness.api.charges]
        for topic in set(topics):
            assert topics.count(topic) <= 1 + self.replaced[topic.partition(" ")[0]], topic
            assert "⟨" not in topic
            assert not topic.endswith((": ", "from "))

    @invariant()
    def each_text_is_made_from_the_source_that_its_record_names(self) -> None:
        """The request of a record has the title and the body with the recorded digest."""
        if not hasattr(self, "harness"):
            return
        for record in self.harness.state.records.values():
            topic = record.request["inputs"]["topic"]
            for digest in record.sources.values():
                title, body = self.texts[digest]
                assert topic.strip().endswith(f" from {title}: {body}".strip()), (record.id, topic, title, body)

    def _settles(self) -> None:
        """Once the faults are over, nothing is left but notes and what a person has to decide."""
        self.harness.api.heal()
        for item in ITEMS:
            path = self._file(item)
            if path.is_file() and (b"\xff" in path.read_bytes() or b"<<<<" in path.read_bytes()):
                path.unlink()
        for _ in range(5):
            self._apply()
            self.harness.timeline.now += 1000
        left = self.harness.plan()
        for change in left.changes:
            assert change.blocked or change.action in (Action.RESOLVE, Action.WAIT, Action.DRAIN), (
                change.id,
                left.changes,
            )
            assert change.action in (Action.RESOLVE, Action.WAIT) or not change.submits
        self.nothing_is_paid_twice()
        self.each_text_is_made_from_the_source_that_its_record_names()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=examples(10, 150), stateful_step_count=10, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


# --- merges ------------------------------------------------------------------------------------------------------


def _three(harness: Harness, year: int) -> None:
    source = "{{{{ ref('{0}').title }}}}: {{{{ ref('{0}').excerpt(300) }}}}"
    topics = {"guide": f"Guide {year}", "news": f"News of {source}", "teaser": f"Teaser of {source}"}
    items = [
        {"id": id_, "inputs": {"topic": topic.format({"news": "guide"}.get(id_, "news")), "target_audience": "all"}}
        for id_, topic in topics.items()
    ]
    harness.write("content/blog.yaml", json.dumps({"items": items}))


def _merged(one: Harness, two: Harness, chosen: random.Random) -> None:
    """Merge what `two` has into `one`; of two versions of a file one is kept, whatever the lock has."""
    for harness in (one, two):
        commit(harness)
    git(one, "pull", "--quiet", "--no-rebase", "--no-edit", f"file://{two.root}", "HEAD", code=None)
    for path in filter(None, git(one, "diff", "--name-only", "--diff-filter=U", "-z").split("\0")):
        git(one, "checkout", chosen.choice(["HEAD", "FETCH_HEAD"]), "--", path)


def _odd(harness: Harness, titles: Mapping[str, str]) -> Iterator[Record]:
    """The records whose request does not have the titles of the texts that they name."""
    for record in harness.state.records.values():
        if not all(f"of {titles[digest]}: " in record.request["inputs"]["topic"] for digest in record.sources.values()):
            yield record


@pytest.mark.parametrize("seed", range(3))
def test_whatever_two_clones_do_to_sources_each_request_is_paid_for_once(tmp_path: Path, seed: int) -> None:
    """Edits, requests and merges in any order: nothing is left but notes, and each record names the texts it used."""
    chosen = random.Random(seed)
    one = Harness(tmp_path / "one", FakeApi(duration=30, request_ids="ignore"))
    _three(one, 2026)
    one.apply()
    in_git(one, "first")
    both, years = (one, cloned(one, tmp_path / "two")), [2026, 2026]
    titles: dict[str, str] = {}

    def look(*_: object) -> None:
        """Keep the titles of the texts that the files have now, by digest."""
        for harness in both:
            for name in ("guide", "news"):
                file = Outputs(harness.root).observe(f"out/{name}.md")
                titles[text_digest(file.title, file.body)] = file.title

    for number in range(8):
        side = chosen.randrange(2)
        harness, what = both[side], chosen.choice(["edit", "ask", "merge"])
        look()
        if what == "edit":
            path = harness.root / f"out/{chosen.choice(['guide', 'news'])}.md"
            path.write_text(re.sub("^title:.*", f"title: Edit {number}", path.read_text(), count=1, flags=re.MULTILINE))
        elif what == "ask":
            years[side] = 2030 + number
        else:
            _merged(harness, both[1 - side], chosen)
            years = [chosen.choice(years)] * 2
        _three(harness, years[side])
        rule = chosen.choice([OnSourceChange.NOTE, OnSourceChange.REGENERATE])
        for _ in range(3):
            harness.apply(on_edit=OnEdit.OVERWRITE, on_source_change=rule, emit=look)
        assert harness.plan(on_edit=OnEdit.OVERWRITE, on_source_change=rule).empty, (number, what)
        commit(harness)
        if what == "merge":
            git(both[1 - side], "pull", "--quiet", "--no-rebase", "--no-edit", f"file://{harness.root}", "HEAD")
        topics = [each.topic for each in one.api.charges]
        assert len(set(topics)) == len(topics), (number, what, topics)
        assert [*_odd(harness, titles)] == []
