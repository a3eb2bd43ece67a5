"""`contentops.yaml` for one environment."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from contentops.errors import Diagnostic
from contentops.model.names import Json


class ApiSettings(Struct, frozen=True, kw_only=True):
    """How to reach the server. `base_url` is `local` (the embedded server) or an URL."""

    base_url: str = "https://api.writerzroom.com/v1"
    dialect: str = "auto"
    key_env: str = "WRITERZROOM_API_KEY"
    user_env: str = "WRITERZROOM_USER_ID"
    requests_per_minute: int = 10
    """At most this many requests in any 60 s; 0 means no limit."""
    max_in_flight: int = 50
    """At most this many unfinished jobs."""
    job_timeout: float = 900.0
    """Seconds after which an unfinished job is left open as late."""
    save: str = "auto"
    send_mode: bool = True

    @property
    def server(self) -> str:
        """The name records carry: scheme, host and port, or `local`."""
        from urllib.parse import urlsplit

        if self.base_url == "local":
            return "local"
        parts = urlsplit(self.base_url)
        default = {"https": 443, "http": 80}.get(parts.scheme)
        port = parts.port or default
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class Budget(Struct, frozen=True, kw_only=True):
    """What one apply may spend; None means no limit."""

    credits_per_apply: int | None = None
    items_per_apply: int | None = None


class Guards(Struct, frozen=True, kw_only=True):
    """When a plan rewrites too much of what exists to be applied unasked."""

    max_changed_ratio: float = 0.3
    from_items: int = 10


class Project(Struct, frozen=True, kw_only=True):
    """`contentops.yaml` for one environment: everything but the items.

    `defaults`, `vars` and `output` hold the project's own values; `environment_*` those of the chosen environment,
    which rank above a manifest's. `cli_vars` are the `--var` values, which rank above all.
    `environment` is empty where none was chosen. Values keep their positions (see `manifest.read`).
    """

    name: str
    root: str
    """Absolute path of the folder that holds `contentops.yaml`."""
    environment: str = ""
    manifests: tuple[str, ...] = ("content/**/*.yaml",)
    output: str = "out/{{ item.id }}.md"
    environment_output: str | None = None
    macros: str = ""
    """The file of macros that all templates know, relative to `root`, or empty."""
    api: ApiSettings = field(default_factory=ApiSettings)
    budget: Budget = field(default_factory=Budget)
    guards: Guards = field(default_factory=Guards)
    defaults: Mapping[str, Json] = field(default_factory=dict)
    environment_defaults: Mapping[str, Json] = field(default_factory=dict)
    vars: Mapping[str, Json] = field(default_factory=dict)
    environment_vars: Mapping[str, Json] = field(default_factory=dict)
    cli_vars: Mapping[str, Json] = field(default_factory=dict)
    provenance: bool = True
    """Whether outputs carry the `contentops` block in their front matter."""
    preset: str = ""
    """Front matter preset (hugo, astro, docusaurus, jekyll), or empty."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The parsed file as a whole, with positions; for origins and messages."""
    text: str = ""
    """The text of the file; for the excerpts of findings."""
    warnings: tuple[Diagnostic, ...] = ()
