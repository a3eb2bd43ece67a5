"""Reads and checks `contentops.yaml`: the settings of a project for one environment.

`defaults`, `vars` and `output` of the project and of the environment stay separate, because those of a manifest rank
between them. All other settings are merged here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from contentops.documents.preset import NEUTRAL, PRESETS
from contentops.errors import Diagnostic, InputError, Location, UsageError, did_you_mean, nearest
from contentops.loopback import is_loopback
from contentops.manifests.discover import FileError, ProjectFiles
from contentops.manifests.schema import Violation, check_schema
from contentops.model import BASE, PROJECT_FILE, ApiSettings, Budget, Disclosure, Guards, Project, ReviewSettings
from contentops.schema_files import load_schema
from contentops.tokens import MILLION, TokenPrice, counted, exact
from contentops.yaml.positions import Pointer, YamlDocument, finding
from contentops.yaml.read import masked, read_yaml
from contentops.yaml.syntax import JINJA, UNWANTED, plain_scalar


def load_project(root: Path, *, environment: str = "", variables: Mapping[str, Any] | None = None) -> Project:
    """Return the settings of the project at `root` for one environment.

    `environment` is empty if none is chosen; `variables` are the values of `--var`. Raises InputError with every
    finding of the file, and UsageError for an undeclared environment or a variable with an unusable name.
    """
    for name in variables or {}:
        check_variable_name(name)
    document = checked_settings(_read(root))
    settings: Mapping[str, Any] = document.root
    own = _environment(settings, environment)
    merged = _merged(settings, own)
    price = read_price(merged["price"])
    stated = {name: settings[name] for name in ("output", "macros") if name in settings}
    if merged.get("manifests"):
        stated["manifests"] = tuple(merged["manifests"])
    return Project(
        name=settings["project"],
        root=str(root.resolve()),
        environment=environment,
        **stated,
        environment_output=own.get("output"),
        api=read_api(merged["api"]),
        ledger=merged.get("ledger") or "",
        budget=read_budget(merged["budget"], price),
        guards=msgspec.convert(merged["guards"], Guards, strict=False),
        price=price,
        defaults=_map(settings, "defaults"),
        environment_defaults=_map(own, "defaults"),
        vars=_map(settings, "vars"),
        environment_vars=_map(own, "vars"),
        cli_vars=dict(variables or {}),
        promote_from=_source(settings, own.get("promote_from")),
        provenance=merged.get("provenance") is not False,
        # One for all environments, since they share the cache.
        preset=merged.get("preset") or "",
        redirects=merged.get("redirects") is not False,
        editor=merged.get("editor") or "",
        disclosure=read_disclosure(merged.get("disclosure")),
        review=msgspec.convert(dict(_map(settings, "review")), ReviewSettings),
        settings=settings,
        text=document.source.text,
        beside_default=not environment and bool(settings.get("default_environment")),
    )


def named_default(root: str) -> str:
    """Return the default environment that `contentops.yaml` names. It is empty if none is named or readable."""
    try:
        settings = read_yaml(PROJECT_FILE, _read(Path(root)))[0].root
    except InputError:
        return ""
    stated = settings.get("default_environment") if isinstance(settings, dict) else None
    return str(stated) if isinstance(stated, str) and stated in _map(settings, "environments") else ""


def checked_settings(data: bytes) -> YamlDocument:
    """Parse the content of `contentops.yaml` and check it. Raises InputError with every finding."""
    document, findings = read_yaml(PROJECT_FILE, data)
    findings += check_schema(document, "project")
    findings += dict.fromkeys(_check_settings(document))
    if document.root is None and not findings:
        hint = "write `project: NAME`, or start with `contentops init`"
        findings.append(finding(document, "missing-key", "the file is empty: it has no `project`", hint=hint))
    if findings:
        findings.sort(key=lambda problem: problem.location or Location(""))
        raise InputError(findings)
    return document


def parse_variable(text: str) -> tuple[str, Any]:
    """Return the name and the value of a `--var NAME=VALUE`.

    The value is read like a YAML scalar: `2026` is a number, `true` is a bool, and `"true"` in quotes is a text. If
    there is nothing after the `=`, the value is an empty text. Raises UsageError for anything else.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise _bad_variable(f"`--var {text}` has no `=`", "write `--var NAME=VALUE`")
    check_variable_name(name)
    if re.search(UNWANTED, written):
        raise _bad_variable(f"the value of variable `{name}` holds a control character")
    if not written.strip():
        return name, written
    if written[0] in "\"'":
        document, findings = read_yaml("--var", written.encode())
        if findings or not isinstance(document.root, str):
            hint = "close the quote, or quote the whole value"
            raise _bad_variable(f"the value of variable `{name}` is not a quoted text", hint)
        return name, document.root
    try:
        return name, plain_scalar(written)
    except ValueError as error:
        hint = f"to pass it as text, quote it: `--var '{name}=\"{written[:40]}\"'`"
        raise _bad_variable(f"variable `{name}`: {error}", hint) from None


