"""What the fixtures `project`, `run` and `invoke` hand out, for annotations."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hypothesis import settings

Clock = Callable[[], float]
"""Returns seconds."""


def unmeasured() -> dict[str, str]:
    """The environment of a child whose lines are not counted, which takes half of its time.

    For what is killed, so that what was counted would be lost, and for what does over again what others do.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}


def examples(count: int, weekly: int = 0) -> int:
    """How many examples a property gets that needs more or fewer than others: `count`, and `weekly` every week.

    The default is ten times as many.
    """
    return (weekly or 10 * count) if settings.get_current_profile_name() == "new" else count


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command line ended: exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.stdout)


class Build(Protocol):
    """Writes files below the test's own folder and returns the project root."""

    def __call__(self, files: Mapping[str, str | bytes] | None = None, /, *, at: str = "") -> Path:
        """`files` maps paths to text (dedented) or bytes; `at` is a folder below the test's own."""


class Run(Protocol):
    """Runs `contentops` to its end."""

    def __call__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 60,
    ) -> Completed:
        """`cwd` defaults to the test's own folder; `env` is added to a clean environment."""
