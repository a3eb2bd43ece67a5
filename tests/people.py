"""People who share a project: what someone with a clone, an editor and git does, and what is written where."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from contentops.model import Job, Record
from contentops.operations import opening
from tests.clones import NOBODY
from tests.fakes.clock import Timeline
from tests.fakes.desk import Desk

Entry = dict[str, Any]
"""A manifest of one item."""

WORD = re.compile(r"zq\d{4}q")
KEY = re.compile(r"\bK\d+\b")
_MARKS = re.compile(r"<<<<<<<|=======$|>>>>>>>|\|\|\|\|\|\|\|")


class Origin(NamedTuple):
    """Where a person wrote a word, and about what: the `key` of an item stays, whatever its id becomes."""

    project: str
    environment: str
    key: str

    def may_be_in(self, text: Origin) -> bool:
        """Whether such a word may be in a text: written for it, or promoted with it."""
        return self == text or (text.environment == "prod" and self == text._replace(environment="staging"))

    def is_of_item(self, text: Origin) -> bool:
        """Whether it was written for the same item, in whichever environment."""
        return self == text._replace(environment=self.environment)


def words(texts: Iterable[str]) -> set[str]:
    """The words of people in some texts."""
    return {word for text in texts for word in WORD.findall(text)}


def key_in(text: str) -> str:
    """What a request or a manifest is about."""
    found = KEY.search(text)
    return found[0] if found else ""


def inputs(key: str, version: int) -> dict[str, str]:
    """A request about a key."""
    return {"topic": f"{key} in version {version}", "target_audience": "readers"}


def entry(key: str, id_: str, version: int = 1) -> Entry:
    """A manifest of one item."""
    return {"moved": [], "items": [{"id": id_, "inputs": inputs(key, version), "metadata": {"note": "n0"}}]}


class Person:
    """Someone with a clone. Every item has a manifest of its own, named by its key."""

    def __init__(self, root: Path, project: str, environments: tuple[str, ...], server: Any, time: Timeline) -> None:
        self.root = root
        self.name = root.name
        self.project = project
        self.environments = environments
        self.desk = Desk(root, server, time)
        self.named: set[str] = set()
        """Kept copies that runs named."""

    # --- the project --------------------------------------------------------------------------------------------

    def records(self, environment: str) -> dict[str, Record]:
        """What is recorded here, by id."""
        project = opening.open_project(str(self.root), environment, ())
        return {str(id_): record for id_, record in opening.read_state(project).records.items()}

    def jobs(self) -> list[Job]:
        """What was ordered in its environments, by all that is known here."""
        projects = (opening.open_project(str(self.root), each, ()) for each in self.environments)
        return [job for project in projects for job in opening.read_state(project).jobs]

    def manifests(self) -> dict[str, Entry]:
        """The manifests by key."""
        paths = sorted((self.root / "content").glob("*.yaml"))
        return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}

    def declare(self, key: str, one: Entry) -> None:
        """Write a manifest."""
        path = self.root / "content" / f"{key}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(one, indent=1) + "\n", "utf-8")

    def is_sound(self) -> bool:
        """Whether there is an item, each id is one item's, and no id is both declared and given up."""
        found = self.manifests().values()
        ids = [one["items"][0]["id"] for one in found] + [pair["from"] for one in found for pair in one["moved"]]
        return bool(ids) and len(ids) == len(set(ids))

    def texts(self) -> dict[str, str]:
        """Every file that a person sees, by path."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in {".git", ".contentops"})
            for name in sorted(names):
                path = Path(folder, name)
                found[str(path.relative_to(self.root))] = path.read_text("utf-8")
        return found

    def copies(self) -> list[str]:
        """The kept copies that a run named."""
        places = [self.root / name for name in sorted(self.named)]
        return [path.read_text("utf-8") for place in places for path in (place, *place.rglob("*")) if path.is_file()]

    # --- git ----------------------------------------------------------------------------------------------------

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run git here."""
        ended = subprocess.run(
            ["git", *NOBODY, *arguments], cwd=self.root, capture_output=True, text=True, check=False, env=os.environ
        )
        assert ended.returncode == 0 or not check, (arguments, ended.stdout, ended.stderr)
        return ended

    def lines(self, *arguments: str) -> list[str]:
        """What git prints."""
        return self.git(*arguments).stdout.split()

    def commit(self, message: str = "Work") -> bool:
        """Commit all that there is; whether there was anything."""
        self.git("add", "--all")
        is_new = self.git("diff", "--cached", "--quiet", check=False).returncode != 0
        if is_new:
            self.git("commit", "--quiet", f"--message={message}")
        return is_new

    def merge(self, what: str, rng: random.Random, say: Callable[[str], None]) -> None:
        """Merge a branch; where git cannot, as a person with sense does."""
        # Files of two environments can be equal, and git would take one for the other under a new name.
        # Some versions of git follow renames in the strategy `ort` whatever they are told.
        plain = ("--strategy=recursive", "--strategy-option=no-renames")
        ended = self.git("merge", "--quiet", "--no-edit", *plain, what, check=False)
        say(f"{self.name}: merges {what}{' with conflicts' if ended.returncode else ''}")
        if ended.returncode:
            for name in sorted(filter(None, self.git("diff", "--name-only", "--diff-filter=U").stdout.split("\n"))):
                say(f"  conflict in {name}")
                self._resolve(self.root / name, name, rng)
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message=Merge")

    def _resolve(self, path: Path, name: str, rng: random.Random) -> None:
        shown = [self.git("show", f":{stage}:{name}", check=False) for stage in (1, 2, 3)]
        base, ours, theirs = (one.stdout if one.returncode == 0 else None for one in shown)
        if name.startswith("content/"):
            merged = both_entries(base, ours, theirs, rng)
        elif ours is not None and theirs is not None:
            merged = both_texts(path.read_text("utf-8"), ours)
        else:
            merged = ours or theirs or ""
        path.unlink(missing_ok=True)
        if merged is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(merged, "utf-8")


