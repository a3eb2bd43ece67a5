"""A year of work in some hundred steps: no word is lost or goes astray, nothing is paid twice, all is counted.

Three people work in clones of one project, and one in another project, on one account. A story is a list of steps;
each draws its details from a seed of its own, so that a story that fails is cut short and told: `Fell` says which
promise was broken, and `Year.log` what people did. `CONTENTOPS_TEST_YEARS` says how many are played (default: a few).
"""

import functools
import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from contentops.model import Record
from tests.books import SETTINGS, Books, Fell
from tests.fakes.clock import Timeline
from tests.fakes.harness import quick_folder
from tests.fakes.kills import Death
from tests.fakes.room import FakeRoom, Room, ServedRoom
from tests.people import Entry, Person, edited, entry, inputs

_PROJECTS = {"acme": ("first", "second", "third"), "other": ("fourth",)}
_ATTRIBUTES = (
    "contentops*.lock text eol=lf merge=union\ncontentops*.jobs text eol=lf merge=union\ncontent/*.yaml -merge\n"
)


class Step(NamedTuple):
    """Something a person does in an environment; `seed` decides the details."""

    name: str
    person: int
    environment: str
    seed: int


class _Act(NamedTuple):
    """Who does something, where, and what the details are drawn from."""

    person: Person
    environment: str
    rng: random.Random


