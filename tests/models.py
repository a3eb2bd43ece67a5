"""A fake model on a loopback port for whole commands: what it answers, and what it was asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.chat import Raw, said
from tests.processes import Answer, Scripted, blog
from tests.running import Build

MODEL_PROJECT = """\
version: 1
project: acme-blog
api: {base_url: local, engine: openai, model: small}
defaults: {template: blog_article_generator, style: general_blog, mode: quick}
"""
PROBE = "Answer with the word yes."
"""The prompt by which `apply` and `doctor --online` try the model."""


def shop(build: Build, *items: str, settings: str = MODEL_PROJECT, extra: str = "") -> Path:
    """A project with these items and a model; `extra` are more keys of `api`."""
    settings = settings.replace("model: small", f"model: small, {extra}") if extra else settings
    return build({"contentops.yaml": settings, "content/blog.yaml": blog(*(items or ("one",)))})


def writes(body: Any, number: int) -> Raw:
    """A model that does as it is told, each time with other words."""
    if body["messages"][1]["content"].startswith("Plan"):
        return said("Title: The Pull of the Moon")
    return said(f"Paragraph {number} tells the sailors of the tides, and of what the harbour does with them.")


def whole(body: Any, number: int) -> Raw:
    """A model that writes each text in one call."""
    paragraphs = (f"Text {number} tells in part {n} what the harbour does with the tides, and why." for n in range(60))
    return said("# The Pull of the Moon\n\n## What the moon does\n\n" + "\n\n".join(paragraphs))


class Model(Scripted):
    """A chat endpoint that answers as `reply` says: the body and its number from 0 in, a `Raw` out."""

    def __init__(self, reply: Callable[[Any, int], Raw | None] = writes) -> None:
        super().__init__(self._answer)
        self._reply = reply

    def _answer(self, _method: str, _path: str, body: bytes) -> Answer | None:
        if not body:
            return None  # its client was killed
        asked = json.loads(body)
        found = said("yes") if is_probe(asked) else self._reply(asked, len(self.prompts) - 1)
        return None if found is None else (found.status, found.headers, found.body)

    @property
    def prompts(self) -> list[str]:
        """What it was asked to write, in order."""
        bodies = [json.loads(body) for _, _, _, body in self.seen if body]
        return [str(one["messages"][1]["content"]) for one in bodies if not is_probe(one)]

    @property
    def probes(self) -> int:
        """How often it was only tried."""
        return sum(bool(body) for _, _, _, body in self.seen) - len(self.prompts)

    @property
    def keys(self) -> set[str]:
        """The keys that it was sent; empty for none."""
        return {headers.get("Authorization", "").removeprefix("Bearer ") for _, _, headers, _ in self.seen}

    @property
    def env(self) -> dict[str, str]:
        """The variable by which a command finds it."""
        return {"OPENAI_BASE_URL": self.base_url}


def is_probe(body: Any) -> bool:
    """Whether a request only tries the model."""
    return bool(body["messages"][1]["content"] == PROBE)
