"""The command line as a whole: help, version, mistakes, errors as text and JSON, exit codes."""

import contextlib
import errno
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import jsonschema
import pytest

from contentops.__main__ import main
from contentops.cli.entry import COMMANDS, cli
from contentops.schema_files import SCHEMA_NAMES, load_schema
from tests.running import Build, Completed, Run, unmeasured


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_under_its_help_line(name: str) -> None:
    """The lines of `--help` are those of the commands, and every option of theirs is explained."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.name, command.short_help) == (name, COMMANDS[name].line)
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert all(option.help for option in options)


def test_the_command_of_the_action_is_not_listed(invoke: Run) -> None:
    """It works, with a help of its own."""
    assert "find-plan" not in invoke("--help").stdout
    assert "find-plan" not in cli.list_commands(click.Context(cli))
    assert invoke("find-plan", "--help").stdout.startswith("Usage: contentops find-plan")


def _shell(
    script: str, folder: Path, env: Mapping[str, str] = os.environ, **more: str
) -> subprocess.CompletedProcess[str]:
    """A script in which `$PROGRAM` is the command line."""
    given = {**env, "PROGRAM": f"{sys.executable} -m contentops", **more}
    command = ["/bin/sh", "-c", script]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


def _in_a_gone_folder(tmp_path: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A command that is started in a folder that was removed meanwhile."""
    (tmp_path / "gone").mkdir()
    return _shell(f"rmdir ../gone && exec $PROGRAM {command}", tmp_path / "gone")


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
@pytest.mark.parametrize("command", ["apply --yes", "init sub", "-C sub plan"])
def test_a_working_directory_that_is_gone(tmp_path: Path, command: str, processes: None) -> None:
    """Started in a folder that was removed meanwhile, a command says so in one line."""
    ended = _in_a_gone_folder(tmp_path, command)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error[no-folder]: the current folder no longer exists\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
@pytest.mark.parametrize("command", ["--version", "-C ../there validate --json"])
def test_what_needs_no_working_directory_does_without(tmp_path: Path, command: str, processes: None) -> None:
    """Commands about no folder, or about one that is named in full, run anywhere."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there/contentops.yaml").write_text("project: x\napi: {base_url: local}\n")
    assert _in_a_gone_folder(tmp_path, command.replace("..", str(tmp_path))).returncode == 0


def test_a_bare_group_shows_its_help(invoke: Run) -> None:
    """Without a command there is nothing to do but to explain."""
    for arguments in ([], ["state"]):
        ended = invoke(*arguments)
        assert (ended.code, ended.stdout, "Commands:" in ended.stderr) == (64, "", True)


USAGE = "\nhint: `contentops {} --help` shows the usage"


@pytest.mark.parametrize(("arguments", "error"), [
    ("completion", "error[usage]: missing argument `{bash|zsh|fish}`. Choose from: bash, zsh, fish"),
    ("plan --select", "error[usage]: option `--select` requires an argument" + USAGE.format("plan")),
    ("plan --json --format text", '{\n  "format_version": "1.0",\n  "errors": 1,'),
    ("apply --deadline soon", "error[usage]: invalid value for `--deadline`: `soon` is not a duration; write `90s`, `10m` or `2h`" + USAGE.format("apply")),
    ("state resolve x --request 1", "error[usage]: use one of `--job ID`, `--content ID` and `--forget`" + USAGE.format("state resolve")),
    ("state resolve x --job 1 --forget", "error[usage]: use one of `--job ID`, `--content ID` and `--forget`\n"),
    ("schema plann", "error[unknown-schema]: there is no schema `plann`\nhint: did you mean `plan`?\n"),
    ("schema -- --json", "error[unknown-schema]: there is no schema `--json`\n"),
    ("schema 0", "error[unknown-schema]: there is no schema `0`\nhint: there are: "),
])  # fmt: skip
def test_mistakes_exit_with_64(arguments: str, error: str, invoke: Run) -> None:
    """A wrong command line is explained, with the way to the help."""
    ended = invoke(*arguments.split())
    assert ended.code == 64
    assert (ended.stdout + ended.stderr).startswith(error)


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_schema_is_printed(name: str, invoke: Run) -> None:
    """`schema NAME` prints the very file, as JSON Schema draft-07."""
    ended = invoke("schema", name)
    assert ended.json == load_schema(name)
    jsonschema.Draft7Validator.check_schema(ended.json)


@pytest.mark.parametrize(("shell", "mark"), [
    ("bash", "complete -o nosort -F _contentops_completion contentops"), ("zsh", "#compdef contentops"),
    ("fish", "complete --no-files --command contentops"),
])  # fmt: skip
def test_completion_scripts(shell: str, mark: str, invoke: Run) -> None:
    """Each shell gets click's own script; no variable is left in the environment."""
    ended = invoke("completion", shell)
    assert (ended.code, mark in ended.stdout) == (0, True)
    assert "_CONTENTOPS_COMPLETE" not in os.environ


def test_completion_answers(run: Run) -> None:
    """What the script asks for, the program answers with its commands."""
    env = {"_CONTENTOPS_COMPLETE": "bash_complete", "COMP_WORDS": "contentops pl", "COMP_CWORD": "1"}
    assert run(env=env).stdout == "plain,plan\n"


