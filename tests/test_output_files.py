"""Outputs on disk: whole or not at all, only what the plan saw, never outside the root.

An unresolved merge, or a pointer, is no text: nothing is made of it. Texts about git are not taken for one.
"""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.digest import NOTHING, Digest, digest_bytes, digest_text
from contentops.documents.clean import conflict_line, is_lfs_pointer
from contentops.documents.files import MAX_FILE, Outputs, System, observe_by_stamp
from contentops.documents.folders import HAS_HANDLES, denial, explained, reason
from contentops.documents.front_matter import compose
from contentops.documents.paths import split_path
from contentops.errors import FileChanged, OutputError
from contentops.model import Action, ItemId, Observed, OnEdit, Spec
from contentops.planning.plan import make_plan
from contentops.planning.sides import resting_place
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.sides import a_file, a_record, a_situation, a_spec

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
    """Where the file system has no hard links, files are renamed into place and moved, and still overwrite nothing."""
    outputs = Outputs(tmp_path, handles=handles, system=System(link=breaking(errno.EPERM)))
    outputs.write("a.md", "ours", expect=NOTHING)
    assert tree(tmp_path) == {"a.md": b"ours"}
    outputs = made_meanwhile(tmp_path, handles, "b.md", "theirs", link=breaking(errno.EOPNOTSUPP))
    with pytest.raises(FileChanged):
        outputs.write("b.md", "ours", expect=NOTHING)
    assert tree(tmp_path) == {"a.md": b"ours", "b.md": b"theirs"}
    outputs = Outputs(tmp_path, handles=handles, system=System(link=breaking(errno.EPERM)))
    (tmp_path / "b.md").unlink()
    outputs.move("a.md", "out/b.md", expect=digest_text("ours"))
    assert tree(tmp_path) == {"out": None, "out/b.md": b"ours"}


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


# --- paths ---------------------------------------------------------------------------------------------------------


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
def test_unsafe_paths_are_refused(path: str) -> None:
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
    assert not Memory().look(tmp_path, "a.md", later=0)


# --- what git left in place of a text ------------------------------------------------------------------------------

CONFLICT = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> 1a2b3c4 (Fix: thing)\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1a' * 32}\nsize 12345\n"
FRONT = "---\ntitle: T\n---\n"


@pytest.mark.parametrize(("text", "line"), [
    pytest.param(CONFLICT, 1, id="at once"),
    pytest.param(f"{FRONT}\nText.\n\n{CONFLICT}", 7, id="in the body"),
    pytest.param(f"{FRONT}\nText.\n\n{CONFLICT}".replace("\n", "\r\n"), 7, id="with CRLF"),
    pytest.param(f"---\ntitle: T\n{CONFLICT}---\nText.\n", 3, id="in the front matter"),
    pytest.param(f"\ufeff---\nx: |\n  ```\n---\n{CONFLICT}", 5, id="a fence in the front matter is none"),
    pytest.param(f"---\nx: |\n  ```\n...\n{CONFLICT}", 5, id="front matter closed by dots"),
    pytest.param("<<<<<<< a\nx\n||||||| base\nb\n=======\ny\n>>>>>>> c", 1, id="three sides, no newline"),
    pytest.param(f"```\ncode\n```\n{CONFLICT}", 4, id="after a code block"),
    pytest.param(f"~~~~\n```\n~~~\n~~~~ \n{CONFLICT}", 5, id="after a code block of tildes"),
    pytest.param(f"    ```\n{CONFLICT}", 2, id="a fence indented by four is text"),
    pytest.param(f"``` a ` b\n{CONFLICT}", 2, id="backticks in one line are no fence"),
    pytest.param("<<<<<<< a\n```python\n=======\n```py\n>>>>>>> b\nx\n```\n", 1, id="a fence on each side"),
    pytest.param(f"<<<<<<< a\nnever closed\n{CONFLICT}", 1, id="the first of two starts"),
])  # fmt: skip
def test_conflicts_are_found(text: str, line: int) -> None:
    """The line where the first one starts, outside of code blocks."""
    assert conflict_line(text) == line


@pytest.mark.parametrize("text", [
    pytest.param("", id="nothing"),
    pytest.param(f"```\n{CONFLICT}```\n", id="code block"),
    pytest.param(f"  ~~~ text\n{CONFLICT}~~~\n", id="code block of tildes"),
    pytest.param(f"````\n```\n{CONFLICT}````\n", id="a shorter fence closes nothing"),
    pytest.param(f"```\n``` x\n{CONFLICT}```\n", id="a fence with words closes nothing"),
    pytest.param(f"```\n{CONFLICT}", id="code block to the end"),
    pytest.param("".join(f"    {line}" for line in CONFLICT.splitlines(keepends=True)), id="indented code"),
    pytest.param("".join(f"> {line}" for line in CONFLICT.splitlines(keepends=True)), id="quoted"),
    pytest.param(">>>>>>> b\n=======\n<<<<<<< a\n", id="another order"),
    pytest.param("<<<<<<< a\n>>>>>>> b\n", id="no middle"),
    pytest.param("<<<<<<< a\n======= \n>>>>>>> b\n", id="a space after the middle"),
    pytest.param("<<<<<<< a\n========\n>>>>>>> b\n", id="eight signs in the middle"),
    pytest.param("<<<<<<<< a\n=======\n>>>>>>>> b\n", id="eight signs"),
    pytest.param("<<<<<< a\n=======\n>>>>>> b\n", id="six signs"),
    pytest.param("<<<<<<<\n=======\n>>>>>>>\n", id="no label"),
    pytest.param("<<<<<<<a\n=======\n>>>>>>>b\n", id="no space"),
    pytest.param("Write `<<<<<<< a`, then\n=======\n`>>>>>>> b`\n", id="in a sentence"),
])  # fmt: skip
def test_what_only_looks_like_a_conflict(text: str) -> None:
    """Only git's three lines in git's order count, each from the start of its line to the end of its form."""
    assert conflict_line(text) == 0


