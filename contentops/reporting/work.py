"""What a worker did, as text and JSON, and its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import to_builtins

from contentops.errors import ExitCode, plural, worst
from contentops.model import Result
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.run import STOPPED
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import AccountWork, Json


def exit_code_of_work(done: Sequence[AccountWork], *, endless: bool = False) -> ExitCode:
    """The worst exit code of all accounts; an `endless` worker that was asked to end is done."""
    if endless and all(one.stopped == "interrupted" for one in done):
        return ExitCode.DONE
    codes = [STOPPED.get(one.stopped, ExitCode.INCOMPLETE) for one in done]
    if any(result not in {Result.DONE, Result.PENDING} for one in done for result in one.results):
        codes.append(ExitCode.INCOMPLETE)
    return worst(codes)


def work_json(done: Sequence[AccountWork], *, endless: bool = False) -> dict[str, Json]:
    """The same as JSON; `endless` is as in `exit_code_of_work`."""
    return {
        "format_version": FORMAT_VERSION,
        "exit_code": int(exit_code_of_work(done, endless=endless)),
        "accounts": to_builtins(done),
    }


def work_text(done: Sequence[AccountWork]) -> str:
    """A line for each account, why it stopped early, and where the texts are."""
    lines = [*_lines(done)]
    if any(one.results.get(Result.DONE) for one in done):
        lines.append("The texts are in the ledger; `contentops apply` in a checkout writes the files.")
    return "\n".join(lines)


def _lines(done: Sequence[AccountWork]) -> Iterator[str]:
    for one in done:
        counts = [f"{number:,} {result}" for result, number in sorted(one.results.items()) if result is not Result.DONE]
        parts = [f"{one.results.get(Result.DONE, 0):,} done", *counts, plural(one.credits, "credit")]
        yield f"{visible(one.account)}: {', '.join(parts)}, {plural(one.requests, 'request')}"
        if one.stopped:
            yield f"stopped: {'; '.join(part for part in (one.message, one.hint) if part)}"
