"""Which tests are quick and which are long, and the guard that keeps the quick ones quick.

A long test asks for one of `LONG_FIXTURES`, itself or through another fixture (`run`, `database`, `world`, ...), or is
in a file of `LONG_FILES`. All others are quick, and fail if they start a process.
"""

import contextlib
import functools
import gc
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.running import Clock

if TYPE_CHECKING:
    from tests.fakes.kills import EachKill

LONG_FILES = frozenset(
    {
        "test_approve_merged", "test_approving", "test_check_commands", "test_crash", "test_docs",
        "test_earlier_texts", "test_executor_faults", "test_git_branches", "test_git_child", "test_git_clones",
        "test_git_commit", "test_git_jobs", "test_history", "test_review_story", "test_ledger_fault_injection",
        "test_many_machines", "test_mcp", "test_merge_queue", "test_merged_branches", "test_month_budget",
        "test_packaging", "test_pages_acting", "test_pages_browser", "test_pages_forms", "test_pages_item", "test_pages_lists",
        "test_planfile_kills", "test_process_ends", "test_process_kill", "test_provenance",
        "test_reference_histories", "test_release", "test_selection_changed", "test_sites", "test_state_git",
        "test_two_tables", "test_workflows", "test_year",
    }
)  # fmt: skip
"""Files whose tests start processes, or compute for seconds."""

LONG_FIXTURES = {"each_kill", "processes", "processor_time", "takes_seconds"}

_OTHERS = ("database", "first: ", "postgres", "run: Run", "server: Served", "world")
"""How tests name the fixtures of other files that ask for one of these."""

_STARTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"}


class _Guard:
    """Refuses to start a process while a quick test runs."""

    def __init__(self) -> None:
        self.quick = False
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.quick and event in _STARTS:
            self.refused.append(f"{event} {arguments[1] if event == 'subprocess.Popen' else ''}")
            message = f"quick tests start no process ({self.refused[-1]}): ask for the fixture `processes`"
            raise AssertionError(message)


_guard = _Guard()
sys.addaudithook(_guard)


@pytest.fixture(scope="session")
def processes() -> None:
    """Lets a test start processes, which makes it a long one."""


@pytest.fixture
def processor_time() -> Iterator[Clock]:
    """The clock of a test that measures how long something takes, which makes it a long one.

    It counts the processor time of this process. The garbage collector passes over what other tests have left.
    """
    gc.freeze()
    yield time.process_time
    gc.unfreeze()


@pytest.fixture(scope="session")
def takes_seconds() -> None:
    """Makes a test long that computes for seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick` and `--long` each run their part of the tests; without them, all run."""
    group = parser.getgroup("contentops")
    group.addoption("--quick", action="store_true", help="run the tests that start no process")
    group.addoption("--long", action="store_true", help="run the other tests")


def is_long(item: pytest.Item) -> bool:
    """Return whether a test may start processes."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return item.path.stem in LONG_FILES or not LONG_FIXTURES.isdisjoint(fixtures)


@pytest.fixture(scope="session")
def each_kill() -> "EachKill":
    """Run to the end once and keep what a kill at each step would have left, which makes a test long."""
    from tests.fakes.kills import state_after_each_kill

    return state_after_each_kill


@functools.cache
def _may_be_long(path: Path) -> bool:
    text = path.read_text("utf-8")
    return path.stem in LONG_FILES or any(name in text for name in (*LONG_FIXTURES, *_OTHERS))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file without a test of the part that is run is not even imported."""
    if config.getoption("quick") == config.getoption("long") or not collection_path.name.startswith("test_"):
        return None
    has_none = collection_path.stem in LONG_FILES if config.getoption("quick") else not _may_be_long(collection_path)
    return has_none or None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile a share of the tests first: each process finds compiled what the others began with.

    In a fresh clone it takes longer to compile all of them than to run most of them.
    """
    worker: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    paths = sorted(Path(__file__).parent.glob("test_*.py"))
    names = [path.stem for path in paths if not pytest_ignore_collect(path, session.config)]
    for name in names[int(worker["workerid"][2:]) :: worker["workercount"]]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # pytest reports it, when it collects the file
            importlib.import_module(f"tests.{name}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> object:
    """The garbage collector passes over what is loaded for all tests: to look at it again takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the other part."""
    unseen = {item.path.name for item in items if is_long(item) and not _may_be_long(item.path)}
    assert not unseen, f"name in `_OTHERS` of tests/split.py the fixtures that make tests of {unseen} long"
    quick, long = config.getoption("quick"), config.getoption("long")
    if quick != long:
        left_out = [item for item in items if is_long(item) is quick]
        items[:] = [item for item in items if is_long(item) is long]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> object:
    """Watch a quick test, with its fixtures."""
    _guard.quick = not is_long(item)
    try:
        return (yield)
    finally:
        _guard.quick = False


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Report a process that was refused where the program caught the error."""
    refused, _guard.refused = _guard.refused, []
    assert not refused, f"quick tests start no process: {refused}"
