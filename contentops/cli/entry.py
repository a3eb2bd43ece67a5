"""Finds and runs a command, catches every error, prints it, and chooses the exit code.

Each command's module is imported only when the command is called, so that the program starts quickly. A missing or
failing standard stream does not end a command by accident.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TextIO, cast

import click
from msgspec import Struct

from contentops import __version__
from contentops.cli.session import COMPLETE, Session
from contentops.errors import ContentopsError, Diagnostic, ExitCode, OutputError, UsageError, did_you_mean

# ---- The commands: the name, the help line, the group and the module of each, in the order of the help.


class CommandGroup(StrEnum):
    """The headings of `contentops --help`."""

    FIRST = "Commands"
    WRITE = "Write and check"
    ADOPT = "Adopt existing texts"
    CI = "Run in CI"
    ACCOUNT = "Account and spend"
    LEDGER = "Shared ledger"
    MORE = "More"


class CommandEntry(Struct, frozen=True):
    """A command of `contentops`, and its line in the help."""

    name: str
    line: str
    """What it does, in one line of the help."""
    group: CommandGroup | None
    """Its heading in the help. It is None if the help does not list the command."""
    source: str
    """Its module in `contentops.cli.commands` and its name there, `MODULE.NAME`."""


_FIRST, _WRITE, _ADOPT, _CI = CommandGroup.FIRST, CommandGroup.WRITE, CommandGroup.ADOPT, CommandGroup.CI
_ACCOUNT, _LEDGER, _MORE = CommandGroup.ACCOUNT, CommandGroup.LEDGER, CommandGroup.MORE
_ENTRIES: Final = (
    CommandEntry("init", "Start a project in this folder.", _FIRST, "init.command"),
    CommandEntry("plan", "Show what apply would do, why, and what it costs.", _FIRST, "plan.command"),
    CommandEntry("apply", "Do what the plan says: generate, write and save texts.", _FIRST, "apply.command"),
    CommandEntry("status", "Show the state of every item.", _FIRST, "items.status"),
    CommandEntry("diff", "Compare an item's file with another version of its text.", _FIRST, "items.diff"),
    CommandEntry("review", "Read, approve and edit texts in a browser.", _FIRST, "review.command"),
    CommandEntry("validate", "Check every manifest; needs no network.", _WRITE, "check.validate"),
    CommandEntry("check", "Run the checks on existing texts.", _WRITE, "check.check"),
    CommandEntry("show", "Show the brief and the request of an item, or a plan file.", _WRITE, "items.show"),
    CommandEntry("graph", "Show which items use the texts of other items.", _WRITE, "items.graph"),
    CommandEntry("restore", "Put an earlier text back into an item's file.", _WRITE, "items.restore"),
    CommandEntry("regenerate", "Generate one section of an item again.", _WRITE, "apply.regenerate"),
    CommandEntry("approve", "Approve texts that you have read.", _WRITE, "review.approve"),
    CommandEntry("send-back", "Send texts back, with what is to change.", _WRITE, "review.send_back"),
    CommandEntry("promote", "Take reviewed texts from one environment to another.", _WRITE, "adopt.promote"),
    CommandEntry("adopt", "Manage existing files without changing them.", _ADOPT, "adopt.command"),
    CommandEntry("import", "Manage texts on the server without changing them.", _ADOPT, "adopt.import_contents"),
    CommandEntry("pull", "Write edits made in WriterzRoom into files.", _ADOPT, "account.pull"),
    CommandEntry("comment", "Put a plan on its pull request.", _CI, "github.comment"),
    CommandEntry("commit", "Commit and push the results of applies.", _CI, "github.commit"),
    CommandEntry("catalog", "List templates, styles, verticals, brand voices.", _ACCOUNT, "catalog.command"),
    CommandEntry("content", "List, print and delete what the account has stored.", _ACCOUNT, "account.content"),
    CommandEntry("stats", "Show the account's numbers.", _ACCOUNT, "account.stats"),
    CommandEntry("report", "Show what was spent, by which runs, and each text's source.", _ACCOUNT, "report.report"),
    CommandEntry("ledger", "Look at the shared ledger, or create its tables.", _LEDGER, "state.ledger"),
    CommandEntry("state", "Inspect and repair the recorded state.", _MORE, "state.command"),
    CommandEntry("schema", "Print the JSON Schema of a format.", _MORE, "init.schema"),
    CommandEntry("doctor", "Check that everything needed is in place.", _MORE, "check.doctor"),
    CommandEntry("serve", "Run the bundled server for other programs.", _MORE, "serve.command"),
    CommandEntry("mcp", "Let an agent write manifests and plan; it cannot apply.", _MORE, "serve.mcp"),
    CommandEntry("completion", "Print the completion script of a shell.", _MORE, "serve.completion"),
    # For the action.
    CommandEntry("find-plan", "Find the plan that was reviewed with a pull request.", None, "github.find_plan"),
)
COMMANDS: Final[Mapping[str, CommandEntry]] = MappingProxyType({one.name: one for one in _ENTRIES})
"""Every command by its name, in the order of the help."""


# ---- The command tree, and the one place that catches errors, prints them, and picks the exit code.


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """Return the names of the commands that the help lists, in the order of the help."""
        return [one.name for one in COMMANDS.values() if one.group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as click has it
        """Return the command with this name, or None if there is none."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.source.partition(".")
        command = getattr(importlib.import_module(f"contentops.cli.commands.{module}"), name)
        assert isinstance(command, click.Command)
        command.short_help = entry.line
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help text, and after them the options."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as click has it
        """Write the help lines in their groups, without importing the commands."""
        width = max(map(len, COMMANDS))
        for group in CommandGroup:
            with formatter.section(group):
                rows = [(f"{one.name:{width}}", one.line) for one in COMMANDS.values() if one.group is group]
                formatter.write_dl(rows)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `contentops init`, then `contentops apply`. `contentops COMMAND --help` explains a command.",
)
@click.option("-C", "directory", metavar="DIR", default=".", help="Run as if started in DIR.")
@click.version_option(__version__, message=f"contentops {__version__}", help="Print the version.")
@click.pass_context
def cli(ctx: click.Context, directory: str) -> None:
    """Terraform for AI-written content.

    Declare content in YAML, see what would be generated and what it costs, then apply exactly that.
    """
    ctx.obj = Session(directory=directory)


