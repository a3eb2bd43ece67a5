"""Cuts a Markdown text into passages, and finds the addresses, commands and names in them.

All of it takes time that grows with the length of the text alone.
"""

from __future__ import annotations

import bisect
import html
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.documents.dates import MONTHS
from contentops.documents.figures import plain_digits
from contentops.documents.number_words import listed
from contentops.documents.numbers import blank
from contentops.sections import parse_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Claim(NamedTuple):
    """What a text states."""

    line: int
    """From 0, in its text."""
    kind: str
    """`number`, `address`, `command` or `name`."""
    words: str
    normal: str = ""
    """Its form for comparison; empty for a number."""


class Segment(NamedTuple):
    """A heading, paragraph or code block; `line` is the line of the body (from 0) on which its text starts."""

    line: int
    text: str
    kind: str
    """`heading`, `prose` or `code`."""
    language: str = ""
    """What a fence says after its marks."""


def segments(body: str) -> Iterator[Segment]:
    """The passages of a body in order."""
    heading = False
    for token in parse_blocks(body):
        line = token.map[0] if token.map is not None else 0
        if token.type == "inline":
            yield Segment(line, token.content, "heading" if heading else "prose")
        elif token.type == "fence":
            yield Segment(line + 1, token.content, "code", token.info.strip().split(" ")[0].lower())
        elif token.type == "code_block":
            yield Segment(line, token.content, "code")
        elif token.type == "html_block":
            yield Segment(line, token.content, "prose")
        heading = token.type == "heading_open"


class Lines:
    """The numbers of lines (from 0) by offsets in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def of(self, offset: int) -> int:
        """The line that an offset is on."""
        return bisect.bisect_left(self._ends, offset)


class Prose(NamedTuple):
    """Passages without code, addresses and tags, as one text, and what stood in them."""

    text: str
    """As many lines as the passages have, with a line of `_BETWEEN` between two of them."""
    lines: tuple[int, ...]
    """The line of the body of each line."""
    codes: tuple[tuple[int, str], ...]
    """The code in it, each with its line in the text (from 0)."""
    addresses: tuple[Claim, ...]


_BETWEEN: Final = "\n\0\n"
_CODE: Final = re.compile(r"(?<!`)(`++)([^`\0]++)\1(?!`)")
_ESCAPE: Final = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{1,31});")
_TARGET: Final = re.compile(r"\]\([^()\s\0]*|\]\[[^\[\]\0]*\]|\[\^?\d{1,3}\](?!\()")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>\0]*>|<!--|-->")
_MARKS: Final = re.compile(r"[*~]+|(?<!\w)_+|_+(?!\w)|\d\ufe0f?\u20e3")


def prose_of(segments: Iterable[Segment]) -> Prose:
    """Passages without code, addresses, tags and the escapes of Markdown and HTML; blocks of code are left out.

    They are one text, as patterns are many and passages often short.
    """
    texts: list[str] = []
    numbers: list[int] = []
    for segment in segments:
        if segment.kind != "code":
            texts.append(_COUNT.sub(blank, segment.text, count=1) if segment.kind == "heading" else segment.text)
            numbers += range(segment.line, segment.line + segment.text.count("\n") + 1)
            numbers.append(segment.line)
    text = _BETWEEN.join(texts)
    lines = Lines(text)
    codes = tuple((lines.of(match.start()), match[2]) for match in _CODE.finditer(text))
    text = _ESCAPE.sub("", _without_comments(_CODE.sub(blank, text)))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]).replace("\n", " "), text)
    found = tuple(addresses(text))
    text = _TAG.sub(blank, _TARGET.sub(blank, without_addresses(text)))
    return Prose(plain_digits(text), tuple(numbers), codes, found)


def _without_comments(text: str) -> str:
    """A text with spaces in place of its HTML comments, none of which goes beyond its passage."""
    pieces: list[str] = []
    at = 0
    for start, end in _comments(text):
        pieces += (text[at:start], _SEEN.sub(" ", text[start:end]))
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def _comments(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each comment; what is never closed is none."""
    start, end, edge = text.find("<!--"), 0, 0
    while start >= 0:
        if end < start:
            end = text.find("-->", start + len("<!--"))
            if end < 0:
                return
        if edge < start:
            edge = text.find("\0", start)
        is_whole = edge < 0 or end < edge
        if is_whole:
            yield start, end + len("-->")
        start = text.find("<!--", end if is_whole else start + 1)
        edge = len(text) if edge < 0 else edge


_SEEN: Final = re.compile(r"\S")
_COUNT: Final = re.compile(
    r"\A\s*(?:(?:(?:the|top|die|los|las|les)\s)*\d{1,2}(?=\s[^\W\d_])|\d{1,3}(?:\.\d{1,3})+(?=\s))", re.IGNORECASE
)
"""What opens a heading: a count of the parts that follow, or the number of the heading."""


def without_marks(text: str) -> str:
    """A text without the marks of emphasis, which may stand inside of a number."""
    return _MARKS.sub("", text)


