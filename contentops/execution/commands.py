"""Runs the programs that the project's settings name as checks: without a shell, without secrets, within bounds."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final

from contentops.execution.child_environment import check_environment
from contentops.model import Finding
from contentops.sanitize import clip, visible
from contentops.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Listed

PATIENCE: Final = 60.0
"""Seconds that one command may take on one text."""
_READ: Final = 64 << 10
"""Bytes of a command's output that are looked at."""
_SHOWN: Final = 20
_ROOM: Final = 300
_GRACE: Final = 5.0


def run_commands(commands: Listed, root: Path, output: str, *, patience: float = PATIENCE) -> tuple[Finding, ...]:
    """The findings of the commands in the file at `output`, relative to `root`; each gets it as its last argument.

    A command that ends with 0 found nothing. One that cannot be run, or takes too long, counts as failed.
    """
    return _run_all(commands, root, output, output, patience)


def run_on_text(
    commands: Listed, root: Path, output: str, text: str, *, patience: float = PATIENCE
) -> tuple[Finding, ...]:
    """The findings of the commands in a text that is not written yet, put under its path into a temporary folder.

    Raises StateError or OSError where there can be no such folder.
    """
    with tempfile.TemporaryDirectory(dir=state_dir.make(root), prefix=state_dir.CHECKED) as folder:
        file = Path(folder, output)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return _run_all(commands, root, file.relative_to(root).as_posix(), output, patience)


def _run_all(commands: Listed, root: Path, path: str, output: str, patience: float) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    for command in commands.values:
        program, *arguments = shlex.split(command)
        code, said = _run([program, *arguments, path], root, patience)
        if code:
            said = said.replace(path, output)
            remarks = _remarks(said, output) or [(0, _ending(code, said))]
            more = len(remarks) - _SHOWN
            remarks = [*remarks[:_SHOWN], *([(0, f"{more:,} more")] if more > 0 else [])]
            findings += [
                Finding(check="commands", level=commands.level, message=f"`{program}`: {message}", line=line)
                for line, message in remarks
            ]
    return tuple(findings)


def _remarks(said: str, output: str) -> list[tuple[int, str]]:
    """The line numbers and messages in a linter's output, of the form `FILE:LINE: message`."""
    pattern = re.compile(rf"^\S{{0,300}}?{re.escape(output)}:([0-9]{{1,9}})(?::[0-9]+)*[: \t]+(\S.*)$", re.MULTILINE)
    return [(int(match[1]), clip(visible(match[2].strip()), _ROOM)) for match in pattern.finditer(said)]


def _ending(code: int, said: str) -> str:
    words = clip(visible(" ".join(said.split())), _ROOM)
    return words if code < 0 else f"ended with {code}" + (f": {words}" if words else "")


def _run(argv: list[str], root: Path, patience: float) -> tuple[int, str]:
    """The exit code of a command and the beginning of its output; -1 and why, where it did not run to its end."""
    program = _program(argv[0], root)
    if not program:
        return -1, "there is no such program; install it, or put it on the path"
    with tempfile.TemporaryFile() as printed:
        try:
            child = subprocess.Popen(  # noqa: S603 - no shell; the words come from the project's own settings
                [program, *argv[1:]],
                cwd=root,
                env=check_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return -1, f"cannot be run: {error}"
        with child:
            try:
                code = child.wait(patience)
            except subprocess.TimeoutExpired:
                _stop(child)
                return -1, f"took more than {patience:g} s"
            except BaseException:
                _stop(child)
                raise
        printed.seek(0)
        return abs(code), printed.read(_READ).decode("utf-8", "replace")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ends a command with all that it started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)


def _program(name: str, root: Path) -> str:
    """The program of a command: in the project where its name has a folder, else on the path; empty: there is none."""
    if "/" in name or Path(name).is_absolute():
        path = str(root / name)
        return path if is_program(path) else ""
    return find_program(name, os.environ.get("PATH", os.defpath), windows=os.name == "nt", usable=is_program)


def find_program(name: str, path: str, *, windows: bool, usable: Callable[[str], bool]) -> str:
    """The program in the first folder of `path` (a value of `PATH`) that has a usable one; empty where none has.

    Relative folders and the working folder, where Windows would look, are passed over: it may be a stranger's
    repository.
    """
    kind, separator, ending = (PureWindowsPath, ";", ".exe") if windows else (PurePosixPath, ":", "")
    folders = (kind(part.strip('"') if windows else part) for part in path.split(separator))
    candidates = (str(folder / f"{name}{ending}") for folder in folders if folder.is_absolute())
    return next(filter(usable, candidates), "")


def is_program(path: str) -> bool:
    """Whether a file is there and may be run."""
    return os.access(path, os.X_OK) and Path(path).is_file()
