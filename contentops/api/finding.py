"""What the dialect `auto` makes of a server's answers: where the API is, and under which names it takes a submit.

Pure. Two rules: an address is found with free calls alone; and a submit is sent again under other names only where the
server has refused it, and refused it for its form. A server that ignores names it does not know may accept a submit
without its inputs, and be paid for it, so a refusal that is about the item itself ends the search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contentops.api.dialects import DIALECTS, Dialect
from contentops.api.replies import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contentops.api.calls import Call
    from contentops.model import Json

PREFIXES = ("/v1", "/api")
"""Where a WriterzRoom API is known to answer, below its host."""

_FORM_STATUS = frozenset({400, 422})
_ROOM = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the API was found: the address in front of every path, and whether its lists come in an envelope."""

    base: str
    enveloped: bool = False

    @property
    def prefix(self) -> str:
        """The known prefix that `base` ends with, or empty."""
        return next((prefix for prefix in PREFIXES if self.base.endswith(prefix)), "")


# --- the address -------------------------------------------------------------------------------------------


def candidates(base: str) -> tuple[str, ...]:
    """The addresses to try, in order: `base` as it was given, then its host and path with each known prefix."""
    stem = next((base.removesuffix(prefix) for prefix in PREFIXES if base.endswith(prefix)), base)
    return tuple(dict.fromkeys((base, *(stem + prefix for prefix in PREFIXES))))


def ends_search(failure: Failure) -> bool:
    """Whether no other address of the same host can answer better: no answer at all, or none for now."""
    return failure.status is None or failure.kind in {FailureKind.THROTTLED, FailureKind.QUOTA}


def not_found(tried: Sequence[tuple[str, Failure]]) -> Failure:
    """Why there is no API at any of the addresses that were tried: at least one, each with its failure."""
    last = tried[-1][1]
    if ends_search(last):
        return last
    # A gateway may ask for a key on every path, so a refused key says more than an address that leads nowhere.
    for kind in (FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN, FailureKind.UNAVAILABLE):
        for _, failure in tried:
            if failure.kind is kind:
                return failure
    answers = "; ".join(f"`{_path(base)}`: {_short(failure)}" for base, failure in tried)
    host = urlsplit(tried[0][0]).netloc
    message = f"no WriterzRoom API was found at `{host}` ({answers}); check `api.base_url`"
    return replace(tried[0][1], kind=FailureKind.UNUSABLE, message=message)


def _path(base: str) -> str:
    return f"{urlsplit(base).path}/templates"


def _short(failure: Failure) -> str:
    words = failure.message.partition("; check `")[0]
    return words if len(words) <= _ROOM else f"{words[: _ROOM - 3]}..."


def not_asked(found: Failure, call: Call) -> Failure:
    """The failure of a call that was never sent, because the search before it ended in `found`."""
    passing = found.kind in {FailureKind.UNAVAILABLE, FailureKind.NOT_SENT}
    kind = FailureKind.NOT_SENT if passing and not call.repeatable else found.kind
    return replace(found, kind=kind, call=call.name)


# --- the names of a submit ---------------------------------------------------------------------------------

_EXTRA = re.compile(
    r"\b(extra|unknown|unexpected|additional|unrecogni[sz]ed|undeclared|forbidden)\b[^.;]{0,40}"
    r"\b(inputs?|fields?|propert(y|ies)|parameters?|keys?|arguments?|attributes?)\b"
    r"|\bnot (permitted|allowed|recogni[sz]ed)\b",
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"\b(user_input|dynamic_parameters|vertical_id|template_id|style_profile(_id)?)\b|\binputs: ", re.IGNORECASE
)
_DUPLICATE = re.compile(r"\bdiffer\b|\bonly one of\b|\bsend one of\b|\bmutually exclusive\b", re.IGNORECASE)
_ITEM = re.compile(r"\b(missing|required|not found|does not exist|too (long|short|large|many))\b", re.IGNORECASE)


def spellings(place: Place | None, auto: Dialect) -> Iterator[Dialect]:
    """The dialects to send a submit in, in order: all names at once, then one by one, the likeliest first."""
    yield auto
    order = ("sdk", "v1-2026-04", "v1") if place is not None and place.prefix == "/api" else ("v1", *auto.beside)
    yield from (DIALECTS[name] for name in order)


def is_about_form(failure: Failure, request: Mapping[str, Json]) -> bool:
    """Whether a submit was refused for the names it carries, and not for what this item asks for.

    A refusal without words of its own counts as one for the form.
    """
    if failure.kind is not FailureKind.REJECTED or failure.status not in _FORM_STATUS:
        return False
    words = failure.message
    slugs = [request.get(key) for key in ("template", "style", "vertical", "brand_voice")]
    if _EXTRA.search(words) or _DUPLICATE.search(words):
        return not _mentions(words, request.get("inputs") or {})
    if _mentions(words, [slug for slug in slugs if isinstance(slug, str)]):
        return False
    if _NAMES.search(words):
        return True
    return not (_ITEM.search(words) or _mentions(words, request.get("inputs") or {}))


def _mentions(words: str, names: Sequence[str] | Mapping[str, Json]) -> bool:
    return any(name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words) for name in names)


def refused_by_all(refusals: Sequence[tuple[str, Failure]]) -> Failure:
    """One failure out of the refusals of a submit in every spelling: what the server said to each."""
    first = refusals[0][1]
    said: dict[str, list[str]] = {}
    for name, failure in refusals:
        said.setdefault(failure.message, []).append(name)
    if len(said) == 1:
        return first
    room = max(40, 300 // len(said))
    parts = [f"`{', '.join(names)}`: {words[:room]}" for words, names in said.items()]
    return replace(first, message=f"refused under every known name ({'; '.join(parts)}); set `api.dialect`")
