"""Writes the extra `locked` of pyproject.toml: what the program needs, at the versions that the action installs.

python .ci/locked.py
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_ITSELF: Final = "contentops (pyproject.toml)"
_EXTRA: Final = re.compile(r"^locked = \[\n(?:.*\n)*?\]\n", re.MULTILINE)


def locked(project: str, pins: str) -> list[str]:
    """Return the pins of all packages that the program needs without extras, sorted.

    `project` is pyproject.toml, `pins` a file of requirements with the comments of uv.
    """
    stated = tomllib.loads(project)["project"]["dependencies"]
    direct = {re.split(r"[^\w.-]", one, maxsplit=1)[0].casefold() for one in stated}
    found: dict[str, str] = {}
    users: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[\w-])", pins):
        if pin := re.match(r"([\w.-]+)==[^\\\n]*", block):
            found[pin[1]] = pin[0].strip()
            users[pin[1]] = {name.strip() for name in re.findall(r"^    #(?: via)? +(\S.*)$", block, re.MULTILINE)}
    needed = {name for name in found if name.casefold() in direct and _ITSELF in users[name]}
    while more := {name for name in found.keys() - needed if users[name] & needed}:
        needed |= more
    return [found[name] for name in sorted(needed)]


def with_extra(project: str, pins: list[str]) -> str:
    """Return pyproject.toml with these pins as its extra `locked`."""
    lines = "".join(f'  "{pin}",\n' for pin in pins)
    return _EXTRA.sub(f"locked = [\n{lines}]\n", project, count=1)


if __name__ == "__main__":
    file = ROOT / "pyproject.toml"
    text = file.read_text("utf-8")
    file.write_text(with_extra(text, locked(text, (ROOT / "action-requirements.txt").read_text("utf-8"))), "utf-8")
