"""The commands `contentops status`, `show`, `diff`, `restore` and `graph`."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.named_files import PLAN_ENDING
from contentops.cli.options import (
    choice_of,
    environment_options,
    flags_of,
    project_options,
    refresh_option,
    select_option,
    selection_options,
)
from contentops.cli.session import Session
from contentops.digest import short
from contentops.errors import ContentopsError, ExitCode, UsageError, plural
from contentops.model import Json
from contentops.model.plan_file import no_plan_file, plan_file
from contentops.model.run import PaidText
from contentops.operations import plan, texts
from contentops.operations.plan import ItemStatus, recorded
from contentops.operations.plan_files import read_document
from contentops.operations.spend import texts_of
from contentops.operations.texts import Difference, Restored
from contentops.reporting.difference import Part, difference_text, fields
from contentops.reporting.graph import graph_json, graph_text
from contentops.reporting.layout import fitted, moment, outline, paint, table
from contentops.reporting.plan_json import month_json, written
from contentops.reporting.plan_text import plan_text
from contentops.reporting.spend import text_json, texts_text
from contentops.reporting.summary import command as command_line
from contentops.reporting.summary import month_sentence
from contentops.sanitize import columns, visible

# ---- `contentops status`, `show`, `diff` and `restore`.

_NOT_FOUND = frozenset({"unknown-item", "no-project"})


# --- status ------------------------------------------------------------------------------------------------


@click.command("status")
@environment_options
@selection_options
@refresh_option
def status(session: Session, select: tuple[str, ...], exclude: tuple[str, ...], *, refresh: bool) -> None:
    """Show the state of every item, such as `edited`, `missing` or `blocked`, and the approval of its text.

    `--select state:edited` and `--select approval:waiting` accept the same words.

    If manifests have errors, it warns, and shows the state of records and files. Changes nothing; only `--refresh`
    needs the network.
    """
    choice = choice_of(select=select, exclude=exclude, refresh=refresh)
    project = session.project()
    items, findings = plan.status(project, choice, runtime=session.runtime())
    others = tuple(project.settings.get("environments") or ())
    spent = plan.spent_this_month(project, session.runtime())
    month = f"\n{visible(sentence)}" if (sentence := month_sentence(spent, project.budget)) else ""
    text = status_text(items, width=terminal.width()) + month + _environments(project.environment, others)
    about: dict[str, Json] = {"environment": project.environment, "environments": list(others)} if others else {}
    if spent is not None:
        text += "".join(f"\nThere may be more: {visible(gap)}." for gap in spent.gaps)
        about |= {"budget": written(project.budget), "spent": month_json(spent)}
    listed = [structs.asdict(item) for item in items]
    session.answer({**about, "items": listed}, text, findings=findings)


def _environments(chosen: str, environments: Sequence[str]) -> str:
    """Return a line that names the shown environment and the project's other environments.

    The line is empty if the project has no environments.
    """
    if not environments:
        return ""
    shown = f"environment `{chosen}`" if chosen else "the project without an environment"
    names = ", ".join(f"`{name}`" for name in environments if name != chosen)
    return f"\nThis is {shown}" + (f"; `--env` shows {names}." if names else ".")


def status_text(items: Sequence[ItemStatus], *, width: int = 0) -> str:
    """Return a table of items, and how many items are in each state.

    A line has at most `width` columns; 0 means any number. If a line is too long, the time is left out, then the file.
    """
    if not items:
        return "No items."
    rows: list[tuple[str, ...]] = [
        (
            item.id,
            f"{item.state} ({item.holder})" if item.holder else item.state,
            item.approval.words,
            item.publish_on,
            item.output,
            moment(item.generated_at),
            item.note,
        )
        for item in items
    ]
    heads: tuple[str, ...] = ("ITEM", "STATE", "APPROVAL", "DUE", "OUTPUT", "GENERATED", "NOTE")
    for name in ("GENERATED", "OUTPUT") if width else ():
        if max(map(columns, table(heads, rows, sparse=True).split("\n"))) > width:
            at = heads.index(name)
            heads, rows = heads[:at] + heads[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    head, *lines = table(heads, rows, width=width, sparse=True, whole=("STATE", "APPROVAL", "DUE")).split("\n")
    counts = Counter(item.state for item in items)
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    return "\n".join([paint(head, "dim"), *lines, "", f"{plural(len(items), 'item')}: {parts}."])


# --- show --------------------------------------------------------------------------------------------------


@click.command("show")
@click.argument("what", metavar="ITEM|PLAN")
@project_options
def show(session: Session, what: str) -> None:
    """Show ITEM: its brief, request, digest and output, the origin of each value, and its record.

    Or show every change of PLAN, a file that `plan --out` wrote, in any folder. It does not check whether the plan is
    still valid; `plan --check` does. An argument is a plan file if it ends with `.json` and the file exists.
    """
    if what.endswith(PLAN_ENDING) and os.path.lexists(session.path(what)):
        if session.environment or session.variables:
            raise UsageError(
                "`--env` and `--var` are for items: a plan file already states its environment and variables",
                code="plan-file-and-flags",
                hint="leave them out",
            )
        _show_plan(session, what)
    else:
        _show_item(session, what)


def _show_plan(session: Session, path: str) -> None:
    """Show a plan file in the same form as `plan --verbose`. The suggested next command names the file."""
    document = read_document(session.path(path))
    made = plan_file(document, str(session.path(path)))
    if session.as_json:
        terminal.say_json(document)
    else:
        terminal.report_findings(made.findings, gap=True)
        flags = flags_of(structs.asdict(made.inputs))
        with_flags = f", made with `{visible(' '.join(flags))}`" if flags else ""
        text = plan_text(made, verbose=True, flags=[shlex.quote(path)], width=terminal.width())
        terminal.show(f"Plan file `{visible(path)}`{with_flags}\n\n{text}")


def _show_item(session: Session, item: str) -> None:
    try:
        values, findings = plan.show(session.project(), item, session.runtime())
    except ContentopsError as error:
        if item.endswith(PLAN_ENDING) and error.diagnostics()[0].code in _NOT_FOUND:
            raise no_plan_file(f"there is not a plan file `{item}` and no item of this name") from error
        if session.path(item).is_file() and error.diagnostics()[0].code in _NOT_FOUND:
            hint = f"the name of a plan file must end with `{PLAN_ENDING}` to be shown"
            raise no_plan_file(f"`{visible(item)}` is a file, and no item has this name", hint) from error
        raise
    origins = {name: _origin(origin) for name, origin in values.get("origins", {}).items()}
    shown = {**values, "origins": origins} if origins else values
    lines = outline({name: value for name, value in shown.items() if name != "brief"})
    text = "\n".join([fitted(visible(str(values["brief"])), terminal.width()), "", *lines])
    session.answer(values, text, findings=findings or None)


def _origin(origin: Mapping[str, Any]) -> str:
    """Return one line about the origin of a value, such as the manifest and line that set it.

    The line also names the variables that the value uses.
    """
    variables = ", ".join(f"`{name}`" for name in origin["variables"])
    parts = [origin["layer"], origin["place"], f"uses {variables}" if variables else ""]
    return ", ".join(part for part in parts if part)


# --- diff --------------------------------------------------------------------------------------------------


@click.command("diff")
@click.argument("item")
@click.option("--remote", "side", flag_value="remote", help="Compare with the text on the server: one request.")
@click.option("--plan", "side", flag_value="plan", help="Compare with the planned text and request.")
@project_options
def diff(session: Session, item: str, side: str | None) -> None:
    """Compare the file of ITEM with its generated (or adopted) text, word by word.

    `--remote` compares it with the text on the server. `--plan` shows how the text, the front matter and the request
    would change. Earlier texts are in `git diff` and in the history of `contentops review`.

    Only front matter that contentops wrote is compared. Without colours, removed words are in `[-` and `-]`, new ones
    in `{+` and `+}`.
    """
    project = session.project()
    if side == "remote":
        difference = texts.from_remote(project, item, runtime=session.runtime())
    else:
        difference = texts.to_planned(project, item) if side == "plan" else texts.from_generated(project, item)
    if not session.as_json:
        terminal.report_line(difference.note)
    pairs = {name: dict(zip(("before", "after"), pair, strict=True)) for name, pair in difference.front.items()}
    request = {name: dict(zip(("before", "after"), pair, strict=True)) for name, pair in difference.request.items()}
    sides = {difference.old: difference.before, difference.new: difference.after}
    values = {
        "item": item,
        "same": difference.same,
        **sides,
        "front": pairs,
        "request": request,
        "note": difference.note,
    }
    session.answer(values, "\n".join(_difference(difference, item)) or "No difference.")


def _difference(difference: Difference, item: str) -> Iterator[str]:
    body = Part("", difference.before or "", difference.after or "")
    parts = [fields("request", difference.request), fields("front matter", difference.front), body]
    names = (f"{item} ({difference.old})", f"{item} ({difference.new})")
    return difference_text(parts, *names, coloured=terminal.wants_color())


# --- restore -----------------------------------------------------------------------------------------------


_FROM = {"cache": "the cache", "git": "git's history", "server": "the server", "copy": "a copy of the file"}


@click.command("restore")
@click.argument("item")
@click.option("--to", metavar="DIGEST", help="The text, by the start of its digest.")
@click.option(
    "--on-edit",
    type=click.Choice(["block", "overwrite"]),
    default="block",
    help="What to do if the file was edited since; `overwrite` keeps a copy.",
)
@environment_options
def restore(session: Session, item: str, to: str | None, on_edit: str) -> ExitCode:
    """Put an earlier text back into the file of ITEM. It costs nothing.

    Without `--to`, it lists the texts of ITEM and where each one is: in the cache, in git, on the server, or in a copy
    of the file. Front matter does not change. The next `apply` saves the restored text. Texts that a job made for ITEM
    are not edits, so a new request replaces them; another restored text is an edit, and `on_edit` decides what a new
    request does.
    """
    project = session.project()
    if to is None:
        state, record = recorded(project, item)
        paid = texts_of(project, state, item)
        unpaid = [
            (short(one.text), one.at, "in git" if one.commit else "copy of the file" if one.is_copy else "in cache")
            for one in texts.unpaid_texts(project, record, paid)
        ]
        listed = texts_text(paid, unpaid, width=terminal.width())
        again = command_line("restore", session.option(), [shlex.quote(visible(item)), "--to TEXT"])
        text = (
            f"{listed}\n\nNext: `{again}` puts one of them back"
            if listed
            else f"There are no earlier texts of `{item}`."
        )
        others = [{"text": one, "at": at, "where": where} for one, at, where in unpaid]
        session.answer({"item": item, "texts": [text_json(one) for one in paid], "unpaid": others}, text, findings=())
        return ExitCode.DONE
    done = texts.restore(project, item, to, overwrite=on_edit == "overwrite", runtime=session.runtime())
    values = {"item": item, "output": done.output, "source": done.source, "copy": done.copy}
    found = done.text
    made: dict[str, Json] = (
        text_json(found)
        if isinstance(found, PaidText)
        else {"body": found.digest, "title": found.title, "at": found.at}
    )
    session.answer({**values, "text": made}, _restored(done), fit=True)
    return ExitCode.DONE


def _restored(done: Restored) -> str:
    output, short = visible(done.output), done.text.short
    if not done.source:
        return f"`{output}` has the text `{short}` already."
    lines = [f"`{output}` has the text `{short}` again, from {_FROM[done.source]}; nothing was paid."]
    if done.copy:
        lines.append(f"A copy of the file as it was: `{visible(done.copy)}`.")
    if isinstance(done.text, PaidText) and done.text.generated:
        lines.append("It is as generated.")
    lines.append("Next: `contentops plan`")
    return "\n".join(lines)


# ---- `contentops graph`.


@click.command("graph")
@select_option
@environment_options
def graph(session: Session, select: tuple[str, ...]) -> None:
    """Show which items use the texts of other items, each with its state as in `status`.

    Sources come before their dependants. `--select ITEM+` shows an item with its dependants, `+ITEM` with its sources.
    Without a selection, items without references are left out. Needs no network and changes nothing.

    A mention is a link in front matter, for example between translations; no item waits for it.
    """
    made, findings = plan.graph(session.project(), choice_of(select=select), runtime=session.runtime())
    session.answer(graph_json(made), graph_text(made, width=terminal.width()), findings=findings)
