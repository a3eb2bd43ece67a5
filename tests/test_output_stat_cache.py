"""Files seen by their stamp are the files that would be read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from contentops.documents.files import Outputs, StatCache
from contentops.documents.front_matter import compose

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000_000


def _write(root: Path, name: str, body: str, *, age: int = HOUR) -> None:
    path = root / name
    path.write_text(compose("T", {"tags": ["a"]}, {"item": name, "digest": "d"}, body), encoding="utf-8")
    then = time.time_ns() - age
    os.utime(path, ns=(then, then))


class Memory(dict[str, str]):
    """What is remembered: texts by name."""

    def look(self, root: Path, *names: str, later: int = HOUR) -> list[str]:
        """Look at files, which gives what reading them gives, and remember them; the names of the texts put."""
        cache = StatCache(Outputs(root), self.get, self.update, now=time.time_ns() + later)
        outputs = Outputs(root)
        before = self.copy()
        assert cache.observe_all(names) == {name: outputs.observe(name) for name in names}
        return [name for name in self if self[name] != before.get(name)]


def test_what_is_remembered_is_what_is_read(tmp_path: Path) -> None:
    """A second look gives the same answer and has nothing new to remember."""
    _write(tmp_path, "a.md", "One.\n")
    memory = Memory()
    assert memory.look(tmp_path, "a.md", "gone.md")
    assert not memory.look(tmp_path, "a.md", "gone.md")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Another body of the same length shows, even with its old modification time put back."""
    _write(tmp_path, "a.md", "One.\n")
    memory = Memory()
    memory.look(tmp_path, "a.md")
    _write(tmp_path, "a.md", "Two.\n")
    assert memory.look(tmp_path, "a.md")


def test_a_folder_that_is_a_link_is_seen(tmp_path: Path) -> None:
    """Its files are the same by their stamps, but are no outputs any more."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    _write(tmp_path, "out/deep/a.md", "One.\n")
    memory = Memory()
    memory.look(tmp_path, "out/deep/a.md")
    assert not memory.look(tmp_path, "out/deep/a.md")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "out").symlink_to("elsewhere")
    memory.look(tmp_path, "out/deep/a.md")


def test_a_fresh_file_is_not_trusted(tmp_path: Path) -> None:
    """A stamp taken within the clock's grain of a write proves nothing."""
    _write(tmp_path, "a.md", "One.\n", age=0)
    memory = Memory()
    assert not memory.look(tmp_path, "a.md", later=0)


@pytest.mark.parametrize("damaged", ["", "{", "[2]", '{"a.md": [1]}', "[" * 5000, "\x00"])
@pytest.mark.parametrize("names_too", [True, False])
def test_a_damaged_memory_is_ignored(tmp_path: Path, damaged: str, names_too: bool) -> None:
    """The memory never changes the answer."""
    _write(tmp_path, "a.md", "One.\n")
    memory = Memory()
    memory.look(tmp_path, "a.md")
    for name in memory:
        if names_too or " " in name:
            memory[name] = damaged
    assert memory.look(tmp_path, "a.md")
