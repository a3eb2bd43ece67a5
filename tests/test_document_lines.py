"""Lines that two texts share: in order, the same in both, found quickly in long texts."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from contentops.reporting.difference import Part, difference_text, shared

if TYPE_CHECKING:
    from tests.running import Clock

LINES = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]) | st.text("xyz", min_size=3, max_size=3), max_size=30)


@given(LINES, LINES)
def test_what_is_shared_is_the_same_in_both(before: list[str], after: list[str]) -> None:
    """Runs come in order, none touches the next, and each holds the same lines on both sides."""
    end_before = end_after = 0
    touching = True
    for run in shared(before, after):
        assert run.size > 0
        assert run.before >= end_before
        assert run.after >= end_after
        assert touching or (run.before, run.after) != (end_before, end_after)
        assert before[run.before : run.before + run.size] == after[run.after : run.after + run.size]
        end_before, end_after, touching = run.before + run.size, run.after + run.size, False


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_a_diff_is_that_of_the_standard_library(before: list[str], after: list[str]) -> None:
    """Where no line is an anchor, hunks and their numbers are the same."""
    before, after = [each for each in before for _ in "12"], [each for each in after for _ in "12"]
    matcher = difflib.unified_diff(before, after, "a (generated)", "a (file)", lineterm="")
    part = Part("", "\n".join(before), "\n".join(after))
    assert list(difference_text([part], "a (generated)", "a (file)", coloured=False)) == list(matcher)


def test_it_takes_time_as_a_text_has_lines(processor_time: Clock) -> None:
    """Every second of its unlike lines edited; in the square of the length, eight times as much takes 64 times."""

    def seconds(number: int) -> float:
        lines = [line for n in range(number) for line in (f"## Part {n}", "", "same", "")]
        edited = [f"{line}!" if line.endswith(("1", "3", "5", "7", "9")) else line for line in lines]
        began = processor_time()
        runs = shared(lines, edited)
        took = processor_time() - began
        assert sum(run.size for run in runs) >= len(lines) // 2
        return took

    assert seconds(8000) < 30 * max(seconds(1000), 0.01)
