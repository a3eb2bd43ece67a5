"""Look up finished texts that a plan may write: in the cache of this machine, else in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.documents.clean import body_digest
from contentops.planning.existing_texts import FinishedText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.ledger.project import ReadLedger
    from contentops.model import Desired, Observed, State
    from contentops.state.cache import Cache


def finished_texts(
    cache: Cache,
    ledger: ReadLedger | None,
    server: str,
    desired: Desired,
    state: State,
    observed: Mapping[str, Observed],
) -> Callable[[Digest], FinishedText | None]:
    """Return a function that finds the text of a request. The ledger is asked once, for all requests together."""
    if ledger is not None:
        ledger.look_for_texts(server, _unanswered(desired, state, observed))

    def stored(digest: Digest) -> FinishedText | None:
        text = cache.own_text(server, digest)
        if text is not None:
            return FinishedText(
                item=text.item,
                body=body_digest(text.body),
                title=text.title,
                request_id=text.request_id,
                given_up=text.given_up,
                outline=text.outline,
            )
        about = ledger.summary(server, digest) if ledger is not None else None
        if about is None:
            return None
        return FinishedText(item=about.item, body=about.body, title=about.title, request_id=about.request_id)

    return stored


def _unanswered(desired: Desired, state: State, observed: Mapping[str, Observed]) -> Iterator[Digest]:
    """Yield the requests whose text a plan may need: without a record or a file, or still open."""
    for spec in desired.specs:
        record = state.records.get(spec.id)
        if record is None or record.digest != spec.digest:
            yield spec.digest
    for record in state.records.values():
        if (file := observed.get(record.output)) is None or not file.exists:
            yield record.digest
    for entry in state.entries.values():
        yield entry.digest
