"""The history of runs and texts, as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import plural
from contentops.model import JobState, Verdict
from contentops.model.cost import money_words
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import moment, paint, table
from contentops.reporting.provenance import verdict_json
from contentops.reporting.spend import in_no_file
from contentops.reporting.tokens import sum_text, tokens_json
from contentops.sanitize import clip, one_line, visible
from contentops.tokens import sum_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Approval, Json
    from contentops.model.run import Generation, History, KeptReport, PaidText
    from contentops.tokens import PaidTokens


SHOWN = 50
"""Lines of each table in the text; JSON has all."""
_WORDS = 60
_NOTE = 200


def history_json(history: History) -> dict[str, Json]:
    """Runs and generations as JSON, the newest first."""
    return {
        "format_version": FORMAT_VERSION,
        "runs": [_run_json(one) for one in history.runs],
        "generations": [_generation_json(one) for one in history.generations],
        "texts": [text_json(one) for one in history.texts],
        "verdicts": [verdict_json(one) for one in history.verdicts],
        "gaps": list(history.gaps),
    }


def _generation_json(one: Generation) -> dict[str, Json]:
    values = structs.asdict(one)
    del values["tokens"], values["model"]
    return {**values, **({"model": one.model} if one.model else {}), **tokens_json(one.tokens)}


def text_json(text: PaidText) -> dict[str, Json]:
    """A paid text as JSON."""
    values = structs.asdict(text)
    del values["tokens"]
    return {**values, "where": list(text.where), **tokens_json(text.tokens)}


def _run_json(report: KeptReport) -> dict[str, Json]:
    run = structs.asdict(report.run)
    del run["outcomes"]
    return {**run, "exit_code": report.exit_code}


def history_text(history: History, *, width: int = 0) -> str:
    """A table of the runs, one of the generations, the sums, and what may be missing."""
    blocks = ["\n".join(_runs(history.runs, width))]
    blocks.append("\n".join(_generations(history.generations, history.verdicts, width)))
    blocks.append(texts_text(history.texts, width=width))
    paid = [one for one in history.generations if one.outcome in _PAID]
    spent = sum(one.credits for one in paid)
    ending = [paint(f"{plural(len(paid), 'text')}, {plural(spent, 'credit')}.", "strong")]
    lost = [one for one in history.generations if one.outcome == JobState.FAILED and one.tokens is not None]
    ending += sum_text(
        sum_tokens(one.tokens for one in (*paid, *lost) if one.model or one.tokens is not None), len(lost)
    )
    ending += in_no_file(sum(one.outcome == "unwritten" for one in paid))
    ending += _other_sum(sum(one.run.credits for one in history.runs), spent)
    ending += [f"There may be more: {visible(gap)}." for gap in history.gaps]
    return "\n\n".join([*filter(None, blocks), "\n".join(ending)])


_PAID = frozenset({"generated", "unwritten", "lost"})
"""Outcomes of texts that cost credits."""


def _other_sum(runs: int, spent: int) -> Iterator[str]:
    """Why the credits of the runs differ from those of the texts."""
    if 0 < spent < runs:
        why = "for jobs that are still open, failed later, or were given up"
        yield f"The runs count {plural(runs - spent, 'credit')} more: {why}."
    if 0 < runs < spent:
        why = "runs that were killed or on other machines are not listed"
        yield f"The runs count {plural(spent - runs, 'credit')} fewer: {why}."


def _runs(runs: Sequence[KeptReport], width: int) -> Iterator[str]:
    rows = []
    for report in runs[:SHOWN]:
        run = report.run
        counts = ", ".join(f"{number:,} {result}" for result, number in run.counts.items() if number)
        rows.append((moment(run.started_at), run.id[:8], f"{run.credits:,}", counts, run.stopped))
    yield from _listed(("RUN AT", "RUN", "CREDITS", "ITEMS", "STOPPED"), rows, len(runs), width)


def _generations(made: Sequence[Generation], verdicts: Sequence[Approval], width: int) -> Iterator[str]:
    """A table of what was made and what people said of it, the newest first."""
    rows = [
        *(
            (one.at, one.item, one.job_id, f"{one.credits:,}", _money(one.tokens), one.outcome, clip(one.error, _WORDS))
            for one in made
        ),
        *((one.at, one.item, "", "", "", _VERDICTS[one.verdict], _opinion(one)) for one in verdicts),
    ]
    if verdicts:
        rows.sort(key=lambda row: row[0], reverse=True)
    shown = [(moment(at), *cells) for at, *cells in rows[:SHOWN]]
    head = ("MADE AT", "ITEM", "JOB", "CREDITS", "MONEY", "OUTCOME", "WHY")
    yield from _listed(head, shown, len(rows), width)


def _money(tokens: PaidTokens | None) -> str:
    """What the model of one text cost; empty where that is not known."""
    return "" if tokens is None else money_words(sum_tokens([tokens]).money)


_VERDICTS = {Verdict.APPROVED: "approved", Verdict.SENT_BACK: "sent back"}


def _opinion(line: Approval) -> str:
    """Who said it, and the note."""
    return f"{line.by}: {clip(one_line(line.note), _NOTE)}" if line.note else line.by


def texts_text(texts: Sequence[PaidText], *, width: int = 0) -> str:
    """A table of paid texts, each with the start of its digest and where it is kept; empty where there is none."""
    rows = [
        (one.short, moment(one.at), one.job_id, f"{one.credits:,}", _where(one), _stands(one)) for one in texts[:SHOWN]
    ]
    return "\n".join(_listed(("TEXT", "MADE AT", "JOB", "CREDITS", "WHERE", "NOW"), rows, len(texts), width))


_PLACES = {"cache": "in cache", "git": "in git", "server": "on server"}


def _where(text: PaidText) -> str:
    return ", ".join(_PLACES[source] for source in text.where) or "nowhere"


def _stands(text: PaidText) -> str:
    return ", ".join([*["in the file"] * text.stands, *["last generated"] * text.generated])


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], total: int, width: int) -> Iterator[str]:
    if not rows:
        return
    first, *lines = table(head, rows, width=width, sparse=True, whole=(head[0], "MADE AT"), first=("JOB",)).split("\n")
    yield from (paint(first, "dim"), *lines)
    if total > len(rows):
        yield f"... and {total - len(rows):,} earlier; `--json` lists all"
