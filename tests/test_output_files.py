"""Outputs on disk: whole or not at all, only what the plan saw, never outside the root."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contentops.digest import NOTHING, Digest, digest_bytes, digest_text
from contentops.documents.files import MAX_FILE, Outputs, System
from contentops.documents.folders import HAS_HANDLES
from contentops.errors import FileChanged, OutputError
from contentops.model import ItemId, Observed
from contentops.planning.sides import resting_place

WAYS = [
    pytest.param(True, id="handles", marks=pytest.mark.skipif(not HAS_HANDLES, reason="no folder handles here")),
    pytest.param(False, id="paths"),
]
needs_links = pytest.mark.skipif(os.name == "nt", reason="making a symbolic link needs a privilege there")
needs_modes = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")


@pytest.fixture(params=WAYS)
def handles(request: pytest.FixtureRequest) -> bool:
    """Whether folders are entered by handle or by path."""
    return bool(request.param)


@pytest.fixture
def outputs(tmp_path: Path, handles: bool) -> Outputs:
    """Outputs below an empty root."""
    return Outputs(tmp_path, handles=handles)


def tree(root: Path) -> dict[str, bytes | None]:
    """Everything below `root`: files with their bytes, folders with None."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def breaking(error: BaseException | int) -> Callable[..., Any]:
    """A system call that fails, with an error or its number."""

    def call(*_args: object, **_kwargs: object) -> Any:
        raise OSError(error, os.strerror(error)) if isinstance(error, int) else error

    return call


class Killed(BaseException):
    """Stands for the end of the process at some instant."""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may have none")
def test_folders_are_entered_by_handle() -> None:
    """Only that is safe from someone who swaps a folder for a link meanwhile."""
    assert HAS_HANDLES


def test_observe_nothing(outputs: Outputs) -> None:
    """A file, or a folder on its way, that does not exist is no problem."""
    for path in ("a.md", "out/a.md"):
        assert outputs.observe(path) == Observed(path=path)
        assert not outputs.observe(path).exists
        assert [*outputs.stamps([path])] == [None]
        with pytest.raises(FileChanged, match="does not exist"):
            outputs.read(path)


@pytest.mark.parametrize(("data", "problem", "has_digest"), [
    pytest.param(b"a\xff", "`a.md` is not UTF-8 at byte 1; save it as UTF-8", True, id="not UTF-8"),
    pytest.param("---\na: b\n---\n".encode("utf-16"), "`a.md` is not UTF-8 at byte 0", True, id="UTF-16"),
    pytest.param(b"---\na: b: c\n---\n", "`a.md`: front matter cannot be read on line 2", True, id="broken front matter"),
    pytest.param(b"x" * (MAX_FILE + 1), "`a.md` is larger than 16 MiB; move the file", False, id="too large"),
])  # fmt: skip
def test_observe_bad_files(outputs: Outputs, tmp_path: Path, data: bytes, problem: str, has_digest: bool) -> None:
    """A file that cannot be understood is a finding, with its digest where it could be read."""
    (tmp_path / "a.md").write_bytes(data)
    observed = outputs.observe("a.md")
    assert observed.problem.startswith(problem)
    assert ("; " in observed.problem, observed.file) == (True, digest_bytes(data) if has_digest else NOTHING)
    assert observed.exists
    assert (observed.title, observed.body, observed.front, observed.owner) == ("", NOTHING, {}, "")


@pytest.mark.parametrize("path", ["../a.md", "/a.md", ".git/config", "a\x1b.md"])
def test_every_method_refuses_unsafe_paths(outputs: Outputs, path: str) -> None:
    """No method touches a path that could leave the root."""
    assert "is not allowed" in outputs.observe(path).problem
    assert [*outputs.stamps([path])] == [None]
    calls: list[Callable[[], object]] = [
        lambda: outputs.read(path),
        lambda: outputs.write(path, "x", expect=NOTHING),
        lambda: outputs.remove(path, expect=NOTHING),
        lambda: outputs.move(path, "a.md", expect=NOTHING),
        lambda: outputs.move("a.md", path, expect=NOTHING),
    ]
    for call in calls:
        with pytest.raises(OutputError, match="is not allowed"):
            call()
    assert outputs.sweep([path], before=1e12) == 0


