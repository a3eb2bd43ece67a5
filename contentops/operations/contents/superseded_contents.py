"""Superseded contents: whether the words of each are anywhere else, so that nothing is lost with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.api.calls import Content, Failure, FailureKind, GetContent
from contentops.api.stamps import is_as_created
from contentops.ci.file_history import earlier_bodies
from contentops.digest import NO_TEXT, Digest
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.execution.stored_content import StoredContent
from contentops.operations.contents.stored_contents import as_error, converse
from contentops.operations.environments import other_states
from contentops.operations.opening import HERE, open_cache, read_state

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from contentops.model import Project, Record
    from contentops.operations.contents.stored_contents import Caller
    from contentops.operations.opening import Runtime
    from contentops.state.cache import Cache


def without_copy(
    project: Project,
    content_ids: Collection[str],
    *,
    runtime: Runtime = HERE,
) -> frozenset[str]:
    """Those of some superseded contents whose words are in no file, not in git and not in the cache. Raises ApiError.

    Each is fetched. One that is gone has no words.
    """

    async def story(caller: Caller) -> list[Content]:
        contents: list[Content] = []
        for content_id in content_ids:
            answer = await caller.ask(GetContent(content_id))
            if isinstance(answer, Content):
                contents.append(answer)
            elif isinstance(answer, Failure) and answer.kind is not FailureKind.NOT_FOUND:
                raise as_error(answer, project)
        return contents

    if not content_ids:
        return frozenset()
    fetched = converse(project, runtime, story)
    with open_cache(project, write=False) as cache:
        return frozenset(one.id for one in fetched if not _is_elsewhere(project, cache, one))


def _is_elsewhere(project: Project, cache: Cache, content: Content) -> bool:
    stored = StoredContent.of(content)
    # What the server made of a text that we have, and no one changed since.
    sent = {Digest(stored.sent_body)} if stored.sent_body and is_as_created(content) else set()
    wanted = stored.bodies | sent
    if stored.body == NO_TEXT or any(cache.body(digest) is not None for digest in wanted):
        return True
    for record in _records(project, content.id):
        outputs = Outputs(project.root, whole=known_bodies(read_state(project)))
        if outputs.observe(record.output).body in wanted:
            return True
        if any(digest in wanted for digest, _ in earlier_bodies(project.root, record.output)):
            return True
    return False


def _records(project: Project, content_id: str) -> Iterator[Record]:
    """The records that name a content as superseded, of all environments."""
    for state in (read_state(project), *(state for _, state in other_states(project))):
        yield from (record for record in state.records.values() if content_id in record.superseded)
