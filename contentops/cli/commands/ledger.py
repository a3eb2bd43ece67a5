"""`contentops ledger ...`: maintenance of the shared ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from contentops.cli.options import Group, project_options, with_options
from contentops.cli.output import terminal
from contentops.errors import ContentopsError, ExitCode, plural
from contentops.reporting.layout import table
from contentops.reporting.plan_json import plain
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.session import Session
    from contentops.ledger.maintenance import Collected, Overview
    from contentops.operations.ledger.ledger_maintenance import MaintainedLedger

_DAYS = 90


@click.group("ledger", cls=Group)
def command() -> None:
    """Maintain the shared ledger: its tables, its size, and who may use it.

    Needs no key.
    """


ledger_options = with_options(
    click.option(
        "--ledger",
        "address",
        metavar="ADDRESS",
        default="",
        help="The ledger: `postgresql://host/database`. Default: `CONTENTOPS_LEDGER`, then the project's `ledger`.",
    ),
    project_options,
)
"""`--ledger` and what names a project, for a function that takes a `Session`."""


def address_of(session: Session, address: str) -> str:
    """Return the address of the ledger: of the command line, the environment or the project; else empty.

    Raises as `Session.project` does; without `--env` and `--var` it needs no project.
    """
    from contentops.operations.ledger import ledger_access

    stated = address or os.environ.get("CONTENTOPS_LEDGER", "").strip()
    needs_project = bool(session.environment or session.variables)
    try:
        project = None if stated and not needs_project else session.project()
    except ContentopsError as error:
        if needs_project or error.diagnostics()[0].code != "no-project":
            raise
        return ""
    return stated or (ledger_access.address(project, session.runtime()) if project and project.ledger else "")


def _ledger(session: Session, address: str) -> MaintainedLedger:
    """Return the ledger to maintain. Raises as `address_of`, and UsageError where nothing names one."""
    from contentops.operations.ledger.ledger_maintenance import MaintainedLedger

    return MaintainedLedger(address_of(session, address))


@command.command("status", short_help="Show accounts, what is open, and who works.")
@ledger_options
def status(session: Session, address: str) -> None:
    """Show the ledger's accounts, the open work and spending of each, and who works now."""
    ledger = _ledger(session, address)
    overview = ledger.overview()
    # After the overview, which makes the tables of a ledger that has none.
    version, newest = ledger.versions()
    values = {"ledger": ledger.name, "version": version, "newest": newest, **plain(overview)}
    head = f"{visible(ledger.name)}, version {version}: {plural(overview.entries, 'submit')}"
    session.answer(
        values, f"{head}, {plural(overview.texts, 'text')}, {overview.bytes:,} bytes\n\n{_overview(overview)}"
    )


def _overview(overview: Overview) -> str:
    head = ("ACCOUNT", "QUEUED", "IN FLIGHT", "UNWRITTEN", "FAILURES", "OLDEST", "CREDITS", "RESTORED")
    rows = []
    for one in overview.accounts:
        counts = (one.queued, one.in_flight, one.unwritten, one.failures)
        rows.append((one.id, *map(str, counts), f"{one.oldest:,} s", f"{one.credits:,}", one.restored_at))
    accounts = table(head, rows, sparse=True) if rows else "No account has used this ledger."
    alive = [
        (str(one.number), one.kind, one.who, one.started_at, str(one.entries), one.page) for one in overview.runners
    ]
    names = ("RUNNER", "KIND", "WHO", "SINCE", "HOLDS", "PAGE")
    return f"{accounts}\n\n{table(names, alive, sparse=True) if alive else 'No one works now.'}"


@command.command("migrate", short_help="Bring its tables to the version of this program.")
@click.option("--check", is_flag=True, help="Only show the versions; exit with 2 if a migration is needed.")
@ledger_options
def migrate(session: Session, address: str, *, check: bool) -> int:
    """Bring the ledger's tables to the version of this program, or create them.

    Runs in one transaction, and cannot be undone. Refused while someone works with the older version.
    """
    ledger = _ledger(session, address)
    before, after = ledger.versions() if check else ledger.migrate()
    values = {"ledger": ledger.name, "from": before, "to": after, "done": not check and before < after}
    if before >= after:
        said = f"Nothing to do: the tables are of version {before}."
        if before > after:
            said = f"The tables are of version {before}, which is newer than this program knows ({after})."
    elif before == 0:
        said = f"Would make the tables, version {after}." if check else f"Made the tables, version {after}."
    else:
        said = f"{'Would go' if check else 'Went'} from version {before} to version {after}."
    session.answer(values, said, fit=True)
    return ExitCode.CHANGES if check and before != after else ExitCode.DONE


