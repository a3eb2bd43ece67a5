"""`contentops.jobs`: what was ordered is counted once, and forgotten by nothing that people do with files and git."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.digest import Digest
from contentops.errors import StateError
from contentops.model import ItemId, Job, JobState, Record, State
from contentops.model.jobs import fold_jobs, fold_orders, open_jobs
from contentops.operations import state as mending
from contentops.schema_files import load_schema
from contentops.state import jobs, lock
from contentops.state.codec import Drop, Fact, add_rules, line_of
from contentops.state.jobs import KnownJobs, kept_file
from contentops.state.store import StateStore
from tests import state_facts as facts
from tests.clones import git
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.repositories import cloned, in_git
from tests.running import Run

NAME = "contentops.jobs"
HEADER = line_of(jobs.JobsHeader(lineage=facts.LINEAGE))
FIRST, SECOND = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def job(state: JobState, job_id: str = "", at: str = FIRST, **changes: Any) -> Job:
    """A line about the first order of item `a`."""
    return facts.job(state=state, job_id=job_id, submitted_at=at, **changes)


def known(*lines: Job) -> KnownJobs:
    """What a checkout knows that has read these lines."""
    return KnownJobs({line_of(line): line for line in lines})


def read(lines: Sequence[str]) -> list[Job]:
    """The jobs in lines of a file."""
    return [*jobs.read("".join(f"{line}\n" for line in (HEADER, *lines)).encode(), NAME)[1].values()]


# --- the fold ----------------------------------------------------------------------------------------------


lines = st.builds(
    lambda state, named, at, moves, credit, store: job(
        state, named, at, store=store, server=("https://a", "https://b", "https://a")[moves],
        former_servers=("https://a", "https://b")[:moves], credits=credit,
    ),
    st.sampled_from(JobState),
    st.sampled_from(["", "1", "2", "a-long-name-of-a-job"]),
    st.sampled_from([FIRST, SECOND]),
    st.integers(0, 2),
    st.sampled_from([0, 4]),
    st.sampled_from(["", "", "one", "other"]),
)  # fmt: skip
"""Lines about two orders of one id, whose server had up to three addresses."""
many = st.lists(lines, max_size=6)


@given(many, many, st.randoms())
def test_order_and_repetition_of_lines_mean_nothing(some: list[Job], more: list[Job], random: Random) -> None:
    """As a union merge leaves them; and a file that an apply wrote between two merges gives what one merge does."""
    shuffled = [*some, *random.sample(some, len(some) // 2)]
    random.shuffle(shuffled)
    assert (fold_orders(shuffled), fold_jobs(shuffled)) == (fold_orders(some), fold_jobs(some))
    folded = [*fold_orders(some), *more]
    assert (fold_orders(folded), fold_jobs(folded)) == (fold_orders([*some, *more]), fold_jobs([*some, *more]))


moments = st.lists(
    facts.facts
    | st.builds(
        lambda name, never: Drop(facts.job(name).request_id, never=never),
        facts.names,
        st.booleans(),
    )
    | st.builds(facts.job, facts.names, facts.generations, st.sampled_from(JobState), job_id=st.just("other"))
    | st.sampled_from([("https://api.example.com:443", "https://b"), ("https://b", "https://api.example.com:443")]),
    max_size=12,
)


@given(many, moments)
def test_memory_is_what_the_file_folds_to(start: list[Job], moments: list[Fact | tuple[str, str]]) -> None:
    """After any facts, the next process knows exactly what this one knows."""
    memory = known(*start)
    for moment in moments:
        if isinstance(moment, tuple):
            memory.move(*moment)
        else:
            memory.note([moment])
    after = [*start, *read([*memory.waiting, *memory.settled])]

    assert read(memory.texts()) == sorted(fold_orders(after), key=_named)
    again = known(*after)
    assert (again.jobs, again.open_jobs) == (memory.jobs, memory.open_jobs)


def _named(line: Job) -> tuple[str, ...]:
    return line.request_id, line.submitted_at, line.server, line.store, line.job_id


@pytest.mark.parametrize("one", [job(JobState.UNKNOWN), job(JobState.FAILED, "1"), job(JobState.GIVEN_UP)])
@pytest.mark.parametrize("other", [job(JobState.PAID, "2", SECOND), job(JobState.RUNNING, "2", SECOND)])
@pytest.mark.parametrize("earlier", [True, False])
def test_two_orders_of_one_id_stay_two(one: Job, other: Job, *, earlier: bool) -> None:
    """Whichever came first: an order whose answer was lost is not closed by another, and the running one is polled."""
    if not earlier:
        one, other = structs.replace(one, submitted_at=SECOND), structs.replace(other, submitted_at=FIRST)
    found = known(one, other)

    assert sorted(found.jobs, key=_named) == sorted([one, other], key=_named)
    assert found.open_jobs == {other.request_id: other}
    assert sum(each.cost for each in found.jobs) == one.cost + other.cost


def test_several_jobs_under_one_id_are_several_charges() -> None:
    """A server that ignores ids started two; each is a line, and the line without a job was one of them."""
    found = known(job(JobState.UNKNOWN), job(JobState.PAID, "1"), job(JobState.RUNNING, "2"))

    assert {line.job_id: line.state for line in found.jobs} == {"1": JobState.PAID, "2": JobState.RUNNING}
    found.note([facts.job(state=JobState.PAID, job_id="2", submitted_at=FIRST)])
    assert {line.job_id: line.state for line in found.jobs} == {"1": JobState.PAID, "2": JobState.PAID}


def test_an_id_of_a_job_that_a_server_gives_again_is_another_job() -> None:
    """Short ones may be numbers, which start again with a new database; long ones are made once."""
    one, other = facts.job("a", job_id="7"), facts.job("b", job_id="7")
    assert fold_jobs([one, other]) == sorted([one, other], key=lambda line: line.request_id)
    again = structs.replace(one, request_id=other.request_id, job_id="a-long-name-of-a-job")
    assert len(fold_jobs([structs.replace(one, job_id="a-long-name-of-a-job"), again])) == 1
    assert len(fold_jobs([structs.replace(each, job_id="a-long-name-of-a-job") for each in (one, other)])) == 2


def test_a_request_that_is_sent_again_in_the_same_second_is_an_order_of_its_own() -> None:
    """The server has proved that the first one never arrived; the second one must not count as never sent."""
    memory = known()
    for _ in range(3):
        memory.note([job(JobState.SUBMITTING)])
        memory.note([Drop(job(JobState.SUBMITTING).request_id, never=True)])
    memory.note([job(JobState.SUBMITTING)])

    assert [line.state for line in known(*read(memory.waiting)).jobs] == [*[JobState.NEVER] * 3, JobState.SUBMITTING]
    memory.note([job(JobState.RUNNING, "1")])
    assert {line.state for line in known(*read(memory.waiting)).open_jobs.values()} == {JobState.RUNNING}


@pytest.mark.parametrize("at", ["", "nonsense", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00", "2026-W01"])
def test_a_time_that_no_one_can_read_is_no_trouble(at: str) -> None:
    """Whatever stands in a line: the next order of its id has another time."""
    memory = known(job(JobState.NEVER, at=at))
    memory.note([job(JobState.SUBMITTING)])
    assert len(known(*read(memory.waiting), job(JobState.NEVER, at=at)).jobs) == 2


def test_a_job_that_a_person_named_by_mistake_costs_nothing() -> None:
    """The order became another job."""
    memory = known(job(JobState.RUNNING, "wrong"))
    memory.note([job(JobState.RUNNING, "right")])
    found = known(job(JobState.RUNNING, "wrong"), *read(memory.waiting))
    assert {line.job_id: (line.state, line.cost) for line in found.jobs} == {
        "right": (JobState.RUNNING, 4),
        "wrong": (JobState.FAILED, 0),
    }
    assert {line.job_id for line in found.open_jobs.values()} == {"right"}


def test_an_order_of_another_checkout_is_not_closed_by_a_text_of_before() -> None:
    """A merge brought it; the record of its request has another text."""
    record = facts.record()
    memory = known(job(JobState.UNKNOWN, at="2026-06-01T00:00:00Z"))
    memory.note([record])
    assert [line.state for line in memory.jobs] == [JobState.UNKNOWN]
    paid = job(JobState.PAID, at="2026-06-01T00:00:00Z", body=facts.text("theirs"))
    memory.note([paid, record])
    assert [line.state for line in memory.jobs] == [JobState.PAID]
    memory.note([structs.replace(record, generated=paid.body)])
    assert [line.state for line in memory.jobs] == [JobState.SETTLED]


# --- the file ----------------------------------------------------------------------------------------------


def test_lines_follow_the_schema_and_every_field_has_its_key() -> None:
    """The published schema describes both kinds of line."""
    schema = load_schema("jobs")
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    full = facts.job(
        lost=True, former_servers=("local",), rev=2, store="0a", section="Costs", retry=1, model="m", outline=True,
        frame=Digest("sha256:" + "1" * 64), checks=Digest("sha256:" + "3" * 64), sources={ItemId("b"): Digest("sha256:" + "2" * 64)},
    )  # fmt: skip
    for line in (HEADER, line_of(full), *(line_of(facts.job(state=state)) for state in JobState)):
        check.validate(json.loads(line))
    assert not check.is_valid({"what": "ever"})
    keys = {one.encode_name for one in structs.fields(Job)}
    assert schema["definitions"]["job"]["properties"].keys() == keys


def line(**changes: object) -> str:
    """A line with keys replaced (or removed, by None)."""
    keys = json.loads(line_of(facts.job())) | changes
    return json.dumps({key: value for key, value in keys.items() if value is not None})


OTHER = lock.lineage_of("other")
HOSTILE: dict[str, tuple[str | bytes, str, str]] = {
    "no JSON": ("nonsense", "damaged-jobs", "line 3 of `contentops.jobs` is incomplete or invalid JSON"),
    "torn": (line()[:40], "damaged-jobs", "line 3 of `contentops.jobs` is incomplete or invalid JSON"),
    "list": ("[1]", "damaged-jobs", "line 3 of `contentops.jobs` cannot be used: expected `object`"),
    "deep": (line(more=[]).replace("[]", "[" * 9999 + "]" * 9999), "damaged-jobs", "line 3 of `contentops.jobs`"),
    "deep and cut": ('{"id":' + "[" * 200_000, "damaged-jobs", "line 3 of `contentops.jobs`"),
    "huge": (line(item="x" * 9_000_000, credits="4"), "damaged-jobs", "`credits` is not valid"),
    "huge number": (line(attempt=1).replace('"attempt": 1', '"attempt": 1e999'), "damaged-jobs", "line 3"),
    "negative": (line(credits=-4), "damaged-jobs", "`credits` is not valid: expected `int` >= 0"),
    "text for a number": (line(credits="4"), "damaged-jobs", "`credits` is not valid: expected `int`, got `str`"),
    "unknown state": (line(state="done"), "damaged-jobs", "`state` is not valid: invalid enum value 'done'"),
    "no id": (line(id=None), "damaged-jobs", "it lacks `id`"),
    "empty id": (line(id=""), "damaged-jobs", "`id` is not valid"),
    "header and job": (line(id=7, contentops_jobs=1), "damaged-jobs", "`id` is not valid"),
    "half a character": (line(error="\ud800"), "damaged-jobs", "line 3 of `contentops.jobs`"),
    "markers": ("<<<<<<< HEAD", "conflict-markers", "line 3 of `contentops.jobs` is a git conflict marker"),
    "another lineage": (line_of(jobs.JobsHeader(lineage=OTHER)), "mixed-lineages", "has lines of different projects"),
    "newer": ('{"contentops_jobs":2,"lineage":"new"}', "newer-state", "`contentops.jobs` was written by a newer"),
    "no lineage": ('{"contentops_jobs":1,"lineage":"x"}', "damaged-jobs", "`lineage` is not a UUID"),
} | {
    "empty": (b"", "damaged-jobs", "has no header line"),
    "not text": (b"\xff\xfe", "damaged-jobs", "is not UTF-8"),
    "pointer": (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1a' * 32}\nsize 12345\n".encode(), "lock-in-lfs", "is a Git LFS pointer"),
    "of another project": (f"{line_of(jobs.JobsHeader(lineage=OTHER))}\n".encode(), "mixed-lineages", f"belongs to another project (lineage `{OTHER}`)"),
}  # fmt: skip
"""What is wrong: a line at the end, as text, or the whole file, as bytes."""


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one text that was paid for."""
    return Harness(tmp_path_factory.mktemp("paid")).applied("one").root


