"""`--select shard:K/N`: the items of one of several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.errors import ExitCode, UsageError
from contentops.model import ItemId
from contentops.planning.select import MOST_SHARDS, Candidate, check_selectors, selected, shard_of
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=30, unique=True)


def in_shard(ids: list[str], *select: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """The ids of these that are selected."""
    items = [Candidate(id=ItemId(id_), spec=None, change=None) for id_ in ids]
    return [str(item.id) for item in selected(Choice(select=select, exclude=exclude), items)]


@given(IDS, st.integers(min_value=1, max_value=40))
def test_each_item_is_in_one_shard(ids: list[str], count: int) -> None:
    """However many there are; a shard without an item is no mistake."""
    shards = [in_shard(ids, f"shard:{number}/{count}") for number in range(1, count + 1)]
    assert sorted(id_ for shard in shards for id_ in shard) == sorted(ids)


@pytest.mark.parametrize(
    ("item", "count", "expected"),
    [("a", 4, 3), ("blog/guide", 4, 3), ("cities/røros", 4, 3), ("東京", 7, 6), ("a", 1, 1), ("a", MOST_SHARDS, 2251)],
)
def test_a_shard_is_the_same_on_every_machine(item: str, count: int, expected: int) -> None:
    """These values never change, so that machines of two releases share no item."""
    assert shard_of(ItemId(item), count) == expected


def test_shards_have_about_the_same_size() -> None:
    """Ids that are alike are spread, too."""
    sizes = [0] * 8
    for number in range(8_000):
        sizes[shard_of(ItemId(f"cities/{number}"), 8) - 1] += 1
    assert min(sizes) > 900
    assert max(sizes) < 1_100


def test_a_shard_narrows_the_other_selectors() -> None:
    """Beside them it is no alternative; several shards are, and `--exclude` takes a shard away."""
    ids = [f"{kind}{number}" for kind in "ab" for number in range(20)]
    first = in_shard(ids, "shard:1/2")
    assert in_shard(ids, "a*", "shard:1/2") == [id_ for id_ in first if id_.startswith("a")]
    assert in_shard(ids, "shard:1/2", "shard:2/2") == ids
    assert in_shard(ids, exclude=("shard:2/2",)) == first


@pytest.mark.parametrize(
    "value", ["", "0/4", "5/4", "a/b", "1", "1/", "/4", "1/4/4", "-1/4", "1/0", "1.0/4", " 1/4", "1/10001", "١/٤"]
)
def test_a_shard_that_cannot_be_is_refused(value: str) -> None:
    """With the form that is right."""
    with pytest.raises(UsageError) as refused:
        check_selectors([f"shard:{value}"])
    assert refused.value.message == f"`shard:{value}`: no such shard"
    assert "`shard:K/N`, where K is from 1 to N, and N at most 10,000" in refused.value.hint


def test_a_number_of_any_length_is_refused(harness: Harness, invoke: Run) -> None:
    """As an error of usage."""
    ended = invoke("plan", "--select", f"shard:1/{'9' * 5_000}", cwd=harness.root)
    assert (ended.code, "no such shard" in ended.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("selector", ["+shard:1/2", "shard:1/2+"])
def test_a_shard_takes_no_sources_and_no_dependants(selector: str) -> None:
    """Two machines would make the same items."""
    with pytest.raises(UsageError, match="takes no `\\+`"):
        check_selectors([selector])


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Ten new items."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog(*"abcdefghij"))
    return harness


def test_the_shards_of_an_apply_are_the_whole(harness: Harness) -> None:
    """One after the other, each item is paid for once."""
    for number in (1, 2, 3):
        harness.apply(select=(f"shard:{number}/3",))
    assert harness.plan().empty
    assert harness.api.credits == 40
