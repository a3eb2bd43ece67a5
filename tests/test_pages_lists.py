"""The overview, the list of items and the plan as pages: what they say, and what they make of a query."""

import asyncio
import json
import re
from contextlib import AbstractContextManager
from html import unescape
from pathlib import Path

import pytest

from contentops.errors import Refused
from contentops.execution.primitives import Stop
from contentops.operations.opening import HERE, open_project
from contentops.pages import lists
from contentops.pages.app import ROUTES, problem
from contentops.pages.site import Links, Site, render
from contentops.pages.views import stream
from contentops.state.state_dir import apply_lock
from tests import review_project
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.pages import Browser, make_demo
from tests.running import Build, Run
from tests.test_references import items


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in every state."""
    folder: Path = tmp_path_factory.mktemp("review")
    review_project.disturb(review_project.build(folder, 60))
    return folder


def site_of(root: Path) -> Site:
    """The pages of the project at `root`, with forms."""
    return Site(
        name="acme", project=lambda: open_project(str(root), "", ()), runtime=HERE, links=Links(), form_token="token"
    )


def page(root: Path, path: str, **query: str) -> str:
    """A page as a browser gets it."""
    site = site_of(root)
    return render(site, ROUTES[path](site, query))


def words(html: str) -> str:
    """The words of a page, without marks."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def missing(page: str, *words: str) -> list[str]:
    """The words that a page does not have."""
    return [each for each in words if each not in page]


def ids(html: str) -> list[str]:
    """The ids in the rows of a list."""
    return [unescape(one) for one in re.findall(r'<(?:span|p) class="path" dir="auto">([^<]+)</', html)]


def test_the_overview_says_what_waits_for_whom(root: Path) -> None:
    """The title is the answer; each card names items with the reason, and the plan has causes and a price."""
    assert (
        missing(
            words(page(root, "/")),
            "6 texts wait for a reader",
            "Changed since approval : Example Editor approved an earlier text",
            "edited by hand after Example Editor sent back the last text",
            "Blocked : this text was edited, and its brief changed",
            "Outcome unknown : The outcome of a submit is unknown: its answer was lost",
            "“The sum for ten people is missing. Show the break-even month.”",
            "Words that the project excludes 1 text warns",
            "48 credits for 12 items",
            "New rows in data/cities.csv 6 24",
            "Total 14 48",
        )
        == []
    )


def test_the_plan_has_every_change_under_its_cause(root: Path) -> None:
    """Signs stand beside their words, and what all changes of a group share is said once."""
    html = page(root, "/plan")
    causes = ("Variable year in contentops.yaml:11:59 2 items, 4 credits", "mode [gone: quick ] [new: standard ]")
    assert missing(words(html), *causes, "+ create 4 credits", "contentops apply") == []
    assert html.count("newsletter/weekly-members") == 1


@pytest.mark.parametrize(("query", "first", "count"), [
    ({}, "blog/hybrid-work-guide", 50), ({"page": "2"}, "", 16), ({"page": "99999"}, "", 16),
    ({"state": "to-read"}, "blog/quiet-rooms", 6), ({"state": "no-text", "sort": "title"}, "cities/turin", 6),
    ({"state": "edited"}, "blog/hybrid-work-guide", 3), ({"q": "ZÜRICH"}, "cities/zurich", 1),
    ({"q": "nothing like that"}, "", 0), ({"template": "press_release_generator"}, "", 0),
    ({"tag": "pillar", "sort": "-title"}, "blog/hybrid-work-guide", 2), ({"sort": "-words"}, "", 50),
])  # fmt: skip
def test_a_query_narrows_and_sorts_the_list(root: Path, query: dict[str, str], first: str, count: int) -> None:
    """What needs someone is first; a page after the last one is the last one."""
    if query.get("template"):
        query, count = {"template": "blog_article_generator"}, 50
    found = ids(page(root, "/items", **query))
    assert len(found) == count
    assert not first or found[0] == first


def test_the_list_counts_what_plan_and_overview_count(root: Path) -> None:
    """A blocked text is listed among those that wait for approval, and not among those to read before a choice."""
    site = site_of(root)
    snapshot = site.review.snapshot()
    assert snapshot.plan is not None
    all_, to_read = lists.items(site, {}).model, lists.items(site, {"state": "to-read"}).model
    assert isinstance(all_, lists.ItemsView)
    assert isinstance(to_read, lists.ItemsView)
    chips = {badge.key: number for badge, number in all_.chips}
    assert {state.value: chips[state.value] for state in snapshot.plan.approvals} == {
        state.value: number for state, number in snapshot.plan.approvals.items()
    }
    assert {item.id for item in to_read.rows} == {item.id for item in snapshot.to_read}


