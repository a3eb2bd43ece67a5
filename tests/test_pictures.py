"""The picture of a plan shows what the program prints today; pictures are small and fetch nothing."""

from __future__ import annotations

import html
import re
import sys

import pytest

from docs import pictures

DRAWN = pictures.PLAN.read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="a checkout there may have other ends of lines")
def test_the_picture_of_a_plan_is_fresh() -> None:
    """Only its words are compared, because another version of rich may draw them in another way."""
    made, again = pictures.plan(), pictures.plan()
    assert made == again
    assert words(DRAWN) == words(made), "run `make pictures ARGS=terminal`"
    assert any("because of var `year`" in line for line in words(made))


def words(picture: str) -> list[str]:
    """The texts of a picture, in order."""
    return [html.unescape(text).replace("\xa0", " ") for text in re.findall(r"<text [^>]*>([^<]*)</text>", picture)]


def test_pictures_are_small_and_fetch_nothing() -> None:
    """A page loads at once, and from one place."""
    folder = pictures.ROOT / "docs"
    large = [path.name for end in ("png", "svg") for path in folder.rglob(f"*.{end}") if path.stat().st_size > 120_000]
    assert large == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s`&<]*", DRAWN) == ["https://api.writerzroom.com:443"]
    assert not re.search(r"<script|<image|@import|url\((?!#)", DRAWN)
