"""`contentops status`, `show` and `diff`: items looked at without touching anything; and plan files shown."""

from __future__ import annotations

import difflib
import os
import shlex
from collections import Counter
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.files import read_plan
from contentops.cli.options import choice_of, complete_file, flags_of, offers, project_options, selection_options
from contentops.documents.lines import shared
from contentops.errors import ContentopsError, ExitCode, UsageError, plural
from contentops.model.plan import no_plan_file
from contentops.operations import show as show_operation
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import moment, outline, paint, table
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_text import plan_text
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from click.shell_completion import CompletionItem

    from contentops.cli.options import Session
    from contentops.operations.show import ItemStatus

PLAN_ENDING = ".json"
"""What ends with it and is there is a plan file, and no item."""
_NOT_FOUND = frozenset({"unknown-item", "no-project"})
_DIFF_STYLES = {"+": "add", "-": "remove", "@": "move"}


# --- status ------------------------------------------------------------------------------------------------


@click.command("status", short_help="Show how every item stands.")
@project_options
@selection_options
def status(session: Session, select: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Show how every item stands: as generated, edited, missing, new, changed, open, blocked, or an orphan.

    Where manifests have errors, it shows how the records and the files stand, and warns. Needs no network and changes
    nothing.
    """
    items, findings = show_operation.status(session.project(), choice_of(select=select, exclude=exclude))
    if not session.as_json:
        terminal.tell_findings(findings)
    text = status_text(items, width=terminal.width())
    session.answer({**diagnostics_json(findings), "items": [structs.asdict(item) for item in items]}, text)


def status_text(items: Sequence[ItemStatus], *, width: int = 0) -> str:
    """One line per item, of at most `width` columns (0: of any), then how many are in which state."""
    if not items:
        return "No items."
    rows = [(item.id, item.state, item.output, moment(item.generated_at), item.note) for item in items]
    heads = ("ITEM", "STATE", "OUTPUT", "GENERATED", "NOTE")
    head, *lines = table(heads, rows, width=width, sparse=True, whole=("STATE", "GENERATED")).split("\n")
    counts = Counter(item.state for item in items)
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    return "\n".join([paint(head, "dim"), *lines, "", f"{plural(len(items), 'item')}: {parts}."])


# --- show --------------------------------------------------------------------------------------------------


def _item_or_file(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    return offers("items")(context, option, begun) or complete_file(context, option, begun)


@click.command("show", short_help="Show one item as it is sent, or a plan file.")
@click.argument("what", metavar="ITEM|PLAN", shell_complete=_item_or_file)
@project_options
@click.option("--detailed-exitcode", is_flag=True, help="Of a plan file: exit with 2 if it is not empty.")
@click.option("-v", "--verbose", is_flag=True, help="Of a plan file: list every change, show values in full length.")
def show(session: Session, what: str, *, detailed_exitcode: bool, verbose: bool) -> int:
    """Show ITEM: exactly what is sent, its digest and output, where each value came from, and its record.

    Or show PLAN, a file made by `plan --out`, as it was when it was made. That reads the file alone and works in any
    folder; whether the plan still holds is what `plan --check` says.

    What ends with `.json` and is a file that exists is a plan file; anything else is an item.
    """
    if what.endswith(PLAN_ENDING) and os.path.lexists(session.path(what)):
        if session.environment or session.variables:
            raise UsageError(
                "`--env` and `--var` are for items: a plan file says by itself what it was made for",
                code="plan-file-and-flags",
                hint="leave them out",
            )
        empty = _show_plan(session, what, verbose=verbose)
        return ExitCode.CHANGES if detailed_exitcode and not empty else ExitCode.DONE
    if detailed_exitcode or verbose:
        raise click.UsageError(f"`--detailed-exitcode` and `--verbose` are for plan files, and `{what}` is none")
    _show_item(session, what)
    return ExitCode.DONE


def _show_plan(session: Session, path: str, *, verbose: bool) -> bool:
    """Shows a plan file as `plan` does, but that the next command is about the file; returns whether it is empty."""
    document = read_plan(session.path(path))
    plan = plan_of(document)
    if session.as_json:
        terminal.say_json(document)
    else:
        terminal.tell_findings(plan.findings, gap=True)
        flags = flags_of(document["inputs"])
        made = f", made with `{visible(' '.join(flags))}`" if flags else ""
        text = plan_text(plan, verbose=verbose, flags=[shlex.quote(path)])
        terminal.show(f"Plan file `{visible(path)}`{made}\n\n{text}")
    return plan.empty


def _show_item(session: Session, item: str) -> None:
    try:
        found = show_operation.show(session.project(), item)
    except ContentopsError as error:
        if item.endswith(PLAN_ENDING) and error.diagnostics()[0].code in _NOT_FOUND:
            raise no_plan_file(f"there is no plan file `{item}` and no item of this name") from error
        raise
    origins = {name: _origin(origin) for name, origin in found.get("origins", {}).items()}
    shown = {**found, "origins": origins} if origins else found
    session.answer(found, outline(shown))


def _origin(origin: Mapping[str, Any]) -> str:
    """Where a value came from, on one line: its layer, its place, and the variables it uses."""
    variables = ", ".join(f"`{name}`" for name in origin["variables"])
    parts = [origin["layer"], origin["place"], f"uses {variables}" if variables else ""]
    return ", ".join(part for part in parts if part)


# --- diff --------------------------------------------------------------------------------------------------


@click.command("diff", short_help="Show what a person changed in an item's file.")
@click.argument("item", shell_complete=offers("items"))
@project_options
def diff(session: Session, item: str) -> None:
    """Show how the file of ITEM differs from the text that was generated for it."""
    generated, file, note = show_operation.diff(session.project(), item)
    if not session.as_json:
        terminal.tell_line(note)
    text = "\n".join(difference(generated, file, item)) or "No difference."
    found = {"item": item, "same": generated == file, "generated": generated, "file": file, "note": note}
    session.answer(found, text)


def difference(generated: str, file: str, item: str) -> Iterator[str]:
    """A unified diff of two texts, harmless and painted; nothing where they are equal."""
    before, after = generated.splitlines(), file.splitlines()
    for line in _unified(before, after, f"{item} (generated)", f"{item} (file)"):
        yield paint(visible(line), _DIFF_STYLES.get(line[:1], "plain"))


class _Comparison(difflib.SequenceMatcher[str]):
    """Its own way to match takes minutes for a long text that was edited all over."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__()
        ends = difflib.Match(len(before), len(after), 0)
        self._matches = [*map(difflib.Match._make, shared(before, after)), ends]

    def get_matching_blocks(self) -> list[difflib.Match]:
        return self._matches


def _unified(before: list[str], after: list[str], old: str, new: str) -> Iterator[str]:
    matcher = _Comparison(before, after)
    for number, group in enumerate(matcher.get_grouped_opcodes()):
        if not number:
            yield from (f"--- {old}", f"+++ {new}")
        (_, first, _, there, _), (_, _, last, _, end) = group[0], group[-1]
        yield f"@@ -{_span(first, last)} +{_span(there, end)} @@"
        for tag, i, j, k, end in group:
            if tag == "equal":
                yield from (f" {line}" for line in before[i:j])
            else:
                yield from (f"-{line}" for line in before[i:j])
                yield from (f"+{line}" for line in after[k:end])


def _span(start: int, end: int) -> str:
    """Lines in the words of a unified diff; none stand before the first of them."""
    size = end - start
    return f"{start + 1}" if size == 1 else f"{start + bool(size)},{size}"
