"""What the fixtures `project`, `run` and `invoke` hand out, for annotations."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType


def unmeasured() -> dict[str, str]:
    """The environment of a child whose lines are not counted, which takes half of its time.

    For what is killed, so that what was counted would be lost, and for what does over again what others do.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}


class _Counting(SourceFileLoader):
    """Counts the lines of a module that is loaded where nothing else is counted."""

    tracer: Any = None

    def exec_module(self, module: ModuleType) -> None:
        before = sys.gettrace()
        if threading.current_thread() is threading.main_thread():  # whose tracer it is
            sys.settrace(self.tracer)
        try:
            super().exec_module(module)
        finally:
            sys.settrace(before)


class _Loading(MetaPathFinder):
    """Finds what is ours."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "contentops":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = loader = _Counting(fullname, spec.origin)
            loader.tracer = self._tracer
        return spec


@contextlib.contextmanager
def nothing_measured() -> Iterator[None]:
    """Lines that run in here are not counted, neither in this process nor in those it makes.

    A tracer is called for every line of every library too, which takes more time than the lines do. What a module of
    ours says while it is loaded is counted all the same: it is loaded once, by whoever comes first.
    """
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if not type(tracer).__module__.startswith("coverage"):
        # No one counts, or a debugger is there, or Python counts by itself, which costs little.
        yield
        return
    loading = _Loading(tracer)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - unmeasured().keys():
            patch.delenv(name)
        if hasattr(os, "fork"):
            # A process made by `fork` would write down at its end all that was counted before it.
            import posix

            patch.setattr(os, "_exit", posix._exit)
        sys.settrace(None)
        threading.settrace(None)
        sys.meta_path.insert(0, loading)
        try:
            yield
        finally:
            sys.meta_path.remove(loading)
            threading.settrace(of_threads)
            sys.settrace(tracer)


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
