"""Defines the steps of a change. Each step has all data that is needed to carry it out.

The same list of steps is explained, priced and executed. The names of steps (`name_of`) are part of the plan's format.
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
    """Fetch the text of an open job into the cache. No change waits for this text, and no file is written."""

    job: Job
    tokens: PaidTokens | None = None
    """The most tokens that a model may still use for the job, with their price, or None if no model writes it."""


class LookUp(Struct, frozen=True, kw_only=True, tag="look up"):
    """Find out whether a request reached the server, although its reply was lost.

    A `Submit` step after it is carried out only if the request provably never arrived, or if the step's attempt is a
    higher one. In that case a person chose to pay again.
    """

    job: Job


class Submit(Struct, frozen=True, kw_only=True, tag="submit"):
    """Start a generation, and pay for it."""

    request: Request
    digest: Digest
    attempt: int
    credits: int
    at_most: bool = False
    """Whether `credits` is an upper limit, because the price depends on how long the text becomes."""
    section: str = ""
    """The heading of the section to generate again, or empty for the whole text."""
    retry: int = 0
    """The number of earlier texts that failed their checks, under `checks.retries`."""
    tokens: PaidTokens | None = None
    """The most tokens that a model may use for it, with their price, or None if that is not known."""


class RetryText(Struct, frozen=True, kw_only=True, tag="retry"):
    """If a text fails its checks, generate it again and pay again, at most `times` times."""

    again: Submit
    """The step that is paid for each time. The attempt number follows from the text before it."""
    times: int
    certain: bool = False
    """The existing text fails already, so the first retry is certain."""


class Poll(Struct, frozen=True, kw_only=True, tag="poll"):
    """Wait for a job's text, and store it in the cache. The job is `job`, or that of the submit or look-up before."""

    job: Job | None = None


class Fetch(Struct, frozen=True, kw_only=True, tag="fetch"):
    """Fetch a text that exists already, from the cache, a file, git or the server.

    It is the text of `job`. Without a job, it is an earlier text of the item, whose file is restored.
    """

    job: Job | None = None


class ReviewedText(Struct, frozen=True, kw_only=True):
    """The fields of a `Promote` step in a plan file. They identify a text of another environment."""

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
    """Copy a text from another environment, from its file at `path`. Both items have the same request."""

    outline: bool = False
    """It is a draft outline, promoted with `--drafts`."""
    model: str = ""
    """The model that made the text, or empty if not known."""


class Move(Struct, frozen=True, kw_only=True, tag="move"):
    """Rename the item's file. `expects` is the digest of the file at `source`."""

    source: str
    target: str
    expects: Digest
    via: str = ""
    """A temporary path for the file if source and target cannot exist at the same time, otherwise empty."""


class Replace(Struct, frozen=True, kw_only=True, tag="replace"):
    """The mode in which a new text replaces the item's text. With `over_edit` it also replaces a person's edit."""

    over_edit: bool = False


class Restore(Struct, frozen=True, kw_only=True, tag="restore"):
    """The mode in which an earlier text of the item is restored into its file."""


class MergeEdit(Struct, frozen=True, kw_only=True, tag="merge edit"):
    """The mode in which a new text is merged with a person's edits of the earlier text."""

    base: Digest
    """Body digest of the generated text that was edited."""


Mode = Replace | Restore | MergeEdit
"""The way in which a text is written into a file."""


class Write(Struct, frozen=True, kw_only=True, tag="write"):
    """Write the title, front matter and body to the file at `target`."""

    target: str
    expects: Digest = NOTHING
    """Digest of the file at `target` that the plan saw, after the item's move, or empty if there was no file."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter keys to write. A key with the value None is removed."""
    title: str | None = None
    """The title to write, if the manifest states one."""
    mode: Mode = Replace()

    @property
    def is_new(self) -> bool:
        """Return whether the step writes a new text, and does not restore an earlier one."""
        return isinstance(self.mode, Replace | MergeEdit)


class Update(Struct, frozen=True, kw_only=True, tag="update"):
    """Write changed front matter keys into the file at `target`."""

    target: str
    expects: Digest
    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None


class Acknowledge(Struct, frozen=True, kw_only=True, tag="record"):
    """Update only the record of the item. The file stays the same.

    With `accepts`, the file counts as the text of the declared request. `remote` is the content on the server, if it
    has the same text as the file. `declined` is the body digest of a text that was not promoted, or empty. `front` and
    `title` are in the file already.
    """

    accepts: bool = False
    remote: Remote | None = None
    declined: Digest = NOTHING
    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None


class Save(Struct, frozen=True, kw_only=True, tag="save"):
    """Save title and body to the server, as they are in the file at `path` after all earlier steps."""

    path: str
    replaces: Digest = NOTHING
    """Body digest of an edit on the server that the plan saw and this save replaces, or empty."""


class Publish(Struct, frozen=True, kw_only=True, tag="publish"):
    """Set the status of an item's saved content to `published` or `draft`."""

    path: str
    published: bool = True


class Remove(Struct, frozen=True, kw_only=True, tag="remove"):
    """Remove the record of an orphan. Also remove its file at `target`, if there is one and it is unchanged."""

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