def test_write_again_does_nothing(outputs: Outputs, tmp_path: Path) -> None:
    """What already exists is done, whatever was expected, and not written again."""
    digest = outputs.write("a.md", "one", expect=NOTHING)
    before = (tmp_path / "a.md").stat()
    for expect in (NOTHING, digest, Digest("sha256:other")):
        assert outputs.write("a.md", "one", expect=expect) == digest
    after = (tmp_path / "a.md").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(("existing", "expect", "words"), [
    pytest.param("edited", digest_text("seen"), "changed since it was planned", id="edited"),
    pytest.param("new", NOTHING, "changed since it was planned", id="appeared"),
    pytest.param(None, digest_text("seen"), "no longer exists", id="vanished"),
])  # fmt: skip
def test_write_keeps_another(
    outputs: Outputs, tmp_path: Path, existing: str | None, expect: Digest, words: str
) -> None:
    """A file that is not what the plan saw is left as it is."""
    for path in ("a.md", "out/a.md"):
        if existing is not None:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(existing)
        before = tree(tmp_path)
        with pytest.raises(FileChanged, match=words) as caught:
            outputs.write(path, "ours", expect=expect)
        assert "contentops plan" in caught.value.hint
        assert tree(tmp_path) == before


def made_meanwhile(tmp_path: Path, handles: bool, name: str, text: str, **calls: Any) -> Outputs:
    """Outputs under which a file appears after the text was brought to disk, before the rename."""

    def appear(handle: int) -> None:
        os.fsync(handle)
        (tmp_path / name).write_text(text)

    return Outputs(tmp_path, handles=handles, system=System(sync=appear, **calls))


@pytest.mark.parametrize("existing", ["seen", None], ids=["over a file", "new file"])
def test_write_sees_an_edit_made_while_writing(tmp_path: Path, handles: bool, existing: str | None) -> None:
    """It is kept."""
    if existing is not None:
        (tmp_path / "a.md").write_text(existing)
    outputs = made_meanwhile(tmp_path, handles, "a.md", "a person's words")
    with pytest.raises(FileChanged, match="changed since it was planned"):
        outputs.write("a.md", "ours", expect=digest_text(existing) if existing else NOTHING)
    assert tree(tmp_path) == {"a.md": b"a person's words"}


def test_write_finds_its_own_text_made_while_writing(tmp_path: Path, handles: bool) -> None:
    """If the very text appears in the meantime, the step is done."""
    outputs = made_meanwhile(tmp_path, handles, "a.md", "ours")
    assert outputs.write("a.md", "ours", expect=NOTHING) == digest_text("ours")
    assert tree(tmp_path) == {"a.md": b"ours"}


@pytest.mark.parametrize("call", ["write", "sync", "link", "replace"])
@pytest.mark.parametrize("existing", ["seen", None], ids=["over a file", "new file"])
def test_kill_leaves_old_or_new(tmp_path: Path, handles: bool, call: str, existing: str | None) -> None:
    """A kill in any call leaves the old file whole, and running again ends as if there had been none."""
    if existing is not None:
        (tmp_path / "a.md").write_text(existing)
    expect = digest_text(existing) if existing else NOTHING
    outputs = Outputs(tmp_path, handles=handles, system=System(**{call: breaking(Killed())}))
    try:
        outputs.write("a.md", "ours", expect=expect)
    except Killed:
        assert tree(tmp_path) == ({"a.md": existing.encode()} if existing else {})
    assert Outputs(tmp_path, handles=handles).write("a.md", "ours", expect=expect) == digest_text("ours")
    assert tree(tmp_path) == {"a.md": b"ours"}


