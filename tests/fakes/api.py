"""`FakeApi`: a deterministic WriterzRoom in memory, with every habit of the real one as an option, and faults on demand.

It is an httpx transport whose time is the running loop's, so that with `tests.fakes.clock` hours pass in milliseconds:

    api = FakeApi(duration=90)
    api.fault(on("submit", 1), "504")
    client = Client(ApiSettings(), key="k-123456", transport=api)
    ...
    assert api.charged("AI adoption") == 1
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import httpx

from tests.fakes.clock import EPOCH

FaultName = Literal["refuse", "drop", "reset", "504", "500-after", "html", "truncated", "slow", "kill", "kill-after"]
"""What can go wrong with a request, besides any HTTP status (which is answered without doing anything).

refuse: no connection, never arrives; drop: reset before it is carried out; reset: carried out, then reset;
504: carried out, then a gateway's page; 500-after: carried out, then 500; html: a page with status 200, not carried
out; truncated: carried out, half the answer; slow: carried out, the answer comes after an hour; kill / kill-after:
raises `Killed` in the client before / after it is carried out.
"""

Fault = FaultName | int | Callable[[], httpx.Response]
"""A fault by name, by HTTP status, or as the answer itself; the last two are answered without doing anything."""

LABEL = "> Draft outline, made offline by the bundled server. It is the plan of a text, not the text.\n\n"
_AFTER = frozenset({"reset", "504", "500-after", "truncated", "slow", "kill-after"})


class Killed(BaseException):
    """The process died in the middle of a request."""


@dataclass(slots=True)
class Seen:
    """One request as it arrived. `n` counts the requests of its name from 1; `status` is None without an answer."""

    time: float
    method: str
    path: str
    name: str
    n: int
    body: dict[str, Any]
    headers: dict[str, str]
    status: int | None = None
    query: str = ""


@dataclass(slots=True)
class Generation:
    """One generation the server started; each costs credits unless it ends in `error`."""

    job_id: str
    request_id: str
    topic: str
    mode: str
    body: dict[str, Any]
    started: float
    duration: float
    take: int
    error: str = ""
    content_id: str = ""
    written: tuple[str, str] | None = None
    """Title and text of a section's job; None: what `title` and `text` say."""

    @property
    def ends(self) -> float:
        """When it is done, on the timeline."""
        return self.started + self.duration

    @property
    def title(self) -> str:
        """The title it writes."""
        return f"On {self.topic}"

    @property
    def text(self) -> str:
        """The text it writes; each take differs."""
        return f"## Introduction\n\nAll about {self.topic}.\n\n## Closing\n\nTake {self.take}.\n"


@dataclass(slots=True)
class Stored:
    """One content in the server's store."""

    id: str
    title: str
    body: str
    created: float
    updated: float
    metadata: dict[str, Any] = field(default_factory=dict)
    status: str = "draft"


@dataclass(slots=True, kw_only=True)
class Habits:
    """How this server behaves; the defaults are the kindest reading of the documents."""

    duration: float | Callable[[int], float] = 120.0
    """Seconds a job takes, or a function of its number from 1."""
    latency: float = 0.05
    """Seconds from request to answer, half of it before the request is carried out."""
    request_ids: Literal["replay", "overwrite", "reject", "ignore"] = "replay"
    """Our `request_id` is: the job id, a second send replays; the same, a second send starts over; the same, a second
    send is a 409; of no meaning."""
    auto_save: bool = True
    """Finished jobs go into the content store."""
    names_request: bool = True
    """Stored jobs carry `metadata.request_id`."""
    names_content: bool = True
    """A completed status names the content id."""
    status_body: Literal["text", "empty", "absent"] = "text"
    """What a completed status holds for a text; the store has it in any case."""
    create_only: bool = False
    """Every save makes a new content."""
    put: bool = True
    """`PUT /content/{id}` exists."""
    delete: bool = True
    """`DELETE /content/{id}` exists; else that is answered as an address that leads nowhere."""
    per_minute: int = 0
    """At most this many requests in 60 s, else 429; 0 means no limit."""
    retry_after: Literal["seconds", "date", "none", "garbage"] = "seconds"
    max_active: int = 0
    """At most this many unfinished jobs, else 429; 0 means no limit."""
    early_404: float = 0.0
    """Seconds after its submit during which a job is not known."""
    completed: str = "completed"
    failed: str = "failed"
    running: str = "processing"
    envelope: bool = False
    """`{"success", "data"}`, content as text, progress as a share of 1."""
    front_matter: bool = False
    """Texts come with front matter."""
    balance: int | None = None
    """Credits left, else 402; None means plenty."""
    fails: Callable[[dict[str, Any]], str] = lambda _: ""
    """What a submit's job ends with, from its inputs; empty: it completes."""
    key: str = ""
    """The key to insist on, or empty."""
    at_once: Literal["no", "named", "nameless"] = "no"
    """Submits are answered with the ended job, under its id or under none, and no job can be asked for."""
    section_answer: Literal["whole", "alone", "with others", "headless", "spoken"] = "whole"
    """A section's job ends with: the whole text; the section; the text with another section changed; the section
    without its heading; or a sentence before it."""
    section_stored: Literal["over", "beside", "not"] = "over"
    """What it ends with is stored: over the content it is of; as another one; nowhere."""
    outlines: bool = False
    """It writes draft outlines, and says so, as the bundled server does."""
    model: str = ""
    """The model that it names with a finished job."""
    tokens: Any = None
    """What a finished job says of its tokens; None: nothing."""
    stamps: bool = False
    """The answer to a save says when the content was changed."""
    needs_user: bool = False
    """Stored contents are refused without `X-User-ID`, and jobs are not."""
    page: int = 0
    """The list of contents comes in pages of so many, and says so; 0 means all at once."""