def test_a_closed_pipe_is_no_crash(tmp_path: Path, processes: None) -> None:
    """A reader that leaves early gets no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "contentops", "schema", "manifest"]
    ended = subprocess.run(words, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")


ACME_BLOG = {
    "contentops.yaml": """\
        version: 1
        project: acme-blog
        api: {base_url: local}
        defaults: {template: blog_article_generator, style: general_blog}
        """,
    "content/blog.yaml": "items:\n  - {id: one, inputs: {topic: Tides, target_audience: readers}}\n",
}


@pytest.mark.parametrize(("command", "unbuffered"), [("--help", ""), ("plan --json", "1"), ("apply --yes", "")])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_under_stdout_is_one_line(project: Build, command: str, unbuffered: str, processes: None) -> None:
    """It is an error that says why, and where nothing was paid yet, nothing is."""
    root = project(ACME_BLOG)
    ended = _shell(f"$PROGRAM {command} > /dev/full", root, PYTHONUNBUFFERED=unbuffered)
    assert (ended.returncode, ended.stderr) == (1, "error[output]: stdout cannot be written: No space left on device\n")
    assert not (root / "out").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_disk_that_fills_up_under_stdout_is_told(tmp_path: Path, unbuffered: str, processes: None) -> None:
    """What is cut short never looks like the whole."""
    # What measures coverage has files of its own to write; a compiled module that is cut short would break later runs.
    alone = {**unmeasured(), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": unbuffered}
    ended = _shell("ulimit -f 4; exec $PROGRAM schema manifest > cut", tmp_path, alone)
    assert (ended.returncode, ended.stderr) == (1, "error[output]: stdout cannot be written: File too large\n")


@pytest.mark.skipif(os.name == "nt", reason="closes streams with a shell")
@pytest.mark.parametrize(
    ("redirected", "code"),
    [("plan >&-", 0), ("apply <&-", 4), ("apply --yes <&- >&- 2>&-", 0), ("plan --env x 2>&-", 64)],
)
def test_closed_streams_are_empty_ones(project: Build, redirected: str, code: int, processes: None) -> None:
    """No one is there to ask or to read, which is no mistake."""
    ended = _shell(f"$PROGRAM {redirected}", project(ACME_BLOG))
    assert (ended.returncode, "bug" in ended.stderr) == (code, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize(("command", "code"), [("apply --yes", 0), ("plan --env x", 64)])
def test_messages_that_no_one_can_get_stop_nothing(project: Build, command: str, code: int, processes: None) -> None:
    """A command goes on where its log cannot be written, and ends with its own code."""
    ended = _shell(f"$PROGRAM {command} 2> /dev/full", project(ACME_BLOG), PYTHONUNBUFFERED="")
    assert (ended.returncode, "Apply: 1 done" in ended.stdout) == (code, not code)


class _Filling(io.StringIO):
    """A disk that is full when the run is over."""

    def write(self, text: str) -> int:
        if "Apply:" in text:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_run_whose_last_words_are_lost_is_whole(project: Build, invoke: Run) -> None:
    """What was made is recorded; only the exit code tells that something could not be said."""
    root = project(ACME_BLOG)
    out, err = _Filling(), io.StringIO()
    with contextlib.chdir(root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["apply", "--yes"]) == 1
    assert "Plan: 1 to create" in out.getvalue()
    assert err.getvalue().endswith("error[output]: stdout cannot be written: No space left on device\n")
    assert "No changes. 1 item is up to date." in invoke("plan", cwd=root).stdout


def test_odd_terminals_get_escapes(run: Run) -> None:
    """A stream that knows ASCII alone gets escapes instead of an exception."""
    ended = run("schema", "漢字", env={"PYTHONIOENCODING": "ascii"})
    assert ended.code == 64
    assert ended.stderr.startswith("error[unknown-schema]: there is no schema `\\u6f22\\u5b57`")


def _before_ours(folder: Path) -> dict[str, str]:
    """The variable by which modules of a folder are found before any other."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])}


def _failing(run: Run, folder: Path, load_schema: str) -> Completed:
    """`schema plan`, where this is done to load it."""
    (folder / "sitecustomize.py").write_text(
        "import sys, types\n"
        "class Name:\n"
        "    def __set_name__(self, owner, name): raise KeyboardInterrupt\n"
        f"def load_schema(name): {load_schema}\n"
        "broken = types.ModuleType('contentops.schema_files')\n"
        "broken.SCHEMA_NAMES, broken.schema_path, broken.load_schema = ('plan',), None, load_schema\n"
        "sys.modules['contentops.schema_files'] = broken\n",
        encoding="utf-8",
    )
    return run("schema", "plan", env=_before_ours(folder))


def test_a_bug_of_ours_says_so(run: Run, tmp_path: Path) -> None:
    """An exception no one foresaw is one clear line, then the traceback, and exit code 1."""
    ended = _failing(run, tmp_path, "raise RuntimeError('oh')")
    assert ended.code == 1
    first, *rest = ended.stderr.splitlines()
    assert first.startswith("error[bug]: this is a bug in contentops")
    assert rest[-1] == "RuntimeError: oh"


def test_color_follows_the_environment(run: Run) -> None:
    """`NO_COLOR` beats `FORCE_COLOR`, which beats a stream that is no terminal."""
    assert "\x1b[" not in run("schema", "x").stderr
    assert "\x1b[" in run("schema", "x", env={"FORCE_COLOR": "1"}).stderr
    assert "\x1b[" not in run("schema", "x", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr


@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "type('Class', (), {'name': Name()})"])
def test_a_keyboard_interrupt_is_130(run: Run, tmp_path: Path, how: str) -> None:
    """Ctrl-C before anything began ends quietly with the code shells expect, also while a class is being made."""
    ended = _failing(run, tmp_path, how)
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "RuntimeError from KeyboardInterrupt()"])
def test_a_keyboard_interrupt_while_loading_is_130(run: Run, tmp_path: Path, raised: str) -> None:
    """Ctrl-C in the first moment, before anything of ours runs, prints no traceback either."""
    (tmp_path / "click.py").write_text(f"raise {raised}\n", encoding="utf-8")
    ended = run("--help", env=_before_ours(tmp_path))
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "\ninterrupted\n")