@pytest.mark.parametrize("existing", ["seen", ""], ids=["over a file", "new file"])
def test_real_kill_and_sweep(tmp_path: Path, handles: bool, existing: str, processes: None) -> None:
    """A process that dies right before the rename leaves the old file and one leftover that a sweep removes."""
    if existing:
        (tmp_path / "a.md").write_text(existing)
    expect = digest_text(existing) if existing else NOTHING
    script = (
        "import os, sys\n"
        "from contentops.documents.files import Outputs, System\n"
        "def die(*a, **k): os._exit(9)\n"
        "root, handles, expect = sys.argv[1:]\n"
        "outputs = Outputs(root, handles=handles == 'True', system=System(link=die, replace=die))\n"
        "outputs.write('a.md', 'ours', expect=expect)\n"
    )
    child = subprocess.run([sys.executable, "-c", script, tmp_path, str(handles), expect], check=False)
    assert child.returncode == 9
    files = tree(tmp_path)
    assert (files.pop("a.md", None), list(files.values())) == (existing.encode() or None, [b"ours"])
    outputs = Outputs(tmp_path, handles=handles)
    outputs.write("a.md", "ours", expect=expect)
    assert outputs.sweep([""], before=tmp_path.stat().st_mtime + 60) == 1
    assert tree(tmp_path) == {"a.md": b"ours"}


@pytest.mark.parametrize("call", ["write", "sync", "replace", "link"])
@pytest.mark.parametrize(("number", "words"), [
    pytest.param(errno.ENOSPC, "no space is left", id="disk full"),
    pytest.param(errno.EACCES, "permission is denied", id="denied"),
    pytest.param(errno.EIO, "input/output error", id="bad disk"),
])  # fmt: skip
def test_faults_leave_nothing_behind(tmp_path: Path, handles: bool, call: str, number: int, words: str) -> None:
    """When the system refuses, the old file is whole, nothing half-written is left, and the reason is told."""
    (tmp_path / "old.md").write_text("seen")
    outputs = Outputs(tmp_path, handles=handles, system=System(**{call: breaking(number)}))
    path, expect = ("a.md", NOTHING) if call == "link" else ("old.md", digest_text("seen"))
    with pytest.raises(OutputError, match=words) as caught:
        outputs.write(path, "ours", expect=expect)
    assert f"`{path}` cannot be written" in caught.value.message
    assert tree(tmp_path) == {"old.md": b"seen"}


def test_write_without_hard_links(tmp_path: Path, handles: bool) -> None:
    """Where the file system has no hard links, a new file is renamed into place, and still overwrites nothing."""
    outputs = Outputs(tmp_path, handles=handles, system=System(link=breaking(errno.EPERM)))
    outputs.write("a.md", "ours", expect=NOTHING)
    assert tree(tmp_path) == {"a.md": b"ours"}
    outputs = made_meanwhile(tmp_path, handles, "b.md", "theirs", link=breaking(errno.EOPNOTSUPP))
    with pytest.raises(FileChanged):
        outputs.write("b.md", "ours", expect=NOTHING)
    assert tree(tmp_path) == {"a.md": b"ours", "b.md": b"theirs"}


@needs_modes
def test_read_only_files_are_kept(outputs: Outputs, tmp_path: Path) -> None:
    """A file that its owner may not write is neither written nor removed; moving it changes no word."""
    (tmp_path / "a.md").write_text("seen")
    (tmp_path / "a.md").chmod(0o444)
    with pytest.raises(OutputError, match="marked read-only"):
        outputs.write("a.md", "ours", expect=digest_text("seen"))
    with pytest.raises(OutputError, match="marked read-only"):
        outputs.remove("a.md", expect=digest_text("seen"))
    outputs.move("a.md", "b.md", expect=digest_text("seen"))
    assert tree(tmp_path) == {"b.md": b"seen"}