@pytest.mark.parametrize(("damage", "code", "words"), HOSTILE.values(), ids=HOSTILE)
def test_damage_is_named_and_unpaid(tmp_path: Path, paid: Path, damage: str | bytes, code: str, words: str) -> None:
    """An apply orders nothing before the file can be read: what it says might be that all is paid for."""
    harness = _copied(paid, tmp_path)
    path = harness.root / NAME
    good = path.read_bytes()
    before = damage if isinstance(damage, bytes) else good + damage.encode("utf-8", "surrogatepass") + b"\n"
    path.write_bytes(before)
    harness.write("content/more.yaml", blog("two"))
    for act in (harness.plan, harness.apply):
        with pytest.raises(StateError) as caught:
            act()
        assert (caught.value.code, words in str(caught.value)) == (code, True), str(caught.value)
        assert caught.value.hint
    assert (harness.api.generations, path.read_bytes()) == ([], before)


def _copied(paid: Path, root: Path) -> Harness:
    shutil.copytree(paid, root, dirs_exist_ok=True)
    return Harness(root)


def test_damage_in_the_file_of_the_checkout_is_named_and_can_be_taken_out(tmp_path: Path, paid: Path) -> None:
    """Its torn last line never happened; a line before it is named with its path, and nothing blocks for ever."""
    harness = _copied(paid, tmp_path)
    kept = kept_file(tmp_path, "", harness.state.lineage, Disk())
    good = kept.read_bytes()
    kept.write_bytes(good + b'{"at":"20')
    assert harness.plan().empty
    kept.write_bytes(b"\0\0\n" + good)
    with pytest.raises(StateError, match=f"line 1 of `{kept}`") as caught:
        harness.apply()
    assert (caught.value.code, caught.value.hint) == ("damaged-jobs", f"delete the line from `{kept}`")
    kept.write_bytes(good)
    assert harness.plan().empty


