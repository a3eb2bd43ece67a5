"""Who gets a page of `contentops review`: the browser that opened the link, and no other site."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from markupsafe import escape
from msgspec import structs

from contentops.model import Project
from contentops.operations.texts import LONGEST
from contentops.pages.app import ROUTES, create_app
from contentops.pages.forms import FORMS
from contentops.pages.security import FILES as SERVED
from contentops.pages.security import MAX_BYTES
from tests.pages import ADDRESS, FILES, Browser
from tests.running import Build
from tests.terminals import on_a_terminal

OURS = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}


def test_the_link_opens_the_pages_once(project: Build, processes: None) -> None:
    """The browser gets a cookie that no script reads and no other site sends; the link is of no use to others."""
    browser = Browser(project(FILES), opened=False)
    link = f"/open?token={browser.keys.token}"
    first = browser.get(link)
    assert (first.status_code, first.headers["location"], browser.get("/").status_code) == (303, "/", 200)
    assert browser.get(link).status_code == 303  # the same browser
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("contentops-review-8767=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    browser.cookies.clear()
    other = browser.get(link)
    assert other.status_code == 403
    assert "The link was used already" in other.text
    assert "set-cookie" not in other.headers


def test_the_link_is_in_no_argument_of_a_browser(project: Build, tmp_path: Path, processes: None) -> None:
    """Everyone on the machine can read those: they name a file that only its owner can read, while the page is open."""
    looks = """
