"""`contentops apply --detach` on the command line: what it says once everything is queued."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from contentops.cli.output import terminal
from contentops.cli.output.confirmation import Confirmation
from contentops.cli.output.progress import watching
from contentops.errors import ExitCode
from contentops.operations.apply_detached import detach as queue
from contentops.operations.opening import Runtime
from contentops.reporting.queue import detached_json, detached_text

if TYPE_CHECKING:
    from contentops.cli.output.confirmation import Manner
    from contentops.model import Project
    from contentops.operations.apply import ApplyOptions
    from contentops.planning.plan_inputs import Choice


def detach(project: Project, choice: Choice, options: ApplyOptions, manner: Manner) -> int:
    """Plan, show, ask and queue; returns the exit code."""
    confirmation = Confirmation(manner, lambda: None)
    with watching(sys.stderr) as display:
        plan, found = queue(
            project,
            choice,
            options,
            show=confirmation.preview,
            confirm=confirmation,
            emit=display.show,
            runtime=manner.runtime or Runtime(),
        )
    terminal.need_yes(said=not confirmation.declined)
    if manner.as_json:
        terminal.say_json(detached_json(plan, found))
    elif found is not None:
        terminal.show(detached_text(found))
    elif not confirmation.shown:
        confirmation.show(plan, aside=False, gap=False)
    return ExitCode.DONE