def edited(text: str, word: str, rng: random.Random) -> str:
    """The text with a word more: in its title, after a heading, at the end of a line, or at its end."""
    lines = text.split("\n")
    way = rng.choice(["title", "section", "line", "end"])
    if way == "title":
        return re.sub(r"^(title: .*?)([\"']?)$", rf"\1 {word}\2", text, count=1, flags=re.MULTILINE)
    fence = lines.index("---", 1) if lines[0] == "---" else 0
    headings = [number for number, line in enumerate(lines) if line.startswith("## ")]
    plain = [number for number, line in enumerate(lines) if number > fence and line and line[0].isalpha()]
    if way == "section" and headings:
        at = rng.choice(headings) + 1
        return "\n".join([*lines[:at], "", f"Here {word} is new.", *lines[at:]])
    if way == "line" and plain:
        lines[rng.choice(plain)] += f" Also {word}."
        return "\n".join(lines)
    return text.rstrip("\n") + f"\n\nIn the end {word}.\n"


def both_entries(base: str | None, ours: str | None, theirs: str | None, rng: random.Random) -> str | None:
    """What a person makes of two manifests of one item: what each side changed, and one side where both did."""
    if ours is None or theirs is None:
        return rng.choice([ours, theirs]) if base else ours or theirs
    old, one, other = (json.loads(text) for text in (base or ours, ours, theirs))
    mine, yours = rng.sample([one, other], 2)
    made = {}
    for name in ("id", "inputs", "metadata", "output"):
        was, left, right = (each["items"][0].get(name) for each in (old, mine, yours))
        if (value := right if left == was else left) is not None:
            made[name] = value
    ids = [each["items"][0]["id"] for each in (mine, yours)]
    # Two pairs cannot lead to one id.
    pairs = [pair for each in (mine, yours) for pair in each["moved"] if pair["to"] == made["id"]][:1]
    if not pairs:
        # Only one of two ids goes on: the other one is renamed to it.
        pairs = [{"from": id_, "to": made["id"]} for id_ in ids if id_ != made["id"]]
    return json.dumps({"moved": pairs, "items": [made]}, indent=1) + "\n"


def both_texts(text: str, ours: str) -> str:
    """What a person makes of a text with conflicts: our front matter, and the lines of both sides."""
    kept = "\n".join(line for line in text.split("\n") if not _MARKS.match(line))
    if not ours.startswith("---\n"):
        return kept
    front, body = ours.split("---\n", 2)[1], kept.split("---\n")[2:]
    return f"---\n{front}---\n" + "---\n".join(body)
