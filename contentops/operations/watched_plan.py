"""Plan again as the files of a project change; applies nothing.

The stamps of all files that the plan was made from are looked at again and again, which takes 30 ms for 10,000 files
and needs no library that hears of changes from the system.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.errors import ContentopsError, Diagnostic, InputError, UsageError
from contentops.manifests.catalog_lock import FILE as CATALOG
from contentops.model import PROJECT_FILE
from contentops.operations.opening import HERE
from contentops.operations.plan import gathered
from contentops.operations.unchanged import are_trusted, looked_at, stamps_of, with_folders
from contentops.operations.workspace import open_workspace
from contentops.planning.plan import make_plan
from contentops.state.approvals import FILE as APPROVALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Plan, Project
    from contentops.operations.opening import Runtime
    from contentops.planning.plan_inputs import Choice

_ALWAYS: Final = (PROJECT_FILE, CATALOG, APPROVALS)


class WatchedPlan(Struct, frozen=True, kw_only=True):
    """A plan of the files as they were, or the errors for which there is none."""

    plan: Plan | None = None
    errors: tuple[Diagnostic, ...] = ()
    made_at: float
    """Seconds since 1970."""


class Watcher:
    """Looks at the files that the last plan was made from.

    `open_project` opens the project as its settings are now; `root` is its folder.
    """

    def __init__(
        self, open_project: Callable[[], Project], root: str, choice: Choice, *, runtime: Runtime = HERE
    ) -> None:
        self._open_project = open_project
        self._root = root
        self._choice = choice
        self._runtime = runtime
        self._names = with_folders(_ALWAYS)
        self._planned: array[int] | None = None
        """The stamps of these names as the last plan saw them; None: it has to be made again."""
        self._last: array[int] | None = None
        """The stamps at the last look, if they were others."""
        self._is_first = True

    def is_due(self) -> bool:
        """Tell whether a file has changed since the last plan, and none since the last look: a save may write many."""
        now = self._stamps()
        if now == self._planned:
            self._last = None
            return False
        is_settled, self._last = now == self._last, now
        return is_settled

    def plan(self) -> WatchedPlan:
        """Plan now. Raises UsageError at the first plan alone: then the command line is wrong."""
        started, before, names = self._runtime.disk_time(), self._stamps(), {*self._names}
        plan: Plan | None = None
        errors: tuple[Diagnostic, ...] = ()
        try:
            with open_workspace(self._open_project(), self._runtime) as workspace:
                inputs = gathered(workspace, self._choice)
                names = {*_ALWAYS, *looked_at(workspace, inputs)}
                plan = make_plan(inputs)
        except UsageError as error:
            if self._is_first:
                raise
            errors = error.diagnostics()
        except ContentopsError as error:
            errors = error.diagnostics()
            names |= {*error.looked_at} if isinstance(error, InputError) else set()
        self._is_first = False
        known, self._names = self._names, with_folders(names)
        # What was not known may have changed between its reading and its stamp; then the plan is made again.
        after = before if self._names == known else self._stamps()
        is_true = self._names == known or are_trusted(after, before=started - TRUSTED_AFTER)
        self._planned, self._last = after if is_true else None, None
        return WatchedPlan(plan=plan, errors=errors, made_at=self._runtime.wall())

    def _stamps(self) -> array[int]:
        """Return the stamps of the files; none where they cannot be had, which the plan says in words."""
        try:
            return stamps_of(self._root, self._names)
        except (OSError, ValueError):
            return array("Q")
