"""The one place that calls a model: an OpenAI-compatible `/chat/completions`, asked over HTTP.

Every failure is an EngineError whose message may be shown to anyone: it names the server and what to do, and never
holds the key, not even where the server repeats it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contentops.server.engines import EngineError
from contentops.server.engines.prose import plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import httpx

OPENAI = "https://api.openai.com/v1"
"""Where requests go unless `OPENAI_BASE_URL` says otherwise; the only server that is known to want a key."""

ATTEMPTS = 4
"""How often one question is sent at most, passing failures included."""
LONGEST_WAIT = 60.0
"""Seconds waited at most before another attempt, whatever `Retry-After` says."""
SECONDS = 600.0
"""How long one answer may take: a large model on a small machine writes slowly."""
AT_ONCE = 4
"""Questions in flight: a local model gains nothing from more."""
LARGEST = 8 * 1024 * 1024
"""Bytes of an answer that are read."""

_PASSING = {408, 425, 429, 500, 502, 503, 504, 529}
_TORN = {"length", "max_tokens", "model_length"}
_UNUSABLE = {"content_filter", "error", "function_call", "tool_calls"}
_SECRETS = re.compile(r"(?i)\b(?:sk|pk|key|gsk|xai)[-_][\w*.-]{6,}|bearer\s+\S+")
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model and where it is. `base_url` ends before `/chat/completions`; an empty `key` sends none."""

    base_url: str
    model: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked: `system` says who it is, `user` what to write, in at most `tokens` tokens."""

    system: str
    user: str
    tokens: int
    temperature: float
    seed: int


def endpoint(environ: Mapping[str, str], model: str = "") -> Endpoint:
    """The endpoint that `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL` name; `model` ranks above the latter.

    Raises EngineError for settings that cannot work.
    """
    base = environ.get("OPENAI_BASE_URL", "").strip() or OPENAI
    key = environ.get("OPENAI_API_KEY", "").strip()
    named = model.strip() or environ.get("OPENAI_MODEL", "").strip()
    host = _host(base)
    if not named:
        raise EngineError("the engine `openai` needs a model; name it with `--model`, or set `OPENAI_MODEL`")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise EngineError("the value of `OPENAI_API_KEY` holds characters that no header can carry; copy it again")
    if not key and base.startswith(OPENAI):
        raise EngineError("`OPENAI_API_KEY` is not set; set it, or `OPENAI_BASE_URL` for a server of your own")
    if key and urlsplit(base).scheme == "http" and not _is_loopback(host):
        message = f"plain http to `{host}` would show `OPENAI_API_KEY` to everyone on the way; use https, or no key"
        raise EngineError(message)
    return Endpoint(base_url=base.rstrip("/").removesuffix("/chat/completions"), model=named, key=key)


def _host(base: str) -> str:
    try:
        parts = urlsplit(base)
        host = parts.hostname or ""
        usable = parts.scheme in {"http", "https"} and host and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable, parts, host = False, urlsplit(""), ""
    if not usable or parts.query or parts.fragment or not (base.isascii() and base.isprintable() and " " not in base):
        # The value itself is not shown: it may hold a password.
        raise EngineError(f"`OPENAI_BASE_URL` is no usable address; it looks like `{OPENAI}`, without user or query")
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TornError(EngineError):
    """The answer was cut off at the token limit; `text` is what there is of it."""

    def __init__(self, text: str) -> None:
        super().__init__("the model's text was cut off at the token limit; raise it with `--max-tokens`")
        self.text = text


class _Passing(Exception):
    """This attempt failed, another may not. `wait` is what the server asked for, in seconds, or None."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Chat:
    """Asks one endpoint. What it learns about the parameters a server takes, it keeps."""

    def __init__(
        self,
        where: Endpoint,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seconds: float = SECONDS,
    ) -> None:
        self._where = where
        self._sleep = sleep
        self._seconds = seconds
        self._room = asyncio.Semaphore(AT_ONCE)
        self._limit_name = "max_tokens"
        self._left_out: set[str] = set()

    def __repr__(self) -> str:
        return f"Chat({self._where!r})"

    async def ask(self, question: Question) -> str:
        """The model's text, without what it thought on the way. Raises EngineError; TornError for half an answer."""
        async with self._room:
            attempt = 1
            while True:
                try:
                    return await self._attempt(question)
                except _Passing as passing:
                    if attempt == ATTEMPTS:
                        raise EngineError(f"{passing}, {ATTEMPTS} times in a row; try again later") from passing
                    wait = 2.0 ** (attempt - 1) if passing.wait is None else passing.wait
                await self._sleep(min(wait, LONGEST_WAIT))
                attempt += 1

    async def _attempt(self, question: Question) -> str:
        """One attempt; a server that does not take a parameter is asked again at once without it."""
        while True:
            status, headers, body = await self._exchange(self._body(question))
            if status not in {400, 422} or not self._learns(body):
                return self._read(status, headers, body)

    def _body(self, question: Question) -> dict[str, Any]:
        messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.user}]
        found = {
            "model": self._where.model,
            "messages": messages,
            "stream": False,
            self._limit_name: question.tokens,
            "temperature": question.temperature,
            "seed": question.seed,
        }
        return {name: value for name, value in found.items() if name not in self._left_out}

    def _learns(self, body: bytes) -> bool:
        """Whether a refusal names a parameter that can be sent otherwise, or not at all."""
        words = body.decode("utf-8", "replace")
        if self._limit_name == "max_tokens" and "max_completion_tokens" in words:
            self._limit_name = "max_completion_tokens"
            return True
        named = next((name for name in ("temperature", "seed") if name in words and name not in self._left_out), None)
        if named is not None:
            self._left_out.add(named)
        return named is not None

    async def _exchange(self, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        where = self._where
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if where.key:
            headers["Authorization"] = f"Bearer {where.key}"
        # A proxy meant for the world cannot reach a model on this machine.
        outside = not _is_loopback(urlsplit(where.base_url).hostname or "")
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(timeout=self._seconds, trust_env=outside) as client,
                client.stream("POST", f"{where.base_url}/chat/completions", json=body, headers=headers) as reply,
            ):
                return reply.status_code, reply.headers, await self._collected(reply)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise EngineError(f"{self._server} did not answer within {self._seconds:g} seconds") from error
        except httpx.TransportError as error:
            raise _Passing(f"{self._server} cannot be reached: {self._words(str(error))}") from error
        except httpx.DecodingError as error:
            raise EngineError(f"{self._server} sent an answer that cannot be unpacked") from error

    async def _collected(self, reply: httpx.Response) -> bytes:
        found = bytearray()
        async for chunk in reply.aiter_bytes():
            found += chunk
            if len(found) > LARGEST:
                raise EngineError(f"{self._server} sent more than {LARGEST // 1024 // 1024} MiB")
        return bytes(found)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> str:
        if status in {401, 403}:
            # Servers repeat keys in these answers, so their words are left out.
            raise EngineError(f"{self._server} answered {status}: it does not accept the key in `OPENAI_API_KEY`")
        if 300 <= status < 400:
            raise EngineError(f"{self._server} sends elsewhere ({status}); set `OPENAI_BASE_URL` to the final address")
        value = _json(body)
        said = self._words(_complaint(value))
        if status in _PASSING and "insufficient_quota" not in said:
            raise _Passing(f"{self._server} answered {status}{said}", _seconds(headers.get("retry-after", "")))
        if status >= 400:
            hint = {404: " (is the model's name right, and does `OPENAI_BASE_URL` end in `/v1`?)"}.get(status, "")
            hint = " (`--max-tokens` sets the limit)" if "max_tokens" in said else hint
            raise EngineError(f"{self._server} answered {status}{said}{hint}")
        if not isinstance(value, dict):
            kind = plain(headers.get("content-type", "no content type"), 60)
            message = f"{self._server} answered {status} with no JSON object ({kind}); is `OPENAI_BASE_URL` right?"
            raise EngineError(message)
        if value.get("error"):
            raise EngineError(f"{self._server} reports an error{said}")
        return self._text(value)

    def _text(self, value: dict[str, Any]) -> str:
        choice = _first(value.get("choices"))
        message = choice.get("message")
        reason = choice.get("finish_reason")
        if reason in _UNUSABLE or not isinstance(message, dict):
            raise EngineError(f"{self._server} gave no text{f' ({reason})' if isinstance(reason, str) else ''}")
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            raise EngineError(f"the model refuses{self._words(message['refusal'])}")
        text = _THOUGHT.sub("", _content(message.get("content")))
        if reason in _TORN:
            raise TornError(_clean(text))
        if _OPEN_THOUGHT.match(text):
            raise EngineError("the model only thought and wrote nothing; raise `--max-tokens`, or use another model")
        return _clean(text)

    @property
    def _server(self) -> str:
        parts = urlsplit(self._where.base_url)
        return f"the model server `{parts.scheme}://{parts.netloc}{parts.path}`"

    def _words(self, text: str) -> str:
        """A server's words as the end of a message, without anything that may be a key; empty if it said nothing."""
        if self._where.key:
            text = text.replace(self._where.key, "***")
        said = plain(_SECRETS.sub("***", text[:2000]), 200)
        return f": {said}" if said else ""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _complaint(value: Any) -> str:
    """What an error body says, in any of the shapes servers use."""
    if not isinstance(value, dict):
        return ""
    error = value.get("error", value)
    if not isinstance(error, dict):
        return str(error)
    said = [error.get(name) for name in ("code", "message", "detail")]
    return ": ".join(part for part in said if isinstance(part, str) and part)


def _first(choices: Any) -> dict[str, Any]:
    found = choices[0] if isinstance(choices, list) and choices else None
    return found if isinstance(found, dict) else {}


def _content(content: Any) -> str:
    """A message's text: plain, or in parts of which some may be something else."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _clean(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in whole if char in "\t\n" or (char.isprintable() or char.isspace())).strip()


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", value.strip()) else None
