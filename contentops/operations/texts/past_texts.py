"""Find texts of earlier runs: in the cache, else in git's history of lock and files."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from contentops.atomic_io import Disk
from contentops.ci.file_history import earlier_bodies, no_history
from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import OutputError
from contentops.operations.environments import other_states
from contentops.state.git_folder import repository_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Project, Record, Spec, State
    from contentops.state.cache import Cache


class PastTexts:
    """Earlier texts of a project."""

    def __init__(
        self,
        project: Project,
        state: State,
        cache: Cache,
        declared: Mapping[ItemId, Spec] = MappingProxyType({}),
    ) -> None:
        """`declared`: the declared items."""
        self._project = project
        self._state = state
        self._cache = cache
        self._declared = declared

    def text(self, digest: Digest) -> str | None:
        """Find a text of a record of any environment or an open entry, in the cache, in git or in a file."""
        text = self._body(digest, self._files(digest))
        return text if text is not None else self._in_files_elsewhere(digest)

    def why_missing(self) -> str:
        """Return why a text may be missing in this clone and what to do; empty where the history is whole."""
        return no_history(self._project.root)

    def _files(self, digest: Digest) -> Iterator[str]:
        """Yield the files that may have, or have had, the text, each at its path of today."""
        yield from (one.output for one in self._state.records.values() if digest in (*one.bodies, one.adopted))
        for job in (*self._state.jobs, *self._state.entries.values()):
            if job.body == digest:
                now = self._state.records.get(job.item)
                asking = (spec.output for spec in self._declared.values() if spec.digest == job.digest)
                yield from filter(None, (now.output if now is not None else "", job.output, *asking))
        yield from self._files_elsewhere(digest)

    def _files_elsewhere(self, digest: Digest) -> Iterator[str]:
        """Yield the files of other environments that a text may have been promoted from."""
        # Only the environment that promoted an edit which was not saved has recorded it.
        taken = {one.id for one in self._state.records.values() if one.promoted == digest}
        yield from (one.output for one in self._elsewhere if digest in one.bodies or one.id in taken)

    @functools.cached_property
    def _elsewhere(self) -> tuple[Record, ...]:
        return tuple(one for _, state in other_states(self._project) for one in state.records.values())

    def _body(self, digest: Digest, files: Iterable[str]) -> str | None:
        body = self._cache.body(digest)
        if body is None and repository_of(Path(self._project.root), Disk()) is not None:
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
