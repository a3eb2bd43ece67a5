"""The session that every command gets. It knows the folder, the environment and the format of the output."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.api.session import Exchange
    from contentops.errors import Diagnostic
    from contentops.model import Json, Project
    from contentops.operations.opening import Runtime
    from contentops.operations.unchanged import LastPlan


COMPLETE = "_CONTENTOPS_COMPLETE"
"""The environment variable with which a shell asks for completions."""


class Session(Struct, frozen=True, kw_only=True):
    """The global options of a command, and the options that nearly every command has."""

    directory: str = "."
    environment: str | None = None
    """The value of `--env`; an empty text means no environment. Without the option it is None: the settings decide."""
    variables: tuple[str, ...] = ()
    as_json: bool = False
    no_cache: bool = False
    """Whether every file is read, even if its time stamp did not change."""
    trace: Callable[[Exchange], None] | None = None
    """Gets every request to the project's server, or None."""

    def path(self, name: str) -> Path:
        """Return a path from the command line, relative to `-C`."""
        from pathlib import Path  # start-up: a plan without changes needs none

        return Path(self.directory) / name

    def project(self) -> Project:
        """Open the project with the folder, environment and variables from the command line.

        Raises InputError, UsageError or OutputError.
        """
        from contentops.operations.opening import open_project

        return open_project(self.directory, self.chosen(), self.variables)

    def chosen(self) -> str:
        """Return the environment that `--env` names, or else the default environment of the settings.

        An empty text means no environment.
        """
        if self.environment is not None:
            return self.environment
        from contentops.manifests.root import default_environment

        return default_environment(self.directory)

    def option(self) -> str:
        """Return the value of `--env` that a suggested command needs for this environment, or an empty text."""
        from contentops.manifests.root import default_environment
        from contentops.model import NO_ENVIRONMENT

        overrides_default = self.environment == "" and default_environment(self.directory)
        return NO_ENVIRONMENT if overrides_default else self.chosen()

    def last_plan(self) -> LastPlan:
        """Return the remembered last plan that had no changes. With `--no-cache`, nothing is remembered."""
        from contentops.operations.unchanged import Asked, LastPlan, last_plan

        if self.no_cache:
            return LastPlan("", Asked(), started=0)
        names_ledger = "CONTENTOPS_LEDGER" in os.environ
        asked = Asked(environment=self.chosen(), variables=self.variables, names_ledger=names_ledger)
        return last_plan(self.directory, asked, started=time.time_ns())

    def runtime(self) -> Runtime:
        """Return this process's clock, environment, disk and network, and a way to ask the person, if there is one."""
        from contentops.cli import terminal
        from contentops.operations.opening import Runtime

        ask = terminal.confirmed if terminal.can_ask() else None
        return Runtime(ask=ask, notify=terminal.report_line, trace=self.trace, trusts_stamps=not self.no_cache)

    def answer(
        self,
        values: Mapping[str, Json],
        text: str | Iterable[str],
        *,
        fit: bool = False,
        findings: Iterable[Diagnostic] | None = None,
    ) -> None:
        """Print the result of a command: `values` with `--json`, otherwise `text`. `fit` wraps lines to the terminal.

        `findings` go into the JSON, or to stderr. If they are None, the JSON has no key for them.
        """
        from contentops.cli import terminal
        from contentops.reporting import FORMAT_VERSION

        if self.as_json:
            from contentops.reporting.diagnostics import diagnostics_json

            found = {} if findings is None else diagnostics_json(findings)
            terminal.say_json({"format_version": FORMAT_VERSION, **found, **values})
        else:
            terminal.report_findings(findings or ())
            (terminal.show if fit else terminal.say)(text if isinstance(text, str) else "\n".join(text))
