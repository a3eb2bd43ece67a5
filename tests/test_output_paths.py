"""Paths that could leave the project, or hide in it, are refused before the disk is touched."""

import errno
import os
import time
from pathlib import Path

import pytest
from msgspec import structs

from contentops.documents.files import Outputs, observe_by_stamp
from contentops.documents.folders import denial, explained, reason
from contentops.documents.front_matter import compose
from contentops.documents.paths import split_path
from contentops.errors import OutputError
from contentops.model import Action, Spec
from contentops.planning.plan import make_plan
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import a_file, a_record, a_situation, a_spec


@pytest.mark.parametrize("path", [
    pytest.param("", id="empty"), pytest.param("/etc/passwd", id="absolute"), pytest.param("../a.md", id="above"),
    pytest.param("out/../../a.md", id="above in the middle"), pytest.param("out/./a.md", id="dot"),
    pytest.param("out//a.md", id="empty segment"), pytest.param("out/", id="trailing slash"),
    pytest.param("out\\a.md", id="backslash"), pytest.param("C:/a.md", id="drive"),
    pytest.param("a.md:stream", id="alternate stream"), pytest.param("out/a\x00.md", id="nul"),
    pytest.param("out/\x1b[2J.md", id="terminal escape"), pytest.param("out/a\n.md", id="line feed"),
    pytest.param("out/\u202egpj.md", id="direction override"), pytest.param("out/\ud800.md", id="lone surrogate"),
    pytest.param(".git/config", id="hidden folder"), pytest.param("Git~1/config", id="short name of a hidden folder"),
    pytest.param("out/.htaccess", id="hidden file"),
    pytest.param("out/.contentops-0123456789abcdef.tmp", id="half-written file"),
    pytest.param(".contentops-0123456789abcdef.moving/a", id="parked file as a folder"),
])  # fmt: skip
def test_refused(path: str) -> None:
    """Whatever could leave the root, deceive, or hide is refused, in a message that is safe to print."""
    with pytest.raises(OutputError, match="is not allowed") as caught:
        split_path(path)
    assert caught.value.code == "unsafe-path"
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(("number", "why"), [
    pytest.param(errno.ENOSPC, "no space is left on the disk", id="full"),
    pytest.param(errno.EACCES, "permission is denied", id="denied"),
    pytest.param(errno.EROFS, "the file system is read-only", id="read-only"),
    pytest.param(errno.EIO, "input/output error", id="other"),
    pytest.param(None, "unknown error", id="no number"),
])  # fmt: skip
def test_errors_are_explained(number: int | None, why: str) -> None:
    """What the system refuses is told with the path and the reason, without a traceback's words."""
    with pytest.raises(OutputError) as caught, explained("out/\x1ba.md", "written"):
        raise OSError(number, "x") if number else OSError("x")
    assert caught.value.message == f"`out/\\x1ba.md` cannot be written: {why}"
    assert reason(OSError(errno.ENOSPC, "x"))[1]


def test_a_read_only_file_costs_nothing(tmp_path: Path) -> None:
    """Its item is held back with the reason, the others go on; once it is writable, it follows."""
    harness = Harness(tmp_path, FakeApi(duration=30)).applied("one", "two")
    (tmp_path / "out/one.md").chmod(0o444)
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    change = next(change for change in harness.plan().changes if change.id == "one")
    assert (change.action, change.blocked, change.credits) == (Action.BLOCKED, "unwritable-file", 0)
    assert "`out/one.md` is marked read-only" in change.hint
    assert (results(harness.apply()), harness.api.credits) == ({"one": "blocked", "two": "done"}, 12)
    (tmp_path / "out/one.md").chmod(0o644)
    assert (results(harness.apply()), harness.plan().empty) == ({"one": "done"}, True)


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
        outputs = Outputs(root)
        before, now = self.copy(), time.time_ns() + later
        assert observe_by_stamp(Outputs(root), names, self.get, self.update, now=now) == {
            name: outputs.observe(name) for name in names
        }
        return [name for name in self if self[name] != before.get(name)]


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
