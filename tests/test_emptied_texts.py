"""A text that one side lost never takes the place of the words that the other side has."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from contentops.documents.front_matter import split
from contentops.model import OnEdit
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog, quick_folder, results

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = "out/one.md"
MORE = "\n## More\n\nWords.\n"


@pytest.fixture(scope="module")
def written() -> Iterator[Scene]:
    """An item with a file and a content, to be copied."""
    with quick_folder() as root:
        scene = Scene(root, FakeApi(duration=30))
        scene.write("content/blog.yaml", blog("one"))
        scene.apply()
        yield scene


def _emptied(scene: Scene, here: str, there: str, year: int) -> Scene:
    """An item whose file and content are as they were, edited, longer or empty, and that asks for what it did or not."""
    text = split(scene.read(OUT)).body
    ways = {"same": text, "edited": text.replace("## Closing", "## End"), "longer": text + MORE, "emptied": ""}
    if there != "same":
        scene.api.edit(scene.record("one").content_id, ways[there])
    scene.write(OUT, scene.read(OUT).replace(text, ways[here]))
    scene.write("content/blog.yaml", blog("one", year=year))
    return scene


@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize("choice", [None, *OnEdit])
def test_no_words_give_way_to_none(written: Scene, choice: OnEdit | None, *, refresh: bool) -> None:
    """Whichever side lost its text, and whether another one is asked for; only `overwrite` puts a new one there."""
    cases = itertools.product(("same", "edited", "longer", "emptied"), repeat=2)
    for (here, there), year in itertools.product(cases, (2026, 2027)):
        if "emptied" not in (here, there):
            continue
        with quick_folder() as root:
            scene = _emptied(written.copied(root / "copy"), here, there, year)
            content = scene.api.contents[scene.record("one").content_id]
            before = (split(scene.read(OUT)).body, content.body)
            run = scene.apply(refresh=refresh, on_edit=choice)
            after = (split(scene.read(OUT)).body, content.body)
            where = f"{here} here, {there} there, {year}"
            if choice is OnEdit.OVERWRITE and year == 2027 and there != "emptied":
                assert results(run) == {"one": "done"}, where
                assert all(after), where
            else:
                assert after == before, where
                assert len(scene.api.generations) == 1, where
                assert run is None or results(run) == {"one": "blocked"}, where
