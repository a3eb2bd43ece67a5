"""Shows which texts become items, asks a person, and says what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.cli.output import terminal
from contentops.errors import ExitCode, plural
from contentops.reporting.diagnostics import diagnostics_json

if TYPE_CHECKING:
    from contentops.cli.session import Session
    from contentops.model import Json
    from contentops.operations.adopting.new_items import Adoption

SHOWN: Final = 20
"""Items that are listed before a person is asked; `--check` lists all."""


class AdoptionQuestion:
    """Shows what would be written and asks a person."""

    def __init__(self, session: Session, word: str, *, check: bool, yes: bool) -> None:
        self._session = session
        self._word = word
        self._check = check
        self._yes = yes

    def __call__(self, adoption: Adoption) -> bool:
        """Return whether to go on. Raises Refused without a terminal to ask on."""
        if self._check:
            return False
        # What an apply will do to the texts is said before anything is written.
        terminal.report_findings(adoption.drafts)
        if self._yes or not adoption.taken:
            return True
        terminal.report("\n".join(adopted_lines(adoption)))
        terminal.need_person("this", "`--yes` writes it, `--check` shows the text of the manifest")
        terminal.need_yes(said=terminal.confirmed("Write this? (yes/no) "))
        return True

    def answer(self, adoption: Adoption) -> ExitCode:
        """Print what was done, or would be done."""
        said = () if self._check else adoption.drafts
        terminal.report_findings([one for one in adoption.findings if one not in said], grouped=True)
        self._session.answer(
            adopted_json(adoption, written=not self._check),
            adoption.added.rstrip("\n") if self._check and adoption.added else adopted_words(adoption, self._word),
        )
        return ExitCode.INCOMPLETE if adoption.refused else ExitCode.DONE


def adopted_json(adoption: Adoption, *, written: bool) -> dict[str, Json]:
    """Return what became items as JSON."""
    return {
        "manifest": adoption.manifest,
        "added": adoption.added,
        "taken": [structs.asdict(one) for one in adoption.taken],
        "known": [structs.asdict(one) for one in adoption.known],
        "findings": diagnostics_json(adoption.findings)["diagnostics"],
        "written": bool(adoption.taken) and written,
    }


def adopted_lines(adoption: Adoption) -> list[str]:
    """Return a line for each new item."""
    lines = [f"  + {one.path}  ({one.id}{'' if one.generates else ', protected'})" for one in adoption.taken[:SHOWN]]
    if more := len(adoption.taken) - SHOWN:
        lines += [f"  and {more:,} more; `--check` shows all"] if more > 0 else []
    return [*lines, *([f"into {adoption.manifest}"] if adoption.manifest else [])]


def adopted_words(adoption: Adoption, word: str) -> str:
    """Return how many texts became items, or would; `word`: `adopted` or `imported`."""
    parts = [f"{plural(len(adoption.taken), 'text')} {word}"] if adoption.taken else []
    protected = sum(not one.generates for one in adoption.taken)
    if protected:
        which = "" if protected == len(adoption.taken) else f"{protected:,} of them "
        parts[0] += f" ({which}protected, as no template is known)"
    parts += [f"{plural(len(adoption.known), 'text')} already belonging to items"] if adoption.known else []
    parts += [f"{adoption.refused:,} refused"] if adoption.refused else []
    where = f" Items are in {adoption.manifest}." if adoption.manifest else ""
    return f"{', '.join(parts) or 'nothing was found'}.{where}"
