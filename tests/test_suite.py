"""The rules of the suite: no network, a clean environment, and quick tests that start no process."""

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grimp
import pytest

import contentops
from tests import split

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 443, 0, 0)], ids=["IPv4", "IPv6"])
def test_nothing_but_loopback_is_reached(address: tuple[str, int], processes: None) -> None:
    """A connection to any other machine fails before a packet is sent, also of a child; a look-up is traffic too."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(OSError, match="tests have no network"):
        sock.connect(address)
    with pytest.raises(OSError, match="tests have no network"):
        socket.getaddrinfo("example.com", 443)
    code = f"import socket; socket.create_connection({address[:2]}, timeout=1)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "tests have no network" in ended.stderr


@pytest.mark.parametrize("name", ["WRITERZROOM_API_KEY", "CI", "NO_COLOR", "GIT_DIR", "HTTPS_PROXY"])
def test_the_environment_is_clean(name: str) -> None:
    """No test sees what the caller has set."""
    assert name not in os.environ


def test_a_quick_test_starts_no_process() -> None:
    """Not even one whose failure the program would catch: the teardown reports it again."""
    for start in (lambda: subprocess.run([sys.executable, "-V"], check=False), os.fork):
        with pytest.raises(AssertionError, match="ask for the fixture `processes`"):
            start()
    with pytest.raises(AssertionError, match="quick tests start no process"):
        split.pytest_runtest_teardown()


def test_each_test_is_in_one_part(request: pytest.FixtureRequest) -> None:
    """`--quick` and `--long` together run what runs without them, and each file that is listed as long is there."""
    assert {path.stem for path in (ROOT / "tests").glob("test_*.py")} >= split.LONG_FILES
    hook = SimpleNamespace(pytest_deselected=dict)
    parts = []
    for chosen in ("quick", "long", ""):
        items = list(request.session.items)
        config: Any = SimpleNamespace(hook=hook, getoption=chosen.__eq__)
        split.pytest_collection_modifyitems(config, items)
        parts.append({item.nodeid for item in items})
    quick, long, both = parts
    assert not quick & long
    assert quick | long == both
    assert request.node.nodeid in quick


def test_the_closing_line_counts_both_parts(processes: None) -> None:
    """CI prints one line for the quick and the long tests, and fails where one of them has none."""
    quick = "=== 2 failed, 7 passed, 1 warning in 61.00s (0:01:01) ===\n"
    long = "== 5 passed, 1 skipped, 7 deselected, 1 error in 2.50s ==\nmake: *** [Makefile:99: long] Error 1\n"
    for output, code in ((quick + long, 0), (quick, 1)):
        command = [sys.executable, ".ci/summary.py"]
        ended = subprocess.run(command, input=output, capture_output=True, text=True, check=False, cwd=ROOT)
        assert ended.returncode == code
        assert ended.stdout.strip("= \n") == (
            "2 failed, 12 passed, 1 skipped, 7 deselected, 1 warning, 1 error in 63.50s"
            if code == 0
            else "2 failed, 7 passed, 1 warning in 61.00s"
        )


def test_no_circle_among_imports() -> None:
    """A module can be read after those that it imports, also for types alone; CycleError names the circle."""
    graph = grimp.build_graph("contentops", cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


def test_a_class_name_is_defined_once() -> None:
    """A reader who meets a name knows which class is meant."""
    modules = Path(contentops.__file__).parent.rglob("*.py")
    texts = (module.read_text(encoding="utf-8") for module in modules)
    names = Counter(name for text in texts for name in re.findall(r"^ *class (\w+)\b.*:$", text, re.MULTILINE))
    assert [name for name, count in names.items() if count > 1] == []