def _bad_variable(message: str, hint: str = "") -> UsageError:
    return UsageError(message, code="bad-variable", hint=hint)


def check_variable_name(name: str) -> None:
    """Raise UsageError if `name` cannot be the name of a variable."""
    names = load_schema("project")["definitions"]["vars"]["propertyNames"]
    if not re.fullmatch(names["pattern"], name) or name in names["not"]["enum"]:
        shown = re.sub(UNWANTED, "\ufffd", name[:60])
        raise _bad_variable(f"`{shown}` cannot be the name of a variable", names["errorMessage"])


def _read(root: Path) -> bytes:
    try:
        data = ProjectFiles(root).read(PROJECT_FILE)
    except FileError as error:
        raise InputError([error.finding]) from None
    if data is None:  # it went away since it was found
        raise InputError([Diagnostic(code="no-project", message=f"there is no `{PROJECT_FILE}` in `{root}`")])
    return data


def _map(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = settings.get(key)
    return value if isinstance(value, dict) else {}


_MAPS = ("api", "budget", "guards", "price")
"""The settings whose maps merge with those of an environment."""


def _merged(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the project, merged with those of an environment. The environment has the higher rank."""
    return {**settings, **own, **{key: {**_map(settings, key), **_map(own, key)} for key in _MAPS}}


def _environment(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the settings of an environment, or an empty map if `name` is empty.

    Raises UsageError if the environment is not declared.
    """
    if not name:
        return {}
    declared = _map(settings, "environments")
    if name in declared:
        return _map(declared, name)
    shown = re.sub(UNWANTED, "\ufffd", name[:60])
    message = f"`{PROJECT_FILE}` declares no environment `{shown}`"
    close = nearest(name, declared)
    example = f"environments: {{{name if re.fullmatch(r'[a-z][a-z0-9-]{0,39}', name) else 'draft'}: {{}}}}"
    hint = f"declared: {_quoted(declared)}" if declared else f"to declare one: `{example}` in `{PROJECT_FILE}`"
    hint = f"did you mean `{close}`? {hint}" if close else hint
    raise UsageError(message, code="unknown-environment", hint=hint)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _source(settings: Mapping[str, Any], name: str | None) -> str | None:
    """Return the name of the environment that texts are promoted from, or None if there is none.

    An empty name means the settings without an environment.
    """
    return "" if name == BASE and BASE not in _map(settings, "environments") else name


def source_of(project: Project, name: str) -> str:
    """Check the environment that a person wants to promote texts from, and return its name.

    The name has the form of `Project.promote_from`. Raises UsageError if the environment is not declared, or if the
    project was loaded for the same environment.
    """
    source = _source(project.settings, name) or ""
    _environment(project.settings, source)
    if source == project.environment:
        message = f"`{name}` cannot promote texts from itself"
        raise UsageError(message, code="same-environment", hint="name two environments")
    return source


class _Layer(msgspec.Struct, frozen=True):
    """The settings of the project or of one environment.

    `own` has them as written. `merged` has them merged with the settings of the project.
    """

    pointer: tuple[str, ...]
    own: Mapping[str, Any]
    merged: Mapping[str, Any]
    root: Mapping[str, Any]
    """The whole file."""


def _layers(settings: Any) -> Iterator[_Layer]:
    """Yield the settings of the project, then those of each environment. Their values may have wrong types."""
    if isinstance(settings, dict):
        yield _Layer((), settings, _merged(settings, {}), settings)
        environments = _map(settings, "environments")
        for name in environments:
            own = _map(environments, name)
            yield _Layer(("environments", name), own, _merged(settings, own), settings)


# --- checks that a schema cannot express -------------------------------------------------------------------


def _check_settings(document: YamlDocument) -> Iterator[Diagnostic]:
    """Yield the problems in the settings of the project and of every environment."""
    for layer in _layers(document.root):
        for check in _CHECKS:
            for found in check(layer):
                at = (*layer.pointer, *found.pointer)
                problem = finding(document, found.code, found.message, at, hint=found.hint)
                # Its `key` is the name of a key of front matter.
                yield problem if check is _check_disclosure else masked(document.source, problem)


def _check_paths(layer: _Layer) -> Iterator[Violation]:
    macros, manifests = layer.own.get("macros"), layer.own.get("manifests")
    hint = "write it relative to the project root, such as"
    if isinstance(macros, str) and (problem := _path_problem(macros)):
        yield Violation(("macros",), "bad-path", f"the path `{macros[:60]}` {problem}", f"{hint} `templates/macros.j2`")
    for index, pattern in enumerate(manifests if isinstance(manifests, list) else ()):
        if isinstance(pattern, str) and (problem := _path_problem(pattern) or _glob_problem(pattern)):
            message = f"the pattern `{pattern[:60]}` {problem}"
            yield Violation(("manifests", index), "bad-path", message, f"{hint} `content/**/*.yaml`")


def _check_commands(layer: _Layer) -> Iterator[Violation]:
    """Report check commands that name no program, and commands that contain Jinja.

    With Jinja, manifests could put text into a command.
    """
    at: Pointer = ("defaults", "checks", "commands")
    commands = _map(_map(layer.own, "defaults"), "checks").get("commands")
    if isinstance(commands, dict):
        at, commands = (*at, "values"), commands.get("values")
    for index, command in enumerate(commands if isinstance(commands, list) else ()):
        if isinstance(command, str) and JINJA.search(command):
            message = f"the command `{command[:60]}` contains Jinja, which is not allowed in a command"
            yield Violation((*at, index), "bad-command", message, "write the program and its arguments literally")
        elif isinstance(command, str) and not _words(command):
            message = f"the command `{command[:60]}` is not a program with arguments"
            yield Violation((*at, index), "bad-command", message, "close each quote; the command runs without a shell")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _check_default(layer: _Layer) -> Iterator[Violation]:
    """Yield a finding if `default_environment` names an environment that is not declared."""
    name, declared = layer.own.get("default_environment"), _map(layer.root, "environments")
    if isinstance(name, str) and name not in declared:
        known = f"declared: {_quoted(declared)}" if declared else "declare it under `environments`"
        hint = did_you_mean(name, declared, known)
        yield Violation(("default_environment",), "unknown-environment", f"there is no environment `{name[:60]}`", hint)


def _check_source(layer: _Layer) -> Iterator[Violation]:
    """Yield a finding if `promote_from` names an undeclared environment, or leads back to its own environment."""
    declared, source = _map(layer.root, "environments"), layer.own.get("promote_from")
    if not layer.pointer or not isinstance(source, str):
        return
    environment = layer.pointer[-1]
    if source not in declared and source != BASE:
        others = [name for name in (*declared, BASE) if name != environment]
        hint = did_you_mean(source, others, f"known: {_quoted(others)}")
        yield Violation(("promote_from",), "unknown-environment", f"there is no environment `{source[:60]}`", hint)
        return
    chain = [environment]
    while source in declared and source not in chain:
        chain.append(source)
        source = _map(declared, source).get("promote_from") or ""
    if source == environment:
        ring = " -> ".join(f"`{name}`" for name in (*chain, source))
        message = f"`promote_from` of these environments forms a cycle: {ring}"
        if len(chain) == 1:
            message = f"environment `{source}` cannot promote texts from itself"
        yield Violation(("promote_from",), "promotion-ring", message, "remove `promote_from` from one of them")


def _path_problem(path: str) -> str:
    """Return why a path or pattern is refused, or an empty text if it is allowed.

    It is refused if it points outside the project, or works on only one operating system.
    """
    if "\\" in path:
        return "contains a backslash"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return "is not relative"
    return "points outside the project" if ".." in path.split("/") else ""


def _glob_problem(pattern: str) -> str:
    """Return why a pattern can match no file, or an empty text if it can match."""
    classes = re.findall(r"\[!?(.[^\]]*)\]", pattern)
    if any(first > last for body in classes for first, last in re.findall(r"(.)-(.)", body)):
        return "contains a range in the wrong order"
    return "" if pattern.strip() else "is empty"


# --- server and model --------------------------------------------------------------------------------------

LOCAL = "local"
"""The `base_url` of the bundled server."""

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)([hms])")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_HOST = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]")
_ODD = re.compile(r"[\s{}<>\"'\\^`|]")
_TIMES = ("job_timeout", "call_timeout")
_WITH_MODEL = {"max_in_flight": 4, "job_timeout": 7200.0}
"""The defaults with a model: as many jobs as prompts at a time, and the time that a small machine needs for them."""


