"""Prints to the terminal: results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

import click

from contentops.ci import runner
from contentops.errors import Diagnostic, Refused
from contentops.model import Json
from contentops.reporting.diagnostics import diagnostics_text, inert, inert_json
from contentops.reporting.layout import fitted, unpainted
from contentops.sanitize import json_text, visible, visible_lines


def wants_color(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether to use colour on `stream` (default: stdout). `NO_COLOR` wins over `FORCE_COLOR`."""
    env = os.environ if environ is None else environ
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return (stream or sys.stdout).isatty() and env.get("TERM") != "dumb"


def in_ci(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether this process runs in CI, where no one can answer a question."""
    return runner.in_ci(os.environ if environ is None else environ)


def can_animate(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether lines that were written to a stream can be replaced by new ones. `FORCE_COLOR` does not matter."""
    env = os.environ if environ is None else environ
    return stream.isatty() and env.get("TERM") != "dumb" and not in_ci(env)


def width(stream: TextIO | None = None) -> int:
    """Return the width of the terminal to which a stream writes, or 0 if no person reads the stream.

    The default is stdout.
    """
    if in_ci() or not (stream or sys.stdout).isatty():
        return 0
    import shutil

    return shutil.get_terminal_size().columns


def can_ask() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not in_ci()


def confirmed(question: str) -> bool:
    """Ask a person a question, and return whether the answer is yes."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def need_person(action: str, hint: str) -> None:
    """Raise Refused if no person can confirm an action."""
    if not can_ask():
        message = f"{action} needs confirmation, and there is no terminal to ask on"
        raise Refused(message, code="not-confirmed", hint=hint)


def need_yes(*, said: bool) -> None:
    """Raise Refused if a person did not say yes."""
    if not said:
        raise Refused("not confirmed; nothing was done", code="not-confirmed")


def say(text: str) -> None:
    """Print a result to stdout, in colour if wanted. An empty text prints nothing."""
    if text:
        sys.stdout.write(f"{for_stdout(text if wants_color() else unpainted(text))}\n")
        sys.stdout.flush()


def show(text: str) -> None:
    """Print a result to stdout, wrapped to the terminal. Commands that it suggests get the option `-C`."""
    say(fitted(in_folder(text), width()))


_ADVICE = re.compile(
    r"(?:^|\. )(?: |\x1b\[[0-9;]*m)*(?:Next|hint|apply would refuse|this review refuses)\b.*", re.MULTILINE
)
_COMMAND = re.compile(r"`contentops (?=[a-z])|(?<=&& )contentops (?=[a-z])")


def in_folder(text: str, directory: str | None = None) -> str:
    """Add `-C DIR` to the commands that a text suggests, so that they work in the folder of the user.

    `directory` is the value of `-C`. If it is None, the value of the running command is used.
    """
    if directory is None:
        context = click.get_current_context(silent=True)
        directory = "." if context is None else getattr(context.find_root().obj, "directory", ".")
    if directory in ("", "."):
        return text
    option = f"-C {shlex.quote(visible(directory))} "
    return _ADVICE.sub(lambda line: _COMMAND.sub(lambda found: f"{found[0]}{option}", line[0]), text)


def say_json(value: Json) -> None:
    """Print a result to stdout as JSON."""
    text = json_text(value)
    say(inert_json(text) if in_ci() else text)


def say_json_pieces(pieces: Iterable[str]) -> None:
    """Print a long result in JSON to stdout, piece by piece."""
    for piece in pieces:
        sys.stdout.write(for_stdout(inert_json(piece) if in_ci() else piece))
    sys.stdout.write("\n")
    sys.stdout.flush()


def say_document(text: str) -> None:
    """Print the text of a file to stdout unchanged. On a terminal, unsafe characters are shown as escapes."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else for_stdout(text))
    sys.stdout.flush()


def harmless(text: str) -> str:
    """Make the control characters of a text visible, except newlines and tabs. The result ends with a newline."""
    return visible_lines(text.replace("\r\n", "\n").removesuffix("\n")) + "\n"


def report(text: str, directory: str | None = None) -> None:
    """Print a message to stderr, in colour if wanted. An empty text prints nothing. `directory`: see `in_folder`."""
    if text:
        text = in_folder(text, directory)
        shown = fitted(text if wants_color(sys.stderr) else unpainted(text), width(sys.stderr))
        sys.stderr.write(f"{for_log(shown)}\n")
        sys.stderr.flush()


def report_line(line: str) -> None:
    """Print a line to stderr, with control characters made visible, because other people may have written it."""
    report(visible(line))


def report_findings(findings: Iterable[Diagnostic], *, gap: bool = False, directory: str | None = None) -> None:
    """Print findings to stderr. With `gap`, an empty line follows them. `directory`: see `in_folder`."""
    shown = tuple(findings)
    if not shown:
        return
    text = diagnostics_text(shown)
    report(f"{text}\n" if gap else text, directory)


def read_by_runner() -> bool:
    """Return whether a GitHub runner reads the output of this process."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def for_log(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `text` in a form that is safe in a log. In CI, commands to the runner are made harmless."""
    return inert(text) if in_ci(environ) else text


def for_stdout(text: str) -> str:
    """Return `text` in a form that is safe on stdout. In CI, a file gets it unchanged, because no runner reads it."""
    return text if in_ci() and _is_file(sys.stdout) else for_log(text)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