def test_write_refuses_what_can_not_be_text(outputs: Outputs, tmp_path: Path) -> None:
    """Lone surrogates, and more than a file may hold, are refused before anything is made."""
    with pytest.raises(OutputError, match="not valid Unicode at character 1"):
        outputs.write("out/a.md", "a\ud800", expect=NOTHING)
    with pytest.raises(OutputError, match="larger than 16 MiB"):
        outputs.write("out/a.md", "x" * (MAX_FILE + 1), expect=NOTHING)
    assert tree(tmp_path) == {}


def test_missing_root(tmp_path: Path, handles: bool) -> None:
    """Without its root nothing is made."""
    outputs = Outputs(tmp_path / "gone", handles=handles)
    assert not outputs.observe("a.md").exists
    with pytest.raises(OutputError, match="cannot be written"):
        outputs.write("a.md", "ours", expect=NOTHING)
    assert tree(tmp_path) == {}


def pipe(path: Path) -> None:
    """A named pipe, which would make a reader wait forever."""
    os.mkfifo(path)


def link_out(path: Path) -> None:
    """A link to a file outside the root."""
    (path.parent.parent / "outside.md").write_text("outside")
    path.symlink_to(path.parent.parent / "outside.md")


@needs_links
@pytest.mark.parametrize(("make", "problem"), [
    pytest.param(lambda path: path.mkdir(), "is a folder", id="folder"),
    pytest.param(pipe, "is not a regular file", id="pipe"),
    pytest.param(link_out, "is a symbolic link", id="link out"),
    pytest.param(lambda path: (path.with_name("inside.md").write_text("inside"), path.symlink_to("inside.md")), "is a symbolic link", id="link in"),
    pytest.param(lambda path: path.symlink_to("nowhere.md"), "is a symbolic link", id="dangling link"),
])  # fmt: skip
def test_only_files_are_touched(tmp_path: Path, handles: bool, make: Callable[[Path], object], problem: str) -> None:
    """Whatever else stands at a path is a finding, and stays."""
    root = tmp_path / "root"
    root.mkdir()
    make(root / "a.md")
    (root / "b.md").write_text("b")
    names = sorted(tree(root))
    outputs = Outputs(root, handles=handles)
    observed = outputs.observe("a.md")
    assert problem in observed.problem
    assert observed.exists
    assert not observed.file
    calls: list[Callable[[], object]] = [
        lambda: outputs.read("a.md"),
        lambda: outputs.write("a.md", "x", expect=NOTHING),
        lambda: outputs.write("a.md", "x", expect=digest_text("outside")),
        lambda: outputs.remove("a.md", expect=digest_text("outside")),
        lambda: outputs.move("a.md", "c.md", expect=digest_text("outside")),
        lambda: outputs.move("b.md", "a.md", expect=digest_text("b")),
    ]
    for call in calls:
        with pytest.raises(OutputError, match=problem):
            call()
    assert sorted(tree(root)) == names
    if (tmp_path / "outside.md").exists():
        assert (tmp_path / "outside.md").read_text() == "outside"


@needs_links
@pytest.mark.parametrize("target", ["../outside", "inside"], ids=["out", "in"])
def test_linked_folders_are_never_entered(tmp_path: Path, handles: bool, target: str) -> None:
    """A symbolic link in place of a folder is refused, wherever it leads."""
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for folder in (tmp_path / "outside", root / "inside"):
        (folder / "a.md").write_text("theirs")
    (root / "out").symlink_to(target)
    (root / "b.md").write_text("b")
    outputs = Outputs(root, handles=handles)
    before = tree(tmp_path)
    assert "`out` is a symbolic link" in outputs.observe("out/a.md").problem
    calls: list[Callable[[], object]] = [
        lambda: outputs.write("out/new.md", "x", expect=NOTHING),
        lambda: outputs.write("out/deep/new.md", "x", expect=NOTHING),
        lambda: outputs.write("out/a.md", "x", expect=digest_text("theirs")),
        lambda: outputs.remove("out/a.md", expect=digest_text("theirs")),
        lambda: outputs.move("out/a.md", "c.md", expect=digest_text("theirs")),
        lambda: outputs.move("b.md", "out/b.md", expect=digest_text("b")),
    ]
    for call in calls:
        with pytest.raises(OutputError, match="symbolic link"):
            call()
    assert (outputs.sweep(["out"], before=1e12), tree(tmp_path)) == (0, before)


