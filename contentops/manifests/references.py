"""Reads the texts of other items for the template functions `ref` and `texts`.

A text counts once the lock has a record of its item. Everything in it is data: it is never rendered.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from msgspec import Struct

from contentops.digest import NO_TEXT, NOTHING
from contentops.documents.blocks import address_of, parse_blocks
from contentops.documents.clean import body_digest
from contentops.documents.front_matter import split
from contentops.documents.preset import apply_preset
from contentops.errors import suggest
from contentops.manifests.values import MAX_TEXT, UNSENDABLE, SourceError, TemplateError
from contentops.model import AcceptedTexts, ItemId, Observed, Reference, Spec, WaitReason, text_digest
from contentops.model.desired import Reading
from contentops.sections import headings, spans

_MOST_EXCERPT: Final = 10_000
_TAG: Final = "tag:"
_ADDRESS: Final = frozenset({"slug", "url", "permalink"})
"""The keys of metadata that may decide the URL of an item."""


class ReferredText(Struct, frozen=True, kw_only=True, dict=True):
    """The text of another item, or the reason why it cannot be used."""

    id: ItemId
    wait: WaitReason | None = None
    file: Observed = Observed(path="")
    path: str = ""
    """Where its file is once this plan is carried out."""
    url: str = ""
    """Its URL below the root of the site. It is empty if the preset does not define it."""
    read: Callable[[str], str] = lambda _path: ""
    """Reads the text of its file."""

    @functools.cached_property
    def title(self) -> str:
        """Return the title of the text. Characters that cannot be sent are removed."""
        return re.sub(UNSENDABLE, "", self.file.title)

    @functools.cached_property
    def body(self) -> str:
        """Return the body of the text. Characters that cannot be sent are removed.

        Raises TemplateError if the file was changed meanwhile.
        """
        body = split(self.read(self.file.path)).body
        if body_digest(body) != self.file.body:
            raise TemplateError("template-value", f"`{self.file.path}` changed while it was read", hint="run it again")
        return re.sub(UNSENDABLE, "", body)

    @functools.cached_property
    def headings(self) -> list[str]:
        """Return the headings of the text in order."""
        return list(headings(self.body))

    @functools.cached_property
    def plain(self) -> str:
        """Return the paragraphs and list items of the text joined into one line, without Markdown marks."""
        texts = (block.text for block in parse_blocks(self.body) if block.kind in {"p", "plain"})
        return " ".join(" ".join(texts).split())

    @functools.cached_property
    def reference(self) -> Reference:
        """Return the reference that a record stores for this text: its id and digest."""
        text = NOTHING if self.wait is not None else text_digest(self.file.title, self.file.body)
        return Reference(id=self.id, text=text, wait=self.wait)


class DeclaredItems(Struct, frozen=True, dict=True):
    """The items of all manifests, rendered as far as possible without the texts of other items."""

    specs: Mapping[ItemId, Spec]
    others: Container[str] | None
    """Ids of declared items that have errors. None: not all ids are known, so any id may be declared."""
    preset: str
    moved: Mapping[ItemId, ItemId]
    """The earlier ids of items, by their present ids."""

    @functools.cached_property
    def tagged(self) -> Mapping[str, list[ItemId]]:
        """Return a map from each tag to the sorted ids of the items that have it."""
        tagged: defaultdict[str, list[ItemId]] = defaultdict(list)
        for id_, spec in sorted(self.specs.items()):
            for tag in spec.tags:
                tagged[tag].append(id_)
        return tagged


class DeclaredTexts:
    """The texts of the items that the manifests declare. Each text is read once."""

    def __init__(self, declared: DeclaredItems, accepted: AcceptedTexts) -> None:
        self.declared = declared
        # An item that has no text under its own id has that of the old one.
        moved = {new: accepted.paths[old] for new, old in declared.moved.items() if old in accepted.paths}
        self.paths = {**moved, **accepted.paths} if moved else accepted.paths
        """The paths of the items' texts, as the lock records them."""
        self._accepted = accepted
        self._texts: dict[tuple[ItemId, bool], ReferredText] = {}

    def look(self, name: ItemId, *, approved: bool) -> ReferredText:
        """Return the text of an item. With `approved`, only a text with an approval counts.

        Raises TemplateError for an unknown id.
        """
        key = (name, approved)
        if key not in self._texts:
            self._texts[key] = self._look(name, approved=approved)
        return self._texts[key]

    def tagged(self, selector: Any) -> list[ItemId]:
        """Return the sorted ids of the items with a tag. Raises TemplateError if the selector is not `tag:NAME`."""
        tag = selector.removeprefix(_TAG) if isinstance(selector, str) and selector.startswith(_TAG) else ""
        if not tag:
            raise TemplateError("template-value", "`texts` takes a tag", hint="write `texts('tag:NAME')`")
        return self.declared.tagged.get(tag, [])

    def reference(self, reading: Reading) -> Reference:
        """Return what a record stores about the use of a text. Raises TemplateError for an unknown id or URL."""
        text = self.look(reading.id, approved=reading.approved)
        if reading.part == "url" and text.wait is not None and not self._may_have_address(reading.id):
            raise _no_address(reading.id)
        if reading.part == "title" and text.wait is None and not text.title.strip():
            return Reference(id=reading.id, wait=WaitReason.NO_PART)
        return text.reference

    def _may_have_address(self, name: ItemId) -> bool:
        """Return whether the URL of an item is known, or may become known when its text exists."""
        spec, preset = self.declared.specs.get(name), self.declared.preset
        if spec is None or not spec.output or not _ADDRESS.isdisjoint(spec.open_metadata):
            return True
        return address_of(preset, spec.output, apply_preset(preset, spec.metadata)) is not None

    def _look(self, name: ItemId, *, approved: bool) -> ReferredText:
        spec = self.declared.specs.get(name)
        if spec is None:
            if self.declared.others is None or name in self.declared.others:
                return ReferredText(id=name, wait=WaitReason.NO_TEXT)
            recorded = "it was removed from the manifests: declare it again" if name in self.paths else ""
            hint = recorded or suggest(name, tuple(self.declared.specs)) or "`contentops status` lists the items"
            raise SourceError("unknown-reference", f"there is no item `{name[:200]}`", hint=hint)
        text = self._file(spec)
        if text.wait is None and approved:
            words = text_digest(text.file.title, text.file.body)
            # Where the digest leaves characters out, no approval is about all of its words.
            if text.file.hidden or not self._accepted.approvals.is_approved(words):
                return ReferredText(id=name, wait=WaitReason.NOT_APPROVED, file=text.file)
        return text

    def _file(self, spec: Spec) -> ReferredText:
        name, path = spec.id, self.paths.get(spec.id)
        if path is None:
            return ReferredText(id=name, wait=WaitReason.NO_TEXT)
        file = self._accepted.observe(path)
        is_of_other = file.owner not in ("", name) and file.owner in self.declared.specs
        # A lock from elsewhere may name any file of the project.
        is_strange = not file.owner and spec.output not in ("", path)
        if not file.exists or is_of_other or is_strange:
            return ReferredText(id=name, wait=WaitReason.NO_TEXT, file=file)
        if file.problem:
            return ReferredText(id=name, wait=WaitReason.UNREADABLE, file=file)
        if file.body in (NOTHING, NO_TEXT):
            return ReferredText(id=name, wait=WaitReason.EMPTY, file=file)
        # Its page will be where the manifest says, also if the file is still to be moved there.
        target = spec.output or path
        url = address_of(self.declared.preset, target, file.front) or ""
        return ReferredText(id=name, file=file, path=target, url=url, read=self._accepted.read)