def run(args: Sequence[str]) -> int:
    """Run a command line and return the exit code."""
    with dependable():
        try:
            code = _ended(args)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader is gone: nothing more can be printed.
            code = ExitCode.ERROR
        except StdoutFailed as error:
            from contentops.cli import terminal

            terminal.report_findings(error.diagnostics())
            code = error.exit_code
    return int(code)


def _ended(args: Sequence[str]) -> int:
    """Run a command line, print its error if it fails, and return the exit code."""
    try:
        return _run(list(args))  # click takes what it is given apart
    except (BrokenPipeError, StdoutFailed):
        raise
    except ContentopsError as error:
        _print(error.diagnostics(), args)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.ClickException as error:
        _print(_usage(error, args).diagnostics(), args)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except Exception as error:  # noqa: BLE001 - a bug of ours; a person must learn of it in one line, we from the traceback
        if isinstance(error.__cause__, KeyboardInterrupt):
            # Python wraps it where it comes while a class is being made, as while a module is loaded.
            return _interrupted()
        if isinstance(error, FileNotFoundError) and _folder_is_gone():
            from contentops.manifests.root import no_folder

            _print(no_folder().diagnostics(), args)
        else:
            _bug()
        return ExitCode.ERROR


def _run(args: list[str]) -> int:
    if asked := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "contentops", COMPLETE, asked)
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
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        where = " ".join(["contentops", *[one for one in args if one in COMMANDS][:1]])
        return _explained(error, f"`{where} --help` shows the usage")
    where = context.command_path
    hint = f"`{where} --help` shows the usage"
    if isinstance(error, click.NoSuchCommand):
        assert isinstance(context.command, click.Group)
        hint = did_you_mean(error.command_name, context.command.list_commands(context), f"`{where} --help` lists them")
        return UsageError(f"there is no command `{error.command_name}`", hint=hint)
    if isinstance(error, click.NoSuchOption):
        name, before = error.option_name, ("-C", "--version")
        if context.command is cli:
            hint = "options other than `-C` and `--version` come after the command"
        elif name in before:
            hint = f"`{name}` comes before the command: `contentops {name} ... {where.partition(' ')[2]}`"
        elif error.possibilities:
            hint = f"did you mean `{error.possibilities[0]}`?"
        return UsageError(f"no such option `{name}`", hint=hint)
    takes_items = any("--select" in one.opts for one in context.command.params)
    if takes_items and type(error) is click.UsageError and "unexpected extra argument" in error.message:
        hint = "choose items with `--select ID`"
    return _explained(error, hint)


