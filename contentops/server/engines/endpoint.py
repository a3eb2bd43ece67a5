"""The endpoint of a model: its address, its key and its name, from the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from contentops.loopback import is_loopback
from contentops.server.engines.protocol import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI = "https://api.openai.com/v1"
"""The default of `OPENAI_BASE_URL`; the only server that certainly needs a key."""


class SettingNames(Struct, frozen=True):
    """What messages call the settings of a model: two variables, and an option or a key of a file for each other."""

    address: str = "OPENAI_BASE_URL"
    key: str = "OPENAI_API_KEY"
    model: str = "--model"
    max_tokens: str = "--max-tokens"
    seconds: str = "--call-seconds"


OPTIONS = SettingNames()
"""The names for `contentops serve`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """A model and its server. `base_url` ends before `/chat/completions`; an empty `key` is not sent."""

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    names: SettingNames = OPTIONS

    @property
    def server(self) -> str:
        """Return scheme, host and port, which is all that anyone is shown: user, path and query may have a secret."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def endpoint(environ: Mapping[str, str], model: str = "", names: SettingNames = OPTIONS) -> ModelEndpoint:
    """The endpoint from the variables of the address and the key; `model` overrides `OPENAI_MODEL`.

    Raises EngineError for settings that cannot work.
    """
    base = environ.get(names.address, "").strip() or OPENAI
    key = environ.get(names.key, "").strip()
    name = model.strip() or environ.get("OPENAI_MODEL", "").strip()
    host = _host(base, names.address)
    if not name:
        raise EngineError(f"the engine `openai` needs a model; name it with `{names.model}`, or set `OPENAI_MODEL`")
    if not _is_token(key):
        raise EngineError(f"the value of `{names.key}` contains characters that headers do not allow; copy it again")
    if not key and base.startswith(OPENAI):
        local = f"`{names.address}` for a server of your own, such as `http://127.0.0.1:11434/v1` for Ollama"
        raise EngineError(f"`{names.key}` is not set; set it, or {local}")
    if key and urlsplit(base).scheme == "http" and not is_loopback(host):
        message = f"plain http to `{host}` would send `{names.key}` unencrypted; use https, or no key"
        raise EngineError(message)
    base_url = base.rstrip("/").removesuffix("/chat/completions")
    return ModelEndpoint(base_url=base_url, model=name, key=key, names=names)


def _host(base: str, variable: str) -> str:
    try:
        parts = urlsplit(base)
        plain_path = parts.scheme in {"http", "https"} and not (parts.query or parts.fragment or "@" in parts.netloc)
        if plain_path and parts.port != 0 and parts.hostname and _is_token(base):
            return parts.hostname
    except ValueError:
        pass
    # The value is not shown, as it may have a password.
    raise EngineError(f"`{variable}` is not a valid URL; use one like `{OPENAI}`, without user or query")


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
