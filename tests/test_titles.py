"""A title that cleaning alters is written once: the plan after an apply is empty, whatever the title."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.documents.clean import clean_title
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, quick_folder, results
from tests.running import examples

if TYPE_CHECKING:
    from pathlib import Path

TITLES = {
    "double space": ("Tea  for two", "Tea for two"),
    "trailing space": ("Tea ", "Tea"),
    "newline": ("Tea\nfor two\n", "Tea for two"),
    "French": ("Qui\u202f? Moi\u00a0!", "Qui\u202f? Moi\u00a0!"),
    "Japanese": ("お茶\u3000の時間", "お茶\u3000の時間"),
    "around": ("\u3000お茶\u00a0", "お茶"),
    "too long": ("Tea " * 100, "Tea " * 74 + "Tea…"),
}


def _manifest(*titles: str) -> str:
    items = [
        {"id": f"i{at}", "inputs": {"topic": f"Tea {at}", "target_audience": "all"}, "metadata": {"title": title}}
        for at, title in enumerate(titles)
    ]
    return json.dumps({"items": items}, ensure_ascii=False)


@pytest.mark.parametrize(("title", "clean"), TITLES.values(), ids=TITLES)
def test_a_title_is_cleaned_as_it_is_loaded(tmp_path: Path, title: str, clean: str) -> None:
    """Its file, its record and its next plan agree, also where it is changed later."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/a.yaml", _manifest("Coffee"))
    harness.apply()
    harness.write("content/a.yaml", _manifest(title))
    assert results(harness.apply()) == {"i0": "done"}
    assert harness.record("i0").title == clean
    before = harness.bytes()
    assert harness.plan().empty
    assert harness.apply() is None
    assert harness.bytes() == before


ANY_TITLE = st.text(
    # Without what a manifest refuses by itself, and without expressions.
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"), exclude_characters="{\ufeff")
    | st.sampled_from("\u00a0\u202f\u3000\u2009 \n\t")
).filter(clean_title)


@settings(max_examples=examples(6))
@given(st.lists(ANY_TITLE | st.text("ab \u00a0\u3000", min_size=290, max_size=310).filter(clean_title), min_size=1))
def test_after_an_apply_no_title_is_left_to_write(titles: list[str]) -> None:
    """New items, and items whose titles change."""
    with quick_folder() as root:
        harness = Harness(root, FakeApi(duration=30))
        for stated in (titles, titles[::-1]):
            harness.write("content/a.yaml", _manifest(*stated))
            harness.apply()
            assert [harness.record(f"i{at}").title for at in range(len(stated))] == [clean_title(one) for one in stated]
            assert harness.plan().empty, harness.plan().changes
