"""What was written and paid for in a year of work, and what must be true of both after each command."""

import random
import re
from collections import Counter
from collections.abc import Iterator

from contentops.model import Record
from contentops.model.jobs import fold_jobs
from tests.fakes.kills import Death
from tests.fakes.room import Charge, Room
from tests.people import WORD, Origin, Person, key_in, words
from tests.running import Completed

SETTINGS = """\
version: 1
project: {name}
api: {{base_url: "https://api.example.test/v1", requests_per_minute: 0}}
defaults: {{template: blog_article_generator, style: general_blog{on_edit}}}
guards: {{max_changed_ratio: 1}}
budget: {{credits_per_month: 1000000}}
vars: {{room: out}}
output: "{{{{ room }}}}/{{{{ item.id }}}}.md"
environments:
  staging: {{vars: {{room: staging}}}}
  prod: {{vars: {{room: prod}}{promote}}}
"""
_COPY = re.compile(r"\.(?:contentops|git/contentops/[0-9a-f-]+)/(?:replaced|conflicts)/[^\s`\"',)]+")
_CODE = re.compile(r'"code": "([a-z-]+)"|error\[([a-z-]+)\]')
_PEOPLES = frozenset({"duplicate-id", "nothing-applied"})
"""Refusals that people bring about by what they declare or ask for."""
_ONCE = frozenset({"--prune"})
"""Flags of an apply that the plan after it is made without."""


class Fell(AssertionError):
    """A promise that was broken: which one, and how."""

    def __init__(self, promise: str, detail: str) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


