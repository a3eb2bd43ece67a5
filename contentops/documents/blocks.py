"""Takes a Markdown text apart into blocks of words, for reading and comparing. Nothing of a text is left out.

What a site does not show as words (HTML, the language of a code block, addresses and titles of links) is there too.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from contentops.documents.checks import UNSPACED
from contentops.sections import markdown_parser, nests_too_deep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import regex
    from markdown_it.token import Token

PARSED: Final = 100_000
"""Characters that are read as Markdown. What follows is read as plain lines: hostile Markdown takes long."""


class Style(NamedTuple):
    """How a word is set: `em`, `strong`, `s`, `code`, `link`, `image` (by its alternative text), `break` or `edge`.

    `html`: it is HTML as written. `info`: it is what stands beside the fence of a code block. A link around nothing has
    an empty word.
    """

    kind: str
    address: str = ""
    title: str = ""


class Word(NamedTuple):
    """A word, one other character, or white space, with its styles from the outside in."""

    text: str
    styles: tuple[Style, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether a reader counts it as a word."""
        return any(map(str.isalnum, self.text))


class Container(NamedTuple):
    """What a block stands in: `ul`, `ol`, `li`, `blockquote`, `table`, `thead` or `tbody`."""

    kind: str
    number: int
    """Tells one from another in a text."""
    start: int = 1
    """The first number of an `ol`."""


class TextBlock(Struct, frozen=True, kw_only=True):
    """A paragraph (`p`), heading (`h1` to `h6`), `code`, `html`, table `row`, `rule`, or `plain` lines at the end."""

    kind: str
    words: tuple[Word, ...] = ()
    path: tuple[Container, ...] = ()
    """The containers from the outside in."""
    line: int = 0
    """Its first line in the body, from 0."""
    end: int = 0
    """The line after it."""

    @property
    def shape(self) -> tuple[str, ...]:
        """What it is and stands in: blocks of different shapes are never compared word by word."""
        return self.kind, *(one.kind for one in self.path)

    @property
    def text(self) -> str:
        """Its words, without marks and without what stands beside a fence."""
        return "".join(word.text for word in self.words if INFO not in word.styles)


EDGE: Final = Word("\t", (Style("edge"),))
"""Stands between two cells of a row."""
INFO: Final = Style("info")
"""Of the language of a code block, and all else beside its fence."""


def parse_blocks(body: str) -> tuple[TextBlock, ...]:
    """The blocks of a cleaned body in order; one that nests too deeply is read as plain lines."""
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
    """Words, runs of white space, and other characters as a reader sees them; joined they are the text."""
    words: list[str] = _words().findall(text)
    return words


@functools.cache
def _words() -> regex.Pattern[str]:
    # start-up: most commands take no text apart
    import regex

    letters = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{UNSPACED}]]+"
    return regex.compile(rf"(?V1)\s+|[{UNSPACED}]\p{{M}}*|{letters}(?:['\u2019]{letters})*|\X")


_DEEPEST: Final = 50
"""Styles in styles that are looked at; who writes more of them wants to break a reader."""
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
    """Makes blocks of the parser's tokens, which open and close one another."""

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
        """The cells of a row that its table has no columns for: the parser drops them."""
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
