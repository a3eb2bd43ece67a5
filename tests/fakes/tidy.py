"""Servers that change what they are given to store, and people who change what is stored."""

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.api import FakeApi, Generation, Stored


def keep(text: str) -> str:
    """As it is."""
    return text


def strip(text: str) -> str:
    """Without blanks at line ends, and without the last newline."""
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def curl(text: str) -> str:
    """Curled quotes, long dashes and real dots."""
    text = re.sub(r'"([^"\n]*)"', "\u201c\\1\u201d", text)
    return text.replace("'", "\u2019").replace("...", "\u2026").replace("--", "\u2014")


def rewrite(text: str) -> str:
    """What no rule of typography tells: a comment dropped, a link made."""
    return re.sub(r"<!--.*?-->", "", text).replace("example.com", "<https://example.com>")


class TidyApi(FakeApi):
    """A `FakeApi` whose texts have much to tidy, and which does. `dates`: an edit moves the time of its content."""

    def __init__(self, tidy: Callable[[str], str] = keep, *, dates: bool = True, **habits: Any) -> None:
        super().__init__(**({"duration": 30, "auto_save": False} | habits))
        self.tidy = tidy
        self.dates = dates

    def edit(self, content_id: str, body: str, *, title: str = "") -> None:
        """A person edits a content in the web app, an hour after it was stored."""
        before = self.contents[content_id].updated
        super().edit(content_id, body, title=title)
        self.contents[content_id].updated = self.contents[content_id].updated + 3600 if self.dates else before

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        stored = super()._create(title, body, metadata, at=at)
        stored.title, stored.body = self.tidy(title), self.tidy(body)
        return stored

    def _overwrite(self, content_id: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        answer = super()._overwrite(content_id, body)
        if (stored := self.contents.get(content_id)) is not None:
            stored.title, stored.body = self.tidy(stored.title), self.tidy(stored.body)
        return answer

    def _written(self, job: Generation) -> tuple[str, str]:
        text = (
            f'## Introduction\n\nAll "about" {job.topic}...  \nand that\'s it -- see example.com.\n\n'
            f"<!-- draft -->\n\n## Closing\n\nTake {job.take}.\n"
        )
        return f'On "{job.topic}" -- it\'s ready...', text
