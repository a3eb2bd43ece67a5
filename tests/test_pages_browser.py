"""The review page in a real browser: nothing is wrong on any page for anyone, whatever texts say, and nothing runs."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import structs
from playwright.sync_api import Browser, Locator, Page, Route

from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.opening import HERE, open_project
from contentops.operations.plan import plan
from contentops.pages.security import Keys, private_file
from contentops.planning.sides import Choice
from tests import review_project
from tests.clones import commit, git
from tests.running import Run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")


pytestmark = pytest.mark.skipif(
    review_project.BROWSER is None, reason="no browser: `apt-get install chromium-headless-shell`"
)
PAGES = ("/", "/items", "/plan", "/run", "/today")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=review_project.BROWSER, args=review_project.ARGUMENTS)
        yield opened
        opened.close()


def beside(action: Callable[[], Any]) -> Any:
    """What an action returns, in a thread of its own: the driver of the browser has a loop in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(action).result()


@dataclass
class Pages:
    """A project that is served."""

    address: str
    keys: Keys
    problems: list[str] = field(default_factory=list)
    """What the browser said in its console."""

    def opened(self, browser: Browser, **context: Any) -> Page:
        """A page of a new browser, which opened the link."""
        self.keys.used = False
        page = self.watched(browser, **context)
        page.goto(f"{self.address}/open?token={self.keys.token}")
        return page

    def watched(self, browser: Browser, **context: Any) -> Page:
        """A page of a new browser, whose console is kept."""
        page: Page = browser.new_context(**context).new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda one: self.problems.append(one.text))
        page.on("pageerror", lambda one: self.problems.append(str(one)))
        page.on("dialog", lambda one: self.problems.append(one.message))
        return page

    def check(self, page: Page, path: str) -> None:
        """Opens a page; nothing is wrong with it, and it is no wider than the window."""
        answer = page.goto(self.address + path)
        assert answer is not None
        assert answer.status == 200 or self.address.startswith("file:"), path
        self.look(page, path)

    def look(self, page: Page, path: str, **options: Any) -> None:
        """Nothing is wrong with the page that is open; `options` of axe."""
        found = axe.Axe().run(page, options={"preload": False, **options})
        assert not found.violations_count, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        assert self.problems == [], path


@contextlib.contextmanager
def served(root: Path, **clock: Any) -> Iterator[Pages]:
    """Serves the pages of a project on a port of this machine."""
    # Files that were written just now are taken for old: a snapshot of them need not be made again.
    runtime = structs.replace(HERE, disk_time=lambda: time.time_ns() + 10**12, **clock)
    with review_project.served(root, runtime) as (address, keys):
        yield Pages(address, keys)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """150 texts, in every state."""
    folder = tmp_path_factory.mktemp("pages")
    beside(lambda: review_project.in_every_state(folder))
    with served(folder) as opened:
        yield opened


def item(id_: str, **query: str) -> str:
    """The path of the page of an item."""
    return "/item?id=" + quote(id_) + "".join(f"&{name}={value}" for name, value in query.items())


STATES = (
    item("blog/hybrid-work-guide"),  # blocked
    item("blog/quiet-rooms"),  # changed since approval, a check warns
    item("blog/desk-booking"),  # waiting
    item("blog/what-a-desk-costs"),  # sent back
    item("docs/troubleshooting"),  # outcome unknown
    item("cities/zurich"),  # gone
    item("cities/turin"),  # no text
)
READING = (
    item("blog/quiet-rooms", view="preview"),
    item("blog/quiet-rooms", view="changes", beside="1"),
    "/edit?id=blog/quiet-rooms",
)


OF_COLOURS_AND_SIZES = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
"""The rules of axe whose answer depends on them."""


def test_nothing_is_wrong_on_any_page(pages: Pages, browser: Browser) -> None:
    """Axe finds nothing, the console is silent, and no page scrolls sideways, in both schemes and at a phone's width."""
    page = pages.opened(browser)
    for path in (*PAGES, "/items?state=approved&page=2&sort=-words", "/items?q=rooms", *STATES, *READING):
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
        pages.check(page, path)
        page.set_viewport_size({"width": 320, "height": 800})
        page.emulate_media(color_scheme="dark")
        pages.look(page, path, runOnly=OF_COLOURS_AND_SIZES)


def test_nothing_is_wrong_in_forced_colours(pages: Pages, browser: Browser) -> None:
    """Where a person chooses the colours, buttons, chips and tabs can still be read and told apart."""
    page = pages.opened(browser, forced_colors="active")
    for path in ("/", "/items?q=rooms", *READING):
        pages.check(page, path)


