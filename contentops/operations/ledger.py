"""The shared ledger of a project: where it is, and what a command has of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contentops.ci.runner import run_page
from contentops.errors import StateError
from contentops.ledger.applying import applying
from contentops.ledger.entries import EntryOwner
from contentops.ledger.project import ProjectLedger, ReadLedger
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project
    from contentops.operations.workspace import World
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore


@contextlib.contextmanager
def reading(project: Project, url: str, store: StateStore, cache: Cache) -> Iterator[ReadLedger]:
    """What others have of the project, taken into state and cache, in memory only. Raises StateError."""
    with LedgerSession(url, name="contentops plan", patience=0) as session:
        ledger = ReadLedger(session, _owner(project, store), store.state.entries.values())
        store.take_in(ledger)
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
            ledger = ProjectLedger(runner, owner, store.state.entries.values())
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


def _owner(project: Project, store: StateStore) -> EntryOwner:
    return EntryOwner(lineage=store.lineage, environment=project.environment, project=project.name)
