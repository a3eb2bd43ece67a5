"""What was made over time, and the reports that runs of this machine left behind."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.model.records import Record


class KeptOutcome(Struct, frozen=True):
    """One item of a run, as far as it is of use here."""

    id: str
    result: str
    credits: int = 0


class KeptRun(Struct, frozen=True, kw_only=True):
    """One run of this machine."""

    id: str
    started_at: str
    ended_at: str = ""
    credits: int = 0
    credits_unknown: int = 0
    counts: Mapping[str, int] = {}
    stopped: str = ""
    outcomes: tuple[KeptOutcome, ...] = ()


class KeptReport(Struct, frozen=True, kw_only=True):
    """A file in `.contentops/runs/`."""

    environment: str
    exit_code: int
    run: KeptRun
    generations: tuple[Record, ...] = ()


class Generation(Struct, frozen=True, kw_only=True):
    """One submit and what became of it."""

    item: str
    at: str
    """When its text was made; of one that has none, when it was submitted."""
    job_id: str
    request_id: str
    credits: int
    """What it cost; of one that is open or unknown, what it may."""
    outcome: str
    """`generated`, or how its job stands: `submitting`, `running`, `unknown`, `paid` or `failed`."""
    server: str
    error: str = ""
    commit: str = ""
    """The first commit that holds it, or empty."""


class History(Struct, frozen=True, kw_only=True):
    """All of it, the newest first."""

    runs: tuple[KeptReport, ...]
    generations: tuple[Generation, ...]
    gaps: tuple[str, ...] = ()
    """What keeps it from being all there was, each a sentence."""
