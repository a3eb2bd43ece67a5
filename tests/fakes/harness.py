"""A project, a fake server and a virtual clock in one: what a test of plan and apply needs.

harness = Harness(tmp_path, FakeApi(duration=90))
harness.write("content/blog.yaml", ITEMS)
run = harness.apply()
assert harness.plan().empty
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import random
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from contentops.execution.primitives import Stop
from contentops.model import Event, ItemId, Job, Plan, Project, Record, Run, State
from contentops.operations import adopt as adoption
from contentops.operations import apply as apply_operation
from contentops.operations import opening
from contentops.operations import plan as plan_operation
from contentops.operations.apply import ApplyOptions
from contentops.operations.opening import Runtime
from contentops.operations.refresh import PulledItem
from contentops.planning.guards import Overrides
from contentops.planning.sides import Choice
from contentops.state.cache import Cache
from tests.fakes.api import FakeApi, Killed
from tests.fakes.clock import Timeline
from tests.fakes.clock import run as run_virtually
from tests.fakes.kills import Death
from tests.fakes.ledger import HarnessLedger, Rows

PROJECT = """\
version: 1
project: acme-blog
api: {{base_url: "{base_url}", requests_per_minute: {rpm}}}
defaults: {{template: blog_article_generator, style: general_blog}}
{extra}
"""


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: an fsync there costs nothing."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder).resolve()


def results(run: Run | None) -> dict[str, str]:
    """How each item ended."""
    assert run is not None
    return {outcome.id: str(outcome.result) for outcome in run.outcomes}


def assert_whole(harness: Harness, *items: str) -> None:
    """Every item has its file and its record, was paid for once and stored once, and nothing is left to do."""
    topics = [f"All about {item} in 2026" for item in items]
    assert sorted(each.topic for each in harness.api.generations) == sorted(topics)
    assert sorted(each.title for each in harness.api.contents.values()) == sorted(f"On {topic}" for topic in topics)
    assert sorted(harness.tree()) == sorted(f"out/{item}.md" for item in items)
    assert not harness.state.open_jobs
    assert harness.plan().empty


def blog(*ids: str, year: int = 2026) -> str:
    """A manifest with one item per id."""
    items = "".join(
        f"  - id: {id_}\n    inputs: {{topic: 'All about {id_} in {year}', target_audience: readers}}\n" for id_ in ids
    )
    return f"items:\n{items}"


def before(step: str, act: Callable[[], object], item: str = "") -> Callable[[Event], None]:
    """Do something once: just before a step of an item begins, or when the run does, for `""`."""
    waiting = [act]

    def emit(event: Event) -> None:
        kind = "step-started" if step else "run-started"
        if (event.kind, event.step) == (kind, step) and item in ("", event.item) and waiting:
            waiting.pop()()

    return emit


def know_server(root: Path, base_url: str) -> None:
    """Let a project know where its API is and how its lists come, as after an earlier run."""
    with Cache(root / ".contentops" / "cache") as cache:
        cache.remember(f"facts place {base_url}", {"base": base_url, "enveloped": False})


class Harness:
    """One project folder, one server, one clock; a second harness on the same server is another clone or machine."""

    def __init__(
        self,
        root: Path,
        api: FakeApi | None = None,
        *,
        rpm: int = 0,
        extra: str = "",
        timeline: Timeline | None = None,
        base_url: str = "https://api.example.test/v1",
        ledger: HarnessLedger | None = None,
    ) -> None:
        self.root = root
        self.ledger = ledger
        self._rows: Rows | None = None
        """What the ledger knew when this harness was copied, until it is put back."""
        self.api = api or FakeApi(duration=90)
        self.timeline = timeline or Timeline()
        self.events: list[Event] = []
        self.seed = 7
        self.death: Death | None = None
        root.mkdir(parents=True, exist_ok=True)
        self.write("contentops.yaml", PROJECT.format(base_url=base_url, rpm=rpm, extra=extra))

    def copied(self, root: Path) -> Harness:
        """This harness as it stands, with a folder, a server and a clock of its own: what a kill right now would leave."""
        copied: dict[int, str] = {}

        def keep_links(source: str, target: str) -> None:
            first = copied.setdefault(Path(source).stat().st_ino, target)
            shutil.copy2(source, target) if first == target else os.link(first, target)

        shutil.copytree(self.root, root, symlinks=True, copy_function=keep_links)
        for half in root.rglob(".contentops-*.tmp"):
            os.utime(half, (0, 0))  # the folder lives in real time, and whoever comes next comes later
        made = copy.copy(self)
        made.root, made.api, made.events, made.death = root, copy.deepcopy(self.api), [], None
        made._rows = self.ledger.rows() if self.ledger is not None else None
        made.timeline = Timeline(self.timeline.now)
        return made

    def standing(self) -> tuple[object, ...]:
        """All that two moments can differ in but the time: every file, and the server's jobs and contents."""
        files = {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        ledger_rows = self.ledger.rows() if self.ledger is not None else {}
        return files, pickle.dumps((self.api.jobs, self.api.contents)), len(self.api.generations), ledger_rows

    def write(self, path: str, text: str) -> Path:
        """A file of the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding="utf-8")
        return target

    def read(self, path: str) -> str:
        """A file of the project, as text."""
        return (self.root / path).read_text(encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        """A person edits a file."""
        text = self.read(path)
        assert old in text, f"{old!r} is not in {path}"
        self.write(path, text.replace(old, new))

    def adopt(self, path: str, **values: Any) -> adoption.Adoption:
        """Takes over the files at a path, with these values for their items, and lets the next apply save them."""
        options = adoption.Options(values=values)
        taken = adoption.adopt(self.project, [path], options, confirm=lambda _: True, runtime=self.runtime())
        self.edit(taken.manifest, "    save: false\n", "")
        return taken

    @property
    def project(self) -> Project:
        """The project as it stands on disk."""
        return opening.open_project(str(self.root), "", ())

    def plan(self, **choice: Any) -> Plan:
        """What an apply would do."""
        return plan_operation.plan(self.project, Choice(**choice), runtime=self.runtime())

    def apply(
        self,
        *,
        overrides: Overrides | None = None,
        stop: Stop | None = None,
        deadline: float | None = None,
        emit: Callable[[Event], None] | None = None,
        **choice: Any,
    ) -> Run | None:
        """Plan and carry out, on virtual time."""
        _, run = apply_operation.apply(
            self.project, Choice(**choice),
            ApplyOptions(overrides=overrides or Overrides(), stop=stop or Stop(), deadline=deadline),
            confirm=lambda _: True, emit=emit or self.events.append, runtime=self.runtime(),
        )  # fmt: skip
        return run

    def ran(self, **options: Any) -> Run:
        """Apply where there is something to do."""
        run = self.apply(**options)
        assert run is not None
        return run

    def killed(self, **options: Any) -> None:
        """Apply, in which the process dies; the server is well again after it."""
        with pytest.raises(Killed):
            self.apply(**options)
        self.api.heal()

    def declared(self, *ids: str, year: int = 2026) -> Self:
        """The same harness, with an item for each id."""
        self.write("content/blog.yaml", blog(*ids, year=year))
        return self

    def applied(self, *ids: str, year: int = 2026) -> Self:
        """The same, applied."""
        self.declared(*ids, year=year).apply()
        return self

    def pull(self, *items: str) -> tuple[PulledItem, ...]:
        """What `contentops pull` does."""
        from contentops.operations.refresh import pull

        return pull(self.project, items, runtime=self.runtime())

    def settle(self, **choice: Any) -> Plan:
        """Apply, and once more if that left something to do; returns what is left then."""
        self.apply(**choice)
        if not (left := self.plan(**choice)).empty:
            self.apply(**choice)
            left = self.plan(**choice)
        return left

    def runtime(self) -> Runtime:
        """The outside of this harness."""
        environ = {
            "WRITERZROOM_API_KEY": "test-key-123456",
            "CONTENTOPS_SERVERS": "https://api.example.test, http://127.0.0.1:8787",
        }
        if self.ledger is not None:
            environ["CONTENTOPS_LEDGER"] = self.ledger.url
            if self._rows is not None:
                self.ledger.put_back(self._rows)
                self._rows = None
        return Runtime(
            environ=environ,
            wall=self.timeline.wall,
            random=random.Random(self.seed),
            run=lambda story: run_virtually(story, self.timeline),
            **(self.death.edges(self.api) if self.death else {"transport": self.api}),
        )

    def tree(self, *folders: str) -> dict[str, str]:
        """The written files, by path."""
        found: dict[str, str] = {}
        for folder in folders or ("out",):
            for path in sorted((self.root / folder).rglob("*")):
                if path.is_file():
                    found[str(path.relative_to(self.root))] = path.read_text(encoding="utf-8")
        return found

    def bytes(self) -> dict[str, tuple[bytes, int]]:
        """Every file a person or git sees (not `.contentops`), with its time of change."""
        return {
            str(path.relative_to(self.root)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".contentops" not in path.relative_to(self.root).parts
        }

    @property
    def state(self) -> State:
        """Records and open jobs as they stand."""
        return opening.read_state(self.project)

    def open_job(self, item: str) -> Job:
        """The one open job of an item."""
        (open_entry,) = [job for job in self.state.open_jobs.values() if job.item == item]
        return open_entry

    def record(self, item: str) -> Record:
        """The record of an item."""
        return self.state.records[ItemId(item)]

    def made_by(self, item: str) -> Job:
        """The job that made the text of an item's record."""
        job = self.state.made_by(self.record(item))
        assert job is not None
        return job

    def actions(self, **choice: Any) -> dict[str, str]:
        """The planned action by item."""
        return {change.id: str(change.action) for change in self.plan(**choice).changes}