# --- addresses ---------------------------------------------------------------------------------------------------

# No brackets and quotes, and nothing from the general punctuation on, which East Asian scripts follow.
_IN_URL: Final = r"""[^\x00- <>"'`|()\[\]{}\\\u2000-\U0010ffff]"""
_ADDRESS: Final = re.compile(
    rf"(?P<url>(?i:https?|ftps?|wss?)://{_IN_URL}++)"
    r"|(?P<mail>(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++)"
    rf"|(?<![\w.@/-])(?:www\.{_IN_URL}++|[a-z0-9-]++(?:\.[a-z0-9-]++)*?"
    rf"\.(?:com|org|net|edu|gov|info|io|eu|de|at|ch|fr|es|it|uk|jp)(?![\w-])(?:[/:?#]{_IN_URL}*+)?)"
)
_AT_THE_END: Final = ".,;:!?*_~/"
_MOST_PARTS: Final = 32


def addresses(text: str) -> Iterator[Claim]:
    """The URLs, hosts and mail addresses in a text, each with its form for comparison."""
    lines = Lines(text)
    for match in _ADDRESS.finditer(text) if "." in text or "/" in text else ():
        words = match[0].rstrip(".,;:!?*_~")
        yield Claim(lines.of(match.start()), "address", words, words.lower() if match["mail"] else _normal(words))


def without_addresses(text: str) -> str:
    """A text with spaces in place of its addresses."""
    return _ADDRESS.sub(blank, text) if "." in text or "/" in text else text


def _normal(url: str) -> str:
    """Host, path and query of a URL, without scheme, `www.`, fragment and the slash at its end."""
    from urllib.parse import unquote  # start-up: most commands look at no address

    rest = url.rpartition("://")[2] if "://" in url[:8] else url
    rest = rest.split("#", 1)[0]
    size = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    host = re.sub(r":(?:80|443)$", "", rest[:size].lower()).removeprefix("www.")
    path, _, query = rest[size:].partition("?")
    if query.startswith("utm_"):
        query = ""
    path = unquote(path).rstrip(_AT_THE_END)
    return f"{host}{path}?{query}" if query else f"{host}{path}"


def host_of(normal: str) -> str:
    """The host of an address in the form for comparison."""
    return re.split("[/?]", normal.rpartition("@")[2], maxsplit=1)[0]


def parents(normal: str) -> Iterator[str]:
    """An address and those above it."""
    yield normal
    for match in list(re.finditer("[/?]", normal))[:_MOST_PARTS]:
        yield normal[: match.start()]


# --- commands ----------------------------------------------------------------------------------------------------

_SHELLS: Final = frozenset(
    listed("sh bash shell zsh fish console shell-session shellsession terminal powershell ps1 pwsh cmd bat batch")
)
_PROGRAMS: Final = frozenset(
    listed(
        "ansible apk apt apt-get aws az bash brew bundle cargo cat cd chmod chown choco composer conda cp curl deno "
        "dig dnf docker docker-compose dotnet echo export find gcloud gem gh git go gradle grep helm hugo jq kill "
        "kubectl ls make mkdir mv mvn mysql node npm npx pg_dump php pip pip3 pipx pnpm podman poetry pre-commit psql "
        "pytest python python3 rails rake restic rm rsync ruby ruff rustup scp sed sh snap source ssh sudo systemctl "
        "tar terraform tox unzip uv vagrant vim wget winget yarn yum zip contentops borg"
    )
)
_PROMPT: Final = re.compile(r"\s*(?:\$|PS [^>\n]*>|C:\\[^>\n]*>)\s+(?=\S)")
_OPTION: Final = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*")
_PROGRAM: Final = re.compile(r"(?:\./|~/)?[a-z][\w.+-]*(?=\s)")
_KEYWORDS: Final = frozenset({"fi", "done", "else", "then", "esac", "do", "{", "}", ")"})
_EDGES: Final = ",;:\"'`()"


def commands_in_prose(prose: Prose) -> Iterator[Claim]:
    """The shell commands among the code in prose."""
    return (_command(line, code) for line, code in prose.codes if _is_command(code))


def commands_in_code(segment: Segment) -> Iterator[Claim]:
    """The shell commands of a block of code."""
    rows = segment.text.split("\n")
    has_prompt = any(map(_PROMPT.match, rows))
    for line, row in _continued(rows):
        if has_prompt:
            wanted = _PROMPT.match(row) is not None
        elif segment.language in _SHELLS:
            wanted = bool(row) and not row.startswith("#") and row not in _KEYWORDS
        else:
            wanted = not segment.language and _is_command(row)
        if wanted:
            yield _command(line, row)


def _continued(rows: list[str]) -> Iterator[tuple[int, str]]:
    """The rows of a script with their numbers; those that end with a backslash go on in the next one."""
    first, parts = 0, list[str]()
    for number, row in enumerate(rows):
        first = first if parts else number
        parts.append(row.removesuffix("\\").strip())
        if not row.endswith("\\"):
            yield first, " ".join(parts)
            parts = []
    if parts:
        yield first, " ".join(parts)