def read_api(given: dict[str, Any]) -> ApiSettings:
    """Return the API settings from the map under `api`. Missing keys get their defaults."""
    if "base_url" in given:
        given["base_url"] = given["base_url"].rstrip("/")
    for key in _TIMES:
        if key in given:
            given[key] = parse_duration(given[key])
    if given.get("base_url") == LOCAL:
        given["requests_per_minute"] = 0
        if given.get("engine") == "openai":
            given = {**_WITH_MODEL, **given}
    return msgspec.convert(given, ApiSettings, strict=False)  # `30.0` is a whole number too


def parse_duration(value: float | str) -> float:
    """Return the seconds of a duration: a number, or a text such as `15m`, `1h30m` or `90s`. Raises ValueError."""
    if not isinstance(value, str):
        return float(value)
    parts = _TIME.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        message = f"`{value[:40]}` is not a duration such as `15m`"
        raise ValueError(message)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _check_api(layer: _Layer) -> Iterator[Violation]:
    api, merged = _map(layer.own, "api"), layer.merged["api"]
    if isinstance(api.get("base_url"), str) and (refused := url_problem(api["base_url"])):
        yield Violation(("api", "base_url"), *refused)
    for key in _TIMES:
        if isinstance(api.get(key), str) and _is_odd_time(api[key]):
            yield Violation(("api", key), "wrong-value", f"`{key}` must be more than 0 and less than ten days")
    has_engine, is_local = merged.get("engine") == "openai", merged.get("base_url") == LOCAL
    if "engine" in api and has_engine and not is_local:
        message = "`engine: openai` is for the bundled server, and `base_url` is another one"
        hint = "set `base_url: local` beside it; `OPENAI_BASE_URL` has the address of the model"
        yield Violation(("api", "engine"), "wrong-value", message, hint)
    elif api.keys() & {"engine", "base_url", "model"} and has_engine and is_local and not merged.get("model"):
        hint = "add `model: NAME`, with the name that its server has for it, such as `llama3.2`"
        yield Violation(("api",), "missing-key", "`engine: openai` needs the name of a model", hint)
    if "model" in api and not has_engine:
        message = "`model` has no effect without `engine: openai`"
        yield Violation(("api", "model"), "wrong-value", message, "add `engine: openai` beside it")


