"""Which earlier texts the cache lets go of: those beyond the number that the settings name, and none that is needed."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.digest import NOTHING
from contentops.errors import UsageError
from contentops.manifests.project import load_project
from contentops.model import Saved
from contentops.operations.apply import hold_lock
from contentops.operations.workspace import (
    World,
    locked_environments,
    open_cache,
    other_states,
    read_state,
    validate,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import Project, State
    from contentops.state.cache import KeptText


class Earlier(Struct, frozen=True, kw_only=True):
    """What is dropped: how many texts, their bytes, and how many by item. `keep`: the setting; None: all stay."""

    keep: int | None
    texts: int = 0
    bytes: int = 0
    items: Mapping[str, int] = field(default_factory=dict)


class Needed(Struct, frozen=True, kw_only=True):
    """What must stay: texts by their body digest, and the last text of requests, by server and request digest."""

    bodies: frozenset[Digest]
    requests: frozenset[tuple[str, Digest]]


def drop_earlier(project: Project, *, do: bool, world: World | None = None) -> Earlier:
    """What `keep_texts` lets go of; dropped, if `do`. Raises InputError, since a manifest may need a text."""
    if project.keep_texts is None:
        return Earlier(keep=None)
    wanted = list(_wanted(project))
    holding = hold_lock(project, world or World()) if do else contextlib.nullcontext()
    with holding, open_cache(project, write=do) as cache:
        states = [read_state(project), *(state for _, state in other_states(project))]
        gone = superfluous(cache.paid_texts(), project.keep_texts, needed(states, wanted))
        bodies = {one.body for one in gone}
        size = sum(len((cache.body(body) or "").encode()) for body in bodies)
        if do and gone:
            cache.drop_texts(gone)
    counts = Counter(one.about.item for one in gone)
    return Earlier(keep=project.keep_texts, texts=len(gone), bytes=size, items=dict(sorted(counts.items())))


def _wanted(project: Project) -> Iterator[tuple[str, Digest]]:
    """What the manifests ask for in this environment, and in every other that something was applied to."""
    for environment in {project.environment, *locked_environments(project)}:
        with contextlib.suppress(UsageError):  # it is not declared any more
            other = load_project(Path(project.root), environment=environment, variables=project.cli_vars)
            yield from ((other.api.server, spec.digest) for spec in validate(other).specs)


def needed(states: Iterable[State], wanted: Iterable[tuple[str, Digest]]) -> Needed:
    """What records, open jobs and manifests (`wanted`: server and request digest of each item) name."""
    bodies, requests = {NOTHING}, set(wanted)
    for state in states:
        for record in state.records.values():
            saved = record.saved or Saved()
            bodies |= {record.generated, record.promoted, saved.body, saved.server_body, saved.sent}
            requests.add((record.server, record.digest))
        for entry in state.entries.values():
            bodies.add(entry.body)
            requests.add((entry.server, entry.digest))
    return Needed(bodies=frozenset(bodies), requests=frozenset(requests))


def superfluous(texts: Sequence[KeptText], keep: int, needed: Needed) -> tuple[KeptText, ...]:
    """The texts that may go: of each item all but the `keep` newest, apart from what is needed."""
    by_item: defaultdict[str, list[KeptText]] = defaultdict(list)
    for text in texts:
        if text.body not in needed.bodies and not (text.last and (text.server, text.digest) in needed.requests):
            by_item[text.about.item].append(text)
    return tuple(text for found in by_item.values() for text in _oldest(found, keep))


def _oldest(texts: Collection[KeptText], keep: int) -> Iterator[KeptText]:
    ordered = sorted(texts, key=lambda text: (text.about.generated_at, text.last), reverse=True)
    yield from ordered[keep:]
