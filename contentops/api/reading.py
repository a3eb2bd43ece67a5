"""Reads replies from JSON: every known form of them, in any dialect, and nothing else.

The sources of the API disagree: an answer may be flat or inside `{"success", "data"}`, content an object or a text,
progress 0 to 1 or 0 to 100, a list under one of several names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
from contentops.api.decoding import Garbled, Unnamed, Unreadable, decode, error_text
from contentops.api.stamps import stamp_in
from contentops.documents.clean import clean_body
from contentops.sanitize import clip
from contentops.sections import main_heading
from contentops.tokens import read_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import Json

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
    """The reply to `call` in `value`. Raises Unreadable where there is none."""
    match call:
        case calls.Generate():
            return _accepted(value, call.request_id, _done(value))
        case calls.GetStatus():
            return _job_status(value, call)
        case calls.RegenerateSection():
            return _accepted(value, call.request_id, _done(value) or _section(call, value))
        case calls.DashboardStats() | calls.CreditsUsage():
            return Stats(_unwrap(value))
        case _:
            return _stored(call, value)


# --- shapes ------------------------------------------------------------------------------------------------


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unreadable("the answer is not a JSON object")
    return value


def _unwrap(value: Json) -> dict[str, Json]:
    """The object, or the `data` of its envelope `{"success", "data"}`."""
    outer = _object(value)
    if "data" in outer and ("success" in outer or len(outer) == 1):
        return _object(outer["data"])
    return outer


def is_enveloped(data: bytes) -> bool:
    """Whether a readable reply comes inside `{"success", "data"}`."""
    return "data" in _map(decode(data))


def safe_id(value: Json) -> str:
    """`value` as an id that is safe in a path, a file and a message; empty if it is not one."""
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
    """The first text under `keys` that is not empty; other values count as absent."""
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
    """The finished job in the answer to a submit; None where it has to be polled."""
    outer = _object(value)
    for data in (_map(outer.get("data")), outer):
        if isinstance(word := data.get("status"), str):
            status = _status(data, word)
            failed = status.state == "failed" and bool(data.get("error"))
            if failed or (status.state == "completed" and status.body):
                return status
    return None


def _section(call: calls.RegenerateSection, value: Json) -> JobStatus | None:
    """The content with its new section in the answer to the call; no source documents that."""
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
    if (named := safe_id(data.get("request_id"))) and not _names(data, call):
        raise Garbled(f"the answer is about job `{named}`, not `{call.job_id[:200]}`")
    return _status(data, word)


def _status(data: Mapping[str, Json], word: str) -> JobStatus:
    """The status of the job in `data`."""
    state = _FINAL_STATES.get(word.strip().lower(), "running")
    title, front, body = _job_text(data)
    return JobStatus(
        state=state,
        progress=_progress(data.get("progress")),
        stage=_text(data, "stage", "current_agent", "current_step"),
        title=title,
        body=body,
        front=front,
        content_id=_job_content_id(data),
        error=_job_error(data, word) if state == "failed" else "",
        request_id=safe_id(data.get("request_id")),
        engine=_text(_map(data.get("metadata")), "engine"),
        tokens=read_tokens(_map(data.get("metadata")).get("tokens")),
        model=_text(_map(data.get("metadata")), "model"),
    )


def _names(data: Mapping[str, Json], call: calls.GetStatus) -> bool:
    """Whether it names the job by the server's id, or by ours, which some servers return too."""
    named = {safe_id(data.get(key)).casefold() for key in _JOB_IDS} - {""}
    return not named.isdisjoint((call.job_id.casefold(), call.ours.casefold()))


def _job_text(data: Mapping[str, Json]) -> tuple[str, Mapping[str, Json], str | None]:
    """Title, other front matter and body."""
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
    """Title, other front matter and body of a text; a thematic break at its start stays in the body."""
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


def _job_error(data: Mapping[str, Json], word: str) -> str:
    return error_text({"error": data.get("error"), "message": data.get("message")}) or f"the job ended as `{word}`"


def _progress(value: Json) -> float | None:
    """The progress from 0.0 to 1.0; a float up to 1.0 is a share of 1, any other number one of 100."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    share = value if isinstance(value, float) and value <= 1 else min(value, 100) / 100
    return float(max(share, 0.0))


# --- content -----------------------------------------------------------------------------------------------


def _list(value: Json, *keys: str) -> Sequence[Json]:
    """The list in a reply: bare, under one of `keys`, or either of these under `data`."""
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


def _stored(call: calls.Call, value: Json) -> Reply:
    match call:
        case calls.ListContent():
            return _content_list(value)
        case calls.GetContent():
            return _content(value, call.content_id)
        case calls.SaveContent() | calls.PutContent() | calls.SetStatus() | calls.DeleteContent():
            return _saved(call, value)
        case _:
            return _catalog(call, value)


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
    """The most entries of a page, where the answer says that it is one; 0 for a complete list."""
    limit = value.get("limit") if isinstance(value, dict) and value.get("page") else None
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else 0


def _stamped(value: Mapping[str, Json]) -> tuple[str, str, str]:
    """The times of creation and of the last change, and the stamp."""
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
    """A number about the pages of a list, under any of the known keys."""
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