def test_a_file_that_is_damaged_while_an_apply_runs_is_left_as_it_is(tmp_path: Path) -> None:
    """A pull left conflict markers: neither this checkpoint nor a later one writes over the lines of the others."""
    (tmp_path / NAME).write_bytes(jobs.join(facts.LINEAGE, [line_of(facts.job("a"))]))
    store = _opened(tmp_path)
    store.note("submit", facts.job("b"))
    data = jobs.join(facts.LINEAGE, ["<<<<<<< HEAD", line_of(facts.job("c"))])
    (tmp_path / NAME).write_bytes(data)
    for _ in range(2):
        with pytest.raises(StateError, match="git conflict marker"):
            store.checkpoint()
        assert (tmp_path / NAME).read_bytes() == data
    (tmp_path / NAME).write_bytes(jobs.join(facts.LINEAGE, [line_of(facts.job("c"))]))
    store.checkpoint()
    assert {each.item for each in read((tmp_path / NAME).read_text().splitlines()[1:])} == set("abc")


def _opened(root: Path, *, write: bool = True) -> StateStore:
    return StateStore(root, environment="", lineage=lambda: facts.LINEAGE, write=write)


def _state(root: Path) -> State:
    return _opened(root, write=False).state


def test_a_file_of_the_checkout_that_someone_deletes_is_written_again(tmp_path: Path) -> None:
    """Between two runs, and in the middle of one."""
    with _opened(tmp_path) as store:
        store.note("submit", facts.job("a"))
        store.checkpoint()
    kept = tmp_path / ".contentops/jobs.jsonl"
    kept.unlink()
    with _opened(tmp_path) as store:
        store.checkpoint()
        assert "job-a-1" in kept.read_text()
        kept.unlink()
        store.note("submit", facts.job("b"))
        store.flush()
        assert kept.read_text().count('"job":') == 2
        kept.unlink()
        store.checkpoint()
    assert kept.read_text().count('"job":') == 2
    (tmp_path / NAME).unlink()
    assert {each.job_id for each in _state(tmp_path).jobs} == {"job-a-1", "job-b-1"}


