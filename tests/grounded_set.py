"""The labelled texts of `grounded_texts/`, and how well `grounded` finds what is invented in them.

A file has cases: a line `=== NAME tuned` or `=== NAME held out`, the brief, a line `---`, and the text. What its brief
does not hold is marked there: `⟪n:12⟫` a number, `⟪u:a.example⟫` an address. All was labelled before the
check was written.

    python -m tests.grounded_set            prints precision and recall by kind
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from contentops.documents.claims import claims_without_source
from contentops.documents.front_matter import split
from contentops.model import Grounded

FOLDER: Final = Path(__file__).parent / "grounded_texts"
KINDS: Final = {"n": "number", "u": "address"}
_MARK: Final = re.compile("⟪(.):([^⟫]*)⟫")


class Case(NamedTuple):
    """A text with its brief, and the lines on which something of each kind is invented."""

    name: str
    held_out: bool
    brief: str
    body: str
    wanted: frozenset[tuple[int, str]]


class Score(NamedTuple):
    """How many lines were rightly found, wrongly found, and missed."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of what was found that is invented."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """The share of what is invented that was found."""
        return self.right / max(self.right + self.missed, 1)


def cases() -> Iterator[Case]:
    """All texts."""
    for path in sorted(FOLDER.glob("*.txt")):
        for part in path.read_text(encoding="utf-8").split("=== ")[1:]:
            head, _, rest = part.partition("\n")
            brief, _, text = rest.partition("\n---\n")
            name, _, use = head.partition(" ")
            body = split(_MARK.sub(r"\2", text)).body
            wanted = {
                (number, KINDS[match[1]])
                for number, line in enumerate(text.splitlines(), start=1)
                for match in _MARK.finditer(line)
            }
            yield Case(name, use == "held out", brief, body, frozenset(wanted))


def found_in(case: Case) -> frozenset[tuple[int, str]]:
    """The lines and kinds of what the check finds."""
    check = Grounded(brief=case.brief)
    return frozenset((one.line, one.kind) for one in claims_without_source(check, "", case.body))


def scores(some: Iterable[Case]) -> dict[str, Score]:
    """The score of each kind."""
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for case in some:
        found = found_in(case)
        right.update(kind for _, kind in found & case.wanted)
        wrong.update(kind for _, kind in found - case.wanted)
        missed.update(kind for _, kind in case.wanted - found)
    return {kind: Score(right[kind], wrong[kind], missed[kind]) for kind in KINDS.values()}


def _print(title: str, some: list[Case]) -> None:
    print(f"{title}: {len(some)} texts")  # noqa: T201
    for kind, score in scores(some).items():
        print(f"  {kind:8} precision {score.precision:.2f}  recall {score.recall:.2f}  {score}")  # noqa: T201


if __name__ == "__main__":
    everything = list(cases())
    _print("tuned", [each for each in everything if not each.held_out])
    _print("held out", [each for each in everything if each.held_out])
