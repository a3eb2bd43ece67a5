"""What is left of a text when only its typography is changed.

Some servers tidy what they store: they strip blanks at line ends, curl quotes, lengthen dashes, escape entities. Two
texts that differ in nothing else are the same words, although their digests differ.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

from contentops.digest import Digest, digest_text
from contentops.documents.clean import clean_body

_MARKS: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
    }
)
"""Quotes, dashes and dots, from curled and long to plain."""
_DASHES: Final = re.compile("--+")
_GAPS: Final = re.compile("\n\n+")


def plain(text: str) -> str:
    """`text` with plain quotes, dashes and dots, without blanks at line ends, doubled blanks and doubled empty lines.

    Words, other punctuation and the lines themselves stay as they are.
    """
    marked = unicodedata.normalize("NFC", _unescaped(clean_body(text))).translate(_MARKS)
    lines = "\n".join(" ".join(line.split()) for line in _DASHES.sub("-", marked).split("\n"))
    return _GAPS.sub("\n\n", lines).strip()


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character's number that is too long to be one
        return text


def words_digest(body: str) -> Digest:
    """The identity of a body, whatever its typography."""
    return digest_text(plain(body))
