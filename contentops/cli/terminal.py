"""What the terminal can do, and the two streams: stdout for results, stderr for everything else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from contentops.report.safe import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json


def wants_color(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether to paint: `NO_COLOR` beats `FORCE_COLOR`, which beats what the stream is."""
    env = os.environ if environ is None else environ
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return stream.isatty() and env.get("TERM") != "dumb"


def in_ci(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a CI system runs us: no prompt, no moving display."""
    env = os.environ if environ is None else environ
    return any(env.get(name, "").lower() not in {"", "0", "false"} for name in ("CI", "GITHUB_ACTIONS"))


def can_animate(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether lines may be redrawn; colour alone, however forced, is no reason to."""
    env = os.environ if environ is None else environ
    return stream.isatty() and env.get("TERM") != "dumb" and not in_ci(env)


def can_ask(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a person is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not in_ci(environ)


def say(text: str) -> None:
    """Prints a result to stdout; an empty one prints nothing."""
    if text:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def say_json(value: Json) -> None:
    """Prints a result to stdout as JSON."""
    say(json_text(value))


def tell(text: str) -> None:
    """Prints a message to stderr; an empty one prints nothing."""
    if text:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