def _explained(error: click.ClickException, hint: str) -> UsageError:
    """Turn an error of click into an error of contentops."""
    message = re.sub(r"'([^'`]+)'", r"`\1`", " ".join(error.format_message().split())).rstrip(".")
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _directory(args: Sequence[str]) -> str:
    """Return the value of the option `-C`."""
    directory = "."
    for one, two in zip(args, [*args[1:], ""], strict=True):
        if one == "-C":
            directory = two
        elif one.startswith("-C"):
            directory = one.removeprefix("-C")
    return directory


def _print(findings: Sequence[Diagnostic], args: Sequence[str]) -> None:
    from contentops.cli import github_job, terminal

    github_job.annotate(findings, _directory(args))
    if _asks_json(args):
        from contentops.reporting.diagnostics import diagnostics_json

        terminal.say_json(diagnostics_json(findings))
    else:
        terminal.report_findings(findings, directory=_directory(args))


def _folder_is_gone() -> bool:
    """Return whether the current folder was removed."""
    from pathlib import Path  # start-up: this is rare

    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _interrupted() -> ExitCode:
    sys.stderr.write("\ninterrupted\n")
    return ExitCode.INTERRUPTED


def _bug() -> None:
    import traceback

    from contentops.cli import terminal

    sys.stderr.write("error[bug]: this is a bug in contentops, not in your files; please report it with these lines\n")
    terminal.report(traceback.format_exc().rstrip("\n"))


# --- streams -----------------------------------------------------------------------------------------------


class StdoutFailed(OutputError):
    """The error for a result that cannot be written to stdout."""


@contextlib.contextmanager
def dependable() -> Iterator[None]:
    """Protect the program against closed and failing output streams while this context is open.

    A closed stream is replaced by the null device. Output that stderr cannot take is discarded. A failed write to
    stdout raises StdoutFailed, or BrokenPipeError if its reader is gone.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Also takes the free descriptor of the stream: a child would write into a state file that got it.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        # PYTHONUNBUFFERED: the rest of a short write would be lost silently.
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding=sys.stdout.encoding)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Characters that a stream cannot encode appear as escapes instead of ending the program.
            reconfigure(errors="backslashreplace")
    out, err = _Guarded(sys.stdout, needed=True), _Guarded(sys.stderr, needed=False)
    with contextlib.redirect_stdout(cast("TextIO", out)), contextlib.redirect_stderr(cast("TextIO", err)):
        yield


class _Guarded:
    """Writes to an output stream. After a failure, writes to the null device, so that the flush at exit cannot fail."""

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed
        self._failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._guard():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._guard():
            self._stream.flush()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            if self._needed:
                said = f"stdout cannot be written: {error.strerror or error}"
                self._failure = error if isinstance(error, BrokenPipeError) else StdoutFailed(said)
        if self._failure is not None:
            # At each write: a caller that caught the first failure must not end as if all had been printed.
            raise self._failure