def test_a_page_needs_no_script(pages: Pages, browser: Browser) -> None:
    """Lists are narrowed, sorted and turned by links and one form."""
    page = pages.opened(browser, java_script_enabled=False)
    page.goto(f"{pages.address}/items")
    page.get_by_label("Words, title or id").fill("small rooms")
    page.get_by_role("button", name="Show").click()
    assert ("q=small+rooms" in page.url, page.locator(".hits mark").first.inner_text()) == (True, "small rooms")
    rows = page.locator("tbody tr")
    page.goto(f"{pages.address}/items")
    page.get_by_role("link", name="Words").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Words")
    page.goto(f"{pages.address}/items")
    page.get_by_role("link", name="Next", exact=True).click()
    assert rows.count() == 50
    page.goto(f"{pages.address}/")
    page.get_by_role("link", name="Why quiet rooms fill up first").first.click()
    assert page.url.endswith(item("blog/quiet-rooms").replace("/quiet", "%2Fquiet"))
    assert pages.problems == []


def test_projects_without_texts_and_with_errors(tmp_path: Path, browser: Browser) -> None:
    """What is declared but not made, errors of manifests with their places, and settings that cannot be read."""
    manifest = "items:\n  - {id: one, template: blog_article_generator, style: general_blog, inputs: {topic: T}}\n"
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a.yaml").write_text(manifest)
    settings = tmp_path / "contentops.yaml"
    settings.write_text("version: 1\nproject: acme\napi: {base_url: 'https://a.example/v1'}\n")
    with served(tmp_path) as pages:
        page = pages.opened(browser)
        for path in PAGES:
            pages.check(page, path)
        (tmp_path / "content/a.yaml").write_text(manifest.replace("inputs", "inputz"))
        for path in PAGES[:2]:
            pages.check(page, path)
            assert "content/a.yaml:2:" in page.inner_text("main")
        settings.write_text("version: 1\n")
        answer = page.goto(f"{pages.address}/")
        assert answer is not None
        assert answer.status == 500
        assert "project" in page.inner_text("main")


def test_pages_as_files(tmp_path: Path, browser: Browser, invoke: Run) -> None:
    """Written pages and a plan in one file open without a server: links lead on, and nothing is wrong with them."""
    root, out = tmp_path / "project", tmp_path / "out"
    root.mkdir()
    beside(lambda: review_project.in_every_state(root, 30))
    assert beside(lambda: invoke("review", "--out", str(out), cwd=root)).code == 0
    (out / "one.html").write_text(beside(lambda: invoke("plan", "--format", "html", cwd=root)).stdout, "utf-8")
    pages = Pages(f"file://{out}", Keys(0))
    page = pages.watched(browser, viewport={"width": 320, "height": 800})
    for name in ("/index.html", "/items.html", "/plan.html", "/one.html"):
        pages.check(page, name)
    page.goto(f"{pages.address}/index.html")
    page.get_by_role("link", name="Why quiet rooms fill up first").first.click()
    assert ("Line 16" in page.inner_text("main"), page.locator("form, button").count()) == (True, 0)
    pages.check(page, "/" + page.url.rpartition("/")[2])


def test_the_file_with_the_link_opens_the_page_once(pages: Pages, browser: Browser, tmp_path: Path) -> None:
    """A browser calls a file another site, and follows it all the same, with the cookie."""
    pages.keys.used = False
    with private_file(tmp_path, f"{pages.address}/open?token={pages.keys.token}") as address:
        for heading in ("6 texts wait for a reader", "This link does not open the page any more"):
            page = pages.watched(browser)
            page.goto(address)
            page.get_by_role("heading", level=1, name=heading).wait_for()
    assert not [*tmp_path.glob("open-*")]


EVIL = "</textarea></title></a>\"'><script>document.title='run'</script><img src=x onerror=document.title='run'>"
BIDI = "\u202eright to left\u202c \u2067isolated"


@pytest.mark.parametrize("body", [
    f"{EVIL}\n\n<iframe src=//a.example></iframe>\n\n[link](javascript:alert(1)) ![picture](//a.example/x.png)\n",
    f"{BIDI}\n\n# {BIDI}\n\n- {BIDI}\n",
    "word " * 200_000,
], ids=["markup", "bidi", "1 MB"])  # fmt: skip
def test_no_text_does_anything(tmp_path: Path, browser: Browser, body: str) -> None:
    """Hostile titles and bodies are shown as text: nothing runs, nothing is loaded, nothing scrolls sideways."""
    beside(lambda: review_project.build(tmp_path, 3))
    path = tmp_path / "out/blog/desk-booking.md"
    front = re.sub(r"(?m)^title: .*$", lambda _: f"title: {json.dumps(EVIL + BIDI)}", path.read_text("utf-8"))
    path.write_text(front.rpartition("---\n")[0] + "---\n" + body, "utf-8")
    with served(tmp_path) as pages:
        page = pages.opened(browser, viewport={"width": 320, "height": 800})
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        for each in ("/", "/items", item("blog/desk-booking")):
            if body.startswith("word"):
                page.goto(pages.address + each)  # axe takes minutes for a megabyte
            else:
                pages.check(page, each)
            assert page.title() != "run"
            assert "\u202e" not in page.content()
        assert all(url.startswith(pages.address) for url in asked)
        assert pages.problems == []


