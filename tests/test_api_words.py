"""Words from outside in our messages, and waits that servers ask for."""

import base64
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest

from contentops.api.outcomes import LONGEST, retry_after
from contentops.api.reading import error_text
from contentops.sanitize import MESSAGE_LIMIT as LIMIT
from contentops.sanitize import message

KEY = 'wr+live/"4f9c\\81=='
NOW = 1_772_000_000.0


@pytest.mark.parametrize("form", [
    KEY, KEY.upper(), quote(KEY, safe=""), quote(KEY, safe="").lower(), '"wr+live/\\"4f9c\\\\81=="',
    base64.b64encode(KEY.encode()).decode(), base64.urlsafe_b64encode(KEY.encode()).decode(),
    base64.b64encode(f"user:{KEY}".encode()).decode(), base64.b64encode(f"a:{KEY}@host".encode()).decode(),
    f"{KEY[:4]}\u200b{KEY[4:]}",
], ids=["plain", "upper", "url", "url lower", "json", "base64", "urlsafe", "basic", "inside", "split"])  # fmt: skip
def test_no_form_of_the_key_is_text(form: str) -> None:
    """The key is hidden in every spelling a server could echo."""
    text = message(f"invalid token {form} was given", KEY)
    assert "[key]" in text
    assert "4f9c" not in text
    assert "was given" in text
    assert KEY[2:8] not in text


def test_cutting_never_halves_a_key() -> None:
    """A key at the place where a text is cut leaves no beginning behind, at either cut."""
    assert "secret" not in message(" " * (LIMIT * 40 - 6) + "secretsecretsecret", "secretsecretsecret")
    assert "secret" not in message("x" * (LIMIT - 6) + " secretsecretsecret", "secretsecretsecret")
    assert message("word " * 1000, "secret").endswith("...")


@pytest.mark.parametrize(("value", "text"), [
    ({"error": {"code": "unauthorized", "message": "Invalid API key"}}, "Invalid API key"),
    ({"error": {"code": "unauthorized"}}, "unauthorized"),
    ({"error": "Rate limit exceeded: 10 per 1 minute"}, "Rate limit exceeded: 10 per 1 minute"),
    ({"detail": "Template 'x' not found."}, "Template 'x' not found."), ({"detail": {"message": "no"}}, "no"),
    ({"detail": [{"loc": ["body", "inputs", "topic"], "msg": "field required"}, {"msg": "bad"}, "also", 3]}, "inputs.topic: field required; bad; also"),
    ({"detail": [{"loc": "topic", "msg": "missing"}, {"loc": [], "msg": 3}]}, "topic: missing"),
    ({"success": False, "error": "nope"}, "nope"), ({"success": False, "data": {"error": "inner"}}, "inner"),
    ({"message": "m"}, "m"), ({"title": "Bad Request", "type": "about:blank"}, "Bad Request"),
    ({"error": None, "detail": ""}, ""), ({"error": {"error": {"error": "deep"}}}, ""), ("text", "text"), ([], ""),
    (None, ""), (3, ""),
])  # fmt: skip
def test_error_text(value: Any, text: str) -> None:
    """Every known shape of an error gives its text."""
    assert error_text(value) == text


@pytest.mark.parametrize(("headers", "seconds"), [
    ({}, None), ({"retry-after": "30"}, 30), ({"retry-after": " 1.5 "}, 1.5), ({"retry-after": "-5"}, 0),
    ({"retry-after": "9" * 400}, LONGEST), ({"retry-after": "-" + "9" * 400}, 0), ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None), ({"retry-after": "1e9"}, None), ({"retry-after": "soon"}, None),
    ({"retry-after": "٣٠"}, None), ({"retry-after": "30, 60"}, None), ({"retry-after": ""}, None),
    ({"retry-after": "x" * 200}, None), ({"retry-after": formatdate(NOW + 45, usegmt=True)}, 45),
    ({"retry-after": formatdate(NOW - 45, usegmt=True)}, 0), ({"retry-after": "Sun, 06 Nov 1994 08:49:37"}, 0),
    ({"retry-after": "Fri, 31 Feb 2026 99:99:99 GMT"}, None),
    ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
    ({"retry-after": formatdate(NOW + 3600 + 20, usegmt=True), "date": formatdate(NOW + 3600, usegmt=True)}, 20),
    ({"retry-after": formatdate(NOW + 45, usegmt=True), "date": "rubbish"}, 45),
])  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds and dates are read; rubbish is ignored; nothing is negative or endless."""
    assert retry_after(headers, wall=NOW) == seconds
