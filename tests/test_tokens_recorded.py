"""The tokens of a text travel with its credits: in open entries, records, the cache, reports, and back out of each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from contentops.digest import NOTHING
from contentops.model import ItemId, JobState, OpenEntry, Record, RequestId
from contentops.state.cache import Cache, StoredText
from contentops.state.codec import line_of, parse_as
from contentops.tokens import PaidTokens, TokenPrice, Tokens
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

USED = PaidTokens(input=1200, output=800)
SAID = {"input": 1200, "output": 800}
PRICE = TokenPrice(input=250_000, output=2_000_000, currency="USD")


def site(root: Path, tokens: Any = SAID, **habits: Any) -> Harness:
    """A project with the item `a`, on a server that says these tokens of each job."""
    harness = Harness(root, FakeApi(duration=30, tokens=tokens, **habits))
    harness.write("content/blog.yaml", blog("a"))
    return harness


def record(harness: Harness) -> Record:
    """The record of `a`."""
    return harness.state.records[ItemId("a")]


@pytest.mark.parametrize(
    "habits",
    [
        pytest.param({}, id="flat"),
        pytest.param({"envelope": True}, id="enveloped"),
        pytest.param({"at_once": "named"}, id="in-the-answer-to-the-submit"),
        pytest.param({"status_body": "absent"}, id="text-fetched-from-its-content"),
    ],
)
def test_a_record_has_the_tokens_that_the_reply_of_its_job_says(tmp_path: Path, habits: dict[str, Any]) -> None:
    """A plan afterwards is empty, and an apply rewrites nothing."""
    harness = site(tmp_path, **habits)
    harness.apply()
    assert harness.made_by("a").tokens == USED
    lock = (tmp_path / "contentops.lock").read_bytes()
    assert b'"tokens":{"input":1200,"output":800}' in (tmp_path / "contentops.jobs").read_bytes()
    harness.apply()
    assert (tmp_path / "contentops.lock").read_bytes() == lock


@pytest.mark.parametrize(
    "said",
    [
        {"input": 5}, {"input": -1, "output": 1}, {"input": "5", "output": "6"}, {"input": 1.5, "output": 2},
        {"input": True, "output": False}, {"input": 10**30, "output": 1}, [1, 2], "many",
    ],
)  # fmt: skip
def test_tokens_that_cannot_be_believed_are_unknown(tmp_path: Path, said: Any) -> None:
    """The text is taken all the same, and the lock has no such key."""
    harness = site(tmp_path, said)
    assert results(harness.apply()) == {"a": "done"}
    assert harness.made_by("a").tokens is None
    assert b"tokens" not in (tmp_path / "contentops.jobs").read_bytes()


def test_a_failed_job_keeps_its_tokens(tmp_path: Path) -> None:
    """It costs no credits, but its model was paid."""
    harness = site(tmp_path, fails=lambda _inputs: "the model refuses")
    harness.apply()
    [entry] = harness.state.entries.values()
    assert (entry.state, entry.tokens) == (JobState.FAILED, USED)


def test_a_text_of_the_cache_brings_its_tokens_back(tmp_path: Path) -> None:
    """An earlier request that is declared again costs nothing, and its record says what it had cost."""
    harness = site(tmp_path)
    harness.apply()
    harness.api.habits.tokens = {"input": 1, "output": 2}
    harness.write("content/blog.yaml", blog("a", year=2027))
    harness.apply()
    assert harness.made_by("a").tokens == PaidTokens(input=1, output=2)
    harness.write("content/blog.yaml", blog("a"))
    harness.apply()
    assert (harness.made_by("a").tokens, len(harness.api.generations)) == (USED, 2)


def test_a_paid_text_that_waits_keeps_its_tokens(tmp_path: Path, processes: None) -> None:
    """The open entry has them, even where the cache is gone and the server says nothing of them any more."""
    harness = site(tmp_path)
    harness.write("content/blog.yaml", f"defaults: {{checks: {{excludes: [Introduction]}}}}\n{blog('a')}")
    harness.apply()
    [entry] = harness.state.entries.values()
    assert (entry.state, entry.tokens) == (JobState.PAID, USED)
    shutil.rmtree(tmp_path / ".contentops" / "cache")
    harness.api.habits.tokens = None
    harness.write("content/blog.yaml", blog("a"))
    harness.apply()
    assert (harness.made_by("a").tokens, len(harness.api.generations)) == (USED, 1)


def test_lines_and_rows_with_tokens_are_read_back(tmp_path: Path) -> None:
    """In the lock, in the journal and in the cache; one without has no such key."""
    paid = PaidTokens(input=7, output=3, price=PRICE)
    fields: dict[str, Any] = {"digest": "", "server": "local", "dialect": "", "credits": 4}
    entry = OpenEntry(
        request_id=RequestId("r"), item=ItemId("a"), attempt=1, state=JobState.PAID, tokens=paid, **fields
    )
    text = line_of(entry)
    assert '"tokens":{"input":7,"output":3,"price":{"currency":"USD","input":250000,"output":2000000}}' in text
    assert line_of(parse_as(text, OpenEntry)) == text
    stored = StoredText(title="t", body="b", credits=4, tokens=paid)
    with Cache(tmp_path) as cache:
        cache.put_text("local", NOTHING, stored)
        assert cache.get_text("local", NOTHING, "") == stored
    assert PRICE.of(Tokens(input=7, output=3)) == 7 * 250_000 + 3 * 2_000_000


def test_a_record_keeps_the_price_of_its_day(tmp_path: Path, invoke: Run, processes: None) -> None:
    """A later price, in another currency, changes nothing of what was made before it."""
    harness = site(tmp_path)
    settings = (tmp_path / "contentops.yaml").read_text("utf-8")
    for year, price in (
        (2026, "{input: 0.25, output: 2, currency: USD}"),
        (2027, "{input: 1, output: 3, currency: EUR}"),
    ):
        harness.write("contentops.yaml", f"{settings}price: {price}\n")
        harness.write("content/blog.yaml", blog("a", year=year))
        harness.apply()
    made = invoke("report", "--runs", "--select", "a", "--json", cwd=tmp_path).json["generations"]
    assert [one["money"] for one in made] == [{"EUR": "0.0036"}, {"USD": "0.0019"}]
    assert harness.plan().empty
