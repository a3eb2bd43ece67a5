"""The real command line in this process, on virtual time, with the server and the disk that a test chooses."""

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from contentops.cli import terminal
from contentops.cli.entry import LazyGroup
from contentops.cli.entry import cli as real
from contentops.cli.session import Session
from contentops.errors import ContentopsError
from contentops.operations.opening import Runtime
from tests.fakes.api import Killed
from tests.fakes.clock import Timeline
from tests.fakes.clock import run as run_virtually
from tests.fakes.kills import Death
from tests.running import Completed

SERVER = "https://api.example.test"
ENVIRON = {"WRITERZROOM_API_KEY": "test-key-123456", "CONTENTOPS_SERVERS": SERVER}


class _Seat(Session, frozen=True, kw_only=True):
    """What comes before the command, with another outside."""

    outside: Callable[[], Runtime] = Runtime

    def runtime(self) -> Runtime:
        return self.outside()


class Desk:
    """Where a person works: one folder, and the server that their command line reaches. Bugs of ours are raised."""

    def __init__(self, root: Path, server: Any, timeline: Timeline) -> None:
        self.root = root
        self.server = server
        self.timeline = timeline
        self._random = random.Random(7)

    def run(self, *arguments: str, death: Death | None = None) -> Completed:
        """Runs a command line to its end; with `death` it may be killed: then the exit code is -9."""

        @click.pass_context
        def start(context: click.Context, directory: str) -> None:
            context.obj = _Seat(directory=directory, outside=lambda: self._runtime(death))

        command = LazyGroup("contentops", callback=start, params=real.params)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(self.root):
            try:
                with command.make_context("contentops", list(arguments)) as context:
                    code = int(command.invoke(context) or 0)
            except click.exceptions.Exit as ended:
                code = ended.exit_code
            except ContentopsError as error:
                terminal.report_findings(error.diagnostics())
                code = int(error.exit_code)
            except Killed:
                code = -9
        return Completed(code, out.getvalue(), err.getvalue())

    def _runtime(self, death: Death | None) -> Runtime:
        return Runtime(
            environ=ENVIRON,
            wall=self.timeline.wall,
            random=self._random,
            run=lambda story: run_virtually(story, self.timeline),
            **(death.edges(self.server) if death else {"transport": self.server}),
        )