def _is_odd_time(value: str) -> bool:
    try:
        return not 0 < parse_duration(value) < 10 * 86400
    except ValueError:
        return False  # the schema says so


def url_problem(url: str) -> tuple[str, str, str] | None:
    """Return the error code, message and hint for an unusable `base_url`, or None if it is usable.

    The message never repeats the address, as it may contain a password.
    """
    from urllib.parse import urlsplit  # start-up: a project without `api` needs none

    if url == LOCAL:
        return None
    example = "write it like `https://api.writerzroom.com/v1`, or `local`"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "bad-url", "`base_url` is not a URL", example
    if "@" in parts.netloc:
        return "bad-url", "`base_url` contains a user name or password", "keys come from the environment: set `key_env`"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "bad-url", "`base_url` contains a query or a fragment", example
    if _ODD.search(url) or not _HOST.fullmatch(host if ":" not in host else f"[{host}]"):
        return "bad-url", "`base_url` is not a URL", example
    if parts.scheme == "http" and not is_loopback(host):
        return "insecure-url", "`base_url` would send the API key unencrypted", "use `https://`"
    if parts.scheme not in {"http", "https"}:
        return "bad-url", "`base_url` must start with `http://` or `https://`", example
    return None


# --- price and budget --------------------------------------------------------------------------------------


_KEYS = ("input", "output", "currency")
_MONEY = ("money_per_apply", "money_per_month")
_PRICE_HINT = "such as `price: {input: 0.25, output: 2.00, currency: USD}`, for a million tokens"


def read_price(stated: Mapping[str, Any]) -> TokenPrice | None:
    """Return the price of tokens in the merged settings, or None if they have no price."""
    if not stated:
        return None
    cached = stated.get("cached")
    return TokenPrice(
        input=_millionths(stated["input"]),
        output=_millionths(stated["output"]),
        currency=stated["currency"],
        cached=None if cached is None else _millionths(cached),
    )


def read_budget(stated: Mapping[str, Any], price: TokenPrice | None) -> Budget:
    """Return the budget of an environment. Its sums of money are in the currency of the price."""
    currency = price.currency if price is not None and any(stated.get(key) is not None for key in _MONEY) else ""
    money = {key: exact(counted(str(stated[key]))) for key in _MONEY if stated.get(key) is not None}
    limits = {**dict.fromkeys(("credits_per_apply", "items_per_apply")), **stated, **money, "currency": currency}
    return msgspec.convert(limits, Budget, strict=False)


