"""Finds the shared ledger of a project, and opens it for a command."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping

from msgspec import structs

from contentops.api import trust
from contentops.ci.runner import run_page
from contentops.errors import Check, Diagnostic, NotShared, Refused, Severity, StateError, UsageError
from contentops.ledger import session as schema
from contentops.ledger.jobs import LedgerScope, Overview, Runner, overview
from contentops.ledger.limiter import SharedLimiter, account_of
from contentops.ledger.project import ProjectLedger, ReadLedger, lock_apply
from contentops.ledger.session import LedgerAway, LedgerSession, beyond_plain, remote_servers, shown
from contentops.model import Job, Project
from contentops.operations.opening import OpenedLedger, Runtime, jobs_by_environment
from contentops.sanitize import visible
from contentops.state.store import StateStore

# ---- Find the shared ledger of a project, and open it for a command.


def address(project: Project, runtime: Runtime) -> str:
    """Return the address of a project's ledger, from the environment or else from the settings.

    The one in the settings must be on the trusted list; a person is asked once about one that is not. Raises Refused
    for one that is not trusted, for an address in a file that says more than where the ledger is, and for a variable
    that is set and empty.
    """
    environ = runtime.environ
    if trust.LEDGER in environ:
        if stated := environ[trust.LEDGER].strip():
            return stated
        message = (
            f"`{trust.LEDGER}` is set but empty: without the ledger, you would pay again for texts of other machines"
        )
        hint = "set it to the address (in CI, the secret may be missing), or unset it to run without a ledger"
        raise Refused(message, code="ledger-address", hint=hint)
    url = project.ledger
    if beyond := beyond_plain(url):
        message = f"`ledger` in `contentops.yaml` may not say {', '.join(f'`{name}`' for name in beyond)}"
        raise Refused(message, code="ledger-address", hint=f"state the whole address in `{trust.LEDGER}`")
    for server in remote_servers(url):
        if trust.may_use_ledger(server, environ):
            continue
        question = (
            f"The ledger at `{visible(server)}` is not on your trusted list. It may get a password\n"
            "and decides what is paid. Use it, now and from now on? (yes/no) "
        )
        if runtime.ask is None or not runtime.ask(question):
            raise trust.unlisted_ledger(visible(server), environ)
        trust.remember(server, environ, "ledgers")
    return url


@contextlib.contextmanager
def reading(project: Project, store: StateStore, runtime: Runtime) -> Iterator[OpenedLedger]:
    """Yield the opened ledger for a command that changes nothing.

    The jobs of other checkouts are added to the state, but only in memory. If the ledger cannot be reached, or is not
    on the trusted list, a warning says so and the ledger is left out. Raises StateError.
    """
    with contextlib.ExitStack() as closing:
        try:
            url = address(project, structs.replace(runtime, ask=None))
            session = closing.enter_context(LedgerSession(url, name="contentops plan", patience=0))
            ledger = ReadLedger(session, _scope(project, store), _all(jobs_by_environment(project, store.state)))
        except (LedgerAway, Refused) as error:
            message, hint = (
                f"{error.message}; this shows only the lock and the files",
                "the work of other machines is missing",
            )
            hint = f"{error.hint}; {hint}" if isinstance(error, Refused) else hint
            unread = Diagnostic(code=error.code, message=message, severity=Severity.WARNING, hint=hint)
            opened = OpenedLedger(warnings=(unread,))
        else:
            store.see_jobs(ledger.lacking)
            opened = OpenedLedger(ledger)
        yield opened


@contextlib.contextmanager
def working(project: Project, store: StateStore, runtime: Runtime, shard: str = "") -> Iterator[OpenedLedger]:
    """Open the ledger for a command that changes the state of one `shard`, or of all items.

    No other command may change it meanwhile. Ledger and checkout get each other's jobs.

    Raises LockHeld if another command changes it, Refused if the ledger is not trusted, StateError if it cannot be
    used.
    """
    scope, known = _scope(project, store), jobs_by_environment(project, store.state)
    url, stopped = address(project, runtime), runtime.stopped
    with LedgerSession(
        url, name="contentops apply", patience=runtime.patience, stopped=stopped, until=runtime.until
    ) as session:
        runner = Runner(session, page=run_page(runtime.environ))
        # It is the only one of its project and environment, or of its shard.
        lock_apply(runner, scope, shard)
        ledger = ProjectLedger(runner, scope, _all(known))
        store.see_jobs(ledger.lacking)
        ledger.fill(known | {project.environment: store.state.jobs})
        store.shared = ledger
        try:
            yield OpenedLedger(ledger, working=ledger)
            store.flush()
        finally:
            store.shared = None
            with contextlib.suppress(StateError):
                ledger.close()


@contextlib.contextmanager
def limiting(project: Project, key: str, runtime: Runtime) -> Iterator[SharedLimiter | None]:
    """Open the request limiter of a key's account, for a command that pays for nothing.

    Yields None if the ledger cannot be used: then only the project's limit counts.
    """
    with contextlib.ExitStack() as closing:
        limiter: SharedLimiter | None = None
        with contextlib.suppress(StateError, NotShared, Refused):
            url = address(project, structs.replace(runtime, ask=None))
            session = closing.enter_context(LedgerSession(url, patience=0, stopped=runtime.stopped))
            limiter = SharedLimiter(session, account_of(project.api, key), project.api.requests_per_minute)
        yield limiter


def _scope(project: Project, store: StateStore) -> LedgerScope:
    return LedgerScope(lineage=store.lineage, environment=project.environment, server=project.api.server)


def _all(known: Mapping[str, list[Job]]) -> Iterator[Job]:
    return itertools.chain.from_iterable(known.values())


# ---- `ledger status` and `ledger migrate`: look at a ledger by its address, or create its tables.

__all__ = ["migrate", "overview_of", "shown"]


def overview_of(address: str) -> Overview:
    """Return an overview of the ledger at an address. Raises UsageError if the address is empty, StateError."""
    with _opened(address) as session:
        return overview(session)


def migrate(address: str) -> tuple[int, int]:
    """Create the tables of the ledger at an address, if there are none.

    Returns their version before (0 if there were none) and after. Raises UsageError if the address is empty,
    StateError.
    """
    with _opened(address) as session:
        return schema.migrate(session), schema.VERSION


@contextlib.contextmanager
def _opened(address: str) -> Iterator[LedgerSession]:
    if not address:
        hint = "`CONTENTOPS_LEDGER=postgresql://host/database`, or `ledger:` in `contentops.yaml` names it"
        raise UsageError("no ledger is set", code="no-ledger", hint=hint)
    with LedgerSession(address, name="contentops ledger", patience=0) as session:
        yield session


# ---- Check a project's ledger for `doctor`.


def ledger_check(project: Project, runtime: Runtime) -> Check:
    """Check that a project's ledger can be reached and written, and that this program can use its tables."""
    try:
        url = address(project, runtime)
        overview = overview_of(url)
    except (StateError, Refused) as error:
        return Check(name="ledger", ok=False, message=error.message, hint=error.hint)
    head = f"`{shown(url)}`, PostgreSQL {overview.postgresql}"
    if overview.read_only:
        hint = "use the address of the primary, or let the role write"
        return Check(name="ledger", ok=False, message=f"{head}, is read-only: runs cannot record anything", hint=hint)
    if overview.version == 0:
        message = f"{head}, has no tables yet; the first run or `contentops ledger migrate` creates them"
        return Check(name="ledger", ok=None, message=message)
    who = ", ".join(f"{one.who} since {one.started_at}" for one in overview.runners)
    return Check(name="ledger", ok=True, message=f"{head}, version {overview.version}; applying now: {who or 'no one'}")
