"""Shows Markdown texts as HTML with marks on removed and new words. HTML inside a text is shown as plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from markupsafe import Markup, escape
from msgspec import structs

from contentops.documents.blocks import EDGE, INFO, PARSED, Container, Style, TextBlock, Word, split_words
from contentops.documents.word_diff import BlockDiff, Phrase, Side, TextDiff, phrases
from contentops.errors import plural
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    Run = tuple[Side, bool, tuple[Word, ...]]
    """Words with their side (old, new or both), and whether they are marked."""

Notes: TypeAlias = "Callable[[TextBlock], Iterable[Markup]]"
"""The notes under a block."""
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_TOP: Final = 3
"""The level that a text's highest headings get. The page itself uses the levels above."""
_SIDES: Final = {
    Side.GONE: (Markup('<del><span class="hidden">[gone: </span>'), Markup('<span class="hidden">]</span></del>')),
    Side.NEW: (Markup('<ins><span class="hidden">[new: </span>'), Markup('<span class="hidden">]</span></ins>')),
    Side.BOTH: (Markup(), Markup()),
}
_FOOTNOTE: Final = re.compile(r"<code>.*?</code>|<[^>]*>|\[\^([\w-]{1,40})\]:?", re.DOTALL)
"""A footnote in a block of HTML. Code and tags are matched too, so that they can be skipped."""
_BOXES: Final = {"[ ] ": Markup("\u2610 "), "[x] ": Markup("\u2611 "), "[X] ": Markup("\u2611 ")}
"""The start of a task in Markdown, and the sign that is shown for it."""
_BOX: Final = 5_000
"""The most words and white spaces in one box of code or plain lines."""
_TABLE: Final = Markup('<div class="scroll" role="region" aria-label="Table" tabindex="0">')
_REST: Final = Markup(
    '<p class="mute">This text is longer than {:,} characters, or nested too deeply. From here, it is shown as it is '
    "written: without headings, lists and links.</p>"
).format(PARSED)


class ProsePart(NamedTuple):
    """Neighbouring blocks of a text as HTML. If they are folded because nothing changed, `fold` describes them."""

    html: Markup
    fold: str = ""


def prose(
    diff: TextDiff,
    *,
    notes: Notes = lambda _: (),
    marks: Sequence[re.Pattern[str]] = (),
    fold: bool = True,
    shows: Callable[[str], str] | None = None,
) -> list[ProsePart]:
    """Return a text as HTML with its changes marked.

    `notes` returns the notes under a block; a block with notes is not folded. `marks` are patterns of words to mark.
    `fold` says whether unchanged blocks are folded if other blocks changed. With `shows`, the text is shown as a site
    shows it, with pictures, footnotes and tasks. `shows` returns the address at which the page finds a picture, or an
    empty text.
    """
    top, together = _top(diff), _groups(diff, notes)
    folds = fold and any(not one.is_same for one in diff.blocks)
    is_quiet = [folds and _is_quiet(group) for group in together]
    made: list[ProsePart] = []
    for quiet, run in groupby(zip(is_quiet, together, strict=True), key=lambda pair: pair[0]):
        shown = [piece for _, group in run for piece in group]
        writer = _Writer(top, marks, shows)
        for piece in shown:
            writer.write(piece)
        made.append(ProsePart(writer.html(), _as_before([piece.diff.block for piece in shown]) if quiet else ""))
    return made


class SideRow(NamedTuple):
    """Blocks of an old and a new text, side by side. `is_touched`: one of them changed. For `fold` see `ProsePart`."""

    old: Markup
    new: Markup
    fold: str = ""
    is_touched: bool = False


