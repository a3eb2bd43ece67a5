"""Find the text that an item had before the last apply, and compare it with the file."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from contentops.documents.front_matter import TITLE_KEY
from contentops.errors import OutputError, StateError
from contentops.operations.plan import recorded
from contentops.operations.texts.diff_and_restore import Difference
from contentops.operations.texts.item_texts import item_texts

if TYPE_CHECKING:
    from contentops.model import OpenEntry, Project, Record
    from contentops.operations.texts.item_texts import ItemTexts, TextVersion


def from_previous(project: Project, item: str) -> Difference:
    """Compare the text before the last one that was generated, promoted or adopted with the file.

    Raises UsageError where nothing was generated, OutputError for a file that cannot be read, StateError where there is
    no earlier text, or where its words are missing.
    """
    state, record = recorded(project, item)
    texts = item_texts(project, item, record.output, None)
    if texts.now is None:
        message = f"`{item}` has no readable file `{record.output}`"
        raise OutputError(message, hint="`contentops plan` says whether an apply restores it")
    previous = _previous(record, state.made_by(record), texts)
    if previous is None:
        listed = f"`contentops report --runs --select {item}` lists its texts and where each is"
        message = f"no earlier text of `{item}` is in the cache or in git"
        raise StateError(message, code="no-previous-text", hint="; ".join(filter(None, (listed, texts.why_missing))))
    # The cache keeps no titles.
    titles = (previous.title, texts.now.title) if previous.commit else ("", "")
    front = {} if titles[0] == titles[1] else {TITLE_KEY: (titles[0] or None, titles[1] or None)}
    where = f"git, commit {previous.commit[:12]}" if previous.commit else "the cache"
    return Difference(
        old="previous",
        new="file",
        before=previous.body,
        after=texts.now.body,
        front=front,
        note=f"the text before the last apply is `{previous.short}`, from {where}",
    )


def _previous(record: Record, made_by: OpenEntry | None, texts: ItemTexts) -> TextVersion | None:
    """Return the newest text that is older than the one the last apply brought; of git or of the cache."""
    latest = record.promoted if record.is_promoted else record.generated or record.promoted or record.adopted
    until = _time(made_by.generated_at) if made_by is not None else 0.0

    committed = [one for one in texts.earlier if one.commit]
    at = next((place for place, one in enumerate(committed) if one.digest == latest), None)
    if at is not None:
        committed = committed[at + 1 :]
    elif until and not record.is_promoted:
        committed = [one for one in committed if _time(one.at) <= until]
    paid = {one.body: _time(one.at) for one in texts.history.texts}
    cached = [one for one in texts.earlier if one.digest in paid and one.digest != latest]
    candidates = [(_time(one.at), one) for one in committed[:1]]
    candidates += [(paid[one.digest], one) for one in cached if not until or paid[one.digest] <= until]
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None


def _time(at: str) -> float:
    """Return an ISO time as seconds since 1970; 0 where it is not known."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
