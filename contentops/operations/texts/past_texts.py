"""Find texts of earlier runs: in the cache, else in git's history of lock and files."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from contentops.ci.file_history import earlier_bodies, no_history
from contentops.ci.results import past_of
from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import OutputError
from contentops.model import ATTEMPTS, cost_of, is_answer, request_id
from contentops.operations.environments import other_states
from contentops.state.paid_texts import StoredText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Project, Record, RequestId, Spec, State
    from contentops.state.cache import Cache


class PastTexts:
    """Earlier texts of a project."""

    def __init__(
        self,
        project: Project,
        state: State,
        cache: Cache,
        declared: Mapping[ItemId, Spec] = MappingProxyType({}),
        heirs: Mapping[Digest, ItemId] = MappingProxyType({}),
    ) -> None:
        """`declared`: the declared items. `heirs`: by request, the item that may use the text of a removed one."""
        self._project = project
        self._state = state
        self._cache = cache
        self._declared = declared
        self._heirs = heirs

    def read_locks(self) -> None:
        """Read the history of the lock now, which the first call of `of_request` would do otherwise."""
        _ = self._past

    def text(self, digest: Digest) -> str | None:
        """Find a text of a record of any environment or an open entry, in the cache, in git or in a file."""
        text = self._body(digest, self._files(digest))
        return text if text is not None else self._in_files_elsewhere(digest)

    def of_request(self, ids: Iterable[ItemId], digest: Digest) -> StoredText | None:
        """Find the last text that a job made for a request of an item, in git.

        `ids`: all ids the item has had, today's first. A text that another declared item has and asks for is left out.
        Earlier locks list the texts by request id, which is made of the item and the request; the history of the file
        has the words.
        """
        id_of = functools.partial(request_id, self._state.lineage, self._project.environment)
        own, *former = ids
        own_ids = {own, *former}
        # An item that was removed and comes back has no record with its former ids.
        own_ids |= {old for past in self._past.values() if past.id in own_ids for old in past.former_ids}
        # A text belongs to the item that has the id today, if that one asks for it.
        own_ids -= {id_ for id_ in own_ids - {own} if self._asks(id_, digest)}
        names = {id_of(id_, digest, attempt) for id_ in own_ids for attempt in range(1, self._most_attempts + 1)}
        free = (name for name in names if (has := self._living.get(name, own)) == own or not self._asks(has, digest))
        records = (one for name in free if (one := self._past.get(name)) is not None)
        ours = (one for one in records if one.server == self._project.api.server and one.generated)
        for past in sorted(ours, key=lambda one: (one.attempt, one.generated_at), reverse=True):
            if (body := self._body(past.generated, (past.output,))) is not None:
                return _stored(past, body)
        return self._of_gone_item(digest) if self._heirs.get(digest) == own else None

    def _of_gone_item(self, digest: Digest) -> StoredText | None:
        """Find the last text of an item that no manifest declares any more."""
        lineage, environment = self._state.lineage, self._project.environment
        for gone in sorted(self._gone.get(digest, ()), key=lambda one: one.generated_at, reverse=True):
            if is_answer(gone, lineage, environment):
                body = self._body(gone.generated, (gone.output,))
                if body is not None:
                    return _stored(gone, body)
        return None

    @functools.cached_property
    def _gone(self) -> Mapping[Digest, list[Record]]:
        """The records of items that are not declared, by request, without texts that a declared item has."""
        gone: defaultdict[Digest, list[Record]] = defaultdict(list)
        for one in {**self._past, **{one.request_id: one for one in self._state.records.values()}}.values():
            is_ours = one.server == self._project.api.server and one.request_id not in self._living
            if is_ours and one.generated and one.id not in self._declared:
                gone[one.digest].append(one)
        return gone

    def _asks(self, id_: ItemId, digest: Digest) -> bool:
        spec = self._declared.get(id_)
        return spec is not None and spec.digest == digest

    def why_missing(self) -> str:
        """Return why a text may be missing in this clone and what to do; empty where the history is whole."""
        return no_history(self._project.root)

    def _files(self, digest: Digest) -> Iterator[str]:
        """Yield the files that may have, or have had, the text, each at its path of today."""
        yield from (one.output for one in self._state.records.values() if digest in (*one.bodies, one.adopted))
        for entry in self._state.entries.values():
            if entry.body == digest:
                now = self._state.records.get(entry.item)
                yield from filter(None, (now.output if now is not None else "", entry.output))
        yield from self._files_elsewhere(digest)

    def _files_elsewhere(self, digest: Digest) -> Iterator[str]:
        """Yield the files of other environments that a text may have been promoted from."""
        # Only the environment that promoted an edit which was not saved has recorded it.
        taken = {one.id for one in self._state.records.values() if one.promoted == digest}
        yield from (one.output for one in self._elsewhere if digest in one.bodies or one.id in taken)

    @functools.cached_property
    def _elsewhere(self) -> tuple[Record, ...]:
        return tuple(one for _, state in other_states(self._project) for one in state.records.values())

    @functools.cached_property
    def _living(self) -> Mapping[RequestId, ItemId]:
        """The declared items by the requests whose texts they have."""
        return {one.request_id: one.id for one in self._state.records.values() if one.id in self._declared}

    @functools.cached_property
    def _past(self) -> Mapping[RequestId, Record]:
        return past_of(self._project).records

    @functools.cached_property
    def _most_attempts(self) -> int:
        return min(ATTEMPTS, max((past.attempt for past in self._past.values()), default=0))

    def _body(self, digest: Digest, files: Iterable[str]) -> str | None:
        body = self._cache.body(digest)
        if body is None:
            past = (each for path in files for each in earlier_bodies(self._project.root, path))
            body = next((text for each_digest, text in past if each_digest == digest), None)
        return body

    def _in_files_elsewhere(self, digest: Digest) -> str | None:
        """Find a promoted text in a file of another environment."""
        outputs, files = Outputs(self._project.root), self._files_elsewhere(digest)
        with contextlib.suppress(OutputError):
            path = next((path for path in files if outputs.observe(path).body == digest), None)
            return None if path is None else split(outputs.read(path)).body
        return None


def _stored(record: Record, body: str) -> StoredText:
    """Return the text as a job gave it, without its content id: that content may have another text by now."""
    return StoredText(
        title=record.title,
        body=body,
        job_id=record.job_id,
        request_id=record.request_id,
        item=record.id,
        **cost_of(record),
        generated_at=record.generated_at,
        outline=record.outline,
        model=record.model,
    )
