"""Find superseded contents whose words are nowhere else, so that deleting contents loses none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.api.calls import Content, Failure, FailureKind, GetContent
from contentops.api.stamps import is_as_created
from contentops.ci.file_history import earlier_bodies
from contentops.digest import NO_TEXT, Digest
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.execution.stored_content import StoredContent
from contentops.operations.contents.stored_contents import converse
from contentops.operations.environments import other_states
from contentops.operations.opening import HERE, open_cache, read_state

if TYPE_CHECKING:
    from collections.abc import Collection

    from contentops.model import Project
    from contentops.operations.contents.stored_contents import Caller
    from contentops.operations.opening import Runtime
    from contentops.state.cache import Cache


def without_copy(
    project: Project,
    content_ids: Collection[str],
    *,
    runtime: Runtime = HERE,
) -> frozenset[str]:
    """Return the ids of the contents whose words are in no file, not in git and not in the cache.

    Fetches each; one that is gone has no words. Raises ApiError.
    """

    async def story(caller: Caller) -> list[Content]:
        contents: list[Content] = []
        for content_id in content_ids:
            answer = await caller.ask(GetContent(content_id))
            if isinstance(answer, Content):
                contents.append(answer)
            elif isinstance(answer, Failure) and answer.kind is not FailureKind.NOT_FOUND:
                raise caller.error(answer)
        return contents

    if not content_ids:
        return frozenset()
    fetched = converse(project, runtime, story)
    with open_cache(project, write=False) as cache:
        return frozenset(one.id for one in fetched if not _is_elsewhere(project, cache, one))


def _is_elsewhere(project: Project, cache: Cache, content: Content) -> bool:
    stored = StoredContent.of(content)
    wanted = set(stored.bodies)
    if stored.sent_body and is_as_created(content):
        # The server changed a text that we have, and no one changed it since.
        wanted.add(Digest(stored.sent_body))
    if stored.body == NO_TEXT or any(cache.body(digest) is not None for digest in wanted):
        return True
    own = read_state(project)
    outputs = Outputs(project.root, whole=known_bodies(own))
    for state in (own, *(state for _, state in other_states(project))):
        for record in state.records.values():
            if content.id not in record.superseded:
                continue
            if outputs.observe(record.output).body in wanted:
                return True
            if any(digest in wanted for digest, _ in earlier_bodies(project.root, record.output)):
                return True
    return False
