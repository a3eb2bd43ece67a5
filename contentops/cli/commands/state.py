"""The commands of `contentops state` and `contentops ledger`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from contentops.cli.options import environment_options, json_option
from contentops.cli.session import Session
from contentops.errors import ContentopsError, ExitCode, UsageError, did_you_mean, plural
from contentops.model import ItemId, Job, Record, State
from contentops.model.jobs import fold_jobs
from contentops.operations import state, workspace
from contentops.reporting.layout import outline, table
from contentops.reporting.plan_json import plain
from contentops.reporting.summary import command as command_line
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.ledger.jobs import Overview


# ---- `contentops state ...`.


@click.group("state")
def command() -> None:
    """Inspect and repair the recorded state.

    These commands generate nothing, spend nothing, and change no output file.
    """


@command.command("list", short_help="List records and open jobs, or all jobs.")
@click.option("--jobs", is_flag=True, help="List every job that was ordered, and what all of them cost.")
@environment_options
def list_records(session: Session, *, jobs: bool) -> None:
    """List every record and every open job. With `--jobs`, list every job that was ordered."""
    state, unread = workspace.shared_state(session.project(), session.runtime())
    if jobs:
        values, text = {"jobs": plain(tuple(state.jobs))}, job_list(state.jobs)
    else:
        listed, open_jobs = plain(tuple(state.records.values())), plain(tuple(state.open_jobs.values()))
        values, text = {"records": listed, "open": open_jobs}, listing(state)
    session.answer({"lineage": state.lineage, **values}, text, findings=unread or None)


def listing(state: State) -> str:
    """Return tables of the records and of the open jobs, and how many of each there are."""
    blocks = []
    if state.records:
        rows = [(one.id, one.output, one.request_id[:8], one.server) for one in state.records.values()]
        blocks.append(table(("ITEM", "OUTPUT", "REQUEST", "SERVER"), rows))
    if state.open_jobs:
        opened = [(one.item, one.state.value, one.job_id, one.submitted_at) for one in state.open_jobs.values()]
        blocks.append(table(("OPEN", "STATE", "JOB", "SUBMITTED"), opened))
    count = f"{plural(len(state.records), 'record')}, {len(state.open_jobs):,} open."
    return "\n\n".join([*blocks, count])


def job_list(jobs: Sequence[Job]) -> str:
    """Return a table of jobs, the number of jobs, and their cost."""
    counted = fold_jobs(jobs)
    sure, most = sum(job.cost for job in counted if job.is_sure), sum(job.cost for job in counted)
    cost = plural(sure, "credit") + (f", at most {most:,}" if most > sure else "")
    return "\n\n".join([*([_job_table(jobs)] if jobs else []), f"{plural(len(counted), 'job')}, {cost}."])


def _job_table(jobs: Sequence[Job]) -> str:
    rows = [
        (
            job.submitted_at,
            job.item,
            job.section,
            str(job.attempt),
            job.state.value,
            str(job.cost),
            job.job_id,
            job.server,
        )
        for job in jobs
    ]
    return table(("ORDERED", "ITEM", "SECTION", "ATTEMPT", "STATE", "CREDITS", "JOB", "SERVER"), rows, sparse=True)


@command.command("show", short_help="Show the record and the jobs of an item.")
@click.argument("item")
@environment_options
def show_record(session: Session, item: str) -> None:
    """Show the record of ITEM, its open jobs, and every job that was ordered for it."""
    state, unread = workspace.shared_state(session.project(), session.runtime())
    record, open_jobs, jobs = _of_item(state, item)
    document = {
        "record": plain(record),
        "open": [plain(order) for order in open_jobs],
        "jobs": [plain(job) for job in jobs],
    }
    named: dict[str, Any] = {"record": document["record"]} if record is not None else {}
    named |= {f"open {order['request_id']}": order for order in document["open"]}
    blocks = ["\n".join(outline(named)), _job_table(jobs) if jobs else ""]
    session.answer(document, "\n\n".join(filter(None, blocks)), findings=unread or None)


def _of_item(state: State, item: str) -> tuple[Record | None, list[Job], list[Job]]:
    """Return the record of an item, its open jobs, and all jobs that have its id or made its text."""
    record = state.records.get(ItemId(item))
    made = record.request_id if record is not None else ""
    open_jobs = [order for order in state.open_jobs.values() if order.item == item]
    jobs = [job for job in state.jobs if job.item == item or (made and job.request_id == made)]
    if record is None and not open_jobs and not jobs:
        hint = did_you_mean(
            item,
            [*state.records, *(job.item for job in state.jobs)],
            "`contentops state list` lists what there is",
        )
        raise UsageError(f"there is no record of `{item}`", code="unknown-item", hint=hint)
    return record, open_jobs, jobs


@command.command("mv", short_help="Rename a record, or change the server of all records.")
@click.argument("old")
@click.argument("new")
@click.option("--server", is_flag=True, help="OLD and NEW are servers, such as `https://api.writerzroom.com:443`.")
@environment_options
def move(session: Session, old: str, new: str, *, server: bool) -> None:
    """Rename the record OLD to NEW. With `--server`, record that server OLD now has the address NEW."""
    project = session.project()
    act = state.move_server if server else state.move_record
    now = act(project, old, new)
    _report(session, f"{'server' if server else 'record'} `{old}` is now `{now}`")


@command.command("rm", short_help="Forget the record of an item; its file stays.")
@click.argument("item")
@environment_options
def remove(session: Session, item: str) -> None:
    """Delete the record of ITEM. Its file and its content on the server stay."""
    state.forget_record(session.project(), item)
    _report(session, f"the record of `{item}` is forgotten; its file stays")


@command.command("resolve", short_help="Show or resolve submits with an unknown outcome.")
@click.argument("item", required=False, default="")
@click.option("--request", metavar="ID", default="", help="The id of the submit; its start is enough.")
@click.option("--job", metavar="ID", default="", help="The submit started this job.")
@click.option("--content", metavar="ID", default="", help="The submit was saved as this content.")
@click.option(
    "--forget",
    "--resubmit",
    is_flag=True,
    help="It never arrived, or you do not want its text. Apply may order it again.",
)
@environment_options
def resolve(
    session: Session,
    item: str,
    request: str,
    job: str,
    content: str,
    *,
    forget: bool,
) -> ExitCode:
    """Record the result of a submit of ITEM whose reply was lost: a job, stored content, or nothing.

    Without an option, show the submits of ITEM, or all with an unknown outcome, and what is known about them.
    """
    stated = sum((bool(job), bool(content), forget))
    if stated > 1 or (not stated and request):
        raise click.UsageError("use one of `--job ID`, `--content ID` and `--forget`")
    if stated and not item:
        raise click.UsageError("name the ITEM; `contentops state resolve` lists those that are unknown")
    project = session.project()
    if stated:
        done = state.resolve(
            project, item, request=request, job=job, content=content, forget=forget, runtime=session.runtime()
        )
        _report(session, done)
        return ExitCode.DONE
    submits = state.open_submits(project, item)
    shown = [{**plain(one.job), "wanted": one.wanted} for one in submits]
    session.answer({"submits": shown}, _unresolved(submits, session.option()))
    return ExitCode.INCOMPLETE if submits else ExitCode.DONE


_FOR = {True: "today's request", False: "an earlier request", None: ""}


def _unresolved(submits: tuple[state.OpenSubmit, ...], environment: str) -> str:
    """Return a table of the submits that a person may have to resolve, and the commands to do it."""
    if not submits:
        return "No submit has an unknown outcome."
    rows = [
        (one.item, one.short, one.state.value, _FOR[wanted], one.submitted_at, one.job_id)
        for one, wanted in ((each.job, each.wanted) for each in submits)
    ]
    first = submits[0].job
    flags = (shlex.quote(visible(first.item)), f"--request {visible(first.short)}")
    named = command_line("state resolve", environment, flags)
    say = [("a job", f"{named} --job ID"), ("a content", f"{named} --content ID"), ("nothing", f"{named} --forget")]
    more = "; the same for the others, by their ITEM and REQUEST" if len(submits) > 1 else ""
    return (
        table(("ITEM", "REQUEST", "STATE", "FOR", "SUBMITTED", "JOB"), rows, sparse=True)
        + "\n\nLook at the account: its jobs, its credits, and its contents; "
        + f"`contentops content list` shows those without an item. Then say what it became{more}:\n\n"
        + table(("FOUND", "RUN"), say)
    )


@command.command("upgrade", short_help="Upgrade files of an earlier format.")
@json_option
def upgrade_state(session: Session) -> None:
    """Write `contentops.jobs` for a project of an earlier version that has no such file.

    No text changes, and nothing is paid for. The command reads the locks of all environments, their history in git,
    and the journal.
    """
    done = state.upgrade(session.project(), session.runtime())
    lines = [
        f"{visible(one.environment or 'default')}: {plural(one.records, 'record')}, {plural(one.jobs, 'job')}"
        for one in done
    ]
    session.answer({"upgraded": plain(done)}, "\n".join(lines) or "Every lock already has the current format.")


def _report(session: Session, done: str) -> None:
    session.answer({"done": done}, visible(done), fit=True)


# ---- `contentops ledger ...`: look at the shared ledger, or create its tables.


@click.group("ledger")
def ledger() -> None:
    """Look at the shared ledger, or create its tables.

    Needs no key.
    """


def _address(session: Session) -> str:
    """Return the ledger's address from the environment variable, or else from the project's settings.

    The address is empty if there is no ledger. Raises as `Session.project` does; without `--env` it needs no project.
    """
    from contentops.operations import ledger

    stated = os.environ.get("CONTENTOPS_LEDGER", "").strip()
    try:
        project = None if stated and not session.environment else session.project()
    except ContentopsError as error:
        if session.environment or error.diagnostics()[0].code != "no-project":
            raise
        return ""
    return stated or (ledger.address(project, session.runtime()) if project and project.ledger else "")


@ledger.command("status", short_help="Show what is open, and who applies now.")
@environment_options
def status(session: Session) -> None:
    """Show the open submits in the ledger, its size, and who runs an apply now."""
    from contentops.operations.ledger import overview_of, shown

    url = _address(session)
    overview = overview_of(url)
    session.answer({"ledger": shown(url), **plain(overview)}, f"{visible(shown(url))}, {_overview(overview)}")


def _overview(overview: Overview) -> str:
    if overview.version == 0:
        creates = "the first apply or `contentops ledger migrate` creates them"
        return f"PostgreSQL {overview.postgresql}: no tables yet; {creates}"
    counts = f"{plural(overview.entries, 'open submit')}, {plural(overview.texts, 'text')}, {overview.bytes:,} bytes"
    head = f"version {overview.version}, PostgreSQL {overview.postgresql}: {counts}"
    if not overview.runners:
        return f"{head}\n\nNo one applies now."
    rows = [(one.who, one.started_at, str(one.entries), one.page) for one in overview.runners]
    return f"{head}\n\n{table(('WHO', 'SINCE', 'JOBS', 'PAGE'), rows, sparse=True)}"


@ledger.command("migrate", short_help="Create its tables.")
@environment_options
def migrate(session: Session) -> None:
    """Create the ledger's tables, if there are none.

    An apply creates them too, if its PostgreSQL role may.
    """
    from contentops.operations import ledger

    url = _address(session)
    before, after = ledger.migrate(url)
    said = f"Nothing to do: the tables are of version {before}." if before else f"Made the tables, version {after}."
    session.answer({"ledger": ledger.shown(url), "from": before, "to": after}, said, fit=True)
