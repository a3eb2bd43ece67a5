"""A browser for the pages of `contentops review`, without a server."""

import asyncio
import re
from email.utils import parseaddr
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.operations.opening import HERE, open_project
from contentops.pages.app import create_app
from contentops.pages.security import Keys
from contentops.pages.site import Links, Site
from tests.clones import copy_once, git
from tests.running import Run

ADDRESS = "http://127.0.0.1:8767"
FILES = {
    "contentops.yaml": "version: 1\nproject: acme\napi: {base_url: local}\n",
    "content/blog.yaml": """\
        defaults: {template: blog_article_generator, style: general_blog}
        items:
          - id: guide
            inputs: {topic: Hybrid work, target_audience: founders}
        """,
}
"""A project of one item."""


def make_demo(invoke: Run, target: Path, factory: pytest.TempPathFactory, rules: str = "", *, person: str = "") -> Path:
    """Return a project in `target` that `init` starts, with its four texts; with a person, committed in git.

    `rules`: more defaults of its items, as YAML.
    """
    name, email = parseaddr(person)

    def make(folder: Path) -> None:
        root = folder / "demo"
        assert invoke("init", "demo", cwd=folder).code == 0
        manifest = root / "content" / "articles.yaml"
        manifest.write_text(manifest.read_text("utf-8").replace("generator\n", f"generator\n{rules}", 1), "utf-8")
        if person:
            git(root, "init", "--quiet", "--initial-branch=main")
            git(root, "config", "user.name", name)
            git(root, "config", "user.email", email)
        assert invoke("apply", "--yes", cwd=root).code == 0
        if person:
            git(root, "add", "--all")
            git(root, "-c", f"user.name={name}", "commit", "--quiet", "--message=made")

    copy_once(f"demo {rules}{person}", target, make, factory)
    return target / "demo"


class Browser:
    """A browser that has opened the link, or has not; it sends what browsers send."""

    def __init__(self, root: Path, *, opened: bool = True, **options: Any) -> None:
        self.keys = Keys(8767)
        environment = options.pop("environment", "")
        self.site = Site(
            name="acme", project=lambda: open_project(str(root), environment, ()),
            runtime=options.pop("runtime", HERE), links=Links(), form_token=self.keys.form_token, **options,
        )  # fmt: skip
        self.app = create_app(self.site, self.keys, "127.0.0.1")
        self.cookies = httpx.Cookies()
        self.raises = True
        """Whether a bug of a page is raised here, and not answered."""
        if opened:
            self.get(f"/open?token={self.keys.token}")

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Read a page; a redirect is not followed."""
        return self.send("GET", path, headers=headers)

    def post(self, path: str, *, token: str | None = None, **fields: str) -> httpx.Response:
        """Send a form, as a page of the site does; a decision is about a text that was opened a while ago."""
        if path in {"/approve", "/send-back"}:
            fields = {"shown": self.site.stamp(fields.get("text", ""), self.site.runtime.wall() - 60), **fields}
        data = {"form_token": self.keys.form_token if token is None else token, **fields}
        return self.send("POST", path, headers={"origin": ADDRESS, "sec-fetch-site": "same-origin"}, data=data)

    def form(self, **query: str) -> dict[str, str]:
        """What the button of the page with the price sends."""
        page = self.send("GET", "/confirm", params=query).text
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
        return {name: unescape(value) for name, value in fields if name != "form_token"}

    def press(self, **query: str) -> httpx.Response:
        """Open the page with the price of an action, and press its button."""
        return self.post("/apply", **self.form(**query))

    def follow(self, answer: httpx.Response) -> httpx.Response:
        """Read the page that a form leads to."""
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["location"])

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send any request."""

        async def story() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=self.raises)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(story())
