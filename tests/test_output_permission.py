"""Outputs that cannot be written: found before anything is paid for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.documents.folders import denial
from contentops.model import Action
from contentops.planning.plan import make_plan
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import a_file, a_record, a_situation, a_spec

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Spec


def test_a_read_only_file_costs_nothing(tmp_path: Path) -> None:
    """Its item is held back with the reason, the others go on; once it is writable, it follows."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one", "two"))
    harness.apply()
    (tmp_path / "out/one.md").chmod(0o444)
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    change = next(change for change in harness.plan().changes if change.id == "one")
    assert (change.action, change.blocked, change.credits) == (Action.BLOCKED, "unwritable-file", 0)
    assert "`out/one.md` is marked read-only" in change.hint
    assert results(harness.apply()) == {"one": "blocked", "two": "done"}
    assert harness.api.credits == 12
    (tmp_path / "out/one.md").chmod(0o644)
    assert results(harness.apply()) == {"one": "done"}
    assert harness.plan().empty


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is denied to root")
def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    """The nearest folder that is there decides."""
    (tmp_path / "out").mkdir(mode=0o555)
    assert denial(tmp_path)("out/deep/er/one.md") == "no file can be written in `out`"
    assert denial(tmp_path)("other/one.md") == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows counts otherwise")
@pytest.mark.parametrize("path", ["out/{}.md", "{}/a.md"])
def test_a_name_that_the_file_system_can_not_have(tmp_path: Path, path: str) -> None:
    """Some take fewer characters than a manifest may ask for."""
    long = path.format("x" * 260)
    assert denial(tmp_path)(long) == f"`{long}` cannot be written: the name is too long for this file system"


@pytest.mark.parametrize(
    ("spec", "kept"),
    [(a_spec(topic="new"), False), (a_spec(output="out/moved.md"), False), (a_spec(), True)],
    ids=["rewritten", "moved", "as it is"],
)
def test_what_would_write_is_blocked(spec: Spec, kept: bool) -> None:
    """A rewrite, or a move; never an item that only stays."""
    before = a_spec()
    s = a_situation([spec], [a_record(before)], [a_file(before.output)])
    plan = make_plan(structs.replace(s, denied=lambda path: f"`{path}` is marked read-only"))
    held = [change.blocked for change in plan.changes if change.blocked]
    assert held == ([] if kept else ["unwritable-file"])
    assert not any("submit" in change.names for change in plan.changes)


def test_protection_is_named_where_it_helps() -> None:
    """It keeps a file as it is; an item that has none yet would be held back all the same."""
    changed, new, before = a_spec(topic="new"), a_spec("two"), a_spec()
    s = a_situation([changed, new], [a_record(before)], [a_file(before.output)])
    plan = make_plan(structs.replace(s, denied=lambda path: f"no file can be written for `{path}`"))
    hints = {change.id: change.hint for change in plan.changes}
    assert hints[changed.id].endswith("; change that, or set `protected: true` to keep the item as it is")
    assert hints[new.id].endswith("; change that")