def _check_budget(layer: _Layer) -> Iterator[Violation]:
    """Report a budget in money if the settings have no price of tokens."""
    own, merged = layer.own.get("budget"), layer.merged["budget"]
    key = next((key for key in _MONEY if merged.get(key) is not None), "")
    if "budget" in layer.own and key and not layer.merged["price"]:
        message = f"`budget.{key}` needs a price of tokens, which says the currency"
        at = ("budget", key) if isinstance(own, dict) and key in own else ("budget",)
        yield Violation(at, "missing-key", message, _PRICE_HINT)


def _millionths(number: float) -> int:
    return round(number * MILLION)


def _check_price(layer: _Layer) -> Iterator[Violation]:
    """Report missing keys and wrong numbers in a price. An empty map means that there is no price."""
    if "price" not in layer.own:
        return
    own, merged = _map(layer.own, "price"), layer.merged["price"]
    if missing := [key for key in _KEYS if key not in merged] if merged else []:
        words = " and ".join(f"`{key}`" for key in missing)
        yield Violation(("price",), "missing-key", f"`price` has no {words}", _PRICE_HINT)
    cached, read = merged.get("cached"), merged.get("input")
    if isinstance(cached, int | float) and isinstance(read, int | float) and cached > read:
        message = f"`cached` is {cached}, more than `input` ({read}), so that a plan would show too little"
        yield Violation(("price", "cached") if "cached" in own else ("price",), "wrong-value", message)
    for key in ("input", "output", "cached"):
        number = own.get(key)
        if isinstance(number, int | float) and 0 < number < MILLION**2 and _millionths(number) / MILLION != number:
            message = f"`{key}` has more than six decimal places: {number}"
            yield Violation(("price", key), "wrong-value", message, "round it up")


# --- disclosure --------------------------------------------------------------------------------------------


def read_disclosure(value: Any) -> Disclosure | None:
    """Return the front matter keys that say how a text was made, or None if files do not say this."""
    if not isinstance(value, dict):
        return Disclosure() if value is True else None
    source_type = {"source_type": ""} if value.get("source_type") is False else {}
    return Disclosure(**{key: name for key, name in value.items() if isinstance(name, str)}, **source_type)


def _check_disclosure(layer: _Layer) -> Iterator[Violation]:
    """Yield a finding for each key of `disclosure` that the front matter already uses for something else."""
    value, preset = layer.merged.get("disclosure"), layer.merged.get("preset")
    if layer.pointer and {"disclosure", "preset"}.isdisjoint(layer.own):
        return
    if not {"key", "source_type"}.issuperset(value if isinstance(value, dict) else ()):
        return  # the schema says so
    if (disclosure := read_disclosure(value)) is None:
        return
    known = {} if "disclosure" in layer.own else _taken("", disclosure)  # said of the project already
    for key, why in _taken(preset if isinstance(preset, str) else "", disclosure).items():
        if key in known:
            continue
        at: Pointer = ("disclosure", key) if isinstance(value, dict) and key in value else ("disclosure",)
        message = f"`disclosure` uses the key `{getattr(disclosure, key)}`, {why}"
        hint = f"name another one: `disclosure: {{{key}: NAME}}`"
        yield Violation(at if "disclosure" in layer.own else ("preset",), "reserved-key", message, hint)


def _taken(preset: str, disclosure: Disclosure) -> Mapping[str, str]:
    """Return the fields of `disclosure` whose key is already in use, each with the reason."""
    names = {"key": disclosure.key, "source_type": disclosure.source_type}
    reasons = {
        **dict.fromkeys(NEUTRAL, "which is one of the neutral keys of `metadata`"),
        **{rule.name: f"which the preset `{preset}` writes" for rule in PRESETS.get(preset, {}).values()},
        **dict.fromkeys(("title", "contentops"), "which outputs use for something else"),
    }
    problems = {field: reasons[name] for field, name in names.items() if name in reasons}
    if disclosure.key == disclosure.source_type:
        problems.setdefault("source_type", "which is its `key` already")
    return problems


_CHECKS: tuple[Callable[[_Layer], Iterator[Violation]], ...] = (
    _check_paths,
    _check_default,
    _check_api,
    _check_price,
    _check_budget,
    _check_commands,
    _check_disclosure,
    _check_source,
)
