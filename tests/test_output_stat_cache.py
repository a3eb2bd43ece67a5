"""Files seen by their stamp are the files that would be read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from contentops.documents.files import Outputs
from contentops.documents.front_matter import compose
from contentops.documents.stat_cache import StatCache

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000_000


def _write(root: Path, name: str, body: str, *, age: int = HOUR) -> None:
    path = root / name
    path.write_text(compose("T", {"tags": ["a"]}, {"item": name, "digest": "d"}, body), encoding="utf-8")
    then = time.time_ns() - age
    os.utime(path, ns=(then, then))


def _look(root: Path, remembered: str | None, *names: str, later: int = HOUR) -> StatCache:
    cache = StatCache(Outputs(root), remembered, now=time.time_ns() + later)
    outputs = Outputs(root)
    assert cache.observe_all(names) == {name: outputs.observe(name) for name in names}
    return cache


def test_what_is_remembered_is_what_is_read(tmp_path: Path) -> None:
    """A second look gives the same answer and has nothing new to remember."""
    _write(tmp_path, "a.md", "One.\n")
    first = _look(tmp_path, None, "a.md", "gone.md").remember()
    assert first is not None
    assert _look(tmp_path, first, "a.md", "gone.md").remember() is None


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Another body of the same length shows, even with its old modification time put back."""
    _write(tmp_path, "a.md", "One.\n")
    remembered = _look(tmp_path, None, "a.md").remember()
    _write(tmp_path, "a.md", "Two.\n")
    assert _look(tmp_path, remembered, "a.md").remember() is not None


def test_a_fresh_file_is_not_trusted(tmp_path: Path) -> None:
    """A stamp taken within the clock's grain of a write proves nothing."""
    _write(tmp_path, "a.md", "One.\n", age=0)
    cache = _look(tmp_path, None, "a.md", later=0)
    assert cache.remember() is None


def test_a_removed_file_is_forgotten(tmp_path: Path) -> None:
    """What no one asks for any more is not remembered."""
    _write(tmp_path, "a.md", "One.\n")
    _write(tmp_path, "b.md", "Two.\n")
    remembered = _look(tmp_path, None, "a.md", "b.md").remember()
    fewer = _look(tmp_path, remembered, "a.md").remember()
    assert fewer is not None
    assert "b.md" not in fewer


@pytest.mark.parametrize(
    "text", ["", "{", "[2]", "[1, {}]", '[2, {"a.md": [1]}]', '[2, {"a.md": [[], 1, 2, 3, 4, 5, 6]}]', "[" * 5000]
)
def test_a_damaged_memory_is_ignored(tmp_path: Path, text: str) -> None:
    """The memory never changes the answer."""
    _write(tmp_path, "a.md", "One.\n")
    _look(tmp_path, text, "a.md")
