"""Splits a Markdown text into blocks of words, for reading and comparing. No part of the text is left out.

This includes parts that a site does not show as words: HTML, the language of a code block, and addresses and titles of
links.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from msgspec import Struct

from contentops.documents.checks import UNSPACED
from contentops.sections import Key, Span, cut, markdown_parser, nests_too_deep, spans

if TYPE_CHECKING:
    import regex
    from markdown_it.token import Token


# ---- Takes a Markdown text apart into blocks of words, for reading and comparing. Nothing of a text is left out.

PARSED: Final = 100_000
"""The number of characters that are read as Markdown.

The rest is read as plain lines, because hostile Markdown takes long.
"""


class Style(NamedTuple):
    """The style of a word: `em`, `strong`, `s`, `code`, `link`, `image` (by its alternative text), `break` or `edge`.

    `html` means that the word is HTML as written. `info` means that it is the info string of a code block's fence. A
    link around nothing has an empty word.
    """

    kind: str
    address: str = ""
    title: str = ""


class Word(NamedTuple):
    """A piece of a text: a word, white space, or another single character. Its styles begin with the outermost."""

    text: str
    styles: tuple[Style, ...] = ()

    @property
    def counts(self) -> bool:
        """Return whether a reader would count this piece of a text as a word. It must have a letter or digit."""
        return any(map(str.isalnum, self.text))


class Container(NamedTuple):
    """A container around a block: `ul`, `ol`, `li`, `blockquote`, `table`, `thead` or `tbody`."""

    kind: str
    number: int
    """A number that is unique in the text."""
    start: int = 1
    """The first number of an `ol`."""


class TextBlock(Struct, frozen=True, kw_only=True):
    """A block of a text. Its kind is `p`, `h1` to `h6`, `code`, `html`, a table `row`, a `rule`, or `plain` lines."""

    kind: str
    words: tuple[Word, ...] = ()
    path: tuple[Container, ...] = ()
    """The containers from the outside in."""
    line: int = 0
    """The first line of the block in the body, from 0."""
    end: int = 0
    """The line after the block."""

    @property
    def shape(self) -> tuple[str, ...]:
        """Return the kind and the containers of the block.

        Blocks of different shapes are never compared word by word.
        """
        return self.kind, *(one.kind for one in self.path)

    @property
    def text(self) -> str:
        """Return the words of the block as text, without Markdown marks and without the language of a code block."""
        return "".join(word.text for word in self.words if INFO not in word.styles)


EDGE: Final = Word("\t", (Style("edge"),))
"""Separates two cells of a row."""
INFO: Final = Style("info")
"""The style of the words next to a code block's fence, such as its language."""


def parse_blocks(body: str) -> tuple[TextBlock, ...]:
    """Return the blocks of a cleaned body in their order. Text that is nested too deeply is read as plain lines."""
    cut = len(body) if len(body) <= PARSED else body.rfind("\n", 0, PARSED) + 1 or PARSED
    cut = 0 if nests_too_deep(body[:cut]) else cut
    blocks = [*_BlockReader(body[:cut]).read(markdown_parser().parse(body[:cut]))]
    line = body.count("\n", 0, cut)
    for lines in body[cut:].split("\n\n") if cut < len(body) else ():
        end = line + lines.count("\n") + 1
        if lines.strip():
            blocks.append(TextBlock(kind="plain", words=tuple(map(Word, split_words(lines))), line=line, end=end))
        line = end + 1
    return tuple(blocks)


def split_words(text: str) -> list[str]:
    """Return the words, white space and other characters of a text. Joined, they give the text again."""
    words: list[str] = _words().findall(text)
    return words


@functools.cache
def _words() -> regex.Pattern[str]:
    # start-up: most commands take no text apart
    import regex

    letters = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{UNSPACED}]]+"
    return regex.compile(rf"(?V1)\s+|[{UNSPACED}]\p{{M}}*|{letters}(?:['\u2019]{letters})*|\X")


_DEEPEST: Final = 50
"""The number of nested styles that are read. More of them are an attack on the reader."""
_CONTAINERS: Final = {
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "blockquote": "blockquote",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
}


