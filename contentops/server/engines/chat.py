"""Sends prompts to a model over HTTP, to an OpenAI-compatible `/chat/completions` endpoint.

Every failure is an EngineError whose message may be shown to anyone: it names the server and what to do, and never
shows the key, even if the server repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct, structs

from contentops.loopback import is_loopback
from contentops.server.engines.outline import plain, without_controls
from contentops.server.engines.protocol import CALL_SECONDS, EngineError, PausedError, TokenCount
from contentops.tokens import NO_TOKENS, OVERHEAD, Tokens, estimate, tokens_of

OPENAI = "https://api.openai.com/v1"
"""The default of `OPENAI_BASE_URL`; the only server that certainly needs a key."""
OLLAMA = "http://127.0.0.1:11434/v1"
"""Where Ollama listens unless its settings say otherwise."""
ATTEMPTS = 4
"""The most times that one prompt is sent."""
LONGEST_WAIT = 60.0
"""The longest wait before another attempt in seconds, whatever `Retry-After` says."""
AT_ONCE = 4
"""The most prompts in flight: a local model is not faster with more."""
LARGEST = 8 * 1024 * 1024
"""The most bytes of an answer."""
LONGEST = 100_000
"""A text of this many characters is always accepted; the answer to a prompt with a high token limit may be longer."""

_LONGEST_TOKEN = 32
_SECRET = 6
"""From this length in characters, a part of an address's path may be a secret."""
_PERHAPS_WRITTEN = {408, 502, 504, 524}
"""The statuses with which a gateway replies if it did not wait for the model's answer."""
_CACHED_OUTSIDE = ("cache_read_input_tokens", "cache_creation_input_tokens")
_ABSENT = {404, 405, 410}
"""The model or its path is gone, whatever the prompt says."""
_PASSING = {408, 425, 429, 500, 502, 503, 504, 529}
# Together says `eos`, older versions of text-generation-inference `eos_token` and `stop_sequence`, and proxies use the
# words of other APIs. Older servers give no reason (LocalAI 1.21): an answer that is not streamed is complete then.
_WHOLE = {"", "stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete"}
_AT_LIMIT = {"length", "max_tokens", "model_length"}
_UNUSABLE = {"content_filter", "error", "function_call", "tool_calls"}
_OTHER = "change the brief, or use another model"
_SECRETS = re.compile(r"(?i)\b(?:sk|pk|key|gsk|xai)[-_][\w*.-]{6,}|bearer\s+\S+")
_SECONDS = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*")
_THOUGHT = re.compile(r"(?<!`)<(/?)(think|thinking|reasoning)>(?!`)", re.IGNORECASE)


class SettingNames(Struct, frozen=True):
    """The names by which messages refer to a model's settings, such as variables or command-line options."""

    address: str = "OPENAI_BASE_URL"
    key: str = "OPENAI_API_KEY"
    max_tokens: str = "--max-tokens"
    seconds: str = "--call-seconds"


OPTIONS = SettingNames()
"""The names for `contentops serve`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """A model, the address of its server without `/chat/completions`, and the key. An empty key is not sent."""

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    names: SettingNames = OPTIONS

    @property
    def server(self) -> str:
        """Return the scheme, host and port of the server, without the rest, which may contain a secret."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def endpoint(environ: Mapping[str, str], model: str = "", names: SettingNames = OPTIONS) -> ModelEndpoint:
    """Return the endpoint that the environment variables describe. `model` overrides `OPENAI_MODEL`.

    Raises EngineError for settings that cannot work.
    """
    base = environ.get(names.address, "").strip() or OPENAI
    key = environ.get(names.key, "").strip()
    name = model.strip() or environ.get("OPENAI_MODEL", "").strip()
    host = _host(base, names.address)
    if not name:
        raise EngineError("the engine `openai` needs a model: set `OPENAI_MODEL`")
    if not _is_token(key):
        raise EngineError(f"the value of `{names.key}` contains characters that headers do not allow; copy it again")
    if not key and base.startswith(OPENAI):
        local = f"`{names.address}` for a server of your own, such as `{OLLAMA}` for Ollama"
        raise EngineError(f"`{names.key}` is not set; set it, or {local}")
    if key and urlsplit(base).scheme == "http" and not is_loopback(host):
        message = f"plain http to `{host}` would send `{names.key}` unencrypted; use https, or no key"
        raise EngineError(message)
    base_url = base.rstrip("/").removesuffix("/chat/completions")
    return ModelEndpoint(base_url=base_url, model=name, key=key, names=names)