def side_rows(diff: TextDiff, beside: TextDiff | None = None) -> list[SideRow]:
    """Return rows with the old text in the left column and the new text in the right one.

    `beside` is another text that was made from the old text, such as a translation, compared with itself. It is then
    shown in the right column, block by block, and the left column has all changes.
    """
    top, groups = _top(diff), _groups(diff)
    theirs = iter(_groups(beside)) if beside is not None else iter(())
    gone, new = (None, None) if beside is not None else (Side.NEW, Side.GONE)
    pairs = [(group, group) for group in groups]
    if beside is not None:
        was = [any(one.diff.old is not None for one in group) for group in groups]
        pairs = [(group, next(theirs, []) if had else []) for group, had in zip(groups, was, strict=True)]
    folds = any(not one.is_same for one in diff.blocks)
    rows: list[SideRow] = []
    for quiet, run in groupby(pairs, key=lambda pair: folds and _is_quiet(pair[0])):
        each = [*run]
        columns = [(_column(top, one, gone), _column(top, other, new)) for one, other in each]
        if quiet:
            blocks = [piece.diff.block for one, _ in each for piece in one]
            left, right = (Markup().join(one) for one in zip(*columns, strict=True))
            rows.append(SideRow(left, right, _as_before(blocks)))
        else:
            touched = [not _is_quiet(one) for one, _ in each]
            rows += [SideRow(*pair, is_touched=is_touched) for pair, is_touched in zip(columns, touched, strict=True)]
    return rows + [SideRow(Markup(), _column(top, group, new)) for group in theirs]


def _column(top: int, pieces: Iterable[_Piece], without: Side | None) -> Markup:
    """Return blocks as HTML with the words of the old text, the new text or both. `without` names the text to omit."""
    writer = _Writer(top, (), None)
    for piece in pieces:
        if without is None or (piece.diff.old if without is Side.NEW else piece.diff.new) is not None:
            parts = tuple(part for part in piece.diff.parts if part.side is not without)
            writer.write(piece._replace(diff=structs.replace(piece.diff, parts=parts)))
    return writer.html()


def changed_words(old: str, new: str) -> Markup:
    """Return a changed line, such as a title, as HTML with the changed words marked."""
    words = (tuple(map(Word, split_words(text))) for text in (old, new))
    return _inline((part.side, False, part.words) for part in phrases(*words))


class _Piece(NamedTuple):
    """A block of a text with the lists or quotations around it, and the review notes under it."""

    diff: BlockDiff
    path: tuple[Container, ...]
    notes: Markup


def _top(diff: TextDiff) -> int:
    """Return the level of the highest heading in the text, such as 1 for `#`."""
    return min((int(one.block.kind[1]) for one in diff.blocks if one.block.kind[1:].isdigit()), default=1)


def _groups(diff: TextDiff, notes: Notes = lambda _: ()) -> list[list[_Piece]]:
    """Return groups of blocks with their review notes. The blocks of a list, quotation or table are one group."""
    pieces = [
        _Piece(one, path, Markup().join(notes(one.new) if one.new is not None else ()))
        for one, path in zip(diff.blocks, _paths(diff), strict=True)
    ]
    groups = groupby(enumerate(pieces), key=lambda pair: pair[1].path[0].number if pair[1].path else -1 - pair[0])
    return [[piece for _, piece in group] for _, group in groups]


def _is_quiet(group: Iterable[_Piece]) -> bool:
    return all(one.diff.is_same and not one.notes for one in group)


def _as_before(blocks: Sequence[TextBlock]) -> str:
    heading = next((block.text for block in blocks if block.kind[1:].isdigit() and block.text.strip()), "")
    named = f", with \u201c{visible(clip(' '.join(heading.split()), 60))}\u201d" if heading else ""
    return f"{plural(len(blocks), 'paragraph')} as before{named}"


def _paths(diff: TextDiff) -> Iterator[tuple[Container, ...]]:
    """Yield the lists and other containers around each block. A removed block appears in the list that still exists."""
    now = {
        before: after
        for one in diff.blocks
        if one.old is not None and one.new is not None
        for before, after in zip(one.old.path, one.new.path, strict=True)
    }
    for one in diff.blocks:
        gone = (now.get(each, each._replace(number=-each.number)) for each in one.block.path)
        yield one.block.path if one.new is not None else tuple(gone)


