"""A ledger and the jobs in git: each gets what the other one lacks, so that no checkout pays for what either knows."""

import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from contentops.model import Event, Plan
from contentops.operations import state
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.plan import spent_this_month
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, know_server, results
from tests.repositories import cloned, in_git
from tests.test_promote import Room

NEW = "http://127.0.0.1:8787/v1"
BUDGET = "budget: {credits_per_month: 20}"


def _spent(harness: Harness) -> int:
    found = spent_this_month(harness.project, harness.runtime())
    assert found is not None
    assert found.gaps == ()
    return found.credits


def _use(harness: Harness, database: str) -> None:
    harness.write("contentops.yaml", f"{harness.read('contentops.yaml')}\nledger: '{database}'\n")


def _empty(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE contentops.job, contentops.claim")


def _count(database: str) -> int:
    with psycopg.connect(database) as connection:
        (found,) = connection.execute("SELECT count(*) FROM contentops.job").fetchone() or (0,)
    return int(found)


def _two(tmp_path: Path, database: str, *ids: str) -> tuple[Harness, Harness]:
    api = FakeApi(duration=9)
    one, two = (Harness(tmp_path / name, api, extra=f"ledger: '{database}'") for name in ("one", "two"))
    for harness in (one, two):
        harness.write("content/blog.yaml", blog(*ids))
    return one, two


def test_a_ledger_of_mid_month_counts_what_a_shallow_clone_knows(tmp_path: Path, database: str) -> None:
    """What was paid for before is in git: it counts in the month, in that clone and then in one without any history."""
    first = Harness(tmp_path / "first", FakeApi(duration=9), extra=BUDGET).declared("a", "b")
    in_git(first, "Declare")
    early = cloned(first, tmp_path / "early")
    first.apply()
    in_git(first, "Results")
    shallow = cloned(first, tmp_path / "shallow", "--depth=1")
    for harness in (shallow, early):
        _use(harness, database)
    assert _spent(shallow) == 8
    assert shallow.apply() is None
    assert (_count(database), _spent(early)) == (2, 8)
    assert results(early.apply()) == {"a": "done", "b": "done"}
    assert (len(first.api.charges), _spent(early), early.read("contentops.jobs")) == (
        2,
        8,
        first.read("contentops.jobs"),
    )


def test_an_emptied_ledger_is_filled_again_from_git(tmp_path: Path, database: str) -> None:
    """By the first apply of any checkout, though it has nothing else to do; no one pays again."""
    one, two = _two(tmp_path, database, "a", "b")
    one.apply()
    _empty(database)
    assert one.apply() is None
    assert (_count(database), two.actions()) == (2, {"a": "finish", "b": "finish"})
    assert (results(two.apply()), len(one.api.charges)) == ({"a": "done", "b": "done"}, 2)
    before = one.tree()
    assert one.apply() is None
    assert one.tree() == before


def test_a_ledger_restored_from_a_backup_learns_how_jobs_went_on(tmp_path: Path, database: str) -> None:
    """A row that is behind is put forward; one that is ahead is taken."""
    one, two = _two(tmp_path, database, "a")
    one.apply()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE contentops.job SET state = 'submitting', stage = 0, job = '', line = '{}'")
    assert one.apply() is None
    assert (results(two.apply()), len(one.api.charges)) == ({"a": "done"}, 1)


def test_a_clone_without_history_learns_what_was_paid(tmp_path: Path, database: str) -> None:
    """Its committed file gets every line that only the ledger knows, also those of items that it does not declare."""
    one, two = _two(tmp_path, database, "a", "b")
    one.apply()
    two.applied("a")
    assert (two.read("contentops.jobs"), len(one.api.charges)) == (one.read("contentops.jobs"), 2)


def test_two_clones_share_one_text_for_one_request(tmp_path: Path, database: str) -> None:
    """Whatever the item is called, and in whatever environment of the server it was ordered."""
    one, two = _two(tmp_path, database, "a")
    one.apply()
    two.write("content/blog.yaml", blog("a").replace("id: a", "id: other"))
    assert results(two.apply()) == {"other": "done"}
    environments = f"environments: {{staging: {{output: 'staging/{{{{ item.id }}}}.md'}}}}\nledger: '{database}'"
    staging = Room(tmp_path / "three", "staging", one.api, extra=environments)
    staging.write("content/blog.yaml", blog("a"))
    assert (results(staging.apply()), len(one.api.charges)) == ({"a": "done"}, 1)


ENVIRONMENTS = "environments: {staging: {output: 'staging/{{ item.id }}.md'}, prod: {output: 'prod/{{ item.id }}.md'}}"


def _rooms(tmp_path: Path, database: str) -> tuple[Room, Room]:
    """Two environments of one server, each on a machine of its own."""
    api = FakeApi(duration=9)
    extra = f"{ENVIRONMENTS}\nledger: '{database}'"
    staging, prod = (Room(tmp_path / name, name, api, extra=extra) for name in ("staging", "prod"))
    for room in (staging, prod):
        room.write("content/blog.yaml", blog("a", "b"))
    return staging, prod


def test_what_another_environment_is_about_to_order_is_left_to_it(tmp_path: Path, database: str) -> None:
    """Both apply at once on two machines: one orders, the other takes its texts then, for nothing."""
    staging, prod = _rooms(tmp_path, database)
    found: list[dict[str, str]] = []

    def meanwhile(event: Event) -> None:
        if event.kind == "run-started" and not found:
            found.append(prod.actions())
            other = threading.Thread(target=lambda: found.append(results(prod.apply())))
            other.start()
            other.join()

    assert set(results(staging.apply(emit=meanwhile)).values()) == {"done"}
    assert (found, prod.actions()) == ([{"a": "pending", "b": "pending"}] * 2, {"a": "finish", "b": "finish"})
    assert (results(prod.apply()), len(prod.api.charges)) == ({"a": "done", "b": "done"}, 2)


def test_what_was_ordered_while_a_person_was_asked_is_not_ordered_again(tmp_path: Path, database: str) -> None:
    """The plan is older than the rows: what went on since is left alone, and brought by the next apply."""
    staging, prod = _rooms(tmp_path, database)

    def confirm(_: Plan) -> bool:
        assert set(results(staging.apply()).values()) == {"done"}
        return True

    _, run = apply(
        prod.project, Choice(), ApplyOptions(), confirm=confirm, emit=prod.events.append, runtime=prod.runtime()
    )
    assert results(run) == {"a": "pending", "b": "pending"}
    assert (results(prod.apply()), len(prod.api.charges)) == ({"a": "done", "b": "done"}, 2)


def test_what_was_recorded_while_the_ledger_was_lost_reaches_it_later(tmp_path: Path, database: str) -> None:
    """A run of before, or without, the ledger: the checkout that has its jobs puts them there."""
    one, two = _two(tmp_path, database, "a")
    settings = one.read("contentops.yaml")
    one.write("contentops.yaml", settings.replace(f"ledger: '{database}'", ""))
    one.apply()
    assert _count(database) == 0
    one.write("contentops.yaml", settings)
    shutil.rmtree(one.root / ".contentops")
    assert one.apply() is None
    assert (results(two.apply()), len(one.api.charges)) == ({"a": "done"}, 1)


def test_a_server_that_moved_is_known_to_every_checkout(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs and texts count under the new address, also in a checkout that has the rows of the old one."""
    one, two = _two(tmp_path, database, "a", "b")
    two.write("content/blog.yaml", blog("a"))
    one.apply(select=("a",))
    two.apply()
    monkeypatch.setenv("CONTENTOPS_LEDGER", database)
    assert state.move_server(one.project, "https://api.example.test:443", NEW) == "http://127.0.0.1:8787"
    for harness in (one, two):
        harness.write("contentops.yaml", harness.read("contentops.yaml").replace("https://api.example.test/v1", NEW))
    know_server(one.root, NEW)
    know_server(two.root, NEW)
    assert results(one.apply()) == {"b": "done"}
    fresh = Harness(tmp_path / "fresh", one.api, base_url=NEW, extra=f"ledger: '{database}'").declared("a", "b")
    assert (results(fresh.apply()), len(one.api.charges)) == ({"a": "done", "b": "done"}, 2)