class Year(Books):
    """The people of two projects, and all they do; what must be true of each command is in `Books`."""

    def __init__(self, folder: Path, room: Callable[[Timeline], Room], seed: int) -> None:
        timeline = Timeline()
        super().__init__(room(timeline))
        rng = random.Random(seed)
        promote, same_name = rng.random() < 0.5, rng.random() < 0.5
        on_edit = rng.choice(["", "", ", on_edit: keep", ", on_edit: merge"])
        self._numbers = iter(range(4, 10**6))
        self.log.append(f"# promote_from: {promote}, one name: {same_name}{on_edit}")
        for project in _PROJECTS:
            settings = SETTINGS.format(
                name="acme" if same_name else project,
                promote=", promote_from: staging" if promote else "",
                on_edit=on_edit,
            )
            self._found(folder, project, settings, timeline)

    def _found(self, folder: Path, project: str, settings: str, timeline: Timeline) -> None:
        remote = folder / f"{project}.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", remote], check=True)
        founder = Person(folder / f"{project}-founder", project, (), self.room, timeline)
        founder.root.mkdir()
        for name, text in {"contentops.yaml": settings, ".gitattributes": _ATTRIBUTES, "README": project}.items():
            (founder.root / name).write_text(text, "utf-8")
        for key, id_ in (("K1", "id1"), ("K2", "id2"), ("K3", "id3")):
            founder.declare(key, entry(key, id_))
        founder.git("init", "--quiet", "--initial-branch=main")
        founder.commit("First items")
        founder.git("push", "--quiet", remote.as_uri(), "main")
        for name in _PROJECTS[project]:
            subprocess.run(["git", "clone", "--quiet", remote.as_uri(), folder / name], check=True)
            environments = ("staging", "prod") if project == "acme" else ("",)
            self.people.append(Person(folder / name, project, environments, self.room, timeline))

    def take(self, step: Step) -> None:
        """One step; raises Fell."""
        person = self.people[step.person]
        environment = step.environment if step.environment in person.environments else person.environments[0]
        self.log.append(f"# {step.name} by {person.name} in {environment or 'default'}")
        getattr(self, f"do_{step.name}")(_Act(person, environment, random.Random(step.seed)))

    # --- texts --------------------------------------------------------------------------------------------------

    def _item(self, act: _Act) -> tuple[str, str, Record] | None:
        """An item that is declared and has a file: its key, its id and its record."""
        records = act.person.records(act.environment)
        found = [
            (key, id_, records[id_])
            for key, one in act.person.manifests().items()
            if (id_ := one["items"][0]["id"]) in records and (act.person.root / records[id_].output).is_file()
        ]
        return act.rng.choice(found) if found else None

    def do_edit(self, act: _Act) -> None:
        """A person writes into a file."""
        if found := self._item(act):
            key, _, record = found
            path, word = act.person.root / record.output, self.word(act.person, act.environment, key)
            path.write_text(edited(path.read_text("utf-8"), word, act.rng), "utf-8")
            self.say(f"{word} in {record.output} of {act.person.name}")

    def do_edit_there(self, act: _Act) -> None:
        """A person writes in WriterzRoom."""
        stored, found = self.room.stored(), self._item(act)
        if found is None or found[2].content_id not in stored:
            return
        key, id_, record = found
        word, (title, body) = self.word(act.person, act.environment, key), stored[record.content_id]
        _, front, new = edited(f"---\ntitle: {title}\n---\n{body}", word, act.rng).split("---\n", 2)
        self.typed_there[word] = record.content_id
        self.room.change(record.content_id, front.removeprefix("title: ").strip(), new)
        self.say(f"{word} in the content of {id_} on the server")

    def do_restore(self, act: _Act) -> None:
        """An earlier text is put back."""
        if found := self._item(act):
            listed = self.run(act.person, act.environment, "restore", found[1], "--json", codes=(0, 64)).json["texts"]
            if listed:
                digest = act.rng.choice(listed)["body"].removeprefix("sha256:")[:16]
                flags = act.rng.choice([(), ("--on-edit", "overwrite")])
                line = ("restore", found[1], "--to", digest, *flags)
                self.run(act.person, act.environment, *line, codes=(0, 1, 3, 4))

    # --- manifests ----------------------------------------------------------------------------------------------

    def _entry(self, act: _Act) -> tuple[str, Entry]:
        return act.rng.choice(sorted(act.person.manifests().items(), key=lambda one: one[0]))

    def do_request(self, act: _Act) -> None:
        """Another request, or an earlier one."""
        (key, one), version = self._entry(act), act.rng.randint(1, 4)
        one["items"][0]["inputs"] = inputs(key, version)
        act.person.declare(key, one)
        self.say(f"{act.person.name}: {key} in version {version}")

    def do_metadata(self, act: _Act) -> None:
        """Other front matter."""
        key, one = self._entry(act)
        one["items"][0]["metadata"] = {"note": f"n{act.rng.randint(1, 9)}"}
        act.person.declare(key, one)

    def do_add(self, act: _Act) -> None:
        """One more item."""
        if len(act.person.manifests()) < 6:
            number = next(self._numbers)
            act.person.declare(f"K{number}", entry(f"K{number}", f"id{number}", act.rng.randint(1, 2)))

    def _rename(self, act: _Act, *, said: bool) -> tuple[str, str]:
        key, one = self._entry(act)
        old, new = one["items"][0]["id"], f"id{next(self._numbers)}"
        one["items"][0]["id"] = new
        # Two pairs cannot lead to one id: a person says the newest.
        one["moved"] = [{"from": old, "to": new}] if said else []
        act.person.declare(key, one)
        self.say(f"{act.person.name}: {old} is {new} from now on{', with moved' if said else ''}")
        return old, new

    def do_rename(self, act: _Act) -> None:
        """Another id, said with `moved`."""
        self._rename(act, said=True)

    def do_rename_unsaid(self, act: _Act) -> None:
        """Another id, and nothing said."""
        self._rename(act, said=False)

    def do_state_mv(self, act: _Act) -> None:
        """Another id, and the records moved by hand."""
        old, new = self._rename(act, said=False)
        for environment in act.person.environments:
            if old in act.person.records(environment):
                self.run(act.person, environment, "state", "mv", old, new)

    def do_output(self, act: _Act) -> None:
        """Another path, or the usual one."""
        key, one = self._entry(act)
        one["items"][0].pop("output", None)
        place = act.rng.choice(["", "{{ room }}/moved/{{ item.id }}.md", "{{ room }}/" + key + ".md"])
        if place:
            one["items"][0]["output"] = place
        act.person.declare(key, one)
        self.say(f"{act.person.name}: {key} goes to {place or 'the usual path'}")

    def do_delete(self, act: _Act) -> None:
        """An item goes from the manifests."""
        if len(found := sorted(act.person.manifests())) > 1:
            key = act.rng.choice(found)
            (act.person.root / "content" / f"{key}.yaml").unlink()
            self.say(f"{act.person.name}: {key} is deleted")

    def do_revive(self, act: _Act) -> None:
        """An item that was deleted comes back from git, as it was."""
        person = act.person
        self.commit(person)
        commit, gone = "", []
        for line in person.lines("log", "--diff-filter=D", "--format=%H", "--name-only", "--", "content"):
            if not line.startswith("content/"):
                commit = line
            elif not (person.root / line).exists():
                gone.append((commit, line))
        if gone:
            commit, path = act.rng.choice(gone)
            person.git("checkout", f"{commit}^", "--", path)
            self.say(f"{person.name}: {path} is back")
            if not person.is_sound():
                person.git("rm", "--quiet", "--force", path)

    # --- applies ------------------------------------------------------------------------------------------------

    def do_apply(self, act: _Act) -> None:
        """A plain apply."""
        self.apply(act.person, act.environment)

    def do_refresh(self, act: _Act) -> None:
        """An apply that looks at the server first."""
        self.apply(act.person, act.environment, "--refresh")

    def do_choose(self, act: _Act) -> None:
        """An apply with a choice for edited texts."""
        flags = ["--on-edit", act.rng.choice(["keep", "merge", "overwrite"])]
        self.apply(act.person, act.environment, *flags, *act.rng.choice([(), ("--refresh",)]))

    def do_prune(self, act: _Act) -> None:
        """An apply that removes what no manifest declares."""
        self.apply(act.person, act.environment, "--prune")

    def do_replace(self, act: _Act) -> None:
        """A text is requested again."""
        if found := self._item(act):
            self.again[act.person.project, act.environment, found[0]] += 1
            self.apply(act.person, act.environment, "--replace", found[1])

    def do_section(self, act: _Act) -> None:
        """A section is requested again."""
        if found := self._item(act):
            text = (act.person.root / found[2].output).read_text("utf-8")
            headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
            if headings := [each for each in headings if headings.count(each) == 1]:
                line = ("regenerate", found[1], "--section", act.rng.choice(headings))
                self.apply(act.person, act.environment, command=line)

    def do_promote(self, act: _Act) -> None:
        """Texts go from staging to prod."""
        if "prod" in act.person.environments:
            flags = act.rng.choice([(), (), ("--on-edit", "keep"), ("--on-edit", "overwrite")])
            line = ("promote", "--from", "staging", "--to", "prod", "--yes", *flags)
            ended = self.run(act.person, "", *line, codes=(0, 1, 3, 4, 64))
            if ended.code in (1, 4, 64):
                self.refused(ended)

    def do_kill(self, act: _Act) -> None:
        """An apply is killed, and run again."""
        flags = act.rng.choice([(), ("--refresh",)])
        line, death = ("apply", "--yes", "--json", *flags), Death(act.rng.randint(1, 70))
        ended = self.run(act.person, act.environment, *line, codes=(0, 1, 3, 4), death=death)
        if ended.code in (1, 4):
            self.refused(ended)
        self.apply(act.person, act.environment, *flags)

    # --- git ----------------------------------------------------------------------------------------------------

    def do_commit(self, act: _Act) -> None:
        """A commit."""
        self.commit(act.person)

    def do_sync(self, act: _Act) -> None:
        """Branches come into main, then commit, pull and push."""
        self.do_join(act)
        act.person.git("fetch", "--quiet")
        self.merge(act.person, "origin/main", act.rng)
        act.person.git("push", "--quiet", "origin", "main")

    def do_branch(self, act: _Act) -> None:
        """Work goes on on a branch, or on main again without what was done on it."""
        self.commit(act.person)
        if act.person.lines("branch", "--show-current") == ["main"]:
            act.person.git("checkout", "--quiet", "-b", f"branch{act.rng.randint(0, 10**6)}")
        else:
            act.person.git("checkout", "--quiet", "main")

    def do_join(self, act: _Act) -> None:
        """All branches come into main."""
        self.commit(act.person)
        act.person.git("checkout", "--quiet", "main")
        for branch in act.person.lines("branch", "--format=%(refname:short)", "--no-merged"):
            self.merge(act.person, branch, act.rng)

    def do_revert(self, act: _Act) -> None:
        """One of the last commits is taken back."""
        person = act.person
        self.commit(person)
        found = person.lines("rev-list", "--no-merges", "--min-parents=1", "--max-count=5", "HEAD")
        if not found:
            return
        if person.git("revert", "--no-edit", commit := act.rng.choice(found), check=False).returncode:
            person.git("revert", "--abort", check=False)
        elif not person.is_sound():
            person.git("reset", "--quiet", "--hard", "HEAD^")
        else:
            self.note_revert(person)
            paths = person.lines("show", "--format=", "--name-only", "--no-renames", commit)
            self.say(f"{person.name}: reverts what was done to {', '.join(paths)}")

    # --- the end ------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everyone gives and takes what there is, and applies; then all must be settled, kept and counted."""
        rng = random.Random(1)
        for _ in range(2):
            for person in self.people:
                self.do_sync(_Act(person, "", rng))
        for person in self.people:
            for environment in person.environments:
                if self.apply(person, environment, "--refresh").code == 3:
                    self.apply(person, environment, "--refresh", "--on-edit", "keep")
            self.do_sync(_Act(person, "", rng))
        self.close()