class _Writer:
    """A writer of HTML blocks that opens and closes their containers, such as lists and tables."""

    def __init__(self, top: int, marks: Sequence[re.Pattern[str]], shows: Callable[[str], str] | None) -> None:
        self._top, self._marks, self._shows = top, marks, shows
        self._parts: list[Markup] = []
        self._open: list[Container] = []
        self._notes = Markup()
        self._is_rest = False

    def write(self, piece: _Piece) -> None:
        path, opened = piece.path, self._open
        pairs = enumerate(zip(path, opened, strict=False))
        same = next((at for at, (one, other) in pairs if one.number != other.number), min(len(path), len(opened)))
        self._close(same)
        for one in path[same:]:
            start = Markup(' start="{}"').format(one.start) if one.kind == "ol" and one.start != 1 else ""
            around = _TABLE if one.kind == "table" else Markup()
            self._parts.append(around + Markup("<{}{}>").format(one.kind, start))
            opened.append(one)
        if piece.diff.block.kind == "plain" and not self._is_rest:
            self._is_rest = True
            self._parts.append(_REST)
        self._parts.append(self._block(piece.diff.block, self._runs(piece.diff.parts)))
        self._notes += piece.notes
        if not any(one.kind == "table" for one in path):
            self._put_notes()

    def html(self) -> Markup:
        self._close(0)
        return Markup().join(self._parts)

    def _close(self, depth: int) -> None:
        while len(self._open) > depth:
            kind = self._open.pop().kind
            self._parts.append(Markup("</{}>").format(kind))
            if kind == "table":
                self._parts.append(Markup("</div>"))
                self._put_notes()

    def _put_notes(self) -> None:
        self._parts.append(self._notes)
        self._notes = Markup()

    def _runs(self, parts: Iterable[Phrase]) -> Iterator[Run]:
        for part in map(self._drawn, parts):
            text = "".join(word.text for word in part.words) if self._marks and part.side is not Side.GONE else ""
            is_marked = bytearray(len(text))
            for start, end in (match.span() for pattern in self._marks for match in pattern.finditer(text)):
                is_marked[start:end] = b"\x01" * (end - start)
            if not any(is_marked):
                yield part.side, False, part.words
                continue
            ends = pairwise(accumulate((len(word.text) for word in part.words), initial=0))
            flags = [any(is_marked[start:end]) for start, end in ends]
            for flag, run in groupby(zip(flags, part.words, strict=True), key=lambda pair: pair[0]):
                yield part.side, flag, tuple(word for _, word in run)

    def _drawn(self, part: Phrase) -> Phrase:
        """Return words as a site shows them: with pictures, and without the language names of code blocks."""
        if self._shows is None:
            return part
        words: list[Word] = []
        for word in part.words:
            style = word.styles[-1] if word.styles else INFO
            url = self._shows(style.address) if style.kind == "image" else ""
            picture = Style("picture", url, style.title)
            words += [word._replace(styles=(*word.styles[:-1], picture)) if url else word] * (INFO not in word.styles)
        return Phrase(part.side, tuple(words))

    def _block(self, block: TextBlock, runs: Iterable[Run]) -> Markup:
        if block.kind == "row":
            cell = Markup('<td dir="auto">{}</td>')
            if block.path[-1].kind == "thead":
                cell = Markup('<th scope="col" dir="auto">{}</th>')
            return Markup("<tr>{}</tr>\n").format(Markup().join(cell.format(_inline(each)) for each in _cells(runs)))
        if block.kind == "rule":
            start, end = _SIDES[next((side for side, _, _ in runs), Side.BOTH)]
            return start + Markup("<hr>") + end
        if block.kind in ("code", "plain", "html"):
            box = Markup('<pre dir="auto"><code>{}</code></pre>\n')
            return Markup().join(box.format(_inline(each)) for each in _boxes(runs))
        level = block.kind[1:]
        tag = f"h{min(int(level) - self._top + _TOP, 6)}" if level else "p"
        text = _inline(runs)
        if self._shows is not None:
            is_task = bool(block.path) and block.path[-1].kind == "li"
            text = _BOXES.get(text[:4], text[:4]) + text[4:] if is_task else text
            text = _with_footnotes(text)
        return Markup('<{0} dir="auto">{1}</{0}>\n').format(tag, text)