import json, os, pathlib, signal, sys, urllib.parse
file = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(sys.argv[1]).path))
seen = {"argv": sys.argv[1:], "mode": file.stat().st_mode & 0o777, "text": file.read_text(), "file": str(file)}
pathlib.Path(sys.argv[0]).with_suffix(".json").write_text(json.dumps(seen))
os.kill(os.getppid(), signal.SIGINT)
"""
    (tmp_path / "browser.py").write_text(looks, "utf-8")
    script = "import sys; sys.argv[1:] = ['review', '--port', '0']; from contentops.__main__ import main; main()"
    environ = {"BROWSER": f"{sys.executable} {tmp_path}/browser.py %s", "DISPLAY": ":0"}
    printed = on_a_terminal(script, b"", environ, project(FILES))
    seen = json.loads((tmp_path / "browser.json").read_text("utf-8"))
    link = next(word for word in printed.split() if "token=" in word)
    assert link.partition("token=")[2] not in " ".join(seen["argv"])
    assert (seen["mode"], link in seen["text"], Path(seen["file"]).exists()) == (0o600, True, False)


@pytest.mark.parametrize(
    "path", ["/", "/items", "/item?id=guide", "/plan", "/run", "/open", "/open?token=x", "/nothing"]
)
def test_without_the_link_there_is_nothing(project: Build, path: str) -> None:
    """The bare page names no project, no item and no person, and is the same for what exists and what does not."""
    answer = Browser(project(FILES), opened=False, person="Ann <ann@example.com>").get(path)
    assert answer.status_code == 403
    assert "contentops review" in answer.text
    assert not {"acme", "guide", "Ann"} & set(answer.text.replace("<", " ").replace(">", " ").split())


@pytest.mark.parametrize(("method", "headers", "status"), [
    ("GET", {"host": "rebound.example:8767"}, 400), ("GET", {"host": ""}, 400), ("GET", {"host": "localhost:1"}, 200),
    ("GET", {"host": "[::1]:1"}, 200), ("GET", {"sec-fetch-site": "none"}, 200),
    ("GET", {"sec-fetch-site": "cross-site"}, 403), ("GET", {"sec-fetch-site": "same-site"}, 403),
    ("GET", {"origin": "https://evil.example"}, 403), ("POST", {}, 403), ("POST", {"origin": "null"}, 403),
    ("POST", {"origin": "http://127.0.0.1:9"}, 403), ("POST", {"origin": "https://127.0.0.1:8767"}, 403),
    ("POST", {"origin": ADDRESS, "sec-fetch-site": "none"}, 403), ("POST", OURS, 405),
    ("DELETE", {"origin": ADDRESS}, 405),
])  # fmt: skip
def test_requests_of_other_sites_are_refused(
    project: Build, method: str, headers: dict[str, str], status: int, processes: None
) -> None:
    """Even with the cookie: a request comes from these pages, or was typed; one that changes something says so."""
    assert Browser(project(FILES)).send(method, "/plan", headers=headers).status_code == status


@pytest.mark.parametrize("path", FORMS)
def test_a_form_needs_its_token(project: Build, path: str) -> None:
    """A form without the token of this server, an unreadable one and a huge one change nothing."""
    browser = Browser(project(FILES))
    assert browser.post(path, token="x", id="guide").status_code == 403
    assert browser.post(path, token="\u20ac", id="guide").status_code == 403
    assert browser.send("POST", path, headers=OURS, content=b"\xff=%ff").status_code == 403
    assert browser.send("POST", path, headers=OURS, content=b"x" * (MAX_BYTES + 1)).status_code == 413
    assert browser.send("POST", path, data={"form_token": browser.keys.form_token}).status_code == 403
    browser.cookies.clear()
    assert browser.post(path, id="guide").status_code == 403


@pytest.mark.parametrize("why", ["token", "session", "broken project"])
@pytest.mark.parametrize(("path", "field"), [("/edit", "body"), ("/send-back", "note")])
def test_words_that_were_typed_come_back(project: Build, path: str, field: str, why: str) -> None:
    """The server was started again, or the project cannot be read: the page has them, to copy."""
    root = project(FILES)
    browser, words = Browser(root), "Mine & <b>yours</b>.\n\nMore."
    if why == "session":
        browser.cookies.clear()
    elif why == "broken project":
        (root / "contentops.yaml").write_text("version: [", "utf-8")
    form = {"id": "guide", "text": "x", field: words}
    answer = browser.post(path, token="x" if why == "token" else None, **form)
    assert answer.status_code >= 400
    assert f">\n{escape(words)}</textarea>" in answer.text


def test_the_longest_text_fits_into_a_form(project: Build, processes: None) -> None:
    """Twice, in characters of four bytes; the limit is the one that is stated; a text too long for a file comes back."""
    assert f"Forms are limited to {MAX_BYTES // 10**6} MB." in (Path(__file__).parents[1] / "SECURITY.md").read_text(
        "utf-8"
    )
    text = "\U0001f600" * LONGEST
    assert len(urlencode({"id": "guide", "title": "t" * 300, "was": text, "body": text})) < MAX_BYTES
    answer = Browser(project(FILES)).post("/edit", id="guide", title="t", file="x", body="x" * (LONGEST + 1))
    assert answer.status_code == 409
    assert "x" * (LONGEST + 1) in answer.text


def test_every_answer_has_the_headers(project: Build, processes: None) -> None:
    """Nothing from elsewhere is loaded, framed or kept, whatever the answer is."""
    browser = Browser(project(FILES))
    paths = [*ROUTES, "/item?id=guide", "/item?id=no", "/nothing", *SERVED, "/open"]
    for path in paths:
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        if answer.headers["content-type"].startswith("text/html"):
            assert not [word for word in (" style=", "<style", " onclick", "javascript:") if word in answer.text]


@pytest.mark.parametrize(
    "item", ["../../etc/passwd", "guide/../guide", "<script>", "%2e%2e", "\u202eguide", "a" * 9_000, ""]
)
def test_no_id_leads_elsewhere(project: Build, item: str, processes: None) -> None:
    """An item is named in the query, and one that is not known is said so, harmlessly."""
    answer = Browser(project(FILES)).send("GET", "/item", params={"id": item})
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert "\u202e" not in answer.text


def test_a_real_server_prints_one_link_and_ends_with_ctrl_c(project: Build, processes: None) -> None:
    """In a process of its own: the link opens the pages, and Ctrl-C ends it cleanly with a stream open."""
    command = [sys.executable, "-m", "contentops", "review", "--port", "0"]
    with subprocess.Popen(command, cwd=project(FILES), stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        link = child.stderr.readline().split()[-1]
        with httpx.Client(follow_redirects=True) as client:
            assert "acme" in client.get(link).text
            assert client.get(link).status_code == 200
        assert httpx.get(link).status_code == 403
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
        assert "Traceback" not in child.stderr.read()


def test_a_bug_shows_nothing_of_the_project(project: Build) -> None:
    """The browser gets a bare page with the headers of all others; the terminal has the traceback."""

    def broken() -> Project:
        raise ZeroDivisionError("acme")

    browser = Browser(project(FILES))
    browser.site = structs.replace(browser.site, project=broken)
    browser.raises = False
    browser.app = create_app(browser.site, browser.keys, "127.0.0.1")
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "acme" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
