"""Reads the server's replies from JSON, in every known form and every API dialect.

The sources of the API disagree. A reply may be flat or inside `{"success", "data"}`, content may be an object or a
text, progress may be 0 to 1 or 0 to 100, and a list may have one of several names.

Stamps are only compared for equality, so this machine's clock does not matter.

Entries are committed and shown. So texts become one clean line, slugs and names that no manifest can have are left out,
and all sizes are limited.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

from contentops.api import calls
from contentops.api.calls import (
    Accepted,
    CatalogReply,
    Content,
    ContentEntry,
    ContentList,
    JobState,
    JobStatus,
    Reply,
    SavedReply,
    Stats,
)
from contentops.digest import digest_text, short
from contentops.documents.clean import clean_body, clean_title
from contentops.json_reader import DeepJson, bounded
from contentops.model import CatalogEntry, Json, Template, TemplateInput
from contentops.sanitize import clip
from contentops.sections import main_heading
from contentops.tokens import read_tokens

# ---- Reads JSON from bytes, strictly, and the text of an error reply from its known shapes.

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(ValueError):
    """The error for a reply that does not fit its call. The message says why."""


class Unnamed(Unreadable):
    """The error for a reply whose job id or content id cannot be used."""


class Garbled(Unreadable):
    """The error for a reply that is not JSON, is cut off, or belongs to another job."""


def decode(data: bytes) -> Json:
    """Return the JSON value that the bytes contain. Lone surrogates become U+FFFD.

    Raises Garbled for everything except complete, strict UTF-8 JSON. NaN, infinities, one key with two values, and too
    deep nesting are refused too.
    """
    try:
        text = data.decode("utf-8-sig")
        value = bounded(_read_json, text)
        if _SURROGATE.search(text):
            whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
            value = json.loads(whole.decode("utf-8", "replace"))
    except UnicodeDecodeError as error:
        raise Garbled("the answer is not UTF-8") from error
    except DeepJson as error:
        raise Garbled(f"the answer {error}") from error
    except json.JSONDecodeError as error:
        if not data:
            raise Garbled("the answer is empty") from error
        raise Garbled(
            f"the answer is incomplete or invalid JSON ({error.msg} at byte {error.pos} of {len(data)})"
        ) from error
    except ValueError as error:
        raise Garbled(f"the answer is not JSON ({error})") from error
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for key, value in pairs:
        if values.setdefault(key, value) != value:
            raise ValueError(f"key `{key[:100]}` appears twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


_read_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite).decode


def error_text(value: Json) -> str:
    """Return the message of an error reply in one of the known shapes. It is empty if there is none.

    Known: `{"error": {"code", "message"}}`, `{"error": text}`, `{"detail": text}`, `{"detail": [{"loc", "msg"}]}`,
    `{"message": text}`, and each of them inside `data`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(text for text in map(_field_error, value[:20]) if text)
    if not isinstance(value, dict):
        return ""
    for key in ("error", "detail", "message", "msg", "title", "data"):
        inner = value.get(key)
        # A chain of `error` in `error` is no known shape, so one level is enough.
        text = _text(inner, *_LEAVES) if isinstance(inner, dict) else error_text(inner)
        if text:
            return text
    return ""


_LEAVES = ("message", "detail", "error", "msg", "code")
"""The keys of an error in an error reply, the most telling first."""


def _field_error(value: Json) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    text, location = _text(value, "msg", "message"), value.get("loc")
    parts = location if isinstance(location, list) else [location] if isinstance(location, str) else []
    where = ".".join(str(part) for part in parts if isinstance(part, (str, int)) and part != "body")
    return f"{where}: {text}" if where and text else text


# ---- Stamps: the time of a content's last change as the server wrote it, with the version where it gives one.

CREATED = "created"
"""The stamp of a content that a save created, if the reply had no stamp."""


