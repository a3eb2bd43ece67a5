"""Programs as checks: how they are run, what they get to see, and what their words become."""

import os
import shlex
import sys
from pathlib import Path

import filelock
import pytest

from contentops.execution.commands import run_commands, run_on_text
from contentops.model import Finding, Level, Listed


def command(code: str) -> str:
    """A command that runs Python."""
    return shlex.join([sys.executable, "-c", code])


def run(root: Path, code: str, *, level: Level = Level.BLOCK, patience: float = 30) -> list[Finding]:
    """What a command says of `blog/a.md`."""
    return list(run_commands(Listed(values=(command(code),), level=level), root, "blog/a.md", patience=patience))


def messages(found: list[Finding]) -> list[tuple[int, str]]:
    """Lines and words, without the name of the interpreter."""
    return [(one.line, one.message.partition(": ")[2]) for one in found]


def test_lines_of_linters_are_findings_at_their_line(tmp_path: Path) -> None:
    """With and without a column, with a path from the root or an absolute one; hostile words are made visible."""
    code = (
        "import sys; p = sys.argv[-1]; print(p + ':3:7:Vale.Spelling:Did you mean this?'); print('note');"
        "print(f'/somewhere/{p}:12 MD001 levels'); print(p + ':4: \\x1b[31mred'); sys.exit(1)"
    )
    found = run(tmp_path, code, level=Level.WARN)
    assert messages(found) == [(3, "Vale.Spelling:Did you mean this?"), (12, "MD001 levels"), (4, "\\x1b[31mred")]
    assert {(one.check, one.level) for one in found} == {("commands", Level.WARN)}


@pytest.mark.parametrize(("code", "said"), [
    ("import sys; print('all is\\nbad', file=sys.stderr); sys.exit(3)", "failed with code 3: all is bad"),
    ("import sys; sys.exit(1)", "failed with code 1"),
    ("print('x' * 10_000_000); raise SystemExit(1)", f"failed with code 1: {'x' * 299}…"),
])  # fmt: skip
def test_other_words_are_one_short_finding(tmp_path: Path, code: str, said: str) -> None:
    """About the text as a whole."""
    assert messages(run(tmp_path, code)) == [(0, said)]


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Nothing goes on behind it: whoever waited for what a child holds gets it."""
    code = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', "
        "\"import filelock, time; filelock.FileLock('held').acquire(); time.sleep(600)\"])"
    )
    assert messages(run(tmp_path, code, patience=0.5)) == [(0, "took more than 0.5 s")]
    filelock.FileLock(tmp_path / "held").acquire(timeout=20)


def test_a_program_that_is_not_there_is_a_failed_check(tmp_path: Path) -> None:
    """Nothing counts as checked that was not; a folder of the project is not on the path."""
    tool = tmp_path / "lint"
    tool.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    tool.chmod(0o755)
    for name, there in (("lint", False), ("./lint", os.name == "posix"), ("tools/none", False)):
        found = run_commands(Listed(values=(name,)), tmp_path, "a.md")
        assert bool(found) is not there, name
    assert "there is no such program" in run_commands(Listed(values=("lint",)), tmp_path, "a.md")[0].message


@pytest.mark.parametrize(("named", "known"), [
    ("", []), ("AWS_SECRET, MY_KEY WRITERZROOM_API_KEY CONTENTOPS_LEDGER", ["AWS_SECRET"]),
], ids=["nothing", "some"])  # fmt: skip
def test_a_command_gets_what_a_person_names(
    tmp_path: Path, named: str, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a token nor a password otherwise; the key by any name and the address of the ledger go to no one."""
    for name in ("WRITERZROOM_API_KEY", "MY_KEY", "GITHUB_TOKEN", "CONTENTOPS_LEDGER", "PGPASSWORD", "AWS_SECRET"):
        monkeypatch.setenv(name, "secret-value")
    monkeypatch.setenv("CONTENTOPS_KEY_VARIABLES", "MY_KEY")
    monkeypatch.setenv("CONTENTOPS_CHECK_VARIABLES", named)
    monkeypatch.setenv("LC_TIME", "C")
    code = (
        "import os, sys; known = sorted(name for name, value in os.environ.items() if value == 'secret-value')\n"
        f"sys.exit(known != {known} or os.environ['LC_TIME'] != 'C' or 'PATH' not in os.environ)"
    )
    assert run(tmp_path, code) == []


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    """Its words are arguments, whatever they hold."""
    listed = Listed(
        values=(f"{command('import sys; sys.exit(sys.argv[1:-1] != [chr(59), chr(36) + str(1)])')} ';' '$1'",)
    )
    assert run_commands(listed, tmp_path, "a.md") == ()


def test_a_text_that_is_not_written_lies_under_its_own_path_for_a_moment(tmp_path: Path) -> None:
    """A linter sees folder and name as they will be, and its words name the path of the output."""
    code = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[-1]); sys.exit(f'{p}:2: {p.read_text()}'"
        " if p.parts[-2:] == ('blog', 'a.md') else 0)"
    )
    listed = Listed(values=(command(code),))
    (found,) = run_on_text(listed, tmp_path, "blog/a.md", "words\n")
    assert (found.line, found.message.partition(": ")[2]) == (2, "words")
    assert [path.name for path in tmp_path.iterdir()] == [".contentops"]
    assert [path.name for path in (tmp_path / ".contentops").iterdir()] == [".gitignore"]
