"""Records, jobs and strategies that the tests of the state share."""

from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import NOTHING, Digest, digest_text
from contentops.model import ItemId, Job, JobState, Record, Request, RequestId, Saved, State, request_id
from contentops.state import lock
from contentops.state.codec import Drop, Forget
from contentops.state.store import WorkingState, nothing_on_disk

SERVER = "https://api.example.com:443"
LINEAGE = lock.lineage_of("acme")


def text(name: str) -> Digest:
    """The digest of a body called `name`."""
    return digest_text(f"{name}\n")


def rendered(state: State) -> bytes:
    """The lock of a state, as the program writes it."""
    working = WorkingState(lock.Lock(), (), lineage=state.lineage, body_on_disk=nothing_on_disk, write=True)
    working.records = dict(state.records)
    return working.lock_bytes()


def record(name: str = "a", generation: int = 1, **changes: Any) -> Record:
    """A record of item `name` after its `generation`-th generation."""
    return structs.replace(_record(name, generation), **changes)


@cache
def _record(name: str, generation: int) -> Record:
    request = Request(template="blog", style="plain", inputs={"topic": name, "take": generation})
    named = request_id(LINEAGE, request.digest, 1)
    return Record(
        id=ItemId(name), digest=request.digest, request=request.as_json(), server=SERVER, dialect="v1",
        output=f"out/{name}.md", title=f"About {name}", metadata={"tags": ["x"]},
        generated=text(f"{name} {generation}"), content_id=f"cnt-{name}", request_id=named, rev=generation,
    )  # fmt: skip


def job(name: str = "a", generation: int = 1, state: JobState = JobState.RUNNING, **changes: Any) -> Job:
    """The open job that `record(name, generation)` closes."""
    made = record(name, generation)
    opened = Job(
        request_id=made.request_id, item=made.id, digest=made.digest, attempt=1, state=state, server=SERVER,
        dialect="v1", credits=4,
        job_id="" if state in {JobState.SUBMITTING, JobState.UNKNOWN} else f"job-{name}-{generation}",
        submitted_at="2026-01-01T00:00:00Z", title=made.title if state is JobState.PAID else "",
        body=made.generated if state is JobState.PAID else NOTHING,
    )  # fmt: skip
    return structs.replace(opened, **changes)


def written(name: str = "a", generation: int = 1, **changes: Any) -> tuple[Job, Record]:
    """The facts of a text that a job has brought and that was written into its file."""
    return job(name, generation, JobState.PAID), record(name, generation, **changes)


words = st.text(st.characters(codec="utf-8"), max_size=12)
digests = st.sampled_from([text("x"), text("y"), text("z")])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
maps = st.dictionaries(words, json_values, max_size=3)
saves = st.none() | st.builds(
    Saved, title=digests | st.just(NOTHING), body=digests | st.just(NOTHING), server_title=digests | st.just(NOTHING),
    server_body=digests | st.just(NOTHING),
)  # fmt: skip
records = st.builds(
    Record, id=words.filter(bool).map(ItemId), digest=digests, request=maps, server=words, dialect=words,
    output=words, title=words, metadata=maps, generated=digests | st.just(NOTHING), saved=saves, content_id=words,
    superseded=st.lists(words, max_size=2).map(tuple), request_id=words.map(RequestId), saved_at=words,
    protected=st.booleans(), used=st.dictionaries(words, words, max_size=2), frame=digests | st.just(NOTHING),
    sources=st.dictionaries(words, digests, max_size=2), rev=st.integers(0, 99),
)  # fmt: skip
jobs = st.builds(
    Job, request_id=words.filter(bool).map(RequestId), item=words.map(ItemId), digest=digests,
    attempt=st.integers(0, 9), state=st.sampled_from(JobState), server=words, dialect=words,
    credits=st.integers(0, 9), job_id=words, plan_id=words, submitted_at=words, title=words,
    body=digests | st.just(NOTHING), generated_at=words, content_id=words, error=words, lost=st.booleans(),
    former_servers=st.lists(words, max_size=2).map(tuple), rev=st.integers(0, 3),
)  # fmt: skip

names = st.sampled_from("abc")
generations = st.integers(1, 3)
changes = st.one_of(
    st.builds(
        lambda name, generation, title: record(name, generation, title=title), names, generations, st.sampled_from("TU")
    ),
    st.builds(Forget, names.map(ItemId)),
)
"""Facts about the records of three items."""
facts = st.one_of(
    changes,
    st.builds(job, names, generations, st.sampled_from(JobState)),
    st.builds(lambda name, generation: Drop(record(name, generation).request_id), names, generations),
)
"""Facts about three items, as notes meet them in any order."""