def _host(base: str, variable: str) -> str:
    import httpx

    try:
        parts = urlsplit(base)
        plain_path = parts.scheme in {"http", "https"} and not (parts.query or parts.fragment or "@" in parts.netloc)
        # The client refuses more of them, such as `192.168.1.300`, and only when it sends something.
        if plain_path and parts.port != 0 and parts.hostname and _is_token(base) and httpx.URL(base).host:
            return parts.hostname
    except (ValueError, httpx.InvalidURL):
        pass
    # The value is not shown, as it may have a password.
    raise EngineError(f"`{variable}` is not a valid URL; use one like `{OPENAI}`, without user or query")


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt: `system` is the role of the model, `user` the task, and `tokens` the limit of the answer."""

    system: str
    user: str
    tokens: int
    temperature: float
    seed: int

    @property
    def most(self) -> Tokens:
        """Return the most tokens that a call can use, counting each byte of the prompt as a token."""
        size = sum(len(text.encode("utf-8", "replace")) for text in (self.system, self.user))
        return Tokens(input=OVERHEAD + size, output=self.tokens)

    @property
    def estimate(self) -> Tokens:
        """Return a high estimate of the tokens of a call, for a server that does not count them."""
        return Tokens(input=OVERHEAD + estimate(self.system) + estimate(self.user), output=self.tokens)


class TruncatedError(EngineError):
    """The model's answer was cut off. `text` is the beginning of the answer.

    `reason` is the server's word for the cause, or empty if the token limit was reached.
    """

    def __init__(self, text: str, reason: str = "", setting: str = OPTIONS.max_tokens) -> None:
        at_limit = f"at the token limit; raise it with `{setting}`"
        super().__init__(f"the model's text was cut off {f'(`{reason}`); try again' if reason else at_limit}")
        self.text = text


class _PassingError(Exception):
    """A call failed, but another attempt may succeed.

    `wait` is the server's `Retry-After` in seconds, or None. `sent` says that the server may have received the prompt.
    """

    def __init__(self, message: str, wait: float | None = None, *, sent: bool = True) -> None:
        super().__init__(message)
        self.wait = wait
        self.sent = sent


class ChatClient:
    """Sends prompts to one endpoint, and remembers the parameters that its server accepts."""

    def __init__(
        self,
        model: ModelEndpoint,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seconds: float = CALL_SECONDS,
    ) -> None:
        parts = urlsplit(model.base_url)
        self._server = f"the model server `{model.server}`"
        # Some gateways have a key in the path of their address, and repeat it in their answers.
        in_path = {form for part in parts.path.split("/") for form in (part, unquote(part)) if len(part) >= _SECRET}
        self._secrets = sorted({model.key, *in_path} - {""}, key=len, reverse=True)
        # A proxy cannot reach a model on this machine.
        self._use_proxy = not is_loopback(parts.hostname or "")
        # Plain http needs none of the certificates, which take longer to read than to ask a model that answers at once.
        self._verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if parts.scheme == "http" else True
        self.model = model.model
        self._model = model
        self._sleep = sleep
        self._seconds = seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._limit_name = "max_tokens"
        self._left_out: set[str] = set()

    async def ask(self, prompt: Prompt, count: TokenCount | None = None, *, attempts: int = ATTEMPTS) -> str:
        """Send a prompt, and return the model's text without its reasoning. `count` adds up the tokens.

        The prompt is sent again after a failure that may go away. Raises EngineError, PausedError if the server answers
        no prompt now, and TruncatedError if the text was cut off.
        """
        count = count or TokenCount()
        async with self._slots:
            attempt = 1
            while True:
                try:
                    return await self._attempt(prompt, count)
                except _PassingError as passing:
                    if attempt == attempts:
                        raise PausedError(f"{passing}, {attempts} times in a row; try again later") from passing
                    wait = 2.0 ** (attempt - 1) if passing.wait is None else passing.wait
                await self._sleep(min(wait, LONGEST_WAIT))
                attempt += 1

    async def _attempt(self, prompt: Prompt, count: TokenCount) -> str:
        """Send a prompt once, and return the answer.

        If the server refuses a parameter, the prompt is sent again without it. If the answer is lost, its tokens stay
        unknown. Raises SpentError if the call could exceed the token limit of its job.
        """
        while True:
            sent = self._body(prompt)
            count.begin(prompt.most)
            try:
                status, headers, answer = await self._exchange(sent)
            except _PassingError as passing:
                if not passing.sent:
                    count.add(NO_TOKENS)
                raise
            status = _stated(status, answer)
            count.add(_tokens(status, answer), prompt.estimate)
            if status in {400, 422}:
                self._learn(sent, answer.decode("utf-8", "replace"))
            # Another prompt may have learned the same meanwhile.
            if status not in {400, 422} or self._body(prompt) == sent:
                return self._read(prompt, status, headers, answer)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the body of a request to the model. Parameters that the server has refused before are left out."""
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "stream": False,
            self._limit_name: prompt.tokens,
            "temperature": prompt.temperature,
            "seed": prompt.seed,
        }
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _learn(self, sent: Mapping[str, Any], complaint: str) -> None:
        """Remember to rename or omit a parameter that the server has refused."""
        if "max_tokens" in sent and "max_completion_tokens" in complaint:
            self._limit_name = "max_completion_tokens"
        elif name := next((name for name in ("temperature", "seed") if name in sent and name in complaint), ""):
            self._left_out.add(name)

    async def _exchange(self, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        headers, data = {"Accept": "application/json", "Accept-Encoding": "identity"}, bytearray()
        if self._model.key:
            headers["Authorization"] = f"Bearer {self._model.key}"
        url = f"{self._model.base_url}/chat/completions"
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(timeout=self._seconds, trust_env=self._use_proxy, verify=self._verify) as client,
                client.stream("POST", url, json=body, headers=headers) as reply,
            ):
                async for chunk in reply.aiter_bytes():
                    data += chunk
                    if len(data) > LARGEST:
                        raise EngineError(f"{self._server} sent more than {LARGEST // 1024 // 1024} MiB")
                return reply.status_code, reply.headers, bytes(data)
        except (httpx.TimeoutException, TimeoutError) as error:
            limit = f"`{self._model.names.seconds}` sets the limit"
            raise PausedError(f"{self._server} did not answer within {self._seconds:g} seconds; {limit}") from error
        except httpx.TransportError as error:
            message = f"{self._server} cannot be reached{self._quoted(str(error))}"
            raise _PassingError(message, sent=not isinstance(error, httpx.ConnectError)) from error
        except httpx.DecodingError as error:
            raise EngineError(f"{self._server} sent an answer that cannot be unpacked") from error

    def _read(self, prompt: Prompt, status: int, headers: Mapping[str, str], body: bytes) -> str:
        answered = f"{self._server} answered {status}"
        if status in {401, 403}:
            # Servers quote keys in these answers, so their text is not shown.
            raise PausedError(f"{answered}: it does not accept the key in `{self._model.names.key}`")
        if status == 206:
            raise EngineError(f"{answered}: a part of an answer alone")
        if 300 <= status < 400:
            raise PausedError(
                f"{self._server} redirects ({status}); set `{self._model.names.address}` to the final address"
            )
        value = _json(body)
        complaint = self._quoted(_complaint(value))
        if status == 402 or "insufficient_quota" in complaint:
            raise PausedError(f"{answered}{complaint}: its account has no money left")
        if status in _PASSING:
            wait = _SECONDS.fullmatch(headers.get("retry-after", ""))
            raise _PassingError(f"{answered}{complaint}", float(wait[1]) if wait else None)
        if status >= 400:
            hint = f" (`{self._model.names.max_tokens}` sets the limit)" if "max_tokens" in complaint else ""
            if status == 404:
                hint = f" (is the name `{self.model}` right, and does `{self._model.names.address}` end in `/v1`?)"
            raise (PausedError if status in _ABSENT else EngineError)(f"{answered}{complaint}{hint}")
        if not isinstance(value, dict):
            kind = plain(headers.get("content-type", "no content type"), 60)
            raise EngineError(
                f"{answered} with what is not a JSON object ({kind}); is `{self._model.names.address}` right?"
            )
        if value.get("error"):
            raise EngineError(f"{self._server} reports an error{complaint}")
        return self._text(prompt, value)

    def _text(self, prompt: Prompt, value: dict[str, Any]) -> str:
        choices = value.get("choices")
        choice = _map(choices[0] if isinstance(choices, list) and choices else None)
        message, given = choice.get("message"), choice.get("finish_reason")
        reason = "" if given is None else given.strip().lower() if isinstance(given, str) else type(given).__name__
        if not isinstance(message, dict):
            raise EngineError(f"{self._server} gave no text")
        if choice.get("error"):
            # Some servers put an error in the middle of a text here.
            raise EngineError(f"{self._server} reports an error{self._quoted(_complaint(choice))}")
        reason = next((name for name in ("tool_calls", "function_call") if message.get(name)), reason)
        if reason in _UNUSABLE:
            raise EngineError(f"{self._server} gave no text ({reason}); {_OTHER}")
        if refusal := _refusal(message):
            raise EngineError(f"the model refuses{self._quoted(refusal)}; {_OTHER}")
        content = _content(message.get("content"))
        if len(content) > max(LONGEST, prompt.tokens * _LONGEST_TOKEN):
            raise EngineError(
                f"{self._server} sent {len(content):,} characters where {prompt.tokens:,} tokens may come;"
                " try again, or use another model"
            )
        text = _without_thoughts(content)
        # At the limit some servers still say `stop`.
        is_spent = _usage(value).get("completion_tokens") == prompt.tokens
        if reason in _AT_LIMIT or (reason in _WHOLE and is_spent):
            raise TruncatedError(_clean(text or ""), setting=self._model.names.max_tokens)
        if reason not in _WHOLE:
            raise TruncatedError(_clean(text or ""), self._quoted(reason).removeprefix(": "))
        if text is None:
            raise EngineError(
                "the model used all tokens for reasoning and wrote no text;"
                f" raise `{self._model.names.max_tokens}`, or use another model"
            )
        return _clean(text)

    def _quoted(self, text: str) -> str:
        """Return a server's text without secrets, to append to a message. An empty text stays empty."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        quoted = plain(_SECRETS.sub("***", text[:2000]), 200)
        return f": {quoted}" if quoted else ""


def _complaint(value: Any) -> str:
    """Return the error text in the body of a response, in any of the shapes that servers use."""
    if not isinstance(value, dict):
        return ""
    error = value.get("error", value)
    if not isinstance(error, dict):
        return str(error)
    parts = [error.get(name) for name in ("code", "message", "detail")]
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _stated(status: int, body: bytes) -> int:
    """Return the real status of a response. Some gateways send status 200, and the error's status in the body."""
    code = _map(_map(_json(body)).get("error")).get("code")
    return code if status < 300 and type(code) is int and code in {401, 402, *_PASSING} else status