def stamp_in(value: Mapping[str, Json], updated_at: str) -> str:
    """Return the stamp of stored content: the time of its last change, as a reply states it.

    The stamp is empty if the reply has no such time. A version number in the reply is added to the time.

    A version alone is not a stamp: it could be the version of a format.
    """
    if not any(character.isdigit() for character in updated_at):
        return ""
    version = value.get("version")
    is_number = isinstance(version, int) and not isinstance(version, bool)
    return f"{updated_at} {version}" if is_number else updated_at


def has_stamp(content: Content | ContentEntry, stamp: str) -> bool:
    """Return whether stored content still has a recorded stamp. If so, the content has not changed.

    An empty stamp matches no content.
    """
    return stamp != "" and (content.stamp == stamp or (stamp == CREATED and is_as_created(content)))


def is_as_created(content: Content | ContentEntry) -> bool:
    """Return whether the server's times say that stored content has not changed since its creation."""
    at = content.created_at
    return at != "" and at == content.updated_at and content.stamp in (at, f"{at} 1")


# ---- Reads replies from JSON: every known form of them, in any dialect, and nothing else.

_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._:-]{1,200}")
_FENCE = re.compile(r"\ufeff?[\r\n]*(?:---|\+{3})[ \t]*\r?\n")

_FINAL_STATES: Mapping[str, JobState] = {
    "completed": "completed",
    "failed": "failed",
    "error": "failed",
    "cancelled": "failed",
    "canceled": "failed",
}


def read(call: calls.Call, value: Json) -> Reply:
    """Return the reply to a call, read from a JSON value. Raises Unreadable if the value does not fit the call."""
    match call:
        case calls.Generate():
            return _accepted(value, call.request_id, _done(value))
        case calls.GetStatus():
            return _job_status(value, call)
        case calls.RegenerateSection():
            return _accepted(value, call.request_id, _done(value) or _section(call, value))
        case calls.DashboardStats() | calls.CreditsUsage():
            return Stats(_unwrap(value))
        case calls.ListContent():
            return _content_list(value)
        case calls.GetContent():
            return _content(value, call.content_id)
        case calls.SaveContent() | calls.PutContent() | calls.SetStatus() | calls.DeleteContent():
            return _saved(call, value)
        case _:
            return _catalog(call, value)


# --- shapes ------------------------------------------------------------------------------------------------


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unreadable("the answer is not a JSON object")
    return value


def _unwrap(value: Json) -> dict[str, Json]:
    """Return the JSON object in a reply. It is the reply itself, or `data` of an envelope `{"success", "data"}`."""
    outer = _object(value)
    if "data" in outer and ("success" in outer or len(outer) == 1):
        return _object(outer["data"])
    return outer


def is_enveloped(data: bytes) -> bool:
    """Return whether a reply is inside an envelope `{"success", "data"}`. The reply must be readable."""
    return "data" in _map(decode(data))


