"""Runs a command line; the one place that catches errors, prints them, and picks the exit code."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contentops.cli.main import COMMANDS, cli
from contentops.cli.streams import StdoutFailed, dependable
from contentops.errors import ContentopsError, ExitCode, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.errors import Diagnostic

_COMPLETE = "_CONTENTOPS_COMPLETE"


def run(args: Sequence[str]) -> int:
    """Runs a command line and returns the exit code."""
    with dependable():
        try:
            code = _ended(args)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader is gone: nothing more can be said.
            code = ExitCode.ERROR
        except StdoutFailed as error:
            _explain(error.diagnostics())
            code = error.exit_code
    return int(code)


def _ended(args: Sequence[str]) -> int:
    """Runs a command line to its end, says why where that is an early one, and returns the exit code."""
    try:
        return _run(list(args))  # click takes what it is given apart
    except (BrokenPipeError, StdoutFailed):
        raise
    except ContentopsError as error:
        _print(error.diagnostics(), args)
        return error.exit_code
    except click.ClickException as error:
        _print(_usage(error, args).diagnostics(), args)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("\ninterrupted\n")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug of ours; a person must learn of it in one line, we from the traceback
        if isinstance(error, FileNotFoundError) and _folder_is_gone():
            from contentops.manifests.project import no_folder

            _print(no_folder().diagnostics(), args)
        else:
            _bug()
        return ExitCode.ERROR


def _run(args: list[str]) -> int:
    if os.environ.get(_COMPLETE):
        return int(cli.main(args, prog_name="contentops", complete_var=_COMPLETE, standalone_mode=False) or 0)
    try:
        with cli.make_context("contentops", args) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code


def _asks_json(args: Sequence[str]) -> bool:
    before = args[: args.index("--")] if "--" in args else args
    pairs = zip(before, [*before[1:], ""], strict=True)
    return any(one in {"--json", "--format=json"} or (one, two) == ("--format", "json") for one, two in pairs)


def _usage(error: click.ClickException, args: Sequence[str]) -> UsageError:
    context = getattr(error, "ctx", None)
    command = [one for one in args if one in COMMANDS][:1]
    where = context.command_path if context is not None else " ".join(["contentops", *command])
    if isinstance(error, click.NoSuchOption):
        return UsageError(
            f"no such option `{error.option_name}`", hint=_other_option(error.option_name, context, where)
        )
    message = re.sub(r"'([^'`]+)'", r"`\1`", " ".join(error.format_message().split())).rstrip(".")
    return UsageError(message[:1].lower() + message[1:], hint=f"`{where} --help` shows the usage")


def _other_option(name: str, context: click.Context | None, where: str) -> str:
    """What to write instead of an option that is not there: the one meant, or in which place it is known."""
    known = _options(context.command) if context is not None else []
    if context is not None and context.parent is not None and name in _options(cli):
        return f"`{name}` stands before the command: `contentops {name} ... {where.partition(' ')[2]}`"
    if context is not None and context.command is cli:
        return f"options other than {', '.join(f'`{one}`' for one in known)} stand after the command"
    return did_you_mean(name, known, f"`{where} --help` shows the usage")


def _options(command: click.Command) -> list[str]:
    return [name for one in command.params if isinstance(one, click.Option) for name in one.opts]


def _directory(args: Sequence[str]) -> str:
    """What `-C` says."""
    found = "."
    for one, two in zip(args, [*args[1:], ""], strict=True):
        if one == "-C":
            found = two
        elif one.startswith("-C"):
            found = one.removeprefix("-C")
    return found


def _print(findings: Sequence[Diagnostic], args: Sequence[str]) -> None:
    from contentops.cli import terminal
    from contentops.reporting.diagnostics import diagnostics_json

    if terminal.read_by_runner():
        from contentops.cli import github

        github.annotate(findings, _directory(args))
    if _asks_json(args):
        terminal.say_json(diagnostics_json(findings))
    else:
        _explain(findings)


def _explain(findings: Sequence[Diagnostic]) -> None:
    from contentops.cli import terminal

    terminal.tell_findings(findings)


def _folder_is_gone() -> bool:
    """Whether the folder we were started in was removed meanwhile, so that no relative path leads anywhere."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _bug() -> None:
    import traceback

    from contentops.cli import terminal

    sys.stderr.write("error[bug]: this is a bug in contentops, not in your files; please report it with these lines\n")
    terminal.tell(traceback.format_exc().rstrip("\n"))