_OFTEN = {
    "edit": 8, "edit_there": 5, "restore": 2, "request": 6, "metadata": 3, "add": 2, "rename": 4, "rename_unsaid": 3,
    "state_mv": 2, "output": 4, "delete": 2, "revive": 2, "apply": 12, "refresh": 6, "choose": 5, "prune": 2,
    "replace": 2, "section": 2, "promote": 3, "kill": 4, "commit": 2, "sync": 12, "branch": 4, "join": 2, "revert": 3,
}  # fmt: skip
"""What people do, and how often."""


def draw(seed: int, length: int) -> list[Step]:
    """A story."""
    rng = random.Random(seed)
    names = rng.choices(list(_OFTEN), list(_OFTEN.values()), k=length)
    where = ["staging", "staging", "prod"]
    return [Step(name, rng.randrange(4), rng.choice(where), rng.randrange(10**6)) for name in names]


# --- the test ----------------------------------------------------------------------------------------------

_STORIES = int(os.environ.get("CONTENTOPS_TEST_YEARS", "2"))
_LENGTH = 45


def _fake(timeline: Timeline, *, seed: int) -> FakeRoom:
    """The kindest server, and for later stories one with other habits."""
    rng, names = random.Random(seed), ("auto_save", "names_content", "put", "create_only")
    habits = {name: rng.random() < 0.5 for name in names} if seed > 0 else {}
    return FakeRoom(timeline, equal=seed == 0 or rng.random() < 0.5, **habits)


