"""The known word a misspelt one was meant as, among few and among thousands."""

from __future__ import annotations

import pytest

from contentops.errors import nearest

MANY = tuple(
    f"{kind}-to-{place}-{number}" for kind in ("guide", "way") for place in ("ghent", "oslo") for number in range(800)
)


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("templte", ("style", "template"), "template"),
        ("zzz", ("style", "template"), None),
        ("guide-to-gent-417", MANY, "guide-to-ghent-417"),
        ("gide-to-oslo-7", MANY, "guide-to-oslo-7"),
        ("unlike", MANY, None),
        ("x", MANY, None),
        ("", MANY, None),
        ("a" * 100_000, ("a" * 99_999,), None),
    ],
)
def test_the_nearest_word(word: str, known: tuple[str, ...], expected: str | None) -> None:
    """It is the most similar one, and none where nothing is close."""
    assert nearest(word, known) == expected