def test_the_file_of_the_checkout_does_not_grow_without_end(tmp_path: Path) -> None:
    """It is written again with one line for each order."""
    with _opened(tmp_path) as store:
        for number in range(1_100):
            store.note("submit", job(JobState.RUNNING, "1", error=str(number)))
        store.checkpoint()
    assert len((tmp_path / ".contentops/jobs.jsonl").read_text().splitlines()) == 2
    assert [each.error for each in _state(tmp_path).open_jobs.values()] == ["1099"]


def test_a_server_that_moves_and_comes_back_counts_nothing_twice(tmp_path: Path) -> None:
    """The old lines lie in the file of the checkout, and come back with merges."""
    with _opened(tmp_path) as store:
        store.note("submit", facts.job("a"), facts.job("b", state=JobState.UNKNOWN))
        store.checkpoint()
    before = (tmp_path / NAME).read_bytes()
    for old, new in ((facts.SERVER, "https://b"), ("https://b", "https://c"), ("https://c", facts.SERVER)):
        with _opened(tmp_path) as store:
            store.move_server(old, new)
            store.checkpoint()
        data = (tmp_path / NAME).read_bytes()
        for merged in (data, data + before, before + data):
            (tmp_path / NAME).write_bytes(merged)
            state = _state(tmp_path)
            assert {each.server for each in state.jobs} == {new}
            assert sorted(each.item for each in state.jobs) == sorted(each.item for each in state.open_jobs.values())
            assert sum(each.cost for each in state.jobs) == 8
        (tmp_path / NAME).write_bytes(data)


