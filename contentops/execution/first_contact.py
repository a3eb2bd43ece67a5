"""The start of a run on an account: one job until its server has completed one, and which submits ask first."""

from __future__ import annotations

from msgspec import Struct

from contentops.execution.limiter import Admission


class AccountHistory(Struct, frozen=True, kw_only=True):
    """The submits of an account, by any machine, as its ledger knows them."""

    proven: frozenset[tuple[str, str]] = frozenset()
    """The servers and dialects in which a text was paid for. None: the account is new to the ledger."""
    unclear: bool = False
    """No one knows what became of a submit."""
    restored: bool = False
    """A backup was put in the ledger's place lately: it does not know of all that was paid for."""


def ask_after_restore(admission: Admission, history: AccountHistory, *, honours_ids: bool | None) -> None:
    """Make submits ask for their id first from now on, if a backup replaced the ledger while this process works."""
    if history.restored:
        admission.restored, admission.ask_first = True, honours_ids is not False


def admit(
    most: int,
    scope: tuple[str, str],
    history: AccountHistory | None = None,
    *,
    proven: bool = False,
    honours_ids: bool | None = None,
) -> Admission:
    """The admission of submits in `scope`, a server and a dialect: at most `most` jobs at a time.

    `history` is what the ledger knows, None where there is none. `proven`: a record shows that a job has completed
    there. `honours_ids`: whether the server uses our request ids as those of its jobs; None: not known.
    """
    ledger = history or AccountHistory()
    asks = honours_ids is not False
    return Admission(
        max_in_flight=most,
        proven=proven or scope in ledger.proven,
        # Without a ledger, or with an empty one, another machine may have paid: a journal does not show whether the run
        # that began it has asked for all its ids.
        ask_first=asks and (ledger.restored or not ledger.proven),
        restored=ledger.restored,
    )
