"""What was made over time, and the reports that runs of this machine left behind."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.digest import Digest
from contentops.model.records import Record

PREFIX, SHORT = "sha256:", 12
"""How digests begin, and how many of their other characters a person is shown."""


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


class PaidText(Struct, frozen=True, kw_only=True):
    """A text that a job made for an item, and where it can be had from for nothing."""

    item: str
    body: Digest
    at: str
    """When it was made."""
    job_id: str
    request_id: str
    content_id: str
    server: str
    credits: int
    where: tuple[str, ...] = ()
    """`cache`, `git` (in the history of the file), `server` (which may still have it), the quickest first."""
    stands: bool = False
    """It is the text in the file now."""
    generated: bool = False
    """It is the last one that a job made: with it, the file is as generated."""

    @property
    def short(self) -> str:
        """The start of its digest, by which a person names it."""
        return self.body.removeprefix(PREFIX)[:SHORT]

    @property
    def here(self) -> bool:
        """Whether this machine has it."""
        return bool({"cache", "git"}.intersection(self.where))


class History(Struct, frozen=True, kw_only=True):
    """All of it, the newest first."""

    runs: tuple[KeptReport, ...]
    generations: tuple[Generation, ...]
    texts: tuple[PaidText, ...] = ()
    """Those of the one item that was asked for."""
    gaps: tuple[str, ...] = ()
    """What keeps it from being all there was, each a sentence."""