@command.command("gc", short_help="Delete old finished entries.")
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(min=1),
    default=_DAYS,
    show_default=True,
    help="Keep entries younger than N days.",
)
@click.option("--yes", is_flag=True, help="Delete; without it, only show what would be deleted.")
@ledger_options
def collect(session: Session, address: str, *, days: int, yes: bool) -> None:
    """Show which old entries the ledger can delete; `--yes` deletes them.

    These are submits whose text has a record in git, with their texts; dead runners; and accounts that no one worked
    for, with what was learned about them. Open entries are never deleted.

    An older checkout without those records does not find the texts any more, and pays again.
    """
    collected = _ledger(session, address).collect(days, do=yes)
    session.answer({"days": days, "done": yes, **plain(collected)}, _collected(collected, days, done=yes), fit=True)


def _collected(collected: Collected, days: int, *, done: bool) -> str:
    counts = (collected.entries, collected.texts, collected.runners, collected.accounts, collected.facts)
    if not any(counts):
        return f"Nothing to delete: every entry is younger than {plural(days, 'day')}, or still open."
    named = zip(counts, ("submit", "text", "runner", "account", "fact"), strict=True)
    rows = ", ".join(plural(count, word) for count, word in named if count)
    said = f"{'Deleted' if done else 'Would delete'} {rows} ({collected.bytes:,} bytes of text)"
    since = f"finished more than {plural(days, 'day')} ago"
    lost = " A checkout from before that finds no text here any more, and pays for it again." if collected.texts else ""
    return f"{said}, {since}.{lost}{'' if done else ' Go on with `--yes`.'}"


@command.command("restored", short_help="Tell it that its database was restored from a backup.")
@click.option(
    "--nothing-lost", is_flag=True, help="State that nothing was submitted since the backup; submits continue."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_options
def restored(session: Session, address: str, *, nothing_lost: bool, yes: bool) -> None:
    """Record that the ledger's database was restored from a backup, or lost its latest changes.

    For 7 days, every submit first asks the server for its id. If the job exists, it is used instead of paid for again.
    If the server cannot say, nothing is submitted: the submit waits as `unknown` for a person.

    A promoted replica, and a database on another server, are noticed without this command.
    """
    ledger = _ledger(session, address)
    if not yes:
        terminal.need_person("this", "`--yes` does it without asking")
        name = visible(ledger.name)
        question = f"Was {name} put back to an earlier time? Every run asks before it pays, for 7 days. (yes/no) "
        if nothing_lost:
            question = (
                f"Was nothing submitted since the backup of {name}? Runs then pay without asking first. (yes/no) "
            )
        terminal.need_yes(said=terminal.confirmed(question))
    accounts = ledger.restored(nothing_lost=nothing_lost)
    noted = "for 7 days every submit first asks the server for its id."
    if nothing_lost:
        noted = "submits no longer ask the server for their id because of a restore."
    said = f"Noted for {plural(len(accounts), 'account')}: {noted}"
    if not accounts:
        said = "No account has used this ledger since, as far as it knows: there is nothing to note."
    session.answer({"accounts": list(accounts)}, said, fit=True)


@command.command("reset-limit", short_help="Reset the request limiter of an account.")
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_options
def reset_limit(session: Session, account: str, address: str, *, yes: bool) -> None:
    """Forget the requests that ACCOUNT sent in the last minute, and any wait that its server asked for.

    Use it if the limiter blocks everyone by mistake: the database's clock was wrong, or the server no longer needs the
    wait. In the next minute, more than `requests_per_minute` may be sent.
    """
    ledger = _ledger(session, address)
    if not yes:
        terminal.need_person("this", "`--yes` does it without asking")
        question = f"Forget what was sent for {visible(account)} in the last minute? (yes/no) "
        terminal.need_yes(said=terminal.confirmed(question))
    ledger.reset_limit(account)
    said = f"Forgot what was sent for {visible(account)}: requests leave again at once."
    session.answer({"account": account, "done": True}, said, fit=True)


@command.command("grant", short_help="Grant a PostgreSQL role access to the ledger.")
@click.argument("role")
@click.option("--read", is_flag=True, help="Grant only read access to the views for dashboards.")
@ledger_options
def grant(session: Session, address: str, role: str, *, read: bool) -> None:
    """Grant the existing role ROLE what `apply`, `work` and `queue` need, and no more.

    It cannot change the tables (`ledger migrate`) or delete texts (`ledger gc`). Run this again after a migration.
    """
    given = _ledger(session, address).grant(role, work=not read)
    rights = "look at the views" if read else "work with the ledger"
    text = "\n".join([f"Role `{visible(role)}` may {rights}:", *(f"  GRANT {one.granted}" for one in given)])
    session.answer({"role": role, "granted": [one.granted for one in given]}, text)