_PRICE = {"quick": 1, "standard": 4, "premium": 5}

_ROUTES = (
    ("submit", "POST", re.compile(r"/generate$")), ("status", "GET", re.compile(r"/generate/status/([^/]+)$")),
    ("section", "POST", re.compile(r"/content/regenerate-section$")), ("list content", "GET", re.compile(r"/content$")),
    ("save", "POST", re.compile(r"/content/save$")), ("get content", "GET", re.compile(r"/content/([^/]+)$")),
    ("put content", "PUT", re.compile(r"/content/([^/]+)$")),
    ("delete content", "DELETE", re.compile(r"/content/([^/]+)$")),
    ("list templates", "GET", re.compile(r"/templates$")), ("list styles", "GET", re.compile(r"/style-profiles$")),
    ("list verticals", "GET", re.compile(r"/verticals$")), ("dashboard stats", "GET", re.compile(r"/dashboard/stats$")),
)  # fmt: skip


def on(name: str, *numbers: int) -> Callable[[str, int], bool]:
    """When a request is called `name` and is one of `numbers` (any, if there are none)."""
    return lambda called, n: called == name and (not numbers or n in numbers)


class FakeApi(httpx.AsyncBaseTransport):
    """The server. `requests` is the log, `generations` what it started, `contents` its store."""

    def __init__(self, **habits: Any) -> None:
        self.habits = Habits(**habits)
        self.requests: list[Seen] = []
        self.generations: list[Generation] = []
        self.jobs: dict[str, Generation] = {}
        self.contents: dict[str, Stored] = {}
        self.broken: dict[str, Fault] = {}
        """What goes wrong with each fetch of a content, by its id."""
        self._faults: list[tuple[Callable[[str, int], bool], Fault]] = []
        self._counts: dict[str, int] = {}
        self._window: list[float] = []
        self._latest = 0.0
        self._made = 0
        self._unfinished: list[Generation] = []

    # --- what a test asks and does --------------------------------------------------------------------------

    @property
    def charges(self) -> list[Generation]:
        """Every generation that costs credits."""
        return [each for each in self.generations if not each.error]

    @property
    def credits(self) -> int:
        """Credits spent so far."""
        return sum(_PRICE[each.mode] for each in self.charges)

    def charged(self, topic: str) -> int:
        """How often a topic was paid for."""
        return sum(each.topic == topic for each in self.charges)

    def count(self, name: str) -> int:
        """How many requests of this name arrived (refused connections do not)."""
        return sum(each.name == name for each in self.requests)

    def fault(self, when: Callable[[str, int], bool], what: Fault) -> None:
        """Let requests for which `when(name, n)` holds go wrong; an int is answered as that HTTP status.

        A function makes the whole answer.
        """
        self._faults.append((when, what))

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def restart(self) -> None:
        """Forget every job, as a server that keeps them in memory does; contents and charges stay."""
        self._settle(self._latest)
        self.jobs.clear()
        self._unfinished.clear()

    def edit(self, content_id: str, body: str, *, title: str = "") -> None:
        """A person edits a content in the web app."""
        stored = self.contents[content_id]
        stored.body, stored.title, stored.updated = body, title or stored.title, self._latest + 60

    # --- transport ------------------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry out one request, with the faults and the latency that were asked for."""
        name, argument = _route(request)
        n = self._counts[name] = self._counts.get(name, 0) + 1
        what = next((what for when, what in self._faults if when(name, n)), None)
        what = self.broken.get(argument, what) if name == "get content" else what
        if what == "refuse":
            await asyncio.sleep(self.habits.latency)
            raise httpx.ConnectError("[Errno 111] Connection refused")
        seen = Seen(_now(), request.method, request.url.path, name, n, _body(request), dict(request.headers))
        seen.query = request.url.query.decode()
        self.requests.append(seen)
        if what == "kill":
            raise Killed
        await asyncio.sleep(self.habits.latency / 2)
        if what is None or what in _AFTER:
            status, payload, headers = self._answer(seen, argument)
        else:
            status, payload, headers = 0, {}, {}
        good = httpx.Response(status or 200, json=payload, headers=headers)
        response = what() if callable(what) else await self._spoil(request, what, good)
        await asyncio.sleep(self.habits.latency / 2)
        seen.status = response.status_code
        return response

    async def _spoil(
        self, request: httpx.Request, what: FaultName | int | None, good: httpx.Response
    ) -> httpx.Response:
        match what:
            case None:
                return good
            case int():
                return httpx.Response(what, json={"error": {"code": f"e{what}", "message": f"fault {what}"}})
            case "drop" | "reset":
                raise httpx.ReadError("[Errno 104] Connection reset by peer")
            case "kill-after":
                raise Killed
            case "504":
                return httpx.Response(504, html="<html><h1>504 Gateway Time-out</h1></html>")
            case "500-after":
                return httpx.Response(500, json={"detail": "Internal server error"})
            case "html":
                return httpx.Response(200, html="<!doctype html><title>WriterzRoom</title>")
            case "truncated":
                return httpx.Response(good.status_code, content=good.content[: len(good.content) // 2], headers=_JSON)
            case "slow":
                patience = request.extensions.get("timeout", {}).get("read") or 3600.0
                await asyncio.sleep(min(patience, 3600.0))
                raise httpx.ReadTimeout("")
            case _:
                raise AssertionError(what)

    # --- the server -----------------------------------------------------------------------------------------

    def _answer(self, seen: Seen, argument: str) -> tuple[int, Any, dict[str, str]]:
        self._latest = _now()
        self._settle(self._latest)
        if refused := self._refuse(seen):
            return refused
        match seen.name:
            case "submit" | "section":
                return self._submit(seen)
            case "status":
                return self._status(argument)
            case "get content":
                return self._get(argument)
            case "save":
                return self._save(seen.body)
            case "put content" | "delete content":
                return self._change(seen, argument)
            case _:
                return self._list(seen)

    def _refuse(self, seen: Seen) -> tuple[int, Any, dict[str, str]] | None:
        if self.habits.key and seen.headers.get("authorization") != f"Bearer {self.habits.key}":
            return 401, {"error": {"code": "unauthorized", "message": "Invalid API key"}}, {}
        if wait := self._throttle():
            return 429, {"error": f"Rate limit exceeded: {self.habits.per_minute} per 1 minute"}, self._hint(wait)
        if self.habits.needs_user and "/content" in seen.path and "x-user-id" not in seen.headers:
            return 422, {"detail": [{"type": "missing", "loc": ["header", "x-user-id"], "msg": "Field required"}]}, {}
        return None

    def _list(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        name, page = seen.name, int(httpx.QueryParams(seen.query).get("page", "1"))
        newest = sorted(self.contents.values(), key=lambda each: -each.created)
        paged: dict[str, int] = {}
        if most := self.habits.page:
            newest, paged = newest[(page - 1) * most : page * most], {"page": page, "limit": most}
        lists: dict[str, Any] = {
            "list content": {"content": [_entry(each) for each in newest], "stats": {}, **paged},
            "list templates": {"templates": [{"id": "blog_article_generator", "name": "Blog"}]},
            "list styles": {"style_profiles": [{"id": "general_blog", "name": "General"}]},
            "dashboard stats": {"total_content": len(self.contents)},
        }
        return (200, lists[name], {}) if name in lists else (404, {"detail": "Not Found"}, {})

    def _throttle(self) -> float:
        """Seconds until the next request fits into the window, or 0 if this one does."""
        limit, now = self.habits.per_minute, _now()
        if not limit:
            return 0.0
        self._window = [each for each in self._window if each > now - 60]
        if len(self._window) >= limit:
            return self._window[-limit] + 60 - now
        self._window.append(now)
        return 0.0

    def _hint(self, wait: float) -> dict[str, str]:
        seconds = int(wait) + 1
        match self.habits.retry_after:
            case "seconds":
                return {"Retry-After": str(seconds)}
            case "date":
                return {"Retry-After": formatdate(EPOCH + _now() + seconds, usegmt=True)}
            case "garbage":
                return {"Retry-After": "soon"}
            case "none":
                return {}

    def _submit(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        body, habits, now = seen.body, self.habits, _now()
        inputs: dict[str, Any] = next(
            (body[key] for key in ("inputs", "user_input", "dynamic_parameters") if key in body), {}
        )
        earlier = self.jobs.get(body.get("request_id", "")) if habits.request_ids != "ignore" else None
        if earlier and habits.request_ids == "replay":
            return 202, {"request_id": earlier.job_id, "status": "pending"}, {}
        if earlier and habits.request_ids == "reject":
            return 409, {"error": {"code": "conflict", "message": "request_id was used before"}}, {}
        mode = body.get("generation_mode", "standard")
        if habits.balance is not None and self.credits + _PRICE[mode] > habits.balance:
            return 402, {"error": {"code": "credits", "message": "Insufficient credits"}}, {}
        if habits.max_active and len(self._unfinished) >= habits.max_active:
            return 429, {"error": "Too many active jobs"}, self._hint(30)
        number = len(self.generations) + 1
        ours = body.get("request_id") if habits.request_ids != "ignore" else None
        topic = str(inputs.get("topic", inputs.get("title", "nothing")))
        job = Generation(
            job_id=ours or f"job_{number:06d}",
            request_id=body.get("request_id", ""),
            topic=topic,
            mode=mode,
            body=body,
            started=now,
            duration=habits.duration if isinstance(habits.duration, (int, float)) else habits.duration(number),
            take=1 + sum(each.topic == topic for each in self.generations),
            error=habits.fails(inputs),
        )
        if seen.name == "section":
            if body["content_id"] not in self.contents:
                return 404, {"detail": "Content not found"}, {}
            job.written = self._section(self.contents[body["content_id"]], body["section"], number)
        self.generations.append(job)
        self.jobs[job.job_id] = job
        self._unfinished.append(job)
        if habits.at_once != "no":
            return self._answered(job, now)
        self._settle(now)
        return 202, {"request_id": job.job_id, "status": "pending", "created_at": _iso(now)}, {}

    def _answered(self, job: Generation, now: float) -> tuple[int, Any, dict[str, str]]:
        """The ended job in answer to its submit."""
        job.duration = 0.0
        self._settle(now)
        status, payload, headers = self._status(job.job_id)
        del self.jobs[job.job_id]
        data = payload["data"] if self.habits.envelope else payload
        if self.habits.at_once == "nameless":
            del data["request_id"]
        return status, payload, headers

    def _section(self, stored: Stored, heading: str, number: int) -> tuple[str, str]:
        """What a job answers that writes one section again: of a text whose sections all begin with `## `."""
        before, mark, rest = stored.body.partition(f"## {heading}\n")
        _, more, after = rest.partition("\n## ")
        words, answer = f"\nSection {number}.\n", self.habits.section_answer
        if answer == "with others":
            after = after.replace(".", ", more or less.", 1)
            before = before.replace(".", ", more or less.", 1)
        alone = {"alone": mark + words, "headless": words, "spoken": f"Here it is:\n\n{mark}{words}"}
        return stored.title, alone.get(answer, before + mark + words + more + after)

    def _settle(self, now: float) -> None:
        """Finish the jobs that are due, each at its own time."""
        due = sorted((each for each in self._unfinished if each.ends <= now), key=lambda each: each.ends)
        for job in due:
            self._unfinished.remove(job)
            if job.written is not None and self.habits.section_stored != "beside":
                if self.habits.section_stored == "over":
                    job.content_id = job.body["content_id"]
                    stored = self.contents[job.content_id]
                    stored.body, stored.updated = job.written[1], job.ends
            elif self.habits.auto_save and not job.error:
                metadata = {"request_id": job.job_id} if self.habits.names_request else {}
                job.content_id = self._create(*self._written(job), metadata, at=job.ends).id

    def _written(self, job: Generation) -> tuple[str, str]:
        """Title and text of a finished job."""
        return job.written or (job.title, LABEL * self.habits.outlines + job.text)

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        content_id = f"cnt_{uuid5(NAMESPACE_URL, str(self._made)).hex[:12]}"
        self._made += 1
        stored = Stored(content_id, title, body, at, at, metadata)
        self.contents[content_id] = stored
        return stored

    def _status(self, job_id: str) -> tuple[int, Any, dict[str, str]]:
        job, now, habits = self.jobs.get(job_id), _now(), self.habits
        if job is None or now < job.started + habits.early_404:
            return 404, {"detail": "Generation request not found."}, {}
        share = min(1.0, (now - job.started) / job.duration) if job.duration else 1.0
        data: dict[str, Any] = {"request_id": job_id, "status": habits.running}
        data["progress"] = share if habits.envelope else int(share * 100)
        data["stage"] = ("planner", "researcher", "writer", "editor", "publisher")[int(share * 4)]
        if now >= job.ends and job.error:
            data |= {"status": habits.failed, "error": job.error}
        elif now >= job.ends:
            data |= {"status": habits.completed, "content": self._content_of(job)}
            data["metadata"] = {"engine": "outline"} if habits.outlines else {}
            if habits.envelope:
                data["metadata"]["title"] = self._written(job)[0]
        if now >= job.ends and habits.tokens is not None:
            data.setdefault("metadata", {})["tokens"] = habits.tokens
        if now >= job.ends and habits.model:
            data.setdefault("metadata", {})["model"] = habits.model
        return 200, {"success": True, "data": data} if habits.envelope else data, {}

    def _content_of(self, job: Generation) -> Any:
        title, text = self._written(job)
        text = f'---\ntitle: "{title}"\n---\n{text}' if self.habits.front_matter else text
        if self.habits.envelope:
            return text
        content: dict[str, Any] = {
            "title": title, "body": text, "word_count": len(text.split()), "created_at": _iso(job.ends),
        }  # fmt: skip
        if self.habits.status_body != "text":
            content = {"title": title} | ({"body": ""} if self.habits.status_body == "empty" else {})
        return content | ({"id": job.content_id} if job.content_id and self.habits.names_content else {})

    def _get(self, content_id: str) -> tuple[int, Any, dict[str, str]]:
        stored = self.contents.get(content_id)
        if stored is None:
            return 404, {"detail": "Content not found"}, {}
        return 200, _entry(stored) | {"content": stored.body, "metadata": stored.metadata}, {}

    def _save(self, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        content_id = body.get("content_id", "")
        if content_id and not self.habits.create_only:
            return self._overwrite(content_id, body)
        stored = self._create(body["title"], body["content"], body.get("metadata", {}), at=_now())
        return 200, self._saved(stored), {}

    def _saved(self, stored: Stored) -> dict[str, Any]:
        stamp = {"updatedAt": _iso(stored.updated)} if self.habits.stamps else {}
        return {"success": True, "contentId": stored.id, **stamp}

    def _change(self, seen: Seen, content_id: str) -> tuple[int, Any, dict[str, str]]:
        if seen.name == "put content":
            return self._put(content_id, seen.body)
        if not self.habits.delete or self.contents.pop(content_id, None) is None:
            return 404, {"detail": "Not Found"}, {}
        return 200, {"success": True}, {}

    def _put(self, content_id: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if not self.habits.put:
            return 405, {"detail": "Method Not Allowed"}, {}
        status, payload, headers = self._overwrite(content_id, body)
        if status != 200:
            return status, payload, headers
        entry = {"id": content_id, "updatedAt": _iso(self.contents[content_id].updated)}
        return status, {"success": True, "content": entry}, headers

    def _overwrite(self, content_id: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        stored = self.contents.get(content_id)
        if stored is None:
            return 404, {"detail": "Content not found"}, {}
        stored.title, stored.body = body.get("title", stored.title), body.get("content", stored.body)
        stored.status, stored.updated = body.get("status", stored.status), _now()
        stored.metadata |= body.get("metadata", {})
        return 200, self._saved(stored), {}


def _entry(stored: Stored) -> dict[str, Any]:
    times = {"createdAt": _iso(stored.created), "updatedAt": _iso(stored.updated)}
    return {"id": stored.id, "title": stored.title, "status": stored.status, "type": "article", **times}


_JSON = {"Content-Type": "application/json"}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + at, UTC).isoformat().replace("+00:00", "Z")


def _route(request: httpx.Request) -> tuple[str, str]:
    for name, method, pattern in _ROUTES:
        if request.method == method and (match := pattern.search(request.url.path)):
            return name, match[1] if pattern.groups else ""
    return "nothing", ""


def _body(request: httpx.Request) -> dict[str, Any]:
    data = request.content
    fields: dict[str, Any] = json.loads(data) if data else {}
    return fields