def safe_id(value: Json) -> str:
    """Return the value as text if it is an id that is safe in paths, files and messages.

    For every other value, return an empty text.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return str(value)
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def _first_id(value: Mapping[str, Json], *keys: str) -> str:
    given = next((value[key] for key in keys if value.get(key) not in (None, "")), "")
    first = safe_id(given)
    if not first and given != "":
        shown = clip(str(given), 200)
        raise Unnamed(f"the answer has an id with invalid characters: `{shown}`")
    return first


def _text(value: Mapping[str, Json], *keys: str) -> str:
    """Return the first text under `keys` that is not empty. Values of other types are ignored."""
    return next((text for key in keys if isinstance(text := value.get(key), str) and text), "")


def _map(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


# --- jobs --------------------------------------------------------------------------------------------------

_JOB_IDS = ("request_id", "job_id", "generation_id", "requestId", "id")


def _accepted(value: Json, request_id: str, done: JobStatus | None) -> Accepted:
    outer = _object(value)
    # An answer with the finished text may have the id of its content under `id`.
    names = _JOB_IDS[:-1] if done is not None else _JOB_IDS
    job_id = _first_id(outer, *names) or _first_id(_map(outer.get("data")), *names)
    if not job_id and done is None:
        raise Unreadable("the answer has no job id")
    at = _text(outer, "created_at", "createdAt") or _text(_map(outer.get("data")), "created_at", "createdAt")
    return Accepted(job_id, job_id == request_id, done, "" if done is not None else at)


def _done(value: Json) -> JobStatus | None:
    """Return the finished job if the reply to a request for a text contains one.

    None means that the job must be polled.
    """
    outer = _object(value)
    for data in (_map(outer.get("data")), outer):
        if isinstance(word := data.get("status"), str):
            status = _status(data, word)
            failed = status.state == "failed" and bool(data.get("error"))
            if failed or (status.state == "completed" and status.body):
                return status
    return None


def _section(call: calls.RegenerateSection, value: Json) -> JobStatus | None:
    """Return a finished job if the reply contains a stored text with the section that was written again.

    Otherwise return None. No documentation describes this form of the reply.
    """
    try:
        content = _content(value, call.content_id)
    except Unreadable:
        return None
    levels = (value, _map(value).get("data"), _map(value).get("content"))
    named = next((content.id for level in levels if _map(level).get("id") == content.id), "")
    if not content.body or ("status" in _map(value) and not named):
        return None
    return JobStatus("completed", title=content.title, body=content.body, content_id=named, front=content.front)


def _job_status(value: Json, call: calls.GetStatus) -> JobStatus:
    data = _unwrap(value)
    if isinstance(_map(data.get("data")).get("status"), str):
        data = data["data"]
    word = data.get("status")
    if not isinstance(word, str):
        raise Unreadable("the answer has no `status`")
    # The text of another job would be written into this item's file.
    *named, plain_id = (safe_id(data.get(key)) for key in _JOB_IDS)
    other = next(filter(None, named), "")
    # Some servers return our id.
    ours = {call.job_id.casefold(), call.ours.casefold()} - {""}
    if other and ours.isdisjoint(map(str.casefold, (*named, plain_id))):
        raise Garbled(f"the answer is about job `{other}`, not `{call.job_id[:200]}`")
    return _status(data, word)


def _status(data: Mapping[str, Json], word: str) -> JobStatus:
    """Return the status of the job in `data`."""
    state = _FINAL_STATES.get(word.strip().lower(), "running")
    title, front, body = _job_text(data)
    metadata = _map(data.get("metadata"))
    error = error_text({key: data.get(key) for key in ("error", "message")}) or f"the job finished as `{word}`"
    return JobStatus(
        state=state,
        progress=_progress(data.get("progress")),
        stage=_text(data, "stage", "current_agent", "current_step"),
        title=title,
        body=body,
        front=front,
        content_id=_job_content_id(data),
        error=error if state == "failed" else "",
        engine=_text(metadata, "engine"),
        tokens=read_tokens(metadata.get("tokens")),
        model=_text(metadata, "model"),
    )


def _job_text(data: Mapping[str, Json]) -> tuple[str, Mapping[str, Json], str | None]:
    """Return the title, the rest of the front matter and the body of a job's text.

    The body is None if there is no text.
    """
    inner = _map(data.get("content"))
    whole = data.get("content") if not inner else inner.get("body", inner.get("content"))
    title = _text(inner, "title") or _text(data, "title")
    if not isinstance(whole, str):
        return title, {}, None
    front_title, front, body = _without_front_matter(whole)
    # A known server has the name of the template as title in the metadata, so every other title is preferred.
    title = title or front_title or main_heading(clean_body(body)) or _text(_map(data.get("metadata")), "title")
    return title, front, body


def _without_front_matter(body: str) -> tuple[str, Mapping[str, Json], str]:
    """Return the title, the rest of the front matter and the body of a text.

    A horizontal rule at the start stays in the body.
    """
    from contentops.documents.front_matter import split_loosely

    if not _FENCE.match(body):
        return "", {}, body
    document = split_loosely(body)
    # Two thematic breaks with only a `# heading` between them look like empty front matter.
    has_front = document.title or document.front or document.provenance
    if document.problem or not has_front:
        return "", {}, body
    return document.title, document.front, document.body


def _job_content_id(data: Mapping[str, Json]) -> str:
    # A bad content id must not cost the paid text: the id is dropped, and the text is saved as new.
    content, metadata = _map(data.get("content")), _map(data.get("metadata"))
    given = (content.get("id"), data.get("content_id"), data.get("contentId"), metadata.get("content_id"))
    return next(filter(None, map(safe_id, given)), "")


def _progress(value: Json) -> float | None:
    """Return the progress of a job, from 0.0 to 1.0.

    A float up to 1.0 is used directly, and other numbers are percentages. None means unknown.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    share = value if isinstance(value, float) and value <= 1 else min(value, 100) / 100
    return float(max(share, 0.0))


