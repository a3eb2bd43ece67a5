"""Files of an earlier version are read, and their lines stand until their items change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentops.digest import digest_text
from contentops.model import JobState
from contentops.state.cache import Cache
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results

if TYPE_CHECKING:
    from tests.running import Run

FIXTURE = Path(__file__).parent / "previous_version" / "project"
SERVER = "https://api.example.test:443"
DONE = ("assam", "darjeeling", "green", "white")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the project, as its last user left it."""
    root = tmp_path / "site"
    shutil.copytree(FIXTURE, root, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(FIXTURE / "state", root / ".contentops")
    return root


def harness_of(root: Path) -> Harness:
    """Its runtime, with a server that has forgotten everything; the project file stands as it was."""
    settings = (root / "contentops.yaml").read_bytes()
    harness = Harness(root, FakeApi(duration=90, auto_save=False))
    (root / "contentops.yaml").write_bytes(settings)
    return harness


def lines(root: Path) -> dict[str, bytes]:
    """The lines of the lock, by what they are about."""
    found = {}
    for line in (root / "contentops.lock").read_bytes().splitlines():
        said = json.loads(line)
        found[said.get("id") or said.get("item") or "header"] = line
    return found


def test_state_of_before_is_read(site: Path) -> None:
    """Lock, journal and cache: every fact of them, and nothing is written on the way."""
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    harness = harness_of(site)
    state = harness.state

    assert tuple(state.records) == DONE
    assert harness.record("darjeeling").superseded == ("cnt_old",)
    saved = harness.record("green").saved
    assert saved is not None
    assert saved.sent == digest_text("Sent.\n")
    assert harness.record("white").metadata == {"order": 2, "tags": ["tea"]}
    assert harness.record("white").used == {"year": "158a323a7ba4"}
    assert {entry.item: entry.state for entry in state.entries.values()} == {
        "oolong": JobState.FAILED,
        "sencha": JobState.PAID,
        "hojicha": JobState.RUNNING,
        "matcha": JobState.UNKNOWN,
    }
    with Cache(site / ".contentops" / "cache", write=False) as cache:
        assert len({one.digest for one in cache.paid_texts() if one.server == SERVER}) == 5
        text = cache.get_text(SERVER, harness.entry("sencha").digest)
        assert text is not None
        assert (text.item, text.title, text.credits) == ("sencha", "On All about sencha in 2026", 4)
        assert cache.durations()[SERVER]
        assert cache.problem == ""
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before


def test_it_goes_on_where_the_last_run_was_killed(site: Path, invoke: Run) -> None:
    """What is open is finished, what failed is tried once more, nothing paid is paid again, and the rest stands."""
    shown = {item["id"]: item["state"] for item in invoke("status", "--json", cwd=site).json["items"]}
    assert shown == dict.fromkeys(DONE, "as generated") | {
        "hojicha": "open",
        "matcha": "unknown",
        "oolong": "new",
        "sencha": "open",
    }
    changes = {change["id"]: change for change in invoke("plan", "--json", cwd=site).json["changes"]}
    assert {id_: (change["action"], change["credits"]) for id_, change in changes.items()} == {
        "hojicha": ("finish", 0),
        "matcha": ("resolve", 0),
        "oolong": ("create", 4),
        "sencha": ("finish", 0),
    }

    harness, before = harness_of(site), lines(site)
    ended = results(harness.apply(deadline=400))
    after = lines(site)
    assert (ended["oolong"], ended["sencha"], harness.api.credits) == ("done", "done", 4)
    assert "All about sencha in 2026." in harness.read("out/sencha.md")
    assert harness.record("white").rev == 2
    assert {id_: line for id_, line in after.items() if id_ in before and before[id_] == line} == {
        id_: before[id_] for id_ in ("header", "assam", "darjeeling", "green")
    }


def settled(site: Path) -> Harness:
    """The project without what the killed run had begun: all that is declared is made."""
    (site / ".contentops" / "journal.jsonl").unlink()
    for name in ("failed", "paid", "open"):
        (site / "content" / f"{name}.yaml").unlink()
    harness = harness_of(site)
    harness.edit("content/white.yaml", "order: 2", "order: 1")
    harness.edit("out/white.md", "order: 2", "order: 1")
    path = site / "contentops.lock"
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"open"' not in line))
    return harness


def test_a_no_op_apply_changes_no_byte(site: Path) -> None:
    """Also where every line holds a key that is no longer written, and with or without the cache."""
    harness = settled(site)
    before = harness.bytes()
    assert b'"definitions"' in before["contentops.lock"][0]

    assert harness.apply() is None
    shutil.rmtree(site / ".contentops")
    assert harness.apply() is None
    assert (harness.bytes(), harness.api.requests) == (before, [])


def test_a_title_with_spaces_that_were_once_not_told_apart_is_the_one_recorded(site: Path) -> None:
    """A person's no-break space stays, and is no reason to save again."""
    harness = settled(site)
    harness.edit("out/assam.md", "On All", "On\u00a0All")
    before = harness.bytes()

    assert harness.apply() is None
    assert (harness.bytes(), harness.api.requests) == (before, [])


def test_only_the_item_that_changes_gets_a_new_line(site: Path) -> None:
    """Byte by byte; the new line is without the key."""
    harness = settled(site)
    before = lines(site)
    harness.edit("content/white.yaml", "order: 1", "order: 3")

    assert results(harness.apply()) == {"white": "done"}
    after = lines(site)
    assert after.keys() == before.keys()
    assert [id_ for id_, line in after.items() if line != before[id_]] == ["white"]
    assert b'"definitions"' not in after["white"]
    assert b'"order":3' in after["white"]
    assert harness.plan().empty
