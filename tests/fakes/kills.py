"""The process dies at the n-th thing it does to the world; whatever it would have done after that does not happen.

Counted are: every durable write of state, every rename, link and write of an output, and both sides of every request
(before it arrives, and after the server has carried it out).

`Death` kills at one of these steps. `state_after_each_kill` runs to the end once and keeps what a kill at each step would have left.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from contentops.atomic_io import Disk
from contentops.documents.files import System
from tests.fakes.api import Killed
from tests.running import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.api import FakeApi
    from tests.fakes.harness import Harness


class Death:
    """Comes at step `at`; `steps` counts how many there were."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self.last = ""

    def step(self, what: str) -> None:
        """One thing done; raises `Killed` when it is time, and ever after."""
        self.steps += 1
        if self.steps >= self.at:
            self.last = self.last or what
            raise Killed(what)

    def edges(self, api: FakeApi) -> dict[str, Any]:
        """The mortal edges of a runtime."""
        return {
            "transport": _Transport(self, api),
            "disk": _Disk(self),
            "system": System(
                write=self._around("write", os.write),
                link=self._around("link", os.link),
                replace=self._around("replace", os.replace),
                rename=self._around("rename", os.rename),
            ),
        }

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.step(f"before {name}")
            done = call(*args, **kwargs)
            self.step(f"after {name}")
            return done

        return mortal


class _Recorder(Death):
    """Never comes, but copies the world before each `every`th thing that changes it."""

    def __init__(self, harness: Harness, folder: Path, every: int) -> None:
        super().__init__(10**9)
        self.left: dict[str, Harness] = {}
        self._harness, self._folder, self._every = harness, folder, every
        self._last: object = None
        self._changes = 0

    def step(self, what: str) -> None:
        super().step(what)
        seen = self._harness.standing()
        if seen == self._last:
            return
        self._last = seen
        self._changes += 1
        if (self._changes - 1) % self._every == 0:
            self.left[f"died at step {self.steps}, {what}"] = self._harness.copied(self._folder / str(self.steps))


class EachKill(Protocol):
    """The type of `state_after_each_kill`, which tests have by the fixture `each_kill`."""

    def __call__(self, harness: Harness, folder: Path, act: Callable[[], object], every: int = 1) -> dict[str, Harness]:
        """See `state_after_each_kill`."""


def state_after_each_kill(
    harness: Harness, folder: Path, act: Callable[[], object], every: int = 1
) -> dict[str, Harness]:
    """What a kill at each `every`th step of `act` would have left, by what was done there: copies below `folder`.

    Steps between which neither the server nor any file changed leave the same, and count once. Every week, each one is
    tried.
    """
    witness = harness.death = _Recorder(harness, folder, examples(every, weekly=1))
    act()
    harness.death = None
    return witness.left


class _Disk(Disk):
    def __init__(self, death: Death) -> None:
        self._death = death

    def read(self, path: Path) -> bytes | None:
        # A process that is dead does not find out what it left, either.
        if self._death.last:
            raise Killed(self._death.last)
        return super().read(path)

    def append(self, path: Path, data: bytes, at: int) -> None:
        self._death.step(f"before append {path.name}")
        super().append(path, data, at)
        self._death.step(f"after append {path.name}")

    def replace(self, path: Path, data: bytes, mode: int) -> None:
        self._death.step(f"before replace {path.name}")
        super().replace(path, data, mode)
        self._death.step(f"after replace {path.name}")


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, death: Death, api: FakeApi) -> None:
        self._death, self._api = death, api

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = f"{request.method} {request.url.path.rsplit('/', 1)[-1]}"
        self._death.step(f"before {what}")
        answer = await self._api.handle_async_request(request)
        self._death.step(f"after {what}")
        return answer