def _fell(seed: int, steps: list[Step]) -> tuple[Fell, list[str]] | None:
    """The promise that a story breaks, and what people did; None: it breaks none."""
    with quick_folder() as folder:
        year = Year(folder, ServedRoom if seed % 2 else functools.partial(_fake, seed=seed), seed)
        try:
            for step in steps:
                year.take(step)
            year.end()
        except Fell as fell:
            return fell, year.log
    return None


def _shortest(seed: int, steps: list[Step], promise: str) -> list[Step]:
    """A shorter story that breaks the same promise: no part of it can be left out."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            fell = _fell(seed, shorter)
            if fell is not None and fell[0].promise == promise:
                steps = shorter
            else:
                at += size
        size //= 2
    return steps


@pytest.mark.parametrize("seed", range(_STORIES))
def test_a_year_of_work(seed: int) -> None:
    """Three people and three clones, two environments, a second project, one account: what they do keeps all promises."""
    steps = draw(seed, _LENGTH)
    if (fell := _fell(seed, steps)) is None:
        return
    shortest = _shortest(seed, steps, fell[0].promise)
    told = _fell(seed, shortest) or fell
    pytest.fail("\n".join([*told[1], str(told[0]), f"seed {seed}: {[tuple(step) for step in shortest]}"]))
