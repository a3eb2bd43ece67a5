"""Where the text of a file comes from: who made it, what it cost, who changed and who approved it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.digest import Digest
from contentops.model.approval import Approval, ApprovalState
from contentops.model.records import ItemId, Json
from contentops.tokens import TokenSum


class PaidAttempts(Struct, frozen=True):
    """The texts that were paid for until an item had its text, and their credits: used, rejected and failed ones."""

    number: int = 0
    credits: int = 0
    tokens: TokenSum = TokenSum()
    """Of these, and of its jobs that failed."""


class TextProvenance(Struct, frozen=True, kw_only=True):
    """One text that is in a file now."""

    item: ItemId
    output: str
    server: str
    """Who made it: scheme, host and port, or `local`; empty: no job made it."""
    model: str = ""
    """The model that the server names; empty: none."""
    job_id: str
    request: Digest
    """The digest of the request that it answers."""
    text: Digest
    """The digest that approvals are bound to, see `text_digest`."""
    generated_at: str
    attempts: PaidAttempts
    changed: float | None
    """The share of its words that people changed, from 0 to 1; None: not known, as the generated text is nowhere."""
    approval: ApprovalState
    verdicts: tuple[Approval, ...]
    """The last word of each person on this very text, the oldest first."""
    promoted_from: str = ""
    """The environment it was taken from; empty: none."""
    disclosure: Mapping[str, Json] = {}
    """What its front matter says of how it was made."""
    commit: str = ""
    """The commit that last changed the file; empty: none, or the file was changed since."""


class Provenances(Struct, frozen=True, kw_only=True):
    """The texts by item, and what is not among them."""

    texts: tuple[TextProvenance, ...]
    unread: tuple[str, ...] = ()
    """Files that cannot be used, each with the reason."""
    gaps: tuple[str, ...] = ()
    """Why credits or commits may be missing, each a sentence."""


class ApprovedCost(Struct, frozen=True, kw_only=True):
    """What the items whose texts are approved now have cost, with all their attempts."""

    items: int
    texts: int
    """That were paid for."""
    credits: int
    tokens: TokenSum = TokenSum()
