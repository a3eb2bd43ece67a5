"""Turns an HTTP response, or its absence, into a reply or a `Failure`. Pure.

Only this module decides whether a paid call may be sent again. A call that pays or creates is `AMBIGUOUS` unless it
certainly never arrived or was refused.
"""

from __future__ import annotations

import enum
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from msgspec import Struct, field, structs

from contentops.api.calls import (
    Accepted,
    Call,
    Failure,
    FailureKind,
    Generate,
    GetTemplate,
    JobStatus,
    Reply,
    SaveContent,
)
from contentops.api.reading import Garbled, Unnamed, Unreadable, decode, error_text, read
from contentops.model import Json
from contentops.sanitize import message as plain

# ---- The one retry policy, and how long a server asks us to wait.


class Retry(Struct, frozen=True, kw_only=True):
    """The rules for repeating a call after a temporary failure. All times are in seconds.

    Waits are random (full jitter), and the total time is limited.
    """

    first: float = 1.0
    """The upper bound of the first wait; it doubles with each try."""
    longest: float = 20.0
    """The upper bound of every wait."""
    total: float = 60.0
    """The time during which one call is repeated, and the longest `retry_after` of a server that is respected."""

    def wait(self, chance: random.Random, tries: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait before the next try. `tries` counts from 1.

        The server can ask for a longer wait.
        """
        drawn = chance.uniform(0.0, min(self.longest, self.first * 2 ** min(tries, 10)))
        return max(drawn, min(retry_after or 0.0, self.total))

    def goes_on(self, began: float, now: float) -> bool:
        """Return whether a call may be repeated at the time `now` if it first failed at the time `began`."""
        return now - began <= self.total


RETRY = Retry()
"""The policy of every call."""

# --- headers of a server -----------------------------------------------------------------------------------

LONGEST = 31 * 86400.0
"""Seconds; a longer wait is shortened to this."""
_PLAIN = re.compile(r"[+-]?\d{1,400}(\.\d{1,30})?")


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Return the seconds to wait that the `Retry-After` header asks for, at most `LONGEST`.

    None means that the header is missing or cannot be read.

    `headers` have lower-case names. `wall` is the time now, in seconds since 1970. A date in the header is compared
    with the server's own `Date`, so that a wrong clock of this machine does no harm.
    """
    asked = headers.get("retry-after", "").strip()
    seconds = _number(asked)
    if seconds is None and (date := _date(asked)) is not None:
        now = _date(headers.get("date", ""))
        seconds = date - (wall if now is None else now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST)


def _number(text: str) -> float | None:
    if not text.isascii() or not _PLAIN.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else math.copysign(LONGEST, value)


def _date(text: str) -> float | None:
    if not text or len(text) > 100:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None


# ---- Turns an `HttpAnswer`, or none, into a reply or a `Failure`. Pure.

Kind = FailureKind

CHECK_ADDRESS = "check `api.base_url` and `api.dialect`"


class Damage(enum.StrEnum):
    """The reason why the body of an HTTP response cannot be used."""

    NONE = ""
    CUT = "the connection broke before the answer was complete"
    LATE = "the answer took too long to arrive"
    LARGE = "the answer is larger than 20 MiB"
    CODING = "the answer is compressed in a way that cannot be read"


class HttpAnswer(Struct, frozen=True):
    """The HTTP response of the server. `headers` have lower-case names.

    `body` is decompressed, and empty if it is damaged.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    damage: Damage = Damage.NONE


_QUOTED = 300
"""The most characters of outside text in a message that contains our own words too."""


def unanswered(
    call: Call, kind: FailureKind, detail: str, hint: str = "", *, clean: Callable[[str], str] = plain
) -> Failure:
    """Return the failure for a call that got no response. `detail` is the reason, for the message.

    `clean` makes outside text safe for a message: one line, at most 500 characters, no secret.
    """
    message = clean(detail)[:_QUOTED] + hint
    return Failure(kind, message, call=call.name, not_from_api=kind is Kind.UNUSABLE)


def judge(call: Call, answer: HttpAnswer, *, wall: float, clean: Callable[[str], str] = plain) -> Reply | Failure:
    """Return the reply that an HTTP response contains, or the failure.

    `wall` is the time now, in seconds since 1970. `clean` is the same as in `unanswered`.
    """
    case = _Case(call, answer, wall, clean)
    status, damage = answer.status, answer.damage
    if not _OK <= status < _REDIRECT:
        return _by_status(case)
    if damage is Damage.LARGE:
        return case.failure(_if_repeatable(call, Kind.UNUSABLE), f"{damage}; {CHECK_ADDRESS}", not_from_api=True)
    if damage:
        return case.failure(lost(call), str(damage))
    if not _may_be_json(answer):
        message = f"{_status_of(answer)} {_body_kind(case)} instead of JSON; {CHECK_ADDRESS}"
        return case.failure(_if_repeatable(call, Kind.UNUSABLE), message, not_from_api=True)
    return _by_body(case)


class _Case(Struct, frozen=True):
    call: Call
    answer: HttpAnswer
    wall: float
    clean: Callable[[str], str]

    def failure(self, kind: FailureKind, message: str, *, not_from_api: bool = False) -> Failure:
        answer, wait = self.answer, retry_after(self.answer.headers, wall=self.wall)
        return Failure(kind, message, answer.status, wait, self.call.name, not_from_api=not_from_api)

    def cleaned(self, status: JobStatus) -> JobStatus:
        return structs.replace(status, error=self.clean(status.error), stage=self.clean(status.stage))


def _by_body(case: _Case) -> Reply | Failure:
    call, value = case.call, None
    try:
        value = decode(case.answer.body)
        reply = read(call, value)
    except Garbled as error:
        return case.failure(lost(call), case.clean(str(error)))
    except Unreadable as error:
        text = case.clean(error_text(value))
        if text and _says_no(value):
            return case.failure(_if_repeatable(call, Kind.REJECTED), text)
        message = f"{error} ({text[:_QUOTED]})" if text else str(error)
        if isinstance(error, Unnamed) and isinstance(call, SaveContent):
            return case.failure(Kind.UNNAMED, case.clean(message))
        return case.failure(_if_repeatable(call, Kind.UNUSABLE), f"{message}; {CHECK_ADDRESS}")
    if isinstance(reply, JobStatus):
        return case.cleaned(reply)
    if _says_no(value):
        return case.failure(
            _if_repeatable(call, Kind.REJECTED), case.clean(error_text(value)) or "the server says that it failed"
        )
    if isinstance(reply, Accepted) and reply.done is not None:
        return structs.replace(reply, done=case.cleaned(reply.done))
    return reply


def _says_no(value: Json) -> bool:
    return isinstance(value, dict) and value.get("success") is False


# --- by status ---------------------------------------------------------------------------------------------

_OK, _REDIRECT, _CLIENT, _SERVER, _BEYOND = 200, 300, 400, 500, 600

_BY_STATUS: Mapping[int, FailureKind] = {
    HTTPStatus.UNAUTHORIZED: Kind.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED: Kind.QUOTA,
    HTTPStatus.FORBIDDEN: Kind.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS: Kind.THROTTLED,
    # A gateway may answer these with its own page; they are still about this request.
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Kind.REJECTED,
    HTTPStatus.REQUEST_URI_TOO_LONG: Kind.REJECTED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Kind.REJECTED,
}
_LOGIN = frozenset({HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED})
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_ABSENT = _GONE | {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
_ABOUT_ONE = frozenset({Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.REJECTED, Kind.UNUSABLE})
_PHRASES = {int(each): each.phrase for each in HTTPStatus}

_UNKNOWN_SLUG = re.compile(r"\b(template|style)\b.*\b(not found|unknown|does not exist)", re.IGNORECASE)
_KNOWN_KEY = re.compile(
    r"(request.?id|idempotency)\b.*\b(already|exists?|duplicate|reused?|conflict|in use)"
    r"|\b(duplicate|reused?|conflicting)\b.*(request.?id|idempotency)",
    re.IGNORECASE,
)


def is_absent(failure: Failure) -> bool:
    """Return whether the server does not have this route, or has nothing with this id."""
    return failure.kind is Kind.NOT_FOUND or failure.status in _ABSENT


def is_about_one(failure: Failure) -> bool:
    """Return whether a failure concerns only one job, stored text or template. Other calls may still succeed."""
    return failure.kind in _ABOUT_ONE


def _by_status(case: _Case) -> Failure:
    call, status = case.call, case.answer.status
    if kind := _BY_STATUS.get(status):
        return case.failure(kind, _message(case))
    if status in _LOGIN:
        message = f"{_status_of(case.answer)}: a proxy or network requires a login; check `HTTPS_PROXY` and `NO_PROXY`"
        return case.failure(Kind.UNUSABLE, message, not_from_api=True)
    if _REDIRECT <= status < _CLIENT:
        return _redirected(case)
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return case.failure(lost(call), _message(case))
    if status == HTTPStatus.NOT_IMPLEMENTED and call.repeatable:
        # The route does not exist, and a retry does not change that.
        return case.failure(Kind.REJECTED, _message(case))
    if _CLIENT <= status < _SERVER:
        return _client_error(case)
    if _SERVER <= status < _BEYOND:
        return _server_error(case)
    return case.failure(_if_repeatable(call, Kind.UNUSABLE), f"{_status_of(case.answer)}; {CHECK_ADDRESS}")


def _redirected(case: _Case) -> Failure:
    # 303, and in practice 302, may mean that the POST was carried out and that its result is at another address.
    done = case.answer.status in (HTTPStatus.SEE_OTHER, HTTPStatus.FOUND)
    kind = _if_repeatable(case.call, Kind.UNUSABLE) if done else Kind.UNUSABLE
    target = _origin(case.clean(case.answer.headers.get("location", "")))
    where = f" to `{target}`" if target else ""
    return case.failure(
        kind, f"the server redirects{where}; redirects are not followed; {CHECK_ADDRESS}", not_from_api=True
    )


def _origin(location: str) -> str:
    """Return the scheme and host that a redirect points to.

    Path and query are left out because they may contain tokens.
    """
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}"[:120] if parts.hostname else ""


def _client_error(case: _Case) -> Failure:
    call, answer = case.call, case.answer
    if answer.damage and answer.status in _GONE:
        return case.failure(lost(call), str(answer.damage))
    if not answer.damage and not _holds_json(answer):
        return case.failure(Kind.UNUSABLE, f"{_status_of(answer)} {_body_kind(case)}; {CHECK_ADDRESS}")
    if not isinstance(call, Generate):
        return case.failure(Kind.NOT_FOUND if answer.status in _GONE else Kind.REJECTED, _message(case))
    kind = _refused_submit(answer.status, _text(case))
    if kind is Kind.UNUSABLE:
        return case.failure(
            kind, f"{_status_of(answer)}: there is no endpoint for submits at this address; {CHECK_ADDRESS}"
        )
    return case.failure(kind, _message(case))


def _refused_submit(status: int, text: str) -> FailureKind:
    if status == HTTPStatus.CONFLICT or _KNOWN_KEY.search(text):
        # The server knows our request id: an earlier copy of this submit arrived, and its job has to be looked up.
        return Kind.AMBIGUOUS
    # The answer of a router, as opposed to "template `x` not found".
    routeless = text.strip(" .").lower() in {"", "not found"}
    if status == HTTPStatus.METHOD_NOT_ALLOWED or (status in _GONE and routeless):
        return Kind.UNUSABLE
    return Kind.REJECTED


def _server_error(case: _Case) -> Failure:
    kind = lost(case.call)
    text = _text(case)
    if _UNKNOWN_SLUG.search(text) and any(_names(text, slug) for slug in _slugs(case.call)):
        kind = Kind.REJECTED if isinstance(case.call, Generate) else Kind.NOT_FOUND
    return case.failure(kind, _message(case))


def _slugs(call: Call) -> tuple[str, ...]:
    match call:
        case Generate():
            return str(call.request.get("template")), str(call.request.get("style"))
        case GetTemplate():
            return (call.slug,)
        case _:
            return ()


def _names(text: str, slug: str) -> bool:
    return bool(slug) and re.search(rf"(?<![\w-]){re.escape(slug)}(?![\w-])", text) is not None


# --- kinds and texts --------------------------------------------------------------------------------------


def lost(call: Call) -> FailureKind:
    """Return the kind of failure for a lost response or a server error."""
    return _if_repeatable(call, Kind.UNAVAILABLE)


def _if_repeatable(call: Call, kind: FailureKind) -> FailureKind:
    """Return `kind` for a call that may be sent twice, otherwise AMBIGUOUS."""
    return kind if call.repeatable else Kind.AMBIGUOUS


def _status_of(answer: HttpAnswer) -> str:
    return f"the server answered {answer.status} {_PHRASES.get(answer.status, '')}".rstrip()


def _message(case: _Case) -> str:
    return _text(case) or f"{_status_of(case.answer)} {_body_kind(case)}"


def _text(case: _Case) -> str:
    """Return the server's error text, made safe for a message.

    It is empty if the server sent none, or sent a web page.
    """
    if case.answer.damage or not _may_be_json(case.answer):
        return ""
    try:
        return case.clean(error_text(decode(case.answer.body)))
    except Unreadable:
        return ""


def _media(answer: HttpAnswer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_page(answer: HttpAnswer) -> bool:
    return "html" in _media(answer) or answer.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _may_be_json(answer: HttpAnswer) -> bool:
    media = _media(answer)
    return not _is_page(answer) and ("json" in media or media in {"", "text/plain"})


def _holds_json(answer: HttpAnswer) -> bool:
    if not _may_be_json(answer):
        return False
    try:
        decode(answer.body)
    except Unreadable:
        return False
    return True


def _body_kind(case: _Case) -> str:
    if _is_page(case.answer):
        return "with an HTML page"
    if not case.answer.body:
        return "without a message"
    media = case.clean(_media(case.answer))[:60]
    return f"with `{media}`" if media else "with no media type"


# --- a search for the API ----------------------------------------------------------------------------------


def ends_search(failure: Failure) -> bool:
    """Return whether the search for the API must stop after this failure.

    The host does not answer, or refuses all requests for now.
    """
    return failure.status is None or failure.kind in {Kind.THROTTLED, Kind.QUOTA}


def no_api(tried: Sequence[tuple[str, Failure]]) -> Failure:
    """Return the failure that best explains why the API was found at no address.

    `tried` has at least one address.
    """
    last = tried[-1][1]
    if ends_search(last):
        return last
    # A gateway may ask for a key on every path, so a refused key comes before a wrong address.
    for kind in (Kind.UNAUTHORIZED, Kind.FORBIDDEN, Kind.UNAVAILABLE):
        for _, failure in tried:
            if failure.kind is kind:
                return failure
    answers = "; ".join(f"`{urlsplit(base).path}/templates`: {_briefly(failure)}" for base, failure in tried)
    host = urlsplit(tried[0][0]).netloc
    message = f"no WriterzRoom API was found at `{host}` ({answers}); check `api.base_url`"
    return structs.replace(tried[0][1], kind=Kind.UNUSABLE, message=message)


def _briefly(failure: Failure) -> str:
    text = failure.message.partition("; check `")[0]
    return text if len(text) <= 90 else f"{text[:87]}..."


def not_sent(failure: Failure, call: Call) -> Failure:
    """Return the failure for a call that was not sent because the API was not found."""
    passing = failure.kind in {Kind.UNAVAILABLE, Kind.NOT_SENT}
    kind = Kind.NOT_SENT if passing and not call.repeatable else failure.kind
    return structs.replace(failure, kind=kind, call=call.name)