# --- content -----------------------------------------------------------------------------------------------


def _list(value: Json, *keys: str) -> Sequence[Json]:
    """Return the list in a reply.

    It is the reply itself, or the value under one of `keys`, under `items`, or inside `data`.
    """
    for _ in range(2):
        if isinstance(value, list):
            return value
        outer = _object(value)
        for key in (*keys, "items"):
            if isinstance(outer.get(key), list):
                entries: list[Json] = outer[key]
                return entries
        value = outer.get("data", {})
        if not isinstance(value, (dict, list)):
            break
    raise Unreadable(f"the answer has no list `{keys[0]}`")


def _content_list(value: Json) -> ContentList:
    entries: list[ContentEntry] = []
    unnamed: list[ContentEntry] = []
    for each in _list(value, "content", "contents"):
        if not isinstance(each, dict) or each.get("id") in (None, ""):
            continue
        entry = ContentEntry(safe_id(each["id"]), _text(each, "title"), _text(each, "status"), *_stamped(each))
        (entries if entry.id else unnamed).append(entry)
    return ContentList(tuple(entries), tuple(unnamed), _page_limit(value))


def _page_limit(value: Json) -> int:
    """Return the highest number of entries on one page. 0 means that the reply is the complete list."""
    limit = value.get("limit") if isinstance(value, dict) and value.get("page") else None
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else 0


def _stamped(value: Mapping[str, Json]) -> tuple[str, str, str]:
    """Return the time when stored content was created, the time of its last change, and its stamp."""
    updated_at = _text(value, "updated_at", "updatedAt")
    return _text(value, "created_at", "createdAt"), updated_at, stamp_in(value, updated_at)


def _content(value: Json, requested: str) -> Content:
    data = _unwrap(value)
    if isinstance(data.get("content"), dict):
        data = data["content"]
    content_id = _first_id(data, "id", "content_id", "contentId") or requested
    if content_id.casefold() != requested.casefold():
        raise Unreadable(f"the answer is about content `{content_id}`, not `{requested[:200]}`")
    body = data["content"] if isinstance(data.get("content"), str) else data.get("body")
    if not isinstance(body, str):
        raise Unreadable("the answer has no text")
    front_title, front, text = _without_front_matter(body)
    created_at, updated_at, stamp = _stamped(data)
    return Content(
        requested,
        _text(data, "title") or front_title,
        text,
        created_at,
        updated_at,
        stamp=stamp,
        metadata=_map(data.get("metadata")),
        front=front,
        whole=body if text is not body else "",
    )


def _saved(
    call: calls.SaveContent | calls.PutContent | calls.SetStatus | calls.DeleteContent, value: Json
) -> SavedReply:
    outer = _object(value)
    keys = ("contentId", "content_id", "id")
    levels = (outer, _map(outer.get("data")), _map(outer.get("content")))
    stamp = next((stamp for level in levels if (stamp := _stamped(level)[-1])), "")
    if not isinstance(call, calls.SaveContent):
        return SavedReply(call.content_id, stamp)
    content_id = next((named for level in levels if (named := _first_id(level, *keys))), "")
    if not content_id:
        raise Unreadable("the answer has no content id")
    return SavedReply(content_id, stamp)


# --- catalog ---------------------------------------------------------------------------------------------