def test_the_keyboard_reaches_everything(pages: Pages, browser: Browser) -> None:
    """The first stop leads past the navigation; each link and button can be reached, and shows that it is."""
    page = pages.opened(browser)
    for path in ("/items?q=market", item("blog/quiet-rooms")):
        page.goto(pages.address + path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").startswith("Skip")
        wanted = page.locator(
            "main :is(a, button, input:not([type=hidden]), select, textarea, summary):visible"
        ).count()
        reached: set[str] = set()
        for _ in range(wanted + 20):
            page.keyboard.press("Tab")
            seen = page.evaluate(
                "(e => [e.closest('main') ? [...document.querySelectorAll('main *')].indexOf(e) : '',"
                " getComputedStyle(e).outlineStyle])(document.activeElement)"
            )
            if seen[0] != "":
                reached.add(str(seen[0]))
                assert seen[1] == "solid"
        assert len(reached) == wanted, path


def test_words_that_were_typed_stay_when_the_page_is_left(tmp_path: Path, browser: Browser) -> None:
    """By the script a moment after they are typed; without it by a button."""
    beside(lambda: review_project.build(tmp_path, 3))
    review_project.commit(tmp_path)
    with served(tmp_path) as pages:
        page = pages.opened(browser)
        page.goto(pages.address + item("blog/desk-booking"))
        page.get_by_label("Send back, with a note").fill("Shorter, please.")
        playwright.expect(page.locator("#send-back [data-kept]")).to_have_text("Draft kept, not saved yet.")
        page.get_by_role("link", name="What changed").click()
        playwright.expect(page.get_by_label("Send back, with a note")).to_have_value("Shorter, please.")
        page.locator("#decision").get_by_role("link", name="Edit").click()
        page.wait_for_url("**/edit?*")  # its scripts listen once it is loaded
        held: list[Route] = []
        page.route("**/draft", lambda route: held.append(route))  # noqa: PLW0108 - it reads the parameters
        with page.expect_request("**/draft"):
            page.get_by_label("Text", exact=True).fill("Typed and left.")
            page.get_by_role("link", name="Cancel").click(no_wait_after=True)
        playwright.expect(page).to_have_url(re.compile("/edit"))
        held[0].continue_()
        page.locator("#decision").get_by_role("link", name="your draft of").click()
        playwright.expect(page.get_by_label("Text", exact=True)).to_have_value("Typed and left.")
        pages.check(page, "/edit?id=" + quote("blog/desk-booking"))
        page.get_by_role("button", name="Save", exact=True).click()
        assert "Typed and left." in page.inner_text("main")
        page.goto(pages.address + "/edit?id=" + quote("blog/desk-booking"))
        assert "is back" not in page.inner_text("main")
        quiet = pages.opened(browser, java_script_enabled=False, viewport={"width": 390, "height": 800})
        quiet.goto(pages.address + "/edit?id=" + quote("blog/hybrid-work-guide"))
        quiet.get_by_label("Text", exact=True).fill("Without a script.")
        quiet.get_by_role("button", name="Keep for later").click()
        assert "Your draft is kept" in quiet.inner_text("main")
        quiet.goto(pages.address + "/edit?id=" + quote("blog/hybrid-work-guide"))
        assert quiet.get_by_label("Text", exact=True).input_value().strip() == "Without a script."
        quiet.get_by_role("button", name="Discard the draft").click()
        assert "The draft is discarded." in quiet.inner_text("main")
        assert pages.problems == []


# --- an editor's day -----------------------------------------------------------------------------------------

SETTINGS = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
DECLARED = {
    "desks": "{approval: required, inputs: {topic: Desks by the hour}}",
    "rooms": "{approval: required, inputs: {topic: Small rooms}}",
    "lights": "{approval: required, inputs: {topic: Lights}}",
    "doors": "{approval: required, inputs: {topic: Doors}}",
    "makatib": "{approval: required, inputs: {topic: المكاتب}, metadata: {title: المكاتب, lang: ar, dir: rtl}}",
    "hadarim": "{approval: required, inputs: {topic: חדרים}, metadata: {title: חדרים, lang: he, dir: rtl}}",
    "prices": "{inputs: {topic: What it costs}}",
    "words": "{inputs: {topic: Kitchen}, checks: {excludes: [click here]}}",
    "guide": "{inputs: {topic: The guide}, metadata: {title: The guide}}",
    "guide-de": "{inputs: {topic: \"{{ ref('guide').body }}\"}, metadata: {title: Der Leitfaden, lang: de}}",
    **{f"other-{number}": f"{{inputs: {{topic: Other {number}}}}}" for number in range(1, 6)},
}
"""15 texts: six have to be read, and two of these run from right to left."""


def declare(root: Path, **changed: str) -> None:
    """Write the manifest."""
    entries = {**DECLARED, **changed}
    text = "".join(f"  - {{id: {id_}, {keys[1:]}\n" for id_, keys in entries.items())
    text = text.replace("topic: ", "target_audience: founders, topic: ")
    (root / "content/all.yaml").write_text(f"items:\n{text}", "utf-8")


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a remote: a conflict, a failing check, a stale translation, and a text that is not made yet."""
    root = tmp_path_factory.mktemp("day") / "acme"
    (root / "content").mkdir(parents=True)
    (root / "contentops.yaml").write_text(SETTINGS)
    declare(root)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Example Editor")
    git(root, "config", "user.email", "editor@example.com")
    project = open_project(str(root), "", ())
    beside(lambda: apply(project, Choice(), ApplyOptions(), confirm=lambda _: True, emit=lambda _: None))
    commit(root, "All")
    for name, added in (("prices", "A price of ours."), ("words", "Now click here."), ("guide", "A third door.")):
        file = root / "out" / f"{name}.md"
        file.write_text(file.read_text("utf-8") + f"\n{added}\n", "utf-8")
    declare(root, prices="{inputs: {topic: What a desk costs}}", **{"new-one": "{inputs: {topic: New}}"})
    commit(root, "Edits")
    git(root.parent, "clone", "-q", "--bare", str(root), "origin.git")
    return root.parent


@dataclass
class Hand:
    """Does what a person does on the page, in one of three ways: with the mouse, with the keys, or without script."""

    page: Page
    way: str
    clock: list[float]

    def press(self, name: str | re.Pattern[str], role: Any = "link", key: str = "", within: str = "body") -> None:
        """Use a link or button: by its key if it has one; else it is reached with Tab."""
        target = self.page.locator(within).get_by_role(role, name=name).first
        playwright.expect(target).to_be_visible()
        self.page.wait_for_load_state()  # the script has the keys
        if self.way != "keys":
            target.click()
        elif key:
            self.page.keyboard.press(key)
        else:
            self.reach(target)
            self.page.keyboard.press("Enter")

    def reach(self, target: Locator) -> None:
        """Go to an element with Tab alone."""
        element = target.element_handle()
        for _ in range(150):
            if self.page.evaluate("one => one === document.activeElement", element):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"Tab does not reach {target}")

    def type(self, label: str, words: str) -> None:
        """Replace the words of a field."""
        field_ = self.page.get_by_label(label, exact=True)
        if self.way == "keys":
            self.reach(field_)
            self.page.keyboard.press("Control+A")
            self.page.keyboard.insert_text(words)
        else:
            field_.fill(words)

    def said(self, *words: str) -> None:
        """What the page says about what was done."""
        for each in words:
            playwright.expect(self.page.get_by_role("status").first).to_contain_text(each)

    def turn_keys_off_and_on(self) -> None:
        """No key does anything while she types, and none once keys are turned off."""
        keys, note, here = self.page.keyboard, self.page.get_by_label("Send back, with a note"), self.page.url
        self.page.wait_for_load_state()
        keys.press("s")
        playwright.expect(note).to_be_focused()
        keys.type("ajk/")
        playwright.expect(note).to_have_value("ajk/")
        keys.press("Control+A")
        keys.press("Backspace")
        keys.press("Escape")
        keys.press("?")
        self.press("Turn keys off", "button")
        keys.press("j")
        keys.press("/")
        playwright.expect(self.page.get_by_role("button", name="Turn keys on")).to_be_focused()
        self.press("Turn keys on", "button")
        keys.press("/")
        playwright.expect(self.page.get_by_label("Search all texts")).to_be_focused()
        keys.press("Escape")
        keys.press("j")
        self.page.wait_for_url(lambda url: url != here)
        self.page.wait_for_load_state()
        keys.press("k")
        self.page.wait_for_url(here)

    def approve(self) -> None:
        """Approve the text of the page, after she read it."""
        self.clock[0] += 3
        self.press("Approve", "button", key="a", within="#decision")


@pytest.mark.parametrize("way", ["mouse", "keys", "no script"])
def test_an_editors_day(way: str, morning: Path, browser: Browser, tmp_path: Path) -> None:
    """She reads, edits, comments, approves, decides, applies and sends, and never opens a terminal."""
    shutil.copytree(morning, tmp_path / "day")
    root, origin = tmp_path / "day/acme", tmp_path / "day/origin.git"
    git(root, "remote", "add", "origin", str(origin))
    clock = [time.time()]
    with served(root, wall=lambda: clock[0]) as pages:
        page = pages.opened(browser, java_script_enabled=way != "no script")
        hand, title = Hand(page, way, clock), page.locator("h1")

        def look() -> None:
            if way == "mouse":
                pages.check(page, page.url.removeprefix(pages.address))
                page.set_viewport_size({"width": 320, "height": 800})
                pages.check(page, page.url.removeprefix(pages.address))
                page.set_viewport_size({"width": 1280, "height": 720})

        page.goto(f"{pages.address}/")
        assert title.inner_text() == "6 texts wait for a reader"
        assert page.locator(".rows [dir=rtl]").all_inner_texts() == ["חדרים", "المكاتب"]
        hand.press(re.compile("Start reading"))
        # The first text is edited, approved, taken back, and approved again.
        page.wait_for_url("**/item?*")
        first = page.url
        if way == "keys":
            hand.turn_keys_off_and_on()
        hand.press(re.compile("^Edit"), key="e", within="#decision")
        hand.type("Text", "Her own words.\n\nMore of them.")
        hand.press("Save", "button")
        hand.said("Saved")
        hand.approve()
        hand.said("Approved", "1 done, 5 left")
        hand.press("Undo", "button", key="z")
        hand.said("Withdrawn")
        hand.approve()
        hand.said("1 done, 5 left")
        # Some words of the second have a comment, which goes back with it.
        words = page.locator(".prose p").first.inner_text()[:24].strip()
        page.wait_for_load_state()
        page.keyboard.press("c") if way == "keys" else page.get_by_text("Comment on some words").click()
        hand.type("Words of one paragraph", words)
        hand.type("What to change", "Shorter.")
        hand.press("Add the comment", "button")
        hand.said("Noted")
        clock[0] += 3
        hand.press("Send back with 1 comment", "button")
        hand.said("Sent back", "4 left")
        for left in (3, 2, 1):
            hand.approve()
            hand.said(f"{left} left")
        hand.approve()
        playwright.expect(title).to_have_text("You decided about 6 texts today")
        # The edited text whose brief changed.
        hand.press("1 text", within="dt:text('Needs a choice') + dd")
        hand.press("What it costs")
        hand.press("Keep the edited text")
        hand.press("Do it, for free", "button")
        hand.said("Kept", "nothing was paid")
        # The translation whose source changed.
        if way == "keys":
            page.wait_for_load_state()
            page.keyboard.press("/")
        hand.type("Search all texts", "Leitfaden")
        page.keyboard.press("Enter")
        hand.press("Der Leitfaden")
        hand.press("See what changed there")
        playwright.expect(page.get_by_text("The source has 1 edit")).to_be_visible()
        hand.press("Keep it, for free…")
        hand.press("Do it, for free", "button")
        hand.said("Kept")
        # The check that fails.
        hand.press("Overview")
        hand.press("Words that the project excludes")
        hand.press(re.compile("Kitchen"))
        hand.press(re.compile("^Edit"), key="e", within="#decision")
        hand.type("Text", "Better words.")
        hand.press("Save", "button")
        hand.said("Saved")
        # An earlier version of the first text.
        page.goto(first)
        hand.press(re.compile("^Restore…"))
        look()
        hand.press("Restore this text", "button")
        hand.said("Restored")
        # The rest of the plan.
        hand.press("Plan")
        hand.press(re.compile(r"…$"), within="main")
        hand.press(re.compile("^Do it|^Spend"), "button")
        playwright.expect(page.get_by_role("status").first).to_contain_text("Done")
        # What she did is sent.
        hand.press("Today")
        hand.press("Send my work…")
        look()
        hand.press("Push to main", "button")
        hand.said("Sent")
        assert pages.problems == []
    sent = git(origin, "show", "main:contentops.approvals")
    assert [sent.count(word) for word in ('"approved"', '"sent-back"', '"quote"')] == [5, 1, 1]
    assert beside(lambda: plan(open_project(str(root), "", ()), Choice())).empty
