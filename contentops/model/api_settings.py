"""The settings of the server that generates the texts."""

from __future__ import annotations

from msgspec import Struct


class ApiSettings(Struct, frozen=True, kw_only=True):
    """How to reach the server. `base_url` is `local` (the bundled server) or an URL."""

    base_url: str = "https://api.writerzroom.com/v1"
    dialect: str = "auto"
    key_env: str = "WRITERZROOM_API_KEY"
    user_env: str = "WRITERZROOM_USER_ID"
    account: str = ""
    """The name of the account in a ledger, for several keys of one account; empty: the key tells."""
    requests_per_minute: int = 10
    """At most this many requests in any 60 s; 0 means no limit."""
    max_in_flight: int = 50
    """At most this many unfinished jobs."""
    job_timeout: float = 900.0
    """Seconds after which an unfinished job is left open as late."""
    save: str = "auto"
    send_mode: bool = True
    engine: str = "outline"
    """What writes the texts of `local`: `outline` (a draft of each, without a model), or `openai` (the model)."""
    model: str = ""
    """The model of the engine `openai`, by the name that its server has for it."""
    model_url_env: str = "OPENAI_BASE_URL"
    model_key_env: str = "OPENAI_API_KEY"
    passes: str = "staged"
    """How the model writes: `one` call for each text, or `staged`: a plan, sections and editing."""
    max_tokens: int = 0
    """The most tokens of one answer of the model; 0: by the mode and the length of the text."""
    context: int = 0
    """The most tokens that the model holds, prompt and answer together; 0: not stated."""
    call_timeout: float = 600.0
    """Seconds after which one answer of the model is given up."""

    @property
    def has_model(self) -> bool:
        """Whether a model behind the bundled server writes the texts."""
        return self.base_url == "local" and self.engine == "openai"

    @property
    def server(self) -> str:
        """The name records carry: scheme, host and port, or `local`."""
        from urllib.parse import urlsplit

        if self.base_url == "local":
            return "local"
        parts = urlsplit(self.base_url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