_LISTS: Mapping[type, tuple[str, ...]] = {
    calls.ListTemplates: ("templates",),
    calls.ListStyles: ("style_profiles", "profiles", "styles"),
    calls.ListVerticals: ("verticals",),
    calls.ListBrandVoices: ("brand_voices", "voices"),
}


def _catalog(call: calls.Call, value: Json) -> CatalogReply:
    names = _LISTS.get(type(call))
    if names is None:
        return CatalogReply((_detail(value),), 1)
    named = ({"id": each} if isinstance(each, str) else each for each in _list(value, *names))
    entries = tuple(each for each in named if isinstance(each, dict))
    return CatalogReply(entries, _number(value, "total", "count"), _number(value, "limit") or 0)


def _number(value: Json, *names: str) -> int | None:
    """Return the first number under one of the keys `names`, or None if there is none."""
    outer = _map(value)
    for level in (outer, _map(outer.get("data")), _map(outer.get("pagination"))):
        for name in names:
            number = level.get(name)
            if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 1_000_000:
                return number
    return None


def _detail(value: Json) -> dict[str, Json]:
    data = _unwrap(value)
    inner = data["template"] if isinstance(data.get("template"), dict) else data
    if not any(key in inner for key in ("id", "slug", "name")):
        raise Unreadable("the answer has no description")
    return _object(inner)


# ---- Reads catalog entries from a server's descriptions, in every known shape. Pure.

KINDS: Mapping[str, str] = {
    **{kind: kind for kind in ("text", "textarea", "number", "select", "multiselect", "checkbox", "list")},
    "integer": "number",
    "boolean": "checkbox",
    "array": "list",
}
"""The kind of an input by the server's word for it. Every other word, such as `string`, is `any`: the server uses it
for inputs that it does not describe, and accepts lists and maps for them."""

MOST = 1000
"""Inputs, options or aliases that are read of one description."""
LONGEST = 2000
"""The most characters of a default or an option, as JSON."""

MANNER = (
    *("sections", "structure", "instructions", "writer_instructions", "prompt", "system_prompt", "prompt_schema"),
    *("requirements", "quality_requirements", "forbidden_patterns", "length_limit", "output", "output_policy"),
    *("formatting", "writing_style", "tone", "voice", "audience", "platform", "formality"),
)
"""The keys of a description that say how its texts are written.

Counters, times, ratings and words for people are not among them, since they do not change a template.
"""

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_NAME = re.compile(r"[^\W\d][\w.-]{0,199}")
_INPUTS = ("parameters", "inputs", "input_fields", "required_inputs")


def slug_of(entry: Mapping[str, Json]) -> str:
    """Return the slug by which requests and manifests name a catalog entry.

    The slug is empty if the entry has none that is safe.

    The server looks templates up by `id`, which for some differs from their `slug`.
    """
    for key in ("id", "slug", "name"):
        slug = entry.get(key)
        if isinstance(slug, str) and _SLUG.fullmatch(slug):
            return slug
        if slug not in (None, "") and key != "name":
            return ""
    return ""


def template(slug: str, entry: Mapping[str, Json], detail: Mapping[str, Json] | None) -> Template:
    """Return the template that an entry of the server's list describes.

    If `detail` is given, its detailed description is used too.
    """
    described = {**entry, **(detail or {})}
    inputs = inputs_of(described)
    return Template(
        slug=slug,
        name=_catalog_text(described, "name", "title"),
        category=_catalog_text(described, "category", "template_type", "type"),
        description=_catalog_text(described, "description"),
        manner=manner_of(described),
        inputs=inputs or (),
        inputs_known=inputs is not None,
    )


def catalog_entry(entry: Mapping[str, Json]) -> CatalogEntry:
    """Return the style profile, vertical or brand voice that an entry of the server's list describes."""
    return CatalogEntry(
        slug=slug_of(entry),
        name=_catalog_text(entry, "name", "title", "label"),
        category=_catalog_text(entry, "category"),
        description=_catalog_text(entry, "description"),
        tone=_catalog_text(entry, "tone"),
        manner=manner_of(entry),
    )


