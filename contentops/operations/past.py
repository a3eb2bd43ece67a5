"""Texts of earlier runs that the cache lacks: from the history of lock and files in git, so that any clone has them."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from contentops.ci.clone import in_repository
from contentops.ci.git import GitFailed
from contentops.ci.results import earlier_bodies, lock_at, no_history, versions
from contentops.digest import NOTHING
from contentops.documents.front_matter import split
from contentops.errors import StateError
from contentops.model import ItemId, Saved
from contentops.operations.workspace import other_states
from contentops.state.cache import StoredText
from contentops.state.lock import request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.digest import Digest
    from contentops.model import Project, Record, State
    from contentops.state.cache import Cache


_ATTEMPTS = 100
"""Attempts at one request that are considered: a lock may say anything."""


class PastTexts:
    """What the cache and git have of earlier texts; git is asked anew for each, and only where the cache lacks it."""

    def __init__(self, project: Project, state: State, cache: Cache) -> None:
        self._project = project
        self._state = state
        self._cache = cache

    def text(self, digest: Digest) -> str | None:
        """The text with a body digest that a record of any environment names: from the cache, else from git."""
        return self._found(digest, (one.output for one in self._records() if digest in _bodies(one)))

    def of_request(self, record: Record, digest: Digest) -> StoredText | None:
        """The last text that a job made for an earlier request of the item, if git has it beside its record.

        The provenance block of the file tells which of its versions are about that request, and the lock at that
        commit which text a job made.
        """
        for version in versions(self._project.root, record.output) if self._in_git else ():
            if split(version.data.decode("utf-8", "replace")).provenance.get("digest") != digest:
                continue
            with contextlib.suppress(StateError, GitFailed):
                past = self._recorded(version.commit, record, digest)
                if past is not None and (body := self._found(past.generated, (record.output,))) is not None:
                    return _stored(past, body)
        return None

    def why_missing(self) -> str:
        """Why a text may be missing here that is elsewhere, and what would bring it; empty where nothing would."""
        return no_history(self._project.root)

    def _records(self) -> Iterator[Record]:
        yield from self._state.records.values()
        # A text that was promoted stands in the history of the file it was taken from.
        yield from self._elsewhere

    @functools.cached_property
    def _elsewhere(self) -> tuple[Record, ...]:
        return tuple(one for _, state in other_states(self._project) for one in state.records.values())

    @functools.cached_property
    def _in_git(self) -> bool:
        return in_repository(self._project.root)

    def _recorded(self, commit: str, record: Record, digest: Digest) -> Record | None:
        """The record at a commit whose text a job made for this request: `keep` gives an older text another request."""
        asked = functools.partial(request_id, self._state.lineage, self._project.environment)
        lines = lock_at(self._project.root, commit, self._project.environment).records
        names = {record.id, ItemId(record.moved_from)}
        for past in (line.value for name in names for line in lines.get(name, ())):
            made_here = past.digest == digest and past.server == record.server == self._project.api.server
            # Attempts never fall, so an earlier one may be the text's.
            attempts = range(1, min(past.attempt, _ATTEMPTS) + 1)
            if made_here and past.request_id in {asked(name, digest, one) for name in names for one in attempts}:
                return past
        return None

    def _found(self, digest: Digest, files: Iterable[str]) -> str | None:
        found = self._cache.body(digest)
        if found is None:
            past = (each for path in files for each in earlier_bodies(self._project.root, path))
            found = next((body for known, body in past if known == digest), None)
        return found


def _bodies(record: Record) -> frozenset[Digest]:
    saved = record.saved or Saved()
    return frozenset({record.generated, record.promoted, saved.body, saved.server_body} - {NOTHING})


def _stored(record: Record, body: str) -> StoredText:
    """The text as a job gave it, but for its content: that may hold another text since."""
    return StoredText(
        title=record.title,
        body=body,
        job_id=record.job_id,
        request_id=record.request_id,
        item=record.id,
        credits=record.credits,
        generated_at=record.generated_at,
    )
