"""The shared ledger of a project: where it is, and what a command has of it."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.ci.runner import run_page
from contentops.errors import StateError
from contentops.ledger.account import sign_in
from contentops.ledger.applying import applying
from contentops.ledger.entries import EntryOwner
from contentops.ledger.project import ProjectLedger, ReadLedger
from contentops.ledger.queue import deposit
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contentops.ledger.account import Account
    from contentops.ledger.queue import Deposited
    from contentops.model import Project, RequestId
    from contentops.operations.workspace import World
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore

    Deposits = Callable[[Iterable[Deposited]], frozenset[RequestId]]
    """Queues submits, and tells which of them nobody had asked for before."""


@contextlib.contextmanager
def reading(project: Project, url: str, store: StateStore, cache: Cache) -> Iterator[ReadLedger]:
    """What others have of the project, taken into state and cache, in memory only. Raises StateError."""
    with LedgerSession(url, name="contentops plan", patience=0) as session:
        ledger = ReadLedger(session, _owner(project, store))
        store.take_in(ledger.open_entries())
        cache.shared = ledger
        try:
            yield ledger
        finally:
            cache.shared = None
            ledger.close()


@contextlib.contextmanager
def working(project: Project, url: str, store: StateStore, cache: Cache, world: World) -> Iterator[ProjectLedger]:
    """The same for a command that changes the state; it holds the right to apply.

    Raises LockHeld where another one does, StateError where the ledger cannot be used.
    """
    page, owner = run_page(world.environ), _owner(project, store)
    with LedgerSession(url, name="contentops apply") as session:
        runner = Runner(session, kind="apply", page=page)
        with applying(runner, owner, page=page):
            ledger = ProjectLedger(runner, owner)
            store.share(ledger)
            cache.shared = ledger
            try:
                yield ledger
                store.flush()
            finally:
                store.unshare()
                cache.shared = None
                with contextlib.suppress(StateError):
                    ledger.close()


@contextlib.contextmanager
def depositing(project: Project, url: str, store: StateStore, account: Account, world: World) -> Iterator[Deposits]:
    """What queues submits of a project for an account; no apply of it works meanwhile.

    Raises LockHeld where one does, StateError where the ledger cannot be used.
    """
    page = run_page(world.environ)
    owner = structs.replace(_owner(project, store), account=account.id)
    with LedgerSession(url, name="contentops apply") as session:
        runner = Runner(session, kind="apply", page=page)
        with applying(runner, owner, page=page):
            sign_in(session, account)
            yield functools.partial(deposit, runner, owner)


def _owner(project: Project, store: StateStore) -> EntryOwner:
    return EntryOwner(lineage=store.lineage, environment=project.environment, project=project.name)
