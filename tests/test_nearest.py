"""The known word a misspelt one was meant as, among few and among thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import nearest

if TYPE_CHECKING:
    from tests.running import Clock

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


def test_many_mistakes_among_thousands_of_names_are_quick(processor_time: Clock) -> None:
    """Each wrong name costs a glance, not a comparison with every right one."""
    known = [f"name-{number:05}" for number in range(3_000)]
    began = processor_time()
    assert all(nearest(f"nmae-{number:05}", known) for number in range(200))
    assert processor_time() - began < 4