class _BlockReader:
    """Builds the blocks of a text from the tokens of the Markdown parser."""

    def __init__(self, body: str) -> None:
        self._source = body.split("\n")
        self._path: list[Container] = []
        self._kind = "p"
        self._row: list[Word] | None = None
        self._lines: list[int] | None = None
        self._opened = 0

    def read(self, tokens: Iterable[Token]) -> Iterator[TextBlock]:
        for token in tokens:
            name, _, side = token.type.rpartition("_")
            if container := _CONTAINERS.get(name):
                self._step(container, token)
            elif side == "open":
                self._open(name, token)
            elif token.type == "inline" and self._row is not None:
                self._row += _inline(token.children or ())
            elif token.type == "inline":
                yield self._block(self._kind, _inline(token.children or ()), token)
            elif token.type == "tr_close":
                yield self._block("row", (*(self._row or ()), *self._further_cells()), token)
                self._row = None
            elif token.type in ("fence", "code_block", "html_block"):
                info = [Word(f"{token.info.strip()}\n", (INFO,))] if token.info.strip() else []
                words = map(Word, split_words(token.content.removesuffix("\n")))
                yield self._block("html" if token.type == "html_block" else "code", (*info, *words), token)
            elif token.type == "hr":
                yield self._block("rule", (), token)

    def _further_cells(self) -> Iterator[Word]:
        """Yield the extra cells of a table row, for which the table has no column. The parser drops them."""
        from markdown_it.rules_block.table import escapedSplit  # start-up: most commands take no text apart

        row = self._source[self._lines[0]].strip("\t >") if self._lines else ""
        for cell in escapedSplit(row.removeprefix("|").removesuffix("|"))[(self._row or []).count(EDGE) + 1 :]:
            yield from (EDGE, *map(Word, split_words(cell.strip())))

    def _open(self, name: str, token: Token) -> None:
        if name in ("th", "td"):
            self._row = [] if self._row is None else [*self._row, EDGE]
        elif name == "tr":
            self._lines = token.map
        else:
            self._kind = token.tag

    def _step(self, kind: str, token: Token) -> None:
        if token.nesting < 0:
            self._path.pop()
            return
        self._opened += 1
        start = token.attrs.get("start", 1)
        self._path.append(Container(kind, self._opened, start if isinstance(start, int) else 1))

    def _block(self, kind: str, words: Iterable[Word], token: Token) -> TextBlock:
        line, end = token.map or self._lines or (0, 0)
        return TextBlock(kind=kind, words=tuple(words), path=tuple(self._path), line=line, end=end)


def _inline(tokens: Sequence[Token]) -> Iterator[Word]:
    opened: list[Style] = []
    for before, token in pairwise((None, *tokens)):
        assert token is not None
        name, _, side = token.type.rpartition("_")
        styles = tuple(dict.fromkeys(opened[-_DEEPEST:]))
        if side == "open":
            style = Style(name if name == "link" else token.tag, str(token.attrs.get("href", "")), _title(token))
            opened.append(style)
        elif side == "close":
            if before is not None and before.type == "link_open":
                yield Word("", styles)
            opened.pop()
        elif token.type == "image":
            yield Word(token.content, (*styles, Style("image", str(token.attrs.get("src", "")), _title(token))))
        elif token.type in ("softbreak", "hardbreak"):
            yield Word(" ", styles) if token.type == "softbreak" else Word("\n", (*styles, Style("break")))
        elif name == "html":
            yield Word(token.content, (*styles, Style("html")))
        else:
            inner = (*styles, Style("code")) if name == "code" else styles
            yield from (Word(text, inner) for text in split_words(token.content))


def _title(token: Token) -> str:
    return str(token.attrs.get("title", ""))


# ---- Takes one regenerated section from a server's answer, and puts it into a text that keeps every other section.


class NewSection(Struct, frozen=True):
    """A section that a server generated again, with its heading and the text under it."""

    heading: str
    words: str
    with_deeper: bool
    """Whether it also replaces the deeper sections under its heading. Otherwise they stay."""


class Unusable(Struct, frozen=True):
    """The reason why a server's reply has no usable section. The section is missing, or does not fit the text."""

    why: Literal["absent", "empty", "beside", "others", "gone", "open"]
    """`absent`: the reply has no such heading. `empty`: there is no text under it.

    `beside`: there are words next to the section. `others`: other sections have another text. `gone`: the text that the
    section is for does not have it exactly once. `open`: the section would change the text around it.
    """
    others: tuple[Key, ...] = ()
    """The other sections that are different, in their order."""


def new_section(answer: str, heading: str, texts: Iterable[str]) -> NewSection | Unusable:
    """Return the section with the heading `heading` from a server's reply.

    The reply is a whole text or only that section.

    `texts` are the texts that the server may have changed. The rest of the reply must be the same as in one of them. If
    the reply is only the section and has no deeper ones, the deeper sections of the text stay.
    """
    spans_of_it = spans(answer, heading)
    if not spans_of_it:
        return Unusable("absent")
    if not answer[: spans_of_it[0].start].strip() and spans_of_it[0].end == len(answer):
        return _section(answer, spans_of_it[0], with_deeper=spans_of_it[0].below < spans_of_it[0].end)
    unlike = Unusable("beside")
    for before in texts:
        if (was := _only(before, heading)) is None:
            continue
        for now in spans_of_it:
            if _around(before, was) == _around(answer, now):
                return _section(answer, now, with_deeper=True)
        unlike = unlike if unlike.others else _unlike(before, was, answer, spans_of_it[0])
    return unlike