def manner_of(described: Mapping[str, Json]) -> str:
    """Return a short digest of those fields of a catalog entry that affect how the server writes a text.

    `MANNER` lists the fields. The digest is empty if the entry has none of them. The order of keys, spaces at the ends
    of texts and empty values do not count.
    """
    manner = {key: value for key in MANNER if not _is_empty(value := _trimmed(described.get(key)))}
    # As ASCII, so that a lone surrogate has a digest too.
    return short(digest_text(json.dumps(manner, sort_keys=True))) if manner else ""


def _trimmed(value: Json) -> Json:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [_trimmed(each) for each in value]
    if isinstance(value, dict):
        return {key: _trimmed(each) for key, each in value.items()}
    return value


def inputs_of(described: Mapping[str, Json]) -> tuple[TemplateInput, ...] | None:
    """Return the inputs in the description of a template, sorted by name.

    None means that the description has no list of inputs that can be read.
    """
    inputs: dict[str, TemplateInput] = {}
    given = {key: described[key] for key in _INPUTS if isinstance(described.get(key), dict | list)}
    for key, specs in given.items():
        for name, spec in _specs(specs, required=key == "required_inputs"):
            if _NAME.fullmatch(name) and len(inputs) < MOST:
                inputs.setdefault(name, _input(name, spec))
    if not given or (any(described.get(key) for key in _INPUTS) and not inputs):
        return None
    return tuple(inputs[name] for name in sorted(inputs))


def _specs(given: dict[str, Json] | list[Json], *, required: bool) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Yield the name and description of each input. They come from a map, a list of maps, or a list of names."""
    base = {"required": required}
    if isinstance(given, dict):
        for name, spec in given.items():
            yield name, {**base, **(spec if isinstance(spec, dict) else {})}
        return
    for spec in given:
        if isinstance(spec, str):
            yield spec, base
        elif isinstance(spec, dict):
            name = next((spec[key] for key in ("name", "key", "id") if isinstance(spec.get(key), str)), "")
            yield name, {**base, **spec}


def _input(name: str, spec: Mapping[str, Json]) -> TemplateInput:
    options = _options(spec.get("options"))
    kind = KINDS.get(str(spec.get("type", "")).strip().lower(), "any")
    if kind in {"select", "multiselect"} and not options:
        kind = "any"
    default = spec.get("default")
    return TemplateInput(
        name=name,
        kind=kind,
        # The server fills in a default, so the input is not required.
        required=spec.get("required") in (True, "true", "True") and default in (None, ""),
        default=None if _is_empty(default) or not _is_small(default) else default,
        options=options if kind in {"select", "multiselect"} else (),
        aliases=_aliases(spec.get("aliases")),
        description=_catalog_text(spec, "description", "label"),
    )


def _is_empty(value: Json) -> bool:
    return value is None or value in ("", [], {})


def _is_small(value: Json) -> bool:
    return len(json.dumps(value, ensure_ascii=False, default=str)) <= LONGEST


def _options(given: Json) -> tuple[Json, ...]:
    """Return the allowed values of an input, each value once.

    If one of them is not a plain value, the result is empty, and every value is allowed.
    """
    if not isinstance(given, list) or len(given) > MOST:
        return ()
    values = [each.get("value", each.get("id")) if isinstance(each, dict) else each for each in given]
    if not all(isinstance(value, str | int | float | bool) and _is_small(value) for value in values):
        return ()
    return tuple({json.dumps(value): value for value in values}.values())


def _aliases(given: Json) -> tuple[str, ...]:
    names: Iterable[Json] = given[:MOST] if isinstance(given, list) else ()
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and _NAME.fullmatch(name)))


def _catalog_text(described: Mapping[str, Json], *keys: str) -> str:
    """Return the first non-empty text under one of the keys, as one clean line of at most 300 characters."""
    texts = (clean_title(described[key]) for key in keys if isinstance(described.get(key), str))
    return next(filter(None, texts), "")