class Books:
    """The words of people, where each came from, and the bill. `log` is for whoever reads of a failure."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.people: list[Person] = []
        self.log: list[str] = []
        self.again: Counter[tuple[str, str, str]] = Counter()
        """How often a text was requested again, by project, environment and key."""
        self._origins: dict[str, Origin] = {}
        self.typed_there: dict[str, str] = {}
        """The content that each word was written into on the server."""
        self._spent: list[tuple[Person, str, Charge]] = []
        self._stored: set[str] = set()
        """Words that were on the server at some time."""
        self._commits: dict[str, set[str]] = {}
        """The words in each commit, and the jobs that its locks name."""
        self._killed: set[str] = set()
        """Projects with a run that was killed."""
        self._taken_back: set[str] = set()
        """Jobs whose records someone has reverted."""

    def say(self, line: str) -> None:
        """What was done."""
        self.log.append(f"    {line}")

    def word(self, person: Person, environment: str, key: str) -> str:
        """A new word of a person."""
        word = f"zq{len(self._origins):04}q"
        self._origins[word] = Origin(person.project, environment, key)
        return word

    # --- git ----------------------------------------------------------------------------------------------------

    def commit(self, person: Person) -> None:
        """All that there is."""
        if person.commit():
            self.note(person)

    def merge(self, person: Person, what: str, rng: random.Random) -> None:
        """A branch comes in."""
        person.merge(what, rng, self.say)
        self.note(person)

    def note(self, person: Person) -> None:
        """What the newest commit of a person has."""
        (head,), texts = person.lines("rev-parse", "HEAD"), person.texts()
        self._commits[head] = words(texts.values()) | self._jobs(texts)

    def note_revert(self, person: Person) -> None:
        """What the newest commit of a person has, and has no more."""
        (before,) = person.lines("rev-parse", "HEAD^")
        jobs = {job for job in self._commits.get(before, set()) if not WORD.match(job)}
        self._taken_back |= jobs - self._jobs(person.texts())
        self.note(person)

    def _jobs(self, texts: dict[str, str]) -> set[str]:
        locks = "".join(text for path, text in texts.items() if path.endswith(".lock"))
        return {charge.job for _, _, charge in self._spent if charge.job in locks}

    def _known(self, person: Person) -> set[str]:
        """Words and jobs that git has here."""
        return set().union(*(self._commits.get(commit, set()) for commit in person.lines("rev-list", "HEAD")))

    # --- a command ----------------------------------------------------------------------------------------------

    def run(
        self,
        person: Person,
        environment: str,
        *arguments: str,
        codes: tuple[int, ...] = (0,),
        death: Death | None = None,
    ) -> Completed:
        """A command that ends with one of `codes`; no word is lost by it, nor goes where it does not belong."""
        line = [*arguments, *(["--env", environment] if environment else [])]
        files, stored, paid = words(person.texts().values()), self._there(), len(self.room.paid())
        ended = person.desk.run(*line, death=death)
        self._killed.update([person.project] if death else ())
        said = f"contentops {' '.join(line)} -> {ended.code}"
        self.say(f"{person.name}$ {said}")
        said += f"\n{ended.stdout}{ended.stderr}"
        person.named |= set(_COPY.findall(said))
        if ended.code not in codes and not (death and ended.code == -9):
            raise Fell("exit", said)
        for charge in self.room.paid()[paid:]:
            self._charge(person, environment, charge)
        here, there = words(person.texts().values()) | words(person.copies()), self._there()
        lost = files - here
        if "--refresh" in line:
            # What was saved and is in git may have been taken out by someone else, on the server.
            lost -= self._stored & self._known(person)
        if lost:
            raise Fell("lost in a file", f"{self._told(lost)}\n{said}")
        if lost := stored - there - here - self._known(person):
            raise Fell("lost on the server", f"{self._told(lost)}\n{said}")
        self._look_for_strays(person)
        return ended

    def _there(self) -> set[str]:
        found = words(text for one in self.room.stored().values() for text in one)
        self._stored |= found
        return found

    def _told(self, found: set[str]) -> str:
        return ", ".join(f"{word} of {self._origins[word]}" for word in sorted(found))

    def _is_summed(self, person: Person) -> None:
        """The report over all environments is the sum of their jobs, and so is the month: it lacks and repeats none.

        After a kill, an order may count that no one has paid for.
        """
        jobs = fold_jobs(person.jobs())
        spent = sum(job.cost for job in jobs if job.is_spent)
        most = sum(job.cost for job in jobs)
        report = self.run(person, "", "report", "--json").json["credits"]
        month = self.run(person, "", "status", "--json").json["spent"]["credits"]
        bill = sum(charge.credits for who, _, charge in self._spent if who.project == person.project)
        if not (report == spent <= month <= most) or (month > bill and person.project not in self._killed):
            raise Fell("month", f"{person.name}: {report} reported, {spent} spent, {month} of the month, {bill} billed")

    def _charge(self, person: Person, environment: str, charge: Charge) -> None:
        """No request of an item is paid for again by someone who can know that it was."""
        self._spent.append((person, environment, charge))
        if re.search(r'"section": ?"[^"]', charge.asked):
            return
        known = self._known(person) - self._taken_back
        before = [
            paid.job
            for who, where, paid in self._spent[:-1]
            if (who.project, where, paid.asked) == (person.project, environment, charge.asked)
            and (who is person or paid.job in known)
        ]
        if len(before) > self.again[person.project, environment, key_in(charge.asked)]:
            raise Fell("paid twice", f"{charge} by {person.name} in {environment or 'default'}; before: {before}")

    def _living(self, person: Person) -> Iterator[tuple[Origin, Record]]:
        """The records of what is declared, and what each is about."""
        declared = {one["items"][0]["id"] for one in person.manifests().values()}
        for environment in person.environments:
            for id_, record in person.records(environment).items():
                if id_ in declared:
                    yield Origin(person.project, environment, key_in(str(record.request))), record

    def _look_for_strays(self, person: Person) -> None:
        """No word is in the file or the content of another item, environment or project.

        Clones that do not know of each other get one content for one request, whose environment git decides when they
        sync: what people had written there stays there.
        """
        stored = self.room.stored()
        for origin, record in self._living(person):
            path = person.root / record.output
            content = stored.get(record.content_id, ()) if record.content_id else ()
            for where, texts in (("file", [path.read_text("utf-8")] if path.is_file() else []), ("content", content)):
                here = record.content_id if where == "content" else ""
                strays = {
                    word
                    for word in words(texts)
                    if not self._origins[word].may_be_in(origin)
                    and not (here == self.typed_there.get(word) and self._origins[word].is_of_item(origin))
                }
                if strays:
                    raise Fell("stray", f"{self._told(strays)} in the {where} of {origin} of {person.name}")

    # --- an apply -----------------------------------------------------------------------------------------------

    def apply(self, person: Person, environment: str, *flags: str, command: tuple[str, ...] = ("apply",)) -> Completed:
        """An apply pays no more than it planned and told, and once it is done there is nothing to do."""
        before = self._bill()
        ended = self.run(person, environment, *command, "--yes", "--json", *flags, codes=(0, 1, 3, 4))
        if ended.code in (1, 4):
            self.refused(ended)
            return ended
        told, paid = ended.json, self._bill() - before
        planned, run = told["plan"]["summary"]["credits"], told["run"]
        most = run["credits"] + run["credits_unknown"] if run else 0
        if paid > min(planned, most):
            raise Fell("bill", f"paid {paid}, planned {planned}, told {most}")
        for one in run["outcomes"] if run else ():
            if one["result"] != "done":
                self.say(f"  {one['id']} {one['action']} {one['result']}: {one['error']}")
            if one["result"] == "failed":
                raise Fell("failed", f"{one['id']}: {one['error']}")
        if ended.code == 0 and command == ("apply",) and "--replace" not in flags:
            self._is_settled(person, environment, *(flag for flag in flags if flag not in _ONCE))
        return ended

    def _is_settled(self, person: Person, environment: str, *flags: str) -> None:
        left = self.run(person, environment, "plan", "--json", *flags).json["changes"]
        if left and "--refresh" in flags:
            # What was edited in the content of a job that this clone has only just learnt of, or was pulled where
            # another text is to be promoted, is seen by the next apply.
            if self.run(person, environment, "apply", "--yes", "--json", *flags, codes=(0, 3)).code == 3:
                return
            left = self.run(person, environment, "plan", "--json", *flags).json["changes"]
        if left:
            raise Fell("not settled", f"{[(one['id'], one['action'], one['reasons']) for one in left]}")

    def refused(self, ended: Completed) -> None:
        """A refusal must be about what people declared."""
        said = ended.stdout + ended.stderr
        codes = {code for found in _CODE.findall(said) for code in found if code}
        self.say(f"  refused: {', '.join(sorted(codes))}")
        if not codes & _PEOPLES:
            raise Fell("refused", said)

    def _bill(self) -> int:
        return sum(charge.credits for charge in self.room.paid())

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Every word is somewhere, every content is one item's, and what the projects tell is the server's bill."""
        kept = self._there().union(*self._commits.values())
        for person in self.people:
            kept |= words(person.texts().values()) | words(person.copies())
        if lost := set(self._origins) - kept:
            raise Fell("lost", self._told(lost))
        owners: dict[str, Origin] = {}
        for person in self.people:
            for origin, record in self._living(person):
                if record.content_id and (other := owners.setdefault(record.content_id, origin)) != origin:
                    raise Fell("one content of two", f"{record.content_id} is {other} and {origin}")
        told = self._jobs_of_all()
        bill = {charge.job: charge.credits for charge in self.room.paid()}
        if odd := {job for job in told.keys() | bill.keys() if told.get(job) != bill.get(job)}:
            about = [f"{one} of {who.name} in {where}" for who, where, one in self._spent if one.job in odd]
            raise Fell("count", f"told {sum(told.values())}, billed {sum(bill.values())}; {sorted(odd)}: {about}")
        for person in self.people:
            self._is_summed(person)

    def _jobs_of_all(self) -> dict[str, int]:
        """The credits of each job by the union of all clones' jobs, which name each charge once."""
        told: Counter[str] = Counter()
        for project in {person.project for person in self.people}:
            clones = [person for person in self.people if person.project == project]
            for job in fold_jobs(job for person in clones for job in person.jobs()):
                if job.job_id and job.cost:
                    told[job.job_id] += job.cost
        return dict(told)
