"""What is known of a server: learned from its answers, and kept in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.digest import NOTHING
from contentops.planning.inputs import honours_ids

if TYPE_CHECKING:
    from contentops.model import State
    from contentops.state.cache import Cache


@dataclass(slots=True)
class ServerCapabilities:
    """What one server does with our ids, jobs and texts."""

    honours_ids: bool | None = None
    """Its job ids are our request ids."""
    hides_jobs: bool = False
    """It answered 404 for a job it had accepted, so a 404 proves nothing."""
    shows_after: float | None = None
    """Seconds after its submit at which an accepted job was known under its id, the fewest seen; None: not seen."""
    stores_jobs: bool | None = None
    """It stores finished jobs as content by itself; None: not seen yet."""
    creates_only: bool = False
    """`/content/save` with an id made another content."""
    alters_texts: bool | None = None
    """It gave back a text otherwise than it was saved; None: not seen yet."""

    @classmethod
    def load(cls, cache: Cache, state: State, server: str) -> ServerCapabilities:
        """What the cache knows, and what the records prove also without it."""
        known = cache.server_facts(server)
        shows, stores = known.get("shows_after"), known.get("stores_jobs")
        return cls(
            honours_ids=honours_ids(state, server),
            hides_jobs=known.get("hides_jobs") is True,
            shows_after=shows if isinstance(shows, int | float) and not isinstance(shows, bool) and shows >= 0 else None,
            stores_jobs=stores if isinstance(stores, bool) else None,
            creates_only=known.get("creates_only") is True,
            alters_texts=_alters_texts(state, server, known.get("alters_texts")),
        )

    def keep(self, cache: Cache, server: str) -> None:
        """Remember what is worth it for the next run; at once where a kill must not make that one pay for it."""
        cache.put_server_facts(
            server,
            {
                "hides_jobs": self.hides_jobs,
                "shows_after": self.shows_after,
                "stores_jobs": self.stores_jobs,
                "creates_only": self.creates_only,
                "alters_texts": self.alters_texts,
            },
        )

    def saw_job(self, age: float) -> None:
        """A job was known under its id `age` seconds after its submit."""
        self.shows_after = round(min(age, self.shows_after if self.shows_after is not None else age), 1)

    @property
    def absence_proves(self) -> bool:
        """Whether a 404 for our id means, after a while, that nothing arrived."""
        return self.honours_ids is True and not self.hides_jobs


def _alters_texts(state: State, server: str, known: object) -> bool | None:
    """Whether the server changes what it stores: one text it gave back otherwise proves it, also without the cache."""
    saves = (record.saved for record in state.records.values() if record.server == server)
    if known is True or any(saved.server_body not in (NOTHING, saved.body) for saved in saves if saved is not None):
        return True
    return False if known is False or server == "local" else None
