"""Runs the programs that the project's settings name: without a shell, without secrets, and with a time limit.

Linters, git, and the hooks and helpers of git do not need the key, the password of the ledger, or the secrets of other
tools.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from contentops.api.trust import LEDGER, secret_variables
from contentops.model import Finding, Listed
from contentops.sanitize import clip, visible
from contentops.state import state_dir

# ---- The environment variables that programs started by contentops get: a list, and those that a person names.

GIT_VARIABLES: Final = "CONTENTOPS_GIT_VARIABLES"
"""The variable that lists further variables for git."""
CHECK_VARIABLES: Final = "CONTENTOPS_CHECK_VARIABLES"
"""The variable that lists further variables for the programs of `checks.commands` and `review.notify`."""

_EVERY: Final = frozenset(
    str.split(
        # Who and where one is, and how to speak.
        """PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TMP TEMP TERM COLORTERM COLUMNS LINES NO_COLOR
        FORCE_COLOR CLICOLOR CLICOLOR_FORCE CI GITHUB_ACTIONS GITLAB_CI LOCALE_ARCHIVE"""
        # Where programs find their parts.
        """ VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONIOENCODING NODE_PATH NODE_OPTIONS GEM_HOME GEM_PATH
        JAVA_HOME GOPATH"""
        # Windows.
        """ SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS USERNAME USERDOMAIN USERPROFILE HOMEDRIVE HOMEPATH APPDATA
        LOCALAPPDATA PROGRAMDATA ALLUSERSPROFILE PUBLIC PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES
        COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 NUMBER_OF_PROCESSORS COMPUTERNAME MSYSTEM MSYS"""
        # Which certificates to believe.
        """ SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS NIX_SSL_CERT_FILE"""
    )
)
_EVERY_BEGINNINGS: Final = ("LC_", "XDG_", "LD_", "DYLD_", "NSS_WRAPPER_", "PROCESSOR_")
_GIT: Final = frozenset(
    str.split(
        # How git logs in, and through which proxy.
        """SSH_AUTH_SOCK SSH_AGENT_PID SSH_ASKPASS SSH_ASKPASS_REQUIRE SSH_CLIENT SSH_CONNECTION SSH_TTY DISPLAY
        WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS KRB5CCNAME KRB5_CONFIG PLINK_PROTOCOL HTTP_PROXY HTTPS_PROXY ALL_PROXY
        NO_PROXY GITHUB_TOKEN GH_TOKEN GH_HOST GH_ENTERPRISE_TOKEN GH_CONFIG_DIR GITLAB_TOKEN CI_JOB_TOKEN"""
        # Who commits and signs; who asked for root's rights, which git compares with the owner of a clone.
        """ EMAIL GNUPGHOME GPG_TTY GPG_AGENT_INFO SUDO_UID"""
    )
)
_GIT_BEGINNINGS: Final = (*_EVERY_BEGINNINGS, "GIT_", "GCM_")


def check_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for the programs of `checks.commands` and `review.notify`."""
    return _allowed(environ, _EVERY, _EVERY_BEGINNINGS, CHECK_VARIABLES)


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for git, including those with which git logs in to its server."""
    return _allowed(environ, _EVERY | _GIT, _GIT_BEGINNINGS, GIT_VARIABLES)


def _allowed(
    environ: Mapping[str, str], names: frozenset[str], beginnings: tuple[str, ...], more: str
) -> dict[str, str]:
    named = frozenset(filter(None, re.split(r"[\s,]+", environ.get(more, ""))))
    hidden = secret_variables(environ) | {LEDGER}
    return {
        name: value
        for name, value in environ.items()
        if name not in hidden and (name in named or name.upper() in names or name.upper().startswith(beginnings))
    }


# ---- Runs the programs that the project's settings name as checks: without a shell, without secrets, within bounds.

PATIENCE: Final = 60.0
"""Seconds that one command may take on one text."""
_READ: Final = 64 << 10
"""Bytes of a command's output that are looked at."""
_SHOWN: Final = 20
_ROOM: Final = 300
_GRACE: Final = 5.0


