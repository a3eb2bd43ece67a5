"""`work`: claim what is queued for the accounts of a key, submit it, poll it, and keep the texts in the ledger.

A worker has no checkout. An apply takes the texts from the ledger, writes files and the lock, and saves.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.api import trust
from contentops.atomic_io import touch
from contentops.ci.runner import run_page
from contentops.errors import ContentopsError, StateError
from contentops.execution.times import iso
from contentops.ledger.account import accounts_of
from contentops.ledger.queue import DEPOSITED
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession, WorkTaken
from contentops.model import AccountWork, ApiSettings, Event
from contentops.operations.connection import read_credentials
from contentops.operations.ledger.ledger_maintenance import check_named
from contentops.operations.worker import worker_metrics as metrics
from contentops.operations.worker.account_worker import AccountWorker
from contentops.operations.worker.claims import QUIET
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.execution.durable_run import DurableRun
    from contentops.execution.primitives import Stop
    from contentops.operations.opening import Runtime
    from contentops.operations.worker.claims import Claims

LOOK = 2.0
"""Seconds between two signs of life, and between two searches for new accounts where PostgreSQL cannot notify."""
_NOT_LISTENING = (-1, 0)


class WorkOptions(Struct, frozen=True, kw_only=True):
    """The options of a worker."""

    key_env: str = ApiSettings().key_env
    """The environment variable that holds the key."""
    concurrency: int | None = None
    """At most so many unfinished jobs of an account here; None: as the last deposit says."""
    once: bool = False
    """Whether it ends when nothing is left to do."""
    metrics: str = ""
    """Where its numbers are shown, as `[HOST:]PORT`; empty: nowhere."""
    alive: str = ""
    """A file that it touches while it works; empty: none."""


def work(
    url: str, options: WorkOptions, stop: Stop, emit: Callable[[Event], None], runtime: Runtime
) -> tuple[AccountWork, ...]:
    """Work until nothing is left, or until something stops it; return the work for each account.

    Raises StateError where the ledger cannot be used or is away for too long, and with `once` where the key belongs to
    no account of it; ApiError and Refused where the key may go to none of their servers; UsageError where its numbers
    cannot be shown.
    """
    check_named(url)
    trust.check_variables(ApiSettings(key_env=options.key_env), runtime.environ)
    done: list[AccountWork] = []
    current: list[_Worker] = []
    showing = metrics.shown(options.metrics, lambda: current[-1].numbers if current else metrics.WorkNumbers())
    with showing if options.metrics else contextlib.nullcontext():
        while True:
            try:
                with _session(url, stop, runtime) as session:
                    runner = Runner(session, kind="worker", page=run_page(runtime.environ))
                    current[:] = [_Worker(runner, options, stop, emit, runtime, done)]
                    (runtime.run or asyncio.run)(current[0].run())
            except WorkTaken as error:
                # It stood still for so long that others took over its work: it starts again, as another runner.
                emit(Event(kind="note", at=iso(runtime.wall()), data={"message": f"{error.message}; it starts again"}))
                continue
            return tuple(done)


class _Worker:
    """One runner, and the accounts that it works for."""

    def __init__(
        self,
        runner: Runner,
        options: WorkOptions,
        stop: Stop,
        emit: Callable[[Event], None],
        runtime: Runtime,
        done: list[AccountWork],
    ) -> None:
        self._runner, self._options, self._stop = runner, options, stop
        self._emit, self._runtime, self._done = emit, runtime, done
        self.numbers = metrics.WorkNumbers()
        self._gather_at = 0.0
        self._refused: set[str] = set()
        self._why: ContentopsError | None = None
        """Why it does nothing for an account of its key."""
        self._listening = _NOT_LISTENING
        """The socket that is listened on, and how often the session was renewed by then."""
        self._look_at = 0.0
        """Loop time of the next search for new accounts."""
        self._working: dict[str, AccountWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work for every account of the key, also for new ones; ends as `work` does."""
        key = self._runtime.environ.get(self._options.key_env, "").strip()
        self._stop.bind(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, self._wake))
        woken = self._woken = asyncio.Event()
        try:
            self._runner.session.listen(DEPOSITED)
            while True:
                self._give_sign_of_life()
                self._listen()
                if not self._stop.requested and asyncio.get_running_loop().time() >= self._look_at:
                    self._begin(key)
                self._gather()
                running = [task for task in self._tasks.values() if not task.done()]
                if not running and (self._tasks or self._options.once or self._stop.requested):
                    return
                woken.clear()
                waiting = asyncio.ensure_future(woken.wait())
                await asyncio.wait([*running, waiting], timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                for task in self._tasks.values():
                    if task.done():
                        task.result()
        finally:
            self._stop.bind(None)
            self._stop_listening()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _gather(self) -> None:
        """Read the numbers that are shown, now and then."""
        now = asyncio.get_running_loop().time()
        if self._options.metrics and now >= self._gather_at:
            self._gather_at = now + metrics.GATHERED
            self.numbers = metrics.WorkNumbers(
                waiting=metrics.read_waiting(self._runner.session, list(self._working)),
                done=tuple(each.numbers for each in self._working.values()),
            )

    def _listen(self) -> None:
        """Wake up when PostgreSQL notifies, also over a connection that was made again."""
        session = self._runner.session
        if self._listening == (listening := (session.fileno(), session.renewed)):
            return
        self._stop_listening()
        # Where a loop watches no sockets, the worker searches more often.
        with contextlib.suppress(NotImplementedError):
            if listening[0] >= 0:
                asyncio.get_running_loop().add_reader(listening[0], self._heard)
                self._listening, session.heeded = listening, True
                self._heard()

    def _stop_listening(self) -> None:
        if self._listening[0] >= 0:
            asyncio.get_running_loop().remove_reader(self._listening[0])
        self._listening, self._runner.session.heeded = _NOT_LISTENING, False

    def _heard(self) -> None:
        """Read what came over the connection: perhaps that something was queued."""
        session = self._runner.session
        heard = session.heard()
        if (session.fileno(), session.renewed) != self._listening:
            self._stop_listening()
        if heard:
            self._look_at = 0.0
            self._woken.set()
            for each in self._working.values():
                each.heard()

    def _give_sign_of_life(self) -> None:
        """Tell PostgreSQL and the supervisor of this process that the worker does not hang."""
        self._runner.session.moved()
        if self._options.alive:
            touch(Path(self._options.alive))

    def _wake(self) -> None:
        self._woken.set()
        for each in self._working.values():
            each.wake()

    def _begin(self, key: str) -> None:
        """Begin to work for new accounts."""
        self._look_at = asyncio.get_running_loop().time() + (LOOK if self._listening == _NOT_LISTENING else QUIET)
        for account in accounts_of(self._runner.session, key, self._name_unusable):
            if account.id in self._working:
                self._working[account.id].adopt(account.api)
            if account.id in self._working or account.id in self._refused:
                continue
            most = self._options.concurrency or account.api.max_in_flight
            api = structs.replace(account.api, key_env=self._options.key_env, account=account.id, max_in_flight=most)
            try:
                credentials = read_credentials(api, structs.replace(self._runtime, ask=None))
            except ContentopsError as error:
                self._refused.add(account.id)
                self._why = error
                self._note(f"{error.message}: nothing is done for it; {error.hint}")
                continue
            served = structs.replace(account, api=api)
            worker = AccountWorker(self._runner, served, credentials, self._stop, self._emit, self._runtime)
            self._working[account.id] = worker
            self._tasks[account.id] = asyncio.ensure_future(self._work(worker, account.id))
            self._note(f"works for {account.id}, at most {most} jobs at a time")
        if not self._tasks and self._options.once:
            raise self._why or no_account(self._options.key_env, has_key=bool(key))

    def _name_unusable(self, account: str) -> None:
        """Report once that nothing is done for an account."""
        if account not in self._refused:
            self._refused.add(account)
            self._note(
                f"the ledger's row of account `{visible(account)}` is invalid; an `apply` of its project repairs it"
            )

    async def _work(self, worker: AccountWorker, account: str) -> None:
        try:
            await worker.work(once=self._options.once)
        finally:
            if worker.run is not None and worker.claims is not None:
                self._done.append(_did(account, worker.run, worker.claims))

    def _note(self, message: str) -> None:
        self._emit(Event(kind="note", at=iso(self._runtime.wall()), data={"message": message}))


def no_account(variable: str, *, has_key: bool) -> StateError:
    """The error for a key that the ledger has never seen."""
    key = f"the key in `{variable}`" if has_key else f"an empty key, as `{variable}` is not set"
    return StateError(
        f"no account of this ledger uses {key}: there is nothing to do",
        code="no-account",
        hint="`--key-env` names the variable of another key; the first `contentops apply` with it creates an account",
    )


_APPLY = re.compile(r"contentops apply(?! --)")
"""An `apply` in a hint that a worker may take instead; not one with options that only `apply` has."""


def _did(account: str, run: DurableRun, claims: Claims) -> AccountWork:
    return AccountWork(
        account=account,
        results=dict(claims.results),
        credits=claims.credits,
        requests=run.requests,
        stopped=run.stopped,
        message=run.message,
        hint=_APPLY.sub("contentops work", run.hint),
    )


def _session(url: str, stop: Stop, runtime: Runtime) -> LedgerSession:
    return LedgerSession(url, name="contentops work", patience=runtime.patience, stopped=lambda: stop.requested)