@pytest.mark.parametrize("query", [
    {"state": "<script>"}, {"sort": "--words"}, {"template": "none"}, {"tag": "\u202eno"}, {"page": "²"},
    {"page": "-1"},
])  # fmt: skip
def test_a_query_that_names_nothing_is_ignored_and_named(root: Path, query: dict[str, str]) -> None:
    """Every item is listed, and a sentence says which value names nothing; no value comes back as markup."""
    html = page(root, "/items", **query)
    assert (len(ids(html)), "<script>" in html) == (50, False)
    assert ("so it is ignored" in html) == ("page" not in query)


def test_a_project_without_texts_says_how_to_begin(project: Build) -> None:
    """What is declared, what it costs, and the commands; without items, how to declare one."""
    settings = {"contentops.yaml": "version: 1\nproject: acme\napi: {base_url: 'https://a.example/v1'}\n"}
    items = "\n".join(f"  - {{id: item-{at}, inputs: {{topic: T{at}}}}}" for at in range(3))
    manifest = f"defaults: {{template: blog_article_generator, style: general_blog}}\nitems:\n{items}\n"
    root = project({**settings, "content/a.yaml": manifest})
    begin = ("3 items are declared in 1 manifest. None has been made", "contentops apply --canary 2", "12 credits")
    assert missing(words(page(root, "/")), *begin) == []
    (root / "content/a.yaml").unlink()
    assert "No items are declared." in words(page(root, "/"))


def test_a_plan_that_is_refused_says_how_to_get_past_it(project: Build) -> None:
    """A guard, a note and its hint are named; of many changes of one cause 20 are shown, and the others folded."""
    root = project({}, at="refused")
    review_project.build(root, 3, declared=60)
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text("utf-8").replace("credits_per_apply: 700", "credits_per_apply: 5"), "utf-8")
    (root / "content/blog.yaml").unlink()
    html = page(root, "/plan")
    said = words(html)
    assert missing(said, "Apply would refuse: ", "contentops apply --approve-credits", "Notes") == []
    assert missing(said, "`", "No guard stops this plan") == ["`", "No guard stops this plan"]
    assert re.search(r"to continue anyway: --approve-credits \d+", said)
    assert re.search(r"<summary>\d+ more</summary>", html)


def test_errors_in_manifests_stand_on_each_page(root: Path, project: Build) -> None:
    """The finding has its place, and the texts that were made are still there."""
    broken = project({}, at="broken")
    review_project.build(broken, 3)
    (broken / "content/wrong.yaml").write_text("items:\n  - {id: new, inputz: {}}\n")
    pages = [words(page(broken, path)) for path in ("/", "/items", "/plan")]
    assert all("content/wrong.yaml:2:15" in said for said in pages)
    assert len(ids(page(broken, "/items"))) == 3
    assert "There is no plan: the manifests have errors." in pages[-1]
    (broken / "contentops.yaml").write_text("version: 1\n")
    site = site_of(root)
    with pytest.raises(Exception, match="error") as caught:
        ROUTES["/"](site_of(broken), {})
    assert "project" in render(site, problem(caught.value))  # type: ignore[arg-type]


def test_an_item_links_to_its_sources_and_dependants(tmp_path: Path) -> None:
    """A waiting item says what its text comes after, a stale one that it is."""
    harness = Harness(tmp_path / "project", FakeApi())
    topics = {"guide": "Guide", "news": "{{ ref('guide').body }}", "teaser": "{{ ref('news').title }}"}
    harness.write("content/a.yaml", items(topics))

    def page(path: str) -> str:
        return " ".join(Browser(harness.root).get(path).text.split())

    assert (
        missing(
            page("/item?id=news"),
            '<p class="fact">Made from <a href="/item?id=guide"><bdi>guide</bdi></a></p>',
            '<p class="fact">Used by <a href="/item?id=teaser"><bdi>teaser</bdi></a></p>',
            "The next apply writes its text after those that it uses, for at most 4 credits",
            "<code>guide</code> has no text yet",
        )
        == []
    )
    assert "Waiting for other texts" in page("/plan")
    harness.apply()
    harness.edit("out/guide.md", "Introduction", "Start")
    assert "made from an earlier text" in page("/item?id=news")
    assert "made from an earlier text" in page("/items?state=stale")
    assert "Made from" not in page("/item?id=guide")
    assert "guide</code> was edited by hand" in page("/plan")


