"""Defines approvals, which record who read a text and whether that person approved it.

An approval is bound to the words of a text. It names no environment, path or server. So a renamed, moved or promoted
text stays approved, and a text that changes in one letter does not.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from contentops.digest import Digest, digest_json
from contentops.model.records import ItemId
from contentops.sections import has_words


class Verdict(enum.StrEnum):
    """A person's decision about a text."""

    APPROVED = "approved"
    SENT_BACK = "sent-back"
    WITHDRAWN = "withdrawn"
    """Earlier verdicts on the text no longer count."""


class ApprovalState(enum.StrEnum):
    """Says whether the text of an item may be published. The values are those of `--select approval:`."""

    NONE = "none"
    """There is no text, or no approval is required and no one gave a verdict on this text."""
    WAITING = "waiting"
    APPROVED = "approved"
    CHANGED = "changed"
    """An earlier text of the item was approved, and this one is not."""
    SENT_BACK = "sent-back"

    @property
    def words(self) -> str:
        """Return the approval state in words, or an empty text for the state `none`."""
        return _WORDS.get(self, self.value)


_WORDS: Final = {
    ApprovalState.NONE: "",
    ApprovalState.CHANGED: "changed since approval",
    ApprovalState.SENT_BACK: "sent back",
}


class SaidOfText(Struct, frozen=True, kw_only=True):
    """A person's statement about one text, such as an approval or a comment."""

    item: Annotated[ItemId, Meta(description="The id that the item had then. It is for people: only the text counts.")]
    text: Annotated[Digest, Meta(description='The SHA-256 of `{"body":BODY,"title":TITLE}`; see `text_digest`.')]
    by: Annotated[str, Meta(description="Name and e-mail address as in git, or the login on a host.")]
    at: Annotated[str, Meta(description="The time of the verdict, UTC, such as `2026-11-29T14:26:41Z`.")]
    note: Annotated[str, Meta(description="The person's note about the text, at most 2,000 characters.")] = ""
    source: Annotated[str, Meta(description="`terminal`, `page`, or the address of a pull request.")] = field(
        name="from", default=""
    )

    @property
    def name(self) -> str:
        """Return the name of the person, without the e-mail address."""
        return self.by.partition(" <")[0]

    @property
    def person(self) -> str:
        """Return an id of the person: the e-mail address in lower case, or the name if there is no address."""
        name, sign, address = self.by.strip().rpartition("<")
        if sign and address.endswith(">"):
            return (address[:-1].strip() or name.strip()).casefold()
        return self.by.strip().casefold()


class Comment(SaidOfText, frozen=True, kw_only=True):
    """A person's comment on a passage of a text. It is a line of `contentops.approvals` and decides nothing."""

    verdict: Literal["comment"] = "comment"
    quote: Annotated[str, Meta(description="Only in a `comment`, which decides nothing: the words that it is about.")]


class Approval(SaidOfText, frozen=True, kw_only=True):
    """A person's approval or send-back of a text, or the withdrawal of one. It is a line of `contentops.approvals`."""

    verdict: Annotated[
        Verdict, Meta(description="`approved`, `sent-back`, or `withdrawn`: the earlier verdict no longer counts.")
    ]

    @property
    def order(self) -> tuple[str, ...]:
        """Return the key by which approvals and send-backs are sorted, the oldest first.

        Of two verdicts with the same time, the one that withdraws more is later. Two different lines never have equal
        keys, so that the order of the lines in the file does not matter.
        """
        return self.at, self.verdict, self.item, self.text, self.by, self.note, self.source


class ApprovalRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The approval rule of an item, from `approval` in its manifest."""

    required: bool = False
    """Whether the text is a draft, and is not promoted, until it is approved."""
    note: bool = False
    """Whether an approval counts only with a note."""
    publish: bool = False
    """Whether the status of the content on the server is set too, if the server has one."""


NO_APPROVAL: Final = ApprovalRule()


class Disclosure(Struct, frozen=True, kw_only=True):
    """The front matter keys that say how a text was made. A key without a name is not written."""

    key: str = "ai_disclosure"
    source_type: str = "digital_source_type"


_ORDER: Final = operator.attrgetter("order")


class Approvals(Struct, frozen=True, kw_only=True, dict=True):
    """All lines of `contentops.approvals`, in any order. A person's later line on a text replaces the earlier one."""

    lines: tuple[Approval, ...] = ()
    comments: tuple[Comment, ...] = ()
    """In any order."""

    @functools.cached_property
    def _of_texts(self) -> Mapping[Digest, Mapping[str, Approval]]:
        by_text: dict[Digest, dict[str, Approval]] = {}
        for line in sorted(self.lines, key=_ORDER):
            by_text.setdefault(line.text, {})[line.person] = line
        return by_text

    @functools.cached_property
    def _of_items(self) -> Mapping[ItemId, set[Digest]]:
        by_item: dict[ItemId, set[Digest]] = {}
        for line in self.lines:
            by_item.setdefault(line.item, set()).add(line.text)
        return by_item

    def of_text(self, text: Digest) -> tuple[Approval, ...]:
        """Return each person's last approval or send-back of a text, the oldest first."""
        return tuple(sorted(self._of_texts.get(text, {}).values(), key=_ORDER))

    def of_items(self, ids: Collection[ItemId]) -> tuple[Approval, ...]:
        """Return the last approval or send-back by each person for each text of an item.

        `ids` are the present and earlier ids of the item.
        """
        texts = {text for id_ in ids for text in self._of_items.get(id_, ())}
        return tuple(sorted((line for text in texts for line in self.of_text(text)), key=_ORDER))

    def comments_on(self, text: Digest, ids: Collection[ItemId] = ()) -> tuple[Comment, ...]:
        """Return the comments on a text, the oldest first. With `ids`, add the comments on all texts of these items."""
        said = (one for one in self.comments if one.text == text or one.item in ids)
        return tuple(sorted(said, key=lambda one: (one.at, one.note)))

    def last(self, text: Digest) -> Verdict | None:
        """Return the latest verdict on a text, from any person. None means no verdict, or a withdrawn one."""
        said = self.of_text(text)
        return said[-1].verdict if said and said[-1].verdict is not Verdict.WITHDRAWN else None

    def has(self, line: Approval) -> bool:
        """Return whether an equal approval or send-back is recorded already.

        If so, the new line would change nothing: its verdict counts already, and it adds no new note.
        """
        counts = self.last(line.text)
        if counts is None or counts is not line.verdict:
            return counts is None and line.verdict is Verdict.WITHDRAWN
        said = (one for one in self.of_text(line.text) if (one.person, one.verdict) == (line.person, line.verdict))
        return any(line.note in ("", one.note) for one in said)

    def is_approved(self, text: Digest) -> bool:
        """Return whether the latest verdict on a text is an approval, and not a send-back."""
        return self.last(text) is Verdict.APPROVED

    def state(self, text: Digest, rule: ApprovalRule, ids: Collection[ItemId]) -> ApprovalState:
        """Return the approval state of an item's text. `ids` are its present and earlier ids."""
        said = self.last(text)
        if said is Verdict.APPROVED and rule.note:
            noted = (one for one in self.of_text(text) if one.verdict is Verdict.APPROVED and has_words(one.note))
            return ApprovalState.APPROVED if any(noted) else ApprovalState.WAITING
        if said is not None:
            return ApprovalState.APPROVED if said is Verdict.APPROVED else ApprovalState.SENT_BACK
        earlier = {digest for id_ in ids for digest in self._of_items.get(id_, ())}
        if any(map(self.is_approved, earlier)):
            return ApprovalState.CHANGED
        return ApprovalState.WAITING if rule.required else ApprovalState.NONE


NO_APPROVALS: Final = Approvals()
NOTE_LIMIT: Final = 2_000
"""The most characters of a note that is recorded or shown."""


@functools.lru_cache(maxsize=1 << 15)  # asked for several times of each item in one plan
def text_digest(title: str, body: Digest) -> Digest:
    """Return the digest by which approvals identify a text. It covers the cleaned title and the body."""
    return digest_json({"body": body, "title": title})