@pytest.mark.parametrize(("text", "is_pointer"), [
    (POINTER, True), (POINTER.replace("\n", "\r\n"), True),
    (POINTER.replace("oid", f"ext-0-foo sha256:{'2b' * 32}\noid"), True), (f"{FRONT}\n{POINTER}", False),
    (f"{POINTER}\nThat is a pointer.\n", False), (POINTER.splitlines()[0] + "\n", False),
    ("version https://git-lfs.github.com/spec/v1 is the first line of a pointer.\n", False),
], ids=["v1", "CRLF", "with an extension", "front matter", "more text", "one line", "a sentence"])  # fmt: skip
def test_pointers_of_lfs(text: str, *, is_pointer: bool) -> None:
    """A whole file of such lines; a text that tells of one is none."""
    assert is_lfs_pointer(text) is is_pointer


@pytest.mark.parametrize("front", [FRONT, "", "---\ntitle: [\n---\n"], ids=["front", "none", "broken front"])
def test_a_conflict_is_a_problem(root: Path, front: str) -> None:
    """It is told by its line; nothing else of the file is taken for true, nor remembered for the next look."""
    data = f"{front}{CONFLICT}".encode()
    (root / "a.md").write_bytes(data)
    line = front.count("\n") + 1
    expected = Observed(
        path="a.md",
        file=digest_bytes(data),
        problem=f"`a.md` contains git conflict markers from line {line}; resolve the merge first",
        problem_line=line,
    )
    assert Outputs(root).observe("a.md") == expected
    store: dict[str, str] = {}
    seen = observe_by_stamp(Outputs(root), ["a.md"], store.get, store.update, now=2**63)
    assert seen == {"a.md": expected}
    assert not store


def test_whether_such_a_text_is_whole_is_asked_each_time(root: Path) -> None:
    """The lock says it, which may be put back without a touch of the file: its stamp alone does not."""
    (root / "a.md").write_text(f"{FRONT}\n{CONFLICT}")
    store: dict[str, str] = {}
    for whole in ([digest_text(CONFLICT)], []):
        seen = observe_by_stamp(Outputs(root, whole=whole), ["a.md"], store.get, store.update, now=2**63)
        assert bool(seen["a.md"].problem) is not bool(whole)


CHANGES = {
    "nothing": ("", ""),
    "request": ("topic: 'All about one", "topic: 'New: one"),
    "path": ("id: one", "id: one\n    output: out/new.md"),
}


@pytest.mark.parametrize(
    "choice",
    [{}, {"replace": ("one",)}, {"on_edit": OnEdit.OVERWRITE}, {"on_edit": OnEdit.KEEP}],
    ids=["apply", "replace", "overwrite", "keep"],
)
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_saved_or_overwritten_while_a_merge_is_open(root: Path, choice: dict[str, Any], change: str) -> None:
    """Whatever else is asked for, the file and the server's text stay, and nothing is paid for."""
    harness = _merging(root)
    text, stored = harness.read("out/one.md"), [content.body for content in harness.api.contents.values()]
    harness.edit("content/blog.yaml", *CHANGES[change])
    assert results(harness.apply(**choice))["one"] == "blocked"
    assert harness.tree() == {"out/one.md": text, "out/two.md": harness.read("out/two.md")}
    assert [content.body for content in harness.api.contents.values()] == stored
    assert len(harness.api.generations) == 2


@pytest.mark.parametrize("choice", [{}, {"replace": ("one",)}, {"on_edit": OnEdit.OVERWRITE}], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_a_pointer_of_lfs_is_no_edit(root: Path, choice: dict[str, Any], change: str) -> None:
    """It is neither saved nor paid for nor replaced; once its text is fetched all goes on."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one", "two")
    text, stored = harness.read("out/one.md"), [content.body for content in harness.api.contents.values()]
    harness.write("out/one.md", POINTER)
    harness.edit("content/blog.yaml", *CHANGES[change])
    run = harness.ran(**choice)
    assert results(run)["one"] == "blocked"
    assert "`out/one.md` is a Git LFS pointer; fetch its text with `git lfs pull` first" in str(run.outcomes)
    assert (harness.read("out/one.md"), len(harness.api.generations)) == (POINTER, 2)
    assert [content.body for content in harness.api.contents.values()] == stored
    harness.write("out/one.md", text)
    harness.apply()
    assert harness.plan().empty


def test_an_unresolved_merge_is_not_pruned(root: Path) -> None:
    """Not even where its item is gone and removal is asked for."""
    harness = _merging(root)
    text = harness.read("out/one.md")
    harness.write("content/blog.yaml", blog("two"))
    assert (results(harness.apply(prune=True)), harness.read("out/one.md")) == ({"one": "blocked"}, text)


def _merging(root: Path) -> Harness:
    """Two items, of which `one` was changed on two branches."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one", "two")
    harness.edit("out/one.md", "Take 1.", f"Take 1.\n\n{CONFLICT}")
    return harness