def folds_case(root: Path) -> bool:
    """Whether this file system takes `A` for `a`."""
    (root / "probe").touch()
    folded = (root / "PROBE").exists()
    (root / "probe").unlink()
    return folded


@pytest.mark.parametrize(("existing", "ours"), [
    pytest.param("a.md", "A.md", id="case"),
    pytest.param("caf\u00e9.md", "CAF\u00c9.md", id="case of an accent"),
    pytest.param("cafe\u0301.md", "Caf\u00e9.md", id="case and Unicode form"),
])  # fmt: skip
def test_another_spelling_of_the_same_file(tmp_path: Path, handles: bool, existing: str, ours: str) -> None:
    """Where a file answers to another spelling too, it is seen as the other file it is, and kept."""
    (tmp_path / existing).write_text("theirs")
    if not folds_case(tmp_path):
        # What such a file system shows: every spelling answers, one is listed.
        for form in {ours, ours.swapcase()} - {existing}:
            os.link(tmp_path / existing, tmp_path / form)
    outputs = Outputs(tmp_path, handles=handles, system=System(names=lambda _folder: [existing, "other.md"]))
    assert f"`{ours}` is the file `" in outputs.observe(ours).problem
    with pytest.raises(OutputError, match="treats both names as one"):
        outputs.write(ours, "ours", expect=digest_text("theirs"))
    with pytest.raises(OutputError, match="treats both names as one"):
        outputs.move(existing, ours, expect=digest_text("theirs"))
    assert outputs.observe(existing).file == digest_text("theirs")
    assert (tmp_path / existing).read_text() == "theirs"


def test_move_keeps_folders_that_hold_something(outputs: Outputs, tmp_path: Path) -> None:
    """Only empty folders are removed; run again, the move is done there too."""
    digest = outputs.write("old/a.md", "ours", expect=NOTHING)
    (tmp_path / "old" / ".gitkeep").touch()
    for _ in range(2):
        outputs.move("old/a.md", "a.md", expect=digest)
        assert tree(tmp_path) == {"a.md": b"ours", "old": None, "old/.gitkeep": b""}


@pytest.mark.parametrize(("files", "words"), [
    pytest.param({"a.md": "edited"}, "`a.md` changed since it was planned", id="edited"),
    pytest.param({}, "`a.md` no longer exists", id="gone"),
    pytest.param({"out/b.md": "theirs"}, "`a.md` no longer exists", id="gone, and another at the target"),
])  # fmt: skip
def test_move_refuses_another_file(outputs: Outputs, tmp_path: Path, files: dict[str, str], words: str) -> None:
    """A file that is not the expected one is not moved."""
    for path, text in files.items():
        outputs.write(path, text, expect=NOTHING)
    before = tree(tmp_path)
    with pytest.raises(FileChanged, match=words):
        outputs.move("a.md", "out/b.md", expect=digest_text("ours"))
    assert tree(tmp_path) == before


def test_move_killed_half_way_is_finished(outputs: Outputs, tmp_path: Path) -> None:
    """A kill between the two halves of a move leaves both names; running again takes the old one away."""
    digest = outputs.write("old/a.md", "ours", expect=NOTHING)
    os.link(tmp_path / "old" / "a.md", tmp_path / "b.md")
    outputs.move("old/a.md", "b.md", expect=digest)
    assert tree(tmp_path) == {"b.md": b"ours"}


