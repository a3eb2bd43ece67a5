"""What is paid for has to be recorded: all that an apply must write is tried before its first submit."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.atomic_io import Disk, refused
from contentops.errors import StateError
from contentops.operations.doctor import doctor
from contentops.operations.opening import Runtime
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results


class Refusing(Disk):
    """A disk on which the system refuses whatever brings bytes to one file, with one reason."""

    def __init__(self, name: str, why: int) -> None:
        self.name, self.why = name, why

    def _check(self, path: Path) -> None:
        if path.name == self.name:
            raise refused("write", path, OSError(self.why, os.strerror(self.why)))

    def append(self, path: Path, data: bytes, at: int) -> None:
        self._check(path)
        super().append(path, data, at)

    def replace(self, path: Path, data: bytes, mode: int) -> None:
        self._check(path)
        super().replace(path, data, mode)

    def try_room(self, path: Path, size: int) -> None:
        self._check(path)
        super().try_room(path, size)


class Denied(Harness):
    """A harness whose disk refuses something."""

    disk: Disk | None = None

    def runtime(self) -> Runtime:
        runtime = super().runtime()
        return runtime if self.disk is None else structs.replace(runtime, disk=self.disk)


def _names(root: Path) -> set[str]:
    """What lies in a project, but for what any apply makes."""
    return {path.name for path in root.iterdir()} - {".contentops", ".gitattributes"}


@pytest.mark.parametrize("known", [False, True], ids=["first apply", "later apply"])
@pytest.mark.parametrize(("name", "why", "hint"), [
    ("contentops.lock", errno.EROFS, "read-only file system"), ("contentops.lock", errno.ENOSPC, "make room"),
    ("contentops.lock", errno.EFBIG, "ulimit -f"), ("contentops.lock", errno.EBUSY, "mount its folder"),
    ("journal.jsonl", errno.ENOSPC, "make room"), (".gitattributes", errno.EROFS, "read-only file system"),
], ids=["read-only", "full", "limit", "mounted", "full journal", "read-only attributes"])  # fmt: skip
def test_what_cannot_be_recorded_is_not_paid_for(root: Path, why: int, hint: str, name: str, *, known: bool) -> None:
    """The refusal comes before the first submit, names the file and what to do, and leaves nothing behind."""
    harness = Denied(root, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    if known:
        harness.apply()
        harness.write("content/blog.yaml", blog("one", "two"))
        if name == ".gitattributes":
            (root / name).unlink()
    before, paid = _names(root), harness.api.credits
    harness.disk = Refusing(name, why)
    with pytest.raises(StateError, match=f"nothing was submitted: cannot write `{name}`") as caught:
        harness.apply()
    assert hint in caught.value.hint
    assert str(root) in caught.value.hint
    assert (harness.api.credits, _names(root)) == (paid, before)
    if name != ".gitattributes":
        found = {check.name: check for check in doctor(harness.project, harness.runtime())}["recording"]
        assert (found.ok, f"cannot write `{name}`" in found.message) == (False, True)
        assert hint in found.hint
    harness.disk = None
    assert results(harness.apply()) == ({"two": "done"} if known else {"one": "done"})
    assert harness.api.credits == paid + 4


def test_a_full_disk_under_the_copy_of_the_jobs_is_found_first(root: Path) -> None:
    """The copy may lie on another disk than the project; an empty write to a full disk says nothing."""

    class Full(Refusing):
        def append(self, path: Path, data: bytes, at: int) -> None:
            if data:
                self._check(path)
            Disk.append(self, path, data, at)

    harness = Denied(root, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.disk = Full("jobs.jsonl", errno.ENOSPC)
    with pytest.raises(StateError, match="nothing was submitted: cannot write `jobs"):
        harness.apply()
    assert harness.api.credits == 0


def test_a_text_that_the_cache_cannot_keep_is_not_paid_for(root: Path) -> None:
    """A paid text that is nowhere would be paid for again."""
    harness = Harness(root)
    harness.write("content/blog.yaml", blog("one"))
    (root / ".contentops/cache/cache.db").mkdir(parents=True)
    with pytest.raises(StateError) as caught:
        harness.apply()
    assert (caught.value.code, harness.api.generations) == ("text-not-kept", [])


def test_a_report_that_cannot_be_kept_is_no_reason_to_fail(root: Path) -> None:
    """What was done is in lock and files: the run ends as it did, and says that its report is not kept."""
    harness = Harness(root, FakeApi(duration=30)).declared("one")
    harness.write(".contentops/runs", "in the way")
    assert results(harness.apply()) == {"one": "done"}
    told = [str(event.data["message"]) for event in harness.events if event.kind == "note"]
    assert "the report of this run is not kept" in told[-1]


# --- real file systems ---------------------------------------------------------------------------------------


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None or os.name == "nt" or os.geteuid() != 0:
        return False
    trial = [unshare, "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not _may_mount(), reason="no file system can be mounted here")


def _apply_on(root: Path, mount: str, again: str = "") -> subprocess.CompletedProcess[str]:
    """An apply in a file system of its own; no one else sees the mount."""
    apply = f"{sys.executable} -m contentops apply --yes"
    environ: dict[str, Any] = {**os.environ, "NO_COLOR": "1"}
    script = f"{mount} && {apply}" + (f"; echo first $?; {again}; {apply}" if again else "")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=root, env=environ, capture_output=True, text=True, check=False
    )


def _local(root: Path) -> Path:
    """A project of the embedded server."""
    (root / "content").mkdir(parents=True)
    (root / ".contentops").mkdir(mode=0o700)
    (root / "contentops.yaml").write_text(
        "version: 1\nproject: acme\napi: {base_url: local}\n"
        "defaults: {template: blog_article_generator, style: general_blog}\n"
    )
    (root / "content/blog.yaml").write_text(blog("one"))
    return root


@mounts
def test_a_folder_of_ours_on_another_file_system(tmp_path: Path, processes: None) -> None:
    """Its files cannot be renamed into the project, and need not be."""
    root = _local(tmp_path / "p")
    ended = _apply_on(root, "mount -t tmpfs tmpfs .contentops")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (root / "contentops.lock").exists()
    assert sorted(path.name for path in root.glob(".*")) == [".contentops", ".gitattributes"]


@mounts
def test_a_project_that_is_read_only(tmp_path: Path, processes: None) -> None:
    """Only the outputs and our own folder can be written: nothing is generated, since no lock would tell of it."""
    root = _local(tmp_path / "p")
    (root / "out").mkdir()
    mount = (
        "mount --bind . . && cd . && mount -t tmpfs tmpfs $PWD/.contentops && mount -t tmpfs tmpfs $PWD/out && "
        "mount -o remount,bind,ro $PWD && cd $PWD"
    )
    ended = _apply_on(root, mount)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "nothing was submitted: cannot write `contentops.lock`: read-only file system" in ended.stderr


@mounts
def test_a_folder_of_outputs_that_is_read_only(tmp_path: Path, processes: None) -> None:
    """Found before anything is generated for it, also where the user may do anything; the item elsewhere goes on."""
    root = _local(tmp_path / "p")
    (root / "out").mkdir()
    (root / "content/blog.yaml").write_text(blog("one", "two").replace("id: two", "id: two\n    output: free/two.md"))
    ended = _apply_on(root, "mount -t tmpfs tmpfs out && mount -o remount,ro out")
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "no file can be written in `out`" in ended.stdout + ended.stderr
    assert "Apply: 1 done, 1 blocked" in ended.stdout
    assert (root / "free/two.md").exists()


@mounts
def test_a_full_disk(tmp_path: Path, processes: None) -> None:
    """Where the lock does not fit, nothing is generated; with room again, all is."""
    root = _local(tmp_path / "p")
    shutil.move(root, tmp_path / "there")
    root.mkdir()
    mount = (
        f"mount -t tmpfs -o size=4m tmpfs {root} && cd {root} && cp -r {tmp_path}/there/. . && "
        "mount -t tmpfs tmpfs .contentops && (cat /dev/zero > fill || true)"
    )
    ended = _apply_on(root, mount, again="rm fill")
    assert "first 1" in ended.stdout
    assert "nothing was submitted: cannot write `contentops.lock`: no space left on device" in ended.stderr
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Apply: 1 done" in ended.stdout