# --- git ---------------------------------------------------------------------------------------------------


def _committed(root: Path, branch: str, act: Callable[[StateStore], None]) -> None:
    git(root, "checkout", "--quiet", "-B", branch, "start")
    shutil.rmtree(root / ".git/contentops", ignore_errors=True)
    with _opened(root) as store:
        act(store)
        store.checkpoint()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", branch)


def _repository(root: Path, *before: Job) -> None:
    git(root, "init", "--quiet", "--initial-branch=start")
    (root / "readme").write_text("")
    with _opened(root) as store:
        store.note("submit", *before)
        store.checkpoint()
    add_rules(root, Disk(), (jobs.FORMAT,))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=start")


def _merged(root: Path, ours: str, theirs: str) -> State:
    """The state of a fresh clone after a merge."""
    git(root, "checkout", "--quiet", "-B", f"merged-{ours}", ours)
    git(root, "merge", "--quiet", "--no-edit", theirs)
    shutil.rmtree(root / ".git/contentops", ignore_errors=True)
    return _state(root)


def test_what_was_forgotten_stays_forgotten_after_a_union_merge(tmp_path: Path, processes: None) -> None:
    """`state resolve --forget` on one branch; the other still has the line as it was, and changed a neighbour."""
    _repository(tmp_path, facts.job("a", state=JobState.UNKNOWN), facts.job("b"))
    _committed(tmp_path, "one", lambda store: store.note("resolve", Drop(facts.job("a").request_id)))
    _committed(tmp_path, "two", lambda store: store.note("paid", facts.job("b", state=JobState.PAID)))
    for ours, theirs in (("one", "two"), ("two", "one")):
        state = _merged(tmp_path, ours, theirs)
        assert {each.item: each.state for each in state.jobs} == {"a": JobState.GIVEN_UP, "b": JobState.PAID}
        assert {each.item for each in state.open_jobs.values()} == {"b"}