def _json(body: bytes) -> Any:
    """Return the JSON value of a body, or None if it is not JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body)
    return None


def _map(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a map, and otherwise an empty map."""
    return value if isinstance(value, dict) else {}


def _usage(value: Any) -> Mapping[str, Any]:
    """Return the token counts in a response as the server sent them, or an empty map."""
    return _map(_map(value).get("usage"))


def _tokens(status: int, body: bytes) -> Tokens | None:
    """Return the tokens of a call, or None if the server does not count them.

    A refused request without counts has no tokens.
    """
    usage = _usage(_json(body))
    read, wrote, total = (usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    details = usage.get("prompt_tokens_details")
    inside = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    outside = {name: usage.get(name) or 0 for name in _CACHED_OUTSIDE}
    if inside is None and any(outside.values()) and (both := tokens_of(*outside.values())) and type(read) is int:
        # Anthropic's form: what was read from the cache, or written to it, is not in the tokens of the prompt.
        read, inside = read + both.input + both.output, both.input
        total = None
    tokens = tokens_of(read, wrote, inside or 0)
    if tokens is not None and (counted := tokens_of(read, total)) is not None:
        # Some servers count the model's thoughts in the total alone.
        return structs.replace(tokens, output=max(tokens.output, counted.output - counted.input))
    is_refused = status >= 300 and status not in _PERHAPS_WRITTEN
    return tokens or (NO_TOKENS if is_refused and not usage else None)


def _without_thoughts(text: str) -> str | None:
    """Return a message without the model's reasoning at its start, or None if the reasoning has no end tag.

    Some prompt templates contain the start tag, so the message has only the end tag. Tags inside the text are kept.
    """
    start = 0
    while tag := _THOUGHT.search(text, start):
        if tag[1]:
            start = tag.end()
            continue
        if text[start : tag.start()].strip():
            break
        end = re.compile(f"</{tag[2]}>", re.IGNORECASE).search(text, tag.end())
        if end is None:
            return None
        start = end.end()
    return text[start:]


def _refusal(message: Mapping[str, Any]) -> str:
    """Return the text with which the model refuses to answer, or an empty text if it does not refuse."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    refusals = [message.get("refusal"), *(part.get("refusal") for part in parts if isinstance(part, dict))]
    return next((text if isinstance(text, str) else "without a word" for text in refusals if text), "")


def _content(content: Any) -> str:
    """Return the text of a message, which is either one text or a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _clean(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    return without_controls(whole).strip()


# ---- The models of a server on this machine.


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


def models_at(address: str) -> list[str]:
    """Ask a model server on this machine for the names of its models that write texts.

    The list is empty if no server answers, or if the address is not on this machine. No key is sent.
    """
    import httpx

    with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL, ValueError):
        if is_loopback(urlsplit(address).hostname or ""):
            reply = httpx.get(f"{address.rstrip('/')}/models", timeout=5, trust_env=False)
            found = msgspec.json.decode(reply.content[:LARGEST], type=_Models).data
            return [one.id for one in found if one.id.isprintable() and "embed" not in one.id]
    return []
