"""A text that one side lost never takes the place of the words that the other side has."""

import itertools
from collections.abc import Iterator

import pytest

from contentops.documents.front_matter import split
from contentops.model import OnEdit
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, quick_folder, results

OUT = "out/one.md"
MORE = "\n## More\n\nWords.\n"


@pytest.fixture(scope="module")
def written() -> Iterator[Harness]:
    """An item with a file and a content, to be copied."""
    with quick_folder() as root:
        harness = Harness(root, FakeApi(duration=30)).applied("one")
        yield harness


def _emptied(harness: Harness, here: str, there: str, year: int) -> Harness:
    """An item whose file and content are as they were, edited, longer or empty, and that asks for what it did or not."""
    text = split(harness.read(OUT)).body
    ways = {"same": text, "edited": text.replace("## Closing", "## End"), "longer": text + MORE, "emptied": ""}
    if there != "same":
        harness.api.edit(harness.record("one").content_id, ways[there])
    harness.write(OUT, harness.read(OUT).replace(text, ways[here]))
    harness.write("content/blog.yaml", blog("one", year=year))
    return harness


@pytest.mark.parametrize(("choice", "refresh"), [(None, False), *((choice, True) for choice in OnEdit)])
def test_no_words_give_way_to_none(written: Harness, choice: OnEdit | None, *, refresh: bool) -> None:
    """Whichever side lost its text, and whether another one is asked for; only `overwrite` puts a new one there."""
    cases = itertools.product(("same", "edited", "longer", "emptied"), repeat=2)
    for (here, there), year in itertools.product(cases, (2026, 2027)):
        if "emptied" not in (here, there):
            continue
        with quick_folder() as root:
            harness = _emptied(written.copied(root / "copy"), here, there, year)
            content = harness.api.contents[harness.record("one").content_id]
            before = (split(harness.read(OUT)).body, content.body)
            run = harness.apply(refresh=refresh, on_edit=choice)
            after = (split(harness.read(OUT)).body, content.body)
            where = f"{here} here, {there} there, {year}"
            if choice is OnEdit.OVERWRITE and year == 2027 and there != "emptied":
                assert results(run) == {"one": "done"}, where
                assert all(after), where
            else:
                assert after == before, where
                assert len(harness.api.generations) == 1, where
                assert run is None or results(run) == {"one": "blocked"}, where
