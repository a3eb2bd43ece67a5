"""The steps of a change. Each step has all data that is needed to carry it out.

The same list of steps is explained, priced and executed; their names (`name_of`) are part of the plan's format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, field

from contentops.digest import NOTHING, Digest
from contentops.model.desired import Request
from contentops.model.records import FileDigest, Job, Json, Remote
from contentops.tokens import PaidTokens


class Collect(Struct, frozen=True, kw_only=True, tag="drain"):
    """Fetch the text of an open job into the cache. No change waits for it, and no file is written."""

    job: Job
    tokens: PaidTokens | None = None
    """The most that a model of the settings may use to go on with it, at their price; None: no such model writes it."""


class LookUp(Struct, frozen=True, kw_only=True, tag="look up"):
    """Find out whether a submit whose answer was lost reached the server.

    A `Submit` after it happens only if the submit provably never arrived, or if its attempt is a higher one: then
    a person chose to pay again.
    """

    job: Job


class Submit(Struct, frozen=True, kw_only=True, tag="submit"):
    """Start a generation, and pay for it."""

    request: Request
    digest: Digest
    attempt: int
    credits: int
    at_most: bool = False
    """The price depends on how long the text becomes: it may be fewer credits."""
    section: str = ""
    """The heading of the one section to generate again, or empty: the whole text."""
    retry: int = 0
    """Texts before it that failed their checks, under `checks.retries`."""
    tokens: PaidTokens | None = None
    """The most that a model may use for it, at the price of the settings; None: not known."""


class RetryText(Struct, frozen=True, kw_only=True, tag="retry"):
    """Generate the text again, and pay again, if it fails its checks. This is done at most `times` times."""

    again: Submit
    """What is paid for each time; the text before it says which attempt it is."""
    times: int
    certain: bool = False
    """The existing text fails already, so the first retry is certain."""


class Poll(Struct, frozen=True, kw_only=True, tag="poll"):
    """Wait for a job, and keep its text; the job is `job`, or that of the submit or look-up before this step."""

    job: Job | None = None


class Fetch(Struct, frozen=True, kw_only=True, tag="fetch"):
    """Fetch a text that exists already. It is the text of `job`, or else a text from which the record can be restored.

    It is in the cache, a file or git of this machine, or on the server.
    """

    job: Job | None = None


class ReviewedText(Struct, frozen=True, kw_only=True):
    """The part of a `Promote` step that a plan file has: a text in the file of another environment."""

    environment: Annotated[
        str, Meta(description="The environment of the text; empty: the project without an environment.")
    ]
    path: Annotated[str, Meta(description="The file of the text in that environment.")]
    expects: Annotated[FileDigest, Meta(description="The digest of that file.")]
    body: Annotated[FileDigest, Meta(description="The digest of that file without its front matter.")]
    generated: Annotated[
        FileDigest, Meta(description="The digest of the generated body; it differs from `body` if a person edited it.")
    ]
    generated_at: Annotated[str, Meta(description="When a job made it (UTC).")]
    carries: Annotated[
        tuple[str, ...],
        Meta(description="Front matter keys that are promoted because no manifest sets them."),
    ] = ()


class Promote(ReviewedText, frozen=True, kw_only=True, tag="promote"):
    """Take the text for the same request from the file of another environment at `path`."""

    outline: bool = False
    """It is a draft outline, promoted with `--drafts`."""
    model: str = ""
    """The model that made it there; empty: not known."""


class Move(Struct, frozen=True, kw_only=True, tag="move"):
    """Rename the item's file. `expects`: digest of the file at `source`."""

    source: str
    target: str
    expects: Digest
    via: str = ""
    """A temporary name to go through, where source and target cannot exist at once; empty: none."""


class Replace(Struct, frozen=True, kw_only=True, tag="replace"):
    """A new text replaces the one in the file. `over_edit`: also a person's edit, as chosen."""

    over_edit: bool = False


class Restore(Struct, frozen=True, kw_only=True, tag="restore"):
    """Put a text back into the file that was in it before."""


class MergeEdit(Struct, frozen=True, kw_only=True, tag="merge edit"):
    """A new text merged with the edits of the one before."""

    base: Digest
    """Body digest of the generated text that was edited."""
    strict: bool = False
    """Nothing is written if the new text has other words for what was edited."""


Mode = Replace | Restore | MergeEdit
"""How a text comes into a file."""


class Write(Struct, frozen=True, kw_only=True, tag="write"):
    """Write title, front matter and body to `target`."""

    target: str
    expects: Digest = NOTHING
    """Digest of the file at `target` that the plan saw, after the item's move; empty: no file."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter keys to write; a value of None removes the key."""
    title: str | None = None
    """The title to write, where the manifest states one."""
    mode: Mode = Replace()

    @property
    def is_new(self) -> bool:
        """Return whether a job has just made the text. In that case no person has seen it."""
        return isinstance(self.mode, Replace | MergeEdit)


class Update(Struct, frozen=True, kw_only=True, tag="update"):
    """Write changed front matter keys into the file at `target`."""

    target: str
    expects: Digest
    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None


class Acknowledge(Struct, frozen=True, kw_only=True, tag="record"):
    """Update only the record; the file stays the same.

    `accepts`: the file counts as the text of the declared request. `remote`: the content on the server, which is the
    text of the file too. `declined`: body digest of a text that was not promoted, or empty. `front` and `title` are in
    the file already.
    """

    accepts: bool = False
    remote: Remote | None = None
    declined: Digest = NOTHING
    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None


class Save(Struct, frozen=True, kw_only=True, tag="save"):
    """Save the title and body that the file at `path` has after the earlier steps."""

    path: str
    replaces: Digest = NOTHING
    """Body digest of an edit on the server that the plan saw and this save replaces; empty: none."""


class Publish(Struct, frozen=True, kw_only=True, tag="publish"):
    """Set the status of an item's saved content to `published` or `draft`."""

    path: str
    published: bool = True


class Remove(Struct, frozen=True, kw_only=True, tag="remove"):
    """Remove the record of an orphan. Also remove its file at `target` (empty: none) if the file is unchanged."""

    target: str = ""
    expects: Digest = NOTHING


Step = (
    Collect
    | LookUp
    | Submit
    | Poll
    | RetryText
    | Fetch
    | Promote
    | Move
    | Write
    | Update
    | Acknowledge
    | Save
    | Publish
    | Remove
)


def name_of(step: Step | type[Step]) -> str:
    """Return the name of a step, or of a kind of step, in plans, reports and events."""
    return str(step.__struct_config__.tag)
