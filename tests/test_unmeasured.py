"""Where lines are not counted: in a marked test and in what it starts; then they are again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import nothing_measured, unmeasured

SCRIPT = """\
from tests.running import nothing_measured
def inside():
    return 1
with nothing_measured():
    inside()
    import contentops
def after():
    return 2
after()
"""


def _counts() -> bool:
    return type(sys.gettrace()).__module__.startswith("coverage") or any(
        name.startswith("COVERAGE_PROCESS") for name in os.environ
    )


@pytest.mark.unmeasured
def test_a_marked_test() -> None:
    """Neither here nor in a child."""
    assert not _counts()


def test_it_is_as_it_was_afterwards() -> None:
    """Tracer, environment and the way out of a fork."""
    before = sys.gettrace(), dict(os.environ), os._exit, list(sys.meta_path)
    with nothing_measured():
        pass
    assert before == (sys.gettrace(), dict(os.environ), os._exit, list(sys.meta_path))


def test_what_is_loaded_is_counted_wherever_it_is(tmp_path: Path) -> None:
    """A module of ours is loaded once: its own lines count, nothing else in there does, and what comes after does."""
    files = {"script.py": SCRIPT, "contentops/__init__.py": "from . import other\none = 1\n", "contentops/other.py": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    env = {**unmeasured(), "COVERAGE_CORE": "ctrace", "COVERAGE_FILE": str(tmp_path / "data")}
    env["PYTHONPATH"] = str(Path(__file__).parents[1])
    for words in (["run", "--source=.", "script.py"], ["json", "--quiet", "-o", "found.json"]):
        subprocess.run([sys.executable, "-m", "coverage", *words], cwd=tmp_path, env=env, check=True)
    found = json.loads((tmp_path / "found.json").read_text())["files"]
    missing = {name: found[str(Path(name))]["missing_lines"] for name in files if files[name]}
    assert missing == {"script.py": [3, 5, 6], "contentops/__init__.py": []}