@pytest.mark.parametrize("saved", [True, False], ids=["saved again", "deleted"])
def test_move_keeps_what_is_saved_meanwhile(tmp_path: Path, handles: bool, saved: bool) -> None:
    """What an editor puts under the old name while we move stays there; a file deleted meanwhile is moved."""

    def link(source: Any, target: Any, **handles: Any) -> None:
        os.link(source, target, **handles)
        (tmp_path / "a.md").unlink()
        if saved:
            (tmp_path / "a.md").write_text("a person's words")

    outputs = Outputs(tmp_path, handles=handles, system=System(link=link))
    (tmp_path / "a.md").write_text("ours")
    if saved:
        with pytest.raises(FileChanged, match=r"`a\.md` changed since it was planned"):
            outputs.move("a.md", "b.md", expect=digest_text("ours"))
        assert tree(tmp_path) == {"a.md": b"a person's words"}
    else:
        outputs.move("a.md", "b.md", expect=digest_text("ours"))
        assert tree(tmp_path) == {"b.md": b"ours"}


def test_move_onto_a_file_made_meanwhile(tmp_path: Path, handles: bool) -> None:
    """A file that appears at the target at the last instant stays, with hard links and without."""

    def make_first(call: Callable[..., None], number: int | None) -> Callable[..., None]:
        def made(source: Any, target: Any, **places: Any) -> None:
            (tmp_path / "b.md").write_text("theirs")
            if number is not None:
                raise OSError(number, "no links")
            call(source, target, **places)

        return made

    for number in (None, errno.EPERM):
        (tmp_path / "b.md").unlink(missing_ok=True)
        (tmp_path / "a.md").write_text("ours")
        outputs = Outputs(tmp_path, handles=handles, system=System(link=make_first(os.link, number)))
        with pytest.raises(FileChanged, match=r"`b\.md` already exists"):
            outputs.move("a.md", "b.md", expect=digest_text("ours"))
        assert tree(tmp_path) == {"a.md": b"ours", "b.md": b"theirs"}


def test_move_without_hard_links(tmp_path: Path, handles: bool) -> None:
    """Where the file system has no hard links, a file is moved by its name."""
    outputs = Outputs(tmp_path, handles=handles, system=System(link=breaking(errno.EPERM)))
    (tmp_path / "a.md").write_text("ours")
    outputs.move("a.md", "out/b.md", expect=digest_text("ours"))
    assert tree(tmp_path) == {"out": None, "out/b.md": b"ours"}


def test_remove(outputs: Outputs, tmp_path: Path) -> None:
    """A removed file takes its empty folders along, never the root; removing again is done."""
    digest = outputs.write("out/deep/a.md", "ours", expect=NOTHING)
    with pytest.raises(FileChanged, match="changed since it was planned"):
        outputs.remove("out/deep/a.md", expect=digest_text("other"))
    for _ in range(2):
        outputs.remove("out/deep/a.md", expect=digest)
        assert tree(tmp_path) == {}
        assert tmp_path.is_dir()


def test_sweep(outputs: Outputs, tmp_path: Path) -> None:
    """Only old half-written files of ours in the named folders are removed."""
    (tmp_path / "out").mkdir()
    old, young = ".contentops-0123456789abcdef.tmp", ".contentops-fedcba9876543210.tmp"
    parked = resting_place("out/A.md", "out/a.md", ItemId("item"))
    others = [parked, "out/.contentops-x.tmp", "out/a.tmp", "elsewhere.md"]
    for path in [*others, f"out/{old}", f"out/{young}", old]:
        (tmp_path / path).write_text("x")
    os.utime(tmp_path / "out" / old, (100, 100))
    os.utime(tmp_path / old, (100, 100))
    (tmp_path / "out" / ".contentops-0000000000000000.tmp").mkdir()
    assert (outputs.sweep(["out", "gone"], before=200.0), outputs.sweep([""], before=200.0)) == (1, 1)
    assert outputs.sweep(["out", ""], before=200.0) == 0
    assert all((tmp_path / path).exists() for path in [*others, f"out/{young}"])
