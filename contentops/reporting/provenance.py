"""Where texts come from, as a table, CSV and JSON; and what approved texts have cost."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.errors import plural
from contentops.model import Verdict
from contentops.model.approval import NOTE_LIMIT
from contentops.model.cost import money_words
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import moment, paint, table
from contentops.reporting.tokens import sum_json
from contentops.sanitize import clip, json_text, visible
from contentops.tokens import exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.model import Approval, Json
    from contentops.model.provenance import ApprovedCost, Provenances, TextProvenance

_SHORT: Final = 8


def provenance_json(provenances: Provenances, environment: str) -> dict[str, Json]:
    """The texts as JSON, by item."""
    return {
        "format_version": FORMAT_VERSION,
        "environment": environment,
        "texts": [_text_json(one) for one in provenances.texts],
        "unread": list(provenances.unread),
        "gaps": list(provenances.gaps),
    }


def _text_json(text: TextProvenance) -> dict[str, Json]:
    values = structs.asdict(text)
    attempts, verdicts = values.pop("attempts"), values.pop("verdicts")
    return {
        **values,
        "attempts": attempts.number,
        "credits": attempts.credits,
        **sum_json(attempts.tokens),
        "approval": text.approval.value,
        "disclosure": dict(text.disclosure),
        "verdicts": [verdict_json(one) for one in verdicts],
    }


def verdict_json(line: Approval) -> dict[str, Json]:
    """A verdict with the keys of its line in `contentops.approvals`; a long note is cut."""
    return {
        "item": line.item,
        "text": line.text,
        "verdict": line.verdict.value,
        "by": line.by,
        "at": line.at,
        "note": clip(line.note, NOTE_LIMIT),
        "from": line.source,
    }


# --- a table -----------------------------------------------------------------------------------------------


def provenance_text(provenances: Provenances, *, width: int = 0) -> str:
    """A line for each text, then their number, and what may be missing."""
    head = ("ITEM", "SERVER", "MODEL", "JOB", "MADE AT", "CREDITS", "MONEY", "CHANGED", "APPROVAL", "BY", "COMMIT")
    rows = [
        (
            one.item,
            one.server,
            one.model,
            one.job_id,
            moment(one.generated_at),
            f"{one.attempts.credits:,}",
            money_words(one.attempts.tokens.money),
            "not known" if one.changed is None else f"{one.changed:.0%}",
            one.approval.words,
            _people(one.verdicts),
            one.commit[:_SHORT],
        )
        for one in provenances.texts
    ]
    whole = ("MADE AT", "CREDITS", "MONEY", "CHANGED", "APPROVAL", "COMMIT")
    lines = (
        table(head, rows, width=width, sparse=True, whole=whole, first=("JOB", "SERVER", "MODEL")).split("\n")
        if rows
        else []
    )
    ending = [paint(f"{plural(len(rows), 'text')}.", "strong")]
    ending += [f"Left out: {visible(problem)}." for problem in provenances.unread]
    ending += [f"There may be more: {visible(gap)}." for gap in provenances.gaps]
    return "\n".join([*(paint(line, "dim") for line in lines[:1]), *lines[1:], *([""] if lines else []), *ending])


def _people(verdicts: Sequence[Approval]) -> str:
    """Who said something of a text, without addresses: the last one, and how many others."""
    if not verdicts:
        return ""
    *others, last = verdicts
    name = last.name
    return f"{name} and {plural(len(others), 'other')}" if others else name


# --- CSV ---------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    *("item", "output", "server", "job", "request", "text", "generated_at", "attempts", "credits", "changed"),
    *("approval", "approved_by", "approved_at", "approved_from", "sent_back_by", "promoted_from", "disclosure"),
    *("commit", "model"),
    *("tokens_input", "tokens_output", "money", "tokens_unknown"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet, in either width."""


def provenance_csv(provenances: Provenances) -> str:
    """The texts as CSV by RFC 4180, with a header; no cell is a formula for a spreadsheet, or has unsafe characters."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_cell, _row(one)) for one in provenances.texts)
    return file.getvalue()


def _row(text: TextProvenance) -> Iterator[str]:
    approvals = [line for line in text.verdicts if line.verdict is Verdict.APPROVED]
    yield from (text.item, text.output, text.server, text.job_id, text.request, text.text, text.generated_at)
    yield from (str(text.attempts.number), str(text.attempts.credits))
    yield "" if text.changed is None else str(text.changed)
    yield text.approval.value
    yield _joined(line.by for line in approvals)
    yield _joined(line.at for line in approvals)
    yield _joined(line.source for line in approvals)
    yield _joined(line.by for line in text.verdicts if line.verdict is Verdict.SENT_BACK)
    yield text.promoted_from
    yield _joined(
        f"{key}={value if isinstance(value, str) else json_text(value)}" for key, value in text.disclosure.items()
    )
    yield text.commit
    yield text.model
    tokens = text.attempts.tokens
    known = tokens.is_known
    yield str(tokens.input) if known else ""
    yield str(tokens.output) if known else ""
    yield _joined(f"{exact(amount)} {name}" for name, amount in sorted(tokens.money.items()))
    yield str(tokens.unknown) if known else ""


def _joined(values: Iterable[str]) -> str:
    return "; ".join(values)


def _cell(text: str) -> str:
    """A cell with visible characters, and an apostrophe before what a spreadsheet would take for a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


# --- what approved texts have cost -------------------------------------------------------------------------


def approved_json(cost: ApprovedCost | None) -> dict[str, Json]:
    """The cost of approved texts as a key of the spend; empty where no one approved any."""
    if cost is None:
        return {}
    average = round(cost.credits / cost.items, 2) if cost.items else None
    counts = {"items": cost.items, "texts": cost.texts, "credits": cost.credits}
    return {"approved": {**counts, "average": average, **sum_json(cost.tokens)}}


def approved_text(cost: ApprovedCost | None) -> Sequence[str]:
    """The same in a sentence."""
    if cost is None or not cost.items:
        return ()
    average = f"{cost.credits / cost.items:,.1f} credits on average"
    spent = f"{plural(cost.credits, 'credit')} in all, {average}"
    spent += f", and {money_words(cost.tokens.money)}" if cost.tokens.money else ""
    return (f"Approved now: {plural(cost.items, 'text')}. With every attempt, they have cost {spent}.",)