# --- what templates see --------------------------------------------------------------------------------------


def part_of(text: ReferredText, name: str) -> Any:
    """Return one value of a text for templates, such as its title. Raises TemplateError if the text lacks it."""
    match name:
        case "excerpt":
            return lambda length=200: _excerpt(text, length)
        case "section":
            return lambda heading: _section(text, heading)
        case "url":
            if not text.url:
                raise _no_address(text.id)
            return text.url
        case "metadata":
            return dict(text.file.front)
        case "body" if len(text.body) > MAX_TEXT:
            message = f"the text of `{text.id}` has more than {MAX_TEXT} characters"
            raise TemplateError("template-limit", message, hint="use its `excerpt` or one `section`")
        case _:
            return getattr(text, name)


def _excerpt(text: ReferredText, length: Any) -> str:
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= _MOST_EXCERPT:
        message = f"`excerpt` takes a number of characters from 1 to {_MOST_EXCERPT:,}"
        raise TemplateError("template-value", message)
    plain = text.plain
    if not plain:
        message = f"the text of `{text.id}` has no words for an excerpt"
        raise TemplateError("template-value", message, hint="use another part of it")
    if len(plain) <= length:
        return plain
    start = plain[:length]
    if not plain[length].isspace() and " " in start:
        start = start.rpartition(" ")[0]
    return f"{start.rstrip(' ,;:')}…"


def _section(text: ReferredText, heading: Any) -> str:
    found = spans(text.body, heading) if isinstance(heading, str) else ()
    if not found:
        known = ", ".join(f"`{each[:60]}`" for each in text.headings[:10]) or "none"
        message = f"`{text.id}` has no section `{str(heading)[:60]}`"
        raise TemplateError("unknown-section", message, hint=f"its headings: {known}")
    section = text.body[found[0].text : found[0].end].strip()
    if not section:
        message = f"the section `{heading[:60]}` of `{text.id}` is empty"
        raise TemplateError("unknown-section", message, hint="write it, or use another part")
    return section


def _no_address(name: ItemId) -> SourceError:
    hint = "the preset does not define it: build it from `.path`, or state `url` in its metadata"
    return SourceError("template-value", f"the address of `{name}` is not known", hint=hint)
