"""What `report`, `report --provenance` and `history` say of tokens and money: per currency, and nothing guessed."""

from pathlib import Path
from typing import Any

import pytest

from contentops.model.jobs import money_words
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.running import Run

MICRO = 10**6


class Site:
    """A project whose server says tokens, and whose settings have a price."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refuses = False
        self.harness = Harness(root, FakeApi(duration=30, fails=lambda _: "the model refuses" * self.refuses))
        self.settings = (root / "contentops.yaml").read_text("utf-8")
        git(root, "init", "--quiet", "--initial-branch", "main")

    def make(self, *ids: str, tokens: Any = (1000, 100), price: str = "", year: int = 2026) -> None:
        """Generate the texts that are not there yet."""
        self.harness.api.habits.model = "" if tokens is None else "small"
        self.harness.api.habits.tokens = {"input": tokens[0], "output": tokens[1]} if tokens else None
        self.harness.write("contentops.yaml", self.settings + (f"price: {{{price}}}\n" if price else ""))
        self.harness.applied(*ids, year=year)

    def fail(self, *ids: str, **options: Any) -> None:
        """Try to generate a text, which fails after its model has written."""
        self.refuses = True
        self.make(*ids, **options)
        self.refuses = False


USD = "input: 0.1, output: 0.2, currency: USD"
EUR = "input: 1, output: 2, currency: EUR"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty project."""
    return Site(tmp_path)


def report(invoke: Run, site: Site, *arguments: str) -> Any:
    """What `report --json` says."""
    ended = invoke("report", *arguments, "--json", cwd=site.root)
    assert ended.code == 0, ended.stderr
    return ended.json


def test_money_is_summed_exactly_and_by_currency(site: Site, invoke: Run, processes: None) -> None:
    """Three times 0.00012 is no 0.00036000000000000003, and no currency is added to another."""
    for number, price in enumerate((USD, USD, USD, EUR)):
        site.make("a", year=2020 + number, price=price)
    found = report(invoke, site)
    assert found["tokens"] == {"input": 4000, "output": 400}
    assert found["money"] == {"EUR": "0.0012", "USD": "0.00036"}
    assert found["by"]["template"][0]["money"] == found["money"]
    text = invoke("report", cwd=site.root).stdout
    assert "Models: 4,000 tokens read and 400 written, 0.0012 EUR and 0.00036 USD.\n" in text
    [row] = report(invoke, site, "--provenance")["texts"]
    assert (row["money"], row["credits"]) == ({"EUR": "0.0012", "USD": "0.00036"}, 16)
    assert "0.0012 EUR and 0.00036 USD" in invoke("report", "--provenance", cwd=site.root).stdout
    assert "0.0012 EUR" in invoke("report", "--runs", cwd=site.root).stdout


def test_texts_without_counts_and_without_a_price_are_said(site: Site, invoke: Run, processes: None) -> None:
    """They are in no sum, and not taken for free."""
    site.make("a", price=USD)
    site.make("a", "b", "c", tokens=(), price=USD)
    site.make("a", "b", "c", "written-by-the-service", tokens=None, price=USD)
    site.make("a", "b", "c", "written-by-the-service", "d")
    found = report(invoke, site)
    assert (found["tokens_unknown"], found["unpriced"], found["money"]) == (2, 1, {"USD": "0.00012"})
    for command in (("report",), ("report", "--runs")):
        text = invoke(*command, cwd=site.root).stdout
        assert "Not in this sum: 2 texts without token counts.\n" in text
        assert "Not in the money: 1 text made without a `price` in the settings.\n" in text


def test_failed_jobs_cost_no_credits_but_money(site: Site, invoke: Run, processes: None) -> None:
    """Whether their entry is still open, in git's history alone, or in a run of this machine alone."""
    site.fail("a", price=USD)
    found = report(invoke, site)
    assert (found["texts"], found["credits"], found["failed"], found["money"]) == (0, 0, 1, {"USD": "0.00012"})
    commit(site.root, "With an open job")
    site.make("a", price=USD)
    assert report(invoke, site)["money"] == {"USD": "0.00024"}
    site.fail("a", year=2027, price=USD)
    site.make("a", year=2027, price=USD)
    found = report(invoke, site)
    assert (found["texts"], found["failed"], found["money"]) == (2, 2, {"USD": "0.00048"})
    assert "2 failed jobs among them.\n" in invoke("report", cwd=site.root).stdout
    assert report(invoke, site, "--provenance")["texts"][0]["money"] == {"USD": "0.00048"}


@pytest.mark.parametrize(("amount", "words"), [
    (0, "0.00 USD"), (1, "less than 0.000001 USD"), (499_999, "less than 0.000001 USD"), (500_000, "0.000001 USD"),
    (120 * MICRO, "0.00012 USD"), (300_000 * MICRO, "0.30 USD"), (999_999_500_000, "1.00 USD"),
    (1_005_000 * MICRO, "1.01 USD"), (1_234_567_891_000 * MICRO, "1,234,567.89 USD"),
])  # fmt: skip
def test_money_in_words(amount: int, words: str) -> None:
    """Cents, and more places only below one unit."""
    assert money_words({"USD": amount}) == words
