"""What was made, and by which runs, as text and JSON; words from files and servers are made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import plural
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import moment, paint, table
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Json
    from contentops.model.run import Generation, History, KeptReport, PaidText

SHOWN = 50
"""Lines of each table in the text; JSON has all."""
_WORDS = 60


def history_json(history: History) -> dict[str, Json]:
    """Runs and generations as JSON, the newest first."""
    return {
        "format_version": FORMAT_VERSION,
        "runs": [_run_json(one) for one in history.runs],
        "generations": [structs.asdict(one) for one in history.generations],
        "texts": [text_json(one) for one in history.texts],
        "gaps": list(history.gaps),
    }


def text_json(text: PaidText) -> dict[str, Json]:
    """A paid text as JSON."""
    return {**structs.asdict(text), "where": list(text.where)}


def _run_json(report: KeptReport) -> dict[str, Json]:
    run = structs.asdict(report.run)
    del run["outcomes"]
    return {**run, "exit_code": report.exit_code}


def history_text(history: History, *, width: int = 0) -> str:
    """A table of the runs, one of the generations, how much there is, and what may be missing."""
    blocks = ["\n".join(_runs(history.runs, width)), "\n".join(_generations(history.generations, width))]
    blocks.append(texts_text(history.texts, width=width))
    spent = sum(one.credits for one in history.generations if one.outcome == "generated")
    texts = sum(one.outcome == "generated" for one in history.generations)
    ending = [paint(f"{plural(texts, 'text')}, {plural(spent, 'credit')}.", "strong")]
    ending += [f"There may be more: {visible(gap)}." for gap in history.gaps]
    return "\n\n".join([*filter(None, blocks), "\n".join(ending)])


def _runs(runs: Sequence[KeptReport], width: int) -> Iterator[str]:
    rows = []
    for report in runs[:SHOWN]:
        run = report.run
        counts = ", ".join(f"{number:,} {result}" for result, number in run.counts.items() if number)
        rows.append((moment(run.started_at), run.id[:8], f"{run.credits:,}", counts, run.stopped))
    yield from _listed(("RUN AT", "RUN", "CREDITS", "ITEMS", "STOPPED"), rows, len(runs), width)


def _generations(made: Sequence[Generation], width: int) -> Iterator[str]:
    rows = [
        (moment(one.at), one.item, one.job_id, f"{one.credits:,}", one.outcome, clip(one.error, _WORDS))
        for one in made[:SHOWN]
    ]
    yield from _listed(("MADE AT", "ITEM", "JOB", "CREDITS", "OUTCOME", "WHY"), rows, len(made), width)


def texts_text(texts: Sequence[PaidText], *, width: int = 0) -> str:
    """A table of paid texts, each by the start of its digest, and where it can be had from; empty where none is."""
    rows = [
        (one.short, moment(one.at), one.job_id, f"{one.credits:,}", _where(one), _stands(one)) for one in texts[:SHOWN]
    ]
    return "\n".join(_listed(("TEXT", "MADE AT", "JOB", "CREDITS", "WHERE", "NOW"), rows, len(texts), width))


_PLACES = {"cache": "in cache", "git": "in git", "server": "on server"}


def _where(text: PaidText) -> str:
    return ", ".join(_PLACES[place] for place in text.where) or "nowhere"


def _stands(text: PaidText) -> str:
    return ", ".join([*["in the file"] * text.stands, *["last generated"] * text.generated])


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], total: int, width: int) -> Iterator[str]:
    if not rows:
        return
    first, *lines = table(head, rows, width=width, sparse=True, whole=(head[0],)).split("\n")
    yield from (paint(first, "dim"), *lines)
    if total > len(rows):
        yield f"... and {total - len(rows):,} earlier; `--json` lists all"