def run_commands(
    commands: Listed, root: Path, output: str, *, at: str = "", patience: float = PATIENCE
) -> tuple[Finding, ...]:
    """Run the commands of a check on the file at `output`, and return their findings.

    `output` is a path below `root`. Each command gets it as its last argument, or the path of a copy if `at` names one.

    A command that ends with 0 has found nothing. A command that cannot be run or takes too long counts as failed.
    """
    path = at or output
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


def run_on_text(
    commands: Listed, root: Path, output: str, text: str, *, patience: float = PATIENCE
) -> tuple[Finding, ...]:
    """Run the commands of a check on a text that is not in a file yet, and return their findings.

    The text is written into a temporary folder, under its path. Raises StateError or OSError if that is not possible.
    """
    with tempfile.TemporaryDirectory(dir=state_dir.make(root), prefix=state_dir.CHECKED) as folder:
        file = Path(folder, output)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return run_commands(commands, root, output, at=file.relative_to(root).as_posix(), patience=patience)


def run_program(words: Sequence[str], root: Path, given: bytes, *, patience: float = PATIENCE) -> str:
    """Run a program with `given` as its standard input. Return why it failed, or an empty text."""
    code, said = _run([*words], root, patience, given)
    return _ending(code, said) if code else ""


def _remarks(said: str, output: str) -> list[tuple[int, str]]:
    """Return the line numbers and messages in a linter's output. Its lines have the form `FILE:LINE: message`."""
    pattern = re.compile(rf"^\S{{0,300}}?{re.escape(output)}:([0-9]{{1,9}})(?::[0-9]+)*[: \t]+(\S.*)$", re.MULTILINE)
    return [(int(match[1]), clip(visible(match[2].strip()), _ROOM)) for match in pattern.finditer(said)]


def _ending(code: int, said: str) -> str:
    words = clip(visible(" ".join(said.split())), _ROOM)
    return words if code < 0 else f"failed with code {code}" + (f": {words}" if words else "")


def _run(argv: list[str], root: Path, patience: float, given: bytes = b"") -> tuple[int, str]:
    """Return the exit code of a command and the beginning of its output.

    If it did not finish, they are -1 and the reason.
    """
    program = _program(argv[0], root)
    if not program:
        return -1, "there is no such program; install it, or put it on the path"
    # A file, because a program that does not read would block a pipe.
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as read:
        read.write(given)
        read.seek(0)
        try:
            child = subprocess.Popen(  # noqa: S603 - no shell; the words come from the project's own settings
                [program, *argv[1:]],
                cwd=root,
                env=check_environment(os.environ),
                stdin=read,
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
    """End a command and every process that it started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)


def _program(name: str, root: Path) -> str:
    """Return the path of a program, or an empty text if it is not found.

    A name with a folder is a path in the project. Other names are searched on `PATH`.
    """
    if "/" in name or Path(name).is_absolute():
        path = str(root / name)
        return path if is_program(path) else ""
    return find_program(name, os.environ.get("PATH", os.defpath), windows=os.name == "nt", usable=is_program)


def find_program(name: str, path: str, *, windows: bool, usable: Callable[[str], bool]) -> str:
    """Search the folders in a value of `PATH` for the first usable program with this name.

    The result is empty if there is none. Relative folders and the working folder, where Windows would look, are
    ignored: they may be in a repository that nobody trusts.
    """
    kind, separator, ending = (PureWindowsPath, ";", ".exe") if windows else (PurePosixPath, ":", "")
    folders = (kind(part.strip('"') if windows else part) for part in path.split(separator))
    candidates = (str(folder / f"{name}{ending}") for folder in folders if folder.is_absolute())
    return next(filter(usable, candidates), "")


def is_program(path: str) -> bool:
    """Return whether the path is a file that may be executed."""
    return os.access(path, os.X_OK) and Path(path).is_file()
