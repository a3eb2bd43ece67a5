"""What a person is told to do next is what helps them, and never what would lose them something."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contentops.errors import OutputError
from contentops.operations.init import project_files
from tests.running import Build, Run
from tests.serving import served

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: welcome, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}


@pytest.fixture
def site(project: Build) -> Path:
    """One item, not generated yet."""
    return project(SITE)


@pytest.mark.parametrize("command", [("diff", "welcome"), ("regenerate", "welcome", "--section", "x")])
def test_an_item_without_a_text_is_no_unknown_one(invoke: Run, site: Path, command: tuple[str, ...]) -> None:
    """`status` lists it, so these must not deny it; a name that is close is still offered."""
    ended = invoke(*command, cwd=site)
    assert (ended.code, ended.stderr) == (
        64,
        "error[not-generated]: nothing was generated for `welcome` yet\nhint: `contentops apply` generates it\n",
    )
    ended = invoke(command[0], "welcom", *command[2:], cwd=site)
    assert (ended.code, "did you mean `welcome`?" in ended.stderr) == (64, True)


@pytest.mark.skipif(os.name == "nt", reason="names of POSIX")
def test_a_folder_that_can_not_be_written_is_no_reason_to_remove_anything(tmp_path: Path) -> None:
    """Nothing was written, so nothing is to be removed."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        project_files(tmp_path / "file", name="x").write()
    where = tmp_path / "file" / "contentops.yaml"
    assert caught.value.message == f"`{where}` cannot be written: File exists"
    assert caught.value.hint == "choose another folder, or check who may write there"


def test_doctor_lets_a_server_on_this_machine_do_without_a_key(
    invoke: Run, project: Build, tmp_path: Path, processes: None
) -> None:
    """As `apply` does; the server itself is asked."""
    with served(tmp_path) as address:
        root = project({**SITE, "contentops.yaml": SITE["contentops.yaml"].replace("local", f'"{address}/v1"')})
        ended = invoke("doctor", cwd=root)
        checks = {one["name"]: one for one in invoke("doctor", "--json", cwd=root).json["checks"]}
    assert ended.code == 0, ended.stdout
    assert (checks["key"]["ok"], checks["server"]["ok"]) == (None, True)
    assert "answers with" in checks["server"]["message"]


CACHE = "        hint: move `.contentops/cache` away: texts are then searched in git and on the server\n"
TROUBLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cache/cache.db": (lambda path: path.write_bytes(b"no database" * 99), f"cache: file is not a database\n{CACHE}"),
    "cache": (lambda path: shutil.move(path, path.with_name("away")), f"cache: `cache` is not a folder\n{CACHE}"),
    "../out/welcome.md": (lambda path: path.chmod(0o444), "outputs: `out/welcome.md` is marked read-only\n"),
}
"""What is done to a path below `.contentops`, and what a failed check says of it."""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of POSIX")
@pytest.mark.parametrize("path", TROUBLES)
def test_doctor_fails_where_an_apply_would(invoke: Run, site: Path, path: str) -> None:
    """In words, and with a way on that helps."""
    assert invoke("apply", "--yes", cwd=site).code == 0
    before = invoke("doctor", cwd=site)
    assert (before.code, "ok      outputs: can be written\n" in before.stdout) == (0, True)
    spoil, words = TROUBLES[path]
    spoil(site / ".contentops" / path)
    if path == "cache":
        (site / ".contentops/cache").touch()
    ended = invoke("doctor", cwd=site)
    assert (ended.code, f"failed  {words}" in ended.stdout) == (1, True), ended.stdout


def test_doctor_tells_of_a_lock_that_git_ignores(invoke: Run, site: Path, processes: None) -> None:
    """It would never reach another clone; a folder that is ignored as a whole may be meant so."""
    subprocess.run(["git", "init", "--quiet"], cwd=site, check=True, timeout=60)
    (site / ".gitignore").write_text("*.lock\n")
    ended = invoke("doctor", cwd=site)
    assert ended.code == 0
    assert "note    state: git ignores `contentops.lock`\n        hint: add `!contentops.lock`" in ended.stdout
    (site / ".gitignore").write_text("*.lock\n!contentops.lock\n")
    assert "ok      state: 0 records, 0 open\n" in invoke("doctor", cwd=site).stdout


USAGE = "`contentops {} --help` shows the usage"
MISTAKES = {
    "plna": "did you mean `plan`?",
    "xyzzy": "`contentops --help` lists them",
    "state lst": "did you mean `list`?",
    "state zzz": "`contentops state --help` lists them",
    "plan --selct a": "did you mean `--select`?",
    "plan --zzz": USAGE.format("plan"),
    # An option that stands in the wrong place.
    "plan -C x": "`-C` comes before the command: `contentops -C ... plan`",
    "state list -C x": "`-C` comes before the command: `contentops -C ... state list`",
    "--env a plan": "options other than `-C` and `--version` come after the command",
    "--select plan": "options other than `-C` and `--version` come after the command",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_wrong_word_is_answered_with_the_nearest(invoke: Run, typed: str) -> None:
    """Once: by its right place, or by the one name that is near."""
    ended = invoke(*typed.split())
    what, hint = ended.stderr.splitlines()
    assert (ended.code, hint) == (64, f"hint: {MISTAKES[typed]}")
    said = "no such option `-" if any(word.startswith("-") for word in typed.split()) else "there is no command `"
    assert what.startswith(f"error[usage]: {said}")
