"""The trusted lists of a person: which servers may get the key, and which variables' values may be sent.

A repository cannot change these lists, because anyone who may change `contentops.yaml` may name any server in it. So
the lists are in the environment, or in a person's own `config.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, ValidationError, convert, structs

from contentops.atomic_io import NotAFile, read_file, replace
from contentops.errors import Diagnostic, InputError, Location, Refused
from contentops.loopback import is_loopback
from contentops.model import ApiSettings
from contentops.yaml.read import MAX_BYTES, read_yaml

SERVERS = "CONTENTOPS_SERVERS"
"""The variable that lists the trusted servers. If it is set, no other list counts."""
VARIABLES = "CONTENTOPS_KEY_VARIABLES"
"""The variable that lists more variables whose values may be sent."""
LEDGER = "CONTENTOPS_LEDGER"
"""The variable with the address of a ledger; it overrides the project's setting."""
PREFIX = "WRITERZROOM_"
"""Values of variables with this prefix may always be sent."""
VENDOR = ApiSettings().server
"""WriterzRoom's server, which may get the key while `SERVERS` is not set."""
MODEL_PREFIX = "OPENAI_"
"""Values of variables with this prefix may be sent to the server of a model."""
MODEL_VENDOR = "https://api.openai.com:443"
"""OpenAI's server, which may get the key of a model while `SERVERS` is not set."""


class OwnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a person's own `config.yaml`.

    It lists trusted API servers, trusted ledger servers, and variables whose values may be sent.
    """

    servers: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    ledgers: tuple[str, ...] = ()


def config_path(environ: Mapping[str, str]) -> Path | None:
    """Return the path of a person's own `config.yaml`, or None if there is no home folder."""
    for variable, below in (("XDG_CONFIG_HOME", ""), ("APPDATA", ""), ("HOME", ".config")):
        home = Path(environ.get(variable, ""))
        if home.is_absolute():
            return home / below / "contentops" / "config.yaml"
    return None


def own_config(environ: Mapping[str, str]) -> OwnConfig:
    """Return the content of a person's own `config.yaml`. Raises InputError if the file cannot be used."""
    path = config_path(environ)
    data = None if path is None else _read(path)
    return OwnConfig() if path is None or data is None else _parsed(path, data)


