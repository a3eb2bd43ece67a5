"""Reads and writes `contentops.approvals`, the committed list of who approved or sent back which text.

The file is JSON Lines like the lock: a constant header, then a line for each verdict and comment, sorted by item, text
and person. Git's union merge may leave lines in any order, and twice. An unknown verdict is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from msgspec import field, structs

from contentops.atomic_io import PUBLIC, Disk
from contentops.digest import PREFIX
from contentops.errors import StateError, UsageError
from contentops.model import NO_APPROVALS, Approval, Approvals, Count
from contentops.model.approval import NOTE_LIMIT, Comment, SaidOfText
from contentops.sanitize import Policy, sanitize
from contentops.state.codec import FileHeader, Format, add_rules, line_of, parser, read_lines

FILE: Final = "contentops.approvals"
FORMAT: Final = Format(pattern=FILE, code="damaged-approvals")
_DIGEST: Final = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_HEADER_KEY: Final = "contentops_approvals"


class ApprovalsHeader(FileHeader, frozen=True, kw_only=True):
    """The first line of `contentops.approvals`."""

    version: Count = field(default=1, name=_HEADER_KEY)


def parse(data: bytes | str) -> Approvals:
    """Return all approvals, send-backs and comments in `contentops.approvals`.

    Raises StateError (DamagedState with every damaged line).
    """
    said = [line for _, line in read_lines(data, FILE, FORMAT, _parse)[1]]
    comments = dict.fromkeys(line for line in said if isinstance(line, Comment))
    return Approvals(lines=tuple(line for line in said if isinstance(line, Approval)), comments=tuple(comments))


def load(root: Path, disk: Disk) -> Approvals:
    """Return the approvals of the project in the folder `root`. There are none if there is no file.

    Raises StateError.
    """
    data = disk.read(root / FILE)
    return NO_APPROVALS if data is None else parse(data)


def render(approvals: Approvals) -> bytes:
    """Return the content of `contentops.approvals` as bytes: a header, then each decision and comment once."""
    said = dict.fromkeys((*approvals.lines, *approvals.comments))
    lines = sorted((line.item, line.text, line.by, line_of(line)) for line in said)
    return "\n".join((line_of(ApprovalsHeader()), *(line[-1] for line in lines), "")).encode()


def record(root: Path, disk: Disk, new: Iterable[Approval | Comment]) -> Approvals:
    """Add approvals, send-backs and comments to `contentops.approvals`.

    Earlier lines stay; they show who said what, and when. Of two verdicts of one person on one text in the same second,
    the new one stays. Also adds the merge line to `.gitattributes`. The caller has the lock of the project. Raises
    StateError, and UsageError for a note that is too long or a name without a visible character.
    """
    said = [*map(_checked, new)]
    added = {_key(line): line for line in said if isinstance(line, Approval)}
    noted = [line for line in said if isinstance(line, Comment)]
    before = load(root, disk)
    kept = (line for line in before.lines if _key(line) not in added)
    after = Approvals(lines=(*kept, *added.values()), comments=(*before.comments, *noted))
    if said and (target := render(after)) != disk.read(root / FILE):
        add_rules(root, disk, (FORMAT,))
        disk.replace(root / FILE, target, PUBLIC)
    return after


def _key(line: Approval) -> tuple[str, ...]:
    return line.item, line.text, line.person, line.at


def _checked(line: _S) -> _S:
    """Return a new line for `contentops.approvals`, without characters that could deceive a reader.

    Raises UsageError if the note is too long or the name is empty.
    """
    if len(line.note) > NOTE_LIMIT:
        message = f"the note has {len(line.note):,} characters, and {NOTE_LIMIT:,} are kept"
        raise UsageError(message, code="note-too-long", hint="shorten it, or link to a longer one")
    if not _is_time(line.at):
        raise StateError(f"an approval cannot be dated `{line.at[:30]}`", code="damaged-approvals")
    by, note = sanitize(line.by, Policy.MESSAGE), sanitize(line.note, Policy.BODY).strip()
    checked = structs.replace(line, by=by, note=note)
    if not checked.person:
        hint = "set one with `git config user.name` and `git config user.email`"
        raise UsageError("your name has no visible character", code="no-identity", hint=hint)
    return checked


_S = TypeVar("_S", bound=SaidOfText)
_KINDS: Final[Mapping[str, type[Approval | Comment | ApprovalsHeader]]] = {
    "quote": Comment,
    "item": Approval,
    _HEADER_KEY: ApprovalsHeader,
}
"""The type of a line, by the first of these keys that it has.

A line with `item` is never a header, because headers are dropped.
"""
_parse_keys = parser(_KINDS)


def _parse(line: str) -> Approval | Comment | ApprovalsHeader:
    """Return the approval, send-back, comment or header that one line contains.

    Raises ValueError with a message for people.
    """
    value = _parse_keys(line)
    if isinstance(value, ApprovalsHeader):
        return value
    if not _DIGEST.fullmatch(value.text):
        message = f"has `{value.text[:20]}` as `text`, which must be `{PREFIX}` and 64 digits"
        raise ValueError(message)
    if not _is_time(value.at):
        message = f"has `{value.at[:30]}` as `at`, which must be a time such as `2026-11-29T14:26:41Z`"
        raise ValueError(message)
    if not value.person:
        message = "has no name in `by`"
        raise ValueError(message)
    return value


def _is_time(text: str) -> bool:
    try:
        return _TIME.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False
