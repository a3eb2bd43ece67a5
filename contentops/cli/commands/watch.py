"""`contentops watch`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click
from msgspec import structs

from contentops.cli.options import choice_of, flags_of, project_options, selection_options
from contentops.cli.output import terminal
from contentops.cli.output.screen import Screen
from contentops.errors import ExitCode, UsageError
from contentops.manifests.root import find_root
from contentops.operations.watched_plan import Watcher
from contentops.reporting.diagnostics import diagnostics_text
from contentops.reporting.plan_text import plan_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.cli.session import Session
    from contentops.operations.watched_plan import WatchedPlan

PAUSE = 0.25
"""Seconds between two looks at the files: what is saved is planned after twice as long without another change."""


@click.command("watch")
@project_options
@selection_options
def command(session: Session, select: tuple[str, ...], exclude: tuple[str, ...]) -> ExitCode:
    """Show the plan in the terminal, again each time you save manifests, data files, settings or outputs.

    Shows errors in manifests as `validate` does. Needs no network and applies nothing. End it with Ctrl-C.
    """
    if session.as_json or not terminal.can_animate(sys.stdout):
        hint = "`contentops plan`, as often as you like"
        raise UsageError("`watch` needs a terminal to draw on", code="no-terminal", hint=hint)
    flags = flags_of({"variables": session.variables, "select": select, "exclude": exclude})
    # Nothing else may write on the screen.
    runtime = structs.replace(session.runtime(), ask=None, notify=lambda _: None)
    choice = choice_of(select=select, exclude=exclude)
    watcher = Watcher(session.project, find_root(session.directory), choice, runtime=runtime)
    with contextlib.suppress(KeyboardInterrupt):
        made = watcher.plan()
        with Screen(sys.stdout) as screen:
            follow(watcher, made, lambda made, foot: screen.draw(shown(made, flags), foot), lambda: time.sleep(PAUSE))
    return ExitCode.DONE


def follow(
    watcher: Watcher, made: WatchedPlan, draw: Callable[[WatchedPlan, str], None], pause: Callable[[], None]
) -> NoReturn:
    """Draw the plan that was made, and each that is made after a change, until KeyboardInterrupt."""
    while True:
        clock = time.strftime("%H:%M:%S", time.localtime(made.made_at))
        draw(made, f"Planned at {clock}. Plans again when a file is saved; Ctrl-C ends.")
        pause()
        if watcher.is_due():
            draw(made, "Planning \u2026")
            made = watcher.plan()


def shown(made: WatchedPlan, flags: list[str]) -> str:
    """Return what the screen shows: the plan below its warnings, or the errors."""
    if made.plan is None:
        return diagnostics_text(made.errors)
    findings = f"{diagnostics_text(made.plan.findings)}\n\n" if made.plan.findings else ""
    return findings + plan_text(made.plan, verbose=False, flags=flags)