def _read(path: Path) -> bytes | None:
    try:
        return read_file(path, MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        why = "it is not a file" if isinstance(error, NotAFile) else error.strerror or str(error)
        raise _unusable(path, f"cannot be read: {why}") from error


def _parsed(path: Path, data: bytes) -> OwnConfig:
    document, findings = read_yaml(str(path), data)
    if findings:
        raise InputError(findings)
    try:
        return convert(document.root or {}, OwnConfig)
    except ValidationError as error:
        raise _unusable(
            path, f"may contain only the lists `servers`, `key_variables` and `ledgers`: {error}"
        ) from error


def _unusable(path: Path, why: str) -> InputError:
    location = Location(str(path))
    return InputError([Diagnostic(code="own-config", message=f"your own `{path.name}` {why}", location=location)])


def secret_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the environment variables whose values may be sent only to the API server."""
    try:
        own = own_config(environ).key_variables
    except InputError:  # commands that need the file report it
        own = ()
    named = {*_listed(environ.get(VARIABLES, "")), *own}
    return frozenset(name for name in environ if name.startswith(PREFIX) or name in named)


def secret_values(settings: ApiSettings | None, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values of environment variables that must never be shown.

    Without settings, only known names are used.
    """
    names = {LEDGER, *secret_variables(environ), *(name for name in environ if name.startswith(MODEL_PREFIX))}
    names |= set() if settings is None else {settings.key_env, settings.model_key_env}
    return frozenset(filter(None, (environ.get(name, "").strip() for name in names)))


def check_variables(settings: ApiSettings, environ: Mapping[str, str]) -> None:
    """Raise Refused if the settings name an environment variable whose value may not be sent."""
    names, prefix = ("key_env", "user_env"), PREFIX
    if settings.has_model:
        names, prefix = ("model_url_env", "model_key_env"), MODEL_PREFIX
    for setting in names:
        name = getattr(settings, setting)
        if name.startswith(prefix) or name in _listed(environ.get(VARIABLES, "")):
            continue
        if name not in own_config(environ).key_variables:
            message = f"`api.{setting}` names `{name}`, whose value must not be sent to a server"
            hint = (
                f"use a name that begins with `{prefix}`; to allow this one, list it in {_lists_of(VARIABLES, environ)}"
            )
            raise Refused(message, code="unlisted-variable", hint=hint)


def may_have_key(server: str, environ: Mapping[str, str], *, vendor: str = VENDOR) -> bool:
    """Return whether the API key may be sent to a server.

    If `SERVERS` is set, only the servers in it may get the key. Otherwise the vendor's server, servers on this machine,
    and servers in a person's own `config.yaml` may get it.
    """
    if is_stated(environ):
        return server in map(server_of, _listed(environ[SERVERS]))
    if server == vendor or is_loopback(urlsplit(server).hostname or ""):
        return True
    return server in map(server_of, own_config(environ).servers)


def is_stated(environ: Mapping[str, str]) -> bool:
    """Return whether an environment variable lists trusted servers. This list replaces all others.

    `SERVERS` is the name of the variable.
    """
    return bool(environ.get(SERVERS, "").strip())


def unlisted(server: str, environ: Mapping[str, str], setting: str = "api.base_url") -> Refused:
    """Return the error for a server that is not on the trusted list and so may not get the key.

    `setting` names the setting of its address.
    """
    reason, fix = "which is not on your trusted list", f"list it in {_lists_of(SERVERS, environ)}"
    if is_stated(environ):
        reason, fix = f"which is not among the servers in `{SERVERS}`", f"add it to `{SERVERS}`"
    message = f"the key must not be sent to `{server}`, {reason}"
    return Refused(message, code="unlisted-server", hint=f"check `{setting}`; if it is intended, {fix}")


def may_use_ledger(server: str, environ: Mapping[str, str]) -> bool:
    """Return whether a person's `config.yaml` trusts the server of a ledger.

    The server has the form `postgresql://HOST:PORT`.
    """
    return server in {_ledger(listed) for listed in own_config(environ).ledgers}


def unlisted_ledger(server: str, environ: Mapping[str, str]) -> Refused:
    """Return the error for a ledger whose server is not on the trusted list."""
    path = config_path(environ)
    own = "" if path is None else f", or list its server under `ledgers` in {path}"
    hint = f"check `ledger`; if it is intended, set `{LEDGER}` to the address{own}"
    message = f"a password must not be sent to `{server}`, which is not on your trusted list"
    return Refused(message, code="unlisted-ledger", hint=hint)


def _ledger(listed: str) -> str:
    scheme, _, server = listed.rpartition("://")
    server = server.rstrip("/").lower()
    server = server if re.search(r":\d+$", server) else f"{server}:5432"
    return f"postgresql://{server}" if scheme in ("", "postgres", "postgresql") else ""


def remember(server: str, environ: Mapping[str, str], key: str = "servers") -> str:
    """Add a server to a person's own trusted list. Return the path of the file, or an empty text if that failed.

    The file is changed only if its new content has exactly the old settings and the new server.
    """
    path = config_path(environ)
    if path is None:
        return ""
    try:
        text = (_read(path) or b"").decode()
        config = _parsed(path, text.encode())
        entry = f"{key}:\n  - {server}\n"
        new = re.sub(rf"^{key}:[ \t]*\n", entry, text, count=1, flags=re.MULTILINE)
        if new == text:
            new = f"{text}\n{entry}" if text and not text.endswith("\n") else f"{text}{entry}"
        meant = structs.replace(config, **{key: (server, *getattr(config, key))})
        if _parsed(path, new.encode()) != meant:
            return ""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path.resolve(), new.encode())
    except (OSError, ValueError, InputError):
        return ""
    return str(path)


def _lists_of(variable: str, environ: Mapping[str, str]) -> str:
    key = "servers" if variable == SERVERS else "key_variables"
    path = config_path(environ)
    return f"`{variable}`" if path is None else f"`{variable}`, or under `{key}` in {path}"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[\s,]+", text)))


def server_of(address: str) -> str:
    """Return the server of an address, as scheme, host and port. It is empty if the address has no server."""
    try:
        if "://" not in address:
            scheme = "http" if is_loopback(urlsplit(f"//{address}").hostname or "") else "https"
            address = f"{scheme}://{address}"
        return ApiSettings(base_url=address).server
    except ValueError:
        return ""