def _with_footnotes(text: Markup) -> Markup:
    parts, start = Markup(), 0
    for found in _FOOTNOTE.finditer(text):
        if found[1]:
            parts += text[start : found.start()] + Markup("<sup>{}</sup>").format(found[1])
            start = found.end()
    return parts + text[start:]


def _boxes(runs: Iterable[Run]) -> list[list[Run]]:
    """Split words into groups of limited size, because browsers are slow with a very long HTML element."""
    boxes: list[list[Run]] = [[]]
    room = _BOX
    for side, is_marked, words in runs:
        for start in range(0, len(words), _BOX):
            some = words[start : start + _BOX]
            if len(some) > room:
                boxes.append([])
                room = _BOX
            boxes[-1].append((side, is_marked, some))
            room -= len(some)
    return boxes


def _cells(runs: Iterable[Run]) -> list[list[Run]]:
    cells: list[list[Run]] = [[]]
    for side, is_marked, words in runs:
        for is_edge, run in groupby(words, key=EDGE.__eq__):
            if is_edge:
                cells += [[] for _ in run]
            else:
                cells[-1].append((side, is_marked, tuple(run)))
    return cells


def _inline(runs: Iterable[Run]) -> Markup:
    parts: list[Markup] = []
    for side, each in groupby(runs, key=lambda run: run[0]):
        start, end = _SIDES[side]
        parts.append(start)
        for _, is_marked, words in each:
            text = _styled(words, is_changed=side is not Side.BOTH)
            parts.append(Markup("<mark>{}</mark>").format(text) if is_marked else text)
        parts.append(end)
    return Markup().join(parts)


def _styled(words: Sequence[Word], depth: int = 0, *, is_changed: bool) -> Markup:
    """Return words as HTML with their styles, such as bold. The outermost `depth` styles are left out."""
    parts: list[Markup] = []
    for style, run in groupby(words, key=lambda word: word.styles[depth] if len(word.styles) > depth else None):
        if style is None:
            parts.append(_plain("".join(word.text for word in run)))
        elif style.kind == "break":
            parts += (Markup("<br>") for _ in run)
        elif style.kind == "image":
            # A page loads nothing from elsewhere.
            image = Markup('<span class="mute">[image: {} <code>{}</code>{}]</span>')
            parts += (image.format(_plain(word.text), visible(style.address), _title(style)) for word in run)
        elif style.kind == "picture":
            picture = Markup('<img src="{}" alt="{}" loading="lazy">{}')
            parts += (picture.format(style.address, _plain(word.text), _title(style)) for word in run)
        else:
            parts.append(_set(style, _styled(tuple(run), depth + 1, is_changed=is_changed), is_changed=is_changed))
    return Markup().join(parts)


def _set(style: Style, inner: Markup, *, is_changed: bool) -> Markup:
    if style == INFO:
        return Markup('<span class="mute">{}</span>').format(inner)
    if style.kind != "link":
        return Markup("<{0}>{1}</{0}>").format("code" if style.kind == "html" else style.kind, inner)
    address = visible(style.address)
    inner += _title(style)
    if not inner:
        inner = Markup('<span class="mute">[link without words: <code>{}</code>]</span>').format(address)
    elif is_changed:
        inner += Markup(" <code>({})</code>").format(address)
    if _is_web(style.address):
        return Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(style.address, inner)
    # An address of the site itself leads nowhere from here.
    return Markup('<span class="link" title="{}">{}</span>').format(address, inner)


def _title(style: Style) -> Markup:
    """Return the title of a link or image as HTML. A site shows it when someone points at the link."""
    return Markup(' <span class="mute">\u201c{}\u201d</span>').format(visible(style.title)) if style.title else Markup()


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in _SCHEMES
    except ValueError:
        return False


def _plain(text: str) -> Markup:
    """Escape words for HTML, and make invisible characters visible."""
    if text.isascii() and text.isprintable():
        return escape(text)
    return escape("\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n")))