def _is_command(code: str) -> bool:
    """Whether code looks like a command: it has a prompt, a known program with something after it, or an option."""
    if _PROMPT.match(code):
        return True
    code = code.strip()
    program = _PROGRAM.match(code)
    return program is not None and (program[0] in _PROGRAMS or _OPTION.search(code) is not None)


def _command(line: int, code: str) -> Claim:
    words = " ".join(_PROMPT.sub("", code, count=1).split(" # ", 1)[0].split())
    return Claim(line, "command", words, command_words(words))


def command_words(text: str) -> str:
    """The words of a text with single spaces between them, without punctuation around them."""
    words = (word.strip(_EDGES) for word in text.split())
    return " ".join(word[:-1] if len(word) > 1 and word.endswith(".") else word for word in words if word)


# --- names -------------------------------------------------------------------------------------------------------

# Letters of the scripts with capitals: Latin, Greek, Cyrillic.
_LETTER: Final = "[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1fff]"
_WORD: Final = re.compile(rf"{_LETTER}+(?:['\u2019.-]{_LETTER}+)*")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_JOINING: Final = frozenset(listed("of de del la le du von van der den di da"))
"""Words inside a name that have no capital."""
_GAPS: Final = frozenset({" ", "\n", " & ", "\u00a0"})
"""What may stand between two words of a name."""
_STARTS: Final = re.compile(r"[.!?…:|•;\0]|\n\s*[-+*>#|]")
"""What the first word of a sentence, or of a part of it, follows."""
_SOFT_STARTS: Final = re.compile(r"[*_\"“”„«\u2018\u201a\[]")
"""What a word in quotes or in bold follows: only several words with capitals are a name there."""
_COMMON: Final = frozenset({"i", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", *MONTHS})
_ROMAN: Final = re.compile(r"[IVXLC]+(?:e|er|ème)?")
_ACRONYM: Final = 5
"""Capitals alone, up to so many, are no name."""
_GERMAN: Final = frozenset(
    listed("der das und ist nicht mit ein eine einen für auf dem von zu sich wir auch nach aus sind wird kann bis über")
)
_ENOUGH: Final = 2


def writes_nouns_large(text: str) -> bool:
    """Whether a text is in German, where every noun has a capital."""
    return len(_GERMAN.intersection(text.split())) >= _ENOUGH


def has_case(text: str) -> bool:
    """Whether most letters of a text are of a script with capitals; also without any letter."""
    with_case = sum(map(len, _WORD.findall(text)))
    return with_case * 2 >= sum(map(len, _LETTERS.findall(text)))


def names(text: str, at_least: int = 1) -> Iterator[Claim]:
    """Capitalised words that do not start a sentence, those in a row together; `at_least`: so many words.

    Where every noun has a capital, `von` and `der` join no name.
    """
    lines = Lines(text)
    row: list[re.Match[str]] = []
    end, needed, is_first = 0, at_least, True
    joining = _JOINING if at_least == 1 else frozenset[str]()
    for match in _WORD.finditer(text):
        gap, word = text[end : match.start()], match[0]
        starts = is_first or _STARTS.search(gap) is not None
        goes_on = bool(row) and gap in _GAPS and (word[0].isupper() or word in joining)
        if row and not goes_on:
            yield from _name(text, row, lines, needed)
            row = []
        if goes_on or (word[0].isupper() and not starts and not gap.strip(" ")[-1:].isdigit() and _is_name(word)):
            if not row:
                needed = max(at_least, 2 if _SOFT_STARTS.search(gap) else 1)
            row.append(match)
        end, is_first = match.end(), False
    yield from _name(text, row, lines, needed)


def _is_name(word: str) -> bool:
    return word.lower() not in _COMMON and not _ROMAN.fullmatch(word)


def _name(text: str, row: list[re.Match[str]], lines: Lines, at_least: int) -> Iterator[Claim]:
    while row and row[-1][0] in _JOINING:
        row.pop()
    if not row or len(row) < at_least:
        return
    # Of `Acme-based`, only the first part is a name.
    parts = [part for match in row for part in match[0].split("-") if part[:1].isupper()]
    if len(parts) == 1 and parts[0].isupper() and len(parts[0]) <= _ACRONYM:
        return
    words = " ".join(text[row[0].start() : row[-1].end()].split())
    yield Claim(lines.of(row[0].start()), "name", words, " ".join(map(name_word, parts)))


def name_word(word: str) -> str:
    """A word in the form for comparison."""
    return re.sub(r"['\u2019]s?$", "", word).casefold()


def name_words(text: str) -> set[str]:
    """The words of a text in the form for comparison, also those that hyphens join."""
    found = {name_word(word) for word in _WORD.findall(text)}
    return found | {part for word in found for part in re.split(r"[-.'\u2019]", word)}
