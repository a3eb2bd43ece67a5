"""A catalog behind HTTP: lists, pages and descriptions as one of the known servers gives them, on virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

Override = httpx.Response | Exception


class Shop(httpx.AsyncBaseTransport):
    """Offers `templates` (slug to inputs, None for no description), `styles` and `verticals` (None for no such route).

    `habit` is `flat` (documented), `enveloped` (pages of 100 under `data`) or `repeating` (every page is the first).
    `when(path, n)` may replace the answer to the n-th request; `per_minute` is the server's own limit.
    """

    def __init__(
        self,
        templates: dict[str, Any] | None = None,
        styles: tuple[str, ...] = ("general_blog", "phd_academic"),
        verticals: tuple[str, ...] | None = ("legal", "fintech"),
        *,
        habit: str = "flat",
        prefix: str = "/v1",
        per_minute: int = 0,
        when: Callable[[str, int], Override | None] = lambda _path, _n: None,
    ) -> None:
        self.templates = {"blog_article_generator": {"topic": {"required": True}}} if templates is None else templates
        self.styles = styles
        self.verticals = verticals
        self.habit = habit
        self.prefix = prefix
        self.per_minute = per_minute
        self.when = when
        self.log: list[tuple[float, str]] = []
        self.throttled = 0

    @property
    def paths(self) -> list[str]:
        """What was asked for, without the prefix."""
        return [path for _, path in self.log]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Log and answer one request."""
        now = asyncio.get_running_loop().time()
        path = request.url.raw_path.decode().removeprefix(self.prefix)
        recent = sum(at > now - 60 for at, _ in self.log)
        self.log.append((now, path))
        await asyncio.sleep(0.05)
        other = self.when(path, len(self.log))
        if isinstance(other, Exception):
            raise other
        if other is not None:
            return other
        if self.per_minute and recent >= self.per_minute:
            self.throttled += 1
            return httpx.Response(429, json={"error": "Rate limit exceeded"}, headers={"Retry-After": "30"})
        if not request.url.path.startswith(f"{self.prefix}/"):
            return httpx.Response(404, json={"detail": "Not Found"})
        return self._answer(path)

    def _answer(self, path: str) -> httpx.Response:
        route, _, query = path.partition("?")
        page = int(httpx.QueryParams(query).get("page", 1))
        if route == "/templates":
            return self._list("templates", list(self.templates), page)
        if route == "/style-profiles":
            return self._list("style_profiles", list(self.styles), page)
        if route == "/verticals" and self.verticals is not None:
            return httpx.Response(200, json={"verticals": [{"id": slug, "name": slug} for slug in self.verticals]})
        slug = route.removeprefix("/templates/")
        if self.templates.get(slug) is not None:
            detail = {"id": slug, "name": slug.title(), "parameters": self.templates[slug]}
            return httpx.Response(200, json={"success": True, "data": detail} if self.habit == "enveloped" else detail)
        return httpx.Response(404, json={"detail": f"Template '{slug}' not found."})

    def _list(self, name: str, slugs: list[str], page: int) -> httpx.Response:
        if self.habit == "flat":
            return httpx.Response(200, json={name: [{"id": slug, "name": slug} for slug in slugs]})
        first = 0 if self.habit == "repeating" else (page - 1) * 100
        items = [{"id": slug, "name": slug} for slug in slugs[first : first + 100]]
        return httpx.Response(
            200, json={"success": True, "data": {"items": items, "count": len(slugs), "page": page, "limit": 100}}
        )
