"""Who gets a page of `contentops review`: the browser that opened the link, and no other site."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contentops.operations.opening import HERE, open_project
from contentops.pages.app import ROUTES, create_app
from contentops.pages.links import Links
from contentops.pages.security import Keys
from contentops.pages.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from tests.running import Build

FILES = {
    "contentops.yaml": "version: 1\nproject: acme\napi: {base_url: local}\n",
    "content/blog.yaml": """\
        defaults: {template: blog_article_generator, style: general_blog}
        items:
          - id: guide
            inputs: {topic: Hybrid work, target_audience: founders}
        """,
}
ADDRESS = "http://127.0.0.1:8767"


def app_of(root: Path, keys: Keys, **options: Any) -> ASGIApp:
    """Return the pages of the project at `root`."""
    site = Site(
        name="acme",
        project=lambda: open_project(str(root), "", ()),
        runtime=HERE,
        links=Links(),
        form_token=keys.form_token,
        **options,
    )
    return create_app(site, keys, "127.0.0.1")


def ask(app: ASGIApp, *requests: tuple[str, str, dict[str, str]], opened: str = "") -> list[httpx.Response]:
    """Send requests (method, path, headers) one after another, as one browser; `opened`: the token of the link."""

    async def story() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
            if opened:
                await client.get("/open", params={"token": opened})
            return [await client.request(method, path, headers=headers) for method, path, headers in requests]

    return asyncio.run(story())


def get(app: ASGIApp, *paths: str, opened: str = "") -> Sequence[httpx.Response]:
    """Read pages one after another, as one browser."""
    return ask(app, *[("GET", path, {}) for path in paths], opened=opened)


def test_the_link_opens_the_pages_once(project: Build) -> None:
    """The browser gets a cookie that no script reads and no other site sends; the link is of no use to others."""
    keys = Keys(8767)
    app = app_of(project(FILES), keys)
    link = f"/open?token={keys.token}"
    first, page, again = get(app, link, "/", link)
    assert (first.status_code, first.headers["location"], page.status_code, again.status_code) == (303, "/", 200, 303)
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("contentops-review-8767=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    (other,) = get(app, link)
    assert other.status_code == 403
    assert "The link was used already" in other.text
    assert "set-cookie" not in other.headers


@pytest.mark.parametrize(
    "path", ["/", "/items", "/item?id=guide", "/plan", "/run", "/open", "/open?token=x", "/nothing"]
)
def test_without_the_link_there_is_nothing(project: Build, path: str) -> None:
    """The bare page names no project, no item and no person, and is the same for what exists and what does not."""
    (answer,) = get(app_of(project(FILES), Keys(1), person="Ann <ann@example.com>"), path)
    assert answer.status_code == 403
    assert "contentops review" in answer.text
    assert not {"acme", "guide", "Ann"} & set(answer.text.replace("<", " ").replace(">", " ").split())


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"host": "rebound.example:8767"}, 400),
        ("GET", {"host": ""}, 400),
        ("GET", {"host": "localhost:1"}, 200),
        ("GET", {"sec-fetch-site": "none"}, 200),
        ("GET", {"sec-fetch-site": "cross-site"}, 403),
        ("GET", {"sec-fetch-site": "same-site"}, 403),
        ("GET", {"origin": "https://evil.example"}, 403),
        ("POST", {}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"origin": "http://127.0.0.1:9"}, 403),
        ("POST", {"origin": "https://127.0.0.1:8767"}, 403),
        ("POST", {"origin": ADDRESS, "sec-fetch-site": "none"}, 403),
        ("POST", {"origin": ADDRESS, "sec-fetch-site": "same-origin"}, 405),
        ("DELETE", {"origin": ADDRESS}, 405),
    ],
)
def test_requests_of_other_sites_are_refused(project: Build, method: str, headers: dict[str, str], status: int) -> None:
    """Even with the cookie: a request comes from these pages, or was typed; one that changes something says so."""
    keys = Keys(8767)
    (answer,) = ask(app_of(project(FILES), keys), (method, "/plan", headers), opened=keys.token)
    assert answer.status_code == status


def test_every_answer_has_the_headers(project: Build) -> None:
    """Nothing from elsewhere is loaded, framed or kept, whatever the answer is."""
    keys = Keys(8767)
    app = app_of(project(FILES), keys)
    answers = [*get(app, *ROUTES, "/item?id=guide", "/item?id=no", "/style.css", "/nothing", opened=keys.token)]
    answers += [*get(app, "/", "/open")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        for forbidden in ("style=", "<style", "onclick", "javascript:"):
            assert forbidden not in answer.text or answer.headers["content-type"].startswith("text/css")
    assert [answer.status_code for answer in answers[: len(ROUTES)]] == [200, 200, 404, 200, 200]
