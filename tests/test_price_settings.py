"""`price` of the settings: what it is for each environment, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import InputError
from contentops.manifests.project import load_project
from contentops.tokens import TokenPrice

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Project

USD = "price: {input: 0.25, output: 2.00, currency: USD}\n"


def load(root: Path, text: str, environment: str = "") -> Project:
    """The project of these settings."""
    (root / "contentops.yaml").write_text(f"project: x\n{text}", encoding="utf-8")
    return load_project(root, environment=environment)


def price(number_in: int, number_out: int, currency: str = "USD") -> TokenPrice:
    """A price in millionths."""
    return TokenPrice(input=number_in, output=number_out, currency=currency)


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        pytest.param("", "", None, id="none"),
        pytest.param("price:\n", "", None, id="nothing"),
        pytest.param(USD, "", price(250_000, 2_000_000), id="plain"),
        pytest.param(
            "price: {input: 1, output: 100000000, currency: VND}", "", price(10**6, 10**14, "VND"), id="large"
        ),
        pytest.param("price: {input: 0.000001, output: 0.1, currency: EUR}", "", price(1, 100_000, "EUR"), id="small"),
        pytest.param(
            f"{USD}environments: {{live: {{price: {{output: 0.3}}}}}}", "live", price(250_000, 300_000), id="merged"
        ),
        pytest.param(
            f"{USD}environments: {{live: {{price: {{cached: 0.025}}}}}}",
            "live",
            TokenPrice(input=250_000, output=2_000_000, currency="USD", cached=25_000),
            id="cached",
        ),
        pytest.param(f"{USD}environments: {{live: {{}}}}", "live", price(250_000, 2_000_000), id="of-the-project"),
    ],
)
def test_the_price_of_an_environment(tmp_path: Path, text: str, environment: str, expected: TokenPrice | None) -> None:
    """Merged with that of the project, in millionths, exactly."""
    assert load(tmp_path, text, environment).price == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price: {input: 0, output: 2, currency: USD}", "`input` must be more than 0"),
        ("price: {input: -1, output: 2, currency: USD}", "`input` must be more than 0"),
        ("price: {input: 1, output: 1e9, currency: USD}", "`output` must be at most 100000000"),
        ("price: {input: .nan, output: 2, currency: USD}", "nan"),
        ("price: {input: .inf, output: 2, currency: USD}", "inf"),
        ("price: {input: cheap, output: 2, currency: USD}", "`input` must be a number"),
        ("price: {input: '1', output: 2, currency: USD}", "`input` must be a number"),
        (
            "price: {input: 0.12345678, output: 2, currency: USD}",
            "`input` has more than six decimal places: 0.12345678",
        ),
        ("price: {input: 0.0000001, output: 2, currency: USD}", "`input` has more than six decimal places: 1e-07"),
        ("price: {input: 1, output: 2, currency: dollars}", "`currency`"),
        ("price: {input: 1, output: 2, currency: usd}", "`currency`"),
        ("price: {input: 1, output: 2}", "`price` has no `currency`"),
        ("price: {input: 1, cached: 2, output: 2, currency: USD}", "`cached` is 2, more than `input` (1)"),
        ("price: {input: 1, cached: 0.1234567, output: 2, currency: USD}", "`cached` has more than six decimal places"),
        ("price: {output: 2}", "`price` has no `input` and `currency`"),
        ("environments: {live: {price: {input: 2}}}", "`price` has no `output` and `currency`"),
        ("price: 3", "`price` must be"),
        ("price: {inputs: 1}", "unknown key `inputs`"),
    ],
)
def test_a_price_that_cannot_be_counted_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With a finding at its location."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    found = [one for one in caught.value.diagnostics() if message in one.message]
    assert found, caught.value.diagnostics()
    assert found[0].location is not None