def test_another_branch_forgets_nothing_that_an_apply_has_read(tmp_path: Path, processes: None) -> None:
    """CI's orders came with a pull; a checkout of an older branch takes them from the tree, not from the list."""
    _repository(tmp_path)
    git(tmp_path, "branch", "older")
    (tmp_path / NAME).write_bytes(jobs.join(facts.LINEAGE, [line_of(facts.job("ci"))]))
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=From CI")
    with _opened(tmp_path) as store:
        store.checkpoint()
    git(tmp_path, "checkout", "--quiet", "older")
    assert not (tmp_path / NAME).exists()
    assert [each.item for each in _state(tmp_path).jobs] == ["ci"]
    with _opened(tmp_path) as store:
        assert store.checkpoint()
    assert "job-ci-1" in (tmp_path / NAME).read_text()


@pytest.mark.parametrize("commits", [False, True], ids=["nothing committed", "manifests committed"])
def test_a_clean_before_the_first_results_forgets_no_payment(tmp_path: Path, processes: None, *, commits: bool) -> None:
    """`git clean -xfd` takes lock, jobs and `.contentops` away; the list in the git folder stays."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30))
    git(harness.root, "init", "--quiet")
    manifest = blog("one", "two")
    harness.write("content/blog.yaml", manifest)
    harness.api.fault(on("submit", 2), "kill-after")
    harness.killed()
    if commits:
        git(harness.root, "add", "content", "contentops.yaml")
        git(harness.root, "commit", "--quiet", "--message=Manifests")
    settings = harness.read("contentops.yaml")
    git(harness.root, "clean", "-xfdq")
    assert not (harness.root / NAME).exists()
    harness.write("contentops.yaml", settings)
    harness.write("content/blog.yaml", manifest)
    assert (results(harness.apply()), len(harness.api.generations)) == ({"one": "done", "two": "done"}, 2)
    git(harness.root, "clean", "-xfdq", "out", "contentops.lock", NAME, ".contentops")
    assert (results(harness.apply()), len(harness.api.generations)) == ({"one": "done", "two": "done"}, 2)


def test_work_trees_share_what_was_ordered(tmp_path: Path, processes: None) -> None:
    """A second one gets the text without another order, before anything is committed."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30)).declared("one")
    in_git(harness, "Manifests")
    git(harness.root, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    harness.apply()
    tree = Harness(tmp_path / "tree", harness.api, timeline=harness.timeline)
    tree.write("contentops.yaml", harness.read("contentops.yaml"))
    assert {each.job_id for each in tree.state.jobs} == {each.job_id for each in harness.state.jobs}
    assert results(tree.apply()) == {"one": "done"}
    assert (len(harness.api.generations), tree.read("out/one.md")) == (1, harness.read("out/one.md"))


def test_a_clone_has_what_was_committed_and_git_init_loses_nothing(tmp_path: Path, processes: None) -> None:
    """Where the file of the checkout lies, and that `git init` between two runs loses nothing of it."""
    harness = Harness(tmp_path / "site", FakeApi(duration=30)).declared("one", "two")
    harness.api.fault(on("submit", 2), "kill-after")
    harness.killed()
    assert (harness.root / ".contentops/jobs.jsonl").exists()
    in_git(harness, "First")
    assert results(harness.apply())["two"] == "done"
    assert (harness.plan().empty, len(harness.api.generations)) == (True, 2)
    (kept,) = (harness.root / ".git/contentops").glob("*/jobs.jsonl")
    assert {each.item for each in read(kept.read_text().splitlines()[1:])} == {"one", "two"}
    in_git(harness, "Results")
    assert cloned(harness, tmp_path / "clone").state.jobs == harness.state.jobs


def test_two_projects_of_one_name_in_one_repository_share_nothing(tmp_path: Path, processes: None) -> None:
    """The lineage names the folder, so that neither takes the other's text for its own."""
    sites = [Harness(tmp_path / name, FakeApi(duration=30)) for name in ("one", "two")]
    git(tmp_path, "init", "--quiet")
    for site in sites:
        site.applied("one")
    assert len({site.state.lineage for site in sites}) == 2
    assert [len(site.api.generations) for site in sites] == [1, 1]
    assert all(len(site.state.jobs) == 1 for site in sites)


@pytest.mark.parametrize(("link", "said"), [(True, "is a symbolic link"), (False, "is not a folder")])
def test_a_git_folder_that_takes_no_files_stops_an_apply(
    tmp_path: Path, processes: None, *, link: bool, said: str
) -> None:
    """Before it pays: what was ordered could not be written down. A link, as of an archive, could lead out of it."""
    harness = Harness(tmp_path / "site").declared("one")
    git(harness.root, "init", "--quiet")
    (tmp_path / "outside").mkdir()
    kept = harness.root / ".git/contentops"
    kept.symlink_to(tmp_path / "outside") if link else kept.write_text("in the way")
    with pytest.raises(StateError, match=said):
        harness.apply()
    assert (harness.api.generations, [*(tmp_path / "outside").iterdir()]) == ([], [])


def test_a_file_that_names_a_folder_which_is_not_git_s_is_not_believed(tmp_path: Path, processes: None) -> None:
    """It could name any folder of the machine; git itself refuses it, too."""
    harness = Harness(tmp_path / "site").declared("one")
    (tmp_path / "outside").mkdir()
    harness.write(".git", f"gitdir: {tmp_path / 'outside'}\n")
    harness.apply()
    assert [*(tmp_path / "outside").iterdir()] == []
    assert (harness.root / ".contentops/jobs.jsonl").exists()


def test_open_jobs_wait_for_an_earlier_attempt_no_more() -> None:
    """A failed one, and a text that nothing wrote, once a later attempt has brought a text; a record settles its own."""
    failed, paid_ = facts.job(state=JobState.FAILED), facts.job("b", state=JobState.PAID)
    later = [
        structs.replace(each, state=JobState.PAID, body=facts.text("x"), attempt=2, request_id=each.request_id[::-1])
        for each in (failed, paid_)
    ]
    memory = known(failed, paid_)
    for job in later:
        memory.put(job)
    assert set(memory.open_jobs) == {each.request_id for each in later} == set(open_jobs([failed, paid_, *later]))
    record = facts.record("b", request_id=later[1].request_id, generated=later[1].body)
    assert isinstance(record, Record)
    memory.note([record])
    assert set(memory.open_jobs) == {later[0].request_id}
    assert memory.open_jobs[later[0].request_id].item == ItemId("a")


def test_the_list_is_shown_with_what_it_cost(invoke: Run, tmp_path: Path) -> None:
    """For people and for programs; of an item, its own orders, whatever it was called then."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    assert invoke("state", "list", "--jobs", cwd=tmp_path).stdout == "0 jobs, 0 credits.\n"
    harness.applied("one", "two")
    with StateStore(tmp_path, environment="", lineage=str, write=True) as store:
        store.note("submit", facts.job("three", state=JobState.UNKNOWN))
        store.checkpoint()
    told = invoke("state", "list", "--jobs", cwd=tmp_path)
    assert told.stdout.splitlines()[0].split() == ["ORDERED", "ITEM", "ATTEMPT", "STATE", "CREDITS", "JOB", "SERVER"]
    assert told.stdout.endswith("\n\n3 jobs, 8 credits, at most 12.\n")
    document = invoke("state", "list", "--jobs", "--json", cwd=tmp_path).json
    states = [("three", "unknown"), ("one", "settled"), ("two", "settled")]
    assert [(each["item"], each["state"]) for each in document["jobs"]] == states
    mending.move_record(harness.project, "one", "uno")
    shown = invoke("state", "show", "uno", cwd=tmp_path).stdout
    assert ("\n\nORDERED" in shown, " one " in shown.splitlines()[-1]) == (True, True)
    assert [each["item"] for each in invoke("state", "show", "uno", "--json", cwd=tmp_path).json["jobs"]] == ["one"]
    assert invoke("state", "show", "three", cwd=tmp_path).stdout.startswith("open ")


def test_each_line_keeps_its_own_text_when_all_jobs_move() -> None:
    """No line is written under the address or the payment of another one, however many are replaced at once."""
    names = [f"{number:03}" for number in range(500)]
    held = known(*(job(JobState.SETTLED, f"job-{name}", request_id=f"req-{name}", item=name) for name in names))
    held.texts()
    held.move(held.jobs[0].server, "https://new.example")
    assert sorted(held.texts()) == sorted(map(line_of, held.jobs))
    assert sorted(line.item for line in held.jobs if line.server == "https://new.example") == names