def take_section(text: str, answer: str, heading: str, texts: Iterable[str]) -> tuple[str, NewSection] | Unusable:
    """Replace a section of a text with the new section from a server's reply. Return the text and the new section.

    For `texts`, see `new_section`.
    """
    if _only(text, heading) is None:
        return Unusable("gone")
    new = new_section(answer, heading, (text, *texts))
    if isinstance(new, Unusable):
        return new
    body = put_section(text, new)
    return Unusable("open") if body is None else (body, new)


def put_section(text: str, new: NewSection) -> str | None:
    """Return the text with one section replaced.

    It is None if the section is missing or not unique, or if others would change.
    """
    span = _only(text, new.heading)
    if span is None:
        return None
    head, tail = text[: span.text], text[span.end if new.with_deeper else span.below :]
    head = head if head.endswith("\n") else f"{head}\n"
    body = f"{head}{new.words.rstrip()}\n" + (f"\n{tail}" if tail else "")
    # Nothing left open in it may take in the text after it, and none of its headings be another section.
    after, rest = _only(body, new.heading), [section.text for section in cut(tail)]
    texts = [section.text for section in cut(body)]
    if after is None or after.start != span.start or texts[len(texts) - len(rest) :] != rest:
        return None
    return body if len(body) - after.end == len(text) - span.end else None


def is_touched(base: str, edited: str, heading: str) -> bool:
    """Return whether a person changed a section, or one of its subsections, between `base` and `edited`."""
    was, now = _only(base, heading), _only(edited, heading)
    if was is None or now is None:
        return True
    return base[was.start : was.end].strip() != edited[now.start : now.end].strip()


def deeper(text: str, heading: str) -> tuple[Key, ...]:
    """Return the subsections under a heading, in their order."""
    span = _only(text, heading)
    return tuple(section.key for section in cut(text[span.below : span.end])) if span is not None else ()


def _only(text: str, heading: str) -> Span | None:
    matches = spans(text, heading)
    return matches[0] if len(matches) == 1 else None


def _section(answer: str, span: Span, *, with_deeper: bool) -> NewSection | Unusable:
    words = answer[span.text : span.end]
    return NewSection(span.heading, words, with_deeper) if words.strip() else Unusable("empty")


def _around(text: str, span: Span) -> tuple[list[str], list[str]]:
    """Return the sections before a section and the sections after it, without blank lines around them."""
    return _words_of(text[: span.start]), _words_of(text[span.end :])


def _words_of(text: str) -> list[str]:
    return [section.text.strip() for section in cut(text) if section.text.strip()]


def _unlike(before: str, was: Span, answer: str, now: Span) -> Unusable:
    """Return why a server's reply is unusable, and which other sections it changed."""
    ours, theirs = (_texts(text[: span.start] + text[span.end :]) for text, span in ((before, was), (answer, now)))
    headed = {key for key in ours if key.level}
    if headed and not headed & theirs.keys():
        return Unusable("beside")
    both = dict.fromkeys((*ours, *theirs))
    return Unusable("others", tuple(key for key in both if ours.get(key) != theirs.get(key)) or tuple(both))


def _texts(text: str) -> dict[Key, str]:
    return {section.key: section.text.strip() for section in cut(text) if section.text.strip()}


# ---- The address of an output's page on its site, where the site's own settings cannot change it.

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
"""A part of a path that is also a part of the address, in small letters."""
_LITERAL = re.compile(r"/[^:\s]*")
"""An address without placeholders."""
_STATED = {"hugo": "url", "jekyll": "permalink"}
"""The front matter key that states the whole address."""


def address_of(preset: str, output: str, front: Mapping[str, Any]) -> str | None:
    """Return the address of a page on its site, or None if it is not known.

    `front` is the front matter in the words of the preset. Jekyll makes addresses from a pattern in its settings, so
    only an address in the front matter is known.
    """
    stated = front.get(_STATED.get(preset, ""))
    if isinstance(stated, str):
        return stated if _LITERAL.fullmatch(stated) else None
    return _of_hugo(output, front.get("slug")) if preset == "hugo" else None


def _of_hugo(output: str, slug: object) -> str | None:
    """Return the address that Hugo gives a page by default: the path below `content`, in small letters."""
    *folders, file = output.split("/")
    if "content" not in folders:
        return None
    parts = folders[folders.index("content") + 1 :]
    name, _, ending = file.rpartition(".")
    if ending not in ("md", "markdown"):
        return None
    if name not in ("index", "_index"):
        parts.append(name)
    if slug is not None and parts and name != "_index":
        parts[-1] = str(slug)
    if not all(map(_PLAIN.fullmatch, parts)):
        return None  # such as a dot that may name a language
    return "".join(f"/{part.lower()}" for part in parts) + "/"