@pytest.fixture
def applied(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of four items with its texts."""
    return make_demo(invoke, tmp_path, tmp_path_factory)


@pytest.fixture
def browser(applied: Path) -> Browser:
    """A browser of its pages."""
    return Browser(applied)


def held_lock(root: Path) -> AbstractContextManager[None]:
    """The lock of an apply in another process."""
    return apply_lock(root, environment="", who="ann@build-1", now="2026-03-01T09:00:00Z")


def end_of(root: Path, *, lines: int) -> str:
    """Take the last lines of the events away; return them."""
    events = root / ".contentops" / "events.jsonl"
    kept = events.read_text("utf-8").splitlines(keepends=True)
    events.write_text("".join(kept[:-lines]), "utf-8")
    return "".join(kept[-lines:])


def test_a_run_of_a_terminal_is_shown_too(browser: Browser) -> None:
    """Its items, its end, and who started it; events are sent once, and the stream ends with the run."""
    assert missing(browser.get("/run").text, "4 of 4 done", "Look again") == ["Look again"]
    stream = browser.get("/run/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.count("data: ") == 2
    assert stream.text.endswith("event: end\ndata: \n\n")


@pytest.mark.parametrize("note", ["left", "gone"])
def test_a_killed_run_is_not_called_running(applied: Path, browser: Browser, note: str) -> None:
    """It left its note, and no lock: the page says so, and how to go on; none of its items is running."""
    events = applied / ".contentops/events.jsonl"
    lines = events.read_text("utf-8").splitlines(keepends=True)
    events.write_text("".join(line for line in lines if "city-lisbon" not in line)[: -len(lines[-1])], "utf-8")
    with events.open("a", encoding="utf-8") as file:
        file.write(next(line for line in lines if "city-lisbon" in line and "step-started" in line))
    if note == "left":
        (applied / ".contentops/apply.json").write_text("{}", "utf-8")
    said = ("The last run was stopped", "contentops apply", "stopped</span>", "running")
    assert missing(browser.get("/run").text, *said) == ["running"]
    assert "An apply is running" not in browser.get("/").text


@pytest.mark.parametrize("path", ["/", "/plan", "/item?id=welcome"])
def test_other_pages_say_that_an_apply_is_running(applied: Path, browser: Browser, path: str) -> None:
    """They lead to its page, and no command to start another one is shown."""
    end_of(applied, lines=3)
    manifest = applied / "content/articles.yaml"
    manifest.write_text(manifest.read_text("utf-8").replace("Five first steps", "Six first steps"), "utf-8")
    assert "An apply is running" not in browser.get(path).text
    with held_lock(applied):
        page = browser.get(path).text
    another = "<pre><code>contentops apply"
    assert missing(page, "An apply is running: 3 of 4 done", '<a href="/run">Follow it</a>', another) == [another]


@pytest.mark.parametrize("earlier", [True, False])
def test_a_command_without_events_is_not_the_last_run(applied: Path, browser: Browser, *, earlier: bool) -> None:
    """An apply that plans, or a commit that pushes: the run before it is not shown as what works now."""
    if not earlier:
        (applied / ".contentops/events.jsonl").unlink()
    with held_lock(applied):
        run, overview = (browser.get(path).text for path in ("/run", "/"))
    assert missing(run, "A command is running", "4 of 4 done", "Started") == ["4 of 4 done", "Started"]
    assert "A command is running: it has begun with no item yet" in overview
    assert ("4 of 4 done" in browser.get("/run").text) is earlier


def test_a_run_that_goes_on_is_followed_to_its_end(applied: Path) -> None:
    """What is added appears, without the page being asked again; a torn line is read once it is whole."""
    events, lock = applied / ".contentops" / "events.jsonl", held_lock(applied)
    end, browser = end_of(applied, lines=3), Browser(applied)
    lock.__enter__()
    assert missing(browser.get("/run").text, "An apply is running", "3 of 4 done", "Look again") == []

    async def follow() -> list[str]:
        seen = []
        async for part in stream(browser.site):
            seen.append(part)
            if len(seen) == 1:
                with events.open("a", encoding="utf-8") as file:
                    file.write(end[:20])
                    file.flush()
                    file.write(end[20:])
                lock.__exit__(None, None, None)
        return seen

    first, second, last = asyncio.run(follow())
    assert "3 of 4 done" in json.loads(first.removeprefix("data: "))
    assert "4 of 4 done" in json.loads(second.removeprefix("data: "))
    assert last == "event: end\ndata: \n\n"


def test_a_server_that_ends_lets_go_of_its_browsers(applied: Path, browser: Browser) -> None:
    """An open stream does not keep the server from ending."""
    end_of(applied, lines=2)
    browser.site.closing.set()
    with held_lock(applied):
        assert browser.get("/run/events").text == ""


def test_what_an_action_came_to_is_said_where_no_other_page_said_it(browser: Browser) -> None:
    """A slow action of the page ends while someone looks at the run."""
    assert browser.site.runner.start(lambda _: "Done: 1 item, <4> credits.").is_done(10)
    assert "Done: 1 item, &lt;4&gt; credits." in browser.get("/run").text

    def refuse(_: Stop) -> str:
        raise Refused("not <now>", code="refused", hint="later")

    assert browser.site.runner.start(refuse).is_done(10)
    assert missing(browser.get("/run").text, "not &lt;now&gt;", "later") == []
    browser.site.runner.close()
